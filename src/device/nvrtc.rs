//! From a kernel's text to machine code: the embedded image, the cache on disk, or NVIDIA's run-time compiler.
//!
//! NVRTC is looked for in `KAMACITE_NVRTC` (a library or its folder), CUDA toolkits, Python and conda environments, and where
//! the system's loader looks. It is taken to machine code rather than PTX, which older drivers may refuse.
#![allow(unsafe_code)]

use super::image;
use super::kernel::Source;
use crate::rng::hash;
use crate::{Error, Result};
use libloading::{Library, Symbol};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What kernels may include.
pub const HEADERS: &[(&str, &str)] = &[
    ("prelude.cuh", include_str!("../../kernels/prelude.cuh")),
    ("activation.cuh", include_str!("../../kernels/activation.cuh")),
    ("conv.cuh", include_str!("../../kernels/conv.cuh")),
    ("gemm.cuh", include_str!("../../kernels/gemm.cuh")),
    ("gemm_sm90.cuh", include_str!("../../kernels/gemm_sm90.cuh")),
    ("hopper.cuh", include_str!("../../kernels/hopper.cuh")),
    ("loss.cuh", include_str!("../../kernels/loss.cuh")),
    ("mlp.cuh", include_str!("../../kernels/mlp.cuh")),
    ("mlp_loss.cuh", include_str!("../../kernels/mlp_loss.cuh")),
    ("mlp_update.cuh", include_str!("../../kernels/mlp_update.cuh")),
    ("mma.cuh", include_str!("../../kernels/mma.cuh")),
    ("moments.cuh", include_str!("../../kernels/moments.cuh")),
    ("norm.cuh", include_str!("../../kernels/norm.cuh")),
    ("optim.cuh", include_str!("../../kernels/optim.cuh")),
    ("pack.cuh", include_str!("../../kernels/pack.cuh")),
    ("reduce.cuh", include_str!("../../kernels/reduce.cuh")),
];

/// The compiler.
pub struct Nvrtc {
    library: Library,
    /// NVRTC opens its own second library by a bare name, so it is kept open under its full one.
    _builtins: Option<Library>,
    /// Major and minor.
    pub version: (i32, i32),
    /// The library.
    pub path: PathBuf,
}

impl std::fmt::Debug for Nvrtc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NVRTC {}.{} ({})", self.version.0, self.version.1, self.path.display())
    }
}

const NAMES: [&str; 4] = ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so"];

/// Where NVRTC may lie, in the order of preference.
fn candidates() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let mut folders = Vec::new();
    // Whoever names one means this one.
    if let Some(path) = variable("KAMACITE_NVRTC") {
        return if path.is_dir() { NAMES.map(|name| path.join(name)).into() } else { vec![path] };
    }
    for root in ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT"].into_iter().filter_map(variable) {
        folders.extend([root.join("lib64"), root.join("lib")]);
    }
    let home = variable("HOME").map(|home| home.join(".local"));
    let roots = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(variable).chain(home);
    for library in roots.chain(["/usr/local".into(), "/usr".into()]).map(|root: PathBuf| root.join("lib")) {
        let pythons = fs::read_dir(&library).into_iter().flatten().flatten().map(|entry| entry.path());
        for python in pythons.filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("python"))) {
            for packages in ["site-packages", "dist-packages"] {
                let nvidia = python.join(packages).join("nvidia");
                folders.extend([nvidia.join("cu13/lib"), nvidia.join("cuda_nvrtc/lib")]);
            }
        }
        folders.push(library);
    }
    folders.extend(["/usr/local/cuda/lib64", "/opt/cuda/lib64", "/usr/lib/x86_64-linux-gnu"].map(PathBuf::from));
    let files = folders.iter().flat_map(|folder| NAMES.map(|name| folder.join(name))).filter(|path| path.exists());
    // Bare names last: the system's loader looks where it was told to.
    files.chain(NAMES.map(PathBuf::from)).collect()
}

impl Nvrtc {
    /// The first compiler whose machine code this driver (12 or 13, say) can load: one of the same major version or an older one.
    pub fn open(driver: i32) -> Result<Self> {
        let mut found: Vec<Self> = Vec::new();
        for path in candidates() {
            if let Some(nvrtc) = Self::load(&path) {
                if nvrtc.version.0 <= driver {
                    return Ok(nvrtc);
                }
                found.push(nvrtc);
            }
        }
        let got = found.iter().map(|n| format!("{n:?}")).collect::<Vec<_>>().join(", ");
        let e =
            Error::device("NVRTC", "no compiler for kernels was found").expected(format!("libnvrtc of CUDA {driver} or older"));
        let hint = "python3 -m pip install nvidia-cuda-nvrtc-cu12 (or nvidia-cuda-nvrtc for CUDA 13) in the active environment, or set KAMACITE_NVRTC to the library";
        Err(if got.is_empty() { e } else { e.got(got) }.hint(hint))
    }

