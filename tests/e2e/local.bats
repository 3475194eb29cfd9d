# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Services whose servers are on the edge host itself (forward: local): their addresses and ports lead to sockets that
# listen elsewhere.

load helpers

check='{ tcp: {}, interval: 200ms, timeout: 100ms, fall: 1, rise: 1 }'

# The first is the one of most tests; 10.77.0.50 is on the client's own network.
services() {
	cat <<-END
		services:
		  - name: web
		    forward: local
		    listen: ["192.0.2.10:80/tcp", "192.0.2.10:443/tcp", "[2001:db8::10]:80/tcp", "10.77.0.50:80/tcp"]
		    health: $check
		    backends: ["127.0.0.1:8080"]
		  - name: every
		    forward: local
		    listen: ["192.0.2.11:*/tcp", "192.0.2.11:*/udp"]
		    health: none
		    backends: ["127.0.0.1:8080"]
		  - name: dns
		    forward: local
		    listen: ["192.0.2.10:53/udp", "[2001:db8::10]:53/udp"]
		    health: none
		    backends: ["127.0.0.1:53"]
		  - name: two
		    forward: local
		    listen: ["192.0.2.12:80/tcp"]
		    health: $check
		    backends: [{ address: "127.0.0.1:8081", weight: 100 }, { address: "127.0.0.1:8082", weight: 300 }]
		  - name: sticky
		    forward: local
		    affinity: client
		    listen: ["192.0.2.13:*/tcp"]
		    health: $check
		    backends: ["127.0.0.1:8081", "127.0.0.1:8082"]
		  - name: six
		    forward: local
		    listen: ["192.0.2.14:80/tcp", "[2001:db8::14]:80/tcp"]
		    health: none
		    backends: ["[::1]:8083"]
		  - name: shared
		    forward: local
		    listen: ["192.0.2.15:80/tcp"]
		    health: none
		    backends: ["127.0.0.1:8084"]
		  - name: tls
		    forward: local
		    listen: ["192.0.2.16:80/tcp"]
		    health: none
		    backends: ["127.0.0.1:8085"]
	END
}

# serve LABEL PROTOCOL ADDRESS PORT [WORD...]: a server on the edge host, named LABEL
serve() {
	local label=$1 protocol=$2
	shift 2
	lab_spawn edge "edge/$label.out" "$ROOT/tests/e2e/listen.py" "$protocol" "$label" "$@"
	echo "$LAB_PID" > "$LAB_DIR/edge/$label.pid"
}

stop() { lab_kill "$(cat "$LAB_DIR/edge/$1.pid")" KILL; }

# ask ADDRESS PORT [N [BYTES]]: what listen.py prints
ask() { lab_in client "$ROOT/tests/e2e/listen.py" ask "$@"; }

# answers TEXT ADDRESS PORT [N [BYTES]]
answers() {
	local text=$1
	shift
	ask "$@" | grep -qx "$text"
}

# heard TEXT [BYTES]: the silent server did; BYTES: after it was sent so many
heard() {
	[ -z "$2" ] || ask 192.0.2.11 514 1 "$2"
	grep -qx "$1" "$LAB_DIR/edge/syslog.out"
}

counted() { lab_shunt edge -j status | jq ".packets.$1"; }

link_count() { bpftool -j link list | jq --argjson ns "$(stat -Lc %i "/run/netns/$LAB-edge")" \
	'[.[] | select(.type == "netns" and .netns_ino == $ns)] | length'; }

setup_file() {
	lab_begin
	lab_bridge front
	lab_node client
	lab_link client eth0 front 1500 10.77.0.2/24 fd77::2/64
	lab_node edge
	lab_link edge eth0 front 1500 10.77.0.3/24 fd77::3/64
	ip -n "$LAB-client" route add 192.0.2.0/24 via 10.77.0.3
	ip -n "$LAB-client" route add 2001:db8::/64 via fd77::3
	{ lab_config_head edge edge; services; } > "$LAB_DIR/edge.yaml"
	serve one tcp 127.0.0.1 8080
	lab_daemon edge "$LAB_DIR/edge.yaml"
	lab_wait 5 answers "1 one 192.0.2.10 80" 192.0.2.10 80
}

