//! RESTORE of what somebody made up: it costs about what it weighs, and is held to what commands are held to.

use modq_core::codec::encode;
use modq_testkit::dump::*;
use modq_testkit::queue::*;
use modq_testkit::*;
use serde_bytes::Bytes;
use std::time::Duration;

/// Bytes that a payload unfolds to: 763 KB as LZF packs them.
const UNFOLDED: usize = 67 << 20;

/// The body of a DUMP of `key`, and the version that RESTORE wants.
fn dumped(c: &mut Client, key: &str) -> (Vec<u8>, [u8; 2]) {
    unsign_dump(c.line(&format!("DUMP {key}")).bytes())
}

/// The head of a queue that has given many numbers.
fn head() -> Vec<u8> {
    let settings = (1u64, 0u64, 0u64, 0u64, false, 0u64, Bytes::new(b""), 0u64);
    let numbers = (5u64, 1u64 << 40, 1u64 << 30);
    let totals = (0u64, 0u64, 0u64, 0u64, 0u64, 0u64);
    encode(&(0u32, settings, (false, false), numbers, totals, [0u8, 0]))
}

/// A chunk of one item.
fn item(id: &[u8], tags: &[&Bytes], excluded: &[(&Bytes, bool)]) -> Vec<u8> {
    let content = (1u64, Bytes::new(id), Bytes::new(b""), 0i32, 0i64);
    let times = (5u64, 1u32, 0u32, 0u32);
    let rare = Some((0u64, excluded, 1u32, 0u32, false, None::<u8>));
    encode(&(1u32, [1u8], content, times, tags, rare))
}

/// What it is, a DUMP of the same type, a chunk before, how the chunk begins and what it repeats.
type Case<'a> = (
    &'a str,
    &'a (Vec<u8>, [u8; 2]),
    Option<Vec<u8>>,
    Vec<u8>,
    &'a [u8],
);

/// The most memory that the server's process has ever had, bytes: INFO sees nothing of what a command gave back.
fn high_water(c: &mut Client) -> usize {
    let pid = info_number(c, "server", "process_id");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process here");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.expect("a number") << 10
}

fn small_payloads_cost_little(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    submit(&mut c, "q i p");
    c.line("RATELIMIT.CHECK l 5 600000");
    c.line("RATELIMIT.ACQUIRE s 5 me TTL 600000");
    let [q, l, s] = ["q", "l", "s"].map(|key| dumped(&mut c, key));
    let list = |start: &[u8], least: usize| [start, &encode(&(UNFOLDED / least))].concat();
    let no_entry = [0u8].as_slice();
    let items = [vec![0; 14], vec![0]].concat();
    let cases: [Case<'_>; 8] = [
        ("items", &q, Some(head()), list(&[1], 14), no_entry),
        (
            "items of 15 bytes",
            &q,
            Some(head()),
            list(&[1], 15),
            &items,
        ),
        ("moderators", &q, Some(head()), list(&[2], 8), no_entry),
        ("a head", &q, None, vec![0; 6], no_entry),
        (
            "runs",
            &l,
            None,
            list(&encode(&(1u32, 1000u64, 9u64)), 2),
            no_entry,
        ),
        (
            "alike runs",
            &l,
            None,
            list(&encode(&(1u32, 1000u64, 9u64)), 3),
            &[1, 1],
        ),
        ("ids", &l, None, list(&[5], 9), no_entry),
        (
            "leases",
            &s,
            Some(encode(&(0u32, 9u64))),
            list(&[1], 6),
            no_entry,
        ),
    ];
    let at_first = high_water(&mut c);
    for (what, (like, version), before, start, unit) in cases {
        let mut strings: Vec<Vec<u8>> = before.iter().map(|chunk| plain_string(chunk)).collect();
        strings.push(repeating_string(&start, unit, UNFOLDED / unit.len()));
        strings.push(plain_string(b""));
        let payload = sign_dump(&module_body(like, &strings), *version);
        assert!(payload.len() < 800_000, "{}", payload.len());
        let before = high_water(&mut c);
        let (reply, work) = work_during(server.pid(), || cmd!(c, "RESTORE", "x", 0, &payload));
        assert_err!(reply, "ERR");
        let more = high_water(&mut c) - before;
        // The server itself unfolds the string, and hands it on.
        assert!(more < 4 * UNFOLDED, "{what}: {more} bytes");
        assert!(work < Duration::from_secs(3), "{what}: {work:?}");
    }
    let seen = high_water(&mut c) - at_first;
    assert!(seen >= UNFOLDED, "they were unfolded: {seen}");
}

fn what_commands_refuse_restore_refuses(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let numbered: Vec<Vec<u8>> = (0..1001).map(|i| format!("n{i}").into_bytes()).collect();
    let names = |n: usize| {
        numbered[..n]
            .iter()
            .map(|n| Bytes::new(n))
            .collect::<Vec<_>>()
    };
    let named = |n: usize, skip| names(n).into_iter().map(|m| (m, skip)).collect::<Vec<_>>();
    let long = |n| vec![b'x'; n];

    // All that commands can make goes through DUMP and RESTORE.
    let mut command: Vec<Vec<u8>> = ["MODQ.SUBMIT", "q"].map(Arg::to_arg).to_vec();
    command.extend([long(512), b"p".to_vec(), b"TAGS".to_vec(), b"64".to_vec()]);
    command.extend((0..64).map(|i| [format!("{i:03}").into_bytes(), long(252)].concat()));
    command.extend([b"EXCLUDE".to_vec(), b"1000".to_vec()]);
    command.extend_from_slice(&numbered[..1000]);
    assert_eq!(c.cmd(&command[..]), simple("READY"));
    let (body, version) = dumped(&mut c, "q");
    assert_eq!(
        cmd!(c, "RESTORE", "same", 0, sign_dump(&body, version)),
        ok()
    );
    assert_eq!(digest(&mut c, "same"), digest(&mut c, "q"));

    let (most, over) = (long(255), long(256));
    let cases = [
        (item(b"i", &names(64), &[]), true),
        (item(b"i", &names(65), &[]), false),
        (item(b"i", &[Bytes::new(&most)], &[]), true),
        (item(b"i", &[Bytes::new(&over)], &[]), false),
        (item(b"i", &[Bytes::new(b"")], &[]), false),
        (item(b"i", &[], &named(1000, false)), true),
        (item(b"i", &[], &named(1001, false)), false),
        (item(b"i", &[], &named(1001, true)), true),
        (item(&long(512), &[], &[]), true),
        (item(&long(513), &[], &[]), false),
    ];
    for (i, (chunk, taken)) in cases.iter().enumerate() {
        let strings = [&head(), chunk, &vec![]].map(|chunk| plain_string(chunk));
        let payload = sign_dump(&module_body(&body, &strings), version);
        let reply = cmd!(c, "RESTORE", "x", 0, payload, "REPLACE");
        assert_eq!(reply == ok(), *taken, "case {i}: {reply:?}");
    }
}

matrix!(
    small_payloads_cost_little,
    what_commands_refuse_restore_refuses
);
