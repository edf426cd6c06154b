//! Counts the objects whose last request failed and that will be tried again, by their error.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::locks::lock;

/// The objects that are being tried again, counted by error. There are never more errors than objects in flight.
#[derive(Debug, Default)]
pub struct RetryMeter(Arc<Mutex<BTreeMap<Box<str>, u64>>>);

/// An object that is being tried again, until this is dropped.
#[derive(Debug)]
pub struct Retrying {
    meter: Arc<Mutex<BTreeMap<Box<str>, u64>>>,
    code: Box<str>,
}

/// The objects that are being tried again at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    pub n: u64,
    /// The error that most of them met.
    pub code: Box<str>,
}

impl RetryMeter {
    /// Counts an object that met the error `code`.
    pub fn begin(&self, code: &str) -> Retrying {
        let code = Box::from(code);
        *lock(&self.0).entry(Box::clone(&code)).or_default() += 1;
        Retrying {
            meter: Arc::clone(&self.0),
            code,
        }
    }

    /// `None` if no object is being tried again.
    pub fn now(&self) -> Option<Retries> {
        let codes = lock(&self.0);
        let (code, _) = codes.iter().max_by_key(|(_, n)| **n)?;
        Some(Retries {
            n: codes.values().sum(),
            code: Box::clone(code),
        })
    }
}

impl Drop for Retrying {
    fn drop(&mut self) {
        let mut codes = lock(&self.meter);
        if let Some(n) = codes.get_mut(&self.code) {
            *n -= 1;
            if *n == 0 {
                codes.remove(&self.code);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_count_while_they_are_tried_again_and_the_commonest_error_is_named() {
        let meter = RetryMeter::default();
        assert_eq!(meter.now(), None);
        let slow: Vec<_> = (0..3).map(|_| meter.begin("SlowDown")).collect();
        let timeout = meter.begin("Timeout");
        let now = meter.now().unwrap();
        assert_eq!((now.n, &*now.code), (4, "SlowDown"));
        drop(slow);
        let now = meter.now().unwrap();
        assert_eq!((now.n, &*now.code), (1, "Timeout"));
        drop(timeout);
        assert_eq!(meter.now(), None);
    }
}
