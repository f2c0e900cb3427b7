/* Convolution by events of whole numbers with whole weights in bytes: sums in 16 bits are exact, whatever their order.

   Who calls sees to it that no sum can leave 16 bits: the largest value times the sum of a channel's weights without their signs. */

typedef int16_t Shorts __attribute__((vector_size(64)));
typedef int8_t Bytes __attribute__((vector_size(32), aligned(1), may_alias));

/* weight: [line, column, channel, 32 * parts]; y of one image and block: step * sum + bias. */
LOOP gather_whole(const int parts, const int ones, const Pass *q, const Events *e, const int8_t *weight, const float *step,
                  const float *bias, float *y) {
    const int64_t high = out_height(q), wide = out_width(q), part = 32 * parts, k = q->kernel;
    for (int64_t line = 0; line < high; line++)
        for (int64_t column = 0; column < wide; column++) {
            const int64_t top = line - q->padding, left = column - q->padding;
            Shorts sums[2] = {{0}, {0}};
            const int64_t first = left < 0 ? 0 : left, end = left + k < q->width ? left + k : q->width;
            for (int64_t ky = top < 0 ? -top : 0; ky < k && top + ky < q->height; ky++) {
                const int32_t *start = e->start + (top + ky) * q->width;
                const int8_t *from = weight + (ky * k - left) * q->channels * part;
                for (int32_t i = start[first]; i < start[end]; i++)
                    for (int j = 0; j < parts; j++) {
                        const Shorts lane = __builtin_convertvector(*(const Bytes *)(from + e->place[i] * part + 32 * j), Shorts);
                        if (ones) sums[j] += lane;
                        else sums[j] += (int16_t)e->value[i] * lane;
                    }
            }
            float *to = y + (line * wide + column) * part * q->blocks;
            for (int j = 0; j < parts; j++)
                for (int i = 0; i < 32; i++) to[32 * j + i] = step[32 * j + i] * (float)sums[j][i] + bias[32 * j + i];
        }
}

/* As sq_events_forward over float images, with weights in bytes; step: what one unit of an output channel's weights is worth. */
void sq_whole_forward(const Pass *q, const void *x, const int8_t *weight, const float *step, const float *bias, float *y, char *room,
                      int threads) {
    const int64_t size = out_height(q) * out_width(q), part = 16 * q->lanes, each = part * q->kernel * q->kernel * q->channels;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t image = 0; image < q->images; image++) {
        char *mine = room + THREAD * sq_events_room(q);
        const Events e = found_in(q, x, image, &mine);
        for (int64_t block = 0; block < q->blocks; block++) {
            const int64_t channel = block * part;
            const int8_t *from = weight + block * each;
            float *to = y + image * size * q->blocks * part + channel;
            if (q->lanes == 4 && e.whole) gather_whole(2, 1, q, &e, from, step + channel, bias + channel, to);
            else if (q->lanes == 4) gather_whole(2, 0, q, &e, from, step + channel, bias + channel, to);
            else if (e.whole) gather_whole(1, 1, q, &e, from, step + channel, bias + channel, to);
            else gather_whole(1, 0, q, &e, from, step + channel, bias + channel, to);
        }
    }
}
