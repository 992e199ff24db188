// Every file here is a correct kernel, and with PLANTED the same kernel with one fault.
#pragma once
#include "mma.cuh"

struct Args {
    const float* x;
    float* y;
    u32 n, unused;
};
