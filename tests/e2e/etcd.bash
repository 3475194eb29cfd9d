# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Real etcd servers on the host `registry` of the lab of discovery.bash.

etcd_have() { command -v etcd > /dev/null && command -v etcdctl > /dev/null; }
etcd_missing="Debian's etcd-server and etcd-client are not installed"

# etcd_start [N [OPTION...]]: member N, of $ETCD_CLUSTER (default: 0 alone); what it kept is there again. Its clients' port
# is 2379 + 10 N, where it speaks $ETCD_HTTP (default: http).
etcd_port() { echo $((2379 + 10 * ${1:-0})); }
etcd_dir() { echo "$LAB_DIR/registry/etcd${1:-0}"; }
etcd_peer() { echo "m$1=http://127.0.0.1:$((2380 + 10 * $1))"; }
etcd_peers() { local n; for n in ${ETCD_CLUSTER:-0}; do etcd_peer "$n"; done | paste -sd ,; }
etcd_start() {
	local n=${1:-0} peer
	shift $(($# > 0))
	peer=$(etcd_peer "$n")
	lab_spawn registry "registry/etcd$n.log" etcd --name "m$n" --data-dir "$(etcd_dir "$n")" \
		--listen-client-urls "${ETCD_HTTP:-http}://0.0.0.0:$(etcd_port "$n")" \
		--advertise-client-urls "${ETCD_HTTP:-http}://$registry4:$(etcd_port "$n")" --initial-cluster "$(etcd_peers)" \
		--listen-peer-urls "${peer#*=}" --initial-advertise-peer-urls "${peer#*=}" \
		--heartbeat-interval 20 --election-timeout 200 --logger zap --log-level error "$@"
	echo "$LAB_PID" > "$(etcd_dir "$n").pid"
}

etcd_answers() { etcdctl_ endpoint health --command-timeout 1s; }
etcd_pid() { cat "$(etcd_dir "${1:-0}").pid"; }
etcd_kill() { lab_kill "$(etcd_pid "${2:-0}")" "${1:-TERM}"; }

# $ETCD_PORT: of whom; $ETCD_USER: NAME:PASSWORD; the environment may hold more that etcdctl knows
etcdctl_() {
	lab_in registry env ETCDCTL_API=3 etcdctl --endpoints "${ETCD_HTTP:-http}://127.0.0.1:${ETCD_PORT:-2379}" \
		${ETCD_USER:+--user "$ETCD_USER"} "$@"
}

# Traffic between the hosts app and registry is dropped on the switch, silently: neither sees a link go down.
registry_cut() {
	local port
	for port in app registry; do
		lab_in net bridge link set dev "$port-eth0" isolated "${1:-on}"
	done
}
registry_mend() { registry_cut off; }
