//! Machine code made beforehand, for users who have a driver but no NVRTC: one file with every kernel for many architectures.
//!
//! Builds with the feature `prebuilt` embed the file that `KAMACITE_PREBUILT` names when they are compiled; `KAMACITE_IMAGE`
//! names another one when the program runs. An entry holds the code of one source for one architecture, deflated by itself so
//! that a program inflates what it uses. It also holds a hash of the source and of all headers: code of another version is
//! never found.
//!
//! Layout, little-endian: [`MAGIC`], the number of entries, then for each: length and name of the source, length and name of
//! the architecture, and 5 numbers of 64 bits (hash of the texts; offset, deflated length, length and hash of the code). The
//! deflated codes follow.

use super::kernel::Source;
use super::nvrtc::texts;
use crate::rng::hash;
use crate::{Error, Result};
use flate2::Compression;
use flate2::bufread::ZlibEncoder;
use flate2::read::ZlibDecoder;
use std::borrow::Cow;
use std::io::Read;
use std::sync::OnceLock;

const MAGIC: &[u8] = b"kamacite kernels 1\n";

/// Empty unless the builder names an image.
const EMBEDDED: &[u8] =
    include_bytes!(env!("KAMACITE_PREBUILT", "the feature prebuilt embeds the file of `make prebuilt`: set KAMACITE_PREBUILT"));

/// More than the code of any source takes: a damaged length must not ask for all the memory.
const MOST: u64 = 1 << 28;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    source: String,
    architecture: String,
    texts: u64,
    offset: usize,
    packed: usize,
    size: u64,
    sum: u64,
}

/// An image, its index read.
#[derive(Debug)]
struct Image {
    bytes: Cow<'static, [u8]>,
    entries: Vec<Entry>,
}

impl Image {
    /// Reads the index. No bytes at all are an image with nothing in it.
    fn new(bytes: Cow<'static, [u8]>) -> Option<Self> {
        let mut entries = Vec::new();
        if !bytes.is_empty() {
            let mut rest = bytes.strip_prefix(MAGIC)?;
            for _ in 0..number(&mut rest)? {
                let (source, architecture) = (word(&mut rest)?, word(&mut rest)?);
                let mut next = || number(&mut rest);
                let (texts, offset, packed) = (next()?, usize::try_from(next()?).ok()?, usize::try_from(next()?).ok()?);
                let (size, sum) = (next()?, next()?);
                if offset.checked_add(packed)? > bytes.len() || size > MOST {
                    return None;
                }
                entries.push(Entry { source, architecture, texts, offset, packed, size, sum });
            }
        }
        Some(Self { bytes, entries })
    }

    fn entry(&self, source: &Source, architecture: &str) -> Option<Vec<u8>> {
        let made = texts(source);
        let found = |e: &&Entry| e.source == source.name && e.architecture == architecture && e.texts == made;
        let entry = self.entries.iter().find(found)?;
        let mut code = Vec::new();
        let packed = &self.bytes[entry.offset..entry.offset + entry.packed];
        ZlibDecoder::new(packed).take(entry.size).read_to_end(&mut code).ok()?;
        (code.len() as u64 == entry.size && hash(&code) == entry.sum).then_some(code)
    }

    /// Architectures whose code runs on this one, the best first, without `architecture` itself.
    fn related(&self, architecture: &str) -> Vec<&str> {
        let mut names: Vec<&str> = self.entries.iter().map(|e| e.architecture.as_str()).collect();
        names.sort_by_key(|name| std::cmp::Reverse((name.starts_with("sm_"), version(name))));
        names.dedup();
        names.retain(|name| *name != architecture && runs(name, architecture));
        names
    }
}

/// 86 of `sm_86`, 90 of `sm_90a` and `compute_90`.
fn version(architecture: &str) -> u32 {
    let digits = architecture.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0)
}

/// Embedded systems: cards of the same major number do not share their machine code.
const APART: [u32; 6] = [53, 62, 72, 87, 101, 110];

/// Whether a card runs another architecture's code: machine code of the same major number and no later minor one, PTX of any
/// earlier architecture.
fn runs(made_for: &str, card: &str) -> bool {
    let (made, own) = (version(made_for), version(card));
    // `sm_90a` has instructions that no other card has.
    let general = made_for.ends_with(|c: char| c.is_ascii_digit());
    let near = made / 10 == own / 10 && !APART.contains(&made) && !APART.contains(&own);
    general && made <= own && (made_for.starts_with("compute_") || near)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (bytes, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(u64::from_le_bytes(*bytes))
}

fn word(rest: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    String::from_utf8(bytes.to_vec()).ok()
}

/// An image of these sources for these architectures, as `compile` makes them.
pub fn build(
    sources: &[Source],
    architectures: &[&str],
    compile: &mut dyn FnMut(&Source, &str) -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    let (mut entries, mut codes) = (Vec::new(), Vec::new());
    for source in sources {
        for architecture in architectures {
            let code = compile(source, architecture)?;
            let (offset, size) = (codes.len(), code.len() as u64);
            let deflated = ZlibEncoder::new(code.as_slice(), Compression::best()).read_to_end(&mut codes);
            let packed = deflated.map_err(|e| Error::device(format!("image of {}.cu", source.name), "deflate").source(e))?;
            let (source, texts, sum) = (source.name.to_string(), texts(source), hash(&code));
            entries.push(Entry { source, architecture: (*architecture).into(), texts, offset, packed, size, sum });
        }
    }
    let names = |e: &Entry| e.source.len() + e.architecture.len();
    let index = MAGIC.len() + 8 + entries.iter().map(|e| 56 + names(e)).sum::<usize>();
    let mut out = MAGIC.to_vec();
    out.extend((entries.len() as u64).to_le_bytes());
    for e in &entries {
        for name in [&e.source, &e.architecture] {
            out.extend((name.len() as u64).to_le_bytes());
            out.extend(name.as_bytes());
        }
        out.extend([e.texts, (index + e.offset) as u64, e.packed as u64, e.size, e.sum].map(u64::to_le_bytes).as_flattened());
    }
    debug_assert_eq!(out.len(), index);
    out.append(&mut codes);
    Ok(out)
}

/// The image of this process; the reason where `KAMACITE_IMAGE` names none.
fn image() -> &'static Result<Image, String> {
    static IMAGE: OnceLock<Result<Image, String>> = OnceLock::new();
    IMAGE.get_or_init(|| match std::env::var_os("KAMACITE_IMAGE").filter(|path| !path.is_empty()) {
        None => Image::new(EMBEDDED.into()).ok_or_else(|| "the embedded image is damaged".into()),
        Some(path) => {
            let bytes = std::fs::read(&path).map_err(|e| format!("KAMACITE_IMAGE: {} ({e})", path.display()))?;
            Image::new(bytes.into()).ok_or_else(|| format!("KAMACITE_IMAGE: {} is not an image of kernels", path.display()))
        }
    })
}

