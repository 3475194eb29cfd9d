/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What newer kernels have and this one may not: tried, not guessed from its version. */
#include "datapath/internal.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>

static bool has_coarse_clock(void)
{
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_ktime_get_coarse_ns, NULL) == 1;
}

/* Programs that look for a flow's socket, and for its cookie. */
static bool has_second_chance(void)
{
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_skc_lookup_tcp, NULL) == 1 &&
	       libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_tcp_check_syncookie, NULL) == 1;
}

static bool has_socket_errors(void)
{
	return libbpf_find_vmlinux_btf_id("inet_sk_error_report", BPF_TRACE_RAW_TP) > 0;
}

/* A program that asks for the cookie of a socket whose state changes. */
static bool has_traced_cookie(void)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_1 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_socket_cookie },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int id = libbpf_find_vmlinux_btf_id("inet_sock_set_state", BPF_TRACE_RAW_TP);
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_RAW_TP, .attach_btf_id = id);
	_cleanup_close_ int fd = -1;

	if (id > 0)
		fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, "shunt_probe", "Dual BSD/GPL", insns, ARRAY_SIZE(insns), &opts);
	return fd >= 0;
}

static bool has_set_retval(void)
{
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_set_retval, NULL) == 1;
}

/* A program that passes everything. */
static int load_pass(uint32_t flags)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = flags);

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "shunt_probe", "Dual BSD/GPL", insns, ARRAY_SIZE(insns), &opts);
}

static bool has_xdp_frags(void)
{
	_cleanup_close_ int fd = load_pass(BPF_F_XDP_HAS_FRAGS);

	return fd >= 0;
}

/* bpf_link_detach came in the same release as links for XDP. */
static bool has_xdp_link(void)
{
	return bpf_link_detach(-1) && errno == EBADF;
}

static bool has_test_run_metadata(void)
{
	_cleanup_close_ int fd = load_pass(0);
	char packet[sizeof(struct shunt_trace) + 64] = {};
	struct xdp_md ctx = { .data = sizeof(struct shunt_trace), .data_end = sizeof(packet) };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet), .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx));

	return fd >= 0 && !bpf_prog_test_run_opts(fd, &opts);
}

static bool has_percpu_batch(int n_cpus)
{
	_cleanup_close_ int fd = bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "shunt_probe", 4, 8, 1, NULL);
	_cleanup_free_ uint64_t *values = calloc(n_cpus, sizeof(*values));
	__u32 next, key, n = 1;

	if (fd < 0 || !values)
		return false;
	return !bpf_map_lookup_batch(fd, NULL, &next, &key, values, &n, NULL) || errno == ENOENT;
}

static bool has_membarrier(void)
{
	int commands = syscall(__NR_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

	return commands > 0 && commands & MEMBARRIER_CMD_GLOBAL;
}

void features_probe(struct datapath *dp)
{
	struct features *has = &dp->has;
	size_t n = 0;

	has->xdp_link = has_xdp_link();
	has->xdp_frags = has_xdp_frags();
	has->test_run_metadata = has_test_run_metadata();
	has->percpu_batch = has_percpu_batch(dp->n_cpus);
	has->coarse_clock = has_coarse_clock();
	has->second_chance = has_second_chance();
	has->socket_errors = has_socket_errors();
	has->traced_cookie = has_traced_cookie();
	has->set_retval = has_set_retval();
	has->sk_lookup = libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SK_LOOKUP, NULL) == 1;
	if (!has->xdp_frags)
		dp->lacks[n++] = "XDP on packets of several buffers (Linux 5.18): an interface with an MTU above 3400 runs in "
				 "generic mode, which is slower";
	if (!has->test_run_metadata)
		dp->lacks[n++] = "test runs of programs with metadata (Linux 5.14): `shunt explain` does not work";
	if (!has->percpu_batch)
		dp->lacks[n++] = "batched reading of per-CPU arrays (Linux 5.13): reading counters takes a system call for "
				 "each backend";
	if (!has->coarse_clock)
		dp->lacks[n++] = "a coarse clock for programs (Linux 5.11): packets of slots that change their owners cost 25 ns "
				 "more";
	if (!has->second_chance)
		dp->lacks[n++] = "looking for sockets and their cookies in XDP (Linux 5.2, with syncookies): a backend answers a "
				 "flow that it does not know, instead of asking the others (forward: gue)";
	if (!has->socket_errors)
		dp->lacks[n++] = "a tracepoint for errors of sockets (Linux 5.14): local connections that break are counted until "
				 "their socket is closed (cgroup)";
	if (!has->set_retval)
		dp->lacks[n++] = "programs that say why they refuse a connect (Linux 5.18): without a usable backend local "
				 "processes see EPERM instead of EHOSTUNREACH or ECONNREFUSED (cgroup)";
	if (!has->sk_lookup)
		dp->lacks[n++] = "programs that choose a packet's socket (Linux 5.9): services with servers on this host do not work "
				 "(forward: local)";
	if (!has_membarrier())
		dp->lacks[n++] = "membarrier (off where CPUs run without ticks, nohz_full): taking services and backends out "
				 "of use takes a little longer";
}

const char *const *dp_lacks(const struct datapath *dp)
{
	return dp->lacks;
}
