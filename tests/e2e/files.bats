# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What is peculiar to backends from a directory of files: how files are replaced, what a wrong one does, and how the
# directory itself may come and go. What it has in common with other sources is in discovery.bats.

load discovery

setup_file() {
	discovery_begin
	mkdir "$LAB_DIR/web.d"
	put a.yaml '"10.77.0.11:80"'
	put b.yaml '"10.77.0.12:80"'
	discovery_daemon "{ files: { directory: $LAB_DIR/web.d } }"
	lab_wait 10 all_backends_healthy
}

teardown_file() { discovery_end; }

put() { echo "$2" > "$LAB_DIR/web.d/$1"; }
two() { backends_are 10.77.0.11:80 10.77.0.12:80; }

@test "a wrong file keeps what it said, is named with its line, and the others go on" {
	requests_begin 10000 100
	put a.yaml '{ address: "10.77.0.11:80", wieght: 50 }'
	lab_wait 5 source_is partial '.problem | contains("/web.d/a.yaml:1: ") and contains("what the file said before stays")'
	lab_shunt app status | grep -q "/web.d/a.yaml:1: .*weight"
	two
	put b.yaml '["10.77.0.12:80", "10.77.0.13:80"]'
	lab_wait 5 backends_are 10.77.0.11:80 10.77.0.12:80 10.77.0.13:80
	source_is partial
	[ "$(lab_shunt app -j event list | jq '[.events[] | select(.text | contains("a.yaml:1"))] | length')" = 1 ]
	put a.yaml '{ address: "10.77.0.11:80", weight: 50 }'
	lab_wait 5 source_is current
	weight_is 10.77.0.11:80 50
	put a.yaml '"10.77.0.11:80"'
	put b.yaml '"10.77.0.12:80"'
	lab_wait 5 two
	requests_end
	[ "$(requests_failed)" = 0 ]
}

@test "a restart with a wrong file loses nothing of what it said before" {
	lab_wait 5 eval '[ "$(jq ".backends | length" "/var/lib/$LAB-app"/found/*.json)" = 2 ]'
	requests_begin 10000 100
	put b.yaml '{ backends: nonsense }'
	lab_wait 5 source_is partial
	lab_kill "$(lab_daemon_pid app)" KILL
	lab_daemon app "$LAB_DIR/app.yaml"
	lab_daemon_pid app > "$LAB_CGROUP/cgroup.procs"
	lab_wait 5 source_is partial '.problem | contains("what was known before stays")'
	two
	put c.yaml '"10.77.0.13:80"' # what others say counts all the same
	lab_wait 5 backends_are 10.77.0.11:80 10.77.0.12:80 10.77.0.13:80
	rm "$LAB_DIR/web.d/c.yaml"
	put b.yaml '{ backends: ["10.77.0.12:80"] }'
	lab_wait 5 source_is current
	two
	requests_end
	[ "$(requests_failed)" = 0 ]
}

@test "a file that is still being written counts when it is closed" {
	requests_begin 10000 100
	exec 5> "$LAB_DIR/web.d/a.yaml"
	echo '- "10.77.0.13:80"' >&5
	put c.yaml '"10.77.0.13:80"'
	lab_wait 5 backends_are 10.77.0.11:80 10.77.0.12:80 10.77.0.13:80
	echo '- "10.77.0.11:80"' >&5
	rm "$LAB_DIR/web.d/c.yaml"
	lab_wait 5 two
	exec 5>&-
	lab_wait 5 backends_are 10.77.0.11:80 10.77.0.12:80 10.77.0.13:80
	put a.yaml '"10.77.0.11:80"'
	lab_wait 5 two
	requests_end
	[ "$(requests_failed)" = 0 ]
}

@test "a volume of Kubernetes, whose files all change with one link" {
	local v=$LAB_DIR/volume.d
	mkdir -p "$v/..1" "$v/..2"
	echo '"10.77.0.11:80"' > "$v/..1/x.yaml"
	echo '"10.77.0.12:80"' > "$v/..1/y.yaml"
	echo '"10.77.0.13:80"' > "$v/..2/x.yaml"
	echo '"10.77.0.12:80"' > "$v/..2/y.yaml"
	ln -s ..1 "$v/..data"
	ln -s ..data/x.yaml ..data/y.yaml "$v/"
	requests_begin 10000 100
	discovery_config "{ files: { directory: $v } }" > "$LAB_DIR/app.yaml"
	kill -HUP "$(lab_daemon_pid app)"
	lab_wait 5 source_is current ".question == \"files $v\""
	two
	ln -s ..2 "$v/..new"
	mv -T "$v/..new" "$v/..data"
	lab_wait 5 backends_are 10.77.0.12:80 10.77.0.13:80
	discovery_config "{ files: { directory: $LAB_DIR/web.d } }" > "$LAB_DIR/app.yaml"
	kill -HUP "$(lab_daemon_pid app)"
	lab_wait 5 two
	requests_end
	[ "$(requests_failed)" = 0 ]
}

@test "the directory is replaced as a whole, taken away and made again" {
	requests_begin 10000 100
	cp -r "$LAB_DIR/web.d" "$LAB_DIR/next.d"
	echo '"10.77.0.13:80"' > "$LAB_DIR/next.d/c.json"
	mv "$LAB_DIR/web.d" "$LAB_DIR/last.d"
	mv "$LAB_DIR/next.d" "$LAB_DIR/web.d"
	lab_wait 5 backends_are 10.77.0.11:80 10.77.0.12:80 10.77.0.13:80
	rm -r "$LAB_DIR/web.d"
	lab_wait 5 source_is stale '.problem | contains("/web.d is not there")'
	mv "$LAB_DIR/last.d" "$LAB_DIR/web.d"
	lab_wait 5 two
	source_is current
	requests_end
	[ "$(requests_failed)" = 0 ]
}
