//! An NVIDIA GPU through its driver: context, stream, kernels, memory.
//!
//! One context and one stream for each GPU of this process; all models on it share them. Nothing here waits for the device
//! but [`Cuda::download`] and [`Cuda::synchronize`].
#![allow(unsafe_code)]

mod copies;
mod launch;
mod turns;

use super::download::Downloads;
use super::kernel::{Kernel, Ptr, Source};
use super::nvrtc::{self, Compiler};
use super::record::Record;
use super::upload::Uploads;
use crate::{Error, Result};
use bytemuck::Pod;
use cudarc::driver::sys::{self, CUdevice_attribute as Attribute, CUfunction_attribute as FunctionAttribute, CUresult};
use cudarc::driver::{CudaContext, CudaFunction, CudaGraph, CudaModule, CudaStream, DriverError, result};
use libloading::Library;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use turns::Turns;

/// An NVIDIA GPU. Clones share its stream.
#[derive(Clone)]
pub struct Cuda(Arc<Inner>);

struct Inner {
    ordinal: usize,
    name: String,
    capability: (i32, i32),
    /// Whether kernels begin before the one in front is done, in graphs too. They wait by themselves (`prelude.cuh`).
    early: bool,
    multiprocessors: usize,
    /// Shared memory that a block may ask for, in bytes.
    shared: usize,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    compiler: Compiler,
    modules: Mutex<HashMap<Source, Arc<CudaModule>>>,
    functions: Mutex<HashMap<(Source, String), Function>>,
    uploads: Mutex<Uploads>,
    downloads: Mutex<Downloads>,
    turns: Turns,
}

impl std::fmt::Debug for Cuda {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::fmt::Display for Cuda {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (major, minor) = self.0.capability;
        write!(f, "cuda:{} ({}, compute capability {major}.{minor})", self.0.ordinal, self.0.name)
    }
}

/// What the driver is called. `KAMACITE_CUDA_DRIVER` names another file, where the system's loader does not find it.
const DRIVER: &str = "libcuda.so.1";

/// Functions whose absence shows a driver before CUDA 12.0.
const NEEDED: [&str; 7] = [
    "cuInit",
    "cuMemAlloc_v2",
    "cuModuleLoadData",
    "cuLaunchKernel",
    "cuLaunchKernelEx",
    "cuStreamBeginCapture_v2",
    "cuGraphInstantiateWithFlags",
];

/// Opens the driver once and for all, or tells why there is none; then the next call looks again.
fn driver() -> Result<()> {
    static OPENED: Mutex<Option<Library>> = Mutex::new(None);
    let open = || -> Result<Library, String> {
        let path = std::env::var_os("KAMACITE_CUDA_DRIVER").unwrap_or_else(|| DRIVER.into());
        // SAFETY: loading NVIDIA's driver runs its initialisers, which have no preconditions. Once it is open, the binding
        // finds it under its own name, wherever it lies.
        let library = unsafe { Library::new(&path) }.map_err(|e| format!("no NVIDIA driver: {} ({e})", path.display()))?;
        for name in NEEDED {
            // SAFETY: looked up, not called.
            let found = unsafe { library.get::<unsafe extern "C" fn()>(name.as_bytes()) };
            found.map_err(|_| format!("the NVIDIA driver is too old: it lacks {name}; CUDA 12.0 or newer is needed"))?;
        }
        // SAFETY: as above.
        if !unsafe { sys::is_culib_present() } {
            return Err(format!("{} was opened, but is not found as {DRIVER}", path.display()));
        }
        Ok(library)
    };
    let mut opened = lock(&OPENED);
    if opened.is_none() {
        *opened = Some(open().map_err(|e| Error::device("cuda", e).hint("Device::cpu() needs none"))?);
    }
    Ok(())
}

/// GPUs in use, so that a second request finds the first one's stream.
static OPEN: Mutex<Vec<Weak<Inner>>> = Mutex::new(Vec::new());

impl Cuda {
    /// The GPU of this number, from 0.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) without a driver, a GPU of this number, or a source of machine code for it.
    pub fn new(ordinal: usize) -> Result<Self> {
        driver()?;
        let mut open = lock(&OPEN);
        open.retain(|weak| weak.strong_count() > 0);
        if let Some(inner) = open.iter().filter_map(Weak::upgrade).find(|inner| inner.ordinal == ordinal) {
            return Ok(Self(inner));
        }
        let cuda = Self::open(ordinal)?;
        open.push(Arc::downgrade(&cuda.0));
        Ok(cuda)
    }

