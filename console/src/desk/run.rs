//! What a seat does by itself: sends what can no longer be undone, looks whether locks are still there, extends them while
//! their person is there, takes the next item, waits in line.

use super::hand::{Group, Told};
use super::{Hand, Pending, Seat};
use crate::bytes::{short, shown};
use crate::db::{Claim, Failure};
use crate::words::now_ms;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often it looks by itself. The announcement of an item comes sooner.
const LOOK: Duration = Duration::from_secs(3);
/// The sign of life in line lasts this long, ms: some looks.
const TTL_MS: u64 = 15_000;
/// A page that was closed for so long is gone.
const GONE: Duration = Duration::from_secs(30);
/// A seat that nobody looks at and that holds nothing is given up.
const EMPTY: Duration = Duration::from_secs(600);
/// Where the queue does not say how long a lock lasts, ms.
const LOCK_MS: i64 = 300_000;
/// Others of a group that are shown.
const GROUP: usize = 20;

impl Seat {
    /// Until the seat is given up.
    pub(super) async fn run(self: Arc<Seat>) {
        let announced = self.room.announcements.of(&self.key, &self.actor.who);
        let mut seen = Instant::now();
        let mut lock_ms = LOCK_MS;
        let mut settings_at: Option<Instant> = None;
        let mut was_idle = false;
        while !self.over.load(Ordering::Relaxed) {
            if self.viewers.load(Ordering::Relaxed) > 0 {
                seen = Instant::now();
            }
            if settings_at.is_none_or(|at| at.elapsed() > Duration::from_secs(60)) {
                if let Ok(ms) = self.lock_ms().await {
                    lock_ms = ms;
                    settings_at = Some(Instant::now());
                }
            }
            let there = seen.elapsed() < GONE;
            let done = {
                let _turn = self.turn.lock().await;
                if self.over.load(Ordering::Relaxed) {
                    return;
                }
                self.step(there, lock_ms).await
            };
            let idle = self.is_idle(&self.look());
            if idle != was_idle {
                // The page says so.
                was_idle = idle;
                self.changed.send_modify(|n| *n += 1);
            }
            let trouble = done.err();
            if self.look().trouble != trouble {
                self.change(|hand| hand.trouble = trouble);
            }
            if seen.elapsed() > EMPTY && self.look().held() == 0 {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(self.rest()) => {}
                () = announced.notified() => {}
                () = self.nudge.notified() => {}
            }
        }
    }

    /// Until there is something to do.
    fn rest(&self) -> Duration {
        let due = self
            .look()
            .pending
            .map(|p| p.due.saturating_duration_since(Instant::now()));
        due.map_or(LOOK, |due| due.min(LOOK))
            .max(Duration::from_millis(20))
    }

    async fn lock_ms(&self) -> Result<i64, Failure> {
        let config = self.room.db.config(&self.key).await?;
        let lock = config.iter().find(|(name, _)| name == "lock");
        let ms = lock.and_then(|(_, ms)| String::from_utf8_lossy(ms).parse().ok());
        Ok(ms.unwrap_or(LOCK_MS))
    }

    async fn step(&self, there: bool, lock_ms: i64) -> Result<(), Failure> {
        if self.look().pending.is_some_and(|p| p.due <= Instant::now()) {
            self.send_held_back().await;
        }
        let hand = self.look();
        let active = there && !self.is_idle(&hand);
        if hand.held() > 0 {
            self.check().await?;
        }
        if active {
            self.extend(lock_ms).await?;
            if self.look().front().is_none() {
                self.next().await?;
            }
        } else if hand.waiting {
            // Nothing new for a tab that nobody sits at.
            self.room.db.leave(&self.key, &self.actor.who).await?;
            self.change(|hand| hand.waiting = false);
        }
        self.look_at_group().await
    }

    /// Asks what they hold: a lock that is gone was lost, one that is new was given to them.
    async fn check(&self) -> Result<(), Failure> {
        let held = self
            .room
            .db
            .held(&self.key, self.actor.who.as_bytes(), 20)
            .await?;
        let before = self.look();
        let same = held.iter().filter(|h| {
            before
                .pending
                .as_ref()
                .is_none_or(|p| p.claim.token != h.token)
        });
        if same.eq(before.claims.iter()) {
            return Ok(());
        }
        let lost = self.change(|hand| hand.follow(&held));
        if !lost.is_empty() {
            let names: Vec<String> = lost.iter().map(|c| short(&c.item, 60)).collect();
            self.tell(true, format!("You no longer have {}: its time ran out, or somebody took it back. Nothing you decide about it now counts.", names.join(", ")));
        }
        Ok(())
    }

