// Loaded before libedgekit_ops.so (LD_PRELOAD), it makes that one look like the library of another version.

#include "edgekit/ops.h"

EDGEKIT_API int edgekit_ops_version(void) { return EDGEKIT_OPS_VERSION + 98; }
