//! Named pipes, and readers of them.

use std::path::Path;
use std::process::Command;

/// Makes one in `folder`.
pub fn named_pipe(folder: &Path) -> std::path::PathBuf {
    let pipe = folder.join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    pipe
}

/// A reader of the pipe. As it is for reading and writing, opening it does not wait for the run.
pub fn reader_of(pipe: &Path) -> std::fs::File {
    let mut options = std::fs::File::options();
    options.read(true).write(true).open(pipe).unwrap()
}
