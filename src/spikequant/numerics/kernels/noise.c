/* Noise in [0, 1) named by seed, layer, step and element: that of numerics/rounding.py. */

static inline uint64_t mixed(uint64_t word) {
    word = (word ^ word >> 33) * 0xff51afd7ed558ccdULL;
    word = (word ^ word >> 33) * 0xc4ceb9fe1a85ec53ULL;
    return word ^ word >> 33;
}

static inline uint64_t noise_key(int64_t seed, int64_t layer, int64_t step) {
    const int64_t words[3] = {seed, layer, step};
    uint64_t key = 0;
    for (int i = 0; i < 3; i++) key = mixed(key * 31 + (uint64_t)words[i] + 1);
    return key;
}

static inline float drawn(uint64_t key, uint64_t index) { return (float)(int32_t)(mixed(mixed(index) ^ key) >> 40) * 0x1p-24f; }

void sq_uniform(int64_t seed, int64_t layer, int64_t step, int64_t count, const int64_t *restrict index, float *restrict noise) {
    const uint64_t key = noise_key(seed, layer, step);
    for (int64_t i = 0; i < count; i++) noise[i] = drawn(key, (uint64_t)index[i]);
}
