//! Memory that is kept for the next who needs it: by the C library's heap, told early what requests will teach it, and by our own buffers.
//!
//! Fault: the first says nothing to allocators other than glibc's, and goes by what `mallopt(3)` says of its dynamic thresholds.

/// Bytes of the largest block that the heap is to keep for the next who asks. Less gives the memory of a body back to the kernel and has
/// it faulted in anew at each request, more keeps twice as much of a large one.
const LARGEST: usize = 1024 * 1024;

/// Has freed blocks up to some size kept. glibc maps blocks of more than 128 KiB, and gives the end of its heap back once 128 KiB of it are free;
/// when a mapped block is freed it takes its size for a usual one, and raises the first bound to it and the second to twice as much.
pub fn learn() {
    // Never touched, so it costs no memory. The box keeps the compiler from leaving both out.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGEST)));
}

/// Empties a buffer, and gives back all of it if that is more than so many bytes.
pub fn empty<T>(buffer: &mut Vec<T>, keep: usize) {
    buffer.clear();
    if buffer.capacity() * size_of::<T>() > keep {
        *buffer = Vec::new();
    }
}
