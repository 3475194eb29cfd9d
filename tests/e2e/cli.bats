# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The command line: grammar, exit status, JSON, who may do what.

load helpers

setup_file() {
	lab_begin
	lab_standard 2 1540
	lab_web b1
	lab_web b2
	config > "$LAB_DIR/balancer.yaml"
	lab_daemon balancer "$LAB_DIR/balancer.yaml"
	lab_wait 5 state_is web 10.77.0.12:80 healthy
	lab_wait 5 state_is web 10.77.0.11:80 healthy
	# nobody may read the build folder, perhaps
	tools=$(mktemp -d /tmp/shunt-cli.XXXXXX)
	chmod 755 "$tools"
	install -m 755 "$BUILD/shunt" "$tools/shunt"
	export tools
}

teardown_file() {
	rm -rf "$tools"
	lab_down
}

config() {
	lab_config_head balancer edge | sed 's/^control: { \(.*\) }/control: { \1, group: nogroup }/; s/^limits: { /&flows: 2048, /'
	cat <<-END
		services:
		  - name: web
		    listen: ["192.0.2.10:80/tcp", "[2001:db8::10]:80/tcp"]
		    transition: 90s
		    health: $check_http
		    backends: [$(backends4 2 :80)]
		  - { name: dns, listen: ["192.0.2.10:53/udp"], backends: [{ address: "10.77.0.11:53" }] }
	END
}

setup() {
	lab_shunt balancer apply "$LAB_DIR/balancer.yaml" > /dev/null
}

as_group() { setpriv --reuid 65534 --regid 65534 --clear-groups "$tools/shunt" -s "$(lab_socket balancer)" "$@"; }
as_stranger() { setpriv --reuid 65534 --regid 1 --clear-groups "$tools/shunt" -s "$(lab_socket balancer)" "$@"; }

# ---- grammar ----

@test "list and show are the same, and a prefix that is not ambiguous works" {
	[ "$(lab_shunt balancer service list | cut -c1-40)" = "$(lab_shunt balancer service show | cut -c1-40)" ]
	lab_shunt balancer serv l | grep -w web
	lab_shunt balancer b li web | grep 10.77.0.11:80
	lab_shunt balancer st | grep -i eth0
}

@test "an ambiguous prefix and an unknown word are wrong usage: exit 2, said on standard error" {
	run -2 --separate-stderr lab_shunt balancer backend d web 10.77.0.11:80
	[ -z "$output" ] && [[ "$stderr" == *drain* ]]
	run -2 --separate-stderr lab_shunt balancer nonsense
	[ -z "$output" ] && [[ "$stderr" == *nonsense* ]]
	run -2 lab_shunt balancer backend add web
	run -2 lab_shunt balancer backend weight web 10.77.0.11:80 heavy
	run -2 lab_shunt balancer explain here there
	run -2 lab_shunt balancer service add extra 192.0.2.30:80/tcp algorithm
	run -2 lab_shunt balancer service add extra 192.0.2.30:80/tcp at socket 192.0.2.31:80/tcp socket
}

@test "help works at every level" {
	lab_shunt balancer help | grep -q service
	lab_shunt balancer service help | grep -q add
	lab_shunt balancer backend help | grep -q drain
	lab_shunt balancer explain help | grep -q tcp
	lab_shunt balancer source help | grep -A 1 'source list \[SOURCE | SERVICE\]' | grep -q "what it found"
	lab_shunt balancer source help | grep -A 1 'source test QUESTION' | grep -q "'consul: { service: web }'"
	lab_shunt balancer event help | grep -q 'event list \[--limit N\]'
}

@test "a daemon that is not there is exit 3, with the remedy" {
	run -3 --separate-stderr "$BUILD/shunt" -s "$LAB_DIR/nobody.sock" status
	[ -z "$output" ] && [[ "$stderr" == *nobody.sock* ]]
}

@test "what the daemon refuses is exit 1" {
	run -1 lab_shunt balancer service show nosuch
	run -1 lab_shunt balancer service delete nosuch
	run -1 lab_shunt balancer backend drain web 10.77.0.99:80
	run -1 lab_shunt balancer service add web 192.0.2.50:80/tcp
	run -1 lab_shunt balancer backend add web 10.77.0.11:80
	run -1 lab_shunt balancer backend add web 10.77.0.13:81
	[[ "$output" == *80* ]]
}

@test "a service is shown with how it keeps flows" {
	run -0 lab_shunt balancer service show web
	[[ "$output" =~ "transition   90s"$'\n'"drain        1h"$'\n'"flows        at most 2048 noted" ]]
	[[ "$output" =~ "noted        0 now, 0 in all; 0 live ones evicted, 0 let go, 0 changes without room" ]]
}