@test "a server on 127.0.0.1 is reached at the service's address and ports, and at no other" {
	answers "3 one 192.0.2.10 80" 192.0.2.10 80 3
	answers "3 one 192.0.2.10 443" 192.0.2.10 443 3
	answers "1 ConnectionRefusedError" 192.0.2.10 81
	answers "1 ConnectionRefusedError" 10.77.0.3 80
}

@test "every port of an address leads to it" {
	local port
	for port in 1 22 80 8081 9650 65535; do
		answers "1 one 192.0.2.11 $port" 192.0.2.11 $port
	done
}

@test "processes of this host reach the service, too" {
	lab_in edge "$ROOT/tests/e2e/listen.py" ask 192.0.2.10 443 | grep -qx "1 one 192.0.2.10 443"
}

@test "the address is on lo and answers ARP as any other of this host, whose settings are left alone" {
	answers "1 one 10.77.0.50 80" 10.77.0.50 80
	[ "$(lab_in edge sysctl -n net.ipv4.conf.eth0.arp_ignore)" = 0 ]
	ip -n "$LAB-edge" -j address show dev lo | jq -e '[.[0].addr_info[].local] | index("192.0.2.10") and index("2001:db8::10")'
}

@test "what is given and what is refused is counted" {
	local given refused
	given=$(counted local_given) refused=$(counted local_refused)
	answers "5 one 192.0.2.10 80" 192.0.2.10 80 5
	answers "2 ConnectionRefusedError" 2001:db8::10 80 2
	[ $(($(counted local_given) - given)) = 5 ]
	[ $(($(counted local_refused) - refused)) = 2 ]
}

@test "an IPv6 address needs a socket that takes IPv6: one of every address does, or one beside the IPv4 one" {
	answers "1 ConnectionRefusedError" 2001:db8::10 80
	stop one
	serve both tcp :: 8080
	lab_wait 5 answers "1 both ::ffff:192.0.2.10 80" 192.0.2.10 80
	answers "1 both 2001:db8::10 80" 2001:db8::10 80
	stop both
	serve six tcp :: 8080 v6only
	serve four tcp 0.0.0.0 8080
	lab_wait 5 answers "1 four 192.0.2.10 80" 192.0.2.10 80
	lab_wait 5 answers "1 six 2001:db8::10 80" 2001:db8::10 80
	stop six
	stop four
	serve one tcp 127.0.0.1 8080
	lab_wait 5 answers "1 one 192.0.2.10 80" 192.0.2.10 80
}

@test "an IPv6 backend takes IPv6, and IPv4 too if its server listens on every address" {
	serve onlysix tcp ::1 8083
	lab_wait 5 answers "1 onlysix 2001:db8::14 80" 2001:db8::14 80
	answers "1 ConnectionRefusedError" 192.0.2.14 80
	stop onlysix
	serve both tcp :: 8083
	lab_wait 5 answers "1 both 2001:db8::14 80" 2001:db8::14 80
	answers "1 both ::ffff:192.0.2.14 80" 192.0.2.14 80
	stop both
}

@test "a socket that is bound to the very address is taken before one of every address" {
	serve wide tcp 0.0.0.0 8084 shared
	lab_wait 5 answers "1 wide 192.0.2.15 80" 192.0.2.15 80
	serve exact tcp 127.0.0.1 8084 shared
	lab_wait 5 answers "1 exact 192.0.2.15 80" 192.0.2.15 80
	answers "20 exact 192.0.2.15 80" 192.0.2.15 80 20
	stop exact
	answers "20 wide 192.0.2.15 80" 192.0.2.15 80 20 # at once: it was known
	stop wide
}

