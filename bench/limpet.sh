# SPDX-License-Identifier: MIT
# Limpet as a contestant of the comparison harness: put this file into its contestants/ folder.
# limpetctl is looked for beside the binary.  +NOSPLICE=1: bulk is copied.
: "${BIN:=/usr/local/sbin/limpet}"

c_supports() {
	[ "$SPLICE" = 0 ] || return 1 # it splices by itself when a flow is bulk
	case $STICK in hash) return 1 ;; esac
	[ "$MODE" = http ] || [ "$STICK" = none ] || return 1
	return 0
}

c_conf() {
	local i=0 srv stick="" proxy="" tls="" alpn=http/1.1
	[ "$H2" = 1 ] && alpn="h2, http/1.1"
	[ "$MODE" = tcp ] && alpn=""
	[ "$TLS" = none ] || tls=", tls: {certificates: \"$CERTS/$TLS.pem\"${alpn:+, alpn: [$alpn]}}"
	case $STICK in
	cookie) stick="stick: {cookie: {name: SRV, secret: bench}}" ;;
	table)  stick="stick: {engineio: {path: /, idle: 1h, max_entries: 1100k}}" ;;
	esac
	[ "$PP2" = 1 ] && proxy="send_proxy: v2"
	{
	echo "global:"
	echo "  threads: $THREADS"
	echo "  max_connections: $MAXCONN"
	[ "${NOSPLICE:-0}" = 1 ] && echo "  splice: false"
	echo "  log: {target: stderr, level: warn}"
	echo "  stats: {socket: \"unix:$DIR/cli.sock\"}"
	echo "defaults:"
	echo "  timeouts: {client_head: 60s, keep_alive: 300s, client: 300s, connect: 5s, server: 300s, tunnel: 300s}"
	echo "frontends:"
	echo "  f:"
	echo "    mode: $MODE"
	echo "    bind: {address: \"127.0.0.1:$PORT\", backlog: 16384$tls}"
	echo "    backend: b"
	[ "$MODE" = http ] && echo "    request_id: false"
	echo "backends:"
	echo "  b:"
	echo "    mode: $MODE"
	echo "    balance: round_robin"
	[ "$MODE" = http ] && echo "    forwarded: none"
	echo "    retries: 3"
	[ -n "$stick" ] && echo "    $stick"
	[ -n "$proxy" ] && echo "    $proxy"
	[ "$REUSE" = 0 ] && echo "    reuse: false"
	echo "    hosts:"
	for srv in $ORIGINS; do i=$((i + 1)); echo "      s$i: \"$srv\""; done
	} > "$DIR/limpet.yaml"
}

ctl() {
	local ctl=${BIN%/*}/limpetctl

	[ -x "$ctl" ] || ctl=limpetctl
	"$ctl" -s "$DIR/cli.sock" "$@" 2>/dev/null
}

# Limpet learns a session from its server's handshake, which the harness's servers do not make; so
# the sessions of "sticky" (?sid= and ten digits) are told it over the stats socket.
fill() {
	awk -v n="${ENTRIES:-1000000}" -v servers="$SERVERS" 'BEGIN {
		for (i = 0; i < n; i++)
			printf "set table b key %010d data.server_key s%d%s", i, i % servers + 1,
				i % 250 == 249 || i == n - 1 ? "\n" : ";"
	}' | ctl >/dev/null
}
cum_requests() { ctl show info | awk '/^CumReq:/ { n = $2 } END { print n + 0 }'; }

# "mem-table" looks at the memory before and after a million requests, and has made 2,000 before
# that: the table is filled beside the million, which take longer than that does.
fill_beside() {
	while [ "$(cum_requests)" -lt 2001 ]; do
		kill -0 "$(cat "$DIR/pid")" 2>/dev/null || return
		sleep 0.05
	done
	fill
}

c_start() {
	$ONCPU "$BIN" -f "$DIR/limpet.yaml" >"$DIR/log" 2>&1 &
	echo $! > "$DIR/pid"
	[ "$STICK" = table ] || return 0
	if [ "$S_TYPE" = memtable ]; then
		fill_beside &
		return 0
	fi
	while [ ! -S "$DIR/cli.sock" ] && kill -0 "$(cat "$DIR/pid")"; do sleep 0.02; done
	fill
	ctl show table | sed -n 's/^/# /p' | head -1
}
c_reload() { kill -HUP "$(cat "$DIR/pid")"; }
c_check() { "$BIN" -c -f "$1" >/dev/null 2>&1; }

# A big configuration: $1 backends of $2 servers, into $3.
c_big() {
	{
	echo "global: {threads: 1, max_connections: 2000, log: {target: stderr, level: warn}}"
	echo "frontends:"
	echo "  f:"
	echo "    bind: \"127.0.0.1:$PORT\""
	echo "    backend: b1"
	echo "    routes:"
	awk -v n="$1" 'BEGIN{for(i=1;i<=n;i++)printf "      - {match: {host: h%d.test}, backend: b%d}\n",i,i}'
	echo "backends:"
	awk -v n="$1" -v m="$2" 'BEGIN{for(i=1;i<=n;i++){printf "  b%d:\n    hosts:\n",i
		for(j=1;j<=m;j++)printf "      s%d: \"127.0.0.1:%d\"\n",j,9001+(i*m+j)%4}}'
	} > "$3"
	cp "$3" "$DIR/limpet.yaml"
}
