#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The main job, on this machine: a client, a balancer and three backends in network namespaces of their own. Shows how
# requests are spread, what happens when a backend dies under load, and how one is drained. Removes all that it made, on
# success, failure and Ctrl-C. The exit status is 0 only if what it says is so.

cd "$(dirname "$0")/.." || exit 1
: "${BUILD:=build}"
BUILD=$(realpath -m "$BUILD")
. tools/lab.sh
name=${DEMO_LAB:-shunt-demo}

say() { printf '%s\n' "$@"; }
title() { printf '\n%s%s%s\n' "${bold}" "$1" "${plain}"; }
show() { sed 's/^/    /'; }
bold='' plain=''
[ ! -t 1 ] || { bold=$'\e[1m' plain=$'\e[0m'; }

give_up() {
	echo >&2
	echo "The demo failed: $*" >&2
	[ ! -s "$LAB_DIR/balancer/shuntd.log" ] || { echo "The balancer's log says last:" >&2; tail -5 "$LAB_DIR/balancer/shuntd.log" >&2; }
	exit 1
}

# The command as the reader would type it, then what it says.
shunt() {
	say "  $bold\$ shunt $*$plain"
	lab_shunt balancer "$@" | show
	[ "${PIPESTATUS[0]}" = 0 ] || give_up "shunt $* did not succeed"
}

# ---- the parts ----

services=("$LAB_SERVICE4:80/tcp" "[$LAB_SERVICE6]:80/tcp" "$LAB_SERVICE4:53/udp")

balancer_config() {
	lab_config_head balancer edge
	cat <<-END
		services:
		  - name: web
		    listen: ["$LAB_SERVICE4:80/tcp", "[$LAB_SERVICE6]:80/tcp"]
		    health: { http: { path: /healthz }, interval: 400ms, timeout: 300ms, fall: 2, rise: 2 }
		    backends: [{ address: "10.77.0.11:80" }, { address: "10.77.0.12:80" }, { address: "10.77.0.13:80" }]
		  - name: dns
		    listen: ["$LAB_SERVICE4:53/udp"]
		    health: { tcp: { port: 80 }, interval: 400ms, timeout: 300ms }
		    backends: [{ address: "10.77.0.11:53" }, { address: "10.77.0.12:53" }, { address: "10.77.0.13:53" }]
	END
}

build_lab() {
	lab_up "$name" && lab_standard 3 1540 || give_up "the network namespaces could not be made"
}

start_backend() {
	lab_web "$1" || give_up "no web server on $1"
	lab_spawn "$1" "$1/udp.log" tools/udp.py answer "$1" "$LAB_SERVICE4" 53
	lab_backend_host "$1" "${services[@]}" || give_up "no shuntd on $1"
}

# Which backend has each of twenty of the client's ports?
owners() {
	local port
	for port in $(seq 40001 40020); do
		lab_shunt balancer -j explain "10.77.0.2:$port" "$LAB_SERVICE4:80/tcp" syn | jq -r .backend
	done
}

