//! Parses, runs, exits.

use std::process::ExitCode;

use s3pull::cli::Cli;
use s3pull::config::Config;
use s3pull::{exit_code, report};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::parse_from(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match Config::try_from(cli) {
        Ok(config) => s3pull::run(config).into(),
        Err(error) => {
            report::error(&error.into(), Some("`s3pull --help` lists the options"));
            exit_code::ExitCode::Usage.into()
        }
    }
}
