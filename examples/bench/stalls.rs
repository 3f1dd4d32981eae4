//! How long the server keeps others waiting, and how long it takes to load.

use super::load::{Load, Work, fill};
use super::probe::{Probe, hurry, wait_for_quiet};
use super::table::Verdict;
use super::turns::{median, ms};
use super::works::{Modq, PAYLOAD, name16};
use super::{BUSY, Bench, grouped};
use modq_testkit::wire::{Cursor, push};
use modq_testkit::{Client, Random, Value, cmd, processor_time};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The longest that a PING was without its answer, in ms, and the most that the server worked meanwhile.
pub(crate) type Gap = (f64, f64);

/// Sends a PING every millisecond while `busy` goes on.
fn longest_gap((port, pid): (u16, u32), busy: impl FnOnce()) -> Gap {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            hurry();
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
            stream.set_nodelay(true).expect("set an option");
            let (mut longest, mut most_worked) = (Duration::ZERO, Duration::ZERO);
            let mut answer = [0; 7];
            let mut due = Instant::now();
            while !over.load(Ordering::Relaxed) {
                due += Duration::from_millis(1);
                match due.checked_duration_since(Instant::now()) {
                    Some(left) => std::thread::sleep(left),
                    None => due = Instant::now(),
                }
                let (sent, worked) = (Instant::now(), processor_time(pid));
                stream.write_all(b"PING\r\n").expect("send");
                stream.read_exact(&mut answer).expect("an answer");
                longest = longest.max(sent.elapsed());
                most_worked = most_worked.max(processor_time(pid) - worked);
            }
            (ms(longest), ms(most_worked))
        });
        // Also if it panics: the watch must not go on for ever.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let end = End(&over);
        busy();
        drop(end);
        watch.join().expect("the watch")
    })
}

/// Median of the longest gaps of windows with nothing to do, and of as many with `load`, in turns where the idle ones are
/// not known yet. `prepare` comes before each window with load, unwatched.
pub(crate) fn gaps(
    bench: &mut Bench,
    mut prepare: impl FnMut(&mut Bench),
    mut load: impl FnMut(&mut Bench, Duration),
) -> [Gap; 2] {
    let window = bench.plan.window;
    let server = (bench.server.port(), bench.server.pid());
    let mut loaded = Vec::new();
    while loaded.len() < bench.plan.windows {
        wait_for_quiet(bench.plan.patience);
        if bench.idle.len() == loaded.len() {
            let idle = longest_gap(server, || std::thread::sleep(window));
            bench.idle.push(idle);
        }
        prepare(bench);
        loaded.push(longest_gap(server, || load(bench, window)));
    }
    eprintln!(
        "    longest gaps, and the server's work in them, ms: idle {:.2?}, under load {loaded:.2?}",
        bench.idle
    );
    [&bench.idle, &loaded].map(|gaps| {
        let all = |of: fn(&Gap) -> f64| median(gaps.iter().map(of).collect());
        (all(|gap| gap.0), all(|gap| gap.1))
    })
}

pub(crate) fn gap_row(bench: &mut Bench, what: String, most: f64, found: [Gap; 2], note: String) {
    let [idle, loaded] = found;
    let over = loaded.0 - idle.0;
    let target = format!("≤ {most:.0} ms above noise");
    let note = format!(
        "{:.2} ms under load, {:.2} idle; the server worked {:.0} ms of it; {note}",
        loaded.0, idle.0, loaded.1
    );
    let (measured, verdict) = match idle.0 > most {
        true => ("too noisy here".to_owned(), Verdict::Open),
        false => (format!("{over:.2} ms"), Verdict::of(over <= most)),
    };
    bench.table.row(what, target, measured, verdict, note);
}

/// Claims and gives back one item at a time, unhurried: the queue is to be busy, not the sockets.
struct Claiming {
    held: Vec<Option<(Vec<u8>, Vec<u8>)>>,
    claims: u64,
}

impl Work for Claiming {
    fn batch(&mut self, conn: usize, out: &mut Vec<u8>) {
        match &self.held[conn] {
            Some((id, token)) => push(out, &[b"MODQ.RELEASE", b"q", id, token]),
            None => {
                let worker = name16(1 << 51 | conn as u64);
                push(out, &[b"MODQ.CLAIM", b"q", &worker, b"NEW"]);
            }
        }
    }

