/* The draw of the next token; sampler.py states the order of its steps. */
#include "pool.h"
#include "vectors.h"

struct Draw { /* one row; DRAW in native.py has the same layout */
    const float *logits;
    const int32_t *ids;       /* the sequence's tokens: `prompt` of the prompt, `length` in all */
    const int32_t *biased;    /* tokens whose logits `biases` are added to */
    const float *biases;
    const int32_t *never;     /* tokens that may not be drawn */
    const uint8_t *allowed;   /* (vocabulary), 0 for tokens that may not be drawn; or NULL */
    double uniform;           /* [0, 1) */
    float temperature;        /* 0 for greedy */
    float top_p, min_p, repetition, presence, frequency;
    int32_t top_k, prompt, length, biased_count, never_count;
    int32_t token;            /* out: -1 if none may be drawn */
    float logprob;            /* out: of the token in the model itself; NaN if its logits are not numbers */
};

struct Draws {
    struct Draw *rows;
    int vocabulary, stride;
    float *scratch;           /* (threads, 4, stride), stride a multiple of 64 and above the vocabulary */
};

#define STRETCH 64            /* scores that are looked at together */

/* The floats in order, as integers, and back. */
INLINE int32_t rank_of(float value) {
    int32_t bits;
    memcpy(&bits, &value, 4);
    return bits ^ (bits >> 31 & 0x7fffffff);
}
INLINE float value_of(int32_t rank) {
    const int32_t bits = rank ^ (rank >> 31 & 0x7fffffff);
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

INLINE int count_from(const float *values, int count, float least) {
    i32x16 counts = {};
    for (int i = 0; i < count; i += LANES) counts -= load(values + i) >= least;
    int sum = 0;
    for (int i = 0; i < LANES; i++) sum += counts[i];
    return sum;
}

INLINE float sum_from(const float *values, int count, float least) {
    f32x16 sums = {};
    for (int i = 0; i < count; i += LANES) {
        const f32x16 v = load(values + i);
        sums += pick(v >= least, v, (f32x16){});
    }
    return sum_of(sums);
}

/* The k-th largest of `count` values, which are padded with -inf to a multiple of 16; bisects their ranks. */
static float kth_largest(const float *values, int count, int k) {
    int64_t low = rank_of(-INFINITY), high = rank_of(INFINITY);
    while (low < high) {
        const int64_t middle = (low + high + 1) >> 1;
        if (count_from(values, count, value_of((int32_t)middle)) >= k) low = middle;
        else high = middle - 1;
    }
    return value_of((int32_t)low);
}

/* The largest weight such that it and all above sum to `mass`; 0 if all together do not. */
static float nucleus_edge(const float *weights, int count, float mass) {
    int64_t low = 0, high = rank_of(1.0f);
    while (low < high) {
        const int64_t middle = (low + high + 1) >> 1;
        if (sum_from(weights, count, value_of((int32_t)middle)) >= mass) low = middle;
        else high = middle - 1;
    }
    return value_of((int32_t)low);
}

/* Keep the `count` tokens and values that are at least `least`, in order; returns how many there are. */
static int keep_from(float *values, int32_t *tokens, int count, float least) {
    int kept = 0;
    for (int i = 0; i < count; i++) {
        values[kept] = values[i];
        tokens[kept] = tokens[i];
        kept += values[i] >= least;
    }
    for (int i = kept; i < kept + STRETCH && i < count; i++) values[i] = -INFINITY;
    return kept;
}

INLINE int padded(int count) { return (count + LANES - 1) & ~(LANES - 1); }

/* Steps 1 to 5 of the order in sampler.py; `counts` is all 0 before and after. */
static void penalise(const struct Draw *d, float *scores, int32_t *counts, int vocabulary) {
    for (int i = 0; i < d->biased_count; i++) scores[d->biased[i]] += d->biases[i];
    if (d->repetition != 1) {
        for (int i = 0; i < d->length; i++)
            if (!counts[d->ids[i]]++) {
                float *score = scores + d->ids[i];
                *score = *score < 0 ? *score * d->repetition : *score / d->repetition;
            }
        for (int i = 0; i < d->length; i++) counts[d->ids[i]] = 0;
    }
    if (d->presence != 0 || d->frequency != 0) {
        for (int i = d->prompt; i < d->length; i++) counts[d->ids[i]]++;
        for (int i = d->prompt; i < d->length; i++) {
            if (counts[d->ids[i]]) scores[d->ids[i]] -= d->presence + (float)counts[d->ids[i]] * d->frequency;
            counts[d->ids[i]] = 0;
        }
    }
    for (int i = 0; i < d->never_count; i++) scores[d->never[i]] = -INFINITY;
    if (d->allowed)
        for (int i = 0; i < vocabulary; i++) scores[i] = d->allowed[i] ? scores[i] : -INFINITY;
}

/* The tokens that top_k leaves, in order, with their scores moved to the front of `scores`. */
static int top_k(float *scores, int32_t *tokens, float *peaks, int vocabulary, int k) {
    const int stretches = (vocabulary + STRETCH - 1) / STRETCH;
    for (int s = 0; s < stretches; s++) {
        f32x16 peak = load(scores + s * STRETCH);
        for (int i = LANES; i < STRETCH; i += LANES) peak = larger(load(scores + s * STRETCH + i), peak);
        peaks[s] = largest_of(peak);
    }
    for (int s = stretches; s < padded(stretches); s++) peaks[s] = -INFINITY;
    /* There are k stretches whose peaks reach `least`, so at least k scores do: the rest is out. */
    const float least = k > 0 && k < stretches ? kth_largest(peaks, stretches, k) : -INFINITY;
    int kept = 0;
    for (int s = 0; s < stretches; s++) {
        if (peaks[s] < least || peaks[s] == -INFINITY) continue; /* most are masked where few tokens are allowed */
        const int end = (s + 1) * STRETCH < vocabulary ? (s + 1) * STRETCH : vocabulary;
        for (int i = s * STRETCH; i < end; i++) {
            scores[kept] = scores[i];
            tokens[kept] = i;
            kept += scores[i] >= least && scores[i] > -INFINITY;
        }
    }
    for (int i = kept; i < padded(kept); i++) scores[i] = -INFINITY;
    return k > 0 && k < kept ? keep_from(scores, tokens, kept, kth_largest(scores, kept, k)) : kept;
}

/* The token where the cumulative weight, in order of token id, passes the row's uniform number. */
static int32_t passed(const float *weights, const int32_t *tokens, int count, double uniform) {
    double total = 0;
    for (int i = 0; i < count; i += LANES) total += (double)sum_of(load(weights + i));
    double target = uniform * total, before = 0;
    if (target >= total) target = nextafter(total, 0); /* so that the token found has a weight above 0 */
    int start = 0, last = 0;
    for (; start + LANES < count; start += LANES) {
        const double here = (double)sum_of(load(weights + start));
        if (before + here > target) break;
        before += here;
    }
    for (int i = start; i < start + LANES && i < count; i++) {
        if (!(weights[i] > 0)) continue;
        last = i;
        before += (double)weights[i];
        if (before > target) break;
    }
    return tokens[last];
}

static void draw_row(const void *job, int row, int thread) {
    const struct Draws *all = job;
    struct Draw *d = all->rows + row;
    const int vocabulary = all->vocabulary, stride = all->stride;
    float *scores = all->scratch + (int64_t)thread * 4 * stride, *peaks = scores + stride;
    int32_t *tokens = (int32_t *)(peaks + stride), *counts = tokens + stride;

    memcpy(scores, d->logits, sizeof(float) * vocabulary);
    for (int i = vocabulary; i < stride; i++) scores[i] = -INFINITY;
    f32x16 tops = (f32x16){} - INFINITY, sums = {};
    for (int i = 0; i < stride; i += LANES) tops = larger(load(scores + i), tops);
    const float top = largest_of(tops);
    for (int i = 0; i < stride; i += LANES) sums += exp_of(load(scores + i) - top);
    const float log_sum = top + logf(sum_of(sums));

    penalise(d, scores, counts, vocabulary);
    d->token = -1;
    d->logprob = log_sum - log_sum; /* 0, or NaN if the logits are not numbers */
    int count = top_k(scores, tokens, peaks, vocabulary, d->temperature > 0 ? d->top_k : 1);
    if (count == 0 || d->logprob != 0) return;

    f32x16 bests = (f32x16){} - INFINITY;
    for (int i = 0; i < padded(count); i += LANES) bests = larger(load(scores + i), bests);
    const float best = largest_of(bests);
    if (d->temperature > 0) {
        for (int i = 0; i < padded(count); i += LANES)
            store(scores + i, exp_of((load(scores + i) - best) / d->temperature));
        if (d->top_p < 1) {
            const float mass = d->top_p * sum_from(scores, padded(count), 0);
            count = keep_from(scores, tokens, count, nucleus_edge(scores, padded(count), mass));
            for (int i = count; i < padded(count); i++) scores[i] = 0;
        }
        if (d->min_p > 0) {
            count = keep_from(scores, tokens, count, d->min_p);
            for (int i = count; i < padded(count); i++) scores[i] = 0;
        }
        d->token = passed(scores, tokens, count, d->uniform);
    } else
        d->token = tokens[0];
    d->logprob = d->logits[d->token] - log_sum;
}

/* Draw a token for each of `count` rows; results are written into them. */
void quire_draw(struct Draw *rows, int count, int vocabulary, int stride, float *scratch, int threads) {
    const struct Draws job = {rows, vocabulary, stride, scratch};
    enter();
    run(draw_row, &job, count, threads);
    leave();
}
