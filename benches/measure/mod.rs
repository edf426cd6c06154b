//! Measures time, CPU and memory of a program.

use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// How often memory is sampled.
const INTERVAL: Duration = Duration::from_millis(5);

/// The resources that a child process used.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub elapsed: Duration,
    pub user: Duration,
    pub system: Duration,
    /// The last sample of Linux's `VmHWM`; 0 on other systems.
    pub peak_kib: u64,
}

/// Waits for the end of the process that `start` starts. No other child may end meanwhile.
pub fn cost(start: impl FnOnce() -> Child) -> (Cost, Child, ExitStatus) {
    let (user, system) = used_by_children();
    let started = Instant::now();
    let mut child = start();
    let mut peak_kib = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        peak_kib = peak_kib.max(peak(child.id()));
        std::thread::sleep(INTERVAL);
    };
    let elapsed = started.elapsed();
    let (user_after, system_after) = used_by_children();
    let cost = Cost {
        elapsed,
        user: user_after.saturating_sub(user),
        system: system_after.saturating_sub(system),
        peak_kib,
    };
    (cost, child, status)
}

fn used_by_children() -> (Duration, Duration) {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    (duration(usage.user_time()), duration(usage.system_time()))
}

fn duration(time: TimeVal) -> Duration {
    let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
    Duration::from_micros(micros.try_into().unwrap())
}

fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
