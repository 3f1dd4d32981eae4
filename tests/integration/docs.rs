//! The documentation against the source and a real server: every command has its section, every `console` block is run
//! and answers as written, and every figure on memory holds.
//!
//! In a block, `> ` begins a command and the lines below are its reply as redis-cli shows it. `…` stands for anything, a
//! line of it for any lines. Numbers of twelve and more digits (tokens, times) stand for those of the day: the same
//! number in the documentation must be the same number here, also where a later command uses it. `# 20 ms later` waits.
//! Each heading `## …` begins with an empty server.

use modq_testkit::*;
use std::collections::{BTreeMap, BTreeSet};

fn read(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every command clients may use as (name, syntax, complexity), as the source has it.
fn commands() -> Vec<(String, String, String)> {
    use modq::commands::{all, limiter::POLICY};
    let upper = |name: &std::ffi::CStr| name.to_str().unwrap().to_uppercase();
    let policy = upper(POLICY.name);
    let plain = all().map(|c| (upper(c.name), c.syntax, c.complexity));
    let sub = POLICY.subcommands.iter();
    let sub = sub.map(|c| {
        (
            format!("{policy} {}", upper(c.name)),
            c.syntax,
            c.complexity,
        )
    });
    plain
        .chain(sub)
        .filter(|(name, ..)| !name.contains("._"))
        .map(|(name, syntax, complexity)| {
            let line = words(&format!("{name} {syntax}"));
            (name, line, words(complexity))
        })
        .collect()
}

#[test]
fn every_command_has_its_section() {
    let text = read("docs/commands.md");
    let sections: BTreeMap<&str, &str> = text
        .split("\n### ")
        .skip(1)
        .map(|s| s.split_once('\n').unwrap())
        .collect();
    let known = commands();
    for (name, syntax, complexity) in &known {
        let section = sections
            .get(name.as_str())
            .unwrap_or_else(|| panic!("no section ### {name}"));
        let shown = section
            .split("```text\n")
            .nth(1)
            .and_then(|s| s.split("```").next());
        assert_eq!(words(shown.unwrap_or_default()), *syntax, "syntax line");
        let complexity = format!("Complexity: {complexity}.");
        assert!(
            words(section).contains(&complexity),
            "{name} lacks: {complexity}"
        );
        assert!(section.contains("```console\n"), "{name} has no example");
    }
    let names: BTreeSet<&str> = known.iter().map(|(name, ..)| name.as_str()).collect();
    let documented: BTreeSet<&str> = sections.keys().copied().collect();
    assert_eq!(documented, names, "sections of commands there are not");

    let server = Server::builder(Kind::Redis70).start();
    let listed = server
        .client()
        .line("COMMAND LIST FILTERBY MODULE modq")
        .items()
        .iter()
        .map(|name| name.text().to_uppercase().replace('|', " "))
        .filter(|name| !name.contains("._") && name != "RATELIMIT.POLICY")
        .collect::<BTreeSet<String>>();
    assert_eq!(listed, names.iter().map(|name| name.to_string()).collect());
}

#[test]
fn every_dependency_has_its_line() {
    let text = read("docs/dependencies.md");
    let mut found = BTreeSet::new();
    for manifest in [
        "Cargo.toml",
        "core/Cargo.toml",
        "core/fuzz/Cargo.toml",
        "testkit/Cargo.toml",
    ] {
        let mut relevant = false;
        for line in read(manifest).lines() {
            if line.starts_with('[') {
                relevant = line.ends_with("dependencies]");
            } else if let Some((name, _)) = line.split_once(" = ").filter(|_| relevant) {
                assert!(text.contains(&format!("`{name}`")), "no line for {name}");
                found.insert(name.to_owned());
            }
        }
    }
    for name in ["redis-module", "serde", "libc", "proptest"] {
        assert!(found.contains(name), "{name} is not among {found:?}");
    }
}

#[test]
fn examples_in_the_readme() {
    assert!(run_examples("README.md") >= 6);
}

#[test]
fn examples_of_the_commands() {
    assert!(run_examples("docs/commands.md") >= commands().len());
}

#[test]
fn examples_for_clients() {
    assert!(run_examples("docs/clients.md") >= 1);
}

#[test]
fn examples_of_a_fair_review() {
    assert!(run_examples("docs/fair-review.md") >= 3);
}

#[test]
fn examples_for_who_comes_from_another_queue() {
    assert!(run_examples("docs/coming-from.md") >= 1);
}

#[test]
fn examples_for_operators() {
    assert!(run_examples("docs/operations.md") >= 10);
}

/// What INFO shows is explained, and nothing else is.
#[test]
fn every_field_of_info_is_explained() {
    let server = Server::builder(Kind::Redis70).start();
    let shown = info(&mut server.client(), "modq");
    let shown: BTreeSet<&str> = shown.keys().map(String::as_str).collect();
    let text = read("docs/operations.md");
    let table = text.split("## What INFO shows").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let told = rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2));
    assert_eq!(told.collect::<BTreeSet<_>>(), shown);
}

