/* SPDX-License-Identifier: MIT */
/* Response heads: status lines, framing, and servers that are not to be trusted. */
#include "config.h"

#include "http1_replay.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LINE(line)             STR_INIT(line "\r\n\r\n")
#define FIELDS(status, fields) STR_INIT("HTTP/1.1 " status "\r\n" fields "\r\n\r\n")

static void status_lines_are_read(void **state)
{
	static const struct head_row rows[] = {
		{ "plain", LINE("HTTP/1.1 200 OK"), .want = "200 OK close ka", .fields = "" },
		{ "1.0", LINE("HTTP/1.0 200 OK"), .want = "200 OK close 1.0" },
		{ "empty reason", LINE("HTTP/1.1 200 "), .want = "200  close ka" },
		{ "no reason, no space", LINE("HTTP/1.1 200"), .want = "200  close ka" },
		{ "words", LINE("HTTP/1.1 404 Not  Found\there"),
		  .want = "404 Not  Found\there close ka" },
		{ "high bytes", LINE("HTTP/1.1 200 \xe4\xff"), .want = "200 \xe4\xff close ka" },
		{ "lowest", LINE("HTTP/1.1 100 Continue"), .want = "100 Continue none ka" },
		{ "highest", LINE("HTTP/1.1 599 x"), .want = "599 x close ka" },
		{ "body behind", STR_INIT("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\0\1"),
		  .want = "200 OK len=2 ka" },
		{ "incomplete", STR_INIT("HTTP/1.1 200 OK\r\nA: b\r\n"), NULL },
		{ "nothing", STR_INIT(""), NULL },
	};

	(void)state;
	replay_responses(rows, ARRAY_N(rows));
}

