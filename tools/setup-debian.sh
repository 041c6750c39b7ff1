#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs Debian packages: those of tools/packages-debian.txt for the purposes given.
#
#	tools/setup-debian.sh [build|run|test|browser|lint|fuzz|debug]...      default: build run test
#
# Asks apt for what is missing only, and needs to be root (or sudo) for that alone.
set -eu
cd "$(dirname "$0")"

[ $# -gt 0 ] || set -- build run test
missing=
for purpose in "$@"; do
	for word in $(sed -n "s/^$purpose[[:space:]]//p" packages-debian.txt); do
		package=${word%%:*}
		case $word in
		*:*) command -v "${word#*:}" >/dev/null && continue ;;
		*) [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] && continue ;;
		esac
		missing="$missing $package"
	done
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || {
		echo "As root, please: apt-get install --no-install-recommends$missing" >&2
		exit 1
	}
	sudo="sudo"
fi
echo "Installing:$missing"
log=$(mktemp)
# The services of haproxy and prometheus are not wanted, only their programs.
policy=/usr/sbin/policy-rc.d
if [ -e $policy ]; then
	policy=
else
	printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
	$sudo chmod 755 $policy
fi
trap 'rm -f "$log"; [ -z "$policy" ] || $sudo rm -f "$policy"' EXIT
export DEBIAN_FRONTEND=noninteractive
{
	$sudo apt-get -q -o Acquire::Retries=3 update &&
		# shellcheck disable=SC2086 # a list of words
		$sudo apt-get -q -o Acquire::Retries=3 install -y --no-install-recommends $missing
} >"$log" 2>&1 || {
	tail -n 30 "$log" >&2
	exit 1
}
