# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Connections of local processes, as the command line and the metrics show them, and `shunt explain --connect`.

load helpers

# One host with two servers on addresses of its own. Programs are attached to a cgroup of the lab alone.
setup_file() {
	lab_begin
	lab_node app
	lab_node plain
	CGROUP=$(findmnt -n -t cgroup2 -o TARGET | head -1)/$LAB
	export CGROUP
	mkdir -p "$CGROUP"/{in/side,out,empty}
	for address in 10.1.0.11 10.1.0.12; do
		ip -n "$LAB-app" address add $address/32 dev lo
	done
	server > "$LAB_DIR/server.py"
	lab_spawn app server.log python3 "$LAB_DIR/server.py"
	lab_wait 5 test -e "$LAB_DIR/ready"
	config > "$LAB_DIR/app.yaml"
	lab_daemon app "$LAB_DIR/app.yaml"
	lab_wait 5 state_is 10.1.0.11:80 healthy
	lab_wait 5 state_is 10.1.0.12:80 healthy
}

teardown_file() {
	lab_down
	[ ! -e "$CGROUP" ]
}

teardown() {
	[ -z "$client" ] || lab_kill "$client"
	[ -n "$BATS_TEST_COMPLETED" ] || tail -15 "$LAB_DIR/app/shuntd.log"
}

# Keeps what it accepts; port 99 is for who must not come.
server() {
	cat <<-END
		import select, socket
		listening = [socket.create_server((a, p), backlog=128) for a in ("10.1.0.11", "10.1.0.12") for p in (80, 99)]
		open("$LAB_DIR/ready", "w")
		kept = []
		while True:
		    for s in select.select(listening, [], [])[0]:
		        c = s.accept()
		        kept.append(c)
		        if s.getsockname()[1] == 99:
		            open("$LAB_DIR/came", "w")
	END
}

config() {
	cat <<-END
		cgroup: $CGROUP
		socket: { except: [/out] }
		control: { socket: $(lab_socket app) }
		metrics: { listen: 127.0.0.1:9650 }
		pins: $(lab_pins app)
		limits: { services: 64, listeners: 256, members: 4096, backends: 4096, slots: 65536 }
		services:
		  - name: web
		    listen: ["192.0.2.10:80/tcp", "[2001:db8::10]:80/tcp"]
		    algorithm: round-robin
		    health: { tcp: {}, interval: 200ms, timeout: 180ms, fall: 2, rise: 2 }
		    backends: [{ address: "10.1.0.11:80" }, { address: "10.1.0.12:80" }]
		  - { name: idle, listen: ["192.0.2.11:80/tcp"], algorithm: least-connections, health: none,
		      backends: [{ address: "10.1.0.11:80" }, { address: "10.1.0.12:80", weight: 50 }] }
		  - { name: dns, listen: ["192.0.2.10:53/udp"], health: none, backends: [{ address: "10.1.0.12:53" }] }
		  - { name: few, listen: ["192.0.2.12:80/tcp"], health: none, clients: { cgroups: [/in] }, algorithm: random,
		      backends: [{ address: "10.1.0.11:80" }] }
		  - { name: gone, listen: ["192.0.2.13:80/tcp"], health: none, no-backend: refused }
		  - { name: lost, listen: ["192.0.2.14:80/tcp"], health: none }
		  - { name: packets, listen: ["192.0.2.15:80/tcp"], at: edge, health: none, backends: [{ address: "10.1.0.11:80" }] }
	END
}

state_is() { lab_shunt app -j backend list web | jq -e --arg a "$1" --arg s "$2" '.backends[] | select(.address == $a) | .state == $s'; }

explain() { lab_shunt app -j explain --connect "$@"; }

# hold N ADDRESS PORT: a process in the cgroup /in that has so many connections, until the test ends
hold() {
	rm -f "$LAB_DIR/held"
	lab_spawn app client.log bash -c 'echo $$ > "$CGROUP/in/cgroup.procs"; exec "$@"' - python3 -c '
import socket, sys, time
held = [socket.create_connection((sys.argv[2], int(sys.argv[3]))) for i in range(int(sys.argv[1]))]
open(sys.argv[4], "w")
time.sleep(100)' "$@" "$LAB_DIR/held"
	client=$LAB_PID
	lab_wait 5 test -e "$LAB_DIR/held"
}

