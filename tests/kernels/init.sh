#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The first and only process of the machine that run.sh boots: a balancer, with a client and a backend in network
# namespaces, on two cables. Says "RESULT ok|fail SENTENCE" for each test, and "SAYS TEXT" to explain a failure.
#
#     client 10.1.0.2 ---- c0 10.1.0.1 balancer b0 10.2.0.1 ---- backend 10.2.0.2
#     (fd01::2)                                                  (fd02::2)

PATH=/bin
export PATH
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mount -t bpf bpf /sys/fs/bpf
mkdir -p /run/shunt

# the real one, not busybox's
ip() { /bin/ip "$@"; }

in_ns() {
	ns=$1
	shift
	nsenter --net="/run/netns/$ns" "$@"
}

# wait_for SECONDS COMMAND...
wait_for() {
	left=$(($1 * 10))
	shift
	until "$@" > /dev/null 2>&1; do
		left=$((left - 1))
		[ $left -gt 0 ] || return 1
		sleep 0.1
	done
}

# check SENTENCE COMMAND...
check() {
	sentence=$1
	shift
	if "$@" > /tmp/out 2>&1; then
		echo "RESULT ok $sentence"
		return 0
	fi
	cat /tmp/out /run/*.log 2> /dev/null | sed 's/^/SAYS /'
	shunt -s /run/balancer.sock status 2>&1 | sed 's/^/SAYS /'
	shunt -s /run/balancer.sock drop list 2>&1 | sed 's/^/SAYS /'
	echo "RESULT fail $sentence"
	return 1
}

# ---- cables, and what runs at their ends ----

# cable NAMESPACE DEVICE NET
cable() {
	ip netns add "$1"
	ip link add "$2" mtu 1600 type veth peer name eth0 mtu 1600 netns "$1"
	ip addr add "10.$3.0.1/24" dev "$2"
	ip addr add "fd0$3::1/64" dev "$2" nodad
	ip link set "$2" up
	ip -n "$1" link set lo up
	ip -n "$1" addr add "10.$3.0.2/24" dev eth0
	ip -n "$1" addr add "fd0$3::2/64" dev eth0 nodad
	ip -n "$1" link set eth0 up
	ip -n "$1" route add default via "10.$3.0.1"
	ip -n "$1" route add default via "fd0$3::1"
	in_ns "$1" ethtool -K eth0 tx off > /dev/null # nobody finishes checksums behind XDP
}

# config NODE ROLE INTERFACE MODE, then the services
config() {
	cat <<-END
		interfaces: [{ name: $3, role: $2, mode: $4 }]
		control: { socket: /run/$1.sock }
		pins: /sys/fs/bpf/$1
		metrics: { listen: off }
		limits: { services: 16, listeners: 16, members: 64, backends: 64, slots: 65536 }
	END
}

write_configs() {
	{
		config balancer edge c0 "$1"
		cat <<-END
			services:
			  - { name: web, listen: ["192.0.2.10:80/tcp"], health: none, backends: [{ address: "10.2.0.2:80" }] }
			  - { name: six, listen: ["[2001:db8::10]:80/tcp"], health: none, backends: [{ address: "[fd02::2]:80" }] }
			  - { name: gue, listen: ["192.0.2.11:80/tcp"], forward: gue, health: none,
			      backends: [{ address: "10.2.0.2:80" }, { address: "10.2.0.3:80", state: draining }] }
			  - { name: gue6, listen: ["[2001:db8::11]:80/tcp"], forward: gue, health: none,
			      backends: [{ address: "[fd02::2]:80" }, { address: "[fd02::3]:80", state: draining }] }
		END
	} > /run/balancer.yaml
	{
		config backend backend eth0 "$1"
		cat <<-END
			backend: { loopback: true }
			services:
			  - { name: all, listen: ["192.0.2.10:80/tcp", "[2001:db8::10]:80/tcp"] }
			  - { name: gue, listen: ["192.0.2.11:80/tcp", "[2001:db8::11]:80/tcp"] }
		END
	} > /run/backend.yaml
	{
		config spare "[edge, backend]" eth0 auto
		cat <<-END
			services:
			  - { name: any, listen: ["192.0.2.12:*/tcp", "[2001:db8::12]:*/udp"], forward: gue, health: none, backends: ["10.3.0.1"] }
			  - { name: quic, listen: ["192.0.2.12:443/udp"], affinity: client, quic: { config: 0, server-id: 2 },
			      health: none, backends: [{ address: "10.3.0.1:443", server-id: "0a0b" }] }
		END
	} > /run/spare.yaml
}

