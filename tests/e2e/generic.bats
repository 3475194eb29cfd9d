# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Generic XDP, for drivers that cannot do it natively, on the balancer and on the backend. Here programs see what GRO
# has merged.

load helpers

setup_file() {
	lab_begin
	lab_standard 1 1540
	lab_in balancer ethtool -K eth0 gro on
	lab_in b1 ethtool -K eth0 gro on
	EDGE_MODE=generic LAB_BACKEND_MODE=generic standard_hosts 1
	lab_spawn b1 b1/iperf3 iperf3 -s
	lab_wait 5 lab_in b1 sh -c 'grep -q :1451 /proc/net/tcp6'
}

@test "status says that the mode is generic" {
	lab_shunt balancer -j status | jq -e '.interfaces[0] | .mode == "generic" and .problem == ""'
	lab_shunt b1 -j status | jq -e '.interfaces[0].mode == "generic"'
	ip -n "$LAB-balancer" -d link show eth0 | grep xdpgeneric
}

@test "requests are answered, both families inside and outside" {
	local url
	for url in http://192.0.2.10/ "http://[2001:db8::10]/" http://192.0.2.11/ "http://[2001:db8::11]/"; do
		[ "$(fetch $url)" = b1 ]
	done
}

# iperf URL_ADDRESS: two seconds up; prints bytes received
iperf() {
	lab_in client iperf3 -c "$1" -t 2 -J | jq -e '.end.sum_received.bytes'
}

@test "bulk data flows up at speed, merged by GRO or not (IPv4)" {
	[ "$(iperf 192.0.2.12)" -gt 20000000 ]
}

@test "bulk data flows up at speed, merged by GRO or not (IPv6)" {
	[ "$(iperf 2001:db8::12)" -gt 20000000 ]
}

@test "uploads and downloads arrive whole" {
	head -c 3000000 /dev/urandom > "$LAB_DIR/sent"
	fetch http://192.0.2.11/files/upload/x -T "$LAB_DIR/sent"
	cmp "$LAB_DIR/sent" "$LAB_DIR/b1/files/upload/x"
	fetch http://192.0.2.10/files/4M | wc -c | grep -qx 4000000
}
