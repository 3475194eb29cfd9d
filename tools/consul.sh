#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Prints the path of a Consul binary for tests: the one in $BUILD/consul, which is fetched if it is not there. Debian had
# Consul last in bullseye: its package is taken from the mirror that this machine is configured with, by lists of its own,
# and unpacked, not installed. Where it cannot be had the reason goes to standard error, and the exit status is 1.
#
# consul.sh        print the path            consul.sh --have   only if it is there already

cd "$(dirname "$0")/.." || exit 1
: "${BUILD:=build}"
store=$(realpath -m "$BUILD")/consul
binary=$store/usr/bin/consul
suite=bullseye

fail() {
	echo "consul: $*" >&2
	exit 1
}

# The mirror of Debian from which the running release comes.
mirror() {
	local codename
	codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	# shellcheck disable=SC2016 # $(...) are apt's
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 2> /dev/null |
		awk -v release="$codename" '$2 == release && $3 == "main" { print $1; exit }'
}

# own_apt COMMAND...: with the lists of that suite alone, which stay out of the system's
own_apt() {
	local command=$1
	shift
	"$command" -qq -o Dir::Etc::sourcelist="$work/list" -o Dir::Etc::sourceparts=- -o Dir::State::Lists="$work/lists" \
		-o Dir::Cache="$work/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=2 \
		-o Acquire::http::Timeout=20 "$@" < /dev/null
}

fetch() {
	local url
	url=$(mirror)
	[ -n "$url" ] || fail "no source of Debian is configured from which $suite could be fetched"
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial" || return 1
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $url $suite main" > "$work/list"
	own_apt apt-get update >&2 || fail "the lists of $suite cannot be fetched from $url"
	(cd "$work" && own_apt apt-get download consul >&2) || fail "$suite on $url has no package consul"
	dpkg -x "$work"/consul_*.deb "$work/root" || fail "the package cannot be unpacked"
	"$work/root/usr/bin/consul" version > /dev/null || fail "its program does not run here"
	mkdir -p "$store/usr/bin" && mv "$work/root/usr/bin/consul" "$binary"
}

if [ ! -x "$binary" ]; then
	[ "$1" != --have ] || exit 1
	command -v apt-get > /dev/null && command -v dpkg > /dev/null || fail "there is no apt-get to fetch it with"
	mkdir -p "$store" && work=$(mktemp -d "$store/fetch.XXXXXX") || fail "$store cannot be written"
	trap 'rm -rf "$work"' EXIT
	# one at a time: whoever waited finds it there
	exec 9> "$store/lock"
	flock 9
	[ -x "$binary" ] || fetch
fi
echo "$binary"
