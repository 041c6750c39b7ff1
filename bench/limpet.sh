# SPDX-License-Identifier: MIT
# Limpet as a contestant of the comparison harness: put this file into its contestants/ folder.
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

c_start() {
	$ONCPU "$BIN" -f "$DIR/limpet.yaml" >"$DIR/log" 2>&1 &
	echo $! > "$DIR/pid"
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
