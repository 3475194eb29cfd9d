# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Local processes' connections to services, through the daemon: programs as they are, backends that die under load, the daemon
# that dies. Backends are on other hosts. test_socket.c and test_socket_count.c look at single sockets.

load helpers

setup_file() {
	local i
	lab_begin
	lab_cgroup
	lab_bridge front
	lab_node app && lab_link app eth0 front 1500 10.77.0.2/24 fd77::2/64
	lab_node far && lab_link far eth0 front 1500 10.77.0.3/24 fd77::3/64
	for i in 1 2 3; do
		lab_node "b$i" && lab_link "b$i" eth0 front 1500 "$(lab_backend4 "$i")/24" "$(lab_backend6 "$i")/64"
		lab_web "b$i"
		lab_spawn "b$i" "b$i/dns.log" "$BATS_TEST_DIRNAME/named.py" dns "$i"
		named "$i"
	done
	config > "$LAB_DIR/app.yaml"
	daemon
	lab_wait 10 settled
}

teardown_file() {
	[ ! -d "$LAB_DIR" ] || "$BUILD/shuntd" --unload --pins "$(lab_pins app)"
	lab_down
}

teardown() {
	[ -n "$BATS_TEST_COMPLETED" ] || tail -15 "$LAB_DIR/app/shuntd.log"
}

# The server on backend I that says its name.
named() {
	lab_spawn "b$1" "b$1/named.log" "$BATS_TEST_DIRNAME/named.py" serve "b$1" 7000
	echo "$LAB_PID" > "$LAB_DIR/b$1/named.pid"
	lab_wait 5 lab_in "b$1" nc -z 127.0.0.1 7000
}

# $ALGORITHM, $WEIGHT of the first, $MORE: another service, $SOCKET: more keys
config() {
	local quick='health: { tcp: {}, interval: 200ms, timeout: 180ms, fall: 2, rise: 1 }' rr='algorithm: round-robin, drain: 0s'
	cat <<-END
		cgroup: $LAB_CGROUP
		control: { socket: $(lab_socket app) }
		metrics: { listen: off }
		pins: $(lab_pins app)
		limits: { services: 64, listeners: 256, members: 4096, backends: 4096, slots: 65536 }
		services:
		  - { name: web, $rr, listen: "192.0.2.10:80/tcp", health: $check_http, backends: [$(backends4 3 :80)] }
		  - { name: web6, $rr, listen: "[2001:db8::10]:80/tcp", health: $check_http, backends: [$(backends6 3 :80)] }
		  - { name: dns, $rr, listen: "192.0.2.10:53/udp", health: none, backends: [$(backends4 3 :53)] }
		  - { name: dns6, $rr, listen: "[2001:db8::10]:53/udp", health: none, backends: [$(backends6 3 :53)] }
		  - { name: named, algorithm: ${ALGORITHM:-round-robin}, drain: 0s, $quick, listen: ["192.0.2.10:7/tcp", "192.0.2.10:7/udp"],
		      backends: [{ address: "10.77.0.11:7000", weight: ${WEIGHT:-100} }, { address: "10.77.0.12:7000" },
		                 { address: "10.77.0.13:7000" }] }
		  - { name: named6, $rr, $quick, listen: ["[2001:db8::10]:7/tcp", "[2001:db8::10]:7/udp"], backends: [$(backends6 3 :7000)] }
		$MORE
	END
}

# The daemon is in the cgroup, too, as every process is in the root.
daemon() {
	lab_daemon app "$LAB_DIR/app.yaml"
	lab_daemon_pid app > "$LAB_CGROUP/cgroup.procs"
}

reload() {
	config > "$LAB_DIR/app.yaml"
	kill -HUP "$(lab_daemon_pid app)"
}

states() { lab_shunt app -j backend list | jq -r --arg s "$1" '[.backends[] | select(.service == $s) | .state] | join(" ")'; }

