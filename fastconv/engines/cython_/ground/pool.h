/* The threads that compiled kernels run on.

   A job is a function and nthr shares of work that do not wait for each other. A caller takes a free job (`helpers`
   from 0), writes what is to be done, publishes it by its ticket, does share 0 and whatever nobody has begun, waits for
   what others have begun, and frees the job. A thread that still wakes up, or that the system has put aside, holds
   nobody up.

   Who does share k has set claimed[k] to the ticket. A job's tickets only grow, and all shares of one are claimed
   before the job is freed: who comes late, with an old ticket, claims nothing. `share` and `args` are read only after a
   claim, when the job cannot end. A thread looks at a ticket once, as no share is ever given back.

   A thread looks first for the share it did last, whose data its caches may know, then at all jobs: for FC_SPIN_US,
   giving way to whoever wants its core. Then it sleeps. It says so before its last look at the tickets, a caller
   publishes before it looks for sleepers: one of them sees the other.

   As many callers are served at once as can have two threads each, at most FC_JOBS: one more does all its shares alone,
   as does a share that launches. Threads are made when they are first asked for, and again in a forked child, which
   begins with an empty pool. */
#ifndef FC_POOL_H
#define FC_POOL_H
#include <signal.h>
#include <stddef.h>
#include "sleep.h"

#define FC_SPIN_US 1000    /* the breath between two calls of a program that does little else */
#define FC_JOBS 16
#define FC_THREADS 1024    /* at most; the caller does the shares beyond them */

typedef void (*fc_share)(const void *args, ptrdiff_t ithr, ptrdiff_t nthr);

typedef struct { /* in lines of cache by who writes: the caller; who ends; other callers look; who begins */
    _Alignas(64) _Atomic uint64_t ticket; /* how often this job was published << 16 | nthr */
    fc_share share;
    const void *args;
    _Alignas(64) _Atomic ptrdiff_t left;  /* shares that are not done */
    _Atomic int waits;                    /* 1: the caller sleeps until `end` */
    _Alignas(64) _Atomic ptrdiff_t helpers; /* that it may have, 0: the job is free */
    ptrdiff_t most;                       /* helpers ever */
    pthread_cond_t end;
    _Alignas(64) _Atomic uint64_t claimed[FC_THREADS]; /* the last ticket whose share was begun */
} fc_job;

typedef struct {
    fc_sleeper sleeper;
    ptrdiff_t home, share;                /* job and share that it did last */
    uint64_t seen[FC_JOBS];               /* tickets that it is done with */
} fc_worker;

static struct {
    fc_job jobs[FC_JOBS];
    fc_worker workers[FC_THREADS];
    _Atomic ptrdiff_t used, threads, sleepers; /* jobs that were ever taken, threads that were made, that sleep */
    ptrdiff_t cores;                      /* of this process */
    int64_t spin;                         /* nanoseconds */
    pthread_mutex_t lock;                 /* to make threads, and of callers that sleep */
} fc_pool;

static _Thread_local struct {
    ptrdiff_t job;                        /* that this thread took last */
    int inside;                           /* 1: it does shares */
    int as_guest;                         /* 1: its launches run on the threads of fc_host */
} fc_own;

/* OpenMP's `GOMP_parallel` of a library whose threads would take the cores from ours: they spin after its own loops. */
static void (*fc_host)(void (*)(void *), void *, unsigned, unsigned);
static int (*fc_host_place)(void); /* its `omp_get_thread_num` */

/* Does share k of a job, unless somebody has begun it -> whether it did. */
static int fc_claim_share(fc_job *job, uint64_t ticket, ptrdiff_t k) {
    uint64_t before = atomic_load_explicit(&job->claimed[k], memory_order_relaxed);
    if (before >= ticket || !atomic_compare_exchange_strong(&job->claimed[k], &before, ticket)) return 0;
    job->share(job->args, k, (ptrdiff_t)(ticket & 0xffff));
    if (atomic_fetch_sub(&job->left, 1) == 1 && atomic_load(&job->waits)) {
        pthread_mutex_lock(&fc_pool.lock); /* the job may be another caller's by now, who looks and sleeps again */
        pthread_cond_signal(&job->end);
        pthread_mutex_unlock(&fc_pool.lock);
    }
    return 1;
}

/* All shares that nobody has begun, from `first` on -> the first that it did, or -1. */
static ptrdiff_t fc_claim_shares(fc_job *job, uint64_t ticket, ptrdiff_t first) {
    ptrdiff_t n = ticket & 0xffff, did = -1;
    if (n > FC_THREADS) n = FC_THREADS;
    for (ptrdiff_t i = 0, k = first % n; i < n; i++, k = k + 1 < n ? k + 1 : 0)
        if (fc_claim_share(job, ticket, k) && did < 0) did = k;
    return did;
}

