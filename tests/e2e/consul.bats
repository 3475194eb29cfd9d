# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Services that real Consul agents know, and what becomes of them when agents err, forget, deny, vanish. All that time a load
# of connections to each service may not fail: the servers themselves are well, whatever is said of them.
#
#   app 10.77.0.2     shuntd, and the processes whose connections are balanced
#   far 10.77.0.3     servers b1, b2, b3 on ports 7001, 7002, 7003
#   consul            10.77.0.4: dev, which forgets all when it ends;  10.77.0.5: strict, whose ACLs deny by default;
#                     10.77.0.6: tls;  10.77.0.21-23: three, which elect a leader

load helpers

# Of the services.
declare -gA address=([web]=192.0.2.10 [v2]=192.0.2.11 [strict]=192.0.2.12 [three]=192.0.2.13)
root=aaaaaaaa-0000-0000-0000-000000000000
reader=bbbbbbbb-0000-0000-0000-000000000000
spare=cccccccc-0000-0000-0000-000000000000

setup_file() {
	local i
	lab_begin
	consul=$("$ROOT/tools/consul.sh" 2> "$LAB_DIR/consul.missing") || return 0
	export consul
	load_make
	lab_cgroup
	lab_bridge front
	lab_node app && lab_link app eth0 front 1500 10.77.0.2/24
	lab_node far && lab_link far eth0 front 1500 10.77.0.3/24
	lab_node consul && lab_link consul eth0 front 1500 10.77.0.{4,5,6,21,22,23}/24
	for i in 1 2 3; do
		lab_spawn far "b$i.log" "$BATS_TEST_DIRNAME/named.py" serve "b$i" $((7000 + i))
		agent "10.77.0.2$i" -server -bootstrap-expect 3 -retry-join 10.77.0.21 -retry-join 10.77.0.22 -retry-join 10.77.0.23
	done
	dev
	strict
	tls
	echo $reader > "$LAB_DIR/token"
	lab_wait 10 strict_rules
	lab_wait 10 register three b1
	register dev b1 && register dev b2 && register strict b1 && register strict b2
	config > "$LAB_DIR/app.yaml"
	lab_daemon app "$LAB_DIR/app.yaml"
	lab_daemon_pid app > "$LAB_CGROUP/cgroup.procs"
	lab_wait 10 names_are web "b1 b2"
	lab_wait 10 names_are strict "b1 b2"
	lab_wait 10 names_are three "b1"
	load_begin
}

teardown_file() {
	[ ! -f "$LAB_DIR/app.pid" ] || "$BUILD/shuntd" --unload --pins "$(lab_pins app)"
	lab_down
}

setup() {
	[ ! -s "$LAB_DIR/consul.missing" ] || skip "$(tail -1 "$LAB_DIR/consul.missing")"
	begin=$EPOCHREALTIME
}

# No test may leave a failed connection behind.
teardown() {
	[ -n "$BATS_TEST_COMPLETED" ] && return
	[ ! -d "$LAB_DIR/app" ] || { lab_shunt app source list | grep -v " s[1-5]\?[0-9] "; tail -15 "$LAB_DIR/app/shuntd.log"; }
}

# ---- agents ----

# agent ADDRESS OPTION...: its process is then $LAB_DIR/agent-ADDRESS.pid
agent() {
	local at=$1
	shift
	lab_spawn consul "agent-$at.log" "$consul" agent -node "node-${at##*.}" -bind "$at" -client "$at" -log-level warn \
		-data-dir "$LAB_DIR/consul/$at" -config-format hcl \
		-hcl 'performance { raft_multiplier = 1 } disable_update_check = true leave_on_terminate = false' "$@"
	echo "$LAB_PID" > "$LAB_DIR/agent-$at.pid"
}

agent_kill() { lab_kill "$(cat "$LAB_DIR/agent-$1.pid")" KILL; }

# Even what -dev means to forget is kept beside its data.
dev() {
	rm -rf "$LAB_DIR/consul/10.77.0.4"
	agent 10.77.0.4 -dev
}

strict() {
	agent 10.77.0.5 -server -bootstrap-expect 1 \
		-hcl "acl { enabled = true default_policy = \"deny\" tokens { master = \"$root\" agent = \"$root\" } }"
}

