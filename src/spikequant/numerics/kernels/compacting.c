/* Whole numbers from 0 to 255 in a byte each. */

/* to: x as bytes. Returns how many values were met that are no such number; after the first, a thread writes no more. */
int64_t sq_compact(int64_t count, const float *x, uint8_t *to, int threads) {
    int64_t bad = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : bad)
    for (int64_t first = 0; first < count; first += TILE) {
        if (bad) continue;
        const int n = (int)(count - first < TILE ? count - first : TILE);
        const float *restrict u = x + first;
        uint8_t *restrict w = to + first;
        int other = 0;
        for (int i = 0; i < n; i++) {
            const int32_t whole = (int32_t)u[i];
            w[i] = (uint8_t)whole;
            other += (float)(whole & 255) != u[i];
        }
        bad += other;
    }
    return bad;
}
