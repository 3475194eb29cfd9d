/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The datapath against the real kernel, in a network namespace with two veth pairs: dpt0-dpt1 and dpt2-dpt3, with pins
 * of its own. "A daemon" here is a struct datapath; closing one is its death, opening another its return.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/log.h"
#include "datapath/datapath.h"
#include "netns.h"

#define PINS "/sys/fs/bpf/dpt/datapath"

struct world {
	struct interface interfaces[4];
	struct config c;
	struct datapath *dp;
};

/* ---- small things ---- */

static struct addr address(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	return a;
}

static struct shunt_addr kernel_address(const char *text)
{
	const struct addr a = address(text);
	struct shunt_addr k;

	memcpy(&k, a.b, sizeof(k));
	return k;
}

static struct listen listener(const char *text)
{
	struct listen l;

	assert_int_equal(listen_parse(text, &l), 0);
	return l;
}

static int pinned(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), PINS "/%s", name);
	return bpf_obj_get(path);
}

static bool is_pinned(const char *name)
{
	_cleanup_close_ int fd = pinned(name);

	return fd >= 0;
}

static struct bpf_map_info map_info(const char *name)
{
	_cleanup_close_ int fd = pinned(name);
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	assert_true(fd >= 0);
	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	return info;
}

static struct bpf_link_info link_info(const char *name)
{
	_cleanup_close_ int fd = pinned(name);
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);

	assert_true(fd >= 0);
	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	return info;
}

/* The program on an interface, 0: none. */
static uint32_t program_on(const char *ifname)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, q);

	assert_int_equal(bpf_xdp_query(if_nametoindex(ifname), 0, &q), 0);
	return q.skb_prog_id ? q.skb_prog_id : q.prog_id;
}

static bool in_generic_mode(const char *ifname)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, q);

	assert_int_equal(bpf_xdp_query(if_nametoindex(ifname), 0, &q), 0);
	return q.skb_prog_id;
}

/* ---- the world ---- */

static void configure_interface(struct world *x, const char *name, unsigned roles, enum xdp_mode mode)
{
	struct interface *i = &x->interfaces[x->c.n_interfaces++];

	*i = (struct interface){ .roles = roles, .mode = mode };
	strcpy(i->name, name);
}

static int try_open(struct world *x)
{
	bool adopted;

	return dp_open(&x->c, &x->dp, &adopted);
}

/* Returns whether pins were adopted. */
static bool start(struct world *x)
{
	bool adopted = false;

	assert_int_equal(dp_open(&x->c, &x->dp, &adopted), 0);
	return adopted;
}

static void stop(struct world *x)
{
	dp_close(x->dp);
	x->dp = NULL;
}

static bool restart(struct world *x)
{
	stop(x);
	return start(x);
}

static void configure(struct world *x)
{
	assert_int_equal(dp_configure(x->dp, &x->c, false), 0);
}

static const struct dp_interface *state_of(struct world *x, const char *name)
{
	const struct dp_interface *all;
	size_t n = dp_interfaces(x->dp, &all);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(all[i].name, name))
			return &all[i];
	fail_msg("interface %s is not shown", name);
	return NULL;
}

/* A program of somebody else, which lets jumbo frames be; the descriptor holds it. */
static int load_foreign_program(uint32_t *id)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = BPF_F_XDP_HAS_FRAGS);
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "foreign", "GPL", insns, 2, &opts);
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	*id = info.id;
	return fd;
}

/* A veth takes what native XDP sends to it only with a program on it. */
static void make_take(const char *ifname)
{
	uint32_t id;
	_cleanup_close_ int fd = load_foreign_program(&id);

	assert_int_equal(bpf_xdp_attach(if_nametoindex(ifname), fd, XDP_FLAGS_DRV_MODE, NULL), 0);
}

static int setup(void **state)
{
	struct world *x = calloc(1, sizeof(*x));

	netns_enter();
	sh("ip link add dpt0 type veth peer name dpt1 && ip link set dpt0 up && ip link set dpt1 up");
	sh("ip link add dpt2 type veth peer name dpt3 && ip link set dpt2 up && ip link set dpt3 up");
	make_take("dpt1");
	make_take("dpt3");
	x->c.interfaces = x->interfaces;
	x->c.pins = (char *)PINS;
	x->c.limits = (struct limits){ .services = 16, .listeners = 32, .members = 2000, .backends = 64, .slots = 4096,
				      .flows = 4096 };
	x->c.edge.icmp_rate = 100;
	assert_int_equal(prefix_parse("10.0.0.0/8", &x->c.edge.source4), 0);
	assert_int_equal(prefix_parse("2001:db8:5::/64", &x->c.edge.source6), 0);
	assert_int_equal(dp_unload(PINS), 0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct world *x = *state;

	dp_close(x->dp);
	dp_unload(PINS);
	rmdir("/sys/fs/bpf/dpt");
	netns_delete("dpt-far");
	free(x);
	return 0;
}

/* ---- opening ---- */

static void maps_are_sized_by_the_limits_and_pinned(void **state)
{
	struct world *x = *state;

	assert_false(start(x));
	assert_int_equal(map_info("services").max_entries, 16);
	assert_int_equal(map_info("service_info").max_entries, 16);
	assert_int_equal(map_info("icmp_buckets").max_entries, 16);
	assert_int_equal(map_info("members").max_entries, 2000);
	assert_int_equal(map_info("member_counters").max_entries, 2000);
	assert_int_equal(map_info("backends").max_entries, 64);
	assert_int_equal(map_info("slots").max_entries, 4096);
	assert_true(map_info("listeners").max_entries >= 8 * 32); /* each may have an address of its own to mark */
	assert_memory_equal(dp_limits(x->dp), &x->c.limits, sizeof(x->c.limits));
}

static void what_is_in_the_maps_outlives_the_daemon(void **state)
{
	struct world *x = *state;
	struct shunt_service_info info = { .name = "web", .retired_packets = 7 }, read;

	start(x);
	dp_store(&dp_services(x->dp)[15].table, 0x1234);
	dp_store(&dp_slots(x->dp)[4095], 0x5678);
	dp_members(x->dp)[1999].backend = 63;
	dp_backends(x->dp)[63].room = 1500;
	assert_int_equal(dp_service_info_set(x->dp, 15, &info), 0);
	assert_true(restart(x));
	assert_int_equal(dp_services(x->dp)[15].table, 0x1234);
	assert_int_equal(dp_slots(x->dp)[4095], 0x5678);
	assert_int_equal(dp_members(x->dp)[1999].backend, 63);
	assert_int_equal(dp_backends(x->dp)[63].room, 1500);
	assert_int_equal(dp_service_info_get(x->dp, 15, &read), 0);
	assert_memory_equal(&read, &info, sizeof(info));
	assert_int_equal(dp_service_info_get(x->dp, 16, &read), -ENOENT);
}

static void pins_of_another_size_are_refused_and_left_alone(void **state)
{
	struct world *x = *state;
	uint32_t id;

	start(x);
	id = map_info("members").id;
	stop(x);
	x->c.limits.members = 3000;
	assert_int_equal(try_open(x), -EINVAL);
	assert_int_equal(map_info("members").id, id);
	x->c.limits.members = 2000;
	assert_true(start(x));
}

static void pins_of_another_version_are_refused_and_left_alone(void **state)
{
	struct world *x = *state;
	const struct shunt_meta other = { .abi_version = SHUNT_ABI_VERSION + 1 };
	_cleanup_close_ int meta = -1;
	struct shunt_meta read;
	__u32 key = 0;

	start(x);
	stop(x);
	meta = pinned("meta");
	assert_int_equal(bpf_map_update_elem(meta, &key, &other, 0), 0);
	assert_int_equal(try_open(x), -EPROTO);
	assert_int_equal(bpf_map_lookup_elem(meta, &key, &read), 0);
	assert_int_equal(read.abi_version, other.abi_version);
	assert_true(is_pinned("members"));
}

static void a_map_of_another_layout_is_refused(void **state)
{
	struct world *x = *state;
	_cleanup_close_ int other = bpf_map_create(BPF_MAP_TYPE_ARRAY, "other", 4, 4, 64, NULL);

	start(x);
	stop(x);
	unlink(PINS "/backends");
	assert_int_equal(try_open(x), -ENOENT);
	assert_int_equal(bpf_obj_pin(other, PINS "/backends"), 0);
	assert_int_equal(try_open(x), -EPROTO);
}

/* A process that died before it had made all maps: some are there, of whatever size, and no version. */
static void a_half_made_start_is_made_again(void **state)
{
	struct world *x = *state;
	const struct shunt_meta none = {};
	_cleanup_close_ int meta = -1;
	__u32 key = 0;

	start(x);
	stop(x);
	meta = pinned("meta");
	assert_int_equal(bpf_map_update_elem(meta, &key, &none, 0), 0);
	unlink(PINS "/slots");
	x->c.limits.members = 3000;
	assert_false(start(x));
	assert_int_equal(map_info("members").max_entries, 3000);
	stop(x);
	unlink(PINS "/meta");
	assert_false(start(x));
}

static void a_second_daemon_on_the_same_pins_is_refused(void **state)
{
	struct world *x = *state, y = *x;

	start(x);
	assert_int_equal(try_open(&y), -EBUSY);
	assert_int_equal(dp_unload(PINS), -EBUSY);
	assert_true(is_pinned("members"));
}

static void pins_that_cannot_be_on_bpffs_are_refused(void **state)
{
	struct world *x = *state;

	x->c.pins = (char *)"/tmp/dpt-pins";
	assert_int_equal(try_open(x), -EINVAL);
	assert_int_equal(access("/tmp/dpt-pins", F_OK), -1);
	x->c.pins = (char *)"relative";
	assert_int_equal(try_open(x), -EINVAL);
	x->c.pins = (char *)"/sys/fs/bpf/dpt/with.dot";
	assert_true(try_open(x) < 0);
}

/* In a mount namespace that has none; the exit status says how far it came. */
static int open_without_bpffs(struct world *x)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return 2;
	while (!umount2("/sys/fs/bpf", MNT_DETACH))
		;
	if (try_open(x))
		return 3;
	return is_pinned("members") ? 0 : 4;
}

