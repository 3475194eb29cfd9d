# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Backends by DNS, from real servers: bind9 on two hosts (registry and second), changed by dynamic updates, and dnsmasq.

load discovery

second4=10.77.0.6
resolvers="sources: [{ dns: { resolvers: [$registry4, $second4], ttl: { min: 200ms, max: 5s }, timeout: 600ms } }]"

setup_file() {
	local program
	for program in named nsupdate dig; do
		command -v $program > /dev/null || export MISSING=$program
	done
	[ -z "$MISSING" ] || return 0
	discovery_begin
	lab_node second && lab_link second eth0 front 1500 $second4/24
	zone registry && zone second
	name_server registry && name_server second
	both "add web.example.test 0 A 10.77.0.11" "add web.example.test 0 A 10.77.0.12"
	SOURCES=$resolvers discovery_daemon "{ dns: { name: web.example.test, port: 80 } }"
	lab_wait 10 all_backends_healthy
}

teardown_file() { [ -n "$MISSING" ] || discovery_end; }

setup() { [ -z "$MISSING" ] || skip "$MISSING is missing; it takes the packages bind9 and bind9-dnsutils"; }

# ---- servers ----

# A zone that takes updates from anybody, and one that cannot be loaded.
zone() {
	local dir=$LAB_DIR/$1/bind many=
	mkdir -p "$dir"
	! named -C 2> /dev/null | grep -q max-records-per-type || many="max-records-per-type 0;" # newer ones take 100
	cat > "$dir/example.test" <<-END
		\$TTL 0
		@ SOA ns root 1 3600 600 86400 0
		@ NS ns
		ns A $registry4
		b1 A 10.77.0.11
		b2 A 10.77.0.12
		b3 A 10.77.0.13
	END
	cat > "$dir/named.conf" <<-END
		options {
			directory "$dir"; pid-file "$dir/pid"; session-keyfile "$dir/session.key"; lock-file none;
			listen-on { any; }; listen-on-v6 { none; }; recursion no; dnssec-validation no; notify no; max-udp-size 1232; $many
		};
		controls { };
		zone "example.test" { type primary; file "example.test"; allow-update { any; }; };
		zone "broken.test" { type primary; file "nowhere"; };
	END
}

name_server() {
	lab_spawn "$1" "$1/named.log" named -g -n 1 -c "$LAB_DIR/$1/bind/named.conf"
	echo "$LAB_PID" > "$LAB_DIR/$1/named.pid"
	lab_wait 10 asks "$1" 127.0.0.1 ns.example.test || { tail -20 "$LAB_DIR/$1/named.log" >&2; return 1; }
}

asks() { lab_in "$1" dig +short +tries=1 +time=1 "@$2" "$3" A | grep -q .; }

name_server_kill() { lab_kill "$(cat "$LAB_DIR/$1/named.pid")" "${2:-KILL}"; }

# update NODE LINE...: all in one step
update() {
	local node=$1
	shift
	{ echo "server 127.0.0.1"; printf 'update %s\n' "$@"; echo send; } | lab_in "$node" nsupdate -t 3
}

both() { update registry "$@" && update second "$@"; }

# Answers to app are lost on their way, without a word.
cut_off() { ip -n "$LAB-$1" route add blackhole 10.77.0.2/32; }
heal() { ip -n "$LAB-$1" route del blackhole 10.77.0.2/32; }

discover() {
	SOURCES=$resolvers discovery_config "$1" > "$LAB_DIR/app.yaml"
	kill -HUP "$(lab_daemon_pid app)"
}

two() { backends_are 10.77.0.11:80 10.77.0.12:80; }

# ---- names ----

@test "addresses that come and go in the zone come and go here, and no request fails" {
	two
	requests_begin 10000 100
	both "add web.example.test 0 A 10.77.0.13"
	lab_wait 5 backends_are 10.77.0.11:80 10.77.0.12:80 10.77.0.13:80
	lab_wait 5 eval '[ "$(requests_by 12)" = "b1 b2 b3" ]'
	both "delete web.example.test A 10.77.0.11"
	lab_wait 5 backends_are 10.77.0.12:80 10.77.0.13:80
	lab_wait 5 eval '[ "$(requests_by 12)" = "b2 b3" ]'
	both "add web.example.test 0 A 10.77.0.11" "delete web.example.test A 10.77.0.13"
	lab_wait 5 two
	requests_end
	[ "$(requests_failed)" = 0 ]
	lab_wait 5 all_backends_healthy
}

