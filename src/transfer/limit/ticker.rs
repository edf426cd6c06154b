//! Reads the run's sums some hundred times per second, and has the governor decide by them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

use super::governor::{Counted, Step};
use super::permits::Shared;
use crate::meter::{Meter, Wait, cpu_time};
use crate::transfer::rates::LimitWaits;

/// Between two readings. It need not be exact.
const INTERVAL: Duration = Duration::from_millis(10);

/// Is told of each new number in flight that the run tries.
pub(crate) struct OnStep(pub(crate) Box<dyn Fn(&Step) + Send + Sync>);

impl fmt::Debug for OnStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnStep")
    }
}

/// Goes on until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticker(
    #[expect(dead_code, reason = "it is there to be dropped")] AbortOnDropHandle<()>,
);

impl Ticker {
    pub(super) fn start<C>(
        shared: &Arc<Shared>,
        meter: &Arc<Meter>,
        waits: &LimitWaits,
        n_connecting: C,
        on_step: Option<Arc<OnStep>>,
    ) -> Self
    where
        C: Fn() -> usize + Send + Sync + 'static,
    {
        let (shared, meter, waits) = (Arc::clone(shared), Arc::clone(meter), waits.clone());
        let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
        let n_cores = u32::try_from(n_cores).unwrap_or(u32::MAX);
        let following = async move {
            let mut interval = tokio::time::interval(INTERVAL);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                let cpu = if shared.is_automatic {
                    cpu_time()
                } else {
                    None
                };
                let now = Instant::now();
                let counted = Counted {
                    bytes: meter.counts().bytes,
                    cpu: cpu.unwrap_or_default() / n_cores,
                    disk: meter.waited(Wait::Disk).time,
                    limited: waits.time(now),
                    n_connecting: n_connecting(),
                    ..shared.counted()
                };
                let step = shared.read(&counted, now);
                if let (Some(step), Some(on_step)) = (step, &on_step) {
                    (on_step.0)(&step);
                }
            }
        };
        Self(AbortOnDropHandle::new(tokio::spawn(following)))
    }
}
