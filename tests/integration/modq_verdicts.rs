//! Verdicts of several: votes, splits, what a changed payload or quorum does to them, and what is told of it.

use modq_testkit::fold::fields;
use modq_testkit::queue::*;
use modq_testkit::*;

/// One line of `tests/votes.txt`.
struct Row {
    quorum: String,
    verdicts: Vec<String>,
    answers: Vec<String>,
}

fn table() -> Vec<Row> {
    let text = include_str!("../votes.txt").lines();
    let rows = text.filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let rows = rows.map(|line| {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        Row {
            quorum: columns[0].into(),
            verdicts: columns[1].split_whitespace().map(str::to_owned).collect(),
            answers: columns[2].split(',').map(|a| a.trim().to_owned()).collect(),
        }
    });
    rows.collect()
}

/// Claims the item for a moderator who offers the tag of contested items, and resolves it.
#[track_caller]
fn vote(c: &mut Client, item: &str, who: &str, verdict: &str) -> Value {
    let claimed = claim(c, &format!("q {who} NEW TAGS 1 senior"));
    assert_eq!(claimed.id(), item);
    cmd!(
        c,
        "MODQ.RESOLVE",
        "q",
        item,
        claimed.token,
        "VERDICT",
        verdict
    )
}

fn votes_come_to_what_the_table_says(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q SPLITTAG senior EVENTS ev EVENTSMAXLEN 0");
    let table = table();
    assert!(table.len() >= 20);
    for (i, row) in table.iter().enumerate() {
        let item = format!("i{i}");
        submit(&mut c, &format!("q {item} p QUORUM {}", row.quorum));
        for (n, (verdict, answer)) in row.verdicts.iter().zip(&row.answers).enumerate() {
            let reply = vote(&mut c, &item, &format!("m{n}"), verdict);
            let (status, ended) = answer.split_once(' ').unwrap_or((answer, ""));
            assert_eq!(reply, simple(status), "{} {:?}", row.quorum, row.verdicts);
            let last = c.line("XREVRANGE ev + - COUNT 1");
            let event = fields(&last[0]);
            let expected = match status {
                "OK" => "resolve",
                "SPLIT" => "split",
                _ => "vote",
            };
            assert_eq!((&*event["ev"], &*event["item"]), (expected, &*item));
            assert_eq!(event["moderator"], format!("m{n}"));
            if status == "OK" {
                assert_eq!(event["verdict"], ended);
            } else {
                assert_eq!(&event["verdict"], verdict);
            }
        }
        assert_eq!(row.verdicts.len(), row.answers.len());
        let is_over = row.answers.last().is_some_and(|a| a.starts_with("OK"));
        let there = !c.cmd(&["MODQ.GET", "q", &item]).is_null();
        assert_eq!(there, !is_over);
        c.cmd(&["MODQ.CANCEL", "q", &item]);
    }
}

