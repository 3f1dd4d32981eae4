//! RATELIMIT.*: rate limits, policies and leases.

use super::{Command, Keys, Subcommand, counted_keys};
use crate::host::clock;
use crate::host::settings;
use crate::host::totals::{Counted, LEASE_SETS, LIMITERS, count_request};
use crate::server::args::{Args, Parser};
use crate::server::context::{self, Context, Refusal};
use crate::server::guard::{entry, entry_located};
use crate::server::key::{Key, Mode};
use crate::server::keyless::Keyless;
use crate::server::types::{Stored, TypeHandle};
use modq_core::codec::DecodeError;
use modq_core::limiter::{
    Acquire, Algo, Decision, Effect, LeaseEffect, Leases, LimitDetail, LimitError, LimitSpec,
    Limiter, MAX_ID_BYTES, MAX_LIMITS_PER_REQUEST, MAX_VALUE, Policies, Request, SpecError,
    check_all,
};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// The commands that carry the effects on limiters, on leases, and the whole set of policies. Short
/// where they are sent often: the server looks a name up by copying, splitting and hashing it.
pub const APPLY_LIMIT: &CStr = c"modq._r";
pub const APPLY_LEASE: &CStr = c"modq._l";
pub const LOAD_POLICIES: &CStr = c"ratelimit._policies";

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

pub static COMMANDS: &[Command] = &[
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
    Command {
        name: c"ratelimit.refund",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: 4,
        syntax: "key <COST cost | ID request>",
        summary: "Gives back units, or what a request charged.",
        complexity: "O(n) with n charges given back",
        handler: entry(refund),
    },
    Command {
        name: c"ratelimit.reset",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: 2,
        syntax: "key",
        summary: "Forgets everything charged, blocked and remembered.",
        complexity: "O(1)",
        handler: entry(reset),
    },
    Command {
        name: c"ratelimit.block",
        flags: c"write deny-oom fast",
        keys: Keys::Changes,
        arity: 3,
        syntax: "key ms",
        summary: "Denies everything for some time; 0 lifts it.",
        complexity: "O(1)",
        handler: entry(block),
    },
    Command {
        name: c"ratelimit.acquire",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: -6,
        syntax: "key max id TTL ms [COST cost]",
        summary: "Takes or renews a lease, if there is room.",
        complexity: "O(log n) with n leases",
        handler: entry(acquire),
    },
    Command {
        name: c"ratelimit.release",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: 3,
        syntax: "key id",
        summary: "Ends a lease.",
        complexity: "O(log n) with n leases",
        handler: entry(release),
    },
    Command {
        name: c"ratelimit.leases",
        flags: c"readonly",
        keys: Keys::Reads,
        arity: 2,
        syntax: "key",
        summary: "The live leases, the earliest to expire first.",
        complexity: "O(n) with n leases",
        handler: entry(leases),
    },
    Command {
        name: APPLY_LIMIT,
        flags: c"write",
        keys: Keys::Changes,
        arity: 3,
        syntax: "key record",
        summary: "Applies an effect on a limiter. Internal: from a primary or an AOF only.",
        complexity: "O(1) amortised",
        handler: entry(apply_limit),
    },
    Command {
        name: APPLY_LEASE,
        flags: c"write",
        keys: Keys::Changes,
        arity: 3,
        syntax: "key record",
        summary: "Applies an effect on leases. Internal: from a primary or an AOF only.",
        complexity: "O(log n) with n leases",
        handler: entry(apply_lease),
    },
    Command {
        name: LOAD_POLICIES,
        flags: c"write",
        keys: Keys::None,
        arity: 2,
        syntax: "policies",
        summary: "Replaces all policies. Internal: from an AOF only.",
        complexity: "O(n) with n policies",
        handler: entry(load_policies),
    },
];

