//! The committed header is what the sources say. `KAMACITE_WRITE_HEADER=1 cargo test -p kamacite-capi --test header` writes it.

use std::path::Path;

#[test]
fn the_header_is_up_to_date() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).expect("cbindgen.toml");
    let bindings = cbindgen::Builder::new().with_crate(here).with_config(config).generate().expect("bindings");
    let mut header = Vec::new();
    bindings.write(&mut header);
    let path = here.join("include/kamacite.h");
    if std::env::var_os("KAMACITE_WRITE_HEADER").is_some() {
        std::fs::write(&path, &header).expect("a file");
    }
    let committed = std::fs::read(&path).unwrap_or_default();
    let hint = "KAMACITE_WRITE_HEADER=1 cargo test -p kamacite-capi --test header";
    assert!(header == committed, "include/kamacite.h is not what the sources say; {hint}");
}