# write_sockets STATE: of the backend that is asked first
write_sockets() {
	{
		config sockets edge none0 auto | grep -v interfaces
		cat <<-END
			cgroup: /sys/fs/cgroup
			services:
			  - { name: web, listen: ["10.96.0.1:80/tcp"], algorithm: round-robin, health: none,
			      backends: [{ address: "127.0.0.1:80", state: $1 }] }
			  - { name: six, listen: ["[fd09::1]:80/tcp"], algorithm: least-connections, health: none, backends: ["[fd02::2]:80"] }
			  - { name: some, listen: ["10.96.0.2:80/tcp"], algorithm: random, health: none, backends: ["127.0.0.1:80"],
			      clients: { cgroups: [/nobody] } }
			  - { name: none, listen: ["10.96.0.3:80/tcp"], no-backend: refused, health: none,
			      backends: [{ address: "127.0.0.1:80", state: disabled }] }
		END
	} > /run/sockets.yaml
}

# What only some services need is loaded only then.
takes_options() {
	{
		cat /run/balancer.yaml
		echo '  - { name: quic, listen: ["192.0.2.10:443/udp"], affinity: client, quic: { config: 0, server-id: 2 },'
		echo '      health: none, backends: [{ address: "10.2.0.2:443", server-id: "0a0b" }] }'
	} > /run/options.yaml
	# an emulated machine may load for longer than the daemon lets anyone wait for an answer
	shunt -s /run/balancer.sock apply /run/options.yaml || wait_for 60 has_options && fetches 192.0.2.10
}

has_options() { shunt -s /run/balancer.sock service list | grep -q quic; }

# A server of the balancer's own, at an address and ports that it is not bound to.
takes_local() {
	httpd -p 127.0.0.1:8080 -h /www/local
	{
		cat /run/balancer.yaml
		echo '  - { name: local, listen: ["192.0.2.13:80/tcp", "192.0.2.13:443/tcp", "192.0.2.13:53/udp"], forward: local,'
		echo '      health: none, backends: ["127.0.0.1:8080"] }'
	} > /run/local.yaml
	shunt -s /run/balancer.sock apply /run/local.yaml
	wait_for 60 fetch_local 192.0.2.13 && fetch_local 192.0.2.13:443
}

fetch_local() { in_ns client curl -gsS --max-time 3 "http://$1/" | grep 'the balancer'; }

answers() { shunt -s "/run/$1.sock" status > /dev/null; }

# daemon NODE COMMAND...: starts it there, and says whether it answers
daemon() {
	node=$1
	shift
	"$@" shuntd --config "/run/$node.yaml" > "/run/$node.log" 2>&1 &
	echo $! > "/run/$node.pid"
	wait_for 60 answers_or_died "$node"
	answers "$node"
}

answers_or_died() {
	answers "$1" || ! grep -q '^State:.[RSD]' "/proc/$(cat "/run/$1.pid")/status"
}

unload() {
	for node in balancer backend spare sockets; do
		[ ! -e /run/$node.pid ] || kill "$(cat /run/$node.pid)"
		rm -f /run/$node.pid
	done 2> /dev/null
	wait_for 10 refuse_to_answer
	shuntd --unload --pins /sys/fs/bpf/balancer
	in_ns backend shuntd --unload --pins /sys/fs/bpf/backend
	in_ns spare shuntd --unload --pins /sys/fs/bpf/spare
	in_ns backend shuntd --unload --pins /sys/fs/bpf/sockets
}

refuse_to_answer() { ! answers balancer && ! answers backend && ! answers spare; }

# ---- the tests ----

mode_is() { shunt -j -s "/run/$1.sock" status | grep -q "\"mode\": *\"$2\""; }
has_next_hops() { ! shunt -s /run/balancer.sock backend list | grep -q none; }
fetch() { in_ns client curl -gsS --max-time 3 "http://$1/" | grep 'the backend'; }
fetches() { fetch "$1" && fetch "$1" && fetch "$1"; }
pings() { in_ns client ping -c 1 -W 3 "$1"; }
forwarded() { shunt -j -s /run/balancer.sock status | grep -q '"edge_forwarded": *[1-9]'; }

nothing_sent_on() { ! shunt -j -s /run/backend.sock status | grep '"backend_sent_on": *[1-9]'; }

# The backend without shunt: Linux takes what the balancer sends, and skips what only shunt's own program understands.
stock_backend() {
	kill "$(cat /run/backend.pid)" && rm /run/backend.pid
	wait_for 10 is_gone
	in_ns backend shuntd --unload --pins /sys/fs/bpf/backend || return 1
	ip -n backend fou add port 6080 gue
	ip -n backend fou add port 6080 gue -6
	ip -n backend link set tunl0 up
	ip -n backend link set ip6tnl0 up
	ip -n backend addr add 192.0.2.11/32 dev lo
	ip -n backend addr add 2001:db8::11/128 dev lo nodad
	in_ns backend sh -c 'for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done'
}

