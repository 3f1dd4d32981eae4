//! An allocator that counts the bytes in use, as jemalloc would. A test binary installs it:
//! `#[global_allocator] static ALLOC: Counting = Counting;`

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts per thread, so that tests do not see each other.
#[derive(Debug)]
pub struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// jemalloc's size classes: four per doubling, 16 bytes apart below 128.
fn class(n: usize) -> isize {
    let size = match n {
        0..=8 => 8,
        9..=128 => n.next_multiple_of(16),
        _ => n.next_multiple_of(n.next_power_of_two() / 8),
    };
    size as isize
}

fn count(change: isize) {
    // At the end of a thread the counters may be gone.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + change);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: every call goes to the system allocator with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(class(layout.size()));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-class(layout.size()));
        // SAFETY: as the caller promises; the block came from `System`.
        unsafe { System.dealloc(ptr, layout) };
    }
}

/// The bytes in use by this thread.
#[must_use]
pub fn live() -> isize {
    LIVE.with(Cell::get)
}

/// The most that was live at once while `work` ran, beyond what was before.
pub fn peak(work: impl FnOnce()) -> isize {
    let before = live();
    PEAK.with(|peak| peak.set(before));
    work();
    PEAK.with(Cell::get) - before
}
