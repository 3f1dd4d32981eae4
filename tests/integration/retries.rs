//! What a command answers that is sent a second time because the reply to the first was lost: the table of
//! `docs/clients.md`.

use modq_testkit::queue::*;
use modq_testkit::*;

/// Sends a command twice, as a client does that tries again, and gives the second answer.
fn again(c: &mut Client, line: &str) -> Value {
    let first = c.line(line);
    assert_eq!(first.err_code(), "", "{line}: {first:?}");
    c.line(line)
}

fn of_producers(kind: Kind) {
    let (_server, mut c) = desk(kind);
    assert_eq!(again(&mut c, "MODQ.SUBMIT q a p"), simple("EXISTS"));
    let replaced = again(&mut c, "MODQ.SUBMIT q a p2 ONDUP REPLACE");
    assert_eq!(replaced, simple("REPLACED"));
    let bumped = again(&mut c, "MODQ.SUBMIT q a p ONDUP BUMP");
    assert_eq!(bumped, simple("BUMPED"));
    assert_eq!(
        field(&mut c, "q", "a", "reports"),
        Value::Int(3),
        "one too many"
    );
    assert_err!(again(&mut c, "MODQ.SUBMIT q b p ONDUP ERROR"), "EXISTS");
    let rev = c.line("MODQ.UPDATE q b PRIORITY 3");
    assert_eq!(again(&mut c, "MODQ.UPDATE q b PRIORITY 3"), rev);
    assert!(again(&mut c, "MODQ.UPDATE q b PRIORITY 4 REV 2").is_null());
    assert_eq!(again(&mut c, "MODQ.CANCEL q b"), Value::Int(0));
    let many = again(&mut c, "MODQ.MSUBMIT q 2 m1 p m2 p");
    assert_eq!(many, Value::Array(vec![simple("EXISTS"), simple("EXISTS")]));
    for item in ["g1", "g2", "g3"] {
        submit(&mut c, &format!("q {item} p GROUP g"));
    }
    let reply = again(&mut c, "MODQ.CANCELGROUP q g COUNT 2");
    let expected = Value::Array(vec![Value::Int(1), Value::Int(0), bulk("0")]);
    assert_eq!(reply, expected, "COUNT counts anew");
}

fn of_moderators(kind: Kind) {
    let (_server, mut c) = desk(kind);
    for item in ["a", "b", "c", "d", "e"] {
        submit(&mut c, &format!("q {item} p"));
    }
    let claimed = c.line("MODQ.CLAIM q m");
    assert_eq!(again(&mut c, "MODQ.CLAIM q m"), claimed);
    assert_eq!(again(&mut c, "MODQ.MCLAIM 2 q r m")[1], claimed);
    let first = claim(&mut c, "q other NEW");
    let second = claim(&mut c, "q other NEW");
    assert_ne!(first.id(), second.id(), "not safe");
    let extended = again(
        &mut c,
        &format!("MODQ.EXTEND q {} {} 60000", first.id(), first.token),
    );
    assert!(extended.int() > 0);
    let release = format!("MODQ.RELEASE q {} {}", first.id(), first.token);
    assert_err!(again(&mut c, &release), "STALE");
    let resolve = format!("MODQ.RESOLVE q {} {}", second.id(), second.token);
    assert_err!(again(&mut c, &resolve), "NOITEM");
    let third = claim(&mut c, "q other NEW");
    let pair = format!("1 {} {}", third.id(), third.token);
    let extended = again(&mut c, &format!("MODQ.MEXTEND q 60000 {pair}"));
    assert!(extended[0].int() > 0);
    let resolved = again(&mut c, &format!("MODQ.MRESOLVE q {pair}"));
    assert_err!(&resolved[0], "NOITEM");
    for item in ["g1", "g2", "g3"] {
        submit(&mut c, &format!("g {item} p GROUP g"));
    }
    let claimed = c.line("MODQ.CLAIM g m WITHGROUP COUNT 2");
    let line = "MODQ.CLAIM g m WITHGROUP COUNT 2";
    assert_eq!(again(&mut c, line), claimed);
    let token = claims(&claimed)[0].token;
    let also = format!("MODQ.RESOLVE g g1 {token} ALSO 1");
    assert_err!(again(&mut c, &also), "NOITEM");
    c.expect_ok("MODQ.CONFIGURE g RETAIN 600000");
    let token = claim(&mut c, "g m").token;
    let also = format!("MODQ.RESOLVE g g3 {token} ALSO 1");
    let reply = again(&mut c, &also);
    assert_eq!((&reply[0], &reply[1]), (&simple("OK"), &Value::Int(0)));
    assert_eq!(
        again(&mut c, "MODQ.JOIN q waits TTL 60000 COUNT 9").err_code(),
        ""
    );
    assert_eq!(again(&mut c, "MODQ.LEAVE q waits"), Value::Int(0));
}

