//! A downloader and a server, simulated: requests are discrete, bodies share the network like a fluid, and time is virtual. It
//! drives the governor that runs.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use super::samples::{Sample, Samples};
use super::world::{Random, Sizes, World};
use crate::transfer::limit::governor::{Counted, Governor};
use crate::transfer::limit::reading::float;

/// Seconds between readings.
const TICK: f64 = 0.01;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Connected(usize),
    Arrives(usize),
    Answered(usize),
    Read(usize),
    Written,
    BackedOff,
    Row,
    /// The user's limit lets a request start.
    Due,
}

/// A time, or a position, that can be ordered.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
struct At(f64);

impl Eq for At {}

#[expect(clippy::derive_ord_xor_partial_ord, reason = "none of them is NaN")]
impl Ord for At {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Request {
    size: f64,
    round: u64,
    started: f64,
}

#[derive(Debug)]
pub(super) struct Run {
    pub world: World,
    pub governor: Governor,
    pub samples: Samples,
    epoch: Instant,
    random: Random,
    pub now: f64,
    events: BinaryHeap<Reverse<(At, Event)>>,
    requests: Vec<Request>,
    free: Vec<usize>,
    /// Bodies by the position of the fluid at which they end.
    bodies: BinaryHeap<Reverse<(At, usize)>>,
    fluid: f64,
    cores: Vec<f64>,
    disk_until: f64,
    n_idle: usize,
    pub n_connections: usize,
    n_connecting: usize,
    waiting: VecDeque<usize>,
    n_serving: usize,
    tokens: f64,
    tokens_at: f64,
    /// Rows under way, with those in backoff; rows that wait to be started again; rows that the list has given.
    n_rows: usize,
    again: usize,
    n_taken: usize,
    total: usize,
    rows: f64,
    rows_at: f64,
    pub n_done: usize,
    n_refused: usize,
    counted: Counted,
    bytes: f64,
    cpu: f64,
    disk: f64,
    next_tick: f64,
    is_row_due: bool,
    n_writing: usize,
    /// When the next request may start by the user's limit, how many wait for that, and how long they did.
    due: f64,
    n_limited: usize,
    limited: f64,
}

impl Run {
    /// A run of `total` objects at most.
    pub(super) fn new(
        world: World,
        governor: impl FnOnce(Instant) -> Governor,
        total: usize,
        seed: u64,
    ) -> Self {
        let mut world = world;
        if world.setup < 0.0 {
            world.setup = (3.0 * world.latency).max(0.0003);
        }
        let epoch = Instant::now();
        Self {
            governor: governor(epoch),
            samples: Samples::default(),
            epoch,
            random: Random::new(seed),
            now: 0.0,
            events: BinaryHeap::new(),
            requests: Vec::new(),
            free: Vec::new(),
            bodies: BinaryHeap::new(),
            fluid: 0.0,
            cores: vec![0.0; world.n_cores],
            disk_until: 0.0,
            n_idle: 0,
            n_connections: 0,
            n_connecting: 0,
            waiting: VecDeque::new(),
            n_serving: 0,
            tokens: (world.burst * world.rate).max(1.0),
            tokens_at: 0.0,
            n_rows: 0,
            again: 0,
            n_taken: 0,
            total,
            rows: 0.0,
            rows_at: 0.0,
            n_done: 0,
            n_refused: 0,
            counted: Counted::default(),
            bytes: 0.0,
            cpu: 0.0,
            disk: 0.0,
            next_tick: TICK,
            is_row_due: false,
            n_writing: 0,
            due: 0.0,
            n_limited: 0,
            limited: 0.0,
            world,
        }
    }

    fn instant(&self) -> Instant {
        self.epoch + Duration::from_secs_f64(self.now)
    }

    fn noise(&mut self) -> f64 {
        let factor = (self.world.noise * self.random.normal()).exp();
        if self.random.uniform() < self.world.tail {
            10.0 * factor
        } else {
            factor
        }
    }

    fn push(&mut self, after: f64, event: Event) {
        self.events.push(Reverse((At(self.now + after), event)));
    }

    /// When a job that begins now has had its `cost` of CPU.
    fn on_a_core(&mut self, cost: f64) -> f64 {
        self.cpu += cost;
        let now = self.now;
        let core = self.cores[..self.world.n_cores]
            .iter_mut()
            .min_by(|a, b| a.total_cmp(b))
            .unwrap();
        *core = core.max(now) + cost;
        *core - now
    }