state_of() { lab_shunt app -j backend list "$1" | jq -r --arg a "$2" '.backends[] | select(.address == $a) | .state'; }

state_is() { [ "$(state_of "$1" "$2")" = "$3" ]; }

all_healthy() { [ "$(states "$1")" = "healthy healthy healthy" ]; }

settled() { all_healthy web && all_healthy web6 && all_healthy named && all_healthy named6; }

app() { lab_app app "" "$@"; }

# Runs a command six times; it must print all three names, b1 to b3.
names_all() {
	local i
	for i in 1 2 3 4 5 6; do
		"$@" || fail "status $?: $*"
	done > "$LAB_DIR/names"
	[ "$(tr -d '\r' < "$LAB_DIR/names" | grep -oE '\bb[123]\b' | sort | uniq -c | awk '{ printf "%s ", $1 }')" = "2 2 2 " ] ||
		fail "$(cat "$LAB_DIR/names")"
}

# ---- programs as they are ----

@test "curl" {
	names_all app curl -sS --max-time 3 http://192.0.2.10/
	names_all app curl -sS --max-time 3 "http://[2001:db8::10]/"
	[ "$(app curl -s -o /dev/null -w '%{remote_ip}:%{remote_port}' http://192.0.2.10/)" = 192.0.2.10:80 ]
}

