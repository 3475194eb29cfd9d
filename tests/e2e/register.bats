# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# One shuntd (on b1) announces the server of its host to real etcd and Consul; another (on app) discovers it there.
# b2 is always there, put by hand: no request may fail, whatever becomes of the first.

load discovery
load etcd

setup_file() {
	etcd_have || skip "$etcd_missing"
	discovery_begin
	consul=$("$ROOT/tools/consul.sh" 2> "$LAB_DIR/consul.missing") || consul=
	export consul
	etcd_start
	consul_start
	lab_wait 10 etcd_answers
	etcdctl_ put /shunt/services/web/b2 10.77.0.12:80
	[ -z "$consul" ] || lab_wait 10 consul_answers
	config > "$LAB_DIR/b1.yaml"
	lab_daemon b1 "$LAB_DIR/b1.yaml"
	SOURCES="sources: [$servers]" discovery_daemon '{ etcd: { prefix: /shunt/services/web/ } }'
	lab_wait 10 two
	lab_wait 10 all_backends_healthy
	requests_begin 100000 50
	export requests_pid
}

teardown_file() {
	[ -n "$LAB_DIR" ] || return 0
	"$BUILD/shuntd" --unload --pins "$(lab_pins b1)"
	discovery_end
}

servers="{ etcd: { url: http://$registry4:2379, timeout: 1s } }, { consul: { url: http://$registry4:8500, timeout: 1s } }"

