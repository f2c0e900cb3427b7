/* The commonest neurons, in loops that keep a neuron's values in registers: the same operations in the same order as steps.c. */

enum { PLAIN, SEEN, ON_GRID, CODED, SEEN_ON_GRID, CHARGED, FIRED }; /* what a loop does: a step, in five forms, or one half of it */
#define LOOP static inline __attribute__((always_inline)) void

/* Whether the loops below do what is asked for. */
static int is_quick(const Spec *p) {
    const int usual = (p->charge == SCALE || p->charge == RELAX_INPUT) && p->reset != NONE && !p->full && p->up == 1.0f;
    return usual && (p->grid == NO_GRID || (p->snapped == BEFORE_FIRE && !p->wrap && (p->grid == TABLE || p->rounding == NEAREST_EVEN)));
}

static int is_quick_back(const Spec *p) { return is_quick(p) && (p->grid == NO_GRID || p->gradient == PASS); }

/* out: spikes; what the threshold saw, for SEEN and SEEN_ON_GRID. */
LOOP run(const int part, const int charge, const int reset, const int next, const int strict, const Spec *p, int n,
         const float *restrict x, const float *restrict threshold, const float *restrict decay, float *restrict v,
         float *restrict out, uint8_t *restrict code) {
    const float gain = p->gain, tau = p->tau, value = p->reset_value, rest = reset == VALUE ? value : 0.0f;
    const float step = p->step, lowest = p->lowest, shift = p->shift, top = (float)(p->size - 1);
    for (int i = 0; i < n; i++) {
        const float t = threshold[i];
        float u = v[i];
        if (part != FIRED) {
            const float gap = u - t, late = next ? (float)(strict ? gap > 0 : gap >= 0) : 0.0f;
            const float w = next && reset == VALUE ? (1.0f - late) * u + late * value : u;
            u = charge == SCALE ? decay[i] * w + gain * x[i] : w + (x[i] - (w - rest)) / tau;
            if (next && reset == SUBTRACT) u = u - late * t;
        }
        if (part == ON_GRID || part == CODED || part == SEEN_ON_GRID) {
            const float held_code = held(rintf(u / step - shift) - lowest, top);
            if (part == CODED) code[i] = (uint8_t)(int32_t)held_code;
            u = step * (held_code + lowest + shift);
        }
        const float fired = (float)(strict ? u - t > 0 : u - t >= 0);
        if (part != CHARGED) out[i] = part == SEEN || part == SEEN_ON_GRID ? u : fired;
        v[i] = next || part == CHARGED ? u : reset == SUBTRACT ? u - fired * t : (1.0f - fired) * u + fired * value;
    }
}

#define CASE(CHARGE, RESET, NEXT, STRICT) \
    if (p->charge == CHARGE && p->reset == RESET && p->next == NEXT && p->strict == STRICT) { \
        run(part, CHARGE, RESET, NEXT, STRICT, p, n, x, threshold, decay, v, out, code); \
        return; \
    }
#define CASES(CHARGE, RESET) CASE(CHARGE, RESET, 0, 0) CASE(CHARGE, RESET, 0, 1) CASE(CHARGE, RESET, 1, 0) CASE(CHARGE, RESET, 1, 1)
#define ROW(NAME, PART) \
    static void NAME(const Spec *p, int n, const float *x, const float *threshold, const float *decay, float *v, float *out, uint8_t *code) { \
        const int part = PART; \
        CASES(SCALE, SUBTRACT) CASES(SCALE, VALUE) CASES(RELAX_INPUT, SUBTRACT) CASES(RELAX_INPUT, VALUE) \
    }
ROW(plain_row, PLAIN)
ROW(seen_row, SEEN)
ROW(on_grid_row, ON_GRID)
ROW(coded_row, CODED)
ROW(seen_on_grid_row, SEEN_ON_GRID)
ROW(charged_row, CHARGED)
ROW(fired_row, FIRED)

