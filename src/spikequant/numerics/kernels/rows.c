/* Operations on one row of a tile: the same order of operations as scan.py, so the same bits (compile with -ffp-contract=off).

   A tile of neurons stays in the cache over all time steps; each small loop below does one operation on one row of it, so that
   every choice of Dynamics costs one switch per row and the compiler vectorizes what is inside. */
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { SCALE, RELAX, RELAX_INPUT, SHIFT, SHIFT_MIN1, MULTIPLY_SHIFT };
enum { SUBTRACT, VALUE, NONE };
enum { FLOOR, TRUNC, HALF_UP };
enum { NEAREST_EVEN, ROUND_HALF_UP, TRUNCATE, STOCHASTIC };
enum { NO_GRID, AFFINE, TABLE };
enum { ARCTAN, SIGMOID, FAST_SIGMOID, TRIANGLE, SQUAT };
enum { BEFORE_FIRE = 1, AFTER_RESET = 2 };
enum { PASS, MASK, STACKED };

typedef struct {
    int32_t charge, reset, leak_rounding, next, strict, detach_reset, full, surrogate;
    int32_t grid, rounding, snapped, gradient, size, wrap, edges;
    float tau, gain, leak, reset_value, slope, height, up, down;
    float step, lowest, shift, low, high;
} Spec;

typedef struct {
    const float *threshold, *decay; /* one value for each neuron of a row, or one in all (stride 0) */
    int64_t threshold_stride, decay_stride, inner, channels;
    const float *levels;
    float *middles; /* size - 1: given (edges), or filled in by forward */
} Tables;

#define TILE 512
#define LARGE (1 << 21) /* values: more than the caches hold */
#ifdef _OPENMP
extern int omp_get_thread_num(void);
#define THREAD omp_get_thread_num()
#else
#define THREAD 0
#endif
#define PI 3.14159265358979323846
#ifdef __SSE2__
#include <immintrin.h>
#endif

/* Rows of neighboring tiles lie far apart: the processor does not foresee the next one, so it is asked for a step ahead,
   into the second-level cache: the first has too few places for what is on its way. */
static inline void fetch_row(const float *row, int n) {
    for (int i = 0; i < n; i += 16) __builtin_prefetch(row + i, 0, 2);
}

/* A row that nobody reads soon goes past the cache: a plain store would first read what it overwrites. */
static void store_row(void *to, const void *from, size_t bytes, int past_cache) {
    size_t i = 0;
#ifdef __SSE2__
    if (past_cache && ((uintptr_t)to & 63) == 0) {
#if defined(__AVX512F__)
        for (; i + 64 <= bytes; i += 64) _mm512_stream_si512((__m512i *)((char *)to + i), _mm512_loadu_si512((const char *)from + i));
#elif defined(__AVX__)
        for (; i + 32 <= bytes; i += 32) _mm256_stream_si256((__m256i *)((char *)to + i), _mm256_loadu_si256((const __m256i *)((const char *)from + i)));
#else
        for (; i + 16 <= bytes; i += 16) _mm_stream_si128((__m128i *)((char *)to + i), _mm_loadu_si128((const __m128i *)((const char *)from + i)));
#endif
    }
#endif
    memcpy((char *)to + i, (const char *)from + i, bytes - i);
}

/* Streamed stores are ordered with what other threads read next by a fence. */
static inline void finish_stores(void) {
#ifdef __SSE2__
    _mm_sfence();
#endif
}

static void charge_row(const Spec *p, int n, const float *v, const float *restrict x, const float *restrict decay, float *u) {
    const float rest = p->reset == VALUE ? p->reset_value : 0.0f, tau = p->tau, gain = p->gain, leak = p->leak;
    switch (p->charge) {
    case SCALE:
        for (int i = 0; i < n; i++) u[i] = decay[i] * v[i] + gain * x[i];
        break;
    case RELAX:
        for (int i = 0; i < n; i++) u[i] = v[i] - (v[i] - rest) / tau + x[i];
        break;
    case RELAX_INPUT:
        for (int i = 0; i < n; i++) u[i] = v[i] + (x[i] - (v[i] - rest)) / tau;
        break;
    case SHIFT:
        for (int i = 0; i < n; i++) u[i] = v[i] - floorf(v[i] * leak) + gain * x[i];
        break;
    case SHIFT_MIN1:
        for (int i = 0; i < n; i++) {
            float lost = floorf(v[i] * leak), one = (float)((v[i] > 0) - (v[i] < 0));
            u[i] = v[i] - (lost == 0 ? one : lost) + gain * x[i];
        }
        break;
    default:
        for (int i = 0; i < n; i++) {
            double real = (double)v[i] * leak; /* whole numbers, whose product has more bits than a float holds */
            double left = p->leak_rounding == FLOOR ? floor(real) : p->leak_rounding == TRUNC ? trunc(real) : floor(real + 0.5);
            u[i] = (float)left + gain * x[i];
        }
    }
}

static void fire_row(const Spec *p, int n, const float *restrict v, const float *restrict threshold, float *restrict s) {
    if (p->strict)
        for (int i = 0; i < n; i++) s[i] = (float)(v[i] - threshold[i] > 0);
    else
        for (int i = 0; i < n; i++) s[i] = (float)(v[i] - threshold[i] >= 0);
}