static void bpffs_is_mounted_where_it_is_missing(void **state)
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(open_without_bpffs(*state));
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
}

/* ---- attaching ---- */

static void a_veth_is_attached_natively_and_stays_when_the_daemon_goes(void **state)
{
	struct world *x = *state;

	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_AUTO);
	start(x);
	configure(x);
	assert_int_equal(state_of(x, "dpt0")->mode, XDP_MODE_NATIVE);
	assert_int_equal(state_of(x, "dpt0")->ifindex, if_nametoindex("dpt0"));
	assert_int_equal(state_of(x, "dpt0")->roles, ROLE_EDGE);
	assert_string_equal(state_of(x, "dpt0")->problem, "");
	stop(x);
	assert_true(program_on("dpt0"));
	assert_int_equal(link_info("link_dpt0").xdp.ifindex, if_nametoindex("dpt0"));
}

static void adoption_swaps_the_program_in_the_link_that_is_there(void **state)
{
	struct world *x = *state;
	uint32_t link, program;

	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_AUTO);
	start(x);
	configure(x);
	link = link_info("link_dpt0").id;
	program = program_on("dpt0");
	assert_true(restart(x));
	assert_int_equal(program_on("dpt0"), program);
	configure(x);
	assert_int_equal(link_info("link_dpt0").id, link);
	assert_int_not_equal(program_on("dpt0"), program);
	assert_int_equal(state_of(x, "dpt0")->mode, XDP_MODE_NATIVE);
}

static void unchanged_settings_load_nothing_and_changed_ones_swap(void **state)
{
	struct world *x = *state;
	uint32_t link, program;

	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_AUTO);
	start(x);
	configure(x);
	link = link_info("link_dpt0").id;
	program = program_on("dpt0");
	configure(x);
	assert_int_equal(program_on("dpt0"), program);
	x->c.edge.seed++;
	configure(x);
	assert_int_not_equal(program_on("dpt0"), program);
	program = program_on("dpt0");
	assert_int_equal(dp_configure(x->dp, &x->c, true), 0); /* every port: a feature */
	assert_int_not_equal(program_on("dpt0"), program);
	assert_int_equal(link_info("link_dpt0").id, link);
}

static void only_roles_in_use_are_loaded(void **state)
{
	struct world *x = *state;

	start(x);
	configure(x);
	assert_int_equal(dp_program_fd(x->dp, ROLE_EDGE), -ENODEV);
	assert_int_equal(dp_program_fd(x->dp, ROLE_BACKEND), -ENODEV);
	configure_interface(x, "dpt0", ROLE_BACKEND, XDP_MODE_AUTO);
	configure(x);
	assert_int_equal(dp_program_fd(x->dp, ROLE_EDGE), -ENODEV);
	assert_true(dp_program_fd(x->dp, ROLE_BACKEND) >= 0);
	x->interfaces[0].roles = ROLE_EDGE;
	configure(x);
	assert_true(dp_program_fd(x->dp, ROLE_EDGE) >= 0);
	assert_int_equal(dp_program_fd(x->dp, ROLE_BACKEND), -ENODEV);
}

/* Number of pinned prog arrays; *edge: what one of them has for the edge program, 0: nothing. */
static int prog_arrays(uint32_t *edge)
{
	const char *names[] = { "programs", "programs_1", "programs_2" };
	int n = 0;

	*edge = 0;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_close_ int fd = pinned(names[i]);
		__u32 key = 0;

		if (fd < 0)
			continue;
		n++;
		bpf_map_lookup_elem(fd, &key, edge);
	}
	return n;
}

static void an_interface_with_both_roles_goes_on_to_the_edge_program(void **state)
{
	struct world *x = *state;
	uint32_t first, edge;

	configure_interface(x, "dpt0", ROLE_EDGE | ROLE_BACKEND, XDP_MODE_AUTO);
	start(x);
	configure(x);
	assert_int_equal(prog_arrays(&first), 1);
	assert_true(first);
	x->c.edge.seed++;
	configure(x);
	assert_int_equal(prog_arrays(&edge), 1);
	assert_true(edge && edge != first);
	restart(x);
	assert_int_equal(prog_arrays(&first), 1);
	assert_int_equal(first, edge); /* while the daemon is gone as well */
	configure(x);
	assert_int_equal(prog_arrays(&edge), 1);
	x->interfaces[0].roles = ROLE_EDGE;
	configure(x);
	assert_int_equal(prog_arrays(&edge), 0);
}

static void an_interface_no_longer_configured_is_detached(void **state)
{
	struct world *x = *state;

	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_AUTO);
	configure_interface(x, "dpt2", ROLE_EDGE, XDP_MODE_AUTO);
	start(x);
	configure(x);
	assert_true(program_on("dpt2"));
	restart(x); /* also what a process before it attached */
	x->c.n_interfaces = 1;
	configure(x);
	assert_true(program_on("dpt0"));
	assert_int_equal(program_on("dpt2"), 0);
	assert_false(is_pinned("link_dpt2"));
}

static void an_interface_made_anew_is_attached_again(void **state)
{
	struct world *x = *state;

	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_AUTO);
	start(x);
	configure(x);
	sh("ip link delete dpt0");
	configure(x);
	assert_int_equal(state_of(x, "dpt0")->ifindex, 0);
	assert_string_equal(state_of(x, "dpt0")->problem, "there is no such interface");
	sh("ip link add dpt0 type veth peer name dpt1");
	make_take("dpt1");
	configure(x);
	assert_true(program_on("dpt0"));
	assert_string_equal(state_of(x, "dpt0")->problem, "");
	sh("ip link delete dpt0 && ip link add dpt0 type veth peer name dpt1"); /* between two looks */
	configure(x);
	assert_true(program_on("dpt0"));
	assert_int_equal(link_info("link_dpt0").xdp.ifindex, if_nametoindex("dpt0"));
}

