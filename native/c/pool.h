/* A pool of threads that wait for a task, run it together and meet at barriers inside it. */
#ifndef SOVITS_POOL_H
#define SOVITS_POOL_H

#include "gpt_step.h"

enum { CACHE_LINE = 64 };

/* What each thread runs; `thread` is 0 for the caller's. */
typedef void pool_task(void *context, int32_t thread);

int32_t pool_threads(const sovits_pool *pool);

/* One task runs at a time: pool_scratch and pool_run are called while the pool is locked. */
void pool_lock(sovits_pool *pool);
void pool_unlock(sovits_pool *pool);

/* Memory that the pool keeps from task to task, from the start of a cache line on, its content undefined; NULL without
 * memory. */
void *pool_scratch(sovits_pool *pool, int64_t bytes);

/* Runs a task on all threads and returns when every one has ended it. */
void pool_run(sovits_pool *pool, pool_task *task, void *context);

/* Returns once all threads of a task have come here. */
void pool_barrier(sovits_pool *pool);

#endif
