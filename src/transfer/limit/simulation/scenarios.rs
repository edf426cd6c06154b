//! What the governor is tried against.

use std::ops::RangeInclusive;

use super::world::{GIB, KIB, MIB, MS, Sizes, US, World};

/// A world, and what is expected of a run in it.
pub(super) struct Scenario {
    pub name: &'static str,
    pub world: World,
    /// What happens at ten seconds.
    pub change: Option<fn(&mut World)>,
    /// Goodput of the best fixed number, in millions of bytes per second.
    pub best: f64,
    /// The share of it that is to be reached.
    pub share: f64,
    /// Where the number in flight is to be, in the middle.
    pub n: RangeInclusive<usize>,
    /// Whether it is to stay within 15 % of that: some worlds show too little in a second to tell.
    pub is_steady: bool,
}

fn expect(
    name: &'static str,
    world: World,
    best: f64,
    share: f64,
    n: RangeInclusive<usize>,
) -> Scenario {
    Scenario {
        name,
        world,
        change: None,
        best,
        share,
        n,
        is_steady: true,
    }
}

impl Scenario {
    fn unsteady(self) -> Self {
        Self {
            is_steady: false,
            ..self
        }
    }

    fn then(self, change: fn(&mut World)) -> Self {
        Self {
            change: Some(change),
            ..self
        }
    }
}

fn cpu(ms: f64) -> World {
    World {
        latency: ms * MS,
        n_cores: 1,
        ..World::default()
    }
}

fn link(latency: f64, size: f64, link: f64, n_cores: usize) -> World {
    World {
        latency: latency * MS,
        sizes: Sizes::All(size),
        link,
        n_cores,
        cpu_request: 100.0 * US,
        cpu_byte: if n_cores > 4 { 0.5e-9 } else { 0.0 },
        ..World::default()
    }
}

fn slots(latency: f64, n_slots: usize, service: f64) -> World {
    World {
        latency: latency * MS,
        n_slots,
        service: service * MS,
        ..World::default()
    }
}

/// The CPU is the limit.
pub(super) fn cpu_bound() -> Vec<Scenario> {
    vec![
        expect("cpu-0.2ms", cpu(0.2), 842.0, 0.95, 8..=16),
        expect("cpu-2ms", cpu(2.0), 842.0, 0.95, 24..=48),
        expect("cpu-30ms", cpu(30.0), 842.0, 0.95, 330..=724),
        expect("cpu-100ms", cpu(100.0), 706.0, 0.92, 800..=1024),
        expect(
            "nginx-30ms-http",
            World {
                cpu_request: 180.0 * US,
                cpu_connection: 50.0 * US,
                setup: 0.3 * MS,
                ..World::default()
            },
            842.0,
            0.95,
            330..=520,
        ),
    ]
}

/// The network is the limit; sizes are alike, or mixed.
pub(super) fn network_bound() -> Vec<Scenario> {
    vec![
        expect(
            "link1G-64M",
            link(20.0, 64.0 * MIB, 125e6, 4),
            125.1,
            0.95,
            4..=64,
        )
        .unsteady(),
        expect(
            "link10G-8M",
            link(30.0, 8.0 * MIB, 1.25e9, 8),
            1259.9,
            0.95,
            15..=34,
        ),
        expect(
            "link10G-256K",
            link(30.0, 256.0 * KIB, 1.25e9, 8),
            1562.5,
            0.95,
            140..=260,
        ),
        expect(
            "link100G-8M",
            World {
                cpu_byte: 0.1e-9,
                ..link(30.0, 8.0 * MIB, 12.5e9, 8)
            },
            12597.8,
            0.95,
            140..=260,
        ),
        expect(
            "mix-logu-10G",
            World {
                sizes: Sizes::From(KIB, GIB),
                ..link(30.0, 0.0, 1.25e9, 8)
            },
            1254.1,
            0.92,
            10..=40,
        )
        .unsteady(),
        expect(
            "mix-10K-64M-cpu",
            World {
                sizes: Sizes::Mixed(10.0 * KIB, 64.0 * MIB, 0.002),
                link: 10e9,
                cpu_byte: 0.5e-9,
                ..World::default()
            },
            4636.2,
            0.8,
            430..=1024,
        ),
    ]
}

/// The server works on so many requests at once, and has the rest wait.
pub(super) fn server_bound() -> Vec<Scenario> {
    vec![
        expect("slots16-2ms", slots(1.0, 16, 2.0), 556.0, 0.93, 16..=64),
        expect("slots64-20ms", slots(10.0, 64, 20.0), 221.8, 0.95, 80..=200),
        expect(
            "slots300-50ms",
            slots(10.0, 300, 50.0),
            416.8,
            0.95,
            300..=440,
        ),
        expect(
            "thrash64",
            World {
                thrash: 0.2,
                ..slots(10.0, 64, 20.0)
            },
            205.2,
            0.92,
            64..=180,
        ),
        expect(
            "hyper-soft",
            World {
                noise: 1.3,
                tail: 0.0,
                ..slots(2.0, 40, 20.0)
            },
            67.0,
            0.8,
            24..=90,
        ),
    ]
}