    fn answered(&mut self, conn: usize, data: &[u8]) -> Option<u64> {
        let mut from = Cursor::new(data);
        if self.held[conn].is_some() {
            from.lines(1)?;
            self.held[conn] = None;
        } else {
            self.held[conn] = Some(Modq::claimed(&mut from)?);
            self.claims += 1;
        }
        Some(1)
    }
}

/// 100,000 locks that expire at one instant, while others claim.
pub(crate) fn expiry(bench: &mut Bench, _: &str) {
    let locks = bench.plan.locks;
    let port = bench.server.port();
    fill(port, 2 * locks, |i, out| {
        push(out, &[b"MODQ.SUBMIT", b"q", &name16(i), &PAYLOAD]);
    });
    let mut few = Load::new(port, 8);
    let mut work = Claiming {
        held: vec![None; 8],
        claims: 0,
    };
    // Enough for locking them all before the watch begins.
    let lead = bench.plan.window / 4 + Duration::from_millis(700);
    let prepare = |bench: &mut Bench| {
        let at = now_ms() + lead.as_millis() as u64;
        for i in 0..locks / 1000 {
            let left = at.saturating_sub(now_ms()).max(1);
            let worker = name16(1 << 52 | i);
            let claims = cmd!(
                bench.client,
                "MODQ.CLAIM",
                "q",
                worker,
                "COUNT",
                "1000",
                "LOCK",
                left,
                "NEW"
            );
            assert_eq!(claims.items().len(), 1000, "there are enough items");
        }
        let held = bench.client.line("MODQ.LEN q LOCKED").int() as u64;
        assert!(now_ms() < at && held >= locks, "locked all of them in time");
    };
    let mut claims = Vec::new();
    let mut left = 0;
    let found = gaps(bench, prepare, |bench, window| {
        work.claims = 0;
        let slack = Duration::ZERO;
        few.run(&mut work, &bench.probe, slack, window);
        claims.push(work.claims as f64 / window.as_secs_f64());
        left = left.max(bench.client.line("MODQ.LEN q LOCKED").int());
    });
    let note = format!(
        "{:.0} claims and releases a second meanwhile",
        median(claims)
    );
    let what = format!("{} locks expire at once", grouped(locks));
    if left as u64 > locks / 100 {
        let why = format!("{left} of the locks did not expire in their window");
        bench.table.absent(what, "≤ 5 ms above noise", &why);
        return;
    }
    gap_row(bench, what, 5.0, found, note);
}

fn now_ms() -> u64 {
    modq_testkit::now_ms() as u64
}

/// Every command there is on a queue of a million, one after the other, and then UNLINK of as many.
pub(crate) fn commands(bench: &mut Bench, _: &str) {
    let many = bench.plan.many;
    fill(bench.server.port(), many, |i, out| {
        let priority = [b'0' + (i % 10) as u8];
        push(
            out,
            &[
                b"MODQ.SUBMIT",
                b"q",
                &name16(i),
                &PAYLOAD,
                b"PRIORITY",
                &priority,
            ],
        );
    });
    let lines: Vec<&str> = ROUND
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .filter(|line| bench.has(line.split(' ').next().unwrap_or_default()))
        .collect();
    bench
        .client
        .expect_ok("CONFIG SET slowlog-log-slower-than 500");
    bench.client.expect_ok("SLOWLOG RESET");
    let mut random = Random::new(1);
    let (mut rounds, mut refused) = (0, HashMap::new());
    let prepare = |bench: &mut Bench| {
        assert_eq!(bench.client.line("COPY q away").int(), 1, "COPY works");
        bench.client.expect_ok("SLOWLOG RESET");
    };
    let mut slow: HashMap<String, f64> = HashMap::new();
    let found = gaps(bench, prepare, |bench, window| {
        let start = Instant::now();
        let mut unlinked = false;
        while start.elapsed() < window {
            rounds += 1;
            round(&mut bench.client, &lines, &mut random, many, &mut refused);
            if !unlinked && start.elapsed() > window / 2 {
                unlinked = true;
                bench.client.line("UNLINK away");
            }
        }
        slowest(&mut bench.client, &mut slow);
    });
    for (line, answer) in refused {
        eprintln!("    {line}: {answer}");
    }
    let note = format!(
        "{} commands, {rounds} rounds; slowest by the server's log: {}",
        lines.len(),
        three_slowest(slow)
    );
    let what = format!("{} items: every command, and UNLINK", grouped(many));
    gap_row(bench, what, 2.0, found, note);
    bench
        .client
        .expect_ok("CONFIG SET slowlog-log-slower-than 10000");
}

