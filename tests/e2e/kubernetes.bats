# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Kubernetes: EndpointSlices and Services by list and watch, over TLS, from a server that speaks the API (kubernetes_server.py).
# What matters each time: what the daemon has then, and that no request failed that had a healthy backend.

load kubernetes

setup_file() {
	discovery_begin
	certificates
	api_server
	echo first > "$LAB_DIR/token"
	sources
	kube "$(slice '["10.77.0.11","10.77.0.12"]')" '{"set":{"tokens":["first"]}}'
	discovery_daemon "$discover"
	lab_wait 10 two
	lab_wait 10 all_backends_healthy
}

teardown_file() { discovery_end; }

discover='{ kubernetes: { service: web, port: http } }'

# sources [MORE KEYS]: of the source
sources() {
	export SOURCES="sources: [{ kubernetes: { url: \"https://$registry4:6443\", token-file: $LAB_DIR/token, timeout: 2s,
		tls: { ca: $LAB_DIR/ca.pem } ${1:+, $1} } }]"
}

# ---- the server ----

# $API_MORE: more arguments
api_server() {
	# shellcheck disable=SC2086
	lab_spawn registry registry/api.log "$BATS_TEST_DIRNAME/kubernetes_server.py" --host :: --port 6443 --control 9999 \
		--cert "$LAB_DIR/server.pem" --key "$LAB_DIR/server.key" $API_MORE
	echo "$LAB_PID" > "$LAB_DIR/api.pid"
	lab_wait 5 lab_in registry nc -z 127.0.0.1 9999
}

api_kill() { lab_kill "$(cat "$LAB_DIR/api.pid")" KILL; }

# kube COMMAND...: changes the server
kube() {
	local IFS=,
	lab_in registry curl -sf -d "[$*]" http://127.0.0.1:9999/
}

