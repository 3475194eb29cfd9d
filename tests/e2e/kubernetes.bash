# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What tests with a Kubernetes API have in common: its certificates, and what web has then.

load "$(dirname "${BASH_SOURCE[0]}")/discovery"

# ca.pem, and certificates and keys of a server on the host `registry` and of a client
certificates() {
	local subject="/CN=registry" names="subjectAltName=IP:$registry4,IP:$registry6,IP:127.0.0.1"
	(
		cd "$LAB_DIR"
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca
		for name in server client; do
			openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key -out $name.csr -subj $subject
			openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $name.pem -days 2 \
				-extfile <(echo "$names")
		done
	) > "$LAB_DIR/openssl.log" 2>&1
}

two() { backends_are 10.77.0.11:80 10.77.0.12:80; }
three() { backends_are 10.77.0.11:80 10.77.0.12:80 10.77.0.13:80; }

reload() {
	discovery_config "${1:-$discover}" > "$LAB_DIR/app.yaml"
	kill -HUP "$(lab_daemon_pid app)"
}

load_ends_well() {
	lab_wait 5 eval '[ "$(requests_count)" -gt 20 ]' # what is tested may take less time
	requests_end
	[ "$(requests_failed)" = 0 ] || fail "$(requests_failed) of $(requests_count) failed"
}

services_are() { [ "$(lab_shunt app -j service list | jq -r '.services[].name' | sort | xargs)" = "$*" ]; }

asks() { lab_app app "" curl -s --max-time 3 -o /dev/null -w '%{http_code}' "$1"; }
