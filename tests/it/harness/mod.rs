//! What the tests stand on: a scripted S3 server and the binary in a scrubbed environment.

mod command;
#[cfg(target_os = "linux")]
mod disk;
mod faults;
#[cfg(unix)]
mod named_pipe;
mod raw;
mod server;
mod store;

pub use command::{Run, Running, S3pull, n_sent_again};
#[cfg(target_os = "linux")]
pub use disk::{Mount, SmallDisk};
pub use faults::{BadBody, Fault, Gate};
#[cfg(unix)]
pub use named_pipe::{named_pipe, reader_of};
pub use raw::{RawServer, Reply};
pub use server::{Logged, RefusingPort, Server};
pub use store::{
    ACCESS_KEY, BUCKET, LISTING, Object, Quirks, SECRET_KEY, of_bucket, pattern, version_of,
};

/// Whether the suite is run without signatures: `S3PULL_TEST_UNSIGNED` is set. (With `S3PULL_SIGNER=presigned` it is run
/// with the SDK's way of making requests.)
fn is_unsigned() -> bool {
    std::env::var_os("S3PULL_TEST_UNSIGNED").is_some_and(|value| !value.is_empty())
}

/// The option that the suite is run with.
fn signing() -> &'static [&'static str] {
    if is_unsigned() {
        &["--no-sign-request"]
    } else {
        &[]
    }
}

/// Tries what a machine that stalls can spoil, such as an end within the second that a second signal leaves: one of several
/// tries must come right.
#[track_caller]
pub fn sooner_or_later(mut comes_right: impl FnMut() -> bool) {
    assert!((0..8).any(|_| comes_right()), "no try came right");
}

/// Says why a test tests nothing here.
#[expect(clippy::print_stderr, reason = "says why a test tests nothing")]
pub fn skipped<T>(why: &str) -> Option<T> {
    eprintln!("skipped: {why}");
    None
}
