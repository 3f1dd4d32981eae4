//! What is done to a group: RESOLVE … ALSO, CANCELGROUP, CLAIM … WITHGROUP, GROUP. Each promise by itself,
//! and all over random histories against a plain list of what the specification says (I9).

mod groups {
    pub(crate) mod desk;
    mod histories;
    mod promises;
    mod waves;
}
