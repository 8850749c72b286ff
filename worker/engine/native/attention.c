/* Attention over the true length, from a cache in blocks of 16 positions, in fp32 or in bf16. */
#include "pool.h"
#include "vectors.h"

#define KV_BLOCK 16  /* positions of a sequence that lie together in the cache */
#define ROW_GROUP 4  /* rows that one thread attends for at a time */

static const i32x16 lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

typedef uint16_t u16x16 __attribute__((vector_size(32), aligned(2), may_alias));
typedef uint32_t u32x16 __attribute__((vector_size(64), aligned(4), may_alias));

/* Numbers 16 at a time from the cache. A bf16 is the upper half of an fp32. */
INLINE f32x16 cached(const void *from, int64_t at, const int half) {
    if (!half) return load((const float *)from + at);
    return (f32x16)(__builtin_convertvector(*(const u16x16 *)((const uint16_t *)from + at), u32x16) << 16);
}

INLINE void keep(void *to, int64_t at, float value, const int half) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if (half) ((uint16_t *)to)[at] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16); /* to the nearest, even */
    else ((float *)to)[at] = value;
}

/* Have memory send what a head has in a block, while others are worked on. */
INLINE void fetch(const void *cache, int32_t block, int head, int heads, int64_t numbers, const int half) {
    const int64_t bytes = numbers * (half ? 2 : 4);
    const char *lines = (const char *)cache + ((int64_t)block * heads + head) * bytes;
    for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(lines + at, 0, 2);
}

struct Attention {
    const float *qkv;           /* (rows, 3, heads, size) */
    void *keys, *values;        /* (blocks, heads, size, 16), (blocks, heads, 16, size) */
    int half;                   /* whether they are bf16, else fp32 */
    const int32_t *positions;   /* (rows): each row attends to the keys 0 … position of its sequence */
    const int32_t *sequences;   /* (rows): the sequence's row in `tables` */
    const int32_t *tables;      /* (sequences, blocks of the longest): where each 16 positions lie */
    float *out, *scores;        /* (rows, heads, size), (threads, 4, heads, longest) */
    int threads, rows, heads, size, table_length;
    float scale;
};

/* Head by head: rows that stand next to each other write into the same cache lines, so one thread writes both. */
static void write_head(const void *job, int head, int thread) {
    const struct Attention *a = job;
    for (int row = 0; row < a->rows; row++) {
        const int position = a->positions[row], at = position % KV_BLOCK;
        const int64_t block = a->tables[(int64_t)a->sequences[row] * a->table_length + position / KV_BLOCK];
        const float *key = a->qkv + (((int64_t)row * 3 + 1) * a->heads + head) * a->size;
        const int64_t base = (block * a->heads + head) * a->size * KV_BLOCK;
        const float *value = key + (int64_t)a->heads * a->size;
        for (int i = 0; i < a->size; i++) {
            keep(a->keys, base + i * KV_BLOCK + at, key[i], a->half);
            keep(a->values, base + (int64_t)at * a->size + i, value[i], a->half);
        }
    }
    (void)thread;
}

/* Add the values of `keys` positions to the sums of `rows` rows, for 16 x `vectors` numbers of a head. */
INLINE void mix(float *sums, int64_t sum_stride, const void *cache, int64_t values, int size, const float *share,
                int64_t share_stride, int keys, const int rows, const int vectors, const int half) {
    f32x16 sum[ROW_GROUP][4];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) sum[r][v] = load(sums + r * sum_stride + v * LANES);
    for (int i = 0; i < keys; i++)
        for (int v = 0; v < vectors; v++) {
            const f32x16 value = cached(cache, values + i * size + v * LANES, half);
            for (int r = 0; r < rows; r++) sum[r][v] += share[r * share_stride + i] * value;
        }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) store(sums + r * sum_stride + v * LANES, sum[r][v]);
}

/* Let `count` rows of one sequence attend, whose positions follow each other: every block is read once for all. A row's
 * sums are the same alone: what is beyond its own position gets a share of exactly 0. */
