//! Every command of the README does what the README says, with the programs that it is combined with, or is on the list of those
//! that cannot be run here.

#![cfg(unix)]

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, UNIX_EPOCH};

use crate::harness::{ACCESS_KEY, Object, SECRET_KEY, Server, of_bucket, pattern};

/// What the commands that are not run begin with, and why.
const NOT_RUN: [(&str, &str); 6] = [
    ("cargo install", "it compiles everything once more"),
    ("tar -xzf s3pull-", "there is no release archive"),
    ("pip install", "there is no wheel"),
    (
        "s3pull --bucket public-data",
        "the test server takes signed requests alone",
    ),
    ("#SBATCH", "another test runs the script with Slurm"),
    (
        "s3pull --bucket photos --keys keys.txt -o /shared/out",
        "it is part of that script",
    ),
];

const BUCKETS: [&str; 5] = ["photos", "thumbs", "public-data", "train", "lists"];
const KEYS: [&str; 4] = ["2024/a.jpg", "2024/b c.jpg", "a.jpg", "tables/c.json"];
/// When the test server's objects were modified.
const MODIFIED: &str = "2020-09-13T12:26:40Z";
const MODIFIED_AT: Duration = Duration::from_secs(1_600_000_000);

fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

/// The lines of the README's blocks of commands: those in a shell's language, and indented ones.
fn commands() -> Vec<String> {
    let mut commands = Vec::new();
    let mut language = None;
    for line in readme().lines() {
        if let Some(fence) = line.strip_prefix("```") {
            language = language.is_none().then(|| fence.to_owned());
            continue;
        }
        let command = match language.as_deref() {
            Some("sh" | "bash") => Some(line),
            // The times of a crontab come first.
            Some("crontab") => Some(line.trim_start_matches(|c: char| !c.is_alphabetic())),
            Some(_) => None,
            None => line.strip_prefix("    "),
        };
        let is_output = |line: &&str| line.starts_with("s3pull:") || line.starts_with("key,");
        let is_comment = |line: &&str| line.starts_with("# ") || line.starts_with("#!");
        commands.extend(
            command
                .filter(|line| !line.is_empty() && !is_output(line) && !is_comment(line))
                .map(str::to_owned),
        );
    }
    commands
}

/// A server with an object for each key of the README's lists, in each of its buckets.
fn server() -> Server {
    let server = Server::start();
    for bucket in BUCKETS {
        for key in KEYS {
            let object = Object::new(pattern(key, 100)).with_checksums(&["crc64nvme"]);
            server.put(&of_bucket(bucket, key), object);
        }
    }
    let list = KEYS.join("\n") + "\n";
    server.put(&of_bucket("lists", "2024.csv.gz"), Object::new(list));
    put_inventory(&server);
    server
}

fn put_inventory(server: &Server) {
    use md5::{Digest, Md5};
    let rows = KEYS
        .map(|key| format!("\"photos\",\"{}\"\n", key.replace(' ', "+")))
        .concat();
    let md5 = Md5::digest(rows.as_bytes());
    let md5 = md5
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let manifest = serde_json::json!({
        "sourceBucket": "photos",
        "destinationBucket": "arn:aws:s3:::inventories",
        "version": "2016-11-30",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key",
        "files": [{"key": "photos/all/data/1.csv", "size": rows.len(), "MD5checksum": md5}],
    });
    let at = |key: &str| of_bucket("inventories", key);
    server.put(&at("photos/all/data/1.csv"), Object::new(rows));
    server.put(
        &at("photos/all/2024-06-01T01-00Z/manifest.json"),
        Object::new(manifest.to_string()),
    );
}

