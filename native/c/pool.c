#if defined(__linux__)
#define _GNU_SOURCE /* for pthread_setname_np and posix_memalign */
#endif
#include "pool.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "portable.h"

enum { SPINS_BEFORE_YIELD = 2000 };

struct sovits_pool {
    int32_t threads, started;
    thread_handle *thread;

    mutex busy; /* held while a task is prepared and run */
    void *scratch;
    int64_t scratch_bytes;

    mutex lock; /* of what follows */
    condition wake;
    uint64_t task_number;
    pool_task *task;
    void *context;
    int32_t ending;

    _Atomic int32_t arrived, barrier_number;
};

int32_t pool_threads(const sovits_pool *p) { return p->threads; }

void pool_lock(sovits_pool *p) { mutex_lock(&p->busy); }

void pool_unlock(sovits_pool *p) { mutex_unlock(&p->busy); }

void *pool_scratch(sovits_pool *p, int64_t bytes) {
    if (bytes > p->scratch_bytes) {
        memory_free(p->scratch);
        p->scratch_bytes = 0;
        p->scratch = memory_new(CACHE_LINE, (size_t)bytes);
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
        if (spins > SPINS_BEFORE_YIELD) thread_yield();
        spin_hint();
    }
}

void pool_run(sovits_pool *p, pool_task *task, void *context) {
    if (p->threads > 1) {
        mutex_lock(&p->lock);
        p->task = task;
        p->context = context;
        p->task_number++;
        condition_wake_all(&p->wake);
        mutex_unlock(&p->lock);
    }
    task(context, 0);
    pool_barrier(p);
}

struct worker {
    sovits_pool *pool;
    int32_t thread;
};

static thread_result THREAD_CALL run_worker(void *argument) {
    struct worker worker = *(struct worker *)argument;
    sovits_pool *p = worker.pool;
    free(argument);
    thread_introduce("sovits-gpt");
    for (uint64_t done = 0;;) {
        mutex_lock(&p->lock);
        while (p->task_number == done && !p->ending) condition_wait(&p->wake, &p->lock);
        int32_t ending = p->ending;
        pool_task *task = p->task;
        void *context = p->context;
        done = p->task_number;
        mutex_unlock(&p->lock);
        if (ending) return 0;
        task(context, worker.thread);
        pool_barrier(p);
    }
}

static int start_worker(sovits_pool *p, int32_t thread) {
    struct worker *worker = malloc(sizeof *worker);
    if (!worker) return 0;
    *worker = (struct worker){p, thread};
    if (thread_start(&p->thread[thread], run_worker, worker)) return 1;
    free(worker);
    return 0;
}

sovits_pool *sovits_pool_new(int32_t threads) {
    sovits_pool *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->threads = threads < 1 ? 1 : threads;
    p->thread = calloc((size_t)p->threads, sizeof *p->thread);
    mutex_init(&p->busy);
    mutex_init(&p->lock);
    condition_init(&p->wake);
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
    mutex_lock(&p->lock);
    p->ending = 1;
    condition_wake_all(&p->wake);
    mutex_unlock(&p->lock);
    for (int32_t i = 1; i < p->started; i++) thread_join(p->thread[i]);
    mutex_destroy(&p->busy);
    mutex_destroy(&p->lock);
    condition_destroy(&p->wake);
    free(p->thread);
    memory_free(p->scratch);
    free(p);
}
