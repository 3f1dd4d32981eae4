//! Commands that only look: GET, TOP, AROUND, AMONG, COUNT, PERCENTILE, CARD.

use super::{member, reply_scores, row};
use crate::host::board_keys::read;
use crate::server::args::{Args, Parser, words};
use crate::server::command::{Command, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::entry;
use modq_core::board::{Board, MAX_MEMBER_BYTES, Ranking};

/// Most rows of a listing, and most members that are asked after.
const MOST: usize = 10_000;
/// The largest OFFSET.
const MAX_OFFSET: u64 = 1 << 53;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: c"rank.get",
        flags: c"readonly fast",
        categories: c"read fast",
        keys: Keys::Reads,
        arity: -3,
        syntax: "key [RANKING <ORDINAL | STANDARD | DENSE>] member [member …]",
        integers: &[],
        since: "0.2.0",
        summary: "How members rank, their rows, and when they reached them.",
        complexity: "O(log n) for each member, with n members on the board",
        tips: "",
        handler: entry(get),
    },
    Command {
        name: c"rank.top",
        flags: c"readonly",
        categories: c"read slow",
        keys: Keys::Reads,
        arity: -3,
        syntax: "key n [OFFSET offset] [RANKING <ORDINAL | STANDARD | DENSE>]",
        integers: &["n", "offset"],
        since: "0.2.0",
        summary: "The best members.",
        complexity: "O(log m + n) with m members and n of them shown",
        tips: "",
        handler: entry(top),
    },
    Command {
        name: c"rank.around",
        flags: c"readonly",
        categories: c"read slow",
        keys: Keys::Reads,
        arity: -5,
        syntax: "key member before after [RANKING <ORDINAL | STANDARD | DENSE>]",
        integers: &["before", "after"],
        since: "0.2.0",
        summary: "A member and who ranks next to it.",
        complexity: "O(log n + k) with n members and k of them shown",
        tips: "",
        handler: entry(around),
    },
    Command {
        name: c"rank.among",
        flags: c"readonly",
        categories: c"read slow",
        keys: Keys::Reads,
        arity: -3,
        syntax: "key member [member …]",
        integers: &[],
        since: "0.2.0",
        summary: "How members rank among themselves.",
        complexity: "O(k log n) with k members asked after and n on the board",
        tips: "",
        handler: entry(among),
    },
    Command {
        name: c"rank.count",
        flags: c"readonly fast",
        categories: c"read fast",
        keys: Keys::Reads,
        arity: -3,
        syntax: "key score [score …]",
        integers: &["score"],
        since: "0.2.0",
        summary: "How many members are better than a row.",
        complexity: "O(log n) with n members",
        tips: "",
        handler: entry(count),
    },
    Command {
        name: c"rank.percentile",
        flags: c"readonly fast",
        categories: c"read fast",
        keys: Keys::Reads,
        arity: 3,
        syntax: "key member",
        integers: &[],
        since: "0.2.0",
        summary: "Which part of the members is no better than this one, in percent.",
        complexity: "O(log n) with n members",
        tips: "",
        handler: entry(percentile),
    },
    Command {
        name: c"rank.card",
        flags: c"readonly fast",
        categories: c"read fast",
        keys: Keys::Reads,
        arity: 2,
        syntax: "key",
        integers: &[],
        since: "0.2.0",
        summary: "How many members a board has.",
        complexity: "O(1)",
        tips: "",
        handler: entry(card),
    },
];

words! {
    enum RankingOption {
        Ranking = "RANKING",
    }
}

/// The rest of a command: members, one or more.
fn members<'a>(
    args: Args<'a>,
    from: usize,
) -> Result<impl Iterator<Item = &'a [u8]> + Clone, Refusal> {
    if args.count() <= from {
        return Err(Refusal::missing("member"));
    }
    if args.count() - from > MOST {
        return Err(Refusal::fixed("ERR member: at most 10000 can be given"));
    }
    let all = (from..args.count()).map(move |i| args.get(i));
    let fits = |name: &[u8]| (1..=MAX_MEMBER_BYTES).contains(&name.len());
    match all.clone().all(fits) {
        true => Ok(all),
        false => Err(Refusal::fixed("ERR member must be 1 to 512 bytes long")),
    }
}

