//! What clients ask for: one table of every command. A new command is a new line; a test fails until it is there.
//!
//! `[…]` is sent or left out, of `<a|b>` one is sent, and words with `$` stand for (all keys of a line have one hash tag):
//!
//! | words | |
//! |---|---|
//! | `$s` `$r` | a *strict* queue and the other one: the journal knows who has what there |
//! | `$new` `$payload` | an item that never was, and what belongs to the item two words before |
//! | `$ok` `$oi` | an item this client has submitted, with its queue |
//! | `$hk` `$hi` `$ht` `$hr` | an item this client has claimed: queue, item, token, the other queue |
//! | `$me` | this client as a moderator, of whom there is one |
//! | `$lease` `$quota` | a lease for one, and a limit, that the journal knows of |
//! | `$w` `$v` `$i` `$who` | *wild* queues, items and moderators, for all clients: anything happens to them |
//! | `$tk` `$ti` `$tt` | something claimed from a wild queue |
//! | `$l` `$k` `$x` `$req` | limits, leases and requests for all clients |
//! | `$board` `$season` `$zset` | boards, one that was closed, and a sorted set, for all clients |
//! | `$ms` `$n9` `$big` `$dump` | a duration, a number below 9, 4,000 bytes, what DUMP last answered |

use modq_testkit::Random;

