//! What the clients saw, and whether the queue kept its word.
//!
//! A client knows when it sent a request and when it had the answer; the server acted somewhere between. So each check
//! uses the bound that is certain, and never blames the server for what it may not have done. All times are µs of the
//! one clock of this machine, which the server stamps with as well.

use std::collections::{BTreeMap, HashMap};

pub(crate) struct Submitted {
    pub(crate) priority: i64,
    pub(crate) sent: u64,
    pub(crate) acked: u64,
}

/// How a moderator and an item parted.
pub(crate) enum End {
    Resolved { acked: u64 },
    Skipped { sent: u64, acked: u64 },
    Expired,
}

pub(crate) struct Claim {
    pub(crate) moderator: usize,
    pub(crate) item: String,
    pub(crate) token: u64,
    pub(crate) deadline: u64,
    /// As the server stamped it, ms.
    pub(crate) submitted: u64,
    pub(crate) deliveries: u64,
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) end: End,
}

impl Claim {
    /// Until when the moderator held the item for certain. A decision ends the item, so holding lasts until it is
    /// answered; what is released may be with another before the answer arrives.
    fn held_until(&self) -> u64 {
        match self.end {
            End::Resolved { acked } => acked.min(self.deadline),
            End::Skipped { sent, .. } => sent.min(self.deadline),
            End::Expired => self.deadline,
        }
    }

    /// From when the item was for certain not held by this claim any more; never, once resolved.
    fn free_from(&self) -> Option<u64> {
        match self.end {
            End::Resolved { .. } => None,
            End::Skipped { acked, .. } => Some(acked),
            End::Expired => Some(self.deadline),
        }
    }
}

#[derive(Default)]
pub(crate) struct Record {
    pub(crate) submitted: HashMap<String, Submitted>,
    pub(crate) claims: Vec<Claim>,
}

pub(crate) struct Counts {
    pub(crate) submitted: usize,
    pub(crate) resolved: usize,
    pub(crate) skipped: usize,
    pub(crate) expired: usize,
}

/// A time in which an item was ready for certain: from when it must have been there until a claim may have taken it.
struct Ready {
    from: u64,
    until: u64,
}

impl Record {
    pub(crate) fn counts(&self) -> Counts {
        let count = |end: fn(&End) -> bool| self.claims.iter().filter(|c| end(&c.end)).count();
        Counts {
            submitted: self.submitted.len(),
            resolved: count(|end| matches!(end, End::Resolved { .. })),
            skipped: count(|end| matches!(end, End::Skipped { .. })),
            expired: count(|end| matches!(end, End::Expired)),
        }
    }

    /// The claims of each item, as they followed each other: tokens only grow.
    fn histories(&self) -> BTreeMap<&str, Vec<&Claim>> {
        let mut histories = BTreeMap::<&str, Vec<&Claim>>::new();
        for claim in &self.claims {
            histories.entry(&claim.item).or_default().push(claim);
        }
        for claims in histories.values_mut() {
            claims.sort_by_key(|claim| claim.token);
        }
        histories
    }

    /// Items that expired and were then claimed anew.
    pub(crate) fn reviewed_again(&self) -> usize {
        let again = |claims: Vec<&Claim>| {
            let pairs = claims.windows(2);
            pairs
                .filter(|pair| matches!(pair[0].end, End::Expired))
                .count()
        };
        self.histories().into_values().map(again).sum()
    }

    /// The longest time from SUBMIT to the first claim.
    pub(crate) fn longest_wait(&self) -> u64 {
        let first = self.claims.iter().filter(|claim| claim.deliveries == 1);
        let waits = first.map(|claim| claim.answered - self.submitted[&claim.item].sent);
        waits.max().unwrap_or(0)
    }

