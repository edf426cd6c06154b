//! The file system's calls whose failures decide what becomes of a file, and what differs between platforms in them.
//! Unit tests can make each call fail, or do something just before it.

mod again;
mod file;
mod folder;
mod named;

pub(super) use again::waiting_for_handles;
pub(crate) use file::{
    FileId, Lock, append, changed, file_id, has_one_name, is_same_file, lock, preallocate,
    read_exact_at, set_length, set_times, stat, sync, write_at,
};
pub(super) use folder::{
    FLUSHES_ALL, KEEPS_NAMES_OF_REMOVED, flush, free_bytes, has_no_inodes, is_index_full,
    is_like_new, is_loop, is_still_named, kind, make_folder, metadata, name_limit, open,
    open_folder, open_to_read, probe, remove, rename, rename_to_free, symlink_metadata,
};
pub(crate) use named::{
    has_same_number, in_the_way, is_standard_stream, is_stdin, is_stdout, look_at, open_stream,
    stdout,
};
