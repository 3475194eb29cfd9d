# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Backends that die, return, are drained, disabled, reweighted; and the checks that tell.

load helpers

setup_file() {
	lab_begin
	lab_standard 4 1540
	standard_hosts 4
}

# Everything healthy and enabled again, whatever the test before did.
setup() {
	local i
	for i in 1 2 3 4; do
		rm -f "$LAB_DIR/b$i/sick"
		ip -n "$LAB-net" link set "b$i-eth0" up
		lab_in "b$i" curl -sf --max-time 1 -o /dev/null http://127.0.0.1/ || lab_web "b$i"
	done
	lab_shunt balancer apply "$LAB_DIR/balancer.yaml"
	lab_wait 8 all_well
}

all_well() {
	lab_shunt balancer -j status | jq -e '.config.differs == false and .backends.draining == 0 and .backends.disabled == 0' &&
		lab_shunt balancer -j service list |
		jq -e '[.services[] | select(.check.kind != "none") | .backends[]] | length == 8 and all(.[]; .state == "healthy")'
}

# owners FIRST LAST: which backend has each of the client's ports, one a line
owners() {
	local port
	for port in $(seq "$1" "$2"); do
		lab_shunt balancer -j explain 10.77.0.2:"$port" 192.0.2.10:80/tcp syn | jq -r .backend
	done
}

@test "a backend is killed under load: no request that began after the verdict fails" {
	local verdict
	load_begin http://192.0.2.10/ 200 50
	lab_web_kill b2
	lab_wait 5 state_is web 10.77.0.12:80 unhealthy
	verdict=$EPOCHREALTIME
	load_end
	[ "$(load_count)" = 200 ]
	[ "$(load_failed "$verdict")" = 0 ] || fail "$(load_failed "$verdict") requests failed after the verdict"
	[ "$(awk -v t="$verdict" '$1 > t' "$LAB_DIR/load.txt" | grep -c 'b2$')" = 0 ]
}

# Of the 24 downloads each has received something, and so its backend's name.
all_begun() { [ "$(lab_in client ss -tniH state established dst 192.0.2.10 | grep -c bytes_received:)" = 24 ]; }

# slow_begin: 24 downloads of four seconds each, over a connection each; a line of $LAB_DIR/slow.txt for each that ended
slow_begin() {
	rm -f "$LAB_DIR/slow.txt"
	lab_spawn client client/slow.out bash -c 'curl -s -Z --parallel-immediate --parallel-max 24 -o /dev/null --max-time 20 \
		-w "%{exitcode} %{size_download} %header{x-backend}\n" "http://192.0.2.10/slow/4M?[1-24]" > "$0"' "$LAB_DIR/slow.txt"
	slow_pid=$LAB_PID
	lab_wait 5 all_begun
}

slow_end() {
	lab_wait 25 lab_gone "$slow_pid"
	cat "$LAB_DIR/slow.txt"
	[ "$(wc -l < "$LAB_DIR/slow.txt")" = 24 ]
}

all_complete() { awk '$1 != 0 || $2 != 4000000 { broken++ } END { exit broken > 0 }' "$LAB_DIR/slow.txt"; }

@test "a backend is killed: every connection to the others lives on" {
	slow_begin
	lab_web_kill b3
	lab_wait 5 state_is web 10.77.0.13:80 unhealthy
	slow_end
	awk '$3 != "b3" && ($1 != 0 || $2 != 4000000) { broken++ } $3 == "b3" && $1 == 0 { spared++ } $3 != "b3" { kept++ }
		END { exit broken > 0 || spared > 0 || kept < 8 }' "$LAB_DIR/slow.txt"
}

@test "a drained backend keeps the connections that it has and gets no new one" {
	slow_begin
	lab_shunt balancer backend drain web 10.77.0.11:80
	refuse eval 'spread http://192.0.2.10/ 60 | grep -w b1'
	slow_end
	all_complete
	grep -q 'b1$' "$LAB_DIR/slow.txt"
}

@test "changed weights and an added backend break no connection" {
	lab_shunt balancer backend delete web 10.77.0.14:80
	slow_begin
	lab_shunt balancer backend add web 10.77.0.14:80
	lab_shunt balancer backend weight web 10.77.0.11:80 10
	lab_wait 5 state_is web 10.77.0.14:80 healthy
	lab_shunt balancer backend weight web 10.77.0.12:80 300
	slow_end
	all_complete
}

