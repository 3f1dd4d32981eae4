//! Slots move from node to node while clients work on their keys.

use crate::field::{self, check};
use crate::journal::Promise;
use crate::plan::rounds;
use crate::reach::Roaming;
use crate::worker::{Worker, under_load};
use modq_testkit::*;

matrix!(nothing_is_lost_where_slots_move);

fn nothing_is_lost_where_slots_move(kind: Kind) {
    rounds("cluster", kind, |random| {
        let tags = field::tags(3);
        let cluster = Cluster::start(3, kind);
        for tag in &tags {
            field::prepare(&mut cluster.client_for(tag), tag);
        }
        let mut crew = Worker::crew(4, &tags, random);
        for _ in 0..3 {
            under_load(
                &mut crew,
                || Roaming::new(&cluster, &tags[0]),
                |load| {
                    for _ in 0..3 {
                        load.more(50 + random.below(200));
                        let tag = random.pick(&tags);
                        let owner = cluster.owner(tag).port();
                        let others: Vec<&Server> =
                            cluster.nodes.iter().filter(|n| n.port() != owner).collect();
                        let to = *random.pick(&others);
                        if kind.is_valkey() && random.once_in(2) {
                            cluster.move_slot_at_once(tag, to);
                        } else {
                            cluster.move_slot(tag, to);
                        }
                    }
                },
            );
            check(&crew, &tags, |tag| cluster.client_for(tag), Promise::All);
        }
    });
}
