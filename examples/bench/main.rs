//! Measures the module against its targets and prints one table; `docs/benchmarks.md` says how to read it.

mod batches;
mod latency;
mod limits;
mod load;
mod long;
mod memory;
mod probe;
mod stalls;
mod table;
mod throughput;
mod turns;
mod waves;
mod works;
mod writes;

use load::Load;
use modq_testkit::{Client, Server, end_with_signals};
use probe::Probe;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use table::{Table, Verdict};

/// How much of the server's core has to be busy in both arms of a pair that counts.
pub(crate) const BUSY: f64 = 0.95;
pub(crate) const CONNECTIONS: usize = 50;

/// How long and how often things are done.
pub(crate) struct Plan {
    /// To see that everything works, not to measure.
    pub(crate) quick: bool,
    pub(crate) pairs: usize,
    /// One arm of a pair.
    pub(crate) arm: Duration,
    /// Items of the large queues, a million.
    pub(crate) many: u64,
    /// Keys of the rate limits.
    pub(crate) keys: u64,
    /// Windows in which stalls are looked for.
    pub(crate) windows: usize,
    pub(crate) window: Duration,
    /// Locks that expire at once.
    pub(crate) locks: u64,
    /// How long to wait, before each turn, for others to leave the machine alone.
    pub(crate) patience: Duration,
}

impl Plan {
    /// How many turns to try for as many pairs as wanted.
    pub(crate) fn most_turns(&self) -> usize {
        self.pairs + self.pairs.div_ceil(2)
    }

    const FULL: Plan = Plan {
        quick: false,
        pairs: 5,
        arm: Duration::from_millis(750),
        many: 1_000_000,
        keys: 100_000,
        windows: 5,
        window: Duration::from_secs(10),
        locks: 100_000,
        patience: Duration::ZERO,
    };
    const QUICK: Plan = Plan {
        quick: true,
        pairs: 1,
        arm: Duration::from_millis(150),
        many: 100_000,
        keys: 10_000,
        windows: 1,
        window: Duration::from_millis(1500),
        locks: 10_000,
        patience: Duration::ZERO,
    };
}

/// What every measurement works with.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) load: Load,
    pub(crate) probe: Probe,
    pub(crate) plan: Plan,
    pub(crate) table: Table,
    /// The longest gaps of windows with nothing to do; the same for every kind of load.
    pub(crate) idle: Vec<stalls::Gap>,
    only: String,
}

impl Bench {
    /// Whether a measurement of this name is asked for; says that it begins.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let wanted = name.to_lowercase().contains(&self.only);
        if wanted {
            eprintln!("{name}");
        }
        wanted
    }

    /// Whether the server has a command.
    pub(crate) fn has(&mut self, command: &str) -> bool {
        !self.client.cmd(&["COMMAND", "INFO", command])[0].is_null()
    }

    /// Empties the server.
    pub(crate) fn clear(&mut self) {
        self.client.expect_ok("FLUSHALL SYNC");
    }

    /// "1,000,000" or what stands for it.
    pub(crate) fn many(&self) -> String {
        grouped(self.plan.many)
    }
}

/// A number with commas.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const USAGE: &str = "\
usage: make bench, or: cargo run --release --example bench -- [--quick] [--patient] [--only WORD]
  --quick      a smoke run of less than a minute, whose figures mean nothing
  --patient    on a machine shared with others: before each turn, waits up to a minute until they leave it alone
  --only WORD  only the measurements whose name has WORD in it (any case); --list shows the names
environment: MODQ_SO the module, MODQ_SERVER the server's program, MODQ_REDIS_CELL redis-cell's library";