is_gone() { ! answers backend; }

# What a process in the backend's namespace reaches, and how long it takes to be refused.
asks() { in_ns backend curl -gsS --max-time "${2:-3}" "http://$1/"; }
reaches() { asks "$1" | grep 'the backend'; }
is_refused() { ! asks "$1" 2> /tmp/refused && ! grep -i 'timed out' /tmp/refused; }
is_left_alone() { ! asks "$1" 1 && shunt -j -s /run/sockets.sock status | grep -q '"socket_exempt": *[1-9]'; }

# A connection that is open ends when its backend is disabled: nc returns, though its input goes on.
ends_connections() {
	in_ns backend sh -c 'sleep 60 | nc 10.96.0.1 80' &
	talker=$!
	wait_for 10 has_connection || return 1
	shunt -s /run/sockets.sock backend disable web 127.0.0.1:80 || return 1
	wait_for 10 has_no_connection || return 1
	kill $talker 2> /dev/null
	shunt -s /run/sockets.sock backend enable web 127.0.0.1:80
}
has_connection() { in_ns backend grep -qi ' 0100007F:0050 01 ' /proc/net/tcp; }
has_no_connection() { ! has_connection; }

try_sockets() {
	write_sockets enabled
	check "the kernel takes the socket programs" daemon sockets nsenter --net=/run/netns/backend || return
	check "a local process's connection is balanced (IPv4)" reaches 10.96.0.1
	check "a local process's connection is balanced (IPv6)" reaches '[fd09::1]'
	check "a connection of a process that is no client is left alone" is_left_alone 10.96.0.2
	check "without a usable backend it is refused at once" is_refused 10.96.0.3
	check "open connections end with their backend" ends_connections
	shunt -s /run/sockets.sock status | sed -n '/lacks/,$s/^/SAYS /p'
}

# lets_pass WORD: xdp (native) or off, for what the programs' XDP_TX and redirect need at the other end of a veth
lets_pass() {
	case $1 in
	xdp) ip -n client link set dev eth0 xdp object /pass.o section xdp ;;
	off) ip -n client link set dev eth0 xdp off ;;
	esac
}

try_mode() {
	write_configs "$1"
	rm -f /run/*.log
	check "$1: the kernel takes the backend program" daemon backend nsenter --net=/run/netns/backend || return
	check "$1: the kernel takes the edge program" daemon balancer || return
	check "$1: the balancer's program is attached so" mode_is balancer "$1"
	check "$1: the backend's program is attached so" mode_is backend "$1"
	wait_for 20 has_next_hops
	check "$1: requests go through the tunnel and are answered (IPv4)" fetches 192.0.2.10
	check "$1: requests go through the tunnel and are answered (IPv6)" fetches '[2001:db8::10]'
	check "$1: the kernel takes the edge program with every option of a service, which forwards" takes_options
	check "$1: requests go through a GUE tunnel and are answered (IPv4)" fetches 192.0.2.11
	check "$1: requests go through a GUE tunnel and are answered (IPv6)" fetches '[2001:db8::11]'
	check "$1: of flows that are known nothing is sent on" nothing_sent_on
	check "$1: echo requests are answered" pings 192.0.2.10
	check "$1: packets are counted" forwarded
}

echo "SAYS kernel $(uname -r)"
for module in $(cat /modules/order); do
	insmod "/modules/$module.ko"
done
ip link set lo up
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 2> /dev/null
for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > "$f"; done
cable client c0 1
cable backend b0 2
cable spare s0 3
ip link set s0 mtu 9000 # in several buffers, where the kernel can
ip -n spare link set eth0 mtu 9000
in_ns backend httpd -h /www
wait_for 10 in_ns backend curl -sf http://127.0.0.1/

lets_pass xdp
try_mode native
check "explain works, or status says that this kernel lacks it" \
	sh -c 'shunt -s /run/balancer.sock explain 10.1.0.2:4000 192.0.2.10:80/tcp | grep -q 10.2.0.2 ||
		shunt -s /run/balancer.sock status | grep -q "shunt explain"'
shunt -s /run/balancer.sock status | sed -n '/lacks/,$s/^/SAYS /p'
try_sockets
write_configs native
check "the kernel takes both programs with every feature" daemon spare nsenter --net=/run/netns/spare
check "the kernel takes the programs of local services, which lead to a server of this host" takes_local
unload
lets_pass off
try_mode generic
if [ -e /modules/fou.ko ] && check "a backend without shunt can take the tunnels" stock_backend; then
	check "stock tunnels take what shunt sends by GUE (IPv4)" fetches 192.0.2.11
	check "stock tunnels take what shunt sends by GUE (IPv6)" fetches '[2001:db8::11]'
fi
echo END
poweroff -f
