/* A row on a grid: snapped, encoded, decoded; affine or by the midpoints of a table. */

static inline float rounded(const Spec *p, float t) {
    const float below = floorf(t);
    return p->rounding == NEAREST_EVEN ? rintf(t) : p->rounding == TRUNCATE ? below : below + (t - below >= 0.5f ? 1.0f : 0.0f);
}

static inline float held(float code, float top) { return code < 0 ? 0 : code > top ? top : code; }

static void snap_affine(const Spec *p, int n, const float *u, float *w) {
    const float step = p->step, lowest = p->lowest, shift = p->shift, top = (float)(p->size - 1);
    switch (p->rounding) {
    case NEAREST_EVEN:
        for (int i = 0; i < n; i++) w[i] = step * (held(rintf(u[i] / step - shift) - lowest, top) + lowest + shift);
        break;
    case ROUND_HALF_UP:
        for (int i = 0; i < n; i++) {
            float t = u[i] / step - shift, below = floorf(t);
            w[i] = step * (held(below + (t - below >= 0.5f ? 1.0f : 0.0f) - lowest, top) + lowest + shift);
        }
        break;
    default:
        for (int i = 0; i < n; i++) {
            float code = held(rintf(u[i] / step - shift) - lowest, top), near = step * (code + lowest + shift);
            w[i] = near > u[i] ? step * (held(code - 1, top) + lowest + shift) : near;
        }
    }
}

/* The float next below a finite one. */
static inline float below(float value) {
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits = value == 0 ? INT32_MIN + 1 : bits > 0 ? bits - 1 : bits + 1;
    memcpy(&value, &bits, sizeof bits);
    return value;
}

static void middles_row(const float *restrict levels, int32_t size, float *restrict middles) {
    for (int32_t j = 0; j < size - 1; j++) {
        const float middle = (float)(((double)levels[j + 1] + (double)levels[j]) / 2), most = below(levels[j + 1]);
        middles[j] = middle < most ? middle : most;
    }
}

#define PIVOTS 15

/* How many pivots are below u, times part. Inlined with a constant count, all of them stay in registers. */
static inline void count_row(const int count, const float *restrict pivots, int32_t part, int n, const float *restrict u, int32_t *restrict code) {
    for (int i = 0; i < n; i++) {
        int32_t below = 0;
#pragma GCC unroll 15
        for (int j = 0; j < count; j++) below += pivots[j] < u[i];
        code[i] = below * part;
    }
}

/* The level above the last pivot below u; w may be u. */
static inline void choose_row(const int count, const float *restrict pivots, const float *restrict levels, int n, const float *u, float *w) {
#pragma GCC ivdep
    for (int i = 0; i < n; i++) {
        float level = levels[0];
#pragma GCC unroll 15
        for (int j = 0; j < count; j++) level = pivots[j] < u[i] ? levels[j + 1] : level;
        w[i] = level;
    }
}

/* Every part-th midpoint, as many as there are; the rest is above everything. Returns how many there are. */
static int pivots_of(const float *middles, int32_t size, int32_t part, float *pivots) {
    for (int j = 0; j < PIVOTS; j++) pivots[j] = (j + 1) * part < size ? middles[(j + 1) * part - 1] : INFINITY;
    return (size - 1) / part;
}

/* The number of midpoints below u is the code: counted for few levels; for many a part is counted, the place in it searched. */
static void table_codes(const float *restrict middles, int32_t size, int n, const float *restrict u, int32_t *restrict code) {
    float pivots[PIVOTS];
    int32_t part = 1;
    while (16 * part < size) part *= 2;
    const int count = pivots_of(middles, size, part, pivots);
    if (count <= 3) count_row(3, pivots, part, n, u, code);
    else if (count <= 7) count_row(7, pivots, part, n, u, code);
    else count_row(PIVOTS, pivots, part, n, u, code);
    for (int32_t half = part / 2; half > 0; half /= 2)
        for (int i = 0; i < n; i++) {
            int32_t next = code[i] + half;
            int32_t seen = next <= size - 1 ? next - 1 : size - 2;
            code[i] = next <= size - 1 && middles[seen] < u[i] ? next : code[i];
        }
}

