//! How a run ends: its exit code, and what to do about an error that ended it.

use crate::done_file::RefusedDone;
use crate::exit_code::ExitCode;
use crate::meter::Meter;
use crate::outcome::{Failure, Sign};
use crate::printable::count;
use crate::report::RefusedPlace;
use crate::s3::ConnectError;
use crate::signal::Stopped;
use crate::sink::tar::ArchiveError;
use crate::source::ListError;
use crate::transfer::End;

/// Maps the end of the downloads to the result of the run.
pub(crate) fn exit(end: End, signal: &Stopped, meter: &Meter) -> anyhow::Result<ExitCode> {
    match end {
        End::ListDone if signal.exit_code().is_some() => {
            Ok(signal.exit_code().unwrap_or(ExitCode::Interrupted))
        }
        End::ListDone if meter.counts().n_failed > 0 => Ok(ExitCode::SomeKeysFailed),
        End::ListDone => Ok(ExitCode::Success),
        End::Fatal(failure) => Err(failure.into()),
        End::TooManyFailures(n) => Err(anyhow::anyhow!(
            "stopped after {} (`--max-failures`)",
            count(n, "failed key")
        )),
        End::ListBroken(error) => Err(error.into()),
        End::RecordFailed(error) => Err(error.into()),
        End::Miscounted { n_read, n_ended } => Err(anyhow::anyhow!(
            "a bug in s3pull, please report it: {n_read} rows were read, and {n_ended} of them ended"
        )),
        // A terminal that is gone causes both the error and the signal.
        End::PrintFailed(error) => signal.exit_code().ok_or(error.into()),
    }
}

/// The exit code for an error that ended the run.
pub(crate) fn exit_code_of(error: &anyhow::Error) -> ExitCode {
    let is_usage = error.downcast_ref().is_some_and(ListError::is_usage)
        || error.downcast_ref().is_some_and(ArchiveError::is_usage)
        || error.downcast_ref().is_some_and(ConnectError::is_usage);
    if error.is::<RefusedPlace>() || error.is::<RefusedDone>() || is_usage {
        ExitCode::Usage
    } else {
        ExitCode::Fatal
    }
}

/// What to do about an error, if that is known.
pub(crate) fn hint(error: &anyhow::Error) -> Option<String> {
    let list_error = error.downcast_ref::<ListError>();
    let of_list = list_error.and_then(ListError::failure);
    let is_of_listing = list_error.is_some_and(ListError::is_of_listing);
    if is_of_listing && of_list.is_some_and(|failure| failure.code.as_str() == "AccessDenied") {
        return Some("listing needs the permission `s3:ListBucket`; with a key list, `s3:GetObject` is enough".to_owned());
    }
    if let Some(failure) = of_list.or_else(|| error.downcast_ref::<Failure>()) {
        let hint = match failure.code.as_str() {
            "NoSuchBucket" if list_error.is_none() || is_of_listing => Some(
                "check `--bucket`, and the account and server that `--profile` and `--endpoint-url` name",
            ),
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
                Some("sign in again, then run the same command")
            }
            "ConnectionFailed" if failure.sign == Sign::NoConnection => {
                Some("check `--endpoint-url`, the proxy variables and the network")
            }
            "Http407" => Some(
                "give the proxy's user and password in its variable: `http://user:password@host:port`",
            ),
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "InvalidToken"
            | "Unauthorized"
            | "Http401" => Some(
                "check the credentials in the environment, or name a profile with `--profile NAME`",
            ),
            _ => None,
        };
        return hint.map(str::to_owned);
    }
    if let Some(refused) = error.downcast_ref::<RefusedPlace>() {
        return Some(refused.hint());
    }
    if error.is::<RefusedDone>() {
        return Some(RefusedDone::HINT.to_owned());
    }
    error.downcast_ref::<ConnectError>()?.hint()
}