static void the_mode_is_as_configured_and_can_be_changed(void **state)
{
	struct world *x = *state;

	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_GENERIC);
	start(x);
	configure(x);
	assert_true(in_generic_mode("dpt0"));
	assert_int_equal(state_of(x, "dpt0")->mode, XDP_MODE_GENERIC);
	x->interfaces[0].mode = XDP_MODE_NATIVE;
	configure(x);
	assert_false(in_generic_mode("dpt0"));
	assert_true(program_on("dpt0"));
	x->interfaces[0].mode = XDP_MODE_GENERIC;
	configure(x);
	assert_true(in_generic_mode("dpt0"));
	x->interfaces[0].mode = XDP_MODE_AUTO;
	configure(x);
	assert_false(in_generic_mode("dpt0"));
	assert_true(program_on("dpt0"));
}

static void auto_falls_back_to_generic_with_the_reason_and_native_does_not(void **state)
{
	struct world *x = *state;

	sh("ip link add dptd type bridge && ip link set dptd up"); /* its driver has no XDP */
	configure_interface(x, "dptd", ROLE_EDGE, XDP_MODE_AUTO);
	start(x);
	configure(x);
	assert_int_equal(state_of(x, "dptd")->mode, XDP_MODE_GENERIC);
	assert_non_null(strstr(state_of(x, "dptd")->problem, "driver has no native XDP"));
	configure(x);
	assert_non_null(strstr(state_of(x, "dptd")->problem, "driver has no native XDP"));
	restart(x);
	configure(x);
	assert_int_equal(state_of(x, "dptd")->mode, XDP_MODE_GENERIC);
	assert_non_null(strstr(state_of(x, "dptd")->problem, "generic"));
	x->interfaces[0].mode = XDP_MODE_NATIVE;
	configure(x);
	assert_int_equal(state_of(x, "dptd")->mode, XDP_MODE_AUTO);
	assert_non_null(strstr(state_of(x, "dptd")->problem, "cannot attach: its driver has no native XDP"));
	assert_int_equal(program_on("dptd"), 0);
}

/* ---- what the other end of a veth takes ---- */

static void auto_is_generic_where_a_veth_peer_has_no_program_and_follows_it(void **state)
{
	struct world *x = *state;

	sh("ip link set dev dpt1 xdp off");
	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_AUTO);
	start(x);
	configure(x);
	assert_true(in_generic_mode("dpt0"));
	assert_non_null(strstr(state_of(x, "dpt0")->problem, "slower: native XDP loses what it sends on dpt0: no XDP "
			       "program runs on its veth peer; put one there"));
	restart(x);
	configure(x);
	assert_true(in_generic_mode("dpt0"));
	assert_non_null(strstr(state_of(x, "dpt0")->problem, "veth peer"));
	make_take("dpt1"); /* the remedy */
	configure(x);
	assert_int_equal(state_of(x, "dpt0")->mode, XDP_MODE_NATIVE);
	assert_false(in_generic_mode("dpt0"));
	assert_string_equal(state_of(x, "dpt0")->problem, "");
	sh("ip link set dev dpt1 xdp off");
	configure(x);
	assert_true(in_generic_mode("dpt0"));
	assert_true(program_on("dpt0"));
}

static void a_backend_sends_nothing_and_is_native_on_any_veth(void **state)
{
	struct world *x = *state;

	sh("ip link set dev dpt1 xdp off");
	configure_interface(x, "dpt0", ROLE_BACKEND, XDP_MODE_AUTO);
	start(x);
	configure(x);
	assert_int_equal(state_of(x, "dpt0")->mode, XDP_MODE_NATIVE);
	assert_string_equal(state_of(x, "dpt0")->problem, "");
	x->interfaces[0].roles = ROLE_EDGE | ROLE_BACKEND;
	configure(x);
	assert_true(in_generic_mode("dpt0"));
}

static void make_take_in(const char *netns, const char *ifname)
{
	_cleanup_close_ int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int there = -1;
	char path[64];

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	there = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(setns(there, CLONE_NEWNET), 0);
	make_take(ifname);
	assert_int_equal(setns(here, CLONE_NEWNET), 0);
}

static void a_peer_in_another_namespace_is_looked_at_there(void **state)
{
	struct world *x = *state;

	netns_add("dpt-far");
	sh("ip link add dptn type veth peer name far netns dpt-far && ip link set dptn up");
	sh("ip -n dpt-far link set far up");
	configure_interface(x, "dptn", ROLE_EDGE, XDP_MODE_AUTO);
	start(x);
	configure(x);
	assert_true(in_generic_mode("dptn"));
	assert_non_null(strstr(state_of(x, "dptn")->problem, "no XDP program runs on its veth peer"));
	make_take_in("dpt-far", "far");
	configure(x);
	assert_int_equal(state_of(x, "dptn")->mode, XDP_MODE_NATIVE);
	assert_string_equal(state_of(x, "dptn")->problem, "");
}

static void native_is_obeyed_and_says_what_is_lost(void **state)
{
	struct world *x = *state;

	sh("ip link set dev dpt1 xdp off");
	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_NATIVE);
	start(x);
	configure(x);
	assert_int_equal(state_of(x, "dpt0")->mode, XDP_MODE_NATIVE);
	assert_non_null(strstr(state_of(x, "dpt0")->problem, "native XDP loses what it sends on dpt0"));
	assert_non_null(strstr(state_of(x, "dpt0")->problem, "set mode: generic"));
}

static void set_next_hop(struct world *x, uint32_t backend, const char *ifname)
{
	dp_backends(x->dp)[backend] = (struct shunt_backend){
		.flags = SHUNT_BACKEND_USED | SHUNT_BACKEND_NEXTHOP,
		.ifindex = if_nametoindex(ifname),
	};
}

static void a_next_hop_on_a_veth_that_loses_packets_is_followed_by_auto_and_named(void **state)
{
	struct world *x = *state;

	sh("ip link set dev dpt3 xdp off");
	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_AUTO);
	start(x);
	set_next_hop(x, 60, "dpt2");
	configure(x);
	assert_true(in_generic_mode("dpt0"));
	assert_non_null(strstr(state_of(x, "dpt0")->problem, "slower: native XDP loses what it sends on dpt2: no XDP "
			       "program runs on its veth peer; put one there"));
	make_take("dpt3");
	configure(x);
	assert_int_equal(state_of(x, "dpt0")->mode, XDP_MODE_NATIVE);
	assert_string_equal(state_of(x, "dpt0")->problem, "");
	sh("ip link set dev dpt3 xdp off");
	x->interfaces[0].mode = XDP_MODE_NATIVE;
	configure(x);
	assert_int_equal(state_of(x, "dpt0")->mode, XDP_MODE_NATIVE);
	assert_non_null(strstr(state_of(x, "dpt0")->problem, "loses what it sends on dpt2"));
	assert_non_null(strstr(state_of(x, "dpt0")->problem, "set mode: generic"));
}

static void a_next_hop_on_a_bridge_makes_auto_generic_until_it_is_gone(void **state)
{
	struct world *x = *state;

	sh("ip link add dptb type bridge && ip link set dptb up");
	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_AUTO);
	start(x);
	set_next_hop(x, 60, "dpt2");
	configure(x);
	assert_int_equal(state_of(x, "dpt0")->mode, XDP_MODE_NATIVE);
	set_next_hop(x, 61, "dptb");
	configure(x);
	assert_true(in_generic_mode("dpt0"));
	assert_non_null(strstr(state_of(x, "dpt0")->problem, "sends on dptb: an interface of kind bridge cannot transmit"));
	restart(x);
	configure(x);
	assert_true(in_generic_mode("dpt0"));
	assert_non_null(strstr(state_of(x, "dpt0")->problem, "sends on dptb: "));
	set_next_hop(x, 61, "dpt2"); /* for a moment, it may be */
	configure(x);
	assert_true(in_generic_mode("dpt0"));
	sh("ip link delete dptb");
	configure(x);
	assert_int_equal(state_of(x, "dpt0")->mode, XDP_MODE_NATIVE);
	assert_string_equal(state_of(x, "dpt0")->problem, "");
}

