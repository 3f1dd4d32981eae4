//! Processes that end with this one, however it ends.

use crate::place;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};

/// The ids of the processes that have not been waited for: as long as one is listed, no other process gets its id.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

fn running() -> MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child process. It is waited for, and so taken off the list, under the list's lock only.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts a process that dies with this one. The kernel ties that to the thread that forked, and test threads end,
    /// so one thread that never ends does all the forking.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub fn spawn(mut command: Command) -> io::Result<Process> {
        type Job = (Command, mpsc::Sender<io::Result<Process>>);
        static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
        // A group of its own: Ctrl-C reaches only us, and it ends with us.
        command.process_group(0);
        // SAFETY: what the closure calls is async-signal-safe and touches only memory on its stack.
        unsafe { command.pre_exec(die_with_parent) };
        let spawner = SPAWNER.get_or_init(|| {
            let (jobs, todo) = mpsc::channel::<Job>();
            std::thread::spawn(move || {
                for (command, done) in todo {
                    drop(done.send(listed(command)));
                }
            });
            Mutex::new(jobs)
        });
        let (done, process) = mpsc::channel();
        spawner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send((command, done))
            .expect("the spawner lives");
        process.recv().expect("the spawner answers")
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// What it writes, if its standard output is a pipe and was not taken before.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.0.stdout.take()
    }

    /// The same of its standard error.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.0.stderr.take()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let mut running = running();
        let status = self.0.try_wait().expect("it is our child")?;
        running.retain(|&id| id != self.0.id());
        Some(status)
    }

    /// Kills it, and says how it ended: by our SIGKILL, unless it was quicker.
    pub fn kill(mut self) -> ExitStatus {
        let mut running = running();
        self.0.kill().expect("it is our child");
        let status = self.0.wait().expect("it is our child");
        running.retain(|&id| id != self.0.id());
        status
    }

    /// Lets its files grow to so many bytes, and no further.
    pub(super) fn limit_files(&self, bytes: u64) -> io::Result<()> {
        let id = self.id() as i32;
        // SAFETY: the id is our child's, as whoever has this has not waited for it; both limits are on the stack.
        let failed = unsafe {
            let mut limit: libc::rlimit = std::mem::zeroed();
            libc::prlimit(id, libc::RLIMIT_FSIZE, std::ptr::null(), &mut limit) != 0 || {
                limit.rlim_cur = bytes.min(limit.rlim_max);
                libc::prlimit(id, libc::RLIMIT_FSIZE, &limit, std::ptr::null_mut()) != 0
            }
        };
        match failed {
            true => Err(io::Error::last_os_error()),
            false => Ok(()),
        }
    }

    /// Sends it a signal, unless it has ended and been waited for.
    pub(super) fn signal(&self, signal: i32) {
        if running().contains(&self.id()) {
            send(self.id(), signal);
        }
    }
}

/// Starts a process and lists it, with nothing in between for whoever looks at the list.
fn listed(mut command: Command) -> io::Result<Process> {
    let mut running = running();
    let process = Process(command.spawn()?);
    running.push(process.id());
    Ok(process)
}

/// `id` is listed, and the caller holds the lock or the process itself.
fn send(id: u32, signal: i32) {
    // SAFETY: no memory is involved; the id is our child's, as it has not been waited for.
    unsafe { libc::kill(id as i32, signal) };
}

/// Runs in the child: asks for SIGKILL when the parent's thread ends, and takes all signals, which the parent may not
/// (see [`end_with_signals`]), but that for a file that grows too large: the write then fails, as on a full disk.
fn die_with_parent() -> io::Result<()> {
    let none = signals(&[]);
    // SAFETY: the first call touches no memory, the second reads the set on this stack.
    let failed = unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0
            || libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut()) != 0
            || libc::signal(libc::SIGXFSZ, libc::SIG_IGN) == libc::SIG_ERR
    };
    match failed {
        true => Err(io::Error::last_os_error()),
        false => Ok(()),
    }
}

fn signals(which: &[i32]) -> libc::sigset_t {
    // SAFETY: the set is plain bits, which sigemptyset initialises.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for &signal in which {
            libc::sigaddset(&mut set, signal);
        }
        set
    }
}

/// Makes Ctrl-C and the like end this program with its servers and their files, for programs that people run. To be
/// called before any thread starts: threads inherit that the signals are blocked, so that one thread gets them all.
pub fn end_with_signals() {
    let set = signals(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP]);
    // SAFETY: a valid set, and nothing to be told about the old one.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    std::thread::spawn(move || {
        let mut signal = 0;
        // SAFETY: a valid set and a place for the answer.
        unsafe { libc::sigwait(&set, &mut signal) };
        // Held until the end: nothing can be started or waited for meanwhile.
        let running = running();
        running.iter().for_each(|&id| send(id, libc::SIGKILL));
        if !place::keep() {
            let me = std::process::id().to_string();
            place::sweep(|owner| owner == me);
        }
        eprintln!();
        std::process::exit(128 + signal);
    });
}
