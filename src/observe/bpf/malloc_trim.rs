//! The only module with `unsafe` code.
#![allow(unsafe_code, reason = "malloc_trim has no safe wrapper; its one call is justified below")]

/// Returns freed memory to the system (`malloc_trim(3)`). Otherwise, the C library keeps the memory of freed large
/// blocks, which is twice what the exporter otherwise needs.
pub(super) fn return_free_memory() {
    // SAFETY: takes a number of bytes to keep, no pointer, and may be called at any time from any thread;
    // it locks the allocator and touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}
