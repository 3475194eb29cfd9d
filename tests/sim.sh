#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What tracking and second chance are for, held: the simulation, in small. Speaks TAP.

cd "$(dirname "$0")/.." || exit 1
: "${BUILD:=build}"
short="--flows 10000 --duration 200000 --fail-at 100000 --return-at 150000"
n=0 failed=0

# verdict SENTENCE JSON CONDITION: of jq, on the first scenario's policies
verdict() {
	n=$((n + 1))
	if jq -e ".[0].policies | $3" <<< "$2" > /dev/null; then
		echo "ok $n - $1"
		return
	fi
	failed=1
	echo "not ok $n - $1"
	jq -c '.[0].policies' <<< "$2" | sed 's/^/# /'
}

# shellcheck disable=SC2086 # words
sim() { "$BUILD"/shunt-sim -j $short "$@"; }

echo 1..5
one=$(sim --scenario one)
verdict "no flow breaks when balancers fail while backends are drained one after the other" "$one" \
	'.second_chance.broken == 0 and .tracking.broken > 0 and .full.broken > .tracking.broken'
verdict "next to no packet is sent on" "$one" '.second_chance.redirected < 10000' # of two millions
verdict "while many are drained at a time second chance saves nearly all that full tracking breaks" \
	"$(sim --scenario ten)" '.second_chance.broken * 20 < .full.broken'
lab=$("$BUILD"/shunt-sim -j --scenario lab)
verdict "it saves nearly all whose backend the configuration names, while backends are added, reweighted and removed" \
	"$lab" '(.second_chance | .broken - .broken_of_removed) * 10 < (.full | .broken - .broken_of_removed)'
verdict "the same options give the same result" "$lab" ". == $("$BUILD"/shunt-sim -j --scenario lab | jq -c '.[0].policies')"
exit $failed
