//! Sentinels replace a primary that dies or hangs. Clients follow, and count as done what both replicas had.

use crate::field::{self, check};
use crate::journal::Promise;
use crate::plan::rounds;
use crate::worker::{Worker, under_load};
use modq_testkit::*;

matrix!(what_replicas_have_outlives_the_primary);

fn what_replicas_have_outlives_the_primary(kind: Kind) {
    rounds("sentinel", kind, |random| {
        let tags = field::tags(1);
        let mut setup = SentinelSetup::start_with(kind, |node| node.config("appendonly yes"));
        field::prepare(&mut setup.primary().client(), &tags[0]);
        let mut crew = Worker::crew(3, &tags, random);
        let old = setup.primary().port();
        let at = setup
            .nodes
            .iter()
            .position(|node| node.port() == old)
            .unwrap();
        let dies = random.once_in(2);
        let one = Follower::new(&setup);
        under_load(
            &mut crew,
            || one.another(),
            |load| {
                load.more(100 + random.below(200));
                if dies {
                    setup.nodes[at].kill9();
                } else {
                    setup.nodes[at].freeze();
                }
                setup.wait_failover(old);
                load.more(100);
            },
        );
        if dies {
            setup.nodes[at].start_again();
        } else {
            setup.nodes[at].thaw();
        }
        setup.wait_follows(&setup.nodes[at]);
        check(&crew, &tags, |_| setup.primary().client(), Promise::All);
    });
}
