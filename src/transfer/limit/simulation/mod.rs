//! The governor against simulated downloads: as fast as the best fixed number, with few more in flight than that needs,
//! and steady, whatever holds the run back.
//!
//! Time is virtual and each seed fixed, so that a run is the same each time. The best fixed number's goodput in each
//! scenario is a figure in its table; the ignored test computes it again, and tries many worlds drawn at random.

mod outages;
mod run;
mod samples;
mod scenarios;
mod world;

use run::Run;
use scenarios::Scenario;
use world::World;

use super::governor::Governor;
use super::reading::float;

const CEILING: usize = 1_024;
/// Fixed numbers that the best is found among.
const FIXED: [usize; 14] = [1, 2, 4, 8, 16, 32, 64, 90, 128, 181, 256, 362, 512, CEILING];

/// A run in the scenario's world, with the number that it finds or a fixed one.
fn run(scenario: &Scenario, fixed: Option<usize>, seed: u64) -> Run {
    let mut run = start(scenario.world, fixed, usize::MAX, seed);
    if let Some(change) = scenario.change {
        run.until(10.0);
        change(&mut run.world);
    }
    run.until(end(scenario));
    run
}

fn start(world: World, fixed: Option<usize>, total: usize, seed: u64) -> Run {
    let governor = |started| match fixed {
        Some(n) => Governor::fixed(n, started),
        None => Governor::automatic(CEILING, started),
    };
    Run::new(world, governor, total, seed)
}

/// The length of a run, in seconds; what is judged is its last third.
fn end(scenario: &Scenario) -> f64 {
    if scenario.change.is_some() {
        24.0
    } else {
        12.0
    }
}

fn goodput(run: &Run, scenario: &Scenario) -> f64 {
    let end = end(scenario);
    run.samples.goodput(end - 5.0, end) / 1e6
}

