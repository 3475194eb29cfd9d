#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Several balancers of one service behind a router with ECMP, and TCP connections that live through all that happens
# meanwhile: backends come, are drained, reweighted and removed, a balancer dies and comes back with nothing. Each host
# is a network namespace on this machine; all is removed at the end.
#
#     client --- router === lb1 ... lb4     ===  the service's address, by a group of next hops: a hash of addresses and
#                  |                             ports decides; tunnels go over the router too
#                b1 ... b8, later up to b12      answers go directly to the client
#
# From the environment:
#   FORWARD=ipip|gue           how balancers send to backends (default gue)
#   SECOND_CHANCE=on|off       gue: whether backends pass on what is another's (default on)
#   HASH=plain|resilient       the kind of group: when it changes all flows may move, or only those of who died (plain)
#   DURATION=300 STEP=10       seconds of the run, and between two changes
#   CONNECTIONS=2000           held at the same time: one in ten speaks at begin, middle and end only, one in five ends
#                              and is replaced by another
#   TRANSITION=20              seconds, `transition` of the service; other times are in their usual proportion to it
#   REMOVE=live|unused         late in the run backends are removed with the connections that they have, or never (live)
#   SEED=1                     of what is random in the lab
#   RESULT=FILE                where to put the result, as one line of JSON
#   LOGS=DIRECTORY             where to put what client, balancers and backends said
#
# Exit status: 0: nothing broke; 1: connections broke or were not accepted; 2: the lab did not go as it should; 77: this
# kernel has no such groups of next hops.

cd "$(dirname "$0")/.." || exit 2
: "${BUILD:=build}" "${FORWARD:=gue}" "${SECOND_CHANCE:=on}" "${HASH:=plain}" "${DURATION:=300}" "${STEP:=10}"
: "${CONNECTIONS:=2000}" "${TRANSITION:=20}" "${REMOVE:=live}" "${SEED:=1}" "${RESULT:=/dev/null}" "${LOGS:=}"
: "${ECMP_LAB:=shunt-ecmp}"
BUILD=$(realpath -m "$BUILD")
. tools/lab.sh

balancers=4
backends=8
prepared=12
service=192.0.2.10
client_addresses=16 # from 203.0.113.1 on
rate=500 # connections opened in a second, at first
detected=1 # seconds until the router knows that a balancer is dead

# ---- time: milliseconds since the begin ----

begin=0
now() { echo $((${EPOCHREALTIME/./} / 1000 - begin)); }
ms() { awk -v s="$1" 'BEGIN { printf "%d", s * 1000 }'; }
seconds() { awk -v ms="$1" 'BEGIN { printf "%.3f", ms / 1000 }'; }
wait_until() {
	local left=$(($1 - $(now)))
	[ $left -le 0 ] || sleep "$(seconds $left)"
}

say() { printf '%6.1f s  %s\n' "$(seconds "$(now)")" "$*"; }

keep_logs() {
	[ -z "$LOGS" ] || { mkdir -p "$LOGS" && cp -r "$LAB_DIR"/. "$LOGS" 2> /dev/null; }
}

give_up() {
	echo "The lab failed: $*" >&2
	exit 2
}

# ---- chance: in this shell, for a subshell draws numbers of its own ----