    /// Bytes per second of each body.
    fn body_rate(&self) -> f64 {
        let world = &self.world;
        let mut link = world.link;
        if world.cpu_byte > 0.0 {
            link = link.min(float(world.n_cores) / world.cpu_byte);
        }
        if world.disk > 0.0 {
            link = link.min(world.disk);
        }
        world.connection.min(link / float(self.bodies.len().max(1)))
    }

    /// Starts requests while there are rows and permits.
    fn start(&mut self) {
        loop {
            let has_row = self.again > 0
                || (self.n_taken < self.total
                    && self.n_rows < self.governor.max_rows()
                    && self.has_row());
            if !has_row || !self.governor.take() {
                return;
            }
            if self.again > 0 {
                self.again -= 1;
            } else {
                self.n_taken += 1;
                self.n_rows += 1;
                if self.world.list > 0.0 {
                    self.rows -= 1.0;
                }
            }
            let id = self.free.pop().unwrap_or_else(|| {
                self.requests.push(Request::default());
                self.requests.len() - 1
            });
            let size = match self.world.sizes {
                Sizes::All(size) => size,
                Sizes::From(low, high) => self.random.between(low, high),
                Sizes::Mixed(size, other, share) => {
                    if self.random.uniform() < share {
                        other
                    } else {
                        size
                    }
                }
            };
            // Where requests start at an interval.
            let start = self.governor.start(self.instant());
            let wait = start.map_or(0.0, |start| {
                start
                    .saturating_duration_since(self.instant())
                    .as_secs_f64()
            });
            let wait = wait.max(self.wait_for_limit());
            self.requests[id] = Request {
                size,
                round: self.governor.round(),
                started: self.now + wait,
            };
            if self.n_idle > 0 {
                self.n_idle -= 1;
                let latency = self.world.latency * self.noise();
                self.push(wait + latency, Event::Arrives(id));
            } else {
                self.n_connections += 1;
                self.n_connecting += 1;
                let cpu = self.on_a_core(self.world.cpu_connection);
                let setup = self.world.setup * self.noise();
                self.push(wait + cpu + setup, Event::Connected(id));
            }
        }
    }

    fn wait_for_limit(&mut self) -> f64 {
        if self.world.rps == 0.0 {
            return 0.0;
        }
        let wait = (self.due - self.now).max(0.0);
        self.due = self.now + wait + 1.0 / self.world.rps;
        self.n_limited += 1;
        self.push(wait, Event::Due);
        wait
    }

    fn has_row(&mut self) -> bool {
        if self.world.list == 0.0 {
            return true;
        }
        self.rows = (self.rows + self.world.list * (self.now - self.rows_at)).min(1024.0);
        self.rows_at = self.now;
        if self.rows < 1.0 - 1e-9 {
            if !self.is_row_due {
                self.is_row_due = true;
                let wait = (1.0 - self.rows) / self.world.list + 1e-7;
                self.push(wait, Event::Row);
            }
            return false;
        }
        true
    }

    fn serve(&mut self, id: usize) {
        let over = self.world.thrash * float(self.waiting.len()) / float(self.world.n_slots);
        let service = self.world.service * self.noise() * (1.0 + over);
        self.push(service, Event::Answered(id));
    }

    fn is_refused(&mut self) -> bool {
        let world = self.world;
        if self.random.uniform() < world.strays {
            return true;
        }
        if world.rate > 0.0 {
            let rate = world.rate + world.growth * self.now;
            let tokens = self.tokens + rate * (self.now - self.tokens_at);
            self.tokens = tokens.min((world.burst * rate).max(1.0));
            self.tokens_at = self.now;
            if self.tokens < 1.0 {
                return true;
            }
            self.tokens -= 1.0;
        }
        world.refuses && self.n_serving >= world.n_slots
    }

