/* SPDX-License-Identifier: MIT */
/* Field lines, Host, Connection, Upgrade and Expect of requests. */
#include "config.h"

#include "http1_replay.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define GET "GET / HTTP/1.1\r\n"
/* FIELDS in an otherwise good head. */
#define FIELDS(fields) STR_INIT(GET "Host: a\r\n" fields "\r\n\r\n")
#define HOST(value)    STR_INIT(GET "Host: " value "\r\n\r\n")
#define OK             .want = "GET a / - none ka"

static void field_lines_are_read(void **state)
{
	static const struct head_row rows[] = {
		{ "no space after the colon", FIELDS("A:b"), OK, .fields = "Host=a A=b" },
		{ "white space around", FIELDS("A: \t b c\t \t"), OK, .fields = "Host=a A=b c" },
		{ "empty value", FIELDS("A:"), OK, .fields = "Host=a A=" },
		{ "only white space", FIELDS("A: \t "), OK, .fields = "Host=a A=" },
		{ "tab within", FIELDS("A: b\tc"), OK, .fields = "Host=a A=b\tc" },
		{ "high bytes", FIELDS("A: \x80\xff\xc3\xa4"), OK,
		  .fields = "Host=a A=\x80\xff\xc3\xa4" },
		{ "colons in the value", FIELDS("A: :b: c"), OK, .fields = "Host=a A=:b: c" },
		{ "all of a token", FIELDS("!#$%&'*+-.^_`|~aZ09: x"), OK,
		  .fields = "Host=a !#$%&'*+-.^_`|~aZ09=x" },
		{ "underscore", FIELDS("Content_Length: 5"), OK,
		  .fields = "Host=a Content_Length=5" },
		{ "long name", FIELDS("Abcdefghijklmnopqrstuvwxyz-Abcdefghijk: x"), OK,
		  .fields = "Host=a Abcdefghijklmnopqrstuvwxyz-Abcdefghijk=x" },
		{ "twice", FIELDS("A: 1\r\nA: 2"), OK, .fields = "Host=a A=1 A=2" },
		{ "control picture of a long value, tabs at each end of a word",
		  FIELDS("A: 0123456789abcde\t0123456789abcdef\t0123456789abcdef"), OK,
		  .fields = "Host=a A=0123456789abcde\t0123456789abcdef\t0123456789abcdef" },
	};

	(void)state;
	replay_requests(rows, ARRAY_N(rows));
}

