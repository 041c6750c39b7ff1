/* SPDX-License-Identifier: MIT */
/* Request lines, targets, limits: what is taken, and what is refused and why. */
#include "config.h"

#include "http1_replay.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A request line in an otherwise good head. */
#define LINE(line)     STR_INIT(line "\r\nHost: a\r\n\r\n")
#define TARGET(target) LINE("GET " target " HTTP/1.1")
#define X50            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X500           X50 X50 X50 X50 X50 X50 X50 X50 X50 X50

static void request_lines_are_read(void **state)
{
	static const struct head_row rows[] = {
		{ "plain", LINE("GET / HTTP/1.1"), .want = "GET a / - none ka",
		  .fields = "Host=a" },
		{ "1.0", LINE("GET / HTTP/1.0"), .want = "GET a / - none 1.0" },
		{ "1.0 without Host", STR_INIT("GET / HTTP/1.0\r\n\r\n"),
		  .want = "GET - / - none 1.0" },
		{ "query", LINE("GET /socket.io/?EIO=4&sid=abc HTTP/1.1"),
		  .want = "GET a /socket.io/ ?EIO=4&sid=abc none ka" },
		{ "empty query", LINE("GET /? HTTP/1.1"), .want = "GET a / ? none ka" },
		{ "second mark belongs to the query", LINE("GET /?a?b HTTP/1.1"),
		  .want = "GET a / ?a?b none ka" },
		{ "one empty line before", LINE("\r\nGET / HTTP/1.1"),
		  .want = "GET a / - none ka" },
		{ "what follows is not ours", STR_INIT("GET / HTTP/1.1\r\nHost: a\r\n\r\n\1\2\3"),
		  .want = "GET a / - none ka" },
		{ "pipelined", STR_INIT("GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\n"),
		  .want = "GET a / - none ka" },
		{ "POST", LINE("POST / HTTP/1.1"), .want = "POST a / - none ka" },
		{ "lower case is another method", LINE("get / HTTP/1.1"),
		  .want = "get a / - none ka" },
		{ "odd method", LINE("!#$%&'*+-.^_`|~09azAZ / HTTP/1.1"),
		  .want = "!#$%&'*+-.^_`|~09azAZ a / - none ka" },
		{ "method of 32", LINE("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1"),
		  .want = "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF a / - none ka" },
		{ "nothing", STR_INIT(""), NULL },
		{ "no end", STR_INIT("GET / HTTP/1.1\r\nHost: a\r\n"), NULL },
		{ "only an empty line", STR_INIT("\r\n"), NULL },
	};

	(void)state;
	replay_requests(rows, ARRAY_N(rows));
}

