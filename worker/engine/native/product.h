/* What products in fp32 and in 8-bit integers share: what follows them. */
#pragma once
#include "vectors.h"

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

/* Where a product's sums go. */
struct Result {
    const float *bias; /* (columns) or NULL */
    float *y;          /* (rows, columns) */
    int columns;
    enum After what;
};

INLINE void finish(const struct Result *result, int row, int column, f32x16 v) {
    float *y = result->y + (int64_t)row * result->columns + column;
    if (result->bias) v += load(result->bias + column);
    if (result->what == ADD) v += load(y);
    store(y, after(result->what, v));
}
