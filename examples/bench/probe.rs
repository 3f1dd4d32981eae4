//! What the server's main thread has spent, and which cores are whose.

use std::fs;
use std::time::{Duration, Instant};

/// Reads what a process's main thread has spent.
pub(crate) struct Probe {
    pid: u32,
    counter: Option<i32>,
}

#[derive(Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) cpu: f64,
    pub(crate) instructions: Option<u64>,
}

/// The first published version of the kernel's structure, which every later kernel takes.
#[repr(C)]
#[derive(Default)]
struct PerfEventAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    bp_addr: u64,
}

impl Probe {
    pub(crate) fn new(pid: u32) -> Probe {
        Probe {
            pid,
            counter: count_instructions(pid as i32),
        }
    }

    pub(crate) fn read(&self) -> Spent {
        let instructions = self.counter.and_then(|counter| {
            let mut count = 0u64;
            // SAFETY: the descriptor is open and the answer is one u64.
            let read = unsafe { libc::read(counter, (&raw mut count).cast(), 8) };
            (read == 8).then_some(count)
        });
        Spent {
            cpu: self.cpu(),
            instructions,
        }
    }

    /// Seconds of processor time: utime and stime of /proc/pid/stat, which /proc/pid/task/pid/schedstat has in
    /// nanoseconds instead of hundredths of a second.
    fn cpu(&self) -> f64 {
        let path = format!("/proc/{0}/task/{0}", self.pid);
        let first = |text: String| text.split(' ').next()?.parse::<f64>().ok();
        if let Some(ns) = fs::read_to_string(format!("{path}/schedstat"))
            .ok()
            .and_then(first)
            .filter(|&ns| ns > 0.0)
        {
            return ns / 1e9;
        }
        let stat = fs::read_to_string(format!("{path}/stat")).expect("the server runs");
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|n| n.parse::<u64>().ok())
            .sum();
        // SAFETY: a question about a constant.
        ticks as f64 / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some(counter) = self.counter {
            // SAFETY: ours, and closed once.
            unsafe { libc::close(counter) };
        }
    }
}

/// A counter of a thread's user-space instructions: what `perf stat -e instructions:u -t` counts.
fn count_instructions(thread: i32) -> Option<i32> {
    const HARDWARE: u32 = 0;
    const INSTRUCTIONS: u64 = 1;
    const EXCLUDE_KERNEL: u64 = 1 << 5;
    const EXCLUDE_HYPERVISOR: u64 = 1 << 6;
    let attr = PerfEventAttr {
        kind: HARDWARE,
        size: size_of::<PerfEventAttr>() as u32,
        config: INSTRUCTIONS,
        flags: EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR,
        ..PerfEventAttr::default()
    };
    // SAFETY: the structure says its own size; no group, any processor.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attr,
            thread,
            -1,
            -1,
            8,
        )
    };
    i32::try_from(fd).ok().filter(|&fd| fd >= 0)
}

/// Two cores, one for the server and one for the clients, if there are two.
pub(crate) fn two_cores() -> Option<(usize, usize)> {
    // SAFETY: the set is plain bits, as large as said.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
        set
    };
    // SAFETY: looks at bits inside the set.
    let mut cores =
        (0..libc::CPU_SETSIZE as usize).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) });
    Some((cores.next()?, cores.next()?))
}

/// Keeps this thread, and those it starts, on a core.
pub(crate) fn pin(core: usize) {
    // SAFETY: the set is plain bits, as large as said.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

/// Lets this thread run before others where the system allows it, and wake up on the dot.
pub(crate) fn hurry() {
    // SAFETY: parameters on the stack; a refusal changes nothing.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1);
        let mut parameters: libc::sched_param = std::mem::zeroed();
        parameters.sched_priority = 1;
        libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters);
    }
}

/// Waits until others leave the machine's cores alone, at most `limit`. The server and its clients are to be idle.
pub(crate) fn wait_for_quiet(limit: Duration) {
    let idle = || {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let cpu = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = cpu
            .split_whitespace()
            .skip(1)
            .filter_map(|n| n.parse().ok())
            .collect();
        // user nice system idle iowait …
        let idle = ticks.get(3).copied().unwrap_or(0) + ticks.get(4).copied().unwrap_or(0);
        (idle, ticks.iter().take(8).sum::<u64>())
    };
    let start = Instant::now();
    while start.elapsed() < limit {
        let before = idle();
        std::thread::sleep(Duration::from_millis(250));
        let after = idle();
        if (after.0 - before.0) as f64 >= 0.96 * (after.1 - before.1) as f64 {
            return;
        }
    }
}
