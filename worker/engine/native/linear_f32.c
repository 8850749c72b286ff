/* Matrix products in fp32. A product adds up its inner dimension in order. Widths are multiples of 16, columns of 32;
 * the caller checks. */
#include "pool.h"
#include "product.h"

#define PANEL 32  /* columns of a matrix that are computed together */
#define SLICE 128 /* of the inner dimension, that a thread packs at once */
#if defined(__AVX512F__)
#define TILE 14   /* rows that share a panel in registers */
#else
#define TILE 3
#endif

struct Linear {
    struct Result result;
    const float *x;      /* (rows, depth) */
    const float *matrix; /* (columns / 32, depth, 32) */
    float *packed;       /* x by tiles, each (depth, rows of the tile) */
    int rows, depth, threads;
};

/* `ahead`: what to fetch from memory meanwhile, `stride` bytes in each step. */
INLINE void multiply(const struct Linear *l, int panel, int row, const char *ahead, int stride, const int rows) {
    const float *x = l->packed + (int64_t)row * l->depth, *w = l->matrix + (int64_t)panel * l->depth * PANEL;
    f32x16 sums[TILE][2];
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = (f32x16){};
    for (int k = 0; k < l->depth; k++, w += PANEL, x += rows, ahead += stride) {
        const f32x16 w0 = load(w), w1 = load(w + LANES);
        __builtin_prefetch(ahead, 0, 2);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            sums[r][0] += x[r] * w0;
            sums[r][1] += x[r] * w1;
        }
    }
    for (int r = 0; r < rows; r++)
        for (int half = 0; half < 2; half++) finish(&l->result, row + r, panel * PANEL + half * LANES, sums[r][half]);
}

/* How many of the rows from `row` on make the next tile: tiles of about the same size, none above TILE. */
INLINE int tile_rows(const struct Linear *l, int row) {
    const int left = l->rows - row, tiles = (left + TILE - 1) / TILE;
    return (left + tiles - 1) / tiles;
}

/* Rows of a tile side by side, so that what a step of its product reads lies together. */
static void pack_slice(const void *job, int slice, int thread) {
    const struct Linear *l = job;
    for (int row = 0, rows; row < l->rows; row += rows) {
        rows = tile_rows(l, row);
        float *to = l->packed + (int64_t)row * l->depth;
        for (int k = slice * SLICE; k < (slice + 1) * SLICE && k < l->depth; k += LANES)
            for (int r = 0; r < rows; r++) {
                const f32x16 v = load(l->x + (int64_t)(row + r) * l->depth + k);
                for (int i = 0; i < LANES; i++) to[(int64_t)(k + i) * rows + r] = v[i];
            }
    }
    (void)thread;
}

/* Run with the number of rows as a constant, so that the sums stay in registers. */
#define CASE(n) case n: multiply(l, panel, row, ahead, stride, n); break;

/* All rows; each tile of them fetches its share of the panel that this thread takes next, most likely. */
static void multiply_panel(const void *job, int panel, int thread) {
    const struct Linear *l = job;
    const int tiles = (l->rows + TILE - 1) / TILE, stride = PANEL * (int)sizeof(float) / tiles;
    const char *ahead = (const char *)(l->matrix + (int64_t)(panel + l->threads) * l->depth * PANEL);
    for (int row = 0, rows; row < l->rows; row += rows, ahead += (int64_t)stride * l->depth) {
        rows = tile_rows(l, row);
        switch (rows) {
            CASE(1) CASE(2) CASE(3)
#if TILE > 3
            CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#endif
        }
    }
    (void)thread;
}

/* y = after(x W + bias), or y + x W + bias where `what` is ADD. */
void quire_linear_f32(const float *x, const float *matrix, const float *bias, float *y, float *packed, int rows,
                      int depth, int columns, int what) {
    if (rows < 1) return; /* a step that goes on with prompts alone asks for no logits */
    const struct Linear job = {{bias, y, columns, what}, x, matrix, packed, rows, depth, threads()};
    enter();
    run(pack_slice, &job, (depth + SLICE - 1) / SLICE, ALL_THREADS);
    run(multiply_panel, &job, columns / PANEL, ALL_THREADS);
    leave();
}