static void bad_request_lines_are_refused(void **state)
{
	static const struct head_row rows[] = {
		{ "two empty lines before", LINE("\r\n\r\nGET / HTTP/1.1"),
		  HTTP1_BAD_REQUEST_LINE },
		{ "LF before", LINE("\nGET / HTTP/1.1"), HTTP1_BAD_LINE_END },
		{ "CR before", LINE("\rGET / HTTP/1.1"), HTTP1_BAD_LINE_END },
		{ "space before", LINE(" GET / HTTP/1.1"), HTTP1_BAD_REQUEST_LINE },
		{ "tab before", LINE("\tGET / HTTP/1.1"), HTTP1_BAD_REQUEST_LINE },
		{ "two spaces", LINE("GET  / HTTP/1.1"), HTTP1_BAD_REQUEST_LINE },
		{ "two spaces later", LINE("GET /  HTTP/1.1"), HTTP1_BAD_REQUEST_LINE },
		{ "tab between", LINE("GET\t/ HTTP/1.1"), HTTP1_BAD_REQUEST_LINE },
		{ "tab later", LINE("GET /\tHTTP/1.1"), HTTP1_BAD_TARGET },
		{ "vertical tab", LINE("GET\v/ HTTP/1.1"), HTTP1_BAD_BYTE },
		{ "form feed", LINE("GET /\f HTTP/1.1"), HTTP1_BAD_BYTE },
		{ "space after", LINE("GET / HTTP/1.1 "), HTTP1_BAD_REQUEST_LINE },
		{ "word after", LINE("GET / HTTP/1.1 x"), HTTP1_BAD_REQUEST_LINE },
		{ "space in the target", LINE("GET /a b HTTP/1.1"), HTTP1_BAD_REQUEST_LINE },
		{ "HTTP/0.9", LINE("GET /"), HTTP1_BAD_REQUEST_LINE },
		{ "method alone", LINE("GET"), HTTP1_BAD_REQUEST_LINE },
		{ "no target", LINE("GET HTTP/1.1"), HTTP1_BAD_REQUEST_LINE },
		{ "LF after", STR_INIT("GET / HTTP/1.1\nHost: a\r\n\r\n"), HTTP1_BAD_LINE_END },
		{ "LF all through", STR_INIT("GET / HTTP/1.1\nHost: a\n\n"), HTTP1_BAD_LINE_END },
		{ "CR after", STR_INIT("GET / HTTP/1.1\rHost: a\r\n\r\n"), HTTP1_BAD_LINE_END },
		{ "CR CR LF", STR_INIT("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"), HTTP1_BAD_LINE_END },
		{ "CR in the target", LINE("GET /\rx HTTP/1.1"), HTTP1_BAD_REQUEST_LINE },
		{ "LF in the target", LINE("GET /\nx HTTP/1.1"), HTTP1_BAD_LINE_END },
		{ "LF in the method", LINE("GE\nT / HTTP/1.1"), HTTP1_BAD_LINE_END },
		{ "NUL first", LINE("\0GET / HTTP/1.1"), HTTP1_BAD_BYTE },
		{ "NUL in the method", LINE("GE\0T / HTTP/1.1"), HTTP1_BAD_BYTE },
		{ "NUL in the target", LINE("GET /a\0b HTTP/1.1"), HTTP1_BAD_BYTE },
		{ "NUL in the version", LINE("GET / HTTP\0/1.1"), HTTP1_BAD_BYTE },
		{ "NUL after the version", LINE("GET / HTTP/1.1\0"), HTTP1_BAD_BYTE },
		{ "DEL in the target", LINE("GET /\x7f HTTP/1.1"), HTTP1_BAD_BYTE },
		{ "at sign in the method", LINE("G@T / HTTP/1.1"), HTTP1_BAD_METHOD },
		{ "colon in the method", LINE("GET: / HTTP/1.1"), HTTP1_BAD_METHOD },
		{ "high byte in the method", LINE("G\xc3\x8bT / HTTP/1.1"), HTTP1_BAD_METHOD },
		{ "method of 33", LINE("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1"),
		  HTTP1_BAD_METHOD },
		{ "endless method", STR_INIT(X500), HTTP1_BAD_METHOD },
		{ "TLS", STR_INIT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), HTTP1_BAD_BYTE },
		{ "SSL 2", STR_INIT("\x80\x2e\x01\x00\x02"), HTTP1_BAD_METHOD },
		{ "PROXY v1", STR_INIT("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"),
		  HTTP1_BAD_REQUEST_LINE },
		{ "PROXY v2", STR_INIT("\r\n\r\n\0\r\nQUIT\n"), HTTP1_BAD_REQUEST_LINE },
		{ "SSH", STR_INIT("SSH-2.0-OpenSSH_9.2\r\n"), HTTP1_BAD_REQUEST_LINE },
		{ "a response", STR_INIT("HTTP/1.1 200 OK\r\n\r\n"), HTTP1_BAD_METHOD },
		{ "CONNECT", LINE("CONNECT a:443 HTTP/1.1"), HTTP1_NO_CONNECT },
		{ "CONNECT of a path", LINE("CONNECT / HTTP/1.1"), HTTP1_NO_CONNECT },
	};

	(void)state;
	replay_requests(rows, ARRAY_N(rows));
}

