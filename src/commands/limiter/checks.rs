//! Commands that charge a request to limits, or say what charging would answer: CHECK, PEEK, MCHECK.

use super::{Draft, OUT_OF_MEMORY, Specs, memory_is_used_up, shown};
use crate::commands::counted_keys;
use crate::host::clock;
use crate::host::limiter_keys::{LimitKey, carry_out, count_log_full};
use crate::host::policies::with_policies;
use crate::host::settings;
use crate::host::totals::count_request;
use crate::server::args::{Args, Parser, words};
use crate::server::command::{Command, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::{entry, entry_located};
use crate::server::key::{Key, Mode};
use modq_core::limiter::{
    Decision, LimitDetail, LimitSpec, Limiter, MAX_ID_BYTES, MAX_LIMITS_PER_REQUEST, MAX_VALUE,
    Request, check_all,
};
use smallvec::SmallVec;

const CHECK_SYNTAX: &str = "key <quota window-ms [ALGO <LOG | COUNTER | FIXED | GCRA [BURST burst]>] \
     [LIMIT quota window-ms [ALGO <LOG | COUNTER | FIXED | GCRA [BURST burst]>]]… \
     | POLICY name> [COST cost] [ID request] [PARTIAL] [DETAIL]";
const CHECK_COMPLEXITY: &str = "O(1) for each limit; LOG: O(log n) with n charges in the window";

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: c"ratelimit.check",
        flags: c"write fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -4,
        syntax: CHECK_SYNTAX,
        integers: &["quota", "window-ms", "burst", "cost"],
        since: "0.1.0",
        summary: "Charges a request to all limits of a subject, or to none.",
        complexity: CHECK_COMPLEXITY,
        tips: "nondeterministic_output",
        handler: entry(check),
    },
    Command {
        name: c"ratelimit.peek",
        flags: c"readonly fast",
        categories: c"read fast",
        keys: Keys::Reads,
        arity: -4,
        syntax: CHECK_SYNTAX,
        integers: &["quota", "window-ms", "burst", "cost"],
        since: "0.1.0",
        summary: "What RATELIMIT.CHECK would answer now, charging nothing.",
        complexity: CHECK_COMPLEXITY,
        tips: "nondeterministic_output",
        handler: entry(peek),
    },
    Command {
        name: c"ratelimit.mcheck",
        flags: c"write fast getkeys-api",
        categories: c"write fast",
        keys: Keys::ChangesCounted,
        arity: -6,
        syntax: "numkeys key [key …] \
                 <LIMIT quota window-ms [ALGO <LOG | COUNTER | FIXED | GCRA [BURST burst]>]>… \
                 [COST cost]",
        integers: &["numkeys", "quota", "window-ms", "burst", "cost"],
        since: "0.1.0",
        summary: "Charges a request to several subjects, one limit each, or to none.",
        complexity: "as RATELIMIT.CHECK for each key",
        tips: "nondeterministic_output",
        handler: entry_located(mcheck, counted_keys),
    },
];

fn log_max() -> usize {
    settings::LOG_MAX_ENTRIES.get() as usize
}

// ---- CHECK and PEEK ----

words! {
    /// What may follow the key of CHECK and PEEK, if there is a policy, or else their first limit.
    enum CheckOption {
        Cost = "COST",
        Id = "ID",
        Partial = "PARTIAL",
        Detail = "DETAIL",
        Limit = "LIMIT",
        Algo = "ALGO",
        Burst = "BURST",
        Policy = "POLICY",
    }
}

impl CheckOption {
    /// Whether it may stand before POLICY, so that no limit begins the command.
    fn goes_before_policy(self) -> bool {
        !matches!(
            self,
            CheckOption::Limit | CheckOption::Algo | CheckOption::Burst
        )
    }

    /// What to say of an option that has no place beside what the command began with.
    #[cold]
    fn misplaced(self) -> Refusal {
        Refusal::fixed(match self {
            CheckOption::Limit => "ERR LIMIT adds to a quota and window, not to a POLICY",
            CheckOption::Algo => "ERR ALGO belongs to a limit, not to a POLICY",
            CheckOption::Burst => "ERR BURST belongs to a limit, not to a POLICY",
            _ => "ERR POLICY takes the place of limits: give one or the other",
        })
    }
}

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