    /// Extends what has less than half of its time left.
    async fn extend(&self, lock_ms: i64) -> Result<(), Failure> {
        let hand = self.look();
        let all = hand
            .claims
            .iter()
            .chain(hand.pending.as_ref().map(|p| &p.claim));
        for claim in all.filter(|c| c.deadline - now_ms() < lock_ms / 2) {
            match self
                .room
                .db
                .extend(&self.key, &claim.item, claim.token, lock_ms)
                .await
            {
                Ok(deadline) => self.change(|hand| set_deadline(hand, claim.token, deadline)),
                // The next look finds it gone.
                Err(e) if matches!(e.code.as_str(), "STALE" | "NOITEM") => self.nudge.notify_one(),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Takes the next item, or waits in line for it.
    async fn next(&self) -> Result<(), Failure> {
        let (db, who) = (&self.room.db, &self.actor.who);
        let count = self.look().held() + 1;
        let mut got = db.claim(&self.key, who, count, &self.tags).await?;
        let mut waiting = false;
        if got.len() < count {
            waiting = db.join(&self.key, who, count, &self.tags, TTL_MS).await? == "WAITING";
            if !waiting {
                got = db.claim(&self.key, who, count, &self.tags).await?;
            }
        }
        let before = self.look();
        if before.waiting != waiting || !got.is_empty() {
            self.change(|hand| {
                hand.add(&got);
                hand.waiting = waiting && hand.claims.is_empty();
            });
        }
        Ok(())
    }

    /// Sends the decision that waits, if there is one.
    pub(super) async fn send_pending(&self) {
        let _turn = self.turn.lock().await;
        self.send_held_back().await;
    }

    /// The same for who has the turn.
    pub(super) async fn send_held_back(&self) {
        let Some(pending) = self.look().pending else {
            return;
        };
        let Pending {
            claim,
            verdict,
            note,
            also,
            doubtful,
            ..
        } = &pending;
        let done = self
            .room
            .db
            .resolve(&self.key, claim, verdict, note, *also)
            .await;
        let note_shown = shown(note.as_bytes());
        let detail = match (note.is_empty(), also) {
            (true, None) => verdict.clone(),
            (false, None) => format!("{verdict}: {note_shown}"),
            (_, Some(n)) => format!("{verdict}: {note_shown} (and up to {n} of its group)"),
        };
        match &done {
            Err(e) if e.is_lost() && claim.deadline > now_ms() => {
                // Tried again with the next look; meanwhile nobody knows.
                self.change(|hand| {
                    if let Some(pending) = &mut hand.pending {
                        pending.doubtful = true;
                        pending.due = Instant::now() + LOOK;
                    }
                    hand.trouble = Some(e.clone());
                });
                return;
            }
            // It was carried out the first time: nobody else can have decided with this token.
            Err(e) if *doubtful && e.code == "NOITEM" => {
                self.note("decide", claim, &detail, &Ok::<(), Failure>(()))
                    .await;
                self.change(|hand| {
                    hand.pending = None;
                    hand.decided += 1;
                });
                return;
            }
            _ => {}
        }
        self.note("decide", claim, &detail, &done).await;
        self.came_back(claim, &done);
    }

    fn came_back(&self, claim: &Claim, done: &Result<(String, i64), Failure>) {
        self.change(|hand| {
            hand.pending = None;
            match done {
                Ok((_, also)) => {
                    hand.decided += 1 + u32::try_from(*also).unwrap_or(0);
                }
                Err(e) if e.code == "CHANGED" => hand.claims.insert(0, claim.clone()),
                Err(_) => {}
            }
        });
        let id = short(&claim.item, 60);
        match done {
            Ok((status, 0)) if status == "OK" => {}
            Ok((status, also)) => {
                let what = match status.as_str() {
                    "VOTED" => format!("Your vote on {id} is counted; it needs more."),
                    "SPLIT" => format!(
                        "Your vote on {id} is counted; the votes cannot agree, so somebody else has the last word."
                    ),
                    _ => format!("{id} is decided."),
                };
                let with = if *also > 0 {
                    format!(" {also} of its group went the same way.")
                } else {
                    String::new()
                };
                self.tell(false, format!("{what}{with}"));
            }
            Err(e) if e.code == "CHANGED" => {
                self.tell(
                    true,
                    format!("{id} was changed before your decision was taken. Look at it again."),
                );
                self.nudge.notify_one();
            }
            Err(e) => self.tell(
                true,
                format!("Your decision about {id} was not taken. {}", e.in_words()),
            ),
        }
    }

    fn tell(&self, alert: bool, text: String) {
        self.change(|hand| hand.told = Some(Told { alert, text }));
    }

    /// Gives back all that is in hand.
    pub(super) async fn give_back(&self) {
        let _turn = self.turn.lock().await;
        for claim in self.look().claims {
            let done = self
                .room
                .db
                .release(&self.key, &claim.item, claim.token, false)
                .await;
            self.note("release", &claim, "stood up", &done).await;
        }
        self.change(|hand| hand.claims.clear());
    }

    /// The others of the group of the item in front, where the module has groups. GET is asked for nothing else: what
    /// others voted must not be seen here.
    async fn look_at_group(&self) -> Result<(), Failure> {
        let hand = self.look();
        let front = hand.front().map(|c| c.item.clone());
        let known = hand.group.as_ref().map(|g| g.item.clone());
        if !self.room.db.capabilities().groups || front == known {
            return Ok(());
        }
        let mut group = None;
        if let Some(item) = front {
            let found = self.room.db.item(&self.key, &item).await?;
            let name = found.and_then(|f| f.group).unwrap_or_default();
            let mut others = Vec::new();
            let mut more = false;
            if !name.is_empty() {
                let page = self.room.db.group(&self.key, &name).await?;
                others = page.rows.into_iter().filter(|r| r.item != item).collect();
                more = page.next.is_some() || others.len() > GROUP;
                others.truncate(GROUP);
            }
            group = Some(Group {
                item,
                name,
                others,
                more,
            });
        }
        self.change(|hand| hand.group = group);
        Ok(())
    }
}

fn set_deadline(hand: &mut Hand, token: i64, deadline: i64) {
    let pending = hand.pending.as_mut().map(|p| &mut p.claim);
    for claim in hand.claims.iter_mut().chain(pending) {
        if claim.token == token {
            claim.deadline = deadline;
        }
    }
}
