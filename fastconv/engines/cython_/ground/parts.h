/* Shares that even out: a core of a shared host, or one of another kind, may be half as fast as the next. A thread has
   as many jobs as the others and does half of what it has left, from the front; who has none left takes half of
   another's, from the end. No result may depend on who does a job. */
#ifndef FC_PARTS_H
#define FC_PARTS_H
#include "pool.h"

#define FC_EVEN_THREADS 256 /* that even out; of more, each does its own jobs */

/* Jobs [first, end) on thread ithr, which has done a part before: again */
typedef void (*fc_part)(const void *args, ptrdiff_t first, ptrdiff_t end, ptrdiff_t ithr, int again);

typedef struct {
    _Alignas(64) uint64_t left; /* of a crew's jobs: first << 32 | one behind the last */
} fc_range;

typedef struct {
    fc_part part;
    const void *args;
    ptrdiff_t jobs, ways;
    fc_range *ranges; /* one a thread, or NULL */
} fc_parts;

static int fc_take_half(fc_range *r, int front, ptrdiff_t *first, ptrdiff_t *end) {
    uint64_t left = __atomic_load_n(&r->left, __ATOMIC_RELAXED), a, e, half;
    do {
        a = left >> 32, e = left & UINT32_MAX, half = (e - a + 1) / 2;
        if (!half) return 0;
        *first = (ptrdiff_t)(front ? a : e - half);
        *end = (ptrdiff_t)(front ? a + half : e);
    } while (!__atomic_compare_exchange_n(&r->left, &left, front ? (a + half) << 32 | e : a << 32 | (e - half), 1,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return 1;
}

/* Threads of a crew do the same jobs, each its way of them; `ways` beside each other are a crew. */
static void fc_parts_share(const void *arguments, ptrdiff_t ithr, ptrdiff_t nthr) {
    const fc_parts *p = arguments;
    ptrdiff_t crews = nthr / p->ways, crew = ithr / p->ways, first, end;
    int again = 0;
    if (crew >= crews) return;
    if (!p->ranges) {
        first = p->jobs * crew / crews, end = p->jobs * (crew + 1) / crews;
        if (first < end) p->part(p->args, first, end, ithr, 0);
        return;
    }
    for (ptrdiff_t k = 0; k < crews; k++) {
        ptrdiff_t of = (crew + k) % crews, base = p->jobs * of / crews;
        while (fc_take_half(&p->ranges[of * p->ways + ithr % p->ways], k == 0, &first, &end)) {
            p->part(p->args, base + first, base + end, ithr, again);
            again = 1;
        }
    }
}

static void fc_launch_parts(fc_part part, const void *args, ptrdiff_t jobs, ptrdiff_t nthr, ptrdiff_t ways) {
    ptrdiff_t crews = nthr / ways, even = crews > 1 && nthr <= FC_EVEN_THREADS && jobs / crews < UINT32_MAX;
    fc_range ranges[even ? nthr : 1]; /* on the caller's stack, which waits for all */
    for (ptrdiff_t t = 0; even && t < crews * ways; t++) {
        ptrdiff_t crew = t / ways;
        ranges[t].left = (uint64_t)(jobs * (crew + 1) / crews - jobs * crew / crews);
    }
    fc_parts parts = {part, args, jobs, ways, even ? ranges : NULL};
    fc_launch(fc_parts_share, &parts, nthr);
}
#endif
