//! When which key next has something to do by the clock: one hint for each that has.
//!
//! A hint belongs to the value of a key, which holds a [`Hint`]. When the value is freed, whatever
//! the reason (DEL, FLUSHALL, eviction, being overwritten), its `Hint` is dropped, and the entry
//! here goes soon after. Values may be freed on another thread, and many at once. So a drop only
//! says so through a channel, which never waits for a lock. The main thread takes some of what was
//! said at a time ([`Hints::forget_gone`]).
//!
//! Entries name the database by a number that goes with what is in it: SWAPDB exchanges two numbers,
//! however many entries there are.

use modq_core::units::Time;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Of entries whose value is gone, so many are taken out for each entry that is added. More than
/// one, so that they do not pile up while keys come and go within one command.
const GONE_PER_ADDED: usize = 2;

/// What entries are sorted by: when they are due, and a number that is given once.
pub type Entry = (Time, u64);

/// What the value of a key holds of its hint. Dropping it takes the hint away.
pub struct Hint {
    entry: Entry,
    gone: Sender<Entry>,
}

impl Hint {
    /// When the value has something to do, as far as the schedule knows.
    #[inline]
    pub fn due(&self) -> Time {
        self.entry.0
    }
}

impl Drop for Hint {
    fn drop(&mut self) {
        // Fails only when nobody asks for hints any more.
        let _ = self.gone.send(self.entry);
    }
}

/// Where a value is, and what is to be done with it.
struct Place<W> {
    /// See [`Databases`].
    contents: i32,
    key: Box<[u8]>,
    work: W,
}

/// A key whose time has come: its database, its name, and what is to be done.
pub type DueKey<W> = (i32, Box<[u8]>, W);

/// All hints. `W` says what is to be done when one comes due.
pub struct Hints<W> {
    entries: BTreeMap<Entry, Place<W>>,
    last_number: u64,
    databases: Databases,
    gone: Receiver<Entry>,
    /// Given to each hint.
    say_gone: Sender<Entry>,
}

impl<W> Default for Hints<W> {
    fn default() -> Hints<W> {
        let (say_gone, gone) = channel();
        Hints {
            entries: BTreeMap::new(),
            last_number: 0,
            databases: Databases::default(),
            gone,
            say_gone,
        }
    }
}

impl<W> Hints<W> {
    /// The value that holds `hint`, at this name, has something to do at `due`, whatever was known
    /// before.
    pub fn set(&mut self, hint: &mut Option<Hint>, db: i32, key: &[u8], work: W, due: Time) {
        let contents = self.databases.contents_of(db);
        let known = hint.as_ref().and_then(|h| self.entries.remove(&h.entry));
        let place = match known {
            Some(place) if place.contents == contents && *place.key == *key => place,
            _ => Place {
                contents,
                key: key.into(),
                work,
            },
        };
        let number = match hint {
            Some(hint) => {
                hint.entry.0 = due;
                hint.entry.1
            }
            None => {
                self.forget_gone(GONE_PER_ADDED);
                self.last_number += 1;
                let entry = (due, self.last_number);
                let gone = self.say_gone.clone();
                hint.insert(Hint { entry, gone }).entry.1
            }
        };
        self.entries.insert((due, number), place);
    }

    /// Takes the first entry out if it is due by `now`. The hint stays with its value, which is to
    /// be looked at, and then to be set anew or dropped.
    pub fn pop_due(&mut self, now: Time) -> Option<DueKey<W>> {
        let first = self.entries.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let place = first.remove();
        let db = self.databases.db_of(place.contents);
        Some((db, place.key, place.work))
    }

    /// The first entry that is due after `after`, and its key. It stays.
    pub fn next_after(&self, after: Entry) -> Option<(Entry, DueKey<W>)>
    where
        W: Copy,
    {
        let mut rest = self
            .entries
            .range((Bound::Excluded(after), Bound::Unbounded));
        let (entry, place) = rest.next()?;
        let db = self.databases.db_of(place.contents);
        Some((*entry, (db, place.key.clone(), place.work)))
    }

    /// The time of the first entry.
    pub fn first(&self) -> Option<Time> {
        self.entries.keys().next().map(|(due, _)| *due)
    }

    /// How many entries there are. Some may be of values that are gone.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Takes out entries whose value is gone, at most `limit`. Answers whether there may be more.
    pub fn forget_gone(&mut self, limit: usize) -> bool {
        for _ in 0..limit {
            match self.gone.try_recv() {
                // It is not there if its time had come.
                Ok(entry) => drop(self.entries.remove(&entry)),
                Err(_) => return false,
            }
        }
        true
    }

    /// Two databases changed places, and the keys with them.
    pub fn swap_databases(&mut self, first: i32, second: i32) {
        self.databases.swap(first, second);
    }
}

/// Which contents each database has. Contents have the number of the database they were in at
/// first, and keep it when databases change places.
#[derive(Default)]
struct Databases {
    /// By database. Those from its length on have never changed places.
    contents: Vec<i32>,
    /// By contents: the opposite of `contents`.
    dbs: Vec<i32>,
}

