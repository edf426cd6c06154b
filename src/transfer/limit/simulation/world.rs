//! What a downloader and a server are like, and random numbers. All of it is simulated.

use crate::transfer::limit::reading::{float, whole};

pub(super) const MS: f64 = 1e-3;
pub(super) const US: f64 = 1e-6;
pub(super) const KIB: f64 = 1024.0;
pub(super) const MIB: f64 = 1_048_576.0;
pub(super) const GIB: f64 = 1_073_741_824.0;

/// What holds the run back, and by how much. Times are in seconds, sizes in bytes; zero means no limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct World {
    pub latency: f64,
    /// Spread of latencies and service times, as the standard deviation of their logarithm, and the share of them that take
    /// ten times as long.
    pub noise: f64,
    pub tail: f64,
    /// Requests that the server works on at once, how long each takes, whether more are refused (or wait), and by how much
    /// each one that waits slows it down.
    pub n_slots: usize,
    pub service: f64,
    pub refuses: bool,
    pub thrash: f64,
    /// Requests per second beyond which the server refuses, what they grow by per second, and the share that it refuses
    /// without a reason.
    pub rate: f64,
    /// Seconds of that which it takes at once.
    pub burst: f64,
    pub growth: f64,
    pub strays: f64,
    /// Bytes per second in all, and per connection.
    pub link: f64,
    pub connection: f64,
    pub n_cores: usize,
    /// CPU time per request, per byte and per connection.
    pub cpu_request: f64,
    pub cpu_byte: f64,
    pub cpu_connection: f64,
    /// To open a connection.
    pub setup: f64,
    /// Disk time per file, and bytes per second.
    pub disk_file: f64,
    pub disk: f64,
    /// Rows per second.
    pub list: f64,
    /// Requests per second that the user allows.
    pub rps: f64,
    pub sizes: Sizes,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Sizes {
    All(f64),
    /// From the one to the other, evenly by their logarithm.
    From(f64, f64),
    /// The one, and a share of the other.
    Mixed(f64, f64, f64),
}

impl Default for World {
    fn default() -> Self {
        Self {
            latency: 0.03,
            noise: 0.3,
            tail: 0.005,
            n_slots: 0,
            service: 0.0,
            refuses: false,
            thrash: 0.0,
            rate: 0.0,
            burst: 0.2,
            growth: 0.0,
            strays: 0.0,
            link: 1e15,
            connection: 90e6,
            n_cores: 2,
            cpu_request: 90e-6,
            cpu_byte: 0.0,
            cpu_connection: 400e-6,
            setup: -1.0,
            disk_file: 0.0,
            disk: 0.0,
            list: 0.0,
            rps: 0.0,
            sizes: Sizes::All(10_240.0),
        }
    }
}

/// Random numbers that are the same each time (xorshift64*).
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            random.uniform();
        }
        random
    }

    /// From 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits")]
    pub(super) fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly by the logarithm.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        (low.ln() + self.uniform() * (high / low).ln()).exp()
    }

    /// With the normal distribution.
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().max(1e-12).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// A world that nobody thought of.
pub(super) fn random(seed: u64) -> World {
    let mut random = Random::new(seed);
    let mut pick = |n: usize| whole(random.uniform() * float(n)).min(n - 1);
    let (limit, kind, cores) = (pick(7), pick(4), [1, 2, 4, 8][pick(4)]);
    let latency = random.between(0.2 * MS, 0.2);
    let sizes = match kind {
        0 => Sizes::All(random.between(KIB, 64.0 * KIB)),
        1 => Sizes::All(random.between(64.0 * KIB, 64.0 * MIB)),
        2 => Sizes::From(KIB, random.between(64.0 * KIB, GIB)),
        _ => Sizes::Mixed(
            random.between(KIB, 64.0 * KIB),
            random.between(MIB, 64.0 * MIB),
            random.between(0.002, 0.2),
        ),
    };
    let world = World {
        latency,
        noise: random.between(0.1, 0.6),
        tail: random.between(0.001, 0.02),
        n_cores: cores,
        sizes,
        setup: latency * [0.1, 1.0, 3.0][whole(random.uniform() * 2.0)],
        ..World::default()
    };
    let n_slots = whole(random.between(2.0, 400.0));
    let service = random.between(2.0 * MS, 0.2);
    match limit {
        0 => World {
            cpu_request: random.between(50.0 * US, 400.0 * US),
            n_cores: cores.min(2),
            ..world
        },
        1 | 2 => World {
            link: random.between(10e6, 5e9),
            ..world
        },
        3 => World {
            n_slots,
            service,
            ..world
        },
        4 => World {
            n_slots,
            service,
            refuses: true,
            ..world
        },
        5 => World {
            rate: random.between(20.0, 6_000.0),
            ..world
        },
        _ => World {
            disk_file: random.between(100.0 * US, 2.0 * MS),
            disk: random.between(50e6, 2e9),
            ..world
        },
    }
}
