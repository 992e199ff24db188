//! The RICE_1 decoder.
//!
//! `fitsrs` has one that takes every tile for full-sized and of 4-byte pixels, so that 16-bit images and the tiles at the edges come out
//! wrong, and its sums overflow on damaged files.
//!
//! # Source
//! FITS standard 4.0, section 10.4.1; Rice, Yeh & Miller, "Algorithms for a very high speed universal noiseless coding module" (1991).

/// Most significant bits first.
struct Bits<'a> {
    bytes: std::slice::Iter<'a, u8>,
    /// The last `held` bits are still to be taken.
    window: u64,
    held: u32,
}

impl Bits<'_> {
    fn fetch(&mut self) -> Option<()> {
        self.window = (self.window << 8) | u64::from(*self.bytes.next()?);
        self.held += 8;
        Some(())
    }

    /// The next `n` bits, at most 32.
    fn take(&mut self, n: u32) -> Option<u32> {
        while self.held < n {
            self.fetch()?;
        }
        self.held -= n;
        Some(((self.window >> self.held) & ((1 << n) - 1)) as u32)
    }

    /// How many zeros come before the next one, which is taken as well.
    fn zeros(&mut self) -> Option<u64> {
        let mut count = 0;
        loop {
            let rest = self.window & ((1 << self.held) - 1);
            if rest != 0 {
                let zeros = self.held - (64 - rest.leading_zeros());
                self.held -= zeros + 1;
                return Some(count + u64::from(zeros));
            }
            count += u64::from(self.held);
            self.held = 0;
            self.fetch()?;
        }
    }
}

/// Fills `out` with the pixels of a tile, each stored in `width` bytes (1, 2, 4), coded in blocks of `block` pixels. `None` where the bytes
/// end too soon or make no sense.
pub(super) fn decode(bytes: &[u8], width: usize, block: usize, out: &mut [i32]) -> Option<()> {
    // Bits that say how a block is coded, the value for "as they are", bits of a pixel.
    let (code_bits, raw_code, pixel_bits) = match width {
        1 => (3, 6, 8),
        2 => (4, 14, 16),
        4 => (5, 25, 32),
        _ => return None,
    };
    // Differences wrap around in the width of the pixels.
    let narrow = |x: i32| match width {
        1 => i32::from(x as u8),
        2 => i32::from(x as i16),
        _ => x,
    };
    let mut bits = Bits { bytes: bytes.iter(), window: 0, held: 0 };
    let mut last = narrow(bits.take(pixel_bits)? as i32);
    for block in out.chunks_mut(block.max(1)) {
        let code = bits.take(code_bits)?;
        if code == 0 {
            block.fill(last);
            continue;
        }
        // Six values of the code of 4-byte pixels mean nothing.
        let split = code - 1;
        if split > raw_code {
            return None;
        }
        for x in block {
            let mapped =
                if split == raw_code { bits.take(pixel_bits)? } else { ((bits.zeros()? << split) as u32) | bits.take(split)? };
            // Even numbers are differences of at least 0, odd ones negative.
            let difference = (mapped >> 1) ^ (mapped & 1).wrapping_neg();
            last = narrow(last.wrapping_add(difference as i32));
            *x = last;
        }
    }
    Some(())
}
