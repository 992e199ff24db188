use super::*;
use crate::dataset::inspect::kmc_dataset_len;
use crate::dataset::{kmc_dataset, kmc_dataset_destroy};
use crate::entry::entry;
use crate::status::{kmc_last_error, kmc_status};
use kamacite::Extent;
use kamacite::data::Samples;
use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;

fn data() -> *mut kmc_dataset {
    let samples = Samples::new(Extent::flat(2), vec![1.0; 6]).unwrap();
    insert(Object::Dataset(dataset::Data::Plain(Arc::new(samples)))).unwrap()
}

fn len(handle: *mut kmc_dataset) -> Result<i64, kmc_status> {
    let mut n = -1;
    match unsafe { kmc_dataset_len(&raw mut n, handle) } {
        kmc_status::KMC_OK => Ok(n),
        other => Err(other),
    }
}

fn last() -> String {
    unsafe { CStr::from_ptr(kmc_last_error()) }.to_str().unwrap().to_string()
}

#[test]
fn a_handle_lives_until_it_is_destroyed() {
    let handle = data();
    assert_eq!(len(handle), Ok(3));
    assert_eq!(unsafe { kmc_dataset_destroy(handle) }, KMC_OK);
    assert_eq!(len(handle), Err(KMC_ERR_HANDLE));
    assert!(last().contains("destroyed before"), "{}", last());
    assert_eq!(unsafe { kmc_dataset_destroy(handle) }, KMC_ERR_HANDLE);
    assert_eq!(unsafe { kmc_dataset_destroy(std::ptr::null_mut()) }, KMC_OK);
    // The place is used again, under another number.
    let many: Vec<_> = (0..300).map(|_| data()).collect();
    assert_eq!(len(handle), Err(KMC_ERR_HANDLE));
    assert!(many.iter().all(|&h| len(h) == Ok(3)));
    assert!(many.iter().all(|&h| unsafe { kmc_dataset_destroy(h) } == KMC_OK));
}

#[test]
fn made_up_handles_are_found_out() {
    let real = data();
    let numbers = [1_usize, 8, 0x7fff_0000_1234, usize::MAX, real as usize ^ 8, real as usize ^ 3, (real as usize) + (1 << 32)];
    for bits in numbers {
        assert_eq!(len(bits as *mut kmc_dataset), Err(KMC_ERR_HANDLE), "{bits:#x}");
    }
    let as_network = real.cast::<network::kmc_network>();
    let seen = with(as_network, "net", |_| Ok(())).unwrap_err();
    assert_eq!((seen.status, seen.sentence.as_str()), (KMC_ERR_HANDLE, "net: expected a kmc_network, got a kmc_dataset"));
    unsafe { kmc_dataset_destroy(real) };
}

#[test]
fn a_panic_poisons_its_handle_and_nothing_else() {
    let (handle, other) = (data(), data());
    let status = entry("kmc_test", || with(handle, "data", |_| panic!("injected")));
    assert_eq!(status, KMC_ERR_PANIC);
    assert!(last().contains("injected at ") && last().contains("handle/tests.rs"), "{}", last());
    assert_eq!((len(handle), len(other)), (Err(KMC_ERR_POISONED), Ok(3)));
    assert_eq!(unsafe { kmc_dataset_destroy(handle) }, KMC_OK);
    assert_eq!(unsafe { kmc_dataset_destroy(other) }, KMC_OK);
}

#[test]
fn one_call_at_a_time() {
    let handle = data();
    let inner = entry("kmc_test", || {
        with(handle, "data", |_| {
            assert_eq!(len(handle), Err(KMC_ERR_BUSY));
            assert_eq!(unsafe { kmc_dataset_destroy(handle) }, KMC_ERR_BUSY);
            Ok(())
        })
    });
    assert_eq!((inner, len(handle)), (KMC_OK, Ok(3)));
    // From two threads: every call is either done alone or refused.
    let (done, refused, inside) = (AtomicI32::new(0), AtomicI32::new(0), AtomicI32::new(0));
    let bits = handle as usize;
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..2000 {
                    let met = with(bits as *mut kmc_dataset, "data", |_| {
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        Ok(())
                    });
                    match met {
                        Ok(()) => done.fetch_add(1, Ordering::Relaxed),
                        Err(fault) if fault.status == KMC_ERR_BUSY => refused.fetch_add(1, Ordering::Relaxed),
                        Err(fault) => panic!("{fault:?}"),
                    };
                }
            });
        }
    });
    assert!(done.load(Ordering::Relaxed) > 0);
    assert_eq!(done.load(Ordering::Relaxed) + refused.load(Ordering::Relaxed), 4 * 2000);
    assert_eq!(unsafe { kmc_dataset_destroy(handle) }, KMC_OK);
}