/// RATELIMIT.POLICY's subcommands.
pub const POLICY: &CStr = c"ratelimit.policy";
pub static POLICY_COMMANDS: &[Subcommand] = &[
    Subcommand {
        name: c"set",
        flags: c"write deny-oom",
        arity: -5,
        syntax: LIMITS_OF_POLICY,
        summary: "Sets the limits a name stands for.",
        complexity: "O(log n) with n policies",
        handler: entry(policy_set),
    },
    Subcommand {
        name: c"get",
        flags: c"readonly fast",
        arity: 3,
        syntax: "name",
        summary: "The limits a name stands for.",
        complexity: "O(log n) with n policies",
        handler: entry(policy_get),
    },
    Subcommand {
        name: c"del",
        flags: c"write fast",
        arity: 3,
        syntax: "name",
        summary: "Forgets a policy.",
        complexity: "O(log n) with n policies",
        handler: entry(policy_del),
    },
    Subcommand {
        name: c"list",
        flags: c"readonly",
        arity: 2,
        syntax: "",
        summary: "The names of all policies.",
        complexity: "O(n) with n policies",
        handler: entry(policy_list),
    },
    Subcommand {
        name: c"help",
        flags: c"readonly fast allow-loading allow-stale",
        arity: 2,
        syntax: "",
        summary: "The subcommands and what they do.",
        complexity: "O(1)",
        handler: entry(policy_help),
    },
];

/// What RATELIMIT.POLICY HELP says, in the form of the server's own containers.
const POLICY_HELP: [&CStr; 12] = [
    c"RATELIMIT.POLICY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    c"SET <name> <quota> <window> [ALGO LOG|COUNTER|FIXED|GCRA] [BURST <burst>]",
    c"    [LIMIT <quota> <window> [ALGO ...] [BURST <burst>]] ...",
    c"    Set the limits that RATELIMIT.CHECK ... POLICY <name> stands for; window in ms.",
    c"GET <name>",
    c"    Return the limits of a policy, or null.",
    c"DEL <name>",
    c"    Forget a policy.",
    c"LIST",
    c"    Return the names of all policies.",
    c"HELP",
    c"    Print this help.",
];

const LIMITS_OF_POLICY: &str = "name quota window [ALGO <LOG | COUNTER | FIXED | GCRA>] \
     [BURST burst] [LIMIT quota window [ALGO <LOG | COUNTER | FIXED | GCRA>] [BURST burst]]…";

/// The value of a limiter's key.
#[derive(Default)]
pub struct LimitKey(Limiter, Counted<LIMITERS>);

/// The value of a key of leases.
#[derive(Default)]
pub struct LeaseKey(Leases, Counted<LEASE_SETS>);

macro_rules! stored {
    ($key:ty, $core:ty, $name:literal, $word:literal) => {
        impl Stored for $key {
            type Core = $core;
            const NAME: &'static CStr = $name;
            const WORD: &'static CStr = $word;

            fn core(&self) -> &$core {
                &self.0
            }

            fn core_mut(&mut self) -> &mut $core {
                &mut self.0
            }

            fn memory_bytes(&self) -> usize {
                self.0.memory_bytes()
            }

            fn free_effort(&self) -> usize {
                self.0.free_effort()
            }

            fn handle() -> &'static TypeHandle {
                static HANDLE: TypeHandle = TypeHandle::new();
                &HANDLE
            }
        }
    };
}

stored!(LimitKey, Limiter, c"modqlimit", c"limit");
stored!(LeaseKey, Leases, c"modqlease", c"lease");

/// Requests denied because a log was full.
static LOG_FULL: AtomicU64 = AtomicU64::new(0);

/// How many requests were denied because a log was full.
pub fn log_full() -> u64 {
    LOG_FULL.load(Relaxed)
}

static POLICIES: Mutex<Option<Policies>> = Mutex::new(None);

/// The policies as data that belongs to no key.
pub struct AllPolicies;

impl Keyless for AllPolicies {
    const LOAD_COMMAND: &'static CStr = LOAD_POLICIES;

    fn is_empty() -> bool {
        with_policies(|policies| policies.is_empty())
    }

    fn encode() -> Vec<u8> {
        with_policies(|policies| policies.encode())
    }

