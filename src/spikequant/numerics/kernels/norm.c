/* Batch norm, neuron and max pool in one pass over channels-last images: only pooled spikes leave the cache.

   The means and deviations come as arguments (a, b: y = x a + b), so that spikes have the same bits as on every other path.
   Sums run over fixed blocks of rows in one order, whatever the number of threads. */

typedef struct { int64_t steps, batch, height, width, channels, pool, still; } Shape;

#define BLOCK 2048

/* sums: [blocks, 2, channels]: of x y and of x, or where y is null of x x and of x. */
void sq_channel_sums(const float *x, const float *y, int64_t rows, int64_t channels, double *sums, int threads) {
    const int64_t blocks = (rows + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t block = 0; block < blocks; block++) {
        double *restrict product = sums + block * 2 * channels, *restrict plain = product + channels;
        const int64_t last = (block + 1) * BLOCK < rows ? (block + 1) * BLOCK : rows;
        memset(product, 0, (size_t)(2 * channels) * sizeof(double));
        for (int64_t row = block * BLOCK; row < last; row++) {
            const float *restrict u = x + row * channels, *restrict w = y ? y + row * channels : u;
            for (int64_t c = 0; c < channels; c++) { product[c] += (double)u[c] * w[c]; plain[c] += u[c]; }
        }
    }
}

/* g = g scale + x slope + shift, per channel, in place. */
void sq_channel_blend(float *g, const float *x, int64_t rows, int64_t channels, const float *scale, const float *slope, const float *shift, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        float *restrict to = g + row * channels;
        const float *restrict from = x + row * channels;
        for (int64_t c = 0; c < channels; c++) to[c] = to[c] * scale[c] + from[c] * slope[c] + shift[c];
    }
}

/* A tile: `pool` rows of n neurons each, from `columns` neighboring columns; and what is constant over its time steps. */
typedef struct {
    int64_t image, line, column, columns;
    int n;
    float threshold[TILE], decay[TILE], a[TILE], b[TILE];
} Patch;

static int64_t patch_columns(const Shape *q) { return TILE / q->channels / q->pool * q->pool; }

static void settle(const Shape *q, const Tables *t, const float *a, const float *b, int64_t index, Patch *c) {
    const int64_t lines = q->height / q->pool, width = q->width / q->pool * q->pool, most = patch_columns(q);
    const int64_t across = (width + most - 1) / most;
    c->image = index / (lines * across);
    c->line = index / across % lines;
    c->column = index % across * most;
    c->columns = width - c->column < most ? width - c->column : most;
    c->n = (int)(c->columns * q->channels);
    constants(t, 0, c->n, c->threshold, c->decay);
    for (int i = 0; i < c->n; i++) { c->a[i] = a[i % q->channels]; c->b[i] = b[i % q->channels]; }
}

static int64_t patches(const Shape *q) {
    const int64_t width = q->width / q->pool * q->pool, most = patch_columns(q);
    return q->batch * (q->height / q->pool) * ((width + most - 1) / most);
}

/* Where row r of the patch lies at step k in [steps, batch, height, width, channels]. */
static int64_t at(const Shape *q, const Patch *c, int64_t k, int64_t r) {
    const int64_t image = (q->still ? 0 : k) * q->batch + c->image;
    return ((image * q->height + c->line * q->pool + r) * q->width + c->column) * q->channels;
}

static int64_t pooled_at(const Shape *q, const Patch *c, int64_t k) {
    const int64_t height = q->height / q->pool, width = q->width / q->pool;
    return (((k * q->batch + c->image) * height + c->line) * width + c->column / q->pool) * q->channels;
}

static void normalize(const Patch *c, const float *restrict x, float *restrict y) {
    for (int i = 0; i < c->n; i++) y[i] = x[i] * c->a[i] + c->b[i];
}

static void pool_row(const Shape *q, const Patch *c, const float *s, float *out, int first) {
    const int64_t pool = q->pool, channels = q->channels;
    for (int64_t j = 0; j < c->columns / pool; j++)
        for (int64_t d = 0; d < pool; d++) {
            const float *restrict from = s + (j * pool + d) * channels;
            float *restrict to = out + j * channels;
            if (first && d == 0)
                for (int64_t i = 0; i < channels; i++) to[i] = from[i];
            else
                for (int64_t i = 0; i < channels; i++) to[i] = from[i] > to[i] ? from[i] : to[i];
        }
}

/* Where row r of the patch lies in one time step. */
static int64_t within(const Shape *q, const Patch *c, int64_t r) {
    return ((c->image * q->height + c->line * q->pool + r) * q->width + c->column) * q->channels;
}

/* Room for each thread: v of each row; for backward also states, seen, and gv. */
int64_t sq_norm_room(const Shape *q, int backward) { return q->pool * TILE * (backward ? 2 * q->steps + 4 : 1); }

/* x: [steps or 1, batch, height, width, channels]; s: [steps, batch, height / pool, width / pool, channels]. If wanted: plus, shaped
   as s, is added to the spikes where pool is 1; counts, [batch, height, width, channels] and zero at first. Returns NaN seen. */
