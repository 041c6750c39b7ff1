/* SPDX-License-Identifier: MIT */
/*
 * Where a message ends: Content-Length and Transfer-Encoding of requests, among them the
 * known ways of request smuggling.
 */
#include "config.h"

#include "http1_replay.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define FIELDS(fields) STR_INIT("POST / HTTP/1.1\r\nHost: a\r\n" fields "\r\n\r\n")
#define LENGTH(value)  FIELDS("Content-Length: " value)
#define CODING(value)  FIELDS("Transfer-Encoding: " value)
#define OLD(fields)    STR_INIT("POST / HTTP/1.0\r\nHost: a\r\n" fields "\r\n\r\n")

static void bodies_are_framed(void **state)
{
	static const struct head_row rows[] = {
		{ "none", FIELDS("A: b"), .want = "POST a / - none ka" },
		{ "length", LENGTH("5"), .want = "POST a / - len=5 ka" },
		{ "zero", LENGTH("0"), .want = "POST a / - none ka cl=0" },
		{ "zeros before", LENGTH("0005"), .want = "POST a / - len=5 ka" },
		{ "white space around", LENGTH(" \t5 "), .want = "POST a / - len=5 ka" },
		{ "beyond 32 bits", LENGTH("4294967301"), .want = "POST a / - len=4294967301 ka" },
		{ "the largest", LENGTH("9223372036854775807"),
		  .want = "POST a / - len=9223372036854775807 ka" },
		{ "name in other case", FIELDS("CONTENT-length: 7"),
		  .want = "POST a / - len=7 ka" },
		{ "1.0", OLD("Content-Length: 5"), .want = "POST a / - len=5 1.0" },
		{ "chunked", CODING("chunked"), .want = "POST a / - chunked ka",
		  .fields = "Host=a !Transfer-Encoding=chunked" },
		{ "Chunked", CODING("CHUNKED"), .want = "POST a / - chunked ka" },
		{ "chunked, white space around", CODING(" \tchunked\t "),
		  .want = "POST a / - chunked ka" },
		{ "GET with a body",
		  STR_INIT("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
		  .want = "GET a / - len=5 ka" },
		{ "lookalikes are other fields",
		  FIELDS("Content-Lengt: 1\r\nContent-Lengthh: 2\r\nTransfer_Encoding: chunked\r\n"
			 "X-Transfer-Encoding: chunked\r\nTransfer-Encodin: chunked"),
		  .want = "POST a / - none ka" },
	};

	(void)state;
	replay_requests(rows, ARRAY_N(rows));
}

static void bad_lengths_are_refused(void **state)
{
	static const struct head_row rows[] = {
		{ "empty", LENGTH(""), HTTP1_BAD_CONTENT_LENGTH },
		{ "plus", LENGTH("+5"), HTTP1_BAD_CONTENT_LENGTH },
		{ "minus", LENGTH("-5"), HTTP1_BAD_CONTENT_LENGTH },
		{ "minus zero", LENGTH("-0"), HTTP1_BAD_CONTENT_LENGTH },
		{ "space within", LENGTH("1 0"), HTTP1_BAD_CONTENT_LENGTH },
		{ "tab within", LENGTH("1\t0"), HTTP1_BAD_CONTENT_LENGTH },
		{ "list of equals", LENGTH("5, 5"), HTTP1_BAD_CONTENT_LENGTH },
		{ "list", LENGTH("5,6"), HTTP1_BAD_CONTENT_LENGTH },
		{ "comma behind", LENGTH("5,"), HTTP1_BAD_CONTENT_LENGTH },
		{ "hex", LENGTH("0x5"), HTTP1_BAD_CONTENT_LENGTH },
		{ "hex digits", LENGTH("a"), HTTP1_BAD_CONTENT_LENGTH },
		{ "point", LENGTH("5.0"), HTTP1_BAD_CONTENT_LENGTH },
		{ "exponent", LENGTH("1e1"), HTTP1_BAD_CONTENT_LENGTH },
		{ "semicolon", LENGTH("5;x"), HTTP1_BAD_CONTENT_LENGTH },
		{ "quotes", LENGTH("\"5\""), HTTP1_BAD_CONTENT_LENGTH },
		{ "underscore", LENGTH("1_0"), HTTP1_BAD_CONTENT_LENGTH },
		{ "high byte", LENGTH("5\xa0"), HTTP1_BAD_CONTENT_LENGTH },
		{ "other digits", LENGTH("\xd9\xa5"), HTTP1_BAD_CONTENT_LENGTH },
		{ "2^63", LENGTH("9223372036854775808"), HTTP1_BAD_CONTENT_LENGTH },
		{ "2^64", LENGTH("18446744073709551616"), HTTP1_BAD_CONTENT_LENGTH },
		{ "2^64 + 5", LENGTH("18446744073709551621"), HTTP1_BAD_CONTENT_LENGTH },
		{ "20 digits", LENGTH("00000000000000000005"), HTTP1_BAD_CONTENT_LENGTH },
		{ "NUL behind", LENGTH("5\0"), HTTP1_BAD_BYTE },
		{ "vertical tab before", LENGTH("\v5"), HTTP1_BAD_BYTE },
		{ "two", FIELDS("Content-Length: 5\r\nContent-Length: 6"), HTTP1_TWO_LENGTHS },
		{ "two alike", FIELDS("Content-Length: 5\r\nContent-Length: 5"),
		  HTTP1_TWO_LENGTHS },
		{ "two apart", FIELDS("Content-Length: 5\r\nA: b\r\ncontent-length: 5"),
		  HTTP1_TWO_LENGTHS },
		{ "two zeros", FIELDS("Content-Length: 0\r\nContent-Length: 0"),
		  HTTP1_TWO_LENGTHS },
		{ "bad in 1.0", OLD("Content-Length: x"), HTTP1_BAD_CONTENT_LENGTH },
		{ "bad in GET", STR_INIT("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n"),
		  HTTP1_BAD_CONTENT_LENGTH },
	};

	(void)state;
	replay_requests(rows, ARRAY_N(rows));
}

static void bad_codings_are_refused(void **state)
{
	static const struct head_row rows[] = {
		{ "empty", CODING(""), HTTP1_BAD_TRANSFER_CODING },
		{ "identity", CODING("identity"), HTTP1_BAD_TRANSFER_CODING },
		{ "gzip", CODING("gzip"), HTTP1_BAD_TRANSFER_CODING },
		{ "gzip, chunked", CODING("gzip, chunked"), HTTP1_BAD_TRANSFER_CODING },
		{ "chunked, gzip", CODING("chunked, gzip"), HTTP1_BAD_TRANSFER_CODING },
		{ "chunked, identity", CODING("chunked, identity"), HTTP1_BAD_TRANSFER_CODING },
		{ "identity, chunked", CODING("identity, chunked"), HTTP1_BAD_TRANSFER_CODING },
		{ "chunked twice", CODING("chunked, chunked"), HTTP1_BAD_TRANSFER_CODING },
		{ "comma before", CODING(",chunked"), HTTP1_BAD_TRANSFER_CODING },
		{ "comma behind", CODING("chunked,"), HTTP1_BAD_TRANSFER_CODING },
		{ "parameter", CODING("chunked;q=1"), HTTP1_BAD_TRANSFER_CODING },
		{ "quoted", CODING("\"chunked\""), HTTP1_BAD_TRANSFER_CODING },
		{ "apostrophes", CODING("'chunked'"), HTTP1_BAD_TRANSFER_CODING },
		{ "xchunked", CODING("xchunked"), HTTP1_BAD_TRANSFER_CODING },
		{ "chunkedx", CODING("chunkedx"), HTTP1_BAD_TRANSFER_CODING },
		{ "chunke", CODING("chunke"), HTTP1_BAD_TRANSFER_CODING },
		{ "word before", CODING("x chunked"), HTTP1_BAD_TRANSFER_CODING },
		{ "high byte", CODING("chunked\xa0"), HTTP1_BAD_TRANSFER_CODING },
		{ "vertical tab before", CODING("\vchunked"), HTTP1_BAD_BYTE },
		{ "vertical tab behind", CODING("chunked\v"), HTTP1_BAD_BYTE },
		{ "NUL behind", CODING("chunked\0"), HTTP1_BAD_BYTE },
		{ "two fields", FIELDS("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
		  HTTP1_BAD_TRANSFER_CODING },
		{ "two fields, second unknown",
		  FIELDS("Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
		  HTTP1_BAD_TRANSFER_CODING },
		{ "two fields, second empty",
		  FIELDS("Transfer-Encoding: chunked\r\nTransfer-Encoding:"),
		  HTTP1_BAD_TRANSFER_CODING },
		{ "1.0", OLD("Transfer-Encoding: chunked"), HTTP1_CODING_IN_10 },
		{ "1.0, identity", OLD("Transfer-Encoding: identity"), HTTP1_CODING_IN_10 },
		{ "1.0 with length", OLD("Content-Length: 5\r\nTransfer-Encoding: chunked"),
		  HTTP1_CODING_IN_10 },
	};

	(void)state;
	replay_requests(rows, ARRAY_N(rows));
}

static void smuggling_is_refused(void **state)
{
	static const struct head_row rows[] = {
		{ "CL.TE", FIELDS("Content-Length: 6\r\nTransfer-Encoding: chunked"),
		  HTTP1_LENGTH_AND_CODING },
		{ "TE.CL", FIELDS("Transfer-Encoding: chunked\r\nContent-Length: 4"),
		  HTTP1_LENGTH_AND_CODING },
		{ "TE.CL zero", FIELDS("Transfer-Encoding: chunked\r\nContent-Length: 0"),
		  HTTP1_LENGTH_AND_CODING },
		{ "CL.TE in other case", FIELDS("content-length: 6\r\ntRANSFER-eNCODING: Chunked"),
		  HTTP1_LENGTH_AND_CODING },
		{ "TE.TE", FIELDS("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow"),
		  HTTP1_BAD_TRANSFER_CODING },
		{ "TE.TE other order",
		  FIELDS("Transfer-Encoding: cow\r\nTransfer-Encoding: chunked"),
		  HTTP1_BAD_TRANSFER_CODING },
		{ "TE hidden by a space",
		  FIELDS("Content-Length: 6\r\nTransfer-Encoding : chunked"),
		  HTTP1_BAD_FIELD_SPACE },
		{ "TE hidden by a tab", FIELDS("Content-Length: 6\r\nTransfer-Encoding\t: chunked"),
		  HTTP1_BAD_FIELD_SPACE },
		{ "TE hidden by a fold", FIELDS("Content-Length: 6\r\n Transfer-Encoding: chunked"),
		  HTTP1_BAD_FOLDING },
		{ "TE hidden by LF", FIELDS("A: b\nTransfer-Encoding: chunked"),
		  HTTP1_BAD_LINE_END },
		{ "TE hidden by CR", FIELDS("A: b\rTransfer-Encoding: chunked"),
		  HTTP1_BAD_LINE_END },
		{ "TE hidden by LF CR", FIELDS("A: b\n\rTransfer-Encoding: chunked"),
		  HTTP1_BAD_LINE_END },
		{ "TE hidden by NUL", FIELDS("\0Transfer-Encoding: chunked"), HTTP1_BAD_BYTE },
		{ "TE with NUL in the name", FIELDS("Transfer-Encoding\0: chunked"),
		  HTTP1_BAD_BYTE },
		{ "TE with CR in the name", FIELDS("Transfer-Encoding\r: chunked"),
		  HTTP1_BAD_FIELD_NAME },
		{ "TE with CR for its hyphen", FIELDS("Transfer\rEncoding: chunked"),
		  HTTP1_BAD_FIELD_NAME },
		{ "TE with a high byte", FIELDS("Transfer-Encoding\xa0: chunked"),
		  HTTP1_BAD_FIELD_NAME },
		{ "TE without colon", FIELDS("Transfer-Encoding\r\n: chunked"),
		  HTTP1_BAD_FIELD_NAME },
		{ "CL.CL", FIELDS("Content-Length: 8\r\nContent-Length: 7"), HTTP1_TWO_LENGTHS },
		{ "CL hidden by a space", FIELDS("Content-Length: 8\r\nContent-Length : 7"),
		  HTTP1_BAD_FIELD_SPACE },
		{ "CL by signs", LENGTH("+8"), HTTP1_BAD_CONTENT_LENGTH },
		{ "0.CL", FIELDS("Content-Length:\r\n 8"), HTTP1_BAD_CONTENT_LENGTH },
		{ "CL in the first line", STR_INIT("POST / HTTP/1.1\r\n Content-Length: 8\r\n\r\n"),
		  HTTP1_BAD_FOLDING },
		{ "request line split by the target",
		  STR_INIT("GET / HTTP/1.1\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n"),
		  HTTP1_BAD_FIELD_SPACE },
		{ "Host split from the target",
		  STR_INIT("GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
		  HTTP1_TWO_HOSTS },
		{ "a head within a head", STR_INIT("GET / HTTP/1.1\n\nGET /admin HTTP/1.1\r\n\r\n"),
		  HTTP1_BAD_LINE_END },
	};

	(void)state;
	replay_requests(rows, ARRAY_N(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_are_framed),
		cmocka_unit_test(bad_lengths_are_refused),
		cmocka_unit_test(bad_codings_are_refused),
		cmocka_unit_test(smuggling_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
