//! What SIGHUP, SIGINT and SIGTERM do: the first one winds the run down, a second SIGINT or SIGTERM ends it within a
//! second, whatever the file system and the readers of its output are doing.
//!
//! The same signal again within 100 ms is the same one: `timeout` and other wrappers send it to the process and to its
//! group.
//!
//! A second SIGHUP does not: a shell passes on the one that it gets when its terminal is lost, and systemd may send one
//! right after SIGTERM, so it does not mean that anybody is in a hurry.

use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::{self, CtrlBreak, CtrlC, CtrlClose, CtrlShutdown};

use crate::exit_code::ExitCode;
use crate::stop::{Phase, Stop};

/// How soon the same signal is the same one.
const ECHO: Duration = Duration::from_millis(100);

/// How long the run gets to end by itself after a second signal, and then what is done in its place.
const LAST_CHANCE: Duration = Duration::from_millis(700);
const LAST_RESORT: Duration = Duration::from_millis(200);

/// What is done beside stopping the run.
pub(crate) struct OnSignal {
    /// At the first signal, which asks for this exit code.
    pub first: Box<dyn FnOnce(ExitCode) + Send>,
    /// Before the process ends because the run does not end by itself after a second signal.
    pub last: Box<dyn FnOnce() + Send>,
}

/// The signal that stopped the run, if one did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopped(Arc<OnceLock<ExitCode>>);

impl Stopped {
    pub(crate) fn exit_code(&self) -> Option<ExitCode> {
        self.0.get().copied()
    }

    /// What people call it.
    pub(crate) fn name(&self) -> Option<&'static str> {
        match self.exit_code()? {
            ExitCode::HungUp => Some("SIGHUP"),
            ExitCode::Terminated => Some("SIGTERM"),
            _ => Some("Ctrl-C"),
        }
    }
}

/// Waits for signals, for as long as the run lasts.
///
/// # Errors
/// When the system refuses to tell of signals.
pub(crate) fn listen(stop: Arc<Stop>, on_signal: OnSignal) -> std::io::Result<Stopped> {
    let stopped = Stopped::default();
    let first = Arc::clone(&stopped.0);
    let mut signals = Signals::new()?;
    tokio::spawn(async move {
        let exit_code = signals.next().await;
        let arrived = Instant::now();
        // This is the only place that sets it.
        let _ = first.set(exit_code);
        stop.because("the run was stopped by a signal".to_owned());
        stop.wind_down_soon();
        // What it prints may have to wait for a reader.
        thread::spawn(move || (on_signal.first)(exit_code));
        loop {
            let next = signals.next().await;
            let is_echo = next == exit_code && arrived.elapsed() < ECHO;
            if next != ExitCode::HungUp && !is_echo {
                break;
            }
        }
        stop.escalate(Phase::Abandoned);
        thread::spawn(move || end_process(exit_code, on_signal.last));
    });
    Ok(stopped)
}

/// Ends the process if it is still there after a while.
fn end_process(exit_code: ExitCode, last: impl FnOnce() + Send + 'static) {
    thread::sleep(LAST_CHANCE);
    // The file system may hang, so it is not waited for.
    thread::spawn(last);
    thread::sleep(LAST_RESORT);
    std::process::exit(exit_code.code().into());
}

/// The signals that are listened to; `None` for one that was ignored when the process started.
#[cfg(unix)]
struct Signals {
    hang_up: Option<Signal>,
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        // Before the first one is listened to, which ends its being ignored.
        let ignored = ignored();
        let listen = |kind: SignalKind| {
            let is_ignored = ignored >> (kind.as_raw_value() - 1) & 1 == 1;
            (!is_ignored).then(|| signal(kind)).transpose()
        };
        Ok(Self {
            hang_up: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// The exit code that the next signal asks for.
    async fn next(&mut self) -> ExitCode {
        // If several arrived together, SIGHUP comes last: systemd may send it right after SIGTERM.
        tokio::select! {
            biased;
            () = received(&mut self.terminate) => ExitCode::Terminated,
            () = received(&mut self.interrupt) => ExitCode::Interrupted,
            () = received(&mut self.hang_up) => ExitCode::HungUp,
        }
    }
}

/// Waits for `signal`; for ever if it is ignored.
#[cfg(unix)]
async fn received(signal: &mut Option<Signal>) {
    match signal {
        // It is told of signals for as long as it is there.
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// The signals that the process ignores, signal 1 in the lowest bit: those of `nohup`, and SIGINT in the background jobs
/// of `sh`. Known on Linux alone (`SigIgn` in proc_pid_status(5)); elsewhere none.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_of(&status)
}

#[cfg(unix)]
fn ignored_of(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// What Windows has in place of them: Ctrl-C, Ctrl-Break (which a CI runner sends to a job that it cancels), the end of
/// the console's window, and that of the system.
#[cfg(windows)]
struct Signals {
    interrupt: CtrlC,
    cancel: CtrlBreak,
    close: CtrlClose,
    shut_down: CtrlShutdown,
}

#[cfg(windows)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: windows::ctrl_c()?,
            cancel: windows::ctrl_break()?,
            close: windows::ctrl_close()?,
            shut_down: windows::ctrl_shutdown()?,
        })
    }

    async fn next(&mut self) -> ExitCode {
        tokio::select! {
            biased;
            _ = self.shut_down.recv() => ExitCode::Terminated,
            _ = self.cancel.recv() => ExitCode::Terminated,
            _ = self.interrupt.recv() => ExitCode::Interrupted,
            _ = self.close.recv() => ExitCode::HungUp,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use crate::signal::ignored_of;

    #[test]
    fn ignored_signals_are_read_from_the_status() {
        let status = "Name:\ts3pull\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert_eq!(ignored_of(status), 0x1001);
        assert_eq!(ignored_of(""), 0);
        assert_eq!(ignored_of("SigIgn:\tnonsense\n"), 0);
    }
}
