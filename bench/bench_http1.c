/* SPDX-License-Identifier: MIT */
/*
 * bench_http1 - nanoseconds per head and cycles per byte of the HTTP/1 codec.
 *
 * Each figure is the best of several rounds, which is what the code costs when nothing disturbs
 * it.  Cycles are those of the time-stamp counter, which may run at another rate than the core.
 */
#include "config.h"

#include "proto/http1.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

#define ROUNDS   9
#define ROUND_NS 20000000

static const char browser[] =
	"GET /socket.io/?EIO=4&transport=polling&t=OxK3b1z&sid=lv_VI97HAXpY6yYWAAAC HTTP/1.1\r\n"
	"Host: chat.example.com\r\n"
	"Connection: keep-alive\r\n"
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
	"Chrome/120.0.0.0 Safari/537.36\r\n"
	"Accept: */*\r\n"
	"Origin: https://www.example.com\r\n"
	"Referer: https://www.example.com/rooms/general?tab=people\r\n"
	"Accept-Encoding: gzip, deflate, br\r\n"
	"Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
	"Cookie: _ga=GA1.2.1234567890.1700000000; session=eyJhbGciOiJIUzI1NiJ9.eyJpZCI6MTIzfQ; "
	"theme=dark\r\n"
	"Cache-Control: no-cache\r\n"
	"\r\n";

static const char upgrade[] =
	"GET /socket.io/?EIO=4&transport=websocket&sid=lv_VI97HAXpY6yYWAAAC HTTP/1.1\r\n"
	"Host: chat.example.com\r\n"
	"Connection: Upgrade\r\n"
	"Upgrade: websocket\r\n"
	"Origin: https://www.example.com\r\n"
	"Sec-WebSocket-Version: 13\r\n"
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
	"\r\n";

static const char small[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

static const char response[] = "HTTP/1.1 200 OK\r\n"
			       "Content-Type: text/plain; charset=UTF-8\r\n"
			       "Content-Length: 118\r\n"
			       "cache-control: no-store\r\n"
			       "Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
			       "Connection: keep-alive\r\n"
			       "Keep-Alive: timeout=5\r\n"
			       "\r\n";

typedef void work_fn(const char *buf, size_t len);

static const struct http1_limits limits = { 8192, 65536 };
static struct http_head head;
static unsigned failures;

static void run_request(const char *buf, size_t len)
{
	const char *why;

	failures += http1_parse_request(buf, len, 0, &limits, &head, &why) != PARSE_DONE;
}

static void run_response(const char *buf, size_t len)
{
	const char *why;

	failures += http1_parse_response(buf, len, 0, &limits, &head, &why) != PARSE_DONE;
}

static void run_trickle(const char *buf, size_t len)
{
	enum parse parse = PARSE_MORE;
	const char *why;

	for (size_t i = 1; i <= len && parse == PARSE_MORE; i++)
		parse = http1_parse_request(buf, i, i - 1, &limits, &head, &why);
	failures += parse != PARSE_DONE;
}

static void run_chunked(const char *buf, size_t len)
{
	struct http1_chunked chunked;
	const char *why;
	struct str data;
	size_t used;
	enum parse parse;

	http1_chunked_init(&chunked);
	do {
		parse = http1_chunked_next(&chunked, buf, len, &used, &data, NULL, &why);
		buf += used;
		len -= used;
	} while (parse == PARSE_MORE && used);
	failures += parse != PARSE_DONE;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t now_cycles(void)
{
#ifdef __x86_64__
	return __rdtsc();
#else
	return 0;
#endif
}

static void measure(const char *name, work_fn *work, const char *buf, size_t len)
{
	double best_ns = 1e18, best_cycles = 1e18;
	uint64_t times = 1;

	for (int round = 0; round < ROUNDS;) {
		uint64_t ns = now_ns(), cycles = now_cycles();

		for (uint64_t i = 0; i < times; i++) {
			work(buf, len);
			__asm__ volatile("" : : : "memory");
		}
		cycles = now_cycles() - cycles;
		ns = now_ns() - ns;
		if (ns < ROUND_NS / 2) {
			times *= 2;
			continue;
		}
		round++;
		if ((double)ns / (double)times < best_ns) {
			best_ns = (double)ns / (double)times;
			best_cycles = (double)cycles / (double)times;
		}
	}
	printf("%-34s %7zu bytes %10.1f ns %8.2f cycles/byte\n", name, len, best_ns,
	       best_cycles / (double)len);
}

int main(void)
{
	static char big[16384], body[65536];
	size_t len = 0;

	measure("request: browser, 10 fields", run_request, browser, sizeof(browser) - 1);
	measure("request: upgrade", run_request, upgrade, sizeof(upgrade) - 1);
	measure("request: smallest", run_request, small, sizeof(small) - 1);
	measure("response: handshake", run_response, response, sizeof(response) - 1);
	measure("request: browser, byte by byte", run_trickle, browser, sizeof(browser) - 1);

	memset(big, 'v', sizeof(big));
	memcpy(big, "GET / HTTP/1.1\r\nHost: a\r\nCookie: ", 33);
	memcpy(big + sizeof(big) - 4, "\r\n\r\n", 4);
	measure("request: 16 KiB cookie", run_request, big, sizeof(big));
	measure("request: the same, byte by byte", run_trickle, big, sizeof(big));

	for (; len + 4096 + 16 < sizeof(body); len += 4096 + 2) {
		len += http1_chunk_line(body + len, 4096);
		memset(body + len, 'b', 4096);
		memcpy(body + len + 4096, "\r\n", 2);
	}
	memcpy(body + len, "0\r\n\r\n", 5);
	measure("chunked: 4 KiB chunks", run_chunked, body, len + 5);
	for (len = 0; len + 32 < sizeof(body); len += 8)
		memcpy(body + len, "3\r\nabc\r\n", 8);
	memcpy(body + len, "0\r\n\r\n", 5);
	measure("chunked: 3 byte chunks", run_chunked, body, len + 5);
	if (failures)
		fprintf(stderr, "%u parses failed\n", failures);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