    /// Number of GPUs.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) without a driver, or if it does not start.
    pub fn count() -> Result<usize> {
        driver()?;
        match CudaContext::device_count() {
            Ok(n) => Ok(usize::try_from(n).unwrap_or(0)),
            Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => Ok(0),
            Err(e) => Err(failed("cuda", "the driver does not start", e)),
        }
    }

    fn open(ordinal: usize) -> Result<Self> {
        let count = Self::count()?;
        if ordinal >= count {
            let expected = if count == 0 { "a GPU".into() } else { format!("cuda:0 to cuda:{}", count - 1) };
            return Err(Error::device("cuda", "no such GPU").expected(expected).got(format!("cuda:{ordinal}")));
        }
        let check = |what: &'static str| move |e: DriverError| failed(format!("cuda:{ordinal}"), what, e);
        let context = CudaContext::new(ordinal).map_err(check("no context"))?;
        // SAFETY: memory is not shared between streams but through events that this module records itself.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(check("no stream"))?;
        let attribute = |a| context.attribute(a).map_err(check("no such attribute"));
        let capability = context.compute_capability().map_err(check("no compute capability"))?;
        let mut version = 0;
        // SAFETY: writes one number.
        let rc = unsafe { sys::cuDriverGetVersion(&mut version) };
        rc.result().map_err(check("no driver version"))?;
        let inner = Inner {
            ordinal,
            name: context.name().map_err(check("no name"))?,
            capability,
            early: capability >= (9, 0) && version >= 12030 && std::env::var_os("KAMACITE_EARLY").is_none_or(|v| v != "0"),
            multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?.max(1) as usize,
            shared: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?.max(48 << 10) as usize,
            downloads: Mutex::new(Downloads::new(&context).map_err(check("no copy stream"))?),
            uploads: Mutex::new(Uploads::new(&context).map_err(check("no copy stream"))?),
            stream,
            compiler: Compiler::new(capability, version / 1000).map_err(|e| e.at(format!("cuda:{ordinal}")))?,
            modules: Mutex::default(),
            functions: Mutex::default(),
            turns: Turns::default(),
            context,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// The card's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its number.
    pub fn ordinal(&self) -> usize {
        self.0.ordinal
    }

    /// Major and minor compute capability: (9, 0) for an H200.
    pub fn capability(&self) -> (u32, u32) {
        (self.0.capability.0 as u32, self.0.capability.1 as u32)
    }

    /// Number of multiprocessors.
    pub fn multiprocessors(&self) -> usize {
        self.0.multiprocessors
    }

    /// Bytes of shared memory that one block may have.
    pub fn shared_memory(&self) -> usize {
        self.0.shared
    }

    /// What compiles its kernels, in words.
    pub fn compiler(&self) -> String {
        format!("{} by {}", self.0.compiler.architecture(), self.0.compiler.describe())
    }

    /// Bytes of device memory that are free.
    pub fn free_memory(&self) -> Option<usize> {
        self.0.context.mem_get_info().ok().map(|(free, _)| free)
    }

    /// A kernel by its full name, compiled when it is asked for the first time.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) for a source that does not compile, a kernel that is not in it, or an
    /// argument of another size than on the device.
    pub fn kernel<A: Pod + std::fmt::Debug>(&self, source: &Source, name: &str) -> Result<Kernel<A>> {
        let known = lock(&self.0.functions).get(&(*source, name.to_string())).cloned();
        let function = match known {
            Some(function) => function,
            None => {
                let function = self.load(source, name)?;
                lock(&self.0.functions).insert((*source, name.to_string()), function.clone());
                function
            }
        };
        Kernel::new(function)
    }

    fn load(&self, source: &Source, name: &str) -> Result<Function> {
        let place = format!("kernel {name} of {}.cu", source.name);
        // The module may have been loaded by another thread.
        self.bound().map_err(|e| failed(&place, "no context", e))?;
        let module = self.module(source)?;
        let missing = |e| failed(&place, "not in its source", e);
        let function = module.load_function(name).map_err(missing)?;
        let what = "cannot be asked about";
        let threads = function.max_threads_per_block().map_err(|e| failed(&place, what, e))? as u32;
        let argument = self.declared(&module, name).map_err(|e| failed(&place, what, e))?;
        // Kernels of the macros wait for the one in front, where they are compiled for cards that can start them early.
        let version = function.get_attribute(FunctionAttribute::CU_FUNC_ATTRIBUTE_PTX_VERSION);
        let early = self.0.early && argument.is_some() && version.map_err(|e| failed(&place, what, e))? >= 90;
        let statics = function.shared_size_bytes().map_err(|e| failed(&place, what, e))?;
        let dynamic = self.0.shared.saturating_sub(statics.max(0) as usize);
        // Without this a block gets no more than 48 KiB.
        let attribute = FunctionAttribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        function.set_attribute(attribute, dynamic as i32).map_err(|e| failed(&place, what, e))?;
        let (name, source, record) = (name.into(), source.name, Record::default());
        Ok(Function(Arc::new(Loaded { function, name, threads, argument, early, dynamic, source, record })))
    }

    /// What the macro says of the size of a kernel's argument; nothing where another one made the kernel.
    fn declared(&self, module: &Arc<CudaModule>, name: &str) -> Result<Option<usize>, DriverError> {
        let constant = match module.get_global(&format!("{name}_args"), &self.0.stream) {
            Err(DriverError(sys::CUresult::CUDA_ERROR_NOT_FOUND)) => return Ok(None),
            other => other?,
        };
        let (mut size, _turn) = ([0_u32], self.0.turns.take());
        self.0.stream.memcpy_dtoh(&as_words(&constant), &mut size)?;
        self.0.stream.synchronize()?;
        Ok(Some(size[0] as usize))
    }

    fn module(&self, source: &Source) -> Result<Arc<CudaModule>> {
        let mut modules = lock(&self.0.modules);
        if let Some(module) = modules.get(source) {
            return Ok(Arc::clone(module));
        }
        let code = self.0.compiler.code(source)?;
        let module = self.0.context.load_module(cudarc::nvrtc::Ptx::from_binary(code));
        let module =
            module.map_err(|e| failed(format!("kernels of {}.cu", source.name), "the driver refuses the machine code", e))?;
        modules.insert(*source, Arc::clone(&module));
        Ok(module)
    }

    pub(super) fn bound(&self) -> Result<(), DriverError> {
        self.0.context.bind_to_thread()
    }

    /// Waits until everything in the stream is done.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) for the failure of anything that ran since the last wait.
    pub fn synchronize(&self) -> Result<()> {
        let _turn = self.0.turns.take();
        self.0.stream.synchronize().map_err(|e| failed(self, "work on the device failed", e))
    }

    /// Memory of its own, not initialised.
    pub(crate) fn allocate(&self, bytes: usize) -> Result<Buffer> {
        // SAFETY: any size but 0 is legal.
        let memory = self.bound().and_then(|()| unsafe { result::malloc_sync(bytes.max(256)) });
        let ptr = memory.map_err(|e| failed(self, "no memory", e).got(format!("{bytes} bytes")))?;
        Ok(Buffer { cuda: self.clone(), ptr: Ptr(ptr) })
    }

    /// Fills memory with a byte, in the order of the stream.
    pub(crate) fn fill(&self, to: Ptr, byte: u8, bytes: usize) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        let _turn = self.0.turns.take();
        // SAFETY: callers pass a range of a live buffer.
        let done = self.bound().and_then(|()| unsafe { result::memset_d8_async(to.0, byte, bytes, self.0.stream.cu_stream()) });
        done.map_err(|e| failed(self, "filling memory failed", e))
    }

    /// Copies within the device, in the order of the stream.
    pub(crate) fn copy(&self, to: Ptr, from: Ptr, bytes: usize) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        let (_turn, stream) = (self.0.turns.take(), self.0.stream.cu_stream());
        // SAFETY: callers pass ranges of live buffers.
        let done = self.bound().and_then(|()| unsafe { result::memcpy_dtod_async(to.0, from.0, bytes, stream) });
        done.map_err(|e| failed(self, "copying on the device failed", e))
    }

