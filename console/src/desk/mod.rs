//! The desk: a seat for each person and queue. The seat keeps the person in line, takes what is theirs, extends their locks
//! while they are there, and holds a decision for some seconds so that it can be undone. Tokens never leave it: who decides
//! names an item, and the seat decides with the lock of its own person or not at all.

mod hand;
mod run;

pub(crate) use hand::{Also, Hand, Pending};

use crate::audit::{Actor, Audit};
use crate::config::Config;
use crate::db::{Announcements, Claim, Db, Failure};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// What all seats share.
struct Room {
    db: Db,
    announcements: Announcements,
    audit: Audit,
    undo: Duration,
    idle: Duration,
}

/// By person and queue.
type Seats = HashMap<(String, Vec<u8>), Arc<Seat>>;

/// All seats.
pub(crate) struct Desks {
    room: Arc<Room>,
    seats: Arc<Mutex<Seats>>,
}

/// Somebody at the desk of a queue, in one tab or several.
pub(crate) struct Seat {
    room: Arc<Room>,
    pub(crate) key: Vec<u8>,
    pub(crate) tags: Vec<Vec<u8>>,
    actor: Actor,
    hand: Mutex<Hand>,
    /// Held while something is sent for this seat: nothing overtakes anything.
    turn: tokio::sync::Mutex<()>,
    changed: watch::Sender<u64>,
    nudge: Notify,
    viewers: AtomicUsize,
    over: AtomicBool,
}

/// Counts as a page that is open, while it lives.
pub(crate) struct Viewer(Arc<Seat>);

impl Drop for Viewer {
    fn drop(&mut self) {
        self.0.viewers.fetch_sub(1, Ordering::Relaxed);
        self.0.nudge.notify_one();
    }
}

impl Desks {
    pub(crate) fn new(
        db: Db,
        announcements: Announcements,
        audit: Audit,
        config: &Config,
    ) -> Desks {
        let room = Room {
            db,
            announcements,
            audit,
            undo: Duration::from_secs(config.undo_seconds),
            idle: Duration::from_secs(config.idle_seconds),
        };
        Desks {
            room: Arc::new(room),
            seats: Arc::default(),
        }
    }

    /// The seat of this person, if they sit there.
    pub(crate) fn find(&self, who: &str, key: &[u8]) -> Option<Arc<Seat>> {
        let seats = self.seats.lock().ok()?;
        seats.get(&(who.to_owned(), key.to_vec())).cloned()
    }

    /// Where this person sits.
    pub(crate) fn of(&self, who: &str) -> Vec<Arc<Seat>> {
        let seats = self.seats.lock();
        seats.map_or_else(
            |_| Vec::new(),
            |all| {
                all.values()
                    .filter(|s| s.actor.who == who)
                    .cloned()
                    .collect()
            },
        )
    }

