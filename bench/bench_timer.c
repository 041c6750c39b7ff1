/* SPDX-License-Identifier: MIT */
/* bench_timer [full] - the timer wheel with many timers, as idle connections set them. */
#include "config.h"

#include "loop/timer.h"

#include "base/mem.h"
#include "micro.h"

#define START_MS  1000000
#define SPREAD_MS 60000

struct item {
	struct timer timer;
	int64_t due_ms; /* when it has to run; 0 = never */
};

static struct wheel wheel;
static int64_t now_ms, late_ms_max;
static uint32_t ran_n, wrong_n;

static void on_timer(struct timer *timer)
{
	struct item *item = (struct item *)timer; /* its first member */

	ran_n++;
	wrong_n += item->due_ms == 0 || item->due_ms > now_ms;
	if (now_ms - item->due_ms > late_ms_max)
		late_ms_max = now_ms - item->due_ms;
	item->due_ms = 0;
}

static void row(const char *what, uint32_t n, uint64_t from_ns, uint64_t ops)
{
	double ns = (double)(micro_ns() - from_ns) / (double)ops;
	char name[96];

	snprintf(name, sizeof(name), "%u k timers: %s", n / 1000, what);
	micro_row(name, ns, 0, sizeof(struct timer));
}

/* In an order and to times that nothing foresees: multiples of primes. */
static void set_all(struct item *items, uint32_t n, int64_t base_ms)
{
	for (uint32_t i = 0; i < n; i++) {
		struct item *item = &items[(uint64_t)i * 1000003 % n];

		item->due_ms = base_ms + 1 + (int64_t)((uint64_t)i * 7919 % SPREAD_MS);
		timer_set(&wheel, &item->timer, item->due_ms);
	}
}

/* Millisecond by millisecond, as a busy loop does; the longest of these steps in *WORST_NS. */
static uint64_t advance(int64_t until_ms, uint64_t *worst_ns)
{
	uint64_t from_ns = micro_ns(), last_ns = from_ns;

	*worst_ns = 0;
	while (now_ms < until_ms) {
		uint64_t ns;

		wheel_advance(&wheel, ++now_ms);
		ns = micro_ns();
		if (ns - last_ns > *worst_ns)
			*worst_ns = ns - last_ns;
		last_ns = ns;
	}
	return from_ns;
}

static void bench_next(bool is_full, uint32_t n)
{
	uint32_t times = is_full ? 10000000 : 100000;
	uint64_t from_ns = micro_ns();
	int64_t sum = 0;

	for (uint32_t i = 0; i < times; i++) {
		sum += wheel_next_ms(&wheel) > now_ms;
		micro_barrier();
	}
	row("when is the next", n, from_ns, times);
	must(sum == times);
}

static void bench(bool is_full, uint32_t n)
{
	struct item *items = xcalloc(n, sizeof(*items));
	uint64_t from_ns, worst_ns;
	char name[64];

	now_ms = START_MS;
	ran_n = wrong_n = 0;
	late_ms_max = 0;
	wheel_init(&wheel, now_ms);
	for (uint32_t i = 0; i < n; i++)
		timer_init(&items[i].timer, on_timer);

	from_ns = micro_ns();
	set_all(items, n, now_ms);
	row("set", n, from_ns, n);
	bench_next(is_full, n);
	from_ns = micro_ns();
	set_all(items, n, now_ms + SPREAD_MS);
	row("push ahead", n, from_ns, n);
	from_ns = advance(START_MS + SPREAD_MS, &worst_ns);
	row("its old time comes, queued again", n, from_ns, n);
	must(ran_n == 0);
	from_ns = advance(START_MS + 2 * SPREAD_MS, &worst_ns);
	row("expiry, over a minute of single milliseconds", n, from_ns, n);
	snprintf(name, sizeof(name), "%u k timers: longest step of these", n / 1000);
	micro_row(name, (double)worst_ns, 0, 0);
	must(ran_n == n && wrong_n == 0 && late_ms_max == 0);

	set_all(items, n, now_ms + SPREAD_MS);
	from_ns = micro_ns();
	set_all(items, n, now_ms);
	row("set to an earlier time", n, from_ns, n);
	from_ns = micro_ns();
	for (uint32_t i = 0; i < n; i++)
		timer_stop(&items[(uint64_t)i * 1000003 % n].timer);
	row("stop", n, from_ns, n);
	from_ns = micro_ns();
	for (uint32_t i = 0; i < n; i++)
		timer_fini(&wheel, &items[(uint64_t)i * 1000003 % n].timer);
	row("take out", n, from_ns, n);
	from_ns = advance(now_ms + 2 * SPREAD_MS, &worst_ns);
	row("a millisecond in which nothing is queued", n, from_ns, 2 * SPREAD_MS);
	must(ran_n == n && wheel_next_ms(&wheel) == -1);
	free(items);
}

int main(int argc, char **argv)
{
	bool is_full = micro_begin(argc, argv, "timers");

	bench(is_full, 10000);
	bench(is_full, is_full ? 1000000 : 50000);
	return 0;
}
