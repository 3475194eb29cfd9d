# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A QUIC connection stays with its backend when its client's address changes: real clients and servers (ngtcp2's), whose
# connection IDs say which server issued them.

load helpers

services=("192.0.2.10:443/udp" "[2001:db8::10]:443/udp")

setup_file() {
	local i
	lab_begin
	for i in gtlsserver gtlsclient openssl gcc; do
		command -v $i > /dev/null || export MISSING=$i
	done
	[ -z "$MISSING" ] || return 0
	lab_standard 3 1540
	for i in $(seq 2 6); do
		ip -n "$LAB-client" address add "10.77.0.10$i/24" dev eth0
		ip -n "$LAB-client" address add "fd77::10$i/64" dev eth0
	done
	gcc -shared -fPIC -D_GNU_SOURCE -o "$LAB_DIR/server_id.so" "$BATS_TEST_DIRNAME/quic_server_id.c" -ldl
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$LAB_DIR/key" -out "$LAB_DIR/cert" -days 2 -subj /CN=lab 2> /dev/null
	for i in 1 2 3; do
		quic_server "$i"
		lab_backend_host "b$i" "${services[@]}"
	done
	with_quic > "$LAB_DIR/balancer.yaml"
	lab_daemon balancer "$LAB_DIR/balancer.yaml"
	lab_wait 10 eval 'lab_shunt balancer -j backend list | jq -e "all(.backends[]; .nexthop.usable)"'
}

setup() {
	[ -z "$MISSING" ] || skip "$MISSING is missing; it takes the packages ngtcp2-client, ngtcp2-server, openssl and gcc"
}

# Each has files of its own, so that what arrives says who sent it.
quic_server() {
	local dir=$LAB_DIR/b$1/files
	mkdir -p "$dir"
	echo "b$1" > "$dir/name"
	{ echo "b$1"; head -c 1000000 /dev/zero; } > "$dir/big"
	lab_spawn "b$1" "b$1/quic.out" env LD_PRELOAD="$LAB_DIR/server_id.so" SERVER_ID="0a0$1" gtlsserver -q --timeout=5s \
		-d "$dir" '*' 443 "$LAB_DIR/key" "$LAB_DIR/cert"
	lab_wait 5 lab_in "b$1" grep -q ':01BB ' /proc/net/udp6
}

# config OPTION SERVER_ID?: the balancer's, with this option of the service and, if so, the backends' IDs
config() {
	local i
	lab_config_head balancer edge
	cat <<-END
		services:
		  - name: quic
		    listen: ["${services[0]}", "${services[1]}"]
		    health: none
		    $1
		    transition: 0s
		    backends:
	END
	for i in 1 2 3; do
		echo "      - { address: \"$(lab_backend4 "$i"):443\"${2:+, server-id: \"0a0$i\"} }"
	done
}

with_quic() { config "quic: { config: 3, server-id: 2 }" yes; }

# name ADDRESS [OPTION...]: who answers one short connection
name() {
	local dir=$LAB_DIR/name.$BASHPID at=$1
	shift
	mkdir "$dir"
	lab_in client timeout 10 gtlsclient -q --no-quic-dump --no-http-dump --timeout=3s --exit-on-all-streams-close \
		--download="$dir" "$@" "$at" 443 https://quic.test/name > /dev/null 2>&1
	cat "$dir/name" 2> /dev/null
	rm -r "$dir"
}

# download PORT ADDRESS [SOURCE...]: a file, over a NAT at PORT of loopback that moves after each 12 datagrams. Prints who
# sent all of it, or "broken".
download() {
	local dir=$LAB_DIR/download.$1 port=$1 to=$2 at=127.0.0.1 nat
	shift 2
	[[ $to != *:* ]] || at=::1
	mkdir "$dir"
	lab_spawn client "download.$port/moves" "$ROOT/tools/udp.py" move "$port" "$to" 443 12 "$@"
	nat=$LAB_PID
	lab_wait 5 lab_in client sh -c "cat /proc/net/udp /proc/net/udp6 | grep -q ':$(printf %04X "$port") '"
	lab_in client timeout 10 gtlsclient -q --no-quic-dump --no-http-dump --timeout=2s --exit-on-all-streams-close \
		--download="$dir" "$at" "$port" https://quic.test/big > "$dir/client" 2>&1 || true
	lab_kill "$nat"
	if [ "$(stat -c %s "$dir/big" 2> /dev/null)" = 1000003 ]; then
		head -1 "$dir/big"
	else
		echo broken
	fi
}

sources4=(10.77.0.102 10.77.0.103 10.77.0.104 10.77.0.105 10.77.0.106)
sources6=(fd77::102 fd77::103 fd77::104 fd77::105 fd77::106)

# downloads N: of both families at the same time; the moves of each are in $LAB_DIR/download.*/moves
downloads() {
	local i pids=()
	rm -rf "$LAB_DIR"/download.*
	for i in $(seq "$1"); do
		if [ $((i % 2)) = 0 ]; then
			download $((20000 + i)) 192.0.2.10 "${sources4[@]}" &
		else
			download $((20000 + i)) 2001:db8::10 "${sources6[@]}" &
		fi
		pids+=($!)
	done
	wait "${pids[@]}"
}

