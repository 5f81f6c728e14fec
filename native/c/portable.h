/* Threads, locks and memory of Windows and of POSIX under one name each. */
#ifndef SOVITS_PORTABLE_H
#define SOVITS_PORTABLE_H

#include <stddef.h>
#include <stdlib.h>

#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <malloc.h>
#include <process.h>
#include <windows.h>

typedef SRWLOCK mutex;
typedef CONDITION_VARIABLE condition;
typedef HANDLE thread_handle;
typedef unsigned thread_result;
#define THREAD_CALL __stdcall

static inline void mutex_init(mutex *m) { InitializeSRWLock(m); }
static inline void mutex_lock(mutex *m) { AcquireSRWLockExclusive(m); }
static inline void mutex_unlock(mutex *m) { ReleaseSRWLockExclusive(m); }
static inline void mutex_destroy(mutex *m) { (void)m; }
static inline void condition_init(condition *c) { InitializeConditionVariable(c); }
static inline void condition_wait(condition *c, mutex *m) { SleepConditionVariableSRW(c, m, INFINITE, 0); }
static inline void condition_wake_all(condition *c) { WakeAllConditionVariable(c); }
static inline void condition_destroy(condition *c) { (void)c; }

static inline int thread_start(thread_handle *t, thread_result(THREAD_CALL *run)(void *), void *argument) {
    *t = (HANDLE)_beginthreadex(NULL, 0, run, argument, 0, NULL);
    return *t != NULL;
}
static inline void thread_join(thread_handle t) {
    WaitForSingleObject(t, INFINITE);
    CloseHandle(t);
}
static inline void thread_yield(void) { SwitchToThread(); }

static inline void *memory_new(size_t alignment, size_t bytes) { return _aligned_malloc(bytes, alignment); }
static inline void memory_free(void *memory) { _aligned_free(memory); }

#else

#include <pthread.h>
#include <sched.h>

typedef pthread_mutex_t mutex;
typedef pthread_cond_t condition;
typedef pthread_t thread_handle;
typedef void *thread_result;
#define THREAD_CALL

static inline void mutex_init(mutex *m) { pthread_mutex_init(m, NULL); }
static inline void mutex_lock(mutex *m) { pthread_mutex_lock(m); }
static inline void mutex_unlock(mutex *m) { pthread_mutex_unlock(m); }
static inline void mutex_destroy(mutex *m) { pthread_mutex_destroy(m); }
static inline void condition_init(condition *c) { pthread_cond_init(c, NULL); }
static inline void condition_wait(condition *c, mutex *m) { pthread_cond_wait(c, m); }
static inline void condition_wake_all(condition *c) { pthread_cond_broadcast(c); }
static inline void condition_destroy(condition *c) { pthread_cond_destroy(c); }

static inline int thread_start(thread_handle *t, thread_result(THREAD_CALL *run)(void *), void *argument) {
    return !pthread_create(t, NULL, run, argument);
}
static inline void thread_join(thread_handle t) { pthread_join(t, NULL); }
static inline void thread_yield(void) { sched_yield(); }

static inline void *memory_new(size_t alignment, size_t bytes) {
    void *memory;
    return posix_memalign(&memory, alignment, bytes) ? NULL : memory;
}
static inline void memory_free(void *memory) { free(memory); }

#endif

/* What a worker does first: a name, for those who list threads, and on macOS the class of work that somebody waits
 * for; workers without one may be put on the slow cores, and the barriers wait for the slowest. */
static inline void thread_introduce(const char *name) {
#if defined(__APPLE__)
    pthread_setname_np(name);
    pthread_set_qos_class_self_np(QOS_CLASS_USER_INITIATED, 0);
#elif defined(__linux__)
    pthread_setname_np(pthread_self(), name);
#else
    (void)name;
#endif
}

/* Inside a loop that waits: leaves the core's other thread its turn, and saves power. */
static inline void spin_hint(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory"); /* `yield` does nothing on most of them */
#endif
}

#endif