fn parse_check<'a>(args: Args<'a>) -> Result<Asked<'a>, Refusal> {
    let mut parser = Parser::new(args, 2);
    let mut asked = Asked {
        limits: Specs::new(),
        cost: 1,
        id: None,
        partial: false,
        detail: false,
    };
    let (mut policy, mut draft) = (None, None);
    // A limit begins with its quota. If the first word is an option instead, there is a policy.
    let first = parser.peek_option();
    if !first.is_some_and(CheckOption::goes_before_policy) {
        draft = Some(Draft::read(&mut parser)?);
    }
    while parser.more() {
        let option = parser.repeatable_option()?;
        match (option, &mut draft) {
            (CheckOption::Cost, _) => {
                parser.once(option)?;
                asked.cost = parser.unsigned("COST", 0..=MAX_VALUE)?;
            }
            (CheckOption::Id, _) => {
                parser.once(option)?;
                asked.id = Some(parser.bytes("ID", 1..=MAX_ID_BYTES)?);
            }
            (CheckOption::Partial, _) => {
                parser.once(option)?;
                asked.partial = true;
            }
            (CheckOption::Detail, _) => {
                parser.once(option)?;
                asked.detail = true;
            }
            (CheckOption::Limit, Some(_)) => {
                next_limit(&mut parser, &mut draft, &mut asked.limits)?;
            }
            (CheckOption::Algo, Some(draft)) => draft.algo(&mut parser)?,
            (CheckOption::Burst, Some(draft)) => draft.burst(&mut parser)?,
            (CheckOption::Policy, None) => {
                parser.once(option)?;
                policy = Some(parser.bytes("POLICY", 1..=MAX_ID_BYTES)?);
            }
            (option, _) => return Err(option.misplaced()),
        }
    }
    match draft {
        Some(done) => {
            done.add_to(&mut asked.limits)?;
            if asked.limits.len() > 1 {
                LimitSpec::check_list(&asked.limits)?;
            }
        }
        // Looked up last: errors in the words come before that there is no such policy.
        None => asked.limits = limits_of(policy.ok_or(Refusal::missing("quota"))?)?,
    }
    Ok(asked)
}

/// Ends the limit that is being read, if one is, and begins the next.
fn next_limit(
    parser: &mut Parser<'_>,
    draft: &mut Option<Draft>,
    limits: &mut Specs,
) -> Result<(), Refusal> {
    if let Some(done) = draft.take() {
        done.add_to(limits)?;
    }
    *draft = Some(Draft::read(parser)?);
    Ok(())
}

fn limits_of(policy: &[u8]) -> Result<Specs, Refusal> {
    let limits = with_policies(|policies| policies.get(policy).map(SmallVec::from));
    limits.ok_or(Refusal::fixed(
        "NOPOLICY no policy of this name here: RATELIMIT.POLICY SET makes one, in a cluster on each primary",
    ))
}

fn check(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let asked = parse_check(args)?;
    let mut key = Key::<LimitKey>::open(ctx, args.string(1), Mode::Write)?;
    let now = clock::now().time;
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
    if decision.is_log_full() {
        count_log_full();
    }
    if let Some(effect) = &decision.effect {
        if decision.needs_alloc && memory_is_used_up(ctx) {
            return Err(OUT_OF_MEMORY);
        }
        carry_out(ctx, &mut key, effect)?;
    }
    count_request(decision.is_allowed());
    reply_decision(ctx, &decision, asked.partial, detail.as_deref());
    Ok(())
}

