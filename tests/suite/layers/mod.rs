//! Cases of the layers, one file per stem.

mod activation;
mod conv;
mod conv_transpose;
mod dropout;
mod lrn;
mod merge;
mod pad;
mod pool;
mod reshape;
mod upsample;
