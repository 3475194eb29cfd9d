# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# /metrics, read by promtool and by a real Prometheus.

load helpers

setup_file() {
	lab_begin
	lab_standard 2 1540
	standard_hosts 2
	touch "$LAB_DIR/b2/sick"
	lab_wait 5 state_is web 10.77.0.12:80 unhealthy
	spread http://192.0.2.10/ 20
}

scrape() { lab_in balancer curl -sf http://127.0.0.1:9650/metrics "$@"; }

value() { scrape | grep -F "$1 " | awk '{ print $NF }'; }

@test "promtool has nothing to say" {
	scrape > "$LAB_DIR/metrics.txt"
	run promtool check metrics < "$LAB_DIR/metrics.txt"
	[ "$status" = 0 ]
	[ -z "$output" ]
}

@test "numbers are those of the command line" {
	[ "$(value 'shunt_service_packets_total{service="web"}')" = "$(packets web)" ]
	[ "$(value 'shunt_backend_state{service="web",backend="10.77.0.12:80",state="unhealthy"}')" = 1 ]
	[ "$(value 'shunt_backend_state{service="web",backend="10.77.0.12:80",state="healthy"}')" = 0 ]
	[ "$(value 'shunt_backend_weight{service="web",backend="10.77.0.11:80"}')" = 100 ]
	[ "$(value 'shunt_interface_attached{interface="eth0",role="edge",mode="native"}')" = 1 ]
	[ "$(value 'shunt_packets_total{verdict="edge_forwarded"}')" = "$(lab_shunt balancer -j status | jq .packets.edge_forwarded)" ]
	[ "$(value 'shunt_service_flows_max{service="dns"}')" = 0 ]
	[ "$(value 'shunt_flows_evicted_total{service="web"}')" = 0 ]
	scrape | grep -qx 'shunt_transitions_uncached_total 0'
	[ "$(value 'shunt_limit{limit="flows"}')" = "$(lab_shunt balancer -j status | jq .limits.flows.of)" ]
	scrape | grep -q '^process_resident_memory_bytes [1-9]'
}

@test "drops are there by interface and reason" {
	lab_in client "$ROOT/tools/udp.py" ask 192.0.2.10 53 1 4000
	[ "$(value 'shunt_drops_total{interface="eth0",reason="fragment"}')" = "$(drops fragment)" ]
	[ "$(drops fragment)" -gt 0 ]
}

@test "OpenMetrics where it is asked for, with its end mark" {
	scrape -H 'Accept: application/openmetrics-text; version=1.0.0' -D "$LAB_DIR/head" > "$LAB_DIR/open.txt"
	grep -qi '^content-type: application/openmetrics-text; version=1.0.0' "$LAB_DIR/head"
	[ "$(tail -1 "$LAB_DIR/open.txt")" = "# EOF" ]
	refuse grep -q '# EOF' <(scrape)
}

@test "a real Prometheus scrapes it and answers questions about it" {
	cat > "$LAB_DIR/prometheus.yml" <<-END
		global: { scrape_interval: 1s }
		scrape_configs:
		  - job_name: shunt
		    static_configs: [{ targets: ["127.0.0.1:9650"] }]
	END
	lab_spawn balancer prometheus.log prometheus --config.file="$LAB_DIR/prometheus.yml" \
		--storage.tsdb.path="$LAB_DIR/tsdb" --web.listen-address=127.0.0.1:9090
	query() {
		lab_in balancer curl -s http://127.0.0.1:9090/api/v1/query --data-urlencode "query=$1" |
			jq -e -r '.data.result[0].value[1]'
	}
	lab_wait 20 eval '[ "$(query "up{job=\"shunt\"}")" = 1 ]' || { tail "$LAB_DIR/prometheus.log"; false; }
	lab_wait 10 eval '[ "$(query "count(shunt_backend_state{service=\"web\",state=\"unhealthy\"} == 1)")" = 1 ]'
	[ "$(query 'sum(shunt_service_packets_total{service="web"})')" = "$(packets web)" ]
	[ "$(query 'scrape_samples_scraped')" -gt 50 ]
}
