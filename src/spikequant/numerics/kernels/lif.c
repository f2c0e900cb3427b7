/* lif_scan, forward and backward, by tiles of neurons over all time steps. */

enum { MOST_CODES = 256 }; /* of a byte */

/* Whether backward goes by the codes that forward kept: it then needs neither the current nor the grid's roundings again. */
int sq_lif_keeps_codes(const Spec *p) { return is_quick_back(p) && p->grid != NO_GRID && p->size <= MOST_CODES; }

/* x, s: [steps, neurons] (x_stride 0 repeats one step); start, last: [neurons]; code, if wanted: [steps, neurons];
   counts, if wanted: [neurons], the spikes of each. Returns the NaN in x. */
int64_t sq_lif_forward(const Spec *p, const Tables *t, int64_t steps, int64_t neurons, const float *x, int64_t x_stride,
                       const float *start, float *s, float *last, uint8_t *code, float *counts, int threads) {
    int64_t bad = 0;
    const int quick = is_quick(p), past_cache = steps * neurons >= LARGE;
    const int sticks = quick && p->grid == NO_GRID; /* a NaN stays in the membrane, so that its last value tells */
    if (p->grid == TABLE && !p->edges) middles_row(t->levels, p->size, t->middles);
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : bad)
    for (int64_t first = 0; first < neurons; first += TILE) {
        const int n = (int)(neurons - first < TILE ? neurons - first : TILE);
        const size_t bytes = (size_t)n * sizeof(float);
        float threshold[TILE], decay[TILE], v[TILE], fired[TILE];
        uint8_t seen[TILE];
        constants(t, first, n, threshold, decay);
        if (start) memcpy(v, start + first, bytes);
        else memset(v, 0, bytes);
        if (counts) memset(counts + first, 0, bytes);
        for (int64_t k = 0; k < steps; k++) {
            const float *now = x + k * x_stride + first;
            if (k + 1 < steps) fetch_row(now + x_stride, n);
            if (quick) advance_quick(p, t, n, now, threshold, decay, v, fired, code ? seen : 0);
            else advance(p, t, n, now, threshold, decay, v, fired, 0);
            if (!sticks) bad += nan_row(n, now); /* after the work, which overlaps with the wait for the row */
            store_row(s + k * neurons + first, fired, bytes, past_cache);
            if (counts) add_row(n, fired, counts + first);
            if (code) store_row(code + k * neurons + first, seen, (size_t)n, past_cache);
        }
        if (sticks && nan_row(n, v))
            for (int64_t k = 0; k < steps; k++) bad += nan_row(n, x + k * x_stride + first);
        memcpy(last + first, v, bytes);
        finish_stores();
    }
    return bad;
}

/* What backward works on: one tile, and room for 2 * steps rows of it. */
typedef struct {
    int64_t steps, neurons, first, x_stride;
    int n, past_cache;
    const float *x, *start, *gs;
    float *gx, *room, *gv, *to_threshold, *to_step; /* the last two: where they are wanted */
    const uint8_t *code;
    const float *slopes; /* of each code, where one threshold serves all */
    float threshold[TILE], decay[TILE];
} Tile;

static void give(const Tile *c, int64_t k, const float *row) {
    if (c->x_stride) store_row(c->gx + k * c->neurons + c->first, row, (size_t)c->n * sizeof(float), c->past_cache);
    else
        for (int i = 0; i < c->n; i++) c->gx[c->first + i] += row[i];
}

/* The state before the first step. */
static void begin(const Tile *c, float *v) {
    if (c->start) memcpy(v, c->start + c->first, (size_t)c->n * sizeof(float));
    else memset(v, 0, (size_t)c->n * sizeof(float));
}

/* Through every choice of Dynamics: runs the tile's forward again in cache, then walks back. */
static void back_by_rows(const Spec *p, const Tables *t, const Tile *c) {
    const int n = c->n;
    float *states = c->room, *seen = states + c->steps * TILE, v[TILE], s[TILE], g[TILE], row[TILE];
    begin(c, v);
    for (int64_t k = 0; k < c->steps; k++) {
        const float *now = c->x + k * c->x_stride + c->first;
        memcpy(states + k * TILE, v, (size_t)n * sizeof(float));
        if (k + 1 < c->steps) fetch_row(now + c->x_stride, n);
        advance(p, t, n, now, c->threshold, c->decay, v, s, seen + k * TILE);
    }
    for (int64_t k = c->steps - 1; k >= 0; k--) {
        const Step step = {states + k * TILE, seen + k * TILE, c->x + k * c->x_stride + c->first, c->threshold, c->decay,
                           c->to_threshold, c->to_step};
        if (k > 0) fetch_row(c->gs + (k - 1) * c->neurons + c->first, n);
        fire_back(p, t, n, &step, c->gs + k * c->neurons + c->first, c->gv, g);
        charge_back(p, n, &step, g, c->gv, row);
        give(c, k, row);
    }
}

