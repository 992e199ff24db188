// For the bridges beside this file, through which the checkers of C call the functions of a Rust program.

/// # Safety
/// As the checkers of C call it: `p` leads to n values that nobody else writes.
unsafe fn read<'a, T>(p: *const T, n: impl TryInto<usize>) -> &'a [T] {
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(p, n.try_into().unwrap_or(0)) }
}

/// # Safety
/// As [`read`], and nobody else reads them.
unsafe fn write<'a, T>(p: *mut T, n: impl TryInto<usize>) -> &'a mut [T] {
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts_mut(p, n.try_into().unwrap_or(0)) }
}
