#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A lab: network namespaces, joined by bridges, in which a client, a balancer and backends run as if they were hosts.
# Sourced by the demo and by the end-to-end tests. Everything that a lab makes is recorded in its folder $LAB_DIR and
# carries its name, so two labs can stand side by side, and lab_down removes all of it however the lab ended.
#
#   lab_up NAME                      begin a lab (what an earlier one of that name left is removed)
#   lab_down                         remove it; call it in a trap on EXIT
#   lab_node NODE                    a host            lab_in NODE CMD...       run a command on it
#   lab_bridge BRIDGE                a switch          lab_spawn NODE LOG CMD...  start one that stays; pid in $LAB_PID
#   lab_link NODE DEV BRIDGE MTU ADDRESS...            a cable between them
#   lab_wire NODE DEV MTU ADDRESS PEER PEER_DEV PEER_ADDRESS      a cable between two hosts, without a switch
#   lab_standard BACKENDS MTU        client, balancer and backends on one switch (below)
#   lab_web NODE                     a web server on it (nginx)
#   lab_cgroup [PATH]                a cgroup of the lab's own, or one below it
#   lab_app NODE PATH CMD...         runs a command on a host in that cgroup ("": the lab's)
#   lab_daemon NODE CONFIG [BINARY]  shuntd on it; returns when it answers
#   lab_shunt NODE ARG...            the command, speaking to that daemon
#   lab_wait SECONDS CMD...          until CMD succeeds, or fail after so many seconds
#
# Programs are entered with nsenter, not with `ip netns exec`: that would hide bpffs, where the pins are.

LAB_ROOT=/run/shunt-lab
: "${BUILD:=build}"
: "${LAB_BACKENDS:=3}"

# The addresses of lab_standard. Backend N is 10.77.0.(10+N) and fd77::1N.
LAB_SERVICE4=192.0.2.10
LAB_SERVICE6=2001:db8::10

lab_ns() { echo "$LAB-$1"; }
lab_pins() { echo "/sys/fs/bpf/$LAB-$1"; }
lab_socket() { echo "$LAB_DIR/$1.sock"; }
lab_backend4() { echo "10.77.0.$((10 + $1))"; }
lab_backend6() { echo "fd77::1$1"; }

lab_in() {
	local node=$1
	shift
	nsenter --net="/run/netns/$LAB-$node" -- "$@"
}

lab_shunt() {
	local node=$1
	shift
	"$BUILD/shunt" -s "$(lab_socket "$node")" "$@"
}

# Descriptors above 2 are closed for what stays: a test runner waits for its own to close.
lab_spawn() {
	local node=$1 log=$2
	shift 2
	nsenter --net="/run/netns/$LAB-$node" -- setsid "$@" < /dev/null > "$LAB_DIR/$log" 2>&1 3>&- 4>&- 5>&- 6>&- &
	LAB_PID=$!
	disown "$LAB_PID"
	echo "$LAB_PID" >> "$LAB_DIR/pids"
}

lab_wait() {
	local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
	shift
	until "$@" > /dev/null 2>&1; do
		[ "${EPOCHREALTIME/./}" -lt $end ] || return 1
		sleep 0.03
	done
}

# Connections are balanced only for what runs in the lab's own cgroup, $LAB_CGROUP.
lab_cgroup() { mkdir -p "$LAB_CGROUP/$1"; }

lab_app() {
	local node=$1 path=$2
	shift 2
	# shellcheck disable=SC2016 # $0 and $@ are the inner shell's
	lab_in "$node" bash -c 'echo $$ > "$0"; exec "$@"' "$LAB_CGROUP/$path/cgroup.procs" "$@"
}

lab_gone() { ! kill -0 "$1" 2> /dev/null || grep -q '^State:.Z' "/proc/$1/status" 2> /dev/null; }

# Ends a process of the lab and waits for it: first politely.
lab_kill() {
	local pid=$1 signal=${2:-TERM}
	kill "-$signal" "$pid" 2> /dev/null || return 0
	lab_wait 5 lab_gone "$pid" && return 0
	kill -KILL "$pid" 2> /dev/null || true
	lab_wait 5 lab_gone "$pid"
}

# ---- begin and end ----

lab_up() {
	LAB=$1
	LAB_DIR=$LAB_ROOT/$1
	LAB_CGROUP=$(findmnt -n -t cgroup2 -o TARGET | head -1)/$1
	export LAB LAB_DIR LAB_CGROUP BUILD
	lab_down
	mkdir -p "$LAB_DIR" && touch "$LAB_DIR/pids" || return 1
	mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf || return 1
	lab_node net
}

