# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Real clients and servers through the balancer: TCP and UDP, both families inside and outside the tunnel.

load helpers

setup_file() {
	lab_begin
	lab_standard 3 1540
	local i a
	for i in 1 2 3; do
		for a in 192.0.2.10 2001:db8::10; do
			lab_spawn "b$i" "b$i/udp$a" "$ROOT/tools/udp.py" answer "b$i" "$a" 53
		done
		for a in 192.0.2.12 2001:db8::12; do
			lab_spawn "b$i" "b$i/any$a" "$ROOT/tools/udp.py" answer "b$i" "$a" 4321
		done
	done
	standard_hosts 3
}

@test "HTTP over IPv4 to IPv4 backends is spread over all of them" {
	spread http://192.0.2.10/ 150 | all_take_part 3 25
}

@test "HTTP over IPv6 to IPv4 backends is spread over all of them" {
	spread "http://[2001:db8::10]/" 150 | all_take_part 3 25
}

@test "HTTP over IPv4 to IPv6 backends is spread over all of them" {
	spread http://192.0.2.11/ 150 | all_take_part 3 25
}

@test "HTTP over IPv6 to IPv6 backends is spread over all of them" {
	spread "http://[2001:db8::11]/" 150 | all_take_part 3 25
}

@test "a large download and a large upload arrive whole" {
	[ "$(fetch http://192.0.2.10/files/4M | wc -c)" = 4000000 ]
	head -c 3000000 /dev/urandom > "$LAB_DIR/sent"
	local node
	node=$(fetch http://192.0.2.10/files/upload/up4 -T "$LAB_DIR/sent" -o /dev/null -w '%header{x-backend}')
	cmp "$LAB_DIR/sent" "$LAB_DIR/$node/files/upload/up4"
	node=$(fetch "http://[2001:db8::11]/files/upload/up6" -T "$LAB_DIR/sent" -o /dev/null -w '%header{x-backend}')
	cmp "$LAB_DIR/sent" "$LAB_DIR/$node/files/upload/up6"
}

@test "UDP over IPv4 and IPv6 is spread over all backends" {
	lab_in client "$ROOT/tools/udp.py" ask 192.0.2.10 53 90 | awk '{ print $1 }' | sort | uniq -c | all_take_part 3 10
	lab_in client "$ROOT/tools/udp.py" ask 2001:db8::10 53 90 | awk '{ print $1 }' | sort | uniq -c | all_take_part 3 10
}

@test "UDP datagrams of every size up to the MTU arrive" {
	local size
	for size in 1 100 1000 1471 1472; do
		[[ "$(lab_in client "$ROOT/tools/udp.py" ask 192.0.2.10 53 1 $size)" == b?" $size" ]]
	done
	[[ "$(lab_in client "$ROOT/tools/udp.py" ask 2001:db8::10 53 1 1452)" == b?" 1452" ]]
}

@test "a service that listens on every port takes any port, TCP and UDP, both families" {
	spread http://192.0.2.12/ 30 | awk '{ n += $1 } END { exit n != 30 }'
	spread "http://[2001:db8::12]:80/" 30 | awk '{ n += $1 } END { exit n != 30 }'
	[[ "$(lab_in client "$ROOT/tools/udp.py" ask 192.0.2.12 4321 1)" == b* ]]
	[[ "$(lab_in client "$ROOT/tools/udp.py" ask 2001:db8::12 4321 1)" == b* ]]
}

@test "a port on which no service listens is not forwarded" {
	local before
	before=$(packets web)
	run fetch http://192.0.2.10:81/ --max-time 0.5
	[ "$status" != 0 ]
	[ "$(packets web)" = "$before" ]
}

@test "ping to a service's address is answered, whatever its size, and to another is not" {
	local size
	for size in 0 1 7 56 1400; do
		lab_in client ping -q -c1 -W1 -s $size 192.0.2.10
		lab_in client ping -q -c1 -W1 -s $size 2001:db8::10
	done
	lab_in client ping -q -c1 -W1 -p ff 192.0.2.10
	lab_in client ping -q -c1 -W1 -p 00 192.0.2.10
	refuse lab_in client ping -q -c1 -W1 192.0.2.99
	refuse lab_in client ping -q -c1 -W1 2001:db8::99
}

@test "what is not a service's passes to the balancer itself" {
	lab_in client ping -q -c1 -W1 10.77.0.3
	lab_in client ping -q -c1 -W1 fd77::3
}

@test "one flow always goes to the same backend" {
	local port first
	# no TIME_WAIT: each connection leaves from the same port as the one before
	lab_in client sysctl -qw net.ipv4.tcp_max_tw_buckets=0
	for port in 20001 20002 20003; do
		first=$(fetch http://192.0.2.10/ --local-port $port)
		[ "$(fetch http://192.0.2.10/ --local-port $port)" = "$first" ]
		[ "$(fetch http://192.0.2.10/ --local-port $port)" = "$first" ]
	done
	[ "$(lab_in client curl -sS "http://192.0.2.10/?[1-20]" | sort | uniq -c | awk '{ print $1 }')" = 20 ]
}

@test "explain names the backend to which the packet really goes" {
	local port said got
	for port in $(seq 21001 21012); do
		said=$(lab_shunt balancer -j explain 10.77.0.2:$port 192.0.2.10:80/tcp | jq -r .backend)
		got=$(fetch http://192.0.2.10/ --local-port "$port")
		[ "$said" = "10.77.0.1${got#b}:80" ] || fail "port $port: explain says $said, $got answered"
	done
	for port in $(seq 21101 21106); do
		said=$(lab_shunt balancer -j explain "[fd77::2]:$port" "[2001:db8::11]:80/tcp" | jq -r .backend)
		got=$(fetch "http://[2001:db8::11]/" --local-port "$port")
		[ "$said" = "[fd77::1${got#b}]:80" ] || fail "port $port: explain says $said, $got answered"
	done
}

@test "explain is not counted, and says why what is not a service's passes" {
	local before
	before=$(lab_shunt balancer -j status | jq -c .packets.edge_forwarded,.packets.edge_passed)
	lab_shunt balancer explain 10.77.0.2:1 192.0.2.10:80/tcp
	lab_shunt balancer -j explain 10.77.0.2:1 192.0.2.10:81/tcp | jq -e '.verdict == "edge_passed" and .xdp == "pass"'
	lab_shunt balancer -j explain 10.77.0.2:1 192.0.2.99:80/tcp | jq -e '.verdict == "edge_passed"'
	# health checks come back by the same interface, so the count of what passed may only be compared when they rest
	[ "$(lab_shunt balancer -j status | jq -c .packets.edge_forwarded)" = "$(head -1 <<< "$before")" ]
}

@test "packets and bytes are counted for the service and for its backends" {
	local before after sum
	before=$(packets web)
	fetch http://192.0.2.10/ > /dev/null
	after=$(packets web)
	[ $((after - before)) -ge 4 ] && [ $((after - before)) -le 12 ]
	sum=$(lab_shunt balancer -j service show web | jq '[.backends[].packets] | add')
	[ "$sum" = "$(packets web)" ]
}

@test "the backends' programs count what they delivered" {
	lab_shunt b1 -j status | jq -e '.packets.backend_delivered > 0 and .packets.backend_dropped == 0'
}

@test "a tunnel packet from a source that is not allowed is dropped and shown with its reason" {
	# a datagram for 192.0.2.10:53 in a tunnel that the client makes itself, straight to the backend
	local delivered
	delivered=$(lab_shunt b1 -j status | jq .packets.backend_delivered)
	lab_in client python3 - <<-'END'
		import socket
		inner = bytes.fromhex("4500001d00000000401100000a4d0002c000020a" "10000035" "00090000" "78")
		for protocol in 4, 4:
		    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
		    s.sendto(inner, ("10.77.0.11", 0))
	END
	[ "$(lab_shunt b1 -j status | jq .packets.backend_delivered)" = "$delivered" ]
	lab_shunt b1 -j drop list | jq -e '.drops[] | select(.reason == "tunnel_source" and .interface == "eth0" and .packets > 0)'
	lab_shunt b1 drop list | grep tunnel_source
}

@test "fragments are dropped under their own reason" {
	local before
	before=$(drops fragment)
	lab_in client "$ROOT/tools/udp.py" ask 192.0.2.10 53 1 4000 | grep -qx lost
	[ "$(drops fragment)" -ge $((before + 3)) ]
	lab_shunt balancer drop list | grep fragment
}

@test "TTL is treated as a router does: an expired one is answered by the balancer" {
	run lab_in client ping -n -c1 -W1 -t 1 10.77.0.3
	[ "$status" = 0 ]
	local before
	before=$(lab_shunt balancer -j status | jq .packets.edge_answered)
	lab_in client python3 - <<-'END'
		import socket
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
		s.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR: ICMP errors come as errors
		s.settimeout(2)
		s.connect(("192.0.2.10", 53))
		s.send(b"x")
		try:
		    s.recv(10)
		    raise SystemExit("answered")
		except TimeoutError:
		    raise SystemExit("no ICMP error came")
		except OSError as e:
		    print(e)
	END
	[ "$(lab_shunt balancer -j status | jq .packets.edge_answered)" -gt "$before" ]
}
