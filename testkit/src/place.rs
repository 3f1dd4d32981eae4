//! Where things are: the workspace, cargo's target directory, and a directory and a port for each server.

use std::env;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Once, OnceLock};

/// The root of the workspace.
#[must_use]
pub fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("this crate is a directory of it")
}

/// Where cargo builds: `CARGO_TARGET_DIR` (from the workspace's root if it is relative), or where it has built this
/// program, or `target`.
#[must_use]
pub fn target() -> PathBuf {
    if let Some(given) = env::var_os("CARGO_TARGET_DIR") {
        return workspace().join(given);
    }
    // Tests are at <target>/debug/deps/<name>, examples at <target>/release/examples/<name>.
    let program = env::current_exe().unwrap_or_default();
    let built = program
        .ancestors()
        .nth(3)
        .filter(|dir| dir.join("release").is_dir());
    built.map_or_else(|| workspace().join("target"), Path::to_owned)
}

/// A name in cargo's `target/tmp` that no other process and no other call is given. It begins with `modq-` and this
/// process's id, by which [`sweep`] knows whose it is.
pub(crate) fn fresh(suffix: &str) -> io::Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    static SWEPT: Once = Once::new();
    let parent = target().join("tmp");
    fs::create_dir_all(&parent)?;
    SWEPT.call_once(|| sweep(|owner| !Path::new("/proc").join(owner).exists()));
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Ok(parent.join(format!("modq-{}-{count}{suffix}", std::process::id())))
}

/// Removes what processes whose ids are `gone` have left in `target/tmp`.
pub(crate) fn sweep(gone: impl Fn(&str) -> bool) {
    let entries = fs::read_dir(target().join("tmp"));
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let rest = name.strip_prefix("modq-").unwrap_or_default();
        let owner = rest.split('-').next().unwrap_or_default();
        if owner.parse::<u32>().is_ok() && gone(owner) {
            let path = entry.path();
            let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(path));
        }
    }
}

/// Whether what servers leave is to be kept: `MODQ_KEEP` is set.
pub(crate) fn keep() -> bool {
    env::var_os("MODQ_KEEP").is_some()
}

/// A directory that goes when its server goes.
#[derive(Debug)]
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> io::Result<Dir> {
        let path = fresh("")?;
        fs::create_dir(&path)?;
        Ok(Dir(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if keep() {
            eprintln!("kept {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// A port that is free together with the one after it, below those the system gives to outgoing connections.
pub(crate) fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU32::new(std::process::id().wrapping_mul(37)));
    let mut candidates =
        (0..6000).map(|_| 20000 + 2 * (next.fetch_add(1, Ordering::Relaxed) % 6000) as u16);
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    candidates
        .find(|&port| free(port) && free(port + 1))
        .expect("a free port")
}