#[test]
fn examples_of_boards() {
    assert!(run_examples("docs/rank.md") >= 10);
}

#[test]
fn examples_of_rate_limits() {
    assert!(run_examples("docs/ratelimit.md") >= 10);
}

/// Runs the `console` blocks of a file; answers how many commands they hold.
fn run_examples(path: &str) -> usize {
    let server = Server::builder(Kind::Redis70).start();
    let mut c = server.client();
    let text = read(path);
    let mut known = BTreeMap::new();
    let mut count = 0;
    let mut lines = text.lines().enumerate().peekable();
    let mut inside = false;
    while let Some((at, line)) = lines.next() {
        if line.starts_with("## ") {
            clear(&mut c);
        }
        if line.starts_with("```") {
            inside = !inside && line == "```console";
            continue;
        }
        if !inside {
            continue;
        }
        if let Some(ms) = line
            .strip_prefix("# ")
            .and_then(|l| l.strip_suffix(" ms later"))
        {
            let until = now_ms() + ms.parse::<i64>().unwrap();
            wait_until("it is later", PATIENCE, || now_ms() >= until);
            continue;
        }
        let Some(command) = line.strip_prefix("> ") else {
            panic!("{path}:{}: no command: {line}", at + 1);
        };
        let mut expected = Vec::new();
        while let Some((_, line)) = lines
            .next_if(|(_, l)| !l.starts_with("> ") && !l.starts_with("# ") && !l.starts_with("```"))
        {
            expected.push(line);
        }
        let reply = c.cmd(&arguments(&substitute(command, &known)));
        let shown = shown(&reply);
        let actual: Vec<&str> = shown.lines().collect();
        assert!(
            lines_match(&expected, &actual, &mut known),
            "{path}:{}: {command}\nexpected\n{}\nbut it is\n{shown}\n({known:?})",
            at + 1,
            expected.join("\n")
        );
        count += 1;
    }
    count
}

fn clear(c: &mut Client) {
    c.expect_ok("FLUSHALL");
    for name in c.line("RATELIMIT.POLICY LIST").items() {
        cmd!(c, "RATELIMIT.POLICY", "DEL", name);
    }
}

/// The words of a command line; quotes hold words together.
fn arguments(line: &str) -> Vec<String> {
    let (mut all, mut word, mut quote, mut started) = (Vec::new(), String::new(), None, false);
    for ch in line.chars() {
        match (ch, quote) {
            (_, Some(q)) if ch == q => quote = None,
            ('"' | '\'', None) => (quote, started) = (Some(ch), true),
            (' ', None) => {
                if started {
                    all.push(std::mem::take(&mut word));
                }
                started = false;
            }
            _ => {
                word.push(ch);
                started = true;
            }
        }
    }
    if started {
        all.push(word);
    }
    all
}

/// How many digits a text starts with.
fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

const LONG: usize = 12;

