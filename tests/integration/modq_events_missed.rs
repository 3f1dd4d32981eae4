//! What the audit log trimmed before a consumer group had read it: MODQ.STATS and INFO tell.

use modq_testkit::queue::*;
use modq_testkit::*;

fn missed(c: &mut Client) -> Value {
    c.line("MODQ.STATS q").field("events_missed")
}

/// The largest that STATS has told of late.
fn most(c: &mut Client) -> u64 {
    info_number(c, "modq", "modq_events_missed_max")
}

/// Submits items, each of which is an event.
fn tell(c: &mut Client, items: std::ops::Range<usize>) {
    let lines: Vec<String> = items.map(|i| format!("MODQ.SUBMIT q item{i} p")).collect();
    let replies = c.pipeline(&lines);
    assert!(replies.iter().all(|reply| *reply == simple("READY")));
}

fn read(c: &mut Client, group: &str, count: usize) {
    let line = format!("XREADGROUP GROUP {group} me COUNT {count} NOACK STREAMS ev >");
    let entries = c.line(&line)[0][1].items().len();
    assert!((1..=count).contains(&entries), "{group}: {entries}");
}

/// How many entries of `ev` are gone.
fn gone(c: &mut Client) -> i64 {
    let stream = c.line("XINFO STREAM ev");
    stream.field("entries-added").int() - stream.field("length").int()
}

fn of_the_group_that_fell_behind(kind: Kind) {
    let (server, mut c) = desk(kind);
    assert_eq!(missed(&mut c), Value::Int(0), "no queue");
    c.expect_ok("MODQ.CONFIGURE q EVENTSMAXLEN 100");
    assert_eq!(missed(&mut c), Value::Int(0), "no stream is set");
    c.expect_ok("MODQ.CONFIGURE q EVENTS ev");
    assert_eq!(missed(&mut c), Value::Int(0), "nothing has happened");
    tell(&mut c, 0..500);
    assert!(gone(&mut c) >= 200, "the module trims");
    assert_eq!(missed(&mut c), Value::Int(0), "nobody reads it");
    for group in ["quick", "slow"] {
        c.expect_ok(&format!("XGROUP CREATE ev {group} $ ENTRIESREAD 500"));
    }
    tell(&mut c, 500..600);
    read(&mut c, "slow", 30);
    read(&mut c, "quick", 100);
    assert_eq!(missed(&mut c), Value::Int(0), "what is not read is there");
    tell(&mut c, 600..1000);
    read(&mut c, "quick", 1000);
    let expected = gone(&mut c) - 530;
    assert!(expected > 100, "{expected}");
    assert_eq!(missed(&mut c), Value::Int(expected));
    assert_eq!(most(&mut c), expected as u64);
    // However it is asked.
    let script = "return redis.call('MODQ.STATS', KEYS[1])";
    let answered = cmd!(c, "EVAL", script, 1, "q");
    assert_eq!(answered.field("events_missed"), Value::Int(expected));
    let queued = c.pipeline(&["MULTI", "MODQ.STATS q", "EXEC"]);
    assert_eq!(queued[2][0].field("events_missed"), Value::Int(expected));
    let mut resp3 = server.client().hello3();
    assert_eq!(missed(&mut resp3), Value::Int(expected));
    // Whoever may read the queue may know it, without rights on the stream.
    c.expect_ok("ACL SETUSER ann on nopass ~q +@all");
    let mut ann = server.client();
    ann.expect_ok("AUTH ann x");
    assert_eq!(missed(&mut ann), Value::Int(expected));
    // A replica has the same stream.
    let replica = Server::builder(kind).replica_of(&server).start();
    wait_replica_synced(&server, &replica);
    assert_eq!(missed(&mut replica.client()), Value::Int(expected));
    // Who reads on, misses no more; that it was so stays known for a while.
    read(&mut c, "slow", 1);
    assert_eq!(missed(&mut c), Value::Int(0));
    assert_eq!(most(&mut c), expected as u64);
    // A group that starts with the first entry there ever was.
    c.expect_ok("XGROUP CREATE ev first 0");
    let all = gone(&mut c);
    assert_eq!(missed(&mut c), Value::Int(all));
}

fn null_where_it_cannot_be_known(kind: Kind) {
    let (server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q EVENTS ev EVENTSMAXLEN 0");
    tell(&mut c, 0..10);
    // A group at an entry in the middle: the server does not know how many were before.
    let third = c.line("XRANGE ev - + COUNT 3")[2][0].text();
    c.expect_ok(&format!("XGROUP CREATE ev middle {third}"));
    assert_eq!(missed(&mut c), Value::Int(0), "nothing is trimmed");
    assert_eq!(c.line("XTRIM ev MAXLEN 5"), Value::Int(5));
    assert!(missed(&mut c).is_null());
    let mut resp3 = server.client().hello3();
    assert_eq!(missed(&mut resp3), Value::Null);
    // What is known of others is told.
    c.expect_ok("XGROUP CREATE ev first 0");
    assert_eq!(missed(&mut c), Value::Int(5));
    read(&mut c, "middle", 1);
    read(&mut c, "first", 1);
    assert_eq!(missed(&mut c), Value::Int(0));
    // What was deleted one by one may have been read.
    let last = c.line("XREVRANGE ev + - COUNT 1")[0][0].text();
    assert_eq!(c.line(&format!("XDEL ev {last}")), Value::Int(1));
    assert_eq!(c.line("XTRIM ev MAXLEN 1"), Value::Int(3));
    assert_eq!(c.line("XLEN ev"), Value::Int(1));
    let only = c.line("XRANGE ev - +")[0][0].text();
    assert_eq!(c.line(&format!("XDEL ev {only}")), Value::Int(1));
    assert!(missed(&mut c).is_null());
    // No stream, and none that is one.
    c.line("DEL ev");
    assert_eq!(missed(&mut c), Value::Int(0));
    c.expect_ok("SET ev x");
    assert!(missed(&mut c).is_null());
    assert_eq!(cmd!(c, "MODQ.CONFIGURE", "q", "EVENTS", ""), ok());
    assert_eq!(missed(&mut c), Value::Int(0));
}

matrix!(of_the_group_that_fell_behind, null_where_it_cannot_be_known);
