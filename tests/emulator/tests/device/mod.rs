//! The emulator's functions by name, for tests: no binding in between.

#![allow(dead_code)] // each test file uses its part

use libloading::{Library, Symbol};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

pub type Address = u64;

pub struct Emulator {
    library: Library,
}

/// The order in which threads run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order {
    Forward,
    Reverse,
    Random,
}
pub const ORDERS: [Order; 3] = [Order::Forward, Order::Reverse, Order::Random];

/// The emulator, made whole again, for one test at a time. None where there is no C++ compiler.
pub fn emulator() -> Option<MutexGuard<'static, Emulator>> {
    static ONE: OnceLock<Option<Mutex<Emulator>>> = OnceLock::new();
    let one = ONE.get_or_init(|| match kamacite_emulator::library() {
        Ok(path) => Some(Mutex::new(Emulator { library: unsafe { Library::new(path) }.expect("the library loads") })),
        Err(why) => {
            assert!(std::env::var_os("KAMACITE_REQUIRE_EMULATOR").is_none(), "no emulator: {why}");
            eprintln!("skipped, no emulator: {why}");
            None
        }
    });
    let emulator = one.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
    emulator.reset();
    emulator.order(Order::Forward);
    assert_eq!(unsafe { emulator.get::<unsafe extern "C" fn(u32) -> c_int>("cuInit")(0) }, 0);
    let mut context: *mut c_void = std::ptr::null_mut();
    let retain = unsafe { emulator.get::<unsafe extern "C" fn(*mut *mut c_void, c_int) -> c_int>("cuDevicePrimaryCtxRetain") };
    assert_eq!(unsafe { retain(&mut context, 0) }, 0);
    let set = unsafe { emulator.get::<unsafe extern "C" fn(*mut c_void) -> c_int>("cuCtxSetCurrent") };
    assert_eq!(unsafe { set(context) }, 0);
    Some(emulator)
}

impl Emulator {
    /// A function; the caller names its signature.
    pub unsafe fn get<T>(&self, name: &str) -> Symbol<'_, T> {
        unsafe { self.library.get(name.as_bytes()) }.unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn reset(&self) {
        unsafe { self.get::<unsafe extern "C" fn()>("kamacite_emulator_reset")() }
    }

    pub fn order(&self, order: Order) {
        unsafe { self.get::<unsafe extern "C" fn(c_int)>("kamacite_emulator_order")(order as c_int) }
    }

    pub fn fail(&self, what: &str, after: i32) {
        let what = CString::new(what).unwrap();
        unsafe { self.get::<unsafe extern "C" fn(*const c_char, c_int)>("kamacite_emulator_fail")(what.as_ptr(), after) }
    }

    pub fn fault(&self) -> String {
        let text = unsafe { self.get::<unsafe extern "C" fn() -> *const c_char>("kamacite_emulator_fault")() };
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }

    /// launches, graph launches, copies in, their bytes, copies out, allocations, synchronisations, replayed nodes
    pub fn counts(&self) -> [u64; 8] {
        let mut out = [0; 8];
        unsafe { self.get::<unsafe extern "C" fn(*mut u64)>("kamacite_emulator_counts")(out.as_mut_ptr()) };
        out
    }

