/* SPDX-License-Identifier: MIT */
/* bench_http1 [full] - the HTTP/1 codec: heads as they are met, and chunked bodies. */
#include "config.h"

#include "proto/http1.h"

#include "micro.h"

struct sample {
	const char *name;
	const char *text;
	bool is_response;
	uint16_t fields_n;
	uint64_t content_length; /* 0 = none */
};

#define BROWSER_FIELDS                                                                             \
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "      \
	"Chrome/120.0.0.0 Safari/537.36\r\n"                                                       \
	"Accept: */*\r\n"                                                                          \
	"Origin: https://www.example.com\r\n"                                                      \
	"Referer: https://www.example.com/rooms/general?tab=people\r\n"                            \
	"Accept-Encoding: gzip, deflate, br\r\n"                                                   \
	"Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"                                             \
	"Cookie: _ga=GA1.2.1234567890.1700000000; session=eyJhbGciOiJIUzI1NiJ9.eyJpZCI6MTIzfQ; "   \
	"theme=dark\r\n"

static const struct sample samples[] = {
	{ "smallest request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, 1, 0 },
	{ "request of curl",
	  "GET /api/rooms/general?limit=50 HTTP/1.1\r\nHost: chat.example.com\r\n"
	  "User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
	  false, 3, 0 },
	{ "request of a browser, polling",
	  "GET /socket.io/?EIO=4&transport=polling&t=OxK3b1z&sid=lv_VI97HAXpY6yYWAAAC HTTP/1.1\r\n"
	  "Host: chat.example.com\r\nConnection: keep-alive\r\n" BROWSER_FIELDS
	  "Cache-Control: no-cache\r\n\r\n",
	  false, 10, 0 },
	{ "the same behind an ALB",
	  "POST /socket.io/?EIO=4&transport=polling&t=OxK3b1z&sid=lv_VI97HAXpY6yYWAAAC HTTP/1.1\r\n"
	  "X-Forwarded-For: 203.0.113.195\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n"
	  "Host: chat.example.com\r\n"
	  "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678\r\nContent-Length: 42\r\n"
	  "sec-ch-ua: \"Not_A Brand\";v=\"8\", \"Chromium\";v=\"120\"\r\n"
	  "Content-type: text/plain;charset=UTF-8\r\nsec-ch-ua-mobile: ?0\r\n"
	  "sec-ch-ua-platform: \"Linux\"\r\nSec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\n"
	  "Sec-Fetch-Dest: empty\r\n" BROWSER_FIELDS "\r\n",
	  false, 20, 42 },
	{ "request of a browser, WebSocket",
	  "GET /socket.io/?EIO=4&transport=websocket&sid=lv_VI97HAXpY6yYWAAAC HTTP/1.1\r\n"
	  "Host: chat.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	  "Origin: https://www.example.com\r\nSec-WebSocket-Version: 13\r\n"
	  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	  "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
	  false, 7, 0 },
	{ "smallest response", "HTTP/1.1 204 No Content\r\n\r\n", true, 0, 0 },
	{ "response of Engine.IO, handshake",
	  "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: 118\r\n"
	  "cache-control: no-store\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
	  "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n",
	  true, 6, 118 },
	{ "response of a web application",
	  "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
	  "Content-Type: application/json; charset=utf-8\r\nContent-Length: 10240\r\n"
	  "Connection: keep-alive\r\nVary: Accept-Encoding, Origin\r\n"
	  "X-Request-Id: 5b1c7f1e-2a3d-4c5e-8f60-718293a4b5c6\r\n"
	  "Access-Control-Allow-Origin: https://www.example.com\r\n"
	  "Access-Control-Allow-Credentials: true\r\nETag: W/\"2800-Zm9vYmFyYmF6cXV4\"\r\n"
	  "Set-Cookie: session=eyJhbGciOiJIUzI1NiJ9.eyJpZCI6MTIzfQ; Path=/; HttpOnly; Secure; "
	  "SameSite=Lax\r\nStrict-Transport-Security: max-age=63072000; includeSubDomains\r\n"
	  "X-Content-Type-Options: nosniff\r\n\r\n",
	  true, 13, 10240 },
};

static const struct http1_limits limits = { 8192, 65536 };
static struct http_head head;

struct input {
	const char *text;
	size_t len;
	bool is_response;
	unsigned failures;
};

static enum parse parse(const struct input *in, size_t len, size_t seen)
{
	const char *why;

	return in->is_response ? http1_parse_response(in->text, len, seen, &limits, &head, &why)
			       : http1_parse_request(in->text, len, seen, &limits, &head, &why);
}

static void run_head(void *arg, uint64_t n)
{
	struct input *in = arg;

	while (n--) {
		in->failures += parse(in, in->len, 0) != PARSE_DONE;
		micro_barrier();
	}
}

static void run_trickle(void *arg, uint64_t n)
{
	struct input *in = arg;

	while (n--) {
		enum parse result = PARSE_MORE;

		for (size_t i = 1; i <= in->len && result == PARSE_MORE; i++)
			result = parse(in, i, i - 1);
		in->failures += result != PARSE_DONE || head.size != in->len;
	}
}

static void run_chunked(void *arg, uint64_t n)
{
	struct input *in = arg;

	while (n--) {
		struct http1_chunked chunked;
		const char *at = in->text, *why;
		size_t left = in->len, used;
		struct str data;
		enum parse result;

		http1_chunked_init(&chunked);
		do {
			result = http1_chunked_next(&chunked, at, left, &used, &data, NULL, &why);
			at += used;
			left -= used;
		} while (result == PARSE_MORE && used);
		in->failures += result != PARSE_DONE || left != 0;
	}
}

static void bench_samples(bool is_full)
{
	for (size_t i = 0; i < ARRAY_N(samples); i++) {
		const struct sample *sample = &samples[i];
		struct input in = { sample->text, strlen(sample->text), sample->is_response, 0 };

		micro_run(is_full, sample->name, run_head, &in, in.len);
		must(in.failures == 0 && head.size == in.len);
		must(head.fields_n == sample->fields_n);
		must(head.content_length == sample->content_length);
	}
}

/* A long field, whole and as it comes from a slow client. */
static void bench_cookie(bool is_full, size_t size, const char *name, const char *slow_name)
{
	static char text[16384];
	struct input in = { text, size, false, 0 };

	memset(text, 'v', size);
	memcpy(text, "GET / HTTP/1.1\r\nHost: a\r\nCookie: ", 33);
	memcpy(text + size - 4, "\r\n\r\n", 4);
	micro_run(is_full, name, run_head, &in, size);
	must(head.fields_n == 2 && head.fields[1].value.len == size - 33 - 4);
	micro_run(is_full, slow_name, run_trickle, &in, size);
	must(in.failures == 0);
}

static void bench_chunks(bool is_full, const char *name, uint64_t chunk)
{
	static char text[65536];
	struct input in = { text, 0, false, 0 };

	while (in.len + chunk + 32 < sizeof(text)) {
		in.len += http1_chunk_line(text + in.len, chunk);
		memset(text + in.len, 'b', chunk);
		memcpy(text + in.len + chunk, "\r\n", 2);
		in.len += chunk + 2;
	}
	memcpy(text + in.len, "0\r\n\r\n", 5);
	in.len += 5;
	micro_run(is_full, name, run_chunked, &in, in.len);
	must(in.failures == 0);
}

int main(int argc, char **argv)
{
	bool is_full = micro_begin(argc, argv, "HTTP/1");

	bench_samples(is_full);
	bench_cookie(is_full, 4096, "request, cookie of 4 KiB",
		     "the same, a call for each byte of it");
	bench_cookie(is_full, 16384, "request, cookie of 16 KiB",
		     "the same, a call for each byte of it");
	bench_chunks(is_full, "chunked body, chunks of 4 KiB", 4096);
	bench_chunks(is_full, "chunked body, chunks of 3 bytes", 3);
	return 0;
}
