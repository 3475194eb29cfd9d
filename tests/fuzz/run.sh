#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Looks for inputs that break a parser: every fuzz target for FUZZ_SECONDS (600), at most two at once, and one line for
# each as it ends: how fast it was, how much of the code it reached, and nothing found, or the file of the input. Exit
# status 1 if anything was found. What makes a difference is collected in build/fuzz/corpus, from one run to the next.
#
# run.sh [TARGET...]          all, or some
# run.sh --keep [TARGET...]   puts into tests/fuzz/corpus/TARGET the fewest and smallest of the collected inputs that reach
#                             all that was reached, beside those that have a name there, which stay
#
# An input that was found: build/fuzz/TARGET FILE shows what it does, with -minimize_crash=1 it becomes smaller. Mend the
# parser, and keep the input under a name in tests/fuzz/corpus/TARGET.

cd "$(dirname "$0")/../.." || exit 1
: "${BUILD:=build}" "${FUZZ_SECONDS:=600}"
work=$BUILD/fuzz
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1} UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
limits="-timeout=10 -rss_limit_mb=1024 -max_len=16384 -len_control=100"

targets() {
	local file
	for file in tests/fuzz/fuzz_*.c; do
		file=${file##*/fuzz_}
		echo "${file%.c}"
	done
}

# What the target may begin with beside its corpus.
seeds() {
	echo "tests/fuzz/corpus/$1"
	[ "$1" != yaml_config ] || echo tests/config/good tests/config/broken
}

# The words that the parsers themselves have in quotes: a mutation seldom makes them up.
words() {
	local header
	{ cat user/*/"$1".c 2> /dev/null
	sed -n 's/^#include "\([a-z]*\/.*\)\.h"/\1/p' "tests/fuzz/fuzz_$1.c" | while read -r header; do
		case $header in
		config/*) cat user/config/*.c ;;
		base/clean) ;;
		*) cat "user/$header".c "user/$header".h 2> /dev/null ;;
		esac
	done; } | { grep -o '"[A-Za-z0-9_./:-]\{2,40\}"' | grep -v '\.h"$' | sort -u; echo '"{}"'; }
}

# Names of the targets' inputs are hashes unless a person gave them.
is_hash() {
	[[ $1 =~ ^[0-9a-f]{40}$ ]]
}

# The last value that libFuzzer's log gives for a word such as cov:.
last() {
	sed -n "s/.* $1 \([0-9]*\).*/\1/p" "$2" | tail -n 1
}

# What is shown of a target whose fuzzer ended with STATUS: report NAME STATUS
report() {
	local log=$work/$1.log found
	found=$(find "$work/found" -name "$1-*" -newer "$work/$1.begin" | head -n 1)
	printf '  %-20s %7s executions/s, %5s edges, %4s inputs in %4s s: ' "$1" \
		"$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")" "$(last cov: "$log")" \
		"$(find "$work/corpus/$1" -type f | wc -l)" "$(($(date +%s) - $(stat -c %Y "$work/$1.begin")))"
	if [ "$2" = 0 ] && [ -z "$found" ]; then
		echo "nothing found"
		return 0
	fi
	echo "FOUND ${found:-something, see $log}"
	grep -m 3 -e 'ERROR:' -e 'runtime error' -e 'broken promise' -e 'SUMMARY' "$log" | sed 's/^/        | /'
	return 1
}

fuzz() {
	local status
	mkdir -p "$work/corpus/$1" "$work/found"
	words "$1" > "$work/$1.dict"
	: > "$work/$1.begin"
	# shellcheck disable=SC2046,SC2086
	"$work/$1" -max_total_time="$FUZZ_SECONDS" $limits -dict="$work/$1.dict" -print_final_stats=1 \
		-artifact_prefix="$work/found/$1-" "$work/corpus/$1" $(seeds "$1") > "$work/$1.log" 2>&1 < /dev/null &
	trap 'kill $!; exit 143' TERM
	wait $!
	status=$?
	report "$1" $status
}

keep() {
	local kept=tests/fuzz/corpus/$1 new file
	new=$(mktemp -d) || return 1
	mkdir -p "$kept"
	for file in "$kept"/*; do
		[ ! -e "$file" ] || is_hash "${file##*/}" || cp "$file" "$new"
	done
	# shellcheck disable=SC2046,SC2086
	"$work/$1" -merge=1 -use_counters=0 $limits "$new" "$work/corpus/$1" $(seeds "$1") > "$work/$1.merge.log" 2>&1 ||
		{ echo "$1: see $work/$1.merge.log"; rm -r "$new"; return 1; }
	rm -rf "$kept" && mv "$new" "$kept" && chmod 755 "$kept" && chmod 644 "$kept"/*
	printf '  %-20s %4d inputs, %6d bytes\n' "$1" "$(find "$kept" -type f | wc -l)" "$(cat "$kept"/* | wc -c)"
}

do=fuzz at_once=2
if [ "$1" = --keep ]; then
	do=keep
	shift
fi
[ $# -gt 0 ] || mapfile -t all < <(targets)
set -- "$@" "${all[@]}"
trap 'kill $(jobs -p) 2> /dev/null; exit 130' INT TERM
status=0
for target; do
	[ -x "$work/$target" ] || { echo "fuzz: no such target: $target ($(targets | paste -sd ' '))" >&2; exit 2; }
	while [ "$(jobs -rp | wc -l)" -ge $at_once ]; do
		wait -n || status=1
	done
	$do "$target" &
done
while [ -n "$(jobs -p)" ]; do
	wait -n || status=1
	jobs > /dev/null # forgets those that are over
done
exit $status
