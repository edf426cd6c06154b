//! Runs the README's Slurm script as an array job on a real Slurm, which `tests/slurm.sh` starts.

use std::process::Command;

use crate::harness::{ACCESS_KEY, BUCKET, SECRET_KEY, Server, n_sent_again};

/// The script of the README, with an array of 4 tasks, and with the names of this test.
fn readme_script(out: &str) -> String {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let start = readme.find("#!/bin/bash\n#SBATCH").unwrap();
    let end = start + readme[start..].find("```").unwrap();
    let replacements = [
        ("--array=0-15", "--array=0-3"),
        ("--cpus-per-task=2", "--cpus-per-task=1"),
        (
            "s3pull --bucket photos",
            &format!("{} --bucket {BUCKET}", env!("CARGO_BIN_EXE_s3pull")),
        ),
        ("/shared/out", out),
    ];
    let mut script = readme[start..end].to_owned();
    for (old, new) in replacements {
        assert!(script.contains(old), "{script}");
        script = script.replace(old, new);
    }
    script
}

#[test]
#[ignore = "needs a Slurm, which tests/slurm.sh starts"]
fn an_array_of_4_tasks_downloads_every_key_once() {
    let keys: Vec<_> = (0..4_000).map(|n| format!("data/{n:04}.json")).collect();
    let server = Server::start();
    server.put_patterns(keys.iter().map(String::as_str), 100);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("keys.txt"), keys.join("\n")).unwrap();
    let out = folder.path().join("out");
    std::fs::write(
        folder.path().join("job.sh"),
        readme_script(out.to_str().unwrap()),
    )
    .unwrap();

    let submitted = Command::new("sbatch")
        .args(["--wait", "job.sh"])
        .current_dir(folder.path())
        .env("AWS_ENDPOINT_URL_S3", server.url())
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .output()
        .unwrap();
    let logs: String = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "out"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    assert!(submitted.status.success(), "{submitted:?}\n{logs}");

    let n_clean = logs.matches(" downloaded, 0 skipped, 0 failed").count();
    assert_eq!(n_clean, 4, "{logs}");
    assert_eq!(std::fs::read_dir(out.join("data")).unwrap().count(), 4_000);
    // Each of them may send one again for being slow.
    let most = 4_000 + n_sent_again(&logs);
    let n_requests = server.log().len();
    assert!((4_000..=most).contains(&n_requests), "{n_requests}: {logs}");
    assert!(keys.iter().all(|key| server.n_requests(key) > 0));
}