    /// Compiles and loads; the log if it does not compile.
    pub fn module(&self, name: &str, source: &str, headers: &[(&str, &str)], options: &[&str]) -> Result<*mut c_void, String> {
        type Create = unsafe extern "C" fn(
            *mut *mut c_void,
            *const c_char,
            *const c_char,
            c_int,
            *const *const c_char,
            *const *const c_char,
        ) -> c_int;
        type Size = unsafe extern "C" fn(*mut c_void, *mut usize) -> c_int;
        type Get = unsafe extern "C" fn(*mut c_void, *mut u8) -> c_int;
        let text = |s: &str| CString::new(s).unwrap();
        let (source, name) = (text(source), text(name));
        let headers: Vec<_> = headers.iter().map(|(name, code)| (text(name), text(code))).collect();
        let (names, texts): (Vec<_>, Vec<_>) = headers.iter().map(|(name, code)| (name.as_ptr(), code.as_ptr())).unzip();
        let options: Vec<_> = options.iter().map(|o| text(o)).collect();
        let options: Vec<_> = options.iter().map(|o| o.as_ptr()).collect();
        let fetch = |program, size: &str, get: &str| {
            let mut n = 0;
            assert_eq!(unsafe { self.get::<Size>(size)(program, &mut n) }, 0);
            let mut bytes = vec![0_u8; n];
            assert_eq!(unsafe { self.get::<Get>(get)(program, bytes.as_mut_ptr()) }, 0);
            bytes
        };
        let mut program = std::ptr::null_mut();
        let count = headers.len() as c_int;
        let create = unsafe { self.get::<Create>("nvrtcCreateProgram") };
        assert_eq!(unsafe { create(&mut program, source.as_ptr(), name.as_ptr(), count, texts.as_ptr(), names.as_ptr()) }, 0);
        type Compile = unsafe extern "C" fn(*mut c_void, c_int, *const *const c_char) -> c_int;
        let rc = unsafe { self.get::<Compile>("nvrtcCompileProgram")(program, options.len() as c_int, options.as_ptr()) };
        let log = String::from_utf8_lossy(&fetch(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog")).into_owned();
        if rc != 0 {
            return Err(log);
        }
        let code = fetch(program, "nvrtcGetCUBINSize", "nvrtcGetCUBIN");
        unsafe { self.get::<unsafe extern "C" fn(*mut *mut c_void) -> c_int>("nvrtcDestroyProgram")(&mut program) };
        let mut module = std::ptr::null_mut();
        let load = unsafe { self.get::<unsafe extern "C" fn(*mut *mut c_void, *const u8) -> c_int>("cuModuleLoadData") };
        assert_eq!(unsafe { load(&mut module, code.as_ptr()) }, 0, "{}", self.fault());
        Ok(module)
    }

    /// A kernel, or the driver's error.
    pub fn function(&self, module: *mut c_void, name: &str) -> Result<*mut c_void, i32> {
        let (mut function, name) = (std::ptr::null_mut(), CString::new(name).unwrap());
        type Get = unsafe extern "C" fn(*mut *mut c_void, *mut c_void, *const c_char) -> c_int;
        check(unsafe { self.get::<Get>("cuModuleGetFunction")(&mut function, module, name.as_ptr()) })?;
        Ok(function)
    }

    pub fn allocate(&self, bytes: usize) -> Result<Address, i32> {
        let mut p = 0;
        check(unsafe { self.get::<unsafe extern "C" fn(*mut Address, usize) -> c_int>("cuMemAlloc_v2")(&mut p, bytes) })?;
        Ok(p)
    }

    pub fn free(&self, p: Address) -> Result<(), i32> {
        check(unsafe { self.get::<unsafe extern "C" fn(Address) -> c_int>("cuMemFree_v2")(p) })
    }

    pub fn upload<T: Copy>(&self, values: &[T]) -> Address {
        let p = self.allocate(size_of_val(values)).unwrap();
        let copy = unsafe { self.get::<unsafe extern "C" fn(Address, *const T, usize) -> c_int>("cuMemcpyHtoD_v2") };
        assert_eq!(unsafe { copy(p, values.as_ptr(), size_of_val(values)) }, 0);
        p
    }

    pub fn download<T: Copy + Default>(&self, p: Address, n: usize) -> Result<Vec<T>, i32> {
        let mut values = vec![T::default(); n];
        let copy = unsafe { self.get::<unsafe extern "C" fn(*mut T, Address, usize) -> c_int>("cuMemcpyDtoH_v2") };
        check(unsafe { copy(values.as_mut_ptr(), p, n * size_of::<T>()) })?;
        Ok(values)
    }

    /// Launches with one argument struct.
    pub fn launch<A>(
        &self,
        function: *mut c_void,
        grid: [u32; 3],
        threads: u32,
        shared: u32,
        stream: *mut c_void,
        args: &A,
    ) -> Result<(), i32> {
        let mut parameters = [std::ptr::from_ref(args).cast_mut().cast::<c_void>()];
        unsafe { self.launch_raw(function, grid, threads, shared, stream, parameters.as_mut_ptr(), std::ptr::null_mut()) }
    }

    /// Launches with attributes: their numbers, each with three values.
    pub fn launch_with<A>(
        &self,
        function: *mut c_void,
        grid: [u32; 3],
        threads: u32,
        shared: u32,
        stream: *mut c_void,
        (attributes, args): (&[(u32, [u32; 3])], &A),
    ) -> Result<(), i32> {
        #[repr(C, align(8))]
        struct Attribute {
            id: [u32; 2],
            value: [u32; 16],
        }
        #[repr(C)]
        struct Config {
            grid: [u32; 3],
            block: [u32; 3],
            shared: u32,
            stream: *mut c_void,
            attributes: *const Attribute,
            count: u32,
        }
        let value = |v: [u32; 3]| std::array::from_fn(|i| v.get(i).copied().unwrap_or(0));
        let attributes: Vec<_> = attributes.iter().map(|&(id, v)| Attribute { id: [id, 0], value: value(v) }).collect();
        let (count, attributes) = (attributes.len() as u32, attributes.as_ptr());
        let config = Config { grid, block: [threads, 1, 1], shared, stream, attributes, count };
        let mut parameters = [std::ptr::from_ref(args).cast_mut().cast::<c_void>()];
        type Launch = unsafe extern "C" fn(*const Config, *mut c_void, *mut *mut c_void, *mut *mut c_void) -> c_int;
        let launch = unsafe { self.get::<Launch>("cuLaunchKernelEx") };
        check(unsafe { launch(&config, function, parameters.as_mut_ptr(), std::ptr::null_mut()) })
    }

    #[expect(clippy::too_many_arguments)]
    pub unsafe fn launch_raw(
        &self,
        function: *mut c_void,
        grid: [u32; 3],
        threads: u32,
        shared: u32,
        stream: *mut c_void,
        parameters: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) -> Result<(), i32> {
        type Launch = unsafe extern "C" fn(
            *mut c_void,
            u32,
            u32,
            u32,
            u32,
            u32,
            u32,
            u32,
            *mut c_void,
            *mut *mut c_void,
            *mut *mut c_void,
        ) -> c_int;
        let launch = unsafe { self.get::<Launch>("cuLaunchKernel") };
        check(unsafe { launch(function, grid[0], grid[1], grid[2], threads, 1, 1, shared, stream, parameters, extra) })
    }
}

pub fn check(rc: c_int) -> Result<(), i32> {
    if rc == 0 { Ok(()) } else { Err(rc) }
}
