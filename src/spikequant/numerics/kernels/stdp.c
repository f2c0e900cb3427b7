/* present: images shown one after another to neurons that compete, with or without plasticity; the operations and their order
   are those of numerics/stdp.py, so the bits are the same.

   Only events cost: inputs that never fire in an image are skipped, traces are looked up by the time since the last spike, and
   the weights [inputs, neurons] are read row by row, for the inputs that fire. */

#include <stdlib.h>

enum { FREE, HALF, CUT, DRAWN }; /* roundings: none, nearest (half up), truncate, stochastic */
enum { ON_CHANGE, EVERY_STEP, IN_PLACE };
enum { INPUT_NOISE, WINNER_NOISE, V_NOISE, THRESHOLD_NOISE, FIRED_NOISE, DEPRESSED_NOISE, POTENTIATED_NOISE, SCALED_NOISE, READ_NOISE };

typedef struct {
    int32_t rounding;
    float step, low, high;
} Format;

typedef struct {
    int32_t inputs, neurons, steps, learning, single, conductance, refractory, holding;
    float decay, rest, reset, threshold, inhibition, theta_plus, theta_decay;
    float excitatory_decay, inhibitory_decay, excitatory_reversal, inhibitory_reversal, leak;
    float pre, post, low, high, total;
    Format weight, v, bound;
    int64_t seed, first;
} Show;

static inline float put_by(int32_t rounding, const Format *f, float x, uint64_t key, uint64_t index) {
    if (rounding == FREE) return x;
    const float t = x / f->step, below = floorf(t), part = t - below;
    const float up = rounding == CUT ? 0.0f : rounding == HALF ? (part >= 0.5f ? 1.0f : 0.0f) : (drawn(key, index) < part ? 1.0f : 0.0f);
    const float y = (below + up) * f->step;
    return y < f->low ? f->low : y > f->high ? f->high : y;
}

static inline float put(const Format *f, float x, uint64_t key, uint64_t index) { return put_by(f->rounding, f, x, key, index); }

/* A loop for each rounding, for the compiler to make vectors of. */
static void put_all(const Format *f, float *restrict x, int n, uint64_t key) {
    const Format mine = *f;
    if (mine.rounding == HALF)
        for (int j = 0; j < n; j++) x[j] = put_by(HALF, &mine, x[j], key, 0);
    else if (mine.rounding == CUT)
        for (int j = 0; j < n; j++) x[j] = put_by(CUT, &mine, x[j], key, 0);
    else if (mine.rounding == DRAWN)
        for (int j = 0; j < n; j++) x[j] = put_by(DRAWN, &mine, x[j], key, (uint64_t)j);
}