/* The next job with a ticket that a thread has not seen, from its own on, or -1. */
static ptrdiff_t fc_unseen(const fc_worker *me) {
    ptrdiff_t used = atomic_load(&fc_pool.used), j = me->home;
    for (ptrdiff_t i = 0; i < used; i++, j = j + 1 < used ? j + 1 : 0)
        if (atomic_load(&fc_pool.jobs[j].ticket) != me->seen[j]) return j;
    return -1;
}

/* Does what is left of job j -> whether there was anything. */
static int fc_help(fc_worker *me, ptrdiff_t j) {
    me->seen[j] = atomic_load(&fc_pool.jobs[j].ticket);
    ptrdiff_t did = fc_claim_shares(&fc_pool.jobs[j], me->seen[j], me->share);
    if (did >= 0) me->home = j, me->share = did;
    return did >= 0;
}

static void fc_rest(fc_worker *me) {
    atomic_store(&me->sleeper.asleep, 1);
    atomic_fetch_add(&fc_pool.sleepers, 1);
    if (fc_unseen(me) >= 0 && atomic_exchange(&me->sleeper.asleep, 0)) atomic_fetch_sub(&fc_pool.sleepers, 1);
    fc_sleep(&me->sleeper);
}

static void *fc_thread(void *arg) {
    fc_worker *me = arg;
    fc_own.inside = 1;
    for (int64_t end = fc_now() + fc_pool.spin;;) {
        for (int k = 0; k < 32; k++) { /* its own share begins at once, others' are left to them for a microsecond */
            uint64_t ticket = atomic_load(&fc_pool.jobs[me->home].ticket);
            if (ticket != me->seen[me->home] && me->share < (ptrdiff_t)(ticket & 0xffff)) break;
            fc_pause();
        }
        ptrdiff_t j = fc_unseen(me);
        if (j < 0 && fc_now() < end) sched_yield();
        else if (j < 0) fc_rest(me), end = fc_now() + fc_pool.spin;
        else if (fc_help(me, j)) end = fc_now() + fc_pool.spin;
    }
    return NULL;
}

/* A job has more helpers than ever: threads for all jobs at once as far as there are cores, and for this one anyhow. If
   the system refuses one, the others do its shares. */
static void fc_make_threads(fc_job *job, ptrdiff_t helpers) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_mutex_lock(&fc_pool.lock);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the threads of Python */
    ptrdiff_t n = 0, made = atomic_load(&fc_pool.threads);
    job->most = helpers;
    for (ptrdiff_t j = 0; j < FC_JOBS; j++) n += fc_pool.jobs[j].most;
    if (n > fc_pool.cores - 1) n = fc_pool.cores - 1;
    if (n < helpers) n = helpers;
    for (; made < n; atomic_store(&fc_pool.threads, ++made)) {
        fc_worker *worker = &fc_pool.workers[made];
        memset(worker, 0, sizeof *worker);
        worker->home = job - fc_pool.jobs;
        worker->share = 1 + made % helpers;
        pthread_mutex_init(&worker->sleeper.lock, NULL);
        pthread_cond_init(&worker->sleeper.wake, NULL);
        if (pthread_create(&worker->sleeper.who, NULL, fc_thread, worker)) break;
        pthread_detach(worker->sleeper.who);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_mutex_unlock(&fc_pool.lock);
}

/* How many threads all jobs may have beyond those that are awake. */
static ptrdiff_t fc_wanted(void) {
    ptrdiff_t n = atomic_load(&fc_pool.sleepers) - atomic_load(&fc_pool.threads), used = atomic_load(&fc_pool.used);
    for (ptrdiff_t j = 0; j < used; j++) n += atomic_load(&fc_pool.jobs[j].helpers);
    return n;
}

static void fc_wake_wanted(void) {
    fc_cores here = fc_cores_here();
    for (ptrdiff_t k = 0; k < atomic_load(&fc_pool.threads) && fc_wanted() > 0; k++)
        if (fc_wake(&fc_pool.workers[k].sleeper, &here)) atomic_fetch_sub(&fc_pool.sleepers, 1);
}

/* In a child that was forked while its parent's threads were anywhere, nothing that they wrote can be relied on. */
static void fc_empty(void) {
    memset(fc_pool.jobs, 0, sizeof fc_pool.jobs);
    for (ptrdiff_t j = 0; j < FC_JOBS; j++) pthread_cond_init(&fc_pool.jobs[j].end, NULL);
    pthread_mutex_init(&fc_pool.lock, NULL);
    fc_pool.used = fc_pool.threads = fc_pool.sleepers = 0;
    fc_host = NULL; /* GNU OpenMP does not survive a fork */
}

