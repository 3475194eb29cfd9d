#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The architecture, held: which room may include which, what stands at the top level, who knows libbpf and netlink.
# Speaks TAP.
#
#   shuntd, apply -> api -> {reconcile, register} -> {discovery, health, datapath} -> {config, loop} -> model -> base        cli -> base
#
# bpf is the contract, bpf/abi.h and what it includes, which is nothing but types and arithmetic.

cd "$(dirname "$0")/.." || exit 1

declare -A may=(
	[base]="base"
	[model]="model base bpf"
	[loop]="loop base"
	[config]="config model base"
	[discovery]="discovery config loop model base"
	[health]="health loop model base"
	[datapath]="datapath model base bpf skeleton"
	[reconcile]="reconcile discovery health datapath model base bpf"
	[register]="register discovery health loop model base"
	[api]="api register reconcile config discovery health datapath model base bpf"
	[shuntd]="shuntd api register reconcile config discovery health datapath model base bpf"
	[apply]="apply api register reconcile config discovery health datapath model base bpf"
	[daemon]="daemon api register reconcile config discovery health datapath model base bpf"
	[cli]="cli base"
)
n=0 failed=0

# verdict SENTENCE FINDINGS
verdict() {
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - $1"
		return
	fi
	failed=1
	echo "not ok $n - $1"
	sed 's/^/# /' <<< "$2"
}

room_of_file() {
	local inside=${1#user/}
	case $inside in
	*/*) echo "${inside%%/*}" ;;
	*) echo "${inside%.*}" ;;
	esac
}

# The room that an include of "NAME" in a file of room $2 leads to.
room_of_include() {
	case $1 in
	../bpf/* | bpf/*) echo bpf ;;
	*.skel.h) echo skeleton ;;
	*/*) echo "${1%%/*}" ;;
	*) echo "$2" ;;
	esac
}

upward() {
	local file line room target
	while IFS=: read -r file line text; do
		room=$(room_of_file "$file")
		target=$(room_of_include "$(sed 's/.*"\(.*\)".*/\1/' <<< "$text")" "$room")
		[ -n "${may[$room]}" ] || { echo "$file: no such room is planned: $room"; continue; }
		[[ " ${may[$room]} " == *" $target "* ]] || echo "$file:$line: $room may not include $target: $text"
	done < <(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' user --include='*.[ch]')
}

# Every file of the repository, whether added yet or not.
files() {
	git ls-files -co --exclude-standard 2> /dev/null ||
		find . -type f -not -path './.git/*' -not -path './build/*' | sed 's|^\./||'
}

top_level() {
	local name
	files | cut -d/ -f1 | sort -u | while read -r name; do
		case $name in
		bpf | user | tools | tests | Makefile | vmlinux.h | README.md | LICENSE) ;;
		.ci | .gitignore | .gitattributes | .clang-format | .clang-tidy | .editorconfig) ;;
		*) echo "$name does not belong at the top level" ;;
		esac
	done
	for name in bpf user tools tests Makefile vmlinux.h README.md LICENSE .ci; do
		[ -e "$name" ] || echo "$name is missing"
	done
}

# Lines of files outside user/datapath that include headers of the kernel's machinery.
libbpf_elsewhere() {
	grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*<(bpf/|libmnl/|linux/(rtnetlink|netlink)\.h)' user \
		--include='*.[ch]' | grep -v '^user/datapath/'
}

mixed_headers() {
	local file
	for file in $(grep -rlE '#[[:space:]]*include[[:space:]]*"(\.\./)*vmlinux\.h"' bpf user tools tests --include='*.[ch]'); do
		grep -nE '#[[:space:]]*include[[:space:]]*<linux/' "$file" | sed "s|^|$file:|"
	done
}

without_licence() {
	local file
	files | grep -E '\.(c|h|sh|bats|bash|py)$' | while read -r file; do
		[ ! -s "$file" ] || head -3 "$file" | grep -q 'SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause' || echo "$file"
	done
}

echo "1..5"
verdict "includes in user/ lead only downwards" "$(upward)"
verdict "the top level holds what is planned and nothing else" "$(top_level)"
verdict "only the datapath knows libbpf and netlink" "$(libbpf_elsewhere)"
verdict "vmlinux.h and <linux/...> are never in one file" "$(mixed_headers)"
verdict "every source file names its licence" "$(without_licence)"
exit $failed
