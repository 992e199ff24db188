// Conversions of the 16-bit types; what the hardware's cvt instructions do.
#pragma once

namespace emulator {

template <class To, class From> To bits(From v) {
    static_assert(sizeof(To) == sizeof(From), "");
    To r;
    memcpy(&r, &v, sizeof r);
    return r;
}

#ifdef __F16C__
typedef float Float4 __attribute__((vector_size(16)));
typedef short Short8 __attribute__((vector_size(16)));
inline float half_to_float(uint16_t h) { return __builtin_ia32_vcvtph2ps(Short8{(short)h})[0]; }
inline uint16_t float_to_half(float f) { return (uint16_t)__builtin_ia32_vcvtps2ph(Float4{f}, 0)[0]; }
#else
inline float half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
    if (rest >= 0x7c00) return bits<float>(sign | 0x7f800000u | (rest & 0x3ff) << 13 | (rest > 0x7c00 ? 1u << 22 : 0));
    if (rest >= 0x400) return bits<float>(sign | ((rest << 13) + (112u << 23)));
    float v = (float)rest * 0x1p-24f; // subnormal
    return sign ? -v : v;
}
inline uint16_t float_to_half(float f) {
    uint32_t u = bits<uint32_t>(f), sign = u >> 16 & 0x8000, rest = u & 0x7fffffff;
    if (rest > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (rest >> 13 & 0x3ff));
    if (rest >= 0x477ff000) return (uint16_t)(sign | 0x7c00); // rounds to 65536 or more
    if (rest < 0x38800000) {                                  // subnormal: let the adder round at 2^-24
        float v = bits<float>(rest) + 0.5f;
        return (uint16_t)(sign | (bits<uint32_t>(v) - 0x3f000000));
    }
    return (uint16_t)(sign | ((rest - (112u << 23) + 0xfff + (rest >> 13 & 1)) >> 13));
}
#endif
inline float bf16_to_float(uint16_t v) { return bits<float>((uint32_t)v << 16); }

} // namespace emulator
