use super::*;
use crate::device::Isa;

per_lanes! {
    /// z = (a·x + y, with max(x, y), min(x, y), x − y, x·y in turn) over the first n <= N elements, and the sum of x.
    unsafe fn mixed<T, L>(n: usize, a: T, x: *const T, y: *const T, z: *mut T) -> T {
        let m = L::mask(n);
        let (x, y) = (L::load_masked(x, m), L::load_masked(y, m));
        let mut v = L::fma(L::splat(a), x, y);
        v = L::add(v, L::max(x, y));
        v = L::sub(v, L::min(x, y));
        v = L::add(v, L::mul(x, y));
        L::store_masked(z, m, v);
        L::sum(x)
    }
}

fn check<T: Real>() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.present()) {
        for n in 0..=lanes::<T>(isa) {
            // Small integers: every operation is exact.
            let x: Vec<T> = (0..n).map(|i| T::of(i as f64 - 3.0)).collect();
            let y: Vec<T> = (0..n).map(|i| T::of(2.0 * i as f64 + 1.0 - 3.0 * (i % 4) as f64)).collect();
            let mut z = vec![T::of(-77.0); n + 16];
            // SAFETY: present instruction set; n elements are valid.
            let sum = unsafe { mixed::<T>(isa)(n, T::of(3.0), x.as_ptr(), y.as_ptr(), z.as_mut_ptr()) };
            for i in 0..n {
                let (x, y) = (x[i].to_f64(), y[i].to_f64());
                let expected = 3.0 * x + y + x.max(y) - x.min(y) + x * y;
                assert_eq!(z[i].to_f64(), expected, "{isa} {i} of {n}");
            }
            assert!(z[n..].iter().all(|z| z.to_f64() == -77.0), "{isa}: wrote past {n}");
            assert_eq!(sum.to_f64(), x.iter().map(|x| x.to_f64()).sum::<f64>(), "{isa}: sum of {n}");
        }
    }
}

#[test]
fn lanes_compute_and_masks_hold_in_every_instruction_set() {
    check::<f32>();
    check::<f64>();
}

per_lanes! {
    /// 1 where x > y, 2 where x beats y, 4 where they are equal.
    unsafe fn compared<T, L>(n: usize, x: *const T, y: *const T, z: *mut T) {
        let m = L::mask(n);
        let (x, y) = (L::load_masked(x, m), L::load_masked(y, m));
        let mut v = L::pick(L::above(x, y), L::splat(<T as Real>::ONE), L::zero());
        v = L::add(v, L::pick(L::beats(x, y), L::splat(T::of(2.0)), L::zero()));
        v = L::add(v, L::pick(L::equal(x, y), L::splat(T::of(4.0)), L::zero()));
        L::store_masked(z, m, v);
    }
}

fn check_comparisons<T: Real>() {
    let values = [f64::NAN, f64::NEG_INFINITY, -1.0, -0.0, 0.0, 2.0, f64::INFINITY];
    for isa in Isa::ALL.into_iter().filter(|isa| isa.present()) {
        for (x, y) in values.iter().flat_map(|x| values.iter().map(move |y| (*x, *y))) {
            let n = lanes::<T>(isa);
            let mut z = vec![T::ZERO; n];
            // SAFETY: present instruction set; n elements are valid.
            unsafe { compared::<T>(isa)(n, vec![T::of(x); n].as_ptr(), vec![T::of(y); n].as_ptr(), z.as_mut_ptr()) };
            let beats = x > y || x.is_nan() && !y.is_nan();
            let expected = f64::from(u8::from(x > y) + 2 * u8::from(beats) + 4 * u8::from(x == y));
            assert!(z.iter().all(|z| z.to_f64() == expected), "{isa}: {x} and {y}");
        }
    }
}

#[test]
fn comparisons_know_nan_in_every_instruction_set() {
    check_comparisons::<f32>();
    check_comparisons::<f64>();
}
