#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Service discovery against a real kube-apiserver (1.20, the one that Debian has), with a real etcd. It is built from
# Debian's source package `kubernetes`, below $BUILD/kubernetes, which takes some ten minutes and 5 GB, once. Speaks TAP.
#
# run.sh          needs root, and these Debian packages beside those of tools/deps.sh: golang-go
#                 golang-github-modern-go-reflect2-dev rsync dpkg-dev
# KUBE_APISERVER  a kube-apiserver that is there already

cd "$(dirname "$0")/../.." || exit 1
: "${BUILD:=build}"
BUILD=$(realpath -m "$BUILD")
store=$BUILD/kubernetes
: "${KUBE_APISERVER:=$store/kube-apiserver}"
export BUILD KUBE_APISERVER TEST_LAB=shunt-kubernetes

leave_out() {
	echo "1..0 # SKIP $*"
	exit 0
}

# apt with a list of sources of its own: the machine's stay as they are
apt() { apt-get -qq -o Dir::Etc::sourcelist="$store/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::Lists="$store/lists" "$@"; }

fetch() {
	local suite
	suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
	mkdir -p "$store/lists/partial" && cd "$store" || return 1
	echo "deb-src http://deb.debian.org/debian $suite main" > sources.list
	apt update && apt source --download-only kubernetes && rm -rf source && dpkg-source --no-check -x kubernetes_*.dsc source
}

# As the package does it: within a GOPATH, with the generators of the tree. But its reflect2 (1.0.1) is older than maps are
# as they are since Go 1.18, and panics for the first JSON object that has one: Debian's newer one takes its place.
reflect2=/usr/share/gocode/src/github.com/modern-go/reflect2
build() {
	cd "$store/source" || return 1
	rm -r vendor/github.com/modern-go/reflect2 && cp -r $reflect2 vendor/github.com/modern-go/ || return 1
	mkdir -p .go/src/k8s.io home
	[ -L .go/src/k8s.io/kubernetes ] || ln -s ../../.. .go/src/k8s.io/kubernetes
	env PATH="/usr/lib/go/bin:$PATH" HOME="$PWD/home" GOPATH="$PWD/.go" GOCACHE="$store/cache" CGO_ENABLED=0 \
		make WHAT=cmd/kube-apiserver || return 1
	cp _output/bin/kube-apiserver "$KUBE_APISERVER" && chmod -R u+w "$store/source" && rm -rf "$store/source" "$store/cache"
}

for program in etcd bats curl jq openssl; do
	command -v $program > /dev/null || leave_out "$program is not installed"
done
[ "$(id -u)" = 0 ] || leave_out "this needs root"
[ -x "$BUILD/shuntd" ] && [ -x "$BUILD/shunt" ] || leave_out "there is nothing in $BUILD yet: run make"
if [ ! -x "$KUBE_APISERVER" ]; then
	for program in go rsync dpkg-source apt-get; do
		command -v $program > /dev/null || leave_out "there is no kube-apiserver, and $program, to build one, is not installed"
	done
	[ -d $reflect2 ] || leave_out "there is no kube-apiserver, and $reflect2, to build one, is not installed"
	echo "# building kube-apiserver: what it says is in $store/log"
	mkdir -p "$store"
	(fetch) > "$store/log" 2>&1 || leave_out "Debian's source package kubernetes could not be fetched: $store/log"
	(build) >> "$store/log" 2>&1 || leave_out "kube-apiserver could not be built: $store/log"
fi
exec bats --tap tests/kubernetes/apiserver.bats