static void fc_pool_begin(int spins, ptrdiff_t cores) {
    fc_pool.spin = spins ? FC_SPIN_US * INT64_C(1000) : 0;
    fc_pool.cores = cores < FC_THREADS ? cores : FC_THREADS;
    fc_empty();
    pthread_atfork(NULL, NULL, fc_empty);
}

/* A free job, rather the one that this thread had before, or NULL. */
static fc_job *fc_take_job(ptrdiff_t helpers) {
    ptrdiff_t n = atomic_load(&fc_pool.threads) + 1;
    if (n < fc_pool.cores) n = fc_pool.cores;
    for (ptrdiff_t i = -1; i < FC_JOBS && (i < 1 || i < n / 2); i++) {
        ptrdiff_t j = i < 0 ? fc_own.job : i, free = 0, used = atomic_load(&fc_pool.used);
        if (atomic_load(&fc_pool.jobs[j].helpers)) continue;
        if (!atomic_compare_exchange_strong(&fc_pool.jobs[j].helpers, &free, helpers)) continue;
        while (used <= j && !atomic_compare_exchange_weak(&fc_pool.used, &used, j + 1)) {}
        fc_own.job = j;
        return &fc_pool.jobs[j];
    }
    return NULL;
}

/* Waits for the shares that others have begun: a yield may cost a time slice. */
static void fc_await(fc_job *job) {
    for (int64_t end = fc_now() + fc_pool.spin; atomic_load(&job->left);) {
        for (int k = 0; k < 32 && atomic_load(&job->left); k++) fc_pause();
        if (fc_now() > end) break;
    }
    if (!atomic_load(&job->left)) return;
    pthread_mutex_lock(&fc_pool.lock);
    atomic_store(&job->waits, 1);
    while (atomic_load(&job->left)) pthread_cond_wait(&job->end, &fc_pool.lock);
    atomic_store(&job->waits, 0);
    pthread_mutex_unlock(&fc_pool.lock);
}

typedef struct {
    fc_share share;
    const void *args;
    ptrdiff_t nthr;
    _Atomic uint64_t begun; /* shares, a bit each */
} fc_region;

/* One thread of a region: the share of its place, then all that nobody has begun. */
static void fc_region_thread(void *arg) {
    fc_region *r = arg;
    int inside = fc_own.inside;
    ptrdiff_t k = fc_host_place() % r->nthr;
    fc_own.inside = 1;
    for (ptrdiff_t i = 0; i < r->nthr; i++, k = k + 1 < r->nthr ? k + 1 : 0)
        if (!(atomic_fetch_or(&r->begun, UINT64_C(1) << k) >> k & 1)) r->share(r->args, k, r->nthr);
    fc_own.inside = inside;
}

/* Every share of a job; returns when all are done. */
static void fc_launch(fc_share share, const void *args, ptrdiff_t nthr) {
    int inside = fc_own.inside;
    if (nthr > 1 && nthr <= 64 && !inside && fc_own.as_guest && fc_host) {
        fc_region region = {share, args, nthr, 0};
        fc_host(fc_region_thread, &region, (unsigned)nthr, 0);
        return;
    }
    ptrdiff_t most = nthr < FC_THREADS ? nthr : FC_THREADS, done = 0;
    fc_job *job = nthr > 1 && nthr <= 0xffff && !inside ? fc_take_job(most - 1) : NULL;
    fc_own.inside |= nthr > 1;
    if (job) {
        if (job->most < most - 1) fc_make_threads(job, most - 1);
        uint64_t ticket = ((atomic_load(&job->ticket) >> 16) + 1) << 16 | (uint64_t)nthr;
        job->share = share;
        job->args = args;
        atomic_store(&job->left, most);
        atomic_store(&job->ticket, ticket);
        if (atomic_load(&fc_pool.sleepers) && fc_wanted() > 0) fc_wake_wanted();
        fc_claim_shares(job, ticket, 0);
        done = most;
    }
    for (ptrdiff_t k = done; k < nthr; k++) share(args, k, nthr);
    fc_own.inside = inside;
    if (!job) return;
    if (atomic_load(&job->left)) fc_await(job);
    atomic_store(&job->helpers, 0);
}

static void fc_set_host(ptrdiff_t parallel, ptrdiff_t place) {
    fc_host_place = (int (*)(void))place;
    fc_host = (void (*)(void (*)(void *), void *, unsigned, unsigned))parallel;
}

static int fc_be_guest(int on) {
    int before = fc_own.as_guest;
    fc_own.as_guest = on;
    return before;
}
#endif