static void native_is_obeyed_though_a_next_hop_is_on_a_bridge(void **state)
{
	struct world *x = *state;

	sh("ip link add dptb type bridge && ip link set dptb up");
	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_NATIVE);
	configure_interface(x, "dpt2", ROLE_BACKEND, XDP_MODE_AUTO); /* sends nothing */
	start(x);
	set_next_hop(x, 61, "dptb");
	configure(x);
	assert_int_equal(state_of(x, "dpt0")->mode, XDP_MODE_NATIVE);
	assert_non_null(strstr(state_of(x, "dpt0")->problem, "loses what it sends on dptb: "));
	assert_non_null(strstr(state_of(x, "dpt0")->problem, "set mode: generic"));
	assert_int_equal(state_of(x, "dpt2")->mode, XDP_MODE_NATIVE);
	assert_string_equal(state_of(x, "dpt2")->problem, "");
}

static void a_next_hop_that_cannot_send_fragments_matters_for_jumbo_frames_alone(void **state)
{
	struct world *x = *state;

	if (!sh_ok("printf '6.3\\n%%s\\n' \"$(uname -r)\" | sort -CV"))
		skip(); /* the kernel does not say it */
	if (!sh_ok("ip tuntap add dev dpta mode tap"))
		skip(); /* no /dev/net/tun, as in many containers */
	sh("ip link set dpt0 mtu 9000 && ip link set dpt1 mtu 9000");
	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_AUTO);
	start(x);
	set_next_hop(x, 60, "dpta");
	configure(x);
	assert_true(in_generic_mode("dpt0"));
	assert_non_null(strstr(state_of(x, "dpt0")->problem, "sends on dpta: its driver cannot send frames of several"));
	sh("ip link set dpt0 mtu 1500 && ip link set dpt1 mtu 1500");
	configure(x);
	assert_int_equal(state_of(x, "dpt0")->mode, XDP_MODE_NATIVE);
	assert_string_equal(state_of(x, "dpt0")->problem, "");
}

/* ---- when descriptors are short ---- */

static void what_cannot_be_looked_at_stays_attached(void **state)
{
	struct world *x = *state;
	struct rlimit limit, none;
	uint32_t program, link;

	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_GENERIC);
	start(x);
	configure(x);
	program = program_on("dpt0");
	link = link_info("link_dpt0").id;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	dp_configure(x->dp, &x->c, false);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(state_of(x, "dpt0")->ifindex, if_nametoindex("dpt0"));
	assert_non_null(strstr(state_of(x, "dpt0")->problem, "cannot be looked at: Too many open files"));
	assert_int_equal(program_on("dpt0"), program);
	assert_int_equal(link_info("link_dpt0").id, link);
	assert_true(sh_ok("ethtool -k dpt0 | grep 'generic-receive-offload: off'"));
	configure(x);
	assert_string_equal(state_of(x, "dpt0")->problem, "");
	assert_int_equal(link_info("link_dpt0").id, link);
}

static void a_program_of_others_is_named_and_left_alone(void **state)
{
	struct world *x = *state;
	uint32_t id;
	_cleanup_close_ int fd = load_foreign_program(&id);
	char name[32];

	assert_int_equal(bpf_xdp_attach(if_nametoindex("dpt0"), fd, 0, NULL), 0);
	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_AUTO);
	configure_interface(x, "dpt2", ROLE_EDGE, XDP_MODE_AUTO);
	start(x);
	configure(x);
	snprintf(name, sizeof(name), "(id %u)", id);
	assert_non_null(strstr(state_of(x, "dpt0")->problem, name));
	assert_non_null(strstr(state_of(x, "dpt0")->problem, "ip link set dev dpt0 xdp off"));
	assert_int_equal(program_on("dpt0"), id);
	assert_string_equal(state_of(x, "dpt2")->problem, "");
	assert_true(program_on("dpt2"));
	sh("ip link set dev dpt0 xdp off"); /* the remedy */
	configure(x);
	assert_string_equal(state_of(x, "dpt0")->problem, "");
}

static void an_interface_name_with_a_dot_can_be_pinned(void **state)
{
	struct world *x = *state;

	sh("ip link set dpt0 down && ip link set dpt0 name dpt.0 && ip link set dpt.0 up");
	configure_interface(x, "dpt.0", ROLE_EDGE, XDP_MODE_AUTO);
	start(x);
	configure(x);
	assert_true(program_on("dpt.0"));
	restart(x);
	configure(x);
	x->c.n_interfaces = 0;
	configure(x);
	assert_int_equal(program_on("dpt.0"), 0);
}

static void jumbo_frames_are_native_by_fragments(void **state)
{
	struct world *x = *state;

	sh("ip link set dpt0 mtu 9000 && ip link set dpt1 mtu 9000");
	configure_interface(x, "dpt0", ROLE_EDGE | ROLE_BACKEND, XDP_MODE_NATIVE);
	configure_interface(x, "dpt2", ROLE_BACKEND, XDP_MODE_NATIVE);
	start(x);
	configure(x);
	assert_string_equal(state_of(x, "dpt0")->problem, "");
	assert_string_equal(state_of(x, "dpt2")->problem, "");
	sh("ip link set dpt0 mtu 1500 && ip link set dpt1 mtu 1500");
	configure(x); /* and back, in the same links */
	assert_string_equal(state_of(x, "dpt0")->problem, "");
	assert_true(program_on("dpt0"));
}

static void generic_edge_interfaces_have_gro_off_until_unload(void **state)
{
	struct world *x = *state;

	sh("ethtool -K dpt0 gro on && ethtool -K dpt1 gro on && ethtool -K dpt2 gro on && ethtool -K dpt3 gro off");
	sh("ip link set dev dpt1 xdp off && ip link set dev dpt3 xdp off"); /* both modes at once cannot be */
	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_GENERIC);
	configure_interface(x, "dpt1", ROLE_BACKEND, XDP_MODE_GENERIC);
	configure_interface(x, "dpt3", ROLE_EDGE, XDP_MODE_GENERIC);
	start(x);
	configure(x);
	assert_true(sh_ok("ethtool -k dpt0 | grep 'generic-receive-offload: off'"));
	assert_true(sh_ok("ethtool -k dpt1 | grep 'generic-receive-offload: on'"));
	assert_true(sh_ok("ethtool -k dpt2 | grep 'generic-receive-offload: on'"));
	stop(x);
	assert_int_equal(dp_unload(PINS), 0);
	assert_true(sh_ok("ethtool -k dpt0 | grep 'generic-receive-offload: on'"));
	assert_true(sh_ok("ethtool -k dpt3 | grep 'generic-receive-offload: off'"));
}

static void gro_comes_back_when_the_interface_becomes_native_and_goes_below_a_bridge(void **state)
{
	struct world *x = *state;

	sh("ethtool -K dpt0 gro on && ip link add dptbr type bridge && ip link set dpt0 master dptbr && ip link set dptbr up");
	configure_interface(x, "dptbr", ROLE_EDGE, XDP_MODE_GENERIC);
	start(x);
	configure(x);
	assert_true(sh_ok("ethtool -k dpt0 | grep 'generic-receive-offload: off'"));
	x->c.n_interfaces = 0;
	configure(x);
	assert_true(sh_ok("ethtool -k dpt0 | grep 'generic-receive-offload: on'"));
}