static inline float between(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

typedef struct {
    float *v, *x, *bound, *pull, *push; /* [neurons]: membrane, current, threshold in use, conductances */
    int32_t *left, *fired;              /* [neurons]: refractory steps left, step of the last spike or -1 */
    int32_t *winners, *seen;            /* [neurons]: those that fire now, those that fired in this image */
    int32_t *last, *lit, *active;       /* [inputs]: step of the last spike or -1, inputs that can fire, those that fire now */
    int32_t *hits;                      /* [inputs]: whether each that can fire does now */
    uint64_t *names;                    /* [inputs]: mixed indices of the inputs that can fire */
    float *chances;                     /* [inputs]: of the inputs that can fire */
    float *row, *post;                  /* [neurons]: a row as it is read, eta_pre x_post */
    float *powers;                      /* [steps + 1]: traces by the steps since the spike */
} Cells;

static int take_cells(Cells *r, const Show *p) {
    const size_t n = (size_t)p->neurons, m = (size_t)p->inputs;
    r->v = malloc((n * 7 + m) * sizeof(float));
    r->left = malloc((n * 4 + m * 4) * sizeof(int32_t));
    r->names = malloc(m * sizeof(uint64_t));
    r->powers = malloc(((size_t)p->steps + 1) * sizeof(float));
    if (!r->v || !r->left || !r->names || !r->powers) return 0;
    r->x = r->v + n, r->bound = r->x + n, r->pull = r->bound + n, r->push = r->pull + n, r->row = r->push + n, r->post = r->row + n;
    r->fired = r->left + n, r->winners = r->fired + n, r->seen = r->winners + n;
    r->chances = r->post + n, r->last = r->seen + n, r->lit = r->last + m, r->active = r->lit + m, r->hits = r->active + m;
    return 1;
}

static void leave_cells(Cells *r) {
    free(r->v);
    free(r->left);
    free(r->names);
    free(r->powers);
}

/* The inputs that fire at this step, ascending. */
static int fire_inputs(const Show *p, Cells *r, int lit, int32_t t, int64_t now) {
    const uint64_t key = noise_key(p->seed, INPUT_NOISE, now);
    const uint64_t *restrict names = r->names;
    int32_t *restrict hits = r->hits;
    for (int k = 0; k < lit; k++) hits[k] = (float)(int32_t)(mixed(names[k] ^ key) >> 40) * 0x1p-24f < r->chances[k];
    int count = 0;
    for (int k = 0; k < lit; k++) {
        const int32_t i = r->lit[k];
        r->active[count] = i;
        r->last[i] = hits[k] ? t : r->last[i];
        count += hits[k];
    }
    return count;
}

static void gather(const Show *p, Cells *r, const float *used, int count, int64_t now) {
    const int n = p->neurons;
    float *restrict x = r->x;
    const int redraw = p->weight.rounding == DRAWN && p->learning && p->holding == EVERY_STEP;
    const uint64_t key = redraw ? noise_key(p->seed, READ_NOISE, now) : 0;
    memset(x, 0, (size_t)n * sizeof(float));
    for (int k = 0; k < count; k++) {
        const float *restrict w = used + (size_t)r->active[k] * (size_t)n;
        if (redraw)
            for (int j = 0; j < n; j++) x[j] += put_by(DRAWN, &p->weight, w[j], key, (uint64_t)r->active[k] * (uint64_t)n + (uint64_t)j);
        else
            for (int j = 0; j < n; j++) x[j] += w[j];
    }
}

static void charge_membranes(const Show *p, Cells *r, int32_t t, int32_t rivals, int64_t now) {
    const int n = p->neurons;
    float *restrict v = r->v, *restrict x = r->x, *restrict pull = r->pull, *restrict push = r->push;
    int32_t *restrict left = r->left;
    const int32_t *restrict fired = r->fired;
    if (p->conductance) {
        for (int j = 0; j < n; j++) {
            const float mine = fired[j] == t - 1 && t > 0 ? 1.0f : 0.0f, inhibited = p->inhibition * ((float)rivals - mine);
            push[j] = push[j] * p->excitatory_decay + x[j];
            pull[j] = pull[j] * p->inhibitory_decay + inhibited;
            const float drive = p->rest - v[j] + push[j] * (p->excitatory_reversal - v[j]) + pull[j] * (p->inhibitory_reversal - v[j]);
            v[j] = left[j] <= 0 ? v[j] + p->leak * drive : v[j];
        }
    } else {
        if (rivals)
            for (int j = 0; j < n; j++) x[j] -= p->inhibition * ((float)rivals - (fired[j] == t - 1 ? 1.0f : 0.0f));
        for (int j = 0; j < n; j++) {
            const float leaked = p->decay * (v[j] - p->rest) + p->rest;
            v[j] = left[j] <= 0 ? leaked + x[j] : leaked;
        }
    }
    for (int j = 0; j < n; j++) left[j] -= 1;
    put_all(&p->v, v, n, noise_key(p->seed, V_NOISE, now));
}

/* Theta decays, and the threshold in use follows as `holding` says. */
static void adapt(const Show *p, Cells *r, float *restrict theta, int64_t now) {
    const int n = p->neurons;
    float *restrict bound = r->bound;
    for (int j = 0; j < n; j++) theta[j] *= p->theta_decay;
    if (p->bound.rounding != FREE && p->holding == ON_CHANGE) return;
    const uint64_t key = noise_key(p->seed, THRESHOLD_NOISE, now);
    if (p->holding == IN_PLACE) put_all(&p->bound, theta, n, key);
    for (int j = 0; j < n; j++) bound[j] = p->threshold + theta[j];
    put_all(&p->bound, bound, n, key);
}

/* Who fires: resets, refractory times, theta; then one of them alone, if only one may. */
static int fire(const Show *p, Cells *r, float *theta, int64_t now) {
    const int n = p->neurons;
    int any = 0, count = 0;
    for (int j = 0; j < n; j++) any |= r->v[j] >= r->bound[j];
    if (!any) return 0;
    const uint64_t key = noise_key(p->seed, FIRED_NOISE, now);
    for (int j = 0; j < n; j++) {
        if (!(r->v[j] >= r->bound[j])) continue;
        r->winners[count++] = j;
        r->left[j] = p->refractory;
        r->v[j] = p->reset;
        if (!p->learning) continue;
        theta[j] += p->theta_plus;
        if (p->holding == IN_PLACE) theta[j] = put(&p->bound, theta[j], key, (uint64_t)j);
        r->bound[j] = put(&p->bound, p->threshold + theta[j], key, (uint64_t)j);
    }
    if (p->single && count > 1) {
        r->winners[0] = r->winners[(int)((double)drawn(noise_key(p->seed, WINNER_NOISE, now), 0) * count)];
        count = 1;
    }
    return count;
}

static inline void set_weight(const Show *p, float *w, float *used, size_t at, float value, uint64_t key) {
    value = between(value, p->low, p->high);
    if (p->weight.rounding == FREE || (p->weight.rounding == DRAWN && p->holding == EVERY_STEP)) {
        w[at] = value;
        return;
    }
    used[at] = put(&p->weight, value, key, (uint64_t)at);
    w[at] = p->holding == IN_PLACE ? used[at] : value;
}

/* Whether a trace is still above 0, so many steps after its spike; only a short memory ever fades. */
static inline int remains(const Show *p, const Cells *r, int32_t steps) {
    return r->powers[p->steps] > 0 || r->powers[steps] > 0;
}

/* dw = -eta_pre x_post (w - w_min), in the rows of the inputs that fire. */
static void depress(const Show *p, Cells *r, float *w, float *used, int count, int seen, int32_t t, int64_t now) {
    const int n = p->neurons;
    float *restrict post = r->post;
    if (!seen) return;
    for (int k = 0; k < seen; k++) post[r->seen[k]] = p->pre * r->powers[t - r->fired[r->seen[k]]];
    const uint64_t key = noise_key(p->seed, DEPRESSED_NOISE, now);
    for (int k = 0; k < count; k++) {
        const size_t start = (size_t)r->active[k] * (size_t)n;
        for (int s = 0; s < seen; s++) {
            const int j = r->seen[s];
            if (!remains(p, r, t - r->fired[j])) continue;
            const size_t at = start + (size_t)j;
            set_weight(p, w, used, at, w[at] - post[j] * (w[at] - p->low), key);
        }
    }
}

/* dw = eta_post x_pre (w_max - w), in the columns of the neurons that fire. */
static void potentiate(const Show *p, Cells *r, float *w, float *used, int lit, int winners, int32_t t, int64_t now) {
    if (!winners) return;
    const uint64_t key = noise_key(p->seed, POTENTIATED_NOISE, now);
    for (int s = 0; s < winners; s++)
        for (int k = 0; k < lit; k++) {
            const int32_t i = r->lit[k];
            if (r->last[i] < 0 || !remains(p, r, t - r->last[i])) continue;
            const size_t at = (size_t)i * (size_t)p->neurons + (size_t)r->winners[s];
            set_weight(p, w, used, at, w[at] + p->post * r->powers[t - r->last[i]] * (p->high - w[at]), key);
        }
}

/* The weights into every neuron that fired are scaled to the same total. */
static void scale(const Show *p, Cells *r, float *w, float *used, int seen, int64_t now) {
    const int n = p->neurons;
    float *restrict sum = r->x;
    if (!seen || p->total <= 0) return;
    memset(sum, 0, (size_t)n * sizeof(float));
    for (int i = 0; i < p->inputs; i++) {
        const float *restrict row = w + (size_t)i * (size_t)n;
        for (int j = 0; j < n; j++) sum[j] += row[j];
    }
    const uint64_t key = noise_key(p->seed, SCALED_NOISE, now);
    for (int s = 0; s < seen; s++) r->row[r->seen[s]] = sum[r->seen[s]] > 0 ? p->total / sum[r->seen[s]] : 1.0f;
    for (int i = 0; i < p->inputs; i++)
        for (int s = 0; s < seen; s++) {
            const size_t at = (size_t)i * (size_t)n + (size_t)r->seen[s];
            set_weight(p, w, used, at, w[at] * r->row[r->seen[s]], key);
        }
}

/* extremes: lowest and highest v, threshold and weight. */
static void widen(float *extremes, const float *values, size_t count) {
    float low = extremes[0], high = extremes[1];
    for (size_t j = 0; j < count; j++) {
        low = values[j] < low ? values[j] : low;
        high = values[j] > high ? values[j] : high;
    }
    extremes[0] = low, extremes[1] = high;
}

static void show_one(const Show *p, Cells *r, const float *chance, int64_t image, float *w, float *used, float *theta, int32_t *counts, float *extremes) {
    const int n = p->neurons;
    const int64_t begin = (p->first + image) * p->steps;
    int lit = 0, seen = 0, rivals = 0;
    for (int j = 0; j < n; j++) {
        r->v[j] = p->rest, r->left[j] = 0, r->fired[j] = -1, r->push[j] = r->pull[j] = r->post[j] = 0;
        if (!p->learning || p->holding == ON_CHANGE || p->bound.rounding == FREE) r->bound[j] = p->threshold + theta[j];
    }
    if (!p->learning || p->holding == ON_CHANGE) put_all(&p->bound, r->bound, n, noise_key(p->seed, THRESHOLD_NOISE, begin));
    for (int i = 0; i < p->inputs; i++)
        if (chance[i] > 0) {
            r->names[lit] = mixed((uint64_t)i);
            r->chances[lit] = chance[i];
            r->last[i] = -1;
            r->lit[lit++] = i;
        }
    for (int32_t t = 0; t < p->steps; t++) {
        const int64_t now = begin + t;
        const int count = fire_inputs(p, r, lit, t, now);
        if (p->learning) adapt(p, r, theta, now);
        gather(p, r, used, count, now);
        charge_membranes(p, r, t, rivals, now);
        if (extremes) widen(extremes, r->v, (size_t)n), widen(extremes + 2, r->bound, (size_t)n);
        rivals = fire(p, r, theta, now);
        for (int s = 0; s < rivals; s++) {
            const int j = r->winners[s];
            if (r->fired[j] < 0) r->seen[seen++] = j;
            r->fired[j] = t;
            counts[j] += 1;
        }
        if (!p->learning) continue;
        depress(p, r, w, used, count, seen, t, now);
        potentiate(p, r, w, used, lit, rivals, t, now);
    }
    if (p->learning) scale(p, r, w, used, seen, begin);
    if (extremes) widen(extremes + 4, w, (size_t)p->inputs * (size_t)n);
}

/* chances [images, inputs]: of a spike at each step. weight, used: [inputs, neurons], the same memory where weights are float or in
   place. counts [images, neurons] is added to. extremes: 6 floats, or NULL. Returns 0 where memory ran out. */
int sq_present(const Show *p, int64_t images, const float *chances, float *weight, float *used, float *theta, int32_t *counts, float *extremes,
               float trace_decay, int threads) {
    int good = 1;
#pragma omp parallel num_threads(p->learning || extremes ? 1 : threads) reduction(&& : good)
    {
        Cells room = {0};
        good = take_cells(&room, p);
        if (good) {
            room.powers[0] = 1;
            for (int t = 0; t < p->steps; t++) room.powers[t + 1] = room.powers[t] * trace_decay;
        }
#pragma omp for schedule(static)
        for (int64_t image = 0; image < images; image++)
            if (good)
                show_one(p, &room, chances + image * p->inputs, image, weight, used, theta, counts + image * p->neurons, extremes);
        leave_cells(&room);
    }
    return good;
}
