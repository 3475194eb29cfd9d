# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# make            build into build/          make install DESTDIR=   make clean
# sudo make deps  Debian packages            sudo make demo          the main job, on this machine
# sudo make test  every test                 sudo make bench         how fast, into build/bench.json
# make sim        connections kept while backends and balancers come and go, simulated
# sudo make fuzz  inputs that break a parser, looked for: FUZZ_SECONDS=600 for each, FUZZ="dns consul": some of them
# sudo make kernels, sudo make kube-apiserver   against older kernels, emulated; against a real Kubernetes API, built
# V=1 shows the commands.

BUILD ?= build
CC = gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/bin/bpftool) bpftool)
PREFIX ?= /usr
# of what a target builds before it runs it: the cores there are, if the caller did not say
JOBS = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

CFLAGS ?= -O2 -g
override CFLAGS += -std=gnu11 -Wall -Wextra -Werror -Iuser -I$(BUILD) -MMD -MP -D_GNU_SOURCE
LIBS_DAEMON = -pthread -lbpf -levent -lcurl -lcares -ljansson -lyaml -lmnl -lcap-ng -lsystemd -lm
LIBS_CLI = -lcurl -ljansson -lsmartcols
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

ifneq ($(V),1)
.SILENT:
say = @printf '  %-8s %s\n' $(1) $(2)
endif

