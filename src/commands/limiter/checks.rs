//! Commands that charge a request to limits, or say what they would answer: CHECK, PEEK, MCHECK.

use super::{Draft, OUT_OF_MEMORY, Specs};
use crate::commands::counted_keys;
use crate::host::clock;
use crate::host::limiter_keys::{LimitKey, carry_out, count_log_full};
use crate::host::policies::with_policies;
use crate::host::settings;
use crate::host::totals::count_request;
use crate::server::args::{Args, Parser};
use crate::server::command::{Command, Keys};
use crate::server::context::{self, Context, Refusal};
use crate::server::guard::{entry, entry_located};
use crate::server::key::{Key, Mode};
use modq_core::limiter::{
    Decision, LimitDetail, LimitSpec, Limiter, MAX_ID_BYTES, MAX_LIMITS_PER_REQUEST, MAX_VALUE,
    Request, check_all,
};
use smallvec::SmallVec;

macro_rules! checking {
    ($name:literal, $flags:literal, $keys:expr_2021, $summary:literal, $handler:expr_2021) => {
        Command {
            name: $name,
            flags: $flags,
            keys: $keys,
            arity: -4,
            syntax: "key <quota window [ALGO <LOG | COUNTER | FIXED | GCRA>] [BURST burst] \
                     [LIMIT quota window [ALGO <LOG | COUNTER | FIXED | GCRA>] [BURST burst]]… \
                     | POLICY name> [COST cost] [ID request] [PARTIAL] [DETAIL]",
            summary: $summary,
            complexity: "O(1) for each limit; LOG: O(log n) with n charges in the window",
            handler: entry($handler),
        }
    };
}

pub(super) static COMMANDS: &[Command] = &[
    checking!(
        c"ratelimit.check",
        c"write fast",
        Keys::Changes,
        "Charges a request to all limits of a subject, or to none.",
        check
    ),
    checking!(
        c"ratelimit.peek",
        c"readonly fast",
        Keys::Reads,
        "What RATELIMIT.CHECK would answer now, charging nothing.",
        peek
    ),
    Command {
        name: c"ratelimit.mcheck",
        flags: c"write fast getkeys-api",
        keys: Keys::ChangesCounted,
        arity: -6,
        syntax: "numkeys key [key …] LIMIT quota window [ALGO <LOG | COUNTER | FIXED | GCRA>] \
                 [BURST burst] [LIMIT quota window [ALGO <LOG | COUNTER | FIXED | GCRA>] \
                 [BURST burst]]… [COST cost]",
        summary: "Charges a request to several subjects, one limit each, or to none.",
        complexity: "as RATELIMIT.CHECK for each key",
        handler: entry_located(mcheck, counted_keys),
    },
];

/// What CHECK and PEEK are asked.
struct Asked<'a> {
    limits: Specs,
    cost: u64,
    id: Option<&'a [u8]>,
    partial: bool,
    detail: bool,
}

impl Asked<'_> {
    fn request(&self) -> Request<'_> {
        Request {
            limits: &self.limits,
            cost: self.cost,
            id: self.id,
            partial: self.partial,
        }
    }
}

const OPTIONS: [&str; 8] = [
    "COST", "ID", "PARTIAL", "DETAIL", "LIMIT", "ALGO", "BURST", "POLICY",
];

/// Whether a word in the place of a quota is one of the options that may stand before POLICY.
fn goes_before_policy(word: &[u8]) -> bool {
    let options = ["POLICY", "COST", "ID", "PARTIAL", "DETAIL"];
    options
        .iter()
        .any(|option| word.eq_ignore_ascii_case(option.as_bytes()))
}