static void snap_table(const Spec *p, const Tables *t, int n, const float *u, float *w) {
    if (p->size <= 16) {
        float pivots[PIVOTS], levels[PIVOTS + 1] = {0};
        const int count = pivots_of(t->middles, p->size, 1, pivots);
        memcpy(levels, t->levels, (size_t)p->size * sizeof(float));
        if (count <= 3) choose_row(3, pivots, levels, n, u, w);
        else if (count <= 7) choose_row(7, pivots, levels, n, u, w);
        else choose_row(PIVOTS, pivots, levels, n, u, w);
        return;
    }
    int32_t code[TILE];
    table_codes(t->middles, p->size, n, u, code);
    for (int i = 0; i < n; i++) w[i] = t->levels[code[i]];
}

/* One of few values for each code. */
static void look_row(const float *values, int32_t size, int n, const uint8_t *restrict code, float *restrict u) {
#ifdef __AVX512F__
    if (size <= 16) {
        float few[16] = {0};
        memcpy(few, values, (size_t)size * sizeof(float));
        const __m512 held_few = _mm512_loadu_ps(few);
        for (int i = 0; i < n; i += 16) {
            const __mmask16 there = n - i < 16 ? (__mmask16)((1 << (n - i)) - 1) : 0xFFFF;
            __m128i bytes;
            if (there == 0xFFFF) bytes = _mm_loadu_si128((const __m128i *)(code + i));
            else { uint8_t rest[16] = {0}; memcpy(rest, code + i, (size_t)(n - i)); bytes = _mm_loadu_si128((const __m128i *)rest); }
            _mm512_mask_storeu_ps(u + i, there, _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(bytes), held_few));
        }
        return;
    }
#endif
    for (int i = 0; i < n; i++) u[i] = values[code[i]];
}

/* Snaps v to the levels of a table, in place; code, if wanted, keeps which level it is. */
static void code_table(const Spec *p, const Tables *t, int n, float *v, uint8_t *code) {
#ifdef __AVX512F__
    if (p->size <= 16) { /* levels and midpoints lie in two registers, and the search permutes them */
        float pivots[PIVOTS + 1], levels[PIVOTS + 1] = {0};
        pivots_of(t->middles, p->size, 1, pivots);
        pivots[PIVOTS] = INFINITY;
        memcpy(levels, t->levels, (size_t)p->size * sizeof(float));
        const __m512 above = _mm512_loadu_ps(pivots), values = _mm512_loadu_ps(levels);
        for (int i = 0; i < n; i += 16) {
            const __mmask16 there = n - i < 16 ? (__mmask16)((1 << (n - i)) - 1) : 0xFFFF;
            const __m512 u = _mm512_maskz_loadu_ps(there, v + i);
            __m512i found = _mm512_setzero_si512();
#pragma GCC unroll 4
            for (int half = 8; half > 0; half /= 2) {
                const __m512 pivot = _mm512_permutexvar_ps(_mm512_add_epi32(found, _mm512_set1_epi32(half - 1)), above);
                found = _mm512_mask_add_epi32(found, _mm512_cmp_ps_mask(pivot, u, _CMP_LT_OQ), found, _mm512_set1_epi32(half));
            }
            _mm512_mask_storeu_ps(v + i, there, _mm512_permutexvar_ps(found, values));
            if (code) _mm512_mask_cvtepi32_storeu_epi8(code + i, there, found);
        }
        return;
    }
#endif
    if (!code) { snap_table(p, t, n, v, v); return; }
    int32_t found[TILE];
    table_codes(t->middles, p->size, n, v, found);
    for (int i = 0; i < n; i++) { code[i] = (uint8_t)found[i]; v[i] = t->levels[found[i]]; }
}

/* What codes stand for. */
static void decode_row(const Spec *p, const Tables *t, int n, const uint8_t *restrict code, float *restrict u) {
    const float step = p->step, lowest = p->lowest, shift = p->shift;
    if (p->grid == AFFINE)
        for (int i = 0; i < n; i++) u[i] = step * ((float)code[i] + lowest + shift);
    else look_row(t->levels, p->size, n, code, u);
}

static void snap_row(const Spec *p, const Tables *t, int n, const float *u, float *w) {
    float turned[TILE];
    if (p->wrap) {
        const float turn = p->high - p->low + 1;
        for (int i = 0; i < n; i++) {
            float whole = rounded(p, u[i]) - p->low, rest = fmodf(whole, turn);
            turned[i] = (rest < 0 ? rest + turn : rest) + p->low;
        }
        u = turned;
    }
    if (p->grid == AFFINE) snap_affine(p, n, u, w);
    else snap_table(p, t, n, u, w);
}
