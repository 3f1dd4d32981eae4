//! RATELIMIT.POLICY: limits that have a name.

use super::{Draft, Specs};
use crate::host::policies::with_policies;
use crate::server::args::{Args, Parser, words};
use crate::server::command::{Command, Container, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::entry;
use modq_core::limiter::{LimitSpec, MAX_ID_BYTES};
use std::ffi::CStr;

/// RATELIMIT.POLICY, which is nothing but its subcommands.
pub static POLICY: Container = Container {
    name: c"ratelimit.policy",
    since: "0.1.0",
    summary: "A container for commands on named limits.",
    complexity: "depends on the subcommand",
    subcommands: SUBCOMMANDS,
};

static SUBCOMMANDS: &[Command] = &[
    Command {
        name: c"set",
        flags: c"write deny-oom",
        categories: c"write slow",
        keys: Keys::None,
        arity: -5,
        syntax: LIMITS_OF_POLICY,
        integers: &["quota", "window-ms", "burst"],
        since: "0.1.0",
        summary: "Sets the limits a name stands for.",
        complexity: "O(log n) with n policies",
        tips: "request_policy:all_shards response_policy:all_succeeded",
        handler: entry(policy_set),
    },
    Command {
        name: c"get",
        flags: c"readonly fast",
        categories: c"read fast",
        keys: Keys::None,
        arity: 3,
        syntax: "name",
        integers: &[],
        since: "0.1.0",
        summary: "The limits a name stands for.",
        complexity: "O(log n) with n policies",
        tips: "",
        handler: entry(policy_get),
    },
    Command {
        name: c"del",
        flags: c"write fast",
        categories: c"write fast",
        keys: Keys::None,
        arity: 3,
        syntax: "name",
        integers: &[],
        since: "0.1.0",
        summary: "Forgets a policy.",
        complexity: "O(log n) with n policies",
        tips: "request_policy:all_shards response_policy:agg_logical_or",
        handler: entry(policy_del),
    },
    Command {
        name: c"list",
        flags: c"readonly",
        categories: c"read slow",
        keys: Keys::None,
        arity: 2,
        syntax: "",
        integers: &[],
        since: "0.1.0",
        summary: "The names of all policies.",
        complexity: "O(n) with n policies",
        tips: "",
        handler: entry(policy_list),
    },
    Command {
        name: c"help",
        flags: c"readonly fast allow-loading allow-stale",
        categories: c"read fast",
        keys: Keys::None,
        arity: 2,
        syntax: "",
        integers: &[],
        since: "0.1.0",
        summary: "The subcommands and what they do.",
        complexity: "O(1)",
        tips: "",
        handler: entry(policy_help),
    },
];

const LIMITS_OF_POLICY: &str = "name quota window-ms \
     [ALGO <LOG | COUNTER | FIXED | GCRA [BURST burst]>] \
     [LIMIT quota window-ms [ALGO <LOG | COUNTER | FIXED | GCRA [BURST burst]>]]…";

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

words! {
    /// What may follow the first limit.
    enum SetOption {
        Limit = "LIMIT",
        Algo = "ALGO",
        Burst = "BURST",
    }
}

fn policy_set(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let name = parser.bytes("name", 1..=MAX_ID_BYTES)?;
    let mut specs = Specs::new();
    let mut draft = Draft::read(&mut parser)?;
    while parser.more() {
        match parser.repeatable_option()? {
            SetOption::Limit => {
                let next = Draft::read(&mut parser)?;
                std::mem::replace(&mut draft, next).add_to(&mut specs)?;
            }
            SetOption::Algo => draft.algo(&mut parser)?,
            SetOption::Burst => draft.burst(&mut parser)?,
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
        ctx.field("window").reply_integer(limit.window().0 as i64);
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
    POLICY_HELP.iter().for_each(|line| ctx.reply_text(line));
    Ok(())
}
