//! Machine code that is embedded in the library: none in this build.

use super::kernel::Source;

/// Whether the image has code for this architecture.
pub(super) fn holds(_architecture: &str) -> bool {
    false
}

/// The code of a source, if the image was made from this very text.
pub(super) fn find(_source: &Source, _architecture: &str) -> Option<Vec<u8>> {
    None
}
