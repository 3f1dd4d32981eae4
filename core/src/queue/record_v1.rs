//! Effects as version 1 of the records has them. Frozen: what is new needs a new version, and
//! these stay to read what was written with them.

use super::effect::{Effect, Excluded, MoveIn, Names};
use super::settings::Paused;
use super::settings_v1::SettingsV1;
use super::store::{Place, Rev};
use crate::units::{Millis, Time, Token};
use serde::Deserialize;
use serde_bytes::Bytes;

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
        tags: Names<'a>,
        excluded: Names<'a>,
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
        tags: Option<Names<'a>>,
        excluded: Option<Names<'a>>,
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
        tags: Names<'a>,
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
        settings: SettingsV1,
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
        tags: Names<'a>,
        excluded: Vec<(&'a Bytes, bool)>,
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

fn exclusions<'a>(stored: &[(&'a Bytes, bool)]) -> Vec<Excluded<'a>> {
    let excluded = |&(moderator, skip)| Excluded { moderator, skip };
    stored.iter().map(excluded).collect()
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
                tags,
                excluded,
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
                    tags,
                    excluded,
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
            EffectV1::Resolve { id } => Effect::Resolve { id },
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
                    tags,
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
                tags,
                excluded: exclusions(&excluded),
                last_token: Token(token),
            })),
        }
    }
}
