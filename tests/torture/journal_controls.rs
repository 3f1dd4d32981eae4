//! The judge can fail: forged journals that it must reject, each beside the honest one it must accept.

use crate::journal::*;

/// A journal in which each entry is sent and answered after the one before.
#[derive(Default)]
struct Forged {
    journal: Vec<Entry>,
    now: u64,
}

impl Forged {
    fn done(mut self, deed: Deed) -> Forged {
        self.now += 10;
        let (sent, got) = (self.now, Some(self.now + 5));
        self.journal.push(Entry { sent, got, deed });
        self
    }

    /// No answer came.
    fn perhaps(mut self, deed: Deed) -> Forged {
        self = self.done(deed);
        self.journal.last_mut().unwrap().got = None;
        self
    }

    #[track_caller]
    fn accepted(&self, found: &Found, promise: Promise) {
        let wrong = judge(&self.journal, found, promise);
        assert_eq!(wrong, Vec::<String>::new());
    }

    #[track_caller]
    fn rejected(&self, found: &Found, promise: Promise, because: &str) {
        let wrong = judge(&self.journal, found, promise);
        assert!(wrong.iter().any(|w| w.contains(because)), "{wrong:?}");
    }
}

fn came(item: &str) -> Deed {
    Deed::Submit {
        item: item.into(),
        twin: None,
    }
}

fn went(item: &str) -> Deed {
    Deed::Remove { item: item.into() }
}

fn hold(what: &str, holder: &str, token: i64) -> Deed {
    Deed::Hold(Hold {
        what: what.into(),
        key: "q".into(),
        holder: holder.into(),
        token,
        until: 1_000_000,
        fresh: true,
    })
}

fn found(items: &[&str]) -> Found {
    Found {
        items: items.iter().map(|&item| (item.into(), 1)).collect(),
        ..Found::default()
    }
}

use Promise::{All, Prefix};

#[test]
fn a_lost_item_is_rejected() {
    let honest = Forged::default()
        .done(came("a"))
        .done(came("b"))
        .done(went("b"));
    honest.accepted(&found(&["a"]), All);
    honest.rejected(&found(&[]), All, "a is lost");
}

#[test]
fn an_item_back_from_the_dead_is_rejected() {
    let honest = Forged::default().done(came("a")).done(went("a"));
    honest.rejected(&found(&["a"]), All, "a is there 1 times");
    let unsure = Forged::default().done(came("a")).perhaps(went("a"));
    unsure.accepted(&found(&["a"]), All);
    unsure.accepted(&found(&[]), All);
}

#[test]
fn an_item_in_two_queues_or_from_nowhere_is_rejected() {
    let honest = Forged::default().done(came("a"));
    let mut twice = found(&["a"]);
    twice.items.insert("a".into(), 2);
    for promise in [All, Prefix] {
        honest.rejected(&twice, promise, "a is there 2 times");
        honest.rejected(&found(&["a", "b"]), promise, "b came from nowhere");
    }
}

#[test]
fn an_item_decided_twice_is_rejected() {
    let forged = Forged::default()
        .done(came("a"))
        .done(went("a"))
        .done(went("a"));
    forged.rejected(&found(&[]), All, "a came 1 times and went 2 times");
    forged.rejected(&found(&[]), Prefix, "a came 1 times and went 2 times");
}

#[test]
fn a_hole_in_the_history_is_rejected() {
    let honest = Forged::default()
        .done(came("a"))
        .done(came("b"))
        .done(came("c"));
    honest.accepted(&found(&["a", "b"]), Prefix);
    honest.accepted(&found(&[]), Prefix);
    honest.rejected(&found(&["a", "c"]), Prefix, "no prefix");
    honest.rejected(&found(&["b"]), Prefix, "no prefix");
    // What was under way at the same time may be there or not.
    let mut together = honest.journal.clone();
    together[1].got = Some(1000);
    together[2].got = Some(1000);
    assert!(judge(&together, &found(&["a", "c"]), Prefix).is_empty());
}

#[test]
fn half_of_a_script_is_rejected() {
    let twin = |item: &str, twin: &str| Deed::Submit {
        item: item.into(),
        twin: Some(twin.into()),
    };
    let honest = Forged::default()
        .perhaps(twin("a", "b"))
        .perhaps(twin("b", "a"));
    for promise in [All, Prefix] {
        honest.accepted(&found(&["a", "b"]), promise);
        honest.accepted(&found(&[]), promise);
        honest.rejected(&found(&["a"]), promise, "torn apart");
    }
}

#[test]
fn a_token_given_twice_or_out_of_order_is_rejected() {
    let honest = Forged::default()
        .done(hold("a", "ann", 7))
        .done(hold("b", "bob", 8));
    honest.accepted(&found(&[]), All);
    let twice = Forged::default()
        .done(hold("a", "ann", 7))
        .done(hold("b", "bob", 7));
    twice.rejected(&found(&[]), All, "token 7");
    let back = Forged::default()
        .done(hold("a", "ann", 7))
        .done(hold("b", "bob", 6));
    back.rejected(&found(&[]), All, "q gave 6 after 7");
}

#[test]
fn an_item_with_two_people_is_rejected() {
    let forged = Forged::default()
        .done(hold("a", "ann", 7))
        .done(hold("a", "bob", 8));
    forged.rejected(&found(&[]), All, "a was with ann (7) and bob (8)");
    forged.rejected(&found(&[]), Prefix, "a was with ann (7) and bob (8)");
    // Between them it was given back, perhaps only; or its holder left.
    let end = |what: Option<&str>, holder: Option<&str>| Deed::End {
        what: what.map(str::to_owned),
        holder: holder.map(str::to_owned),
        at: 20,
    };
    for ended in [
        end(Some("a"), None),
        end(Some("a"), Some("ann")),
        end(None, Some("ann")),
    ] {
        let honest = Forged::default().done(hold("a", "ann", 7));
        let honest = honest.perhaps(ended).done(hold("a", "bob", 8));
        honest.accepted(&found(&[]), Prefix);
    }
    let other = Forged::default().done(hold("a", "ann", 7));
    let other = other.done(end(None, Some("cy"))).done(hold("a", "bob", 8));
    other.rejected(&found(&[]), Prefix, "a was with ann (7) and bob (8)");
}

#[test]
fn charges_that_vanish_or_grow_are_rejected() {
    let charge = |units| Deed::Charge {
        key: "l".into(),
        units,
    };
    let honest = Forged::default().done(charge(3)).perhaps(charge(2));
    let charged = |n| Found {
        charged: [("l".into(), n)].into(),
        ..Found::default()
    };
    for n in [3, 4, 5] {
        honest.accepted(&charged(n), All);
    }
    honest.rejected(&charged(2), All, "l: 2 charged");
    honest.rejected(&charged(6), All, "l: 6 charged");
    honest.accepted(&charged(0), Prefix);
    honest.rejected(&charged(6), Prefix, "l: 6 charged");
}
