//! The CPU and its small pool of threads.
//!
//! A job is a number of tasks and a function. The caller publishes it in one word, works too, closes the word when no
//! task is left and waits for those workers that entered. Workers that come late find the word closed: nobody waits for
//! a thread that the system has not scheduled, and a forked child whose workers are gone computes alone. Idle workers
//! spin, then yield, then park.
#![allow(unsafe_code)]

use super::Isa;
use crate::{Error, Result};
use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread, yield_now};

/// The most threads a pool may have.
pub const MAX_THREADS: usize = 1024;

/// A CPU with a pool of threads. Clones share the pool; it is joined when the last clone drops.
///
/// # Examples
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// let cpu = kamacite::Cpu::new(2)?;
/// let sum = AtomicUsize::new(0);
/// cpu.run(10, &|i| { sum.fetch_add(i, Ordering::Relaxed); });
/// assert_eq!(sum.into_inner(), 45);
/// # Ok::<(), kamacite::Error>(())
/// ```
#[derive(Clone)]
pub struct Cpu(Arc<Pool>);

struct Pool {
    threads: usize,
    isa: Isa,
    shared: Arc<Shared>,
    workers: Vec<Worker>,
}

struct Worker {
    handle: Option<JoinHandle<()>>,
    thread: Thread,
    parked: Arc<AtomicBool>,
}

/// What the caller and the workers see. The two hot words lie on cache lines of their own.
struct Shared {
    state: Line<AtomicU64>,
    next: Line<AtomicUsize>,
    /// Valid while the state is open or a worker is inside.
    job: UnsafeCell<Option<Job>>,
    /// A caller is using the pool.
    busy: AtomicBool,
    /// Workers that are parked, or about to be.
    parked: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

#[repr(align(128))]
struct Line<T>(T);

#[derive(Clone, Copy)]
struct Job {
    tasks: usize,
    task: *const (dyn Fn(usize) + Sync),
}

// The state word: whether a job may be entered, whether the pool ends, how many workers are inside, and the job's number.
const OPEN: u64 = 1;
const QUIT: u64 = 2;
const INSIDE: u64 = 1 << 8;
const INSIDE_MASK: u64 = 0xFFFF << 8;
const NUMBER: u64 = 1 << 32;

// SAFETY: `job` is written by the caller that holds `busy`, before it opens the state and after no worker is inside; it is
// read by workers that entered the open state. The task is `Sync`, and its borrow outlives the job (`run` waits).
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Cpu {
    /// A pool of this many threads, the caller included, with the best instruction set of this machine or the one that
    /// the environment variable `KAMACITE_ISA` (`portable`, `avx2`, `avx512`) asks for.
    ///
    /// No more threads are started than this process has cores, whatever the number says: results do not depend on it.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for 0 and for more than [`MAX_THREADS`];
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if `KAMACITE_ISA` names no instruction set of this machine.
    pub fn new(threads: usize) -> Result<Self> {
        Self::with_isa(threads, isa_of(std::env::var("KAMACITE_ISA").ok().as_deref())?)
    }

    /// A pool with the given instruction set.
    ///
    /// # Errors
    /// As [`Cpu::new`], for an instruction set that this machine does not have.
    pub fn with_isa(threads: usize, isa: Isa) -> Result<Self> {
        if threads == 0 || threads > MAX_THREADS {
            return Err(Error::value("cpu", "number of threads").expected(format!("1 to {MAX_THREADS}")).got(threads));
        }
        if !isa.present() {
            return Err(Error::unsupported("cpu", "this machine lacks the instruction set").expected(present()).got(isa));
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // At least two, so that the threaded paths are the same ones on a single core.
        Ok(Self(Arc::new(Pool::start(threads, threads.min(cores.max(2)), cores, isa))))
    }

    /// Threads that take part in [`Cpu::run`].
    #[inline]
    pub fn threads(&self) -> usize {
        self.0.threads
    }

    /// The instruction set in use.
    #[inline]
    pub fn isa(&self) -> Isa {
        self.0.isa
    }

    /// Calls `task(i)` for every i < `tasks`, on all threads; returns when all are done.
    ///
    /// Which thread gets which task is left to chance, so a task's result must depend on i alone. A pool that is busy
    /// (`run` within `run`, or from two threads at once) leaves the tasks to the calling thread. If a task panics, tasks
    /// not yet begun are dropped and the panic continues in the caller.
    #[inline]
    pub fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        if tasks > 1 && !self.0.workers.is_empty() && !self.0.shared.busy.swap(true, Acquire) {
            self.0.run(tasks, task);
        } else {
            (0..tasks).for_each(task);
        }
    }
}

impl Pool {
    fn start(threads: usize, live: usize, cores: usize, isa: Isa) -> Self {
        let shared = Arc::new(Shared {
            state: Line(AtomicU64::new(0)),
            next: Line(AtomicUsize::new(0)),
            job: UnsafeCell::new(None),
            busy: AtomicBool::new(false),
            parked: AtomicUsize::new(0),
            panic: Mutex::new(None),
        });
        // Spinning pays only where no other thread of the pool wants the core.
        let patience = if live <= cores { Patience { spins: 2000, yields: 100 } } else { Patience { spins: 0, yields: 2 } };
        let worker = |i: usize| {
            let (shared, parked) = (shared.clone(), Arc::new(AtomicBool::new(false)));
            let flag = parked.clone();
            let spawned =
                std::thread::Builder::new().name(format!("kamacite-{i}")).spawn(move || shared.work(&flag, patience)).ok()?;
            Some(Worker { thread: spawned.thread().clone(), handle: Some(spawned), parked })
        };
        // Where the system refuses a thread the others do its share.
        let workers = (1..live).map_while(worker).collect();
        Self { threads, isa, shared, workers }
    }

