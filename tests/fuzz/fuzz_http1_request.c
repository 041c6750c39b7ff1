/* SPDX-License-Identifier: MIT */
/* Request heads. */
#include "config.h"

#include "http1_fuzz.h"

static void check_request(const char *buf, const struct http_head *head)
{
	fuzz_must_lie_in(buf, head, head->method);
	fuzz_must_lie_in(buf, head, head->target);
	must(http_is_token(head->method) && head->method.len <= HTTP1_METHOD_LEN_MAX);
	must(head->method_id != HTTP_CONNECT && head->method_id < HTTP_METHOD_N);
	if (head->method_id != HTTP_OTHER)
		must(str_eq(head->method, str_of(http_method_name(head->method_id))));
	must(head->target.len > 0 && head->target.len <= 300);
	must(str_find_char(head->target, '#') < 0);
	must(head->path.len > 0 && (head->path.p[0] == '/' || str_eq(head->path, STR("*"))));
	must(str_find_char(head->path, '?') < 0);
	if (head->query.p) {
		fuzz_must_lie_in(buf, head, head->query);
		must(head->query.p[-1] == '?');
	} else {
		must(str_find_char(head->target, '?') < 0);
	}
	if (head->authority.p)
		fuzz_must_lie_in(buf, head, head->authority);
	must(head->minor == 0 || head->authority.len > 0);
	if (head->authority.len)
		must(http_is_authority(head->authority));
	must(head->framing != FRAMING_CLOSE);
	must((head->framing == FRAMING_CHUNKED) == (head->first[FIELD_TRANSFER_ENCODING] >= 0));
	must((head->framing == FRAMING_LENGTH) == (head->content_length > 0));
	if (head->is_websocket)
		must(head->minor == 1 && head->framing == FRAMING_NONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *buf;
	struct http_head *head = fuzz_head(http1_parse_request, data, size, &buf);

	if (head)
		check_request(buf, head);
	free(buf);
	return 0;
}
