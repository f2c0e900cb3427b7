/* Batch norm, neuron and max pool in one pass over channels-last images: only pooled spikes leave the cache.

   The means and deviations come as arguments (a, b: y = x a + b), so that spikes have the same bits as on every other path.
   Sums run over fixed blocks of rows in one order, whatever the number of threads. */

typedef struct {
    int64_t steps, batch, height, width, channels, pool, still;
    int64_t half;   /* images and gradients are bfloat16 */
    int64_t moving; /* each step has a Spec and Tables of its own, for backward: an array of them */
} Shape;

#define BLOCK 2048
#define CHUNK 32 /* patches */
#define ROWS 4 /* whose spikes are counted at once */

/* sums: [blocks, 2, channels]: of x x and of x. */
void sq_channel_sums(const void *x, int half, int64_t rows, int64_t channels, double *sums, int threads) {
    const int64_t blocks = (rows + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t block = 0; block < blocks; block++) {
        float wide[TILE];
        double *restrict square = sums + block * 2 * channels, *restrict plain = square + channels;
        const int64_t last = (block + 1) * BLOCK < rows ? (block + 1) * BLOCK : rows;
        memset(square, 0, (size_t)(2 * channels) * sizeof(double));
        for (int64_t row = block * BLOCK; row < last; row++) {
            const float *restrict u = read_row(half, x, row * channels, (int)channels, wide);
            for (int64_t c = 0; c < channels; c++) { square[c] += (double)u[c] * u[c]; plain[c] += u[c]; }
        }
    }
}

/* g = g scale + x slope + shift, per channel, in place. */
void sq_channel_blend(void *g, const void *x, int half, int64_t rows, int64_t channels, const float *scale, const float *slope,
                      const float *shift, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        float wide[TILE], moved[TILE];
        const float *restrict from = read_row(half, x, row * channels, (int)channels, wide);
        const float *to = read_row(half, g, row * channels, (int)channels, moved);
        float *restrict out = half ? moved : (float *)g + row * channels;
        for (int64_t c = 0; c < channels; c++) out[c] = to[c] * scale[c] + from[c] * slope[c] + shift[c];
        if (half) narrow_row((int)channels, moved, (uint16_t *)g + row * channels);
    }
}

/* A tile: `pool` rows of n neurons each, from `columns` neighboring columns; and what is constant over its time steps. */
typedef struct {
    int64_t image, line, column, columns;
    int n;
    float threshold[TILE], decay[TILE], a[TILE], b[TILE], keep[TILE], share;
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
    constants(t, 0, (int)q->channels, c->threshold, c->decay);
    const size_t bytes = (size_t)q->channels * sizeof(float);
    memcpy(c->a, a, bytes);
    memcpy(c->b, b, bytes);
    for (int64_t i = q->channels; i < c->n; i += q->channels) {
        memcpy(c->a + i, a, bytes);
        memcpy(c->b + i, b, bytes);
        memcpy(c->threshold + i, c->threshold, bytes);
        memcpy(c->decay + i, c->decay, bytes);
    }
}

static int64_t patches(const Shape *q) {
    const int64_t width = q->width / q->pool * q->pool, most = patch_columns(q);
    return q->batch * (q->height / q->pool) * ((width + most - 1) / most);
}

int64_t sq_norm_patches(const Shape *q) { return patches(q); }

/* How many parts backward sums over. */
int64_t sq_norm_chunks(const Shape *q) { return (patches(q) + CHUNK - 1) / CHUNK; }

/* Where row r of the patch lies at step k in [steps, batch, height, width, channels]. */
static int64_t at(const Shape *q, const Patch *c, int64_t k, int64_t r) {
    const int64_t image = (q->still ? 0 : k) * q->batch + c->image;
    return ((image * q->height + c->line * q->pool + r) * q->width + c->column) * q->channels;
}

static int64_t pooled_at(const Shape *q, const Patch *c, int64_t k) {
    const int64_t height = q->height / q->pool, width = q->width / q->pool;
    return (((k * q->batch + c->image) * height + c->line) * width + c->column / q->pool) * q->channels;
}

/* Returns the NaN in y. */
static inline int normalize(const Patch *c, const float *restrict x, float *restrict y) {
    int nan = 0;
    for (int i = 0; i < c->n; i++) {
        const float each = x[i] * c->a[i] + c->b[i];
        y[i] = each;
        nan += each != each;
    }
    return nan;
}