/// The measurements, in order.
type Measurement = (&'static str, fn(&mut Bench, &str));
const MEASUREMENTS: &[Measurement] = &[
    ("ratelimit LOG, admitted", limits::limit),
    ("ratelimit LOG, denied", limits::limit),
    ("ratelimit GCRA, admitted", limits::limit),
    ("ratelimit GCRA, denied", limits::limit),
    ("modq cycle", throughput::cycle),
    ("modq cycle, backlog", throughput::cycle),
    ("modq cycle, priorities", throughput::cycle),
    ("modq batches", batches::batches),
    ("modq events", throughput::events),
    ("modq writes, many and few items", writes::writes),
    ("modq blocked claim", latency::blocked),
    ("rank add and get", throughput::rank),
    ("memory of modq", memory::items),
    ("memory of ratelimit", memory::limiter),
    ("memory of rank", memory::rank),
    ("stall modq locks expire", stalls::expiry),
    ("stall modq commands", stalls::commands),
    ("stall modq wave", waves::wave),
    ("load of modq from RDB", stalls::load),
    ("long commands on queues", long::queues),
    ("long commands on limits", long::limits),
];

fn main() -> ExitCode {
    let (mut plan, mut only) = (Plan::FULL, String::new());
    let mut patience = Duration::ZERO;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match (arg.as_str(), args.len()) {
            ("--quick", _) => plan = Plan::QUICK,
            ("--patient", _) => patience = Duration::from_secs(60),
            ("--only", 1..) => only = args.next().unwrap_or_default().to_lowercase(),
            ("--list", _) => {
                MEASUREMENTS.iter().for_each(|(name, _)| println!("{name}"));
                return ExitCode::SUCCESS;
            }
            ("--help" | "-h", _) => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    end_with_signals();
    plan.patience = patience;
    match run(plan, only) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("modq bench: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(plan: Plan, only: String) -> Result<(), String> {
    let start = Instant::now();
    let cores = probe::two_cores();
    let mut server = Server::installed()
        .config("enable-protected-configs local")
        .config("slowlog-max-len 1024");
    if let Some(cell) = redis_cell() {
        server = server.config(format!("loadmodule {}", cell.display()));
    }
    if let Some((main, others)) = cores {
        server = server.on_cores(main, others);
        probe::pin(others);
    }
    let server = server.try_start()?;
    let mut client = server.client();
    client.set_timeout(Duration::from_secs(120));
    let mut bench = Bench {
        load: Load::new(server.port(), CONNECTIONS),
        probe: Probe::new(server.pid()),
        plan,
        table: Table::default(),
        idle: Vec::new(),
        server,
        client,
        only,
    };
    for (name, measure) in MEASUREMENTS {
        if bench.wants(name) {
            measure(&mut bench, name);
            bench.clear();
        }
    }
    report(&mut bench, cores, start.elapsed());
    Ok(())
}

/// Where redis-cell is, the module that CL.THROTTLE belongs to, if somebody has built it.
fn redis_cell() -> Option<PathBuf> {
    let given = std::env::var_os("MODQ_REDIS_CELL").map(PathBuf::from);
    let usual = PathBuf::from(".servers/redis-cell/libredis_cell.so");
    let path = given.unwrap_or(usual).canonicalize();
    path.ok()
}

fn report(bench: &mut Bench, cores: Option<(usize, usize)>, took: Duration) {
    let info = bench.client.cmd(&["INFO", "server"]).text();
    let field = |name: &str| {
        let found = info.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or("?").trim().to_owned()
    };
    let name = if info.contains("valkey_version:") {
        format!("Valkey {}", field("valkey_version:"))
    } else {
        format!("Redis {}", field("redis_version:"))
    };
    println!();
    println!("{}", bench.table);
    let cores = match cores {
        Some((server, client)) => format!("server on core {server}, clients on core {client}"),
        None => "ONE CORE for server and clients, so no pair can count".into(),
    };
    println!(
        "{name}, {cores}, {CONNECTIONS} connections, pipeline {}, no AOF, no replica; took {:.0} s.",
        works::PIPELINE,
        took.as_secs_f64()
    );
    println!(
        "Ratios are medians over the pairs of arms, run in turns, in which the server's core was at least {:.0} % busy.",
        BUSY * 100.0
    );
    let (met, missed) = (
        bench.table.count(Verdict::Met),
        bench.table.count(Verdict::Missed),
    );
    println!(
        "{met} met, {missed} missed, {} not judged.",
        bench.table.count(Verdict::Open)
    );
    if bench.plan.quick {
        println!("This was a quick run, to see that everything works: its figures mean nothing.");
    }
}