# $WEIGHT; $MORE: further announcements; $NONE: no announcements at all
config() {
	local check='{ http: { path: /healthz }, interval: 100ms, timeout: 90ms, fall: 2, rise: 1 }'
	local how="address: \"10.77.0.11:80\", weight: ${WEIGHT:-200}, ttl: 3s, health: $check"
	cat <<-END
		control: { socket: $(lab_socket b1) }
		metrics: { listen: 127.0.0.1:9650 }
		pins: $(lab_pins b1)
		limits: { services: 64, listeners: 256, members: 4096, backends: 4096, slots: 65536 }
		sources: [$servers]
		${NONE:+#}register:
		${NONE:+#}  - { etcd: { prefix: /shunt/services/web/, id: b1 }, $how }
		${NONE:+#}  - { consul: { service: web, id: "web/b1", tags: [v2] }, $how }
	END
}

reload() {
	config > "$LAB_DIR/b1.yaml"
	kill -HUP "$(lab_daemon_pid b1)"
}

consul_start() {
	[ -n "$consul" ] || return 0
	lab_spawn registry registry/consul.log "$consul" agent -dev -bind 127.0.0.1 -client 0.0.0.0 -log-level warn \
		-hcl 'disable_update_check = true'
	echo "$LAB_PID" > "$LAB_DIR/registry/consul.pid"
}
consul_() { lab_in registry curl -sf --max-time 2 "http://127.0.0.1:8500$1" "${@:2}"; }
consul_answers() { [ "$(consul_ /v1/status/leader)" != '""' ]; }

two() { backends_are 10.77.0.11:80 10.77.0.12:80; }
other() { backends_are 10.77.0.12:80; }
in_etcd() {
	[ "$(etcdctl_ get --print-value-only /shunt/services/web/b1)" = "{\"address\":\"10.77.0.11:80\",\"weight\":${1:-200}}" ]
}
not_in_etcd() { [ -z "$(etcdctl_ get /shunt/services/web/b1)" ]; }
# in_consul STATUS; without Consul nothing is asked
in_consul() {
	local now
	[ -n "$consul" ] || return 0
	now=$(consul_ /v1/health/service/web | jq -r '.[].Checks[] | select(.ServiceID == "web/b1") | .Status')
	[ "$now" = "$1" ]
}
there() { in_etcd && in_consul passing; }
down() { not_in_etcd && in_consul critical; }
out() { not_in_etcd && { in_consul critical || in_consul ""; }; } # what was on its way may still arrive
gone() { not_in_etcd && in_consul ""; }
registered() { lab_shunt b1 -j status | jq -e --argjson n "$1" '[.register[] | select(.registered)] | length == $n'; }
all_registered() { registered $((1 + ${consul:+1} + 0)); }

nothing_failed() { [ "$(requests_failed)" = 0 ] || fail "$(grep -v ^200 "$LAB_DIR/requests.txt" | head)"; }

@test "a server whose check passes is announced, and found by another shuntd" {
	lab_wait 5 there
	lab_wait 5 all_registered
	lab_wait 5 weight_is 10.77.0.11:80 200
	lab_wait 5 eval '[ "$(requests_by 10)" = "b1 b2" ]'
	lab_in b1 curl -s http://127.0.0.1:9650/metrics |
		grep -q '^shunt_registered{service="/shunt/services/web/",address="10.77.0.11:80",source="etcd"} 1$'
	lab_shunt b1 status | grep -q "^announced to others: "
	lab_shunt b1 event list | grep -q "register 10.77.0.11:80 in etcd .*announced"
	[ -n "$consul" ] || skip "$(tail -1 "$LAB_DIR/consul.missing")"
	consul_ /v1/health/service/web | jq -e '.[0].Service | .Weights.Passing == 2 and .Tags == ["v2"] and .Port == 80'
	lab_shunt app -j source test '{ consul: { service: web } }' |
		jq -e '.backends[0] | .address == "10.77.0.11:80" and .weight == 200'
}

@test "its check fails: it is taken out at once, and comes back" {
	touch "$LAB_DIR/b1/sick"
	lab_wait 2 down
	lab_wait 2 other
	registered 0
	lab_shunt b1 status |
		grep -q "register 10.77.0.11:80 in etcd /shunt/services/web/: not announced, its check fails: status 503"
	[ -z "$consul" ] || consul_ /v1/health/checks/web | jq -e '.[0].Output | contains("status 503")'
	rm "$LAB_DIR/b1/sick"
	lab_wait 2 there
	lab_wait 2 two
	nothing_failed
}

@test "what was taken away by hand comes back within the time to live" {
	etcdctl_ del /shunt/services/web/b1
	[ -z "$consul" ] || consul_ /v1/agent/service/deregister/web%2Fb1 -X PUT
	lab_wait 3 there
	lab_wait 2 two
}

@test "a reload changes what is announced, and takes away what is no longer configured" {
	WEIGHT=150 reload
	lab_wait 2 in_etcd 150
	[ -z "$consul" ] || lab_wait 2 eval 'consul_ /v1/health/service/web | jq -e ".[0].Service.Weights.Passing == 2"'
	lab_wait 2 weight_is 10.77.0.11:80 150
	NONE=1 reload
	lab_wait 2 gone
	lab_wait 2 other
	reload
	lab_wait 3 there
	nothing_failed
}

@test "servers that lost everything are told anew" {
	etcd_kill KILL
	[ -z "$consul" ] || lab_kill "$(cat "$LAB_DIR/registry/consul.pid")" KILL
	lab_wait 5 registered 0
	lab_shunt b1 -j status | jq -e '[.problems[] | select(startswith("register 10.77.0.11:80 in etcd"))] | length == 1'
	rm -r "$(etcd_dir)"
	etcd_start
	consul_start
	lab_wait 10 etcd_answers
	etcdctl_ put /shunt/services/web/b2 10.77.0.12:80
	lab_wait 10 there
	lab_wait 5 all_registered
	lab_wait 10 two
	nothing_failed
}

@test "the daemon is killed: the time to live ends it, and it comes back with the next one" {
	local begin
	lab_kill "$(lab_daemon_pid b1)" KILL
	begin=${EPOCHREALTIME/./}
	there
	lab_wait 10 down
	echo "# result: gone $(((${EPOCHREALTIME/./} - begin) / 1000)) ms after the daemon, with a time to live of 3 s" >&3
	lab_wait 5 other
	lab_daemon b1 "$LAB_DIR/b1.yaml"
	lab_wait 2 there
	lab_wait 2 two
	nothing_failed
}

@test "the daemon is killed and started again at once: nobody notices" {
	local applies
	metric() { lab_in app curl -s http://127.0.0.1:9650/metrics | awk '/^shunt_source_applies_total/ { print $2 }'; }
	applies=$(metric)
	lab_kill "$(lab_daemon_pid b1)" KILL
	lab_daemon b1 "$LAB_DIR/b1.yaml"
	lab_wait 5 all_registered
	lab_wait 10 eval '[ "$(etcdctl_ lease list | grep -c "^[0-9a-f]*$")" = 1 ]'
	two
	[ "$(metric)" = "$applies" ]
}

@test "the daemon is stopped: all is taken away at once" {
	local begin=${EPOCHREALTIME/./}
	lab_kill "$(lab_daemon_pid b1)"
	gone
	echo "# result: stopped, and taken away, in $(((${EPOCHREALTIME/./} - begin) / 1000)) ms" >&3
	[ $(((${EPOCHREALTIME/./} - begin) / 1000)) -lt 1500 ]
	lab_wait 2 other
	lab_daemon b1 "$LAB_DIR/b1.yaml"
	lab_wait 2 there
	lab_wait 2 two
	nothing_failed
}

@test "the daemon stops in time where nobody answers" {
	local begin port
	for port in b1 registry; do lab_in net bridge link set dev "$port-eth0" isolated on; done
	begin=${EPOCHREALTIME/./}
	lab_kill "$(lab_daemon_pid b1)"
	[ $(((${EPOCHREALTIME/./} - begin) / 1000)) -lt 3000 ]
	grep -q "not taken away: it ends with its TTL of 3 s" "$LAB_DIR/b1/shuntd.log"
	for port in b1 registry; do lab_in net bridge link set dev "$port-eth0" isolated off; done
	lab_wait 10 out
	lab_daemon b1 "$LAB_DIR/b1.yaml"
	lab_wait 2 there
}

@test "no request failed in all that time" {
	requests_end
	echo "# result: $(requests_count) requests, none failed" >&3
	nothing_failed
}