/* ---- listeners ---- */

static bool filter_bit(const char *text)
{
	_cleanup_close_ int fd = pinned("filter");
	const struct shunt_addr a = kernel_address(text);
	struct shunt_filter f;
	__u32 key = 0, bit = shunt_filter_bit(shunt_addr_hash(&a));

	assert_int_equal(bpf_map_lookup_elem(fd, &key, &f), 0);
	return f.words[bit / 64] >> bit % 64 & 1;
}

/* Where a search for the key begins. */
static uint32_t home_of(const char *text, uint32_t key)
{
	const struct shunt_addr a = kernel_address(text);
	uint32_t homes = map_info("listeners").max_entries - SHUNT_LISTENER_PROBES;

	return shunt_listener_home(shunt_listener_hash(shunt_addr_hash(&a), key), 64 - __builtin_ctz(homes));
}

/* The place in the kernel's map that has the key, or -1. */
static int find_place(const char *text, uint32_t key, struct shunt_listener *l)
{
	_cleanup_close_ int fd = pinned("listeners");
	const struct shunt_addr a = kernel_address(text);

	for (int place = 0; !bpf_map_lookup_elem(fd, &place, l); place++)
		if ((uint32_t)l->what == key && !memcmp(&l->addr, &a, sizeof(a)))
			return place;
	return -1;
}

/* What the kernel's map says: the service, or -1. */
static int in_kernel(const char *text, uint16_t port, uint8_t proto)
{
	struct shunt_listener l;

	int place = find_place(text, shunt_listener_key(htons(port), proto), &l);

	return place < 0 ? -1 : (int)shunt_listener_service(l.what);
}

static int mark(const char *text)
{
	return in_kernel(text, 0, 0);
}

static void set(struct world *x, const char *text, uint32_t service)
{
	const struct listen l = listener(text);

	assert_int_equal(dp_listener_set(x->dp, &l, service), 0);
}

static void delete(struct world *x, const char *text)
{
	const struct listen l = listener(text);

	assert_int_equal(dp_listener_delete(x->dp, &l), 0);
}

static void a_listener_has_its_filter_bit_and_its_mark(void **state)
{
	struct world *x = *state;

	start(x);
	assert_false(filter_bit("192.0.2.1"));
	set(x, "192.0.2.1:80/tcp", 3);
	set(x, "[2001:db8::1]:*/udp", 4);
	assert_true(filter_bit("192.0.2.1"));
	assert_true(filter_bit("2001:db8::1"));
	assert_int_equal(in_kernel("192.0.2.1", 80, IPPROTO_TCP), 3);
	assert_int_equal(in_kernel("192.0.2.1", 80, IPPROTO_UDP), -1);
	assert_int_equal(in_kernel("2001:db8::1", 0, IPPROTO_UDP), 4);
	assert_int_equal(mark("192.0.2.1"), 3);
	assert_int_equal(mark("2001:db8::1"), 4);
}

static void bit_and_mark_go_with_the_last_listener_of_the_address(void **state)
{
	struct world *x = *state;
	const struct listen l = listener("192.0.2.1:80/tcp");

	start(x);
	set(x, "192.0.2.1:80/tcp", 3);
	set(x, "192.0.2.1:81/tcp", 3);
	delete(x, "192.0.2.1:80/tcp");
	assert_int_equal(in_kernel("192.0.2.1", 80, IPPROTO_TCP), -1);
	assert_true(filter_bit("192.0.2.1"));
	assert_int_equal(mark("192.0.2.1"), 3);
	delete(x, "192.0.2.1:81/tcp");
	assert_false(filter_bit("192.0.2.1"));
	assert_int_equal(mark("192.0.2.1"), -1);
	assert_int_equal(dp_listener_delete(x->dp, &l), -ENOENT);
}

static void the_mark_is_repaired_when_its_service_leaves(void **state)
{
	struct world *x = *state;

	start(x);
	set(x, "192.0.2.1:80/tcp", 3);
	set(x, "192.0.2.1:81/tcp", 4);
	set(x, "192.0.2.1:82/tcp", 5);
	delete(x, "192.0.2.1:80/tcp");
	assert_true(mark("192.0.2.1") == 4 || mark("192.0.2.1") == 5);
	set(x, "192.0.2.1:81/tcp", 6);
	set(x, "192.0.2.1:82/tcp", 6);
	assert_int_equal(mark("192.0.2.1"), 6);
}

/* Two addresses with one bit: found by trying. */
static void two_addresses(char one[ADDR_TEXT], char other[ADDR_TEXT])
{
	const struct shunt_addr first = kernel_address("10.0.0.0");
	struct addr a;

	strcpy(one, "10.0.0.0");
	for (uint32_t i = 1;; i++) {
		struct shunt_addr k;

		a = addr_from4(htonl(0x0a000000 + i));
		memcpy(&k, a.b, sizeof(k));
		if (shunt_filter_bit(shunt_addr_hash(&k)) == shunt_filter_bit(shunt_addr_hash(&first)))
			break;
	}
	addr_format(&a, other);
}

static void a_bit_shared_by_two_addresses_goes_with_the_last(void **state)
{
	struct world *x = *state;
	char one[ADDR_TEXT], other[ADDR_TEXT], a[LISTEN_TEXT], b[LISTEN_TEXT];

	two_addresses(one, other);
	snprintf(a, sizeof(a), "%s:80/tcp", one);
	snprintf(b, sizeof(b), "%s:80/tcp", other);
	start(x);
	set(x, a, 1);
	set(x, b, 2);
	delete(x, a);
	assert_true(filter_bit(other));
	delete(x, b);
	assert_false(filter_bit(other));
}

static int count_listeners(void *arg, const struct listen *l, uint32_t service)
{
	unsigned *sum = arg;

	assert_true(l->proto);
	*sum += service;
	return 0;
}

static int stop_at_once(void *arg, const struct listen *l, uint32_t service)
{
	(void)arg;
	(void)l;
	(void)service;
	return 42;
}

static void listeners_are_known_again_after_a_restart(void **state)
{
	struct world *x = *state;
	unsigned sum = 0;

	start(x);
	set(x, "192.0.2.1:80/tcp", 3);
	set(x, "192.0.2.1:80/udp", 4);
	set(x, "[2001:db8::1]:*/tcp", 5);
	restart(x);
	assert_int_equal(dp_listener_each(x->dp, count_listeners, &sum), 0);
	assert_int_equal(sum, 3 + 4 + 5);
	assert_int_equal(dp_listener_each(x->dp, stop_at_once, NULL), 42);
	delete(x, "192.0.2.1:80/tcp");
	assert_int_equal(mark("192.0.2.1"), 4);
	delete(x, "192.0.2.1:80/udp");
	assert_false(filter_bit("192.0.2.1"));
	assert_true(filter_bit("2001:db8::1"));
}

/* A process that died between two stores: a bit too many, a mark too many, a mark too few. */
static void what_a_crash_left_is_repaired(void **state)
{
	struct world *x = *state;
	struct shunt_listener stray = { .addr = kernel_address("192.0.2.9"),
					.what = shunt_listener_what(shunt_listener_key(0, 0), 1) };
	const struct shunt_listener deleted = { .what = SHUNT_LISTENER_DELETED };
	_cleanup_close_ int listeners = -1, filter = -1;
	const struct shunt_filter full = { .words = { [0 ... 1023] = ~0ull } };
	struct shunt_listener l;
	__u32 key = 0, place;

	start(x);
	set(x, "192.0.2.1:80/tcp", 3);
	listeners = pinned("listeners");
	filter = pinned("filter");
	place = home_of("192.0.2.9", shunt_listener_key(0, 0));
	assert_int_equal(bpf_map_update_elem(listeners, &place, &stray, 0), 0);
	place = find_place("192.0.2.1", shunt_listener_key(0, 0), &l);
	assert_int_equal(bpf_map_update_elem(listeners, &place, &deleted, 0), 0);
	assert_int_equal(bpf_map_update_elem(filter, &key, &full, 0), 0);
	restart(x);
	assert_int_equal(mark("192.0.2.9"), -1);
	assert_int_equal(mark("192.0.2.1"), 3);
	assert_true(filter_bit("192.0.2.1"));
	assert_false(filter_bit("192.0.2.9"));
}