states() { lab_shunt balancer -j backend list | jq -r '.backends[].state' | paste -sd ' '; }
is_state() { [ "$(lab_shunt balancer -j backend list web | jq -r ".backends[] | select(.address == \"$1\") | .state")" = "$2" ]; }
all_healthy() { [ "$(states)" = "healthy healthy healthy healthy healthy healthy" ]; }

# bars: reads names, one a line, prints how often each came, and leaves that in $LAB_DIR/counts
bars() {
	sort | uniq -c | tee "$LAB_DIR/counts" |
		awk '{ printf "    %-5s %4d  ", $2, $1; for (i = 0; i < $1 / 4; i++) printf "#"; print "" }'
}

requests() { lab_in client curl -sS --max-time 3 -H 'Connection: close' "$1?[1-$2]"; }

# spread_over N TOTAL: was what bars showed so?
spread_over() {
	awk -v n="$1" -v total="$2" '{ names++; sum += $1; if ($1 < total / n / 2) few++ }
		END { exit names != n || sum != total || few > 0 }' "$LAB_DIR/counts" ||
		give_up "$2 requests should have been answered, spread over $1 backends"
}

# Lines of $LAB_DIR/load.txt: END_TIME HTTP_STATUS SECONDS
load_begin() {
	# shellcheck disable=SC2016 # for the inner shell
	lab_spawn client client/load.out bash -c '
		stdbuf -oL curl -s -o /dev/null --max-time 3 --rate "$3/s" -H "Connection: close" \
			-w "%{http_code} %{time_total}\n" "$1?[1-$2]" |
			while read -r line; do echo "$EPOCHREALTIME $line"; done > "$0"' "$LAB_DIR/load.txt" "$@"
	load_pid=$LAB_PID
	lab_wait 5 test -s "$LAB_DIR/load.txt" || give_up "no request was made"
}

kill_under_load() {
	local killed verdict before after total
	load_begin "http://$LAB_SERVICE4/" 400 100
	sleep 1
	killed=$EPOCHREALTIME
	lab_web_kill b2
	lab_wait 10 is_state 10.77.0.12:80 unhealthy || give_up "the dead backend was not found out"
	verdict=$EPOCHREALTIME
	lab_wait 20 lab_gone "$load_pid" || give_up "the load did not end"
	total=$(wc -l < "$LAB_DIR/load.txt")
	before=$(awk -v t="$verdict" '$2 != 200 && $1 - $3 <= t' "$LAB_DIR/load.txt" | wc -l)
	after=$(awk -v t="$verdict" '$2 != 200 && $1 - $3 > t' "$LAB_DIR/load.txt" | wc -l)
	say "  The verdict came $(awk -v a="$killed" -v b="$verdict" 'BEGIN { printf "%.1f", b - a }') s after the kill (checks every 0.4 s, two failures make a verdict)." \
		"  $total requests in all. Before the verdict, $before failed: they met the dead server." \
		"  From the verdict on: $after failed."
	[ "$total" = 400 ] && [ "$after" = 0 ] || give_up "after the verdict no request may fail"
}

drain_another() {
	shunt backend drain web 10.77.0.13:80
	requests "http://$LAB_SERVICE4/" 60 | bars
	awk '$2 == "b1" && $1 == 60 { found = 1 } END { exit !found }' "$LAB_DIR/counts" ||
		give_up "all new requests should have gone to the one backend that is left"
	say "  b3 is enabled again, and so is the web server on b2."
	lab_web b2 || give_up "no web server on b2"
	shunt backend enable web 10.77.0.13:80
	lab_wait 10 all_healthy || give_up "not all backends came back: $(states)"
	[ "$(owners)" = "$before" ] || give_up "b2 and b3 should have got back what was theirs"
	say "  Both have got back exactly the flows that were theirs (twenty were compared)."
}

# The client balances its own connections: to an address that nobody has, without an interface and without a packet touched.
sockets_config() {
	cat <<-END
		cgroup: $LAB_CGROUP
		control: { socket: $(lab_socket client) }
		pins: $(lab_pins client)
		metrics: { listen: off }
		limits: { services: 64, listeners: 256, members: 4096, backends: 4096, slots: 65536 }
		services:
		  - name: web
		    listen: ["10.96.0.10:8080/tcp"]
		    algorithm: round-robin
		    health: { http: { path: /healthz }, interval: 400ms, timeout: 300ms, fall: 2, rise: 2 }
		    backends: ["10.77.0.11:80", "10.77.0.12:80", "10.77.0.13:80"]
	END
}

client_is_ready() { [ "$(lab_shunt client -j backend list | jq -r '[.backends[].state] | unique | join(" ")')" = healthy ]; }

at_the_socket() {
	if [ -z "$(findmnt -n -t cgroup2 -o TARGET | head -1)" ]; then
		say "  Left out: cgroup v2 is not mounted here (mount -t cgroup2 none /sys/fs/cgroup)."
		return
	fi
	lab_cgroup && sockets_config > "$LAB_DIR/client.yaml" && lab_daemon client "$LAB_DIR/client.yaml" ||
		give_up "no shuntd on the client"
	lab_wait 10 client_is_ready || give_up "not all backends became healthy on the client"
	sed -n '/^services/,$p' "$LAB_DIR/client.yaml" | show
	say "  http://10.96.0.10:8080/, an address that no host has, from a process on the client:"
	lab_app client "" curl -sS --max-time 3 -H 'Connection: close' "http://10.96.0.10:8080/?[1-300]" | bars
	spread_over 3 300
	say "  $bold\$ shunt explain --connect 10.96.0.10:8080/tcp$plain"
	lab_shunt client explain --connect 10.96.0.10:8080/tcp | show
	[ "${PIPESTATUS[0]}" = 0 ] || give_up "shunt explain --connect did not succeed"
}

show_metrics() {
	lab_in balancer curl -sf http://127.0.0.1:9650/metrics |
		grep -E '^shunt_(packets_total\{verdict="edge_(forwarded|dropped)|backend_(packets_total|state).*service="web".*(state="(un)?healthy")?\}|service_packets)' |
		grep -vE 'state="(unknown|ejected|draining|disabled)"' | show
	[ "${PIPESTATUS[0]}" = 0 ] || give_up "no metrics"
}

# ---- the story ----

[ "$(id -u)" = 0 ] || { say "The demo makes network namespaces, and that needs root: sudo make demo" >&2; exit 1; }
[ -x "$BUILD/shuntd" ] && [ -x "$BUILD/shunt" ] || { say "There is nothing in $BUILD yet: sudo make demo builds it first" >&2; exit 1; }
mkdir -p /run/lock && exec 9> "/run/lock/$name" || exit 1
flock -n 9 || { say "Another demo is running on this machine: wait for it to end" >&2; exit 1; }
trap 'lab_down; rm -f "/run/lock/$name"' EXIT
trap 'echo; echo "Interrupted: removing what the demo made." >&2; exit 130' INT TERM HUP

title "shunt: one client, one balancer, three backends"
say "Each is a network namespace on this machine; nothing outside them is touched, and all is removed at the end." "" \
	"    client ----------> balancer (shuntd: XDP program 'edge')" \
	"    10.77.0.2          10.77.0.3, balances $LAB_SERVICE4 and $LAB_SERVICE6" \
	"       ^                  |  in an IP tunnel" \
	"       |                  v" \
	"       +------ b1 10.77.0.11   b2 10.77.0.12   b3 10.77.0.13" \
	"       direct answers      (a web server and shuntd on each: XDP program 'backend')"
build_lab
for node in b1 b2 b3; do
	start_backend $node
done
balancer_config > "$LAB_DIR/balancer.yaml"
lab_daemon balancer "$LAB_DIR/balancer.yaml" || give_up "no shuntd on the balancer"
lab_wait 10 all_healthy || give_up "not all backends became healthy: $(states)"
say "" "The balancer's services, as in /etc/shunt/shunt.yaml:"
sed -n '/^services/,$p' "$LAB_DIR/balancer.yaml" | show

title "1. 300 HTTP requests over IPv4, 150 over IPv6, 150 datagrams: who answers?"
say "  http://$LAB_SERVICE4/"
requests "http://$LAB_SERVICE4/" 300 | bars
spread_over 3 300
say "  http://[$LAB_SERVICE6]/"
requests "http://[$LAB_SERVICE6]/" 150 | bars
spread_over 3 150
say "  $LAB_SERVICE4:53/udp"
lab_in client tools/udp.py ask "$LAB_SERVICE4" 53 150 | awk '{ print $1 }' | bars
spread_over 3 150
say "  Why does a packet go where it goes? The loaded program itself says:"
shunt explain 10.77.0.2:40000 "$LAB_SERVICE4:80/tcp"

before=$(owners)
title "2. The web server on b2 is killed, with 100 requests a second running"
kill_under_load
shunt backend list web

title "3. b3 is drained: 60 new requests, and b2 is still dead"
drain_another

title "4. Without a balancer: the client's own connections, at the socket"
at_the_socket

title "5. What is going on?"
shunt status
say "" "  And for Prometheus, at http://127.0.0.1:9650/metrics:"
show_metrics

title "That was it: everything is removed again. How to go on"
say "  README.md                 a balancer and a backend host in production, step by step" \
	"  sudo make install         shuntd, shunt, a systemd unit, man pages (shunt.yaml(5) has every key)" \
	"  sudo make test            what was shown here and much more, as tests" \
	"  sudo make bench           how many nanoseconds a packet costs on this machine"