lab_end_processes() {
	local pids pid ns
	pids=$(tac "$LAB_DIR/pids" 2> /dev/null || true)
	for ns in $(lab_namespaces); do
		pids+=" $(ip netns pids "$ns" 2> /dev/null || true)"
	done
	for pid in $pids; do
		kill -TERM "$pid" 2> /dev/null || true
	done
	for pid in $pids; do
		lab_wait 2 lab_gone "$pid" || kill -KILL "$pid" 2> /dev/null || true
	done
}

lab_end_cgroups() {
	local dir
	dir=$(findmnt -n -t cgroup2 -o TARGET | head -1)/$LAB
	[ ! -d "$dir" ] || find "$dir" -depth -type d -exec rmdir {} +
}

lab_namespaces() { ip netns list | awk -v p="$LAB-" 'index($1, p) == 1 { print $1 }'; }

lab_down() {
	local ns
	[ -n "$LAB" ] || return 0
	lab_end_processes
	rm -rf /sys/fs/bpf/"$LAB"-* /var/lib/"$LAB"-*
	for ns in $(lab_namespaces); do
		ip netns delete "$ns"
	done
	lab_end_cgroups
	rm -rf "${LAB_ROOT:?}/$LAB"
	rmdir "$LAB_ROOT" 2> /dev/null || true
}

# ---- hosts, switches, cables ----

lab_node() {
	ip netns add "$LAB-$1" || return 1
	ip -n "$LAB-$1" link set lo up
	mkdir -p "$LAB_DIR/$1"
	# No duplicate address detection: addresses work at once. A host that gets another MAC address says so, as many do.
	lab_in "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.accept_dad=0 \
		net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.router_solicitations=0 \
		net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
		net.ipv4.conf.default.arp_notify=1 net.ipv6.conf.default.ndisc_notify=1
}

lab_bridge() {
	ip -n "$LAB-net" link add "$1" type bridge forward_delay 0 mcast_snooping 0 && ip -n "$LAB-net" link set "$1" up
}

# A program that lets everything pass. On a switch's port it turns on NAPI there, which XDP_TX and bpf_redirect into the
# host's end of the cable need (GRO alone does not do: the kernel then forgets to wake the port after XDP_TX).
# lab_pass DEV [NODE]
lab_pass() {
	[ -e "$LAB_DIR/pass.o" ] ||
		clang -O2 -target bpf -c -x c -o "$LAB_DIR/pass.o" - <<-END
			__attribute__((section("xdp"), used)) int pass(void *packet) { return 2; }
		END
	ip -n "$LAB-${2:-net}" link set dev "$1" xdp object "$LAB_DIR/pass.o" section xdp
}

# The switch's port is named after node and device. The host finishes its checksums itself: nobody can who comes after
# XDP has put the packet into a tunnel.
lab_link() {
	local node=$1 dev=$2 bridge=$3 mtu=$4 port address
	port=$node-$dev
	port=${port:0:15}
	shift 4
	ip -n "$LAB-net" link add "$port" mtu "$mtu" type veth peer name "$dev" mtu "$mtu" netns "$LAB-$node" || return 1
	ip -n "$LAB-net" link set "$port" master "$bridge" up
	ip -n "$LAB-$node" link set "$dev" up
	lab_pass "$port" || return 1
	lab_in "$node" ethtool -K "$dev" tx off > /dev/null
	for address; do
		ip -n "$LAB-$node" address add "$address" dev "$dev" || return 1
	done
}

# Packets are merged nowhere, and whoever sends or forwards them finishes their checksums (see lab_link).
lab_wire() {
	local node=$1 dev=$2 mtu=$3 address=$4 peer=$5 peer_dev=$6 peer_address=$7
	ip -n "$LAB-$node" link add "$dev" mtu "$mtu" type veth peer name "$peer_dev" mtu "$mtu" netns "$LAB-$peer" || return 1
	ip -n "$LAB-$node" address add "$address" dev "$dev" && ip -n "$LAB-$node" link set "$dev" up || return 1
	ip -n "$LAB-$peer" address add "$peer_address" dev "$peer_dev" && ip -n "$LAB-$peer" link set "$peer_dev" up || return 1
	lab_pass "$peer_dev" "$peer" || return 1
	lab_in "$node" ethtool -K "$dev" tx off > /dev/null
	lab_in "$peer" ethtool -K "$peer_dev" tx off gro off > /dev/null
}

# One switch, all hosts on it. The client reaches the service's addresses through the balancer; backends answer it
# directly. The client's link takes 1500 bytes, those of balancer and backends MTU: 1540 has room for any tunnel header.
lab_standard() {
	local backends=$1 mtu=$2 i
	lab_bridge front
	lab_node client && lab_link client eth0 front 1500 10.77.0.2/24 fd77::2/64 || return 1
	lab_node balancer && lab_link balancer eth0 front "$mtu" 10.77.0.3/24 fd77::3/64 || return 1
	for i in $(seq "$backends"); do
		lab_node "b$i" && lab_link "b$i" eth0 front "$mtu" "$(lab_backend4 "$i")/24" "$(lab_backend6 "$i")/64" || return 1
	done
	ip -n "$LAB-client" route add 192.0.2.0/24 via 10.77.0.3
	ip -n "$LAB-client" route add 2001:db8::/64 via fd77::3
}

