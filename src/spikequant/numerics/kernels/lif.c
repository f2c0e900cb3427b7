/* lif_scan, forward and backward: the same order of operations as scan.py, so the same bits (compile with -ffp-contract=off).

   A tile of neurons stays in the first-level cache over all time steps; each small loop below does one operation on one row
   of the tile, so that every choice of Dynamics costs one switch per row and the compiler vectorizes what is inside. */
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { SCALE, RELAX, RELAX_INPUT, SHIFT, SHIFT_MIN1, MULTIPLY_SHIFT };
enum { SUBTRACT, VALUE, NONE };
enum { FLOOR, TRUNC, HALF_UP };
enum { NEAREST_EVEN, ROUND_HALF_UP, TRUNCATE };
enum { NO_GRID, AFFINE, TABLE };
enum { ARCTAN, SIGMOID, FAST_SIGMOID, TRIANGLE, SQUAT };
enum { BEFORE_FIRE = 1, AFTER_RESET = 2 };

typedef struct {
    int32_t charge, reset, leak_rounding, next, strict, detach_reset, full, surrogate;
    int32_t grid, rounding, snapped, mask, size, wrap;
    float tau, gain, leak, reset_value, slope, up, down;
    float step, lowest, shift, low, high;
} Spec;

typedef struct {
    const float *threshold, *decay; /* one value for each neuron of a row, or one in all (stride 0) */
    int64_t threshold_stride, decay_stride, inner, channels;
    const float *levels, *middles;
} Tables;

#define TILE 512
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

/* Rows of neighboring tiles lie far apart: the processor does not foresee the next one, so it is asked for a step ahead. */
static inline void fetch_row(const float *row, int n) {
    for (int i = 0; i < n; i += 16) __builtin_prefetch(row + i);
}

/* A row that nobody reads soon goes past the cache: a plain store would first read what it overwrites. */
static void store_row(float *to, const float *from, int n) {
    int i = 0;
#ifdef __SSE2__
    if (((uintptr_t)to & 63) == 0) {
#if defined(__AVX512F__)
        for (; i + 16 <= n; i += 16) _mm512_stream_ps(to + i, _mm512_loadu_ps(from + i));
#elif defined(__AVX__)
        for (; i + 8 <= n; i += 8) _mm256_stream_ps(to + i, _mm256_loadu_ps(from + i));
#else
        for (; i + 4 <= n; i += 4) _mm_stream_ps(to + i, _mm_loadu_ps(from + i));
#endif
    }
#endif
    memcpy(to + i, from + i, (size_t)(n - i) * sizeof(float));
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
            float real = v[i] * leak;
            float left = p->leak_rounding == FLOOR ? floorf(real) : p->leak_rounding == TRUNC ? truncf(real) : floorf(real + 0.5f);
            u[i] = left + gain * x[i];
        }
    }
}

static inline float rounded(const Spec *p, float t) {
    const float below = floorf(t);
    return p->rounding == NEAREST_EVEN ? rintf(t) : p->rounding == TRUNCATE ? below : below + (t - below >= 0.5f ? 1.0f : 0.0f);
}

static inline float held(float code, float top) { return code < 0 ? 0 : code > top ? top : code; }

static void snap_affine(const Spec *p, int n, const float *u, float *w) {
    const float step = p->step, lowest = p->lowest, shift = p->shift, top = (float)(p->size - 1);
    switch (p->rounding) {
    case NEAREST_EVEN:
        for (int i = 0; i < n; i++) w[i] = step * (held(rintf(u[i] / step - shift) - lowest, top) + lowest + shift);
        break;
    case ROUND_HALF_UP:
        for (int i = 0; i < n; i++) {
            float t = u[i] / step - shift, below = floorf(t);
            w[i] = step * (held(below + (t - below >= 0.5f ? 1.0f : 0.0f) - lowest, top) + lowest + shift);
        }
        break;
    default:
        for (int i = 0; i < n; i++) {
            float code = held(rintf(u[i] / step - shift) - lowest, top), near = step * (code + lowest + shift);
            w[i] = near > u[i] ? step * (held(code - 1, top) + lowest + shift) : near;
        }
    }
}