    /// Copies to the host and waits for it.
    pub(crate) fn download(&self, from: Ptr, to: &mut [u8]) -> Result<()> {
        if to.is_empty() {
            return Ok(());
        }
        let (_turn, stream) = (self.0.turns.take(), self.0.stream.cu_stream());
        // SAFETY: callers pass a range of a live buffer; `to` outlives the wait below.
        let done = self.bound().and_then(|()| unsafe { result::memcpy_dtoh_async(to, from.0, stream) });
        done.and_then(|()| self.0.stream.synchronize()).map_err(|e| failed(self, "copying to the host failed", e))
    }

    /// Records what `work` puts into the stream, without doing it.
    pub(crate) fn capture(&self, work: impl FnOnce() -> Result<()>) -> Result<Graph> {
        let place = "capture of a step";
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        let flags = sys::CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
        let graph = self.0.turns.record(|| {
            self.0.stream.begin_capture(mode).map_err(|e| failed(place, "cannot begin", e))?;
            let done = work();
            let graph = self.0.stream.end_capture(flags);
            done?;
            graph.map_err(|e| failed(place, "cannot end", e))
        })?;
        match graph {
            Some(graph) => Ok(Graph(graph, self.clone())),
            None => Err(Error::device(place, "the driver gave no graph")),
        }
    }

