/* One translation unit: each file builds on those before it. */
#include "rows.c"
#include "steps.c"
#include "quick.c"
#include "lif.c"
#include "half.c"
#include "norm.c"
#include "quant.c"
#include "stdp.c"