#define PIVOTS 15

/* How many pivots are below u, times part. Inlined with a constant count, all of them stay in registers. */
static inline void count_row(const int count, const float *restrict pivots, int32_t part, int n, const float *restrict u, int32_t *restrict code) {
    for (int i = 0; i < n; i++) {
        int32_t below = 0;
#pragma GCC unroll 15
        for (int j = 0; j < count; j++) below += pivots[j] < u[i];
        code[i] = below * part;
    }
}

/* The level above the last pivot below u; w may be u. */
static inline void choose_row(const int count, const float *restrict pivots, const float *restrict levels, int n, const float *u, float *w) {
#pragma GCC ivdep
    for (int i = 0; i < n; i++) {
        float level = levels[0];
#pragma GCC unroll 15
        for (int j = 0; j < count; j++) level = pivots[j] < u[i] ? levels[j + 1] : level;
        w[i] = level;
    }
}

/* Every part-th midpoint, as many as there are; the rest is above everything. Returns how many there are. */
static int pivots_of(const float *middles, int32_t size, int32_t part, float *pivots) {
    for (int j = 0; j < PIVOTS; j++) pivots[j] = (j + 1) * part < size ? middles[(j + 1) * part - 1] : INFINITY;
    return (size - 1) / part;
}

/* The number of midpoints below u is the code: counted for few levels; for many a part is counted, the place in it searched. */
static void table_codes(const float *restrict middles, int32_t size, int n, const float *restrict u, int32_t *restrict code) {
    float pivots[PIVOTS];
    int32_t part = 1;
    while (16 * part < size) part *= 2;
    const int count = pivots_of(middles, size, part, pivots);
    if (count <= 3) count_row(3, pivots, part, n, u, code);
    else if (count <= 7) count_row(7, pivots, part, n, u, code);
    else count_row(PIVOTS, pivots, part, n, u, code);
    for (int32_t half = part / 2; half > 0; half /= 2)
        for (int i = 0; i < n; i++) {
            int32_t next = code[i] + half;
            int32_t seen = next <= size - 1 ? next - 1 : size - 2;
            code[i] = next <= size - 1 && middles[seen] < u[i] ? next : code[i];
        }
}

static void snap_table(const Spec *p, const Tables *t, int n, const float *u, float *w) {
    if (p->size <= 16) {
        float pivots[PIVOTS], levels[PIVOTS + 1] = {0};
        const int count = pivots_of(t->middles, p->size, 1, pivots);
        memcpy(levels, t->levels, (size_t)p->size * sizeof(float));
        if (count <= 3) choose_row(3, pivots, levels, n, u, w);
        else if (count <= 7) choose_row(7, pivots, levels, n, u, w);
        else choose_row(PIVOTS, pivots, levels, n, u, w);
        return;
    }
    int32_t code[TILE];
    table_codes(t->middles, p->size, n, u, code);
    for (int i = 0; i < n; i++) w[i] = t->levels[code[i]];
}