/* One time step of a tile, in place; code, if wanted, keeps the code of what the threshold saw. */
static void advance_quick(const Spec *p, const Tables *t, int n, const float *x, const float *threshold, const float *decay,
                          float *v, float *s, uint8_t *code) {
    if (p->grid == NO_GRID) plain_row(p, n, x, threshold, decay, v, s, 0);
    else if (p->grid == AFFINE) (code ? coded_row : on_grid_row)(p, n, x, threshold, decay, v, s, code);
    else {
        charged_row(p, n, x, threshold, decay, v, s, 0);
        code_table(p, t, n, v, code);
        fired_row(p, n, x, threshold, decay, v, s, 0);
    }
}

/* The same, but of the spikes only what the threshold saw. */
static void see_quick(const Spec *p, const Tables *t, int n, const float *x, const float *threshold, const float *decay, float *v, float *seen) {
    if (p->grid != TABLE) {
        (p->grid == NO_GRID ? seen_row : seen_on_grid_row)(p, n, x, threshold, decay, v, seen, 0);
        return;
    }
    float fired[TILE];
    charged_row(p, n, x, threshold, decay, v, fired, 0);
    code_table(p, t, n, v, 0);
    memcpy(seen, v, (size_t)n * sizeof(float));
    fired_row(p, n, x, threshold, decay, v, fired, 0);
}

/* What a charge keeps of the state, and what share it takes of the current. */
static float shares(const Spec *p, int n, const float *decay, float *keep) {
    const float share = p->charge == SCALE ? p->gain : 1 / p->tau;
    for (int i = 0; i < n; i++) keep[i] = p->charge == SCALE ? decay[i] : 1 - share;
    return share;
}

/* Whether a step's gradient hangs on the step before: on the spike that acts late. */
static int looks_back(const Spec *p) { return p->next && (!p->detach_reset || p->reset == VALUE); }

/* What backward has of one step: what the threshold saw, now and in the step before, and the surrogate's slope at both. */
typedef struct { const float *seen, *slope, *before, *slope_before; } Past;

/* In and out: gv, of the stored state. */
LOOP walk(const int reset, const int next, const int through, const int strict, const Spec *p, int n, const Past *b,
          const float *restrict threshold, const float *restrict keep, float share, const float *restrict gs,
          float *restrict gv, float *restrict gx) {
    const float *restrict seen = b->seen, *restrict slope = b->slope, *restrict before = b->before, *restrict steep = b->slope_before;
    const float value = p->reset_value;
    for (int i = 0; i < n; i++) {
        const float t = threshold[i], last = next ? before[i] : seen[i];
        const float fired = (float)(strict ? last - t > 0 : last - t >= 0), stay = reset == VALUE ? 1.0f - fired : 1.0f;
        const float fall = !through ? 0.0f : reset == VALUE ? value - last : -t; /* what the state loses, by the spike */
        if (next) {
            const float g = gv[i] + slope[i] * gs[i], kept = keep[i] * g;
            gx[i] = share * g;
            gv[i] = kept * stay + (through ? (reset == VALUE ? kept : g) * fall * steep[i] : 0.0f);
        } else {
            const float g = gv[i] * stay + slope[i] * (through ? gs[i] + gv[i] * fall : gs[i]);
            gx[i] = share * g;
            gv[i] = keep[i] * g;
        }
    }
}

#define BACK(RESET, NEXT, THROUGH, STRICT) \
    if (p->reset == RESET && p->next == NEXT && p->detach_reset != THROUGH && p->strict == STRICT) \
        walk(RESET, NEXT, THROUGH, STRICT, p, n, b, threshold, keep, share, gs, gv, gx);
#define BACKS(RESET, NEXT) BACK(RESET, NEXT, 0, 0) BACK(RESET, NEXT, 0, 1) BACK(RESET, NEXT, 1, 0) BACK(RESET, NEXT, 1, 1)

static void walk_row(const Spec *p, int n, const Past *b, const float *threshold, const float *keep, float share,
                     const float *gs, float *gv, float *gx) {
    BACKS(SUBTRACT, 0)
    BACKS(SUBTRACT, 1)
    BACKS(VALUE, 0)
    BACKS(VALUE, 1)
}
