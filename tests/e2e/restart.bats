# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The daemon dies, returns, is told to read its file again, is replaced: traffic does not notice.

load helpers

rounds=${SOAK:+30}
rounds=${rounds:-1}

setup_file() {
	lab_begin
	lab_standard 3 1540
	ip -n "$LAB-client" route add 192.0.2.20/32 via 10.77.0.3
	standard_listens+=("192.0.2.20:5201/tcp")
	standard_hosts 3
	{
		lab_config_head balancer edge
		standard_services 3
		echo '  - { name: bulk, listen: ["192.0.2.20:5201/tcp"], health: none, backends: [{ address: "10.77.0.11:5201" }] }'
	} > "$LAB_DIR/balancer.yaml"
	kill -HUP "$(lab_daemon_pid balancer)"
	lab_spawn b1 b1/iperf3 iperf3 -s
	lab_wait 5 lab_in b1 sh -c 'grep -q :1451 /proc/net/tcp6'
	lab_wait 5 lab_shunt balancer service show bulk
}

# traffic_begin SECONDS: 50 requests a second, and bulk data over one connection
traffic_begin() {
	lab_spawn client iperf.json iperf3 -c 192.0.2.20 -t "$1" -b 50M -i 0.5 -J
	iperf_pid=$LAB_PID
	load_begin http://192.0.2.10/ $(($1 * 50)) 50
	count=$(($1 * 50))
}

# No request failed, no connection was reset, and the bulk data did not stand still.
traffic_end() {
	load_end $((count / 50 + 20))
	lab_wait $((count / 50 + 20)) lab_gone "$iperf_pid"
	[ "$(load_count)" = "$count" ] || fail "$(load_count) of $count requests were made"
	[ "$(load_failed)" = 0 ] || fail "$(load_failed) requests failed: $(awk '$2 != 200' "$LAB_DIR/load.txt")"
	jq -e '.error == null and ([.intervals[].sum.bytes] | min) > 0' "$LAB_DIR/iperf.json" > /dev/null ||
		fail "iperf3: $(jq -c '.error, [.intervals[].sum.bytes]' "$LAB_DIR/iperf.json")"
}

owners() {
	local port
	for port in $(seq 30001 30020); do
		lab_shunt balancer -j explain 10.77.0.2:"$port" 192.0.2.10:80/tcp syn | jq -r .backend
	done
}

sees() { lab_shunt balancer -j status | jq -e "$1"; }

@test "kill -9 and restart under load: no request fails, no connection is reset, counters go on" {
	local before owned
	traffic_begin $((rounds * 6))
	owned=$(owners)
	before=$(packets web)
	for _ in $(seq $rounds); do
		lab_kill "$(lab_daemon_pid balancer)" KILL
		sleep 1
		lab_daemon balancer "$LAB_DIR/balancer.yaml"
		sees '.adopted == true'
	done
	[ "$(packets web)" -ge "$before" ]
	[ "$(owners)" = "$owned" ]
	traffic_end
}

@test "what was unhealthy when the daemon died is not given a packet when it returns" {
	touch "$LAB_DIR/b2/sick"
	lab_wait 5 state_is web 10.77.0.12:80 unhealthy
	lab_kill "$(lab_daemon_pid balancer)" KILL
	load_begin http://192.0.2.10/ 100 50
	lab_daemon balancer "$LAB_DIR/balancer.yaml"
	load_end
	[ "$(load_failed)" = 0 ]
	refuse grep -q 'b2$' "$LAB_DIR/load.txt"
	rm "$LAB_DIR/b2/sick"
	lab_wait 5 state_is web 10.77.0.12:80 healthy
}

@test "SIGHUP with a changed weight under load: no request fails, no connection is reset" {
	traffic_begin 4
	sed -i '0,/address: "10.77.0.12:80"/s//address: "10.77.0.12:80", weight: 50/' "$LAB_DIR/balancer.yaml"
	kill -HUP "$(lab_daemon_pid balancer)"
	lab_wait 3 eval '[ "$(backend web 10.77.0.12:80 .weight)" = 50 ]'
	traffic_end
	lab_shunt balancer -j service show web | jq -e '.backends | map(.share) | min > 0.15 and min < 0.25'
}