fn a_vote_keeps_the_place_and_is_seen_by_get_but_not_by_claims(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q QUORUM 2 3");
    assert_eq!(
        c.line("MODQ.CONFIG q").field("quorum"),
        Value::Array(vec![Value::Int(2), Value::Int(3)])
    );
    submit(&mut c, "q first p");
    submit(&mut c, "q other p");
    let held = claim(&mut c, "q ann");
    unchanged(&mut c, "q", |c| {
        let needed = cmd!(c, "MODQ.RESOLVE", "q", "first", held.token);
        assert_err!(needed, "ERR", "VERDICT");
        let needed = cmd!(c, "MODQ.RESOLVE", "q", "first", held.token, "REV", 9);
        assert_err!(needed, "ERR", "VERDICT");
        let stale = cmd!(c, "MODQ.RESOLVE", "q", "first", held.token - 1);
        assert_err!(stale, "STALE");
        let changed = cmd!(
            c,
            "MODQ.RESOLVE",
            "q",
            "first",
            held.token,
            "REV",
            9,
            "VERDICT",
            "keep"
        );
        assert_err!(changed, "CHANGED");
        assert_err!(
            cmd!(c, "MODQ.RESOLVE", "q", "first", held.token, "VERDICT", ""),
            "ERR",
            "VERDICT"
        );
        let long = "v".repeat(256);
        assert_err!(
            cmd!(c, "MODQ.RESOLVE", "q", "first", held.token, "VERDICT", long),
            "ERR",
            "VERDICT"
        );
    });
    let voted = cmd!(
        c,
        "MODQ.RESOLVE",
        "q",
        "first",
        held.token,
        "VERDICT",
        "keep"
    );
    assert_eq!(voted, simple("VOTED"));
    assert_eq!(
        c.line("MODQ.POSITION q first"),
        Value::Int(1),
        "its own place"
    );
    assert_eq!(field(&mut c, "q", "first", "rev"), Value::Int(1));
    let votes = field(&mut c, "q", "first", "votes");
    assert_eq!(votes.items().len(), 1);
    assert_eq!(
        (votes[0][0].text(), votes[0][1].text()),
        ("ann".into(), "keep".into())
    );
    assert!(votes[0][2].int() <= now_ms());
    assert_eq!(field(&mut c, "q", "first", "contested"), Value::Int(0));
    // Whoever voted is not given it, nor by force; EXCLUDE 0 does not change that.
    c.line("MODQ.UPDATE q first EXCLUDE 0");
    assert_eq!(ids(&c.line("MODQ.CLAIM q ann")), "other");
    assert_err!(c.line("MODQ.ASSIGN q first ann"), "EXCLUDED");
    let why = c.line("MODQ.WHY q first ann");
    assert_eq!(why.items(), [bulk("voted")]);
    // The claim of a second opinion has the same eight positions.
    let second = claim(&mut c, "q bob");
    assert_eq!(second.id(), "first");
    // Sent again it is answered as it was, whatever REV says; another verdict is stale.
    unchanged(&mut c, "q", |c| {
        let again = cmd!(
            c,
            "MODQ.RESOLVE",
            "q",
            "first",
            held.token,
            "VERDICT",
            "keep",
            "REV",
            99
        );
        assert_eq!(again, simple("VOTED"));
        let other = cmd!(
            c,
            "MODQ.RESOLVE",
            "q",
            "first",
            held.token,
            "VERDICT",
            "remove"
        );
        assert_err!(other, "STALE");
        assert_err!(cmd!(c, "MODQ.RESOLVE", "q", "first", held.token), "STALE");
        assert_err!(
            cmd!(c, "MODQ.RESOLVE", "q", "first", 0, "VERDICT", "keep"),
            "STALE"
        );
    });
    let stats = c.line("MODQ.STATS q");
    assert_eq!(
        (stats.field("votes").int(), stats.field("voting").int()),
        (1, 1)
    );
    let ended = cmd!(
        c,
        "MODQ.RESOLVE",
        "q",
        "first",
        second.token,
        "VERDICT",
        "keep"
    );
    assert_eq!(ended, ok());
    let gone = cmd!(
        c,
        "MODQ.RESOLVE",
        "q",
        "first",
        held.token,
        "VERDICT",
        "keep"
    );
    assert_err!(gone, "NOITEM");
    let stats = c.line("MODQ.STATS q");
    assert_eq!(
        stats.field("resolved"),
        Value::Int(1),
        "resolved counts items"
    );
    assert_eq!(
        (stats.field("votes").int(), stats.field("voting").int()),
        (1, 0)
    );
}

