# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Backends behind an interface of the balancer that does not transmit what native XDP redirects to it.

load helpers

# The balancer's eth0 and eth1 can be native; b1 is behind its eth1, which is a port of its bridge br0.
setup_file() {
	lab_begin
	lab_standard 1 1540
	lab_bridge back
	lab_link balancer eth1 back 1540
	lab_link b1 eth1 back 1540 10.78.0.11/24
	ip -n "$LAB-balancer" link add br0 mtu 1540 type bridge forward_delay 0 mcast_snooping 0
	ip -n "$LAB-balancer" link set eth1 master br0
	ip -n "$LAB-balancer" link set br0 up
	ip -n "$LAB-balancer" address add 10.78.0.3/24 dev br0
	lab_web b1
	{
		lab_config_head b1 backend | sed '/name: eth0/a\  - { name: eth1, role: backend }'
		echo "backend: { loopback: true }"
		echo 'services: [{ name: all, listen: ["192.0.2.10:80/tcp"] }]'
	} > "$LAB_DIR/b1.yaml"
	lab_daemon b1 "$LAB_DIR/b1.yaml"
	{
		lab_config_head balancer edge
		cat <<-END
			services:
			  - name: web
			    listen: ["192.0.2.10:80/tcp"]
			    backends: [{ address: "10.78.0.11:80" }]
			    health: none
		END
	} > "$LAB_DIR/balancer.yaml"
	lab_daemon balancer "$LAB_DIR/balancer.yaml"
	lab_wait 5 leaves_on br0
}

leaves_on() { [ "$(backend web 10.78.0.11:80 .nexthop.interface)" = "$1" ]; }

# interface JQ_FILTER: of the balancer's status
interface() { lab_shunt balancer -j status | jq -e ".interfaces[0] | $1"; }

mode_becomes() {
	sed -i "s/mode: [a-z]*/mode: $1/" "$LAB_DIR/balancer.yaml"
	kill -HUP "$(lab_daemon_pid balancer)"
	lab_wait 8 interface ".mode == \"$2\""
}

@test "auto is generic while a backend is behind a bridge, says why and what to do, and requests are answered" {
	lab_wait 4 interface '.mode == "generic"'
	interface '.problem | test("loses what it sends on br0: an interface of kind bridge.*lead the route")'
	[ "$(fetch http://192.0.2.10/)" = b1 ]
}

@test "native is obeyed, loses everything, and status names the interface" {
	mode_becomes native native
	interface '.problem | test("loses what it sends on br0: .*set mode: generic")'
	refuse fetch http://192.0.2.10/ --max-time 0.5
	mode_becomes auto generic
	[ "$(fetch http://192.0.2.10/)" = b1 ]
}

@test "auto becomes native by itself when the bridge has gone, and generic when it is back" {
	ip -n "$LAB-balancer" link delete br0
	ip -n "$LAB-balancer" address add 10.78.0.3/24 dev eth1
	lab_wait 8 interface '.mode == "native" and .problem == ""'
	lab_wait 8 leaves_on eth1
	[ "$(fetch http://192.0.2.10/)" = b1 ]
	ip -n "$LAB-balancer" link add br0 mtu 1540 type bridge forward_delay 0 mcast_snooping 0
	ip -n "$LAB-balancer" link set br0 up
	ip -n "$LAB-balancer" address delete 10.78.0.3/24 dev eth1
	ip -n "$LAB-balancer" link set eth1 master br0
	ip -n "$LAB-balancer" address add 10.78.0.3/24 dev br0
	lab_wait 8 interface '.mode == "generic"'
	[ "$(fetch http://192.0.2.10/)" = b1 ]
}

@test "so it does when the route to the backend leads over an interface that can" {
	lab_link balancer eth2 back 1540 10.78.0.4/24
	ip -n "$LAB-balancer" route add 10.78.0.11/32 dev eth2
	lab_wait 5 leaves_on eth2
	lab_wait 16 interface '.mode == "native" and .problem == ""'
	[ "$(fetch http://192.0.2.10/)" = b1 ]
}
