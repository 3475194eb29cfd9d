#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Runs the bench: a table for people here, and its rows for programs in $BUILD/bench.json.
# Arguments are beginnings of row names: tools/bench.sh edge. runs those rows only.
set -eu

cd "$(dirname "$0")/.."
build=${BUILD:-build}

if [ "$(id -u)" != 0 ]; then
	echo "the bench loads programs into the kernel: run it as root (sudo make bench)" >&2
	exit 1
fi
if [ ! -x "$build/shunt-bench" ] || [ ! -x "$build/shuntd" ]; then
	echo "$build/shunt-bench or $build/shuntd is not built: run 'make benches'" >&2
	exit 1
fi

echo "$(nproc) CPUs, kernel $(uname -r), $(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)"
echo
"$build/shunt-bench" --output "$build/bench.json" "$@"
echo
echo "Written to $build/bench.json."
