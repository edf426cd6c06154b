//! The one line on how far a run is, made to fit a width: what matters least is left out first, and nothing is cut in a
//! word. Pure.

use std::sync::Arc;
use std::time::Duration;

use super::look::Look;
use super::rate::Rate;
use super::text::{bytes, number, whole_duration};
use crate::meter::LargeObject;
use crate::printable::printable;

/// Large objects with a line of their own.
const MAX_LARGE: usize = 3;

/// Before this much time, nothing can be said about the rest.
const MIN_ELAPSED: Duration = Duration::from_secs(2);

/// How many parts of the line are worth more than a longer text about retries: how far it is, bytes and rate. While nothing
/// gets through, its cause is worth more than all but the first of them.
const MAIN_PARTS: usize = 3;

/// `45 %, 1.2 of 3.0 GiB, 120.0 MiB/s, 3m 05s left, 32 in flight, 2 failed, 1,234 of 5,000 objects, 2m 10s elapsed`, with
/// `12 retrying: SlowDown` at its end while objects are tried again. It has at most `width` characters, unless there is no
/// room for its first part.
pub(super) fn status(look: &Look, rate: &Rate, width: usize) -> String {
    let parts = parts(look, rate);
    let n_main = if look.outage.is_some() { 1 } else { MAIN_PARTS };
    let mut line = None;
    for trouble in trouble(look) {
        let reserved = if trouble.is_empty() {
            0
        } else {
            length(&trouble) + ", ".len()
        };
        let n_parts = n_fitting(&parts, width.saturating_sub(reserved));
        let mut shown = parts[..n_parts].to_vec();
        shown.extend(Some(trouble).filter(|trouble| !trouble.is_empty()));
        let is_enough = n_parts >= n_main.min(parts.len());
        line = Some(shown.join(", "));
        if is_enough {
            break;
        }
    }
    line.filter(|line| !line.is_empty())
        .unwrap_or_else(|| parts.first().cloned().unwrap_or_default())
}

/// What holds the run up, from the longest text to the shortest.
fn trouble(look: &Look) -> Vec<String> {
    if let Some((cause, lasted)) = &look.outage {
        let waiting = format!("waiting {}", whole_duration(*lasted));
        let cause = printable(cause);
        return vec![
            format!("{waiting}, nothing gets through: {cause}"),
            format!("{waiting}: nothing gets through"),
            waiting,
        ];
    }
    match &look.retries {
        Some(retries) => {
            let short = format!("{} retrying", number(retries.n));
            vec![format!("{short}: {}", printable(&retries.code)), short]
        }
        None => vec![String::new()],
    }
}

/// The parts of the line, from what matters most to what matters least.
fn parts(look: &Look, rate: &Rate) -> Vec<String> {
    let counts = &look.counts;
    let n_done = number(counts.n_done());
    let rows = match look.totals {
        Some(totals) => format!("{n_done} of {} objects", number(totals.n_rows)),
        None => format!("{n_done} objects so far"),
    };
    let here = counts.bytes + counts.resumed;
    let all_bytes = look.all_bytes().filter(|&all| all > 0);
    let has_ended = look.totals.is_some_and(|all| all.n_rows <= counts.n_done());
    let percent = all_bytes.map(|all| {
        let percent = u128::from(here) * 100 / u128::from(all);
        format!("{} %", percent.min(if has_ended { 100 } else { 99 }))
    });
    let (first, count) = match percent {
        Some(percent) => (percent, Some(rows)),
        None => (rows, None),
    };
    let bytes_here = match all_bytes {
        Some(all) => Some(of_bytes(here, all.max(here))),
        None => (here > 0).then(|| bytes(here)),
    };
    // A rate, and what follows from it, are of the time before an outage.
    let is_under_way = look.outage.is_none();
    let left = time_left(look, rate).filter(|_| is_under_way && look.elapsed >= MIN_ELAPSED);
    let parts = [
        Some(first),
        bytes_here,
        (is_under_way && counts.bytes > 0).then(|| format!("{}/s", bytes(rate.current()))),
        left.map(|left| format!("{} left", whole_duration(left))),
        is_under_way.then(|| format!("{} in flight", number(look.n_in_flight))),
        (counts.n_failed > 0).then(|| format!("{} failed", number(counts.n_failed))),
        count,
        Some(format!("{} elapsed", whole_duration(look.elapsed))),
    ];
    parts.into_iter().flatten().collect()
}

/// How long the rest will take; `None` where nothing can be said, or nothing is left.
fn time_left(look: &Look, rate: &Rate) -> Option<Duration> {
    let here = look.counts.bytes + look.counts.resumed;
    let left = match (look.all_bytes(), look.totals) {
        (Some(all), _) => rate.time_left(all.saturating_sub(here)),
        // Rows without a size count alike, but for the large ones under way, whose size is known by now.
        (None, Some(totals)) => {
            let of_large = look
                .large
                .iter()
                .map(|object| object.size.saturating_sub(object.n_done()));
            let by_rows = rate.time_left_by_rows(totals.n_rows);
            by_rows.max(rate.time_left(of_large.sum()))
        }
        (None, None) => None,
    };
    // Rounded up: what is left takes some time.
    left.filter(|left| !left.is_zero())
        .map(|left| Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0)))
}

/// `1.2 of 3.0 GiB`, `900.0 KiB of 3.0 GiB`
fn of_bytes(part: u64, all: u64) -> String {
    let (part, all) = (bytes(part), bytes(all));
    match (part.split_once(' '), all.split_once(' ')) {
        (Some((n, unit)), Some((_, unit_of_all))) if unit == unit_of_all => format!("{n} of {all}"),
        _ => format!("{part} of {all}"),
    }
}

/// How many of `parts`, from the first on, fit into `width` characters.
fn n_fitting(parts: &[String], width: usize) -> usize {
    let mut used = 0;
    let fits = |part: &&String| {
        let joint = if used == 0 { 0 } else { ", ".len() };
        used += joint + length(part);
        used <= width
    };
    parts.iter().take_while(fits).count()
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// The largest of the large objects, in an order that does not change while they are under way, and how many more there
/// are.
pub(super) fn largest(objects: &[Arc<LargeObject>]) -> (Vec<Arc<LargeObject>>, usize) {
    let mut largest = objects.to_vec();
    largest.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.key.cmp(&b.key)));
    let n_more = largest.len().saturating_sub(MAX_LARGE);
    largest.truncate(MAX_LARGE);
    (largest, n_more)
}

/// ` 45 % of 10.0 GiB  videos/a.mp4` in at most `width` characters, of a long key its end.
pub(super) fn large_status(object: &LargeObject, width: usize) -> String {
    let percent = u128::from(object.n_done()) * 100 / u128::from(object.size.max(1));
    let start = format!("{:3} % of {}  ", percent.min(100), bytes(object.size));
    let key = printable(&object.key);
    let (room, n_key) = (width.saturating_sub(length(&start)), length(&key));
    if n_key <= room {
        return start + &key;
    }
    if room < 2 {
        return start.trim_end().to_owned();
    }
    let end: String = key.chars().skip(n_key - (room - 1)).collect();
    format!("{start}…{end}")
}

#[cfg(test)]
mod tests;
