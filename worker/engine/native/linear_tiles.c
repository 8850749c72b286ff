/* Matrix products in 8-bit integers on tiles (AMX): 16 columns of 64 weights times 64 codes of 16 rows in one
 * instruction. The same integers as in linear_i8.c, and the same order of the groups: the same bits.
 * Depths are multiples of 64, columns of 16; the caller checks. */
#if defined(__AMX_INT8__)
#include "pool.h"
#include "product.h"
#include "quantise.h"

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TILE 16                  /* rows of a tile: columns of the matrix; and rows of x, side by side */
#define BYTES (TILE * GROUP)     /* of a tile */
#define COLUMNS 64               /* that a thread takes at once */
#define ROWS 64                  /* that these are multiplied with before the next rows are */
#define BLOCK 4                  /* groups whose tiles are held in registers for all of these rows */
#define PANELS (COLUMNS / TILE)
#define PERMISSION 0x1023, 18    /* ARCH_REQ_XCOMP_PERM, the data of tiles */

/* A chunk of columns lies together, group by group, so that its tiles are read in one stream. Tiles of x have what
 * belongs to a row side by side, four codes wide: so the instruction wants its second operand. */
struct Linear {
    struct Result result;
    const float *x;        /* (rows, depth) */
    const int8_t *matrix;  /* (columns / 64, depth / 64, 64 columns or what is left of them, 64) */
    const float *scales;   /* (columns) */
    int8_t *codes;         /* (rows / 16, depth / 64, 16, 16 rows, 4) */
    float *x_scales;       /* (rows / 16, depth / 64, 16 rows) */
    int rows, depth, threads;
};

struct Shapes {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
};

static void begin_tiles(void) {
    struct Shapes shapes = {.palette = 1};
    for (int tile = 0; tile < 8; tile++) shapes.bytes[tile] = GROUP, shapes.rows[tile] = TILE;
    _tile_loadconfig(&shapes);
}

/* Exchange the lanes of 16 vectors with their numbers: lane j of vector i is lane i of vector j afterwards. */
INLINE void transpose(i32x16 *v) {
#pragma GCC unroll 4
    for (int half = 1; half < TILE; half *= 2) {
        i32x16 low, high;
        for (int i = 0; i < LANES; i++) {
            low[i] = i & half ? LANES + i - half : i;
            high[i] = i & half ? LANES + i : i + half;
        }
#pragma GCC unroll 16
        for (int i = 0; i < TILE; i++) {
            if (i & half) continue;
            const i32x16 a = v[i], b = v[i + half];
            v[i] = (i32x16)_mm512_permutex2var_epi32((__m512i)a, (__m512i)low, (__m512i)b);
            v[i + half] = (i32x16)_mm512_permutex2var_epi32((__m512i)a, (__m512i)high, (__m512i)b);
        }
    }
}

/* Quantise BLOCK groups of 16 rows; rows beyond the last get codes and scales of 0. */
static void quantise_block(const void *job, int number, int thread) {
    const struct Linear *l = job;
    const int groups = l->depth / GROUP, blocks = (groups + BLOCK - 1) / BLOCK;
    const int tile = number / blocks, first = number % blocks * BLOCK;
    for (int g = first; g < first + BLOCK && g < groups; g++) {
        const int64_t at = (int64_t)tile * groups + g;
        i32x16 words[TILE];
        for (int r = 0; r < TILE; r++) {
            const int row = tile * TILE + r;
            int8_t line[GROUP] __attribute__((aligned(64))) = {};
            l->x_scales[at * TILE + r] =
                row < l->rows ? quantise(l->x + (int64_t)row * l->depth + g * GROUP, line, 0) : 0.0f;
            words[r] = *(const i32x16 *)line;
        }
        transpose(words);
        memcpy(l->codes + at * BYTES, words, BYTES);
    }
    (void)thread;
}

/* Sums of a group as floats, times the scales of the rows: (16 columns, 16 rows). */
INLINE void add_scaled(f32x16 *totals, const int32_t *sums, const float *scales) {
    const f32x16 scale = load(scales);
#pragma GCC unroll 16
    for (int i = 0; i < TILE; i++)
        totals[i] += __builtin_convertvector(*(const i32x16 *)(sums + i * TILE), f32x16) * scale;
}

/* One group of a block: its weights are in a tile already. A result is stored while the next one is computed. */
#define GROUP_OF_BLOCK(number, weights, codes_tile, sum)        \
    if (count > number) {                                       \
        _tile_zero(sum);                                        \
        _tile_loadd(codes_tile, codes + number * BYTES, GROUP); \
        _tile_dpbssd(sum, weights, codes_tile);                 \
    }

/* Add `count` groups of 16 columns to the totals of 16 rows. */
INLINE void multiply(const int8_t *codes, const float *scales, float *totals, const int first, const int count) {
    int32_t sums[BLOCK][TILE * TILE] __attribute__((aligned(64)));
    f32x16 own[TILE];
    GROUP_OF_BLOCK(0, 4, 2, 0)
    GROUP_OF_BLOCK(1, 5, 3, 1)
    _tile_stored(0, sums[0], GROUP);
    GROUP_OF_BLOCK(2, 6, 2, 0)
    if (count > 1) _tile_stored(1, sums[1], GROUP);
#pragma GCC unroll 16
    for (int i = 0; i < TILE; i++) own[i] = first ? (f32x16){} : load(totals + i * TILE);
    add_scaled(own, sums[0], scales);
    GROUP_OF_BLOCK(3, 7, 3, 1)
    if (count > 2) _tile_stored(0, sums[2], GROUP);
    if (count > 1) add_scaled(own, sums[1], scales + TILE);
    if (count > 3) _tile_stored(1, sums[3], GROUP);
    if (count > 2) add_scaled(own, sums[2], scales + 2 * TILE);
    if (count > 3) add_scaled(own, sums[3], scales + 3 * TILE);
#pragma GCC unroll 16
    for (int i = 0; i < TILE; i++) store(totals + i * TILE, own[i]);
}