    fn replace(encoded: &[u8]) -> Result<(), DecodeError> {
        let loaded = Policies::decode(encoded)?;
        with_policies(|policies| *policies = loaded);
        Ok(())
    }

    fn clear() {
        with_policies(|policies| *policies = Policies::default());
    }
}

/// Runs `body` on the policies. The server must not be called from inside.
pub fn with_policies<R>(body: impl FnOnce(&mut Policies) -> R) -> R {
    let mut guard = POLICIES.lock().unwrap_or_else(PoisonError::into_inner);
    body(guard.get_or_insert_with(Policies::default))
}

impl From<SpecError> for Refusal {
    fn from(error: SpecError) -> Refusal {
        Refusal::fixed(match error {
            SpecError::Quota => "ERR quota must be an integer from 1 to 2^53",
            SpecError::Window => "ERR window must be an integer from 1 to 2^53 (ms)",
            SpecError::Burst => "ERR BURST goes with ALGO GCRA only",
            SpecError::Count => "ERR LIMIT: at most 8 limits in a command",
            SpecError::Repeated => "ERR LIMIT: the same window and ALGO twice",
        })
    }
}

impl From<LimitError> for Refusal {
    fn from(error: LimitError) -> Refusal {
        match error {
            LimitError::TooManyLimits => {
                Refusal::fixed("ERR LIMIT: the key has 16 other limits in use")
            }
        }
    }
}

const OUT_OF_MEMORY: Refusal =
    Refusal::fixed("OOM command not allowed when used memory > 'maxmemory'.");

type Specs = SmallVec<[LimitSpec; 2]>;

/// One limit as it is being read.
struct Draft {
    quota: u64,
    window: u64,
    algo: Option<Algo>,
    burst: Option<u64>,
}

impl Draft {
    fn read(parser: &mut Parser<'_>) -> Result<Draft, Refusal> {
        Ok(Draft {
            quota: parser.unsigned("quota", 1..=MAX_VALUE)?,
            window: parser.ms("window", 1..=MAX_VALUE)?,
            algo: None,
            burst: None,
        })
    }

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

    fn burst(&mut self, parser: &mut Parser<'_>) -> Result<(), Refusal> {
        if self.burst.is_some() {
            return Err(Refusal::fixed("ERR BURST is given twice for one limit"));
        }
        self.burst = Some(parser.unsigned("BURST", 1..=MAX_VALUE)?);
        Ok(())
    }