static void as_many_listeners_as_the_limit_says_fit(void **state)
{
	struct world *x = *state;
	char text[LISTEN_TEXT];

	start(x);
	for (int i = 0; i < 32; i++) {
		snprintf(text, sizeof(text), "192.0.2.%d:80/tcp", i);
		set(x, text, i % 16);
	}
}

/* ---- places: the hash table of listeners ---- */

#define CHAIN 6

/* Listeners whose searches all begin at one place: found by trying. */
static void listeners_of_one_home(struct listen out[CHAIN])
{
	uint32_t home = home_of("10.0.0.0", shunt_listener_key(htons(80), IPPROTO_TCP));
	char text[LISTEN_TEXT];

	for (uint32_t i = 0, n = 0; n < CHAIN; i++) {
		snprintf(text, sizeof(text), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		if (home_of(text, shunt_listener_key(htons(80), IPPROTO_TCP)) != home)
			continue;
		strcat(text, ":80/tcp");
		out[n++] = listener(text);
	}
}

/* What the program itself finds: the service of a packet to the listener, or -1. */
static int found_by_program(struct world *x, const struct listen *l)
{
	struct dp_question q = { .src = { .port = 1 }, .dst = { l->addr, l->port }, .proto = l->proto };
	struct dp_answer a;

	assert_int_equal(addr_parse("192.0.2.200", &q.src.addr), 0);
	assert_int_equal(dp_explain(x->dp, &q, &a), 0);
	return a.trace.service == SHUNT_UNSET ? -1 : (int)a.trace.service;
}

static void listeners_that_share_a_home_are_all_found(void **state)
{
	struct world *x = *state;
	struct listen l[CHAIN];

	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_AUTO);
	start(x);
	configure(x);
	listeners_of_one_home(l);
	for (int gone = 0; gone < CHAIN; gone++) {
		for (int i = 0; i < CHAIN; i++)
			assert_int_equal(dp_listener_set(x->dp, &l[i], i), 0);
		for (int i = 0; i < CHAIN; i++)
			assert_int_equal(found_by_program(x, &l[i]), i);
		assert_int_equal(dp_listener_delete(x->dp, &l[gone]), 0);
		for (int i = 0; i < CHAIN; i++)
			assert_int_equal(found_by_program(x, &l[i]), i == gone ? -1 : i);
	}
}

static bool all_places_are_empty(void)
{
	_cleanup_close_ int fd = pinned("listeners");
	struct shunt_listener l;

	for (uint32_t place = 0; !bpf_map_lookup_elem(fd, &place, &l); place++)
		if (l.what)
			return false;
	return true;
}

/* Deleted places do not add up: a table that was used for long is as quick as a new one. */
static void random_changes_leave_what_they_say_and_no_rubbish(void **state)
{
	struct world *x = *state;
	int model[32];
	char text[LISTEN_TEXT];

	start(x);
	srandom(7);
	memset(model, -1, sizeof(model));
	for (int step = 0; step < 3000; step++) {
		int i = random() % 32;

		snprintf(text, sizeof(text), "192.0.2.%d:%d/tcp", i, i % 3 + 1);
		if (model[i] >= 0 && random() % 2) {
			delete(x, text);
			model[i] = -1;
		} else {
			model[i] = random() % 16;
			set(x, text, model[i]);
		}
		snprintf(text, sizeof(text), "192.0.2.%d", i);
		assert_int_equal(in_kernel(text, i % 3 + 1, IPPROTO_TCP), model[i]);
	}
	for (int i = 0; i < 32; i++) {
		snprintf(text, sizeof(text), "192.0.2.%d:%d/tcp", i, i % 3 + 1);
		if (model[i] >= 0)
			delete(x, text);
	}
	assert_true(all_places_are_empty());
}

/* ---- waiting ---- */

static void grace_returns_soon(void **state)
{
	struct world *x = *state;
	struct timespec from, to;

	start(x);
	clock_gettime(CLOCK_MONOTONIC, &from);
	dp_grace();
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_true((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000 < 900);
}

/* ---- counters ---- */

static void counters_are_summed_over_all_cpus(void **state)
{
	struct world *x = *state;
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ struct shunt_counter *values = calloc(cpus, sizeof(*values));
	_cleanup_free_ struct shunt_counter *out = calloc(2000, sizeof(*out));
	_cleanup_close_ int fd = -1;

	start(x);
	fd = pinned("member_counters");
	for (uint32_t m = 0; m < 2000; m++) {
		for (int i = 0; i < cpus; i++)
			values[i] = (struct shunt_counter){ m + i, 2 * m };
		assert_int_equal(bpf_map_update_elem(fd, &m, values, 0), 0);
	}
	assert_int_equal(dp_member_counters(x->dp, 0, 2000, out), 0);
	for (uint32_t m = 0; m < 2000; m++) {
		assert_int_equal(out[m].packets, (uint64_t)m * cpus + cpus * (cpus - 1) / 2);
		assert_int_equal(out[m].bytes, 2ull * m * cpus);
	}
	assert_int_equal(dp_member_counters(x->dp, 1234, 700, out), 0);
	assert_int_equal(out[0].bytes, 2ull * 1234 * cpus);
	assert_int_equal(out[699].bytes, 2ull * 1933 * cpus);
	assert_int_equal(dp_member_counters_clear(x->dp, 1933), 0);
	assert_int_equal(dp_member_counters(x->dp, 1932, 2, out), 0);
	assert_int_equal(out[0].bytes, 2ull * 1932 * cpus);
	assert_int_equal(out[1].bytes, 0);
	assert_int_equal(dp_member_counters(x->dp, 1999, 2, out), -ENOENT);
}

static void write_drop(int fd, uint32_t ifindex, uint32_t reason, uint64_t each)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ uint64_t *values = calloc(cpus, sizeof(*values));
	const struct shunt_drop key = { ifindex, reason };

	for (int i = 0; i < cpus; i++)
		values[i] = each;
	assert_int_equal(bpf_map_update_elem(fd, &key, values, 0), 0);
}