# Connections of the client to a service's address: their local ports, one a line.
client_ports() { lab_in client ss -tnH state established dst "$1" | awk '{ sub(/.*:/, "", $3); print $3 }'; }

noted_flows() { lab_shunt balancer -j flow list web --state open | jq -e --argjson n "$1" '.total >= $n'; }

@test "connections that a change left where they were are listed with their backends" {
	local downloads=$LAB_DIR/downloads.txt port noted at
	lab_wait 5 eval 'lab_shunt balancer -j status | jq -e ".uptime_seconds > 3"' # no service is young
	lab_shunt balancer backend delete web 10.77.0.14:80
	lab_spawn client client/downloads.out bash -c 'exec curl -s -Z --parallel-immediate --parallel-max 24 -o /dev/null \
		--max-time 60 -w "%{local_port} %{exitcode} %header{x-backend}\n" "http://192.0.2.10/slow/4M?[1-24]" > "$0"' "$downloads"
	lab_wait 5 all_begun
	lab_shunt balancer backend add web 10.77.0.14:80 weight 300 # half of the slots
	lab_wait 5 noted_flows 1
	kill -STOP "$LAB_PID" # the downloads stay open for as long as it takes to look at them
	for port in $(client_ports 192.0.2.10); do
		echo "$port $(lab_shunt balancer -j flow show "10.77.0.2:$port" 192.0.2.10:80/tcp | jq -r '.flow.backend')"
	done > "$LAB_DIR/noted.txt"
	lab_shunt balancer -j flow list web | jq -e '.max_flows > 0 and .total == (.flows | length) and
		all(.flows[]; .service == "web" and (.state != "open" or .age_seconds < 20))'
	at=$(lab_shunt balancer -j flow list web --state open --limit 1 | jq -r '.flows[].backend')
	lab_shunt balancer flow list web --backend "$at" --state open --limit 5 |
		awk -v at="$at" 'NR > 1 && ($1 != "web" || $3 != at || $4 != "open") { bad = 1 } END { exit bad || NR < 2 }'
	kill -CONT "$LAB_PID"
	lab_in balancer curl -sf http://127.0.0.1:9650/metrics | grep -q '^shunt_flows_noted_total{service="web"} [1-9]'
	lab_shunt balancer -j status | jq -e '.limits.flows.used > 0 and .limits.flows.of >= .limits.flows.used'
	lab_wait 25 lab_gone "$LAB_PID"
	# what was noted is where the connection really was
	noted=$(grep -vc null "$LAB_DIR/noted.txt")
	[ "$noted" -ge 1 ]
	join <(sed -n 's/ 10.77.0.1\(.\):80$/ b\1/p' "$LAB_DIR/noted.txt" | sort) <(sort "$downloads") |
		awk -v n="$noted" '{ print; same += $3 == 0 && $2 == $4 } END { exit same != n }'
}

@test "a backend whose host vanishes is found by the check's timeout, and UDP and other services leave it too" {
	ip -n "$LAB-net" link set b4-eth0 down
	lab_wait 5 state_is web 10.77.0.14:80 unhealthy
	backend web 10.77.0.14:80 .check.last_error | grep -q 'within 180 ms'
	[ "$(spread http://192.0.2.10/ 60 | awk '{ n += $1 } END { print n }')" = 60 ]
}

@test "slots of a failed backend come back exactly, and no other moves" {
	local before during after
	before=$(owners 30001 30040)
	touch "$LAB_DIR/b1/sick"
	lab_wait 5 state_is web 10.77.0.11:80 unhealthy
	during=$(owners 30001 30040)
	refuse grep -q 10.77.0.11 <<< "$during"
	[ "$(paste <(echo "$before") <(echo "$during") | awk '$1 != $2 && $1 != "10.77.0.11:80"' | wc -l)" = 0 ]
	rm "$LAB_DIR/b1/sick"
	lab_wait 5 state_is web 10.77.0.11:80 healthy
	after=$(owners 30001 30040)
	[ "$before" = "$after" ]
}