/// The longest that each command took, by SLOWLOG.
fn slowest(client: &mut Client, longest: &mut HashMap<String, f64>) {
    for entry in client.line("SLOWLOG GET 1000").items() {
        let words = entry[3].items();
        let mut name = words[0].text().to_uppercase();
        if let Some(at) = words.iter().position(|word| word.bytes() == b"COUNT") {
            name += &format!(" COUNT {}", words[at + 1].text());
        }
        let ms = entry[2].int() as f64 / 1e3;
        if name.starts_with("MODQ.") || name == "UNLINK" {
            let most = longest.entry(name).or_default();
            *most = most.max(ms);
        }
    }
}

/// The three that took longest.
fn three_slowest(longest: HashMap<String, f64>) -> String {
    let mut longest: Vec<_> = longest.into_iter().collect();
    longest.sort_by(|a, b| b.1.total_cmp(&a.1));
    let shown = longest.iter().take(3);
    let shown = shown.map(|(name, ms)| format!("{name} {ms:.1} ms"));
    match longest.is_empty() {
        true => "none over 0.5 ms".into(),
        false => shown.collect::<Vec<_>>().join(", "),
    }
}

/// A round of commands. `$new` is an id that is not in the queue, `$any` one that most likely is, `$item` and `$token`
/// what was claimed last, `$mod` somebody.
const ROUND: &str = "
    MODQ.SUBMIT q $new payload PRIORITY 5
    MODQ.SUBMIT q $any payload ONDUP BUMP
    MODQ.SUBMIT q $any payload PRIORITY 3 ONDUP REPLACE
    MODQ.UPDATE q $any PRIORITY 9
    MODQ.UPDATE q $any PRIORITY 1 TAGS 2 x y
    MODQ.UPDATE q $any TAGS 0
    MODQ.CLAIM q $mod NEW
    MODQ.EXTEND q $item $token 60000
    MODQ.RELEASE q $item $token SKIP
    MODQ.CLAIM q $mod NEW TAGS 2 x y
    MODQ.RESOLVE q $item $token VERDICT keep DECISION fine
    MODQ.CLAIM q $mod COUNT 1000 LOCK 20
    MODQ.HELD q $mod COUNT 1000
    MODQ.MEXTEND q 60000 $claimed
    MODQ.MRESOLVE q $claimed
    MODQ.MSUBMIT q $batch
    MODQ.CANCEL q $new
    MODQ.GET q $any
    MODQ.LEN q
    MODQ.LEN q LOCKED
    MODQ.PEEK q COUNT 1000
    MODQ.PEEK q COUNT 1000 FOR $mod
    MODQ.POSITION q $any
    MODQ.LIST q READY COUNT 1000
    MODQ.LIST q LOCKED COUNT 1000
    MODQ.STATS q
    MODQ.STATS q BRIEF
    MODQ.WAITERS q COUNT 1000
    MODQ.WHY q $any $mod
    MODQ.MCLAIM 2 none q $mod NEW LOCK 20
    MODQ.CONFIGURE q RETAIN 60000
    MODQ.MSUBMIT q $batch GROUP wave PRIORITY 100
    MODQ.GROUP q wave COUNT 1000
    MODQ.CLAIM q $mod NEW COUNT 1000 LOCK 200 WITHGROUP
    MODQ.RESOLVE q $item $token VERDICT spam DECISION why ALSO 1000
    MODQ.MSUBMIT q $batch GROUP wave
    MODQ.CANCELGROUP q wave
    MODQ.DECIDED q $item
    MODQ.FORGET q $item
    MODQ.SUBMIT q $new payload QUORUM 2 3 PRIORITY 100
    MODQ.CLAIM q $mod NEW LOCK 20
    MODQ.RESOLVE q $item $token VERDICT keep
    MODQ.SUBMIT q $item payload ONDECIDED APPEAL
    MODQ.JOIN q $mod TTL 1000
    MODQ.LEAVE q $mod RELEASE
    MODQ.ASSIGN q $any $mod LOCK 20
    MODQ.PAUSE q
    MODQ.UNPAUSE q
    MODQ.REVIVE q ALL
    MODQ.CONFIGURE q CAPACITY 0
    MODQ.CONFIGURE q MAXEXPIRIES 0
    MODQ.SUBMIT q $new payload
    MODQ.MOVE q other $new
    MODQ.MOVE other q $new
";

/// A thousand new items with their payloads, after their number.
fn batch(first: u64) -> Vec<String> {
    let name = |n| String::from_utf8_lossy(&name16(n)).into_owned();
    let items = (first..first + 1000).flat_map(|n| [name(n), "payload".into()]);
    ["1000".to_owned()].into_iter().chain(items).collect()
}

