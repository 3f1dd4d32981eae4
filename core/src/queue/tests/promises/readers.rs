//! What readers are shown.

use super::*;

#[test]
fn peek_shows_what_a_moderator_would_claim() {
    let mut desk = Desk::new();
    desk.submit_with(Submit {
        tags: tags(&["t"]),
        ..item("tagged")
    })
    .unwrap();
    desk.submit_with(Submit {
        excluded: tags(&["x"]),
        ..item("not x")
    })
    .unwrap();
    desk.submit("any").unwrap();
    let peek = |who: &str, given: Option<&[&Bytes]>| -> Vec<String> {
        let ids = desk.queue.peek(9, Some((who.as_bytes(), given)));
        ids.into_iter().map(text).collect()
    };
    let t = [Bytes::new(b"t")];
    assert_eq!(peek("m", None), ["not x", "any"]);
    assert_eq!(peek("x", None), ["any"]);
    assert_eq!(peek("x", Some(&t)), ["tagged", "any"]);
    assert_eq!(desk.queue.peek(1, None), [b"tagged"]);
    assert_eq!(desk.queue.position(b"any"), Some(3));
    assert_eq!(desk.queue.position(b"none"), None);
}

#[test]
fn times_to_claim_and_to_handle_are_counted_from_submit_or_due_and_from_the_lock() {
    let mut desk = Desk::new();
    desk.submit_with(Submit {
        delay: Millis(100),
        ..item("i")
    })
    .unwrap();
    desk.wait(103);
    let token = desk.take("m", "i");
    desk.release("i", token, false, 0).unwrap();
    desk.wait(5);
    let token = desk.take("m", "i");
    desk.wait(7);
    desk.resolve("i", token).unwrap();
    let stats = desk.queue.stats();
    assert_eq!(stats.wait.percentile(99), 3, "the first claim only");
    assert_eq!(stats.handle.percentile(99), 7);
}

#[test]
fn memory_as_counted_is_96_bytes_beyond_an_item_and_goes_back() {
    let n = 100_000;
    let mut queue = Queue::default();
    let mut out = Outcome::default();
    let empty = queue.memory_bytes();
    for i in 0..n {
        let id = format!("item:{i:011}");
        let submit = Submit {
            id: id.as_bytes(),
            payload: &[b'x'; 200],
            ..Submit::default()
        };
        queue.submit(at(i), submit, &mut out).unwrap();
        out.clear();
    }
    let full = queue.memory_bytes();
    assert!(full <= (216 + 96) * n as usize, "{full}");
    assert!(full >= (216 + 56) * n as usize, "{full}: it is not less");
    for i in 0..n {
        let id = format!("item:{i:011}");
        assert!(queue.cancel(at(n), id.as_bytes(), None, &mut out).unwrap());
        out.clear();
    }
    let drained = queue.memory_bytes();
    assert!(drained <= empty + 64_000, "{drained} of {full}");
}
