//! What is done to the items of a group: RESOLVE … ALSO and CANCELGROUP.

use super::commands::{Command, Replies, show};
use super::ops::{Aim, Lot, Seen, lot, pick, resolve_aims, revs};
use super::*;
use proptest::option;
use proptest::prelude::*;

/// Mostly the same, so that it has items; or none.
pub(super) fn groups() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(GROUPS[0]), 2 => Just(GROUPS[1]), 1 => Just("")]
}

/// Where a command begins: mostly at the start, else at this item.
type From = Option<&'static str>;

fn cursors() -> impl Strategy<Value = From> {
    option::weighted(0.2, pick(ITEMS))
}

#[derive(Debug, Clone)]
pub(crate) struct AlsoOp {
    pub id: &'static str,
    pub aim: Aim,
    pub rev: Seen,
    pub verdict: Option<&'static str>,
    pub most: usize,
    pub tags: Lot,
    from: From,
}

impl AlsoOp {
    pub(crate) fn request<'a>(
        &'a self,
        id: &'a str,
        token: u64,
        rev: Option<u64>,
        cursor: u64,
    ) -> ResolveAlso<'a> {
        ResolveAlso {
            named: Resolve {
                id: id.as_bytes(),
                token: Token(token),
                rev,
                verdict: self.verdict.map(str::as_bytes),
                decision: None,
            },
            most: self.most,
            tags: given(&self.tags),
            cursor,
        }
    }

    /// What to count it as.
    pub(super) fn kind(&self, reply: &str) -> &'static str {
        match self.aim {
            Aim::Voted | Aim::Decided => "also again",
            _ if reply.contains("done: 0") => "also nothing",
            _ if reply.contains("next: Some") => "also, and more",
            Aim::Late => "also late",
            _ if reply.contains("Ended") => "also",
            _ => "also vote",
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct CancelGroupOp {
    pub group: &'static str,
    pub most: usize,
    pub except: Vec<String>,
    from: From,
}

impl CancelGroupOp {
    pub(crate) fn request(&self, cursor: u64) -> CancelGroup<'_> {
        CancelGroup {
            group: self.group.as_bytes(),
            most: self.most,
            cursor,
            except: names(&self.except),
            ..CancelGroup::default()
        }
    }
}

fn mosts() -> impl Strategy<Value = usize> {
    prop_oneof![2 => 1usize..4, 1 => Just(1000)]
}

pub(super) fn alsos() -> impl Strategy<Value = AlsoOp> {
    let verdict = prop_oneof![3 => Just("keep"), 2 => Just("remove"), 1 => Just("?")];
    let all = (
        pick(ITEMS),
        resolve_aims(),
        prop_oneof![2 => Just(Seen::Any), 1 => revs()],
        option::weighted(0.8, verdict),
        mosts(),
        prop_oneof![
            1 => lot(TAGS),
            1 => Just(Some(TAGS.map(String::from).to_vec())),
        ],
        cursors(),
    );
    all.prop_map(|(id, aim, rev, verdict, most, tags, from)| AlsoOp {
        id,
        aim,
        rev,
        verdict,
        most,
        tags,
        from,
    })
}

pub(super) fn cancels() -> impl Strategy<Value = CancelGroupOp> {
    let group = prop_oneof![3 => Just(GROUPS[0]), 1 => Just(GROUPS[1])];
    let all = (group, mosts(), lot(TAGS), cursors());
    all.prop_map(|(group, most, except, from)| CancelGroupOp {
        group,
        most,
        except: except.unwrap_or_default(),
        from,
    })
}

impl Trio {
    /// The cursor that stands for an item, or for the first.
    fn cursor(&self, from: From) -> u64 {
        let item = from.and_then(|id| self.model.item(id));
        item.map_or(0, |item| item.seq)
    }
}

impl Command<'_> {
    pub(super) fn also(&mut self, also: &AlsoOp) -> Replies {
        let (id, token) = self.side.aim_grouped(also.id, &also.aim);
        let (rev, cursor) = (self.side.rev(id, &also.rev), self.side.cursor(also.from));
        let request = also.request(id, token, rev, cursor);
        let Trio { queue, model, .. } = &mut *self.side;
        let again = matches!(also.aim, Aim::Voted | Aim::Decided);
        let got = queue.resolve_also(self.now, &request, &mut self.out);
        self.done = got.ok().map(|reply| reply.group);
        show(got, model.resolve_also(self.now, &request), |reply| {
            reply.is_err() || again
        })
    }

    pub(super) fn cancel_group(&mut self, cancel: &CancelGroupOp) -> Replies {
        let request = cancel.request(self.side.cursor(cancel.from));
        let Trio { queue, model, .. } = &mut *self.side;
        let got = queue.cancel_group(self.now, &request, &mut self.out);
        let got = got.expect("admitted");
        self.done = Some(got);
        show(got, model.cancel_group(self.now, &request), |reply| {
            reply.done == 0
        })
    }
}
