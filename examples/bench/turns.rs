//! Arms in turns, and the ratio of one to another.

use super::load::{Load, Measured, Work};
use super::probe::{Probe, wait_for_quiet};
use super::{BUSY, Plan};
use std::time::Duration;

pub(crate) struct Arm {
    pub(crate) name: &'static str,
    pub(crate) work: Box<dyn Work>,
    pub(crate) turns: Vec<Measured>,
}

impl Arm {
    pub(crate) fn new(name: &'static str, work: impl Work + 'static) -> Arm {
        Arm::boxed(name, Box::new(work))
    }

    pub(crate) fn boxed(name: &'static str, work: Box<dyn Work>) -> Arm {
        Arm {
            name,
            work,
            turns: Vec::new(),
        }
    }

    /// The median of something over the turns.
    pub(crate) fn median(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        median(self.turns.iter().map(of).collect())
    }

    pub(crate) fn instructions(&self) -> Option<f64> {
        let counts = self.turns.iter().map(Measured::instructions_per_op);
        Some(median(counts.collect::<Option<Vec<f64>>>()?))
    }
}

/// How much faster the first of two arms is.
pub(crate) struct Ratio {
    /// Of throughput; the median over the pairs that count.
    pub(crate) throughput: f64,
    /// Of the server's processor time per operation (the slower over the faster, as for throughput), over all pairs.
    pub(crate) cpu: f64,
    pub(crate) counted: usize,
    pub(crate) pairs: usize,
}

impl Ratio {
    pub(crate) fn note(&self) -> String {
        format!(
            "{} of {} pairs counted; by processor time {:.2}",
            self.counted, self.pairs, self.cpu
        )
    }
}

/// Runs the arms in turns, A B C A B C …, until enough turns of each had the server's core busy.
pub(crate) fn in_turns(load: &mut Load, probe: &Probe, plan: &Plan, arms: &mut [Arm]) {
    let warm = plan.arm / 5;
    for turn in 0..plan.most_turns() {
        wait_for_quiet(plan.patience);
        for arm in &mut *arms {
            let measured = load.run(&mut *arm.work, probe, warm, plan.arm);
            arm.turns.push(measured);
        }
        let counts = |turn: usize| arms.iter().all(|arm| arm.turns[turn].busy() >= BUSY);
        if (0..=turn).filter(|&turn| counts(turn)).count() >= plan.pairs {
            break;
        }
    }
    for arm in arms {
        eprintln!(
            "    {}: {:.0}/s, {:.2} µs of the server's core each, which was {:.0} % busy{}",
            arm.name,
            arm.median(Measured::per_second),
            arm.median(Measured::cpu_per_op) * 1e6,
            arm.median(Measured::busy) * 1e2,
            arm.instructions()
                .map_or(String::new(), |n| format!(", {n:.0} instructions"))
        );
    }
}

/// The ratio of arm `a` to arm `b`, turn by turn.
pub(crate) fn ratio(a: &Arm, b: &Arm) -> Ratio {
    let pairs: Vec<_> = a.turns.iter().zip(&b.turns).collect();
    let counted: Vec<f64> = pairs
        .iter()
        .filter(|(a, b)| a.busy() >= BUSY && b.busy() >= BUSY)
        .map(|(a, b)| a.per_second() / b.per_second())
        .collect();
    let cpu = pairs.iter().map(|(a, b)| b.cpu_per_op() / a.cpu_per_op());
    Ratio {
        counted: counted.len(),
        pairs: pairs.len(),
        throughput: median(counted),
        cpu: median(cpu.collect()),
    }
}

/// NaN of nothing.
pub(crate) fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    match of.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => of[n / 2],
        n => (of[n / 2 - 1] + of[n / 2]) / 2.0,
    }
}

/// What a fraction of a second is in milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