/// A weight, and a line.
pub(crate) type Row = (u32, &'static str);

/// Both or none of two items.
pub(crate) const BOTH: &str = "return{redis.pcall('MODQ.SUBMIT',KEYS[1],ARGV[1]..'A',ARGV[2]..'A'),\
                        redis.pcall('MODQ.SUBMIT',KEYS[2],ARGV[1]..'B',ARGV[2]..'B')}";

/// Every command of every family.
pub(crate) const MIX: &[Row] = &[
    (
        30,
        "MODQ.SUBMIT $s $new $payload [PRIORITY $n5] [BOOST $n900] [TAGS 1 <x|y>] [EXCLUDE 1 <m1|none>]",
    ),
    (
        3,
        "MODQ.SUBMIT $s $new $payload DELAY <1|20|3600000> [TAGS 2 x y]",
    ),
    (3, "EVAL $both 2 $s $r $new $payload"),
    (
        4,
        "MODQ.SUBMIT $ok $oi $payload ONDUP <KEEP|BUMP|REPLACE|ERROR> [PRIORITY $n9]",
    ),
    (6, "MODQ.CANCEL $ok $oi [REV $n3]"),
    (
        4,
        "MODQ.UPDATE $ok $oi [PRIORITY $n5] [BOOST $n9] [TAGS <0|1 x>] [EXCLUDE <0|2 m2 $who>] [REV $n3]",
    ),
    (4, "MODQ.MOVE $ok $r $oi [PRIORITY $n5]"),
    (4, "MODQ.ASSIGN $ok $oi $me LOCK <5|30|3600000>"),
    (2, "MODQ.REVIVE $ok $oi"),
    (1, "MODQ.REVIVE $s ALL [COUNT 5]"),
    (
        16,
        "MODQ.CLAIM $s $me NEW [COUNT $n4] LOCK <5|30|3600000> TAGS 2 x y",
    ),
    (
        6,
        "MODQ.CLAIM $s $me [COUNT 3] LOCK <5|30|3600000> [TAGS 1 x]",
    ),
    (
        5,
        "MODQ.CLAIM $s $me NEW BLOCK <1|9> LOCK <30|3600000> TAGS <0|1 rare>",
    ),
    (
        5,
        "MODQ.MCLAIM 2 $s $r $me [NEW] [COUNT 2] LOCK <20|3600000> [BLOCK 3]",
    ),
    (20, "MODQ.RESOLVE $hk $hi $ht [DECISION ok]"),
    (5, "MODQ.RELEASE $hk $hi $ht [SKIP] [DELAY <2|3600000>]"),
    (4, "MODQ.EXTEND $hk $hi $ht <5|50|3600000>"),
    (3, "MODQ.MOVE $hk $hr $hi TOKEN $ht"),
    (4, "MODQ.JOIN $s $me TTL <30|3600000> [COUNT 2] [TAGS 1 x]"),
    (1, "MODQ.LEAVE $s $me [RELEASE]"),
    (2, "MODQ.HELD $s $me"),
    (1, "MODQ.PAUSE $s OUT"),
    (4, "MODQ.UNPAUSE $s"),
    (4, "RATELIMIT.ACQUIRE $lease 1 $me TTL <20|200|3600000>"),
    (4, "RATELIMIT.RELEASE $lease $me"),
    (6, "RATELIMIT.CHECK $quota 1000000000 86400000 COST $n5"),
    // From here on the journal is not concerned.
    (
        8,
        "MODQ.SUBMIT $w $i p [PRIORITY $n5] [DELAY $ms] [TAGS 2 x $who] [EXCLUDE 2 $who $me] [ONDUP <BUMP|REPLACE>]",
    ),
    (1, "MODQ.SUBMIT $w $i $big"),
    (1, "MODQ.SUBMIT $w $i p ONDUP BUMP STEP $n9"),
    (
        3,
        "MODQ.MSUBMIT $w 3 $i p $i p2 $i p3 [PRIORITY $n5] [DELAY $ms] [EXCLUDE 1 $who] [ONDUP <REPLACE|ERROR>]",
    ),
    (3, "MODQ.CANCEL $w $i [REASON $n9] [BY $who]"),
    (
        4,
        "MODQ.SUBMIT $w $i <p|other> ONDECIDED <COUNT|CHANGED|AGAIN|APPEAL> [DELAY $ms]",
    ),
    (
        4,
        "MODQ.SUBMIT $w $i p GROUP <g|h> [TAGS 1 x] [ONDUP REPLACE]",
    ),
    (1, "MODQ.UPDATE $w $i GROUP <g|h>"),
    (
        2,
        "MODQ.CLAIM $w $who WITHGROUP [NEW] [COUNT $n9] [LOCK $ms] [TAGS 1 x]",
    ),
    (
        3,
        "MODQ.RESOLVE $tk $ti $tt ALSO 5 VERDICT <keep|remove> [TAGS 1 x] [CURSOR $n9]",
    ),
    (
        1,
        "MODQ.CANCELGROUP $w <g|h> [COUNT 3] [EXCEPT 1 x] [CURSOR $n9] [REASON $n9] [BY $who]",
    ),
    (1, "MODQ.GROUP $w <g|h> [COUNT 5] [CURSOR $n9]"),
    (
        3,
        "MODQ.UPDATE $w $i [PAYLOAD $big] [TAGS <0|1 x>] [BOOST $n900] [EXCLUDE 1 $who]",
    ),
    (
        6,
        "MODQ.CLAIM $w $who [NEW] [COUNT $n9] [LOCK $ms] [BLOCK 3] [TAGS 1 x]",
    ),
    (3, "MODQ.SUBMIT $w $i p QUORUM 2 <2|3>"),
    (1, "MODQ.UPDATE $w $i QUORUM <1 1|2 2|3 5> REPORTS 3"),
    (2, "MODQ.MCLAIM 3 $w $v $s nobody TAGS 1 none"),
    (3, "MODQ.RESOLVE $tk $ti $tt VERDICT <keep|remove> [REV 1]"),
    (
        2,
        "MODQ.MRESOLVE $tk 2 $i 1 $ti $tt [REVS 1 1] [VERDICT keep]",
    ),
    (3, "MODQ.RELEASE $tk $ti $tt [SKIP] [DELAY $ms]"),
    (2, "MODQ.EXTEND $tk $ti $tt $ms"),
    (2, "MODQ.MEXTEND $tk $ms 2 $ti $tt $i 1"),
    (3, "MODQ.JOIN $w $who [TTL $ms] [COUNT $n9] [TAGS 1 x]"),
    (2, "MODQ.LEAVE $w $who [RELEASE]"),
    (2, "MODQ.ASSIGN $w $i $who [LOCK $ms] [BY $who]"),
    (2, "MODQ.ASSIGN $tk $ti $who TOKEN $tt"),
    (2, "MODQ.MOVE $w $v $i [PRIORITY $n5]"),
    (1, "MODQ.PAUSE $w <IN|OUT|ALL>"),
    (3, "MODQ.UNPAUSE $w"),
    (2, "MODQ.REVIVE $w <ALL|$i>"),
    (
        2,
        "MODQ.CONFIGURE $w [LOCK $ms] [MAXEXPIRIES $n3] [CAPACITY $n9] [LATE <ACCEPT|REJECT>] [MAXLEN <0|30>]",
    ),
    (
        2,
        "MODQ.CONFIGURE $w RETAIN <0|$ms|3600000> [RETAINMAX <0|9>]",
    ),
    (1, "MODQ.CONFIGURE $w EVENTS $ev EVENTSMAXLEN 50"),
    (1, "MODQ.CONFIG $w"),
    (1, "MODQ.GET $w $i"),
    (1, "MODQ.DECIDED $w $i"),
    (1, "MODQ.FORGET $w $i [$i] [BY $who]"),
    (1, "MODQ.LEN $w <READY|LOCKED|DELAYED|DEAD>"),
    (1, "MODQ.PEEK $w COUNT 5 [FOR $who]"),
    (1, "MODQ.POSITION $w $i"),
    (1, "MODQ.LIST $w <READY|LOCKED|DELAYED|DEAD> COUNT 5"),
    (1, "MODQ.WAITERS $w"),
    (1, "MODQ.STATS $w [BRIEF]"),
    (1, "MODQ.WHY $w $i $who"),
    (
        3,
        "RATELIMIT.CHECK $l <5 1000|50 60000 ALGO FIXED|9 2000 ALGO GCRA BURST 3|20 500 ALGO COUNTER> [COST $n3] [PARTIAL]",
    ),
    (
        2,
        "RATELIMIT.CHECK $l 30 60000 LIMIT 300 3600000 ALGO COUNTER ID $req [DETAIL]",
    ),
    (1, "RATELIMIT.CHECK $l POLICY <p0|p1>"),
    (1, "RATELIMIT.PEEK $l 5 1000"),
    (
        2,
        "RATELIMIT.MCHECK 2 $l $k LIMIT 40 1000 LIMIT 9 2000 ALGO GCRA",
    ),
    (1, "RATELIMIT.REFUND $l <COST 2|ID $req>"),
    (1, "RATELIMIT.RESET $l"),
    (1, "RATELIMIT.BLOCK $l $ms"),
    (
        1,
        "RATELIMIT.POLICY SET <p0|p1> 9 1000 [LIMIT 50 60000 ALGO GCRA]",
    ),
    (1, "RATELIMIT.POLICY DEL p1"),
    (1, "RATELIMIT.POLICY GET p0"),
    (1, "RATELIMIT.POLICY LIST"),
    (2, "RATELIMIT.ACQUIRE $x 5 $who TTL $ms [COST 2]"),
    (1, "RATELIMIT.RELEASE $x $who"),
    (1, "RATELIMIT.LEASES $x [COUNT 2]"),
    (
        1,
        "RANK.CREATE $board [ORDER ASC] [UPDATE <BEST|LAST>] [TIES <LATEST|MEMBER>] [CAP 9] [RETRY <0|50>]",
    ),
    (
        1,
        "RANK.CONFIGURE $board [UPDATE <SUM|BEST|LAST>] [RETRY <0|100>]",
    ),
    (
        8,
        "RANK.ADD $board $i $n900 [UPDATE <SUM|BEST|LAST>] [ID $req] [NOCREATE]",
    ),
    (2, "RANK.REM $board $i [SCORE $n900]"),
    (1, "RANK.CLOSE $board $season"),
    (1, "ZADD $zset $n9 $i $n9 $who"),
    (1, "RANK.IMPORT $board $zset"),
    (1, "RANK.GET $board [RANKING <STANDARD|DENSE>] $i $who"),
    (1, "RANK.TOP $board 5 [OFFSET 2] [RANKING DENSE]"),
    (1, "RANK.AROUND $board $i 2 2"),
    (1, "RANK.AMONG $board $i $who"),
    (1, "RANK.COUNT $board $n900"),
    (1, "RANK.PERCENTILE $board $i"),
    (1, "RANK.CARD $board"),
    (1, "RANK.INFO $board"),
    // What the server itself does to keys.
    (1, "<DEL|UNLINK> <$w|$l|$x|$board>"),
    (1, "DEL $season"),
    (1, "COPY $w $v REPLACE"),
    (1, "RENAME $w $v"),
    (1, "PEXPIRE $w <40|100000>"),
    (1, "DUMP <$w|$l|$x|$board>"),
    (1, "RESTORE $v 0 $dump REPLACE"),
];

/// One of the rows, by weight.
pub(crate) fn pick(random: &mut Random) -> usize {
    let all: u32 = MIX.iter().map(|(weight, _)| weight).sum();
    let mut at = random.below(all as usize) as u32;
    let row = MIX
        .iter()
        .position(|(weight, _)| match at.checked_sub(*weight) {
            Some(left) => {
                at = left;
                false
            }
            None => true,
        });
    row.expect("below the sum")
}

/// The line with its choices made.
pub(crate) fn choose(line: &str, random: &mut Random) -> String {
    let mut rest = line.to_owned();
    while let Some(start) = rest.rfind('[') {
        let end = start + rest[start..].find(']').expect("[ is closed");
        let inner = rest[start + 1..end].to_owned();
        let kept = if random.once_in(2) { &*inner } else { "" };
        rest.replace_range(start..=end, kept);
    }
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("< is closed");
        let options: Vec<&str> = rest[start + 1..end].split('|').collect();
        let kept = random.pick(&options).to_string();
        rest.replace_range(start..=end, &kept);
    }
    rest
}
