//! FITS files: which part of one is meant, what becomes of missing values, images written.

use crate::entry::{Answer, Fault, count, entry, optional_text, sized32, slice, text};
use crate::status::kmc_status;
use kamacite::data::Missing;
use kamacite::data::array::Element;
use kamacite::data::fits::{Cards, Fits, Image, Which, Writer};
use std::ffi::c_char;

/// What becomes of a value that is NaN or infinite, or blank in its file.
pub type kmc_missing = i32;
/// `kmc_missing`: The file is refused.
pub const KMC_MISSING_ERROR: i32 = 0;
/// `kmc_missing`: It stays NaN or infinite.
pub const KMC_MISSING_KEEP: i32 = 1;
/// `kmc_missing`: Zero.
pub const KMC_MISSING_ZERO: i32 = 2;
/// `kmc_missing`: A number that is given, `fill`.
pub const KMC_MISSING_VALUE: i32 = 3;
/// `kmc_missing`: The median of the image, or of the place in a table's rows.
pub const KMC_MISSING_MEDIAN: i32 = 4;

pub(crate) fn missing(value: kmc_missing, fill: f64) -> Answer<Missing> {
    Ok(match value {
        KMC_MISSING_ERROR => Missing::Error,
        KMC_MISSING_KEEP => Missing::Keep,
        KMC_MISSING_ZERO => Missing::Zero,
        KMC_MISSING_VALUE if (fill as f32).is_finite() => Missing::Value(fill as f32),
        KMC_MISSING_VALUE => return Err(Fault::value("fill", "a finite number", fill)),
        KMC_MISSING_MEDIAN => Missing::Median,
        _ => return Err(Fault::value("missing", "one of KMC_MISSING_ERROR to KMC_MISSING_MEDIAN", value)),
    })
}

/// The first HDU that holds what is asked for.
pub const KMC_FIRST_HDU: i32 = -1;

/// How to read a FITS file. Zero is the default of every field but `hdu`; see `KMC_FITS_OPTIONS_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kmc_fits_options {
    /// sizeof(kmc_fits_options)
    pub size: u32,
    /// Which HDU, the primary one being 0; `KMC_FIRST_HDU` in the macro.
    pub hdu: i32,
    /// Its name (EXTNAME), in place of the number; NULL: none.
    pub hdu_name: *const c_char,
    /// What becomes of missing values.
    pub missing: kmc_missing,
    /// 1: the slowest axis of an image counts samples.
    pub stacked: i32,
    /// The number of `KMC_MISSING_VALUE`.
    pub fill: f64,
    /// 1: the slowest axis of an image, behind that of the samples, counts channels; else a third axis is the depth of a cube.
    pub bands: i32,
    /// 0
    pub reserved: i32,
}

sized32!(kmc_fits_options);

/// Which HDU; `None` is the first that will do.
///
/// # Safety
/// The crate's contract.
pub(crate) unsafe fn which(hdu: i32, name: *const c_char) -> Answer<Option<Which>> {
    // SAFETY: the caller's promise.
    Ok(match (unsafe { optional_text(name, "hdu_name") }?, hdu) {
        (Some(name), _) => Some(Which::from(name)),
        (None, KMC_FIRST_HDU) => None,
        (None, hdu) => {
            let wrong = |_| Fault::value("hdu", "a number from 0, or KMC_FIRST_HDU", hdu);
            Some(Which::Index(usize::try_from(hdu).map_err(wrong)?))
        }
    })
}

/// An image of a file.
pub(crate) fn image(path: &str, which: Option<Which>) -> Answer<Image> {
    let fits = Fits::open(path)?;
    Ok(match which {
        Some(which) => fits.image(which)?,
        None => fits.first_image()?,
    })
}

/// # Safety
/// The crate's contract.
unsafe fn write<T: Element>(path: *const c_char, x: *const T, shape: *const i64, n_axes: i64, like: *const c_char) -> Answer {
    // SAFETY: the caller's promise.
    let (path, shape, like) = unsafe { (text(path, "path")?, slice(shape, n_axes, "shape")?, optional_text(like, "like")?) };
    let shape = shape.iter().map(|&n| count(n, "shape")).collect::<Answer<Vec<_>>>()?;
    let len = shape.iter().try_fold(1_usize, |len, &n| len.checked_mul(n)).and_then(|len| i64::try_from(len).ok());
    let len = len.ok_or_else(|| Fault::value("shape", "sizes of an array in memory", format!("{shape:?}")))?;
    // SAFETY: as above.
    let x = unsafe { slice(x, len, "x") }?;
    let cards = match like {
        Some(like) => Cards::new().wcs(image(like, None)?.header()),
        None => Cards::new(),
    };
    let mut file = Writer::create(path)?;
    file.image(&shape, x, &cards)?;
    Ok(file.finish()?)
}

/// Writes a FITS file of one image or cube. `shape` has the sizes of its `n_axes` axes, slowest first, the last one being NAXIS1: rows and
/// columns of an image. `like` is a file whose first image has the same place on the sky: its world coordinates are copied; NULL: none.
/// Where there was a file, it is replaced when the new one is whole.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_fits_write_f32(
    path: *const c_char,
    x: *const f32,
    shape: *const i64,
    n_axes: i64,
    like: *const c_char,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_fits_write_f32", || unsafe { write(path, x, shape, n_axes, like) })
}

/// As `kmc_fits_write_f32`, in double precision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_fits_write_f64(
    path: *const c_char,
    x: *const f64,
    shape: *const i64,
    n_axes: i64,
    like: *const c_char,
) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_fits_write_f64", || unsafe { write(path, x, shape, n_axes, like) })
}
