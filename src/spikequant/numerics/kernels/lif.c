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

#define TILE 256
#define PI 3.14159265358979323846

static void charge_row(const Spec *p, int n, const float *restrict v, const float *restrict x, const float *restrict decay, float *restrict u) {
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

static inline float held(float code, float top) { return code < 0 ? 0 : code > top ? top : code; }

static void snap_affine(const Spec *p, int n, const float *restrict u, float *restrict w) {
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
            float t = u[i] / step - shift;
            float down = step * (held(floorf(t) - lowest, top) + lowest + shift);
            float near = step * (held(rintf(t) - lowest, top) + lowest + shift);
            w[i] = near == u[i] ? near : down;
        }
    }
}

/* The number of midpoints below u is the code: counted for few levels, searched for many. */
static void snap_table(const Spec *p, const Tables *t, int n, const float *restrict u, float *restrict w) {
    const float *restrict middles = t->middles, *restrict levels = t->levels;
    if (p->size <= 16) {
        int32_t code[TILE] = {0};
        for (int j = 0; j < p->size - 1; j++)
            for (int i = 0; i < n; i++) code[i] += middles[j] < u[i];
        for (int i = 0; i < n; i++) w[i] = levels[code[i]];
        return;
    }
    int32_t half = 1;
    while (2 * half < p->size) half *= 2;
    int32_t code[TILE] = {0};
    for (; half > 0; half /= 2)
        for (int i = 0; i < n; i++) {
            int32_t next = code[i] + half;
            int32_t seen = next <= p->size - 1 ? next - 1 : p->size - 2;
            code[i] = next <= p->size - 1 && middles[seen] < u[i] ? next : code[i];
        }
    for (int i = 0; i < n; i++) w[i] = levels[code[i]];
}

