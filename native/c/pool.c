#if defined(__linux__)
#define _GNU_SOURCE /* for pthread_setname_np and posix_memalign */
#endif
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { SPINS_BEFORE_YIELD = 2000 };

struct sovits_pool {
    int32_t threads, started;
    pthread_t *thread;

    pthread_mutex_t busy; /* held while a task is prepared and run */
    void *scratch;
    int64_t scratch_bytes;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    uint64_t task_number;
    pool_task *task;
    void *context;
    int32_t ending;

    _Atomic int32_t arrived, barrier_number;
};

int32_t pool_threads(const sovits_pool *p) { return p->threads; }

void pool_lock(sovits_pool *p) { pthread_mutex_lock(&p->busy); }

void pool_unlock(sovits_pool *p) { pthread_mutex_unlock(&p->busy); }

void *pool_scratch(sovits_pool *p, int64_t bytes) {
    if (bytes > p->scratch_bytes) {
        free(p->scratch);
        p->scratch_bytes = 0;
        if (posix_memalign(&p->scratch, CACHE_LINE, (size_t)bytes)) p->scratch = NULL;
        if (p->scratch) p->scratch_bytes = bytes;
    }
    return p->scratch;
}

/* The wait is short, so it spins before it gives its core away. */
void pool_barrier(sovits_pool *p) {
    int32_t number = atomic_load_explicit(&p->barrier_number, memory_order_acquire);
    if (p->threads == 1) return;
    if (atomic_fetch_add_explicit(&p->arrived, 1, memory_order_acq_rel) == p->threads - 1) {
        atomic_store_explicit(&p->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&p->barrier_number, number + 1, memory_order_release);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&p->barrier_number, memory_order_acquire) == number; spins++) {
        if (spins > SPINS_BEFORE_YIELD) sched_yield();
#if defined(__x86_64__)
        _mm_pause();
#endif
    }
}

void pool_run(sovits_pool *p, pool_task *task, void *context) {
    if (p->threads > 1) {
        pthread_mutex_lock(&p->lock);
        p->task = task;
        p->context = context;
        p->task_number++;
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
    task(context, 0);
    pool_barrier(p);
}

struct worker {
    sovits_pool *pool;
    int32_t thread;
};

static void *run_worker(void *argument) {
    struct worker worker = *(struct worker *)argument;
    sovits_pool *p = worker.pool;
    free(argument);
#if defined(__linux__)
    pthread_setname_np(pthread_self(), "sovits-gpt");
#elif defined(__APPLE__)
    pthread_setname_np("sovits-gpt");
#endif
    for (uint64_t done = 0;;) {
        pthread_mutex_lock(&p->lock);
        while (p->task_number == done && !p->ending) pthread_cond_wait(&p->wake, &p->lock);
        int32_t ending = p->ending;
        pool_task *task = p->task;
        void *context = p->context;
        done = p->task_number;
        pthread_mutex_unlock(&p->lock);
        if (ending) return NULL;
        task(context, worker.thread);
        pool_barrier(p);
    }
}

static int start_worker(sovits_pool *p, int32_t thread) {
    struct worker *worker = malloc(sizeof *worker);
    if (!worker) return 0;
    *worker = (struct worker){p, thread};
    if (!pthread_create(&p->thread[thread], NULL, run_worker, worker)) return 1;
    free(worker);
    return 0;
}

sovits_pool *sovits_pool_new(int32_t threads) {
    sovits_pool *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->threads = threads < 1 ? 1 : threads;
    p->thread = calloc((size_t)p->threads, sizeof *p->thread);
    pthread_mutex_init(&p->busy, NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->started = 1; /* the caller's */
    while (p->thread && p->started < p->threads && start_worker(p, p->started)) p->started++;
    if (!p->thread || p->started < p->threads) {
        sovits_pool_free(p);
        return NULL;
    }
    return p;
}

void sovits_pool_free(sovits_pool *p) {
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->ending = 1;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int32_t i = 1; i < p->started; i++) pthread_join(p->thread[i], NULL);
    pthread_mutex_destroy(&p->busy);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    free(p->thread);
    free(p->scratch);
    free(p);
}