fn without_a_split_tag_a_contested_item_is_dead_until_somebody_takes_it_up(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q QUORUM 2 2 MAXEXPIRIES 1");
    let contest = |c: &mut Client, item: &str| {
        submit(c, &format!("q {item} p"));
        assert_eq!(vote(c, item, "ann", "keep"), simple("VOTED"));
        assert_eq!(vote(c, item, "bob", "remove"), simple("SPLIT"));
        assert_eq!(state(c, "q", item), "dead");
        assert_eq!(field(c, "q", item, "contested"), Value::Int(1));
    };
    contest(&mut c, "i");
    let stats = c.line("MODQ.STATS q");
    for (name, n) in [
        ("splits", 1),
        ("contested", 1),
        ("died", 0),
        ("dead", 1),
        ("voting", 0),
    ] {
        assert_eq!(stats.field(name), Value::Int(n), "{name}");
    }
    assert_eq!(ids_listed(&mut c, "q DEAD"), "i");
    // What does not count as taking it up.
    assert_eq!(c.line("MODQ.REVIVE q ALL"), Value::Int(0));
    assert_eq!(c.line("MODQ.SUBMIT q i p ONDUP BUMP"), simple("BUMPED"));
    assert_eq!(
        c.line("MODQ.SUBMIT q i p ONDUP REPLACE"),
        simple("REPLACED")
    );
    assert_eq!(state(&mut c, "q", "i"), "dead");
    // Somebody named: their verdict is final.
    let token = c.line("MODQ.ASSIGN q i eve").int();
    assert_eq!(
        cmd!(c, "MODQ.RESOLVE", "q", "i", token, "VERDICT", "third"),
        ok()
    );
    // A changed payload voids.
    contest(&mut c, "i");
    c.line("MODQ.UPDATE q i PAYLOAD edited");
    assert_eq!(state(&mut c, "q", "i"), "ready");
    assert_eq!(field(&mut c, "q", "i", "votes").items().len(), 0);
    assert_eq!(field(&mut c, "q", "i", "contested"), Value::Int(0));
    assert_eq!(
        ids(&c.line("MODQ.CLAIM q ann")),
        "i",
        "who voted may have it again"
    );
    assert_eq!(c.line("MODQ.CANCEL q i"), Value::Int(1));
    // So does a REVIVE that names it.
    contest(&mut c, "i");
    assert_eq!(c.line("MODQ.REVIVE q i"), Value::Int(1));
    assert_eq!(field(&mut c, "q", "i", "votes").items().len(), 0);
    assert_eq!(c.line("MODQ.CANCEL q i"), Value::Int(1));
    // MOVE does not: it is ready there, and still contested.
    contest(&mut c, "i");
    c.expect_ok("MODQ.MOVE q r i");
    assert_eq!(state(&mut c, "r", "i"), "ready");
    assert_eq!(field(&mut c, "r", "i", "contested"), Value::Int(1));
    assert_eq!(field(&mut c, "r", "i", "votes").items().len(), 2);
    assert_eq!(ids(&c.line("MODQ.CLAIM r ann")), "", "who voted may not");
    let held = claim(&mut c, "r eve");
    assert_eq!(
        cmd!(c, "MODQ.RESOLVE", "r", "i", held.token, "VERDICT", "x"),
        ok()
    );
}

/// The ids that LIST shows, joined with spaces.
fn ids_listed(c: &mut Client, words: &str) -> String {
    let page = c.line(&format!("MODQ.LIST {words}"));
    let ids: Vec<String> = page[1].items().iter().map(|row| row[0].text()).collect();
    ids.join(" ")
}

fn with_a_split_tag_it_goes_to_those_who_offer_it(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q QUORUM 2 2 SPLITTAG senior");
    let tags: Vec<String> = (0..64).map(|i| format!("t{i}")).collect();
    let tags = tags.join(" ");
    submit(&mut c, &format!("q i p TAGS 64 {tags}"));
    for (who, verdict, answer) in [("ann", "keep", "VOTED"), ("bob", "remove", "SPLIT")] {
        let held = claim(&mut c, &format!("q {who} TAGS 64 {tags}"));
        let reply = cmd!(c, "MODQ.RESOLVE", "q", "i", held.token, "VERDICT", verdict);
        assert_eq!(reply, simple(answer));
    }
    assert_eq!(state(&mut c, "q", "i"), "ready");
    let now = field(&mut c, "q", "i", "tags");
    assert_eq!((now.items().len(), now[64].text()), (65, "senior".into()));
    assert_eq!(field(&mut c, "q", "i", "rev"), Value::Int(1), "rev stays");
    // It is saved and loaded as it is.
    let before = digest(&mut c, "q");
    c.expect_ok("DEBUG RELOAD");
    assert_eq!(digest(&mut c, "q"), before);
    c.line("MODQ.UPDATE q i PAYLOAD edited");
    assert_eq!(
        field(&mut c, "q", "i", "tags").items().len(),
        64,
        "the tag goes again"
    );
    // A tag that it had stays.
    submit(&mut c, "q j p TAGS 1 senior");
    assert_eq!(vote(&mut c, "j", "ann", "keep"), simple("VOTED"));
    assert_eq!(vote(&mut c, "j", "bob", "remove"), simple("SPLIT"));
    c.line("MODQ.UPDATE q j PAYLOAD edited");
    assert_eq!(field(&mut c, "q", "j", "tags").items().len(), 1);
}