    fn end(&mut self, id: usize, is_done: bool) {
        self.governor.give_back(false, is_done);
        self.n_idle += 1;
        self.free.push(id);
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Connected(id) => {
                self.n_connecting -= 1;
                let latency = self.world.latency * self.noise();
                self.push(latency, Event::Arrives(id));
            }
            Event::Arrives(id) if self.is_refused() => {
                self.n_refused += 1;
                let (round, n_answered) = (self.requests[id].round, self.counted.n_answered);
                self.governor.throttled(round, n_answered, self.instant());
                self.end(id, false);
                let backoff = 0.5 * self.random.uniform();
                self.push(backoff, Event::BackedOff);
            }
            Event::Arrives(id) if self.world.n_slots == 0 => self.happens(Event::Answered(id)),
            Event::Arrives(id) if self.n_serving < self.world.n_slots => {
                self.n_serving += 1;
                self.serve(id);
            }
            Event::Arrives(id) => self.waiting.push_back(id),
            Event::Answered(id) => {
                self.counted.n_answered += 1;
                let waited = self.now - self.requests[id].started;
                self.counted.first_byte += Duration::from_secs_f64(waited.max(0.0));
                if self.world.n_slots > 0 {
                    let next = (self.n_serving <= self.world.n_slots)
                        .then(|| self.waiting.pop_front())
                        .flatten();
                    match next {
                        Some(next) => self.serve(next),
                        None => self.n_serving = self.n_serving.saturating_sub(1),
                    }
                }
                let end = self.fluid + self.requests[id].size;
                self.bodies.push(Reverse((At(end), id)));
            }
            Event::Read(id) => {
                self.end(id, true);
                if self.world.disk_file > 0.0 {
                    self.n_writing += 1;
                    self.disk_until = self.disk_until.max(self.now) + self.world.disk_file;
                    let wait = self.disk_until - self.now;
                    self.push(wait, Event::Written);
                } else {
                    self.row_ends();
                }
            }
            Event::Written => {
                self.n_writing -= 1;
                self.row_ends();
            }
            Event::BackedOff => self.again += 1,
            Event::Row => self.is_row_due = false,
            Event::Due => self.n_limited -= 1,
        }
    }

    fn row_ends(&mut self) {
        self.n_rows -= 1;
        self.n_done += 1;
    }

    fn tick(&mut self) {
        self.counted.n_objects = self.n_rows;
        self.counted.n_connecting = self.n_connecting;
        self.counted.bytes = bytes(self.bytes);
        self.counted.cpu = Duration::from_secs_f64(self.cpu / float(self.world.n_cores));
        self.counted.disk = Duration::from_secs_f64(self.disk);
        self.counted.limited = Duration::from_secs_f64(self.limited);
        self.governor.read(&self.counted, self.instant());
        self.samples.0.push(Sample {
            now: self.now,
            n: self.governor.n_permits(),
            bytes: self.bytes,
            n_done: self.n_done,
            n_refused: self.n_refused,
            n_connections: self.n_connections,
        });
    }

    /// Goes on until `end`; whether everything is downloaded.
    pub(super) fn until(&mut self, end: f64) -> bool {
        while self.now < end {
            self.start();
            let rate = self.body_rate();
            let body = self
                .bodies
                .peek()
                .map_or(f64::INFINITY, |Reverse((At(at), _))| {
                    self.now + ((at - self.fluid) / rate).max(0.0)
                });
            let event = self
                .events
                .peek()
                .map_or(f64::INFINITY, |Reverse((At(at), _))| *at);
            let next = body.min(event).min(self.next_tick).max(self.now);
            let time = next - self.now;
            self.fluid += rate * time;
            let n_bodies = float(self.bodies.len());
            self.bytes += rate * n_bodies * time;
            self.cpu += rate * n_bodies * time * self.world.cpu_byte;
            self.disk += float(self.n_writing) * time;
            self.limited += float(self.n_limited) * time;
            if self.world.disk > 0.0 && n_bodies > 0.0 {
                let without = self.world.connection.min(self.world.link / n_bodies);
                self.disk += n_bodies * (1.0 - rate / without).max(0.0) * time;
            }
            self.now = next;
            if self.next_tick <= next {
                self.next_tick += TICK;
                self.tick();
            } else if body <= event {
                let Some(Reverse((_, id))) = self.bodies.pop() else {
                    continue;
                };
                let wait = self.on_a_core(self.world.cpu_request);
                self.push(wait, Event::Read(id));
            } else if let Some(Reverse((_, event))) = self.events.pop() {
                self.happens(event);
            }
            if self.n_done >= self.total {
                return true;
            }
        }
        false
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "simulated bytes"
)]
fn bytes(x: f64) -> u64 {
    x as u64
}