static void sum_row(int n, const float *u, const float *w, float *to) {
    for (int i = 0; i < n; i++) to[i] = u[i] + w[i];
}

static void add_products(int n, const float *restrict u, const float *restrict w, float *restrict to) {
    for (int i = 0; i < n; i++) to[i] += u[i] * w[i];
}

static inline float larger(float a, float b) { return a > b ? a : b; }

/* Windows of two by two: out, the largest spike of each; heard, if wanted, adds up all of them. */
static void pool_pairs(const Shape *q, const Patch *c, const float *restrict s, float *restrict out, float *restrict heard) {
    const int64_t channels = q->channels;
    for (int64_t j = 0; j < c->columns / 2; j++) {
        const float *restrict a = s + 2 * j * channels, *restrict b = a + channels, *restrict d = a + TILE, *restrict e = b + TILE;
        float *restrict to = out + j * channels, *restrict sum = heard + j * channels;
        if (heard)
            for (int64_t i = 0; i < channels; i++) {
                sum[i] += (a[i] + b[i]) + (d[i] + e[i]);
                to[i] = larger(larger(a[i], b[i]), larger(d[i], e[i]));
            }
        else
            for (int64_t i = 0; i < channels; i++) to[i] = larger(larger(a[i], b[i]), larger(d[i], e[i]));
    }
}

static void pool_rows(const Shape *q, const Patch *c, const float *s, float *out) {
    const int64_t pool = q->pool, channels = q->channels;
    memset(out, 0, (size_t)(c->columns / pool * channels) * sizeof(float));
    for (int64_t j = 0; j < c->columns / pool; j++)
        for (int64_t d = 0; d < pool * pool; d++) {
            const float *restrict from = s + d / pool * TILE + (j * pool + d % pool) * channels;
            float *restrict to = out + j * channels;
            for (int64_t i = 0; i < channels; i++) to[i] = larger(from[i], to[i]);
        }
}

/* Adds up rows at once: each value of the sum is read and written once for all of them. */
static void add_rows(int n, int64_t rows, const float *restrict from, float *restrict to) {
    if (rows == ROWS)
        for (int i = 0; i < n; i++) to[i] += (from[i] + from[TILE + i]) + (from[2 * TILE + i] + from[3 * TILE + i]);
    else
        for (int64_t r = 0; r < rows; r++) add_row(n, from + r * TILE, to);
}

/* The sum over columns of each channel. */
static void add_columns(const Shape *q, int64_t columns, const float *from, float *to) {
    memcpy(to, from, (size_t)q->channels * sizeof(float));
    for (int64_t i = 1; i < columns; i++) add_row((int)q->channels, from + i * q->channels, to);
}

/* The normalized current at step k of row r, in y, which holds it already where a still image has been seen; bad counts NaN. */
static const float *normal_row(const Shape *q, const Patch *c, const void *x, int64_t k, int64_t r, float *y, int64_t *bad) {
    float wide[TILE];
    y += r * TILE;
    if (q->still && k > 0) return y;
    if (!q->still && k + 1 < q->steps) fetch(q->half, x, at(q, c, k + 1, r), c->n);
    *bad += normalize(c, read_row(q->half, x, at(q, c, k, r), c->n, wide), y);
    return y;
}

static int64_t fired_rows(const Shape *q) { return q->pool > ROWS ? q->pool : ROWS; }

/* Room for each thread: v and y of each row, and its spikes; for backward v, y, states, seen, gv, and sums. */
int64_t sq_norm_room(const Shape *q, int backward) {
    return TILE * (backward ? q->pool * (2 * q->steps + 7) : 2 * q->pool + fired_rows(q));
}

static int past_caches(const Shape *q) { return q->steps * q->batch * q->height * q->width * q->channels >= LARGE; }

/* What leaves at step k: spikes, pooled or with plus; heard, if wanted, counts them where windows are two by two. */
static void write_step(const Shape *q, const Patch *c, int64_t k, const float *fired, const void *plus, void *s, float *out, float *heard) {
    const int64_t place = pooled_at(q, c, k);
    if (plus) sum_row(c->n, read_row(q->half, plus, place, c->n, out), fired, out);
    else if (q->pool == 2) pool_pairs(q, c, fired, out, heard);
    else if (q->pool > 2) pool_rows(q, c, fired, out);
    write_row(q->half, s, place, c->n / (int)q->pool, plus || q->pool > 1 ? out : fired, past_caches(q));
}