/// Runs each scenario, and says of each that is not as it should be what is wrong with it.
fn check(scenarios: Vec<Scenario>, seed: u64) {
    let mut wrong = Vec::new();
    for scenario in scenarios {
        let run = run(&scenario, None, seed);
        let share = goodput(&run, &scenario) / scenario.best;
        let end = end(&scenario);
        let n = run.samples.median(end - 4.0, end);
        // Probes go an eighth up and down, around a number that may move by an eighth.
        let rise = run.samples.rise(end - 4.0, end);
        let is_steady = !scenario.is_steady
            || scenario.change.is_some()
            || scenario.world.rate > 0.0
            || scenario.world.refuses
            || rise <= 1.45;
        let shown = format!(
            "{}: {share:.2} of the best, {n} in flight (rises by {rise:.2}), {:.2} % refused",
            scenario.name,
            100.0 * run.samples.refused()
        );
        if share < scenario.share
            || !scenario.n.contains(&n)
            || !is_steady
            || run.samples.refused() > 0.06
            || run.n_connections > CEILING
        {
            wrong.push(shown);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_best_number_is_found_where_the_cpu_is_the_limit() {
    check(scenarios::cpu_bound(), 1);
}

#[test]
fn the_best_number_is_found_where_the_network_is_the_limit() {
    check(scenarios::network_bound(), 1);
}

#[test]
fn the_best_number_is_found_where_the_server_has_requests_wait() {
    check(scenarios::server_bound(), 1);
}

#[test]
fn a_server_that_refuses_is_used_to_its_limit() {
    check(scenarios::refusing(), 1);
}

#[test]
fn stray_refusals_do_not_count() {
    check(scenarios::refusing_for_no_reason(), 1);
}

#[test]
fn no_more_are_in_flight_than_the_list_or_the_disk_can_fill() {
    check(scenarios::list_and_disk_bound(), 1);
}

#[test]
fn a_limit_of_the_users_own_is_not_climbed_against() {
    for (rps, most) in [(5.0, 32), (200.0, 32), (2_000.0, 128)] {
        let world = World {
            rps,
            ..World::default()
        };
        let mut run = start(world, None, usize::MAX, 1);
        run.until(20.0);
        // New connections take longer than their requests, so that the first steps look filled.
        let settled = if rps > 200.0 { 5.0 } else { 0.0 };
        let numbers = run.samples.numbers(settled, 20.0);
        let n = numbers[numbers.len() - 1];
        let used = float(run.n_done) / (rps * 20.0);
        assert!(n <= most && used > 0.9, "{rps}/s: {n} in flight, {used:.2}");
        // The limit is the user's, and not what the server can take.
        if rps <= 200.0 {
            assert_eq!(run.governor.found(), None, "{rps}/s");
        }
    }
}

#[test]
fn conditions_that_change_are_found_again() {
    check(scenarios::changing(), 1);
}

#[test]
fn a_short_run_is_not_lost_to_the_climb() {
    // At 30 ms, with TLS and without: the best fixed numbers need 3.53 s and 3.17 s.
    let [.., with_tls, without_tls] = &scenarios::cpu_bound()[..] else {
        panic!("no scenarios");
    };
    for (scenario, best) in [(with_tls, 3.53), (without_tls, 3.17)] {
        let world = World {
            latency: 0.03,
            ..scenario.world
        };
        let mut run = start(world, None, 30_000, 1);
        assert!(run.until(60.0), "{}", scenario.name);
        assert!(run.now < best / 0.85, "{}: {}", scenario.name, run.now);
        assert!(run.n_connections <= 768, "{}", run.n_connections);
    }
}

#[test]
fn a_server_with_a_rate_is_followed_in_time() {
    for rate in [5.0, 20.0, 100.0] {
        for latency in [0.001, 0.02, 0.2] {
            for fixed in [Some(256), None] {
                let world = World {
                    rate,
                    burst: 0.5,
                    latency,
                    ..World::default()
                };
                let mut run = start(world, fixed, usize::MAX, 1);
                run.until(120.0);
                let used = float(run.n_done) / (rate * 120.0);
                let shown = format!(
                    "{rate}/s, {latency} s, {fixed:?}: {used:.2} of it, {:.3} refused",
                    run.samples.refused()
                );
                assert!(used > 0.8 && run.samples.refused() < 0.15, "{shown}");
            }
        }
    }
}

#[test]
fn a_short_run_against_a_low_rate_is_refused_little() {
    for rate in [5.0, 20.0] {
        for fixed in [Some(64), Some(256), None] {
            let world = World {
                rate,
                burst: 0.5,
                latency: 0.01,
                ..World::default()
            };
            let mut run = start(world, fixed, 400, 1);
            assert!(
                run.until(400.0 / rate / 0.8),
                "{rate}/s, {fixed:?}: {}",
                run.n_done
            );
            let refused = run.samples.refused();
            assert!(refused < 0.15, "{rate}/s, {fixed:?}: {refused:.3} refused");
        }
    }
}

#[test]
fn a_server_with_few_slots_is_kept_busy_by_a_fixed_number_too() {
    for (n_slots, fixed) in [(2, 64), (16, 64), (16, 256), (100, 512)] {
        let world = World {
            n_slots,
            service: 0.02,
            latency: 0.001,
            refuses: true,
            ..World::default()
        };
        let mut run = start(world, Some(fixed), usize::MAX, 1);
        run.until(20.0);
        let per_second = float(run.n_done) / 20.0;
        // As many as the slots allow, with the noise of their times.
        let most = float(n_slots) / (0.02 * 1.046 * 1.045);
        let shown = format!("{n_slots}, {fixed}: {per_second:.0}/s of {most:.0}/s");
        assert!(
            per_second > 0.85 * most && run.samples.refused() < 0.08,
            "{shown}, {:.3} refused",
            run.samples.refused()
        );
    }
}

#[test]
fn a_server_that_refused_nearly_everything_for_a_while_is_used_in_full_again() {
    let usual = World {
        latency: 0.03,
        ..World::default()
    };
    let rate = |run: &Run| run.samples.goodput(15.0, 20.0);
    let mut undisturbed = start(usual, None, usize::MAX, 1);
    undisturbed.until(20.0);
    for n_slots in [1, 2, 3, 4, 5, 6] {
        let world = World {
            n_slots,
            service: 0.02,
            refuses: true,
            ..usual
        };
        let mut run = start(world, None, usize::MAX, 1);
        run.until(3.0);
        run.world = usual;
        run.until(20.0);
        let share = rate(&run) / rate(&undisturbed);
        let n = run.samples.median(15.0, 20.0);
        assert!(share > 0.9, "{n_slots}: {share:.2}, {n} in flight");
    }
}

#[expect(clippy::print_stdout, reason = "a failure is repeated by its seed")]
#[test]
fn worlds_drawn_at_random_keep_the_rules() {
    let first = fastrand::u64(1..1_000_000);
    println!("seeds {first} to {}", first + 3);
    for seed in first..first + 4 {
        let world = world::random(seed);
        let mut run = start(world, None, usize::MAX, seed);
        let mut few = start(world, Some(16), usize::MAX, seed);
        let mut share_until = |end| {
            run.until(end);
            few.until(end);
            run.samples.goodput(2.0, end) / few.samples.goodput(2.0, end)
        };
        let mut share = share_until(8.0);
        if share <= 0.5 {
            // Of few and mixed objects, the one run may have drawn larger ones at first.
            share = share_until(60.0);
        }
        assert!(
            share > 0.5,
            "seed {seed}: {share:.2} of what 16 in flight bring; {world:?}"
        );
        let numbers = run.samples.numbers(0.0, 8.0);
        assert!(
            numbers[0] >= 1 && numbers[numbers.len() - 1] <= CEILING,
            "seed {seed}: {numbers:?}"
        );
        // No step brings more new connections than it may.
        let opened = |pair: &[samples::Sample]| pair[1].n_connections - pair[0].n_connections;
        let most = run.samples.0.windows(2).map(opened).max().unwrap();
        assert!(most <= 96, "seed {seed}: {most} connections at once");
    }
}

/// Prints the best of the fixed numbers beside what the run finds; in release mode this takes minutes.
#[expect(clippy::print_stdout, reason = "it is run for what it prints")]
#[test]
#[ignore = "it computes what the tables say, and takes minutes"]
fn every_scenario_and_random_worlds() {
    let random = (1..=60).map(|seed| Scenario {
        name: "random",
        world: world::random(seed),
        change: None,
        best: 0.0,
        share: 0.0,
        n: 1..=CEILING,
        is_steady: false,
    });
    let all = [
        scenarios::cpu_bound(),
        scenarios::network_bound(),
        scenarios::server_bound(),
        scenarios::refusing(),
        scenarios::refusing_for_no_reason(),
        scenarios::list_and_disk_bound(),
        scenarios::changing(),
    ];
    let mut shares = Vec::new();
    for scenario in all.into_iter().flatten().chain(random) {
        let of = |fixed| {
            (1..4)
                .map(|seed| goodput(&run(&scenario, fixed, seed), &scenario))
                .sum::<f64>()
                / 3.0
        };
        let fixed = FIXED.map(|n| (n, of(Some(n))));
        let best = fixed
            .iter()
            .map(|&(_, goodput)| goodput)
            .fold(0.0, f64::max);
        let fewest = fixed
            .iter()
            .find(|&&(_, goodput)| goodput >= 0.95 * best)
            .unwrap()
            .0;
        let runs: Vec<_> = (1..4).map(|seed| run(&scenario, None, seed)).collect();
        let n: Vec<_> = runs
            .iter()
            .map(|run| run.samples.median(end(&scenario) - 5.0, end(&scenario)))
            .collect();
        let share = of(None) / best;
        println!(
            "{}: best {best:.1} with {fewest} and more; {share:.2} of it, {n:?} in flight",
            scenario.name
        );
        shares.push(share);
    }
    let mean = shares.iter().sum::<f64>() / float(shares.len());
    let worst = shares.iter().copied().fold(1.0, f64::min);
    println!("mean {mean:.3}, worst {worst:.2}");
    assert!(
        mean > 0.95 && worst > 0.6,
        "mean {mean:.3}, worst {worst:.2}"
    );
}
