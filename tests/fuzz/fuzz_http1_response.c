/* SPDX-License-Identifier: MIT */
/* Response heads. */
#include "config.h"

#include "http1_fuzz.h"

static void check_response(const char *buf, const struct http_head *head)
{
	bool is_bodyless = head->status < 200 || head->status == 204 || head->status == 304;

	fuzz_must_lie_in(buf, head, head->reason);
	must(head->status >= 100 && head->status <= 599);
	must(head->content_length <= INT64_MAX);
	if (is_bodyless)
		must(head->framing == FRAMING_NONE);
	else if (head->first[FIELD_TRANSFER_ENCODING] >= 0)
		must(head->framing == FRAMING_CHUNKED && head->minor == 1);
	else if (head->has_content_length)
		must(head->framing == (head->content_length ? FRAMING_LENGTH : FRAMING_NONE));
	else
		must(head->framing == FRAMING_CLOSE);
	if (head->is_websocket)
		must(head->status == 101);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *buf;
	struct http_head *head = fuzz_head(http1_parse_response, data, size, &buf);

	if (head)
		check_response(buf, head);
	free(buf);
	return 0;
}