/* x: [steps or 1, batch, height, width, channels]; s: [steps, batch, height / pool, width / pool, channels]. If wanted: plus, shaped
   as s, is added to the spikes where pool is 1; counts, [patches, channels], of spikes, those of an image in a row; held, [patches,
   pool, TILE], the membranes before and, then, after. Returns NaN seen. */
int64_t sq_norm_lif_forward(const Spec *p, const Tables *t, const Shape *q, const void *x, const float *a, const float *b,
                            const void *plus, void *s, float *counts, float *held, float *room, int threads) {
    int64_t bad = 0;
    const int64_t count = patches(q), each = sq_norm_room(q, 0);
    const int quick = is_quick(p);
    if (p->grid == TABLE && !p->edges) middles_row(t->levels, p->size, t->middles);
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : bad)
    for (int64_t index = 0; index < count; index++) {
        Patch c;
        int64_t nan = 0;
        float out[TILE], heard[TILE] = {0}, *v = room + THREAD * each, *normal = v + q->pool * TILE, *fired = normal + q->pool * TILE;
        settle(q, t, a, b, index, &c);
        if (held) v = held + index * q->pool * TILE;
        else memset(v, 0, (size_t)(q->pool * TILE) * sizeof(float));
        for (int64_t k = 0; k < q->steps; k++) {
            const int64_t first = q->pool > 1 ? 0 : k % ROWS; /* of the rows of spikes */
            for (int64_t r = 0; r < q->pool; r++) {
                float *row = fired + (first + r) * TILE;
                const float *y = normal_row(q, &c, x, k, r, normal, &nan);
                if (quick) advance_quick(p, t, c.n, y, c.threshold, c.decay, v + r * TILE, row, 0);
                else advance(p, t, c.n, y, c.threshold, c.decay, v + r * TILE, row, 0);
            }
            write_step(q, &c, k, fired + first * TILE, plus, s, out, counts ? heard : 0);
            if (counts && (q->pool > 2 || (q->pool == 1 && (first == ROWS - 1 || k == q->steps - 1))))
                add_rows(c.n, first + q->pool, fired, heard);
        }
        bad += nan;
        if (counts) add_columns(q, q->pool == 2 ? c.columns / 2 : c.columns, heard, counts + index * q->channels);
        finish_stores();
    }
    return bad;
}

/* ends: [patches, 2], the least and the largest membrane of each patch once it is charged, from what is held (as in forward). Windows cover
   all columns and lines. Returns NaN seen. */