impl Databases {
    fn contents_of(&self, db: i32) -> i32 {
        look_up(&self.contents, db)
    }

    fn db_of(&self, contents: i32) -> i32 {
        look_up(&self.dbs, contents)
    }

    fn swap(&mut self, first: i32, second: i32) {
        let (Ok(a), Ok(b)) = (usize::try_from(first), usize::try_from(second)) else {
            return;
        };
        for db in self.contents.len()..=a.max(b) {
            self.contents.push(db as i32);
            self.dbs.push(db as i32);
        }
        self.contents.swap(a, b);
        for db in [a, b] {
            self.dbs[self.contents[db] as usize] = db as i32;
        }
    }
}

fn look_up(table: &[i32], number: i32) -> i32 {
    let index = usize::try_from(number).ok();
    index.and_then(|i| table.get(i)).copied().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pop(hints: &mut Hints<()>) -> Option<(i32, Box<[u8]>)> {
        hints.pop_due(Time(u64::MAX)).map(|(db, key, ())| (db, key))
    }

    #[test]
    fn a_hint_goes_with_its_value_wherever_that_is_freed() {
        let mut hints = Hints::<()>::default();
        let mut values: Vec<Option<Hint>> = (0..1000).map(|_| None).collect();
        for (i, hint) in values.iter_mut().enumerate() {
            hints.set(hint, 0, &i.to_be_bytes(), (), Time(i as u64));
        }
        assert_eq!(hints.count(), 1000);
        let kept = values.pop();
        std::thread::spawn(move || drop(values)).join().unwrap();
        assert!(hints.forget_gone(998));
        assert!(!hints.forget_gone(1000));
        assert_eq!(hints.count(), 1);
        assert_eq!(hints.first(), Some(Time(999)));
        drop(kept);
    }

    #[test]
    fn hints_do_not_pile_up_while_values_come_and_go() {
        let mut hints = Hints::<()>::default();
        for i in 0..1000 {
            hints.set(&mut None, 0, b"key", (), Time(i));
            assert!(hints.count() <= 3);
        }
    }

    #[test]
    fn one_value_has_one_entry_at_its_latest_name() {
        let mut hints = Hints::<()>::default();
        let mut hint = None;
        hints.set(&mut hint, 0, b"a", (), Time(5));
        hints.set(&mut hint, 0, b"a", (), Time(9));
        hints.set(&mut hint, 2, b"b", (), Time(7));
        assert_eq!((hints.count(), hints.first()), (1, Some(Time(7))));
        assert_eq!(hint.as_ref().map(Hint::due), Some(Time(7)));
        assert_eq!(hints.pop_due(Time(6)), None);
        assert_eq!(hints.pop_due(Time(7)), Some((2, Box::from(*b"b"), ())));
        // Its time has come; now it has something to do again.
        hints.set(&mut hint, 2, b"b", (), Time(8));
        assert_eq!(hints.count(), 1);
        drop(hint);
        assert!(!hints.forget_gone(9));
        assert_eq!(hints.count(), 0);
    }

    #[test]
    fn entries_are_gone_along_without_taking_them_out() {
        let mut hints = Hints::<()>::default();
        let mut values = [None, None, None];
        for (i, hint) in values.iter_mut().enumerate() {
            hints.set(hint, i as i32, b"key", (), Time(7));
        }
        let mut last = (Time(0), 0);
        let mut seen = Vec::new();
        while let Some((entry, (db, ..))) = hints.next_after(last) {
            last = entry;
            seen.push(db);
            // What comes to be due earlier is behind.
            hints.set(&mut values[db as usize], db, b"key", (), Time(6));
        }
        assert_eq!(seen, [0, 1, 2]);
        assert_eq!(hints.count(), 3);
    }

    #[test]
    fn what_is_in_a_database_goes_with_it() {
        let mut hints = Hints::<()>::default();
        let mut values = [None, None, None, None];
        for (db, hint) in values.iter_mut().enumerate() {
            hints.set(hint, db as i32, &[db as u8], (), Time(db as u64));
        }
        for (a, b) in [(0, 2), (2, 3), (3, 3), (1, 0)] {
            hints.swap_databases(a, b);
        }
        // 0 went to 2 and then to 3; 1 to 0; 2 to 0 and then to 1; 3 to 2.
        let mut last = None;
        hints.set(&mut last, 3, b"new", (), Time(9));
        hints.swap_databases(3, 1000);
        let found: Vec<_> = std::iter::from_fn(|| pop(&mut hints)).collect();
        let expected: [(i32, &[u8]); 5] = [
            (1000, &[0]),
            (0, &[1]),
            (1, &[2]),
            (2, &[3]),
            (1000, b"new"),
        ];
        assert_eq!(found, expected.map(|(db, key)| (db, Box::from(key))));
    }
}
