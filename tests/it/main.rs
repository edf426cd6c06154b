//! End to end, through the real binary, against a server of S3's protocol that checks signatures.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod harness;

mod archives;
mod chaos;
mod connection;
mod disk;
mod downloads;
mod dry_run;
mod environment;
mod events;
mod existing;
mod failures;
mod hostile;
mod incomplete_answers;
mod interruption;
mod key_lists;
mod large_objects;
mod manners;
mod outages;
mod paths;
mod record;
mod replies;
mod requests;
mod resuming;
mod shell;
mod slurm;
mod start;
mod throttling;
mod usage;