# ---- what there is: rooms are folders ----
PROGRAMS := edge backend socket connection local
LIB_SRC := $(wildcard $(addprefix user/,$(addsuffix /*.c,base loop model config discovery health datapath reconcile register api)))
CLI_SRC := $(wildcard user/cli/*.c)
UNIT := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
BPF_TESTS := $(patsubst tests/bpf/%.c,%,$(wildcard tests/bpf/test_*.c))
TEST_BPF := $(patsubst tests/bpf/%.bpf.c,%,$(wildcard tests/bpf/*.bpf.c))
BENCH_SRC := $(filter-out %.bpf.c,$(wildcard tools/bench/*.c))
BENCH_BPF := $(patsubst tools/bench/%.bpf.c,%,$(wildcard tools/bench/*.bpf.c))
TRAFFIC_SRC := $(wildcard tools/traffic/*.c user/base/*.c)
SIM_SRC := $(wildcard tools/sim/*.c user/model/*.c user/base/*.c)
FUZZ_TARGETS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ ?= $(FUZZ_TARGETS)
# the rooms that have parsers, and of the api only its parser
FUZZ_SRC := $(wildcard $(addprefix user/,$(addsuffix /*.c,base loop model config discovery))) user/api/parse.c
SKELETONS := $(PROGRAMS:%=$(BUILD)/%.skel.h)

LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o)
CLI_OBJ := $(CLI_SRC:%.c=$(BUILD)/%.o)

.PHONY: all install clean deps demo test bench sim soak fuzz kernels kube-apiserver vmlinux tests benches fuzzers FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BUILD)/shuntd $(BUILD)/shunt

# ---- programs: bpf/x.bpf.c -> x.skel.h ----
BPF_CFLAGS = -g -O2 -target bpf -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-function -I. -Ibpf -I$(BUILD)

$(BUILD)/bpf/%.o: bpf/%.bpf.c vmlinux.h
	$(call say,BPF,$<)
	mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $(@:.o=.d) -c $< -o $@

$(BUILD)/%.skel.h: $(BUILD)/bpf/%.o
	$(call say,SKEL,$@)
	$(BPFTOOL) gen skeleton $< name $* > $@

$(BUILD)/bench/%.bpf.o: tools/bench/%.bpf.c vmlinux.h
	$(call say,BPF,$<)
	mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $(@:.o=.d) -c $< -o $@

$(BUILD)/%.bench.skel.h: $(BUILD)/bench/%.bpf.o
	$(call say,SKEL,$@)
	$(BPFTOOL) gen skeleton $< name $*_bench > $@

# ---- daemon and command ----
# changes when the version does, so that what names it is made anew
$(BUILD)/version: FORCE
	mkdir -p $(@D)
	echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' > $@
$(patsubst user/%.c,$(BUILD)/user/%.o,$(shell grep -rl SHUNT_VERSION user --include=*.c)): $(BUILD)/version

$(BUILD)/user/%.o: user/%.c | $(SKELETONS)
	$(call say,CC,$<)
	mkdir -p $(@D)
	$(CC) $(CFLAGS) -DSHUNT_VERSION='"$(VERSION)"' -c $< -o $@

# skeletons are known before the first dependency file is
$(BUILD)/user/datapath/%.o: $(SKELETONS)

$(BUILD)/libshunt.a: $(LIB_OBJ)
	$(call say,AR,$@)
	rm -f $@
	ar qcs $@ $^ # q: rooms have files of the same name

$(BUILD)/shuntd: $(BUILD)/user/shuntd.o $(BUILD)/user/apply.o $(BUILD)/libshunt.a
	$(call say,LINK,$@)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS_DAEMON)

$(BUILD)/shunt: $(CLI_OBJ) $(BUILD)/user/base/addr.o $(BUILD)/user/base/duration.o $(BUILD)/user/base/log.o
	$(call say,LINK,$@)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS_CLI)

# ---- tests: unit tests and all they test run under sanitizers ----
$(BUILD)/asan/%.o: user/%.c | $(SKELETONS)
	$(call say,CC/ASAN,$<)
	mkdir -p $(@D)
	$(CC) $(CFLAGS) $(SANITIZE) -DSHUNT_VERSION='"test"' -c $< -o $@

$(BUILD)/libshunt-asan.a: $(LIB_SRC:user/%.c=$(BUILD)/asan/%.o)
	$(call say,AR,$@)
	rm -f $@
	ar qcs $@ $^ # q: rooms have files of the same name

$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libshunt-asan.a
	$(call say,TEST,$@)
	mkdir -p $(@D)
	$(CC) $(CFLAGS) $(SANITIZE) -o $@ $< $(BUILD)/libshunt-asan.a -lcmocka $(LIBS_DAEMON)

$(BUILD)/bpftest/%.bpf.o: tests/bpf/%.bpf.c vmlinux.h
	$(call say,BPF,$<)
	mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $(@:.o=.d) -c $< -o $@

$(BUILD)/%.test.skel.h: $(BUILD)/bpftest/%.bpf.o
	$(call say,SKEL,$@)
	$(BPFTOOL) gen skeleton $< name $*_test > $@

$(BUILD)/bpftest/%.o: tests/bpf/%.c | $(SKELETONS) $(TEST_BPF:%=$(BUILD)/%.test.skel.h)
	$(call say,CC,$<)
	mkdir -p $(@D)
	$(CC) $(CFLAGS) -Itests/bpf -c $< -o $@

BPF_TEST_LIB := $(patsubst tests/bpf/%.c,$(BUILD)/bpftest/%.o,$(filter-out tests/bpf/test_% %.bpf.c,$(wildcard tests/bpf/*.c)))
$(BUILD)/bpftest/%: $(BUILD)/bpftest/%.o $(BPF_TEST_LIB) $(BUILD)/libshunt.a
	$(call say,TEST,$@)
	$(CC) $(CFLAGS) -o $@ $^ -lcmocka $(LIBS_DAEMON)

# ---- fuzz targets: with gcc to replay what is kept, with clang to look for more ----
$(BUILD)/replay/%: tests/fuzz/fuzz_%.c tests/fuzz/replay.c tests/fuzz/fuzz.h $(BUILD)/libshunt-asan.a
	$(call say,TEST,$@)
	mkdir -p $(@D)
	$(CC) $(CFLAGS) $(SANITIZE) -MF $@.d -o $@ $(filter-out %.h,$^) $(LIBS_DAEMON)

$(BUILD)/fuzz/%.o: user/%.c
	$(call say,CC/FUZZ,$<)
	mkdir -p $(@D)
	$(CLANG) $(CFLAGS) $(SANITIZE) -fsanitize=fuzzer-no-link -c $< -o $@

$(BUILD)/libshunt-fuzz.a: $(FUZZ_SRC:user/%.c=$(BUILD)/fuzz/%.o)
	$(call say,AR,$@)
	rm -f $@
	ar qcs $@ $^ # q: rooms have files of the same name

$(BUILD)/fuzz/%: tests/fuzz/fuzz_%.c tests/fuzz/mutate.c tests/fuzz/fuzz.h $(BUILD)/libshunt-fuzz.a
	$(call say,FUZZ,$@)
	mkdir -p $(@D)
	$(CLANG) $(CFLAGS) $(SANITIZE) -fsanitize=fuzzer -o $@ $(filter-out %.h,$^) $(LIBS_DAEMON)

fuzzers: $(FUZZ_TARGETS:%=$(BUILD)/fuzz/%)

tests: all $(FUZZ_TARGETS:%=$(BUILD)/replay/%) $(UNIT:%=$(BUILD)/unit/%) $(BPF_TESTS:%=$(BUILD)/bpftest/%) $(BUILD)/shunt-sim $(BUILD)/shunt-traffic

# ---- bench ----
$(BUILD)/bench/%.o: tools/bench/%.c | $(SKELETONS) $(BENCH_BPF:%=$(BUILD)/%.bench.skel.h)
	$(call say,CC,$<)
	mkdir -p $(@D)
	$(CC) $(CFLAGS) -Itools/bench -c $< -o $@

$(BUILD)/shunt-bench: $(BENCH_SRC:tools/bench/%.c=$(BUILD)/bench/%.o) $(BUILD)/libshunt.a
	$(call say,LINK,$@)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS_DAEMON)

benches: $(BUILD)/shunt-bench $(BUILD)/shuntd

# ---- simulation: only the pure rooms, and nothing of the kernel's ----
$(BUILD)/sim/%.o: %.c
	$(call say,CC,$<)
	mkdir -p $(@D)
	$(CC) $(CFLAGS) -c $< -o $@

$(BUILD)/shunt-sim: $(SIM_SRC:%.c=$(BUILD)/sim/%.o)
	$(call say,LINK,$@)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -ljansson -lm

sim: $(BUILD)/shunt-sim
	$<

# ---- connections that live for long, for the lab of several balancers ----
$(BUILD)/traffic/%.o: %.c
	$(call say,CC,$<)
	mkdir -p $(@D)
	$(CC) $(CFLAGS) -c $< -o $@

$(BUILD)/shunt-traffic: $(TRAFFIC_SRC:%.c=$(BUILD)/traffic/%.o)
	$(call say,LINK,$@)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -levent -ljansson

# ---- what people call; each installs what it needs first, then builds with what is there ----
deps:
	tools/deps.sh

demo: deps
	$(MAKE) $(JOBS) --no-print-directory all
	BUILD=$(BUILD) tools/demo.sh

test: deps
	$(MAKE) $(JOBS) --no-print-directory all tests
	BUILD=$(BUILD) tests/run.sh

# without those whose ways to a service are compared with ours, or that are asked for services, their rows are skipped
bench: deps
	tools/deps.sh haproxy nftables etcd-server || true
	BUILD=$(BUILD) tools/consul.sh > /dev/null || true
	$(MAKE) $(JOBS) --no-print-directory all benches
	BUILD=$(BUILD) tools/bench.sh

soak: deps
	$(MAKE) $(JOBS) --no-print-directory all tests
	BUILD=$(BUILD) SOAK=1 tests/run.sh

fuzz:
	tools/deps.sh libclang-rt-14-dev
	$(MAKE) $(JOBS) --no-print-directory fuzzers
	BUILD=$(BUILD) tests/fuzz/run.sh $(FUZZ)

kernels: all
	tools/deps.sh qemu-system-x86 busybox-static cpio xz-utils
	BUILD=$(BUILD) tests/kernels/run.sh

kube-apiserver: all
	tools/deps.sh golang-go golang-github-modern-go-reflect2-dev rsync dpkg-dev
	BUILD=$(BUILD) tests/kubernetes/run.sh

vmlinux:
	tools/vmlinux.py > vmlinux.h.new && mv vmlinux.h.new vmlinux.h

install: all
	$(call say,INSTALL,$(DESTDIR)$(PREFIX))
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)/etc/shunt $(DESTDIR)/lib/systemd/system \
		$(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/share/man/man5 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 755 $(BUILD)/shuntd $(DESTDIR)$(PREFIX)/sbin/shuntd
	install -m 755 $(BUILD)/shunt $(DESTDIR)$(PREFIX)/bin/shunt
	test -e $(DESTDIR)/etc/shunt/shunt.yaml || install -m 644 tools/packaging/shunt.yaml $(DESTDIR)/etc/shunt/shunt.yaml
	install -m 644 tools/packaging/shuntd.service $(DESTDIR)/lib/systemd/system/shuntd.service
	install -m 644 tools/packaging/shuntd.8 tools/packaging/shunt.8 $(DESTDIR)$(PREFIX)/share/man/man8/
	install -m 644 tools/packaging/shunt.yaml.5 $(DESTDIR)$(PREFIX)/share/man/man5/
	install -m 644 tools/packaging/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/shunt

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