# certificate NAME ADDRESS: signed by the authority ca.pem
certificate() {
	local at=$LAB_DIR/$1
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$at.key" -out "$at.csr" -subj "/CN=$1"
	openssl x509 -req -in "$at.csr" -CA "$LAB_DIR/ca.pem" -CAkey "$LAB_DIR/ca.key" -CAcreateserial -days 2 -out "$at.pem" \
		-extfile <(echo "subjectAltName=IP:$2")
}

# It takes only clients that show a certificate.
tls() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ca \
		-keyout "$LAB_DIR/ca.key" -out "$LAB_DIR/ca.pem" 2> /dev/null
	certificate server 10.77.0.6 2> /dev/null
	certificate client 10.77.0.2 2> /dev/null
	agent 10.77.0.6 -dev -https-port 8501 -hcl "ca_file = \"$LAB_DIR/ca.pem\" cert_file = \"$LAB_DIR/server.pem\"
		key_file = \"$LAB_DIR/server.key\" verify_incoming_https = true"
}

# api AGENT METHOD PATH [BODY]
api() {
	local at
	case $1 in
	dev) at=10.77.0.4 ;;
	strict) at=10.77.0.5 ;;
	three) at=10.77.0.23 ;;
	*) at=$1 ;;
	esac
	lab_in consul curl -sf --max-time 5 -H "X-Consul-Token: $root" -X "$2" "http://$at:8500/v1/$3" ${4+-d "$4"}
}

# strict: who may read nodes and services
strict_rules() {
	[ -e "$LAB_DIR/reads" ] || api strict PUT acl/policy "$(policy read)" > "$LAB_DIR/reads" || { rm -f "$LAB_DIR/reads"; return 1; }
	token "$reader" && token "$spare"
}

# policy WORD [ID]
policy() {
	jq -n --arg word "$1" --arg id "${2-}" '{ Name: "reads",
		Rules: "service_prefix \"\" { policy = \"\($word)\" } node_prefix \"\" { policy = \"\($word)\" }" } +
		if $id == "" then {} else { ID: $id } end'
}

token() {
	api strict PUT acl/token "{ \"AccessorID\": \"${1/0000/1111}\", \"SecretID\": \"$1\", \"Policies\": [{ \"Name\": \"reads\" }] }"
}

# register AGENT bN [MORE]: an instance of web; more keys begin with a comma
register() {
	api "$1" PUT agent/service/register \
		"{ \"Name\": \"web\", \"ID\": \"$2\", \"Address\": \"10.77.0.3\", \"Port\": 700${2#b} ${3-} }"
}

# ---- shunt ----

# config [SOURCE]: with 60 further services that are known there
config() {
	local name source i
	cat <<-END
		cgroup: $LAB_CGROUP
		control: { socket: $(lab_socket app) }
		metrics: { listen: off }
		pins: $(lab_pins app)
		limits: { services: 128, listeners: 256, members: 4096, backends: 4096, slots: 65536 }
		sources:
		  - { name: dev, consul: { url: "http://10.77.0.4:8500", timeout: 1s } }
		  - { name: half, consul: { url: ["http://10.77.0.4:8499", "http://10.77.0.4:8500"], timeout: 1s } }
		  - { name: strict, consul: { url: "http://10.77.0.5:8500", timeout: 1s, token-file: $LAB_DIR/token } }
		  - { name: three, consul: { url: ["http://10.77.0.21:8500", "http://10.77.0.22:8500", "http://10.77.0.23:8500"], timeout: 1s } }
		  - { name: tls, consul: { url: "https://10.77.0.6:8501", timeout: 1s,
		      tls: { ca: $LAB_DIR/ca.pem, cert: $LAB_DIR/client.pem, key: $LAB_DIR/client.key } } }
		  - { name: anonymous, consul: { url: "https://10.77.0.6:8501", timeout: 1s, tls: { ca: $LAB_DIR/ca.pem } } }
		  - { name: gullible, consul: { url: "https://10.77.0.6:8501", timeout: 1s } }
		services:
	END
	for name in web v2 strict three; do
		source=$name more=
		case $name in
		web) source=dev ;;
		v2) source=dev more=", tags: [v2]" ;;
		esac
		echo "  - { name: $name, algorithm: round-robin, drain: 0s, health: none, listen: '${address[$name]}:7/tcp'," \
			"discover: { consul: { service: web, source: $source$more } } }"
	done
	[ -z "$1" ] || for i in $(seq 60); do
		more_of "$1" "$i"
	done
	[ "$1" != tls ] || { more_of anonymous 61; more_of gullible 62; }
}

