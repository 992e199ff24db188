// Tensor cores and asynchronous copies of sm_75 to sm_89 (and of all later ones): inline PTX, each primitive beside its twin
// on the CPU.
//
// Fragments, for lane l with g = l/4 and t = l%4; "pair" is two 16-bit elements, or one of f32 in half as many columns:
//   A 16 x 16 (tf32: 16 x 8), four registers: pairs t of rows g, g+8 in the low half of k, then the same in the high half
//   B 16 x 8 (tf32: 8 x 8), two registers: pair t of column g in the low half of k, then in the high half
//   D 16 x 8, four floats: columns 2t, 2t+1 of row g, then of row g+8
#pragma once
#include "prelude.cuh"

// Below sm_75 there is neither ldmatrix nor an mma of these shapes, below sm_80 no bf16, no tf32 and no asynchronous copy:
// the host asks for no kernel that needs them, and the copies are ordinary ones.
#ifdef KAMACITE_EMULATED
#define MMA_F16 1
#define MMA_ALL 1
#else
#define MMA_F16 (__CUDA_ARCH__ >= 750)
#define MMA_ALL (__CUDA_ARCH__ >= 800)
#endif

// ------------------------------------------------------------------------------------------------------ shared memory

#ifdef KAMACITE_EMULATED
typedef char* SharedAddress;
DEVICE SharedAddress shared_address(const void* p) { return (char*)p; }
#else
typedef u32 SharedAddress;
DEVICE SharedAddress shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }
#endif

// Four 8 x 8 matrices of 16-bit elements (or 8 x 4 of 32 bits); lane l gives the address of row l%8 of matrix l/8. Lane l
// receives pair l%4 of row l/4 of each.
DEVICE void load_matrices(u32* r, SharedAddress row) {
#ifdef KAMACITE_EMULATED
    emulator::ldmatrix(r, 4, row, false);
#elif MMA_F16
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory");
#endif
}
// The same of the transposes: lane l receives rows 2(l%4), 2(l%4)+1 of column l/4. 16-bit elements only.
DEVICE void load_matrices_transposed(u32* r, SharedAddress row) {
#ifdef KAMACITE_EMULATED
    emulator::ldmatrix(r, 4, row, true);
#elif MMA_F16
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory");
#endif
}

// ------------------------------------------------------------------------------------------------------------ products

// d += a b for one A and one B fragment, b0 and b1 its registers.
template <class T> DEVICE void mma(float* d, const u32* a, u32 b0, u32 b1);
template <> DEVICE void mma<bf16>(float* d, const u32* a, u32 b0, u32 b1) {
#ifdef KAMACITE_EMULATED
    u32 b[2] = {b0, b1};
    emulator::mma_m16n8k16(d, a, b, [](u16 v) { return to_float(bf16{v}); });
#elif MMA_ALL
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}
template <> DEVICE void mma<f16>(float* d, const u32* a, u32 b0, u32 b1) {
#ifdef KAMACITE_EMULATED
    u32 b[2] = {b0, b1};
    emulator::mma_m16n8k16(d, a, b, [](u16 v) { return to_float(f16{v}); });
#elif MMA_ALL
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#elif MMA_F16
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(b0));
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
}
// Registers hold f32 bits whose low 13 bits the unit ignores: give it what to_tf32 made.
template <> DEVICE void mma<float>(float* d, const u32* a, u32 b0, u32 b1) {
#ifdef KAMACITE_EMULATED
    u32 b[2] = {b0, b1};
    emulator::mma_m16n8k8_tf32(d, a, b);
#elif MMA_ALL
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

// Rounds to the 10 mantissa bits of tf32, ties away from 0.
DEVICE u32 to_tf32(float v) {
#ifdef KAMACITE_EMULATED
    u32 u = __float_as_uint(v);
    return (u & 0x7f800000u) == 0x7f800000u ? u : (u + 0x1000u) & 0xffffe000u;
#elif MMA_ALL
    u32 u;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(u) : "f"(v));
    return u;
#else
    return 0;
#endif
}

// ------------------------------------------------------------------------------------------------- asynchronous copies

// BYTES (4 or 16) from global to shared memory, of which the first `valid` are read and the others become 0. Both ends are
// aligned to BYTES. Complete after copy_wait of its group, and visible to the block after a barrier behind that.
template <int BYTES> DEVICE void copy_async(SharedAddress to, const void* from, u32 valid) {
#ifdef KAMACITE_EMULATED
    emulator::cp_async(to, from, BYTES, valid);
#elif MMA_ALL
    if (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(valid) : "memory");
#else
    u32 v[4] = {0, 0, 0, 0};
    if (valid == BYTES) {
        if (BYTES == 16) asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3]) : "l"(from));
        else v[0] = *(const u32*)from;
    } else {
#pragma unroll
        for (u32 i = 0; i < BYTES / 2; i++)
            if (2 * i < valid) v[i / 2] |= (u32)((const u16*)from)[i] << 16 * (i & 1);
    }
    if (BYTES == 16) asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(v[0]), "r"(v[1]), "r"(v[2]), "r"(v[3]) : "memory");
    else asm volatile("st.shared.u32 [%0], %1;" ::"r"(to), "r"(v[0]) : "memory");
#endif
}
// All BYTES of it.
template <int BYTES> DEVICE void copy_async(SharedAddress to, const void* from) {
#if !defined(KAMACITE_EMULATED) && MMA_ALL
    if (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(from) : "memory");
#else
    copy_async<BYTES>(to, from, BYTES);
#endif
}
// Closes the group of the copies begun since the last one.
DEVICE void copy_commit() {
#ifdef KAMACITE_EMULATED
    emulator::cp_commit();
#elif MMA_ALL
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// Waits until at most LEFT of this thread's groups are under way.
template <int LEFT> DEVICE void copy_wait() {
#ifdef KAMACITE_EMULATED
    emulator::cp_wait(LEFT);
#elif MMA_ALL
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
#endif
}
// The same value, which the compiler then keeps in a register instead of computing it again in every turn of a loop.
DEVICE u32 keep(u32 v) {
#ifndef KAMACITE_EMULATED
    asm volatile("" : "+r"(v));
#endif
    return v;
}
// A word from, and four words to shared memory, aligned to their size.
DEVICE u32 load_shared(SharedAddress from) {
#ifdef KAMACITE_EMULATED
    return *(const u32*)from;
#else
    u32 v;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(v) : "r"(from) : "memory");
    return v;
#endif
}
DEVICE void store_shared(SharedAddress to, const u32* v) {
#ifdef KAMACITE_EMULATED
    memcpy(to, v, 16);
#else
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(v[0]), "r"(v[1]), "r"(v[2]), "r"(v[3]) : "memory");
#endif
}
