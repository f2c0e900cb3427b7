/* One translation unit: norm.c builds on the rows of lif.c. */
#include "lif.c"
#include "norm.c"
