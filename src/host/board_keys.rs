//! The values of the keys of boards, and how effects on them are carried out and replicated.

use super::clock;
use super::damage::Damage;
use super::hints::Hint;
use super::schedule::{self, Advanced, SLOT_RETRY, Timed};
use super::totals::{BOARDS, BoardShare, Counted};
use crate::server::args::ServerStr;
use crate::server::context::{Context, Refusal};
use crate::server::key::{Found, Key, Mode, look};
use crate::server::types::{Stored, TypeHandle};
use crate::server::zset;
use modq_core::board::{
    Applied, ApplyError, Board, Clock, Closing, Effect, Error, MAX_MEMBER_BYTES, Record, Scored,
};
use modq_core::queue::Now;
use modq_core::units::{Millis, Time};
use std::cell::RefCell;
use std::ffi::CStr;

/// The command that carries the effects on a board. Short, as it is sent often: the server looks a
/// name up by copying, splitting and hashing it.
pub const APPLY_BOARD: &CStr = c"modq._b";

/// The command that moves a board to another key.
pub const APPLY_CLOSE: &CStr = c"modq._c";

/// About how many bytes of effects go into one record of an import.
const RECORD_BYTES: usize = 64 * 1024;

/// The value of a board's key.
#[derive(Default)]
pub struct BoardKey {
    /// The board itself.
    pub board: Board,
    /// When the schedule thinks that ids expire; none if it does not know the board.
    hint: Option<Hint>,
    damage: Damage,
    /// What the board has added to the sums over all boards.
    share: BoardShare,
    _counted: Counted<BOARDS>,
}

impl Stored for BoardKey {
    type Core = Board;
    const NAME: &'static CStr = c"modqboard";
    const WORD: &'static CStr = c"board";

    fn core(&self) -> &Board {
        &self.board
    }

    fn core_mut(&mut self) -> &mut Board {
        &mut self.board
    }

    fn memory_bytes(&self) -> usize {
        self.board.memory_bytes()
    }

    fn free_effort(&self) -> usize {
        self.board.free_effort()
    }

    fn handle() -> &'static TypeHandle {
        static HANDLE: TypeHandle = TypeHandle::new();
        &HANDLE
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::fixed(match error {
            Error::Exists => "EXISTS the board is there already",
            Error::Columns(columns) => {
                return Refusal::new(format!(
                    "ERR score: COLUMNS of the board is {columns}, and so many must be given"
                ));
            }
            Error::Overflow => "ERR score: the sum would be outside of 64 bits",
            Error::Full => "ERR the board has as many members as there can be",
            Error::StampsExhausted => "ERR the board has given every stamp there is",
        })
    }
}

const BROKEN: Refusal = Refusal::fixed("ERR internal error: the effect does not fit");

impl BoardKey {
    /// Runs `body` on the board, unless it is damaged. A panic in it damages the board.
    ///
    /// # Errors
    /// Those of `body`, and that the board is damaged.
    #[inline]
    pub fn guarded<R>(
        &mut self,
        body: impl FnOnce(&mut Board) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        self.damage.check()?;
        let board = &mut self.board;
        self.damage.guard(|| body(board))
    }

    /// The board has changed: what follows from that outside of it is brought up to date. It stands in
    /// the selected database under `name`.
    #[inline]
    pub fn changed(&mut self, ctx: Context<'_>, name: ServerStr<'_>) {
        self.share.update(&self.board);
        self.hint_at(ctx, ctx.db(), name);
    }

    /// Makes sure that the schedule knows when ids expire.
    #[inline]
    fn hint_at(&mut self, ctx: Context<'_>, db: i32, name: ServerStr<'_>) {
        if let Some(due) = self.next_due() {
            let known = self.hint.as_ref().map(Hint::due);
            if known.is_none_or(|known| due < known) {
                schedule::set::<BoardKey>(ctx, &mut self.hint, db, name.bytes(), due);
            }
        }
    }

    /// When ids expire. Those of a damaged board never do.
    #[inline]
    fn next_due(&self) -> Option<Time> {
        self.board.next_due().filter(|_| self.damage.is_none())
    }
}

thread_local! {
    /// A buffer that one writing command after the other uses.
    static RECORD: RefCell<Record> = RefCell::default();
}

/// What a request does to a board: its effects, and what it is to answer.
pub type Decided<E, A> = Result<(E, A), Refusal>;