static void snap_row(const Spec *p, const Tables *t, int n, const float *restrict u, float *restrict w) {
    float turned[TILE];
    if (p->wrap) {
        const float turn = p->high - p->low + 1;
        for (int i = 0; i < n; i++) {
            float whole = floorf(u[i] + 0.5f) - p->low, rest = fmodf(whole, turn);
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

/* One time step of a tile. Rows that backward needs: before (v after a late reset to a value), u, w (compared), stored (kept). */
typedef struct { float before[TILE], late[TILE], u[TILE], w[TILE], s[TILE], fallen[TILE], stored[TILE]; } Rows;

static void step_tile(const Spec *p, const Tables *t, int n, const float *v, const float *x, const float *threshold, const float *decay, Rows *r) {
    const size_t bytes = (size_t)n * sizeof(float);
    memcpy(r->before, v, bytes);
    if (p->next) {
        fire_row(p, n, v, threshold, r->late);
        if (p->reset == VALUE) reset_row(p, n, r->late, threshold, r->before);
    }
    if (p->up != 1.0f) {
        float wide[TILE];
        for (int i = 0; i < n; i++) wide[i] = r->before[i] * p->up;
        charge_row(p, n, wide, x, decay, r->u);
    } else charge_row(p, n, r->before, x, decay, r->u);
    if (p->next && p->reset == SUBTRACT) reset_row(p, n, r->late, threshold, r->u);
    float narrow[TILE];
    const float *seen = r->u;
    if (p->down != 1.0f) {
        for (int i = 0; i < n; i++) narrow[i] = r->u[i] * p->down;
        seen = narrow;
    }
    if (p->grid != NO_GRID && (p->snapped & BEFORE_FIRE)) snap_row(p, t, n, seen, r->w);
    else memcpy(r->w, seen, bytes);
    fire_row(p, n, p->full ? r->u : r->w, threshold, r->s);
    memcpy(r->fallen, r->w, bytes);
    if (!p->next) reset_row(p, n, r->s, threshold, r->fallen);
    if (p->grid != NO_GRID && (p->snapped & AFTER_RESET)) snap_row(p, t, n, r->fallen, r->stored);
    else memcpy(r->stored, r->fallen, bytes);
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
        float threshold[TILE], decay[TILE], v[TILE];
        Rows r;
        constants(t, first, n, threshold, decay);
        if (start) memcpy(v, start + first, bytes);
        else memset(v, 0, bytes);
        for (int64_t k = 0; k < steps; k++) {
            const float *now = x + k * x_stride + first;
            int nan = 0;
            for (int i = 0; i < n; i++) nan += now[i] != now[i];
            bad += nan;
            step_tile(p, t, n, v, now, threshold, decay, &r);
            memcpy(s + k * neurons + first, r.s, bytes);
            memcpy(v, r.stored, bytes);
        }
        memcpy(last + first, v, bytes);
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

static void mask_row(const Spec *p, int n, const float *restrict u, float scale, float *restrict g) {
    if (p->grid == NO_GRID || !p->mask) return;
    const float low = p->low, high = p->high;
    for (int i = 0; i < n; i++) g[i] = u[i] * scale >= low && u[i] * scale <= high ? g[i] : 0;
}

/* Gradient of one step. In: gv (of the stored state), gs. Out: gx, and gv of the state before. */
static void step_back(const Spec *p, int n, const float *v, const float *threshold, const float *decay, const Rows *r,
                      const float *gs, float *gv, float *gx) {
    float d[TILE], g[TILE], fire[TILE];
    if (p->snapped & AFTER_RESET) mask_row(p, n, r->fallen, 1.0f, gv);
    surrogate_row(p, n, p->full ? r->u : r->w, threshold, d);
    memcpy(fire, gs, (size_t)n * sizeof(float));
    memcpy(g, gv, (size_t)n * sizeof(float));
    if (!p->next) {
        if (!p->detach_reset && p->reset == SUBTRACT)
            for (int i = 0; i < n; i++) fire[i] -= threshold[i] * gv[i];
        if (!p->detach_reset && p->reset == VALUE)
            for (int i = 0; i < n; i++) fire[i] += gv[i] * (p->reset_value - r->w[i]);
        if (p->reset == VALUE)
            for (int i = 0; i < n; i++) g[i] = gv[i] * (1 - r->s[i]);
    }
    float full[TILE];
    for (int i = 0; i < n; i++) { d[i] = fire[i] * d[i]; full[i] = p->full ? d[i] : 0; g[i] += p->full ? 0 : d[i]; }
    if (p->snapped & BEFORE_FIRE) mask_row(p, n, r->u, p->down, g);
    for (int i = 0; i < n; i++) g[i] = g[i] * p->down + full[i];
    float late[TILE];
    memset(late, 0, sizeof late);
    if (p->next && !p->detach_reset && p->reset != NONE) {
        surrogate_row(p, n, v, threshold, d);
        if (p->reset == SUBTRACT)
            for (int i = 0; i < n; i++) late[i] = -threshold[i] * g[i] * d[i];
    }
    const float up = p->up, gain = p->gain, tau = p->tau;
    switch (p->charge) {
    case SCALE:
        for (int i = 0; i < n; i++) { gx[i] = gain * g[i]; gv[i] = decay[i] * g[i] * up; }
        break;
    case RELAX:
        for (int i = 0; i < n; i++) { gx[i] = g[i]; gv[i] = (g[i] - g[i] / tau) * up; }
        break;
    case RELAX_INPUT:
        for (int i = 0; i < n; i++) { gx[i] = g[i] / tau; gv[i] = (g[i] - g[i] / tau) * up; }
        break;
    case SHIFT: case SHIFT_MIN1:
        for (int i = 0; i < n; i++) { gx[i] = gain * g[i]; gv[i] = g[i] * up; }
        break;
    default:
        for (int i = 0; i < n; i++) { gx[i] = gain * g[i]; gv[i] = 0; }
    }
    if (p->next && p->reset == VALUE)
        for (int i = 0; i < n; i++) {
            if (!p->detach_reset) late[i] = gv[i] * (p->reset_value - v[i]) * d[i];
            gv[i] *= 1 - r->late[i];
        }
    for (int i = 0; i < n; i++) gv[i] += late[i];
}

/* Recomputes each tile's forward in cache, then walks back. gx: [steps, neurons], or [neurons] summed where x_stride is 0. */
void sq_lif_backward(const Spec *p, const Tables *t, int64_t steps, int64_t neurons, const float *x, int64_t x_stride,
                     const float *start, const float *gs, const float *glast, float *gx, float *gstart, float *scratch, int threads) {
#pragma omp parallel num_threads(threads)
    {
        int worker = 0;
#ifdef _OPENMP
        extern int omp_get_thread_num(void);
        worker = omp_get_thread_num();
#endif
        float *states = scratch + (size_t)worker * (size_t)steps * TILE;
        Rows r;
#pragma omp for schedule(static)
        for (int64_t first = 0; first < neurons; first += TILE) {
            const int n = (int)(neurons - first < TILE ? neurons - first : TILE);
            const size_t bytes = (size_t)n * sizeof(float);
            float threshold[TILE], decay[TILE], gv[TILE], row[TILE];
            constants(t, first, n, threshold, decay);
            if (start) memcpy(states, start + first, bytes);
            else memset(states, 0, bytes);
            for (int64_t k = 0; k + 1 < steps; k++) {
                step_tile(p, t, n, states + k * TILE, x + k * x_stride + first, threshold, decay, &r);
                memcpy(states + (k + 1) * TILE, r.stored, bytes);
            }
            if (glast) memcpy(gv, glast + first, bytes);
            else memset(gv, 0, bytes);
            if (!x_stride) memset(gx + first, 0, bytes);
            for (int64_t k = steps - 1; k >= 0; k--) {
                step_tile(p, t, n, states + k * TILE, x + k * x_stride + first, threshold, decay, &r);
                step_back(p, n, states + k * TILE, threshold, decay, &r, gs + k * neurons + first, gv, row);
                if (x_stride) memcpy(gx + k * neurons + first, row, bytes);
                else
                    for (int i = 0; i < n; i++) gx[first + i] += row[i];
            }
            memcpy(gstart + first, gv, bytes);
        }
    }
}
