//! ASSIGN of a locked item with its token, and who did it: BY of REVIVE and MOVE.

use modq_testkit::queue::*;
use modq_testkit::*;

fn assign_hands_a_locked_item_over(kind: Kind) {
    let (server, mut c) = desk(kind);
    submit(&mut c, "q i p EXCLUDE 1 eve");
    let held = claim(&mut c, "q ann LOCK 600000");
    let mut waits = blocked(&server, "MODQ.CLAIM q bob BLOCK 0");
    unchanged(&mut c, "q", |c| {
        let mut assign = |words: &str| c.line(&format!("MODQ.ASSIGN q {words}"));
        assert_err!(assign("i zoe"), "STALE");
        assert_err!(assign(&format!("i zoe TOKEN {}", held.token + 1)), "STALE");
        assert_err!(assign(&format!("none zoe TOKEN {}", held.token)), "NOITEM");
        assert_err!(assign(&format!("i eve TOKEN {}", held.token)), "EXCLUDED");
        assert_err!(assign("i zoe TOKEN"), "ERR", "TOKEN");
        assert_err!(assign("i zoe TOKEN x"), "ERR", "TOKEN");
        assert_err!(assign("i zoe TOKEN -1"), "ERR", "TOKEN");
        assert_err!(assign("i zoe TOKEN 1 TOKEN 1"), "ERR", "TOKEN");
        assert_err!(assign("i zoe BY"), "ERR", "BY");
        let long = vec![b'x'; 513];
        for by in [&b""[..], &long] {
            let reply = cmd!(c, "MODQ.ASSIGN", "q", "i", "zoe", "BY", by);
            assert_err!(reply, "ERR", "BY");
        }
    });
    let hand_over = format!("MODQ.ASSIGN q i zoe LOCK 50000 TOKEN {} BY sue", held.token);
    let before = now_ms();
    let token = changed(&mut c, "q", |c| c.line(&hand_over)).int();
    assert!(token > held.token);
    let item = c.line("MODQ.GET q i");
    let shown = ["moderator", "token", "deliveries", "expiries"].map(|name| item.field(name));
    assert_eq!(shown, [bulk("zoe"), token.into(), 2.into(), 0.into()]);
    assert!((before + 50_000..=now_ms() + 50_000).contains(&item.field("deadline").int()));
    assert_err!(c.line(&hand_over), "STALE");
    assert_err!(cmd!(c, "MODQ.RESOLVE", "q", "i", held.token), "STALE");
    assert_eq!(line_of(&mut c, "q"), "bob*", "it was never bob's");
    // An item that is not locked has no live token.
    let release = format!("MODQ.RELEASE q i {token} DELAY 600000");
    c.expect_ok(&release);
    let reply = cmd!(c, "MODQ.ASSIGN", "q", "i", "zoe", "TOKEN", token);
    assert_err!(reply, "STALE");
    submit_assigned(&mut c, "q other p");
    assert_eq!(served(&mut waits).id(), "other");
}

fn revive_takes_who_did_it(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q MAXEXPIRIES 1");
    let dead = |c: &mut Client, items: &[&str]| {
        for item in items {
            if c.cmd(&["MODQ.GET", "q", item]).is_null() {
                submit(c, &format!("q {item} p"));
            }
            c.line(&format!("MODQ.ASSIGN q {item} m LOCK 1"));
        }
        wait_until("they are dead", PATIENCE, || {
            len(c, "q DEAD") == items.len() as i64
        });
    };
    for (line, revived) in [
        ("a b BY sue", 2),
        ("by a b", 3),
        ("a b by", 3),
        ("by by sue", 1),
        ("ALL BY sue", 3),
        ("all by sue count 2", 2),
        ("ALL COUNT 1 BY sue", 1),
        ("a all BY sue", 1),
    ] {
        dead(&mut c, &["a", "b", "by"]);
        let reply = c.line(&format!("MODQ.REVIVE q {line}"));
        assert_eq!(reply, Value::Int(revived), "{line}");
    }
    dead(&mut c, &["a", "b", "by"]);
    unchanged(&mut c, "q", |c| {
        let long = vec![b'x'; 513];
        for by in [&b""[..], &long] {
            assert_err!(cmd!(c, "MODQ.REVIVE", "q", "a", "BY", by), "ERR", "BY");
            assert_err!(cmd!(c, "MODQ.REVIVE", "q", "ALL", "BY", by), "ERR", "BY");
        }
        for line in ["ALL BY", "ALL COUNT 1 BY a BY b", "ALL BY a b"] {
            assert_err!(c.line(&format!("MODQ.REVIVE q {line}")), "ERR");
        }
        assert_err!(c.line("MODQ.MOVE q r a BY"), "ERR", "BY");
        assert_err!(c.line("MODQ.MOVE q r a BY x BY y"), "ERR", "BY");
    });
}

matrix!(assign_hands_a_locked_item_over, revive_takes_who_did_it);