static void bad_status_lines_are_refused(void **state)
{
	static const struct head_row rows[] = {
		{ "empty line before", LINE("\r\nHTTP/1.1 200 OK"), HTTP1_BAD_STATUS_LINE },
		{ "space before", LINE(" HTTP/1.1 200 OK"), HTTP1_BAD_STATUS_LINE },
		{ "HTTP/0.9", STR_INIT("<html>"), HTTP1_BAD_STATUS_LINE },
		{ "ICY", LINE("ICY 200 OK"), HTTP1_BAD_STATUS_LINE },
		{ "lower case", LINE("http/1.1 200 OK"), HTTP1_BAD_STATUS_LINE },
		{ "2.0", LINE("HTTP/2.0 200 OK"), HTTP1_BAD_VERSION },
		{ "1.2", LINE("HTTP/1.2 200 OK"), HTTP1_BAD_VERSION },
		{ "HTTP/2 with one digit", LINE("HTTP/2 200 OK"), HTTP1_BAD_STATUS_LINE },
		{ "1.10", LINE("HTTP/1.10 200 OK"), HTTP1_BAD_STATUS_LINE },
		{ "two spaces", LINE("HTTP/1.1  200 OK"), HTTP1_BAD_STATUS_LINE },
		{ "tab", LINE("HTTP/1.1\t200 OK"), HTTP1_BAD_STATUS_LINE },
		{ "tab behind", LINE("HTTP/1.1 200\tOK"), HTTP1_BAD_STATUS_LINE },
		{ "two digits", LINE("HTTP/1.1 20 OK"), HTTP1_BAD_STATUS_LINE },
		{ "four digits", LINE("HTTP/1.1 2000 OK"), HTTP1_BAD_STATUS_LINE },
		{ "no status", LINE("HTTP/1.1 OK"), HTTP1_BAD_STATUS_LINE },
		{ "no status at all", LINE("HTTP/1.1 "), HTTP1_BAD_STATUS_LINE },
		{ "version alone", LINE("HTTP/1.1"), HTTP1_BAD_STATUS_LINE },
		{ "negative", LINE("HTTP/1.1 -20 OK"), HTTP1_BAD_STATUS_LINE },
		{ "099", LINE("HTTP/1.1 099 OK"), HTTP1_BAD_STATUS_LINE },
		{ "000", LINE("HTTP/1.1 000 OK"), HTTP1_BAD_STATUS_LINE },
		{ "600", LINE("HTTP/1.1 600 OK"), HTTP1_BAD_STATUS_LINE },
		{ "999", LINE("HTTP/1.1 999 OK"), HTTP1_BAD_STATUS_LINE },
		{ "letter", LINE("HTTP/1.1 2o0 OK"), HTTP1_BAD_STATUS_LINE },
		{ "NUL in the reason", LINE("HTTP/1.1 200 O\0K"), HTTP1_BAD_BYTE },
		{ "control in the reason", LINE("HTTP/1.1 200 O\1K"), HTTP1_BAD_BYTE },
		{ "DEL in the reason", LINE("HTTP/1.1 200 O\x7fK"), HTTP1_BAD_BYTE },
		{ "LF ends it", STR_INIT("HTTP/1.1 200 OK\nA: b\r\n\r\n"), HTTP1_BAD_LINE_END },
		{ "CR ends it", STR_INIT("HTTP/1.1 200 OK\rA: b\r\n\r\n"), HTTP1_BAD_LINE_END },
		{ "LF behind the status", STR_INIT("HTTP/1.1 200\n\r\n"), HTTP1_BAD_LINE_END },
		{ "LF for the status", STR_INIT("HTTP/1.1 \n"), HTTP1_BAD_LINE_END },
		{ "a request", LINE("GET / HTTP/1.1"), HTTP1_BAD_STATUS_LINE },
		{ "endless reason",
		  STR_INIT("HTTP/1.1 200 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			   "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
		  HTTP1_HEAD_TOO_LARGE, .limits = { 0, 100 } },
	};

	(void)state;
	replay_responses(rows, ARRAY_N(rows));
}

static void response_bodies_are_framed(void **state)
{
	static const struct head_row rows[] = {
		{ "length", FIELDS("200 OK", "Content-Length: 5"), .want = "200 OK len=5 ka" },
		{ "zero", FIELDS("200 OK", "Content-Length: 0"), .want = "200 OK none ka cl=0" },
		{ "chunked", FIELDS("200 OK", "Transfer-Encoding: chunked"),
		  .want = "200 OK chunked ka" },
		{ "until close", FIELDS("200 OK", "A: b"), .want = "200 OK close ka" },
		{ "1.0 until close", STR_INIT("HTTP/1.0 200 OK\r\nA: b\r\n\r\n"),
		  .want = "200 OK close 1.0" },
		{ "1.0 with length",
		  STR_INIT(
			  "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n"),
		  .want = "200 OK len=1 1.0 ka" },
		{ "204", FIELDS("204 No Content", "A: b"), .want = "204 No Content none ka" },
		{ "204 with length", FIELDS("204 x", "Content-Length: 5"),
		  .want = "204 x none ka cl=5" },
		{ "204 with coding", FIELDS("204 x", "Transfer-Encoding: chunked"),
		  .want = "204 x none ka" },
		{ "304 with length", FIELDS("304 x", "Content-Length: 5"),
		  .want = "304 x none ka cl=5" },
		{ "304 with coding", FIELDS("304 x", "Transfer-Encoding: chunked"),
		  .want = "304 x none ka" },
		{ "103", FIELDS("103 Early Hints", "Link: x"), .want = "103 Early Hints none ka" },
		{ "205", FIELDS("205 x", "Content-Length: 0"), .want = "205 x none ka cl=0" },
		{ "close", FIELDS("200 OK", "Connection: close\r\nContent-Length: 5"),
		  .want = "200 OK len=5" },
		{ "101",
		  FIELDS("101 Switching Protocols", "Upgrade: websocket\r\nConnection: Upgrade"),
		  .want = "101 Switching Protocols none ka up ws",
		  .fields = "!Upgrade=websocket !Connection=Upgrade" },
		{ "101 to something else", FIELDS("101 x", "Upgrade: h2c\r\nConnection: Upgrade"),
		  .want = "101 x none ka up" },
		{ "101 that Connection does not name", FIELDS("101 x", "Upgrade: websocket"),
		  .want = "101 x none ka" },
		{ "upgrade offered",
		  FIELDS("426 x", "Upgrade: websocket\r\nConnection: Upgrade\r\n"
				  "Content-Length: 0"),
		  .want = "426 x none ka up cl=0" },
		{ "request fields mean nothing",
		  FIELDS("200 OK", "Host: a b\r\nHost: c\r\nExpect: x"),
		  .want = "200 OK close ka" },
		{ "named by Connection",
		  FIELDS("200 OK", "Connection: a, set-cookie\r\nA: b\r\n"
				   "Set-Cookie: c\r\nKeep-Alive: timeout=5"),
		  .want = "200 OK close ka",
		  .fields = "!Connection=a, set-cookie !A=b Set-Cookie=c !Keep-Alive=timeout=5" },
	};

	(void)state;
	replay_responses(rows, ARRAY_N(rows));
}

static void response_smuggling_is_refused(void **state)
{
	static const struct head_row rows[] = {
		{ "CL.TE", FIELDS("200 OK", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
		  HTTP1_LENGTH_AND_CODING },
		{ "TE.CL", FIELDS("200 OK", "Transfer-Encoding: chunked\r\nContent-Length: 5"),
		  HTTP1_LENGTH_AND_CODING },
		{ "TE.CL of 304",
		  FIELDS("304 x", "Transfer-Encoding: chunked\r\nContent-Length: 5"),
		  HTTP1_LENGTH_AND_CODING },
		{ "two lengths", FIELDS("200 OK", "Content-Length: 5\r\nContent-Length: 6"),
		  HTTP1_TWO_LENGTHS },
		{ "two lengths alike", FIELDS("200 OK", "Content-Length: 5\r\nContent-Length: 5"),
		  HTTP1_TWO_LENGTHS },
		{ "list", FIELDS("200 OK", "Content-Length: 5, 5"), HTTP1_BAD_CONTENT_LENGTH },
		{ "negative", FIELDS("200 OK", "Content-Length: -1"), HTTP1_BAD_CONTENT_LENGTH },
		{ "empty", FIELDS("200 OK", "Content-Length:"), HTTP1_BAD_CONTENT_LENGTH },
		{ "overflow", FIELDS("200 OK", "Content-Length: 18446744073709551617"),
		  HTTP1_BAD_CONTENT_LENGTH },
		{ "gzip", FIELDS("200 OK", "Transfer-Encoding: gzip"), HTTP1_BAD_TRANSFER_CODING },
		{ "gzip, chunked", FIELDS("200 OK", "Transfer-Encoding: gzip, chunked"),
		  HTTP1_BAD_TRANSFER_CODING },
		{ "identity", FIELDS("200 OK", "Transfer-Encoding: identity"),
		  HTTP1_BAD_TRANSFER_CODING },
		{ "two codings",
		  FIELDS("200 OK", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
		  HTTP1_BAD_TRANSFER_CODING },
		{ "coding in 1.0",
		  STR_INIT("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
		  HTTP1_CODING_IN_10 },
		{ "space before the colon", FIELDS("200 OK", "A : b"), HTTP1_BAD_FIELD_SPACE },
		{ "folded", FIELDS("200 OK", "A: b\r\n c"), HTTP1_BAD_FOLDING },
		{ "LF", FIELDS("200 OK", "A: b\nC: d"), HTTP1_BAD_LINE_END },
		{ "CR", FIELDS("200 OK", "A: b\rC: d"), HTTP1_BAD_LINE_END },
		{ "NUL", FIELDS("200 OK", "A: b\0"), HTTP1_BAD_BYTE },
		{ "empty name", FIELDS("200 OK", ": b"), HTTP1_BAD_FIELD_NAME },
		{ "no colon", FIELDS("200 OK", "Foo"), HTTP1_BAD_FIELD_NAME },
		{ "bad Connection", FIELDS("200 OK", "Connection: a b"), HTTP1_BAD_CONNECTION },
	};

	(void)state;
	replay_responses(rows, ARRAY_N(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_lines_are_read),
		cmocka_unit_test(bad_status_lines_are_refused),
		cmocka_unit_test(response_bodies_are_framed),
		cmocka_unit_test(response_smuggling_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
