//! What SIGINT and SIGTERM do: the first one winds the run down, the second ends it at once.

use std::sync::{Arc, OnceLock};

use crate::exit_code::ExitCode;
use crate::transfer::{Phase, Stop};

/// The signal that stopped the run, if one did.
#[derive(Debug, Clone, Default)]
pub struct Stopped(Arc<OnceLock<ExitCode>>);

impl Stopped {
    pub fn exit_code(&self) -> Option<ExitCode> {
        self.0.get().copied()
    }
}

/// Waits for signals, for as long as the run lasts.
///
/// # Errors
/// When the system refuses to tell of signals.
pub fn listen(stop: Arc<Stop>) -> std::io::Result<Stopped> {
    let stopped = Stopped::default();
    let first = Arc::clone(&stopped.0);
    let mut signals = Signals::new()?;
    tokio::spawn(async move {
        let exit_code = signals.next().await;
        // This is the only place that sets it.
        let _ = first.set(exit_code);
        stop.because("the run was stopped by a signal".to_owned());
        stop.wind_down();
        signals.next().await;
        stop.escalate(Phase::Abandoned);
    });
    Ok(stopped)
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The exit code that the next signal asks for.
    async fn next(&mut self) -> ExitCode {
        tokio::select! {
            _ = self.interrupt.recv() => ExitCode::Interrupted,
            _ = self.terminate.recv() => ExitCode::Terminated,
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> ExitCode {
        self.0.recv().await;
        ExitCode::Interrupted
    }
}
