/* One translation unit: norm.c and quant.c build on the rows of lif.c. */
#include "lif.c"
#include "norm.c"
#include "quant.c"
