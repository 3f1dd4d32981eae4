//! Clocks that can be set: what the machine's says, and some ms more or less, or that stand still, for servers started
//! `with_clock`.
//!
//! A little library, compiled with the `cc` that links the tests, stands between the server and libc.

use crate::wait::{PATIENCE, wait_until};
use crate::{Client, now_ms, place, server_ms};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

const SHIM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
/* How many ms to add; and if not 0, the ns since 1970 at which the clock stands still. */
static volatile long long *ms;
__attribute__((constructor)) static void find(void) {
    const char *name = getenv("MODQ_TEST_CLOCK");
    int fd = name ? open(name, O_RDONLY) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(0, 2 * sizeof *ms, PROT_READ, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED) ms = at;
}
int clock_gettime(clockid_t id, struct timespec *t) {
    int failed = syscall(SYS_clock_gettime, id, t);
    if (!failed && id == CLOCK_REALTIME && ms) {
        long long ns = ms[1] ? ms[1] : t->tv_sec * 1000000000LL + t->tv_nsec + *ms * 1000000LL;
        t->tv_sec = ns / 1000000000LL;
        t->tv_nsec = ns % 1000000000LL;
    }
    return failed;
}
int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}
"#;

/// A file of this process.
fn fresh() -> PathBuf {
    place::fresh("-clock").expect("target/tmp can be written")
}

/// Where the library is, made when it is first needed.
fn shim() -> &'static PathBuf {
    static SHIM_AT: OnceLock<PathBuf> = OnceLock::new();
    SHIM_AT.get_or_init(|| {
        let library = fresh();
        let source = library.with_extension("c");
        fs::write(&source, SHIM).unwrap();
        let out = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .output()
            .expect("cc, with which tests are linked");
        assert!(out.status.success(), "{out:?}");
        fs::remove_file(source).unwrap();
        let shared = library.with_file_name("modq-clock.so");
        // All processes share it, and keep one they have loaded when another takes its place.
        fs::rename(library, &shared).unwrap();
        shared
    })
}

/// A clock; it begins right.
#[derive(Debug)]
pub struct Clock {
    file: PathBuf,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}

impl Clock {
    /// One that says what the machine's says.
    #[must_use]
    pub fn new() -> Clock {
        let file = fresh();
        fs::write(&file, [0; 16]).unwrap();
        Clock { file }
    }

    /// Sets it to so many ms before or after the machine's. A server may take a ms to see it.
    pub fn set(&self, ms: i64) {
        let mut file = OpenOptions::new().write(true).open(&self.file).unwrap();
        file.write_all(&ms.to_le_bytes()).unwrap();
    }

    /// Has it stand still at this time (ms since 1970): nothing comes due, and no timer of a module fires.
    pub fn stop(&self, at: i64) {
        let file = OpenOptions::new().write(true).open(&self.file).unwrap();
        file.write_all_at(&(at * 1_000_000).to_le_bytes(), 8)
            .unwrap();
    }

    pub(crate) fn env(&self) -> [(&'static str, PathBuf); 2] {
        [
            ("LD_PRELOAD", shim().clone()),
            ("MODQ_TEST_CLOCK", self.file.clone()),
        ]
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

/// Sets the clock of a server (see [`Clock::set`]), and waits until that has seen it.
#[track_caller]
pub fn set_clock(c: &mut Client, clock: &Clock, ms: i64) {
    clock.set(ms);
    wait_until("the server sees the clock", PATIENCE, || {
        // Less than half of any step: so that a small one is not taken for seen before it is.
        server_ms(c).abs_diff(now_ms() + ms) < 200
    });
}