kube_stat() { lab_in registry curl -sf http://127.0.0.1:9999/stats | jq "$1"; }

# slice READY [MORE]: of web
slice() { echo "{\"slice\":{\"name\":\"web-1\",\"service\":\"web\",\"ready\":$1${2:+,$2}}}"; }

give_two() { kube "$(slice '["10.77.0.11","10.77.0.12"]')"; }
give_three() { kube "$(slice '["10.77.0.11","10.77.0.12","10.77.0.13"]')"; }
streams() { [ "$(kube_stat .open)" = "$1" ]; }

# Every test ends as it begins: two, healthy, current.
calm() {
	give_two
	lab_wait 15 source_is current
	lab_wait 5 two
	lab_wait 5 all_backends_healthy
}

# ---- tests ----

@test "slices are listed and watched: endpoints that come take part, endpoints that go do not" {
	requests_begin 10000 200
	give_three
	lab_wait 5 three
	lab_wait 5 eval '[ "$(requests_by 12)" = "b1 b2 b3" ]'
	kube '{"slice":{"name":"web-2","service":"web","ready":["10.77.0.11"]}}' "$(slice '["10.77.0.12"]')"
	lab_wait 5 two # in two slices now
	kube '{"delete":["EndpointSlice","default","web-2"]}'
	lab_wait 5 backends_are 10.77.0.12:80
	lab_wait 5 eval '[ "$(requests_by 12)" = "b2" ]'
	give_two
	lab_wait 5 two
	load_ends_well
	[ "$(kube_stat .lists)" = 1 ]
}

@test "source list says how it stands, and where its words end" {
	calm
	source_is current '.endpoints == 2 and .question == "kubernetes default/web port http" and (.version | startswith("v"))'
	lab_shunt app source show web | grep -q "10.77.0.12:80"
	kube "$(slice '["10.77.0.11","10.77.0.12"]' '"unready":["10.77.0.13"]')"
	lab_wait 5 source_is current '.note == "1 not ready"'
	calm
}

@test "a bookmark is a sign of life, and no work" {
	local heard changes
	calm
	heard=$(source_now .heard_ms) changes=$(source_now .changes)
	kube '{"set":{"bookmark_s":1}}' '{"close":"end"}'
	lab_wait 5 eval "[ \"\$(source_now .heard_ms)\" -gt $((heard + 1000)) ]"
	[ "$(source_now .changes)" = "$changes" ]
	[ "$(source_now .problems)" = 0 ]
	kube '{"set":{"bookmark_s":60}}'
}

@test "410 in all its forms, streams that end and streams that break: nothing is missed, nothing fails" {
	local form
	calm
	requests_begin 10000 200
	for form in '{"event":410}' '{"close":"end"}' '{"close":"abort"}' '{"set":{"watch_410":1}},{"close":"end"}' \
		'{"set":{"watch_410_status":1}},{"close":"end"}' '{"set":{"list_410":1}},{"compact":null},{"close":"end"}' \
		'{"event":500}' '{"event":"{\"type\":\"nonsense\"}"}'; do
		kube "$form" "$(slice '["10.77.0.11","10.77.0.12","10.77.0.13"]')"
		lab_wait 5 three || fail "$form: three"
		lab_wait 5 source_is current
		lab_wait 5 streams 1
		give_two
		lab_wait 5 two || fail "$form: two"
	done
	load_ends_well
	calm
}

@test "what terminates is drained: its connections go on, and no new ones come" {
	calm
	give_three
	lab_wait 5 three
	lab_wait 5 all_backends_healthy
	requests_begin 10000 200
	kube "$(slice '["10.77.0.11","10.77.0.12"]' '"draining":["10.77.0.13"]')"
	lab_wait 5 backend_is 10.77.0.13:80 draining
	lab_wait 5 eval '[ "$(requests_by 12)" = "b1 b2" ]'
	kube "$(slice '[]' '"draining":["10.77.0.13"]')" # none is ready: it is used
	lab_wait 5 backends_are 10.77.0.13:80
	lab_wait 5 backend_is 10.77.0.13:80 healthy
	lab_wait 5 eval '[ "$(requests_by 12)" = "b3" ]'
	give_two
	lab_wait 5 two
	load_ends_well
	calm
}

@test "suddenly none: the last good set stays in force" {
	calm
	requests_begin 10000 200
	kube '{"delete":["EndpointSlice","default","web-1"]}'
	lab_wait 5 source_is stale '.problem | contains("says that there is none (it has no EndpointSlices")'
	two
	load_ends_well
	calm
}

@test "the server restarts: the last good set stays, and then its new word counts" {
	calm
	requests_begin 10000 200
	api_kill
	lab_wait 10 source_is stale '.problem | contains("https://10.77.0.5:6443")'
	two
	api_server
	give_three
	lab_wait 15 three
	source_is current
	load_ends_well
	calm
}

@test "a token that is replaced is used; one that is not valid any more is a problem with a sentence" {
	calm
	kube '{"set":{"tokens":["first"]}}'
	requests_begin 10000 200
	echo second > "$LAB_DIR/token.new" && mv "$LAB_DIR/token.new" "$LAB_DIR/token"
	kube '{"set":{"tokens":["second"]}}' '{"close":"end"}' "$(slice '["10.77.0.11","10.77.0.12","10.77.0.13"]')"
	lab_wait 5 three
	source_is current
	kube '{"set":{"tokens":["third"]}}' '{"close":"end"}'
	lab_wait 10 source_is stale ".problem | contains(\"401\") and contains(\"token in $LAB_DIR/token still valid\")"
	three
	kube '{"set":{"tokens":["third"], "deny":["list endpointslices"]}}'
	echo third > "$LAB_DIR/token.new" && mv "$LAB_DIR/token.new" "$LAB_DIR/token"
	lab_wait 15 source_is stale '.problem | contains("403") and contains("allow the verbs list and watch")'
	three
	kube '{"set":{"deny":[]}}'
	lab_wait 15 source_is current
	load_ends_well
	calm
}

# Frames between the server and everybody else are dropped, in both directions.
partition() {
	[ -e "$LAB_DIR/drop.o" ] ||
		clang -O2 -target bpf -c -x c -o "$LAB_DIR/drop.o" - <<-END
			__attribute__((section("xdp"), used)) int drop(void *packet) { return 1; }
		END
	ip -n "$LAB-net" -force link set dev registry-eth0 xdp object "$LAB_DIR/drop.o" section xdp
	ip -n "$LAB-registry" link set dev eth0 xdp object "$LAB_DIR/drop.o" section xdp
}

heal() {
	ip -n "$LAB-registry" link set dev eth0 xdp off
	ip -n "$LAB-net" -force link set dev registry-eth0 xdp object "$LAB_DIR/pass.o" section xdp
}

@test "a silent partition is found, and its end too" {
	local begin
	calm
	requests_begin 10000 100
	begin=${EPOCHREALTIME/./}
	partition
	lab_wait 25 source_is stale
	echo "# result: a partition is found after $(((${EPOCHREALTIME/./} - begin) / 1000)) ms" >&3
	two
	give_three
	heal
	lab_wait 40 three
	source_is current
	load_ends_well
	calm
}

@test "hints: endpoints for our zone, unless some have none or none is for us" {
	calm
	sources "zone: a"
	reload
	kube "$(slice '["10.77.0.11","10.77.0.12","10.77.0.13"]' '"zones":{"10.77.0.11":["a"],"10.77.0.12":["b"],"10.77.0.13":["a","b"]}')"
	lab_wait 5 backends_are 10.77.0.11:80 10.77.0.13:80
	lab_wait 5 source_is current '.note == "1 left to other zones"'
	kube "$(slice '["10.77.0.11","10.77.0.12","10.77.0.13"]' '"zones":{"10.77.0.11":["a"],"10.77.0.12":["b"]}')"
	lab_wait 5 three
	kube "$(slice '["10.77.0.11","10.77.0.12"]' '"zones":{"10.77.0.11":["c"],"10.77.0.12":["b"]}')"
	lab_wait 5 two
	sources
	reload
	calm
}

@test "of two servers one is dead: the other is asked, and to try the source is to try both" {
	calm
	SOURCES="sources: [{ name: both, kubernetes: { url: [\"https://$registry4:6444\", \"https://$registry4:6443\"],
		token-file: $LAB_DIR/token, timeout: 2s, tls: { ca: $LAB_DIR/ca.pem } } }]" \
		reload '{ kubernetes: { service: web, port: http, source: both } }'
	lab_wait 15 source_is current '.source == "both"'
	give_three
	lab_wait 15 three
	lab_shunt app source test "kubernetes: { service: web, port: http, source: both }" | grep -q "answers with 3 endpoints"
	reload
	lab_wait 15 source_is current '.source == "kubernetes"'
	calm
}