# more_of SOURCE I: service sI
more_of() {
	echo "  - { name: s$2, slots: 64, listen: '192.0.2.100:$2/tcp', health: none, discover: { consul: { service: s$2, source: $1 } } }"
}

# What is found for a service: a filter on the entry of `source list`
source_of() { lab_shunt app -j source list | jq -r --arg s "$1" '.sources[] | select(.services | index($s)) | '"$2"; }

state_is() { [ "$(source_of "$1" .state)" = "$2" ]; }

# told SERVICE KEY TEXT: its problem, note or version has that text
told() { [[ "$(source_of "$1" ".$2")" == *"$3"* ]]; }

# backends SERVICE: "b1=100 b2=300", as the daemon has them
backends() {
	lab_shunt app -j backend list "$1" | jq -r '[.backends[] | "b" + .address[-1:] + "=" + (.weight | tostring)] | join(" ")'
}

backends_are() { [ "$(backends "$1")" = "$2" ]; }

# names SERVICE: who answers, by what the kernel has
names() {
	lab_app app "" python3 "$LAB_DIR/load.py" 20 "${address[$1]}" | awk '{ print $3 }' | sort -u | paste -sd ' '
}

names_are() { [ "$(names "$1")" = "$2" ]; }

# ---- load ----

# load.py N ADDRESS...: connects to each N times; a line is "TIME ADDRESS NAME", or "error:..." in place of the name
load_make() {
	cat > "$LAB_DIR/load.py" <<-END
		import os, socket, sys, threading, time
		def ask(address):
		    try:
		        with socket.create_connection((address, 7), 2) as s:
		            s.sendall(b"?\n")
		            return s.recv(100).decode().strip() or "error:closed"
		    except OSError as e:
		        return f"error:{e}".replace(" ", "_")
		def keep_asking(address, n):
		    for _ in range(n):
		        os.write(1, f"{time.time():.6f} {address} {ask(address)}\n".encode())
		        time.sleep(0.01 if n > 100 else 0)
		threads = [threading.Thread(target=keep_asking, args=(a, int(sys.argv[1]))) for a in sys.argv[2:]]
		[t.start() for t in threads]
	END
}

# To all services all the time, into load.txt
load_begin() {
	lab_spawn app load.txt bash -c 'echo $$ > "$0"; exec "$@"' "$LAB_CGROUP/cgroup.procs" \
		python3 "$LAB_DIR/load.py" 1000000 "${address[web]}" "${address[strict]}" "${address[three]}"
	lab_wait 10 answered 0
}

# answered TIME: by every service since then
answered() {
	awk -v t="$1" '$1 > t { seen[$2] = 1 } END { exit length(seen) < 3 }' "$LAB_DIR/load.txt"
}

# Since the test began no connection failed, and all are still made.
nothing_failed() {
	local errors
	lab_wait 10 answered "$EPOCHREALTIME" || fail "connections are not made any more"
	errors=$(awk -v t="$begin" '$1 > t && $3 ~ /^error/' "$LAB_DIR/load.txt")
	[ -z "$errors" ] || fail "$errors"
}

# ---- instances come and go ----

@test "what is registered is used, and what is deregistered is not" {
	backends_are web "b1=100 b2=100"
	register dev b3
	lab_wait 10 names_are web "b1 b2 b3"
	api dev PUT agent/service/deregister/b2
	lab_wait 10 names_are web "b1 b3"
	backends_are web "b1=100 b3=100"
	state_is web current
	register dev b2
	api dev PUT agent/service/deregister/b3
	lab_wait 10 names_are web "b1 b2"
	nothing_failed
}

@test "to try a source is to try each of its servers" {
	lab_shunt app source test "consul: { service: web, source: half }" | grep -q "answers with"
}

# Says that b3 is alive; do all answer?
b3_alive() { api dev PUT agent/check/pass/alive && names_are web "b1 b2 b3"; }

@test "an instance whose TTL check expires is left out until it is heard of again" {
	register dev b3 ', "Check": { "CheckID": "alive", "TTL": "1500ms" }'
	lab_wait 10 told web note "1 of 3 instances is critical"
	lab_wait 10 b3_alive
	lab_wait 10 names_are web "b1 b2"
	told web note "1 of 3 instances is critical"
	lab_wait 10 b3_alive
	api dev PUT agent/service/deregister/b3
	lab_wait 10 names_are web "b1 b2"
	nothing_failed
}

