//! The binary, in a folder and an environment of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::store::{ACCESS_KEY, SECRET_KEY};

/// A command line in the making.
pub struct S3pull {
    command: Command,
    folder: PathBuf,
    /// Removed with the last run.
    temporary: Option<tempfile::TempDir>,
    stdin: Vec<u8>,
}

/// A run that ended.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    folder: PathBuf,
    /// Removed with this.
    _temporary: Option<tempfile::TempDir>,
}

/// A run that is under way; killed when dropped.
pub struct Running {
    child: Child,
    folder: PathBuf,
    temporary: Option<tempfile::TempDir>,
    /// What was read of it so far.
    stderr: Vec<u8>,
}

impl S3pull {
    /// The binary in a new folder, with credentials and nothing else in its environment.
    pub fn new() -> Self {
        Self::of(env!("CARGO_BIN_EXE_s3pull"))
    }

    /// Another program, such as a shell that starts the binary.
    pub fn of(program: &str) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().to_owned();
        let mut command = Command::new(program);
        command
            .current_dir(&folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &folder)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("AWS_EC2_METADATA_DISABLED", "true");
        // Windows finds its network by it.
        if let Some(root) = std::env::var_os("SystemRoot") {
            command.env("SystemRoot", root);
        }
        // So that the whole suite can be run with the SDK's way of making requests.
        if let Some(signer) = std::env::var_os("S3PULL_SIGNER") {
            command.env("S3PULL_SIGNER", signer);
        }
        Self {
            command,
            folder,
            temporary: Some(temporary),
            stdin: Vec::new(),
        }
    }

    /// A shell that runs `command`, in which `s3pull` is the binary.
    pub fn shell(command: &str) -> Self {
        let binary = Path::new(env!("CARGO_BIN_EXE_s3pull"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = binary.parent().map(Path::to_owned).into_iter();
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&path))).unwrap();
        let mut shell = Self::of("bash").args(["-c", command]);
        shell.command.env("PATH", path);
        shell
    }

    /// In the folder of an earlier run.
    pub fn again(mut self, earlier: &Run) -> Self {
        self.temporary = None;
        self.within(&earlier.folder)
    }

    /// In a folder that the test keeps.
    pub fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder).env("HOME", folder);
        folder.clone_into(&mut self.folder);
        self
    }

    pub fn arg(self, arg: impl Into<OsString>) -> Self {
        self.args([arg])
    }

    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.command.args(args.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// A file in the run's folder.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.folder.join(name), content).unwrap();
        self
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Lists `keys`, a line each, on stdin.
    pub fn keys<'a>(self, keys: impl IntoIterator<Item = &'a str>) -> Self {
        let lines: String = keys.into_iter().flat_map(|key| [key, "\n"]).collect();
        self.stdin(lines)
    }

    /// Runs to the end.
    pub fn run(mut self) -> Run {
        let stdin = std::mem::take(&mut self.stdin);
        let (running, mut pipe) = self.start();
        let writer = std::thread::spawn(move || {
            // A run that does not read its list closes the pipe.
            let _ = pipe.write_all(&stdin);
        });
        let run = running.wait();
        writer.join().unwrap();
        run
    }

    /// Starts, and leaves stdin open.
    pub fn start(mut self) -> (Running, ChildStdin) {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        (
            Running {
                child,
                folder: self.folder,
                temporary: self.temporary,
                stderr: Vec::new(),
            },
            stdin,
        )
    }
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Sends a signal such as `TERM`.
    pub fn signal(&self, name: &str) {
        assert!(
            !is_ignored(name),
            "SIG{name} is ignored, and so by every program that is started: run the tests without `nohup`, in the foreground"
        );
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Sends a signal, and waits until the run says that it stops.
    pub fn signal_and_wait(&mut self, name: &str) {
        self.signal(name);
        self.wait_until_stopping();
    }

    /// Waits until the run says that it stops.
    pub fn wait_until_stopping(&mut self) {
        let stderr = self.child.stderr.as_mut().unwrap();
        let mut bytes = [0; 4096];
        while !String::from_utf8_lossy(&self.stderr).contains("stopping") {
            let n = stderr.read(&mut bytes).unwrap();
            assert!(n > 0, "it ended: {}", String::from_utf8_lossy(&self.stderr));
            self.stderr.extend_from_slice(&bytes[..n]);
        }
    }

    /// Closes the reading end of stdout.
    pub fn close_stdout(&mut self) {
        drop(self.child.stdout.take());
    }

    /// Waits for the end while nobody reads what is printed.
    pub fn wait_unread(&mut self) {
        self.child.wait().unwrap();
    }

    /// Waits for the end while the list's pipe stays open.
    pub fn wait_with(self, pipe: ChildStdin) -> Run {
        let run = self.wait();
        drop(pipe);
        run
    }

    pub fn wait(mut self) -> Run {
        drop(self.child.stdin.take());
        let stdout = self.child.stdout.take();
        let stdout = std::thread::spawn(move || {
            let mut text = String::new();
            if let Some(mut stdout) = stdout {
                stdout.read_to_string(&mut text).unwrap();
            }
            text
        });
        let mut stderr = std::mem::take(&mut self.stderr);
        let mut rest = self.child.stderr.take().unwrap();
        rest.read_to_end(&mut stderr).unwrap();
        let code = self.child.wait().unwrap().code();
        Run {
            code,
            stdout: stdout.join().unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
            folder: self.folder.clone(),
            _temporary: self.temporary.take(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Most have ended; for a test that failed half way this is the end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Run {
    /// Fails the test, with what was printed, unless the run ended so.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stderr:\n{}", self.stderr);
        self
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}\nstderr:\n{}", self.stderr))
    }

    /// All files below the run's folder, by their path, but for the key list that the test put there.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.folder, &self.folder, &mut files);
        files
    }

    /// Requests that were sent again because the first one was slow, as the run says. On a machine that stalls any may be.
    pub fn n_sent_again(&self) -> usize {
        n_sent_again(&self.stderr)
    }

    /// Fails the test unless `n_came`, requests that came in, are the `expected` ones, but for those that were sent again.
    #[track_caller]
    pub fn expect_requests(&self, n_came: usize, expected: usize) {
        let most = expected + self.n_sent_again();
        assert!(
            (expected..=most).contains(&n_came),
            "{n_came} requests in place of {expected}\nstderr:\n{}",
            self.stderr
        );
    }

    /// Whether the run came to an end by itself, with a record of its whole list. After a second signal it has less than a
    /// second for that, for which the machine may be too slow.
    pub fn has_ended_in_time(&self) -> bool {
        let is_incomplete = self.stderr.contains("was not read to its end");
        self.has_last_words() && self.stderr.contains("s3pull: stopped by ") && !is_incomplete
    }

    /// Whether the last event is there, if there are any.
    pub fn has_last_words(&self) -> bool {
        let mut events = self.stdout.lines().rev();
        events
            .next()
            .is_none_or(|last| last.contains("\"type\":\"summary\""))
    }

    /// The rows of the failed-keys CSV: key and error code.
    pub fn failed(&self) -> Vec<(String, String)> {
        let mut reader = csv::Reader::from_path(self.folder.join("s3pull-failed.csv")).unwrap();
        let mut rows: Vec<_> = reader
            .records()
            .map(Result::unwrap)
            .map(|row| (row[0].to_owned(), row[3].to_owned()))
            .collect();
        rows.sort();
        rows
    }
}

/// Whether this process, and with it those that it starts, ignores a signal; known on Linux alone.
fn is_ignored(signal: &str) -> bool {
    let number = match signal {
        "HUP" => 1,
        "INT" => 2,
        "TERM" => 15,
        _ => return false,
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.map(|mask| u64::from_str_radix(mask.trim(), 16).unwrap());
    mask.is_some_and(|mask| mask >> (number - 1) & 1 == 1)
}

/// Requests that were sent again because the first one was slow, as the runs say whose stderr this is.
pub fn n_sent_again(stderr: &str) -> usize {
    let lines = stderr.lines();
    let said = lines.filter_map(|line| {
        line.split_once(" sent again because ")
            .map(|(said, _)| said)
    });
    let numbers = said.map(|said| said.split(' ').nth(1).unwrap().replace(',', ""));
    numbers.map(|number| number.parse::<usize>().unwrap()).sum()
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            let name = name.replace(std::path::MAIN_SEPARATOR, "/");
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
}