static const struct head_row bad_lines[] = {
	{ "space before the colon", FIELDS("A : b"), HTTP1_BAD_FIELD_SPACE },
	{ "tab before the colon", FIELDS("A\t: b"), HTTP1_BAD_FIELD_SPACE },
	{ "space before the colon of a length", FIELDS("Content-Length : 5"),
	  HTTP1_BAD_FIELD_SPACE },
	{ "space before the colon of a coding", FIELDS("Transfer-Encoding : chunked"),
	  HTTP1_BAD_FIELD_SPACE },
	{ "space in the name", FIELDS("Content Length: 5"), HTTP1_BAD_FIELD_SPACE },
	{ "no colon", FIELDS("Foo"), HTTP1_BAD_FIELD_NAME },
	{ "no colon, with a word", FIELDS("Foo bar"), HTTP1_BAD_FIELD_SPACE },
	{ "empty name", FIELDS(": b"), HTTP1_BAD_FIELD_NAME },
	{ "first field folded", STR_INIT(GET " Host: a\r\n\r\n"), HTTP1_BAD_FOLDING },
	{ "first field tabbed", STR_INIT(GET "\tHost: a\r\n\r\n"), HTTP1_BAD_FOLDING },
	{ "folded", FIELDS("A: b\r\n c"), HTTP1_BAD_FOLDING },
	{ "folded by a tab", FIELDS("A: b\r\n\tc"), HTTP1_BAD_FOLDING },
	{ "folded coding", FIELDS("Transfer-Encoding:\r\n chunked"), HTTP1_BAD_TRANSFER_CODING },
	{ "folded coding of an unknown field", FIELDS("X:\r\n chunked"), HTTP1_BAD_FOLDING },
	{ "white line", FIELDS("A: b\r\n "), HTTP1_BAD_FOLDING },
	{ "LF ends the line", FIELDS("A: b\nC: d"), HTTP1_BAD_LINE_END },
	{ "CR ends the line", FIELDS("A: b\rC: d"), HTTP1_BAD_LINE_END },
	{ "CR CR LF", FIELDS("A: b\r"), HTTP1_BAD_LINE_END },
	{ "LF before CR LF", FIELDS("A: b\n"), HTTP1_BAD_LINE_END },
	{ "LF CR", FIELDS("A: b\n\rC: d"), HTTP1_BAD_LINE_END },
	{ "LF alone at the end", STR_INIT(GET "Host: a\r\n\n"), HTTP1_BAD_LINE_END },
	{ "CR alone at the end", STR_INIT(GET "Host: a\r\n\rx"), HTTP1_BAD_LINE_END },
	{ "CR first in a line", FIELDS("\rA: b"), HTTP1_BAD_LINE_END },
	{ "CR in the name", FIELDS("A\r: b"), HTTP1_BAD_FIELD_NAME },
	{ "LF in the name", FIELDS("A\n: b"), HTTP1_BAD_LINE_END },
	{ "NUL in the name", FIELDS("A\0: b"), HTTP1_BAD_BYTE },
	{ "NUL first in a line", FIELDS("\0A: b"), HTTP1_BAD_BYTE },
	{ "NUL in the value", FIELDS("A: b\0c"), HTTP1_BAD_BYTE },
	{ "NUL last in the value", FIELDS("A: b\0"), HTTP1_BAD_BYTE },
	{ "vertical tab before the value", FIELDS("A:\vb"), HTTP1_BAD_BYTE },
	{ "form feed behind the value", FIELDS("A: b\f"), HTTP1_BAD_BYTE },
	{ "escape", FIELDS("A: \x1b[0m"), HTTP1_BAD_BYTE },
	{ "DEL", FIELDS("A: \x7f"), HTTP1_BAD_BYTE },
	{ "DEL in the name", FIELDS("A\x7f: b"), HTTP1_BAD_BYTE },
	{ "vertical tab before the colon", FIELDS("A\v: b"), HTTP1_BAD_BYTE },
	{ "control in a long value",
	  FIELDS("A: 0123456789abcdef0123456789abcdef0123456789abcdef\1"
		 "0123456789abcdef0123456789abcdef"),
	  HTTP1_BAD_BYTE },
	{ "control in a long name", FIELDS("Abcdefghijklmnopqrstuvwxyz-\1bcdefghijklmnopqr: x"),
	  HTTP1_BAD_BYTE },
	{ "high byte in the name", FIELDS("\xc3\xa4: b"), HTTP1_BAD_FIELD_NAME },
	{ "quote in the name", FIELDS("\"A\": b"), HTTP1_BAD_FIELD_NAME },
	{ "paren in the name", FIELDS("A(b): c"), HTTP1_BAD_FIELD_NAME },
	{ "slash in the name", FIELDS("A/b: c"), HTTP1_BAD_FIELD_NAME },
	{ "at sign in the name", FIELDS("A@b: c"), HTTP1_BAD_FIELD_NAME },
	{ "comma in the name", FIELDS("A,b: c"), HTTP1_BAD_FIELD_NAME },
	{ "brackets in the name", FIELDS("A[0]: c"), HTTP1_BAD_FIELD_NAME },
	{ "braces in the name", FIELDS("A{0}: c"), HTTP1_BAD_FIELD_NAME },
	{ "equals in the name", FIELDS("A=b: c"), HTTP1_BAD_FIELD_NAME },
	{ "semicolon in the name", FIELDS("A;b: c"), HTTP1_BAD_FIELD_NAME },
	{ "angle in the name", FIELDS("<A>: c"), HTTP1_BAD_FIELD_NAME },
	{ "backslash in the name", FIELDS("A\\: c"), HTTP1_BAD_FIELD_NAME },
	{ "the first of two mistakes counts", FIELDS("A : b\r\nC: \1"), HTTP1_BAD_FIELD_SPACE },
};

static void bad_field_lines_are_refused(void **state)
{
	(void)state;
	replay_requests(bad_lines, ARRAY_N(bad_lines));
}

