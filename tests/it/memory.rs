//! How much memory a run takes at most, whatever it downloads.

#![cfg(target_os = "linux")]

use std::time::Duration;

use crate::harness::{Fault, Running, Server};

/// The most memory that the process has had in use so far, in KiB.
fn peak(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

/// The peak once it grows no more.
fn last_peak(running: &Running) -> u64 {
    let (mut last, mut n_equal) = (0, 0);
    for _ in 0..200 {
        let now = peak(running);
        n_equal = if now == last { n_equal + 1 } else { 0 };
        last = now;
        if n_equal == 20 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    last
}

#[test]
fn thirty_two_objects_that_all_but_arrived_are_not_all_in_memory() {
    const SIZE: usize = 1024 * 1024;
    let server = Server::start();
    let keys: Vec<_> = (0..32).map(|n| n.to_string()).collect();
    let most = u64::try_from(SIZE).unwrap() - 100;
    for key in &keys {
        server.put_patterns([key.as_str()], SIZE);
        server.script(key, [Fault::Stall(most)]);
    }
    let (mut running, mut stdin) = server.s3pull().args(["-j", "32"]).start();
    std::io::Write::write_all(&mut stdin, keys.join("\n").as_bytes()).unwrap();
    std::io::Write::write_all(&mut stdin, b"\n").unwrap();
    for key in &keys {
        server.wait_for_bytes(key, most);
    }
    let kib = last_peak(&running);
    running.kill();
    assert!(kib < 64 * 1024, "{kib} KiB");
}
