//! File systems of the tests' own, and system calls that fail.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{BUCKET, S3pull, Server, signing, skipped};

/// A small file system of its own at a folder, gone when dropped; `None` where mounting is not allowed.
pub struct Mount(PathBuf);

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

impl Mount {
    fn tmpfs(folder: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "s3pull-test"]);
        if succeeds(mount.arg(folder)) {
            return Some(Self(folder.to_owned()));
        }
        skipped("mounting a file system is not allowed here")
    }

    /// An ext4 image, with a folder `out` that folds case.
    pub fn folding_case(folder: &Path) -> Option<Self> {
        let image = folder.with_extension("image");
        std::fs::create_dir_all(folder).unwrap();
        std::fs::File::create(&image)
            .unwrap()
            .set_len(32 << 20)
            .unwrap();
        let mut format = Command::new("mkfs.ext4");
        let mut mount = Command::new("mount");
        if !succeeds(format.args(["-q", "-O", "casefold"]).arg(&image))
            || !succeeds(mount.args(["-o", "loop"]).arg(&image).arg(folder))
        {
            return skipped("no file system that folds case can be mounted here");
        }
        let (mounted, out) = (Self(folder.to_owned()), folder.join("out"));
        std::fs::create_dir(&out).unwrap();
        if !succeeds(Command::new("chattr").arg("+F").arg(&out)) {
            return skipped("folders cannot be told to fold case here");
        }
        Some(mounted)
    }

    pub fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(succeeds(
            Command::new("mount").args(["-o", &options]).arg(&self.0)
        ));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// A folder in which the folder `out` is a small file system of its own.
pub struct SmallDisk {
    /// Before the folder, which cannot be removed while it is there.
    pub mount: Mount,
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// Of `size`, such as `8m`; `None` where mounting is not allowed.
    pub fn of(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Mount::tmpfs(&folder.path().join("out"), &format!("size={size}"))?;
        Some(Self { mount, folder })
    }

    /// A path on the small file system.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    /// The binary, which writes to the small file system.
    pub fn s3pull(&self, server: &Server) -> S3pull {
        let run = server.s3pull().within(self.folder.path());
        run.args(["-o", "out"])
    }
}

impl Server {
    /// The binary under strace, which makes system calls fail as its options `faults` say; `None` where that is not
    /// possible.
    pub fn s3pull_with_faults(&self, faults: &[&str]) -> Option<S3pull> {
        let mut strace = Command::new("strace");
        if !succeeds(strace.args(["-f", "-o", "/dev/null", "true"])) {
            return skipped("no process can be traced here");
        }
        let run = S3pull::of("strace")
            .args(["-f", "-qq", "-o", "/dev/null"])
            .args(faults.iter().copied())
            .args(["--", env!("CARGO_BIN_EXE_s3pull"), "--bucket", BUCKET])
            .args(signing())
            .env("AWS_ENDPOINT_URL_S3", &self.url());
        Some(run)
    }
}