/// The server refuses more than so many requests at once, or per second.
pub(super) fn refusing() -> Vec<Scenario> {
    vec![
        expect(
            "503-slots100",
            World {
                refuses: true,
                ..slots(5.0, 100, 25.0)
            },
            239.5,
            0.95,
            90..=118,
        ),
        expect(
            "503-slots20",
            World {
                refuses: true,
                ..slots(5.0, 20, 25.0)
            },
            45.0,
            0.93,
            16..=24,
        ),
        expect(
            "503-rate5500",
            World {
                rate: 5_500.0,
                n_cores: 4,
                ..World::default()
            },
            420.1,
            0.94,
            140..=260,
        ),
        expect(
            "503-rate500",
            World {
                rate: 500.0,
                n_cores: 4,
                ..World::default()
            },
            38.0,
            0.94,
            12..=32,
        ),
    ]
}

/// The server refuses some for no reason; or bursts alone, being far from the most that it can do; or more than two requests at
/// once, by their rate.
pub(super) fn refusing_for_no_reason() -> Vec<Scenario> {
    vec![
        expect(
            "503-stray0.2",
            World {
                strays: 0.002,
                ..cpu(30.0)
            },
            842.0,
            0.95,
            330..=724,
        ),
        expect(
            "rejects90-a",
            World {
                latency: 2.3 * MS,
                sizes: Sizes::All(8.4e6),
                n_slots: 90,
                service: 6.6 * MS,
                refuses: true,
                n_cores: 1,
                ..World::default()
            },
            83787.0,
            0.9,
            440..=1024,
        ),
        expect(
            "rejects90-b",
            World {
                latency: 2.7 * MS,
                sizes: Sizes::All(8.4e6),
                n_slots: 90,
                service: 3.5 * MS,
                refuses: true,
                n_cores: 8,
                ..World::default()
            },
            86511.7,
            0.9,
            440..=1024,
        ),
        expect(
            "503-rate3500",
            World {
                latency: 0.6 * MS,
                sizes: Sizes::All(2e3),
                rate: 3_500.0,
                n_cores: 1,
                ..World::default()
            },
            236.5,
            0.9,
            1..=8,
        ),
    ]
}

/// The list is the limit, or the disk.
pub(super) fn list_and_disk_bound() -> Vec<Scenario> {
    vec![
        expect(
            "list3700",
            World {
                list: 3_700.0,
                ..World::default()
            },
            280.4,
            0.97,
            100..=260,
        ),
        expect(
            "disk-files",
            World {
                disk_file: 400.0 * US,
                ..World::default()
            },
            189.4,
            0.95,
            75..=140,
        ),
        expect(
            "disk-200MBs-8M",
            World {
                sizes: Sizes::All(8.0 * MIB),
                disk: 200e6,
                cpu_byte: 0.5e-9,
                n_cores: 4,
                ..World::default()
            },
            201.7,
            0.95,
            4..=16,
        ),
    ]
}

/// Conditions change at ten seconds.
pub(super) fn changing() -> Vec<Scenario> {
    vec![
        expect("latency-up", cpu(30.0), 472.9, 0.88, 400..=1024).then(|w| w.latency = 0.15),
        expect("slots-up", slots(10.0, 32, 20.0), 889.7, 0.85, 300..=600).then(|w| w.n_slots = 256),
        expect("slots-down", slots(10.0, 256, 20.0), 111.4, 0.93, 32..=256)
            .then(|w| w.n_slots = 32),
        expect("link-down", link(30.0, MIB, 1.25e9, 8), 133.2, 0.85, 4..=40)
            .then(|w| w.link = 125e6),
        expect("link-up", link(30.0, MIB, 125e6, 8), 1328.2, 0.93, 45..=128)
            .then(|w| w.link = 1.25e9),
        expect(
            "size-up",
            link(30.0, 10.0 * KIB, 1.25e9, 8),
            1260.1,
            0.85,
            15..=256,
        )
        .then(|w| w.sizes = Sizes::All(8.0 * MIB)),
        expect(
            "limit-lifted",
            World {
                rate: 700.0,
                ..cpu(30.0)
            },
            842.0,
            0.9,
            330..=1024,
        )
        .then(|w| w.rate = 0.0),
        expect("limit-set", cpu(30.0), 114.2, 0.92, 30..=90).then(|w| w.rate = 1_500.0),
        expect(
            "list-freed",
            World {
                list: 1_000.0,
                ..cpu(30.0)
            },
            842.0,
            0.93,
            330..=724,
        )
        .then(|w| w.list = 0.0),
    ]
}
