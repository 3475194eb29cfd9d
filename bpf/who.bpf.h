/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* For which processes connections are balanced: by their cgroup, with all that is below it, or network namespace. */
#ifndef SHUNT_WHO_BPF_H
#define SHUNT_WHO_BPF_H

#define CGROUP_LEVELS 32

static __always_inline bool is_named(__u64 id, __u32 service, __u32 kind)
{
	struct shunt_client key = { .id = id, .service = service, .kind = kind };

	return bpf_map_lookup_elem(&clients, &key);
}

/* Does `clients` name the process's cgroup, or one above it, for the service? Looks only at levels where it names any. */
static __always_inline bool cgroup_is_named(__u32 service)
{
	for (int level = 0; level < CGROUP_LEVELS; level++) {
		if (!(settings.cgroup_levels & 1u << level))
			continue;
		if (is_named(bpf_get_current_ancestor_cgroup_id(level), service, SHUNT_CLIENT_CGROUP))
			return true;
	}
	return false;
}

/* flags: of the service */
static __always_inline bool is_client(struct bpf_sock_addr *ctx, __u32 service, __u32 flags)
{
	if (!feature(SHUNT_FEATURE_CLIENTS))
		return true;
	if (cgroup_is_named(SHUNT_UNSET))
		return false;
	return !(flags & SHUNT_SERVICE_CLIENTS) || cgroup_is_named(service) ||
	       is_named(bpf_get_netns_cookie(ctx), service, SHUNT_CLIENT_NETNS);
}

#endif