@test "nginx, whose upstream is a service" {
	local dir=$LAB_DIR/proxy
	mkdir "$dir"
	cat > "$dir/nginx.conf" <<-END
		daemon off;
		error_log $dir/error.log;
		pid $dir/nginx.pid;
		user root;
		events { }
		http {
			access_log off;
			client_body_temp_path $dir; proxy_temp_path $dir; fastcgi_temp_path $dir; scgi_temp_path $dir; uwsgi_temp_path $dir;
			upstream v4 { server 192.0.2.10:80; }
			upstream v6 { server [2001:db8::10]:80; }
			server { listen 127.0.0.1:8080; location /4/ { proxy_pass http://v4/; } location /6/ { proxy_pass http://v6/; } }
		}
	END
	lab_spawn app proxy.log bash -c 'echo $$ > "$0"; exec "$@"' "$LAB_CGROUP/cgroup.procs" nginx -c "$dir/nginx.conf"
	lab_wait 5 app curl -sf --max-time 1 http://127.0.0.1:8080/4/
	names_all app curl -sS --max-time 3 http://127.0.0.1:8080/4/
	names_all app curl -sS --max-time 3 http://127.0.0.1:8080/6/
}

@test "dig" {
	ask() { app dig +short +tries=1 +time=2 "@$1" example.test A | sed 's/^10\.0\.0\./b/'; }
	names_all ask 192.0.2.10
	names_all ask 2001:db8::10
}

@test "nc" {
	ask() { printf 'GET / HTTP/1.0\r\n\r\n' | app nc -w 3 "$1" 80 | tail -1; }
	names_all ask 192.0.2.10
	names_all ask 2001:db8::10
}

@test "promtool, which is of Go" {
	names_all app promtool query instant http://192.0.2.10 up
	names_all app promtool query instant "http://[2001:db8::10]" up
}

@test "Java" {
	command -v java > /dev/null || skip "there is no java here"
	cat > "$LAB_DIR/Ask.java" <<-END
		public class Ask {
			public static void main(String[] args) throws Exception {
				for (String url : args)
					for (int i = 0; i < 3; i++) {
						var c = new java.net.URL(url).openConnection();
						c.setRequestProperty("Connection", "close");
						System.out.print(new String(c.getInputStream().readAllBytes()));
					}
			}
		}
	END
	app java -Xshare:auto -XX:TieredStopAtLevel=1 "$LAB_DIR/Ask.java" http://192.0.2.10/ "http://[2001:db8::10]/" > "$LAB_DIR/java.out"
	[ "$(sort "$LAB_DIR/java.out" | uniq -c | awk '{ printf "%s ", $1 }')" = "2 2 2 " ]
}

@test "Python, with sockets of each kind, is shown the service" {
	app "$BATS_TEST_DIRNAME/named.py" look 192.0.2.10 7
	app "$BATS_TEST_DIRNAME/named.py" look 2001:db8::10 7
}

# ---- where ----

@test "a path that is not of cgroup v2 leads to the mount that is, and one that is not the root is said" {
	grep -q "$LAB_CGROUP is not the root of cgroup v2" "$LAB_DIR/app/shuntd.log"
	mkdir -p "$LAB_DIR/other/wrong" "$LAB_DIR/other/right"
	sed "s|^cgroup:.*|cgroup: $LAB_DIR/other/wrong|; s|^control:.*|control: { socket: $LAB_DIR/other/sock }|
		s|^pins:.*|pins: $(lab_pins other)|" "$LAB_DIR/app.yaml" > "$LAB_DIR/other.yaml"
	# A host whose only cgroup2 is somewhere else: nobody but this daemon sees it.
	lab_spawn app other/log unshare --mount --propagation private bash -c '
		mount -t tmpfs none "$1/wrong" && mount --bind "$2" "$1/right" || exit
		grep " cgroup2 " /proc/mounts | cut -d " " -f 2 | grep -vx "$1/right" | xargs -r umount -l
		exec "$3" --config "$1.yaml"' - "$LAB_DIR/other" "$LAB_CGROUP" "$BUILD/shuntd"
	lab_wait 10 "$BUILD/shunt" -s "$LAB_DIR/other/sock" status
	grep -q "$LAB_DIR/other/wrong is not of cgroup v2: taking $LAB_DIR/other/right" "$LAB_DIR/other/log"
	grep -q "$LAB_DIR/other/right is not the root of cgroup v2" "$LAB_DIR/other/log"
	[ "$(bpftool -j cgroup show "$LAB_CGROUP" | jq '[.[] | select(.name == "shunt_connect4")] | length')" = 2 ]
	lab_kill "$LAB_PID"
	"$BUILD/shuntd" --unload --pins "$(lab_pins other)"
}

@test "a check reaches the backend itself, though its address is a service's" {
	MORE="  - { name: loop, listen: '10.77.0.11:80/tcp', health: none, backends: [{ address: '10.77.0.12:80' }] }" reload
	lab_wait 5 eval '[ "$(app curl -s --max-time 1 http://10.77.0.11/)" = b2 ]'
	touch "$LAB_DIR/b1/sick"
	lab_wait 5 state_is web 10.77.0.11:80 unhealthy
	rm "$LAB_DIR/b1/sick"
	lab_wait 5 state_is web 10.77.0.11:80 healthy
	touch "$LAB_DIR/b2/sick"
	lab_wait 5 state_is web 10.77.0.12:80 unhealthy
	state_is web 10.77.0.11:80 healthy
	rm "$LAB_DIR/b2/sick"
	reload
	lab_wait 5 settled
}

# ---- under load ----

# clients_begin NODE ADDRESS N
clients_begin() {
	lab_spawn "$1" "$1-load.log" bash -c 'echo $$ > "$0"; exec "$@"' "$LAB_CGROUP/cgroup.procs" \
		"$BATS_TEST_DIRNAME/named.py" load "$2" 7 "$3" "$LAB_DIR/load.txt"
	load_pids+=("$LAB_PID")
}

clients_end() {
	local pid
	for pid in "${load_pids[@]}"; do
		lab_kill "$pid" KILL
	done
	load_pids=()
}

# errors_after TIME: questions that a user did not get an answer to, not even at the second try
errors_after() { awk -v t="$1" '$1 > t && $3 ~ /^error/' "$LAB_DIR/load.txt"; }

# Every kind of client has been answered since TIME, and by NAMES alone.
answered_since() {
	local kind
	for kind in Once Client Connected Loose; do
		awk -v t="$1" -v k="$kind" '$1 > t && $2 == k && $3 !~ /^error/ { n++ } END { exit n < 20 }' "$LAB_DIR/load.txt" || return 1
	done
}

# 50 clients of all kinds, in two namespaces and both families; how: what becomes of b2
dies_under_load() {
	local how=$1 verdict
	load_pids=()
	rm -f "$LAB_DIR/load.txt"
	clients_begin app 192.0.2.10 17
	clients_begin app 2001:db8::10 16
	clients_begin far 192.0.2.10 17
	lab_wait 5 answered_since 0
	$how
	lab_wait 10 state_is named 10.77.0.12:7000 unhealthy
	lab_wait 10 state_is named6 "[fd77::12]:7000" unhealthy
	verdict=$EPOCHREALTIME
	lab_wait 10 answered_since "$verdict" || fail "not all kinds of clients go on"
	[ -z "$(errors_after "$verdict")" ] || fail "$(errors_after "$verdict" | head)"
	[ -z "$(awk -v t="$verdict" '$1 > t + 0.5 && $3 == "b2"' "$LAB_DIR/load.txt")" ] || fail "b2 was asked after the verdict"
	errors=$(errors_after 0 | wc -l)
	clients_end
}

kill_b2() { lab_kill "$(cat "$LAB_DIR/b2/named.pid")" KILL; }

@test "a backend's server dies under the load of 50 clients that retry once: no error after the verdict" {
	dies_under_load kill_b2
	echo "# result: $errors errors before the verdict, 0 after" >&3
	named 2
	lab_wait 5 settled
}

silence_b2() { ip -n "$LAB-b2" link set eth0 down; }

@test "a backend's host falls silent under the same load: no error after the verdict" {
	dies_under_load silence_b2
	grep -q 'local connections to backends that may have them no more were ended' "$LAB_DIR/app/shuntd.log"
	ip -n "$LAB-b2" link set eth0 up
	ip -n "$LAB-b2" address replace fd77::12/64 dev eth0
	lab_wait 10 settled
}

# ---- the daemon ----

links() {
	local pin
	for pin in "$(lab_pins app)"/hook_*; do
		echo "${pin##*/} $(bpftool -j link show pinned "$pin" | jq .id)"
	done
}

# Connections that are open, as the programs count them.
open_connections() {
	bpftool -j map dump pinned "$(lab_pins app)/connections" | jq '[.[].formatted.value.open] | add'
}

hold_begin() {
	rm -f "$LAB_DIR/hold.txt"
	lab_spawn app hold.log bash -c 'echo $$ > "$0"; exec "$@"' "$LAB_CGROUP/cgroup.procs" \
		"$BATS_TEST_DIRNAME/named.py" hold 192.0.2.10 7 "$LAB_DIR/hold.txt"
	hold_pid=$LAB_PID
	lab_wait 5 test -s "$LAB_DIR/hold.txt"
}

# The connection was never interrupted, and is answered by one backend, still.
hold_end() {
	local n
	n=$(wc -l < "$LAB_DIR/hold.txt")
	lab_wait 5 eval '[ "$(wc -l < "$LAB_DIR/hold.txt")" -gt '"$n"' ]'
	[ "$(sort -u "$LAB_DIR/hold.txt" | wc -l)" = 1 ] || fail "$(sort "$LAB_DIR/hold.txt" | uniq -c)"
	lab_kill "$hold_pid"
}

@test "the daemon dies and returns under load: nobody notices, and what it pinned is taken up" {
	local before begin open
	before=$(links)
	[ -n "$before" ]
	load_pids=()
	rm -f "$LAB_DIR/load.txt"
	hold_begin
	clients_begin app 192.0.2.10 20
	lab_wait 5 answered_since 0
	lab_kill "$(lab_daemon_pid app)" KILL
	begin=$EPOCHREALTIME
	names_all app curl -sS --max-time 3 http://192.0.2.10/
	lab_wait 5 answered_since "$begin"
	daemon
	begin=$EPOCHREALTIME
	[ "$(links)" = "$before" ]
	lab_shunt app -j status | jq -e .adopted
	lab_wait 5 answered_since "$begin"
	[ -z "$(errors_after 0)" ] || fail "$(errors_after 0 | head)"
	for name in b1 b2 b3; do
		awk -v t="$begin" -v n=$name '$1 > t && $3 == n { found = 1 } END { exit !found }' "$LAB_DIR/load.txt"
	done
	[ "$(open_connections)" -ge 16 ] # the one held, and of 20 clients 5 each that keep TCP, UDP or send
	clients_end
	lab_wait 5 eval '[ "$(open_connections)" = 1 ]'
	hold_end
	lab_wait 5 eval '[ "$(open_connections)" = 0 ]'
	lab_wait 5 settled
}

@test "a reload that changes weights and the algorithm keeps open connections" {
	hold_begin
	ALGORITHM=least-connections WEIGHT=10 reload
	lab_wait 5 eval '[ "$(lab_shunt app -j backend list named | jq ".backends[0].weight")" = 10 ]'
	app "$BATS_TEST_DIRNAME/named.py" look 192.0.2.10 7
	ALGORITHM=random WEIGHT=50 reload
	lab_wait 5 eval '[ "$(lab_shunt app -j backend list named | jq ".backends[0].weight")" = 50 ]'
	app "$BATS_TEST_DIRNAME/named.py" look 192.0.2.10 7
	hold_end
	reload
	lab_wait 5 settled
}

@test "programs that a reload makes anew come in the same links" {
	local before program
	hold_begin
	before=$(links)
	program=$(bpftool -j link show pinned "$(lab_pins app)/hook_connect4" | jq .prog_id)
	MORE="  - { name: any, listen: '192.0.2.11:*/tcp', health: none, backends: [$(backends4 3 "")] }" reload
	lab_wait 5 app "$BATS_TEST_DIRNAME/named.py" ask 192.0.2.11 7000
	[ "$(links)" = "$before" ]
	[ "$(bpftool -j link show pinned "$(lab_pins app)/hook_connect4" | jq .prog_id)" != "$program" ]
	hold_end
	reload
	lab_wait 5 settled
}

@test "a daemon that is started without a cgroup takes the programs away" {
	lab_kill "$(lab_daemon_pid app)"
	config | grep -v ^cgroup: | sed '/^services:/,$d' > "$LAB_DIR/app.yaml"
	lab_daemon app "$LAB_DIR/app.yaml"
	detached
	lab_kill "$(lab_daemon_pid app)"
	config > "$LAB_DIR/app.yaml"
	daemon
	lab_wait 5 settled
	app "$BATS_TEST_DIRNAME/named.py" ask 192.0.2.10 7
}

@test "disable ends a backend's connections, and the next goes elsewhere" {
	local name
	hold_begin
	name=$(tail -1 "$LAB_DIR/hold.txt")
	lab_shunt app backend disable named "10.77.0.1${name#b}:7000"
	lab_wait 5 grep -q error "$LAB_DIR/hold.txt"
	refuse grep -q "^$name" <(app "$BATS_TEST_DIRNAME/named.py" look 192.0.2.10 7 | awk '{ print $2 }')
	lab_shunt app backend enable named "10.77.0.1${name#b}:7000"
	lab_wait 5 settled
}

detached() { [ -z "$(bpftool cgroup show "$LAB_CGROUP" | tail -n +2)" ]; }

@test "unload detaches everything" {
	lab_kill "$(lab_daemon_pid app)"
	[ "$(bpftool -j cgroup show "$LAB_CGROUP" | jq length)" -gt 0 ]
	"$BUILD/shuntd" --unload --pins "$(lab_pins app)"
	[ ! -e "$(lab_pins app)" ]
	lab_wait 5 detached
	refuse app curl -sS --max-time 1 http://192.0.2.10/
}