static void reset_row(const Spec *p, int n, const float *restrict s, const float *restrict threshold, float *restrict v) {
    const float value = p->reset_value;
    if (p->reset == SUBTRACT)
        for (int i = 0; i < n; i++) v[i] = v[i] - s[i] * threshold[i];
    else if (p->reset == VALUE)
        for (int i = 0; i < n; i++) v[i] = (1.0f - s[i]) * v[i] + s[i] * value;
}

static void add_row(int n, const float *restrict from, float *restrict to) {
    for (int i = 0; i < n; i++) to[i] += from[i];
}

static void scale_row(int n, float factor, float *v) {
    if (factor != 1.0f)
        for (int i = 0; i < n; i++) v[i] = v[i] * factor;
}

/* Constants of the neurons first .. first + n - 1 of one step [batch, channel, inner]. */
static void constants(const Tables *t, int64_t first, int n, float *threshold, float *decay) {
    if (!t->threshold_stride && !t->decay_stride) {
        for (int i = 0; i < n; i++) { threshold[i] = t->threshold[0]; decay[i] = t->decay[0]; }
        return;
    }
    for (int i = 0; i < n; i++) {
        int64_t channel = (first + i) / t->inner % t->channels;
        threshold[i] = t->threshold[channel * t->threshold_stride];
        decay[i] = t->decay[channel * t->decay_stride];
    }
}

/* exp(x) for x <= 0, within 2 units in the last place down to exp(-87): the library's call would not be vectorized, and its bits are
   not the same on every processor. Reduced by whole powers of two (Cody and Waite), then a polynomial on [-ln 2 / 2, ln 2 / 2]. */
static inline float exp_down(float x) {
    const float bounded = x > -87.0f ? x : -87.0f, whole = rintf(bounded * 1.44269504f);
    const float r = (bounded - whole * 0.693359375f) + whole * 2.12194440e-4f;
    const float tail = 0.5f + r * (1.6666667e-1f + r * (4.1666653e-2f + r * (8.3333343e-3f + r * 1.3888889e-3f)));
    const union { int32_t bits; float value; } power = {.bits = ((int32_t)whole + 127) << 23};
    return (1.0f + (r + r * r * tail)) * power.value;
}

static void surrogate_row(const Spec *p, int n, const float *restrict v, const float *restrict threshold, float *restrict d) {
    const float a = p->slope;
    switch (p->surrogate) {
    case ARCTAN: {
        const float c = (float)(PI / 2 * a), half = a / 2;
        for (int i = 0; i < n; i++) { float y = c * (v[i] - threshold[i]); d[i] = half / (1 + y * y); }
        break;
    }
    case SIGMOID:
        for (int i = 0; i < n; i++) { float y = exp_down(-fabsf(a * (v[i] - threshold[i]))); d[i] = a * y / ((1 + y) * (1 + y)); }
        break;
    case FAST_SIGMOID:
        for (int i = 0; i < n; i++) { float y = a * fabsf(v[i] - threshold[i]) + 1; d[i] = 1 / (y * y); }
        break;
    case TRIANGLE:
        for (int i = 0; i < n; i++) { float y = 1 - a * fabsf(v[i] - threshold[i]); d[i] = y > 0 ? a * y : 0; }
        break;
    default: {
        const float c = (float)(PI * a), peak = (float)(1 / PI);
        for (int i = 0; i < n; i++) { float y = c * (v[i] - threshold[i]); d[i] = peak / (1 + y * y); }
    }
    }
    if (p->height != 1)
        for (int i = 0; i < n; i++) d[i] *= p->height;
}

/* Back through the rounding of u: a mask, or a logistic curve at each midpoint of an affine grid. */
static void unsnap_row(const Spec *p, int n, const float *restrict u, float *restrict g) {
    if (p->grid == NO_GRID || p->gradient == PASS || p->wrap) return;
    if (p->gradient == MASK) {
        const float low = p->low, high = p->high;
        for (int i = 0; i < n; i++) g[i] = u[i] >= low && u[i] <= high ? g[i] : 0;
        return;
    }
    const float sharp = 2 / p->step; /* snap.py's TEMPERATURE over the gap */
    float slope[TILE] = {0};
    for (int32_t j = 0; j < p->size - 1; j++) {
        const float middle = p->step * ((float)j + 0.5f + p->lowest + p->shift);
        for (int i = 0; i < n; i++) { float y = exp_down(-fabsf(sharp * (u[i] - middle))); slope[i] += 2 * y / ((1 + y) * (1 + y)); }
    }
    for (int i = 0; i < n; i++) g[i] *= slope[i];
}

/* What the step of a grid gains as it rounds u to w, for the gradient g of w: LSQ's slope. */
static void step_row(const Spec *p, int n, const float *restrict u, const float *restrict w, const float *restrict g, float *restrict to_step) {
    const float low = p->low, high = p->high;
    for (int i = 0; i < n; i++) to_step[i] += g[i] * ((u[i] >= low && u[i] <= high ? w[i] - u[i] : w[i]) / p->step);
}

static int64_t nan_row(int n, const float *row) {
    int nan = 0;
    for (int i = 0; i < n; i++) nan += row[i] != row[i];
    return nan;
}
