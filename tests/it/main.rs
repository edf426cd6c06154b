//! End to end, through the real binary, against a server of S3's protocol that checks signatures.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod harness;

mod archives;
mod buckets;
mod changed;
mod chaos;
mod concurrency;
mod connection;
mod credentials;
mod customer_key;
mod disk;
mod done;
mod downloads;
mod dry_run;
mod environment;
mod events;
mod every_end;
mod existing;
mod failures;
mod filters;
mod hostile;
mod huge_claims;
mod incomplete_answers;
mod interruption;
mod is_it_all_there;
mod key_lists;
mod large_objects;
mod listing;
mod log;
mod manners;
mod memory;
mod outages;
mod own_files;
mod paths;
mod rates;
mod readme;
mod record;
mod remote_lists;
mod replies;
mod requests;
mod resuming;
mod rounds;
mod shards;
mod shell;
mod slurm;
mod start;
mod stragglers;
mod tables;
mod throttling;
mod usage;
mod verify;