static void drops_are_sorted_and_name_their_interface(void **state)
{
	struct world *x = *state;
	_cleanup_free_ struct dp_drop *drops = NULL;
	uint32_t ifindex = if_nametoindex("dpt0");
	_cleanup_close_ int fd = -1;
	size_t n = 99;

	start(x);
	assert_int_equal(dp_drops(x->dp, &drops, &n), 0);
	assert_int_equal(n, 0);
	free(TAKE_PTR(drops));
	fd = pinned("drops");
	write_drop(fd, 4711, SHUNT_REASON_NO_ROOM, 1);
	write_drop(fd, ifindex, SHUNT_REASON_NO_BACKEND, 5);
	write_drop(fd, ifindex, SHUNT_REASON_MALFORMED, 1);
	assert_int_equal(dp_drops(x->dp, &drops, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(drops[0].reason, SHUNT_REASON_MALFORMED);
	assert_string_equal(drops[0].ifname, "dpt0");
	assert_int_equal(drops[1].reason, SHUNT_REASON_NO_BACKEND);
	assert_int_equal(drops[1].packets, 5 * libbpf_num_possible_cpus());
	assert_int_equal(drops[2].ifindex, 4711);
	assert_string_equal(drops[2].ifname, "");
}

/* ---- explain ---- */

/* Service 1 with one backend, 10.9.9.9 or a v6 one, behind dpt2. */
static void serve(struct world *x, const char *listen, const char *backend)
{
	struct shunt_backend *b = &dp_backends(x->dp)[5];

	dp_services(x->dp)[1] = (struct shunt_service){ .table = shunt_table(64, 6, 100), .flags = SHUNT_SERVICE_USED };
	for (int i = 0; i < 64; i++)
		dp_store(&dp_slots(x->dp)[64 + i], shunt_slot(0, 0, SHUNT_NONE, SHUNT_NONE));
	dp_members(x->dp)[100].backend = 5;
	*b = (struct shunt_backend){
		.flags = SHUNT_BACKEND_USED | SHUNT_BACKEND_UP | SHUNT_BACKEND_NEXTHOP,
		.ifindex = if_nametoindex("dpt2"),
		.address = kernel_address(backend),
		.dmac = { 2, 0, 0, 0, 0, 9 },
		.room = 1480,
	};
	set(x, listen, 1);
}

static struct dp_question question(const char *src, const char *dst, uint8_t proto, uint16_t length)
{
	struct dp_question q = { .proto = proto, .syn = true, .length = length };

	assert_int_equal(endpoint_parse(src, &q.src), 0);
	assert_int_equal(endpoint_parse(dst, &q.dst), 0);
	return q;
}

static uint16_t ones_sum(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The inner packet behind the outer IPv4 header: its checksums add up. */
static void check_inner(const struct dp_answer *a, uint8_t proto, size_t length)
{
	const uint8_t *inner = a->packet + 14 + 20;
	bool four = inner[0] >> 4 == 4;
	size_t head = four ? 20 : 40, addrs = four ? 12 : 8;

	assert_int_equal(a->len, 14 + 20 + length);
	if (four)
		assert_int_equal(ones_sum(inner, 20, 0), 0xffff);
	assert_int_equal(ones_sum(inner + head, length - head, ones_sum(inner + addrs, head - addrs, proto + length - head)),
			 0xffff);
}

static void explain_one(struct world *x, const char *src, const char *dst, uint8_t proto, size_t shortest)
{
	struct dp_question q = question(src, dst, proto, 0);
	struct dp_answer a;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(dp_explain(x->dp, &q, &a), 0);
		assert_int_equal(a.trace.verdict, SHUNT_VERDICT_EDGE_FORWARDED);
		assert_int_equal(a.trace.service, 1);
		assert_int_equal(a.trace.member, 100);
		assert_int_equal(a.trace.backend, 5);
		assert_int_equal(a.xdp, XDP_REDIRECT);
		assert_memory_equal(a.packet, ((uint8_t[]){ 2, 0, 0, 0, 0, 9 }), 6);
		check_inner(&a, proto, q.length ? q.length : shortest);
		q.length = 1001; /* odd on purpose */
	}
}

static void explain_runs_the_program_on_the_packet_described(void **state)
{
	struct world *x = *state;

	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_AUTO);
	start(x);
	configure(x);
	serve(x, "192.0.2.1:80/tcp", "10.9.9.9");
	set(x, "192.0.2.1:53/udp", 1);
	set(x, "[2001:db8::1]:80/tcp", 1);
	set(x, "[2001:db8::1]:53/udp", 1);
	explain_one(x, "198.51.100.1:1025", "192.0.2.1:80", IPPROTO_TCP, 40);
	explain_one(x, "198.51.100.1:1025", "192.0.2.1:53", IPPROTO_UDP, 28);
	explain_one(x, "[2001:db8:c::1]:1025", "[2001:db8::1]:80", IPPROTO_TCP, 60);
	explain_one(x, "[2001:db8:c::1]:1025", "[2001:db8::1]:53", IPPROTO_UDP, 48);
}

static void explain_counts_nothing(void **state)
{
	struct world *x = *state;
	struct dp_question q = question("198.51.100.1:1025", "192.0.2.1:80", IPPROTO_TCP, 0);
	uint64_t verdicts[SHUNT_N_VERDICTS];
	struct shunt_counter counter;
	struct dp_answer a;

	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_AUTO);
	start(x);
	configure(x);
	serve(x, "192.0.2.1:80/tcp", "10.9.9.9");
	assert_int_equal(dp_explain(x->dp, &q, &a), 0);
	assert_int_equal(dp_verdicts(x->dp, verdicts), 0);
	assert_int_equal(verdicts[SHUNT_VERDICT_EDGE_FORWARDED], 0);
	assert_int_equal(dp_member_counters(x->dp, 100, 1, &counter), 0);
	assert_int_equal(counter.packets, 0);
}

static void explain_says_why_a_packet_is_dropped_or_passed(void **state)
{
	struct world *x = *state;
	struct dp_question q = question("198.51.100.1:1025", "192.0.2.1:80", IPPROTO_TCP, 0);
	struct dp_answer a;

	configure_interface(x, "dpt0", ROLE_EDGE | ROLE_BACKEND, XDP_MODE_AUTO);
	start(x);
	configure(x);
	serve(x, "192.0.2.1:80/tcp", "10.9.9.9");
	__atomic_store_n(&dp_backends(x->dp)[5].flags, SHUNT_BACKEND_USED, __ATOMIC_RELEASE);
	assert_int_equal(dp_explain(x->dp, &q, &a), 0);
	assert_int_equal(a.xdp, XDP_DROP);
	assert_int_equal(a.trace.verdict, SHUNT_VERDICT_EDGE_DROPPED);
	assert_int_equal(a.trace.reason, SHUNT_REASON_NO_BACKEND);
	q.dst.port = 81;
	assert_int_equal(dp_explain(x->dp, &q, &a), 0);
	assert_int_equal(a.xdp, XDP_PASS);
	assert_int_equal(a.trace.service, SHUNT_UNSET);
}

static void explain_names_what_it_cannot_do(void **state)
{
	struct world *x = *state;
	struct dp_question q = question("198.51.100.1:1025", "192.0.2.1:80", IPPROTO_TCP, 0);
	struct dp_answer a;

	start(x);
	configure(x);
	assert_int_equal(dp_explain(x->dp, &q, &a), -ENODEV);
	configure_interface(x, "dpt0", ROLE_EDGE, XDP_MODE_AUTO);
	configure(x);
	q.ifindex = if_nametoindex("dpt2");
	assert_int_equal(dp_explain(x->dp, &q, &a), -ENODEV);
	q.ifindex = if_nametoindex("dpt0");
	assert_int_equal(dp_explain(x->dp, &q, &a), 0);
	q.length = 39; /* no room for the headers */
	assert_int_equal(dp_explain(x->dp, &q, &a), -EINVAL);
	q.length = 0;
	q.src.addr = address("2001:db8::5");
	assert_int_equal(dp_explain(x->dp, &q, &a), -EINVAL);
}

/* ---- addresses on lo ---- */

static bool on_lo(const char *text)
{
	return sh_ok("ip addr show dev lo | grep -F '%s'", text);
}

static void loopback(struct world *x, const char *one, const char *other)
{
	struct addr a[2];
	size_t n = 0;

	if (one)
		a[n++] = address(one);
	if (other)
		a[n++] = address(other);
	assert_int_equal(dp_loopback(x->dp, a, n), 0);
}

static void addresses_on_lo_become_equal_to_the_list(void **state)
{
	struct world *x = *state;

	start(x);
	loopback(x, "192.0.2.1", "2001:db8::1");
	assert_true(on_lo("inet 192.0.2.1/32 scope host"));
	assert_true(on_lo("inet6 2001:db8::1/128 scope global nodad deprecated"));
	loopback(x, "192.0.2.2", "2001:db8::1");
	assert_false(on_lo("192.0.2.1/32"));
	assert_true(on_lo("192.0.2.2/32"));
	assert_true(on_lo("2001:db8::1/128"));
	restart(x);
	loopback(x, "192.0.2.2", NULL);
	assert_true(on_lo("192.0.2.2/32"));
	assert_false(on_lo("2001:db8::1/128"));
	sh("ip addr delete 192.0.2.2/32 dev lo"); /* somebody else did */
	loopback(x, "192.0.2.2", NULL);
	assert_true(on_lo("192.0.2.2/32"));
	stop(x);
	assert_int_equal(dp_unload(PINS), 0);
	assert_false(on_lo("192.0.2.2/32"));
	assert_true(on_lo("127.0.0.1/8"));
}

