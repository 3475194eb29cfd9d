#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Runs every test and sums up: the architecture, the simulation, the unit tests and the programs' tests, which compute, and
# beside them the end-to-end tests, which mostly wait. All speak TAP. A program that crashes, hangs or ends before its plan
# does counts as failed. The last line is "N passed, N failed, N skipped"; the exit status is 1 if any failed or nothing ran.
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
out=$(mktemp) && beside=$(mktemp) || exit 1

# Labs that a test did not live to remove.
sweep() {
	local name
	for name in $(ip netns list 2> /dev/null | sed -n "s/^\($TEST_LAB-[a-z0-9]*\)-net\( .*\)\?$/\1/p"); do
		(. tools/lab.sh; LAB=$name; LAB_DIR=$LAB_ROOT/$name; lab_down)
	done
}

finish() {
	[ -z "$child" ] || kill -TERM -- "-$child" 2> /dev/null
	[ -z "$other" ] || kill -TERM "$other" 2> /dev/null
	sweep
	rm -f "$out" "$beside"
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

# run NAME COMMAND...
run() {
	local name=$1 status begin ok not_ok skip plans
	shift
	[[ $name == *"$pattern"* ]] || return 0
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

compute() {
	local test kind
	run rooms tests/rooms.sh
	run sim tests/sim.sh
	for test in "$BUILD"/unit/test_* "$BUILD"/bpftest/test_*; do
		[ -f "$test" ] && [ -x "$test" ] || continue
		kind=${test%/*}
		run "${kind##*/}/${test##*/}" "$test"
	done
}

end_to_end() {
	local test
	for test in tests/e2e/*.bats; do
		[ -e "$test" ] || continue
		run "e2e/$(basename "$test" .bats)" bats --tap "$test"
		sweep
	done
}

# This script again, for those that compute: their output comes when all is done.
side_by_side() {
	local ok not_ok skip
	ONLY=compute tests/run.sh > "$beside" 2>&1 &
	other=$!
	end_to_end
	wait $other
	other=
	head -n -1 "$beside"
	read -r ok not_ok skip < <(tail -n 1 "$beside" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p')
	passed=$((passed + ok)) failed=$((failed + ${not_ok:-1})) skipped=$((skipped + skip))
}

if [ "$ONLY" = compute ]; then
	compute
elif [ -z "$pattern" ] && [ "$(nproc)" -gt 1 ]; then
	side_by_side
else
	compute
	end_to_end
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $((passed + skipped)) -gt 0 ]
