/* Layer norm and matrix products, in fp32 and in 8-bit integers. Floats are fp32, widths multiples of 16, columns
 * of 32; the caller checks. A product adds up its inner dimension in order. */
#include "pool.h"
#include "vectors.h"
#if defined(__AVX512VNNI__)
#include <immintrin.h>
#endif

#define PANEL 32     /* columns of a matrix that are computed together */
#define SLICE 128    /* of the inner dimension, that a thread packs at once */
#define GROUP 8      /* rows that a thread takes at once where each is little work */
#define GROUPS(rows) (((rows) + GROUP - 1) / GROUP)
#if defined(__AVX512F__)
#define TILE_F32 14  /* rows that share a panel in registers */
#define TILE_I8 6
#else
#define TILE_F32 3
#define TILE_I8 2
#endif

/* ---- Layer norm ---- */

struct Norm {
    const float *x, *weight, *bias;
    float *y;
    int rows, width;
    float epsilon;
};

static void norm_row(const struct Norm *n, int row) {
    const float *x = n->x + (int64_t)row * n->width;
    float *y = n->y + (int64_t)row * n->width;
    f32x16 sum = {}, squares = {};
    for (int i = 0; i < n->width; i += LANES) sum += load(x + i);
    const float mean = sum_of(sum) / (float)n->width;
    for (int i = 0; i < n->width; i += LANES) {
        const f32x16 off = load(x + i) - mean;
        squares += off * off;
    }
    const float scale = 1.0f / sqrtf(sum_of(squares) / (float)n->width + n->epsilon);
    for (int i = 0; i < n->width; i += LANES)
        store(y + i, (load(x + i) - mean) * scale * load(n->weight + i) + load(n->bias + i));
}

static void norm_group(const void *job, int group, int thread) {
    const struct Norm *n = job;
    for (int row = group * GROUP; row < (group + 1) * GROUP && row < n->rows; row++) norm_row(n, row);
    (void)thread;
}

void quire_norm(const float *x, const float *weight, const float *bias, float *y, int rows, int width,
                float epsilon) {
    const struct Norm job = {x, weight, bias, y, rows, width, epsilon};
    enter();
    run(norm_group, &job, GROUPS(rows), ALL_THREADS);
    leave();
}

/* ---- Matrix products ---- */

enum After { PLAIN, ADD, GELU_TANH, GELU, RELU, SILU, TANH }; /* what follows a product and its bias */

INLINE f32x16 after(enum After what, f32x16 v) {
    switch (what) {
    case GELU_TANH: /* x (1 + tanh u) / 2 = x / (1 + e**-2u) */
        return v / (1.0f + exp_of(v * (v * v * 0.044715f + 1.0f) * -1.5957691216f));
    case GELU:
        for (int i = 0; i < LANES; i++) v[i] *= 0.5f * (1.0f + erff(v[i] * 0.70710678f));
        return v;
    case RELU:
        return larger((f32x16){}, v); /* in this order it keeps what is not a number */
    case SILU:
        return v / (1.0f + exp_of(-v));
    case TANH:
        return 2.0f / (1.0f + exp_of(v * -2.0f)) - 1.0f;
    default:
        return v;
    }
}

struct Linear {
    const float *x, *bias;   /* (rows, depth), (columns) or NULL */
    float *y;                /* (rows, columns) */
    int rows, depth, columns;
    enum After what;
    const float *matrix;     /* fp32: (columns / 32, depth, 32) */
    float *packed;           /* fp32: x by tiles, each (depth, rows of the tile) */
    const int8_t *bytes;     /* int8: (columns / 32, depth / 4, 32, 4) */
    const float *scales;     /* int8: (columns) */
    const int32_t *offsets;  /* int8: (columns / 32, depth / group, 32), -128 times the sum of the column's group */
    uint8_t *codes;          /* int8: (rows, depth), x / x_scale + 128 */
    float *x_scales;         /* int8: (rows, depth / group) */
    int group;
};