    /// The caller holds `busy`.
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let shared = &*self.shared;
        // SAFETY: only the lifetime is forgotten; this function returns after the last worker has left.
        let task: *const (dyn Fn(usize) + Sync) =
            unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), *const (dyn Fn(usize) + Sync + 'static)>(task) };
        let job = Job { tasks, task };
        // SAFETY: the state is closed and nobody is inside.
        unsafe { *shared.job.get() = Some(job) };
        shared.next.0.store(0, Relaxed);
        // SeqCst: this store comes before the look at `parked`; a worker announces itself there before its last look at the state.
        shared.state.0.fetch_add(NUMBER | OPEN, SeqCst);
        if shared.parked.load(SeqCst) > 0 {
            self.wake(tasks - 1);
        }
        shared.drain(job);
        let mut inside = shared.state.0.fetch_and(!OPEN, AcqRel) & INSIDE_MASK;
        let mut waited = 0_u32;
        while inside != 0 {
            waited += 1;
            if waited < 2000 {
                spin_loop();
            } else {
                yield_now();
            }
            inside = shared.state.0.load(Acquire) & INSIDE_MASK;
        }
        let panic = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        shared.busy.store(false, Release);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    fn wake(&self, most: usize) {
        let asleep = self.workers.iter().filter(|w| w.parked.swap(false, AcqRel));
        asleep.take(most).for_each(|w| w.thread.unpark());
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.state.0.fetch_or(QUIT, SeqCst);
        for worker in &mut self.workers {
            worker.thread.unpark();
            if let Some(handle) = worker.handle.take() {
                let _ = handle.join();
            }
        }
    }
}

/// How long an idle worker stays awake.
#[derive(Clone, Copy)]
struct Patience {
    spins: u32,
    yields: u32,
}

impl Shared {
    /// Tasks until none is left. Panics are kept for the caller.
    fn drain(&self, job: Job) {
        let tasks = || {
            loop {
                let i = self.next.0.fetch_add(1, Relaxed);
                if i >= job.tasks {
                    return;
                }
                // SAFETY: the job is open or this thread is inside, so the borrow is alive.
                unsafe { (*job.task)(i) }
            }
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(tasks)) {
            self.next.0.store(job.tasks, Relaxed);
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
    }

    /// The life of a worker.
    fn work(&self, parked: &AtomicBool, patience: Patience) {
        let mut seen = 0;
        while let Some(state) = self.wait(seen, parked, patience) {
            // Fails where the job closed, another worker entered or one left: look again.
            if self.state.0.compare_exchange(state, state + INSIDE, Acquire, Relaxed).is_err() {
                continue;
            }
            seen = state / NUMBER;
            // SAFETY: this worker is inside an open job, so the caller does not write it.
            if let Some(job) = unsafe { *self.job.get() } {
                self.drain(job);
            }
            self.state.0.fetch_sub(INSIDE, Release);
        }
    }

    /// The state once it is open with another number than `seen`; `None` when the pool ends.
    fn wait(&self, seen: u64, parked: &AtomicBool, patience: Patience) -> Option<u64> {
        let mut waited = 0;
        loop {
            let state = self.state.0.load(SeqCst);
            if state & QUIT != 0 {
                return None;
            }
            if state & OPEN != 0 && state / NUMBER != seen {
                return Some(state);
            }
            waited += 1;
            if waited <= patience.spins {
                spin_loop();
            } else if waited <= patience.spins + patience.yields {
                yield_now();
            } else {
                self.park(state, parked);
                waited = 0;
            }
        }
    }

    /// Sleeps until woken, unless the state is no longer the one given.
    fn park(&self, state: u64, parked: &AtomicBool) {
        parked.store(true, SeqCst);
        self.parked.fetch_add(1, SeqCst);
        // The caller either sees this worker in `parked` or was seen here. A wake-up meant for an earlier sleep only costs a turn.
        if self.state.0.load(SeqCst) == state {
            std::thread::park();
        }
        self.parked.fetch_sub(1, SeqCst);
        parked.store(false, SeqCst);
    }
}

fn present() -> String {
    let names: Vec<_> = Isa::ALL.into_iter().filter(|isa| isa.present()).map(|isa| isa.to_string()).collect();
    names.join(", ")
}

fn isa_of(name: Option<&str>) -> Result<Isa> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(Isa::best()) };
    Isa::ALL.into_iter().find(|isa| isa.present() && isa.to_string() == name).ok_or_else(|| {
        Error::unsupported("KAMACITE_ISA", "no instruction set of this machine").expected(present()).got(format!("{name:?}"))
    })
}