@test "IPv6 addresses count as well" {
	both "add web.example.test 0 AAAA fd77::13"
	lab_wait 5 backends_are 10.77.0.11:80 10.77.0.12:80 "[fd77::13]:80"
	both "delete web.example.test AAAA"
	lab_wait 5 two
}

@test "an unchanged answer is no change, though its order is another every time" {
	local changes answers
	changes=$(source_now .changes) answers=$(source_now .answers)
	lab_wait 5 eval '[ "$(source_now .answers)" -gt '$((answers + 4))' ]'
	[ "$(source_now .changes)" = "$changes" ]
}

@test "a name that is gone leaves the last good set in force, and says so" {
	requests_begin 10000 100
	both "delete web.example.test"
	lab_wait 5 source_is stale '.problem | contains("there is no such name")'
	two
	both "add web.example.test 0 TXT something"
	lab_wait 5 source_is stale '.problem | contains("the name has no address")'
	two
	both "add web.example.test 0 A 10.77.0.11" "add web.example.test 0 A 10.77.0.12"
	lab_wait 5 source_is current
	two
	requests_end
	[ "$(requests_failed)" = 0 ]
}

@test "none: allow believes that the name is gone" {
	discover "{ dns: { name: web.example.test, port: 80 }, none: allow }"
	both "delete web.example.test"
	lab_wait 5 backends_are
	source_is current '.note | contains("no such name")'
	both "add web.example.test 0 A 10.77.0.11" "add web.example.test 0 A 10.77.0.12"
	lab_wait 5 two
	discover "{ dns: { name: web.example.test, port: 80 } }"
	lab_wait 5 all_backends_healthy
}

@test "SERVFAIL and REFUSED are problems, and none is nothing to be believed" {
	run lab_shunt app source test "dns: { name: web.broken.test }"
	[ "$status" = 1 ] && [[ $output == *"$registry4:53: SERVFAIL; $second4:53: SERVFAIL"* ]]
	run lab_shunt app source test "dns: { name: www.elsewhere.test }"
	[ "$status" = 1 ] && [[ $output == *REFUSED* ]]
	lab_shunt app source test "dns: { name: b3.example.test, port: 80 }" | grep -q "10.77.0.13:80"
}

# ---- servers that fail ----

@test "the second resolver takes over from one that dies, and the first from the second" {
	requests_begin 10000 100
	name_server_kill registry
	update second "add web.example.test 0 A 10.77.0.13"
	lab_wait 5 backends_are 10.77.0.11:80 10.77.0.12:80 10.77.0.13:80
	source_is current
	name_server registry
	update registry "add web.example.test 0 A 10.77.0.13"
	cut_off second
	update registry "delete web.example.test A 10.77.0.13"
	lab_wait 5 two
	heal second
	update second "delete web.example.test A 10.77.0.13"
	requests_end
	[ "$(requests_failed)" = 0 ]
	[ "$(source_now .state)" = current ]
}

@test "without any server the last good set stays, and what changed meanwhile comes when one is back" {
	requests_begin 10000 100
	name_server_kill registry TERM
	name_server_kill second TERM
	lab_wait 5 source_is stale '.problem | contains("it cannot be reached")'
	two
	name_server registry
	lab_wait 5 source_is current
	update registry "add web.example.test 0 A 10.77.0.13"
	lab_wait 5 backends_are 10.77.0.11:80 10.77.0.12:80 10.77.0.13:80
	name_server second
	update registry "delete web.example.test A 10.77.0.13"
	lab_wait 5 two
	requests_end
	[ "$(requests_failed)" = 0 ]
}

@test "a partition is a problem after the timeouts, and heals" {
	requests_begin 10000 100
	cut_off registry
	cut_off second
	lab_wait 8 source_is stale '.problem | contains("no answer within 600ms")'
	lab_shunt app status | grep -q "no answer within 600ms"
	two
	update registry "delete web.example.test A 10.77.0.12"
	update second "delete web.example.test A 10.77.0.12"
	heal registry
	heal second
	lab_wait 8 backends_are 10.77.0.11:80
	source_is current
	both "add web.example.test 0 A 10.77.0.12"
	lab_wait 5 two
	requests_end
	[ "$(requests_failed)" = 0 ]
	lab_wait 5 all_backends_healthy
}