INLINE void finish(const struct Linear *l, int row, int column, f32x16 v) {
    float *y = l->y + (int64_t)row * l->columns + column;
    if (l->bias) v += load(l->bias + column);
    if (l->what == ADD) v += load(y);
    store(y, after(l->what, v));
}

INLINE void tile_f32(const struct Linear *l, int panel, int row, const int rows) {
    const float *x = l->packed + (int64_t)row * l->depth, *w = l->matrix + (int64_t)panel * l->depth * PANEL;
    f32x16 sums[TILE_F32][2];
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = (f32x16){};
    for (int k = 0; k < l->depth; k++, w += PANEL, x += rows) {
        const f32x16 w0 = load(w), w1 = load(w + LANES);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            sums[r][0] += x[r] * w0;
            sums[r][1] += x[r] * w1;
        }
    }
    for (int r = 0; r < rows; r++)
        for (int half = 0; half < 2; half++) finish(l, row + r, panel * PANEL + half * LANES, sums[r][half]);
}

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

INLINE void tile_i8(const struct Linear *l, int panel, int row, const int rows) {
    const int groups = l->depth / l->group, words = l->group / 4;
    const uint8_t *x = l->codes + (int64_t)row * l->depth;
    const int8_t *w = l->bytes + (int64_t)panel * l->depth * PANEL;
    const int32_t *offsets = l->offsets + (int64_t)panel * groups * PANEL;
    f32x16 totals[TILE_I8][2];
    for (int r = 0; r < rows; r++) totals[r][0] = totals[r][1] = (f32x16){};
    for (int g = 0; g < groups; g++, offsets += PANEL) {
        i32x16 sums[TILE_I8][2];
        for (int r = 0; r < rows; r++)
            for (int half = 0; half < 2; half++) sums[r][half] = *(const i32x16 *)(offsets + half * LANES);
        for (int k = 0; k < words; k++, x += 4, w += 4 * PANEL)
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
            finish(l, row + r, column, totals[r][half] * load(l->scales + column));
        }
}

/* Run `tile` with its number of rows as a constant, so that its sums stay in registers. */
#define TILE_CASE(tile, n) case n: tile(l, panel, row, n); break;

/* How many of the rows from `row` on make the next tile: tiles of about the same size, none above `most`. */
INLINE int tile_rows(const struct Linear *l, int row, int most) {
    const int left = l->rows - row, tiles = (left + most - 1) / most;
    return (left + tiles - 1) / tiles;
}

/* Rows of a tile side by side, so that what a step of its product reads lies together. */
static void pack_slice(const void *job, int slice, int thread) {
    const struct Linear *l = job;
    for (int row = 0, rows; row < l->rows; row += rows) {
        rows = tile_rows(l, row, TILE_F32);
        float *to = l->packed + (int64_t)row * l->depth;
        for (int k = slice * SLICE; k < (slice + 1) * SLICE && k < l->depth; k += LANES)
            for (int r = 0; r < rows; r++) {
                const f32x16 v = load(l->x + (int64_t)(row + r) * l->depth + k);
                for (int i = 0; i < LANES; i++) to[(int64_t)(k + i) * rows + r] = v[i];
            }
    }
    (void)thread;
}

static void panel_f32(const void *job, int panel, int thread) {
    const struct Linear *l = job;
    for (int row = 0, rows; row < l->rows; row += rows) {
        rows = tile_rows(l, row, TILE_F32);
        switch (rows) {
            TILE_CASE(tile_f32, 1) TILE_CASE(tile_f32, 2) TILE_CASE(tile_f32, 3)
#if TILE_F32 > 3
            TILE_CASE(tile_f32, 4) TILE_CASE(tile_f32, 5) TILE_CASE(tile_f32, 6) TILE_CASE(tile_f32, 7)
            TILE_CASE(tile_f32, 8) TILE_CASE(tile_f32, 9) TILE_CASE(tile_f32, 10) TILE_CASE(tile_f32, 11)
            TILE_CASE(tile_f32, 12) TILE_CASE(tile_f32, 13) TILE_CASE(tile_f32, 14)
#endif
        }
    }
    (void)thread;
}