@test "weights are those of passing or of warning instances" {
	register dev b3 ', "Weights": { "Passing": 7, "Warning": 2 }, "Check": { "CheckID": "well", "TTL": "10m", "Status": "passing" }'
	lab_wait 10 backends_are web "b1=100 b2=100 b3=700"
	api dev PUT agent/check/warn/well
	lab_wait 10 backends_are web "b1=100 b2=100 b3=200"
	lab_wait 10 names_are web "b1 b2 b3"
	register dev b3 ', "Weights": { "Passing": 7, "Warning": 0 }, "Check": { "CheckID": "well", "TTL": "10m", "Status": "warning" }'
	lab_wait 10 backends_are web "b1=100 b2=100 b3=0"
	lab_wait 10 names_are web "b1 b2"
	api dev PUT agent/service/deregister/b3
	lab_wait 10 backends_are web "b1=100 b2=100"
	nothing_failed
}

@test "an instance in maintenance is left out, and when all are, none is" {
	api dev PUT "agent/service/maintenance/b1?enable=true&reason=repair"
	lab_wait 10 names_are web b2
	api dev PUT "agent/service/maintenance/b1?enable=false"
	lab_wait 10 names_are web "b1 b2"
	api dev PUT "agent/maintenance?enable=true"
	lab_wait 10 state_is web stale
	told web problem "there is none (2 of 2 instances are critical)"
	names_are web "b1 b2"
	api dev PUT "agent/maintenance?enable=false"
	lab_wait 10 state_is web current
	names_are web "b1 b2"
	nothing_failed
}

@test "tags choose instances" {
	register dev b3 ', "Tags": ["blue", "V2"]'
	lab_wait 10 names_are v2 b3
	backends_are v2 "b3=100"
	register dev b2 ', "Tags": ["v2"]'
	lab_wait 10 names_are v2 "b2 b3"
	register dev b2
	lab_wait 10 names_are v2 b3
	api dev PUT agent/service/deregister/b3
	lab_wait 10 told v2 problem "none of 2 instances has the tag"
	names_are v2 b3
	names_are web "b1 b2"
	nothing_failed
}

@test "an instance without an address of its own has its node's, and one with a name is left out" {
	api dev PUT catalog/register '{ "Node": "far", "Address": "10.77.0.3", "Service": { "Service": "web", "ID": "b3", "Port": 7003 } }'
	lab_wait 10 names_are web "b1 b2 b3"
	api dev PUT catalog/register '{ "Node": "far", "Address": "far.example", "Service": { "Service": "web", "ID": "b3", "Port": 7003 } }'
	lab_wait 10 names_are web "b1 b2"
	told web problem '1 of 3 instances has no IP address that could be used and is left out ("far.example")'
	api dev PUT catalog/deregister '{ "Node": "far" }'
	lab_wait 10 eval '! told web problem example'
	nothing_failed
}

# ---- agents err, forget, deny, vanish ----

@test "an agent that forgot everything empties nothing, and its low indexes are taken" {
	local version
	version=$(source_of web .version)
	agent_kill 10.77.0.4
	lab_wait 10 state_is web stale
	names_are web "b1 b2"
	dev
	lab_wait 10 told web problem "the source says that there is none (there is no such service, or we may not read it)"
	names_are web "b1 b2"
	register dev b2
	lab_wait 10 names_are web b2
	state_is web current
	[ "$(source_of web .version)" -lt "$version" ]
	register dev b1
	lab_wait 10 names_are web "b1 b2"
	nothing_failed
}

@test "an agent that was started again is asked on" {
	agent_kill 10.77.0.5
	lab_wait 10 state_is strict stale
	names_are strict "b1 b2"
	strict
	lab_wait 15 state_is strict current
	lab_wait 10 register strict b3
	lab_wait 10 names_are strict "b1 b2 b3"
	api strict PUT agent/service/deregister/b3
	lab_wait 10 names_are strict "b1 b2"
	nothing_failed
}

@test "a token that was revoked takes nothing away, and a new one is read from its file" {
	api strict DELETE "acl/token/${reader/0000/1111}"
	register strict b3 # whatever changes: a query that waits does not notice its token
	lab_wait 10 state_is strict stale
	told strict problem "status 403: ACL not found; put a token that may read the service into $LAB_DIR/token"
	names_are strict "b1 b2"
	echo $spare > "$LAB_DIR/token"
	lab_wait 20 state_is strict current
	lab_wait 10 names_are strict "b1 b2 b3"
	nothing_failed
}

