/* Layer norm. Widths are multiples of 16; the caller checks. */
#include "pool.h"
#include "vectors.h"

#define GROUP 8 /* rows that a thread takes at once: each is little work */

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
    run(norm_group, &job, (rows + GROUP - 1) / GROUP, ALL_THREADS);
    leave();
}