@test "two hundred addresses come over TCP" {
	local i lines=()
	for i in $(seq 200); do lines+=("add many.example.test 0 A 10.78.0.$i"); done
	both "${lines[@]}"
	lab_in app dig +ignore +noedns "@$registry4" many.example.test A | grep -q '^;; flags:.* tc'
	lab_shunt app -j source test "{ dns: { name: many.example.test, port: 80 } }" | jq -e '.backends | length == 200'
	both "delete many.example.test"
}

# ---- SRV ----

@test "SRV records say ports and weights, and the best priority alone counts" {
	both "add _http._tcp.example.test 0 SRV 10 30 80 b1.example.test" \
		"add _http._tcp.example.test 0 SRV 10 0 80 b2.example.test" \
		"add _http._tcp.example.test 0 SRV 20 50 80 b3.example.test"
	requests_begin 10000 100
	discover "{ dns: { srv: _http._tcp.example.test } }"
	lab_wait 5 weight_is 10.77.0.11:80 30
	two
	weight_is 10.77.0.12:80 1
	source_is current '.note | contains("1 SRV records of lower priority")'
	both "delete _http._tcp.example.test SRV 10 30 80 b1.example.test" "add _http._tcp.example.test 0 SRV 10 0 80 b1.example.test"
	lab_wait 5 weight_is 10.77.0.11:80 100
	weight_is 10.77.0.12:80 100
	both "delete _http._tcp.example.test SRV 10 0 80 b1.example.test" "delete _http._tcp.example.test SRV 10 0 80 b2.example.test"
	lab_wait 5 backends_are 10.77.0.13:80
	lab_wait 5 eval '[ "$(requests_by 12)" = b3 ]'
	requests_end
	[ "$(requests_failed)" = 0 ]
}

@test "the address of a target changes" {
	both "delete b3.example.test A" "add b3.example.test 0 A 10.77.0.12"
	lab_wait 5 backends_are 10.77.0.12:80
	both "delete b3.example.test A" "add b3.example.test 0 A 10.77.0.13"
	lab_wait 5 backends_are 10.77.0.13:80
}

@test "a target of a dot declares the service absent, which is believed where that is allowed" {
	both "delete _http._tcp.example.test SRV" "add _http._tcp.example.test 0 SRV 0 0 0 ."
	lab_wait 5 source_is stale '.problem | contains("declares the service absent")'
	backends_are 10.77.0.13:80
	discover "{ dns: { srv: _http._tcp.example.test }, none: allow }"
	lab_wait 5 backends_are
	both "delete _http._tcp.example.test SRV"
}

# ---- another server ----

@test "dnsmasq, whose answers hold for no time at all, over IPv6" {
	local answers before
	command -v dnsmasq > /dev/null || skip "dnsmasq is missing (package dnsmasq-base)"
	name_server_kill registry
	lab_spawn registry registry/dnsmasq.log dnsmasq -k -C /dev/null -R -h -u root -x "$LAB_DIR/registry/dnsmasq.pid" \
		--log-facility=- --local=/mesh.test/ --host-record=b1.mesh.test,10.77.0.11 --host-record=b2.mesh.test,10.77.0.12 \
		--srv-host=_http._tcp.mesh.test,b1.mesh.test,80,5,1 --srv-host=_http._tcp.mesh.test,b2.mesh.test,80,5,3
	lab_wait 5 asks registry 127.0.0.1 b1.mesh.test
	SOURCES="sources: [{ dns: { resolvers: \"[$registry6]:53\", ttl: { min: 500ms } } }]" \
		discovery_config "{ dns: { srv: _http._tcp.mesh.test } }" > "$LAB_DIR/app.yaml"
	kill -HUP "$(lab_daemon_pid app)"
	lab_wait 5 two
	weight_is 10.77.0.12:80 3
	answers=$(source_now .answers) before=${EPOCHREALTIME/./}
	lab_wait 5 eval '[ "$(source_now .answers)" -ge '$((answers + 2))' ]'
	[ $((${EPOCHREALTIME/./} - before)) -gt 400000 ]
}