@test "flows: nothing is noted while nothing changes, and what is asked wrongly is said" {
	run -0 --separate-stderr lab_shunt balancer f l dns
	[ -z "$output" ] && [[ "$stderr" == *"no slot is in transition"* ]]
	lab_shunt balancer flow list --backend 10.77.0.11:80 --state ud --limit 0
	run -1 lab_shunt balancer flow list nosuch
	[[ "$output" == *"there is no service nosuch"* ]]
	run -1 lab_shunt balancer flow list web --backend 10.77.0.99:80
	[[ "$output" == *"service web has no backend 10.77.0.99:80"* ]]
	run -1 lab_shunt balancer flow list --limit 99999
	run -1 lab_shunt balancer flow show 10.77.0.2:1 192.0.2.10:81/tcp
	[[ "$output" == *"no service listens on 192.0.2.10:81/tcp"* ]]
	run -2 lab_shunt balancer flow list --state sleepy
	run -2 lab_shunt balancer flow list --limit many
	run -2 lab_shunt balancer flow list --backend nobody
	run -2 lab_shunt balancer flow show 10.77.0.2:1
	run -2 lab_shunt balancer flow show 10.77.0.2 192.0.2.10:80/tcp
	run -2 lab_shunt balancer backend list --state open
	run -2 lab_shunt balancer service list --dry-run
	lab_shunt balancer flow help | grep -q -- '--state'
}

# ---- JSON ----

@test "every -j output is one JSON document with its keys" {
	lab_shunt balancer -j status | jq -e '.version and .pid and (.interfaces | length == 1) and .services == 2
		and .backends.healthy == 2 and (.packets | has("edge_forwarded")) and (.rates | has("edge_forwarded"))
		and .limits.slots.used > 0 and .limits.slots.of == 65536 and (.lacks | type == "array")'
	lab_shunt balancer -j service list | jq -e '[.services[].name] == ["dns", "web"]'
	lab_shunt balancer -j service show web | jq -e '.name == "web" and .algorithm == "consistent" and .forward == "ipip"
		and .listen == ["192.0.2.10:80/tcp", "[2001:db8::10]:80/tcp"] and (.fingerprint | length == 16) and .check.kind == "http"
		and .tracking == { transition_ms: 90000, drain_ms: 3600000, flows: 2048,
			flow_timeout: { tcp_ms: 3600000, udp_ms: 120000, closing_ms: 30000 } }
		and (.flows | keys == ["evicted", "let_go", "max", "noted", "now", "uncached"] and .uncached == 0) and .retiring == 0'
	lab_shunt balancer -j backend list web | jq -e '.backends | length == 2 and all(.[]; .service == "web" and .state == "healthy"
		and .weight == 100 and (.share | . > 0.45 and . < 0.55) and .nexthop.usable and .check.checks > 0)'
	lab_shunt balancer -j explain 10.77.0.2:1 192.0.2.10:80/tcp | jq -e '.verdict == "edge_forwarded" and .service == "web"
		and .nexthop.interface == "eth0" and (.tunnel.source | startswith("198.18.")) and (.steps | length > 1)'
	lab_shunt balancer -j drop list | jq -e '.drops | type == "array"'
	lab_shunt balancer -j flow list dns | jq -e '. == { flows: [], total: 0, max_flows: 0 }'
	lab_shunt balancer -j flow show 10.77.0.2:1 192.0.2.10:53/udp | jq -e '.service == "dns" and .slot < .slots
		and .phase == "steady" and .owner == "10.77.0.11:53" and .anchor == .owner and .flow == null'
	lab_shunt balancer -j apply --dry-run "$LAB_DIR/balancer.yaml" | jq -e '.dry_run == true and .changes == []'
	lab_shunt balancer -j backend weight web 10.77.0.11:80 50 | jq -e type
}

