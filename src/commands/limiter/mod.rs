//! RATELIMIT.*: rate limits, policies and leases. Here is how limits are written in a command, and
//! why a command is refused.

mod checks;
mod corrections;
mod leases;
mod policies;

use crate::server::args::Parser;
use crate::server::command::Command;
use crate::server::context::{self, Context, Refusal};
use modq_core::limiter::{
    Algo, CheckError, LimitSpec, MAX_LIMITS_PER_REQUEST, MAX_VALUE, SpecError, Wait,
};
use modq_core::units::Millis;
pub use policies::POLICY;
use smallvec::SmallVec;
use std::ops::RangeInclusive;

/// The commands with keys, by what they are about.
pub(super) static COMMANDS: [&[Command]; 3] =
    [checks::COMMANDS, corrections::COMMANDS, leases::COMMANDS];

impl From<SpecError> for Refusal {
    fn from(error: SpecError) -> Refusal {
        Refusal::fixed(match error {
            SpecError::QuotaOutOfRange => "ERR quota must be an integer from 1 to 2^53",
            SpecError::WindowOutOfRange => "ERR window must be an integer from 1 to 2^53 (ms)",
            SpecError::BurstOutOfRange => "ERR BURST must be an integer from 1 to 2^53",
            SpecError::BurstWithoutGcra => "ERR BURST goes with ALGO GCRA only",
            SpecError::NoLimits => return Refusal::missing("quota"),
            SpecError::TooManyLimits => "ERR LIMIT: at most 8 limits in a command",
            SpecError::RepeatedLimit => "ERR LIMIT: the same window and ALGO twice",
        })
    }
}

impl From<CheckError> for Refusal {
    fn from(error: CheckError) -> Refusal {
        match error {
            CheckError::TooManyLimitsInUse => {
                Refusal::fixed("ERR LIMIT: the key has 16 other limits in use")
            }
        }
    }
}

const OUT_OF_MEMORY: Refusal =
    Refusal::fixed("OOM command not allowed when used memory > 'maxmemory'.");

/// Whether a request that needs memory must be refused: more than maxmemory is used, and the server
/// does not make room by itself. Under a policy that evicts it does so before each command; what is
/// used then lies just below the limit, and the command's own words can lift it over. Refusing for
/// that would be for good, since what is refused allocates nothing that makes the server evict.
fn memory_is_used_up(ctx: Context<'_>) -> bool {
    context::out_of_memory() && !ctx.flags().evicts()
}

/// A duration in milliseconds.
fn ms(
    parser: &mut Parser<'_>,
    name: &'static str,
    range: RangeInclusive<u64>,
) -> Result<Millis, Refusal> {
    let ms = parser.unsigned_of(name, range, ", in milliseconds")?;
    Ok(Millis(ms))
}

/// A wait as replies show it: milliseconds, -1 for one that does not end.
fn shown(wait: Wait) -> i64 {
    match wait {
        Wait::For(span) => span.0 as i64,
        Wait::Forever => -1,
    }
}

/// The limits of one command: most have one or two.
type Specs = SmallVec<[LimitSpec; 2]>;

/// One limit while it is being read. Its options may come in any order behind its quota and
/// window, so it is complete when the next limit begins, or the command ends.
struct Draft {
    quota: u64,
    window: Millis,
    algo: Option<Algo>,
    burst: Option<u64>,
}

impl Draft {
    /// Reads quota and window, with which a limit begins.
    fn read(parser: &mut Parser<'_>) -> Result<Draft, Refusal> {
        Ok(Draft {
            quota: parser.unsigned("quota", 1..=MAX_VALUE)?,
            window: ms(parser, "window", 1..=MAX_VALUE)?,
            algo: None,
            burst: None,
        })
    }

    /// Reads what follows ALGO.
    fn algo(&mut self, parser: &mut Parser<'_>) -> Result<(), Refusal> {
        if self.algo.is_some() {
            return Err(Refusal::fixed("ERR ALGO is given twice for one limit"));
        }
        let algo = Algo::from_name(parser.word("ALGO")?);
        self.algo = Some(algo.ok_or(Refusal::fixed(
            "ERR ALGO must be LOG, COUNTER, FIXED or GCRA",
        ))?);
        Ok(())
    }

    /// Reads what follows BURST.
    fn burst(&mut self, parser: &mut Parser<'_>) -> Result<(), Refusal> {
        if self.burst.is_some() {
            return Err(Refusal::fixed("ERR BURST is given twice for one limit"));
        }
        self.burst = Some(parser.unsigned("BURST", 1..=MAX_VALUE)?);
        Ok(())
    }

    /// The limit is complete: checks it and adds it to the others.
    fn add_to(self, specs: &mut Specs) -> Result<(), Refusal> {
        if specs.len() == MAX_LIMITS_PER_REQUEST {
            return Err(SpecError::TooManyLimits.into());
        }
        let algo = self.algo.unwrap_or(Algo::Log);
        specs.push(LimitSpec::new(self.quota, self.window, algo, self.burst)?);
        Ok(())
    }
}