fn get(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let mut ranking = Ranking::Ordinal;
    // Directly behind the key it is the option, whatever a member is called.
    if parser.peek_option::<RankingOption>().is_some() {
        parser.word("RANKING")?;
        ranking = parser.one_of("RANKING")?;
    }
    let from = parser.position();
    let members = members(args, from)?;
    read(ctx, args.string(1), |board| {
        ctx.reply_array(args.count() - from);
        for member in members {
            match board.and_then(|board| board.get(member, ranking)) {
                Some(found) => {
                    ctx.reply_array(2 + found.standing.row.len());
                    ctx.reply_integer(found.rank as i64);
                    reply_scores(ctx, &found.standing.row);
                    ctx.reply_integer(found.standing.achieved() as i64);
                }
                None => ctx.reply_null(),
            }
        }
    })
}

/// Rows of rank, member and scores.
fn reply_rows(ctx: Context<'_>, board: &Board, offset: u64, n: usize, ranking: Ranking) {
    ctx.reply_array(board.top_len(offset, n));
    board.top(offset, n, ranking, |listed| {
        ctx.reply_array(2 + listed.standing.row.len());
        ctx.reply_integer(listed.rank as i64);
        ctx.reply_bytes(listed.standing.member);
        reply_scores(ctx, &listed.standing.row);
    });
}

words! {
    enum TopOption {
        Offset = "OFFSET",
        Ranking = "RANKING",
    }
}

fn top(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let n = parser.unsigned("n", 0..=MOST as u64)? as usize;
    let (mut offset, mut ranking) = (0, Ranking::Ordinal);
    while parser.more() {
        match parser.option()? {
            TopOption::Offset => offset = parser.unsigned("OFFSET", 0..=MAX_OFFSET)?,
            TopOption::Ranking => ranking = parser.one_of("RANKING")?,
        }
    }
    read(ctx, args.string(1), |board| match board {
        Some(board) => reply_rows(ctx, board, offset, n, ranking),
        None => ctx.reply_array(0),
    })
}

fn around(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let member = member(&mut parser)?;
    let before = parser.unsigned("before", 0..=MOST as u64)? as usize;
    let after = parser.unsigned("after", 0..=MOST as u64)? as usize;
    let mut ranking = Ranking::Ordinal;
    while parser.more() {
        let RankingOption::Ranking = parser.option()?;
        ranking = parser.one_of("RANKING")?;
    }
    read(ctx, args.string(1), |board| {
        let found = board.and_then(|board| Some((board, board.around(member, before, after)?)));
        match found {
            Some((board, (first, n))) => reply_rows(ctx, board, first, n, ranking),
            None => ctx.reply_null(),
        }
    })
}

fn among(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let members = members(args, 2)?;
    read(ctx, args.string(1), |board| {
        let found = board.map_or_else(Vec::new, |board| board.among(members));
        ctx.reply_array(found.len());
        for listed in found {
            ctx.reply_array(3 + listed.standing.row.len());
            ctx.reply_integer(listed.rank as i64);
            ctx.reply_integer(listed.overall as i64);
            ctx.reply_bytes(listed.standing.member);
            reply_scores(ctx, &listed.standing.row);
        }
    })
}

fn count(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let row = row(&mut parser)?;
    parser.end()?;
    let better = read(ctx, args.string(1), |board| {
        board.map_or(Ok(0), |board| board.count_better(&row))
    })??;
    ctx.reply_integer(better as i64);
    Ok(())
}

fn percentile(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let member = member(&mut Parser::new(args, 2))?;
    let found = read(ctx, args.string(1), |board| {
        board.and_then(|board| board.percentile(member))
    })?;
    match found {
        Some(part) => ctx.reply_double(part.dividend as f64 / part.divisor as f64),
        None => ctx.reply_null(),
    }
    Ok(())
}

fn card(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let members = read(ctx, args.string(1), |board| board.map_or(0, Board::len))?;
    ctx.reply_integer(members as i64);
    Ok(())
}
