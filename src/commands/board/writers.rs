//! Commands that change rows: ADD, REM.

use super::{member, reply_rank, reply_scores, row};
use crate::host::board_keys::{BoardKey, change};
use crate::server::args::{Args, Parser, words};
use crate::server::command::{Command, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::entry;
use crate::server::key::{Key, Mode};
use modq_core::board::{Add, Added, MAX_MEMBER_BYTES};
use smallvec::SmallVec;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: c"rank.add",
        flags: c"write deny-oom fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -4,
        syntax: "key member score [score …] [UPDATE <SUM | BEST | LAST>] [ID request] [NOCREATE]",
        integers: &["score"],
        since: "0.2.0",
        summary: "Changes the row of a member, and says how it ranks before and after.",
        complexity: "O(log n) with n members",
        tips: "",
        handler: entry(add),
    },
    Command {
        name: c"rank.rem",
        flags: c"write fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key member [SCORE score [score …]]",
        integers: &["score"],
        since: "0.2.0",
        summary: "Takes a member off a board.",
        complexity: "O(log n) with n members",
        tips: "",
        handler: entry(rem),
    },
];

words! {
    enum AddOption {
        Update = "UPDATE",
        Id = "ID",
        NoCreate = "NOCREATE",
    }
}

fn add(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let mut request = Add {
        member: member(&mut parser)?,
        row: row(&mut parser)?,
        update: None,
        id: None,
    };
    let mut creates = true;
    while parser.more() {
        match parser.option()? {
            AddOption::Update => request.update = Some(parser.one_of("UPDATE")?),
            AddOption::Id => request.id = Some(parser.bytes("ID", 1..=MAX_MEMBER_BYTES)?),
            AddOption::NoCreate => creates = false,
        }
    }
    let mut key = Key::<BoardKey>::open(ctx, args.string(1), Mode::Write)?;
    if !creates && key.get().is_none() {
        ctx.reply_null();
        return Ok(());
    }
    let (answer, applied) = change(ctx, &mut key, |board, clock| {
        let decision = board.add(clock, &request)?;
        Ok((decision.effects, decision.answer))
    })?;
    drop(key);
    let added = answer.after(applied);
    if added.changed {
        ctx.notify(c"rank.add", args.string(1));
    }
    reply_added(ctx, &added);
    Ok(())
}

fn reply_added(ctx: Context<'_>, added: &Added) {
    ctx.reply_array(3 + added.row.len());
    ctx.reply_integer(added.changed.into());
    reply_rank(ctx, added.rank);
    reply_rank(ctx, added.old_rank);
    reply_scores(ctx, &added.row);
}

words! {
    enum RemOption {
        Score = "SCORE",
    }
}

fn rem(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let member = member(&mut parser)?;
    let mut only = None;
    while parser.more() {
        let RemOption::Score = parser.option()?;
        only = Some(row(&mut parser)?);
    }
    let mut key = Key::<BoardKey>::open(ctx, args.string(1), Mode::Write)?;
    if key.get().is_none() {
        ctx.reply_integer(0);
        return Ok(());
    }
    let (removed, _) = change(ctx, &mut key, |board, _| {
        let effect = board.remove(member, only.as_ref())?;
        let removed = effect.is_some();
        Ok((effect.into_iter().collect::<SmallVec<[_; 1]>>(), removed))
    })?;
    drop(key);
    if removed {
        ctx.notify(c"rank.rem", args.string(1));
    }
    ctx.reply_integer(removed.into());
    Ok(())
}