static void addresses_of_others_on_lo_stay(void **state)
{
	struct world *x = *state;

	sh("ip addr add 192.0.2.1/32 dev lo && ip addr add 2001:db8::1/128 dev lo nodad");
	start(x);
	loopback(x, "192.0.2.1", "2001:db8::1");
	loopback(x, NULL, NULL);
	assert_true(on_lo("192.0.2.1/32"));
	assert_true(on_lo("2001:db8::1/128"));
	loopback(x, "192.0.2.1", "2001:db8::1");
	stop(x);
	assert_int_equal(dp_unload(PINS), 0);
	assert_true(on_lo("192.0.2.1/32"));
	assert_true(on_lo("2001:db8::1/128"));
}

static bool sysctl_is(const char *key, const char *value)
{
	return !strcmp(sh_line("sysctl -n net.ipv4.conf.%s", key), value);
}

static void a_backend_with_addresses_on_lo_is_silent_about_them(void **state)
{
	struct world *x = *state;

	x->c.backend.loopback = true;
	sh("sysctl -qw net.ipv4.conf.dpt0.arp_announce=1");
	configure_interface(x, "dpt0", ROLE_BACKEND, XDP_MODE_AUTO);
	configure_interface(x, "dpt2", ROLE_EDGE, XDP_MODE_AUTO);
	start(x);
	configure(x);
	assert_true(sysctl_is("dpt0.arp_ignore", "1"));
	assert_true(sysctl_is("dpt0.arp_announce", "2"));
	assert_true(sysctl_is("dpt2.arp_ignore", "0"));
	x->c.backend.loopback = false;
	configure(x);
	assert_true(sysctl_is("dpt0.arp_ignore", "0"));
	assert_true(sysctl_is("dpt0.arp_announce", "1"));
	x->c.backend.loopback = true;
	configure(x);
	stop(x);
	assert_int_equal(dp_unload(PINS), 0);
	assert_true(sysctl_is("dpt0.arp_ignore", "0"));
	assert_true(sysctl_is("dpt0.arp_announce", "1"));
}

/* ---- unloading ---- */

static void unload_removes_what_another_version_pinned(void **state)
{
	struct world *x = *state;
	_cleanup_close_ int other = bpf_map_create(BPF_MAP_TYPE_ARRAY, "other", 4, 4, 64, NULL);

	start(x);
	stop(x);
	assert_int_equal(bpf_obj_pin(other, PINS "/of_the_future"), 0);
	assert_int_equal(dp_unload(PINS), 0);
	assert_int_equal(access(PINS, F_OK), -1);
}

static void unload_leaves_what_is_not_ours(void **state)
{
	_cleanup_close_ int other = bpf_map_create(BPF_MAP_TYPE_ARRAY, "other", 4, 4, 64, NULL);

	(void)state;
	assert_int_equal(mkdir("/sys/fs/bpf/dpt", 0700) && errno != EEXIST, 0);
	assert_int_equal(mkdir(PINS, 0700), 0);
	assert_int_equal(bpf_obj_pin(other, PINS "/somebody"), 0);
	assert_true(dp_unload(PINS) < 0);
	assert_true(is_pinned("somebody"));
	unlink(PINS "/somebody");
}

static void unload_leaves_nothing(void **state)
{
	struct world *x = *state;

	configure_interface(x, "dpt0", ROLE_EDGE | ROLE_BACKEND, XDP_MODE_AUTO);
	configure_interface(x, "dpt2", ROLE_EDGE, XDP_MODE_GENERIC);
	start(x);
	configure(x);
	stop(x);
	assert_int_equal(dp_unload(PINS), 0);
	assert_int_equal(program_on("dpt0"), 0);
	assert_int_equal(program_on("dpt2"), 0);
	assert_int_equal(access(PINS, F_OK), -1);
	assert_int_equal(dp_unload(PINS), 0); /* nothing is there: fine */
}

static void lacks_are_sentences(void **state)
{
	struct world *x = *state;
	const char *const *l;

	start(x);
	for (l = dp_lacks(x->dp); *l; l++)
		assert_true(strlen(*l) > 20);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(maps_are_sized_by_the_limits_and_pinned),
		test(what_is_in_the_maps_outlives_the_daemon),
		test(pins_of_another_size_are_refused_and_left_alone),
		test(pins_of_another_version_are_refused_and_left_alone),
		test(a_map_of_another_layout_is_refused),
		test(a_half_made_start_is_made_again),
		test(a_second_daemon_on_the_same_pins_is_refused),
		test(pins_that_cannot_be_on_bpffs_are_refused),
		test(bpffs_is_mounted_where_it_is_missing),
		test(a_veth_is_attached_natively_and_stays_when_the_daemon_goes),
		test(adoption_swaps_the_program_in_the_link_that_is_there),
		test(unchanged_settings_load_nothing_and_changed_ones_swap),
		test(only_roles_in_use_are_loaded),
		test(an_interface_with_both_roles_goes_on_to_the_edge_program),
		test(an_interface_no_longer_configured_is_detached),
		test(an_interface_made_anew_is_attached_again),
		test(the_mode_is_as_configured_and_can_be_changed),
		test(auto_falls_back_to_generic_with_the_reason_and_native_does_not),
		test(auto_is_generic_where_a_veth_peer_has_no_program_and_follows_it),
		test(a_backend_sends_nothing_and_is_native_on_any_veth),
		test(a_peer_in_another_namespace_is_looked_at_there),
		test(native_is_obeyed_and_says_what_is_lost),
		test(a_next_hop_on_a_veth_that_loses_packets_is_followed_by_auto_and_named),
		test(a_next_hop_on_a_bridge_makes_auto_generic_until_it_is_gone),
		test(native_is_obeyed_though_a_next_hop_is_on_a_bridge),
		test(a_next_hop_that_cannot_send_fragments_matters_for_jumbo_frames_alone),
		test(what_cannot_be_looked_at_stays_attached),
		test(a_program_of_others_is_named_and_left_alone),
		test(an_interface_name_with_a_dot_can_be_pinned),
		test(jumbo_frames_are_native_by_fragments),
		test(generic_edge_interfaces_have_gro_off_until_unload),
		test(gro_comes_back_when_the_interface_becomes_native_and_goes_below_a_bridge),
		test(a_listener_has_its_filter_bit_and_its_mark),
		test(bit_and_mark_go_with_the_last_listener_of_the_address),
		test(the_mark_is_repaired_when_its_service_leaves),
		test(a_bit_shared_by_two_addresses_goes_with_the_last),
		test(listeners_are_known_again_after_a_restart),
		test(what_a_crash_left_is_repaired),
		test(as_many_listeners_as_the_limit_says_fit),
		test(listeners_that_share_a_home_are_all_found),
		test(random_changes_leave_what_they_say_and_no_rubbish),
		test(grace_returns_soon),
		test(counters_are_summed_over_all_cpus),
		test(drops_are_sorted_and_name_their_interface),
		test(explain_runs_the_program_on_the_packet_described),
		test(explain_counts_nothing),
		test(explain_says_why_a_packet_is_dropped_or_passed),
		test(explain_names_what_it_cannot_do),
		test(addresses_on_lo_become_equal_to_the_list),
		test(addresses_of_others_on_lo_stay),
		test(a_backend_with_addresses_on_lo_is_silent_about_them),
		test(unload_leaves_nothing),
		test(unload_removes_what_another_version_pinned),
		test(unload_leaves_what_is_not_ours),
		test(lacks_are_sentences),
	};

	return cmocka_run_group_tests_name("datapath", tests, NULL, NULL);
}
