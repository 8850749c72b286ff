/* Inputs of a product in 8 bits. */
#pragma once
#include "vectors.h"

#define GROUP 64 /* numbers of a row that share a scale; GROUP in quantise.py is the same */

typedef int8_t i8x16 __attribute__((vector_size(16), aligned(1), may_alias));

/* Symmetric codes of one group plus `shift`; returns their scale. An outlier coarsens its own group alone. */
INLINE float quantise(const float *x, int8_t *codes, const int shift) {
    i32x16 peaks = {}; /* bits of absolute values are ordered as those are, with what is not a number above all */
    for (int i = 0; i < GROUP; i += LANES) {
        const i32x16 bits = (i32x16)load(x + i) & 0x7fffffff, above = bits > peaks;
        peaks = (bits & above) | (peaks & ~above);
    }
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) peaks[i] = peaks[i + half] > peaks[i] ? peaks[i + half] : peaks[i];
    const float peak = ((f32x16)peaks)[0], inverse = peak > 0 ? 127.0f / peak : 0.0f;
    for (int i = 0; i < GROUP; i += LANES) {
        const f32x16 rounded = (load(x + i) * inverse + 12582912.0f) - 12582912.0f; /* to the nearest, even */
        *(i8x16 *)(codes + i) = __builtin_convertvector(__builtin_convertvector(rounded, i32x16) + shift, i8x16);
    }
    return peak / 127.0f;
}
