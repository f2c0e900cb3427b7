/* Convolution of images that are mostly zero, channels last, stride 1: what is zero is neither multiplied nor added.

   Weights come in blocks of 16 output channels a lane: [block, line * column, channel, 16 * lanes]. Each sum runs over the events in
   one order, whatever the instruction set and the number of threads. */

typedef float Lane __attribute__((vector_size(64)));
typedef float Stored __attribute__((vector_size(64), aligned(4), may_alias)); /* a lane as it lies in memory */
typedef struct { int64_t images, height, width, channels, kernel, padding, lanes, blocks, half; } Pass; /* half: images, outputs and their gradients are bfloat16 */
typedef struct { Lane at[4]; } Sums;
/* The events of an image: of each pixel those at start[pixel] .. start[pixel + 1] - 1; place: column * channels + channel.
   whole: every value is 1. */
typedef struct { int32_t *start, *place; float *value; int whole; } Events;

#define PARTS 8 /* backward sums over so many parts of the images */

static int64_t out_height(const Pass *q) { return q->height + 2 * q->padding - q->kernel + 1; }
static int64_t out_width(const Pass *q) { return q->width + 2 * q->padding - q->kernel + 1; }
static int64_t across(const Pass *q) { return q->width + q->kernel - 1; } /* columns of a gradient between zeros */

/* Bytes for each thread. */
int64_t sq_events_room(const Pass *q) {
    const int64_t pixels = q->height * q->width, most = pixels * q->channels;
    const int64_t forward = 4 * (pixels + 1) + 4 * most + 4 * most + 4 * q->channels;
    const int64_t backward = 4 * q->channels * (q->height + 1) + 4 * most + 4 * most + 64 * q->lanes * out_height(q) * across(q);
    return (forward + backward + 4 * 64) / 64 * 64;
}

static void *take(char **room, int64_t bytes) {
    char *taken = *room;
    *room += (bytes + 15) / 16 * 16;
    return taken;
}

/* How many of the values are not zero. most: the largest without its sign, or -1 where one is no whole number below 2^15. */
int64_t sq_events_count(const void *x, int half, int64_t count, int32_t *most, int threads) {
    int64_t found = 0, others = 0;
    int32_t top = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : found, others) reduction(max : top)
    for (int64_t first = 0; first < count; first += TILE) {
        const int n = (int)(count - first < TILE ? count - first : TILE);
        float wide[TILE];
        const float *row = read_row(half, x, first, n, wide);
        int here = 0, other = 0;
        int32_t high = 0;
        for (int i = 0; i < n; i++) {
            const float size = row[i] < 0 ? -row[i] : row[i];
            const int32_t whole = size < 32768 ? (int32_t)size : -1;
            here += row[i] != 0;
            other += (float)whole != size;
            high = whole > high ? whole : high;
        }
        found += here;
        others += other;
        top = high > top ? high : top;
    }
    *most = others ? -1 : top;
    return found;
}

static Events found_in(const Pass *q, const void *x, int64_t image, char **room) {
    const int64_t pixels = q->height * q->width, most = pixels * q->channels;
    Events e = {take(room, 4 * (pixels + 1)), take(room, 4 * most), take(room, 4 * most), 1};
    int32_t count = 0;
    float *wide = take(room, 4 * q->channels);
    for (int64_t pixel = 0; pixel < pixels; pixel++) {
        const float *from = read_row(q->half, x, (image * pixels + pixel) * q->channels, (int)q->channels, wide);
        e.start[pixel] = count;
        const int32_t column = (int32_t)(pixel % q->width * q->channels);
        for (int32_t c = 0; c < (int32_t)q->channels; c++) { /* every place is written, and kept where there is an event */
            e.place[count] = column + c;
            e.value[count] = from[c];
            count += from[c] != 0;
        }
    }
    e.start[pixels] = count;
    int other = 0;
    for (int32_t i = 0; i < count; i++) other += e.value[i] != 1;
    e.whole = other == 0;
    return e;
}

static inline __attribute__((always_inline)) void add_lanes(const int lanes, const int whole, float value, const float *from, Sums *s) {
#pragma GCC unroll 4
    for (int j = 0; j < lanes; j++) {
        const Lane lane = *(const Stored *)(from + 16 * j);
        if (whole) s->at[j] += lane;
        else s->at[j] += value * lane;
    }
}

LOOP gather_image(const int lanes, const int whole, const Pass *q, const Events *e, const float *weight, const float *bias,
                  void *y, int64_t begin) {
    const int64_t high = out_height(q), wide = out_width(q), out = 16 * lanes * q->blocks, k = q->kernel;
    for (int64_t line = 0; line < high; line++)
        for (int64_t column = 0; column < wide; column++) {
            const int64_t top = line - q->padding, left = column - q->padding;
            Sums s;
            for (int j = 0; j < lanes; j++) s.at[j] = *(const Stored *)(bias + 16 * j);
            const int64_t first = left < 0 ? 0 : left, end = left + k < q->width ? left + k : q->width;
            for (int64_t ky = top < 0 ? -top : 0; ky < k && top + ky < q->height; ky++) { /* events of neighboring pixels lie in a row */
                const int32_t *start = e->start + (top + ky) * q->width;
                const float *from = weight + (ky * k - left) * q->channels * 16 * lanes;
                for (int32_t i = start[first]; i < start[end]; i++)
                    add_lanes(lanes, whole, e->value[i], from + (int64_t)e->place[i] * 16 * lanes, &s);
            }
            const int64_t place = begin + (line * wide + column) * out;
            float row[64], *to = q->half ? row : (float *)y + place;
            for (int j = 0; j < lanes; j++) *(Stored *)(to + 16 * j) = s.at[j];
            if (q->half) narrow_row(16 * lanes, row, (uint16_t *)y + place);
        }
}