fn peek(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let asked = parse_check(args)?;
    let key = Key::<LimitKey>::open(ctx, args.string(1), Mode::Read)?;
    let now = clock::now().time;
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

/// The five integers of a verdict; the array around them is the caller's.
fn reply_verdict(ctx: Context<'_>, decision: &Decision<'_>) {
    ctx.reply_integer(decision.is_allowed().into());
    ctx.reply_integer(decision.limit as i64);
    ctx.reply_integer(decision.remaining as i64);
    ctx.reply_integer(decision.retry_after().map_or(0, shown));
    ctx.reply_integer(decision.reset_after.0 as i64);
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
    reply_verdict(ctx, decision);
    if len > 5 {
        ctx.reply_integer(decision.granted() as i64);
    }
    if let Some(limits) = detail {
        ctx.reply_array(limits.len());
        for limit in limits {
            ctx.reply_array(6);
            ctx.reply_integer(limit.quota as i64);
            ctx.reply_integer(limit.window.0 as i64);
            ctx.reply_integer(limit.remaining as i64);
            ctx.reply_integer(limit.next_after.map_or(0, shown));
            ctx.reply_integer(limit.reset_after.0 as i64);
            ctx.reply_integer(limit.violated.into());
        }
    }
}

// ---- MCHECK ----

words! {
    /// What may follow the keys of MCHECK.
    enum MultiCheckOption {
        Cost = "COST",
        Limit = "LIMIT",
        Algo = "ALGO",
        Burst = "BURST",
    }
}

/// How many keys MCHECK is given, with a limit for each, and what is charged to all.
struct MultiAsked {
    numkeys: usize,
    limits: Specs,
    cost: u64,
}

fn parse_mcheck(args: Args<'_>) -> Result<MultiAsked, Refusal> {
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
    let (mut limits, mut draft, mut cost) = (Specs::new(), None::<Draft>, 1);
    while parser.more() {
        let option = parser.repeatable_option()?;
        match (option, &mut draft) {
            (MultiCheckOption::Cost, _) => {
                parser.once(option)?;
                cost = parser.unsigned("COST", 0..=MAX_VALUE)?;
            }
            (MultiCheckOption::Limit, _) => next_limit(&mut parser, &mut draft, &mut limits)?,
            (MultiCheckOption::Algo, Some(draft)) => draft.algo(&mut parser)?,
            (MultiCheckOption::Burst, Some(draft)) => draft.burst(&mut parser)?,
            (MultiCheckOption::Algo | MultiCheckOption::Burst, None) => {
                return Err(Refusal::fixed("ERR ALGO and BURST must follow a LIMIT"));
            }
        }
    }
    if let Some(done) = draft {
        done.add_to(&mut limits)?;
    }
    if limits.len() != numkeys {
        return Err(Refusal::fixed("ERR LIMIT must be given once for each key"));
    }
    Ok(MultiAsked {
        numkeys,
        limits,
        cost,
    })
}

fn mcheck(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let asked = parse_mcheck(args)?;
    let mut keys: SmallVec<[Key<'_, LimitKey>; 4]> = SmallVec::new();
    for i in 0..asked.numkeys {
        keys.push(Key::open(ctx, args.string(2 + i), Mode::Write)?);
    }
    let now = clock::now().time;
    let empty = Limiter::default();
    let decision = {
        let limiters = keys.iter();
        let limiters: SmallVec<[&Limiter; 4]> = limiters
            .map(|key| key.get().map_or(&empty, |stored| &stored.limiter))
            .collect();
        check_all(now, &limiters, &asked.limits, asked.cost, log_max())?
    };
    if decision.keys.iter().any(Decision::is_log_full) {
        count_log_full();
    }
    let needs_alloc = |d: &Decision<'_>| d.effect.is_some() && d.needs_alloc;
    if decision.keys.iter().any(needs_alloc) && memory_is_used_up(ctx) {
        return Err(OUT_OF_MEMORY);
    }
    for (key, verdict) in keys.iter_mut().zip(&decision.keys) {
        if let Some(effect) = &verdict.effect {
            carry_out(ctx, key, effect)?;
        }
    }
    count_request(decision.is_allowed());
    ctx.reply_array(2 + asked.numkeys);
    ctx.reply_integer(decision.is_allowed().into());
    ctx.reply_integer(decision.retry_after.map_or(0, shown));
    for verdict in &decision.keys {
        ctx.reply_array(5);
        reply_verdict(ctx, verdict);
    }
    Ok(())
}