static void snap_row(const Spec *p, const Tables *t, int n, const float *u, float *w) {
    float turned[TILE];
    if (p->wrap) {
        const float turn = p->high - p->low + 1;
        for (int i = 0; i < n; i++) {
            float whole = rounded(p, u[i]) - p->low, rest = fmodf(whole, turn);
            turned[i] = (rest < 0 ? rest + turn : rest) + p->low;
        }
        u = turned;
    }
    if (p->grid == AFFINE) snap_affine(p, n, u, w);
    else snap_table(p, t, n, u, w);
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

static void scale_row(int n, float factor, float *v) {
    if (factor != 1.0f)
        for (int i = 0; i < n; i++) v[i] = v[i] * factor;
}

/* The membrane after its charge, before it is snapped; v itself may be the result. late: room for a row. */
static void charged(const Spec *p, int n, const float *x, const float *threshold, const float *decay, float *v, float *late) {
    if (p->next && p->reset != NONE) fire_row(p, n, v, threshold, late);
    if (p->next && p->reset == VALUE) reset_row(p, n, late, threshold, v);
    scale_row(n, p->up, v);
    charge_row(p, n, v, x, decay, v);
    scale_row(n, p->down, v);
    if (p->next && p->reset == SUBTRACT) reset_row(p, n, late, threshold, v);
}

/* One time step of a tile, in place; seen, if wanted, keeps what the threshold was compared with. */
static void advance(const Spec *p, const Tables *t, int n, const float *x, const float *threshold, const float *decay,
                    float *v, float *s, float *seen) {
    float late[TILE];
    charged(p, n, x, threshold, decay, v, late);
    if (p->full) {
        fire_row(p, n, v, threshold, s);
        if (seen) memcpy(seen, v, (size_t)n * sizeof(float));
    }
    if (p->grid != NO_GRID && (p->snapped & BEFORE_FIRE)) snap_row(p, t, n, v, v);
    if (!p->full) {
        fire_row(p, n, v, threshold, s);
        if (seen) memcpy(seen, v, (size_t)n * sizeof(float));
    }
    if (!p->next) reset_row(p, n, s, threshold, v);
    if (p->grid != NO_GRID && (p->snapped & AFTER_RESET)) snap_row(p, t, n, v, v);
}

/* The commonest neurons in one loop, without a grid: the same operations in the same order as advance(). */
static inline __attribute__((always_inline)) void plain(const int charge, const int reset, const int next, const int strict, const Spec *p, int n,
                                                         const float *restrict x, const float *restrict threshold,
                                                         const float *restrict decay, float *restrict v, float *restrict s) {
    const float gain = p->gain, tau = p->tau, value = p->reset_value, rest = reset == VALUE ? value : 0.0f;
    for (int i = 0; i < n; i++) {
        const float t = threshold[i], gap = v[i] - t, late = next ? (float)(strict ? gap > 0 : gap >= 0) : 0.0f;
        const float w = next && reset == VALUE ? (1.0f - late) * v[i] + late * value : v[i];
        float u = charge == SCALE ? decay[i] * w + gain * x[i] : w + (x[i] - (w - rest)) / tau;
        if (next && reset == SUBTRACT) u = u - late * t;
        const float fired = (float)(strict ? u - t > 0 : u - t >= 0);
        s[i] = fired;
        v[i] = next ? u : reset == SUBTRACT ? u - fired * t : (1.0f - fired) * u + fired * value;
    }
}

#define PLAIN(CHARGE, RESET, NEXT, STRICT) \
    if (p->charge == CHARGE && p->reset == RESET && p->next == NEXT && p->strict == STRICT) { \
        plain(CHARGE, RESET, NEXT, STRICT, p, n, x, threshold, decay, v, s); \
        return 1; \
    }
#define PLAIN_OF(CHARGE, RESET) PLAIN(CHARGE, RESET, 0, 0) PLAIN(CHARGE, RESET, 0, 1) PLAIN(CHARGE, RESET, 1, 0) PLAIN(CHARGE, RESET, 1, 1)

/* Whether the step was one of these, and is done. */
static int advance_plain(const Spec *p, int n, const float *x, const float *threshold, const float *decay, float *v, float *s) {
    if (p->grid != NO_GRID || p->full || p->up != 1.0f) return 0;
    PLAIN_OF(SCALE, SUBTRACT)
    PLAIN_OF(SCALE, VALUE)
    PLAIN_OF(RELAX_INPUT, SUBTRACT)
    PLAIN_OF(RELAX_INPUT, VALUE)
    return 0;
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

/* x, s: [steps, neurons] (x_stride 0 repeats one step); start, last: [neurons]. Returns the number of NaN in x. */
int64_t sq_lif_forward(const Spec *p, const Tables *t, int64_t steps, int64_t neurons, const float *x, int64_t x_stride,
                       const float *start, float *s, float *last, int threads) {
    int64_t bad = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : bad)
    for (int64_t first = 0; first < neurons; first += TILE) {
        const int n = (int)(neurons - first < TILE ? neurons - first : TILE);
        const size_t bytes = (size_t)n * sizeof(float);
        float threshold[TILE], decay[TILE], v[TILE], fired[TILE];
        constants(t, first, n, threshold, decay);
        if (start) memcpy(v, start + first, bytes);
        else memset(v, 0, bytes);
        for (int64_t k = 0; k < steps; k++) {
            const float *now = x + k * x_stride + first;
            if (k + 1 < steps) fetch_row(now + x_stride, n);
            int nan = 0;
            for (int i = 0; i < n; i++) nan += now[i] != now[i];
            bad += nan;
            if (!advance_plain(p, n, now, threshold, decay, v, fired)) advance(p, t, n, now, threshold, decay, v, fired, 0);
            store_row(s + k * neurons + first, fired, n);
        }
        memcpy(last + first, v, bytes);
        finish_stores();
    }
    return bad;
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
        for (int i = 0; i < n; i++) { float y = 1 / (1 + expf(-a * (v[i] - threshold[i]))); d[i] = a * y * (1 - y); }
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
}

static void mask_row(const Spec *p, int n, const float *restrict u, float *restrict g) {
    if (p->grid == NO_GRID || !p->mask || p->wrap) return;
    const float low = p->low, high = p->high;
    for (int i = 0; i < n; i++) g[i] = u[i] >= low && u[i] <= high ? g[i] : 0;
}

/* What backward knows of one step: the state before it, what the threshold saw, and the constants. */
typedef struct { const float *before, *seen, *x, *threshold, *decay; } Step;

/* The compared value as it is stored, and the value before it was snapped: needed by few settings only. */
static void again(const Spec *p, const Tables *t, int n, const Step *k, float *u, float *w) {
    float late[TILE];
    memcpy(u, k->before, (size_t)n * sizeof(float));
    charged(p, n, k->x, k->threshold, k->decay, u, late);
    if (p->grid != NO_GRID && (p->snapped & BEFORE_FIRE)) snap_row(p, t, n, u, w);
    else memcpy(w, u, (size_t)n * sizeof(float));
}

/* Through firing and reset. In: gv, of the stored state, and gs. Out: g, of the charged membrane before it was scaled down. */
static void fire_back(const Spec *p, const Tables *t, int n, const Step *k, const float *gs, float *gv, float *g) {
    float d[TILE], s[TILE], u[TILE], w[TILE];
    const int whole = p->full || (p->mask && p->grid != NO_GRID);
    const float *stored = k->seen, *threshold = k->threshold;
    if (whole) { again(p, t, n, k, u, w); stored = w; }
    fire_row(p, n, k->seen, threshold, s);
    if (p->mask && (p->snapped & AFTER_RESET)) {
        float fallen[TILE];
        memcpy(fallen, stored, (size_t)n * sizeof(float));
        if (!p->next) reset_row(p, n, s, threshold, fallen);
        mask_row(p, n, fallen, gv);
    }
    surrogate_row(p, n, k->seen, threshold, d);
    const int now = !p->next, through = now && !p->detach_reset;
    if (through && p->reset == SUBTRACT)
        for (int i = 0; i < n; i++) d[i] *= gs[i] - threshold[i] * gv[i];
    else if (through && p->reset == VALUE)
        for (int i = 0; i < n; i++) d[i] *= gs[i] + gv[i] * (p->reset_value - stored[i]);
    else
        for (int i = 0; i < n; i++) d[i] *= gs[i];
    if (now && p->reset == VALUE)
        for (int i = 0; i < n; i++) g[i] = gv[i] * (1 - s[i]);
    else
        memcpy(g, gv, (size_t)n * sizeof(float));
    if (!p->full)
        for (int i = 0; i < n; i++) g[i] += d[i];
    if (p->snapped & BEFORE_FIRE) mask_row(p, n, u, g);
    if (p->full)
        for (int i = 0; i < n; i++) g[i] += d[i];
    scale_row(n, p->down, g);
}

/* Through the charge. In: g. Out: gx of the current, gv of the state before. */
static void charge_back(const Spec *p, int n, const Step *k, const float *restrict g, float *restrict gv, float *restrict gx) {
    const float up = p->up, gain = p->gain, tau = p->tau;
    switch (p->charge) {
    case SCALE:
        for (int i = 0; i < n; i++) { gx[i] = gain * g[i]; gv[i] = k->decay[i] * g[i] * up; }
        break;
    case RELAX:
        for (int i = 0; i < n; i++) { gx[i] = g[i]; gv[i] = (g[i] - g[i] / tau) * up; }
        break;
    case RELAX_INPUT:
        for (int i = 0; i < n; i++) { gx[i] = g[i] / tau; gv[i] = (g[i] - g[i] / tau) * up; }
        break;
    case SHIFT: case SHIFT_MIN1:
        for (int i = 0; i < n; i++) { gx[i] = gain * g[i]; gv[i] = (g[i] - g[i] * p->leak) * up; }
        break;
    default:
        for (int i = 0; i < n; i++) { gx[i] = gain * g[i]; gv[i] = g[i] * p->leak * up; }
    }
    if (!p->next || p->reset == NONE) return;
    float late[TILE], d[TILE];
    fire_row(p, n, k->before, k->threshold, late);
    surrogate_row(p, n, k->before, k->threshold, d);
    const float through = p->detach_reset ? 0.0f : 1.0f;
    if (p->reset == SUBTRACT)
        for (int i = 0; i < n; i++) gv[i] -= through * k->threshold[i] * g[i] * up * d[i];
    else
        for (int i = 0; i < n; i++) gv[i] = gv[i] * (1 - late[i]) + through * gv[i] * (p->reset_value - k->before[i]) * d[i];
}

/* Runs each tile's forward again in cache, then walks back. gx: [steps, neurons], or [neurons], their sum, where x_stride is 0.
   scratch: 2 * steps * TILE floats for each thread. */
void sq_lif_backward(const Spec *p, const Tables *t, int64_t steps, int64_t neurons, const float *x, int64_t x_stride,
                     const float *start, const float *gs, const float *glast, float *gx, float *gstart, float *scratch, int threads) {
#pragma omp parallel num_threads(threads)
    {
        float *states = scratch + (size_t)THREAD * 2 * (size_t)steps * TILE, *seen = states + (size_t)steps * TILE;
#pragma omp for schedule(static)
        for (int64_t first = 0; first < neurons; first += TILE) {
            const int n = (int)(neurons - first < TILE ? neurons - first : TILE);
            const size_t bytes = (size_t)n * sizeof(float);
            float threshold[TILE], decay[TILE], v[TILE], s[TILE], gv[TILE], g[TILE], row[TILE];
            constants(t, first, n, threshold, decay);
            if (start) memcpy(v, start + first, bytes);
            else memset(v, 0, bytes);
            for (int64_t k = 0; k < steps; k++) {
                memcpy(states + k * TILE, v, bytes);
                if (k + 1 < steps) fetch_row(x + (k + 1) * x_stride + first, n);
                advance(p, t, n, x + k * x_stride + first, threshold, decay, v, s, seen + k * TILE);
            }
            if (glast) memcpy(gv, glast + first, bytes);
            else memset(gv, 0, bytes);
            if (!x_stride) memset(gx + first, 0, bytes);
            for (int64_t k = steps - 1; k >= 0; k--) {
                const Step step = {states + k * TILE, seen + k * TILE, x + k * x_stride + first, threshold, decay};
                if (k > 0) fetch_row(gs + (k - 1) * neurons + first, n);
                fire_back(p, t, n, &step, gs + k * neurons + first, gv, g);
                charge_back(p, n, &step, g, gv, row);
                if (x_stride) store_row(gx + k * neurons + first, row, n);
                else
                    for (int i = 0; i < n; i++) gx[first + i] += row[i];
            }
            memcpy(gstart + first, gv, bytes);
        }
        finish_stores();
    }
}
