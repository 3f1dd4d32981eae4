//! Commands about a board as a whole: CREATE, CONFIGURE, INFO.

use super::retry;
use crate::host::board_keys::{BoardKey, change};
use crate::server::args::{Args, Parser, Words, words};
use crate::server::command::{Command, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::entry;
use crate::server::key::{Key, Mode};
use crate::server::types::Stored;
use modq_core::board::{Configure, MAX_CAP, MAX_COLUMNS, Order, OrderError, Settings, Ties};
use smallvec::SmallVec;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: c"rank.create",
        flags: c"write deny-oom fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -2,
        syntax: "key [ORDER <DESC | ASC> [<DESC | ASC> …]] [UPDATE <SUM | BEST | LAST>] \
                 [TIES <EARLIEST | LATEST | MEMBER>] [COLUMNS columns] [CAP cap] [RETRY ms]",
        integers: &["columns", "cap", "ms"],
        since: "0.2.0",
        summary: "Creates a board.",
        complexity: "O(1)",
        tips: "",
        handler: entry(create),
    },
    Command {
        name: c"rank.configure",
        flags: c"write fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -2,
        syntax: "key [UPDATE <SUM | BEST | LAST>] [RETRY ms]",
        integers: &["ms"],
        since: "0.2.0",
        summary: "Sets what of a board's settings can change, for later requests.",
        complexity: "O(1)",
        tips: "",
        handler: entry(configure),
    },
    Command {
        name: c"rank.info",
        flags: c"readonly fast",
        categories: c"read fast",
        keys: Keys::Reads,
        arity: 2,
        syntax: "key",
        integers: &[],
        since: "0.2.0",
        summary: "The settings of a board, and how much is in it.",
        complexity: "O(1)",
        tips: "",
        handler: entry(info),
    },
];

words!(impl for Order {
    Desc = "DESC",
    Asc = "ASC",
});

words!(impl for Ties {
    Earliest = "EARLIEST",
    Latest = "LATEST",
    Member = "MEMBER",
});

words! {
    enum CreateOption {
        Order = "ORDER",
        Update = "UPDATE",
        Ties = "TIES",
        Columns = "COLUMNS",
        Cap = "CAP",
        Retry = "RETRY",
    }
}

fn parse_create(parser: &mut Parser<'_>) -> Result<Settings, Refusal> {
    let defaults = Settings::default();
    let (mut columns, mut order) = (1, SmallVec::<[Order; MAX_COLUMNS]>::new());
    let (mut update, mut ties) = (defaults.update, defaults.ties);
    let (mut cap, mut how_long) = (defaults.cap, defaults.retry);
    while parser.more() {
        match parser.option()? {
            CreateOption::Order => {
                order.push(parser.one_of("ORDER")?);
                while parser.peek_option::<Order>().is_some() {
                    order.push(parser.one_of("ORDER")?);
                }
            }
            CreateOption::Update => update = parser.one_of("UPDATE")?,
            CreateOption::Ties => ties = parser.one_of("TIES")?,
            CreateOption::Columns => {
                columns = parser.unsigned("COLUMNS", 1..=MAX_COLUMNS as u64)? as usize;
            }
            CreateOption::Cap => cap = parser.unsigned("CAP", 0..=MAX_CAP)?,
            CreateOption::Retry => how_long = retry(parser)?,
        }
    }
    if order.is_empty() {
        order.push(Order::Desc);
    }
    let mut settings = Settings::new(columns, &order).map_err(|OrderError| {
        Refusal::fixed("ERR ORDER must be one word, or one for each of the COLUMNS")
    })?;
    settings.update = update;
    settings.ties = ties;
    settings.cap = cap;
    settings.retry = how_long;
    Ok(settings)
}

fn create(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let settings = parse_create(&mut Parser::new(args, 2))?;
    let mut key = Key::<BoardKey>::open(ctx, args.string(1), Mode::Write)?;
    change(ctx, &mut key, |board, _| {
        Ok(([board.create(settings)?], ()))
    })?;
    drop(key);
    ctx.notify(c"rank.create", args.string(1));
    ctx.reply_ok();
    Ok(())
}

words! {
    enum ConfigureOption {
        Update = "UPDATE",
        Retry = "RETRY",
    }
}

fn configure(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let mut request = Configure::default();
    while parser.more() {
        match parser.option()? {
            ConfigureOption::Update => request.update = Some(parser.one_of("UPDATE")?),
            ConfigureOption::Retry => request.retry = Some(retry(&mut parser)?),
        }
    }
    let mut key = Key::<BoardKey>::open(ctx, args.string(1), Mode::Write)?;
    if key.get().is_none() {
        ctx.reply_null();
        return Ok(());
    }
    change(ctx, &mut key, |board, _| {
        let effects = board.configure(request).into_iter();
        Ok((effects.collect::<SmallVec<[_; 1]>>(), ()))
    })?;
    ctx.reply_ok();
    Ok(())
}

/// A word as INFO shows it.
fn reply_word(ctx: Context<'_>, word: impl Words) {
    ctx.reply_bytes(word.word().to_ascii_lowercase().as_bytes());
}

fn info(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let key = Key::<BoardKey>::open(ctx, args.string(1), Mode::Read)?;
    let Some(stored) = key.get() else {
        ctx.reply_null();
        return Ok(());
    };
    let info = stored.board.info();
    let settings = &info.settings;
    ctx.reply_map(9);
    ctx.field("order").reply_array(settings.order().len());
    for order in settings.order() {
        reply_word(ctx, *order);
    }
    reply_word(ctx.field("update"), settings.update);
    reply_word(ctx.field("ties"), settings.ties);
    ctx.field("columns")
        .reply_integer(settings.columns() as i64);
    ctx.field("cap").reply_integer(settings.cap as i64);
    ctx.field("retry").reply_integer(settings.retry.0 as i64);
    ctx.field("members").reply_integer(info.members as i64);
    ctx.field("ids").reply_integer(info.ids as i64);
    let bytes = ctx.memory_usage(args.string(1));
    let bytes = bytes.unwrap_or(stored.memory_bytes() as i64);
    ctx.field("bytes").reply_integer(bytes);
    Ok(())
}