/// Decides on a request and carries it out. The board of a missing key is one that has not come to be
/// yet. Answers what was decided, and the place of a row that changed.
///
/// # Errors
/// Those of `decide`, and that the board is damaged.
#[inline]
pub fn change<'e, E: AsRef<[Effect<'e>]>, A>(
    ctx: Context<'_>,
    key: &mut Key<'_, BoardKey>,
    decide: impl FnOnce(&Board, Clock) -> Decided<E, A>,
) -> Result<(A, Applied), Refusal> {
    let clock = clock::board_clock();
    let name = key.name();
    let mut missing = None;
    let stored = match key.get_mut() {
        Some(stored) => stored,
        None => missing.insert(Box::<BoardKey>::default()),
    };
    stored.damage.check()?;
    let (effects, answer) = decide(&stored.board, clock)?;
    if effects.as_ref().is_empty() {
        return Ok((answer, Applied::default()));
    }
    let mut record = RECORD.take();
    record.clear();
    let applied = stored.guarded(|board| {
        let applied = board.commit(effects.as_ref(), &mut record);
        applied.map_err(|ApplyError| BROKEN)
    });
    if !record.is_empty() {
        // What was applied stands, and so goes on, even if a panic cut it short.
        let stored = match missing {
            Some(missing) => key.set(missing),
            None => key.get_mut().ok_or(BROKEN)?,
        };
        stored.changed(ctx, name);
        ctx.replicate(APPLY_BOARD, name, record.bytes());
        ctx.signal_modified(name);
    }
    RECORD.set(record);
    Ok((answer, applied?))
}

/// What came of CLOSE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// There is no board.
    Missing,
    /// So many members moved.
    Moved(usize),
}

/// Moves the board of a key, with the key's expiry, to another key; an empty one takes its place.
///
/// # Errors
/// If both are the same, the first holds anything else, or the second exists.
pub fn close(ctx: Context<'_>, from: ServerStr<'_>, to: ServerStr<'_>) -> Result<Closed, Refusal> {
    if from.bytes() == to.bytes() {
        return Err(Refusal::fixed(
            "ERR destination: the board cannot be moved to its own key",
        ));
    }
    let mut key = Key::<BoardKey>::open(ctx, from, Mode::Write)?;
    if key.get().is_none() {
        return Ok(Closed::Missing);
    }
    if look(ctx, to) != Found::Nothing {
        return Err(Refusal::fixed("EXISTS the destination exists"));
    }
    let expires = key.expires_at();
    let moved = move_board(ctx, &mut key, to, expires)?;
    ctx.replicate_two(APPLY_CLOSE, [from, to], &Closing { expires }.encode());
    Ok(Closed::Moved(moved))
}

/// Carries out what `close` replicates.
///
/// # Errors
/// If it does not fit the keys, with `refusal`.
pub fn apply_close(
    ctx: Context<'_>,
    from: ServerStr<'_>,
    to: ServerStr<'_>,
    closing: Closing,
    refusal: Refusal,
) -> Result<(), Refusal> {
    if from.bytes() == to.bytes() || look(ctx, to) != Found::Nothing {
        return Err(refusal);
    }
    let mut key = Key::<BoardKey>::open(ctx, from, Mode::Write)?;
    if key.get().is_none() {
        return Err(refusal);
    }
    move_board(ctx, &mut key, to, closing.expires).map(|_| ())
}

/// Moves a board to a key that is empty. Answers how many members it has.
fn move_board(
    ctx: Context<'_>,
    key: &mut Key<'_, BoardKey>,
    to: ServerStr<'_>,
    expires: Option<u64>,
) -> Result<usize, Refusal> {
    let mut destination = Key::<BoardKey>::open(ctx, to, Mode::Write)?;
    let from = key.name();
    let stored = key.get_mut().ok_or(BROKEN)?;
    let board = stored.guarded(|board| board.close().map_err(|ApplyError| BROKEN))?;
    let moved = board.len();
    stored.changed(ctx, from);
    key.set_expires_at(None);
    let closed = destination.set(Box::new(BoardKey {
        board,
        ..BoardKey::default()
    }));
    closed.changed(ctx, to);
    destination.set_expires_at(expires);
    ctx.signal_modified(from);
    ctx.signal_modified(to);
    Ok(moved)
}

/// What came of IMPORT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// How many members the sorted set has.
    pub size: usize,
    /// Whether the board changed.
    pub changed: bool,
}

/// Takes the members of a sorted set over into the board of a key.
///
/// # Errors
/// If a score is no 64-bit integer, a name is too long, or the board has several columns.
pub fn import(
    ctx: Context<'_>,
    name: ServerStr<'_>,
    set: ServerStr<'_>,
) -> Result<Imported, Refusal> {
    let mut key = Key::<BoardKey>::open(ctx, name, Mode::Write)?;
    let Some(elements) = zset::read(ctx, set)? else {
        return Ok(Imported {
            size: 0,
            changed: false,
        });
    };
    let members = scored(elements)?;
    let mut missing = None;
    let stored = match key.get_mut() {
        Some(stored) => stored,
        None => missing.insert(Box::<BoardKey>::default()),
    };
    stored.damage.check()?;
    let import = stored.board.import(clock::board_clock(), &members)?;
    let mut records = Records {
        ctx,
        name,
        record: Record::default(),
        changed: false,
    };
    let applied = stored.guarded(|board| {
        for effect in import.effects() {
            let applied = board.commit(&[effect], &mut records.record);
            applied.map_err(|ApplyError| BROKEN)?;
            records.flush_from(RECORD_BYTES);
        }
        Ok(())
    });
    records.flush_from(1);
    let changed = records.changed;
    if changed {
        let stored = match missing {
            Some(missing) => key.set(missing),
            None => key.get_mut().ok_or(BROKEN)?,
        };
        stored.changed(ctx, name);
        ctx.signal_modified(name);
    }
    applied?;
    Ok(Imported {
        size: members.len(),
        changed,
    })
}