    /// Whether this thread records a step: nothing may wait or allocate.
    pub(crate) fn capturing(&self) -> bool {
        self.0.turns.records()
    }
}

/// The same bytes as words.
fn as_words<'a>(bytes: &'a cudarc::driver::CudaViewMut<'_, u8>) -> cudarc::driver::CudaView<'a, u32> {
    // SAFETY: the kernels' `name_args` are `unsigned`, so 4 aligned bytes.
    unsafe { bytes.transmute(bytes.len() / 4) }.unwrap_or_else(|| unreachable!("a view of whole words"))
}

/// A loaded kernel.
#[derive(Clone)]
pub(crate) struct Function(Arc<Loaded>);

struct Loaded {
    function: CudaFunction,
    name: String,
    /// Threads of a block, as the kernel declares.
    threads: u32,
    /// Bytes of its argument, where the kernel says so.
    argument: Option<usize>,
    /// Whether it waits for the kernel in front, and so may begin before that one is done.
    early: bool,
    /// The most dynamic shared memory.
    dynamic: usize,
    source: &'static str,
    record: Record,
}

impl Function {
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub fn argument(&self) -> Option<usize> {
        self.0.argument
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.name)
    }
}

/// Device memory, freed when dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    cuda: Cuda,
    ptr: Ptr,
}

impl Buffer {
    pub fn cuda(&self) -> &Cuda {
        &self.cuda
    }

    pub fn ptr(&self) -> Ptr {
        self.ptr
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated by `allocate` and freed once. The driver waits for work that uses it; if the device is lost, there
        // is nothing left to free.
        let _ = self.cuda.bound().and_then(|()| unsafe { result::free_sync(self.ptr.0) });
    }
}

/// A recorded step.
pub(crate) struct Graph(CudaGraph, Cuda);

// SAFETY: the driver allows the use of a graph from any thread, one at a time; `&Graph` gives nothing but `launch`, which the
// owner's `&mut self` keeps apart.
unsafe impl Send for Graph {}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Graph")
    }
}

impl Graph {
    /// Does what was recorded.
    pub fn launch(&mut self) -> Result<()> {
        let _turn = self.1.0.turns.take();
        self.0.launch().map_err(|e| failed("captured step", "launch failed", e))
    }
}

/// `KAMACITE_SYNCHRONOUS=1` waits after every kernel, so that a failure names the one that failed.
fn synchronous() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    *ON.get_or_init(|| std::env::var_os("KAMACITE_SYNCHRONOUS").is_some_and(|v| !v.is_empty() && v != "0"))
}

/// An error of the driver.
#[cold]
pub(super) fn failed(place: impl std::fmt::Display, what: &str, e: DriverError) -> Error {
    use CUresult::*;
    let code = format!("{:?}", e.0);
    match e.0 {
        CUDA_ERROR_OUT_OF_MEMORY => Error::out_of_memory(place, what).source(e).hint("use a smaller batch"),
        CUDA_ERROR_NOT_FOUND => Error::device(place, what).got(code).source(e),
        CUDA_ERROR_ILLEGAL_ADDRESS
        | CUDA_ERROR_LAUNCH_FAILED
        | CUDA_ERROR_ECC_UNCORRECTABLE
        | CUDA_ERROR_DEVICE_UNAVAILABLE
        | CUDA_ERROR_MISALIGNED_ADDRESS
        | CUDA_ERROR_ILLEGAL_INSTRUCTION => Error::device(place, what).source(e).hint(format!(
            "{code}: the GPU is lost to this process, saved checkpoints are valid; KAMACITE_SYNCHRONOUS=1 names the kernel"
        )),
        _ => Error::device(place, format!("{what}: {code}")).source(e),
    }
}

/// A lock whose holder panicked guards plain tables: they are as good as before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What there is and what is missing, line by line.
pub(super) fn report() -> Vec<String> {
    let mut lines = Vec::new();
    match Cuda::count() {
        Err(e) => lines.push(format!("GPU: none, {e}")),
        Ok(0) => lines.push("GPU: none, the driver is there but no device".into()),
        Ok(n) => lines.extend((0..n).map(|i| match Cuda::new(i) {
            Ok(cuda) => format!("GPU: {cuda}, {} multiprocessors, kernels for {}", cuda.multiprocessors(), cuda.compiler()),
            Err(e) => format!("GPU: cuda:{i} cannot be used, {e}"),
        })),
    }
    let cache = nvrtc::cache_folder().map_or_else(|| "none (KAMACITE_CACHE is empty)".into(), |p| p.display().to_string());
    lines.push(format!("kernel cache: {cache}"));
    lines
}