static void versions_other_than_1_0_and_1_1_are_refused(void **state)
{
	static const struct head_row rows[] = {
		{ "HTTP/2 preface", STR_INIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		  HTTP1_BAD_VERSION },
		{ "0.9", LINE("GET / HTTP/0.9"), HTTP1_BAD_VERSION },
		{ "1.2", LINE("GET / HTTP/1.2"), HTTP1_BAD_VERSION },
		{ "1.9", LINE("GET / HTTP/1.9"), HTTP1_BAD_VERSION },
		{ "2.1", LINE("GET / HTTP/2.1"), HTTP1_BAD_VERSION },
		{ "3.0", LINE("GET / HTTP/3.0"), HTTP1_BAD_VERSION },
		{ "1.10", LINE("GET / HTTP/1.10"), HTTP1_BAD_REQUEST_LINE },
		{ "01.1", LINE("GET / HTTP/01.1"), HTTP1_BAD_REQUEST_LINE },
		{ "11.1", LINE("GET / HTTP/11.1"), HTTP1_BAD_REQUEST_LINE },
		{ "2", LINE("GET / HTTP/2"), HTTP1_BAD_REQUEST_LINE },
		{ "1.", LINE("GET / HTTP/1."), HTTP1_BAD_REQUEST_LINE },
		{ ".1", LINE("GET / HTTP/.1"), HTTP1_BAD_REQUEST_LINE },
		{ "1,1", LINE("GET / HTTP/1,1"), HTTP1_BAD_REQUEST_LINE },
		{ "1.x", LINE("GET / HTTP/1.x"), HTTP1_BAD_REQUEST_LINE },
		{ "-1.1", LINE("GET / HTTP/-1.1"), HTTP1_BAD_REQUEST_LINE },
		{ "lower case", LINE("GET / http/1.1"), HTTP1_BAD_REQUEST_LINE },
		{ "mixed case", LINE("GET / HTTp/1.1"), HTTP1_BAD_REQUEST_LINE },
		{ "HTTPS", LINE("GET / HTTPS/1.1"), HTTP1_BAD_REQUEST_LINE },
		{ "no slash", LINE("GET / HTTP 1.1"), HTTP1_BAD_REQUEST_LINE },
		{ "space in it", LINE("GET / HTTP/ 1.1"), HTTP1_BAD_REQUEST_LINE },
		{ "RTSP", LINE("OPTIONS / RTSP/1.0"), HTTP1_BAD_REQUEST_LINE },
		{ "full-width digits", LINE("GET / HTTP/1.\xef\xbc\x91"), HTTP1_BAD_REQUEST_LINE },
	};

	(void)state;
	replay_requests(rows, ARRAY_N(rows));
}

static void targets_are_taken_apart(void **state)
{
	static const struct head_row rows[] = {
		{ "two slashes", TARGET("//evil.org/x"), .want = "GET a //evil.org/x - none ka" },
		{ "raw path", TARGET("/%2e%2e/../a%00"),
		  .want = "GET a /%2e%2e/../a%00 - none ka" },
		{ "all that browsers send bare", TARGET("/a{b}|^`[]\\?x=\"<>|{}"),
		  .want = "GET a /a{b}|^`[]\\ ?x=\"<>|{} none ka" },
		{ "asterisk", LINE("OPTIONS * HTTP/1.1"), .want = "OPTIONS a * - none ka" },
		{ "OPTIONS of a path", LINE("OPTIONS /?sid=1 HTTP/1.1"),
		  .want = "OPTIONS a / ?sid=1 none ka" },
		{ "absolute", TARGET("http://b.c/p?q"), .want = "GET b.c /p ?q none ka abs" },
		{ "absolute with port", TARGET("http://b:81/p"),
		  .want = "GET b:81 /p - none ka abs" },
		{ "absolute, secure", TARGET("https://b/"), .want = "GET b / - none ka abs" },
		{ "absolute, upper case", TARGET("HTTP://B/p"), .want = "GET B /p - none ka abs" },
		{ "absolute without path", TARGET("http://b"), .want = "GET b / - none ka abs" },
		{ "absolute with query alone", TARGET("http://b?q"),
		  .want = "GET b / ?q none ka abs" },
		{ "absolute in OPTIONS", LINE("OPTIONS http://b:8001 HTTP/1.1"),
		  .want = "OPTIONS b:8001 * - none ka abs" },
		{ "absolute in OPTIONS with query", LINE("OPTIONS http://b?x HTTP/1.1"),
		  .want = "OPTIONS b / ?x none ka abs" },
		{ "absolute in 1.0", STR_INIT("GET http://b/ HTTP/1.0\r\n\r\n"),
		  .want = "GET b / - none 1.0 abs" },
		{ "absolute, IPv6", TARGET("http://[::1]:80/"),
		  .want = "GET [::1]:80 / - none ka abs" },
		{ "absolute, at sign in the path", TARGET("http://b/@c"),
		  .want = "GET b /@c - none ka abs" },
		{ "absolute, empty Host in 1.0",
		  STR_INIT("GET http://b/ HTTP/1.0\r\nHost:\r\n\r\n"),
		  .want = "GET b / - none 1.0 abs" },
	};

	(void)state;
	replay_requests(rows, ARRAY_N(rows));
}

