# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# forward: gue. What goes through the tunnel, and second chance: with "transition: 0s" a change moves flows at once, so that
# their packets come to backends that do not know them.

load helpers

setup_file() {
	FORWARD=gue KEEP="transition: 0s"
	lab_begin
	lab_standard 3 1700
	local i a
	for i in 1 2 3; do
		for a in 192.0.2.10 2001:db8::10; do
			lab_spawn "b$i" "b$i/udp$a" "$ROOT/tools/udp.py" answer "b$i" "$a" 53
		done
	done
	standard_hosts 3
}

@test "HTTP is spread over all backends, each family in a tunnel of each" {
	spread http://192.0.2.10/ 150 | all_take_part 3 25
	spread "http://[2001:db8::10]/" 150 | all_take_part 3 25
	spread http://192.0.2.11/ 150 | all_take_part 3 25
	spread "http://[2001:db8::11]/" 150 | all_take_part 3 25
}

@test "UDP is spread over all backends" {
	lab_in client "$ROOT/tools/udp.py" ask 192.0.2.10 53 90 | awk '{ print $1 }' | sort | uniq -c | all_take_part 3 10
	lab_in client "$ROOT/tools/udp.py" ask 2001:db8::10 53 90 | awk '{ print $1 }' | sort | uniq -c | all_take_part 3 10
}

sent_on() {
	local i n=0
	for i in 1 2 3; do
		n=$((n + $(lab_shunt "b$i" -j status | jq '.packets.backend_sent_on')))
	done
	echo "$n"
}

# Slow downloads, so many that each backend has some of them; one is drained while they run.
all_begun() {
	local i
	for i in $(seq "$1"); do [ -s "$LAB_DIR/down$i" ] || return 1; done
}

downloads_survive_a_drain() {
	local service=$1 address=$2 backends=$3 i status=0
	local -a pids=()
	for i in $(seq 24); do
		fetch "http://$address/slow/4M" -o "$LAB_DIR/down$i" &
		pids+=($!)
	done
	lab_wait 5 all_begun 24
	lab_shunt balancer backend drain "$service" "$backends"
	for i in "${pids[@]}"; do wait "$i" || status=1; done
	lab_shunt balancer backend enable "$service" "$backends"
	rm -f "$LAB_DIR"/down*
	return $status
}

@test "connections that come to a backend which does not know them are sent on to the one that does" {
	local before
	before=$(sent_on)
	downloads_survive_a_drain web 192.0.2.10 "$(lab_backend4 1):80"
	downloads_survive_a_drain web "[2001:db8::10]" "$(lab_backend4 2):80"
	downloads_survive_a_drain web6 192.0.2.11 "[$(lab_backend6 1)]:80"
	downloads_survive_a_drain web6 "[2001:db8::11]" "[$(lab_backend6 2)]:80"
	[ "$(sent_on)" -gt "$before" ]
}

@test "status says in a sentence that packets were sent on, and metrics count them" {
	local i said=0
	for i in 1 2 3; do
		[ "$(lab_shunt "b$i" -j status | jq '.packets.backend_sent_on')" -gt 0 ] || continue
		lab_shunt "b$i" status | grep -E '^[0-9]+ packets, of flows that are not known here, sent on to backends that may know them$'
		lab_in "b$i" curl -s http://127.0.0.1:9650/metrics | grep -E 'shunt_packets_total\{verdict="backend_sent_on"\} [1-9]'
		said=1
	done
	[ $said = 1 ]
	[ "$(lab_shunt balancer status | grep -c 'sent on to backends')" = 0 ]
}

@test "explain says which tunnel it is, and which other backends the packet names" {
	lab_shunt balancer -j explain 10.77.0.2:1 192.0.2.10:80/tcp | jq -e '.tunnel.forward == "gue" and (.tunnel.others | length) == 2
		and (.tunnel.others + [.tunnel.destination] | unique) == ["10.77.0.11", "10.77.0.12", "10.77.0.13"]'
	lab_shunt balancer explain 10.77.0.2:1 192.0.2.10:80/tcp | grep -E 'in a GUE tunnel from 198\.18\.'
	lab_shunt balancer explain 10.77.0.2:1 192.0.2.10:80/tcp | grep -E 'if the flow is not known there, it is sent on to 10\.77\.0\.1[123], '
	lab_shunt balancer -j explain 10.77.0.2:1 192.0.2.10:80/tcp syn | jq -e '.tunnel.forward == "gue" and .tunnel.others == []'
	lab_shunt balancer -j explain "[2001:db8:77::2]:1" "[2001:db8::11]:80/tcp" | jq -e '.tunnel.forward == "gue" and (.tunnel.others | length) == 2'
}

@test "without second chance they are reset: it is what saves them" {
	local i
	for i in 1 2 3; do
		sed -i 's/loopback: true/loopback: true, second-chance: false/' "$LAB_DIR/b$i.yaml"
		lab_shunt "b$i" apply "$LAB_DIR/b$i.yaml"
	done
	refuse downloads_survive_a_drain web 192.0.2.10 "$(lab_backend4 1):80"
}
