# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A balancer in a container: at the other end of its veth nobody has put an XDP program, and so nothing takes what
# native XDP sends there.

load helpers

setup_file() {
	lab_begin
	lab_standard 1 1540
	no_program_on_the_peer
	standard_hosts 1
}

no_program_on_the_peer() { ip -n "$LAB-net" link set dev balancer-eth0 xdp off; }

# interface JQ_FILTER: of the balancer's status
interface() { lab_shunt balancer -j status | jq -e ".interfaces[0] | $1"; }

mode_becomes() {
	sed -i "s/mode: [a-z]*/mode: $1/" "$LAB_DIR/balancer.yaml"
	kill -HUP "$(lab_daemon_pid balancer)"
	lab_wait 8 interface ".mode == \"$2\""
}

@test "auto is generic there, says why and what to do, and requests are answered" {
	interface '.mode == "generic" and (.problem | test("loses what it sends on eth0: no XDP program runs on its veth peer.*put one there"))'
	lab_shunt balancer status | grep 'interface eth0: in generic mode, which is slower: native XDP loses what it sends on eth0: no XDP program'
	[ "$(fetch http://192.0.2.10/)" = b1 ]
	[ "$(fetch "http://[2001:db8::11]/")" = b1 ]
	lab_in client ping -q -c1 -W1 192.0.2.10
}

@test "native is obeyed, loses everything, and status and metrics say so" {
	mode_becomes native native
	interface '.problem | test("native XDP loses what it sends on eth0.*mode: generic")'
	refuse lab_in client ping -q -c1 -W1 192.0.2.10
	lab_wait 10 interface '.send_errors > 0'
	lab_in balancer curl -sf http://127.0.0.1:9650/metrics |
		grep -E '^shunt_interface_send_errors_total\{interface="eth0"\} [1-9]'
	# whatever a driver loses packets for: its counter is named as long as that is recent
	lab_pass balancer-eth0
	lab_wait 10 interface '.problem | test("the driver of eth0 loses packets .*ethtool -S eth0.*rx_queue_0_xdp_tx_errors")'
	[ "$(fetch http://192.0.2.10/)" = b1 ]
	no_program_on_the_peer
	mode_becomes auto generic
	[ "$(fetch http://192.0.2.10/)" = b1 ]
}

@test "with a program at the other end auto becomes native, and generic again without it" {
	lab_pass balancer-eth0
	lab_wait 8 interface '.mode == "native" and .problem == ""'
	[ "$(fetch http://192.0.2.10/)" = b1 ]
	no_program_on_the_peer
	lab_wait 8 interface '.mode == "generic"'
	[ "$(fetch http://192.0.2.10/)" = b1 ]
}
