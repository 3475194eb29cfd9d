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

@test "--unload with a file that was named and is broken unloads nothing" {
	echo "services: 7" > "$LAB_DIR/bad.yaml"
	run -1 "$BUILD/shuntd" --unload --config "$LAB_DIR/bad.yaml"
	[[ $output == *"nothing was unloaded"* ]]
	run -1 "$BUILD/shuntd" --unload --config "$LAB_DIR/missing.yaml"
	[[ $output == *"nothing was unloaded"* ]]
	[ "$(fetch http://192.0.2.10/)" = b1 ]
}

@test "a start that fails leaves no pins" {
	sed "s|^pins:.*|pins: $(lab_pins balancer)-second|" "$LAB_DIR/good.yaml" > "$LAB_DIR/second.yaml"
	run -1 nsenter --net="/run/netns/$LAB-balancer" "$BUILD/shuntd" --config "$LAB_DIR/second.yaml"
	[ ! -e "$(lab_pins balancer)-second" ]
	[ "$(fetch http://192.0.2.10/)" = b1 ]
}

@test "after an apply of another file, status names it until the next reload" {
	cp "$LAB_DIR/good.yaml" "$LAB_DIR/other.yaml"
	lab_shunt balancer apply "$LAB_DIR/other.yaml"
	lab_shunt balancer status | grep -q "other.yaml"
	kill -HUP "$(lab_daemon_pid balancer)"
	lab_wait 3 eval '! lab_shunt balancer status | grep -q "other.yaml"'
}

@test "a host that only takes tunnels has no problem with services without backends" {
	lab_shunt b1 -j status | jq -e '.problems == []'
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

# refused_alike FILE: by a dry run as by the real one, with the same words, and nothing changes
refused_alike() {
	local before said
	before=$(running)
	run -1 lab_shunt balancer apply "$1"
	said=$output
	[ -n "$said" ]
	run -1 lab_shunt balancer apply --dry-run "$1"
	[ "$output" = "$said" ] || fail "apply: $said; with --dry-run: $output"
	[ "$(running)" = "$before" ]
}

@test "a dry run is refused as the real one would be" {
	local i
	sed 's/slots: 65536/slots: 131072/' "$LAB_DIR/good.yaml" > "$LAB_DIR/other.yaml"
	refused_alike "$LAB_DIR/other.yaml"
	sed "s|^pins: .*|pins: /sys/fs/bpf/$LAB-else|" "$LAB_DIR/good.yaml" > "$LAB_DIR/other.yaml"
	refused_alike "$LAB_DIR/other.yaml"
	{
		cat "$LAB_DIR/good.yaml"
		for i in $(seq 70); do
			echo "  - { name: s$i, listen: [\"198.51.100.$i:80/tcp\"], health: none, backends: [{ address: \"10.77.0.11:80\" }] }"
		done
	} > "$LAB_DIR/other.yaml"
	refused_alike "$LAB_DIR/other.yaml"
	sed -i 's/name: web$/name: other/' "$LAB_DIR/other.yaml"
	refused_alike "$LAB_DIR/other.yaml"
	[[ "$output" == *"delete it first"* ]]
}

listens_of_b1() { lab_shunt b1 -j service list | jq -c '[.services[] | .listen]'; }

# lo takes no IPv6 address: that is found out after the limits, and before the services.
@test "what fails beside the services leaves all as it was" {
	local before
	before=$(listens_of_b1)
	lab_in b1 sysctl -qw net.ipv6.conf.lo.disable_ipv6=1
	sed 's|listen: \[|&"192.0.2.66:80/tcp", "[2001:db8::66]:80/tcp", |' "$LAB_DIR/b1.yaml" > "$LAB_DIR/v6.yaml"
	run -1 lab_shunt b1 apply "$LAB_DIR/v6.yaml"
	[[ "$output" == *2001:db8::66* ]]
	[ "$(listens_of_b1)" = "$before" ]
	refuse grep -q 192.0.2.66 <(ip -n "$LAB-b1" address show lo)
	lab_shunt b1 -j status | jq -e '.config.differs == false'
	[ "$(fetch http://192.0.2.10/)" = b1 ]
	lab_in b1 sysctl -qw net.ipv6.conf.lo.disable_ipv6=0
	lab_shunt b1 apply "$LAB_DIR/v6.yaml"
	ip -n "$LAB-b1" address show lo | grep -q 2001:db8::66
	lab_shunt b1 apply "$LAB_DIR/b1.yaml"
	refuse grep -q -e 192.0.2.66 -e 2001:db8::66 <(ip -n "$LAB-b1" address show lo)
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
