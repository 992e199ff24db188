//! Which files there are, and what their labels say.

use super::{line, read, text};
use crate::{Error, Result};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// A file of the set.
#[derive(Debug)]
pub(super) struct Found {
    pub path: PathBuf,
    pub label: Label,
    /// Where it was named, for messages: a line of a labels file.
    named: Option<String>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Label {
    None,
    Text(String),
}

impl Found {
    /// Where messages about it begin.
    fn place(&self) -> String {
        self.named.clone().unwrap_or_else(|| self.path.display().to_string())
    }

    /// An error where there is no such file.
    pub fn exists(&self) -> Result<()> {
        let failed = |e: std::io::Error| {
            let e = Error::io(&self.path, e).hint("check the name; those of a labels file are relative to its folder");
            if let Some(named) = &self.named { e.at(named) } else { e }
        };
        match std::fs::metadata(&self.path) {
            Ok(meta) if meta.is_file() => Ok(()),
            Ok(_) => Err(Error::format(self.place(), format!("{} is not a regular file", self.path.display()))),
            Err(e) => Err(failed(e)),
        }
    }

    fn text(&self) -> &str {
        if let Label::Text(text) = &self.label { text } else { "" }
    }
}

/// The entries of a folder in the order of their names, hidden ones left out.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |e| Error::io(folder, e).hint("give the path of a folder that can be read");
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    Ok(paths)
}

pub(super) fn folders(folder: &Path, classes: Option<&[String]>) -> Result<Vec<Found>> {
    let inside = entries(folder)?;
    let folders: Vec<PathBuf> = match classes {
        Some(names) => names.iter().map(|name| folder.join(name)).collect(),
        None => inside.iter().filter(|path| path.is_dir()).cloned().collect(),
    };
    if folders.is_empty() {
        let files = inside.iter().filter(|path| read::known(path)).count();
        return Err(Error::value(folder.display(), "no folder of a class")
            .expected("folders of files, one for each class")
            .got(if files > 0 { format!("{files} files") } else { "an empty folder".to_string() })
            .hint("Files::labels reads classes from a text file"));
    }
    let mut found = Vec::new();
    for class in &folders {
        let name = class.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let inside = entries(class)?;
        let before = found.len();
        let files = inside.iter().filter(|path| read::known(path) && !path.is_dir());
        found.extend(files.map(|path| Found { path: path.clone(), label: Label::Text(name.clone()), named: None }));
        if found.len() == before {
            let got = match inside.first() {
                None => "an empty folder".to_string(),
                Some(other) => format!("{} other files, such as {}", inside.len(), other.display()),
            };
            let e = Error::value(class.display(), "a class without members").expected(read::kinds()).got(got);
            return Err(e.hint("remove the folder, or list the classes with .classes([...])"));
        }
    }
    Ok(found)
}

pub(super) fn labels(file: &Path, folder: Option<&Path>) -> Result<Vec<Found>> {
    let text = text(file)?;
    let folder = folder.or_else(|| file.parent()).unwrap_or(Path::new(""));
    let mut found = Vec::new();
    for (i, row) in text.lines().enumerate() {
        let row = row.trim();
        let header = i == 0 && row.to_ascii_lowercase().replace(' ', "") == "filename,label";
        if row.is_empty() || row.starts_with('#') || header {
            continue;
        }
        let place = line(file, i + 1);
        let parts = row.split_once(',').map(|(name, label)| (name.trim(), label.trim()));
        let Some((name, label)) = parts.filter(|(name, label)| !name.is_empty() && !label.is_empty()) else {
            return Err(Error::format(place, "no label").expected("filename,label").got(format!("{row:?}")));
        };
        found.push(Found { path: folder.join(name), label: Label::Text(label.to_string()), named: Some(place) });
    }
    if found.is_empty() {
        return Err(Error::value(file.display(), "no lines").expected("lines filename,label"));
    }
    Ok(found)
}

