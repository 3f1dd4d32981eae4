//! A clock that is set ahead while the server has nothing else to do.

use modq_testkit::queue::*;
use modq_testkit::*;

matrix!(a_step_ahead_ends_locks_by_itself);

/// Timers of the server sleep by the time that passes, whatever the clock says meanwhile.
fn a_step_ahead_ends_locks_by_itself(kind: Kind) {
    let clock = Clock::new();
    let server = Server::builder(kind).with_clock(&clock).start();
    let mut c = server.client();
    submit(&mut c, "q i p");
    claim(&mut c, "q m LOCK 3600000");
    // Nothing else is due earlier.
    assert_eq!(info(&mut c, "modq")["modq_scheduled_keys"], "1");
    set_clock(&mut c, &clock, 7_200_000);
    wait_until("the lock has run out", PATIENCE, || {
        len(&mut c, "q LOCKED") == 0
    });
    assert_eq!(field(&mut c, "q", "i", "expiries"), Value::Int(1));
}