    /// The compiler in this library.
    pub fn load(path: &Path) -> Option<Self> {
        // SAFETY: loading NVIDIA's library runs its initialisers, which have no preconditions.
        let library = unsafe { Library::new(path) }.ok()?;
        let mut version = (0, 0);
        // SAFETY: the documented signature of nvrtcVersion.
        unsafe {
            let f: Symbol<'_, unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int> = library.get(b"nvrtcVersion\0").ok()?;
            if f(&mut version.0, &mut version.1) != 0 {
                return None;
            }
        }
        let name = format!("libnvrtc-builtins.so.{}.{}", version.0, version.1);
        let beside = path.parent().map(|folder| folder.join(name)).filter(|path| path.exists());
        // SAFETY: as above.
        let builtins = beside.and_then(|path| unsafe { Library::new(path) }.ok());
        Some(Self { library, _builtins: builtins, version, path: path.to_path_buf() })
    }

    fn symbol<T>(&self, name: &[u8]) -> Result<Symbol<'_, T>> {
        // SAFETY: callers name the documented signature of the function.
        unsafe { self.library.get(name) }
            .map_err(|e| Error::device("NVRTC", format!("{} lacks a function", self.path.display())).source(e))
    }

    /// Compiles to machine code for an architecture (`sm_90a`) or to PTX (`compute_90`); the compiler's log comes along.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) with the log.
    pub fn compile(&self, source: &Source, architecture: &str) -> Result<(Vec<u8>, String)> {
        let place = format!("kernels of {}.cu for {architecture}", source.name);
        let text = |s: &str| CString::new(s).map_err(|e| Error::device(&place, "a zero byte in the text").source(e));
        let (code, name) = (text(source.text)?, text(&format!("{}.cu", source.name))?);
        let headers = HEADERS.iter().map(|(name, code)| Ok((text(name)?, text(code)?))).collect::<Result<Vec<_>>>()?;
        let (names, texts): (Vec<_>, Vec<_>) = headers.iter().map(|(name, code)| (name.as_ptr(), code.as_ptr())).unzip();
        let options = options(architecture).into_iter().map(|o| text(&o)).collect::<Result<Vec<_>>>()?;
        let options: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();
        type Program = *mut c_void;
        type Create = unsafe extern "C" fn(
            *mut Program,
            *const c_char,
            *const c_char,
            c_int,
            *const *const c_char,
            *const *const c_char,
        ) -> c_int;
        type Size = unsafe extern "C" fn(Program, *mut usize) -> c_int;
        type Get = unsafe extern "C" fn(Program, *mut c_char) -> c_int;
        let create: Symbol<'_, Create> = self.symbol(b"nvrtcCreateProgram\0")?;
        let compile: Symbol<'_, unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int> =
            self.symbol(b"nvrtcCompileProgram\0")?;
        let destroy: Symbol<'_, unsafe extern "C" fn(*mut Program) -> c_int> = self.symbol(b"nvrtcDestroyProgram\0")?;
        let (log_size, log): (Symbol<'_, Size>, Symbol<'_, Get>) =
            (self.symbol(b"nvrtcGetProgramLogSize\0")?, self.symbol(b"nvrtcGetProgramLog\0")?);
        let (code_size, get_code): (Symbol<'_, Size>, Symbol<'_, Get>) = match architecture.starts_with("compute_") {
            true => (self.symbol(b"nvrtcGetPTXSize\0")?, self.symbol(b"nvrtcGetPTX\0")?),
            false => (self.symbol(b"nvrtcGetCUBINSize\0")?, self.symbol(b"nvrtcGetCUBIN\0")?),
        };
        // SAFETY: the documented protocol of NVRTC; all strings live until the program is destroyed, and each buffer has
        // the size that NVRTC named for it.
        unsafe {
            let mut program: Program = std::ptr::null_mut();
            let count = headers.len() as c_int;
            let rc = create(&mut program, code.as_ptr(), name.as_ptr(), count, texts.as_ptr(), names.as_ptr());
            if rc != 0 {
                return Err(Error::device(place, format!("nvrtcCreateProgram failed with {rc}")));
            }
            let rc = compile(program, options.len() as c_int, options.as_ptr());
            let fetch = |size: &Size, get: &Get| {
                let mut n = 0;
                size(program, &mut n);
                let mut bytes = vec![0_u8; n];
                get(program, bytes.as_mut_ptr().cast());
                bytes
            };
            let log = fetch(&log_size, &log);
            let log = CStr::from_bytes_until_nul(&log).map(|c| c.to_string_lossy().into_owned()).unwrap_or_default();
            let code = if rc == 0 { fetch(&code_size, &get_code) } else { Vec::new() };
            destroy(&mut program);
            if code.is_empty() {
                return Err(Error::device(place, format!("{self:?} failed with {rc}")).got(log));
            }
            Ok((code, log))
        }
    }
}

fn options(architecture: &str) -> Vec<String> {
    vec![format!("--gpu-architecture={architecture}"), "--std=c++17".into(), "--ptxas-options=-v".into()]
}

/// Machine code for a source: what is embedded, what is cached, what the compiler makes.
pub(super) struct Compiler {
    architecture: String,
    nvrtc: Result<Nvrtc, String>,
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} by {}", self.architecture, self.describe())
    }
}

