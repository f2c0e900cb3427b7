/* Back through norm, neuron and pool, fused: the membranes are computed again, patch by patch. */

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
        const Step step = {m->states + place, seen, y, c->threshold, c->decay, 0, 0};
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