@test "a token that may read nothing any more, which is answered by 200 and [], takes nothing away" {
	local id
	id=$(jq -r .ID "$LAB_DIR/reads")
	api strict PUT "acl/policy/$id" "$(policy deny "$id")"
	api strict PUT agent/service/deregister/b3
	lab_wait 10 state_is strict stale
	told strict problem "the source says that there is none"
	names_are strict "b1 b2 b3"
	api strict PUT "acl/policy/$id" "$(policy read "$id")"
	lab_wait 40 state_is strict current
	lab_wait 10 names_are strict "b1 b2"
	nothing_failed
}

@test "an agent that cannot be reached is stale, and what changed meanwhile is known soon after" {
	ip -n "$LAB-consul" route add blackhole 10.77.0.2
	api dev PUT agent/service/deregister/b2
	lab_wait 20 state_is web stale
	backends_are web "b1=100 b2=100"
	names_are web "b1 b2"
	ip -n "$LAB-consul" route delete blackhole 10.77.0.2
	lab_wait 15 names_are web b1
	state_is web current
	register dev b2
	lab_wait 10 names_are web "b1 b2"
	nothing_failed
}

three="10.77.0.21 10.77.0.22 10.77.0.23"

# Whom one of the three (that still live) has for a leader.
leader() {
	local at who
	for at in $three; do
		who=$(api "$at" GET status/leader | jq -r 'select(. != "") | split(":")[0]') # jq is content with nothing at all
		[ -z "$who" ] || break
	done
	[ -n "$who" ] && echo "$who"
}

# An election is the servers' own affair: on a busy machine they may need several.
other_leader() { leader | grep -qvx "$1"; }

@test "when the leader dies another is asked, and without a quorum nothing is taken away" {
	local first second third
	first=$(leader)
	agent_kill "$first"
	lab_wait 60 other_leader "$first"
	second=$(leader)
	for third in $three; do
		[ "$third" = "$first" ] || [ "$third" = "$second" ] || break
	done
	lab_wait 10 api "$third" PUT agent/service/register '{ "Name": "web", "ID": "b2", "Address": "10.77.0.3", "Port": 7002 }'
	lab_wait 15 eval '[[ "$(names three)" == *b2* ]]'
	state_is three current
	agent_kill "$second"
	lab_wait 15 state_is three stale
	[[ "$(names three)" == *b2* ]]
	nothing_failed
}

# ---- many services ----

# connections ADDRESS:PORT
connections() { lab_in app ss -Htn state established dst "$1" | wc -l; }

# All of the further services of a source were answered, most of them with none.
answered_all() {
	[ "$(lab_shunt app -j source list |
		jq --arg s "$1" '[.sources[] | select(.source == $s and .heard_ms > 0 and (.services[0] | startswith("s")))] | length')" = 60 ]
}

# reload SOURCE
reload() {
	config "$1" > "$LAB_DIR/app.yaml"
	kill -HUP "$(lab_daemon_pid app)"
	lab_wait 10 answered_all "$1"
}

@test "many services share few connections, and each hears of its changes" {
	reload dev
	api dev PUT agent/service/register '{ "Name": "s60", "Address": "10.77.0.3", "Port": 7003 }'
	lab_wait 10 backends_are s60 "b3=100"
	[ "$(connections 10.77.0.4:8500)" -le 32 ] || fail "$(connections 10.77.0.4:8500) connections"
	names_are web "b1 b2"
	nothing_failed
}

@test "over TLS they share one connection, and who shows no certificate, or believes none, says so" {
	reload tls
	api 10.77.0.6 PUT agent/service/register '{ "Name": "s60", "Address": "10.77.0.3", "Port": 7003 }'
	lab_wait 10 backends_are s60 "b3=100"
	lab_wait 10 eval '[ "$(connections 10.77.0.6:8501)" = 1 ]' || fail "$(connections 10.77.0.6:8501) connections"
	lab_wait 10 told s61 problem "https://10.77.0.6:8501: "
	lab_wait 10 told s62 problem "its certificate is not believed"
	state_is s61 waiting
	state_is s62 waiting
	nothing_failed
}