@test "sources and events have stable keys, and what is asked wrongly is said" {
	local question='["answers", "changed_ms", "changes", "endpoints", "heard_ms", "kind", "none", "note", "problem", "problems",
		"question", "services", "since_ms", "source", "state", "version"]'
	lab_shunt balancer -j source list | jq -e '. == { sources: [] }'
	mkdir "$LAB_DIR/found.d"
	echo '[{ address: "10.77.0.12:80", weight: 7 }, "224.0.0.1:80"]' > "$LAB_DIR/found.d/a.yaml"
	config | sed "s|^    transition: 90s|&\n    discover: { files: { directory: $LAB_DIR/found.d } }|" > "$LAB_DIR/found.yaml"
	lab_shunt balancer apply "$LAB_DIR/found.yaml"
	lab_wait 5 eval 'lab_shunt balancer source list | grep current'
	lab_shunt balancer -j source list | jq -e --argjson keys "$question" '.sources | length == 1 and (.[0] | keys == $keys and
		.source == "files" and .kind == "files" and (.question | startswith("files /")) and .services == ["web"] and
		.state == "current" and .problem == "" and .endpoints == 2 and .answers == 1 and .changes == 1 and
		.problems == 0 and .none == "keep" and .since_ms > 0 and .heard_ms > 0 and .changed_ms > 0)'
	for name in web files; do
		lab_shunt balancer -j source show $name | jq -e --argjson keys "$question" '.sources[0] |
			keys - $keys == ["backends", "refused"] and .refused[0].address == "224.0.0.1:80" and .backends[0] ==
			{ address: "10.77.0.12:80", weight: 7, state: "enabled", server_id: "" }'
	done
	lab_shunt balancer -j event list | jq -e '.total >= 1 and (.events[-1] | keys == ["ms", "subject", "text"])'
	lab_shunt balancer -j event list --limit 0 | jq -e '.events == [] and .total >= 1'
	lab_shunt balancer event list | grep "answers, with 2 endpoints"
	[ "$(completions source show w)" = web ] && [ "$(completions source list f)" = files ]
	run -1 lab_shunt balancer source show nosuch
	[[ "$output" == *"nothing is asked of a source nosuch, nor for a service nosuch; see shunt source list"* ]]
	run -2 lab_shunt balancer source test
	run -2 lab_shunt balancer event list --limit many
}

# Runs what bash would run for the words of a command line, the last of which is being typed.
completions() {
	bash -c '. tools/packaging/completion.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
		_shunt "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"; printf "%s\n" "${COMPREPLY[@]}"' - \
		"$BUILD/shunt" -s "$(lab_socket balancer)" "$@"
}

@test "completion knows every object of the command, and their verbs" {
	local object
	for object in $(lab_shunt balancer help | awk '/^  [a-z]+ / { print $1 }'); do
		completions "" | grep -qx "$object"
	done
	[ "$(completions source "" | xargs)" = "list show test help" ]
	[ "$(completions event "" | xargs)" = "list show help" ]
	[ "$(completions event list -- | xargs)" = "--limit" ]
	[ "$(completions source test k)" = kubernetes: ]
}

@test "errors are JSON too with -j" {
	run -1 --separate-stderr lab_shunt balancer -j service show nosuch
	jq -e '.error | length > 5' <<< "$output$stderr"
}

# ---- changes ----

@test "a service is added, given backends, and deleted" {
	lab_shunt balancer service add extra 192.0.2.30:80/tcp "[2001:db8::30]:80/tcp"
	[[ "$(lab_shunt balancer backend list extra 2>&1)" == "service extra has no backends; give it some: "* ]]
	lab_shunt balancer backend add extra 10.77.0.11:80
	lab_shunt balancer -j service show extra | jq -e '(.backends | length == 1) and .tracking.flows == 2048'
	lab_wait 3 eval 'lab_shunt balancer -j explain 10.77.0.2:1 192.0.2.30:80/tcp | jq -e ".backend == \"10.77.0.11:80\""'
	lab_shunt balancer backend list extra | grep "10.77.0.11:80 *command "
	lab_shunt balancer backend list | grep "^web *10.77.0.11:80 *file "
	lab_shunt balancer -j status | jq -e '.config.differs'
	lab_shunt balancer status | grep -i differs
	lab_shunt balancer backend delete extra 10.77.0.11:80
	lab_shunt balancer service delete extra
	run -1 lab_shunt balancer service show extra
	lab_shunt balancer -j explain 10.77.0.2:1 192.0.2.30:80/tcp | jq -e '.verdict == "edge_passed"'
	lab_shunt balancer -j status | jq -e '.config.differs == false'
}

@test "a service is added with what it is told, and what would have no effect is refused" {
	lab_shunt balancer service add extra 192.0.2.30:80/tcp "[2001:db8::30]:80/tcp" affinity client forward gue at edge,socket
	lab_shunt balancer -j service show extra | jq -e '.affinity == "client" and .forward == "gue" and (.listen | length) == 2'
	lab_shunt balancer service delete extra
	run -1 lab_shunt balancer service add extra 192.0.2.30:80/tcp algorithm random
	[[ "$output" == *"has no effect"*"cgroup: /sys/fs/cgroup"* ]]
	run -1 lab_shunt balancer service add extra 192.0.2.30:80/tcp no-backend refused
	[[ "$output" == *"has no effect"*"remove no-backend"* ]]
	run -1 lab_shunt balancer service add extra 192.0.2.30:80/tcp at socket
	[[ "$output" == *"has no effect"*"remove at"* ]]
	run -1 lab_shunt balancer service add extra 192.0.2.30:80/tcp at nowhere
	[[ "$output" == *"edge, socket or both"* ]]
	run -1 lab_shunt balancer service show extra
}

