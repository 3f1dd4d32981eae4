//! The clock is set ahead and back while clients work.

use crate::field::{self, check};
use crate::journal::{Deed, Entry, Promise};
use crate::plan::rounds;
use crate::reach::Plain;
use crate::worker::{Pulse, Worker, under_load};
use modq_testkit::*;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

matrix!(no_step_of_the_clock_repeats_a_token);

/// How far the clock goes at a time, in ms.
const STEPS: [i64; 8] = [
    -3_600_000, -120_000, -61_000, -900, 500, 61_000, 120_000, 3_600_000,
];

fn no_step_of_the_clock_repeats_a_token(kind: Kind) {
    rounds("clock", kind, |random| {
        let tags = field::tags(1);
        let (clock, pulse) = (Clock::new(), Arc::new(Pulse::default()));
        let server = Server::builder(kind).with_clock(&clock).start();
        let mut c = server.client();
        field::prepare(&mut c, &tags[0]);
        let mut crew = Worker::crew_by(4, &tags, random, &pulse);
        let mut steps = Vec::new();
        under_load(
            &mut crew,
            || Plain::new(&server),
            |load| {
                for _ in 0..8 {
                    load.more(20 + random.below(150));
                    let before = pulse.ahead.load(SeqCst);
                    // Never further off than the limits that are judged remember, locks included.
                    let after = (before + *random.pick(&STEPS)).clamp(-7_200_000, 7_200_000);
                    let sent = now_us() as u64;
                    pulse.steps.fetch_add(1, SeqCst);
                    set_clock(&mut c, &clock, after);
                    pulse.ahead.store(after, SeqCst);
                    pulse.steps.fetch_add(1, SeqCst);
                    // A step ahead ends locks and leases; a step back ends none.
                    if after > before {
                        let deed = Deed::End {
                            what: None,
                            holder: None,
                            at: sent,
                        };
                        let got = Some(now_us() as u64);
                        steps.push(Entry { sent, got, deed });
                    }
                }
            },
        );
        crew[0].journal.extend(steps);
        // All locks and delays end.
        set_clock(&mut c, &clock, 4 * 3_600_000);
        check(&crew, &tags, |_| server.client(), Promise::All);
    });
}