pub(super) fn list(files: &[(PathBuf, Option<String>)]) -> Vec<Found> {
    let label = |label: &Option<String>| label.clone().map_or(Label::None, Label::Text);
    files.iter().map(|(path, text)| Found { path: path.clone(), label: label(text), named: None }).collect()
}

/// Refuses an empty list, files that come twice and files of unknown kinds.
pub(super) fn check(found: &[Found]) -> Result<()> {
    if found.is_empty() {
        return Err(Error::value("files", "no files"));
    }
    let mut seen: HashMap<&Path, &Found> = HashMap::with_capacity(found.len());
    for f in found {
        if let Some(first) = seen.insert(&f.path, f) {
            let e = Error::value(f.place(), format!("{} comes twice", f.path.display()));
            return Err(e.got(format!("labels {:?} and {:?}", first.text(), f.text())).hint("keep one of them"));
        }
        if !read::known(&f.path) {
            let e = Error::unsupported(f.place(), format!("{} is of an unknown kind", f.path.display()));
            return Err(e.expected(read::kinds()));
        }
    }
    Ok(())
}

/// The names of the classes, and the class of every file.
pub(super) fn classes(found: &[Found], given: Option<&[String]>) -> Result<(Vec<String>, Vec<u32>)> {
    let distinct: BTreeSet<&str> = found.iter().map(Found::text).collect();
    let numbers: Option<BTreeSet<u32>> = distinct.iter().map(|text| text.parse().ok()).collect();
    let by_number = numbers.filter(|_| given.is_none_or(|names| !distinct.iter().any(|t| names.iter().any(|n| n == t))));
    let names: Vec<String> = match (given, &by_number) {
        (Some(names), _) => names.to_vec(),
        (None, Some(numbers)) => {
            let most = numbers.last().map_or(0, |&most| most as usize);
            if most >= found.len().max(2) {
                return Err(Error::value("files", format!("label {most} for {} files", found.len()))
                    .expected("classes numbered from 0, each with members")
                    .hint("Files::labels(..).values() takes labels for numbers to predict"));
            }
            (0..=most).map(|class| class.to_string()).collect()
        }
        (None, None) => distinct.iter().map(ToString::to_string).collect(),
    };
    let index: HashMap<&str, u32> = names.iter().zip(0..).map(|(name, i)| (name.as_str(), i)).collect();
    if index.len() < names.len() {
        return Err(Error::value("files", "a class is named twice").got(format!("{names:?}")));
    }
    let class = |f: &Found| {
        let found = match by_number {
            Some(_) => f.text().parse().ok().filter(|&class: &u32| (class as usize) < names.len()),
            None => index.get(f.text()).copied(),
        };
        found.ok_or_else(|| {
            Error::value(f.place(), format!("unknown label {:?}", f.text())).expected(format!("one of {}", names.join(", ")))
        })
    };
    let labels = found.iter().map(class).collect::<Result<Vec<u32>>>()?;
    let counts = crate::data::classes::counts(&labels, names.len())?;
    if let Some(empty) = counts.iter().position(|&n| n == 0) {
        let e = Error::value("files", format!("class {} has no members", names[empty]));
        return Err(e.got(format!("{} files of {} other classes", found.len(), names.len() - 1)));
    }
    Ok((names, labels))
}

/// The numbers of every file, and how many each has.
pub(super) fn values(found: &[Found]) -> Result<(usize, Vec<f32>)> {
    let mut all = Vec::new();
    let mut each = 0;
    for (i, f) in found.iter().enumerate() {
        let before = all.len();
        for field in f.text().split(',') {
            let value = field.trim().parse().ok().filter(|v: &f32| v.is_finite());
            all.push(
                value.ok_or_else(|| Error::value(f.place(), "no number").expected("finite numbers").got(format!("{field:?}")))?,
            );
        }
        let n = all.len() - before;
        if i > 0 && n != each {
            return Err(Error::shape(f.place(), "another number of values than before").expected(each).got(n));
        }
        each = n;
    }
    Ok((each, all))
}
