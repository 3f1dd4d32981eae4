//! The invariants of the specification, each by its name, over random histories.

use super::model::Phase;
use super::world::*;
use super::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn every_reply_and_every_view_is_the_models(steps in steps(80)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
    }
}