fn substitute(command: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = command.to_owned();
    for (documented, real) in known {
        out = out.replace(documented, real);
    }
    out
}

fn lines_match(expected: &[&str], actual: &[&str], known: &mut BTreeMap<String, String>) -> bool {
    match (expected.split_first(), actual.split_first()) {
        (None, None) => true,
        (Some((&"…", rest)), _) => (0..=actual.len()).any(|skip| {
            let mut attempt = known.clone();
            let fits = lines_match(rest, &actual[skip..], &mut attempt);
            if fits {
                *known = attempt;
            }
            fits
        }),
        (Some((e, es)), Some((a, rest))) => {
            line_matches(e, a, known) && lines_match(es, rest, known)
        }
        _ => false,
    }
}

fn line_matches(expected: &str, actual: &str, known: &mut BTreeMap<String, String>) -> bool {
    if let Some(rest) = expected.strip_prefix('…') {
        let starts = actual.char_indices().map(|(at, _)| at);
        return starts
            .chain([actual.len()])
            .any(|at| line_matches(rest, &actual[at..], known));
    }
    let (e, a) = (digits(expected), digits(actual));
    if e >= LONG && a >= LONG {
        let (number, rest) = expected.split_at(e);
        let (real, actual) = actual.split_at(a);
        let bound = known.entry(number.to_owned()).or_insert(real.to_owned());
        return bound == real && line_matches(rest, actual, known);
    }
    match (expected.chars().next(), actual.chars().next()) {
        (None, None) => true,
        (Some(x), Some(y)) if x == y => {
            line_matches(&expected[x.len_utf8()..], &actual[y.len_utf8()..], known)
        }
        _ => false,
    }
}

/// A reply as redis-cli shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::Simple(s) => s.clone(),
        Value::Error(s) => format!("(error) {s}"),
        Value::Int(n) => format!("(integer) {n}"),
        Value::Bulk(b) => format!("\"{}\"", b.escape_ascii()),
        Value::NullBulk | Value::NullArray => "(nil)".into(),
        Value::Array(items) if items.is_empty() => "(empty array)".into(),
        Value::Array(items) => {
            let width = items.len().to_string().len();
            let indent = format!("\n{:1$}", "", width + 2);
            let lines = items.iter().enumerate().map(|(i, item)| {
                let item = shown(item).replace('\n', &indent);
                format!("{:>width$}) {item}", i + 1)
            });
            lines.collect::<Vec<_>>().join("\n")
        }
        other => panic!("not in RESP2: {other:?}"),
    }
}

const ALGOS: [&str; 4] = ["LOG", "COUNTER", "FIXED", "GCRA"];

fn bytes(c: &mut Client, key: &str) -> i64 {
    c.line(&format!("MEMORY USAGE {key} SAMPLES 0")).int()
}

/// What docs/ratelimit.md says of memory. `cargo test --test integration docs::memory -- --nocapture` shows the figures.
#[test]
fn memory_of_limiters() {
    let server = Server::builder(Kind::Redis70).start();
    let mut c = server.client();
    let (one, thousand) = within_a_minute(|| {
        c.expect_ok("FLUSHALL");
        bytes_of_charges(&mut c)
    });
    println!("{:8} {:>10} {:>14}", "", "1 charge", "1000 charges");
    for ((algo, one), thousand) in ALGOS.into_iter().zip(one).zip(thousand) {
        println!("{algo:8} {one:10} {thousand:14}");
        assert!(one <= 200, "{algo}");
        match algo {
            "LOG" => assert!(thousand - one <= 2 * 999, "{algo}"),
            _ => assert_eq!(thousand, one, "{algo}: all in one bucket of a minute"),
        }
    }
}

/// What `work` gives when no minute ended meanwhile.
fn within_a_minute<R>(mut work: impl FnMut() -> R) -> R {
    loop {
        let minute = now_ms() / 60_000;
        let result = work();
        if now_ms() / 60_000 == minute {
            return result;
        }
    }
}

