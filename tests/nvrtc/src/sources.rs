//! The sources that kamacite compiles, as the constants in src/ declare them: a file of kernels/, or a part of one.

use crate::repository;
use kamacite::device::Source;
use kamacite::device::offline::HEADERS;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// All of them, by name. A constant of a form that is not understood and two of one name are errors: what is not compiled here
/// would be compiled by users for the first time.
pub fn sources() -> Result<Vec<Source>, String> {
    Ok(scan()?.0)
}

/// Files of kernels/ that no constant takes: nothing launches their kernels.
pub fn untaken() -> Result<Vec<String>, String> {
    Ok(scan()?.1)
}

fn scan() -> Result<(Vec<Source>, Vec<String>), String> {
    let kernels = files("cu")?;
    let (mut found, mut used) = (BTreeMap::new(), Vec::new());
    let mut code = Vec::new();
    walk(&repository().join("src"), &mut code)?;
    for (path, text) in code {
        for (name, define, file) in declared(&text).map_err(|e| format!("{}: {e}", path.display()))? {
            let text = kernels.get(&file).ok_or_else(|| format!("{}: no kernels/{file}", path.display()))?;
            let text = define.map_or_else(|| text.clone(), |define| format!("#define {define}\n{text}"));
            if found.insert(name.clone(), text).is_some() {
                return Err(format!("{}: a second source {name}", path.display()));
            }
            used.push(file);
        }
    }
    // A program of a moment: its sources may live as long as it.
    let sources = found.into_iter().map(|(name, text)| Source::new(name.leak(), text.leak())).collect();
    Ok((sources, kernels.into_keys().filter(|file| !used.contains(file)).collect()))
}

/// Name, macro to define, and file of each source in a Rust file:
/// `const A: Source = Source::new("a", include_str!("../kernels/a.cu"));` or `const B: Source = part!("b", "DEFINE", "a.cu");`.
fn declared(text: &str) -> Result<Vec<(String, Option<String>, String)>, String> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let text = lines.collect::<Vec<_>>().join(" ");
    let read = |declaration: &str| {
        let all: Vec<&str> = declaration.split('"').collect();
        match all.as_slice() {
            ["Source::new(", name, ", include_str!(", path, "))"] => {
                Some(((*name).to_string(), None, path.rsplit_once("kernels/")?.1.to_string()))
            }
            ["part!(", name, ", ", define, ", ", file, ")"] => {
                Some(((*name).to_string(), Some((*define).to_string()), (*file).to_string()))
            }
            _ => None,
        }
    };
    let declarations = text.split(": Source = ").skip(1).map(|rest| rest.split(';').next().unwrap_or_default());
    declarations.map(|d| read(d).ok_or_else(|| format!("a source of an unknown form: {d}"))).collect()
}

/// Headers of the folder kernels/ that kamacite does not know, or knows with another text.
pub fn unknown_headers() -> Result<Vec<String>, String> {
    let known = |(name, text): &(String, String)| HEADERS.iter().any(|(n, t)| n == name && t == text);
    Ok(files("cuh")?.into_iter().filter(|header| !known(header)).map(|(name, _)| name).collect())
}

/// Names and texts of the files in kernels/ with this extension.
fn files(extension: &str) -> Result<BTreeMap<String, String>, String> {
    let mut all = Vec::new();
    walk(&repository().join("kernels"), &mut all)?;
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(all.into_iter().filter(|(p, _)| p.extension().is_some_and(|e| e == extension)).map(|(p, text)| (name(&p), text)).collect())
}

fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) -> Result<(), String> {
    let place = |e: std::io::Error| format!("{}: {e}", folder.display());
    for entry in fs::read_dir(folder).map_err(place)? {
        let path = entry.map_err(place)?.path();
        if path.is_dir() {
            walk(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "rs" || e == "cu" || e == "cuh") {
            let text = fs::read_to_string(&path).map_err(place)?;
            found.push((path, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_header_is_known() {
        assert_eq!(unknown_headers(), Ok(Vec::new()), "HEADERS in src/device/nvrtc.rs");
    }

    #[test]
    fn every_file_is_taken() {
        assert_eq!(untaken(), Ok(Vec::new()), "no constant in src/ takes these");
        let sources = sources().unwrap();
        assert!(sources.len() > 10, "{}", sources.len());
        let part = sources.iter().find(|s| s.name == "gemm_f32").unwrap();
        assert!(part.text.starts_with("#define GEMM_F32\n//"));
    }

    #[test]
    fn declarations_are_read() {
        let text = "// const OLD: Source = other;\nconst A: Source =\n    Source::new(\"a\", include_str!(\"../../kernels/a.cu\"));\n\
            const B: Source = part!(\"b\", \"ONLY_B\", \"a.cu\");\n#[cfg(test)]\nconst C: Source = Source::new(\"c\", \"text\");";
        let all = declared(text).unwrap();
        assert_eq!(all, [("a".into(), None, "a.cu".into()), ("b".into(), Some("ONLY_B".into()), "a.cu".into())]);
        assert!(declared("pub const A: Source = Source::new(NAME, TEXT);").is_err());
    }
}
