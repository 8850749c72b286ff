/* Sixteen numbers at a time.
 *
 * The rule of all kernels here: a row is computed by the same operations in the same order whatever other rows,
 * threads or chunks there are. Sums over a row run in sixteen lanes that are joined in a fixed order, whatever
 * the width of the machine's vectors: with fused multiply-add the bits are the same from AVX2 to AVX-512.
 */
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES 16
#define INLINE static inline __attribute__((always_inline))

typedef float f32x16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t i32x16 __attribute__((vector_size(64), aligned(4), may_alias));

INLINE f32x16 load(const float *at) { return *(const f32x16 *)at; }
INLINE void store(float *at, f32x16 v) { *(f32x16 *)at = v; }
INLINE f32x16 pick(i32x16 condition, f32x16 a, f32x16 b) {
    return (f32x16)((condition & (i32x16)a) | (~condition & (i32x16)b));
}
INLINE f32x16 larger(f32x16 a, f32x16 b) { return pick(a > b, a, b); }

INLINE float sum_of(f32x16 v) {
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) v[i] += v[i + half];
    return v[0];
}

INLINE float largest_of(f32x16 v) {
    for (int i = 1; i < LANES; i++) v[0] = v[i] > v[0] ? v[i] : v[0];
    return v[0];
}

/* e**x to about 1 unit in the last place, exactly 0 below -87.3 (Cephes' expf, Moshier 1992). */
INLINE f32x16 exp_of(f32x16 x) {
    const i32x16 tiny = x < -87.3f;
    x = pick(x > 88.0f, (f32x16){} + 88.0f, x);
    const f32x16 n = (x * 1.44269504f + 12582912.0f) - 12582912.0f; /* rounds to the nearest integer */
    const f32x16 r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    f32x16 p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + (r + 1.0f);
    const i32x16 power = (__builtin_convertvector(pick(tiny, (f32x16){}, n), i32x16) + 127) << 23;
    return pick(tiny, (f32x16){}, p * (f32x16)power);
}