/// Whether the image has code that this architecture can run.
pub(super) fn holds(architecture: &str) -> bool {
    let has = |image: &Image| image.entries.iter().any(|e| e.architecture == architecture || runs(&e.architecture, architecture));
    image().as_ref().is_ok_and(has)
}

/// The code of a source for this very architecture, if the image was made from this very text.
pub(super) fn find(source: &Source, architecture: &str) -> Option<Vec<u8>> {
    image().as_ref().ok()?.entry(source, architecture)
}

/// Code that was made for another architecture and runs on this one.
pub(super) fn related(source: &Source, architecture: &str) -> Option<Vec<u8>> {
    let image = image().as_ref().ok()?;
    image.related(architecture).into_iter().find_map(|other| image.entry(source, other))
}

/// The image in words, if there is anything to say.
pub(super) fn describe(architecture: &str) -> Option<String> {
    match image() {
        Err(e) => Some(e.clone()),
        Ok(image) if image.entries.is_empty() => None,
        Ok(image) if image.entries.iter().any(|e| e.architecture == architecture) => Some("the prebuilt image".into()),
        Ok(image) => Some(match image.related(architecture).first() {
            Some(other) => format!("the prebuilt image (code for {other})"),
            None => format!("a prebuilt image without code for {architecture}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Source = Source::new("a", "text of a");
    const B: Source = Source::new("b", "text of b");
    const ALL: [&str; 7] = ["sm_60", "sm_80", "sm_87", "sm_90a", "sm_120", "compute_60", "compute_90"];

    fn code(source: &Source, architecture: &str) -> Vec<u8> {
        format!("{} for {architecture}, again and again, ", source.name).repeat(50).into_bytes()
    }

    fn built() -> Vec<u8> {
        build(&[A, B], &ALL, &mut |s, a| Ok(code(s, a))).unwrap()
    }

    #[test]
    fn what_went_in_comes_out() {
        let bytes = built();
        assert!(bytes.len() < 4096, "deflated: {} bytes", bytes.len());
        let image = Image::new(bytes.into()).unwrap();
        for source in [A, B] {
            for architecture in ALL {
                assert_eq!(image.entry(&source, architecture), Some(code(&source, architecture)));
            }
            assert_eq!(image.entry(&source, "sm_75"), None);
        }
        assert_eq!(image.entry(&Source::new("a", "a newer text"), "sm_80"), None, "stale");
        assert_eq!(image.entry(&Source::new("c", A.text), "sm_80"), None);
        assert!(Image::new(Cow::Borrowed(b"")).unwrap().entries.is_empty());
    }

    #[test]
    fn damage_gives_nothing_or_the_true_code() {
        let whole = built();
        let intact = |bytes: Vec<u8>| {
            let image = Image::new(bytes.into())?;
            let found: Vec<_> = ALL.iter().filter_map(|a| Some((a, image.entry(&A, a)?))).collect();
            assert!(found.iter().all(|(a, found)| *found == code(&A, a)), "wrong code");
            Some(found.len())
        };
        assert_eq!(intact(whole.clone()), Some(ALL.len()));
        for at in 0..whole.len() {
            if at > 0 {
                assert_eq!(intact(whole[..at].to_vec()), None, "cut to {at}");
            }
            let mut flipped = whole.clone();
            flipped[at] ^= 0x41;
            intact(flipped);
        }
    }

    #[test]
    fn a_card_runs_its_own_kind_and_older_ptx() {
        let image = Image::new(built().into()).unwrap();
        for (card, expected) in [
            ("sm_60", &["compute_60"][..]),
            ("sm_61", &["sm_60", "compute_60"]),
            ("sm_62", &["compute_60"]),
            ("sm_70", &["compute_60"]),
            ("sm_86", &["sm_80", "compute_60"]),
            ("sm_87", &["compute_60"]),
            ("sm_90a", &["compute_90", "compute_60"]),
            ("sm_100", &["compute_90", "compute_60"]),
            ("sm_121", &["sm_120", "compute_90", "compute_60"]),
            ("sm_130", &["compute_90", "compute_60"]),
            ("sm_50", &[]),
        ] {
            assert_eq!(image.related(card), expected, "{card}");
        }
    }
}
