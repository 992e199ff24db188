//! Cases of the layers, one file per stem.

mod activation;
mod bayes_dense;
mod conv;
mod conv_transpose;
mod dense;
mod dropout;
mod large;
mod lrn;
mod merge;
mod norm;
mod pad;
mod pool;
mod reshape;
mod upsample;
