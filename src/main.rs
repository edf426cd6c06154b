//! The binary: parses the command line, runs it, and exits.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use s3pull::cli::Page;
use s3pull::cli::{self, Cli, Invocation};
use s3pull::config::Config;
use s3pull::{Job, exit_code, report};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    s3pull::page_size::use_small_pages();
    match Invocation::parse_from(std::env::args_os()) {
        Ok(Invocation::Download(cli)) => run(*cli, Job::Download),
        Ok(Invocation::Check(cli, check)) => run(*cli, Job::Check(check)),
        Ok(Invocation::Print(page)) => print(page),
        Err(error) => error.exit(),
    }
}

fn run(cli: Cli, job: Job) -> ExitCode {
    match Config::try_from(cli) {
        Ok(config) => s3pull::run(config, job).into(),
        Err(error) => {
            report::error(&error.into(), None);
            exit_code::ExitCode::Usage.into()
        }
    }
}

fn print(page: Page) -> ExitCode {
    let printed = page
        .text(cli::options())
        .and_then(|text| io::stdout().write_all(text.as_bytes()));
    match printed {
        // A reader that closed the pipe, such as `head`, has read enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let error = anyhow::Error::new(error).context("cannot write to stdout");
            report::error(&error, None);
            exit_code::ExitCode::Fatal.into()
        }
        _ => ExitCode::SUCCESS,
    }
}