@test "connections begin wherever their flow's hash leads, on every backend" {
	local i
	for i in $(seq 24); do name 192.0.2.10; done | sort | uniq -c > "$LAB_DIR/names"
	all_take_part 3 1 < "$LAB_DIR/names"
}

@test "connections go on while their client's address changes again and again" {
	local moves
	downloads 8 > "$LAB_DIR/names"
	[ "$(wc -l < "$LAB_DIR/names")" = 8 ]
	refuse grep broken "$LAB_DIR/names"
	for moves in "$LAB_DIR"/download.*/moves; do
		[ "$(wc -l < "$moves")" -ge 6 ] || fail "$(cat "$moves")"
	done
}

@test "a client that moves of its own accord, with a new connection ID, stays with its backend" {
	local i
	for i in $(seq 6); do
		[[ $(name 192.0.2.10 --change-local-addr=50ms --delay-stream=150ms) = b? ]]
		[[ $(name 2001:db8::10 --change-local-addr=50ms --delay-stream=150ms) = b? ]]
	done
}

@test "a backend that is drained keeps its connections, wherever they come from" {
	local i
	downloads 8 > "$LAB_DIR/names" &
	lab_wait 5 eval '[ "$(cat "$LAB_DIR"/download.*/moves | wc -l)" -gt 16 ]'
	lab_shunt balancer backend drain quic "$(lab_backend4 1):443"
	lab_shunt balancer backend drain quic "$(lab_backend4 2):443"
	wait
	[ "$(wc -l < "$LAB_DIR/names")" = 8 ]
	refuse grep broken "$LAB_DIR/names"
	for i in $(seq 6); do
		[ "$(name 192.0.2.10)" = b3 ]
	done
	lab_shunt balancer backend enable quic "$(lab_backend4 1):443"
	lab_shunt balancer backend enable quic "$(lab_backend4 2):443"
}

@test "explain says to whom a connection ID leads, and what decides without one" {
	lab_shunt balancer explain 203.0.113.5:4000 192.0.2.10:443/udp cid 6b0a02112233445566 |
		grep "has the QUIC connection ID 6b0a02112233445566, which $(lab_backend4 2):443 "
	lab_shunt balancer -j explain 203.0.113.5:4000 192.0.2.10:443/udp cid 6b0a02112233445566 |
		jq -e --arg b "$(lab_backend4 2):443" '.by_connection_id and .backend == $b'
	lab_shunt balancer -j explain 203.0.113.5:4000 192.0.2.10:443/udp cid 0b0a02112233445566 |
		jq -e '.by_connection_id == false and .slots > 0'
	lab_shunt balancer explain 203.0.113.5:4000 192.0.2.10:443/udp | grep "no QUIC connection ID"
}

@test "what the service has is shown" {
	lab_shunt balancer -j service show quic | jq -e '.quic == { config: 3, server_id: 2 } and .affinity == "flow"'
	lab_shunt balancer -j backend list quic | jq -e '[.backends[].server_id] == ["0a01", "0a02", "0a03"]'
	lab_shunt balancer backend list quic | grep "$(lab_backend4 3):443 *0a03"
}

@test "a backend that is added by command needs a server ID of its own" {
	local new
	new="$(lab_backend4 4):443"
	run -1 lab_shunt balancer backend add quic "$new"
	[[ $output == *"has no server-id"* ]]
	run -1 lab_shunt balancer backend add quic "$new" server-id 0a03
	run -2 lab_shunt balancer backend add quic "$new" server-id
	lab_shunt balancer backend add quic "$new" server-id 0a04 weight 0
	[ "$(backend quic "$new" .server_id)" = 0a04 ]
	lab_shunt balancer backend delete quic "$new"
}

# So that the tests above can fail.
@test "without quic the same connections break" {
	config "affinity: flow" > "$LAB_DIR/other.yaml"
	lab_shunt balancer apply "$LAB_DIR/other.yaml"
	downloads 8 > "$LAB_DIR/names"
	[ "$(grep -c broken "$LAB_DIR/names")" -ge 6 ] || fail "$(cat "$LAB_DIR/names")"
	with_quic > "$LAB_DIR/other.yaml"
	lab_shunt balancer apply "$LAB_DIR/other.yaml"
	downloads 4 > "$LAB_DIR/names"
	refuse grep broken "$LAB_DIR/names"
}

@test "with affinity to the client, connections go on from every port of one address" {
	config "affinity: client" > "$LAB_DIR/other.yaml"
	lab_shunt balancer apply "$LAB_DIR/other.yaml"
	rm -rf "$LAB_DIR"/download.*
	[[ $(download 21000 192.0.2.10 10.77.0.102) = b? ]]
	[ "$(wc -l < "$LAB_DIR/download.21000/moves")" -ge 6 ]
	[ "$(for i in $(seq 12); do name 2001:db8::10; done | sort -u | wc -l)" = 1 ]
}
