# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The lab of tests about discovery: one host (app) whose local processes use the service web, which is found by a source;
# servers b1 to b3 on other hosts, for which 10.77.0.11:80 to .13:80 stand; a host (registry) for the source's server.
#
# A test file sets DISCOVER, and SOURCES if need be, and calls discovery_begin in its setup_file.

load "$(dirname "${BASH_SOURCE[0]}")/helpers"

registry4=10.77.0.5 registry6=fd77::5

discovery_begin() {
	local i
	lab_begin
	lab_cgroup
	lab_bridge front
	lab_node app && lab_link app eth0 front 1500 10.77.0.2/24 fd77::2/64
	lab_node registry && lab_link registry eth0 front 1500 $registry4/24 $registry6/64
	for i in 1 2 3; do
		lab_node "b$i" && lab_link "b$i" eth0 front 1500 "$(lab_backend4 "$i")/24" "$(lab_backend6 "$i")/64"
		lab_web "b$i"
	done
}

# discovery_config DISCOVER: the value of discover; $SOURCES: lines of sources; $MORE: keys of web; $CHECK: its health
discovery_config() {
	cat <<-END
		cgroup: $LAB_CGROUP
		control: { socket: $(lab_socket app) }
		metrics: { listen: 127.0.0.1:9650 }
		pins: $(lab_pins app)
		limits: { services: 64, listeners: 256, members: 4096, backends: 4096, slots: 65536 }
		${SOURCES:-}
		services:
		  - name: web
		    algorithm: round-robin
		    listen: "192.0.2.10:80/tcp"
		    health: ${CHECK:-$check_http}
		    discover: $1
		    ${MORE:-}
	END
}

# discovery_daemon DISCOVER: a daemon on app, which is in the cgroup as every process is in the root
discovery_daemon() {
	discovery_config "$1" > "$LAB_DIR/app.yaml"
	lab_daemon app "$LAB_DIR/app.yaml"
	lab_daemon_pid app > "$LAB_CGROUP/cgroup.procs"
}

discovery_end() {
	[ ! -d "$LAB_DIR" ] || "$BUILD/shuntd" --unload --pins "$(lab_pins app)"
	lab_down
}

# What the daemon has for web: "ADDRESS STATE WEIGHT", sorted, a line each.
backends_now() {
	lab_shunt app -j backend list web | jq -r '.backends[] | "\(.address) \(.state) \(.weight)"' | sort
}

# backends_are ADDRESS...: exactly these, whatever their state
backends_are() {
	[ "$(lab_shunt app -j backend list web | jq -r '.backends[].address' | sort | xargs)" = "$(printf '%s\n' "$@" | sort | xargs)" ]
}

backend_is() { [ "$(lab_shunt app -j backend list web | jq -r --arg a "$1" '.backends[] | select(.address == $a) | .state')" = "$2" ]; }

weight_is() { [ "$(lab_shunt app -j backend list web | jq -r --arg a "$1" '.backends[] | select(.address == $a) | .weight')" = "$2" ]; }

all_backends_healthy() { lab_shunt app -j backend list web | jq -e '(.backends | length > 0) and all(.backends[]; .state == "healthy")'; }

# source_is STATE [FILTER]: the first question of all
source_is() { lab_shunt app -j source list | jq -e --arg s "$1" '.sources[0] | .state == $s and ('"${2:-true}"')'; }

source_now() { lab_shunt app -j source list | jq -r ".sources[0] | $1"; }

# ---- load by a local process of app, one connection a request ----

# requests_begin N RATE: each line of $LAB_DIR/requests.txt is "HTTP_STATUS CURL_EXIT NAME"
requests_begin() {
	rm -f "$LAB_DIR/requests.txt"
	# shellcheck disable=SC2016
	lab_spawn app app/requests.out bash -c 'echo $$ > "$1/cgroup.procs"; exec stdbuf -oL curl -s -o /dev/null --max-time 3 \
		--rate "$3/s" -H "Connection: close" -w "%{http_code} %{exitcode} %header{x-backend}\n" \
		"http://192.0.2.10/?[1-$2]" > "$0"' "$LAB_DIR/requests.txt" "$LAB_CGROUP" "$@"
	requests_pid=$LAB_PID
	lab_wait 5 test -s "$LAB_DIR/requests.txt"
}

requests_end() {
	kill "$requests_pid" 2> /dev/null
	lab_wait 10 lab_gone "$requests_pid"
}

requests_failed() { awk '$1 != 200 { n++ } END { print n + 0 }' "$LAB_DIR/requests.txt"; }

requests_count() { wc -l < "$LAB_DIR/requests.txt"; }

# The names that answered among the last N requests, in one line.
requests_by() { tail -n "$1" "$LAB_DIR/requests.txt" | awk '{ print $3 }' | sort -u | xargs; }