/// Effects on their way to the replicas, in records of bounded size.
struct Records<'c> {
    ctx: Context<'c>,
    name: ServerStr<'c>,
    record: Record,
    /// Whether there were any.
    changed: bool,
}

impl Records<'_> {
    /// Sends on what there is, if that is at least so many bytes.
    fn flush_from(&mut self, bytes: usize) {
        if self.record.bytes().len() >= bytes {
            self.ctx
                .replicate(APPLY_BOARD, self.name, self.record.bytes());
            self.record.clear();
            self.changed = true;
        }
    }
}

/// The elements of a sorted set, if a board can have them all.
fn scored(elements: Vec<zset::Element>) -> Result<Vec<Scored>, Refusal> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let fits = |score: f64| score.fract() == 0.0 && (-LIMIT..LIMIT).contains(&score);
    if elements.iter().any(|(_, score)| !fits(*score)) {
        return Err(Refusal::fixed(
            "ERR zset: a score is no integer from -2^63 to 2^63 - 1",
        ));
    }
    let named = |name: &[u8]| (1..=MAX_MEMBER_BYTES).contains(&name.len());
    if elements.iter().any(|(name, _)| !named(name)) {
        return Err(Refusal::fixed(
            "ERR zset: a member is not 1 to 512 bytes long",
        ));
    }
    let elements = elements.into_iter();
    Ok(elements.map(|(name, score)| (name, score as i64)).collect())
}

impl Timed for BoardKey {
    fn advance(ctx: Context<'_>, name: ServerStr<'_>, now: Now, budget: usize) -> Advanced {
        // While a slot is being imported, its keys are not changed here, as a replica does not change
        // its keys.
        if ctx.flags().is_cluster() && !ctx.owns(name) {
            return look_again(ctx, name, now.time + SLOT_RETRY);
        }
        let Ok(mut key) = Key::<BoardKey>::open(ctx, name, Mode::Background) else {
            return Advanced::default();
        };
        if key.get().is_none() {
            return Advanced::default();
        }
        let forgotten = |board: &Board, _: Clock| {
            let effect = board.advance(now.time, budget);
            let steps = board.ids();
            Ok((effect.into_iter().collect::<Vec<_>>(), steps))
        };
        let before = match change(ctx, &mut key, forgotten) {
            Ok((ids, _)) => ids,
            Err(_) => return Advanced::default(),
        };
        let Some(stored) = key.get_mut() else {
            return Advanced::default();
        };
        let due = stored.next_due();
        stored.schedule(ctx, name, due.map(|due| due.max(now.time + Millis(1))));
        Advanced {
            steps: before - stored.board.ids(),
            more: due.is_some_and(|due| due <= now.time),
        }
    }
}

impl BoardKey {
    /// Tells the schedule that ids expire at `due` and not before, or none at all.
    fn schedule(&mut self, ctx: Context<'_>, name: ServerStr<'_>, due: Option<Time>) {
        match due {
            Some(due) => {
                schedule::set::<BoardKey>(ctx, &mut self.hint, ctx.db(), name.bytes(), due);
            }
            None => self.hint = None,
        }
    }
}

/// Leaves the board of a key alone until `at`, if there is one.
fn look_again(ctx: Context<'_>, name: ServerStr<'_>, at: Time) -> Advanced {
    if let Ok(mut key) = Key::<BoardKey>::open(ctx, name, Mode::Inspect) {
        if let Some(stored) = key.get_mut() {
            stored.schedule(ctx, name, Some(at));
        }
    }
    Advanced::default()
}

/// A key came to this name of the selected database by other means than a command of ours. If it is
/// a board, its ids are to expire here.
pub fn key_arrived(ctx: Context<'_>, name: ServerStr<'_>) {
    let Ok(mut key) = Key::<BoardKey>::open(ctx, name, Mode::Inspect) else {
        return;
    };
    // Not always the selected one: see `Key::db`.
    let db = key.db().unwrap_or(ctx.db());
    if let Some(stored) = key.get_mut() {
        stored.share.update(&stored.board);
        // The schedule knew it by another name, if at all.
        stored.hint = None;
        stored.hint_at(ctx, db, name);
    }
}

/// Runs `body` on the board of a key, if there is one.
///
/// # Errors
/// WRONGTYPE if the key holds anything else.
#[inline]
pub fn read<R>(
    ctx: Context<'_>,
    name: ServerStr<'_>,
    body: impl FnOnce(Option<&Board>) -> R,
) -> Result<R, Refusal> {
    let key = Key::<BoardKey>::open(ctx, name, Mode::Read)?;
    Ok(body(key.get().map(|stored| &stored.board)))
}