/// The files and programs that `command` counts on.
fn furnish(folder: &Path, command: &str) {
    let list = KEYS.join("\n") + "\n";
    let rows = KEYS.iter().map(|key| format!("{key},100,{MODIFIED}\n"));
    let table = "key,size,last_modified\n".to_owned() + &rows.collect::<String>();
    let write = |name: &str, content: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    write("keys.txt", &list);
    write("srv/photos/keys.txt", &list);
    write("srv/thumbs/keys.txt", &list);
    write("keys.csv", &table);
    write("shared/manifest.csv", &table);
    write("tmp/in-use", "");
    let header = "key,bucket,version_id,error,status,attempts,request_id,message,size,etag,dest,source,last_modified";
    if command.starts_with("s3pull check") {
        for key in KEYS {
            let path = folder.join("out").join(key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, pattern(key, 100)).unwrap();
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(UNIX_EPOCH + MODIFIED_AT).unwrap();
        }
    }
    if command.contains("s3pull-failed.csv") {
        write(
            "s3pull-failed.csv",
            &format!("{header}\na.jpg,photos,,Timeout,,10,,,,,,,\n"),
        );
    }
    for folder_of_completions in [
        "home/.local/share/bash-completion/completions",
        "home/.local/share/man/man1",
    ] {
        std::fs::create_dir_all(folder.join(folder_of_completions)).unwrap();
    }
    symlink(env!("CARGO_BIN_EXE_s3pull"), {
        std::fs::create_dir(folder.join("bin")).unwrap();
        folder.join("bin/s3pull")
    })
    .unwrap();
    let listing = KEYS
        .map(|key| format!("2020-09-13 12:26:40        100 {key}\n"))
        .concat();
    for (name, script) in [
        ("aws", format!("printf '{listing}'")),
        ("zstd", "cat".to_owned()),
        ("ssh", "cat >/dev/null".to_owned()),
        ("jq", "cat".to_owned()),
    ] {
        // By another process: a program that this one has open for writing may be open in a process that another test is just
        // starting, and then it cannot be run.
        let made = Command::new("sh")
            .args(["-c", "printf '%s\\n' \"$1\" >\"$0\" && chmod +x \"$0\""])
            .arg(folder.join("bin").join(name))
            .arg(format!("#!/bin/sh\n{script}"))
            .status();
        assert!(made.unwrap().success());
    }
}

fn run(command: &str, folder: &Path, server: &Server) -> Output {
    let here = folder.to_str().unwrap();
    let script = command
        .replace("http://127.0.0.1:9000", &server.url())
        .replace("/shared", &format!("{here}/shared"))
        .replace("/srv", &format!("{here}/srv"));
    let path = std::env::var("PATH").unwrap();
    Command::new("bash")
        .args(["-c", &format!("set -o pipefail; {script}")])
        .current_dir(folder)
        .env_clear()
        .envs([
            ("PATH", format!("{here}/bin:{path}").as_str()),
            ("HOME", &format!("{here}/home")),
            ("TMPDIR", &format!("{here}/tmp")),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_ENDPOINT_URL_S3", &server.url()),
            ("SLURM_ARRAY_TASK_ID", "1"),
            ("SLURM_ARRAY_TASK_MIN", "0"),
            ("SLURM_ARRAY_TASK_MAX", "1"),
            ("SLURM_ARRAY_TASK_COUNT", "2"),
            ("SLURM_ARRAY_TASK_STEP", "1"),
        ])
        .output()
        .unwrap()
}

#[test]
fn every_command_runs() {
    let server = server();
    let mut not_run: Vec<_> = NOT_RUN.to_vec();
    let mut n_run = 0;
    for command in commands() {
        if let Some((start, _)) = NOT_RUN.iter().find(|(start, _)| command.starts_with(start)) {
            not_run.retain(|(other, _)| other != start);
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        furnish(folder.path(), &command);
        if command.contains("--offline") || command.contains("--skip-done") {
            let note = "s3pull --bucket photos --keys keys.csv -o out --done done.csv";
            assert!(run(note, folder.path(), &server).status.success());
        }
        let output = run(&command, folder.path(), &server);
        assert!(
            output.status.success(),
            "{command}\n{:?}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        n_run += 1;
    }
    assert!(n_run > 20, "{n_run}");
    assert!(not_run.is_empty(), "not in the README: {not_run:?}");
}