fn parse_check<'a>(args: Args<'a>) -> Result<Asked<'a>, Refusal> {
    let mut parser = Parser::new(args, 2);
    let mut asked = Asked {
        limits: Specs::new(),
        cost: 1,
        id: None,
        partial: false,
        detail: false,
    };
    let mut policy = None;
    let mut draft = None;
    // Limits begin with their numbers; a policy is an option like others, and they have no order.
    if !parser.peek().is_some_and(goes_before_policy) {
        draft = Some(Draft::read(&mut parser)?);
    }
    while parser.more() {
        let option = parser.option_of(&OPTIONS)?;
        match (option, &mut draft) {
            (0..=3, _) => {
                parser.once(&OPTIONS, option)?;
                match option {
                    0 => asked.cost = parser.unsigned("COST", 0..=MAX_VALUE)?,
                    1 => asked.id = Some(parser.bytes("ID", 1..=MAX_ID_BYTES)?),
                    2 => asked.partial = true,
                    _ => asked.detail = true,
                }
            }
            (4, Some(_)) => {
                if let Some(done) = draft.take() {
                    done.add_to(&mut asked.limits)?;
                }
                draft = Some(Draft::read(&mut parser)?);
            }
            (5, Some(draft)) => draft.algo(&mut parser)?,
            (6, Some(draft)) => draft.burst(&mut parser)?,
            (7, None) => {
                parser.once(&OPTIONS, option)?;
                policy = Some(parser.bytes("POLICY", 1..=MAX_ID_BYTES)?);
            }
            _ => {
                return Err(Refusal::fixed(match option {
                    4 => "ERR LIMIT adds to a quota and window, not to a POLICY",
                    5 => "ERR ALGO belongs to a limit, not to a POLICY",
                    6 => "ERR BURST belongs to a limit, not to a POLICY",
                    _ => "ERR POLICY takes the place of limits: give one or the other",
                }));
            }
        }
    }
    if let Some(done) = draft {
        done.add_to(&mut asked.limits)?;
        if asked.limits.len() > 1 {
            LimitSpec::check_list(&asked.limits)?;
        }
    } else {
        // Last: what is wrong with the words is wrong whether there is such a policy or not.
        let name = policy.ok_or(Refusal::missing("quota"))?;
        asked.limits = with_policies(|p| p.get(name).map(SmallVec::from)).ok_or(Refusal::fixed(
            "NOPOLICY no policy of this name; see RATELIMIT.POLICY SET",
        ))?;
    }
    Ok(asked)
}

fn log_max() -> usize {
    settings::LOG_MAX_ENTRIES.get() as usize
}

fn check(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let asked = parse_check(args)?;
    let mut key = Key::<LimitKey>::open(ctx, args.string(1), Mode::Write)?;
    let now = clock::now().time.0;
    let request = asked.request();
    let empty;
    let limiter = match key.get() {
        Some(stored) => &stored.limiter,
        None => {
            empty = Limiter::default();
            &empty
        }
    };
    let decision = limiter.check(now, &request, log_max())?;
    let detail = asked
        .detail
        .then(|| limiter.detail(now, &request, &decision));
    if decision.log_full {
        count_log_full();
    }
    if let Some(effect) = &decision.effect {
        if decision.needs_alloc && context::out_of_memory() {
            return Err(OUT_OF_MEMORY);
        }
        carry_out(ctx, &mut key, effect)?;
    }
    count_request(decision.allowed != 0);
    reply_decision(ctx, &decision, asked.partial, detail.as_deref());
    Ok(())
}

fn peek(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let asked = parse_check(args)?;
    let key = Key::<LimitKey>::open(ctx, args.string(1), Mode::Read)?;
    let now = clock::now().time.0;
    let request = asked.request();
    let empty = Limiter::default();
    let limiter = key.get().map_or(&empty, |stored| &stored.limiter);
    let decision = limiter.check(now, &request, log_max())?;
    let detail = asked
        .detail
        .then(|| limiter.detail(now, &request, &decision));
    reply_decision(ctx, &decision, asked.partial, detail.as_deref());
    Ok(())
}

fn reply_five(ctx: Context<'_>, decision: &Decision<'_>) {
    ctx.reply_integer(decision.allowed);
    ctx.reply_integer(decision.limit);
    ctx.reply_integer(decision.remaining);
    ctx.reply_integer(decision.retry_after);
    ctx.reply_integer(decision.reset_after);
}