INLINE void attend(const struct Attention *a, int first, const int count, const int half, float *scores) {
    const int heads = a->heads, size = a->size, longest = a->table_length * KV_BLOCK;
    const int length = a->positions[first] + count; /* of the last row; the first sees count - 1 keys less */
    const int64_t head_stride = (int64_t)size * KV_BLOCK, row_stride = (int64_t)heads * longest;
    const int32_t *table = a->tables + (int64_t)a->sequences[first] * a->table_length;

    for (int start = 0; start < length; start += KV_BLOCK)
        for (int head = 0; head < heads; head++) {
            const float *query = a->qkv + ((int64_t)first * 3 * heads + head) * size;
            const int64_t keys = ((int64_t)table[start / KV_BLOCK] * heads + head) * head_stride;
            f32x16 even[ROW_GROUP], odd[ROW_GROUP];
            for (int r = 0; r < count; r++) even[r] = odd[r] = (f32x16){};
            if (start + KV_BLOCK < length)
                fetch(a->keys, table[start / KV_BLOCK + 1], head, heads, head_stride, half);
            else
                fetch(a->values, table[0], head, heads, head_stride, half);
            for (int i = 0; i < size; i += 2) {
                const f32x16 k0 = cached(a->keys, keys + i * KV_BLOCK, half);
                const f32x16 k1 = cached(a->keys, keys + (i + 1) * KV_BLOCK, half);
                for (int r = 0; r < count; r++) {
                    even[r] += query[r * 3 * heads * size + i] * k0;
                    odd[r] += query[r * 3 * heads * size + i + 1] * k1;
                }
            }
            for (int r = 0; r < count; r++) {
                const i32x16 beyond = lanes >= length - count + 1 + r - start;
                const f32x16 score = pick(beyond, (f32x16){} - INFINITY, (even[r] + odd[r]) * a->scale);
                store(scores + r * row_stride + head * longest + start, score);
            }
        }

    for (int own = 0; own < count * heads; own++) {
        float *share = scores + (int64_t)own * longest;
        f32x16 peaks = load(share), sums = {};
        for (int start = KV_BLOCK; start < length; start += KV_BLOCK) peaks = larger(load(share + start), peaks);
        const float peak = largest_of(peaks);
        for (int start = 0; start < length; start += KV_BLOCK) {
            const f32x16 weight = exp_of(load(share + start) - peak);
            store(share + start, weight);
            sums += weight;
        }
        const float whole = 1.0f / sum_of(sums);
        for (int start = 0; start < length; start += KV_BLOCK) store(share + start, load(share + start) * whole);
    }

    /* Of the rows after these, which begin with their keys. */
    const int after = first + count < a->rows ? first + count : first;
    const int32_t *next = a->tables + (int64_t)a->sequences[after] * a->table_length;
    float *out = a->out + (int64_t)first * heads * size;
    memset(out, 0, sizeof(float) * count * heads * size);
    for (int start = 0; start < length; start += KV_BLOCK)
        for (int head = 0; head < heads; head++) {
            const int64_t values = ((int64_t)table[start / KV_BLOCK] * heads + head) * head_stride;
            const float *share = scores + head * longest + start;
            const int here = length - start < KV_BLOCK ? length - start : KV_BLOCK;
            float *sums = out + head * size;
            int part = 0;
            if (start + KV_BLOCK < length)
                fetch(a->values, table[start / KV_BLOCK + 1], head, heads, head_stride, half);
            else
                fetch(a->keys, next[0], head, heads, head_stride, half);
            for (; part + 4 * LANES <= size; part += 4 * LANES)
                mix(sums + part, heads * size, a->values, values + part, size, share, row_stride, here, count, 4, half);
            for (; part < size; part += LANES)
                mix(sums + part, heads * size, a->values, values + part, size, share, row_stride, here, count, 1, half);
        }
}

#define ATTEND_CASE(n) case n: if (a->half) attend(a, row, n, 1, scores); else attend(a, row, n, 0, scores); break;

static void attend_group(const void *job, int group, int thread) {
    const struct Attention *a = job;
    float *scores = a->scores + (int64_t)thread * ROW_GROUP * a->heads * a->table_length * KV_BLOCK;
    const int end = (group + 1) * ROW_GROUP < a->rows ? (group + 1) * ROW_GROUP : a->rows;
    for (int row = group * ROW_GROUP, count; row < end; row += count) {
        for (count = 1; row + count < end && a->sequences[row + count] == a->sequences[row]; count++);
        switch (count) {
            ATTEND_CASE(1) ATTEND_CASE(2) ATTEND_CASE(3) ATTEND_CASE(4)
        }
    }
}

/* Write every row's keys and values into the cache, then let every row attend. */
void quire_attention(const float *qkv, void *keys, void *values, int half, const int32_t *positions,
                     const int32_t *sequences, const int32_t *tables, float *out, float *scores, int threads, int rows,
                     int heads, int size, int table_length, float scale) {
    const struct Attention job = {qkv, keys, values, half, positions, sequences, tables, out, scores,
                                  threads, rows, heads, size, table_length, scale};
    enter();
    run(write_head, &job, heads, threads);
    run(attend_group, &job, (rows + ROW_GROUP - 1) / ROW_GROUP, threads);
    leave();
}