@test "several ports and none chosen: the sentence lists them" {
	calm
	kube '{"slice":{"name":"api-1","service":"api","ports":{"http":80,"metrics":9090},"ready":["10.77.0.13"]}}'
	run lab_shunt app source test "kubernetes: { service: api }"
	[ "$status" = 1 ] && [[ $output == *"several ports"*"http (80/TCP), metrics (9090/TCP)"* ]]
	lab_shunt app source test "kubernetes: { service: api, port: metrics }" | grep -q "10.77.0.13:9090"
	lab_shunt app source test "kubernetes: { service: api, port: 80 }" | grep -q "10.77.0.13:80"
}

# service NAME CLASS [MORE]: of type LoadBalancer
service() {
	echo "{\"put\":{\"kind\":\"Service\",\"apiVersion\":\"v1\",\"metadata\":{\"namespace\":\"shop\",\"name\":\"$1\"},\"spec\":{
		\"type\":\"LoadBalancer\",\"clusterIP\":\"10.96.0.7\",\"clusterIPs\":[\"10.96.0.7\"],\"sessionAffinity\":\"None\"${2:+,
		\"loadBalancerClass\":\"$2\"},\"ports\":[{\"name\":\"http\",\"port\":8000,\"targetPort\":80,\"protocol\":\"TCP\"}]${3:+,$3}}}}"
}

ingress() {
	kube "{\"get\":[\"Service\",\"shop\",\"$1\"]}" | jq -c '[.[0].status.loadBalancer.ingress[]?.ip]'
}

