// Functions of CUDA's mathematics library by name, and conversions. Declared here rather than by <math.h>: in C++ that
// header costs more time than most kernels.
#pragma once

#define KAMACITE_UNARY(name) float name##f(float) noexcept; double name(double) noexcept;
#define KAMACITE_BINARY(name) float name##f(float, float) noexcept; double name(double, double) noexcept;
extern "C" {
KAMACITE_UNARY(exp) KAMACITE_UNARY(exp2) KAMACITE_UNARY(expm1) KAMACITE_UNARY(log) KAMACITE_UNARY(log2)
KAMACITE_UNARY(log10) KAMACITE_UNARY(log1p) KAMACITE_UNARY(sqrt) KAMACITE_UNARY(cbrt) KAMACITE_UNARY(fabs)
KAMACITE_UNARY(sin) KAMACITE_UNARY(cos) KAMACITE_UNARY(tan) KAMACITE_UNARY(asin) KAMACITE_UNARY(acos)
KAMACITE_UNARY(atan) KAMACITE_UNARY(sinh) KAMACITE_UNARY(cosh) KAMACITE_UNARY(tanh) KAMACITE_UNARY(erf)
KAMACITE_UNARY(asinh) KAMACITE_UNARY(acosh) KAMACITE_UNARY(atanh) KAMACITE_UNARY(logb)
KAMACITE_UNARY(erfc) KAMACITE_UNARY(lgamma) KAMACITE_UNARY(tgamma) KAMACITE_UNARY(floor) KAMACITE_UNARY(ceil)
KAMACITE_UNARY(trunc) KAMACITE_UNARY(round) KAMACITE_UNARY(rint) KAMACITE_UNARY(nearbyint)
KAMACITE_BINARY(pow) KAMACITE_BINARY(atan2) KAMACITE_BINARY(fmod) KAMACITE_BINARY(hypot) KAMACITE_BINARY(fmin)
KAMACITE_BINARY(fmax) KAMACITE_BINARY(copysign) KAMACITE_BINARY(fdim) KAMACITE_BINARY(remainder) KAMACITE_BINARY(nextafter)
float fmaf(float, float, float) noexcept;
double fma(double, double, double) noexcept;
float ldexpf(float, int) noexcept;
double ldexp(double, int) noexcept;
}
#undef KAMACITE_UNARY
#undef KAMACITE_BINARY

#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")

#define KAMACITE_ORDER(T)                                                                                                \
    inline T min(T a, T b) { return a < b ? a : b; }                                                                     \
    inline T max(T a, T b) { return a > b ? a : b; }
KAMACITE_ORDER(int)
KAMACITE_ORDER(unsigned)
KAMACITE_ORDER(long)
KAMACITE_ORDER(unsigned long)
KAMACITE_ORDER(long long)
KAMACITE_ORDER(unsigned long long)
#undef KAMACITE_ORDER
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
inline int abs(int v) { return v < 0 ? -v : v; }
inline long long abs(long long v) { return v < 0 ? -v : v; }
inline float abs(float v) { return fabsf(v); }
inline double abs(double v) { return fabs(v); }
inline bool isnan(float v) { return __builtin_isnan(v); }
inline bool isnan(double v) { return __builtin_isnan(v); }
inline bool isinf(float v) { return __builtin_isinf(v); }
inline bool isinf(double v) { return __builtin_isinf(v); }
inline bool isfinite(float v) { return __builtin_isfinite(v); }
inline bool isfinite(double v) { return __builtin_isfinite(v); }
inline bool signbit(float v) { return __builtin_signbit(v); }

// Correctly rounded here; CUDA's are within a few units in the last place.
inline float rsqrtf(float v) { return 1.0f / sqrtf(v); }
inline double rsqrt(double v) { return 1.0 / sqrt(v); }
inline float exp10f(float v) { return (float)pow(10.0, v); }
inline float rcbrtf(float v) { return 1.0f / cbrtf(v); }
inline float normcdff(float v) { return (float)(0.5 * erfc(-0.70710678118654752 * v)); }
inline float __expf(float v) { return expf(v); }
inline float __logf(float v) { return logf(v); }
inline float __log2f(float v) { return log2f(v); }
inline float __sinf(float v) { return sinf(v); }
inline float __cosf(float v) { return cosf(v); }
inline float __powf(float a, float b) { return powf(a, b); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float v) { return 1.0f / v; }
inline float __fsqrt_rn(float v) { return sqrtf(v); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
// A product or a sum that is not fused: the emulator is compiled with -ffp-contract=off.
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline void sincosf(float v, float* s, float* c) { *s = sinf(v), *c = cosf(v); }
inline float sinpif(float v) { return (float)sin(3.14159265358979323846 * v); }
inline float cospif(float v) { return (float)cos(3.14159265358979323846 * v); }
inline void sincospif(float v, float* s, float* c) { *s = sinpif(v), *c = cospif(v); }
inline float __saturatef(float v) { return v > 0 ? v < 1 ? v : 1.0f : 0.0f; }

inline float __uint_as_float(unsigned v) { return emulator::bits<float>(v); }
inline unsigned __float_as_uint(float v) { return emulator::bits<unsigned>(v); }
inline float __int_as_float(int v) { return emulator::bits<float>(v); }
inline int __float_as_int(float v) { return emulator::bits<int>(v); }
inline double __longlong_as_double(long long v) { return emulator::bits<double>(v); }
inline long long __double_as_longlong(double v) { return emulator::bits<long long>(v); }
inline float __uint2float_rn(unsigned v) { return (float)v; }
inline float __int2float_rn(int v) { return (float)v; }
inline int __float2int_rn(float v) { return (int)rintf(v); }
inline int __float2int_rd(float v) { return (int)floorf(v); }
inline int __float2int_rz(float v) { return (int)v; }
inline float __double2float_rn(double v) { return (float)v; }
inline float __ull2float_rn(unsigned long long v) { return (float)v; }

inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __popcll(unsigned long long v) { return __builtin_popcountll(v); }
inline int __clz(int v) { return v ? __builtin_clz((unsigned)v) : 32; }
inline int __ffs(int v) { return __builtin_ffs(v); }
inline unsigned __brev(unsigned v) {
    unsigned r = 0;
    for (int i = 0; i < 32; i++) r = r << 1 | (v >> i & 1);
    return r;
}
template <class T> T __ldg(const T* p) { return *p; }
template <class T> T __ldcs(const T* p) { return *p; }
template <class T> void __stcs(T* p, T v) { *p = v; }
inline size_t __cvta_generic_to_shared(const void* p) { return emulator::shared_address(p); }