static void good_hosts_are_taken(void **state)
{
	static const struct head_row rows[] = {
		{ "port", HOST("a:80"), .want = "GET a:80 / - none ka" },
		{ "largest port", HOST("a:65535"), .want = "GET a:65535 / - none ka" },
		{ "labels", HOST("www.Example.COM"), .want = "GET www.Example.COM / - none ka" },
		{ "dot at the end", HOST("a.b.:80"), .want = "GET a.b.:80 / - none ka" },
		{ "underscore", HOST("my_app"), .want = "GET my_app / - none ka" },
		{ "IPv4", HOST("10.0.0.1:80"), .want = "GET 10.0.0.1:80 / - none ka" },
		{ "IPv6", HOST("[2001:db8::1]"), .want = "GET [2001:db8::1] / - none ka" },
		{ "IPv6 with port", HOST("[::1]:80"), .want = "GET [::1]:80 / - none ka" },
		{ "IPv4 in IPv6", HOST("[::ffff:1.2.3.4]"),
		  .want = "GET [::ffff:1.2.3.4] / - none ka" },
		{ "escaped", HOST("a%2db"), .want = "GET a%2db / - none ka" },
		{ "white space around", HOST("\t a \t"), .want = "GET a / - none ka" },
		{ "name in other case", STR_INIT(GET "hOST: a\r\n\r\n"), OK },
		{ "last field", STR_INIT(GET "A: b\r\nHost: a\r\n\r\n"), OK },
		{ "empty in 1.0", STR_INIT("GET / HTTP/1.0\r\nHost: \r\n\r\n"),
		  .want = "GET  / - none 1.0" },
	};

	(void)state;
	replay_requests(rows, ARRAY_N(rows));
}

static void bad_hosts_are_refused(void **state)
{
	static const struct head_row rows[] = {
		{ "none", STR_INIT(GET "A: b\r\n\r\n"), HTTP1_NO_HOST },
		{ "none at all", STR_INIT(GET "\r\n"), HTTP1_NO_HOST },
		{ "another name", STR_INIT(GET "Hosts: a\r\n\r\n"), HTTP1_NO_HOST },
		{ "two", FIELDS("Host: b"), HTTP1_TWO_HOSTS },
		{ "two alike", FIELDS("Host: a"), HTTP1_TWO_HOSTS },
		{ "two in other case", FIELDS("A: b\r\nhost: a"), HTTP1_TWO_HOSTS },
		{ "two in 1.0", STR_INIT("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"),
		  HTTP1_TWO_HOSTS },
		{ "empty", HOST(""), HTTP1_BAD_HOST },
		{ "white", HOST("  "), HTTP1_BAD_HOST },
		{ "list", HOST("a, b"), HTTP1_BAD_HOST },
		{ "comma", HOST("a,b"), HTTP1_BAD_HOST },
		{ "space", HOST("a b"), HTTP1_BAD_HOST },
		{ "user", HOST("u@a"), HTTP1_BAD_HOST },
		{ "user and password", HOST("u:p@a:80"), HTTP1_BAD_HOST },
		{ "path", HOST("a/b"), HTTP1_BAD_HOST },
		{ "query", HOST("a?b"), HTTP1_BAD_HOST },
		{ "fragment", HOST("a#b"), HTTP1_BAD_HOST },
		{ "backslash", HOST("a\\b"), HTTP1_BAD_HOST },
		{ "URL", HOST("http://a"), HTTP1_BAD_HOST },
		{ "port of letters", HOST("a:http"), HTTP1_BAD_HOST },
		{ "port and letters", HOST("a:80x"), HTTP1_BAD_HOST },
		{ "empty port", HOST("a:"), HTTP1_BAD_HOST },
		{ "port 0", HOST("a:0"), HTTP1_BAD_HOST },
		{ "port too large", HOST("a:65536"), HTTP1_BAD_HOST },
		{ "port far too large", HOST("a:18446744073709551696"), HTTP1_BAD_HOST },
		{ "port with zeros before", HOST("a:000080"), HTTP1_BAD_HOST },
		{ "negative port", HOST("a:-1"), HTTP1_BAD_HOST },
		{ "two ports", HOST("a:80:80"), HTTP1_BAD_HOST },
		{ "port alone", HOST(":80"), HTTP1_BAD_HOST },
		{ "bare IPv6", HOST("::1"), HTTP1_BAD_HOST },
		{ "bare IPv6 ending in letters", HOST("fe80::a"), HTTP1_BAD_HOST },
		{ "open bracket", HOST("[::1"), HTTP1_BAD_HOST },
		{ "closed bracket", HOST("::1]"), HTTP1_BAD_HOST },
		{ "empty brackets", HOST("[]"), HTTP1_BAD_HOST },
		{ "name in brackets", HOST("[a]"), HTTP1_BAD_HOST },
		{ "behind the bracket", HOST("[::1]a"), HTTP1_BAD_HOST },
		{ "digits behind the bracket", HOST("[::1]80"), HTTP1_BAD_HOST },
		{ "zone", HOST("[fe80::1%25eth0]"), HTTP1_BAD_HOST },
		{ "future address", HOST("[v1.a]"), HTTP1_BAD_HOST },
		{ "bad escape", HOST("a%2"), HTTP1_BAD_HOST },
		{ "bad escape digits", HOST("a%zz"), HTTP1_BAD_HOST },
		{ "high byte", HOST("\xc3\xa4"), HTTP1_BAD_HOST },
		{ "quotes", HOST("\"a\""), HTTP1_BAD_HOST },
		{ "angle", HOST("<a>"), HTTP1_BAD_HOST },
		{ "bad in 1.0 too", STR_INIT("GET / HTTP/1.0\r\nHost: a b\r\n\r\n"),
		  HTTP1_BAD_HOST },
	};

	(void)state;
	replay_requests(rows, ARRAY_N(rows));
}