@test "an HTTP check sees the status, and says which" {
	touch "$LAB_DIR/b1/sick"
	lab_wait 5 state_is web 10.77.0.11:80 unhealthy
	backend web 10.77.0.11:80 .check.last_error | grep -q 503
	# the same endpoint over IPv6 is another backend with a check of its own, and is ill for the same reason
	lab_wait 5 state_is web6 '[fd77::11]:80' unhealthy
}

@test "a TCP check sees whether somebody listens" {
	lab_shunt balancer apply <(sed 's/{ http: { path: \/healthz }, /{ tcp: {}, /' "$LAB_DIR/balancer.yaml") ||
		fail "tcp check refused"
	touch "$LAB_DIR/b1/sick"
	lab_wait 5 eval '[ "$(backend web 10.77.0.12:80 .check.checks)" -gt 3 ]'
	state_is web 10.77.0.11:80 healthy
	lab_web_kill b1
	lab_wait 5 state_is web 10.77.0.11:80 unhealthy
	backend web 10.77.0.11:80 .check.last_error | grep -qi refused
}

@test "the first check decides alone, without waiting for fall" {
	lab_web_kill b1
	lab_wait 5 state_is web 10.77.0.11:80 unhealthy
	lab_shunt balancer apply <(sed -e 's/fall: 2/fall: 50/; s/192.0.2.10:80/192.0.2.16:80/; s/name: web$/name: fresh/' \
		-e 's/path: \/healthz/path: \/other/' "$LAB_DIR/balancer.yaml")
	lab_wait 3 state_is fresh 10.77.0.11:80 unhealthy
	[ "$(backend fresh 10.77.0.11:80 .check.checks)" -lt 50 ]
}

@test "without any usable backend packets are dropped as no_backend, and explain says so" {
	local i before
	for i in 1 2 3 4; do
		touch "$LAB_DIR/b$i/sick"
	done
	for i in 1 2 3 4; do
		lab_wait 5 state_is web "10.77.0.1$i:80" unhealthy
	done
	before=$(drops no_backend)
	run fetch http://192.0.2.10/ --max-time 0.3
	[ "$status" != 0 ]
	[ "$(drops no_backend)" -gt "$before" ]
	lab_shunt balancer -j explain 10.77.0.2:5 192.0.2.10:80/tcp | jq -e '.verdict == "edge_dropped" and .reason == "no_backend"'
	lab_shunt balancer explain 10.77.0.2:5 192.0.2.10:80/tcp | grep -i backend
}

@test "a drained backend gets no new connection, and returns when it is enabled" {
	lab_shunt balancer backend drain web 10.77.0.12:80
	state_is web 10.77.0.12:80 draining
	spread http://192.0.2.10/ 60 | tee /dev/stderr | all_take_part 3 5
	lab_shunt balancer -j status | jq -e '.config.differs and (.config.differences | length > 0)'
	lab_shunt balancer backend enable web 10.77.0.12:80
	state_is web 10.77.0.12:80 healthy
	spread http://192.0.2.10/ 80 | all_take_part 4 5
}

@test "a disabled backend gets nothing" {
	lab_shunt balancer backend disable web 10.77.0.13:80
	state_is web 10.77.0.13:80 disabled
	refuse eval 'spread http://192.0.2.10/ 60 | grep -w b3'
	lab_shunt balancer backend enable web 10.77.0.13:80
}

@test "weights decide the shares" {
	lab_shunt balancer backend weight web 10.77.0.11:80 300
	lab_shunt balancer -j service show web | jq -e '
		(.backends[] | select(.address == "10.77.0.11:80") | .share) as $s | $s > 0.48 and $s < 0.52'
	spread http://192.0.2.10/ 120 | awk '$2 == "b1" { exit !($1 > 35 && $1 < 85) }'
	lab_shunt balancer backend weight web 10.77.0.11:80 0
	refuse eval 'spread http://192.0.2.10/ 60 | grep -w b1'
}

@test "a backend is deleted and added while requests run, and none fails" {
	load_begin http://192.0.2.10/ 120 50
	lab_shunt balancer backend delete web 10.77.0.14:80
	sleep 0.5 # some requests without it
	lab_shunt balancer backend add web 10.77.0.14:80
	lab_wait 5 state_is web 10.77.0.14:80 healthy
	load_end
	[ "$(load_count)" = 120 ]
	[ "$(load_failed)" = 0 ] # it keeps the connections that it has
	spread http://192.0.2.10/ 80 | all_take_part 4 5
}