@test "a restarted server is found each time" {
	local try begin
	for try in 1 2 3; do
		stop one
		answers "1 ConnectionRefusedError" 192.0.2.11 80
		serve one tcp 127.0.0.1 8080
		lab_wait 5 lab_in edge sh -c 'grep -q 0100007F:1F90 /proc/net/tcp'
		begin=${EPOCHREALTIME/./}
		lab_wait 5 answers "1 one 192.0.2.11 80" 192.0.2.11 80
		echo "# result: found after $(((${EPOCHREALTIME/./} - begin) / 1000)) ms" >&3
	done
	lab_wait 5 answers "1 one 192.0.2.10 80" 192.0.2.10 80
}

@test "nobody else gets what a local service has no server for" {
	serve stranger tcp 0.0.0.0 80
	lab_wait 5 answers "1 stranger 10.77.0.3 80" 10.77.0.3 80
	answers "1 ConnectionRefusedError" 192.0.2.16 80
	answers "1 one 192.0.2.10 80" 192.0.2.10 80
	stop stranger
}

@test "of sockets that share a port all are used, and one that closes takes nothing with it" {
	local name before
	for name in s1 s2 s3; do
		serve $name tcp 127.0.0.1 8084 shared
	done
	lab_wait 5 answers ".* s3 192.0.2.15 80" 192.0.2.15 80 40
	ask 192.0.2.15 80 120 | awk '{ print; if ($1 < 15) few++ } END { exit NR != 3 || few > 0 }'
	for name in s1 s3; do
		stop $name
		before=$(counted local_refused)
		refuse answers ".*Error" 192.0.2.15 80 40
		[ "$(counted local_refused)" = "$before" ]
	done
	stop s2
}

@test "two backends share by their weights, and the one that fails leaves all to the other" {
	serve light tcp 127.0.0.1 8081
	serve heavy tcp 127.0.0.1 8082
	lab_wait 5 answers ".* light 192.0.2.12 80" 192.0.2.12 80 40
	lab_wait 5 answers ".* heavy 192.0.2.12 80" 192.0.2.12 80 40
	ask 192.0.2.12 80 400 | awk '{ print; n[$2] = $1 } END { exit n["light"] < 70 || n["light"] > 130 || n["light"] + n["heavy"] != 400 }'
	stop heavy
	answers "40 light 192.0.2.12 80" 192.0.2.12 80 40
	serve heavy tcp 127.0.0.1 8082
	lab_wait 5 answers ".* heavy 192.0.2.12 80" 192.0.2.12 80 40
}

@test "with affinity: client all connections of an address go to one backend" {
	local port names
	lab_wait 5 answers "1 .*" 192.0.2.13 80
	names=$(for port in 80 81 82 83 84 85; do ask 192.0.2.13 $port 5; done | awk '{ print $2 }' | sort -u)
	[ "$names" = light ] || [ "$names" = heavy ]
}

@test "UDP: the answer comes from the service's address, fragments and all, both families" {
	serve dns udp :: 53
	lab_wait 5 answers "1 dns 10" 192.0.2.10 53 1 10
	answers "5 dns 1472" 192.0.2.10 53 5 1472
	answers "5 dns 6000" 192.0.2.10 53 5 6000
	answers "5 dns 6000" 2001:db8::10 53 5 6000
	stop dns
	serve dns4 udp 127.0.0.1 53
	lab_wait 5 answers "1 dns4 10" 192.0.2.10 53 1 10
	answers "5 dns4 6000" 192.0.2.10 53 5 6000
	lab_in edge "$ROOT/tests/e2e/listen.py" ask 192.0.2.10 53 2 100 | grep -qx "2 dns4 100"
	stop dns4
}

# An answer would leave from the server's own port, which is not the one that was asked.
@test "UDP: every port leads to a server that only listens" {
	serve syslog udp 127.0.0.1 8080 silent
	lab_wait 5 heard "1 192.0.2.11" 1
	ask 192.0.2.11 65535 3 20
	ask 192.0.2.11 514 1 3000
	heard "20 192.0.2.11" && heard "3000 192.0.2.11"
	[ "$(grep -cx "20 192.0.2.11" "$LAB_DIR/edge/syslog.out")" = 3 ]
	stop syslog
}