/* The events of an image channel by channel: those of line y of channel c at start[c (height + 1) + y] .. */
typedef struct { int32_t *start, *place; float *value; } Columns;

static Columns by_channel(const Pass *q, const Events *e, char **room) {
    const int64_t lines = q->height + 1, most = q->height * q->width * q->channels;
    Columns o = {take(room, 4 * q->channels * lines), take(room, 4 * most), take(room, 4 * most)};
    memset(o.start, 0, (size_t)(4 * q->channels * lines));
    for (int64_t y = 0; y < q->height; y++)
        for (int64_t x = 0; x < q->width; x++)
            for (int32_t i = e->start[y * q->width + x]; i < e->start[y * q->width + x + 1]; i++)
                o.start[(e->place[i] - x * q->channels) * lines + y + 1]++;
    int32_t before = 0;
    for (int64_t c = 0; c < q->channels; c++) { /* where each line begins; while they are filled, one place further */
        int32_t *start = o.start + c * lines, sum = before;
        for (int64_t y = 1; y < lines; y++) { const int32_t here = start[y]; start[y] = sum; sum += here; }
        start[0] = before;
        before = sum;
    }
    for (int64_t y = 0; y < q->height; y++)
        for (int64_t x = 0; x < q->width; x++)
            for (int32_t i = e->start[y * q->width + x]; i < e->start[y * q->width + x + 1]; i++) {
                const int32_t to = o.start[(e->place[i] - x * q->channels) * lines + y + 1]++;
                o.place[to] = (int32_t)(y * across(q) + x);
                o.value[to] = e->value[i];
            }
    return o;
}

/* Adds an image's gradient of one block of the weights. g: [line, column, 16 * lanes], columns between zeros. */
LOOP collect_image(const int lanes, const int whole, const Pass *q, const Columns *o, const float *g, float *gw) {
    const int64_t lines = q->height + 1, k = q->kernel, high = out_height(q);
    for (int64_t c = 0; c < q->channels; c++)
        for (int64_t ky = 0; ky < k; ky++) {
            const int64_t first = ky < q->padding ? 0 : ky - q->padding, end = ky - q->padding + high;
            const int32_t *start = o->start + c * lines;
            const int32_t from = start[first], to = start[end < q->height ? end : q->height];
            for (int64_t kx = 0; kx < k; kx++) {
                const float *shifted = g + ((q->padding - ky) * across(q) + k - 1 - kx) * 16 * lanes;
                float *sum = gw + ((ky * k + kx) * q->channels + c) * 16 * lanes;
                Sums s;
                for (int j = 0; j < lanes; j++) s.at[j] = *(const Stored *)(sum + 16 * j);
                for (int32_t i = from; i < to; i++) add_lanes(lanes, whole, o->value[i], shifted + (int64_t)o->place[i] * 16 * lanes, &s);
                for (int j = 0; j < lanes; j++) *(Stored *)(sum + 16 * j) = s.at[j];
            }
        }
}

#define BY_LANES(NAME, ...) \
    if (q->lanes == 4) { if (e.whole) NAME(4, 1, __VA_ARGS__); else NAME(4, 0, __VA_ARGS__); } \
    else if (q->lanes == 2) { if (e.whole) NAME(2, 1, __VA_ARGS__); else NAME(2, 0, __VA_ARGS__); } \
    else { if (e.whole) NAME(1, 1, __VA_ARGS__); else NAME(1, 0, __VA_ARGS__); }

/* y: [images, out height, out width, 16 lanes blocks]; bias: one for each output channel. */
void sq_events_forward(const Pass *q, const void *x, const float *weight, const float *bias, void *y, char *room, int threads) {
    const int64_t size = out_height(q) * out_width(q), part = 16 * q->lanes, each = part * q->kernel * q->kernel * q->channels;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t image = 0; image < q->images; image++) {
        char *mine = room + THREAD * sq_events_room(q);
        const Events e = found_in(q, x, image, &mine);
        for (int64_t block = 0; block < q->blocks; block++) {
            BY_LANES(gather_image, q, &e, weight + block * each, bias + block * part, y, (image * size * q->blocks + block) * part)
        }
    }
}

/* gw: [PARTS, as the weights], of which the sum over parts is the gradient. */
void sq_events_backward(const Pass *q, const void *x, const void *g, float *gw, char *room, int threads) {
    const int64_t part = 16 * q->lanes, each = part * q->kernel * q->kernel * q->channels;
    const int64_t high = out_height(q), wide = out_width(q), out = part * q->blocks, edge = q->kernel - 1 - q->padding;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t slice = 0; slice < PARTS; slice++) {
        float *sums = gw + slice * each * q->blocks;
        memset(sums, 0, (size_t)(each * q->blocks) * sizeof(float));
        for (int64_t image = q->images * slice / PARTS; image < q->images * (slice + 1) / PARTS; image++) {
            char *mine = room + THREAD * sq_events_room(q);
            const Events e = found_in(q, x, image, &mine);
            const Columns o = by_channel(q, &e, &mine);
            float *between = take(&mine, 4 * part * high * across(q));
            memset(between, 0, (size_t)(4 * part * high * across(q)));
            for (int64_t block = 0; block < q->blocks; block++) {
                for (int64_t line = 0; line < high; line++)
                    for (int64_t column = 0; column < wide; column++) {
                        float *to = between + (line * across(q) + column + edge) * part;
                        const int64_t place = ((image * high + line) * wide + column) * out + block * part;
                        const float *from = read_row(q->half, g, place, (int)part, to);
                        if (from != to) memcpy(to, from, (size_t)part * sizeof(float));
                    }
                BY_LANES(collect_image, q, &o, between, sums + block * each)
            }
        }
    }
}
