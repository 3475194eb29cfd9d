# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Several balancers behind ECMP, and connections that live through changes of the backends and the death of a balancer:
# tools/ecmp.sh, short; in make soak for five minutes, with every byte of two thousand connections checked.

load helpers

setup_file() {
	lab_begin
	lab_node client
}

# ---- the traffic itself ----

# bad_server PORT WORD: answers as shunt-traffic's server would, but for one thing
bad_server() {
	lab_spawn client "client/$2" /usr/bin/python3 -c '
import socket, sys, threading
port, word = int(sys.argv[1]), sys.argv[2]
def serve(s):
    s.recv(8)
    s.sendall(b"bad".ljust(8, b"\0"))
    data = s.recv(65536)
    if word == "wrong":
        s.sendall(data[:-1] + bytes([data[-1] ^ 1]))
    if word != "closed":
        s.recv(65536)
        threading.Event().wait()
    s.close()
l = socket.create_server(("127.0.0.1", port))
while True:
    threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()
' "$1" "$2"
	lab_wait 5 lab_in client sh -c "ss -tlnH | grep -q 127.0.0.1:$1"
}

# traffic PORT OPTION...: the client's result, as JSON
traffic() {
	local port=$1
	shift
	lab_in client "$BUILD/shunt-traffic" client --connect "127.0.0.1:$port" --connections 5 \
		--short 0 --silent 0 --interval 200ms "$@"
}

@test "traffic: a connection whose bytes all come back is completed, whether it ends with the run or before" {
	lab_spawn client client/good "$BUILD/shunt-traffic" server --listen 127.0.0.1:7000 --name good
	lab_wait 5 lab_in client sh -c "ss -tlnH | grep -q 127.0.0.1:7000"
	traffic 7000 --connections 50 --duration 2s --short 50 --life 500ms --silent 20 |
		tee /dev/stderr |
		jq -e '.opened > 60 and .completed == .opened and .broken == 0 and .alive_at_end >= 25 and
			.bytes > 50000 and .served.good.connections == .opened and .longest_quiet_seconds > 0.8'
	lab_kill "$LAB_PID"
	jq -e '.accepted > 60 and .completed == .accepted and .wrong == 0' "$LAB_DIR/client/good"
}

@test "traffic: a wrong byte, an end, silence and a refusal each break a connection, and are told apart" {
	local word port=7001
	for word in wrong closed timeout; do
		bad_server $port $word
		traffic $port --duration 2s --timeout 500ms > "$LAB_DIR/$word" 2> "$LAB_DIR/$word.log" 3>&- &
		port=$((port + 1))
	done
	run -1 --separate-stderr traffic $port --duration 500ms
	jq -e '.broken == 0 and .not_connected >= 5' <<< "$output"
	refuse wait -n
	refuse wait -n
	refuse wait -n
	for word in wrong closed timeout; do
		cat "$LAB_DIR/$word"
		jq -e --arg word $word '.broken >= 5 and .[$word] == .broken and .completed == 0 and
			.not_connected == 0 and .served.bad.broken == .broken' "$LAB_DIR/$word"
		grep -q " $word: 127.0.0.1:[0-9]* to bad, age " "$LAB_DIR/$word.log"
	done
}

@test "traffic: connections with a server that is to go end in good order, those of one that is gone do not" {
	local client server log=$LAB_DIR/client/gone
	lab_spawn client client/here "$BUILD/shunt-traffic" server --listen 127.0.0.1:7010 --name here
	server=$LAB_PID
	lab_wait 5 lab_in client sh -c "ss -tlnH | grep -q 127.0.0.1:7010"
	echo "elsewhere here" > "$LAB_DIR/leave"
	lab_spawn client client/gone "$BUILD/shunt-traffic" client --connect 127.0.0.1:7010 --connections 5 \
		--duration 1m --interval 200ms --progress 100ms --leave "$LAB_DIR/leave"
	client=$LAB_PID
	lab_wait 5 grep -q ' open 5 ' "$log"
	kill -USR1 "$client"
	lab_wait 10 grep -q ' open 5 leaving 0 .* completed [5-9] broken 0 ' "$log"
	lab_kill "$server" KILL
	lab_wait 5 grep -q ' broken 5 not_connected [1-9]' "$log"
	kill -TERM "$client"
	lab_wait 5 lab_gone "$client"
	grep '^{' "$log" | jq -e '.reset + .closed == 5 and .completed >= 5 and .not_connected > 0 and .seconds < 30'
}

# ---- the lab ----

# balancers [NAME=VALUE]...: runs the lab; its result is in $LAB_DIR/result.json
balancers() {
	local status=0
	env ECMP_LAB="${TEST_LAB:-shunt-test}-balancers" FORWARD=gue RESULT="$LAB_DIR/result.json" "$@" \
		"$ROOT/tools/ecmp.sh" || status=$?
	[ $status != 77 ] || skip "this kernel has no such groups of next hops"
	[ $status -lt 2 ] || fail "the lab did not go as it should"
}

none_broke() { jq -e '.broken == 0' "$LAB_DIR/result.json"; }

@test "four balancers have equal tables after every change, one dies and returns, and no connection breaks" {
	balancers DURATION=22 STEP=2 CONNECTIONS=400 TRANSITION=4
	none_broke
	jq -e '.opened > 450 and .wrong == 0 and .not_connected == 0 and .oldest_seconds > 21 and
		.longest_quiet_seconds > 8 and .modes == ["native"] and .packets.edge_forwarded > 5000 and
		.packets.backend_sent_on > 0 and .flows.noted > 0' "$LAB_DIR/result.json"
}

# soak HASH SECOND_CHANCE
soak() {
	[ -n "$SOAK" ] || skip "five minutes: make soak"
	balancers HASH="$1" SECOND_CHANCE="$2"
	jq -r '"# result: \(.broken) of \(.opened) connections broke: \(.forward), second chance " +
		"\(if .second_chance then "on" else "off" end), \(.hash) hashing"' "$LAB_DIR/result.json" >&3
	jq -e '.opened >= 2000 and .wrong == 0 and .not_connected == 0 and .oldest_seconds > 290 and
		.longest_quiet_seconds > 120' "$LAB_DIR/result.json"
}

@test "five minutes, plain hashing: no connection of two thousand breaks" {
	soak plain on
	none_broke
}

@test "five minutes, resilient hashing: no connection of two thousand breaks" {
	soak resilient on
	none_broke
}

@test "five minutes, plain hashing, without second chance: how many it saves" {
	soak plain off
}

@test "five minutes, resilient hashing, without second chance: how many it saves" {
	soak resilient off
}
