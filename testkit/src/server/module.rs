//! The module under test: where it is, and that it is not older than its sources.

use crate::place;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// `MODQ_SO`, or cargo's release build, which must not be older than its sources. Looked at once per process.
pub(super) fn module() -> Result<PathBuf, String> {
    static CHECKED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let find = || match env::var_os("MODQ_SO") {
        Some(path) => Ok(path.into()),
        None => up_to_date(place::target().join("release/libmodq.so")),
    };
    CHECKED.get_or_init(find).clone()
}

/// The module that servers are started with.
///
/// # Panics
/// If it is not there, or older than its sources.
#[must_use]
pub fn module_path() -> PathBuf {
    module().unwrap_or_else(|why| panic!("{why}"))
}

/// The build that panics when a test asks for it, by `scripts/faulty.sh`.
pub(super) fn faulty_module() -> Result<PathBuf, String> {
    static CHECKED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let find = || {
        let built = up_to_date(place::target().join("faulty/release/libmodq.so"));
        built.map_err(|why| format!("{why} (for this build: scripts/faulty.sh)"))
    };
    CHECKED.get_or_init(find).clone()
}

/// The module at this path, unless one of its sources has changed since it was built. Cargo names them, those of the
/// workspace's other crates as well, in the `.d` file beside it.
fn up_to_date(path: PathBuf) -> Result<PathBuf, String> {
    let modified = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified());
    let Ok(built) = modified(&path) else {
        return Err(format!("no module at {}; run: make build", path.display()));
    };
    let list = path.with_extension("d");
    let sources = fs::read_to_string(&list).map_err(|e| format!("{}: {e}", list.display()))?;
    // One line, `built: source source …`, with a backslash before each space of a name.
    let sources = sources.replace("\\ ", "\0");
    let newer = sources
        .split_whitespace()
        .filter(|word| !word.ends_with(':'))
        .map(|word| word.replace('\0', " "))
        .find(|source| modified(Path::new(source)).is_ok_and(|at| at > built));
    match newer {
        Some(newer) => Err(format!(
            "{} is older than {newer}; run: make build",
            path.display()
        )),
        None => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Dir;
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    fn write(path: &Path, text: &str, seconds: u64) {
        fs::write(path, text).unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(at).unwrap();
    }

    #[test]
    fn a_module_older_than_one_of_its_sources_is_refused() {
        let dir = Dir::new().unwrap();
        let path = |name: &str| dir.path().join(name);
        let module = path("libmodq.so");
        let missing = up_to_date(module.clone()).unwrap_err();
        assert!(missing.contains("no module at"), "{missing}");
        write(&module, "", 100);
        let unknown = up_to_date(module.clone()).unwrap_err();
        assert!(unknown.contains("libmodq.d"), "{unknown}");
        let [a, b] = ["a.rs", "b c.rs"].map(path);
        let escaped = b.display().to_string().replace(' ', "\\ ");
        let list = format!("{}: {} {escaped}\n", module.display(), a.display());
        write(&path("libmodq.d"), &list, 1);
        write(&a, "", 99);
        write(&b, "", 100);
        assert_eq!(up_to_date(module.clone()), Ok(module.clone()));
        write(&b, "", 101);
        let old = up_to_date(module.clone()).unwrap_err();
        assert!(
            old.contains("is older than") && old.contains("b c.rs"),
            "{old}"
        );
        // A source that is gone was not needed by another that is there: that one would have changed.
        fs::remove_file(&b).unwrap();
        assert_eq!(up_to_date(module.clone()), Ok(module));
    }
}
