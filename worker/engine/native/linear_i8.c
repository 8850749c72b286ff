/* Matrix products in 8-bit integers, where there are no tiles (linear_tiles.c). Sums of a group are exact; groups
 * are added up in order in fp32. Depths are multiples of 64, columns of 32; the caller checks. */
#if !defined(__AMX_INT8__)
#include "pool.h"
#include "product.h"
#include "quantise.h"
#if defined(__AVX512VNNI__)
#include <immintrin.h>
#endif

#define PANEL 32 /* columns of a matrix that are computed together */
#define TAKEN 8  /* rows that a thread quantises at once */
#if defined(__AVX512F__)
#define TILE 6   /* rows that share a panel in registers */
#else
#define TILE 2
#endif

struct Linear {
    struct Result result;
    const float *x;         /* (rows, depth) */
    const int8_t *matrix;   /* (columns / 32, depth / 4, 32, 4) */
    const float *scales;    /* (columns) */
    const int32_t *offsets; /* (columns / 32, depth / 64, 32), -128 times the sum of the column's group */
    uint8_t *codes;         /* (rows, depth), x / x_scale + 128: never negative, as the instructions want it */
    float *x_scales;        /* (rows, depth / 64) */
    int rows, depth;
};

INLINE i32x16 add_products(i32x16 sum, const uint8_t *four, const int8_t *columns) {
#if defined(__AVX512VNNI__)
    int32_t word;
    memcpy(&word, four, 4);
    return (i32x16)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi32(word), _mm512_loadu_si512(columns));
#else
    for (int i = 0; i < LANES; i++)
        for (int j = 0; j < 4; j++) sum[i] += (int32_t)four[j] * columns[i * 4 + j];
    return sum;
#endif
}

INLINE void multiply(const struct Linear *l, int panel, int row, const int rows) {
    const int groups = l->depth / GROUP;
    const uint8_t *x = l->codes + (int64_t)row * l->depth;
    const int8_t *w = l->matrix + (int64_t)panel * l->depth * PANEL;
    const int32_t *offsets = l->offsets + (int64_t)panel * groups * PANEL;
    f32x16 totals[TILE][2];
    for (int r = 0; r < rows; r++) totals[r][0] = totals[r][1] = (f32x16){};
    for (int g = 0; g < groups; g++, offsets += PANEL) {
        i32x16 sums[TILE][2];
        for (int r = 0; r < rows; r++)
            for (int half = 0; half < 2; half++) sums[r][half] = *(const i32x16 *)(offsets + half * LANES);
        for (int k = 0; k < GROUP; k += 4, x += 4, w += 4 * PANEL)
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                sums[r][0] = add_products(sums[r][0], x + (int64_t)r * l->depth, w);
                sums[r][1] = add_products(sums[r][1], x + (int64_t)r * l->depth, w + 4 * LANES);
            }
        for (int r = 0; r < rows; r++)
            for (int half = 0; half < 2; half++)
                totals[r][half] += __builtin_convertvector(sums[r][half], f32x16) *
                                   l->x_scales[(int64_t)(row + r) * groups + g];
    }
    for (int r = 0; r < rows; r++)
        for (int half = 0; half < 2; half++) {
            const int column = panel * PANEL + half * LANES;
            finish(&l->result, row + r, column, totals[r][half] * load(l->scales + column));
        }
}

/* Run with the number of rows as a constant, so that the sums stay in registers. */
#define CASE(n) case n: multiply(l, panel, row, n); break;

static void multiply_panel(const void *job, int panel, int thread) {
    const struct Linear *l = job;
    for (int row = 0, rows; row < l->rows; row += rows) {
        const int left = l->rows - row, tiles = (left + TILE - 1) / TILE;
        rows = (left + tiles - 1) / tiles;
        switch (rows) {
            CASE(1) CASE(2)
#if TILE > 2
            CASE(3) CASE(4) CASE(5) CASE(6)
#endif
        }
    }
    (void)thread;
}

static void quantise_rows(const void *job, int taken, int thread) {
    const struct Linear *l = job;
    for (int row = taken * TAKEN; row < (taken + 1) * TAKEN && row < l->rows; row++)
        for (int k = 0; k < l->depth; k += GROUP) {
            const int64_t at = (int64_t)row * l->depth + k;
            l->x_scales[at / GROUP] = quantise(l->x + at, (int8_t *)l->codes + at, 128);
        }
    (void)thread;
}

/* Whether this process may run the kernels. */
int quire_ready(void) { return 1; }

/* Lay the matrix `codes` (columns, depth) out as `quire_linear_i8` reads it. */
void quire_pack_i8(const int8_t *codes, int8_t *matrix, int32_t *offsets, int depth, int columns) {
    for (int column = 0; column < columns; column++)
        for (int k = 0; k < depth; k++) {
            const int8_t code = codes[(int64_t)column * depth + k];
            const int panel = column / PANEL, within = column % PANEL;
            matrix[(((int64_t)panel * depth + k / 4 * 4) * PANEL) + within * 4 + k % 4] = code;
            int32_t *offset = offsets + ((int64_t)panel * (depth / GROUP) + k / GROUP) * PANEL + within;
            *offset = (k % GROUP ? *offset : 0) - 128 * code;
        }
}

/* y = after(x W + bias), or y + x W + bias where `what` is ADD. */
void quire_linear_i8(const float *x, const int8_t *matrix, const float *scales, const int32_t *offsets,
                     const float *bias, float *y, int8_t *codes, float *x_scales, int rows, int depth, int columns,
                     int what) {
    if (rows < 1) return; /* a step that goes on with prompts alone asks for no logits */
    const struct Linear job = {{bias, y, columns, what}, x,    matrix, scales, offsets, (uint8_t *)codes,
                               x_scales,                 rows, depth};
    enter();
    run(quantise_rows, &job, (rows + TAKEN - 1) / TAKEN, ALL_THREADS);
    run(multiply_panel, &job, columns / PANEL, ALL_THREADS);
    leave();
}
#endif
