/* A thread of the pool that waits: looking, and then asleep until another thread wakes it.

   Linux would often wake it on the other's own core, where it waits until the other has nothing to do (on a virtual
   machine a core that rests does not count as idle): it is told to keep off that core until it is awake. */
#ifndef FC_SLEEP_H
#define FC_SLEEP_H
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#ifdef __linux__
typedef struct {
    cpu_set_t all, others; /* that a thread may use; without the one it is on */
} fc_cores;
#else
typedef int fc_cores;
#endif

typedef struct {
    pthread_t who;
    _Atomic int asleep; /* 1: says that it will wait; who sets it back to 0, itself or another, has woken it */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    fc_cores cores;     /* of who woke it; none: nothing to put back */
} fc_sleeper;

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

/* None if the system does not say. */
static fc_cores fc_cores_here(void) {
    fc_cores cores;
    memset(&cores, 0, sizeof cores);
#ifdef __linux__
    int here = sched_getcpu();
    if (here < 0 || here >= CPU_SETSIZE || sched_getaffinity(0, sizeof cores.all, &cores.all)) return cores;
    cores.others = cores.all;
    CPU_CLR(here, &cores.others);
#endif
    return cores;
}

/* Until `asleep` is 0. */
static void fc_sleep(fc_sleeper *me) {
    pthread_mutex_lock(&me->lock);
    while (atomic_load(&me->asleep)) pthread_cond_wait(&me->wake, &me->lock);
#ifdef __linux__
    if (CPU_COUNT(&me->cores.all)) sched_setaffinity(0, sizeof me->cores.all, &me->cores.all);
    CPU_ZERO(&me->cores.all);
#endif
    pthread_mutex_unlock(&me->lock);
}

/* -> whether it slept. */
static int fc_wake(fc_sleeper *other, const fc_cores *here) {
    if (!atomic_load(&other->asleep)) return 0;
    pthread_mutex_lock(&other->lock); /* until it is told where to run */
    int slept = atomic_exchange(&other->asleep, 0);
    if (slept) {
#ifdef __linux__
        if (CPU_COUNT(&here->others) && !pthread_setaffinity_np(other->who, sizeof here->others, &here->others))
            other->cores = *here;
#else
        (void)here;
#endif
        pthread_cond_signal(&other->wake);
    }
    pthread_mutex_unlock(&other->lock);
    return slept;
}
#endif
