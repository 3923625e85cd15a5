/* The threads that compiled kernels run on.

   A job is a function and nthr shares of work that do not wait for each other. The caller publishes it, does share 0,
   and then whatever nobody has begun: a thread that still wakes up, or that the system has put aside, holds nobody up.
   Share k is for thread k, whose caches may know it; another takes it only when it has nothing left to do.

   A thread that waits looks for the next job for FC_SPIN_US, giving way to whoever wants its core, and then sleeps.
   There is one job at a time: who finds the pool taken (another Python thread, or a share itself) does all its shares
   alone. Threads are made when they are first asked for, and again in a forked child. */
#ifndef FC_POOL_H
#define FC_POOL_H
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define FC_SPIN_US 1000    /* the breath between two calls of a program that does little else */
#define FC_THREADS 1024    /* at most; the caller does the shares beyond them */

typedef void (*fc_share)(const void *args, ptrdiff_t ithr, ptrdiff_t nthr);

static struct {
    fc_share share; /* the job: written before its ticket, read by who has claimed one of its shares */
    const void *args;
    _Atomic uint64_t ticket;               /* number of the job << 16 | nthr */
    _Atomic uint64_t claimed[FC_THREADS];  /* the last job whose share was begun */
    _Atomic ptrdiff_t left;                /* shares that are not done */
    _Atomic int taken, sleepers, waits;    /* 1: a job runs; threads that sleep; 1: the caller sleeps */
    int64_t spin;                          /* nanoseconds */
    ptrdiff_t threads;                     /* that were made, and who they are */
    pthread_t who[FC_THREADS];
#ifdef __linux__
    cpu_set_t cores;                       /* that the caller may use */
#endif
    pthread_mutex_t lock;
    pthread_cond_t job, end;
} fc_pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .job = PTHREAD_COND_INITIALIZER, .end = PTHREAD_COND_INITIALIZER};

static int64_t fc_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void fc_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Spins while a condition holds, for as long as threads do; between looks it does what `way` says. */
#define FC_SPIN(condition, way)                                             \
    for (int64_t end = fc_now() + fc_pool.spin; (condition); way) {         \
        for (int k = 0; k < 32 && (condition); k++) fc_pause();             \
        if (fc_now() > end) break;                                          \
    }

/* Does share k of a job, unless somebody has begun it. */
static void fc_claim_share(uint64_t ticket, ptrdiff_t k) {
    uint64_t before = atomic_load_explicit(&fc_pool.claimed[k], memory_order_relaxed);
    if (before >= ticket || !atomic_compare_exchange_strong(&fc_pool.claimed[k], &before, ticket)) return;
    fc_pool.share(fc_pool.args, k, (ptrdiff_t)(ticket & 0xffff));
    if (atomic_fetch_sub(&fc_pool.left, 1) == 1 && atomic_load(&fc_pool.waits)) {
        pthread_mutex_lock(&fc_pool.lock);
        pthread_cond_signal(&fc_pool.end);
        pthread_mutex_unlock(&fc_pool.lock);
    }
}

/* All shares that nobody has begun, the one of thread ithr first. */
static void fc_claim_shares(uint64_t ticket, ptrdiff_t ithr) {
    ptrdiff_t n = ticket & 0xffff;
    if (n > FC_THREADS) n = FC_THREADS;
    for (ptrdiff_t k = 0; k < n; k++) fc_claim_share(ticket, (ithr + k) % n);
}

static void *fc_thread(void *arg) {
    uint64_t seen = 0, ticket;
    for (;;) {
        FC_SPIN(atomic_load_explicit(&fc_pool.ticket, memory_order_acquire) == seen, sched_yield())
        if (atomic_load(&fc_pool.ticket) == seen) {
            pthread_mutex_lock(&fc_pool.lock);
            atomic_fetch_add(&fc_pool.sleepers, 1);
            while (atomic_load(&fc_pool.ticket) == seen) pthread_cond_wait(&fc_pool.job, &fc_pool.lock);
            atomic_fetch_sub(&fc_pool.sleepers, 1);
#ifdef __linux__
            if (CPU_COUNT(&fc_pool.cores)) sched_setaffinity(0, sizeof fc_pool.cores, &fc_pool.cores);
#endif
            pthread_mutex_unlock(&fc_pool.lock);
        }
        seen = ticket = atomic_load(&fc_pool.ticket);
        if ((intptr_t)arg < (ptrdiff_t)(ticket & 0xffff)) fc_claim_shares(ticket, (intptr_t)arg);
    }
    return NULL;
}

