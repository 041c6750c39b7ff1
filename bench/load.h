/* SPDX-License-Identifier: MIT */
/*
 * load - what the parts of the load generator share.  One process, one thread, one epoll set.
 *
 *	load.c		options, the loop, the measured window, what is printed
 *	load_client.c	the clients: closed loop, open loop, WebSocket, idle
 *	load_tls.c	the bytes of a client, with or without TLS
 *	load_origin.c	the servers behind the proxy
 *	load_watch.c	processor time of the proxy, latencies, addresses
 *
 * Instants and spans are nanoseconds of CLOCK_MONOTONIC.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#define SECOND      1000000000ull
#define ROOM        (256 * 1024) /* bytes of a receive at most */
#define ORIGINS_MAX 16
#define PIDS_MAX    64
#define SID_LENGTH  20
#define SIDS_MAX    (16u << 20) /* the last four characters of an id count it */

enum mode { MODE_KEEP, MODE_CLOSE, MODE_WS, MODE_IDLE, MODE_ORIGIN, MODE_N };
enum engine { ENGINE_NONE, ENGINE_FILL, ENGINE_ASK, ENGINE_POLL };

struct address {
	struct sockaddr_storage sa;
	socklen_t length;
};

struct options {
	enum mode mode;
	struct address target;
	struct address origins[ORIGINS_MAX];
	unsigned origins_n;
	unsigned conns;
	double seconds, warm_seconds, interval_seconds;
	uint64_t most;     /* requests; 0: no end */
	uint64_t rate;     /* requests a second, open loop; 0: closed loop */
	unsigned ws_bytes; /* payload of a message, under 126 */
	const char *path;
	bool tls, resume, tls12;
	bool bare;    /* MODE_CLOSE without "Connection: close" */
	bool cookies; /* what Set-Cookie said is sent from then on */
	bool sleep;   /* in epoll_wait, instead of spinning */
	bool upgrade; /* MODE_IDLE: a WebSocket */
	enum engine engine;
	unsigned sids;
	const char *sids_file;
	int pids[PIDS_MAX];
	unsigned pids_n;
};

/* What went wrong, each kind for itself; sum of all: tally_failed(). */
struct tally {
	uint64_t requests, bytes;
	uint64_t connect; /* refused, or no port left */
	uint64_t reset;   /* an error of the socket while an answer was awaited */
	uint64_t cut;     /* the end before the whole of an answer */
	uint64_t status;  /* an answer other than 200 and 101, or no HTTP */
	uint64_t length;  /* another length than asked for, or something behind the answer */
	uint64_t tls;
	uint64_t astray; /* a session, or the bearer of a cookie, at another server than before */
	uint64_t stuck;  /* at the end: no answer for a second */
	uint64_t idle_closed; /* not a failure: the proxy closed while nothing was under way */
	uint64_t handshakes, resumed;
	uint64_t opened; /* connections of clients */
	uint64_t made;   /* Engine.IO sessions that the origin opened */
};

/* Whatever is in the epoll set begins with this. */
struct source {
	void (*on_event)(struct source *source, uint32_t events);
	int fd;
};

extern struct options opt;
extern struct tally tally;
extern int epoll;
extern char room[ROOM + 1]; /* what a receive is for; nothing stays in it */

/* load_client.c */
struct client {
	struct source source;
	int state;
	SSL *ssl;             /* (own) */
	SSL_SESSION *session; /* (own) for the next connection; single use */
	uint64_t asked_at;    /* when the request was due */
	uint64_t left;        /* of the body */
	uint64_t want;        /* length of the body as asked for; UINT64_MAX: any */
	char *part;           /* (own) a head, so far */
	uint32_t part_length;
	bool queued;  /* has a place among the free */
	bool closing; /* the answer said Connection: close */
	char home;    /* first byte of the first body: names the server; 0: none yet */
	char cookie[120];
};

void clients_open(void);
void clients_after_batch(uint64_t now);
/* When the next request is due; 0: none is ever due by itself. */
uint64_t clients_due(void);
unsigned clients_held(void);
void clients_stuck(uint64_t now);
/* From then on latencies count. */
extern struct hist latency, latency_interval;
void client_sids(uint8_t *owners);

/* load_tls.c: return bytes, 0 at the end, -EAGAIN, another negative errno, -EPROTO for TLS itself.
 */
void tls_setup(void);
int tls_begin(struct client *c);
int tls_shake(struct client *c); /* 1: done */
int wire_send(struct client *c, const char *data, size_t size);
int wire_recv(struct client *c, char *data, size_t size);
void tls_end(struct client *c);

/* load_origin.c */
void origins_open(uint8_t *owners);
void sid_write(uint32_t n, char sid[SID_LENGTH]);
bool sid_read(const char *sid, uint32_t *n);

/* load_watch.c */
#define HIST_N (60 * 32)
struct hist {
	uint64_t n, max;
	uint64_t slots[HIST_N];
};
void hist_add(struct hist *h, uint64_t ns);
/* The upper end of the slot in which the share Q (0 to 1) of all lies; of the last: the maximum. */
uint64_t hist_quantile(const struct hist *h, double q);

struct watch {
	uint64_t at;
	uint64_t cpu;       /* of the proxy */
	uint64_t wait;      /* of the proxy, for a processor that others had */
	uint64_t self_wait; /* of the load */
	uint64_t steal;     /* of the whole machine */
	uint64_t idle;      /* turns of the loop that found nothing, spinning */
};
void watch_pids(int root);
void watch_read(struct watch *w);
uint64_t now_ns(void);
void address_parse(const char *text, struct address *a);
void die(const char *what, const char *why) __attribute__((noreturn));
uint64_t number_parse(const char *text, uint64_t max);

#endif
