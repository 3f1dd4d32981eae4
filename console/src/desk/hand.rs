//! What somebody at the desk has in hand, and what they are told. Plain data: how it changes, no server.

use crate::db::{Claim, Failure, Row};
use std::time::Instant;

/// Whether the others of the item's group go the same way: how many at the most.
pub(crate) type Also = Option<u32>;

/// A decision that was given and can still be undone.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) claim: Claim,
    pub(crate) verdict: String,
    pub(crate) note: String,
    pub(crate) also: Also,
    /// When it is sent.
    pub(crate) due: Instant,
    /// It was sent and nobody answered, so it may have been carried out.
    pub(crate) doubtful: bool,
}

/// Something to say to the person, until they put it away or the next item is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// A lock was lost, or a decision was not taken.
    pub(crate) alert: bool,
    pub(crate) text: String,
}

/// The others of the group of the item in front.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) item: Vec<u8>,
    pub(crate) name: Vec<u8>,
    pub(crate) others: Vec<Row>,
    pub(crate) more: bool,
}

/// What somebody has in hand, and what they are told.
#[derive(Clone, Debug)]
pub(crate) struct Hand {
    /// By token, the one in front first.
    pub(crate) claims: Vec<Claim>,
    pub(crate) pending: Option<Pending>,
    pub(crate) told: Option<Told>,
    pub(crate) trouble: Option<Failure>,
    pub(crate) last_input: Instant,
    /// In line for the next one.
    pub(crate) waiting: bool,
    pub(crate) group: Option<Group>,
    /// How many were decided, and how many given back, since they sat down.
    pub(crate) decided: u32,
    pub(crate) returned: u32,
}

impl Default for Hand {
    fn default() -> Hand {
        Hand {
            claims: Vec::new(),
            pending: None,
            told: None,
            trouble: None,
            last_input: Instant::now(),
            waiting: false,
            group: None,
            decided: 0,
            returned: 0,
        }
    }
}

impl Hand {
    /// The item to look at.
    pub(crate) fn front(&self) -> Option<&Claim> {
        self.claims.first()
    }

    pub(crate) fn find(&self, item: &[u8]) -> Option<Claim> {
        self.claims.iter().find(|c| c.item == item).cloned()
    }

    /// Locks of this person that the seat knows of.
    pub(super) fn held(&self) -> usize {
        self.claims.len() + usize::from(self.pending.is_some())
    }

    /// A decision is given, and waits. False if the item is not in hand.
    pub(super) fn put_off(
        &mut self,
        item: &[u8],
        verdict: &str,
        note: &str,
        also: Also,
        due: Instant,
    ) -> bool {
        let Some(at) = self.claims.iter().position(|c| c.item == item) else {
            return false;
        };
        let claim = self.claims.remove(at);
        self.told = None;
        self.pending = Some(Pending {
            claim,
            verdict: verdict.to_owned(),
            note: note.to_owned(),
            also,
            due,
            doubtful: false,
        });
        true
    }

    /// The decision is undone: its item is in front again.
    pub(super) fn take_back(&mut self) -> bool {
        // One that may have been carried out cannot be taken back.
        if self.pending.as_ref().is_none_or(|p| p.doubtful) {
            return false;
        }
        if let Some(pending) = self.pending.take() {
            self.claims.insert(0, pending.claim);
        }
        true
    }

    pub(super) fn drop_item(&mut self, item: &[u8]) {
        let before = self.claims.len();
        self.claims.retain(|c| c.item != item);
        if self.claims.len() < before {
            self.returned += 1;
        }
    }

    /// Follows what the server says is held: what is gone was lost, what is new was given to them. Answers what was lost.
    pub(super) fn follow(&mut self, held: &[Claim]) -> Vec<Claim> {
        let still = |c: &Claim| held.iter().find(|h| h.token == c.token);
        let mut lost = Vec::new();
        let mut kept = Vec::new();
        for claim in self.claims.drain(..) {
            match still(&claim) {
                Some(now) => {
                    if now.rev != claim.rev {
                        self.told = Some(Told {
                            alert: false,
                            text: "The item was changed while you had it: this is what it is now."
                                .into(),
                        });
                    }
                    kept.push(now.clone());
                }
                None => lost.push(claim),
            }
        }
        self.claims = kept;
        self.add(held);
        lost
    }

    /// Takes what is held and not known yet.
    pub(super) fn add(&mut self, held: &[Claim]) {
        let pending = self.pending.as_ref().map(|p| p.claim.token);
        for claim in held {
            let known =
                pending == Some(claim.token) || self.claims.iter().any(|c| c.token == claim.token);
            if !known {
                self.claims.push(claim.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(item: &str, token: i64, rev: i64) -> Claim {
        Claim {
            item: item.into(),
            payload: Vec::new(),
            token,
            deadline: 0,
            priority: 0,
            submitted: 0,
            deliveries: 1,
            rev,
        }
    }

    #[test]
    fn a_decision_waits_and_can_be_undone() {
        let mut hand = Hand::default();
        hand.add(&[claim("a", 1, 1)]);
        assert!(!hand.put_off(b"other", "keep", "", None, Instant::now()));
        assert!(hand.put_off(b"a", "keep", "", None, Instant::now()));
        assert_eq!((hand.front().is_none(), hand.held()), (true, 1));
        // The next one comes meanwhile; what is pending is no new item.
        hand.add(&[claim("a", 1, 1), claim("b", 2, 1)]);
        assert_eq!(hand.front().map(|c| c.token), Some(2));
        assert!(hand.take_back());
        assert_eq!(
            hand.claims.iter().map(|c| c.token).collect::<Vec<_>>(),
            [1, 2]
        );
        assert!(!hand.take_back());
    }

    #[test]
    fn what_the_server_no_longer_says_is_lost() {
        let mut hand = Hand::default();
        hand.add(&[claim("a", 1, 1), claim("b", 2, 1)]);
        let lost = hand.follow(&[claim("b", 2, 2), claim("c", 3, 1)]);
        assert_eq!(lost, [claim("a", 1, 1)]);
        assert_eq!(hand.claims, [claim("b", 2, 2), claim("c", 3, 1)]);
        assert!(hand.told.is_some());
        // The same item under a newer lock is another lock.
        assert_eq!(
            hand.follow(&[claim("b", 9, 2), claim("c", 3, 1)]),
            [claim("b", 2, 2)]
        );
    }
}
