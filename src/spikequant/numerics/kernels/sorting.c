/* Mean distance of two sets of numbers once both are sorted: the Wasserstein distance of sets of one size.

   A number's place among equal steps from the least to the largest orders all but those that share a step, which then move past each
   other one by one. Equal numbers never move, so that rates, which repeat, cost little. */

typedef struct { int32_t a, b; } Both;

#define SPAN_LANES 32
#define MOST_MOVES 16 /* a number, in the mean */

/* Widens low .. high to hold all of v; whether all are finite. */
static int span(int64_t n, const double *v, double *low, double *high) {
    double least[SPAN_LANES], most[SPAN_LANES], sound[SPAN_LANES];
    int64_t i = 0;
    for (int j = 0; j < SPAN_LANES; j++) { least[j] = most[j] = v[0]; sound[j] = 0; }
    for (; i + SPAN_LANES <= n; i += SPAN_LANES)
        for (int j = 0; j < SPAN_LANES; j++) {
            const double each = v[i + j];
            least[j] = each < least[j] ? each : least[j];
            most[j] = each > most[j] ? each : most[j];
            sound[j] += each - each;
        }
    for (; i < n; i++) {
        least[0] = v[i] < least[0] ? v[i] : least[0];
        most[0] = v[i] > most[0] ? v[i] : most[0];
        sound[0] += v[i] - v[i];
    }
    for (int j = 0; j < SPAN_LANES; j++) {
        *low = least[j] < *low ? least[j] : *low;
        *high = most[j] > *high ? most[j] : *high;
        sound[0] += j ? sound[j] : 0;
    }
    return sound[0] == 0;
}

static void places(int64_t n, const double *restrict v, double low, double scale, int32_t *restrict to) {
    for (int64_t i = 0; i < n; i++) to[i] = (int32_t)((v[i] - low) * scale);
}

/* Sorts what is nearly sorted; 0 where it is not. */
static int moved_past(int64_t n, double *v) {
    int64_t left = MOST_MOVES * n;
    for (int64_t i = 1; i < n; i++) {
        const double each = v[i];
        int64_t j = i;
        for (; j > 0 && v[j - 1] > each; j--) v[j] = v[j - 1];
        v[j] = each;
        if ((left -= i - j) < 0) return 0;
    }
    return 1;
}

/* Both sets of n in order; 0 where they are not finite, or crowd at a few places. */
static int sorted(int64_t n, int64_t steps, const double *restrict a, const double *restrict b, double *restrict u, double *restrict w,
                  int32_t *restrict place, Both *restrict first) {
    double low = a[0], high = a[0];
    const int sound = span(n, a, &low, &high) & span(n, b, &low, &high);
    if (!sound || !(high - low <= 1e300)) return 0;
    const double wide = (double)(steps - 1) / (high - low), scale = wide <= 1e300 ? wide : 0; /* 0 where all are one number, or nearly so */
    places(n, a, low, scale, place);
    places(n, b, low, scale, place + n);
    memset(first, 0, (size_t)steps * sizeof(Both));
    for (int64_t i = 0; i < n; i++) { first[place[i]].a++; first[place[n + i]].b++; }
    Both sum = {0, 0};
    for (int64_t i = 0; i < steps; i++) {
        const Both here = first[i];
        first[i] = sum;
        sum.a += here.a;
        sum.b += here.b;
    }
    for (int64_t i = 0; i < n; i++) { u[first[place[i]].a++] = a[i]; w[first[place[n + i]].b++] = b[i]; }
    return moved_past(n, u) && moved_past(n, w);
}

/* In numpy's order, for its bits. */
static double pairwise_sum(int64_t n, const double *v) {
    if (n > 128) {
        const int64_t half = n / 2 / 8 * 8;
        return pairwise_sum(half, v) + pairwise_sum(n - half, v + half);
    }
    double part[8], sum = 0;
    int64_t i = 0;
    if (n >= 8) {
        for (; i < 8; i++) part[i] = v[i];
        for (; i + 8 <= n; i += 8)
            for (int j = 0; j < 8; j++) part[j] += v[i + j];
        sum = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
    }
    for (; i < n; i++) sum += v[i];
    return sum;
}

/* memory: a [rows, n], b [rows, n], out [rows], and room of 3 n + steps. Returns how many rows were done; the first that is
   not finite, or crowds, ends it. */
int64_t sq_sorted_gaps(int64_t rows, int64_t n, int64_t steps, double *memory) {
    const double *a = memory, *b = a + rows * n;
    double *out = memory + 2 * rows * n, *u = out + rows, *w = u + n;
    int32_t *place = (int32_t *)(w + n);
    for (int64_t row = 0; row < rows; row++) {
        if (!sorted(n, steps, a + row * n, b + row * n, u, w, place, (Both *)(place + 2 * n))) return row;
        for (int64_t i = 0; i < n; i++) u[i] = fabs(u[i] - w[i]);
        out[row] = pairwise_sum(n, u) / (double)n;
    }
    return rows;
}
