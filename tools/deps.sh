#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Installs what building, testing, the demo and the bench need from Debian's packages: only what is missing, without
# asking, and without starting any of the servers that come along (nginx, prometheus, ngtcp2, haproxy, bind9, etcd).
#
# deps.sh          install            deps.sh --list   print the packages, one a line

set -u

build="gcc libc6-dev make clang bpftool libbpf-dev linux-libc-dev libevent-dev libcurl4-openssl-dev libc-ares-dev libjansson-dev
	libyaml-dev libmnl-dev libcap-ng-dev libsystemd-dev libsmartcols-dev"
run="iproute2 ethtool iputils-ping util-linux procps nginx iperf3 curl jq python3"
test="libcmocka-dev bats prometheus ngtcp2-client ngtcp2-server openssl netcat-openbsd bind9 bind9-dnsutils
	dnsmasq-base etcd-server etcd-client"

installed() {
	dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null | awk '$1 == "ii" { print $2 }'
}

# Packages among the arguments that are not installed, on one line.
missing() {
	comm -23 <(printf '%s\n' "$@" | sort -u) <(installed "$@" | sort) | paste -sd ' '
}

fail() {
	echo "deps: $*" >&2
	exit 1
}

policy=/usr/sbin/policy-rc.d

# A package that brings a server must not start it: what runs on this machine is not ours to decide.
install_quietly() {
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' > $policy && chmod 755 $policy
		trap 'rm -f "$policy" "$log"' EXIT
	fi
	DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 \
		install --no-install-recommends "$@" < /dev/null >> "$log" 2>&1
}

forget_servers() {
	local package unit
	for package in nginx prometheus ngtcp2-server haproxy bind9 etcd-server; do
		case " $* " in
		*" $package "*)
			unit=${package/ngtcp2-server/ngtcp2d}
			unit=${unit/etcd-server/etcd}
			systemctl --quiet disable "${unit/bind9/named}" > /dev/null 2>&1
			;;
		esac
	done
}

# shellcheck disable=SC2086
set -- $build $run $test "$@"
case " $* " in
*" --list "*) printf '%s\n' "$@" | grep -v -e --list; exit 0 ;;
esac

command -v dpkg-query > /dev/null || fail "this machine has no dpkg: install the equivalents of these Debian packages," \
	"then call the script behind the make target yourself: $*"
need=$(missing "$@")
[ -n "$need" ] || exit 0
command -v apt-get > /dev/null || fail "there is no apt-get to install these with: $need"
[ "$(id -u)" = 0 ] || fail "these packages are missing, and installing them needs root (sudo make deps): $need"

log=$(mktemp) || fail "no temporary file"
trap 'rm -f "$log"' EXIT
echo "deps: installing $(wc -w <<< "$need") packages: $need"
# shellcheck disable=SC2086
if ! install_quietly $need; then
	echo "deps: fetching the lists of packages, then once more"
	apt-get -qq update < /dev/null > "$log" 2>&1 || { cat "$log" >&2; fail "apt-get update failed (above)"; }
	install_quietly $need || { cat "$log" >&2; fail "apt-get install failed (above)"; }
fi
# shellcheck disable=SC2086
forget_servers $need
# shellcheck disable=SC2086
need=$(missing $need)
[ -z "$need" ] || fail "still missing after the installation: $need"
echo "deps: done"