static void bad_targets_are_refused(void **state)
{
	static const struct head_row rows[] = {
		{ "no slash", TARGET("x"), HTTP1_BAD_TARGET },
		{ "query alone", TARGET("?x"), HTTP1_BAD_TARGET },
		{ "backslash", TARGET("\\x"), HTTP1_BAD_TARGET },
		{ "dots", TARGET("../x"), HTTP1_BAD_TARGET },
		{ "fragment", TARGET("/#x"), HTTP1_BAD_TARGET },
		{ "fragment in the query", TARGET("/?a#x"), HTTP1_BAD_TARGET },
		{ "high byte", TARGET("/\xe4"), HTTP1_BAD_TARGET },
		{ "UTF-8", TARGET("/\xc3\xa4"), HTTP1_BAD_TARGET },
		{ "asterisk", TARGET("*"), HTTP1_BAD_TARGET },
		{ "asterisk in POST", LINE("POST * HTTP/1.1"), HTTP1_BAD_TARGET },
		{ "two asterisks", LINE("OPTIONS ** HTTP/1.1"), HTTP1_BAD_TARGET },
		{ "asterisk with query", LINE("OPTIONS *?x HTTP/1.1"), HTTP1_BAD_TARGET },
		{ "authority form", TARGET("a:80"), HTTP1_BAD_TARGET },
		{ "ftp", TARGET("ftp://a/"), HTTP1_BAD_TARGET },
		{ "file", TARGET("file:///etc/passwd"), HTTP1_BAD_TARGET },
		{ "ws", TARGET("ws://a/"), HTTP1_BAD_TARGET },
		{ "one slash", TARGET("http:/a/"), HTTP1_BAD_TARGET },
		{ "no host", TARGET("http:///x"), HTTP1_BAD_TARGET },
		{ "nothing after the scheme", TARGET("http://"), HTTP1_BAD_TARGET },
		{ "port alone", TARGET("http://:80/"), HTTP1_BAD_TARGET },
		{ "empty port", TARGET("http://a:/"), HTTP1_BAD_TARGET },
		{ "port too large", TARGET("http://a:65536/"), HTTP1_BAD_TARGET },
		{ "user", TARGET("http://u@a/"), HTTP1_BAD_TARGET },
		{ "user and password", TARGET("http://u:p@a/"), HTTP1_BAD_TARGET },
		{ "backslash in the host", TARGET("http://a\\b/"), HTTP1_BAD_TARGET },
		{ "absolute without Host", STR_INIT("GET http://b/ HTTP/1.1\r\n\r\n"),
		  HTTP1_NO_HOST },
		{ "absolute, bad Host", STR_INIT("GET http://b/ HTTP/1.1\r\nHost: x@y\r\n\r\n"),
		  HTTP1_BAD_HOST },
	};

	(void)state;
	replay_requests(rows, ARRAY_N(rows));
}