# pick WORD...: one of them, in $picked; "" if there is none
pick() {
	picked=
	[ $# = 0 ] || { shift $((RANDOM % $#)) && picked=$1; }
}

# shuffle WORD...: in $shuffled
shuffle() {
	local rest=("$@") i
	shuffled=()
	while [ ${#rest[@]} -gt 0 ]; do
		i=$((RANDOM % ${#rest[@]}))
		shuffled+=("${rest[i]}")
		unset "rest[i]"
		rest=("${rest[@]}")
	done
}

# ---- hosts ----

balancer4() { echo "10.79.$((10 + $1)).2"; }
backend4() { echo "10.79.$((100 + $1)).2"; }

# host NAME NUMBER MTU: it has .2 in net NUMBER, the router .1, on a device of the host's name
host() {
	lab_node "$1" && lab_wire "$1" eth0 "$3" "10.79.$2.2/30" router "$1" "10.79.$2.1/30" || give_up "no host $1"
	ip -n "$LAB-$1" route add default via "10.79.$2.1"
}

build_network() {
	local i
	lab_node router || give_up "no router"
	lab_in router sysctl -qw net.ipv4.ip_forward=1 net.ipv4.fib_multipath_hash_policy=1
	lab_in router sysctl -qw net.ipv4.fib_multipath_hash_seed="$SEED" 2> /dev/null # since Linux 6.11
	host client 1 1500
	for i in $(seq $client_addresses); do
		ip -n "$LAB-client" address add "203.0.113.$i/32" dev lo
	done
	ip -n "$LAB-router" route add 203.0.113.0/24 via 10.79.1.2
	for i in $(seq $balancers); do
		host "lb$i" $((10 + i)) 1700
	done
	for i in $(seq $prepared); do
		host "b$i" $((100 + i)) 1700
	done
}

start_backend() {
	lab_spawn "$1" "$1/traffic" "$BUILD/shunt-traffic" server --listen 0.0.0.0:80 --name "$1"
	lab_backend_host "$1" "$service:80/tcp" || give_up "no shuntd on $1"
}

start_balancer() {
	write_config "$1"
	lab_daemon "lb$1" "$LAB_DIR/lb$1.yaml" || give_up "no shuntd on lb$1"
}

# all FUNCTION WORD...: the function with each word, side by side
all() {
	local fn=$1 word pids=()
	shift
	for word; do
		"$fn" "$word" &
		pids+=($!)
	done
	for word in "${pids[@]}"; do
		wait "$word" || exit 2
	done
}

# ---- what the balancers are told ----

declare -A weight state # of the backends that the configuration has, by number

# with STATE: their numbers
with() {
	local i
	for i in "${!state[@]}"; do
		[ "${state[$i]}" != "$1" ] || echo "$i"
	done | sort -n
}

service_config() {
	local i
	cat <<-END
		services:
		  - name: web
		    listen: $service:80/tcp
		    forward: $FORWARD
		    transition: ${TRANSITION}s
		    flow-timeout: { tcp: $((TRANSITION * 12))s, closing: $(((TRANSITION + 9) / 10))s }
		    health: { tcp: {}, interval: 2s }
		    backends:
	END
	for i in "${!state[@]}"; do
		echo "      - { address: \"$(backend4 "$i"):80\", weight: ${weight[$i]}, state: ${state[$i]} }"
	done
}

write_config() { { lab_config_head "lb$1" edge; service_config; } > "$LAB_DIR/lb$1.yaml"; }

live=() # numbers of the balancers that run

# To one after the other, in an order of chance.
apply_everywhere() {
	local i
	shuffle "${live[@]}"
	for i in "${shuffled[@]}"; do
		write_config "$i"
		lab_shunt "lb$i" apply "$LAB_DIR/lb$i.yaml" > "$LAB_DIR/apply.out" 2>&1 ||
			give_up "lb$i refused a configuration: $(cat "$LAB_DIR/apply.out")"
	done
}

fingerprints() {
	local i
	for i in "${live[@]}"; do
		lab_shunt "lb$i" -j service show web | jq -r .fingerprint
	done | sort -u
}

equal_fingerprints() { [ "$(fingerprints | wc -l)" = 1 ]; }

# The verdict on a new backend is a moment later on one than on another.
compare_fingerprints() {
	local from
	from=$(now)
	lab_wait 10 equal_fingerprints ||
		give_up "10 s after '$1' the tables still differ: $(fingerprints | paste -sd ' ')"
	say "$(printf '%-28s %s on %d, after %4d ms; %s' "$1" "$(fingerprints)" ${#live[@]} $(($(now) - from)) \
		"$(progress)")"
}

# Is the service older than the time in which it settles, every backend judged, and every next hop known?
is_settled() {
	lab_shunt "lb$1" -j status | jq -e '.uptime_seconds > 3' && lab_shunt "lb$1" -j backend list web |
		jq -e --argjson n ${#state[@]} '.backends | length == $n and
			all(.[]; .nexthop.usable and .check.checks > 0)'
}

# ---- the router ----

in_group=() # numbers of balancers, which are those of the next hops

# Who returns gets buckets that are idle, and after a step others too, for with so many flows hardly any is.
group_kind() {
	[ "$HASH" != resilient ] || echo type resilient buckets 256 idle_timer $((${STEP%.*} / 4 + 1)) \
		unbalanced_timer "${STEP%.*}"
}

# shellcheck disable=SC2046 # the kind is several words
set_group() {
	ip -n "$LAB-router" nexthop replace id 100 \
		group "$(printf '%s\n' "${in_group[@]}" | paste -sd /)" $(group_kind)
}

add_nexthop() { ip -n "$LAB-router" nexthop replace id "$1" via "$(balancer4 "$1")" dev "lb$1"; }

make_group() {
	local i
	for i in "${live[@]}"; do
		add_nexthop "$i" && in_group+=("$i")
	done
	[ ${#in_group[@]} = $balancers ] && set_group ||
		{ echo "skipped: this kernel has no $HASH groups of next hops" >&2; exit 77; }
	ip -n "$LAB-router" route add "$service/32" nhid 100 || give_up "no route to the service"
}

# ---- the client ----

start_traffic() {
	ramp=$((CONNECTIONS * 1000 / rate))
	lab_spawn client client/traffic.log "$BUILD/shunt-traffic" client --connect "$service:80" \
		--connections "$CONNECTIONS" --rate $rate --duration "$(($(ms "$DURATION") + ramp))ms" \
		--source 203.0.113.1 --sources $client_addresses --life "$(($(ms "$STEP") * 2))ms" \
		--progress 500ms --leave "$LAB_DIR/leave" --seed "$SEED"
	client=$LAB_PID
	sleep "$(seconds $ramp)"
	lab_wait 20 eval "[ \"\$(open_connections)\" -ge $((CONNECTIONS * 95 / 100)) ]" ||
		give_up "the connections were not accepted: $(progress)"
}

progress() { grep ' open ' "$LAB_DIR/client/traffic.log" | tail -1 | cut -d ' ' -f 2-; }
open_connections() { progress | cut -d ' ' -f 2; }
nobody_leaves() { progress | grep -q ' leaving 0 '; }

# Connections of clients that the backend has, health checks not counted.
connections_of() { lab_in "b$1" ss -tnH state established src "$service" | wc -l; }

# ---- changes: each returns 1 if there is nothing to which it could be done, else says in $what what it did ----

change_add() {
	local i others=()
	for i in $(seq $prepared); do
		[ -n "${state[$i]}" ] || others+=("$i")
	done
	pick "${others[@]}"
	[ -n "$picked" ] || return 1
	state[$picked]=enabled weight[$picked]=100 what="b$picked is added"
	apply_everywhere
}

# shellcheck disable=SC2046 # lists of numbers
change_drain() {
	pick $(with enabled)
	state[$picked]=draining what="b$picked is drained"
	apply_everywhere
}

# Its users turn away from it, so that it can be removed.
change_retire() {
	change_drain
	leaving=$picked what="b$picked is to go, is drained"
	echo "b$picked" > "$LAB_DIR/leave"
	kill -USR1 "$client"
	lab_wait 5 eval '! nobody_leaves' || true # until the client says that it knows
}

# shellcheck disable=SC2046
change_enable() {
	pick $(with draining | grep -vx "${leaving:-none}")
	[ -n "$picked" ] || return 1
	state[$picked]=enabled what="b$picked is enabled"
	apply_everywhere
}

# shellcheck disable=SC2046
change_lighten() {
	pick $(with enabled)
	weight[$picked]=60 what="b$picked has weight 60"
	apply_everywhere
}

change_restore() {
	local i light=()
	for i in "${!weight[@]}"; do
		[ "${weight[$i]}" = 100 ] || light+=("$i")
	done
	pick "${light[@]}"
	[ -n "$picked" ] || return 1
	weight[$picked]=100 what="b$picked has weight 100"
	apply_everywhere
}

remove() {
	unset "state[$1]" "weight[$1]"
	apply_everywhere
}

change_remove_empty() {
	[ -n "$leaving" ] || return 1
	lab_wait 40 nobody_leaves || give_up "b$leaving still has connections: $(progress)"
	what="b$leaving is removed, unused"
	remove "$leaving"
	leaving=
}

# shellcheck disable=SC2046
change_remove() {
	pick $(with enabled)
	what="b$picked is removed with $(connections_of "$picked")"
	remove "$picked"
}

# What a balancer of before knows of a removed backend, one that starts afterwards cannot know, nor can one to which the
# router moves a connection of that backend when it had none itself and has forgotten. So before the group has got its
# last member back, only backends without connections are removed.
early=(add retire lighten drain remove_empty enable restore)
late=(remove drain lighten add enable restore)
kinds=("${early[@]}")
turn=0

# All balancers have been in the group for so long that the router moves no connections any more.
begin_late() {
	local settle=$((step / 2))
	[ "$HASH" != resilient ] || settle=$((step * 2))
	[ "$REMOVE" = live ] && [ -n "$joined" ] && [ $(($(now) - joined)) -ge $settle ] || return
	kinds=("${late[@]}")
	turn=0 joined=''
}

# The next kind of change that can be made.
change() {
	local kind
	begin_late
	while :; do
		kind=${kinds[turn++ % ${#kinds[@]}]}
		! "change_$kind" || break
	done
	compare_fingerprints "$what"
}

# ---- a balancer dies, and comes back ----

# As a machine does: what it gets is lost, until the router knows. Its link goes down only then, for the kernel would
# take a next hop without carrier out of the group at once.
balancer_dies() {
	pick "${live[@]}"
	dead=$picked
	shuffle "${live[@]}"
	live=() in_group=()
	for picked in "${shuffled[@]}"; do
		[ "$picked" = "$dead" ] || { live+=("$picked") && in_group+=("$picked"); }
	done
	lab_kill "$(lab_daemon_pid "lb$dead")" KILL
	rm -r "$(lab_pins "lb$dead")"
	say "lb$dead is dead"
	sleep $detected
	set_group
	ip -n "$LAB-lb$dead" link set eth0 down
	say "lb$dead is taken out of the group; $(progress)"
}

# It knows nothing but the configuration of this moment.
balancer_returns() {
	ip -n "$LAB-lb$dead" link set eth0 up && ip -n "$LAB-lb$dead" route add default via "10.79.$((10 + dead)).1"
	start_balancer "$dead"
	live+=("$dead")
	returning=$dead
	compare_fingerprints "lb$dead has started, empty"
}

balancer_joins() {
	is_settled "$returning" > /dev/null || return
	in_group+=("$returning")
	add_nexthop "$returning" && set_group || give_up "lb$returning did not get back into the group"
	say "lb$returning is in the group again; $(progress)"
	returning='' joined=$(now)
}

# ---- the result ----

# sum_of METRIC NODE...
sum_of() {
	local name=$1 node
	shift
	for node; do
		lab_in "$node" curl -sf http://127.0.0.1:9650/metrics
	done | awk -v name="$name" '{ sub(/\{.*\}/, "") } $1 == name { n += $2 } END { print n + 0 }'
}

# What they count, by name, as JSON: 0 is left out.
# drops_of NODE...
drops_of() {
	local node
	for node; do
		lab_shunt "$node" -j drop list
	done | jq -cs 'reduce .[].drops[] as $d ({}; .[$d.reason] += $d.packets) | with_entries(select(.value > 0))'
}

# packets_of NODE...
packets_of() {
	local node
	for node; do
		lab_shunt "$node" -j status
	done | jq -cs 'reduce (.[].packets | to_entries[]) as $p ({}; .[$p.key] += $p.value) |
		with_entries(select(.value > 0))'
}

cpu_of() { # user and nice, system, interrupts, idle
	awk '$1 == "cpu" { print $2 + $3, $4, $7 + $8, $5 + $6 }' /proc/stat
}

cpu_share() { # of what cpu_of said before
	cpu_of | awk -v before="$*" '{ split(before, b); for (i = 1; i <= 4; i++) { d[i] = $i - b[i]; all += d[i] }
		printf "{\"user\":%.2f,\"system\":%.2f,\"interrupts\":%.2f,\"idle\":%.2f}",
			d[1] / all, d[2] / all, d[3] / all, d[4] / all }'
}

modes_of() { # of the balancers' interfaces, as JSON
	local node
	for node; do
		lab_shunt "$node" -j status
	done | jq -cs '[.[].interfaces[].mode] | unique'
}

parameters() {
	cat <<-END
		{ "forward": "$FORWARD", "second_chance": $second_chance, "hash": "$HASH", "duration": $DURATION,
		"step": $STEP, "connections": $CONNECTIONS, "transition": $TRANSITION, "remove": "$REMOVE",
		"seed": $SEED, "balancers": $balancers, "backends": $backends, "detected": $detected,
		"modes": $(modes_of "$@") }
	END
}

result() {
	local edges hosts
	edges=$(printf 'lb%s ' "${live[@]}") hosts=$(seq -f 'b%g' $prepared)
	# shellcheck disable=SC2086
	grep '^{' "$LAB_DIR/client/traffic.log" | jq -c --argjson parameters "$(parameters $edges)" \
		--argjson noted "$(sum_of shunt_flows_noted_total $edges)" \
		--argjson evicted "$(sum_of shunt_flows_evicted_total $edges)" \
		--argjson let_go "$(sum_of shunt_flows_let_go_total $edges)" \
		--argjson packets "$(packets_of $edges $hosts)" \
		--argjson edge "$(drops_of $edges)" --argjson backend "$(drops_of $hosts)" \
		--argjson cpu "$(cpu_share "$cpu_before")" \
		--argjson shuntds "$(sum_of process_cpu_seconds_total $edges $hosts)" '
		$parameters + { opened, completed, alive_at_end, broken, reset, timeout, wrong, closed, not_connected,
			oldest_seconds, longest_quiet_seconds, served, packets: $packets,
			flows: { noted: $noted, evicted: $evicted, let_go: $let_go },
			drops: { edge: $edge, backend: $backend }, cpu: $cpu, shuntds_cpu_seconds: $shuntds }'
}

# For people.
summary() {
	jq -r '"result: \(.opened) connections, \(.broken) broken, \(.not_connected) not accepted; \(.forward), " +
		"second chance \(if .second_chance then "on" else "off" end), \(.hash) hashing\n" +
		"        the oldest lived for \(.oldest_seconds) s, the longest silence was " +
		"\(.longest_quiet_seconds) s; CPUs idle: \(.cpu.idle * 100 | round) %"' "$LAB_DIR/result.json"
}

# ---- the story ----

case $1 in
'') ;;
*) sed -n '/^# Several/,/^$/s/^# \?//p' "$0"; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || { echo "the lab makes network namespaces, and that needs root" >&2; exit 2; }
for program in shuntd shunt shunt-traffic; do
	[ -x "$BUILD/$program" ] || { echo "there is no $BUILD/$program: run make tests" >&2; exit 2; }
done
trap 'keep_logs; lab_down' EXIT
trap 'exit 130' INT TERM HUP
RANDOM=$SEED
begin=$(now)
step=$(ms "$STEP")
lab_up "$ECMP_LAB" || give_up "no network namespaces"
second_chance=false
[ "$FORWARD" != gue ] || [ "$SECOND_CHANCE" != on ] || second_chance=true
[ "$FORWARD" != gue ] || LAB_BACKEND_KEYS="second-chance: $second_chance"
build_network
mapfile -t live < <(seq $balancers)
make_group
for i in $(seq $backends); do
	state[$i]=enabled weight[$i]=100
done
all start_backend $(seq -f 'b%g' $prepared)
all start_balancer "${live[@]}"
for i in "${live[@]}"; do
	lab_wait 20 is_settled "$i" || give_up "lb$i does not settle: $(lab_shunt "lb$i" backend list)"
done
start_traffic
compare_fingerprints "all begins"

# From here on the time is that of the run. At two fifths of it a balancer dies, between two changes; at three fifths it
# comes back, instead of a change.
begin=$((begin + $(now))) steps=$(($(ms "$DURATION") / step)) leaving='' returning='' joined=''
cpu_before=$(cpu_of)
for ((k = 1; k < steps; k++)); do
	[ $k != $((steps * 2 / 5 + 1)) ] || { wait_until $((k * step - step / 2)) && balancer_dies; }
	wait_until $((k * step))
	[ -z "$returning" ] || balancer_joins
	if [ $k = $((steps * 3 / 5)) ]; then balancer_returns; else change; fi
done
lab_wait $((${STEP%.*} + 60)) lab_gone "$client" || give_up "the client does not end: $(progress)"
result > "$LAB_DIR/result.json"
cat "$LAB_DIR/result.json" > "$RESULT"
summary
cat "$LAB_DIR/result.json"
jq -e '.broken == 0 and .not_connected == 0' "$LAB_DIR/result.json" > /dev/null
