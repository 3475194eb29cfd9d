# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Service discovery against a real kube-apiserver ($KUBE_APISERVER) with a real etcd, on the lab's host `registry`. Version
# 1.20 has EndpointSlices as v1beta1 and no loadBalancerClass: Services are taken over by their label.

load ../e2e/kubernetes

discover='{ kubernetes: { service: web, port: http } }'

setup_file() {
	discovery_begin
	certificates
	openssl genrsa -out "$LAB_DIR/accounts.key" 2048 2> /dev/null
	printf '%s\n' 'boss,boss,1,"system:masters"' 'shunt,shunt,2' > "$LAB_DIR/tokens.csv"
	echo shunt > "$LAB_DIR/token"
	etcd_server
	api_server
	allow
	slice web-1 web '"10.77.0.11","10.77.0.12"'
	sources
	discovery_daemon "$discover"
	lab_wait 10 two
	lab_wait 10 all_backends_healthy
}

teardown_file() { discovery_end; }

# sources [MORE KEYS]
sources() {
	export SOURCES="sources: [{ kubernetes: { url: \"https://$registry4:6443\", token-file: $LAB_DIR/token,
		tls: { ca: $LAB_DIR/ca.pem } ${1:+, $1} } }]"
}

etcd_server() {
	lab_spawn registry registry/etcd.log etcd --data-dir "$LAB_DIR/registry/etcd" --log-level error \
		--listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
		--listen-peer-urls http://127.0.0.1:2380
	lab_wait 10 lab_in registry curl -sf http://127.0.0.1:2379/health
}

api_server() {
	lab_spawn registry registry/api.log "$KUBE_APISERVER" --etcd-servers http://127.0.0.1:2379 --bind-address $registry4 \
		--advertise-address $registry4 --secure-port 6443 --insecure-port 0 --endpoint-reconciler-type none \
		--tls-cert-file "$LAB_DIR/server.pem" --tls-private-key-file "$LAB_DIR/server.key" --cert-dir "$LAB_DIR/registry" \
		--service-account-issuer https://lab --service-account-key-file "$LAB_DIR/accounts.key" \
		--service-account-signing-key-file "$LAB_DIR/accounts.key" --service-cluster-ip-range 10.96.0.0/16 \
		--authorization-mode RBAC --token-auth-file "$LAB_DIR/tokens.csv" --client-ca-file "$LAB_DIR/ca.pem" \
		--disable-admission-plugins ServiceAccount --feature-gates EndpointSliceTerminatingCondition=true
	echo "$LAB_PID" > "$LAB_DIR/api.pid"
	lab_wait 60 kube GET /readyz
	lab_wait 30 kube GET /api/v1/namespaces/default
}

# kube METHOD PATH [OBJECT]: as an administrator
kube() {
	lab_in registry curl -sSf --cacert "$LAB_DIR/ca.pem" -H "Authorization: Bearer boss" -H "Content-Type: application/json" \
		-X "$1" ${3:+-d "$3"} "https://$registry4:6443$2"
}

rbac=/apis/rbac.authorization.k8s.io/v1/namespaces/default
allow() {
	kube POST $rbac/roles '{"metadata":{"name":"shunt"},"rules":[{"apiGroups":["discovery.k8s.io"],
		"resources":["endpointslices"],"verbs":["list","watch"]}]}' > /dev/null
	kube POST $rbac/rolebindings '{"metadata":{"name":"shunt"},"subjects":[{"kind":"User","name":"shunt"}],
		"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"shunt"}}' > /dev/null
}
deny() { kube DELETE $rbac/rolebindings/shunt && kube DELETE $rbac/roles/shunt; }

slices=/apis/discovery.k8s.io/v1beta1/namespaces/default/endpointslices

# slice NAME SERVICE "ADDRESS","ADDRESS" [CONDITIONS]: made, or replaced
slice() {
	local object
	object=$(jq -n --arg name "$1" --arg service "$2" --argjson at "[$3]" --argjson c "${4:-{\"ready\":true\}}" '
		{ metadata: { name: $name, labels: { "kubernetes.io/service-name": $service } }, addressType: "IPv4",
		  ports: [{ name: "http", port: 80, protocol: "TCP" }], endpoints: [$at[] | { addresses: [.], conditions: $c }] }')
	kube PUT "$slices/$1" "$object" > /dev/null 2>&1 || kube POST "$slices" "$object" > /dev/null
}

@test "slices are listed and watched" {
	requests_begin 10000 200
	slice web-2 web '"10.77.0.13"'
	lab_wait 5 three
	kube DELETE "$slices/web-2" > /dev/null
	lab_wait 5 two
	load_ends_well
	source_is current
}

@test "what terminates is drained" {
	slice web-2 web '"10.77.0.13"' '{"ready":false,"serving":true,"terminating":true}'
	lab_wait 5 backend_is 10.77.0.13:80 draining
	kube DELETE "$slices/web-2" > /dev/null
	lab_wait 5 two
}

@test "the server restarts: the last good set stays, and then its new word counts" {
	requests_begin 10000 100
	lab_kill "$(cat "$LAB_DIR/api.pid")" KILL
	lab_wait 10 source_is stale
	two
	api_server
	slice web-2 web '"10.77.0.13"'
	lab_wait 40 three
	source_is current
	kube DELETE "$slices/web-2" > /dev/null
	lab_wait 5 two
	load_ends_well
}

@test "rights that are taken away are found, named and found again" {
	deny > /dev/null
	lab_wait 30 source_is stale '.problem | contains("403") and contains("allow the verbs list and watch in a Role")'
	two
	allow
	lab_wait 40 source_is current
}

@test "a Service with our label is taken over whole" {
	kube POST /apis/rbac.authorization.k8s.io/v1/clusterroles '{"metadata":{"name":"shunt"},"rules":[{"apiGroups":[""],
		"resources":["services"],"verbs":["list","watch"]}]}' > /dev/null
	kube POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings '{"metadata":{"name":"shunt"},"subjects":[{"kind":"User",
		"name":"shunt"}],"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"shunt"}}' > /dev/null
	kube POST /api/v1/namespaces/default/services '{"metadata":{"name":"mall","labels":{"shunt/balance":"yes"}},"spec":{
		"clusterIP":"10.96.7.7","externalIPs":["192.0.2.78"],"ports":[{"name":"http","port":8000,"targetPort":80}]}}' > /dev/null
	slice mall-1 mall '"10.77.0.12","10.77.0.13"'
	sources 'label: "shunt/balance=yes"'
	reload
	lab_wait 10 services_are default.mall.http web
	lab_wait 5 eval '[ "$(asks http://10.96.7.7:8000/)" = 200 ]'
	[ "$(asks http://192.0.2.78:8000/)" = 200 ]
	kube DELETE /api/v1/namespaces/default/services/mall > /dev/null
	lab_wait 5 services_are web
	sources
	reload
}

@test "ten thousand endpoints come in pages" {
	local i begin
	for i in $(seq 100); do
		slice "big-$i" big "$(printf '"10.80.%d.%d",' $(for k in $(seq 100); do echo "$i $k"; done) | sed 's/,$//')"
	done
	begin=${EPOCHREALTIME/./}
	[ "$(lab_shunt app -j source test "kubernetes: { service: big }" | jq '.backends | length')" = 10000 ]
	echo "# result: 10,000 endpoints from a real kube-apiserver in $(((${EPOCHREALTIME/./} - begin) / 1000)) ms" >&3
	kube DELETE "$slices?labelSelector=kubernetes.io/service-name%3Dbig" > /dev/null
}
