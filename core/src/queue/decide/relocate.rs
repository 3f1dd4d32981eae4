//! MOVE: an item goes from one queue to another, in one step.

use super::{COMMAND_STEPS, Turn};
use crate::queue::Queue;
use crate::queue::effect::{Effect, Ending, Excluded, MoveIn, MovedReview, MovedVote, Terms};
use crate::queue::event::Told;
use crate::queue::outcome::Outcome;
use crate::queue::request::{Error, Gate, Move, Now};
use crate::queue::store::{ItemSlot, ModeratorSlot, State};
use crate::units::Token;
use serde_bytes::Bytes;

/// One of the two queues of a MOVE, with its inputs and what happens there.
#[derive(Debug)]
pub struct Side<'s> {
    /// The queue.
    pub queue: &'s mut Queue,
    /// Whether its event stream can be written.
    pub gate: Gate,
    /// What happens to it.
    pub out: &'s mut Outcome,
}

/// Moves an item. Each queue first catches up with the clock, so that tokens and deadlines are
/// judged as they are now; then both are checked, and only then is either changed.
///
/// # Errors
/// `NoItem`; `Locked` if it is and no token is given; `Stale` if the token is not the live lock's;
/// of the destination `Exists` and `Full`; of either `Events`, `TryAgain`.
pub fn relocate(
    now: Now,
    request: Move<'_>,
    source: Side<'_>,
    destination: Side<'_>,
) -> Result<(), Error> {
    let mut from = source.queue.turn(now, source.gate, source.out);
    let mut to = destination
        .queue
        .turn(now, destination.gate, destination.out);
    let before = from.store.last_token();
    from.catch_up(COMMAND_STEPS);
    to.give_above(from.store.last_token(), before);
    let before = to.store.last_token();
    to.catch_up(COMMAND_STEPS);
    let slot = from.check_move_out(&request)?;
    to.check_move_in(request.id)?;
    from.admit()?;
    to.admit()?;
    receive(&from, &mut to, slot, &request);
    from.give_above(to.store.last_token(), before.max(from.store.last_token()));
    let effect = Effect::MoveOut { id: request.id };
    let opportunity = from.commit_told(&effect, Some(slot), &told(&request));
    from.seize(opportunity);
    Ok(())
}

/// What the events of both queues tell.
fn told<'a>(request: &Move<'a>) -> Told<'a> {
    Told {
        by: request.by,
        ..Told::default()
    }
}

/// Takes in an item that was checked on both sides.
fn receive(from: &Turn<'_>, to: &mut Turn<'_>, slot: ItemSlot, request: &Move<'_>) {
    let store = &*from.store;
    let item = &store.items()[slot];
    let rare = store.rare(slot).cloned().unwrap_or_default();
    let excluded = rare.excluded.iter().map(|e| Excluded {
        moderator: Bytes::new(&store.moderators()[e.moderator].name),
        skip: e.skip,
    });
    let effect = Effect::MoveIn(Box::new(MoveIn {
        id: item.id(),
        payload: item.payload(),
        priority: request.priority.unwrap_or(item.priority),
        boost: item.boost(),
        submitted: item.submitted(),
        due: rare.due,
        delayed: item.state == State::Delayed,
        rev: item.rev.next(),
        reports: rare.reports,
        deliveries: item.deliveries,
        tags: store.own_tags(slot).0.into_iter().map(Bytes::new).collect(),
        excluded: excluded.collect(),
        last_token: store.last_token(),
        review: from.review_to_move(slot),
    }));
    let opportunity = to.commit_told(&effect, None, &told(request));
    to.seize(opportunity);
}

impl Turn<'_> {
    /// How an item was decided so far, for the queue it goes to.
    fn review_to_move(&self, slot: ItemSlot) -> Option<Box<MovedReview<'_>>> {
        let store = &*self.store;
        let name = |m: &ModeratorSlot| &*store.moderators()[*m].name;
        let group = store.group_name(slot);
        let review = store.review(slot);
        if review.is_none() && group.is_empty() {
            return None;
        }
        let votes = store.votes(slot).iter().map(|vote| MovedVote {
            by: Ending {
                moderator: name(&vote.moderator),
                token: vote.token,
                verdict: &vote.verdict,
            },
            at: vote.at,
            split: vote.split,
        });
        let deciders = review.map_or(&[][..], |review| &review.deciders);
        Some(Box::new(MovedReview {
            terms: Terms {
                quorum: store.quorum(slot),
                group,
                deciders: deciders.iter().map(|m| Bytes::new(name(m))).collect(),
            },
            votes: votes.collect(),
            contested: store.is_contested(slot),
            added_tag: store.own_tags(slot).1.unwrap_or(&[]),
        }))
    }

    /// Lets no token be given that another queue has given in the same command: its last one, if it was not `before`.
    /// (Else that may be one that a payload only claims.)
    fn give_above(&mut self, last: Token, before: Token) {
        if last > before {
            let above = Token(last.0 + 1);
            self.now.token_floor = self.now.token_floor.max(above);
        }
    }

    /// Checks that an item may leave for another queue.
    pub(in crate::queue) fn check_move_out(&self, request: &Move<'_>) -> Result<ItemSlot, Error> {
        let slot = self.find(request.id)?;
        match request.token {
            None if self.is_locked(slot) => Err(Error::Locked),
            Some(token) if self.live(slot, token).is_none() => Err(Error::Stale),
            _ => Ok(slot),
        }
    }

    /// Checks that an item of that id may come in.
    pub(in crate::queue) fn check_move_in(&self, id: &[u8]) -> Result<(), Error> {
        if self.store.find(id).is_some() {
            return Err(Error::Exists);
        }
        if self.is_full() {
            return Err(Error::Full);
        }
        Ok(())
    }
}
