//! Leases listed page by page.

use super::*;

fn take(leases: &mut Leases, now: u64, id: u64, ttl: u64) {
    let id = id.to_be_bytes();
    let ask = Acquire {
        max: MAX_VALUE,
        id: &id,
        ttl: Millis(ttl),
        cost: 1,
    };
    let acquired = leases.acquire(Time(now), Token(now * 1000), &ask);
    let Outcome::Leased { effect, .. } = acquired.outcome else {
        panic!("there is room");
    };
    leases.apply(&effect).unwrap();
}

/// The ids of a page and the fence to go on with.
fn page(leases: &Leases, now: u64, from: Token, count: usize) -> (Option<Token>, Vec<u64>) {
    let (next, rows) = leases.page(Time(now), from, count);
    let ids = rows
        .iter()
        .map(|(id, _)| u64::from_be_bytes((*id).try_into().unwrap()));
    (next, ids.collect())
}

#[test]
fn what_is_live_throughout_is_listed_once_whatever_is_renewed() {
    let mut leases = Leases::default();
    assert_eq!(page(&leases, T0, Token(0), 5), (None, vec![]));
    // Neither the ids nor the ends are in the order of the fences; those of seven end soon.
    let ids: Vec<u64> = (0..100).map(|i| i * 37 % 101).collect();
    for (i, id) in ids.iter().enumerate() {
        let ttl = if id % 7 == 0 { 10 } else { 90_000 - i as u64 };
        take(&mut leases, T0, *id, ttl);
    }
    let live: Vec<u64> = ids.iter().copied().filter(|id| id % 7 != 0).collect();
    for count in [1, 2, 9, live.len(), live.len() + 1] {
        let (mut from, mut seen) = (Token(0), Vec::new());
        loop {
            let (next, rows) = page(&leases, T0 + 10, from, count);
            assert!(rows.len() == count || next.is_none());
            seen.extend(rows);
            // One behind and one in front are renewed, for shorter and for longer.
            take(&mut leases, T0 + 10, *seen.first().unwrap(), 200_000);
            take(&mut leases, T0 + 10, *live.last().unwrap(), 60_000);
            match next {
                Some(next) => from = next,
                None => break,
            }
        }
        assert_eq!(seen, live, "{count} at a time");
    }
}

/// Of the same fence, which only a forged payload can have: they stand on one page, and none is lost.
#[test]
fn a_fence_that_several_have_ends_the_iteration_all_the_same() {
    let mut leases = Leases::default();
    leases.last_fence = Token(9);
    for (id, fence) in [1, 5, 5, 5, 7, 7].into_iter().enumerate() {
        let lease = Lease {
            cost: 1,
            expires: Time(T0 + 1000),
            fence: Token(fence),
        };
        assert!(leases.load_one(&(id as u64).to_be_bytes(), lease, Time(T0)));
    }
    for count in 1..8 {
        let (mut from, mut seen) = (Token(0), Vec::new());
        loop {
            let (next, rows) = page(&leases, T0, from, count);
            seen.extend(rows);
            match next {
                Some(next) => from = next,
                None => break,
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5], "{count} at a time");
    }
}
