# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The way to the backends, as the kernel knows it: followed when it changes, within a second. The balancer has two
# interfaces and so have the backends: packets may come in on one and leave on the other.

load helpers

setup_file() {
	lab_begin
	lab_standard 2 1540
	lab_bridge back
	lab_link balancer eth1 back 1540 10.78.0.3/24 fd78::3/64
	local i
	for i in 1 2; do
		lab_link "b$i" eth1 back 1540 "10.78.0.1$i/24" "fd78::1$i/64"
		lab_web "b$i"
		{
			lab_config_head "b$i" backend | sed '/name: eth0/a\  - { name: eth1, role: backend }'
			echo "backend: { loopback: true }"
			echo 'services: [{ name: all, listen: ["192.0.2.10:80/tcp", "[2001:db8::11]:80/tcp", "192.0.2.13:80/tcp"] }]'
		} > "$LAB_DIR/b$i.yaml"
		lab_daemon "b$i" "$LAB_DIR/b$i.yaml"
	done
	{
		lab_config_head balancer edge
		cat <<-END
			services:
			  - name: web
			    listen: ["192.0.2.10:80/tcp"]
			    backends: [{ address: "10.77.0.11:80" }, { address: "10.77.0.98:80" }]
			    health: none
			  - name: web6
			    listen: ["[2001:db8::11]:80/tcp"]
			    backends: [{ address: "[fd77::11]:80" }]
			    health: none
			  - name: back
			    listen: ["192.0.2.13:80/tcp"]
			    backends: [{ address: "10.78.0.11:80" }, { address: "10.78.0.12:80" }]
			    health: none
			  - name: nobody
			    listen: ["192.0.2.14:80/tcp"]
			    backends: [{ address: "10.77.0.99:80" }]
			    health: none
			  - name: nowhere
			    listen: ["192.0.2.15:80/tcp"]
			    backends: [{ address: "203.0.113.1:80" }]
			    health: none
		END
	} > "$LAB_DIR/balancer.yaml"
	lab_daemon balancer "$LAB_DIR/balancer.yaml"
	lab_wait 5 nexthop_is web 10.77.0.11:80 .interface eth0
	lab_wait 5 nexthop_is back 10.78.0.12:80 .interface eth1
}

nexthop_is() { [ "$(backend "$1" "$2" ".nexthop$3")" = "$4" ]; }

mac() { ip -n "$LAB-$1" -j link show "$2" | jq -r '.[0].address'; }

received() { lab_in "$1" cat "/proc/net/dev" | awk -v d="$2:" '$1 == d { print $3 }'; }

@test "the next hop is the neighbour that the kernel has" {
	nexthop_is web 10.77.0.11:80 .mac "$(mac b1 eth0)"
	nexthop_is web6 '[fd77::11]:80' .mac "$(mac b1 eth0)"
	nexthop_is web 10.77.0.11:80 .mtu 1540
	nexthop_is back 10.78.0.12:80 .mac "$(mac b2 eth1)"
}

@test "in on one interface, out on another" {
	spread http://192.0.2.13/ 40 | all_take_part 2 5
	lab_shunt balancer -j explain 10.77.0.2:5 192.0.2.13:80/tcp | jq -e '.xdp == "redirect" and .nexthop.interface == "eth1"'
	fetch http://192.0.2.13/files/4M | wc -c | grep -qx 4000000
}

@test "a backend that changes its MAC is followed within a second (IPv4)" {
	[ "$(fetch http://192.0.2.10/)" = b1 ]
	ip -n "$LAB-b1" link set eth0 address 02:00:00:00:77:01
	lab_wait 1 nexthop_is web 10.77.0.11:80 .mac 02:00:00:00:77:01
	[ "$(fetch http://192.0.2.10/)" = b1 ]
}

@test "a backend that changes its MAC is followed within a second (IPv6)" {
	[ "$(fetch "http://[2001:db8::11]/")" = b1 ]
	ip -n "$LAB-b1" link set eth0 address 02:00:00:00:77:02
	lab_wait 1 nexthop_is web6 '[fd77::11]:80' .mac 02:00:00:00:77:02
	[ "$(fetch "http://[2001:db8::11]/")" = b1 ]
}

@test "a changed route is followed within a second, and back" {
	local before
	ip -n "$LAB-balancer" route add 10.77.0.11/32 via 10.78.0.11 dev eth1
	lab_wait 1 nexthop_is web 10.77.0.11:80 .interface eth1
	nexthop_is web 10.77.0.11:80 .via 10.78.0.11
	before=$(received b1 eth1)
	[ "$(fetch http://192.0.2.10/)" = b1 ]
	[ "$(received b1 eth1)" -gt "$before" ]
	ip -n "$LAB-balancer" route delete 10.77.0.11/32
	lab_wait 1 nexthop_is web 10.77.0.11:80 .interface eth0
	before=$(received b1 eth1)
	[ "$(fetch http://192.0.2.10/)" = b1 ]
	[ "$(received b1 eth1)" -le $((before + 1)) ]
}

@test "a route's MTU counts" {
	ip -n "$LAB-balancer" route add 10.77.0.11/32 dev eth0 mtu 1400
	lab_wait 1 nexthop_is web 10.77.0.11:80 .mtu 1400
	ip -n "$LAB-balancer" route delete 10.77.0.11/32
	lab_wait 1 nexthop_is web 10.77.0.11:80 .mtu 1540
}

@test "a backend that nobody answers for is said to have no next hop, and its flows go to the others" {
	lab_wait 5 nexthop_is nobody 10.77.0.99:80 .usable false
	backend nobody 10.77.0.99:80 .nexthop.problem | grep -q 10.77.0.99
	[ "$(spread http://192.0.2.10/ 20 | awk '{ print $1, $2 }')" = "20 b1" ]
}

@test "without any reachable backend packets are dropped and counted, and explain says why" {
	local before
	before=$(lab_shunt balancer -j status | jq .drops)
	run fetch http://192.0.2.14/ --max-time 0.3
	[ "$status" != 0 ]
	[ "$(lab_shunt balancer -j status | jq .drops)" -gt "$before" ]
	lab_shunt balancer -j explain 10.77.0.2:5 192.0.2.14:80/tcp |
		jq -e '.verdict == "edge_dropped" and (.reason == "no_backend" or .reason == "no_nexthop")'
}

@test "a backend that appears is resolved and used" {
	ip -n "$LAB-b2" address add 10.77.0.99/24 dev eth0
	ip -n "$LAB-b2" address add 192.0.2.14/32 dev lo
	lab_wait 8 nexthop_is nobody 10.77.0.99:80 .mac "$(mac b2 eth0)"
	lab_shunt balancer -j explain 10.77.0.2:5 192.0.2.14:80/tcp | jq -e '.verdict == "edge_forwarded"'
}

@test "a backend without a route is said to have none, and is used when it gets one" {
	nexthop_is nowhere 203.0.113.1:80 .usable false
	backend nowhere 203.0.113.1:80 .nexthop.problem | grep -q 'no route'
	ip -n "$LAB-balancer" route add 203.0.113.1/32 via 10.78.0.12
	lab_wait 2 nexthop_is nowhere 203.0.113.1:80 .mac "$(mac b2 eth1)"
}