fn of_what_is_remembered(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q RETAIN 3600000");
    submit(&mut c, "q a p");
    let token = claim(&mut c, "q m").token;
    let resolve = format!("MODQ.RESOLVE q a {token} VERDICT keep");
    assert_eq!(again(&mut c, &resolve), ok());
    assert_eq!(again(&mut c, "MODQ.SUBMIT q a p"), simple("DECIDED"));
    let counted = again(&mut c, "MODQ.SUBMIT q a p ONDECIDED COUNT");
    assert_eq!(counted, simple("DECIDED"));
    let reports = c.line("MODQ.DECIDED q a").field("reports");
    assert_eq!(reports, Value::Int(3), "one too many");
    for asked in ["AGAIN", "APPEAL"] {
        let submitted = again(&mut c, &format!("MODQ.SUBMIT q a p ONDECIDED {asked}"));
        assert_eq!(submitted, simple("EXISTS"));
        assert_eq!(again(&mut c, &resolve), ok(), "also while it is there");
        assert_eq!(c.line("MODQ.CANCEL q a"), Value::Int(1));
    }
    assert_eq!(again(&mut c, "MODQ.FORGET q a"), Value::Int(0));
}

fn of_supervisors(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "{q}1 a p");
    assert_err!(again(&mut c, "MODQ.MOVE {q}1 {q}2 a"), "NOITEM");
    assert_err!(again(&mut c, "MODQ.ASSIGN {q}2 a l"), "STALE");
    let token = c.line("MODQ.GET {q}2 a").field("token").int();
    let hand_over = format!("MODQ.ASSIGN {{q}}2 a m TOKEN {token}");
    assert_err!(again(&mut c, &hand_over), "STALE");
    let lock = c.line("MODQ.GET {q}2 a").field("moderator");
    assert_eq!(lock.text(), "m", "GET shows for whom");
    assert_eq!(again(&mut c, "MODQ.PAUSE {q}2"), ok());
    assert_eq!(again(&mut c, "MODQ.UNPAUSE {q}2"), ok());
    assert_eq!(again(&mut c, "MODQ.CONFIGURE {q}2 LOCK 1000"), ok());
    submit(&mut c, "dead x p");
    make_dead(&mut c, "dead", "x");
    assert_eq!(again(&mut c, "MODQ.REVIVE dead x"), Value::Int(0));
}

fn of_limits(kind: Kind) {
    let (_server, mut c) = desk(kind);
    let left = |reply: Value| reply[2].int();
    let with_id = again(&mut c, "RATELIMIT.CHECK a 10 600000 ID once");
    assert_eq!((with_id[0].int(), left(with_id)), (1, 9));
    assert_eq!(
        left(again(&mut c, "RATELIMIT.CHECK b 10 600000")),
        8,
        "charged twice"
    );
    assert_eq!(again(&mut c, "RATELIMIT.REFUND a ID once"), Value::Int(0));
    assert_eq!(
        again(&mut c, "RATELIMIT.REFUND b COST 1"),
        Value::Int(1),
        "refunded twice"
    );
    let acquire = "RATELIMIT.ACQUIRE l 1 me TTL 60000";
    let first = c.line(acquire);
    assert_eq!(again(&mut c, acquire)[4], first[4], "the same fence");
    assert_eq!(again(&mut c, "RATELIMIT.RELEASE l me"), Value::Int(0));
    assert_eq!(again(&mut c, "RATELIMIT.BLOCK b 1000"), ok());
    assert_eq!(again(&mut c, "RATELIMIT.RESET b"), Value::Int(0));
    assert_eq!(again(&mut c, "RATELIMIT.POLICY SET p 1 1000"), ok());
}

fn of_boards(kind: Kind) {
    let (_server, mut c) = desk(kind);
    assert_err!(again(&mut c, "RANK.CREATE sums"), "EXISTS");
    let with_id = again(&mut c, "RANK.ADD sums ann 5 ID once");
    assert_eq!((&with_id[0], &with_id[3]), (&Value::Int(0), &Value::Int(5)));
    let without = again(&mut c, "RANK.ADD sums bob 5");
    assert_eq!(
        (&without[0], &without[3]),
        (&Value::Int(1), &Value::Int(10)),
        "not safe"
    );
    for update in ["BEST", "LAST"] {
        let same = again(&mut c, &format!("RANK.ADD {update} ann 5 UPDATE {update}"));
        assert_eq!(same[0], Value::Int(0), "{update}");
    }
    assert_eq!(again(&mut c, "RANK.REM sums bob"), Value::Int(0));
    assert_eq!(again(&mut c, "RANK.CONFIGURE sums RETRY 5"), ok());
    assert_eq!(c.line("ZADD zset 1 a 2 b"), Value::Int(2));
    assert_eq!(again(&mut c, "RANK.IMPORT sums zset"), Value::Int(2));
    assert_err!(again(&mut c, "RANK.CLOSE sums season"), "EXISTS");
}

matrix! {
    of_producers,
    of_moderators,
    of_what_is_remembered,
    of_supervisors,
    of_limits,
    of_boards,
}