fn a_changed_quorum_counts_the_votes_at_once_unless_locked(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q EVENTS ev");
    submit(&mut c, "q i p QUORUM 3 5");
    assert_eq!(vote(&mut c, "i", "ann", "keep"), simple("VOTED"));
    assert_eq!(vote(&mut c, "i", "bob", "remove"), simple("VOTED"));
    assert_eq!(vote(&mut c, "i", "cy", "remove"), simple("VOTED"));
    // Locked: with the next vote.
    let held = claim(&mut c, "q dan");
    assert_eq!(c.line("MODQ.UPDATE q i QUORUM 2 5"), Value::Int(2));
    assert_eq!(state(&mut c, "q", "i"), "locked");
    assert_eq!(cmd!(c, "MODQ.RELEASE", "q", "i", held.token), ok());
    assert_eq!(state(&mut c, "q", "i"), "ready", "a release is no vote");
    // Two of three are enough now: it ends, by the last voter.
    assert_eq!(c.line("MODQ.UPDATE q i QUORUM 1 5"), Value::Int(3));
    assert!(c.line("MODQ.GET q i").is_null());
    let last = c.line("XREVRANGE ev + - COUNT 2");
    let (ended, updated) = (fields(&last[0]), fields(&last[1]));
    assert_eq!((&*ended["ev"], &*ended["verdict"]), ("resolve", "remove"));
    assert_eq!(ended["moderator"], "cy");
    assert_eq!((&*updated["ev"], &*updated["quorum"]), ("update", "[1,5]"));
    // Or it becomes contested, with that event.
    submit(&mut c, "q j p QUORUM 2 9");
    assert_eq!(vote(&mut c, "j", "ann", "keep"), simple("VOTED"));
    assert_eq!(vote(&mut c, "j", "bob", "remove"), simple("VOTED"));
    c.line("MODQ.UPDATE q j QUORUM 2 2");
    assert_eq!(state(&mut c, "q", "j"), "dead");
    let last = c.line("XREVRANGE ev + - COUNT 1");
    assert_eq!(fields(&last[0])["ev"], "split");
    for wrong in ["0 1", "2 1", "1 16", "x 2", "1"] {
        unchanged(&mut c, "q", |c| {
            assert_err!(
                c.line(&format!("MODQ.UPDATE q j QUORUM {wrong}")),
                "ERR",
                "QUORUM"
            );
        });
        assert_err!(
            c.line(&format!("MODQ.CONFIGURE q QUORUM {wrong}")),
            "ERR",
            "QUORUM"
        );
        assert_err!(
            c.line(&format!("MODQ.SUBMIT q k p QUORUM {wrong}")),
            "ERR",
            "QUORUM"
        );
    }
}

fn a_quorum_that_was_set_while_locked_can_be_counted_by_setting_it_again(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q i p QUORUM 3 3");
    for who in ["ann", "bob"] {
        assert_eq!(vote(&mut c, "i", who, "keep"), simple("VOTED"));
    }
    let held = claim(&mut c, "q cy");
    assert_eq!(c.line("MODQ.UPDATE q i QUORUM 2 3"), Value::Int(2));
    assert_eq!(cmd!(c, "MODQ.RELEASE", "q", "i", held.token), ok());
    assert_eq!(
        c.line("MODQ.UPDATE q i QUORUM 2 3"),
        Value::Int(2),
        "the same"
    );
    assert!(
        c.line("MODQ.GET q i").is_null(),
        "and its votes are counted"
    );
}

fn a_contested_item_without_a_tag_is_dead_again_when_it_is_given_back(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q i p QUORUM 2 2");
    for (who, verdict) in [("ann", "keep"), ("bob", "remove")] {
        let token = c.line(&format!("MODQ.ASSIGN q i {who}")).int();
        cmd!(c, "MODQ.RESOLVE", "q", "i", token, "VERDICT", verdict);
    }
    let token = c.line("MODQ.ASSIGN q i eve").int();
    assert_eq!(cmd!(c, "MODQ.RELEASE", "q", "i", token), ok());
    assert_eq!(state(&mut c, "q", "i"), "dead");
    c.line("MODQ.ASSIGN q i eve LOCK 1");
    wait_until("the lock is over", PATIENCE, || {
        counts(&mut c, "q") == [0, 0, 0, 1]
    });
    assert_eq!(field(&mut c, "q", "i", "contested"), Value::Int(1));
    let before = digest(&mut c, "q");
    c.expect_ok("DEBUG RELOAD");
    assert_eq!(digest(&mut c, "q"), before);
}

fn late_votes_count_as_late_decisions_do(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q QUORUM 2 3 LATE ACCEPT MAXEXPIRIES 1");
    submit(&mut c, "q i p");
    let held = claim(&mut c, "q ann LOCK 1");
    wait_until("the lock is over", PATIENCE, || len(&mut c, "q DEAD") == 1);
    let late = cmd!(c, "MODQ.RESOLVE", "q", "i", held.token, "VERDICT", "keep");
    assert_eq!(late, simple("VOTED"));
    assert_eq!(
        state(&mut c, "q", "i"),
        "ready",
        "a late vote makes it ready"
    );
    assert_eq!(field(&mut c, "q", "i", "expiries"), Value::Int(0));
    let again = cmd!(c, "MODQ.RESOLVE", "q", "i", held.token, "VERDICT", "keep");
    assert_eq!(again, simple("VOTED"));
    assert_eq!(field(&mut c, "q", "i", "votes").items().len(), 1);
    assert_eq!(vote(&mut c, "i", "bob", "keep"), ok());
}