/// The bytes that a limiter of each algorithm has after one charge, and after a thousand.
fn bytes_of_charges(c: &mut Client) -> ([i64; 4], [i64; 4]) {
    let all = |c: &mut Client| ALGOS.map(|algo| bytes(c, &format!("key:{algo}")));
    let mut one = [0; 4];
    for i in 1..=1000 {
        // Each in a millisecond of its own: those of one millisecond share an entry.
        let_pass(0);
        for algo in ALGOS {
            let line = format!("RATELIMIT.CHECK key:{algo} 100000 3600000 ALGO {algo}");
            assert_eq!(c.line(&line)[0], Value::Int(1));
        }
        if i == 1 {
            one = all(c);
        }
    }
    (one, all(c))
}

#[test]
fn memory_of_a_counter_in_full() {
    let server = Server::builder(Kind::Redis70).start();
    let mut c = server.client();
    let mut full = 0;
    // Again if the machine was elsewhere for so long that buckets were left out.
    for _ in 0..20 {
        // 70 buckets' time, of which the window sees at most 61.
        for _ in 0..700 {
            c.line("RATELIMIT.CHECK full 100000 600 ALGO COUNTER");
            let_pass(0);
        }
        full = bytes(&mut c, "full");
        if full >= 700 {
            break;
        }
    }
    println!("COUNTER with every bucket in use: {full}");
    assert!((700..=1400).contains(&full));
}

#[test]
fn memory_of_ids_and_leases() {
    let server = Server::builder(Kind::Redis70).start();
    let mut c = server.client();
    for i in 100..1100 {
        let id = format!("request-{i:08}");
        c.line(&format!("RATELIMIT.CHECK ids 100000 3600000 ID {id}"));
        c.line(&format!("RATELIMIT.ACQUIRE leases 100000 {id} TTL 3600000"));
    }
    for (key, most) in [("ids", 200), ("leases", 160)] {
        let each = bytes(&mut c, key) / 1000;
        println!("each of 1000 {key} of 16 bytes: {each}");
        assert!(each <= most, "{key}");
    }
}

/// The function of the documentation that makes header fields, run by Python on a real reply, gives what its table says.
#[test]
fn header_fields() {
    let text = read("docs/ratelimit.md");
    let block = text.split("```python\n").nth(1).expect("the function");
    let function = block.split("```").next().unwrap();
    let server = Server::builder(Kind::Redis70).start();
    let mut c = server.client();
    let line = "RATELIMIT.CHECK user:1 1 60000 LIMIT 100 3600000 DETAIL";
    assert_eq!(c.line(line)[0], Value::Int(1));
    // What is left of a second is rounded up: any ms but the first.
    wait_until("a ms has gone by", PATIENCE, || {
        c.line("RATELIMIT.PEEK user:1 1 60000 COST 0")[4] != Value::Int(60_000)
    });
    let denied = format!("{:?}", c.line(line));
    let never = format!("{:?}", c.line(&line.replace("DETAIL", "DETAIL COST 1000")));
    let calls = [denied, never].map(|reply| {
        format!("for f in fields({reply}, ['minute', 'hour']).items(): print(*f, sep=': ')")
    });
    let out = std::process::Command::new("python3")
        .args([
            "-c",
            &format!("{function}\n{}\nprint()\n{}", calls[0], calls[1]),
        ])
        .output()
        .expect("python3, which fetching the servers needs too");
    assert!(out.status.success(), "{out:?}");
    let out = String::from_utf8(out.stdout).unwrap();
    let (denied, never) = out.split_once("\n\n").unwrap();
    let mut fields: Vec<&str> = denied.lines().collect();
    fields.sort_unstable();
    assert_eq!(fields.len(), 3, "{denied}");
    for field in fields {
        assert!(
            text.contains(&format!("| `{field}` |")),
            "{field} is not in the table"
        );
    }
    assert!(!never.contains("Retry-After"), "{never}");
}
