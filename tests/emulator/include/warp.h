// Shuffles, votes and atomics. Warp-wide operations must name every lane that has not returned; reading from a lane that
// has returned (or never existed) gives poison.
#pragma once

namespace emulator {

template <class T> struct Shuffle {
    T value, result;
    int source;
    static void run(Warp& w) {
        for (unsigned left = w.arrived; left; left &= left - 1) {
            Shuffle* lane = (Shuffle*)w.slot[__builtin_ctz(left)];
            if (w.arrived >> lane->source & 1) lane->result = ((Shuffle*)w.slot[lane->source])->value;
            else memset(&lane->result, 0xff, sizeof(T));
        }
    }
};
template <class T> T shuffle(const char* what, int line, unsigned mask, T value, int source, int width) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
    int lane = here.thread->lane, first = lane & ~(width - 1);
    if (source < first || source >= first + width) source = lane;
    Shuffle<T> slot = {value, value, source};
    collective(what, line, mask, &slot, &Shuffle<T>::run);
    return slot.result;
}

struct Vote {
    unsigned bit, result;
    static void run(Warp& w) {
        unsigned ballot = 0;
        for (unsigned left = w.arrived; left; left &= left - 1) {
            int i = __builtin_ctz(left);
            ballot |= ((Vote*)w.slot[i])->bit << i;
        }
        for (unsigned left = w.arrived; left; left &= left - 1) ((Vote*)w.slot[__builtin_ctz(left)])->result = ballot;
    }
};
inline unsigned ballot(const char* what, int line, unsigned mask, bool p) {
    Vote slot = {p, 0};
    collective(what, line, mask, &slot, &Vote::run);
    return slot.result;
}

} // namespace emulator

#define KAMACITE_LINE int line = __builtin_LINE()

template <class T> T __shfl_sync(unsigned mask, T v, int lane, int width = 32, KAMACITE_LINE) {
    int first = emulator::here.thread->lane & ~(width - 1);
    return emulator::shuffle("__shfl_sync", line, mask, v, first | (lane & (width - 1)), width);
}
template <class T> T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32, KAMACITE_LINE) {
    return emulator::shuffle("__shfl_xor_sync", line, mask, v, (int)emulator::here.thread->lane ^ bits, width);
}
template <class T> T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32, KAMACITE_LINE) {
    return emulator::shuffle("__shfl_down_sync", line, mask, v, (int)(emulator::here.thread->lane + by), width);
}
template <class T> T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32, KAMACITE_LINE) {
    return emulator::shuffle("__shfl_up_sync", line, mask, v, (int)(emulator::here.thread->lane - by), width);
}
inline unsigned __ballot_sync(unsigned mask, int p, KAMACITE_LINE) {
    return emulator::ballot("__ballot_sync", line, mask, p != 0);
}
inline int __any_sync(unsigned mask, int p, KAMACITE_LINE) { return emulator::ballot("__any_sync", line, mask, p != 0) != 0; }
inline int __all_sync(unsigned mask, int p, KAMACITE_LINE) { return emulator::ballot("__all_sync", line, mask, p == 0) == 0; }
inline void __syncwarp(unsigned mask = 0xffffffffu, KAMACITE_LINE) { emulator::ballot("__syncwarp", line, mask, false); }
inline unsigned __activemask() { return emulator::here.thread->warp->live; }

template <class T> T __reduce_add_sync(unsigned mask, T v, KAMACITE_LINE) {
    for (int o = 16; o; o >>= 1) v += emulator::shuffle("__reduce_add_sync", line, mask, v, emulator::here.thread->lane ^ o, 32);
    return v;
}

// ------------------------------------------------------------------------------------------------------------ atomics
// Blocks of one launch run one after another, but two launches may run at once.
namespace emulator {
template <class T, class F> T exchange(T* p, F change) {
    T before, after;
    __atomic_load(p, &before, __ATOMIC_RELAXED);
    do after = change(before);
    while (!__atomic_compare_exchange(p, &before, &after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return before;
}
} // namespace emulator

#define KAMACITE_ATOMIC(name, T, expression)                                                                             \
    inline T name(T* p, T v) { return emulator::exchange(p, [=](T old) -> T { return expression; }); }
#define KAMACITE_ATOMICS(T)                                                                                              \
    KAMACITE_ATOMIC(atomicAdd, T, old + v)                                                                               \
    KAMACITE_ATOMIC(atomicMax, T, old > v ? old : v)                                                                     \
    KAMACITE_ATOMIC(atomicMin, T, old < v ? old : v)                                                                     \
    KAMACITE_ATOMIC(atomicExch, T, (void(old), v))                                                                       \
    inline T atomicCAS(T* p, T expected, T v) {                                                                          \
        return emulator::exchange(p, [=](T old) -> T { return old == expected ? v : old; });                             \
    }
KAMACITE_ATOMICS(int)
KAMACITE_ATOMICS(unsigned)
KAMACITE_ATOMICS(unsigned long long)
KAMACITE_ATOMIC(atomicOr, unsigned, old | v)
KAMACITE_ATOMIC(atomicAnd, unsigned, old & v)
KAMACITE_ATOMIC(atomicXor, unsigned, old ^ v)
KAMACITE_ATOMIC(atomicInc, unsigned, old >= v ? 0 : old + 1)
KAMACITE_ATOMIC(atomicSub, unsigned, old - v)
KAMACITE_ATOMIC(atomicSub, int, old - v)
KAMACITE_ATOMIC(atomicAdd, float, old + v)
KAMACITE_ATOMIC(atomicAdd, double, old + v)
KAMACITE_ATOMIC(atomicExch, float, (void(old), v))
#undef KAMACITE_ATOMICS
#undef KAMACITE_ATOMIC