fn round(
    client: &mut Client,
    lines: &[&str],
    random: &mut Random,
    many: u64,
    refused: &mut HashMap<String, String>,
) {
    let text = |n: u64| String::from_utf8_lossy(&name16(n)).into_owned();
    let moderator = format!("m{}", random.below(1000));
    let new = text(1 << 45 | random.below(1 << 40));
    let (mut item, mut token) = (String::new(), String::new());
    // How many the last CLAIM answered, and of each item and token.
    let mut claimed = Vec::new();
    for line in lines {
        let words: Vec<String> = line
            .split(' ')
            .flat_map(|word| match word {
                "$new" => vec![new.clone()],
                "$any" => vec![text(random.below(many))],
                "$item" => vec![item.clone()],
                "$token" => vec![token.clone()],
                "$mod" => vec![moderator.clone()],
                "$claimed" => claimed.clone(),
                "$batch" => batch(1 << 44 | random.below(1 << 40)),
                word => vec![word.to_owned()],
            })
            .collect();
        let reply = client.cmd(&words);
        if line.starts_with("MODQ.CLAIM") && !reply.is_null() {
            let pair = |claim: &Value| [claim[0].text(), claim[2].int().to_string()];
            [item, token] = pair(&reply[0]);
            claimed = vec![reply.items().len().to_string()];
            claimed.extend(reply.items().iter().flat_map(pair));
        }
        // Items locked by the way, or resolved, are nothing to worry about.
        if !["", "STALE", "NOITEM", "EXISTS"].contains(&reply.err_code()) {
            refused.insert(line.to_string(), format!("{reply:?}"));
        }
    }
}

/// How long an RDB file of a million items takes, against the same in a sorted set and a hash.
pub(crate) fn load(bench: &mut Bench, _: &str) {
    let (port, many) = (bench.server.port(), bench.plan.many);
    let save = |client: &mut Client, name: &str| {
        client.expect_ok(&format!("CONFIG SET dbfilename {name}"));
        client.expect_ok("SAVE");
    };
    fill(port, many, |i, out| {
        push(out, &[b"MODQ.SUBMIT", b"q", &name16(i), &PAYLOAD]);
    });
    save(&mut bench.client, "queue.rdb");
    bench.clear();
    fill(port, many, |i, out| {
        let submitted = (1_700_000_000_000 + i).to_string();
        push(out, &[b"ZADD", b"z", submitted.as_bytes(), &name16(i)]);
    });
    fill(port, many, |i, out| {
        push(out, &[b"HSET", b"h", &name16(i), &PAYLOAD]);
    });
    save(&mut bench.client, "native.rdb");
    let seconds = |bench: &mut Bench, name: &str| {
        bench.clear();
        let client = &mut bench.client;
        client.expect_ok(&format!("CONFIG SET dbfilename {name}"));
        let (start, before) = (Instant::now(), Probe::read(&bench.probe));
        client.expect_ok("DEBUG RELOAD NOSAVE");
        let wall = start.elapsed().as_secs_f64();
        let busy = (bench.probe.read().cpu - before.cpu) / wall;
        (wall, busy)
    };
    let (mut ratios, mut pairs, mut times) = (Vec::new(), 0, Vec::new());
    while ratios.len() < bench.plan.pairs && pairs < bench.plan.most_turns() {
        pairs += 1;
        wait_for_quiet(bench.plan.patience);
        let (ours, busy) = seconds(bench, "queue.rdb");
        assert_eq!(bench.client.line("MODQ.LEN q").int() as u64, many);
        let (native, native_busy) = seconds(bench, "native.rdb");
        if busy.min(native_busy) >= BUSY {
            ratios.push(native / ours);
        }
        times.push((ours, native));
    }
    let note = format!(
        "{} of {pairs} pairs counted; {:.2} s against {:.2} s",
        ratios.len(),
        median(times.iter().map(|time| time.0).collect()),
        median(times.iter().map(|time| time.1).collect())
    );
    let what = format!("RDB load of {} items ÷ sorted set and hash", grouped(many));
    let (measured, verdict) = match ratios.len() {
        0 => ("core not busy enough".into(), Verdict::Open),
        _ => {
            let found = median(ratios);
            (format!("{found:.2}"), Verdict::of(found >= 1.0))
        }
    };
    bench.table.row(what, "≥ 1.00", measured, verdict, note);
}
