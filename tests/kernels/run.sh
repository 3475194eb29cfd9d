#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Older kernels: each is booted in an emulated machine with the daemon and the command as they are built, loads the
# programs, and carries requests from a client through a balancer to a backend and back. Speaks TAP; what the daemon
# said comes after a failure, the verifier's words included.
#
# run.sh [SUITE | VMLINUZ]...   default: bullseye (Linux 5.10, the oldest that must work) and bookworm (6.1)
#
# A suite's kernel is fetched from Debian and unpacked below $BUILD/kernels, not installed. VMLINUZ is a kernel's image
# with its modules beside it: DIR/boot/vmlinuz-VERSION and DIR/lib/modules/VERSION. Needs root only to fetch.
# Needs these Debian packages: qemu-system-x86 busybox-static cpio xz-utils, beside those of tools/deps.sh

cd "$(dirname "$0")/../.." || exit 1
: "${BUILD:=build}"
BUILD=$(realpath -m "$BUILD")
store=$BUILD/kernels
patience=420 # seconds for one machine: an emulated one is slow
[ $# -gt 0 ] || set -- bullseye bookworm
n=0 failed=0

# ok SENTENCE, not_ok SENTENCE: one result
ok() { n=$((n + 1)); echo "ok $n - $*"; }
not_ok() { n=$((n + 1)) failed=$((failed + 1)); echo "not ok $n - $*"; }

leave_out() {
	echo "1..0 # SKIP $*"
	exit 0
}

for program in qemu-system-x86_64 busybox cpio xz ip ethtool curl clang; do
	command -v $program > /dev/null || leave_out "$program is not installed"
done
[ "$(uname -m)" = x86_64 ] || leave_out "the kernels are for x86_64"
[ -x "$BUILD/shuntd" ] && [ -x "$BUILD/shunt" ] || leave_out "there is nothing in $BUILD yet: run make"
mkdir -p "$store" || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# ---- kernels ----

# suite_apt COMMAND...: with the lists of that suite alone, which stay out of the system's
suite_apt() {
	local command=$1
	shift
	"$command" -qq -o Dir::Etc::sourcelist="$apt/list" -o Dir::Etc::sourceparts=- -o Dir::State::Lists="$apt/lists" \
		-o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root "$@"
}

# fetch SUITE: its kernel and modules, into $store/SUITE
fetch() {
	local dir=$store/$1 apt=$store/$1/apt signed='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]' package
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" || return 1
	{
		echo "deb $signed http://deb.debian.org/debian $1 main"
		[ "$1" = sid ] || echo "deb $signed http://deb.debian.org/debian-security $1-security main"
	} > "$apt/list"
	suite_apt apt-get update || return 1
	package=$(suite_apt apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
	[ -n "$package" ] || return 1
	(cd "$dir" && suite_apt apt-get download "$package" && dpkg -x "$package"_*.deb .) || return 1
	rm -rf "$dir"/*.deb "$apt"
}

# vmlinuz WHICH: the image of a suite, fetched if it is not there, or the one that was named
vmlinuz() {
	case $1 in
	*/*) echo "$1" ;;
	*)
		compgen -G "$store/$1/boot/vmlinuz-*" > /dev/null || fetch "$1" >&2 || return 1
		compgen -G "$store/$1/boot/vmlinuz-*" | head -n 1
		;;
	esac
}

# ---- the machine's only file system ----

# copy PROGRAM...: with the libraries that it needs, at the same places
copy() {
	local program file
	for program; do
		for file in $(ldd "$program" | grep -o '/[^ ]*'); do
			mkdir -p "$root$(dirname "$file")" && cp -L "$file" "$root$file"
		done
		cp -L "$program" "$root/bin/"
	done
}

# copy_modules FOLDER NAME...: each after those that it depends on. A compressed one is unpacked here: an older busybox cannot.
copy_modules() {
	local folder=$1 name
	shift
	for name; do
		find "$folder" -name "$name.ko*" -exec cp {} "$root/modules/" \;
		[ ! -e "$root/modules/$name.ko.xz" ] || xz -d "$root/modules/$name.ko.xz"
		[ ! -e "$root/modules/$name.ko" ] || echo "$name" >> "$root/modules/order"
	done
}

pass_program() {
	clang -O2 -target bpf -c -x c -o "$root/pass.o" - <<-END
		__attribute__((section("xdp"), used)) int pass(void *packet) { return 2; }
	END
}

# make_root IMAGE: what the machine boots into, as $work/initrd
make_root() {
	local image=$1 version modules applet
	version=${image##*/vmlinuz-}
	modules=$(dirname "$image")/../lib/modules/$version
	root=$work/root
	rm -rf "$root"
	mkdir -p "$root"/{bin,dev,proc,sys,run,tmp,etc,modules,www/backend,www/local} || return 1
	cp "$(command -v busybox)" "$root/bin/busybox"
	for applet in sh mount cat grep insmod sleep httpd ping nsenter poweroff sysctl sed mkdir uname rm; do
		ln -s busybox "$root/bin/$applet"
	done
	copy "$(command -v ip)" "$(command -v ethtool)" "$(command -v curl)" "$BUILD/shuntd" "$BUILD/shunt" || return 1
	copy_modules "$modules" veth tunnel4 tunnel6 ip_tunnel udp_tunnel ip6_udp_tunnel ipip ip6_tunnel fou \
		inet_diag tcp_diag udp_diag
	echo 'the backend' > "$root/www/index.html"
	echo 'the balancer' > "$root/www/local/index.html"
	pass_program
	cp tests/kernels/init.sh "$root/init" && chmod 755 "$root/init"
	(cd "$root" && find . | cpio -o -H newc --quiet) > "$work/initrd"
}

# ---- the tests ----

# The machine says "RESULT ok|fail SENTENCE", and what belongs to a failure in lines before it.
report() {
	local name=$1 line
	while IFS= read -r line; do
		line=${line%$'\r'}
		case $line in
		"RESULT ok "*) ok "$name: ${line#RESULT ok }" ;;
		"RESULT fail "*) not_ok "$name: ${line#RESULT fail }" ;;
		"SAYS "*) echo "# ${line#SAYS }" ;;
		esac
	done < "$work/console"
	grep -q '^END' "$work/console" && return
	not_ok "$name: the machine comes to the end of its tests"
	tail -n 20 "$work/console" | sed 's/^/# /'
}

try() {
	local image name
	image=$(vmlinuz "$1") && [ -e "$image" ] || { ok "$1 # SKIP its kernel cannot be had"; return; }
	name="Linux ${image##*/vmlinuz-}"
	make_root "$image" || { not_ok "$name: a file system for the machine can be made"; return; }
	timeout "$patience" qemu-system-x86_64 -accel tcg -m 768 -smp 2 -nographic -no-reboot -nodefaults \
		-serial stdio -kernel "$image" -initrd "$work/initrd" -append "console=ttyS0 quiet panic=-1" \
		> "$work/console" 2>&1 < /dev/null
	report "$name"
}

for which; do
	try "$which"
done
echo "1..$n"
[ $failed = 0 ]
