/* StoMPP's mixed values: hard where frozen, graded elsewhere. */

/* y: hard where frozen, else x held to [-1, 1]; open: where a gradient passes. x: [samples, period], frozen: [period]. */
void sq_mixed(int64_t samples, int64_t period, int straight_through, const float *x, const float *hard, const uint8_t *frozen, float *y,
              uint8_t *open, int threads) {
    const int64_t across = (period + TILE - 1) / TILE;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t index = 0; index < samples * across; index++) {
        const int64_t first = index % across * TILE, place = index / across * period + first;
        const int n = (int)(period - first < TILE ? period - first : TILE);
        const float *restrict u = x + place, *restrict h = hard + place;
        const uint8_t *restrict f = frozen + first;
        float *restrict w = y + place;
        uint8_t *restrict o = open + place;
        for (int i = 0; i < n; i++) {
            const float held = u[i] < -1.0f ? -1.0f : u[i] > 1.0f ? 1.0f : u[i];
            w[i] = f[i] ? h[i] : held;
            o[i] = (held == u[i]) & (straight_through | !f[i]);
        }
    }
}
