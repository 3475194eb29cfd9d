# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A mistake is answered by a sentence that names the place and the remedy, and changes nothing.

load helpers

setup_file() {
	lab_begin
	lab_standard 1 1540
	lab_web b1
	lab_backend_host b1 "192.0.2.10:80/tcp"
	{
		lab_config_head balancer edge
		cat <<-END
			services:
			  - name: web
			    listen: ["192.0.2.10:80/tcp"]
			    health: $check_http
			    backends: [{ address: "10.77.0.11:80" }]
		END
	} > "$LAB_DIR/balancer.yaml"
	cp "$LAB_DIR/balancer.yaml" "$LAB_DIR/good.yaml"
	lab_daemon balancer "$LAB_DIR/balancer.yaml"
	lab_wait 5 state_is web 10.77.0.11:80 healthy
}

running() { lab_shunt balancer -j service list | jq -c '.services | map({name, listen, fingerprint, slots, backends: (.backends | map({address, weight}))})'; }

failures() { lab_in balancer curl -s http://127.0.0.1:9650/metrics | awk '/^shunt_config_reload_failures_total/ { print $2 }'; }

broken_files() {
	local all=("$ROOT"/tests/config/broken/*.yaml)
	[ -e "${all[0]}" ] || fail "there are no broken configurations to try"
	printf '%s\n' "${all[@]}"
}

@test "--check accepts a good file in silence" {
	run "$BUILD/shuntd" --check "$LAB_DIR/good.yaml"
	[ "$status" = 0 ]
	[ -z "$output" ]
}

@test "--check names every error as FILE:LINE: sentence" {
	{ cat "$LAB_DIR/good.yaml"; echo "    colour: blue"; echo "    wieght: 3"; } > "$LAB_DIR/bad.yaml"
	run -1 "$BUILD/shuntd" --check "$LAB_DIR/bad.yaml"
	[ "$(grep -c "^$LAB_DIR/bad.yaml:[0-9]*: " <<< "$output")" = 2 ]
	[ "$(wc -l < "$LAB_DIR/good.yaml")" = "$(($(grep colour <<< "$output" | cut -d: -f2) - 1))" ]
}

@test "--check of each broken file is a sentence with its place" {
	local file n=0
	while read -r file; do
		run -1 "$BUILD/shuntd" --check "$file"
		[ -n "$output" ]
		refuse grep -vE "^$file:([0-9]+:)? .{10,}" <<< "$output"
		n=$((n + 1))
	done < <(broken_files)
	[ $n -ge 100 ]
}

@test "a broken file at reload, each of them: counted, said, and the old state runs on" {
	local file before count
	before=$(running)
	count=$(failures)
	while read -r file; do
		cp "$file" "$LAB_DIR/balancer.yaml"
		kill -HUP "$(lab_daemon_pid balancer)"
		count=$((count + 1))
		lab_wait 3 eval "[ \"\$(failures)\" = $count ]" || fail "$file was not refused"
		lab_shunt balancer -j status | grep -q '"last_reload_error": ".\{10\}' || fail "$file: no sentence"
	done < <(broken_files)
	[ "$(running)" = "$before" ]
	[ "$(fetch http://192.0.2.10/)" = b1 ]
	cp "$LAB_DIR/good.yaml" "$LAB_DIR/balancer.yaml"
	kill -HUP "$(lab_daemon_pid balancer)"
	lab_wait 3 eval 'lab_shunt balancer -j status | jq -e ".config.last_reload_error == \"\""'
	[ "$(running)" = "$before" ]
}

@test "a broken file at apply, each of them: exit 1, the place in the message, and nothing changed" {
	local file before
	before=$(running)
	while read -r file; do
		run -1 lab_shunt balancer apply "$file"
		[[ "$output" == *"${file##*/}"* ]] || fail "$file: $output"
	done < <(broken_files)
	[ "$(running)" = "$before" ]
	[ "$(fetch http://192.0.2.10/)" = b1 ]
}

@test "a file that is missing at reload changes nothing" {
	local before count
	before=$(running)
	count=$(failures)
	rm "$LAB_DIR/balancer.yaml"
	kill -HUP "$(lab_daemon_pid balancer)"
	lab_wait 3 eval "[ \"\$(failures)\" = $((count + 1)) ]"
	cp "$LAB_DIR/good.yaml" "$LAB_DIR/balancer.yaml"
	[ "$(running)" = "$before" ]
	[ "$(fetch http://192.0.2.10/)" = b1 ]
}

@test "what cannot change while running is refused with its remedy" {
	sed 's/slots: 65536/slots: 131072/' "$LAB_DIR/good.yaml" > "$LAB_DIR/other.yaml"
	run -1 lab_shunt balancer apply "$LAB_DIR/other.yaml"
	sed "s|^pins: .*|pins: /sys/fs/bpf/$LAB-else|" "$LAB_DIR/good.yaml" > "$LAB_DIR/other.yaml"
	run -1 lab_shunt balancer apply "$LAB_DIR/other.yaml"
	[ ! -e "/sys/fs/bpf/$LAB-else" ]
	[ "$(fetch http://192.0.2.10/)" = b1 ]
}

@test "a limit that is reached is said with its name, and nothing changed" {
	local before i
	before=$(running)
	{
		cat "$LAB_DIR/good.yaml"
		for i in $(seq 70); do
			echo "  - { name: s$i, listen: [\"198.51.100.$i:80/tcp\"], health: none, backends: [{ address: \"10.77.0.11:80\" }] }"
		done
	} > "$LAB_DIR/many.yaml"
	run -1 lab_shunt balancer apply "$LAB_DIR/many.yaml"
	[ "$(running)" = "$before" ]
	[ "$(fetch http://192.0.2.10/)" = b1 ]
}

@test "a daemon does not start with a bad file, and says why" {
	cp "$(broken_files | head -1)" "$LAB_DIR/start.yaml"
	run -1 timeout 10 "$BUILD/shuntd" --config "$LAB_DIR/start.yaml"
	[[ "$output" == *start.yaml* ]]
}

@test "an interface that does not exist is shown in status, and attached when it comes" {
	sed 's/  - { name: eth0/  - { name: eth7, role: edge }\n&/' "$LAB_DIR/good.yaml" > "$LAB_DIR/balancer.yaml"
	kill -HUP "$(lab_daemon_pid balancer)"
	lab_wait 3 eval 'lab_shunt balancer -j status | jq -e ".interfaces | length == 2"'
	lab_shunt balancer -j status | jq -e '.interfaces[] | select(.name == "eth7") | .mode == "none" and (.problem | length > 5)'
	[ "$(fetch http://192.0.2.10/)" = b1 ]
	lab_link balancer eth7 front 1540
	lab_wait 8 eval 'lab_shunt balancer -j status | jq -e ".interfaces[] | select(.name == \"eth7\") | .mode == \"native\""'
	cp "$LAB_DIR/good.yaml" "$LAB_DIR/balancer.yaml"
	kill -HUP "$(lab_daemon_pid balancer)"
	lab_wait 3 eval '! ip -n "$LAB-balancer" link show eth7 | grep -q xdp'
	[ "$(fetch http://192.0.2.10/)" = b1 ]
}
