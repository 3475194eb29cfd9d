# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Links of 1500 bytes everywhere: an encapsulated packet does not fit, and the client must learn it. And a client behind
# a narrow link: the ICMP errors about what the backends send must find the backend that has the flow.

load helpers

setup_file() {
	lab_begin
	lab_standard 3 1500
	# a second client, behind a router (the switch's own namespace) with a way out of 1400 bytes
	lab_bridge far
	lab_node guest
	lab_link guest eth0 far 1500 10.77.9.2/24 fd77:9::2/64
	ip -n "$LAB-net" link set guest-eth0 mtu 1400
	ip -n "$LAB-net" address add 10.77.9.1/24 dev far
	ip -n "$LAB-net" address add fd77:9::1/64 dev far
	ip -n "$LAB-net" link set far mtu 1400
	ip -n "$LAB-net" address add 10.77.0.1/24 dev front
	ip -n "$LAB-net" address add fd77::1/64 dev front
	lab_in net sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	ip -n "$LAB-net" route add 192.0.2.0/24 via 10.77.0.3
	ip -n "$LAB-net" route add 2001:db8::/64 via fd77::3
	ip -n "$LAB-guest" route add default via 10.77.9.1
	ip -n "$LAB-guest" route add default via fd77:9::1
	local i
	for i in 1 2 3; do
		ip -n "$LAB-b$i" route add 10.77.9.0/24 via 10.77.0.1
		ip -n "$LAB-b$i" route add fd77:9::/64 via fd77::1
		lab_spawn "b$i" "b$i/udp" "$ROOT/tools/udp.py" answer "b$i" 192.0.2.10 53
	done
	standard_hosts 3
	head -c 3000000 /dev/urandom > "$LAB_DIR/sent"
}

# upload URL: 3 MB, compared where they arrived
upload() {
	local node name=up$RANDOM
	node=$(fetch "$1$name" -T "$LAB_DIR/sent" -o /dev/null -w '%header{x-backend}')
	cmp "$LAB_DIR/sent" "$LAB_DIR/$node/files/upload/$name"
}

learnt_mtu() { ip -n "$LAB-client" route get "$1" | grep -o 'mtu [0-9]*' | cut -d' ' -f2; }

forget_mtu() { ip -n "$LAB-client" route flush cache; ip -n "$LAB-client" -6 route flush cache; }

@test "IPv4 in IPv4: the client learns that 1480 bytes fit, and a large upload completes" {
	forget_mtu
	upload http://192.0.2.10/files/upload/
	[ "$(learnt_mtu 192.0.2.10)" = 1480 ]
}

@test "IPv4 in IPv6: the client learns that 1460 bytes fit, and a large upload completes" {
	forget_mtu
	upload http://192.0.2.11/files/upload/
	[ "$(learnt_mtu 192.0.2.11)" = 1460 ]
}

@test "IPv6 in IPv4: the client learns that 1480 bytes fit, and a large upload completes" {
	forget_mtu
	upload "http://[2001:db8::10]/files/upload/"
	[ "$(learnt_mtu 2001:db8::10)" = 1480 ]
}

@test "IPv6 in IPv6: the client learns that 1460 bytes fit, and a large upload completes" {
	forget_mtu
	upload "http://[2001:db8::11]/files/upload/"
	[ "$(learnt_mtu 2001:db8::11)" = 1460 ]
}

@test "a datagram that does not fit is answered by an ICMP error even without DF, never dropped in silence" {
	forget_mtu
	[ -z "$(learnt_mtu 192.0.2.10)" ]
	lab_in client python3 - <<-'END'
		import socket
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER: never set DF
		s.connect(("192.0.2.10", 53))
		s.send(b"x" * 1472)
	END
	lab_wait 2 eval '[ "$(learnt_mtu 192.0.2.10)" = 1480 ]'
}

@test "ICMP errors over their rate are not sent, and what they were about is dropped as too_big" {
	forget_mtu
	lab_in client python3 - <<-'END'
		import socket
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.setsockopt(socket.IPPROTO_IP, 10, 3)  # DF, whatever has been learnt
		for _ in range(30000):
		    try:
		        s.sendto(b"x" * 1472, ("192.0.2.10", 53))
		    except OSError:
		        pass
	END
	[ "$(drops too_big)" -gt 0 ]
	lab_shunt balancer drop list | grep too_big
}

@test "explain says that a packet is too big" {
	lab_shunt balancer -j explain 10.77.0.2:1000 192.0.2.10:80/tcp length 1500 |
		jq -e '.verdict == "edge_answered" and .xdp == "tx"'
}

# guest_download URL FAMILY: what the router says about the backends' packets must reach the right backend
guest_download() {
	local i
	for i in 1 2 3 4 5 6; do
		[ "$(lab_in guest curl -sS --max-time 5 -H 'Connection: close' "$1" | wc -c)" = 4000000 ]
	done
}

@test "fragmentation needed about a backend's packet reaches the backend that has the flow (IPv4)" {
	guest_download http://192.0.2.10/files/4M
	guest_download http://192.0.2.11/files/4M
}

@test "packet too big about a backend's packet reaches the backend that has the flow (IPv6)" {
	guest_download "http://[2001:db8::10]/files/4M"
	guest_download "http://[2001:db8::11]/files/4M"
}
