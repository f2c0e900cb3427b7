/* Snap of rows, each on a grid of its own, and the sums that LQ-Net's fit needs.

   Work is cut into tiles of one row, so that one long row (a grid for the whole tensor) keeps all threads busy too. */

typedef struct {
    int64_t rows, columns;
    const float *step, *lowest, *shift; /* affine: [rows] */
    const float *levels;                /* table: [rows, size] */
    const float *low, *high;            /* [rows] */
    const float *noise;                 /* stochastic rounding: [period], which repeats through x */
    int64_t period;
} Rows;

/* Rounded up where the noise is below the rest; a level stays a level, though its quotient may miss the whole number. */
static void snap_drawn(const Spec *p, const Rows *r, int64_t place, int n, const float *restrict u, float *restrict w) {
    const float step = p->step, lowest = p->lowest, shift = p->shift, top = (float)(p->size - 1);
    float noise[TILE];
    for (int64_t done = 0, from = place % r->period, part; done < n; done += part, from = 0) {
        part = n - done < r->period - from ? n - done : r->period - from;
        memcpy(noise + done, r->noise + from, (size_t)part * sizeof(float));
    }
    for (int i = 0; i < n; i++) {
        const float t = u[i] / step - shift, below = floorf(t), near = step * (held(rintf(t) - lowest, top) + lowest + shift);
        const float code = held(below + (noise[i] < t - below ? 1.0f : 0.0f) - lowest, top);
        w[i] = near == u[i] ? near : step * (code + lowest + shift);
    }
}

/* p: grid, rounding and size; x, y: [rows, columns]; inside, if wanted: where x is within the grid. middles: room for
   [rows, size - 1] where the grid is a table. Returns the number of NaN in x. */
int64_t sq_snap(const Spec *p, const Rows *r, const float *x, float *y, uint8_t *inside, float *middles, int threads) {
    int64_t bad = 0;
    const int64_t across = (r->columns + TILE - 1) / TILE;
#pragma omp parallel num_threads(threads) reduction(+ : bad)
    {
        if (p->grid == TABLE) {
#pragma omp for schedule(static)
            for (int64_t row = 0; row < r->rows; row++) middles_row(r->levels + row * p->size, p->size, middles + row * (p->size - 1));
        }
#pragma omp for schedule(static)
        for (int64_t index = 0; index < r->rows * across; index++) {
            const int64_t row = index / across, first = index % across * TILE, place = row * r->columns + first;
            const int n = (int)(r->columns - first < TILE ? r->columns - first : TILE);
            const float *restrict u = x + place;
            Spec mine = *p;
            Tables tables = {0};
            if (p->grid == TABLE) {
                tables.levels = r->levels + row * p->size;
                tables.middles = middles + row * (p->size - 1);
            } else {
                mine.step = r->step[row];
                mine.lowest = r->lowest[row];
                mine.shift = r->shift[row];
            }
            if (p->rounding == STOCHASTIC) snap_drawn(&mine, r, place, n, u, y + place);
            else snap_row(&mine, &tables, n, u, y + place);
            bad += nan_row(n, u);
            if (inside) {
                const float low = r->low[row], high = r->high[row];
                uint8_t *restrict to = inside + place;
                for (int i = 0; i < n; i++) to[i] = u[i] >= low && u[i] <= high;
            }
        }
    }
    return bad;
}

/* to = g where inside, else g * 0 (an infinite gradient becomes NaN there, as torch's does). */
void sq_mask(int64_t count, const float *restrict g, const uint8_t *restrict inside, float *restrict to, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < count; i++) to[i] = g[i] * (float)inside[i];
}

/* sums[mask] becomes the sum over all patterns of sums[pattern], negative where pattern and mask share an odd number of bits. */
static void walsh_hadamard(double *sums, int size) {
    for (int half = 1; half < size; half *= 2)
        for (int first = 0; first < size; first += 2 * half)
            for (int i = first; i < first + half; i++) {
                const double a = sums[i], b = sums[i + half];
                sums[i] = a + b;
                sums[i + half] = a - b;
            }
}

#define LANES 4
#define MOST 256

/* One row's count and sum of weights at each level. Lanes break the chain of additions to one level; their order is fixed. */
static int64_t level_sums(const float *middles, int32_t size, int64_t columns, const float *w, double *count, double *total) {
    int64_t counts[LANES][MOST], bad = 0;
    double sums[LANES][MOST];
    for (int lane = 0; lane < LANES; lane++) {
        memset(counts[lane], 0, (size_t)size * sizeof(int64_t));
        memset(sums[lane], 0, (size_t)size * sizeof(double));
    }
    for (int64_t first = 0; first < columns; first += TILE) {
        const int n = (int)(columns - first < TILE ? columns - first : TILE);
        const float *restrict u = w + first;
        int32_t code[TILE];
        table_codes(middles, size, n, u, code);
        bad += nan_row(n, u);
#pragma GCC unroll 4
        for (int i = 0; i < n; i++) {
            counts[i % LANES][code[i]]++;
            sums[i % LANES][code[i]] += u[i];
        }
    }
    for (int32_t m = 0; m < size; m++) {
        count[m] = (double)(counts[0][m] + counts[1][m] + counts[2][m] + counts[3][m]);
        total[m] = sums[0][m] + sums[1][m] + (sums[2][m] + sums[3][m]);
    }
    return bad;
}

/* normal, target: B'B [rows, bits, bits] and B'w [rows, bits] of the sign patterns B that the weights w [rows, columns] take.
   levels: [rows, 2^bits] ascending; order: which pattern each level is, its first sign in the highest bit. Returns the NaN in w. */
int64_t sq_lq_equations(int64_t rows, int64_t columns, int bits, const float *w, const float *levels, const int64_t *order,
                        double *normal, double *target, int threads) {
    const int32_t size = 1 << bits;
    int64_t bad = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : bad)
    for (int64_t row = 0; row < rows; row++) {
        float middles[MOST];
        double count[MOST], total[MOST], counts[MOST], totals[MOST];
        middles_row(levels + row * size, size, middles);
        bad += level_sums(middles, size, columns, w + row * columns, count, total);
        for (int32_t m = 0; m < size; m++) {
            counts[order[row * size + m]] = count[m];
            totals[order[row * size + m]] = total[m];
        }
        walsh_hadamard(counts, size);
        walsh_hadamard(totals, size);
        for (int i = 0; i < bits; i++) {
            const int one = size >> (i + 1);
            target[row * bits + i] = -totals[one];
            for (int j = 0; j < bits; j++) normal[(row * bits + i) * bits + j] = counts[one ^ size >> (j + 1)];
        }
    }
    return bad;
}

#define CHUNKED (1 << 16)

int64_t sq_level_chunks(int64_t count) { return (count + CHUNKED - 1) / CHUNKED; }

/* counts, totals: [chunks, size], how many of the values x are nearest to each of the ascending levels, and their sum. Returns the NaN. */
int64_t sq_level_sums(int64_t count, int size, const float *x, const float *levels, double *counts, double *totals, int threads) {
    float middles[MOST];
    int64_t bad = 0;
    middles_row(levels, size, middles);
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : bad)
    for (int64_t chunk = 0; chunk < sq_level_chunks(count); chunk++) {
        const int64_t first = chunk * CHUNKED, n = count - first < CHUNKED ? count - first : CHUNKED;
        bad += level_sums(middles, size, n, x + first, counts + chunk * size, totals + chunk * size);
    }
    return bad;
}
