#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Writes vmlinux.h: the kernel types that the programs use, and what those need, from a kernel's BTF.

All of them are interfaces (of the kernel or of the wire), so they carry no relocations.

    tools/vmlinux.py [BTF] > vmlinux.h        (BTF: /sys/kernel/btf/vmlinux)

The same BTF and the same list below give the same file. Add a name to WANTED when a program needs a type.
"""
import re
import subprocess
import sys

WANTED = """
__u8 __u16 __u32 __u64 __s8 __s16 __s32 __s64 __be16 __be32 __be64 __sum16 __wsum bool
xdp_md xdp_action bpf_map_type bpf_sock bpf_sock_tuple bpf_sock_addr bpf_sock_ops bpf_sk_lookup bpf_spin_lock
ethhdr iphdr ipv6hdr tcphdr udphdr icmphdr icmp6hdr frag_hdr ipv6_opt_hdr vlan_hdr
""".split()
# anonymous enums are found by one of their values; of each only the values named here are written
WANTED_VALUES = "BPF_F_MMAPABLE BPF_F_NO_PREALLOC BPF_ANY BPF_NOEXIST BPF_EXIST BPF_TCP_ESTABLISHED BPF_TCP_SYN_SENT BPF_TCP_CLOSE BPF_TCP_LISTEN BPF_SK_STORAGE_GET_F_CREATE BPF_SOCK_OPS_TCP_CONNECT_CB " \
	"BPF_SOCK_OPS_STATE_CB BPF_SOCK_OPS_STATE_CB_FLAG IPPROTO_ICMP IPPROTO_IPIP IPPROTO_TCP " \
	"IPPROTO_UDP IPPROTO_IPV6 false true".split()


def definitions(text):
	"""Top-level definitions of a C dump, as (name, text)."""
	for part in re.split(r"\n\n(?=\S)", text):
		part = part.strip()
		typedef = re.match(r"typedef .*?(\w+)(\[\d+\])?;$", part, re.S)
		tagged = re.match(r"(?:struct|union|enum) (\w+) \{", part)
		if typedef and "{" not in part:
			yield typedef.group(1), part
		elif tagged:
			yield tagged.group(1), part
		elif part.startswith("typedef") and "{" in part:
			yield re.search(r"(\w+);$", part).group(1), part


def closure(defs, names):
	found, queue = set(), list(names)
	while queue:
		name = queue.pop()
		if name in found or name not in defs:
			continue
		found.add(name)
		# a pointer needs no more than the tag
		body = re.sub(r"(?:struct|union|const|volatile|\s)+\w+ +\*+\w+;", "", defs[name])
		body = re.sub(r"\w+((\[\d+\])*);", ";", body) # names of fields
		queue += re.findall(r"\w+", body)
	return found


def main():
	btf = sys.argv[1] if len(sys.argv) > 1 else "/sys/kernel/btf/vmlinux"
	dump = subprocess.run(["bpftool", "btf", "dump", "file", btf, "format", "c"], check=True, capture_output=True,
			      text=True).stdout
	order = list(definitions(dump))
	defs = {}
	for name, text in order:
		defs.setdefault(name, text)
	missing = [n for n in WANTED if n not in defs]
	wanted = closure(defs, [n for n in WANTED if n in defs])
	print("/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */")
	print("/* Made by tools/vmlinux.py from a kernel's BTF: only the types that the programs use. Do not edit. */")
	print("#ifndef __VMLINUX_H__\n#define __VMLINUX_H__\n")
	written = set()
	for name, text in order:
		if name in wanted and name not in written:
			written.add(name)
			print(text + "\n")
	print("enum {")
	for value in WANTED_VALUES:
		number = re.search(r"^\s+%s = (\d+),?$" % value, dump, re.M)
		if number:
			print("\t%s = %s," % (value, number.group(1)))
		else:
			missing.append(value)
	print("};\n\n#endif")
	if missing:
		sys.exit("not in this BTF: " + " ".join(missing))


main()
