/* Rows of bfloat16: kept in half the memory, computed with as float. */

static void widen_row(int n, const uint16_t *restrict from, float *restrict to) {
    for (int i = 0; i < n; i++) {
        const uint32_t bits = (uint32_t)from[i] << 16;
        memcpy(to + i, &bits, sizeof bits);
    }
}

/* To the nearest, ties to even, as torch rounds; a NaN stays one. */
static void narrow_row(int n, const float *restrict from, uint16_t *restrict to) {
    for (int i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, from + i, sizeof bits);
        const uint32_t near = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
        to[i] = (uint16_t)(from[i] != from[i] ? 0x7FC0 : near);
    }
}

/* The row at a place, as float; room: for a row. */
static inline const float *read_row(int64_t half, const void *from, int64_t place, int n, float *room) {
    if (!half) return (const float *)from + place;
    widen_row(n, (const uint16_t *)from + place, room);
    return room;
}

static inline void write_row(int64_t half, void *to, int64_t place, int n, const float *row, int past_cache) {
    uint16_t narrow[TILE];
    if (half) narrow_row(n, row, narrow);
    const size_t size = half ? sizeof(uint16_t) : sizeof(float);
    store_row((char *)to + (size_t)place * size, half ? (const void *)narrow : row, (size_t)n * size, past_cache);
}

static inline void fetch(int64_t half, const void *from, int64_t place, int n) {
    if (half) fetch_row((const float *)((const uint16_t *)from + place), (n + 1) / 2);
    else fetch_row((const float *)from + place, n);
}
