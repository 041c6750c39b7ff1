#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs the chat behind Limpet, until Ctrl-C:
#	./run.sh            on http://127.0.0.1:8080/
#	./run.sh --check    starts everything aside, lets 40 clients try it, says how it went, stops
#
# Environment: LIMPET (the program), PORT, RUN (directory of the sockets), WORKERS, GRACE, REDIS_URL, COOKIE_KEY.
set -eu

fail() {
	echo "run.sh: $*" >&2
	exit 1
}

find_limpet() {
	for each in "${LIMPET:-}" ./limpet "$here/../../limpet" "$(command -v limpet || true)"; do
		if [ -n "$each" ] && [ -x "$each" ] && [ ! -d "$each" ]; then
			echo "$(cd "$(dirname "$each")" && pwd)/$(basename "$each")"
			return
		fi
	done
}

# Asks both to end, gives them a while, and then does not ask any more.
stop() {
	status=$?
	trap - EXIT INT TERM
	trap '' HUP PIPE # nobody may be reading any more, the rest still has to be stopped
	for pid in $limpet_pid $cluster_pid; do
		kill -TERM "$pid" 2>/dev/null || true
	done
	for pid in $limpet_pid $cluster_pid; do
		tries=0
		while kill -0 "$pid" 2>/dev/null && [ $tries -lt $((10 * (GRACE + 6))) ]; do
			tries=$((tries + 1))
			sleep 0.1
		done
		kill -KILL "$pid" 2>/dev/null || true
	done
	if [ -n "$check" ]; then
		[ $status -eq 0 ] || tail -n 20 "$RUN/cluster.log" "$RUN/limpet.log" 2>/dev/null || true
		rm -rf "$RUN"
	fi
	exit $status
}

sockets() {
	set -- "$RUN"/*.sock
	if [ -e "$1" ]; then echo $#; else echo 0; fi
}

check=
case "${1:-}" in
--check) check=yes ;;
'') ;;
*) fail "usage: run.sh [--check]" ;;
esac

here=$(cd "$(dirname "$0")" && pwd)
limpet=$(find_limpet)
[ -n "$limpet" ] || fail "no limpet program: build it, or set LIMPET to where it is"
command -v node >/dev/null || fail "node is not installed (18.2 or newer)"
cd "$here"
[ -d node_modules/socket.io ] && [ -d node_modules/socket.io-client ] ||
	npm ci --include=dev --no-audit --no-fund >&2 || fail "npm ci failed"

if [ -n "$check" ]; then
	RUN=$(mktemp -d "${TMPDIR:-/tmp}/limpet-chat.XXXXXX")
	WORKERS=${WORKERS:-4}
	GRACE=1
	PORT=${PORT:-$(node -e 'const s = require("net").createServer().listen(0, () => { console.log(s.address().port); s.close(); });')}
fi
RUN=${RUN:-/tmp/limpet-chat}
PORT=${PORT:-8080}
WORKERS=${WORKERS:-$(node -p 'os.cpus().length')}
GRACE=${GRACE:-10}
COOKIE_KEY=${COOKIE_KEY:-$(node -p 'crypto.randomBytes(24).toString("hex")')}
export RUN PORT WORKERS GRACE COOKIE_KEY
mkdir -p "$RUN"

limpet_pid=
cluster_pid=
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
trap 'exit 141' PIPE

if [ -n "$check" ]; then
	node server.js >"$RUN/cluster.log" 2>&1 &
	cluster_pid=$!
	"$limpet" -f limpet.yaml >"$RUN/limpet.log" 2>&1 &
	limpet_pid=$!
else
	node server.js &
	cluster_pid=$!
	"$limpet" -f limpet.yaml &
	limpet_pid=$!
fi

tries=0
while [ "$(sockets)" -lt "$WORKERS" ]; do
	kill -0 $cluster_pid 2>/dev/null || fail "the cluster ended"
	tries=$((tries + 1))
	[ $tries -lt 200 ] || fail "only $(sockets) of $WORKERS workers are up"
	sleep 0.1
done
node check.js --wait "http://127.0.0.1:$PORT" 20 || fail "nothing answers on port $PORT"
kill -0 $limpet_pid 2>/dev/null || fail "limpet ended"

if [ -n "$check" ]; then
	echo "Limpet on port $PORT, $WORKERS workers:"
	if node check.js "http://127.0.0.1:$PORT"; then
		echo "PASS: the chat works behind Limpet"
	else
		echo "FAIL: the chat does not work as it should"
		exit 1
	fi
else
	echo "Limpet chat: http://127.0.0.1:$PORT/   (Ctrl-C ends it)"
	while kill -0 $limpet_pid 2>/dev/null && kill -0 $cluster_pid 2>/dev/null; do
		sleep 1
	done
	fail "one of the two ended"
fi
