# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# bash completion for shunt(8); names of services, backends and sources are asked of the running daemon.

# Runs shunt on the socket that the command line names, quietly.
_shunt_ask() {
	local i socket=()
	for ((i = 1; i < ${#words[@]} - 1; i++)); do
		case ${words[i]} in
		-s | --socket) socket=(-s "${words[i + 1]}") ;;
		esac
	done
	"${words[0]}" "${socket[@]}" "$@" 2> /dev/null
}

_shunt_services() { _shunt_ask service list | awk 'NR > 1 { print $1 }'; }

# Sources that are asked.
_shunt_sources() { _shunt_ask source list | awk 'NR > 1 { print $1 }' | sort -u; }

# Where services listen, as an address and a port.
_shunt_listens() { _shunt_ask service list | awk 'NR > 1' | grep -o '[^ ]*:[0-9]*/[a-z]*'; }

# Cgroups below the one that is balanced.
_shunt_cgroups() {
	local root
	root=$(_shunt_ask status | sed -n 's/^connections of local processes: balanced at \(.*\), [0-9]* open.*/\1/p')
	[ -z "$root" ] || find "$root" -mindepth 1 -maxdepth 3 -type d -printf '/%P\n' 2> /dev/null
}

# Addresses of the backends, of one service or of all.
_shunt_backends() {
	if [ -n "$1" ]; then
		_shunt_ask backend list "$1" | awk 'NR > 1 { print $1 }'
	else
		_shunt_ask backend list | awk 'NR > 1 { print $2 }' | sort -u
	fi
}

_shunt_offer() {
	local IFS=$' \t\n'
	mapfile -t COMPREPLY < <(compgen -W "$*" -- "$cur")
}

# Of an object and a verb, given the arguments before the one being typed.
_shunt_arguments() {
	local object=$1 verb=$2
	shift 2
	case $object-$verb in
	service-list | service-show | service-delete | backend-list | backend-show | flow-list | connection-list | connection-show)
		[ $# = 0 ] && _shunt_offer "$(_shunt_services)" ;;
	source-list | source-show)
		[ $# = 0 ] && _shunt_offer "$(_shunt_sources)" "$(_shunt_services)" ;;
	source-test)
		[ $# = 0 ] && _shunt_offer consul: kubernetes: etcd: dns: files: ;;
	service-add)
		case $prev in
		algorithm) _shunt_offer consistent round-robin random least-connections ;;
		forward) _shunt_offer ipip gue local ;;
		affinity) _shunt_offer flow client ;;
		at) _shunt_offer edge socket edge,socket ;;
		no-backend) _shunt_offer unreachable refused ;;
		*) [ $# -lt 2 ] || _shunt_offer algorithm forward affinity at no-backend ;;
		esac ;;
	backend-add)
		case $# in
		0) _shunt_offer "$(_shunt_services)" ;;
		2 | 4) _shunt_offer weight server-id ;;
		esac ;;
	backend-delete | backend-drain | backend-disable | backend-enable | backend-weight)
		case $# in
		0) _shunt_offer "$(_shunt_services)" "$(_shunt_backends)" ;;
		1) _shunt_offer "$(_shunt_backends "$1")" ;;
		esac ;;
	esac
}

_shunt_explain() {
	case $prev in
	dev) _shunt_offer "$(ls /sys/class/net)" ;;
	--connect) _shunt_offer "$(_shunt_listens)" ;;
	--cgroup) _shunt_offer "$(_shunt_cgroups)" ;;
	*)
		if [[ $cur == -* ]]; then
			_shunt_offer --connect --cgroup
		elif [ $# -ge 2 ]; then
			_shunt_offer syn dev length cid
		fi ;;
	esac
}

# The object's verbs, or the arguments of the verb that is given.
_shunt_verbs() {
	local object=$1 verbs=$2
	shift 2
	if [ $# = 0 ]; then
		_shunt_offer "$verbs" help
	else
		_shunt_arguments "$object" "$@"
	fi
}

# Of an object whose list may be long: its options, then its verbs.
_shunt_long_list() {
	local object=$1 options=$2
	shift 2
	case $prev in
	--backend) _shunt_offer "$(_shunt_backends)" ;;
	--state) _shunt_offer new open closing udp ;;
	--limit) ;;
	*)
		if [[ $1 == list && $cur == -* ]]; then
			_shunt_offer "$options"
		else
			_shunt_verbs "$object" "list show" "$@"
		fi ;;
	esac
}

_shunt_file() {
	if [[ $cur == -* ]]; then
		_shunt_offer --dry-run
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}

_shunt_object() {
	local object=$1
	shift
	case $object in
	status | drop) _shunt_verbs "$object" "list show" "$@" ;;
	service) _shunt_verbs service "list show add delete" "$@" ;;
	backend) _shunt_verbs backend "list show add delete drain disable enable weight" "$@" ;;
	explain) _shunt_explain "$@" ;;
	flow) _shunt_long_list flow "--backend --state --limit" "$@" ;;
	source) _shunt_verbs source "list show test" "$@" ;;
	event) _shunt_long_list event "--limit" "$@" ;;
	connection) _shunt_long_list connection "--backend --limit" "$@" ;;
	apply) _shunt_file ;;
	esac
}

_shunt() {
	local cur prev words cword i given=()
	COMPREPLY=()
	if declare -F _get_comp_words_by_ref > /dev/null; then
		_get_comp_words_by_ref -n : cur prev words cword # addresses have colons
	else
		cur=$2 prev=$3 words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
	fi
	case $prev in
	-s | --socket)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return ;;
	esac
	for ((i = 1; i < cword; i++)); do
		case ${words[i]} in
		-s | --socket | --backend | --state | --limit | --connect | --cgroup) i=$((i + 1)) ;;
		-*) ;;
		*) given+=("${words[i]}") ;;
		esac
	done
	if [ ${#given[@]} -gt 0 ]; then
		_shunt_object "${given[@]}"
	elif [[ $cur == -* ]]; then
		_shunt_offer -j --json -s --socket -h --help --version
	else
		_shunt_offer status service backend apply explain drop flow connection source event help
	fi
	! declare -F __ltrim_colon_completions > /dev/null || __ltrim_colon_completions "$cur"
}

complete -F _shunt shunt