static const struct head_row connections[] = {
	{ "close", FIELDS("Connection: close"), .want = "GET a / - none",
	  .fields = "Host=a !Connection=close" },
	{ "close in other case", FIELDS("connection: CLOSE"), .want = "GET a / - none" },
	{ "keep-alive", FIELDS("Connection: keep-alive"), OK },
	{ "close wins", FIELDS("Connection: keep-alive, close"), .want = "GET a / - none" },
	{ "close in a second field", FIELDS("Connection: x\r\nConnection: close"),
	  .want = "GET a / - none" },
	{ "1.0 keep-alive", STR_INIT("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"),
	  .want = "GET - / - none 1.0 ka" },
	{ "Proxy-Connection says nothing",
	  STR_INIT("GET / HTTP/1.0\r\nProxy-Connection: keep-alive\r\n\r\n"),
	  .want = "GET - / - none 1.0" },
	{ "named before and behind", FIELDS("X-A: 1\r\nConnection: x-a , x-b\r\nX-B: 2"), OK,
	  .fields = "Host=a !X-A=1 !Connection=x-a , x-b !X-B=2" },
	{ "named twice there", FIELDS("Connection: a\r\nA: 1\r\nB: 2\r\na: 3"), OK,
	  .fields = "Host=a !Connection=a !A=1 B=2 !a=3" },
	{ "empty elements", FIELDS("Connection: ,, a ,\r\nA: 1"), OK,
	  .fields = "Host=a !Connection=,, a , !A=1" },
	{ "empty", FIELDS("Connection:"), OK },
	{ "a known field", FIELDS("Connection: user-agent\r\nUser-Agent: x"), OK,
	  .fields = "Host=a !Connection=user-agent !User-Agent=x" },
	{ "kept: host", FIELDS("Connection: host"), OK, .fields = "Host=a !Connection=host" },
	{ "kept: length", FIELDS("Connection: content-length\r\nContent-Length: 5"),
	  .want = "GET a / - len=5 ka",
	  .fields = "Host=a !Connection=content-length Content-Length=5" },
	{ "coding counts though named",
	  FIELDS("Connection: transfer-encoding\r\nTransfer-Encoding: chunked"),
	  .want = "GET a / - chunked ka" },
	{ "kept: cookie and the client's address",
	  FIELDS("Connection: cookie, x-forwarded-for, forwarded, x-request-id\r\n"
		 "Cookie: a=b\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=a"),
	  OK,
	  .fields = "Host=a !Connection=cookie, x-forwarded-for, forwarded, x-request-id "
		    "Cookie=a=b X-Forwarded-For=1.2.3.4 Forwarded=for=a" },
	{ "hop-by-hop by themselves",
	  FIELDS("Keep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nUpgrade: h2c\r\n"
		 "HTTP2-Settings: AA"),
	  OK,
	  .fields = "Host=a !Keep-Alive=5 !Proxy-Connection=x !TE=trailers !Upgrade=h2c "
		    "!HTTP2-Settings=AA" },
	{ "end-to-end", FIELDS("Trailer: x\r\nProxy-Authorization: Basic x\r\nX-Upgrade: y"), OK,
	  .fields = "Host=a Trailer=x Proxy-Authorization=Basic x X-Upgrade=y" },
	{ "no token", FIELDS("Connection: a b"), HTTP1_BAD_CONNECTION },
	{ "quoted", FIELDS("Connection: \"close\""), HTTP1_BAD_CONNECTION },
	{ "with parameter", FIELDS("Connection: close;x"), HTTP1_BAD_CONNECTION },
	{ "high byte", FIELDS("Connection: \xff"), HTTP1_BAD_CONNECTION },
	{ "32 options",
	  FIELDS("Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p\r\n"
		 "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p"),
	  OK },
	{ "33 options",
	  FIELDS("Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p\r\n"
		 "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"),
	  HTTP1_BAD_CONNECTION },
};

