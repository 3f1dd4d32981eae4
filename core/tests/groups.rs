//! What is done to a group: RESOLVE … ALSO, CANCELGROUP, CLAIM … WITHGROUP, GROUP. Each promise by itself,
//! and groups of more items than one command goes through. Random histories of groups are with the naive
//! model (`src/queue/tests`).

mod groups {
    pub(crate) mod desk;
    mod promises;
    mod waves;
}