#define CASE(n) case n: if (g) multiply(codes, scales, own, 0, n); else multiply(codes, scales, own, 1, n); break;

/* All groups of a chunk's columns with the rows of up to 4 tiles, from `tile` on. Each of these has memory send its
 * share of the chunk that this thread takes next, most likely. */
static void multiply_rows(const struct Linear *l, const int8_t *matrix, int panels, int tile, int tiles,
                          float *totals) {
    const int groups = l->depth / GROUP, stride = panels * BYTES, share = TILE / tiles;
    for (int g = 0; g < groups; g += BLOCK) {
        const int count = groups - g < BLOCK ? groups - g : BLOCK;
        for (int panel = 0; panel < panels; panel++) {
            const int8_t *weights = matrix + (int64_t)g * stride + panel * BYTES;
            _tile_loadd(4, weights, GROUP);
            if (count > 1) _tile_loadd(5, weights + stride, GROUP);
            if (count > 2) _tile_loadd(6, weights + 2 * stride, GROUP);
            if (count > 3) _tile_loadd(7, weights + 3 * stride, GROUP);
            const char *ahead = (const char *)weights + (int64_t)l->threads * COLUMNS * l->depth;
            for (int t = 0; t < tiles; t++) {
                for (int b = 0; b < count; b++)
                    for (int line = t * share; line < (t + 1) * share; line++)
                        _mm_prefetch(ahead + b * stride + line * GROUP, _MM_HINT_T1);
                const int64_t at = (int64_t)(tile + t) * groups + g;
                const int8_t *codes = l->codes + at * BYTES;
                const float *scales = l->x_scales + at * TILE;
                float *own = totals + (panel * (ROWS / TILE) + t) * TILE * TILE;
                switch (count) { CASE(1) CASE(2) CASE(3) CASE(4) }
            }
        }
    }
}

/* Scale the totals of a chunk by column, turn them back, and hand them on. */
static void finish_rows(const struct Linear *l, int column, int panels, int row, float *totals) {
    for (int panel = 0; panel < panels; panel++, column += TILE)
        for (int first = row; first < l->rows && first < row + ROWS; first += TILE) {
            i32x16 rows[TILE];
            memcpy(rows, totals + (panel * (ROWS / TILE) + (first - row) / TILE) * TILE * TILE, sizeof rows);
            transpose(rows);
            for (int r = 0; r < TILE && first + r < l->rows; r++)
                finish(&l->result, first + r, column, (f32x16)rows[r] * load(l->scales + column));
        }
}

static void multiply_chunk(const void *job, int chunk, int thread) {
    const struct Linear *l = job;
    const int column = chunk * COLUMNS, left = l->result.columns - column;
    const int panels = left < COLUMNS ? left / TILE : PANELS;
    float totals[PANELS * (ROWS / TILE) * TILE * TILE] __attribute__((aligned(64)));
    begin_tiles();
    for (int row = 0; row < l->rows; row += ROWS) {
        const int rows = l->rows - row < ROWS ? l->rows - row : ROWS;
        const int tiles = (rows + TILE - 1) / TILE;
        multiply_rows(l, l->matrix + (int64_t)column * l->depth, panels, row / TILE, tiles, totals);
        finish_rows(l, column, panels, row, totals);
    }
    _tile_release();
    (void)thread;
}

/* Whether this process may run the kernels: Linux gives tiles to those who ask. */
int quire_ready(void) { return syscall(SYS_arch_prctl, PERMISSION) == 0; }

/* Lay the matrix `codes` (columns, depth) out as `quire_linear_i8` reads it; `offsets` are not needed. */
void quire_pack_i8(const int8_t *codes, int8_t *matrix, int32_t *offsets, int depth, int columns) {
    for (int column = 0; column < columns; column++) {
        const int chunk = column / COLUMNS * COLUMNS, width = columns - chunk < COLUMNS ? columns - chunk : COLUMNS;
        for (int k = 0; k < depth; k += GROUP)
            memcpy(matrix + (int64_t)chunk * depth + (int64_t)k * width + (column - chunk) * GROUP,
                   codes + (int64_t)column * depth + k, GROUP);
    }
    (void)offsets;
}

/* y = after(x W + bias), or y + x W + bias where `what` is ADD. */
void quire_linear_i8(const float *x, const int8_t *matrix, const float *scales, const int32_t *offsets,
                     const float *bias, float *y, int8_t *codes, float *x_scales, int rows, int depth, int columns,
                     int what) {
    if (rows < 1) return; /* a step that goes on with prompts alone asks for no logits */
    const struct Linear job = {{bias, y, columns, what}, x, matrix, scales, codes, x_scales, rows, depth, threads()};
    const int tiles = (rows + TILE - 1) / TILE, blocks = (depth / GROUP + BLOCK - 1) / BLOCK;
    enter();
    run(quantise_block, &job, tiles * blocks, ALL_THREADS);
    run(multiply_chunk, &job, (columns + COLUMNS - 1) / COLUMNS, ALL_THREADS);
    leave();
    (void)offsets;
}
#endif
