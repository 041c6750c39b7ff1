#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what the tests need, builds, and runs them: unit and integration tests, Limpet between real
# Socket.IO clients and servers, and the Node package for workers.
#
#	./check.sh [CONFIGURE_OPTION...]
set -u
cd "$(dirname "$0")" || exit 1

tools/setup-debian.sh build run test && tools/build.sh "$@" || exit 1
build=build
[ -x build/limpet ] || build=.
LIMPET=$(cd "$build" && pwd)/limpet
export LIMPET

failed=
run() {
	title=$1
	shift
	echo "== $title"
	"$@" || failed="$failed, $title"
}

# They wait for something half of the time.
unit_and_integration() {
	make -C "$build" -j"$(($(nproc) + 1))" check || tools/check-again.sh "$build"
}
run "unit and integration tests" unit_and_integration
run "Socket.IO through Limpet" tests/e2e/run.sh fast
run "the Node package for workers" sh -c 'cd contrib/node && node --test'

if [ -n "$failed" ]; then
	echo "check.sh: FAILED: ${failed#, }"
	exit 1
fi
echo "check.sh: all tests passed"