@test "SIGHUP takes back what commands listed, and keeps what they said of endpoints; apply takes that back too" {
	lab_shunt balancer backend weight web 10.77.0.11:80 7
	lab_shunt balancer service add extra 192.0.2.99:80/tcp
	sees '.config.differs == true'
	kill -HUP "$(lab_daemon_pid balancer)"
	lab_wait 3 eval '! lab_shunt balancer service show extra'
	[ "$(backend web 10.77.0.11:80 .weight)" = 7 ]
	sees '.config.differs == true'
	lab_shunt balancer apply "$LAB_DIR/balancer.yaml"
	[ "$(backend web 10.77.0.11:80 .weight)" = 100 ]
	sees '.config.differs == false'
}

# A build of another version from the same sources: only what names the version is compiled again.
newer_build() {
	newer=$BUILD/newer
	rm -rf "$newer"
	mkdir -p "$newer"
	cp -a "$BUILD"/bpf "$BUILD"/user "$BUILD"/*.skel.h "$newer"/
	(
		cd "$ROOT"
		grep -lr SHUNT_VERSION user --include='*.c' | while read -r file; do rm -f "$newer/${file%.c}.o"; done
		env -u MAKEFLAGS -u MAKELEVEL make BUILD="$newer" VERSION=9.9-newer "$newer/shuntd"
	)
}

@test "replaced by a newer build under load: no request fails, no connection is reset" {
	newer_build
	[ "$("$newer/shuntd" --version | grep -c 9.9-newer)" = 1 ]
	traffic_begin 6
	lab_kill "$(lab_daemon_pid balancer)"
	lab_daemon balancer "$LAB_DIR/balancer.yaml" "$newer/shuntd"
	sees '.adopted == true and .version == "9.9-newer"'
	sleep 1
	# and back to the older one
	lab_kill "$(lab_daemon_pid balancer)"
	lab_daemon balancer "$LAB_DIR/balancer.yaml"
	sees '.adopted == true and .version != "9.9-newer"'
	traffic_end
	rm -rf "$newer"
}

@test "the backends' daemons may be restarted too" {
	traffic_begin 4
	lab_kill "$(lab_daemon_pid b1)" KILL
	lab_daemon b1 "$LAB_DIR/b1.yaml"
	lab_kill "$(lab_daemon_pid b2)"
	lab_daemon b2 "$LAB_DIR/b2.yaml"
	traffic_end
}

@test "only the capabilities that it needs are left after start" {
	local pid effective
	pid=$(lab_daemon_pid balancer)
	effective=$((16#$(awk '/^CapEff/ { print $2 }' "/proc/$pid/status")))
	# net_admin (12), net_raw (13), sys_admin (21: kernels before 5.8), perfmon (38), bpf (39) and nothing else
	echo "CapEff: $(printf %x $effective)"
	[ $((effective & ~(1 << 12 | 1 << 13 | 1 << 38 | 1 << 39))) = 0 ]
	[ $((effective & 1 << 39)) != 0 ]
	[ $((16#$(awk '/^CapBnd/ { print $2 }' "/proc/$pid/status") & ~effective)) = 0 ]
}

@test "two daemons live on one host with their own sockets and pins" {
	lab_link balancer eth1 front 1540 10.77.0.4/24
	sed -e "s|$(lab_socket balancer)|$LAB_DIR/second.sock|; s|$(lab_pins balancer)|/sys/fs/bpf/$LAB-second|" \
		-e 's/name: eth0/name: eth1/; s/:9650/:9651/; s/192\.0\.2\.10:80/192.0.2.21:80/; /2001:db8::10.:80/s/, "\[2001[^]]*\]:80.tcp"//' \
		"$LAB_DIR/balancer.yaml" > "$LAB_DIR/second.yaml"
	lab_spawn balancer balancer/second.log "$BUILD/shuntd" --config "$LAB_DIR/second.yaml"
	local pid=$LAB_PID
	lab_wait 10 "$BUILD/shunt" -s "$LAB_DIR/second.sock" status || { cat "$LAB_DIR/balancer/second.log"; false; }
	sees ".pid == $(lab_daemon_pid balancer) and .interfaces[0].name == \"eth0\""
	"$BUILD/shunt" -s "$LAB_DIR/second.sock" -j status | jq -e ".pid == $pid and .interfaces[0] == (.interfaces[0] | .name = \"eth1\")"
	[ -d "/sys/fs/bpf/$LAB-second" ] && [ -d "$(lab_pins balancer)" ]
	lab_kill "$pid"
	lab_in balancer "$BUILD/shuntd" --config "$LAB_DIR/second.yaml" --unload
	[ ! -e "/sys/fs/bpf/$LAB-second" ]
	[ -d "$(lab_pins balancer)" ]
	[[ "$(fetch http://192.0.2.10/)" == b? ]]
}

@test "a second daemon on the same pins is refused with a sentence, and the first lives on" {
	run timeout 10 nsenter --net="/run/netns/$LAB-balancer" "$BUILD/shuntd" --config "$LAB_DIR/balancer.yaml"
	[ "$status" != 0 ] && [ "$status" != 124 ]
	[[ "$output" == *"$(lab_pins balancer)"* ]]
	sees ".pid == $(lab_daemon_pid balancer)"
}

@test "the service manager is told when it is ready, reloads and stops" {
	local pid
	lab_kill "$(lab_daemon_pid balancer)"
	lab_spawn balancer notified python3 -uc \
		'import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1])
while True: print(s.recv(4096).decode())' "$LAB_DIR/notify"
	pid=$LAB_PID
	lab_wait 5 test -S "$LAB_DIR/notify"
	NOTIFY_SOCKET=$LAB_DIR/notify lab_daemon balancer "$LAB_DIR/balancer.yaml"
	lab_wait 5 grep -qx READY=1 "$LAB_DIR/notified"
	kill -HUP "$(lab_daemon_pid balancer)"
	lab_wait 5 grep -qx RELOADING=1 "$LAB_DIR/notified"
	lab_wait 5 eval '[ "$(tail -1 "$LAB_DIR/notified")" = READY=1 ]'
	lab_kill "$(lab_daemon_pid balancer)"
	lab_wait 5 grep -qx STOPPING=1 "$LAB_DIR/notified"
	lab_kill "$pid"
	lab_daemon balancer "$LAB_DIR/balancer.yaml"
}

@test "SIGTERM leaves forwarding in place" {
	traffic_begin 3
	lab_kill "$(lab_daemon_pid balancer)"
	traffic_end
	run -3 lab_shunt balancer status
	[[ "$(fetch http://192.0.2.10/)" == b? ]]
}

@test "--unload removes links, pins and addresses" {
	lab_in balancer "$BUILD/shuntd" --config "$LAB_DIR/balancer.yaml" --unload
	[ ! -e "$(lab_pins balancer)" ]
	refuse grep -q xdp <(ip -n "$LAB-balancer" link show eth0)
	refuse fetch http://192.0.2.10/ --max-time 0.3
	ip -n "$LAB-b1" address show lo | grep -q 192.0.2.10
	lab_kill "$(lab_daemon_pid b1)"
	lab_in b1 "$BUILD/shuntd" --config "$LAB_DIR/b1.yaml" --unload
	refuse grep -q -e 192.0.2.10 -e 2001:db8 <(ip -n "$LAB-b1" address show lo)
	ip -n "$LAB-b1" address show lo | grep -q 127.0.0.1
	refuse grep -q xdp <(ip -n "$LAB-b1" link show eth0)
	# once more is fine
	lab_in b1 "$BUILD/shuntd" --config "$LAB_DIR/b1.yaml" --unload
}
