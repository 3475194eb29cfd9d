#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Runs every test and sums up. Three workers take them beside each other, each beginning with tests of another kind:
# those that compute (the architecture, the simulation, the corpora of the fuzz targets, the programs' tests, which share
# names of pins and cgroups: one worker has them all), unit tests, end-to-end tests. All speak TAP. A program that
# crashes, hangs or ends before its plan does counts as failed. The last line is "N passed, N failed, N skipped"; the
# exit status is 1 if any failed or nothing ran.
#
# A line "# result: ..." of a test is shown.
#
# run.sh [PATTERN]   only those whose name contains PATTERN
# SOAK=1             longer versions

cd "$(dirname "$0")/.." || exit 1
: "${BUILD:=build}"
BUILD=$(realpath -m "$BUILD")
export BUILD SOAK TEST_LAB=shunt-test-$$
export CMOCKA_MESSAGE_OUTPUT=TAP
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1} UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
limit=${SOAK:+3600}
limit=${limit:-300}
pattern=$1
passed=0 failed=0 skipped=0
out=$(mktemp) && beside=$(mktemp -d) || exit 1
taken=${TAKEN:-$beside/taken} # a folder for each test that a worker took
mkdir -p "$taken" || exit 1

# Labs that a test did not live to remove.
sweep() {
	local name
	for name in $(ip netns list 2> /dev/null | sed -n "s/^\($TEST_LAB-[a-z0-9]*\)-net\( .*\)\?$/\1/p"); do
		(. tools/lab.sh; LAB=$name; LAB_DIR=$LAB_ROOT/$name; lab_down)
	done
}

finish() {
	[ -z "$child" ] || kill -TERM -- "-$child" 2> /dev/null
	# shellcheck disable=SC2086
	[ -z "$others" ] || kill -TERM $others 2> /dev/null
	sweep
	rm -rf "$out" "$beside"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Reads TAP, prints "passed failed skipped": what was planned and never reported is failed.
count() {
	awk '
		/^1\.\.[0-9]+/ { split($1, range, /\.\./); planned += range[2]; plans++ }
		/^not ok [0-9]+ # SKIP/ { skipped++; next } # of cmocka
		/^not ok/ { failed++; next }
		/^ok/ && /# *[Ss][Kk][Ii][Pp]/ { skipped++; next }
		/^ok/ { passed++ }
		END {
			missing = planned - passed - failed - skipped
			if (missing > 0) failed += missing
			print passed + 0, failed + 0, skipped + 0, plans + 0
		}' "$out"
}

# What cannot be noted is run all the same: rather twice than never.
take() { mkdir "$taken/$1" 2> /dev/null || ! [ -d "$taken/$1" ]; }

# run NAME COMMAND...
run() {
	local name=$1 status begin ok not_ok skip plans
	shift
	[[ $name == *"$pattern"* ]] || return 0
	take "${name//\//.}" || return 0
	[ ! -t 1 ] || printf '  ...   %s\r' "$name"
	begin=${EPOCHREALTIME/./}
	set -m
	timeout --foreground -k 10 "$limit" "$@" > "$out" 2>&1 < /dev/null &
	child=$!
	set +m
	{ wait "$child"; } 2> /dev/null
	status=$?
	kill -TERM -- "-$child" 2> /dev/null
	child=
	read -r ok not_ok skip plans < <(count)
	if [ $status != 0 ] && [ "$not_ok" = 0 ] || [ "$plans" = 0 ]; then
		not_ok=$((not_ok + 1))
	fi
	passed=$((passed + ok)) failed=$((failed + not_ok)) skipped=$((skipped + skip))
	report "$name" $status "$ok" "$not_ok" "$skip" $(((${EPOCHREALTIME/./} - begin) / 100000))
}

# report NAME STATUS PASSED FAILED SKIPPED TENTHS
report() {
	local word=ok
	[ "$4" = 0 ] || word=FAIL
	printf '  %-5s %-28s %3d passed, %d failed, %d skipped  %d.%d s\n' $word "$1" "$3" "$4" "$5" $(($6 / 10)) $(($6 % 10))
	[ "$4" != 0 ] || { sed -n 's/^# result: /        /p' "$out"; return 0; }
	case $2 in
	124 | 137) echo "        $1 did not end within $limit s" ;;
	0 | 1) ;;
	*) echo "        $1 ended with status $2" ;;
	esac
	sed 's/^/        | /' "$out"
}

# all_of unit|bpftest
all_of() {
	local test
	for test in "$BUILD/$1"/test_*; do
		[ -f "$test" ] && [ -x "$test" ] || continue
		run "$1/${test##*/}" "$test"
	done
}

compute() {
	local test
	run rooms tests/rooms.sh
	run sim tests/sim.sh
	for test in tests/fuzz/fuzz_*.c; do
		test=$(basename "${test#tests/fuzz/fuzz_}" .c)
		run "fuzz/$test" "$BUILD/replay/$test" "$test" "tests/fuzz/corpus/$test"
	done
	all_of bpftest
}

end_to_end() {
	local test
	for test in tests/e2e/*.bats; do
		[ -e "$test" ] || continue
		run "e2e/$(basename "$test" .bats)" bats --tap "$test"
		sweep
	done
}

units() { all_of unit; }

# This script again, as another worker: its output comes when all is done.
start_beside() {
	FIRST=$1 TAKEN=$taken tests/run.sh > "$beside/$1" 2>&1 &
	others="$others $!"
}

take_from_beside() {
	local ok not_ok skip
	head -n -1 "$beside/$1"
	read -r ok not_ok skip < <(tail -n 1 "$beside/$1" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p')
	passed=$((passed + ok)) failed=$((failed + ${not_ok:-1})) skipped=$((skipped + skip))
}

side_by_side() {
	start_beside compute
	start_beside units
	end_to_end; units
	wait
	others=
	take_from_beside compute
	take_from_beside units
}

case $FIRST in
compute) compute; units; end_to_end ;;
units) units; end_to_end ;;
*)
	if [ -z "$pattern" ] && [ "$(nproc)" -gt 1 ]; then
		side_by_side
	else
		compute; units; end_to_end
	fi ;;
esac

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $((passed + skipped)) -gt 0 ]
