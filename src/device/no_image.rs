//! What stands for the prebuilt image in builds without the feature `prebuilt`.

use super::kernel::Source;

pub(super) fn holds(_architecture: &str) -> bool {
    false
}

pub(super) fn find(_source: &Source, _architecture: &str) -> Option<Vec<u8>> {
    None
}

pub(super) fn related(_source: &Source, _architecture: &str) -> Option<Vec<u8>> {
    None
}

pub(super) fn describe(_architecture: &str) -> Option<String> {
    let named = std::env::var_os("KAMACITE_IMAGE").is_some_and(|path| !path.is_empty());
    named.then(|| "KAMACITE_IMAGE is not read, this build has no feature prebuilt".into())
}