@test "a Service of our class is taken over whole, its status is written, and both are undone with the class" {
	local outer='"loadBalancerIP":"192.0.2.77","externalIPs":["192.0.2.78"]'
	calm
	sources "class: shunt/balancer"
	reload
	kube "$(service mall shunt/balancer "$outer")" "$(service others example/other "$outer")" \
		'{"slice":{"name":"mall-1","service":"mall","namespace":"shop","ready":["10.77.0.12","10.77.0.13"]}}'
	lab_wait 5 services_are shop.mall.http web
	lab_shunt app -j service show shop.mall.http | jq -e '.offered_by == "kubernetes" and (.listen | sort) ==
		["10.96.0.7:8000/tcp", "192.0.2.77:8000/tcp", "192.0.2.78:8000/tcp"]'
	lab_wait 5 eval 'lab_shunt app -j backend list shop.mall.http | jq -e "[.backends[].state] == [\"healthy\", \"healthy\"]"'
	for at in 10.96.0.7 192.0.2.77 192.0.2.78; do
		[ "$(asks "http://$at:8000/")" = 200 ]
	done
	lab_wait 5 eval '[ "$(ingress mall)" = "[\"192.0.2.77\",\"192.0.2.78\"]" ]'
	[ "$(ingress others)" = "[]" ]
	kube "$(service mall "" "$outer" | sed 's/}}}$/},"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.77"},{"ip":"192.0.2.78"}]}}}}/')"
	lab_wait 5 services_are web
	lab_wait 5 eval '[ "$(ingress mall)" = "[]" ]'
	[ "$(kube_stat .patches)" = 2 ]
	kube '{"delete":["Service","shop","mall"]}' '{"delete":["Service","shop","others"]}'
}

@test "a status that may not be written is a problem that names the verb, and the Service works all the same" {
	local source='.sources[] | select(.question == "services")'
	kube '{"set":{"deny":["patch services/status"]}}' "$(service mall shunt/balancer '"loadBalancerIP":"192.0.2.77"')"
	lab_wait 5 services_are shop.mall.http web
	lab_wait 5 eval "lab_shunt app -j source list | jq -e '$source | .problem | contains(\"allow the verb patch on services/status\")'"
	lab_wait 5 eval '[ "$(asks http://192.0.2.77:8000/)" = 200 ]'
	kube '{"set":{"deny":[],"patch_409":2}}'
	lab_wait 15 eval '[ "$(ingress mall)" = "[\"192.0.2.77\"]" ]'
	lab_wait 5 eval "lab_shunt app -j source list | jq -e '$source | .state == \"current\"'"
	kube '{"delete":["Service","shop","mall"]}'
	lab_wait 5 services_are web
	sources
	reload
	calm
}

@test "a kubeconfig: a certificate of ours, and the context that is asked for" {
	calm
	api_kill
	API_MORE="--client-ca $LAB_DIR/ca.pem" api_server
	cat > "$LAB_DIR/kubeconfig" <<-END
		apiVersion: v1
		kind: Config
		current-context: elsewhere
		clusters:
		  - { name: lab, cluster: { server: "https://[$registry6]:6443", certificate-authority-data: $(base64 -w0 "$LAB_DIR/ca.pem") } }
		contexts:
		  - { name: lab, context: { cluster: lab, user: shunt } }
		users:
		  - { name: shunt, user: { client-certificate: client.pem, client-key-data: $(base64 -w0 "$LAB_DIR/client.key") } }
	END
	give_three
	SOURCES="sources: [{ kubernetes: { kubeconfig: $LAB_DIR/kubeconfig, context: lab } }]" reload
	lab_wait 15 three
	source_is current
	api_kill
	api_server
	give_two
	reload
	lab_wait 15 two
	calm
}

@test "in a pod: the credentials that every pod has" {
	local pod=$LAB_DIR/pod
	calm
	kube '{"set":{"tokens":["pod"]}}'
	mkdir -p "$pod" && cp "$LAB_DIR/ca.pem" "$pod/ca.crt" && echo pod > "$pod/token" && echo default > "$pod/namespace"
	cat > "$LAB_DIR/pod.yaml" <<-END
		control: { socket: $LAB_DIR/pod.sock }
		metrics: { listen: off }
		pins: $(lab_pins pod)
		cgroup: $LAB_CGROUP
		limits: { services: 64, listeners: 256, members: 4096, backends: 4096, slots: 65536 }
		services: [{ name: web, listen: "192.0.2.99:80/tcp", health: none, discover: { kubernetes: { service: web } } }]
	END
	# shellcheck disable=SC2016
	lab_spawn app app/pod.log unshare -m bash -c 'mount -t tmpfs none /var/lib && mkdir -p /var/lib/secrets &&
		mkdir -p /run/secrets && mount --bind /var/lib/secrets /run/secrets && mkdir -p /run/secrets/kubernetes.io &&
		ln -s "$0" /run/secrets/kubernetes.io/serviceaccount && exec "$@"' "$pod" \
		env KUBERNETES_SERVICE_HOST=$registry4 KUBERNETES_SERVICE_PORT=6443 "$BUILD/shuntd" --config "$LAB_DIR/pod.yaml"
	lab_wait 10 eval '"$BUILD/shunt" -s "$LAB_DIR/pod.sock" -j backend list web | jq -e ".backends | length == 2"'
	lab_kill "$LAB_PID"
	"$BUILD/shuntd" --unload --pins "$(lab_pins pod)"
	rmdir /run/secrets 2> /dev/null || true
	kube '{"set":{"tokens":null}}'
}