    fn add_to(self, specs: &mut Specs) -> Result<(), Refusal> {
        if specs.len() == MAX_LIMITS_PER_REQUEST {
            return Err(SpecError::Count.into());
        }
        let algo = self.algo.unwrap_or(Algo::Log);
        specs.push(LimitSpec::new(self.quota, self.window, algo, self.burst)?);
        Ok(())
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

thread_local! {
    /// A buffer that writing commands use in turn.
    static RECORD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn log_max() -> usize {
    settings::LOG_MAX_ENTRIES.get() as usize
}

/// Applies an effect to the value of a key, stores what is left of it, and replicates. Answers
/// what applying answered.
#[inline]
fn carry_out(
    ctx: Context<'_>,
    key: &mut Key<'_, LimitKey>,
    effect: &Effect<'_>,
) -> Result<u64, Refusal> {
    const BROKEN: Refusal = Refusal::fixed("ERR internal error: the effect does not fit");
    let (given, expires) = match key.get_mut() {
        // As it is, so that the server frees a large value in the background.
        Some(_) if effect.is_reset() => (0, None),
        Some(stored) => {
            let given = stored.0.apply(effect).map_err(|_| BROKEN)?;
            (given, stored.0.expires_at())
        }
        None => {
            let mut stored = Box::<LimitKey>::default();
            let given = stored.0.apply(effect).map_err(|_| BROKEN)?;
            let expires = stored.0.expires_at();
            if expires.is_some() {
                key.set(stored);
            }
            (given, expires)
        }
    };
    let encode = |expires, record: &mut Vec<u8>| effect.encode_into(expires, record);
    hand_on(ctx, key, APPLY_LIMIT, expires, encode);
    Ok(given)
}

/// Sends on what was applied to a key, as `encode` writes it, and lets the key end with what is in it.
fn hand_on<T: Stored>(
    ctx: Context<'_>,
    key: &mut Key<'_, T>,
    command: &'static CStr,
    expires: Option<u64>,
    encode: impl FnOnce(u64, &mut Vec<u8>),
) {
    RECORD.with_borrow_mut(|record| {
        record.clear();
        encode(expires.unwrap_or(0), record);
        ctx.replicate(command, key.name(), record);
    });
    ctx.signal_modified(key.name());
    keep_until(key, expires);
}

/// Lets a key expire when nothing in it is in use any more, at once if that is now.
fn keep_until<T: Stored>(key: &mut Key<'_, T>, expires: Option<u64>) {
    match expires {
        Some(_) if key.get().is_some() => key.set_expires_at(expires),
        Some(_) => {}
        None if key.get().is_some() => key.delete(),
        None => {}
    }
}

fn check(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let asked = parse_check(args)?;
    let mut key = Key::<LimitKey>::open(ctx, args.string(1), Mode::Write)?;
    let now = clock::now().ms;
    let request = asked.request();
    let empty;
    let limiter = match key.get() {
        Some(stored) => &stored.0,
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
        LOG_FULL.fetch_add(1, Relaxed);
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
    let now = clock::now().ms;
    let request = asked.request();
    let empty = Limiter::default();
    let limiter = key.get().map_or(&empty, |stored| &stored.0);
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
    let now = clock::now().ms;
    let empty = Limiter::default();
    let decision = {
        let limiters = keys.iter();
        let limiters: SmallVec<[&Limiter; 4]> = limiters
            .map(|key| key.get().map_or(&empty, |stored| &stored.0))
            .collect();
        check_all(now, &limiters, &specs, cost, log_max())?
    };
    if decision.keys.iter().any(|key| key.log_full) {
        LOG_FULL.fetch_add(1, Relaxed);
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

/// Runs a command that has an effect on a limiter or none. Answers what applying answered.
fn change<'e>(
    ctx: Context<'_>,
    args: Args<'_>,
    decide: impl FnOnce(&Limiter, u64) -> Option<Effect<'e>>,
) -> Result<Option<u64>, Refusal> {
    let mut key = Key::<LimitKey>::open(ctx, args.string(1), Mode::Write)?;
    let now = clock::now().ms;
    let effect = match key.get() {
        Some(stored) => decide(&stored.0, now),
        None => decide(&Limiter::default(), now),
    };
    match effect {
        Some(effect) => carry_out(ctx, &mut key, &effect).map(Some),
        None => Ok(None),
    }
}

fn refund(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let given = match parser.option(&["COST", "ID"])? {
        0 => {
            let units = parser.unsigned("COST", 0..=MAX_VALUE)?;
            change(ctx, args, |limiter, now| limiter.refund_cost(now, units))?
        }
        _ => {
            let id = parser.bytes("ID", 1..=MAX_ID_BYTES)?;
            change(ctx, args, |limiter, now| limiter.refund_id(now, id))?
        }
    };
    ctx.reply_integer(given.unwrap_or(0) as i64);
    Ok(())
}

fn reset(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let done = change(ctx, args, Limiter::reset)?;
    ctx.reply_integer(done.is_some().into());
    Ok(())
}

fn block(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let ms = Parser::new(args, 2).ms("ms", 0..=MAX_VALUE)?;
    change(ctx, args, |limiter, now| limiter.block(now, ms))?;
    ctx.reply_ok();
    Ok(())
}

// ---- leases ----

fn carry_out_lease(
    ctx: Context<'_>,
    key: &mut Key<'_, LeaseKey>,
    effect: &LeaseEffect<'_>,
) -> Result<(), Refusal> {
    const BROKEN: Refusal = Refusal::fixed("ERR internal error: the effect does not fit");
    let expires = match key.get_mut() {
        Some(stored) => {
            stored.0.apply(effect).map_err(|_| BROKEN)?;
            stored.0.expires_at()
        }
        None => {
            let mut stored = Box::<LeaseKey>::default();
            stored.0.apply(effect).map_err(|_| BROKEN)?;
            let expires = stored.0.expires_at();
            key.set(stored);
            expires
        }
    };
    let encode = |expires, record: &mut Vec<u8>| effect.encode_into(expires, record);
    hand_on(ctx, key, APPLY_LEASE, expires, encode);
    Ok(())
}

fn acquire(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let max = parser.unsigned("max", 1..=MAX_VALUE)?;
    let id = parser.bytes("id", 1..=MAX_ID_BYTES)?;
    let (mut ttl, mut cost) = (None, 1);
    while parser.more() {
        match parser.option(&["TTL", "COST"])? {
            0 => ttl = Some(parser.ms("TTL", 1..=MAX_VALUE)?),
            _ => cost = parser.unsigned("COST", 1..=MAX_VALUE)?,
        }
    }
    let ttl = ttl.ok_or(Refusal::missing("TTL"))?;
    let ask = Acquire { max, id, ttl, cost };
    let mut key = Key::<LeaseKey>::open(ctx, args.string(1), Mode::Write)?;
    let now = clock::now();
    let acquired = match key.get() {
        Some(stored) => stored.0.acquire(now.ms, now.us, &ask),
        None => Leases::default().acquire(now.ms, now.us, &ask),
    };
    if let Some(effect) = &acquired.effect {
        if acquired.needs_alloc && context::out_of_memory() {
            return Err(OUT_OF_MEMORY);
        }
        carry_out_lease(ctx, &mut key, effect)?;
        clock::token_given(acquired.fence as u64, now);
    }
    ctx.reply_array(5);
    ctx.reply_integer(acquired.acquired);
    ctx.reply_integer(acquired.in_use);
    ctx.reply_integer(acquired.max);
    ctx.reply_integer(acquired.retry_after);
    ctx.reply_integer(acquired.fence);
    Ok(())
}

fn release(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let id = Parser::new(args, 2).bytes("id", 1..=MAX_ID_BYTES)?;
    let mut key = Key::<LeaseKey>::open(ctx, args.string(1), Mode::Write)?;
    let now = clock::now().ms;
    let effect = key.get().and_then(|stored| stored.0.release(now, id));
    if let Some(effect) = &effect {
        carry_out_lease(ctx, &mut key, effect)?;
    }
    ctx.reply_integer(effect.is_some().into());
    Ok(())
}

fn leases(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let key = Key::<LeaseKey>::open(ctx, args.string(1), Mode::Read)?;
    let now = clock::now().ms;
    let Some(stored) = key.get() else {
        ctx.reply_array(0);
        return Ok(());
    };
    ctx.reply_array(stored.0.len(now));
    for (id, lease) in stored.0.list(now) {
        ctx.reply_array(4);
        ctx.reply_bytes(id);
        ctx.reply_integer(lease.cost as i64);
        ctx.reply_integer(lease.expires as i64);
        ctx.reply_integer(lease.fence as i64);
    }
    Ok(())
}

// ---- policies ----

fn policy_set(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let name = parser.bytes("name", 1..=MAX_ID_BYTES)?;
    let mut specs = Specs::new();
    let mut draft = Draft::read(&mut parser)?;
    while parser.more() {
        match parser.option_of(&["LIMIT", "ALGO", "BURST"])? {
            0 => std::mem::replace(&mut draft, Draft::read(&mut parser)?).add_to(&mut specs)?,
            1 => draft.algo(&mut parser)?,
            _ => draft.burst(&mut parser)?,
        }
    }
    draft.add_to(&mut specs)?;
    LimitSpec::check_list(&specs)?;
    with_policies(|policies| policies.set(name, &specs))
        .map_err(|_| Refusal::fixed("ERR name or limits are not acceptable"))?;
    ctx.replicate_verbatim();
    ctx.reply_ok();
    Ok(())
}

fn policy_get(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let name = args.get(2);
    let Some(limits) = with_policies(|p| p.get(name).map(<[LimitSpec]>::to_vec)) else {
        ctx.reply_null();
        return Ok(());
    };
    ctx.reply_map(1);
    ctx.field("limits").reply_array(limits.len());
    for limit in limits {
        ctx.reply_map(4);
        ctx.field("quota").reply_integer(limit.quota() as i64);
        ctx.field("window").reply_integer(limit.window() as i64);
        ctx.field("algo")
            .reply_bytes(limit.algo().name().as_bytes());
        ctx.field("burst").reply_integer(limit.burst() as i64);
    }
    Ok(())
}

fn policy_del(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let gone = with_policies(|policies| policies.del(args.get(2)));
    if gone {
        ctx.replicate_verbatim();
    }
    ctx.reply_integer(gone.into());
    Ok(())
}

fn policy_list(ctx: Context<'_>, _args: Args<'_>) -> Result<(), Refusal> {
    let names: Vec<Box<[u8]>> =
        with_policies(|policies| policies.iter().map(|(name, _)| name.into()).collect());
    ctx.reply_array(names.len());
    names.iter().for_each(|name| ctx.reply_bytes(name));
    Ok(())
}

fn policy_help(ctx: Context<'_>, _args: Args<'_>) -> Result<(), Refusal> {
    ctx.reply_array(POLICY_HELP.len());
    POLICY_HELP.iter().for_each(|line| ctx.reply_status(line));
    Ok(())
}

// ---- from the primary, from AOFs ----

fn apply_limit(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    use super::internal::{BAD_RECORD, check_origin};
    check_origin(ctx)?;
    let (effect, expires) = Effect::decode(args.get(2)).map_err(|DecodeError| BAD_RECORD)?;
    let mut key = Key::<LimitKey>::open(ctx, args.string(1), Mode::Write)?;
    match key.get_mut() {
        Some(_) if effect.is_reset() && expires == 0 => {}
        Some(stored) => drop(stored.0.apply(&effect).map_err(|_| BAD_RECORD)?),
        None => {
            let mut stored = Box::<LimitKey>::default();
            stored.0.apply(&effect).map_err(|_| BAD_RECORD)?;
            key.set(stored);
        }
    }
    applied(ctx, args, &mut key, expires)
}

fn apply_lease(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    use super::internal::{BAD_RECORD, check_origin};
    check_origin(ctx)?;
    let (effect, expires) = LeaseEffect::decode(args.get(2)).map_err(|DecodeError| BAD_RECORD)?;
    let mut key = Key::<LeaseKey>::open(ctx, args.string(1), Mode::Write)?;
    match key.get_mut() {
        Some(stored) => stored.0.apply(&effect).map_err(|_| BAD_RECORD)?,
        None => {
            let mut stored = Box::<LeaseKey>::default();
            stored.0.apply(&effect).map_err(|_| BAD_RECORD)?;
            key.set(stored);
        }
    }
    applied(ctx, args, &mut key, expires)
}

/// After an effect from elsewhere: the key lives as long as the effect says.
fn applied<T: Stored>(
    ctx: Context<'_>,
    args: Args<'_>,
    key: &mut Key<'_, T>,
    expires: u64,
) -> Result<(), Refusal> {
    keep_until(key, (expires > 0).then_some(expires));
    ctx.signal_modified(args.string(1));
    ctx.replicate_verbatim();
    ctx.reply_ok();
    Ok(())
}

fn load_policies(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    use super::internal::{BAD_RECORD, check_origin};
    check_origin(ctx)?;
    let loaded = Policies::decode(args.get(1)).map_err(|DecodeError| BAD_RECORD)?;
    with_policies(|policies| *policies = loaded);
    ctx.replicate_verbatim();
    ctx.reply_ok();
    Ok(())
}