open_are() { [ "$(lab_shunt app -j connection list | jq .total)" = "$1" ]; }

value() { lab_in app curl -sf http://127.0.0.1:9650/metrics | awk -v name="$1 " 'index($0, name) == 1 { print $NF }'; }

# ---- explain --connect ----

@test "a connect is answered by the loaded programs, with the algorithm that chose" {
	explain 192.0.2.10:80/tcp | jq -e '.verdict == "socket_given" and .cgroup == "/" and .service == "web"
		and .algorithm == "round-robin" and (.given | IN("10.1.0.11:80", "10.1.0.12:80")) and .backend == .given
		and .state == "healthy" and .failed_over == false and .error == null and (.steps | length == 5)'
	explain 192.0.2.11:80/tcp | jq -e '.algorithm == "least-connections" and .slot < .slots and .connections == 0
		and (.steps[3] | test("has 0 open, the other has 0"))'
	explain 192.0.2.10:53/udp | jq -e '.service == "dns" and .given == "10.1.0.12:53" and .algorithm == "consistent"'
	explain '[2001:db8::10]:80/tcp' | jq -e '.service == "web" and (.given | startswith("10.1.0.1"))'
	explain 192.0.2.12:80 --cgroup /in/side | jq -e '.service == "few" and .algorithm == "random" and .cgroup == "/in/side"'
	lab_shunt app explain --connect 192.0.2.10:80/tcp | grep -x ' 4. is connected to 10.1.0.1[12]:80 (healthy); getpeername says 192.0.2.10:80'
}

@test "a question takes no turn, opens nothing and is counted nowhere" {
	local first
	first=$(explain 192.0.2.10:80/tcp | jq -r .given)
	for _ in 1 2 3; do
		[ "$(explain 192.0.2.10:80/tcp | jq -r .given)" = "$first" ]
	done
	lab_shunt app -j status | jq -e '.packets | .socket_given + .socket_refused + .socket_exempt + .socket_passed == 0'
	lab_shunt app -j backend list | jq -e 'all(.backends[]; .connects == 0 and .connections == 0)'
	open_are 0
}

@test "who is left alone is told why" {
	explain 192.0.2.12:80/tcp | jq -e '.verdict == "socket_exempt" and .given == "192.0.2.12:80" and (.steps[2] | test("clients name neither"))'
	explain 192.0.2.12:80/tcp --cgroup /in | jq -e '.verdict == "socket_given"'
	explain 192.0.2.10:80/tcp --cgroup /out | jq -e '.verdict == "socket_exempt" and (.steps[2] | test("socket.except"))'
	explain 192.0.2.15:80/tcp | jq -e '.verdict == "socket_passed" and .service == "packets" and (.steps[1] | test("not balanced for local"))'
	explain 192.0.2.10:81/tcp | jq -e '.verdict == "socket_passed" and .service == null and .given == "192.0.2.10:81"
		and (.steps[2] | test("192.0.2.10:80/tcp"))'
}

@test "a service without backends refuses, in the way that it says" {
	explain 192.0.2.13:80/tcp | jq -e '.verdict == "socket_refused" and .given == null and (.error | test("ECONNREFUSED|EPERM"))'
	explain 192.0.2.14:80/tcp | jq -e '.error | test("EHOSTUNREACH|EPERM")'
	lab_shunt app explain --connect 192.0.2.14:80/tcp | grep 'what to do: `shunt backend list lost`'
}

@test "what is asked wrongly is said" {
	run -2 lab_shunt app explain --connect 192.0.2.10
	run -2 lab_shunt app explain --cgroup /in
	[[ "$output" == *--connect* ]]
	run -2 lab_shunt app explain 10.1.0.2:1 192.0.2.10:80 --cgroup /in
	run -2 lab_shunt app service list --connect 192.0.2.10:80
	run -1 lab_shunt app explain --connect 192.0.2.10:80 --cgroup in
	[[ "$output" == *"no path of a cgroup"* ]]
	run -1 lab_shunt app explain --connect 192.0.2.10:80 --cgroup /in/../out
	run -1 lab_shunt app explain --connect 192.0.2.10:80 --cgroup /nosuch
	[[ "$output" == *"there is no cgroup /nosuch below $CGROUP"* ]]
	chown 65534 "$CGROUP/empty/cgroup.procs" # as a user's cgroups are
	run -1 lab_shunt app explain --connect 192.0.2.10:80 --cgroup /empty
	[[ "$output" == *"cgroup /empty cannot be asked for"*"belongs to root"* ]]
	chown 0 "$CGROUP/empty/cgroup.procs"
	lab_shunt app explain help | grep -e '--connect DST:PORT/tcp|udp \[--cgroup PATH\]'
}

@test "a frozen cgroup does not stop the daemon" {
	echo 1 > "$CGROUP/empty/cgroup.freeze"
	run -1 lab_shunt app explain --connect 192.0.2.10:80 --cgroup /empty
	[[ "$output" == *"frozen"* ]]
	echo 0 > "$CGROUP/empty/cgroup.freeze"
	[ -z "$(cat "$CGROUP/empty/cgroup.procs")" ]
	explain 192.0.2.10:80 --cgroup /empty | jq -e '.verdict == "socket_given"'
}

# The daemon attaches them again within two seconds, so this may need a second try.
asked_in_vain() {
	bpftool link detach pinned "$(lab_pins app)/hook_connect4"
	lab_shunt app explain --connect "$1" 2>&1 | grep 'no program of ours saw the connect'
}

@test "nothing leaves the socket, even where no program sees it" {
	explain 10.1.0.11:99/tcp | jq -e '.verdict == "socket_passed"'
	lab_wait 5 asked_in_vain 10.1.0.11:99/tcp
	lab_wait 5 explain 10.1.0.11:99/tcp
	[ ! -e "$LAB_DIR/came" ]
	lab_in app bash -c ': < /dev/tcp/10.1.0.11/99' # such a connect would have been seen
	lab_wait 5 test -e "$LAB_DIR/came"
}

@test "without cgroup in the configuration the remedy is said" {
	cat > "$LAB_DIR/plain.yaml" <<-END
		control: { socket: $(lab_socket plain) }
		metrics: { listen: 127.0.0.1:9650 }
		pins: $(lab_pins plain)
		limits: { services: 64, listeners: 256, members: 4096, backends: 4096, slots: 65536 }
		services: [{ name: web, listen: ["192.0.2.10:80/tcp"], health: none, backends: [{ address: "10.1.0.11:80" }] }]
	END
	lab_daemon plain "$LAB_DIR/plain.yaml"
	run -1 lab_shunt plain explain --connect 192.0.2.10:80
	[[ "$output" == *'`cgroup: /sys/fs/cgroup`'*plain.yaml* ]]
	lab_shunt plain -j status | jq -e '.sockets == { attached: false, cgroup: "", problem: "", connections: 0, ended: 0 }'
	lab_shunt plain -j connection list | jq -e '. == { connections: [], total: 0 }'
	lab_in plain curl -sf http://127.0.0.1:9650/metrics | grep -x 'shunt_socket_attached 0'
	refuse grep -q 'OPEN\|CONNECTS' <(lab_shunt plain service list; lab_shunt plain backend list)
	lab_kill "$(lab_daemon_pid plain)"
}

# ---- what is open ----

@test "open connections are listed with what they asked for and what they were given" {
	hold 4 192.0.2.10 80
	lab_shunt app -j connection list | jq -e --argjson netns "$(stat -Lc %i "/run/netns/$LAB-app")" '.total == 4
		and (.connections | length == 4 and all(.[]; .service == "web" and .protocol == "tcp" and .asked == "192.0.2.10:80"
			and (.local | startswith("10.1.0.1")) and .state == "established" and .netns == $netns and .cookie > 0
			and .ends == false)
			and (map(.backend) | sort == ["10.1.0.11:80", "10.1.0.11:80", "10.1.0.12:80", "10.1.0.12:80"]))'
	lab_shunt app -j c l web --backend 10.1.0.11:80 | jq -e '.total == 2'
	lab_shunt app -j c l --backend 10.1.0.11 | jq -e '.total == 2'
	lab_shunt app -j c l --backend 10.1.0.11:81 | jq -e '.total == 0'
	lab_shunt app -j c l idle | jq -e '.total == 0'
	run -0 --separate-stderr lab_shunt app connection show --limit 1
	[ "${#lines[@]}" = 2 ] && [[ "$stderr" == *"and 3 more"* ]]
	[[ "${lines[1]}" == web*tcp*192.0.2.10:80*established* ]]
	run -1 lab_shunt app connection list nosuch
	[[ "$output" == *"there is no service nosuch"* ]]
	run -2 lab_shunt app connection list --limit many
	run -1 lab_shunt app connection list --limit 16385
	[[ "$output" == *"from 0 to 16384"* ]]
	run -2 lab_shunt app connection list --state open
	lab_kill "$client"
	lab_wait 5 open_are 0
}

@test "numbers are the same in tables, JSON and metrics" {
	local made
	made=$(lab_shunt app -j backend list web | jq '.backends[0].connects')
	hold 6 192.0.2.10 80
	lab_shunt app -j backend list web | jq -e --argjson made "$made" '.backends[0] | .connections == 3 and .connects == $made + 3
		and .at == ["socket"] and .nexthop == null'
	lab_shunt app backend list web | grep -w 10.1.0.11:80 | grep -w 3 | grep -w $((made + 3))
	refuse grep -q 'NEXT HOP\|PACKETS' <(lab_shunt app backend list)
	lab_shunt app -j service show web | jq -e '.connections == 6 and .refused == 0 and .at == ["socket"] and .no_backend == "unreachable"'
	lab_shunt app service list | grep -w web | grep -w round-robin | grep -w 6
	lab_shunt app service show few | grep -x 'clients      cgroups /in'
	lab_shunt app -j status | jq -e --arg cgroup "$CGROUP" '.sockets | .attached and .cgroup == $cgroup and .connections == 6'
	lab_shunt app status | grep "balanced at $CGROUP, 6 open"
	[ "$(value 'shunt_backend_connections{service="web",backend="10.1.0.11:80"}')" = 3 ]
	[ "$(value 'shunt_backend_connects_total{service="web",backend="10.1.0.11:80"}')" = $((made + 3)) ]
	[ "$(value shunt_socket_attached)" = 1 ]
	[ "$(value 'shunt_packets_total{verdict="socket_given"}')" = "$(lab_shunt app -j status | jq .packets.socket_given)" ]
	[ "$(lab_in app curl -sf http://127.0.0.1:9650/metrics | promtool check metrics 2>&1)" = "" ]
}

@test "a backend that needs no next hop is no problem for want of one" {
	lab_shunt app -j status | jq -e '[.problems[] | select(test("next hop|10.1.0.1[12]"))] == []'
	refuse grep '^shunt_backend_nexthop_usable' <(lab_in app curl -sf http://127.0.0.1:9650/metrics)
}

@test "a cgroup that is named and not there is said" {
	local cgroup=$CGROUP/in/later
	problems() { lab_shunt app -j status | jq -r '.problems[]'; }
	sed 's|except: \[/out\]|except: [/out, /in/later]|' "$LAB_DIR/app.yaml" > "$LAB_DIR/later.yaml"
	lab_shunt app apply "$LAB_DIR/later.yaml"
	problems | grep -q 'except: /in/later is not there now'
	mkdir "$cgroup"
	lab_wait 5 eval '! problems | grep -q later'
	rmdir "$cgroup"
	lab_wait 5 eval 'problems | grep -q later'
	lab_shunt app apply "$LAB_DIR/app.yaml"
}

@test "what is refused is counted, and so is what is ended" {
	local refused ended
	refused=$(value 'shunt_service_refused_total{service="gone"}')
	run lab_in app bash -c 'echo $$ > "$CGROUP/in/cgroup.procs"; : < /dev/tcp/192.0.2.13/80'
	[ "$status" != 0 ]
	[ "$(value 'shunt_service_refused_total{service="gone"}')" = $((refused + 1)) ]
	lab_shunt app -j service show gone | jq -e --argjson n $((refused + 1)) '.refused == $n'
	lab_shunt app -j status | jq -e '.problems | map(select(test("service gone: no usable backend, its local connections are refused"))) | length == 1'
	ended=$(value shunt_connections_ended_total)
	hold 4 192.0.2.10 80
	lab_shunt app backend disable web 10.1.0.12:80
	lab_wait 5 eval '[ "$(value shunt_connections_ended_total)" = $((ended + 2)) ]'
	lab_shunt app -j status | jq -e --argjson n $((ended + 2)) '.sockets.ended == $n and .sockets.connections == 2'
	lab_shunt app backend enable web 10.1.0.12:80
}

@test "errors and refusals of the whole path are JSON with -j" {
	run -1 --separate-stderr lab_shunt app -j explain --connect 192.0.2.10:80 --cgroup /nosuch
	jq -e '.error | test("no cgroup")' <<< "$output"
}

@test "a new service does not begin with what another was refused" {
	lab_shunt app service add first 192.0.2.30:80/tcp
	run lab_in app bash -c 'echo $$ > "$CGROUP/in/cgroup.procs"; : < /dev/tcp/192.0.2.30/80'
	lab_shunt app -j service show first | jq -e '.refused == 1'
	lab_shunt app service delete first
	lab_shunt app service add second 192.0.2.31:80/tcp
	lab_shunt app -j service show second | jq -e '.refused == 0'
	lab_shunt app service delete second
}

# A note of a socket that the kernel closed without a word, as it does with its own: its memory is nobody's.
@test "the note of a socket that is gone does not take up room for ever" {
	local key="1 0 0 0 0 0 0 0x7f" peers
	peers=$(lab_pins app)/peers
	bpftool map update pinned "$peers" key $key value $(printf '0 %.0s' {1..52}) 1 0 0 0
	lab_shunt app -j connection list | jq -e '.total == 0'
	refuse bpftool map lookup pinned "$peers" key $key
}

@test "a service that comes to round-robin by a change of nothing else deals turns" {
	config | sed 's/algorithm: least-connections/algorithm: round-robin/' | lab_shunt app apply -
	explain 192.0.2.11:80/tcp | jq -e '.algorithm == "round-robin" and (.steps[2] | test("has the next of 3 turns"))'
	config | lab_shunt app apply -
	explain 192.0.2.11:80/tcp | jq -e '.algorithm == "least-connections"'
}

# Two of a hundred backends can be used by an IPv4 socket.
mixed() {
	echo '  - { name: mixed, listen: ["192.0.2.32:80/tcp"], health: none, backends: ["10.1.0.11:80", "10.1.0.12:80"'
	for port in {9000..9097}; do echo "      , \"[2001:db8:1::1]:$port\""; done
	echo '    ] }'
}

@test "an IPv4 socket finds the few backends that it can use among many" {
	{ config; mixed; } | lab_shunt app apply -
	lab_in app bash -c 'echo $$ > "$CGROUP/in/cgroup.procs"; exec "$@"' - python3 -c '
import socket
for i in range(200):
    socket.create_connection(("192.0.2.32", 80)).close()'
	config | lab_shunt app apply -
}

# ---- the daemon's helper, and its absence ----

@test "that connections cannot be ended is said beside what else is wrong with cgroups" {
	lab_kill "$(pgrep -P "$(lab_daemon_pid app)" shuntd-ender)" KILL
	lab_wait 5 eval 'lab_shunt app -j status | jq -e "[.problems[] | select(test(\"process that ends connections .* was killed\"))] | length == 1"'
	lab_shunt app -j status | jq -e '[.problems[] | select(test("not the root of cgroup v2"))] | length == 1'
}

open_with_dns() { lab_shunt app -j backend list dns | jq '.backends[0].connections'; }

@test "counts are true after a time without cgroup, of sockets that sent before as well" {
	rm -f "$LAB_DIR/sent"
	lab_spawn app client.log bash -c 'echo $$ > "$CGROUP/in/cgroup.procs"; exec "$@"' - python3 -c '
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b"x", ("192.0.2.10", 53))
open(sys.argv[1], "w")
time.sleep(100)' "$LAB_DIR/sent"
	client=$LAB_PID
	lab_wait 5 test -e "$LAB_DIR/sent"
	[ "$(open_with_dns)" = 1 ]
	cp "$LAB_DIR/app.yaml" "$LAB_DIR/with.yaml"
	{ config | sed '/^cgroup:/d; /^socket:/d; /^services:/q'
	  echo '  - { name: dns, listen: ["192.0.2.10:53/udp"], health: none, backends: [{ address: "10.1.0.12:53" }] }'
	} > "$LAB_DIR/without.yaml"
	lab_kill "$(lab_daemon_pid app)"
	lab_daemon app "$LAB_DIR/without.yaml"
	lab_kill "$(lab_daemon_pid app)"
	lab_daemon app "$LAB_DIR/with.yaml"
	[ "$(open_with_dns)" = 0 ]
	lab_kill "$client"
	explain 192.0.2.10:53/udp | jq -e '.connections == 0'
	[ "$(open_with_dns)" = 0 ]
}
