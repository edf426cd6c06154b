//! The memory that a run may use, and the GETs in flight that it allows.

use std::fs;
use std::num::NonZeroUsize;

/// Bytes per GET in flight, at most: what is gathered of a part before it is written (1 MiB), and what its connection has read ahead.
/// A GET for a small object needs a tenth of it.
const PER_GET: u64 = 1_310_720;
/// The share of the memory that is available now which GETs may take, as its divisor.
const SHARE: u64 = 4;
/// Fewer are never tried for want of memory.
const MIN: usize = 32;

/// Lowers `concurrency` to what `available` bytes of memory allow.
pub(crate) fn plan(concurrency: NonZeroUsize, available: Option<u64>) -> NonZeroUsize {
    let Some(available) = available else {
        return concurrency;
    };
    let n = usize::try_from(available / SHARE / PER_GET).unwrap_or(usize::MAX);
    concurrency.min(NonZeroUsize::new(n.max(MIN)).unwrap_or(NonZeroUsize::MIN))
}

/// Bytes of memory that this process may still take, where the system tells it (Linux): what the machine has left, or the
/// limit of the control group that it is in.
pub(crate) fn available() -> Option<u64> {
    let of_machine = fs::read_to_string("/proc/meminfo").ok()?;
    let of_machine = field(&of_machine, "MemAvailable:")?;
    // What a group uses says little: files that were written lately count, although they would give way.
    let of_group = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .into_iter()
    .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    Some(of_group.fold(of_machine, u64::min))
}

/// A field of `/proc/meminfo`, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrency_is_lowered_to_what_memory_allows() {
        let planned = |mib: u64| plan(NonZeroUsize::new(1_024).unwrap(), Some(mib << 20)).get();
        assert_eq!(planned(16_384), 1_024);
        assert_eq!(planned(1_024), 204);
        assert_eq!(planned(64), MIN);
        assert_eq!(plan(NonZeroUsize::MIN, None), NonZeroUsize::MIN);
    }

    #[test]
    fn available_memory_is_read() {
        let text = "MemTotal:       16303428 kB\nMemAvailable:    1024 kB\n";
        assert_eq!(field(text, "MemAvailable:"), Some(1_048_576));
        assert_eq!(field(text, "MemAvail"), None);
        if cfg!(target_os = "linux") {
            assert!(available().is_some_and(|bytes| bytes > 1 << 20));
        }
    }
}
