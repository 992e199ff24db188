#![no_main]

use kamacite::data::{Column, Missing, TableReader};
use libfuzzer_sys::fuzz_target;

// The first byte chooses the options, so that all paths are reached.
fuzz_target!(|bytes: &[u8]| {
    let Some((&options, text)) = bytes.split_first() else { return };
    let mut reader = TableReader::new().skip(usize::from(options >> 6));
    if options & 1 != 0 {
        reader = reader.label(Column::Last);
    }
    if options & 2 != 0 {
        reader = reader.missing(Missing::Median);
    }
    if options & 4 != 0 {
        reader = reader.features([0, 1]).targets([2]);
    }
    if options & 8 != 0 {
        reader = reader.separator(b'\t');
    }
    let _ = reader.from_bytes(text);
});
