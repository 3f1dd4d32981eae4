//! The kinds of effects that version 3 of the records adds. Frozen once released, as `record_v1` is.
//!
//! What version 1 has a kind for, and needs nothing new, is written as that kind.

use super::MAX_DECIDERS;
use super::effect::{Effect, Ending, MovedReview, MovedVote, Terms};
use super::record_v1::EffectV1;
use super::settings::Quorum;
use super::settings_v3::SettingsV3;
use crate::codec::{self, AtMost, DecodeError};
use crate::units::{Time, Token};
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

/// The kind of effect that says: what follows is new.
pub(super) const NEW: u32 = 20;

#[derive(Serialize, Deserialize)]
enum EffectV3<'a> {
    /// An effect of version 1 follows, to which this is added.
    Submit(#[serde(borrow)] TermsV3<'a>),
    /// As `Submit`.
    Change {
        quorum: Option<(u8, u8)>,
        #[serde(borrow)]
        group: Option<&'a Bytes>,
        reports: Option<u32>,
    },
    /// As `Submit`.
    MoveIn(ReviewV3<'a>),
    /// As `Submit`.
    Configure(SettingsV3<'a>),
    Resolve(EndingV3<'a>, &'a Bytes),
    Vote(EndingV3<'a>, &'a Bytes, bool),
    Split(&'a Bytes),
    Report(&'a Bytes),
    Forget(&'a Bytes),
    Drop(u64, bool),
}

#[derive(Serialize, Deserialize)]
struct TermsV3<'a> {
    k: u8,
    n: u8,
    #[serde(borrow)]
    group: &'a Bytes,
    deciders: AtMost<&'a Bytes, MAX_DECIDERS>,
}

#[derive(Serialize, Deserialize)]
struct EndingV3<'a> {
    #[serde(borrow)]
    moderator: &'a Bytes,
    token: u64,
    verdict: &'a Bytes,
}

#[derive(Serialize, Deserialize)]
struct ReviewV3<'a> {
    #[serde(borrow)]
    terms: TermsV3<'a>,
    /// With when it was given, and whether it was answered SPLIT.
    votes: AtMost<(EndingV3<'a>, u64, bool), { Quorum::MAX as usize }>,
    contested: bool,
    added_tag: &'a Bytes,
}

impl<'a> From<&'a Terms<'a>> for TermsV3<'a> {
    fn from(terms: &'a Terms<'a>) -> TermsV3<'a> {
        TermsV3 {
            k: terms.quorum.k,
            n: terms.quorum.n,
            group: Bytes::new(terms.group),
            deciders: AtMost(terms.deciders.clone()),
        }
    }
}

impl<'a> From<TermsV3<'a>> for Terms<'a> {
    fn from(stored: TermsV3<'a>) -> Terms<'a> {
        Terms {
            quorum: Quorum {
                k: stored.k,
                n: stored.n,
            },
            group: stored.group,
            deciders: stored.deciders.0,
        }
    }
}

impl<'a> From<&Ending<'a>> for EndingV3<'a> {
    fn from(ending: &Ending<'a>) -> EndingV3<'a> {
        EndingV3 {
            moderator: Bytes::new(ending.moderator),
            token: ending.token.0,
            verdict: Bytes::new(ending.verdict),
        }
    }
}

impl<'a> From<EndingV3<'a>> for Ending<'a> {
    fn from(stored: EndingV3<'a>) -> Ending<'a> {
        Ending {
            moderator: stored.moderator,
            token: Token(stored.token),
            verdict: stored.verdict,
        }
    }
}

impl<'a> From<&'a MovedReview<'a>> for ReviewV3<'a> {
    fn from(review: &'a MovedReview<'a>) -> ReviewV3<'a> {
        let votes = review.votes.iter();
        ReviewV3 {
            terms: (&review.terms).into(),
            votes: AtMost(
                votes
                    .map(|vote| ((&vote.by).into(), vote.at.0, vote.split))
                    .collect(),
            ),
            contested: review.contested,
            added_tag: Bytes::new(review.added_tag),
        }
    }
}

impl<'a> From<ReviewV3<'a>> for MovedReview<'a> {
    fn from(stored: ReviewV3<'a>) -> MovedReview<'a> {
        let votes = stored.votes.0.into_iter().map(|(by, at, split)| MovedVote {
            by: by.into(),
            at: Time(at),
            split,
        });
        MovedReview {
            terms: stored.terms.into(),
            votes: votes.collect(),
            contested: stored.contested,
            added_tag: stored.added_tag,
        }
    }
}

/// What version 1 has no place for in an effect; none if it has a place for all of it. What is only
/// an addition is followed by the effect as version 1 writes it.
fn new_in<'a>(effect: &'a Effect<'_>) -> Option<EffectV3<'a>> {
    Some(match effect {
        Effect::Submit { terms, .. } => EffectV3::Submit(terms.as_deref()?.into()),
        Effect::Change {
            quorum,
            group,
            reports,
            ..
        } => {
            if (quorum, group, reports) == (&None, &None, &None) {
                return None;
            }
            EffectV3::Change {
                quorum: quorum.map(|quorum| (quorum.k, quorum.n)),
                group: group.map(Bytes::new),
                reports: *reports,
            }
        }
        Effect::MoveIn(item) => EffectV3::MoveIn(item.review.as_deref()?.into()),
        Effect::Configure { settings } if settings.fit_v1() => return None,
        Effect::Configure { settings } => EffectV3::Configure(settings.into()),
        Effect::Resolve { id, end } => EffectV3::Resolve(end.as_ref()?.into(), Bytes::new(id)),
        Effect::Vote { id, by, split } => EffectV3::Vote(by.into(), Bytes::new(id), *split),
        Effect::Split { id } => EffectV3::Split(Bytes::new(id)),
        Effect::Report { id } => EffectV3::Report(Bytes::new(id)),
        Effect::Forget { id } => EffectV3::Forget(Bytes::new(id)),
        Effect::Drop { count, evicted } => EffectV3::Drop(*count, *evicted),
        _ => return None,
    })
}

/// Whether a record needs version 3 for an effect.
#[inline]
pub(super) fn is_new(effect: &Effect<'_>) -> bool {
    match effect {
        Effect::Submit { terms, .. } => terms.is_some(),
        Effect::Resolve { end, .. } => end.is_some(),
        // What every claim writes.
        Effect::Lock { .. } | Effect::Served { .. } => false,
        _ => new_in(effect).is_some(),
    }
}

/// Writes what is new in an effect. Answers whether that is all of it; else the effect as version 1
/// has it is to follow.
pub(super) fn encode(effect: &Effect<'_>, out: &mut Vec<u8>) -> bool {
    let Some(new) = new_in(effect) else {
        return false;
    };
    codec::encode_into(&(NEW, &new), out);
    !new.is_addition()
}

impl EffectV3<'_> {
    /// Whether the effect as version 1 has it follows.
    fn is_addition(&self) -> bool {
        matches!(
            self,
            EffectV3::Submit(_)
                | EffectV3::Change { .. }
                | EffectV3::MoveIn(_)
                | EffectV3::Configure(_)
        )
    }
}

