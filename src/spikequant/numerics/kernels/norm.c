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