static void connection_decides_persistence_and_hops(void **state)
{
	(void)state;
	replay_requests(connections, ARRAY_N(connections));
}

#define UPGRADE "Connection: Upgrade\r\nUpgrade: websocket"
#define WS      .want = "GET a / - none ka up ws"

static void websocket_upgrades_are_seen(void **state)
{
	static const struct head_row rows[] = {
		{ "plain", FIELDS(UPGRADE), WS,
		  .fields = "Host=a !Connection=Upgrade !Upgrade=websocket" },
		{ "other case", FIELDS("connection: UPGRADE\r\nupgrade: WebSocket"), WS },
		{ "Firefox", FIELDS("Connection: keep-alive, Upgrade\r\nUpgrade: websocket"), WS },
		{ "among others", FIELDS("Connection: Upgrade\r\nUpgrade: h2c, websocket"), WS },
		{ "in a second field",
		  FIELDS("Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket"), WS },
		{ "with a length of zero", FIELDS(UPGRADE "\r\nContent-Length: 0"),
		  .want = "GET a / - none ka up ws cl=0" },
		{ "h2c", FIELDS("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c"),
		  .want = "GET a / - none ka up" },
		{ "not named by Connection", FIELDS("Upgrade: websocket"), OK },
		{ "no Upgrade", FIELDS("Connection: upgrade"), .want = "GET a / - none ka up" },
		{ "another word", FIELDS("Connection: Upgrade\r\nUpgrade: websockets"),
		  .want = "GET a / - none ka up" },
		{ "with a version", FIELDS("Connection: Upgrade\r\nUpgrade: websocket/13"),
		  .want = "GET a / - none ka up" },
		{ "1.0", STR_INIT("GET / HTTP/1.0\r\n" UPGRADE "\r\n\r\n"),
		  .want = "GET - / - none 1.0 up" },
		{ "POST", STR_INIT("POST / HTTP/1.1\r\nHost: a\r\n" UPGRADE "\r\n\r\n"),
		  .want = "POST a / - none ka up" },
		{ "with a body", FIELDS(UPGRADE "\r\nContent-Length: 1"),
		  .want = "GET a / - len=1 ka up" },
		{ "with a chunked body", FIELDS(UPGRADE "\r\nTransfer-Encoding: chunked"),
		  .want = "GET a / - chunked ka up" },
	};

	(void)state;
	replay_requests(rows, ARRAY_N(rows));
}

static void expectations_are_seen(void **state)
{
	static const struct head_row rows[] = {
		{ "plain", FIELDS("Expect: 100-continue\r\nContent-Length: 5"),
		  .want = "GET a / - len=5 ka exp" },
		{ "other case", FIELDS("expect: 100-Continue"), .want = "GET a / - none ka exp" },
		{ "ignored in 1.0", STR_INIT("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"),
		  .want = "GET - / - none 1.0" },
		{ "any is ignored in 1.0", STR_INIT("GET / HTTP/1.0\r\nExpect: x\r\n\r\n"),
		  .want = "GET - / - none 1.0" },
		{ "another", FIELDS("Expect: 200-ok"), HTTP1_BAD_EXPECT },
		{ "empty", FIELDS("Expect:"), HTTP1_BAD_EXPECT },
		{ "more", FIELDS("Expect: 100-continue, x"), HTTP1_BAD_EXPECT },
		{ "parameter", FIELDS("Expect: 100-continue;q=1"), HTTP1_BAD_EXPECT },
	};

	(void)state;
	replay_requests(rows, ARRAY_N(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(field_lines_are_read),
		cmocka_unit_test(bad_field_lines_are_refused),
		cmocka_unit_test(good_hosts_are_taken),
		cmocka_unit_test(bad_hosts_are_refused),
		cmocka_unit_test(connection_decides_persistence_and_hops),
		cmocka_unit_test(websocket_upgrades_are_seen),
		cmocka_unit_test(expectations_are_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
