//! The values of one input: numbers, or what a file held, of which numbers are made when somebody asks.

use crate::data::{Raw, Scaling};
use std::fmt;
use std::sync::{Arc, OnceLock};

#[derive(Clone)]
pub(in crate::data) enum Values {
    Wide(Vec<f32>),
    Stored(Stored),
}

/// Elements one after another as a file held them.
#[derive(Clone)]
pub(in crate::data) struct Stored {
    pub bytes: Arc<Vec<u8>>,
    /// Where they begin.
    pub start: usize,
    pub len: usize,
    pub raw: Raw,
    pub scaling: Scaling,
    /// All numbers, once somebody has asked for them.
    wide: OnceLock<Vec<f32>>,
}

impl Stored {
    /// `None` for elements that must be refused, or that take as much memory as numbers.
    pub fn new(bytes: Arc<Vec<u8>>, start: usize, raw: Raw, scaling: Scaling) -> Option<Self> {
        let elements = bytes.get(start..)?;
        let len = elements.len() / raw.kind().bytes();
        let good = raw.kind().bytes() <= 2 && raw.accepts(elements, &scaling);
        good.then(|| Self { len, start, raw, scaling, wide: OnceLock::new(), bytes })
    }

    /// Elements `at..at + len`.
    fn bytes(&self, at: usize, len: usize) -> &[u8] {
        let size = self.raw.kind().bytes();
        &self.bytes[self.start + at * size..][..len * size]
    }

    fn wide(&self) -> &[f32] {
        self.wide.get_or_init(|| {
            let mut x = vec![0.0; self.len];
            self.raw.decode(self.bytes(0, self.len), &self.scaling, &mut x);
            x
        })
    }
}

impl Values {
    pub fn len(&self) -> usize {
        match self {
            Self::Wide(x) => x.len(),
            Self::Stored(stored) => stored.len,
        }
    }

    pub fn get(&self) -> &[f32] {
        match self {
            Self::Wide(x) => x,
            Self::Stored(stored) => stored.wide(),
        }
    }

    /// The numbers, to be changed.
    pub fn get_mut(&mut self) -> &mut [f32] {
        if let Self::Stored(stored) = self {
            stored.wide();
            *self = Self::Wide(stored.wide.take().unwrap_or_default());
        }
        match self {
            Self::Wide(x) => x,
            Self::Stored(_) => &mut [],
        }
    }

    /// Numbers `at..at + out.len()`.
    #[inline]
    pub fn read(&self, at: usize, out: &mut [f32]) {
        let wide = match self {
            Self::Wide(x) => x,
            Self::Stored(stored) => match stored.wide.get() {
                Some(x) => x,
                None => return stored.raw.decode(stored.bytes(at, out.len()), &stored.scaling, out),
            },
        };
        out.copy_from_slice(&wide[at..at + out.len()]);
    }

    /// Every number times `factor`.
    pub fn scale(&mut self, factor: f32) {
        if let Self::Stored(stored) = self {
            // What a product leaves of -0 is added: nothing.
            if let Some(raw) = stored.raw.clone().affine(factor, -0.0) {
                (stored.raw, stored.wide) = (raw, OnceLock::new());
                return;
            }
        }
        self.get_mut().iter_mut().for_each(|x| *x *= factor);
    }

    /// Rows of `len` numbers, in this order.
    pub fn rows(&self, len: usize, indices: &[usize]) -> Self {
        match self {
            Self::Wide(x) => Self::Wide(super::pick_rows(x, len, indices)),
            Self::Stored(stored) => {
                let size = stored.raw.kind().bytes();
                let bytes = super::pick_rows(&stored.bytes[stored.start..], len * size, indices);
                let (bytes, len) = (Arc::new(bytes), len * indices.len());
                let (raw, scaling) = (stored.raw.clone(), stored.scaling);
                Self::Stored(Stored { bytes, start: 0, len, raw, scaling, wide: OnceLock::new() })
            }
        }
    }

    pub fn raw(&self) -> Option<&Raw> {
        match self {
            Self::Wide(_) => None,
            Self::Stored(stored) => Some(&stored.raw),
        }
    }

    /// Elements from `at` on as they are stored.
    pub fn raw_row(&self, at: usize, row: &mut [u8]) -> Option<Scaling> {
        let Self::Stored(stored) = self else { return None };
        let len = row.len() / stored.raw.kind().bytes();
        if at.checked_add(len)? > stored.len {
            return None;
        }
        row.copy_from_slice(stored.bytes(at, len));
        Some(stored.scaling)
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