/// Threads that this process may use: the smallest of its CPU affinity, its cgroup quota, `KAMACITE_NUM_THREADS`,
/// `OMP_NUM_THREADS` and `SLURM_CPUS_PER_TASK`; variables that hold no positive number are ignored.
pub fn default_threads() -> usize {
    // The standard library looks at the affinity mask and at both versions of cgroups.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let names = ["KAMACITE_NUM_THREADS", "OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"];
    names.iter().filter_map(|name| positive(&std::env::var(name).ok()?)).fold(cores, usize::min).min(MAX_THREADS)
}

/// The first number of a list such as `4,2` (nested levels in OpenMP).
fn positive(value: &str) -> Option<usize> {
    value.split(',').next()?.trim().parse().ok().filter(|&n| n > 0)
}

impl Default for Cpu {
    /// [`default_threads`] threads. A `KAMACITE_ISA` that [`Cpu::new`] refuses is ignored here.
    fn default() -> Self {
        let isa = isa_of(std::env::var("KAMACITE_ISA").ok().as_deref()).unwrap_or_else(|_| Isa::best());
        let threads = default_threads();
        Self(Arc::new(Pool::start(threads, threads, threads, isa)))
    }
}

impl fmt::Debug for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cpu({} threads, {})", self.threads(), self.isa())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    fn each_once(cpu: &Cpu, tasks: usize) {
        let count: Vec<AtomicU32> = (0..tasks).map(|_| AtomicU32::new(0)).collect();
        cpu.run(tasks, &|i| {
            count[i].fetch_add(1, Relaxed);
        });
        assert!(count.iter().all(|c| c.load(Relaxed) == 1), "{tasks} tasks on {cpu:?}");
    }

    #[test]
    fn every_task_runs_once_for_any_number_of_threads() {
        for threads in [1, 2, 3, 7, 64] {
            let cpu = Cpu::new(threads).unwrap();
            assert_eq!(cpu.threads(), threads);
            for tasks in [0, 1, 2, 3, 7, 100] {
                each_once(&cpu, tasks);
            }
        }
    }

    #[test]
    fn many_tiny_jobs_and_pauses_between_them() {
        let cpu = Cpu::new(3).unwrap();
        let sum = AtomicUsize::new(0);
        for job in 0..20_000 {
            cpu.run(3, &|i| {
                sum.fetch_add(i, Relaxed);
            });
            if job % 5000 == 0 {
                // Long enough for the workers to park.
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        assert_eq!(sum.into_inner(), 60_000);
    }

    #[test]
    fn other_threads_take_part() {
        let cpu = Cpu::new(2).unwrap();
        let meeting = std::sync::Barrier::new(2);
        // Returns only if two threads are inside at once.
        cpu.run(2, &|_| {
            meeting.wait();
        });
        // And again when the worker is certainly parked.
        std::thread::sleep(std::time::Duration::from_millis(20));
        cpu.run(2, &|_| {
            meeting.wait();
        });
    }

    #[test]
    fn nested_jobs_run_on_their_own_thread() {
        let cpu = Cpu::new(2).unwrap();
        let count = AtomicUsize::new(0);
        cpu.run(4, &|_| {
            let here = std::thread::current().id();
            cpu.run(5, &|_| {
                assert_eq!(std::thread::current().id(), here);
                count.fetch_add(1, Relaxed);
            });
        });
        assert_eq!(count.into_inner(), 20);
    }

    #[test]
    fn concurrent_callers_share_a_pool() {
        let cpu = Cpu::new(3).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|tasks| each_once(&cpu, tasks % 9)));
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_survives() {
        for threads in [1, 2, 7] {
            let cpu = Cpu::new(threads).unwrap();
            for bad in [0, 5, 63] {
                let run = || cpu.run(64, &|i| assert!(i != bad, "task {i}"));
                let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
                assert_eq!(panic.downcast_ref::<String>(), Some(&format!("task {bad}")));
                each_once(&cpu, 64);
            }
        }
    }

    #[test]
    fn dropping_joins_all_threads() {
        let alive = Arc::new(());
        for _ in 0..50 {
            let cpu = Cpu::new(2).unwrap();
            let clone = cpu.clone();
            let held = alive.clone();
            clone.run(2, &|_| drop(held.clone()));
            drop(cpu);
            each_once(&clone, 3);
            let shared = Arc::downgrade(&clone.0.shared);
            drop(clone);
            assert!(shared.upgrade().is_none(), "a worker outlives the pool");
        }
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[test]
    fn bad_numbers_and_names_are_errors() {
        assert!(Cpu::new(0).is_err() && Cpu::new(MAX_THREADS + 1).is_err());
        assert!(isa_of(Some("avx1024")).unwrap_err().to_string().contains("portable"));
        assert!(isa_of(Some("AVX2")).is_err());
        assert_eq!(isa_of(Some("portable")).unwrap(), Isa::Portable);
        assert_eq!((isa_of(None).unwrap(), isa_of(Some("")).unwrap()), (Isa::best(), Isa::best()));
        for isa in Isa::ALL {
            match Cpu::with_isa(1, isa) {
                Ok(cpu) => assert!(isa.present() && cpu.isa() == isa),
                Err(_) => assert!(!isa.present()),
            }
        }
    }

    #[test]
    fn numbers_of_threads_from_the_environment() {
        assert_eq!(["4", " 4 ", "4,2", "0", "-1", "four", ""].map(positive), [Some(4), Some(4), Some(4), None, None, None, None]);
        assert!((1..=MAX_THREADS).contains(&default_threads()));
    }
}
