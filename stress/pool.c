/* Threads that call the pool of ground/pool.h at once, for ThreadSanitizer: POOL CALLERS ROUNDS SPINS.

   A share reads what its caller wrote, writes to places of its own, which the caller reads when the launch has ended;
   some launch again. Ends with 1 if a sum is wrong. With -DPLANTED all shares of a call add to one number. */
#include <stdio.h>
#include <stdlib.h>
#include "ground/pool.h"

enum { PLACES = 64, CALLERS = 64 };

typedef struct {
    int in[PLACES], out[PLACES], total, nests;
} work;

static int rounds;

static void add(const void *args, ptrdiff_t ithr, ptrdiff_t nthr) {
    work *w = (work *)args;
    for (ptrdiff_t i = PLACES * ithr / nthr; i < PLACES * (ithr + 1) / nthr; i++) w->out[i] += w->in[i];
#ifdef PLANTED
    w->total++;
#endif
    if (w->nests && ithr == 0) {
        work inner = {.in = {1}};
        fc_launch(add, &inner, nthr);
        w->total = inner.out[0];
    }
}

static void *calls(void *arg) {
    unsigned seed = (unsigned)(size_t)arg;
    size_t wrong = 0;
    work w = {.nests = 0};
    for (int k = 0; k < rounds; k++) {
        int most = rand_r(&seed) % 8 + 1;
        w.nests = rand_r(&seed) % 4 == 0;
        for (int i = 0; i < PLACES; i++) w.in[i] = rand_r(&seed), w.out[i] = ~w.in[i];
        fc_launch(add, &w, most);
        for (int i = 0; i < PLACES; i++) wrong += w.out[i] != -1;
        if (rand_r(&seed) % 16 == 0) nanosleep(&(struct timespec){0, 100000}, NULL);
    }
    return (void *)wrong;
}

int main(int argc, char **argv) {
    pthread_t who[CALLERS];
    size_t wrong = 0;
    int callers = argc == 4 ? atoi(argv[1]) : 0;
    if (callers < 1 || callers > CALLERS) return 2;
    rounds = atoi(argv[2]);
    fc_pool_begin(atoi(argv[3]), 4);
    for (int k = 0; k < callers; k++) pthread_create(&who[k], NULL, calls, (void *)(size_t)(k + 1));
    for (int k = 0; k < callers; k++) {
        void *one;
        pthread_join(who[k], &one);
        wrong += (size_t)one;
    }
    printf("%zu wrong\n", wrong);
    return wrong > 0;
}
