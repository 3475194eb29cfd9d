# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Native XDP, which `auto` chooses where the driver can, with bulk data; and both roles on one interface.

load helpers

setup_file() {
	lab_begin
	lab_standard 1 1540
	standard_hosts 1
	lab_spawn b1 b1/iperf3 iperf3 -s
	lab_wait 5 lab_in b1 sh -c 'grep -q :1451 /proc/net/tcp6'
}

@test "status says that the mode is native" {
	lab_shunt balancer -j status | jq -e '.interfaces[0] | .mode == "native" and .problem == ""'
	ip -n "$LAB-b1" -d link show eth0 | grep -w xdp
}

@test "bulk data flows up at speed (IPv4 and IPv6), also with GRO on the backend's interface" {
	lab_in b1 ethtool -K eth0 gro on
	[ "$(lab_in client iperf3 -c 192.0.2.12 -t 2 -J | jq -e .end.sum_received.bytes)" -gt 20000000 ]
	[ "$(lab_in client iperf3 -c 2001:db8::12 -t 2 -J | jq -e .end.sum_received.bytes)" -gt 20000000 ]
}

@test "UDP in bulk arrives" {
	# a UDP server answers from the address it was asked at only if it is bound to it
	lab_spawn b1 b1/iperf3udp iperf3 -s -B 192.0.2.12 -p 5202
	lab_wait 5 lab_in b1 sh -c 'grep -q :1452 /proc/net/tcp'
	timeout 20 nsenter --net="/run/netns/$LAB-client" iperf3 -c 192.0.2.12 -p 5202 -u -b 20M -t 2 -J > "$LAB_DIR/udp.json"
	jq -e '.end.sum | .packets > 1000 and .lost_percent < 5' "$LAB_DIR/udp.json"
}

@test "an interface may have both roles: it takes its own tunnels and balances for others" {
	# b1 becomes a balancer too, for an address of its own that it serves itself and through the tunnel for others
	ip -n "$LAB-client" route add 198.51.100.1/32 via "$(lab_backend4 1)"
	sed -e 's/role: \[backend\]/role: [edge, backend]/' "$LAB_DIR/b1.yaml" > "$LAB_DIR/both.yaml"
	cat >> "$LAB_DIR/both.yaml" <<-END
		  - name: own
		    listen: ["198.51.100.1:80/tcp"]
		    health: none
		    backends: [{ address: "10.77.0.3:80" }]
	END
	cp "$LAB_DIR/both.yaml" "$LAB_DIR/b1.yaml"
	kill -HUP "$(lab_daemon_pid b1)"
	lab_wait 5 eval 'lab_shunt b1 -j status | jq -e ".interfaces[0].roles == [\"edge\", \"backend\"]"'
	[ "$(fetch http://192.0.2.10/)" = b1 ]
	lab_wait 3 eval 'lab_shunt b1 -j explain 10.77.0.2:7 198.51.100.1:80/tcp | jq -e ".verdict == \"edge_forwarded\""'
	lab_in client ping -q -c1 -W1 198.51.100.1
	lab_shunt b1 -j status | jq -e '.packets.edge_answered > 0'
}

@test "taking the roles away again detaches nothing that is needed" {
	sed -i 's/role: \[edge, backend\]/role: [backend]/' "$LAB_DIR/b1.yaml"
	kill -HUP "$(lab_daemon_pid b1)"
	lab_wait 5 eval 'lab_shunt b1 -j status | jq -e ".interfaces[0].roles == [\"backend\"]"'
	[ "$(fetch http://192.0.2.10/)" = b1 ]
	# the kernel has that address on loopback now and answers itself: the edge program is not there any more
	local before
	before=$(lab_shunt b1 -j status | jq .packets.edge_answered)
	lab_in client ping -q -c1 -W1 198.51.100.1
	[ "$(lab_shunt b1 -j status | jq .packets.edge_answered)" = "$before" ]
}
