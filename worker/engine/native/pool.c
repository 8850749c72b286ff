/* The pool: threads that take numbered chunks of one phase after the other.
 *
 * Nobody waits for a thread that has taken nothing: while another process has its core, the others do its
 * share. `ticket` holds the phase's number, its count of chunks and the next chunk, so that taking one
 * succeeds only if the phase is still the one that was looked at.
 */
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

static struct {
    pthread_mutex_t entrance, sleepers;
    pthread_cond_t woken;
    int threads;
    _Atomic long spins;
    /* Of the phase: read before it is certain that it is still that one. `taking`: so many threads take part. */
    _Atomic Work work;
    const void *_Atomic job;
    _Atomic int taking;
    _Atomic uint64_t ticket; /* phase << 40 | chunks << 20 | next */
    _Atomic int done, asleep;
} pool = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 1, 0, 0, 0, 0, 0, 0, 0};

#define CHUNK_BITS 20
#define CHUNK_MASK ((1u << CHUNK_BITS) - 1)

static inline void pause_briefly(void) {
#if defined(__x86_64__)
    _mm_pause();
#endif
}

static void take_chunks(int thread) {
    uint64_t ticket = atomic_load(&pool.ticket);
    for (;;) {
        const unsigned next = ticket & CHUNK_MASK, chunks = ticket >> CHUNK_BITS & CHUNK_MASK;
        if (next >= chunks || thread >= pool.taking) return;
        const Work work = pool.work;
        const void *job = pool.job;
        if (!atomic_compare_exchange_weak(&pool.ticket, &ticket, ticket + 1)) continue;
        work(job, (int)next, thread);
        atomic_fetch_add(&pool.done, 1);
        ticket = atomic_load(&pool.ticket);
    }
}

static void *help(void *thread) {
    uint64_t seen = 0;
    for (;;) {
        uint64_t phase;
        for (long spun = 0; (phase = atomic_load(&pool.ticket) >> 2 * CHUNK_BITS) == seen; spun++) {
            pause_briefly();
            if (spun < pool.spins) continue;
            pthread_mutex_lock(&pool.sleepers);
            atomic_fetch_add(&pool.asleep, 1);
            while (atomic_load(&pool.ticket) >> 2 * CHUNK_BITS == seen)
                pthread_cond_wait(&pool.woken, &pool.sleepers);
            atomic_fetch_sub(&pool.asleep, 1);
            pthread_mutex_unlock(&pool.sleepers);
        }
        seen = phase;
        take_chunks((int)(intptr_t)thread);
    }
    return NULL;
}

void run(Work work, const void *job, int chunks, int threads) {
    if (pool.threads == 1 || threads == 1 || chunks <= 1) {
        for (int chunk = 0; chunk < chunks; chunk++) work(job, chunk, 0);
        return;
    }
    pool.work = work;
    pool.job = job;
    pool.taking = threads;
    atomic_store(&pool.done, 0);
    const uint64_t phase = (atomic_load(&pool.ticket) >> 2 * CHUNK_BITS) + 1;
    atomic_store(&pool.ticket, phase << 2 * CHUNK_BITS | (uint64_t)chunks << CHUNK_BITS);
    if (atomic_load(&pool.asleep)) {
        pthread_mutex_lock(&pool.sleepers);
        pthread_cond_broadcast(&pool.woken);
        pthread_mutex_unlock(&pool.sleepers);
    }
    take_chunks(0);
    for (long spun = 0; atomic_load(&pool.done) < chunks; spun++)
        if (spun < pool.spins) pause_briefly();
        else sched_yield(); /* the thread that we wait for may want this core */
}

/* Use `threads` threads from now on, never fewer than before; a waiting one sleeps after `spins` pauses.
 * Returns how many there are. */
int quire_threads(int threads, long spins) {
    pthread_mutex_lock(&pool.entrance);
    pool.spins = spins;
    for (; pool.threads < threads; pool.threads++) {
        pthread_t helper;
        if (pthread_create(&helper, NULL, help, (void *)(intptr_t)pool.threads)) break;
        pthread_detach(helper);
    }
    const int running = pool.threads;
    pthread_mutex_unlock(&pool.entrance);
    return running;
}

void enter(void) { pthread_mutex_lock(&pool.entrance); }
void leave(void) { pthread_mutex_unlock(&pool.entrance); }
int threads(void) { return pool.threads; }