@test "apply --dry-run says what would change and what share would move, and changes nothing" {
	sed 's/address: "10.77.0.12:80"/address: "10.77.0.12:80", weight: 50/' "$LAB_DIR/balancer.yaml" > "$LAB_DIR/next.yaml"
	lab_shunt balancer -j apply --dry-run "$LAB_DIR/next.yaml" | jq -e '.dry_run and (.changes | length == 1)
		and (.moves[] | select(.service == "web") | .share > 0.10 and .share < 0.25)'
	lab_shunt balancer apply --dry-run "$LAB_DIR/next.yaml" | grep web
	[ "$(backend web 10.77.0.12:80 .weight)" = 100 ]
	lab_shunt balancer apply "$LAB_DIR/next.yaml"
	[ "$(backend web 10.77.0.12:80 .weight)" = 50 ]
	lab_shunt balancer -j apply --dry-run "$LAB_DIR/next.yaml" | jq -e '.changes == []'
}

@test "apply --dry-run shows a service that comes as new: it has no flows that could move" {
	{
		cat "$LAB_DIR/balancer.yaml"
		echo '  - { name: extra, listen: ["192.0.2.31:80/tcp"], health: none, backends: [{ address: "10.77.0.11:80" }] }'
	} > "$LAB_DIR/next.yaml"
	lab_shunt balancer -j apply --dry-run "$LAB_DIR/next.yaml" | jq -e '
		(.moves[] | select(.service == "extra") | .new and .moved == 0 and .share == 0) and
		(.moves[] | select(.service == "web") | .new == false)'
	lab_shunt balancer apply --dry-run "$LAB_DIR/next.yaml" | grep -i 'extra'
	refuse grep -q '%' <(lab_shunt balancer apply --dry-run "$LAB_DIR/next.yaml")
}

@test "a table that got smaller is the same to every command while its slots are in transition" {
	local slot
	sed 's/    transition: 90s/&\n    slots: 4096/' "$LAB_DIR/balancer.yaml" > "$LAB_DIR/next.yaml"
	lab_shunt balancer apply "$LAB_DIR/next.yaml"
	sed -i 's/slots: 4096/slots: 64/' "$LAB_DIR/next.yaml"
	lab_shunt balancer apply "$LAB_DIR/next.yaml"
	lab_shunt balancer -j service show web | jq -e '.slots == 64 and .moving > 0 and .moving <= 64
		and (.backends | map(.slots) | add == 64)'
	slot=$(lab_shunt balancer -j explain 10.77.0.2:1 192.0.2.10:80/tcp | jq -e 'select(.slots == 64) | .slot')
	[ "$slot" -lt 64 ]
	lab_shunt balancer -j flow show 10.77.0.2:1 192.0.2.10:80/tcp | jq -e --argjson slot "$slot" '.slots == 64 and .slot == $slot'
}

@test "what is applied twice changes nothing the second time" {
	local before
	before=$(lab_shunt balancer -j service show web | jq -r .fingerprint)
	lab_shunt balancer apply "$LAB_DIR/balancer.yaml"
	lab_shunt balancer apply "$LAB_DIR/balancer.yaml"
	[ "$(lab_shunt balancer -j service show web | jq -r .fingerprint)" = "$before" ]
}

# ---- who may ----

@test "the socket's group may look" {
	as_group status | grep eth0
	as_group -j service list | jq -e '.services | length == 2'
	as_group explain 10.77.0.2:1 192.0.2.10:80/tcp
	as_group apply --dry-run "$LAB_DIR/balancer.yaml"
}

@test "the socket's group may not change anything" {
	run -1 as_group backend drain web 10.77.0.11:80
	run -1 as_group service delete web
	run -1 as_group apply "$LAB_DIR/balancer.yaml"
	state_is web 10.77.0.11:80 healthy
}

@test "others may not even look" {
	run -3 as_stranger status
	[ "$(stat -c %a "$(lab_socket balancer)" | cut -c3)" = 0 ]
}

@test "numbers mean the same in the table and in JSON" {
	lab_shunt balancer backend weight web 10.77.0.11:80 77
	lab_shunt balancer backend list web | grep 10.77.0.11:80 | grep -w 77
	[ "$(backend web 10.77.0.11:80 .weight)" = 77 ]
}
