//! What the tests stand on: a scripted S3 server and the binary in a scrubbed environment.

mod command;
mod faults;
mod raw;
mod server;
mod store;

pub use command::{Run, Running, S3pull};
pub use faults::{BadBody, Fault};
pub use raw::{RawServer, Reply};
pub use server::{Gate, Logged, Server};
pub use store::{
    ACCESS_KEY, BUCKET, LISTING, Object, Quirks, SECRET_KEY, of_bucket, pattern, version_of,
};

/// Says why a test tests nothing here.
#[expect(clippy::print_stderr, reason = "says why a test tests nothing")]
pub fn skipped<T>(why: &str) -> Option<T> {
    eprintln!("skipped: {why}");
    None
}
