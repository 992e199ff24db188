// y[i] = x[i]. Planted: one element too many.
#include "faults.cuh"

KERNEL(256, off_by_one, Args) {
#ifdef PLANTED
    for (GRID(i, a.n + 1)) a.y[i] = 1;
#else
    for (GRID(i, a.n)) a.y[a.n - 1 - i] = a.x[i];
#endif
}
