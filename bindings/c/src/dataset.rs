//! Data sets: from arrays and files, what is in them, changes in place, parts.

pub mod change;
pub mod create;
pub mod files;
pub mod fits;
pub mod inspect;
pub mod make;
pub mod part;
pub mod read;

use crate::entry::{Answer, Fault, entry, output};
use crate::handle::{Object, destroy, insert, with};
use crate::status::kmc_status;
use kamacite::Dataset;
use kamacite::data::{Layout, Samples, Subset};
use std::sync::Arc;

/// A set of samples: inputs, targets, weights. Made by `kmc_dataset_create_f32`, the readers and the generators; destroyed by
/// `kmc_dataset_destroy`.
pub struct kmc_dataset {
    _opaque: [u8; 0],
}

/// How the values of an array follow each other.
pub type kmc_layout = i32;
/// `kmc_layout`: (n, d, h, w, c): rows of a table, interleaved images, a Fortran array `x(c,w,h,d,n)`.
pub const KMC_CHANNELS_LAST: i32 = 0;
/// `kmc_layout`: (n, c, d, h, w): planar images, CIANNA, PyTorch, a Fortran array `x(w,h,d,c,n)`.
pub const KMC_CHANNELS_FIRST: i32 = 1;
/// `kmc_layout`: (d, h, w, c, n): all samples of the first feature, then all of the second; a Fortran array `x(n,features)`.
pub const KMC_FEATURE_MAJOR: i32 = 2;

pub(crate) fn layout(value: kmc_layout) -> Answer<Layout> {
    match value {
        KMC_CHANNELS_LAST => Ok(Layout::ChannelsLast),
        KMC_CHANNELS_FIRST => Ok(Layout::ChannelsFirst),
        KMC_FEATURE_MAJOR => Ok(Layout::FeatureMajor),
        _ => Err(Fault::value("layout", "KMC_CHANNELS_LAST, KMC_CHANNELS_FIRST or KMC_FEATURE_MAJOR", value)),
    }
}

/// What is behind a `kmc_dataset`.
pub(crate) enum Data {
    /// Arrays; copied when changed while a trainer uses them.
    Plain(Arc<Samples>),
    /// A view over another set.
    View(Arc<dyn Dataset>),
}

impl Data {
    /// For a trainer, or another view.
    pub fn share(&self) -> Arc<dyn Dataset> {
        match self {
            Self::Plain(samples) => Arc::<Samples>::clone(samples),
            Self::View(view) => Arc::clone(view),
        }
    }

    pub fn dataset(&self) -> &dyn Dataset {
        match self {
            Self::Plain(samples) => &**samples,
            Self::View(view) => &**view,
        }
    }

    /// The samples of these numbers: a copy, or another view.
    pub fn part(&self, indices: &[usize]) -> Answer<Self> {
        Ok(match self {
            Self::Plain(samples) => Self::Plain(Arc::new(samples.subset(indices)?)),
            Self::View(view) => Self::View(Arc::new(Subset::new(Arc::clone(view), indices.to_vec())?)),
        })
    }

    pub fn plain(&self) -> Answer<&Arc<Samples>> {
        match self {
            Self::Plain(samples) => Ok(samples),
            Self::View(_) => Err(is_view()),
        }
    }

    pub fn plain_mut(&mut self) -> Answer<&mut Samples> {
        match self {
            Self::Plain(samples) => Ok(Arc::make_mut(samples)),
            Self::View(_) => Err(is_view()),
        }
    }
}

fn is_view() -> Fault {
    let sentence = "data: this set is a view (files, augmented, balanced or a part of one), which holds no arrays; do this to the set below it \
        first, or to a copy by kmc_dataset_load";
    Fault::new(kmc_status::KMC_ERR_UNSUPPORTED, sentence)
}

/// A new handle for these samples.
pub(crate) fn give(out: &mut *mut kmc_dataset, samples: Samples) -> Answer {
    give_data(out, Data::Plain(Arc::new(samples)))
}

pub(crate) fn give_data(out: &mut *mut kmc_dataset, data: Data) -> Answer {
    *out = insert(Object::Dataset(data))?;
    Ok(())
}

/// Two new handles, or none.
pub(crate) fn give_two(first: &mut *mut kmc_dataset, second: &mut *mut kmc_dataset, (a, b): (Data, Data)) -> Answer {
    give_data(first, a)?;
    give_data(second, b).inspect_err(|_| {
        destroy(*first, "first").ok();
        *first = std::ptr::null_mut();
    })
}

/// The data set behind a handle, to be shared.
pub(crate) fn shared(data: *mut kmc_dataset, what: &str) -> Answer<Arc<dyn Dataset>> {
    with(data, what, |data| Ok(data.share()))
}

/// The arrays behind a handle, to be shared.
pub(crate) fn samples(data: *mut kmc_dataset) -> Answer<Arc<Samples>> {
    with(data, "data", |data| data.plain().cloned())
}

/// Destroys a data set. NULL is allowed, and nothing. A trainer that uses the set keeps what it needs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_destroy(data: *mut kmc_dataset) -> kmc_status {
    entry("kmc_dataset_destroy", || destroy(data, "data"))
}

/// A second handle for the same samples. They are copied when one of the two is changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_dataset_clone(out: *mut *mut kmc_dataset, data: *mut kmc_dataset) -> kmc_status {
    entry("kmc_dataset_clone", || {
        // SAFETY: the crate's contract.
        let out = unsafe { output(out, "out") }?;
        let copy = with(data, "data", |data| {
            Ok(match data {
                Data::Plain(samples) => Data::Plain(Arc::clone(samples)),
                Data::View(view) => Data::View(Arc::clone(view)),
            })
        })?;
        give_data(out, copy)
    })
}
