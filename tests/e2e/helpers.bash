# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What the end-to-end tests share. Each file has one lab, made in setup_file and removed in teardown_file.

bats_require_minimum_version 1.5.0
ROOT=$(realpath "$BATS_TEST_DIRNAME/../..")
BUILD=$(realpath -m "${BUILD:-$ROOT/build}")
. "$ROOT/tools/lab.sh"

lab_begin() {
	lab_up "${TEST_LAB:-shunt-test}-$(basename "$BATS_TEST_FILENAME" .bats)"
}

teardown_file() {
	lab_down
}

# After a failure: what the daemons said last.
teardown() {
	local log
	[ -z "$BATS_TEST_COMPLETED" ] || return 0
	for log in "$LAB_DIR"/*/shuntd.log; do
		[ -s "$log" ] || continue
		echo "--- ${log#"$LAB_DIR"/}"
		tail -15 "$log"
	done
}

fail() {
	echo "$*" >&2
	return 1
}

# A command that must not succeed (set -e does not see a failing "! command").
refuse() {
	! "$@" || fail "succeeded, and should not have: $*"
}

# ---- the services of most labs ----

check_http='{ http: { path: /healthz }, interval: 200ms, timeout: 180ms, fall: 2, rise: 2 }'

backends4() { local i; for i in $(seq "$1"); do printf '{ address: "%s%s" }, ' "$(lab_backend4 "$i")" "$2"; done; }
backends6() { local i; for i in $(seq "$1"); do printf '{ address: "[%s]%s" }, ' "$(lab_backend6 "$i")" "$2"; done; }

# $FORWARD: the tunnel of all of them; $KEEP: more keys of web and web6.
# web has IPv4 backends, web6 IPv6 backends, and both listen on both; dns is UDP; any listens on every port.
standard_services() {
	cat <<-END
		services:
		  - name: web
		    forward: ${FORWARD:-ipip}
		    listen: ["192.0.2.10:80/tcp", "[2001:db8::10]:80/tcp"]
		    health: $check_http
		    backends: [$(backends4 "$1" :80)]
		    ${KEEP:-}
		  - name: web6
		    forward: ${FORWARD:-ipip}
		    listen: ["192.0.2.11:80/tcp", "[2001:db8::11]:80/tcp"]
		    health: $check_http
		    backends: [$(backends6 "$1" :80)]
		    ${KEEP:-}
		  - name: dns
		    forward: ${FORWARD:-ipip}
		    listen: ["192.0.2.10:53/udp", "[2001:db8::10]:53/udp"]
		    backends: [$(backends4 "$1" :53)]
		  - name: any
		    forward: ${FORWARD:-ipip}
		    listen: ["192.0.2.12:*/tcp", "192.0.2.12:*/udp", "[2001:db8::12]:*/tcp", "[2001:db8::12]:*/udp"]
		    health: none
		    backends: [$(backends4 "$1" "")]
	END
}

standard_listens=("192.0.2.10:80/tcp" "[2001:db8::10]:80/tcp" "192.0.2.11:80/tcp" "[2001:db8::11]:80/tcp"
	"192.0.2.10:53/udp" "[2001:db8::10]:53/udp"
	"192.0.2.12:*/tcp" "192.0.2.12:*/udp" "[2001:db8::12]:*/tcp" "[2001:db8::12]:*/udp")

# standard_hosts N: web servers and daemons on N backends, and a daemon with the standard services on the balancer.
standard_hosts() {
	local i
	for i in $(seq "$1"); do
		lab_web "b$i"
		lab_backend_host "b$i" "${standard_listens[@]}"
	done
	{ lab_config_head balancer edge "${EDGE_MODE:-auto}"; standard_services "$1"; } > "$LAB_DIR/balancer.yaml"
	lab_daemon balancer "$LAB_DIR/balancer.yaml"
	lab_wait 10 all_settled || { lab_shunt balancer backend list >&2; fail "not all backends became healthy"; }
}

# No backend with a check is still unknown or ill.
all_settled() {
	lab_shunt balancer -j backend list |
		jq -e '[.backends[] | select(.check.checks == 0 and (.service | startswith("web"))) // empty] | length == 0' &&
		lab_shunt balancer -j backend list | jq -e '[.backends[] | select(.state == "unhealthy")] | length == 0' &&
		lab_shunt balancer -j backend list | jq -e 'all(.backends[]; .nexthop.usable)'
}

# ---- asking and counting ----

# fetch URL [CURL OPTION...]: by the client, over a connection of its own
fetch() {
	local url=$1
	shift
	lab_in client curl -sS --max-time 5 -H 'Connection: close' "$@" "$url"
}

# spread URL N: asks N times and prints "COUNT NAME" for each that answered
spread() { fetch "$1?[1-$2]" | sort | uniq -c; }

# all_take_part N MINIMUM: reads what spread printed; N names, each with at least so many
all_take_part() {
	awk -v n="$1" -v least="$2" '{ print; names++; if ($1 < least) few++ } END { exit names != n || few > 0 }'
}

# backend SERVICE ADDRESS FILTER: of the balancer's JSON about one backend
backend() {
	lab_shunt balancer -j backend list "$1" | jq -r --arg a "$2" ".backends[] | select(.address == \$a) | $3"
}

state_is() { [ "$(backend "$1" "$2" .state)" = "$3" ]; }

packets() { lab_shunt balancer -j service show "$1" | jq .packets; }

drops() { lab_shunt balancer -j drop list | jq --arg r "$1" '[.drops[] | select(.reason == $r) | .packets] | add // 0'; }

# ---- load ----

# load_begin URL REQUESTS RATE: in the background, one connection a request. Each line of $LAB_DIR/load.txt is
# "END_TIME HTTP_STATUS CURL_EXIT SECONDS NAME".
load_begin() {
	rm -f "$LAB_DIR/load.txt"
	lab_spawn client client/load.out bash -c '
		stdbuf -oL curl -s -o /dev/null --max-time 3 --rate "$3/s" -H "Connection: close" \
			-w "%{http_code} %{exitcode} %{time_total} %header{x-backend}\n" "$1?[1-$2]" |
			while read -r line; do echo "$EPOCHREALTIME $line"; done > "$0"' "$LAB_DIR/load.txt" "$@"
	load_pid=$LAB_PID
	lab_wait 5 test -s "$LAB_DIR/load.txt"
}

load_end() { lab_wait "${1:-30}" lab_gone "$load_pid"; }

# Requests that failed, of those that began after the time given.
load_failed() {
	awk -v after="${1:-0}" '$2 != 200 && $1 - $4 > after { n++ } END { print n + 0 }' "$LAB_DIR/load.txt"
}

load_count() { wc -l < "$LAB_DIR/load.txt"; }