    /// Sits down, offering these tags. Who sits there already takes the place anew, with what they hold.
    pub(crate) async fn sit(&self, actor: Actor, key: Vec<u8>, tags: Vec<Vec<u8>>) {
        let place = (actor.who.clone(), key.clone());
        if let Some(old) = self.find(&actor.who, &key) {
            old.send_pending().await;
            old.end();
        }
        let seat = Arc::new(Seat {
            room: self.room.clone(),
            key,
            tags,
            actor,
            hand: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
            changed: watch::channel(0).0,
            nudge: Notify::new(),
            viewers: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        if let Ok(mut seats) = self.seats.lock() {
            seats.insert(place.clone(), seat.clone());
        }
        let seats = self.seats.clone();
        tokio::spawn(async move {
            seat.clone().run().await;
            if let Ok(mut seats) = seats.lock() {
                if seats.get(&place).is_some_and(|now| Arc::ptr_eq(now, &seat)) {
                    seats.remove(&place);
                }
            }
        });
    }

    /// Stands up: what is decided is sent, what is held goes back.
    pub(crate) async fn stand_up(&self, who: &str, key: &[u8]) {
        if let Some(seat) = self.find(who, key) {
            seat.send_pending().await;
            seat.give_back().await;
            seat.end();
            let left = seat.room.db.leave(key, who).await;
            let result = left.map_or_else(|e| e.code, |()| "ok".into());
            self.room
                .audit
                .write(&seat.actor, "desk-leave", key, b"", "", &result)
                .await;
            if let Ok(mut seats) = self.seats.lock() {
                seats.remove(&(who.to_owned(), key.to_vec()));
            }
        }
    }

    /// When the console ends: decisions that wait are sent. What people hold they keep until its deadline.
    pub(crate) async fn send_all(&self) {
        let seats: Vec<Arc<Seat>> = self
            .seats
            .lock()
            .map_or_else(|_| Vec::new(), |s| s.values().cloned().collect());
        futures_util::future::join_all(seats.iter().map(|seat| seat.send_pending())).await;
    }
}

impl Seat {
    /// A page of this seat is open.
    pub(crate) fn view(self: &Arc<Seat>) -> Viewer {
        self.viewers.fetch_add(1, Ordering::Relaxed);
        self.nudge.notify_one();
        Viewer(self.clone())
    }

    /// Changes when there is something else to show.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What there is to show.
    pub(crate) fn look(&self) -> Hand {
        self.hand
            .lock()
            .map_or_else(|_| Hand::default(), |hand| hand.clone())
    }

    /// A sign of the person: a key, a click, a touch.
    pub(crate) fn here(&self) {
        self.change(|hand| hand.last_input = Instant::now());
        self.nudge.notify_one();
    }

    /// Whether they have given no sign for too long.
    pub(crate) fn is_idle(&self, hand: &Hand) -> bool {
        hand.last_input.elapsed() > self.room.idle
    }

    /// Decides an item in hand; it is sent when it can no longer be undone.
    pub(crate) async fn decide(
        &self,
        item: &[u8],
        verdict: &str,
        note: &str,
        also: Also,
    ) -> Result<(), Failure> {
        {
            let _turn = self.turn.lock().await;
            let same = self.look().pending.is_some_and(|p| p.claim.item == item);
            if same {
                // A second click.
                return Ok(());
            }
            self.send_held_back().await;
            let taken = self.change(|hand| {
                hand.put_off(item, verdict, note, also, Instant::now() + self.room.undo)
            });
            if !taken {
                return Err(Failure::new(
                    "STALE",
                    "this item is not in your hands any more",
                ));
            }
        }
        self.here();
        Ok(())
    }

    /// Takes back what was decided last, if it was not sent yet.
    pub(crate) async fn undo(&self) -> Result<(), Failure> {
        let _turn = self.turn.lock().await;
        let undone = self.change(Hand::take_back);
        self.here();
        undone
            .then_some(())
            .ok_or_else(|| Failure::new("NOITEM", "the decision has been sent already"))
    }

    /// Gives an item back, with `skip` for good.
    pub(crate) async fn release(&self, item: &[u8], skip: bool) -> Result<(), Failure> {
        let _turn = self.turn.lock().await;
        let Some(claim) = self.look().find(item) else {
            return Err(Failure::new(
                "STALE",
                "this item is not in your hands any more",
            ));
        };
        let done = self
            .room
            .db
            .release(&self.key, item, claim.token, skip)
            .await;
        let action = if skip { "skip" } else { "release" };
        self.note(action, &claim, "", &done).await;
        if !done.as_ref().is_err_and(Failure::is_lost) {
            self.change(|hand| hand.drop_item(item));
        }
        self.here();
        done
    }

    /// Puts the message about what was lost away.
    pub(crate) fn dismiss(&self) {
        self.change(|hand| hand.told = None);
    }

    fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.nudge.notify_one();
        self.changed.send_modify(|n| *n += 1);
    }

    fn change<R: Default>(&self, change: impl FnOnce(&mut Hand) -> R) -> R {
        let answer = match self.hand.lock() {
            Ok(mut hand) => change(&mut hand),
            Err(_) => return R::default(),
        };
        self.changed.send_modify(|n| *n += 1);
        answer
    }

    async fn note<T>(
        &self,
        action: &'static str,
        claim: &Claim,
        detail: &str,
        done: &Result<T, Failure>,
    ) {
        let result = done
            .as_ref()
            .map_or_else(|e| e.code.clone(), |_| "ok".into());
        self.room
            .audit
            .write(&self.actor, action, &self.key, &claim.item, detail, &result)
            .await;
    }
}
