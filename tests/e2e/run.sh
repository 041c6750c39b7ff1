#!/bin/sh
# SPDX-License-Identifier: MIT
# End-to-end tests of Limpet with real Socket.IO servers and clients.
#
#   tests/e2e/run.sh [fast|full] [suite...]      suites: matrix keepalive handshake conformance failure metrics rolling
#                                                pair pair-failover browser http2 dashboard
#
# LIMPET=/path/to/limpet   the binary (default: limpet at the top of the tree, then build/limpet)
# E2E_SLACK=3              stretches time limits for sanitizer builds and busy machines
# E2E_SESSIONS=N           sessions per cell of the matrix
# E2E_PROXY=reference      runs against lib/relay.mjs instead: what the tests accept; =control: what they refuse
# E2E_AGAIN=1              a suite that fails runs once more, unless a sanitizer has spoken
# E2E_KEEP=1               keeps temporary directories and the log of a limpet that failed
set -u
cd "$(dirname "$0")" || exit 2
export E2E_MODE=fast
case ${1:-} in
fast|full) E2E_MODE=$1; shift ;;
esac
suites=${*:-matrix keepalive handshake conformance failure metrics rolling pair pair-failover browser http2 dashboard}

if ! command -v node >/dev/null; then
	echo "1..0 # SKIP node is not installed"
	exit 0
fi
if [ ! -d node_modules/socket.io ] || [ package.json -nt node_modules ]; then
	if ! npm ci --no-audit --no-fund --loglevel=error >npm.log 2>&1; then
		cat npm.log >&2
		echo "1..0 # SKIP the npm packages of tests/e2e are not installed and cannot be fetched (offline?)"
		exit 0
	fi
	touch node_modules
fi
if [ "${E2E_PROXY:-limpet}" = limpet ] && [ -z "${LIMPET:-}" ] && [ ! -x ../../limpet ] && [ ! -x ../../build/limpet ]; then
	echo "Bail out! no limpet binary: run make first, or set LIMPET=/path/to/limpet" >&2
	exit 2
fi

# Closed polling sessions hold a timer of half a minute in engine.io; do not wait for those.
force=
case $(node --help) in
*--test-force-exit*) force=--test-force-exit ;;
esac

passed=0 failed=0 skipped=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT
# One suite; its report is in $out.  Fails unless every case passed.
run_suite() { # SUITE
	echo "# suite $1 ($E2E_MODE)"
	# Machines of its own, on a wire that nobody else sees.
	case $suite in
	pair-failover) enter="unshare --net env E2E_NET=private" ;;
	*) enter= ;;
	esac
	# shellcheck disable=SC2086 # lists of words
	timeout "${E2E_SUITE_LIMIT:-600}" $enter node $force --test-reporter=tap "$1.mjs" >"$out" 2>&1
	status=$?
	p=$(sed -n 's/^# pass //p' "$out" | tail -n 1)
	f=$(sed -n 's/^# fail //p' "$out" | tail -n 1)
	c=$(sed -n 's/^# cancelled //p' "$out" | tail -n 1)
	s=$(sed -n 's/^# skipped //p' "$out" | tail -n 1)
	# The runner does not count what a suite says at its end: how limpet ended, sanitizer reports.
	h=$(grep -c "failureType: 'hookFailed'" "$out")
	f=$((${f:-0} + ${c:-0} + h))
	[ "$status" -eq 0 ] && [ "$f" -eq 0 ]
}

for suite in $suites; do
	# With E2E_AGAIN=1 a suite may fail once (doc/decisions/0018-check-again.md).
	if ! run_suite "$suite" && [ -n "${E2E_AGAIN:-}" ] &&
		! grep -qE 'Sanitizer|runtime error: |BUG at' "$out"; then
		sed 's/^/first| /' "$out"
		if run_suite "$suite"; then
			echo "# AGAIN: 0 (the suite $suite passed at the second attempt)"
		fi
	fi
	cat "$out"
	passed=$((passed + ${p:-0}))
	failed=$((failed + f))
	skipped=$((skipped + ${s:-0}))
	if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
		echo "not ok - suite $suite ended with status $status"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