int64_t sq_norm_extremes(const Spec *p, const Tables *t, const Shape *q, const void *x, const float *a, const float *b,
                         const float *held, float *ends, int threads) {
    int64_t bad = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : bad)
    for (int64_t index = 0; index < patches(q); index++) {
        Patch c;
        int64_t nan = 0;
        float y[TILE], v[TILE], late[TILE], wide[TILE], low = INFINITY, high = -INFINITY;
        settle(q, t, a, b, index, &c);
        for (int64_t r = 0; r < q->pool; r++) {
            nan += normalize(&c, read_row(q->half, x, at(q, &c, 0, r), c.n, wide), y);
            memcpy(v, held + (index * q->pool + r) * TILE, (size_t)c.n * sizeof(float));
            charged(p, c.n, y, c.threshold, c.decay, v, late);
            for (int i = 0; i < c.n; i++) { low = v[i] < low ? v[i] : low; high = v[i] > high ? v[i] : high; }
        }
        ends[2 * index] = low;
        ends[2 * index + 1] = high;
        bad += nan;
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

/* What backward keeps of a patch: before and after the threshold saw it, of each step and row; sums over steps, of g and of g x. */
typedef struct { float *states, *seen, *v, *gv, *sum, *product, *fired, *to, *normal; } Room;

static Room laid_out(const Shape *q, float *room) {
    const int64_t plane = q->pool * TILE;
    float *seen = room + q->steps * plane, *v = seen + q->steps * plane;
    return (Room){room, seen, v, v + plane, v + 2 * plane, v + 3 * plane, v + 4 * plane, v + 5 * plane, v + 6 * plane};
}

static void again_patch(const Spec *p, const Tables *t, const Shape *q, const Patch *c, const void *x, const Room *m, int quick) {
    const int64_t plane = q->pool * TILE;
    int64_t nan = 0; /* forward has refused them */
    for (int64_t k = 0; k < q->steps; k++, p += q->moving, t += q->moving)
        for (int64_t r = 0; r < q->pool; r++) {
            const int64_t place = k * plane + r * TILE;
            const float *y = normal_row(q, c, x, k, r, m->normal, &nan);
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
        surrogate_row(p, c->n, seen, c->threshold, g);
        if (looks_back(p)) surrogate_row(p, c->n, before, c->threshold, steep);
        const Past past = {seen, g, before, steep};
        walk_row(p, c->n, &past, c->threshold, c->keep, c->share, gs, m->gv + r * TILE, out);
    } else {
        const Step step = {m->states + place, seen, y, c->threshold, c->decay};
        normalize(c, x, y);
        fire_back(p, t, c->n, &step, gs, m->gv + r * TILE, g);
        charge_back(p, c->n, &step, g, m->gv + r * TILE, out);
    }
}

/* Back through all steps of a patch, and into the sums [2, channels]. */
static void back_steps(const Spec *p, const Tables *t, const Shape *q, const Patch *c, const void *x, const void *gs, void *gy,
                       const Room *m, int quick) {
    const int64_t plane = q->pool * TILE, last = q->moving * (q->steps - 1);
    float wide[TILE], given[TILE], row[TILE];
    p += last, t += last;
    for (int64_t k = q->steps - 1; k >= 0; k--, p -= q->moving, t -= q->moving) {
        const int n = c->n / (int)q->pool;
        const float *spikes = read_row(q->half, gs, pooled_at(q, c, k), n, given);
        if (k > 0) fetch(q->half, gs, pooled_at(q, c, k - 1), n);
        if (q->pool > 1) {
            for (int64_t r = 0; r < q->pool; r++) fire_row(p, c->n, m->seen + k * plane + r * TILE, c->threshold, m->fired + r * TILE);
            unpool(q, c, m->fired, spikes, m->to);
        }
        for (int64_t r = 0; r < q->pool; r++) {
            const int64_t place = at(q, c, k, r);
            const float *now = read_row(q->half, x, place, c->n, wide);
            float *out = q->half || q->still ? row : (float *)gy + place;
            back_patch(p, t, q, c, now, m, quick, k, r, q->pool > 1 ? m->to + r * TILE : spikes, out);
            add_row(c->n, out, m->sum + r * TILE);
            if (q->still) continue;
            add_products(c->n, out, now, m->product + r * TILE);
            if (q->half) write_row(1, gy, place, c->n, row, 0);
        }
    }
    for (int64_t r = 0; q->still && r < q->pool; r++) {
        const int64_t place = at(q, c, 0, r);
        add_products(c->n, m->sum + r * TILE, read_row(q->half, x, place, c->n, wide), m->product + r * TILE);
        write_row(q->half, gy, place, c->n, m->sum + r * TILE, 0);
    }
}

/* gy: gradient of the normalized current, shaped as x (columns that no window covers are left as they are).
   sums: [chunks of patches, 2, channels], of gy x and of gy. */
void sq_norm_lif_backward(const Spec *p, const Tables *t, const Shape *q, const void *x, const float *a, const float *b,
                          const void *gs, void *gy, double *sums, float *room, int threads) {
    const int64_t count = patches(q), each = sq_norm_room(q, 1), channels = q->channels, plane = q->pool * TILE;
    const int quick = is_quick_back(p);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t chunk = 0; chunk < sq_norm_chunks(q); chunk++) {
        double *product = sums + chunk * 2 * channels, *plain = product + channels;
        const Room m = laid_out(q, room + THREAD * each);
        memset(product, 0, (size_t)(2 * channels) * sizeof(double));
        for (int64_t index = chunk * CHUNK; index < count && index < (chunk + 1) * CHUNK; index++) {
            Patch c;
            settle(q, t, a, b, index, &c);
            memset(m.v, 0, (size_t)(4 * plane) * sizeof(float)); /* v, gv, sum and product */
            c.share = shares(p, c.n, c.decay, c.keep);
            if (quick) memset(m.states, 0, (size_t)TILE * sizeof(float));
            again_patch(p, t, q, &c, x, &m, quick);
            back_steps(p, t, q, &c, x, gs, gy, &m, quick);
            for (int64_t r = 0; r < q->pool; r++)
                for (int64_t first = r * TILE; first < r * TILE + c.n; first += channels)
                    for (int64_t i = 0; i < channels; i++) { product[i] += m.product[first + i]; plain[i] += m.sum[first + i]; }
        }
    }
}
