/* One time step of a tile with every choice of Dynamics, and the way back through it: rows one after the other. */

/* The membrane after its charge, before it is snapped; v itself may be the result. late: room for a row. */
static void charged(const Spec *p, int n, const float *x, const float *threshold, const float *decay, float *v, float *late) {
    if (p->next && p->reset != NONE) fire_row(p, n, v, threshold, late);
    if (p->next && p->reset == VALUE) reset_row(p, n, late, threshold, v);
    scale_row(n, p->up, v);
    charge_row(p, n, v, x, decay, v);
    scale_row(n, p->down, v);
    if (p->next && p->reset == SUBTRACT) reset_row(p, n, late, threshold, v);
}

/* One time step of a tile, in place; seen, if wanted, keeps what the threshold was compared with. */
static void advance(const Spec *p, const Tables *t, int n, const float *x, const float *threshold, const float *decay,
                    float *v, float *s, float *seen) {
    float late[TILE];
    charged(p, n, x, threshold, decay, v, late);
    if (p->full) {
        fire_row(p, n, v, threshold, s);
        if (seen) memcpy(seen, v, (size_t)n * sizeof(float));
    }
    if (p->grid != NO_GRID && (p->snapped & BEFORE_FIRE)) snap_row(p, t, n, v, v);
    if (!p->full) {
        fire_row(p, n, v, threshold, s);
        if (seen) memcpy(seen, v, (size_t)n * sizeof(float));
    }
    if (!p->next) reset_row(p, n, s, threshold, v);
    if (p->grid != NO_GRID && (p->snapped & AFTER_RESET)) snap_row(p, t, n, v, v);
}

/* What backward knows of one step: the state before it, what the threshold saw, and the constants; and rows of gradients that are summed
   over steps, where they are wanted. */
typedef struct { const float *before, *seen, *x, *threshold, *decay; float *to_threshold, *to_step; } Step;

/* The compared value as it is stored, and the value before it was snapped: needed by few settings only. */
static void again(const Spec *p, const Tables *t, int n, const Step *k, float *u, float *w) {
    float late[TILE];
    memcpy(u, k->before, (size_t)n * sizeof(float));
    charged(p, n, k->x, k->threshold, k->decay, u, late);
    if (p->grid != NO_GRID && (p->snapped & BEFORE_FIRE)) snap_row(p, t, n, u, w);
    else memcpy(w, u, (size_t)n * sizeof(float));
}

/* Through firing and reset. In: gv, of the stored state, and gs. Out: g, of the charged membrane before it was scaled down. */
static void fire_back(const Spec *p, const Tables *t, int n, const Step *k, const float *gs, float *gv, float *g) {
    float d[TILE], s[TILE], u[TILE], w[TILE];
    const int bends = p->grid != NO_GRID && (p->gradient != PASS || k->to_step), whole = p->full || bends;
    const float *stored = k->seen, *threshold = k->threshold;
    if (whole) { again(p, t, n, k, u, w); stored = w; }
    fire_row(p, n, k->seen, threshold, s);
    if (bends && (p->snapped & AFTER_RESET)) {
        float fallen[TILE], held_last[TILE];
        memcpy(fallen, stored, (size_t)n * sizeof(float));
        if (!p->next) reset_row(p, n, s, threshold, fallen);
        if (k->to_step) { snap_row(p, t, n, fallen, held_last); step_row(p, n, fallen, held_last, gv, k->to_step); }
        unsnap_row(p, n, fallen, gv);
    }
    surrogate_row(p, n, k->seen, threshold, d);
    const int now = !p->next, through = now && !p->detach_reset;
    if (through && p->reset == SUBTRACT)
        for (int i = 0; i < n; i++) d[i] *= gs[i] - threshold[i] * gv[i];
    else if (through && p->reset == VALUE)
        for (int i = 0; i < n; i++) d[i] *= gs[i] + gv[i] * (p->reset_value - stored[i]);
    else
        for (int i = 0; i < n; i++) d[i] *= gs[i];
    if (k->to_threshold) {
        const float falls = now && p->reset == SUBTRACT ? 1.0f : 0.0f;
        for (int i = 0; i < n; i++) k->to_threshold[i] -= d[i] + falls * s[i] * gv[i];
    }
    if (now && p->reset == VALUE)
        for (int i = 0; i < n; i++) g[i] = gv[i] * (1 - s[i]);
    else
        memcpy(g, gv, (size_t)n * sizeof(float));
    if (!p->full)
        for (int i = 0; i < n; i++) g[i] += d[i];
    if (p->grid != NO_GRID && (p->snapped & BEFORE_FIRE)) {
        if (k->to_step) step_row(p, n, u, w, g, k->to_step);
        unsnap_row(p, n, u, g);
    }
    if (p->full)
        for (int i = 0; i < n; i++) g[i] += d[i];
    scale_row(n, p->down, g);
}

/* Through the charge. In: g. Out: gx of the current, gv of the state before. */
static void charge_back(const Spec *p, int n, const Step *k, const float *restrict g, float *restrict gv, float *restrict gx) {
    const float up = p->up, gain = p->gain, tau = p->tau;
    switch (p->charge) {
    case SCALE:
        for (int i = 0; i < n; i++) { gx[i] = gain * g[i]; gv[i] = k->decay[i] * g[i] * up; }
        break;
    case RELAX:
        for (int i = 0; i < n; i++) { gx[i] = g[i]; gv[i] = (g[i] - g[i] / tau) * up; }
        break;
    case RELAX_INPUT:
        for (int i = 0; i < n; i++) { gx[i] = g[i] / tau; gv[i] = (g[i] - g[i] / tau) * up; }
        break;
    case SHIFT: case SHIFT_MIN1:
        for (int i = 0; i < n; i++) { gx[i] = gain * g[i]; gv[i] = (g[i] - g[i] * p->leak) * up; }
        break;
    default:
        for (int i = 0; i < n; i++) { gx[i] = gain * g[i]; gv[i] = g[i] * p->leak * up; }
    }
    if (!p->next || p->reset == NONE) return;
    float late[TILE], d[TILE];
    fire_row(p, n, k->before, k->threshold, late);
    surrogate_row(p, n, k->before, k->threshold, d);
    const float through = p->detach_reset ? 0.0f : 1.0f;
    if (k->to_threshold && p->reset == SUBTRACT)
        for (int i = 0; i < n; i++) k->to_threshold[i] -= g[i] * up * (late[i] - through * k->threshold[i] * d[i]);
    else if (k->to_threshold)
        for (int i = 0; i < n; i++) k->to_threshold[i] -= through * gv[i] * (p->reset_value - k->before[i]) * d[i];
    if (p->reset == SUBTRACT)
        for (int i = 0; i < n; i++) gv[i] -= through * k->threshold[i] * g[i] * up * d[i];
    else
        for (int i = 0; i < n; i++) gv[i] = gv[i] * (1 - late[i]) + through * gv[i] * (p->reset_value - k->before[i]) * d[i];
}
