# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What all sources have in common, with the simplest of them (files): layers, the guard, what outlives what, and the command.

load discovery

setup_file() {
	discovery_begin
	mkdir "$LAB_DIR/web.d"
	put 1 && put 2
	discovery_daemon "{ files: { directory: $LAB_DIR/web.d } }"
	lab_wait 10 all_backends_healthy
}

teardown_file() { discovery_end; }

put() { echo "{ address: \"10.77.0.1$1:80\"${2:+, $2} }" > "$LAB_DIR/web.d/.b$1" && mv "$LAB_DIR/web.d/.b$1" "$LAB_DIR/web.d/b$1.yaml"; }
take() { rm "$LAB_DIR/web.d/b$1.yaml"; }
all() { backends_are 10.77.0.11:80 10.77.0.12:80 10.77.0.13:80; }
two() { backends_are 10.77.0.11:80 10.77.0.12:80; }
daemon_again() { lab_daemon app "$LAB_DIR/app.yaml" && lab_daemon_pid app > "$LAB_CGROUP/cgroup.procs"; }
applies() { lab_in app curl -s http://127.0.0.1:9650/metrics | awk '/^shunt_source_applies_total/ { print $2 }'; }

@test "what is found is balanced, and what is taken away is not" {
	two
	requests_begin 10000 100
	put 3
	lab_wait 5 all
	lab_wait 5 all_backends_healthy
	lab_wait 5 eval '[ "$(requests_by 12)" = "b1 b2 b3" ]'
	take 1
	lab_wait 5 backends_are 10.77.0.12:80 10.77.0.13:80
	lab_wait 5 eval '[ "$(requests_by 12)" = "b2 b3" ]'
	put 1
	take 3
	lab_wait 5 two
	requests_end
	[ "$(requests_failed)" = 0 ]
}

@test "backend list says who found it, source list and show how that stands" {
	[ "$(lab_shunt app -j backend list web | jq -r '.backends[0].from')" = "files $LAB_DIR/web.d" ]
	lab_shunt app backend list web | grep -q "FROM"
	lab_shunt app service show web | grep -qx "discover     files $LAB_DIR/web.d"
	source_is current '.endpoints == 2 and .services == ["web"] and .problem == ""'
	lab_shunt app source list | grep -q "web *current"
	lab_shunt app source show web | grep -q "10.77.0.12:80"
	lab_shunt app -j source show files | jq -e '.sources[0].backends | length == 2'
	run lab_shunt app source show nothing
	[ "$status" = 1 ] && [[ $output == *"shunt source list"* ]]
}

@test "drain, disable and weight by command: over what is found, through reload, restart and absence, until taken back" {
	lab_shunt app backend drain web 10.77.0.11:80
	lab_shunt app backend weight web 10.77.0.12:80 7
	backend_is 10.77.0.11:80 draining
	put 1 "weight: 33"
	put 3
	lab_wait 5 all
	kill -HUP "$(lab_daemon_pid app)"
	lab_wait 5 eval 'lab_shunt app -j status | jq -e ".config.last_reload_error == \"\""'
	backend_is 10.77.0.11:80 draining && weight_is 10.77.0.12:80 7
	take 1
	lab_wait 5 backends_are 10.77.0.12:80 10.77.0.13:80
	put 1
	lab_wait 5 all
	backend_is 10.77.0.11:80 draining
	lab_kill "$(lab_daemon_pid app)" KILL
	daemon_again
	backend_is 10.77.0.11:80 draining && weight_is 10.77.0.12:80 7
	lab_shunt app backend enable web 10.77.0.11:80
	lab_shunt app backend weight web 10.77.0.12:80 100
	lab_wait 5 all_backends_healthy
	weight_is 10.77.0.12:80 100
	[ "$(jq length "/var/lib/$LAB-app/overrides.json")" = 0 ]
	take 3
	lab_wait 5 two
}

@test "a listed backend and one found are one: the list speaks for it" {
	MORE='backends: [{ address: "10.77.0.11:80", weight: 55 }, { address: "10.77.0.13:80" }]' \
		discovery_config "{ files: { directory: $LAB_DIR/web.d } }" > "$LAB_DIR/app.yaml"
	kill -HUP "$(lab_daemon_pid app)"
	lab_wait 5 all
	weight_is 10.77.0.11:80 55
	[ "$(lab_shunt app -j backend list web | jq -r '.backends[0].from')" = "" ]
	run lab_shunt app backend delete web 10.77.0.12:80
	[ "$status" = 1 ] && [[ $output == *"found by files"*"drain or disable"* ]]
	discovery_config "{ files: { directory: $LAB_DIR/web.d } }" > "$LAB_DIR/app.yaml"
	kill -HUP "$(lab_daemon_pid app)"
	lab_wait 5 two
	weight_is 10.77.0.11:80 100
}

@test "suddenly none: the last good set stays, and status, metrics and an event say since when and why" {
	requests_begin 10000 100
	take 1
	take 2
	lab_wait 5 source_is stale
	lab_shunt app status | grep -q "says that there is none"
	lab_shunt app event list | grep -q "last good set of [12] endpoints stays"
	lab_in app curl -s http://127.0.0.1:9650/metrics | grep -q 'shunt_source_state{source="files".*state="stale"} 1'
	[ "$(lab_shunt app -j backend list web | jq '.backends | length')" -ge 1 ]
	requests_end
	[ "$(requests_failed)" = 0 ]
	put 1 && put 2
	lab_wait 5 source_is current
	lab_wait 5 two
	lab_shunt app event list | grep -q "answers again"
}

@test "the last good set outlives a restart of the daemon without the source" {
	lab_wait 5 eval '[ "$(jq ".backends | length" "/var/lib/$LAB-app"/found/*.json)" = 2 ]'
	lab_kill "$(lab_daemon_pid app)"
	mv "$LAB_DIR/web.d" "$LAB_DIR/gone.d"
	"$BUILD/shuntd" --unload --pins "$(lab_pins app)"
	daemon_again
	two
	lab_wait 5 all_backends_healthy
	[ "$(lab_app app "" curl -s --max-time 3 -o /dev/null -w '%{http_code}' http://192.0.2.10/)" = 200 ]
	lab_wait 5 source_is stale
	mv "$LAB_DIR/gone.d" "$LAB_DIR/web.d"
	lab_wait 10 source_is current
}

@test "none: allow takes even the last away" {
	discovery_config "{ files: { directory: $LAB_DIR/web.d }, none: allow }" > "$LAB_DIR/app.yaml"
	kill -HUP "$(lab_daemon_pid app)"
	lab_wait 5 source_is current
	two
	take 1
	take 2
	lab_wait 5 backends_are
	[ "$(lab_shunt app backend list web 2>&1)" = "service web has no backends; see shunt source list web" ]
	lab_wait 3 eval 'lab_shunt app explain --connect 192.0.2.10:80/tcp | grep "what to do: .shunt source list web."'
	put 1 && put 2
	lab_wait 5 two
	discovery_config "{ files: { directory: $LAB_DIR/web.d } }" > "$LAB_DIR/app.yaml"
	kill -HUP "$(lab_daemon_pid app)"
	lab_wait 5 source_is current '.none == "keep"'
	two
}

@test "another question keeps what was found before until it is answered" {
	requests_begin 10000 200
	discovery_config "{ files: { directory: $LAB_DIR/other.d } }" > "$LAB_DIR/app.yaml"
	kill -HUP "$(lab_daemon_pid app)"
	lab_wait 5 eval '[ "$(source_now .question)" = "files $LAB_DIR/other.d" ]'
	two
	mkdir "$LAB_DIR/other.d"
	echo '["10.77.0.13:80"]' > "$LAB_DIR/other.d/x.json"
	lab_wait 15 backends_are 10.77.0.13:80
	lab_wait 5 eval '[ "$(requests_by 10)" = b3 ]'
	requests_end
	[ "$(requests_failed)" = 0 ]
	discovery_config "{ files: { directory: $LAB_DIR/web.d } }" > "$LAB_DIR/app.yaml"
	kill -HUP "$(lab_daemon_pid app)"
	lab_wait 5 two
	lab_wait 5 all_backends_healthy
}

@test "what is found and breaks a rule is left out, with the sentence; the rest is taken" {
	put 3
	echo '{ address: "224.0.0.1:80" }' > "$LAB_DIR/web.d/wrong.yaml"
	lab_wait 5 all
	lab_wait 5 eval 'lab_shunt app source show web | grep -q "not taken: web 224.0.0.1:80: .*multicast"'
	lab_shunt app status | grep -q "multicast"
	rm "$LAB_DIR/web.d/wrong.yaml"
	take 3
	lab_wait 5 two
	lab_wait 5 eval '! lab_shunt app source show web | grep -q "not taken"'
}

@test "a hundred changes in a moment are one change here, and nothing changed is no work" {
	local before i
	lab_wait 5 two
	before=$(applies)
	for i in $(seq 100); do echo "{ address: \"10.77.0.$((i + 100)):80\" }" > "$LAB_DIR/web.d/many$i.yaml"; done
	lab_wait 5 eval '[ "$(lab_shunt app -j backend list web | jq ".backends | length")" = 102 ]'
	echo "# result: $(($(applies) - before)) applies for 100 files"
	[ $(($(applies) - before)) -le 5 ]
	rm "$LAB_DIR"/web.d/many*
	lab_wait 5 two
	before=$(applies)
	for i in 1 2 3; do put 1 && put 2; done
	lab_wait 5 source_is current
	touch "$LAB_DIR/web.d/b1.yaml"
	put 3
	lab_wait 5 all
	[ $(($(applies) - before)) = 1 ]
	take 3
	lab_wait 5 two
}

@test "more than there is room for: the service keeps what it had, is told why, and the daemon starts with it" {
	lab_wait 5 two
	requests_begin 10000 50
	seq 5000 | awk '{ printf "%s\"10.78.%d.%d:80\"", NR == 1 ? "[" : ", ", $1 / 250, $1 % 250 + 1 } END { print "]" }' > "$LAB_DIR/web.d/.big"
	mv "$LAB_DIR/web.d/.big" "$LAB_DIR/web.d/big.json"
	lab_wait 5 source_is current '.endpoints == 5002'
	lab_wait 5 eval 'lab_shunt app status | grep -q "no room for what was found"'
	two
	lab_shunt app backend weight web 10.77.0.11:80 70
	weight_is 10.77.0.11:80 70
	lab_wait 5 eval '[ "$(jq ".backends | length" "/var/lib/$LAB-app"/found/*.json)" = 5002 ]'
	lab_kill "$(lab_daemon_pid app)"
	daemon_again
	two
	weight_is 10.77.0.11:80 70
	rm "$LAB_DIR/web.d/big.json"
	lab_wait 5 source_is current '.endpoints == 2'
	put 3
	lab_wait 5 all
	take 3
	lab_wait 5 two
	lab_shunt app backend weight web 10.77.0.11:80 100
	requests_end
	[ "$(requests_failed)" = 0 ]
}

@test "what the kernel has stays until a source answers, though nothing was kept" {
	lab_kill "$(lab_daemon_pid app)"
	rm -rf "/var/lib/$LAB-app"
	mv "$LAB_DIR/web.d" "$LAB_DIR/gone.d"
	requests_begin 10000 50
	daemon_again
	two
	[ "$(lab_shunt app -j backend list web | jq -r '.backends[0].from')" = "found before" ]
	mv "$LAB_DIR/gone.d" "$LAB_DIR/web.d"
	lab_wait 10 source_is current
	lab_wait 5 two
	requests_end
	[ "$(requests_failed)" = 0 ]
}

@test "what was said by command of a backend that has gone is listed, and can be taken back" {
	lab_shunt app backend drain web 10.77.0.12:80
	take 2
	lab_wait 5 backends_are 10.77.0.11:80
	lab_shunt app status | grep -q "10.77.0.12:80: by command draining (it is not there now)"
	[ "$(lab_shunt app backend weight web 10.77.0.12:80 7)" = "noted: it makes no difference for now" ]
	[ "$(lab_shunt app backend weight web 10.77.0.12:80 100)" = "taken back: it makes no difference for now" ]
	[ "$(lab_shunt app backend enable web 10.77.0.12:80)" = "taken back: it makes no difference for now" ]
	refuse eval 'lab_shunt app status | grep -q "by command"'
	put 2
	lab_wait 5 two
	lab_wait 5 all_backends_healthy
}

@test "source test says what a source would give, and what is wrong with it" {
	lab_shunt app source test "files: { directory: $LAB_DIR/web.d }" | grep -q "answers with 2 endpoints"
	lab_shunt app -j source test "{ files: { directory: $LAB_DIR/web.d } }" | jq -e '.backends | length == 2'
	run lab_shunt app source test "files: { directory: $LAB_DIR/nowhere }"
	[ "$status" = 1 ] && [[ $output == *nowhere* ]]
	run lab_shunt app source test "consull: { service: web }"
	[ "$status" = 1 ] && [[ $output == *'did you mean "consul" in place of "consull"'* ]]
	run lab_shunt app source test "zookeeper: {}"
	[ "$status" = 1 ] && [[ $output == *"the kinds are consul, kubernetes, etcd, dns and files"* ]]
	run lab_shunt app source test ""
	[ "$status" = 1 ] && [[ $output == *"write a question, such as consul: { service: web }"* ]]
	lab_shunt app source test "- files: { directory: $LAB_DIR/web.d }" | grep -q "answers with 2 endpoints"
	lab_shunt app source test -- "- files: { directory: $LAB_DIR/web.d }" | grep -q "answers with 2 endpoints"
	run lab_shunt app source test "consul: { service: web, source: nobody }"
	[ "$status" = 1 ] && [[ $output == *'no source "nobody"'* ]]
	lab_shunt app -j source list | jq -e '.sources | length == 1'
}
