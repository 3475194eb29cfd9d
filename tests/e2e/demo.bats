# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What a newcomer calls: the demo, the packages, the installation. Each cleans up after itself.

load helpers

setup_file() {
	export DEMO_LAB=${TEST_LAB:-shunt-test}-demo
}

teardown_file() {
	LAB=$DEMO_LAB LAB_DIR=$LAB_ROOT/$DEMO_LAB
	lab_down
}

nothing_is_left() {
	refuse grep -q "^$DEMO_LAB-" <(ip netns list)
	refuse grep -q "^$DEMO_LAB-" <(ls /sys/fs/bpf)
	[ ! -e "$LAB_ROOT/$DEMO_LAB" ]
	refuse pgrep -f "$LAB_ROOT/$DEMO_LAB"
}

@test "the demo shows what it promises in less than a minute, and leaves nothing behind" {
	SECONDS=0
	run "$ROOT/tools/demo.sh"
	echo "$output"
	[ "$status" = 0 ]
	[ "$SECONDS" -lt 60 ]
	[[ "$output" == *"0 failed"* ]]
	[[ "$output" == *shunt_backend_state* ]]
	nothing_is_left
}

@test "the demo runs a second time" {
	run "$ROOT/tools/demo.sh"
	[ "$status" = 0 ]
	nothing_is_left
}

@test "the demo cleans up after Ctrl-C" {
	env --default-signal=INT setsid "$ROOT/tools/demo.sh" > "$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	local pid=$!
	lab_wait 15 grep -q balancer "$BATS_TEST_TMPDIR/out"
	lab_wait 15 test -e "$LAB_ROOT/$DEMO_LAB/balancer.pid"
	kill -INT -- "-$pid"
	lab_wait 15 lab_gone "$pid"
	nothing_is_left
}

@test "the demo cleans up after a failure, and its exit status says that it failed" {
	mkdir -p "$BATS_TEST_TMPDIR/build"
	printf '#!/bin/sh\nexit 1\n' > "$BATS_TEST_TMPDIR/build/shuntd"
	chmod 755 "$BATS_TEST_TMPDIR/build/shuntd"
	cp "$BUILD/shunt" "$BATS_TEST_TMPDIR/build/"
	BUILD=$BATS_TEST_TMPDIR/build run "$ROOT/tools/demo.sh"
	[ "$status" != 0 ]
	nothing_is_left
}

@test "the packages are there, and saying so takes less than a second" {
	local begin=${EPOCHREALTIME/./}
	"$ROOT/tools/deps.sh"
	[ $((${EPOCHREALTIME/./} - begin)) -lt 1000000 ]
}

@test "make install puts everything under DESTDIR, and what is installed works" {
	local to=$BATS_TEST_TMPDIR/root
	env -u MAKEFLAGS -u MAKELEVEL make -C "$ROOT" BUILD="$BUILD" install DESTDIR="$to"
	"$to/usr/sbin/shuntd" --version
	"$to/usr/bin/shunt" help > /dev/null
	"$to/usr/sbin/shuntd" --check "$to/etc/shunt/shunt.yaml"
	[ -e "$to/lib/systemd/system/shuntd.service" ]
	bash -n "$to/usr/share/bash-completion/completions/shunt"
	# a second installation keeps the configuration that is there
	echo "# mine" >> "$to/etc/shunt/shunt.yaml"
	env -u MAKEFLAGS -u MAKELEVEL make -C "$ROOT" BUILD="$BUILD" install DESTDIR="$to"
	grep -q '# mine' "$to/etc/shunt/shunt.yaml"
}
