//! What a queue really takes from the allocator, in jemalloc's size classes. This binary
//! runs on an allocator that counts.

use modq_core::codec::Persist;
use modq_core::queue::{
    Cancel, Claim, Gate, Now, Outcome, Queue, Record, Request, Resolve, State, Submit,
};
use modq_core::units::{Time, Token};
use modq_testkit::counting::{Counting, live, peak};
use serde_bytes::Bytes;

#[global_allocator]
static ALLOC: Counting = Counting::jemalloc();

const N: usize = 100_000;
const ID: usize = 16;
const PAYLOAD: usize = 200;

fn now(i: usize) -> Now {
    let ms = 1_700_000_000_000 + i as u64;
    Now {
        time: Time(ms),
        token_floor: Token(ms * 1000),
    }
}

fn run<R: Request>(queue: &mut Queue, i: usize, request: R, out: &mut Outcome) -> R::Reply {
    let reply = queue.handle(now(i), Gate::Open, request, out);
    reply.expect("not refused")
}

fn id(i: usize) -> [u8; ID] {
    let mut id = [b'0'; ID];
    let digits = i.to_string();
    id[ID - digits.len()..].copy_from_slice(digits.as_bytes());
    id
}

fn fill(queue: &mut Queue, out: &mut Outcome, order: impl Fn(usize) -> usize) {
    for i in 0..N {
        let i = order(i);
        let submit = Submit {
            id: &id(i),
            payload: &[b'x'; PAYLOAD],
            boost: Some(i as i64),
            ..Submit::default()
        };
        run(queue, 0, submit, out);
        out.clear();
    }
}

#[test]
fn the_counter_counts() {
    let before = live();
    let some = vec![0u8; 1000];
    assert_eq!(live() - before, 1024);
    drop(some);
    assert_eq!(live(), before);
    assert!(peak(|| drop(vec![0u8; 5000])) >= 5000);
}

#[test]
fn an_item_takes_at_most_96_bytes_beyond_id_and_payload_and_gives_them_back() {
    // In the order of their age, against it, and all over the place.
    let orders: [fn(usize) -> usize; 3] = [|i| N - i, |i| i, |i| i * 61_169 % N];
    for (which, order) in orders.into_iter().enumerate() {
        let mut out = Outcome::default();
        let mut queue = Queue::default();
        fill(&mut queue, &mut out, |_| 0);
        let first = Cancel {
            id: &id(0),
            ..Cancel::default()
        };
        assert!(run(&mut queue, 0, first, &mut out));
        out.clear();
        let before = live();
        fill(&mut queue, &mut out, order);
        let grown = live() - before;
        let over = grown as f64 / N as f64 - (ID + PAYLOAD) as f64;
        println!("order {which}: {over:.1} bytes beyond id and payload");
        assert!(over <= 96.0, "order {which}: {over:.1}");
        let counted = queue.memory_bytes() as f64;
        let ratio = counted / grown as f64;
        assert!((0.9..1.1).contains(&ratio), "counted {ratio:.2} of it");

        // Drained by claims and resolves.
        let claim = Claim {
            moderator: b"m",
            count: 1000,
            lock: None,
            tags: None,
            new_only: true,
            with_group: false,
        };
        while queue.len_in(State::Ready) > 0 {
            let slots = run(&mut queue, 1, &claim, &mut out);
            let claims = slots.iter().map(|slot| {
                let view = queue.claimed_view(slot);
                (view.item.to_vec(), view.token)
            });
            for (id, token) in claims.collect::<Vec<_>>() {
                let resolve = Resolve {
                    id: &id,
                    token,
                    ..Resolve::default()
                };
                run(&mut queue, 2, resolve, &mut out);
            }
            out = Outcome::default();
        }
        assert!(queue.is_empty());
        let kept = live() - before;
        println!("order {which}: {kept} bytes kept");
        assert!(kept < 64 << 10, "order {which}: {kept} bytes kept");
        let counted = queue.memory_bytes();
        assert!(counted < 128 << 10, "{counted} bytes counted");
    }
}

#[test]
fn saving_and_loading_do_not_double_the_memory() {
    let mut queue = Queue::default();
    let mut out = Outcome::default();
    fill(&mut queue, &mut out, |i| i);
    let saving = peak(|| queue.save(1000, &mut |_| ()));
    assert!(saving < 4 << 20, "{saving}");
    let mut chunks = Vec::new();
    queue.save(1000, &mut |chunk| chunks.push(chunk.to_vec()));
    let before = live();
    let mut again = Queue::default();
    let loading = peak(|| {
        for chunk in &chunks {
            again.load(Queue::VERSION, chunk).expect("loads");
        }
    });
    let grown = live() - before;
    assert!(loading - grown < 4 << 20, "{loading} for {grown}");
}

#[test]
fn damaged_bytes_do_not_make_huge_allocations() {
    let mut queue = Queue::default();
    let mut out = Outcome::default();
    for i in 0..3 {
        let submit = Submit {
            id: &id(i),
            payload: b"payload",
            tags: Some(vec![Bytes::new(b"tag")]),
            excluded: Some(vec![Bytes::new(b"moderator")]),
            ..Submit::default()
        };
        run(&mut queue, i, submit, &mut out);
    }
    let mut chunks = Vec::new();
    queue.save(2, &mut |chunk| chunks.push(chunk.to_vec()));
    let huge = [253u8, 255, 255, 255, 255, 255, 255, 255, 255];
    let large = [252u8, 255, 255, 255, 31];
    let (mut refused, mut accepted) = (0, 0);
    let mut try_all = |whole: &[u8], work: &dyn Fn(&[u8]) -> bool| {
        assert!(work(whole), "control");
        for at in 0..whole.len() {
            for with in [&huge[..], &large, &[0], &[250], &[255]] {
                let mut bytes = whole.to_vec();
                bytes.splice(at..=at, with.iter().copied());
                let mut fine = false;
                let most = peak(|| fine = work(&bytes));
                assert!(most < 3 << 20, "{most} bytes at {at}");
                *(if fine { &mut accepted } else { &mut refused }) += 1;
            }
        }
    };
    for (i, chunk) in chunks.iter().enumerate() {
        try_all(chunk, &|bytes| {
            let mut queue = Queue::default();
            if i > 0 {
                queue.load(Queue::VERSION, &chunks[0]).expect("the head");
            }
            queue.load(Queue::VERSION, bytes).is_ok()
        });
    }
    try_all(out.record.bytes(), &|bytes| Record::decode(bytes).is_ok());
    assert!(refused > 500 && accepted > 100, "{refused} {accepted}");
}