/// Reads what [`encode`] wrote, and the effect of version 1 that may follow.
pub(super) fn decode<'a>(bytes: &mut &'a [u8]) -> Result<Effect<'a>, DecodeError> {
    let (_, new): (u32, EffectV3<'a>) = codec::decode_next(bytes)?;
    let old: Option<Effect<'a>> = match new.is_addition() {
        true => Some(codec::decode_next::<EffectV1<'a>>(bytes)?.into()),
        false => None,
    };
    Ok(match (new, old) {
        (EffectV3::Submit(new), Some(mut effect @ Effect::Submit { .. })) => {
            if let Effect::Submit { terms, .. } = &mut effect {
                *terms = Some(Box::new(new.into()));
            }
            effect
        }
        (
            EffectV3::Change {
                quorum: new_quorum,
                group: new_group,
                reports: new_reports,
            },
            Some(mut effect @ Effect::Change { .. }),
        ) => {
            if let Effect::Change {
                quorum,
                group,
                reports,
                ..
            } = &mut effect
            {
                *quorum = new_quorum.map(|(k, n)| Quorum { k, n });
                *group = new_group.map(|group| &**group);
                *reports = new_reports;
            }
            effect
        }
        (EffectV3::MoveIn(review), Some(Effect::MoveIn(mut item))) => {
            item.review = Some(Box::new(review.into()));
            Effect::MoveIn(item)
        }
        (EffectV3::Configure(new), Some(Effect::Configure { settings })) => Effect::Configure {
            settings: new.added_to(settings),
        },
        (EffectV3::Resolve(end, id), None) => Effect::Resolve {
            id,
            end: Some(end.into()),
        },
        (EffectV3::Vote(by, id, split), None) => Effect::Vote {
            id,
            by: by.into(),
            split,
        },
        (EffectV3::Split(id), None) => Effect::Split { id },
        (EffectV3::Report(id), None) => Effect::Report { id },
        (EffectV3::Forget(id), None) => Effect::Forget { id },
        (EffectV3::Drop(count, evicted), None) => Effect::Drop { count, evicted },
        _ => return Err(DecodeError),
    })
}