/* What the threshold saw at step k (-1: the start), and the slope there; seen: room for a row. */
static const float *recall(const Spec *p, const Tables *t, const Tile *c, int64_t k, float *seen, float *slope) {
    const int by_code = c->code && k >= 0;
    const uint8_t *code = by_code ? c->code + k * c->neurons + c->first : 0;
    if (by_code) decode_row(p, t, c->n, code, seen);
    const float *found = by_code ? seen : c->room + (k + 1) * TILE;
    if (by_code && c->slopes) look_row(c->slopes, p->size, c->n, code, slope);
    else surrogate_row(p, c->n, found, c->threshold, slope);
    return found;
}

/* The same for the commonest neurons: membranes from the codes that forward kept, or computed again. */
static void back_quick(const Spec *p, const Tables *t, const Tile *c) {
    const int n = c->n, both = looks_back(p);
    float v[TILE], row[TILE], keep[TILE], room[2][TILE], slope[2][TILE];
    const float *seen[2] = {0, 0};
    const float share = shares(p, n, c->decay, keep);
    begin(c, v);
    memcpy(c->room, v, (size_t)n * sizeof(float));
    for (int64_t k = 0; k < c->steps && !c->code; k++) {
        const float *now = c->x + k * c->x_stride + c->first;
        if (k + 1 < c->steps) fetch_row(now + c->x_stride, n);
        see_quick(p, t, n, now, c->threshold, c->decay, v, c->room + (k + 1) * TILE);
    }
    for (int64_t k = c->steps - 1; k >= 0; k--) {
        const int here = (int)(k & 1), there = 1 - here;
        if (k > 0) fetch_row(c->gs + (k - 1) * c->neurons + c->first, n);
        if (!both || k == c->steps - 1) seen[here] = recall(p, t, c, k, room[here], slope[here]);
        if (both) seen[there] = recall(p, t, c, k - 1, room[there], slope[there]);
        const Past past = {seen[here], slope[here], seen[there], slope[there]};
        walk_row(p, n, &past, c->threshold, keep, share, c->gs + k * c->neurons + c->first, c->gv, row);
        give(c, k, row);
    }
}

/* The slope at each level, where one threshold serves all neurons. Returns whether there is such a table. */
static int slopes_of(const Spec *p, const Tables *t, float *slopes) {
    if (!sq_lif_keeps_codes(p) || t->threshold_stride) return 0;
    uint8_t code[MOST_CODES];
    float level[MOST_CODES], threshold[MOST_CODES];
    for (int i = 0; i < MOST_CODES; i++) { code[i] = (uint8_t)i; threshold[i] = t->threshold[0]; }
    decode_row(p, t, p->size, code, level);
    surrogate_row(p, p->size, level, threshold, slopes);
    return 1;
}

/* gx: [steps, neurons], or [neurons], their sum, where x_stride is 0. code: what forward kept; x is then not read.
   scratch: 2 * steps * TILE floats for each thread. gthreshold, gstep, if wanted: [neurons], what each neuron asks of the threshold
   and of the grid's step; no code is kept then. */
void sq_lif_backward(const Spec *p, const Tables *t, int64_t steps, int64_t neurons, const float *x, int64_t x_stride,
                     const float *start, const float *gs, const float *glast, float *gx, float *gstart, const uint8_t *code,
                     float *scratch, float *gthreshold, float *gstep, int threads) {
    const int quick = is_quick_back(p) && !gthreshold && !gstep;
#pragma omp parallel num_threads(threads)
    {
        float gv[TILE], slopes[MOST_CODES];
        Tile c = {.steps = steps, .neurons = neurons, .x_stride = x_stride, .past_cache = steps * neurons >= LARGE};
        c.x = x, c.start = start, c.gs = gs, c.gx = gx, c.code = code, c.gv = gv;
        c.room = scratch + (size_t)THREAD * 2 * (size_t)steps * TILE;
        c.slopes = code && slopes_of(p, t, slopes) ? slopes : 0;
#pragma omp for schedule(static)
        for (int64_t first = 0; first < neurons; first += TILE) {
            c.first = first;
            c.n = (int)(neurons - first < TILE ? neurons - first : TILE);
            const size_t bytes = (size_t)c.n * sizeof(float);
            constants(t, first, c.n, c.threshold, c.decay);
            if (glast) memcpy(gv, glast + first, bytes);
            else memset(gv, 0, bytes);
            if (!x_stride) memset(gx + first, 0, bytes);
            c.to_threshold = gthreshold ? memset(gthreshold + first, 0, bytes) : 0;
            c.to_step = gstep ? memset(gstep + first, 0, bytes) : 0;
            if (quick) back_quick(p, t, &c);
            else back_by_rows(p, t, &c);
            memcpy(gstart + first, gv, bytes);
        }
        finish_stores();
    }
}