@test "a socket that cannot be used is named in the log" {
	serve multi tcp 127.0.0.1 8085 multipath
	lab_wait 5 grep -q "socket on 127.0.0.1:8085 cannot be used.*Multipath" "$LAB_DIR/edge/shuntd.log"
	answers "1 ConnectionRefusedError" 192.0.2.16 80
	[ "$(grep -c 8085 "$LAB_DIR/edge/shuntd.log")" = 1 ]
	stop multi
}

@test "explain says who takes the packet" {
	lab_shunt edge explain 10.77.0.2:1 192.0.2.10:80/tcp | grep "listening socket of a backend"
	lab_shunt edge -j explain 10.77.0.2:1 192.0.2.10:80/tcp | jq -e '.verdict == "edge_passed" and .service == "web"'
}

# Its clients are counted while the daemon dies and comes back.
@test "the daemon's death and return are not felt" {
	local asking
	lab_spawn client client/asked "$ROOT/tests/e2e/listen.py" ask 192.0.2.10 80 2500
	asking=$LAB_PID
	lab_kill "$(lab_daemon_pid edge)" KILL
	answers "20 one 192.0.2.10 443" 192.0.2.10 443 20
	[ "$(link_count)" = 1 ]
	lab_daemon edge "$LAB_DIR/edge.yaml"
	[ "$(link_count)" = 1 ]
	lab_wait 20 lab_gone "$asking"
	grep -x "2500 one 192.0.2.10 80" "$LAB_DIR/client/asked"
}

@test "the sockets of a new configuration are known when it holds, and those of the one before until then" {
	local asking
	sed 's/127.0.0.1:8080/127.0.0.1:8081/' "$LAB_DIR/edge.yaml" > "$LAB_DIR/edge.new"
	cp "$LAB_DIR/edge.yaml" "$LAB_DIR/edge.old"
	lab_spawn client client/asked "$ROOT/tests/e2e/listen.py" ask 192.0.2.11 80 2500
	asking=$LAB_PID
	lab_wait 5 answers "1 one 192.0.2.11 80" 192.0.2.11 80
	cp "$LAB_DIR/edge.new" "$LAB_DIR/edge.yaml"
	kill -HUP "$(lab_daemon_pid edge)"
	lab_wait 5 answers "1 light 192.0.2.11 80" 192.0.2.11 80
	lab_wait 20 lab_gone "$asking"
	refuse grep Error "$LAB_DIR/client/asked"
	cp "$LAB_DIR/edge.old" "$LAB_DIR/edge.yaml"
	kill -HUP "$(lab_daemon_pid edge)"
	lab_wait 5 answers "1 one 192.0.2.11 80" 192.0.2.11 80
}

@test "without local services nothing of them stays" {
	{ lab_config_head edge edge; echo "services: []"; } > "$LAB_DIR/edge.yaml"
	kill -HUP "$(lab_daemon_pid edge)"
	lab_wait 5 test ! -e "$(lab_pins edge)/hook_lookup"
	lab_wait 5 answers "1 .*Error" 192.0.2.10 80
	[ "$(link_count)" = 0 ]
	[ "$(bpftool -j map dump pinned "$(lab_pins edge)/local_sockets" | jq length)" = 0 ]
	ip -n "$LAB-edge" -j address show dev lo | jq -e '[.[0].addr_info[].local] == ["127.0.0.1", "::1"]'
}

@test "unload takes away all of it" {
	cp "$LAB_DIR/edge.old" "$LAB_DIR/edge.yaml"
	kill -HUP "$(lab_daemon_pid edge)"
	lab_wait 5 answers "1 one 192.0.2.10 80" 192.0.2.10 80
	lab_kill "$(lab_daemon_pid edge)" KILL
	lab_in edge "$BUILD/shuntd" --unload --pins "$(lab_pins edge)"
	[ "$(link_count)" = 0 ]
	[ ! -e "$(lab_pins edge)" ]
	ip -n "$LAB-edge" -j address show dev lo | jq -e '[.[0].addr_info[].local] == ["127.0.0.1", "::1"]'
}