/* Threads 1 .. n - 1; if the system refuses one, the others do its shares. */
static void fc_make_threads(ptrdiff_t n) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the threads of Python */
    while (fc_pool.threads + 1 < n) {
        pthread_t *thread = &fc_pool.who[fc_pool.threads + 1];
        if (pthread_create(thread, NULL, fc_thread, (void *)(intptr_t)(fc_pool.threads + 1))) break;
        pthread_detach(*thread);
        fc_pool.threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Wakes who sleeps. Linux would often wake them on the caller's own core, where they wait until it has done everything
   (on a virtual machine a core that rests does not count as idle): they are told to keep off it until they are awake. */
static void fc_wake(ptrdiff_t nthr) {
    pthread_mutex_lock(&fc_pool.lock);
#ifdef __linux__
    cpu_set_t others;
    int here = sched_getcpu();
    if (here >= 0 && here < CPU_SETSIZE && !sched_getaffinity(0, sizeof others, &others)) {
        fc_pool.cores = others;
        CPU_CLR(here, &others);
        for (ptrdiff_t k = 1; CPU_COUNT(&others) && k < nthr && k <= fc_pool.threads; k++)
            pthread_setaffinity_np(fc_pool.who[k], sizeof others, &others);
    }
#endif
    pthread_cond_broadcast(&fc_pool.job);
    pthread_mutex_unlock(&fc_pool.lock);
}

/* A child has one thread: its parent's pool, and what somebody's locks were, is not there. A job that the parent was at
   is nothing that the child's new threads may begin. */
static void fc_forked(void) {
    fc_pool.threads = 0;
    for (ptrdiff_t k = 0; k < FC_THREADS; k++) atomic_store(&fc_pool.claimed[k], atomic_load(&fc_pool.ticket));
    atomic_store(&fc_pool.taken, 0);
    atomic_store(&fc_pool.sleepers, 0);
    atomic_store(&fc_pool.waits, 0);
    pthread_mutex_init(&fc_pool.lock, NULL);
    pthread_cond_init(&fc_pool.job, NULL);
    pthread_cond_init(&fc_pool.end, NULL);
}

static void fc_pool_begin(int spins) {
    fc_pool.spin = spins ? FC_SPIN_US * INT64_C(1000) : 0;
    pthread_atfork(NULL, NULL, fc_forked);
}

/* Every share of a job; returns when all are done. */
static void fc_launch(fc_share share, const void *args, ptrdiff_t nthr) {
    if (nthr <= 1 || nthr > 0xffff || atomic_exchange(&fc_pool.taken, 1)) {
        for (ptrdiff_t k = 0; k < nthr; k++) share(args, k, nthr);
        return;
    }
    ptrdiff_t most = nthr < FC_THREADS ? nthr : FC_THREADS;
    if (fc_pool.threads + 1 < most) fc_make_threads(most);
    uint64_t ticket = ((atomic_load(&fc_pool.ticket) >> 16) + 1) << 16 | (uint64_t)nthr;
    fc_pool.share = share;
    fc_pool.args = args;
    atomic_store(&fc_pool.left, most);
    atomic_store(&fc_pool.ticket, ticket);
    if (atomic_load(&fc_pool.sleepers)) fc_wake(most);
    fc_claim_shares(ticket, 0);
    for (ptrdiff_t k = most; k < nthr; k++) share(args, k, nthr);
    FC_SPIN(atomic_load_explicit(&fc_pool.left, memory_order_acquire), fc_pause()) /* a yield may cost a time slice */
    if (atomic_load(&fc_pool.left)) {
        pthread_mutex_lock(&fc_pool.lock);
        atomic_store(&fc_pool.waits, 1);
        while (atomic_load(&fc_pool.left)) pthread_cond_wait(&fc_pool.end, &fc_pool.lock);
        atomic_store(&fc_pool.waits, 0);
        pthread_mutex_unlock(&fc_pool.lock);
    }
    atomic_store(&fc_pool.taken, 0);
}
#endif
