//! Effects as version 1 of the records has them. Frozen: what is new needs a new version, and
//! these stay to read what was written with them.

use super::effect::{Effect, Excluded, MoveIn};
use super::settings::Paused;
use super::settings_v1::SettingsV1;
use super::store::{Place, Rev};
use super::{MAX_EXCLUDE, MAX_TAGS};
use crate::codec::AtMost;
use crate::units::{Millis, Time, Token};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_bytes::Bytes;
use std::collections::HashSet;

/// No more than a command takes. How long each may be is checked when the effect is applied.
pub(super) type TagsV1<'a> = AtMost<&'a Bytes, MAX_TAGS>;
type ExcludedV1<'a> = AtMost<&'a Bytes, MAX_EXCLUDE>;

/// Times are Unix ms, 0 for none; places are since (Unix ms) and tie.
#[derive(Deserialize)]
pub(super) enum EffectV1<'a> {
    Submit {
        #[serde(borrow)]
        id: &'a Bytes,
        payload: &'a Bytes,
        priority: i32,
        boost: i64,
        due: u64,
        tags: TagsV1<'a>,
        excluded: ExcludedV1<'a>,
    },
    Bump {
        id: &'a Bytes,
        priority: i32,
        boost: i64,
    },
    Change {
        id: &'a Bytes,
        replace: bool,
        payload: Option<&'a Bytes>,
        priority: Option<i32>,
        boost: Option<i64>,
        tags: Option<TagsV1<'a>>,
        excluded: Option<ExcludedV1<'a>>,
    },
    Cancel {
        id: &'a Bytes,
    },
    Lock {
        id: &'a Bytes,
        moderator: &'a Bytes,
        token: u64,
        deadline: u64,
        assign: bool,
    },
    Extend {
        id: &'a Bytes,
        deadline: u64,
    },
    Resolve {
        id: &'a Bytes,
    },
    Release {
        id: &'a Bytes,
        skip: bool,
        due: u64,
    },
    Expire {
        id: &'a Bytes,
        dead: bool,
    },
    Due {
        id: &'a Bytes,
    },
    Undo {
        id: &'a Bytes,
        place: Option<(u64, u64)>,
    },
    Revive {
        id: &'a Bytes,
    },
    Join {
        moderator: &'a Bytes,
        place: Option<(u64, u64)>,
        ttl: u64,
        expires: u64,
        count: u64,
        tags: TagsV1<'a>,
    },
    Served {
        moderator: &'a Bytes,
    },
    Leave {
        moderator: &'a Bytes,
    },
    Pause {
        input: bool,
        output: bool,
    },
    Configure {
        settings: SettingsV1<'a>,
    },
    MoveOut {
        id: &'a Bytes,
    },
    MoveIn {
        id: &'a Bytes,
        payload: &'a Bytes,
        priority: i32,
        boost: i64,
        submitted: u64,
        due: u64,
        delayed: bool,
        rev: u32,
        reports: u32,
        deliveries: u32,
        tags: TagsV1<'a>,
        excluded: ExclusionsV1<'a>,
        token: u64,
    },
}

/// A time that may be none.
fn time(ms: u64) -> Option<Time> {
    (ms > 0).then_some(Time(ms))
}

fn place(stored: Option<(u64, u64)>) -> Option<Place> {
    let place = |(since, tie)| Place {
        since: Time(since),
        tie,
    };
    stored.map(place)
}

/// Who may not have an item that is moved: name, and whether by SKIP. How many skipped it no command
/// bounds, but they are all different, and a list that repeats one is refused there and then.
pub(super) struct ExclusionsV1<'a>(Vec<Excluded<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for ExclusionsV1<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Distinct).map(ExclusionsV1)
    }
}

struct Distinct;

impl<'de> Visitor<'de> for Distinct {
    type Value = Vec<Excluded<'de>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("different moderators")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let (mut all, mut seen, mut named) = (Vec::new(), HashSet::new(), 0);
        while let Some((moderator, skip)) = entries.next_element::<(&'de Bytes, bool)>()? {
            named += usize::from(!skip);
            if !seen.insert(moderator) || named > MAX_EXCLUDE {
                return Err(A::Error::custom("repeated, or too many"));
            }
            all.push(Excluded { moderator, skip });
        }
        Ok(all)
    }
}

impl<'a> From<EffectV1<'a>> for Effect<'a> {
    fn from(stored: EffectV1<'a>) -> Effect<'a> {
        match stored {
            EffectV1::Submit {
                id,
                payload,
                priority,
                boost,
                due,
                tags,
                excluded,
            } => Effect::Submit {
                id,
                payload,
                priority,
                boost,
                due: time(due),
                tags: tags.0,
                excluded: excluded.0,
                terms: None,
            },
            EffectV1::Bump {
                id,
                priority,
                boost,
            } => Effect::Bump {
                id,
                priority,
                boost,
            },
            EffectV1::Change {
                id,
                replace,
                payload,
                priority,
                boost,
                tags,
                excluded,
            } => {
                let payload = payload.map(|p| &**p);
                Effect::Change {
                    id,
                    replace,
                    payload,
                    priority,
                    boost,
                    tags: tags.map(|tags| tags.0),
                    excluded: excluded.map(|excluded| excluded.0),
                    quorum: None,
                    group: None,
                    reports: None,
                }
            }
            EffectV1::Cancel { id } => Effect::Cancel { id },
            EffectV1::Lock {
                id,
                moderator,
                token,
                deadline,
                assign,
            } => {
                let (token, deadline) = (Token(token), Time(deadline));
                Effect::Lock {
                    id,
                    moderator,
                    token,
                    deadline,
                    assign,
                }
            }
            EffectV1::Extend { id, deadline } => {
                let deadline = Time(deadline);
                Effect::Extend { id, deadline }
            }
            EffectV1::Resolve { id } => Effect::Resolve { id, end: None },
            EffectV1::Release { id, skip, due } => Effect::Release {
                id,
                skip,
                due: time(due),
            },
            EffectV1::Expire { id, dead } => Effect::Expire { id, dead },
            EffectV1::Due { id } => Effect::Due { id },
            EffectV1::Undo { id, place: at } => Effect::Undo {
                id,
                place: place(at),
            },
            EffectV1::Revive { id } => Effect::Revive { id },
            EffectV1::Join {
                moderator,
                place: at,
                ttl,
                expires,
                count,
                tags,
            } => {
                let (ttl, expires) = (Millis(ttl), Time(expires));
                Effect::Join {
                    moderator,
                    place: place(at),
                    ttl,
                    expires,
                    count,
                    tags: tags.0,
                }
            }
            EffectV1::Served { moderator } => Effect::Served { moderator },
            EffectV1::Leave { moderator } => Effect::Leave { moderator },
            EffectV1::Pause { input, output } => {
                let paused = Paused { input, output };
                Effect::Pause { paused }
            }
            EffectV1::Configure { settings } => {
                let settings = settings.into();
                Effect::Configure { settings }
            }
            EffectV1::MoveOut { id } => Effect::MoveOut { id },
            EffectV1::MoveIn {
                id,
                payload,
                priority,
                boost,
                submitted,
                due,
                delayed,
                rev,
                reports,
                deliveries,
                tags,
                excluded,
                token,
            } => Effect::MoveIn(Box::new(MoveIn {
                id,
                payload,
                priority,
                boost,
                submitted: Time(submitted),
                due: time(due),
                delayed,
                rev: Rev(rev),
                reports,
                deliveries,
                tags: tags.0,
                excluded: excluded.0,
                last_token: Token(token),
                review: None,
            })),
        }
    }
}
