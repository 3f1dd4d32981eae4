//! Finds the keys of a type, on each primary, in small steps with rests between them.

use crate::db::{Db, Failure, Node};
use std::time::Duration;

/// So many steps, then a rest: a million keys take a few seconds, and nobody waits for them.
const STEPS: u32 = 20;
const REST: Duration = Duration::from_millis(2);
/// More keys of one type than this are not kept.
const MOST: usize = 100_000;

/// All keys of this type; at most [`MOST`], each once, in the order of their bytes.
pub(super) async fn discover(db: &Db, nodes: &[Node], kind: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let mut keys = Vec::new();
    for node in nodes {
        let mut cursor = "0".to_owned();
        for step in 1_u32.. {
            let (next, found) = db.scan(node, &cursor, kind, None).await?;
            keys.extend(found);
            cursor = next;
            if cursor == "0" || keys.len() >= MOST {
                break;
            }
            if step % STEPS == 0 {
                tokio::time::sleep(REST).await;
            }
        }
    }
    keys.sort();
    keys.dedup();
    keys.truncate(MOST);
    Ok(keys)
}
