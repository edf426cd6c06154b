//! The size of the pages that the system gives this process memory in.

/// Has the system use small pages. With huge ones, which the allocator asks for, each 2 MiB that a buffer touches count as
/// a whole: half as much memory again, for no speed that could be measured.
#[cfg(target_os = "linux")]
pub fn use_small_pages() {
    // An old kernel that cannot do so costs memory and nothing else.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

#[cfg(not(target_os = "linux"))]
pub fn use_small_pages() {}