# ---- servers ----

# Says its name at /, is well at /healthz until the file `sick` is there, gives and takes files, some of them slowly.
lab_web() {
	local node=$1 dir=$LAB_DIR/$1
	mkdir -p "$dir/files/upload" "$dir/tmp"
	head -c 4000000 /dev/zero > "$dir/files/4M"
	cat > "$dir/nginx.conf" <<-END
		daemon off;
		master_process off;
		error_log $dir/nginx.log;
		pid $dir/nginx.pid;
		user root;
		events { worker_connections 4096; }
		http {
			access_log off;
			keepalive_timeout 30;
			client_body_temp_path $dir/tmp; proxy_temp_path $dir/tmp; fastcgi_temp_path $dir/tmp;
			scgi_temp_path $dir/tmp; uwsgi_temp_path $dir/tmp;
			server {
				listen 80 backlog=4096; listen [::]:80 backlog=4096;
				default_type text/plain;
				add_header X-Backend $node always;
				location / { return 200 "$node\\n"; }
				location = /api/v1/query {
					default_type application/json;
					return 200 '{"status":"success","data":{"resultType":"vector","result":[
						{"metric":{"backend":"$node"},"value":[1,"1"]}]}}';
				}
				location = /healthz { if (-f $dir/sick) { return 503; } return 200 "ok\\n"; }
				location /files/ { root $dir; }
				location /slow/ { alias $dir/files/; limit_rate 1000k; }
				location /files/upload/ { root $dir; client_max_body_size 100m; dav_methods PUT; }
			}
		}
	END
	lab_spawn "$node" "$node/nginx.out" nginx -c "$dir/nginx.conf"
	echo "$LAB_PID" > "$dir/web.pid"
	lab_wait 5 lab_in "$node" curl -sf --max-time 1 http://127.0.0.1/ ||
		{ cat "$dir/nginx.out" "$dir/nginx.log" >&2; return 1; }
}

lab_web_kill() { lab_kill "$(cat "$LAB_DIR/$1/web.pid")" KILL; }

# $LAB_DIR/NODE.pid is the daemon's process, $LAB_DIR/NODE/shuntd.log what it says (appended over restarts).
lab_daemon() {
	local node=$1 config=$2 binary=${3:-$BUILD/shuntd}
	[ "$config" -ef "$LAB_DIR/$node.yaml" ] || cp "$config" "$LAB_DIR/$node.yaml"
	# shellcheck disable=SC2016 # $0 and $@ are the inner shell's
	lab_spawn "$node" "$node/shuntd.out" bash -c 'exec "$@" >> "$0" 2>&1' "$LAB_DIR/$node/shuntd.log" \
		"$binary" --config "$LAB_DIR/$node.yaml"
	echo "$LAB_PID" > "$LAB_DIR/$node.pid"
	lab_wait 20 lab_answers "$node" && ! lab_gone "$LAB_PID" && return 0
	echo "shuntd on $node does not answer:" >&2
	cat "$LAB_DIR/$node/shuntd.log" >&2
	return 1
}

# The process started last answers (not its predecessor), or is gone.
lab_answers() {
	local pid
	pid=$(lab_daemon_pid "$1")
	lab_gone "$pid" || [ "$(lab_shunt "$1" -j status | jq .pid)" = "$pid" ]
}

lab_daemon_pid() { cat "$LAB_DIR/$1.pid"; }

# The first lines of every configuration of a node: its own socket and pins, and maps of a modest size.
lab_config_head() {
	local node=$1 role=$2 mode=${3:-auto}
	cat <<-END
		interfaces:
		  - { name: eth0, role: [$role], mode: $mode }
		control: { socket: $(lab_socket "$node") }
		pins: $(lab_pins "$node")
		metrics: { listen: 127.0.0.1:9650 }
		limits: { services: 64, listeners: 256, members: 4096, backends: 4096, slots: 65536 }
	END
}

# A backend host takes tunnel packets for the services, and has their addresses on loopback. $LAB_BACKEND_KEYS: what else
# its `backend` says.
# lab_backend_host NODE LISTEN...
lab_backend_host() {
	local node=$1 listen
	shift
	listen=$(printf '"%s", ' "$@")
	{
		lab_config_head "$node" backend "${LAB_BACKEND_MODE:-auto}"
		echo "backend: { loopback: true${LAB_BACKEND_KEYS:+, $LAB_BACKEND_KEYS} }"
		echo "services:"
		echo "  - { name: all, listen: [${listen%, }] }"
	} > "$LAB_DIR/$node.yaml"
	lab_daemon "$node" "$LAB_DIR/$node.yaml"
}