static void panel_i8(const void *job, int panel, int thread) {
    const struct Linear *l = job;
    for (int row = 0, rows; row < l->rows; row += rows) {
        rows = tile_rows(l, row, TILE_I8);
        switch (rows) {
            TILE_CASE(tile_i8, 1) TILE_CASE(tile_i8, 2)
#if TILE_I8 > 2
            TILE_CASE(tile_i8, 3) TILE_CASE(tile_i8, 4) TILE_CASE(tile_i8, 5) TILE_CASE(tile_i8, 6)
#endif
        }
    }
    (void)thread;
}

/* Symmetric 8-bit codes of one row, with a scale for each group: an outlier coarsens its own group alone. */
static void quantise_row(const struct Linear *l, int row) {
    const float *x = l->x + (int64_t)row * l->depth;
    uint8_t *codes = l->codes + (int64_t)row * l->depth;
    float *scales = l->x_scales + (int64_t)row * (l->depth / l->group);
    for (int g = 0; g < l->depth / l->group; g++, x += l->group, codes += l->group) {
        i32x16 peaks = {}; /* bits of absolute values are ordered as those are, with what is not a number above all */
        for (int i = 0; i < l->group; i += LANES) {
            const i32x16 bits = (i32x16)load(x + i) & 0x7fffffff, above = bits > peaks;
            peaks = (bits & above) | (peaks & ~above);
        }
        for (int i = 1; i < LANES; i++) peaks[0] = peaks[i] > peaks[0] ? peaks[i] : peaks[0];
        const float peak = ((f32x16)peaks)[0], inverse = peak > 0 ? 127.0f / peak : 0.0f;
        scales[g] = peak / 127.0f;
        for (int i = 0; i < l->group; i += LANES) {
            const f32x16 rounded = (load(x + i) * inverse + 12582912.0f) - 12582912.0f;
            const i32x16 code = __builtin_convertvector(rounded, i32x16) + 128;
            typedef uint8_t u8x16 __attribute__((vector_size(16), aligned(1), may_alias));
            *(u8x16 *)(codes + i) = __builtin_convertvector(code, u8x16);
        }
    }
}

static void quantise_group(const void *job, int group, int thread) {
    const struct Linear *l = job;
    for (int row = group * GROUP; row < (group + 1) * GROUP && row < l->rows; row++) quantise_row(l, row);
    (void)thread;
}

/* y = after(x W + bias), or y + x W + bias where `what` is ADD. */
void quire_linear_f32(const float *x, const float *matrix, const float *bias, float *y, float *packed, int rows,
                      int depth, int columns, int what) {
    const struct Linear job = {x, bias, y, rows, depth, columns, what, .matrix = matrix, .packed = packed};
    enter();
    run(pack_slice, &job, (depth + SLICE - 1) / SLICE, ALL_THREADS);
    run(panel_f32, &job, columns / PANEL, ALL_THREADS);
    leave();
}

void quire_linear_i8(const float *x, const int8_t *bytes, const float *scales, const int32_t *offsets,
                     const float *bias, float *y, uint8_t *codes, float *x_scales, int rows, int depth,
                     int columns, int group, int what) {
    const struct Linear job = {x, bias, y, rows, depth, columns, what, .bytes = bytes, .scales = scales,
                               .offsets = offsets, .codes = codes, .x_scales = x_scales, .group = group};
    enter();
    run(quantise_group, &job, GROUPS(rows), ALL_THREADS);
    run(panel_i8, &job, columns / PANEL, ALL_THREADS);
    leave();
}