impl Compiler {
    /// For a compute capability and the driver's major version.
    pub fn new(capability: (i32, i32), driver: i32) -> Result<Self> {
        let architecture = architecture(capability);
        match Nvrtc::open(driver) {
            Ok(nvrtc) => Ok(Self { architecture, nvrtc: Ok(nvrtc) }),
            Err(e) if image::holds(&architecture) => Ok(Self { architecture, nvrtc: Err(e.to_string()) }),
            Err(e) => Err(e),
        }
    }

    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Where machine code comes from, in words.
    pub fn describe(&self) -> String {
        let nvrtc = self.nvrtc.as_ref().map_or_else(|_| "no NVRTC".into(), |nvrtc| format!("{nvrtc:?}"));
        image::describe(&self.architecture).map_or(nvrtc.clone(), |image| format!("{image}, {nvrtc}"))
    }

    /// An image that the driver can load.
    pub fn code(&self, source: &Source) -> Result<Vec<u8>> {
        if let Some(code) = image::find(source, &self.architecture) {
            return Ok(code);
        }
        // What was made for an older card comes last: NVRTC knows this one, if it is not older itself.
        self.compiled(source).or_else(|e| image::related(source, &self.architecture).ok_or(e))
    }

    fn compiled(&self, source: &Source) -> Result<Vec<u8>> {
        let nvrtc = self.nvrtc.as_ref().map_err(|e| Error::device(format!("kernels of {}.cu", source.name), e))?;
        let key = key(source, nvrtc, &self.architecture);
        let file = cache_folder().map(|folder| folder.join(format!("{}-{:016x}.bin", source.name, hash(key.as_bytes()))));
        if let Some(code) = file.as_deref().and_then(|file| read_cache(file, &key)) {
            return Ok(code);
        }
        let (code, _) = nvrtc.compile(source, &self.architecture)?;
        if let Some(file) = &file {
            // A cache that cannot be written costs time, nothing else.
            let _ = write_cache(file, &key, &code);
        }
        Ok(code)
    }
}

/// The name of an architecture for NVRTC. On Hopper with its own instructions, which `sm_90` leaves out.
fn architecture((major, minor): (i32, i32)) -> String {
    match (major, minor) {
        (9, 0) => "sm_90a".into(),
        _ => format!("sm_{major}{minor}"),
    }
}

/// Everything that the machine code depends on.
fn key(source: &Source, nvrtc: &Nvrtc, architecture: &str) -> String {
    let (compiler, options) = (nvrtc.path.display(), options(architecture).join(" "));
    let texts = texts(source);
    format!("kamacite kernels 2\n{}\n{:?} {compiler}\n{options}\n{texts:016x}\n", source.name, nvrtc.version)
}

/// A hash of a source and of all headers.
pub fn texts(source: &Source) -> u64 {
    let all = HEADERS.iter().map(|(_, text)| *text).chain([source.text]);
    let sums = all.map(|text| [hash(text.as_bytes()), text.len() as u64].map(u64::to_le_bytes));
    hash(sums.collect::<Vec<_>>().as_flattened().as_flattened())
}

/// `KAMACITE_CACHE`, or the user's cache folder; none where it is set to nothing.
pub(super) fn cache_folder() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("KAMACITE_CACHE") {
        return (!path.is_empty()).then(|| path.into());
    }
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let base = base.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    Some(base.join("kamacite"))
}

/// The code behind its key and its length; a damaged file is none.
fn read_cache(file: &Path, key: &str) -> Option<Vec<u8>> {
    let bytes = fs::read(file).ok()?;
    let rest = bytes.strip_prefix(key.as_bytes())?;
    let (head, code) = rest.split_at_checked(16)?;
    let sum = [code.len() as u64, hash(code)].map(u64::to_le_bytes);
    (head == sum.as_flattened()).then(|| code.to_vec())
}

/// Written beside and renamed, so that a reader sees all of it or nothing.
fn write_cache(file: &Path, key: &str, code: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let unique = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let beside = file.with_extension(format!("{}-{unique}.tmp", std::process::id()));
    let mut out = fs::File::create(&beside)?;
    out.write_all(key.as_bytes())?;
    out.write_all(&(code.len() as u64).to_le_bytes())?;
    out.write_all(&hash(code).to_le_bytes())?;
    out.write_all(code)?;
    drop(out);
    fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_cache_is_no_cache() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/kernels.bin");
        write_cache(&file, "key\n", b"machine code").unwrap();
        assert_eq!(read_cache(&file, "key\n").as_deref(), Some(&b"machine code"[..]));
        assert_eq!(read_cache(&file, "another key\n"), None);
        let whole = fs::read(&file).unwrap();
        for cut in 0..whole.len() {
            fs::write(&file, &whole[..cut]).unwrap();
            assert_eq!(read_cache(&file, "key\n"), None, "cut to {cut}");
            let mut flipped = whole.clone();
            flipped[cut] ^= 1;
            fs::write(&file, &flipped).unwrap();
            assert_eq!(read_cache(&file, "key\n"), None, "byte {cut} flipped");
        }
        assert_eq!(fs::read_dir(folder.path().join("deep")).unwrap().count(), 1, "nothing but the file is left");
    }
}
