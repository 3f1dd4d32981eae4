//! What commands reply with that is one word and no value, beside OK.

use crate::server::status::Status;

macro_rules! statuses {
    ($($name:ident = $text:literal)*) => {
        $(pub(super) static $name: Status = Status::new($text);)*

        /// All of them.
        pub static ALL: &[&Status] = &[$(&$name),*];
    };
}

statuses! {
    ASSIGNED = c"ASSIGNED"
    BUMPED = c"BUMPED"
    DECIDED = c"DECIDED"
    DELAYED = c"DELAYED"
    EXISTS = c"EXISTS"
    READY = c"READY"
    REPLACED = c"REPLACED"
    SPLIT = c"SPLIT"
    VOTED = c"VOTED"
    WAITING = c"WAITING"
}
