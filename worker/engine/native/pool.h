#pragma once

/* One of the numbered chunks of a job; `thread` counts from 0. */
typedef void (*Work)(const void *job, int chunk, int thread);

#define ALL_THREADS 0x7fffffff

/* Do all chunks and return; between enter and leave. Threads numbered from `threads` on take no part. */
void run(Work work, const void *job, int chunks, int threads);

/* Calls of several engines in a process follow each other. */
void enter(void);
void leave(void);

/* How many threads there are. */
int threads(void);