fn reply_decision(
    ctx: Context<'_>,
    decision: &Decision<'_>,
    partial: bool,
    detail: Option<&[LimitDetail]>,
) {
    let len = match (detail, partial) {
        (Some(_), _) => 7,
        (None, true) => 6,
        (None, false) => 5,
    };
    ctx.reply_array(len);
    reply_five(ctx, decision);
    if len > 5 {
        ctx.reply_integer(decision.granted as i64);
    }
    if let Some(limits) = detail {
        ctx.reply_array(limits.len());
        for limit in limits {
            ctx.reply_array(6);
            ctx.reply_integer(limit.quota);
            ctx.reply_integer(limit.window);
            ctx.reply_integer(limit.remaining);
            ctx.reply_integer(limit.next_after);
            ctx.reply_integer(limit.reset_after);
            ctx.reply_integer(limit.violated.into());
        }
    }
}

fn mcheck(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 1);
    let most = MAX_LIMITS_PER_REQUEST as i64;
    let numkeys = parser.number("numkeys", 1..=most)? as usize;
    let mut names: SmallVec<[&[u8]; 4]> = SmallVec::new();
    for _ in 0..numkeys {
        let name = parser.word("key")?;
        if names.contains(&name) {
            return Err(Refusal::fixed("ERR key: the same key twice"));
        }
        names.push(name);
    }
    let mut specs = Specs::new();
    let mut draft: Option<Draft> = None;
    let mut cost = 1;
    const OPTIONS: [&str; 4] = ["COST", "LIMIT", "ALGO", "BURST"];
    while parser.more() {
        let option = parser.option_of(&OPTIONS)?;
        match (option, &mut draft) {
            (0, _) => {
                parser.once(&OPTIONS, option)?;
                cost = parser.unsigned("COST", 0..=MAX_VALUE)?;
            }
            (1, _) => {
                if let Some(done) = draft.take() {
                    done.add_to(&mut specs)?;
                }
                draft = Some(Draft::read(&mut parser)?);
            }
            (2, Some(draft)) => draft.algo(&mut parser)?,
            (3, Some(draft)) => draft.burst(&mut parser)?,
            _ => return Err(Refusal::fixed("ERR ALGO and BURST must follow a LIMIT")),
        }
    }
    if let Some(done) = draft {
        done.add_to(&mut specs)?;
    }
    if specs.len() != numkeys {
        return Err(Refusal::fixed("ERR LIMIT must be given once for each key"));
    }
    let mut keys: SmallVec<[Key<'_, LimitKey>; 4]> = SmallVec::new();
    for i in 0..numkeys {
        keys.push(Key::open(ctx, args.string(2 + i), Mode::Write)?);
    }
    let now = clock::now().time.0;
    let empty = Limiter::default();
    let decision = {
        let limiters = keys.iter();
        let limiters: SmallVec<[&Limiter; 4]> = limiters
            .map(|key| key.get().map_or(&empty, |stored| &stored.limiter))
            .collect();
        check_all(now, &limiters, &specs, cost, log_max())?
    };
    if decision.keys.iter().any(|key| key.log_full) {
        count_log_full();
    }
    let needs_alloc = |d: &Decision<'_>| d.effect.is_some() && d.needs_alloc;
    if decision.keys.iter().any(needs_alloc) && context::out_of_memory() {
        return Err(OUT_OF_MEMORY);
    }
    for (key, verdict) in keys.iter_mut().zip(&decision.keys) {
        if let Some(effect) = &verdict.effect {
            carry_out(ctx, key, effect)?;
        }
    }
    count_request(decision.allowed);
    ctx.reply_array(2 + numkeys);
    ctx.reply_integer(decision.allowed.into());
    ctx.reply_integer(decision.retry_after);
    for verdict in &decision.keys {
        ctx.reply_array(5);
        reply_five(ctx, verdict);
    }
    Ok(())
}
