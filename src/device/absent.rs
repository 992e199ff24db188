//! What stands for a GPU in builds without the feature `cuda`: types without values.

use super::TensorMap;
use super::kernel::{Grid, Kernel, Ptr, Source};
use crate::{DType, Result};
use bytemuck::Pod;
use std::fmt::{Debug, Display, Formatter};

/// An NVIDIA GPU. This build has none, so no value of this type exists.
#[derive(Clone, Debug)]
pub enum Cuda {}

#[derive(Clone, Debug)]
pub(crate) enum Function {}

#[derive(Debug)]
pub(crate) enum Buffer {}

#[derive(Debug)]
pub(crate) enum Graph {}

#[derive(Debug)]
pub(crate) enum Download {}

impl Download {
    pub fn wait(&self) -> Result<&[u8]> {
        match *self {}
    }
}

impl Display for Cuda {
    fn fmt(&self, _: &mut Formatter<'_>) -> std::fmt::Result {
        match *self {}
    }
}

impl Function {
    pub fn name(&self) -> &str {
        match *self {}
    }
}

impl Buffer {
    pub fn cuda(&self) -> &Cuda {
        match *self {}
    }

    pub fn ptr(&self) -> Ptr {
        match *self {}
    }
}

/// Functions of the type in `cuda.rs`, which nobody can call.
macro_rules! uncallable {
    ($($(#[$attribute:meta])* $visibility:vis fn $name:ident$([$generic:ident: $($bound:tt)+])?(&$self:ident $(, $argument:ident: $type:ty)*) -> $result:ty;)*) => {$(
        $(#[$attribute])*
        #[allow(clippy::missing_errors_doc, unused_variables)]
        $visibility fn $name$(<$generic: $($bound)+>)?(&$self $(, $argument: $type)*) -> $result {
            match *$self {}
        }
    )*};
}

impl Cuda {
    uncallable! {
        /// The card's name.
        pub fn name(&self) -> &str;
        /// Its number.
        pub fn ordinal(&self) -> usize;
        /// Major and minor compute capability.
        pub fn capability(&self) -> (u32, u32);
        /// Number of multiprocessors.
        pub fn multiprocessors(&self) -> usize;
        /// Bytes of shared memory that one block may have.
        pub fn shared_memory(&self) -> usize;
        /// Bytes of device memory that are free.
        pub fn free_memory(&self) -> Option<usize>;
        /// What compiles its kernels, in words.
        pub fn compiler(&self) -> String;
        /// A kernel by its full name.
        pub fn kernel[A: Pod + Debug](&self, source: &Source, name: &str) -> Result<Kernel<A>>;
        /// Waits until everything in the stream is done.
        pub fn synchronize(&self) -> Result<()>;
        pub(super) fn launch(&self, function: &Function, grid: Grid, argument: &[u8]) -> Result<()>;
        pub(crate) fn allocate(&self, bytes: usize) -> Result<Buffer>;
        pub(crate) fn fill(&self, to: Ptr, byte: u8, bytes: usize) -> Result<()>;
        pub(crate) fn copy(&self, to: Ptr, from: Ptr, bytes: usize) -> Result<()>;
        pub(crate) fn download(&self, from: Ptr, to: &mut [u8]) -> Result<()>;
        pub(crate) fn fetch(&self, from: &[(Ptr, usize, usize)]) -> Result<Download>;
        pub(crate) fn upload(&self, to: Ptr, bytes: usize, fill: &mut dyn FnMut(&mut [u8]) -> Result<()>) -> Result<()>;
        pub(crate) fn upload_for(&self, bytes: usize, fill: &mut dyn FnMut(&mut [u8]) -> Result<()>, work: &mut dyn FnMut(Ptr) -> Result<()>) -> Result<bool>;
        pub(crate) fn tensor_map(&self, dtype: DType, base: Ptr, sizes: &[usize], strides: &[usize], boxed: &[usize]) -> Result<TensorMap>;
        pub(crate) fn capturing(&self) -> bool;
    }

    pub(crate) fn capture(&self, _: impl FnOnce() -> Result<()>) -> Result<Graph> {
        match *self {}
    }
}

impl Graph {
    pub fn launch(&mut self) -> Result<()> {
        match *self {}
    }
}