int64_t sq_norm_lif_forward(const Spec *p, const Tables *t, const Shape *q, const float *x, const float *a, const float *b,
                            const float *plus, float *s, float *counts, float *room, int threads) {
    int64_t bad = 0;
    const int64_t count = patches(q), each = sq_norm_room(q, 0);
    const int quick = is_quick(p);
    if (p->grid == TABLE && !p->edges) middles_row(t->levels, p->size, t->middles);
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : bad)
    for (int64_t index = 0; index < count; index++) {
        Patch c;
        float y[TILE], fired[TILE], *v = room + THREAD * each;
        settle(q, t, a, b, index, &c);
        memset(v, 0, (size_t)each * sizeof(float));
        for (int64_t k = 0; k < q->steps; k++)
            for (int64_t r = 0; r < q->pool; r++) {
                const int64_t place = pooled_at(q, &c, k);
                float *out = q->pool == 1 ? s + place : fired;
                normalize(&c, x + at(q, &c, k, r), y);
                bad += nan_row(c.n, y);
                if (quick) advance_quick(p, t, c.n, y, c.threshold, c.decay, v + r * TILE, out, 0);
                else advance(p, t, c.n, y, c.threshold, c.decay, v + r * TILE, out, 0);
                if (counts) add_row(c.n, out, counts + within(q, &c, r));
                if (q->pool > 1) pool_row(q, &c, fired, s + place, r == 0);
                else if (plus) add_row(c.n, plus + place, out);
            }
    }
    return bad;
}

/* The gradient of a pooled spike goes to the first neuron of its window that fired, or to the first of all, as torch's does. */
static void unpool(const Shape *q, const Patch *c, const float *fired, const float *g, float *to) {
    const int64_t pool = q->pool, channels = q->channels;
    float open[TILE];
    for (int64_t j = 0; j < c->columns / pool; j++) {
        const float *restrict from = g + j * channels;
        for (int64_t i = 0; i < channels; i++) open[i] = 1;
        for (int64_t d = 0; d < pool * pool; d++) {
            const int64_t place = d / pool * TILE + (j * pool + d % pool) * channels;
            const float *restrict s = fired + place;
            float *restrict out = to + place;
            for (int64_t i = 0; i < channels; i++) {
                const float mine = open[i] * s[i];
                out[i] = mine * from[i];
                open[i] -= mine;
            }
        }
        float *restrict first = to + j * pool * channels;
        for (int64_t i = 0; i < channels; i++) first[i] += open[i] * from[i];
    }
}

/* What backward keeps of a patch: before and after the threshold saw it, of each step and row. */
typedef struct { float *states, *seen, *v, *gv, *fired, *to; } Room;

static void again_patch(const Spec *p, const Tables *t, const Shape *q, const Patch *c, const float *x, const Room *m, int quick) {
    const int64_t plane = q->pool * TILE;
    float y[TILE];
    for (int64_t k = 0; k < q->steps; k++)
        for (int64_t r = 0; r < q->pool; r++) {
            const int64_t place = k * plane + r * TILE;
            normalize(c, x + at(q, c, k, r), y);
            if (quick) {
                see_quick(p, t, c->n, y, c->threshold, c->decay, m->v + r * TILE, m->seen + place);
            } else {
                memcpy(m->states + place, m->v + r * TILE, (size_t)c->n * sizeof(float));
                advance(p, t, c->n, y, c->threshold, c->decay, m->v + r * TILE, m->fired, m->seen + place);
            }
        }
}

/* Back through step k of row r. The quick way needs no states but a row of zeros, which is what was before the first step. */
static void back_patch(const Spec *p, const Tables *t, const Shape *q, const Patch *c, const float *x, const Room *m, int quick,
                       int64_t k, int64_t r, const float *gs, float *out) {
    const int64_t plane = q->pool * TILE, place = k * plane + r * TILE;
    const float *seen = m->seen + place;
    float y[TILE], g[TILE], steep[TILE];
    if (quick) {
        const float *before = k > 0 ? seen - plane : m->states;
        const float share = shares(p, c->n, c->decay, y);
        surrogate_row(p, c->n, seen, c->threshold, g);
        if (looks_back(p)) surrogate_row(p, c->n, before, c->threshold, steep);
        const Past past = {seen, g, before, steep};
        walk_row(p, c->n, &past, c->threshold, y, share, gs, m->gv + r * TILE, out);
    } else {
        const Step step = {m->states + place, seen, y, c->threshold, c->decay};
        normalize(c, x + at(q, c, k, r), y);
        fire_back(p, t, c->n, &step, gs, m->gv + r * TILE, g);
        charge_back(p, c->n, &step, g, m->gv + r * TILE, out);
    }
}

/* gy: gradient of the normalized current, shaped as x and zero at first (columns that no window covers stay so). */
void sq_norm_lif_backward(const Spec *p, const Tables *t, const Shape *q, const float *x, const float *a, const float *b,
                          const float *gs, float *gy, float *room, int threads) {
    const int64_t count = patches(q), each = sq_norm_room(q, 1);
    const int quick = is_quick_back(p);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t index = 0; index < count; index++) {
        Patch c;
        const int64_t plane = q->pool * TILE;
        float *states = room + THREAD * each, *seen = states + q->steps * plane, *v = seen + q->steps * plane;
        const Room m = {states, seen, v, v + plane, v + 2 * plane, v + 3 * plane};
        float row[TILE];
        settle(q, t, a, b, index, &c);
        memset(v, 0, (size_t)(2 * plane) * sizeof(float));
        if (quick) memset(states, 0, (size_t)TILE * sizeof(float));
        again_patch(p, t, q, &c, x, &m, quick);
        for (int64_t k = q->steps - 1; k >= 0; k--) {
            const float *spikes = gs + pooled_at(q, &c, k);
            if (q->pool > 1) {
                for (int64_t r = 0; r < q->pool; r++) fire_row(p, c.n, seen + k * plane + r * TILE, c.threshold, m.fired + r * TILE);
                unpool(q, &c, m.fired, spikes, m.to);
            }
            for (int64_t r = 0; r < q->pool; r++) {
                float *out = gy + at(q, &c, k, r);
                back_patch(p, t, q, &c, x, &m, quick, k, r, q->pool > 1 ? m.to + r * TILE : spikes, q->still ? row : out);
                if (q->still) add_row(c.n, row, out);
            }
        }
    }
}