    /// Items that were with two people at once, or that were handed out after they had been resolved.
    pub(crate) fn shared(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (item, claims) in self.histories() {
            for (i, earlier) in claims.iter().enumerate() {
                for later in &claims[i + 1..] {
                    // Held for certain: [answered, held_until) each. The later one may have ended before the earlier.
                    let from = earlier.answered.max(later.answered);
                    let until = earlier.held_until().min(later.held_until());
                    if from < until {
                        found.push(format!(
                            "{item} was with moderators {} and {} for {} µs",
                            earlier.moderator,
                            later.moderator,
                            until - from
                        ));
                    }
                    if matches!(earlier.end, End::Resolved { .. }) {
                        found.push(format!("{item} was claimed after it had been resolved"));
                    }
                    if earlier.token == later.token {
                        found.push(format!("{item} was claimed twice by token {}", later.token));
                    }
                }
                // There may be more of them: a match can run out before its moderator comes for it.
                let before = if i == 0 { 0 } else { claims[i - 1].deliveries };
                if earlier.deliveries <= before {
                    found.push(format!(
                        "{item} was delivered {} times, and {before} before",
                        earlier.deliveries
                    ));
                }
            }
        }
        found
    }

    /// How many comparisons were made, and the claims that passed over an item that was due before.
    pub(crate) fn disorder(&self) -> (usize, Vec<String>) {
        let histories = self.histories();
        let items: BTreeMap<&str, Item<'_>> = histories
            .iter()
            .map(|(&id, claims)| (id, Item::known(&self.submitted[id], claims)))
            .collect();
        let (mut compared, mut found) = (0, Vec::new());
        for claim in &self.claims {
            let mine = &items[claim.item.as_str()];
            for (&id, other) in &items {
                if id == claim.item || !other.could_be_claimed_by(claim) {
                    continue;
                }
                compared += 1;
                if other.comes_before(mine) {
                    found.push(format!("{id} waited when {} was claimed", claim.item));
                }
            }
        }
        (compared, found)
    }
}

/// What is known of an item.
struct Item<'a> {
    /// As the server stamped it, ms; any of its claims tells.
    stamp: u64,
    submitted: &'a Submitted,
    ready: Vec<Ready>,
    /// Who skipped it, and when.
    skips: Vec<(usize, u64)>,
}

impl Item<'_> {
    /// From its claims, of which there is at least one, as they followed each other.
    fn known<'a>(submitted: &'a Submitted, claims: &[&Claim]) -> Item<'a> {
        let mut from = Some(submitted.acked);
        let mut deliveries = 0;
        let mut ready = Vec::new();
        for claim in claims {
            let until = claim.sent;
            // In between it may have been locked by a match that nobody came for.
            let at_once = claim.deliveries == deliveries + 1;
            let since = from.filter(|_| at_once);
            ready.extend(since.map(|from| Ready { from, until }));
            from = claim.free_from();
            deliveries = claim.deliveries;
        }
        // Never claimed again.
        let until = u64::MAX;
        ready.extend(from.map(|from| Ready { from, until }));
        let skips = claims.iter().filter_map(|claim| match claim.end {
            End::Skipped { sent, .. } => Some((claim.moderator, sent)),
            _ => None,
        });
        Item {
            stamp: claims[0].submitted,
            submitted,
            ready,
            skips: skips.collect(),
        }
    }

    /// Whether it was ready for certain all the time from sending the claim until its answer, and had not been skipped by
    /// this moderator.
    fn could_be_claimed_by(&self, claim: &Claim) -> bool {
        let waited = |ready: &Ready| ready.from <= claim.sent && claim.answered <= ready.until;
        let skipped = |&(moderator, sent): &(usize, u64)| {
            moderator == claim.moderator && sent <= claim.answered
        };
        self.ready.iter().any(waited) && !self.skips.iter().any(skipped)
    }

    /// Of one priority and one millisecond the order of submission decides, which is known only where one was answered
    /// before the other was sent.
    fn comes_before(&self, other: &Item<'_>) -> bool {
        let (a, b) = (self.submitted, other.submitted);
        a.priority > b.priority
            || a.priority == b.priority
                && (self.stamp < other.stamp || self.stamp == other.stamp && a.acked < b.sent)
    }
}
