//! Gives `--version` the commit that the binary is built from, if it is known.

use std::path::Path;
use std::process::Command;

fn main() {
    // Without this line, a change to any file of the package would run this script again.
    println!("cargo::rerun-if-changed=src/build.rs");
    let commit = commit().map_or_else(String::new, |commit| format!(" ({commit})"));
    println!(
        "cargo::rustc-env=S3PULL_VERSION={}{commit}",
        env!("CARGO_PKG_VERSION")
    );
}

/// The commit's short hash and date. An unpacked crate has none, even inside another repository.
fn commit() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    // Each commit, checkout and reset writes to one of these. In a linked work tree, `.git` is a file and they are elsewhere.
    for name in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name])?;
        // Cargo treats a missing path as one that has changed.
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["log", "-1", "--no-show-signature", "--format=%h %cs"])
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}