fn replicas_restarts_and_copies_have_the_votes(kind: Kind) {
    // RediSearch insists on the preamble.
    let builder = Server::builder(kind).aof().without_own_modules();
    let server = builder.start();
    let mut c = server.client();
    let replica = Server::builder(kind).replica_of(&server).start();
    let mut r = replica.client();
    c.expect_ok("MODQ.CONFIGURE q QUORUM 2 3 SPLITTAG senior");
    submit(&mut c, "q i p GROUP g");
    submit(&mut c, "q j p QUORUM 2 2");
    assert_eq!(vote(&mut c, "i", "ann", "keep"), simple("VOTED"));
    let held = claim(&mut c, "q bob");
    assert_eq!(held.id(), "i");
    assert_eq!(vote(&mut c, "j", "ann", "keep"), simple("VOTED"));
    assert_eq!(vote(&mut c, "j", "cy", "remove"), simple("SPLIT"));
    let before = digest(&mut c, "q");
    wait_until("the replica has it", PATIENCE, || {
        digest(&mut r, "q") == before
    });
    c.cmd(&["COPY", "q", "{q}copy"]);
    let dump = c.cmd(&["DUMP", "q"]);
    let Value::Bulk(dump) = dump else {
        panic!("{dump:?}")
    };
    let restored = c.cmd(&[b"RESTORE".as_slice(), b"restored", b"0", &dump]);
    assert_eq!(restored, ok());
    for key in ["{q}copy", "restored"] {
        let votes = field(&mut c, key, "i", "votes");
        assert_eq!(votes.items().len(), 1, "{key}");
        assert_eq!(field(&mut c, key, "j", "contested"), Value::Int(1), "{key}");
    }
    for preamble in ["yes", "no"] {
        c.cmd(&["CONFIG", "SET", "aof-use-rdb-preamble", preamble]);
        c.line("BGREWRITEAOF");
        wait_until("the AOF is rewritten", PATIENCE, || {
            let now = info(&mut c, "persistence");
            now["aof_rewrite_in_progress"] == "0" && now["aof_rewrite_scheduled"] == "0"
        });
        c.expect_ok("DEBUG LOADAOF");
        assert_eq!(digest(&mut c, "q"), before, "preamble {preamble}");
    }
    let voted = cmd!(c, "MODQ.RESOLVE", "q", "i", held.token, "VERDICT", "keep");
    assert_eq!(voted, ok());
}

fn histograms_and_sums_only_grow(kind: Kind) {
    let (_server, mut c) = desk(kind);
    for (item, verdict) in [("a", "keep"), ("b", "remove")] {
        submit(&mut c, &format!("q {item} p"));
        assert_eq!(vote(&mut c, item, "ann", verdict), ok());
    }
    let stats = c.line("MODQ.STATS q BRIEF");
    for name in ["wait_ms_histogram", "handle_ms_histogram"] {
        let rows = stats.field(name);
        assert_eq!(rows.items().len(), 14, "{name}");
        let bounds: Vec<i64> = rows.items().iter().map(|row| row[0].int()).collect();
        assert_eq!((bounds[0], bounds[12], bounds[13]), (1000, 86_400_000, -1));
        let counts: Vec<i64> = rows.items().iter().map(|row| row[1].int()).collect();
        assert!(counts.is_sorted());
        assert_eq!(counts[13], 2, "{name}: both");
    }
    assert!(stats.field("wait_ms_sum").int() >= 0 && stats.field("handle_ms_sum").int() >= 0);
}

matrix!(
    votes_come_to_what_the_table_says,
    a_vote_keeps_the_place_and_is_seen_by_get_but_not_by_claims,
    without_a_split_tag_a_contested_item_is_dead_until_somebody_takes_it_up,
    with_a_split_tag_it_goes_to_those_who_offer_it,
    a_changed_quorum_counts_the_votes_at_once_unless_locked,
    a_quorum_that_was_set_while_locked_can_be_counted_by_setting_it_again,
    a_contested_item_without_a_tag_is_dead_again_when_it_is_given_back,
    late_votes_count_as_late_decisions_do,
    replicas_restarts_and_copies_have_the_votes,
    histograms_and_sums_only_grow,
);