static void limits_are_kept(void **state)
{
	static const struct head_row rows[] = {
		{ "target of the size", LINE("GET /234567890 HTTP/1.1"), .limits = { 10, 0 },
		  .want = "GET a /234567890 - none ka" },
		{ "target one larger", LINE("GET /2345678901 HTTP/1.1"), HTTP1_TARGET_TOO_LONG,
		  .limits = { 10, 0 } },
		{ "endless target", STR_INIT("GET /" X500), HTTP1_TARGET_TOO_LONG,
		  .limits = { 100, 0 } },
		{ "endless target after a long method",
		  STR_INIT("\r\nABCDEFGHIJKLMNOPQRSTUVWXYZ /" X500), HTTP1_TARGET_TOO_LONG,
		  .limits = { 100, 0 } },
		{ "bad byte before the limit", STR_INIT("GET /#" X500), HTTP1_BAD_TARGET,
		  .limits = { 100, 0 } },
		{ "bad byte behind the limit", STR_INIT("GET /" X50 X50 "#"), HTTP1_TARGET_TOO_LONG,
		  .limits = { 100, 0 } },
		{ "head of the size", LINE("GET / HTTP/1.1"), .limits = { 0, 27 },
		  .want = "GET a / - none ka" },
		{ "head one larger", LINE("GET / HTTP/1.1"), HTTP1_HEAD_TOO_LARGE,
		  .limits = { 0, 26 } },
		{ "the size is full and the head not done",
		  STR_INIT("GET / HTTP/1.1\r\nHost: a\r\n"), HTTP1_HEAD_TOO_LARGE,
		  .limits = { 0, 25 } },
		{ "one byte is left", STR_INIT("GET / HTTP/1.1\r\nHost: a\r\n"), NULL,
		  .limits = { 0, 26 } },
		{ "the size is full late", STR_INIT("GET / HTTP/1.1\r\nHost: a\r\nX: " X50 X50),
		  HTTP1_HEAD_TOO_LARGE, .limits = { 0, 128 } },
		{ "endless value", STR_INIT("GET / HTTP/1.1\r\nHost: a\r\nX: " X500),
		  HTTP1_HEAD_TOO_LARGE, .limits = { 0, 400 } },
		{ "endless name", STR_INIT("GET / HTTP/1.1\r\n" X500), HTTP1_HEAD_TOO_LARGE,
		  .limits = { 0, 400 } },
		{ "bad byte behind the limit of the head",
		  STR_INIT("GET / HTTP/1.1\r\nX: " X50 "\1\r\n\r\n"), HTTP1_HEAD_TOO_LARGE,
		  .limits = { 0, 69 } },
		{ "bad byte just before it", STR_INIT("GET / HTTP/1.1\r\nX: " X50 "\1\r\n\r\n"),
		  HTTP1_BAD_BYTE, .limits = { 0, 70 } },
	};

	(void)state;
	replay_requests(rows, ARRAY_N(rows));
}

static void a_hundred_fields_are_taken_and_no_more(void **state)
{
	static const char line[] = "GET / HTTP/1.1\r\nHost: a\r\n";
	char buf[1024];
	const struct http1_limits limits = { 100, sizeof(buf) };
	struct http_head head;
	const char *why = NULL;
	size_t len = sizeof(line) - 1;

	(void)state;
	memcpy(buf, line, len);
	for (int i = 1; i < HTTP1_FIELDS_MAX; i++, len += 4)
		memcpy(buf + len, "a:\r\n", 4);
	memcpy(buf + len, "\r\n", 2);
	assert_int_equal(http1_parse_request(buf, len + 2, 0, &limits, &head, &why), PARSE_DONE);
	assert_int_equal(head.fields_n, HTTP1_FIELDS_MAX);
	memcpy(buf + len, "a:\r\n\r\n", 6);
	assert_int_equal(http1_parse_request(buf, len, 0, &limits, &head, &why), PARSE_MORE);
	assert_int_equal(http1_parse_request(buf, len + 1, 0, &limits, &head, &why), PARSE_BAD);
	assert_ptr_equal(why, HTTP1_TOO_MANY_FIELDS);
	assert_int_equal(http1_parse_request(buf, len + 6, len, &limits, &head, &why), PARSE_BAD);
	assert_ptr_equal(why, HTTP1_TOO_MANY_FIELDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_lines_are_read),
		cmocka_unit_test(bad_request_lines_are_refused),
		cmocka_unit_test(versions_other_than_1_0_and_1_1_are_refused),
		cmocka_unit_test(targets_are_taken_apart),
		cmocka_unit_test(bad_targets_are_refused),
		cmocka_unit_test(limits_are_kept),
		cmocka_unit_test(a_hundred_fields_are_taken_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
