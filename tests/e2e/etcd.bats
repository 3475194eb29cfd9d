# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Services found in etcd: a real one, which loses keys, leases, its past, its rights, its leader, its cable and its life.

load discovery
load etcd

setup_file() {
	etcd_have || skip "$etcd_missing"
	discovery_begin
	etcd_start
	lab_wait 10 etcd_answers
	put 1
	put 2
	SOURCES="$one" discovery_daemon "$prefix"
	lab_wait 10 all_backends_healthy
}

teardown_file() { [ -z "$LAB_DIR" ] || discovery_end; }

prefix='{ etcd: { prefix: /shunt/services/web/ } }'
one="sources: [{ etcd: { url: http://$registry4:2379, timeout: 2s } }]"

# put N [KEYS] [OPTION...]: what stands for backend N
put() {
	local n=$1 keys=$2
	shift $(($# > 1 ? 2 : 1))
	etcdctl_ put "$@" "/shunt/services/web/b$n" "{\"address\": \"10.77.0.1$n:80\"${keys:+, $keys}}"
}
take() { etcdctl_ del "/shunt/services/web/b$1"; }
two() { backends_are 10.77.0.11:80 10.77.0.12:80; }
three() { backends_are 10.77.0.11:80 10.77.0.12:80 10.77.0.13:80; }

configure() {
	SOURCES=$1 discovery_config "$prefix" > "$LAB_DIR/app.yaml"
	kill -HUP "$(lab_daemon_pid app)"
}

nothing_failed() {
	requests_end
	[ "$(requests_failed)" = 0 ] || fail "of $(requests_count) requests: $(grep -v ^200 "$LAB_DIR/requests.txt" | head)"
}

@test "keys that are put and deleted are backends that come and go, with weight and state" {
	two
	requests_begin 10000 100
	put 3
	lab_wait 5 three
	lab_wait 5 all_backends_healthy
	lab_wait 5 eval '[ "$(requests_by 12)" = "b1 b2 b3" ]'
	put 3 '"weight": 50'
	lab_wait 5 weight_is 10.77.0.13:80 50
	put 3 '"state": "draining"'
	lab_wait 5 backend_is 10.77.0.13:80 draining
	take 1
	lab_wait 5 backends_are 10.77.0.12:80 10.77.0.13:80
	put 1
	take 3
	lab_wait 5 two
	nothing_failed
	source_is current '.version | test("^[0-9]+$")'
}

@test "a lease that ends takes its keys away" {
	local lease
	requests_begin 10000 100
	lease=$(etcdctl_ lease grant 1 | awk '{ print $2 }')
	put 3 "" --lease "$lease"
	lab_wait 5 three
	lab_wait 10 two
	nothing_failed
}

@test "a value that is not understood is told, and the others count" {
	etcdctl_ put /shunt/services/web/x '{"adress": "10.77.0.13:80"}'
	put 3
	lab_wait 5 three
	source_is partial
	lab_shunt app source show web | grep -q '1 of 4 values is not understood: /shunt/services/web/x: .*"adress".*"address"'
	etcdctl_ del /shunt/services/web/x
	take 3
	lab_wait 5 two
	lab_wait 5 source_is current
}

@test "a network that drops all is found, the last good set stays; what was compacted meanwhile is listed again" {
	local begin revision
	requests_begin 10000 50
	registry_cut
	begin=${EPOCHREALTIME/./}
	lab_wait 15 source_is stale
	echo "# result: a silent partition is found after $(((${EPOCHREALTIME/./} - begin) / 1000)) ms" >&3
	two
	put 3
	take 1
	revision=$(etcdctl_ get / -w json | jq .header.revision)
	etcdctl_ compaction "$revision"
	two
	registry_mend
	lab_wait 35 backends_are 10.77.0.12:80 10.77.0.13:80
	source_is current
	put 1
	take 3
	lab_wait 5 two
	lab_wait 5 all_backends_healthy
	nothing_failed
}

@test "a server that is killed, and stopped, and started again" {
	requests_begin 10000 50
	etcd_kill KILL
	lab_wait 5 source_is stale
	two
	etcd_start
	lab_wait 10 source_is current
	put 3
	lab_wait 5 three
	etcd_kill TERM
	lab_wait 5 source_is stale
	three
	etcd_start
	lab_wait 10 etcd_answers
	take 3
	lab_wait 10 two
	lab_wait 5 source_is current
	nothing_failed
}

@test "a server that does not answer, but is there" {
	kill -STOP "$(etcd_pid)"
	lab_wait 15 source_is stale
	two
	kill -CONT "$(etcd_pid)"
	lab_wait 15 source_is current
}

@test "a server that is restored from a backup" {
	etcdctl_ snapshot save "$LAB_DIR/backup"
	put 3
	lab_wait 5 three
	etcd_kill KILL
	rm -r "$(etcd_dir)"
	etcdctl_ snapshot restore "$LAB_DIR/backup" --name m0 --data-dir "$(etcd_dir)" --initial-cluster "$(etcd_peers)" \
		--initial-advertise-peer-urls http://127.0.0.1:2380
	etcd_start
	lab_wait 15 two
	source_is current
	put 3
	lab_wait 5 three
	take 3
	lab_wait 5 two
}

@test "users: one is wanted, its rights are taken and given, its token ends with the server" {
	local root=root:r
	etcdctl_ user add root:r
	etcdctl_ user add shunt:secret
	etcdctl_ role add reader
	etcdctl_ role grant-permission reader --prefix=true read /shunt/
	etcdctl_ user grant-role shunt reader
	etcdctl_ auth enable
	lab_wait 10 source_is stale '.problem | contains("give the source user and password-file")'
	two
	echo secret > "$LAB_DIR/password"
	configure "${one%\} \}]}, user: shunt, password-file: $LAB_DIR/password } }]"
	lab_wait 10 source_is current
	requests_begin 10000 50
	ETCD_USER=$root etcdctl_ user revoke-role shunt reader
	lab_wait 10 source_is stale '.problem | contains("grant the user a role")'
	two
	ETCD_USER=$root etcdctl_ user grant-role shunt reader
	lab_wait 10 source_is current
	etcd_kill KILL
	etcd_start
	lab_wait 5 source_is stale
	lab_wait 10 source_is current
	ETCD_USER=$root put 3
	lab_wait 5 three
	ETCD_USER=$root take 3
	lab_wait 5 two
	ETCD_USER=$root etcdctl_ auth disable
	configure "$one"
	lab_wait 10 source_is current '.problem == ""'
	nothing_failed
}

leader() {
	local n
	for n in 1 2 3; do
		ETCD_PORT=$(etcd_port "$n") etcdctl_ endpoint status -w json |
			jq -e '.[0].Status | .header.member_id == .leader' > /dev/null && echo "$n" && return
	done
}

@test "three members: the leader is killed, then all but one" {
	export ETCD_CLUSTER="1 2 3"
	local n first urls
	for n in 1 2 3; do etcd_start "$n"; done
	export ETCD_PORT=2389
	lab_wait 10 etcd_answers
	put 1
	put 2
	lab_wait 5 leader
	first=$(leader)
	for n in $first $(seq 3 | grep -v "$first"); do
		urls+="http://$registry4:$(etcd_port "$n"), "
	done
	configure "sources: [{ etcd: { timeout: 2s, url: [$urls] } }]"
	lab_wait 10 source_is current '.problem == ""'
	lab_wait 10 eval '[ "$(lab_shunt app -j source list | jq ".sources[0].version | tonumber")" -lt 10 ]'
	requests_begin 10000 50
	etcd_kill KILL "$first"
	n=$((first % 3 + 1))
	ETCD_PORT=$(etcd_port "$n")
	lab_wait 10 put 3
	lab_wait 10 three
	lab_wait 10 source_is current
	etcd_kill KILL "$n"
	lab_wait 15 source_is stale
	three
	etcd_start "$n"
	lab_wait 15 source_is current
	take 3
	lab_wait 5 two
	nothing_failed
	configure "$one"
}

certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" -keyout "$LAB_DIR/$1.key" \
		-out "$LAB_DIR/$1.pem" "${@:2}" 2> /dev/null
}

@test "TLS, with a certificate of ours: many questions over one connection" {
	export ETCD_HTTP=https ETCD_PORT=2419 ETCDCTL_CACERT=$LAB_DIR/ca.pem ETCDCTL_CERT=$LAB_DIR/us.pem ETCDCTL_KEY=$LAB_DIR/us.key
	export ETCD_CLUSTER=4
	local ca=(-CA "$LAB_DIR/ca.pem" -CAkey "$LAB_DIR/ca.key") tls heard
	certificate ca
	certificate server "${ca[@]}" -addext "subjectAltName=IP:$registry4,IP:127.0.0.1,IP:0.0.0.0"
	certificate us "${ca[@]}"
	etcd_start 4 --cert-file "$LAB_DIR/server.pem" --key-file "$LAB_DIR/server.key" --client-cert-auth \
		--trusted-ca-file "$LAB_DIR/ca.pem"
	lab_wait 10 etcd_answers
	put 2
	put 3
	tls="ca: $LAB_DIR/ca.pem, cert: $LAB_DIR/us.pem, key: $LAB_DIR/us.key"
	configure "sources: [{ etcd: { url: https://$registry4:2419, timeout: 2s, tls: { $tls } } }]"
	lab_wait 10 backends_are 10.77.0.12:80 10.77.0.13:80
	source_is current '.problem == ""'
	put 1
	take 3
	lab_wait 5 two
	heard=$(source_now .heard_ms) # then a pulse comes, on the same connection
	lab_wait 10 eval '[ "$(source_now .heard_ms)" -gt $((heard + 1000)) ]'
	[ "$(lab_in app ss -tnH state established "( dport = :2419 )" | wc -l)" = 1 ]
	etcd_kill KILL 4
	lab_wait 5 source_is stale
	configure "sources: [{ etcd: { url: https://$registry4:2419, tls: { ca: $LAB_DIR/us.pem } } }]"
	etcd_start 4 --cert-file "$LAB_DIR/server.pem" --key-file "$LAB_DIR/server.key"
	lab_wait 10 source_is stale '.problem | test("certificate|issuer")'
	etcd_kill KILL 4
	configure "$one"
	lab_wait 10 source_is current '.problem == ""'
}

@test "ten thousand keys" {
	local begin
	python3 - <<-'END' | lab_in registry xargs -d '\n' -P 2 -n 1 curl -sf -o /dev/null http://127.0.0.1:2379/v3/kv/txn -d
		import base64, json
		code = lambda text: base64.b64encode(text.encode()).decode()
		for hundred in range(100):
		    puts = []
		    for i in range(hundred * 100, hundred * 100 + 100):
		        value = json.dumps({"address": "10.%d.%d.%d:80" % (100 + i // 62500, i // 250 % 250, i % 250 + 1)})
		        puts.append({"requestPut": {"key": code("/shunt/services/many/%05d" % i), "value": code(value)}})
		    print(json.dumps({"success": puts}))
	END
	begin=${EPOCHREALTIME/./}
	lab_shunt app -j source test '{ etcd: { prefix: /shunt/services/many/ } }' | jq -e '.backends | length == 10000'
	echo "# result: 10000 keys are listed in $(((${EPOCHREALTIME/./} - begin) / 1000)) ms, the command and jq included" >&3
	[ $(((${EPOCHREALTIME/./} - begin) / 1000)) -lt 5000 ] # on a machine that does other things, too
}
