//! A set of leases as it is stored: the last fence, then the leases.

use super::{ensure, in_batches};
use crate::codec::{DecodeError, Persist, decode_end, decode_len, decode_next, encode};
use crate::limiter::lease::{Lease, Leases};
use crate::limiter::limits::MAX_VALUE;
use crate::units::{Time, Token};
use serde::{Deserialize, Serialize};

/// A chunk. FROZEN.
#[derive(Serialize)]
enum LeasesV1<'a> {
    Head { last_fence: u64 },
    Leases(Vec<LeaseV1<'a>>),
}

/// How a chunk begins, where a list is read entry by entry. FROZEN.
#[derive(Deserialize)]
enum StartV1 {
    Head { last_fence: u64 },
    Leases,
}

/// Least bytes of a lease: the id takes two.
const LEAST_LEASE: usize = 5;

/// FROZEN.
#[derive(Serialize, Deserialize)]
struct LeaseV1<'a> {
    #[serde(borrow, with = "serde_bytes")]
    id: &'a [u8],
    cost: u64,
    expires: u64,
    fence: u64,
}

impl Persist for Leases {
    const VERSION: i32 = 1;

    fn save(&self, entries: usize, sink: &mut dyn FnMut(&[u8])) {
        let last_fence = self.last_fence.0;
        if last_fence > 0 {
            sink(&encode(&LeasesV1::Head { last_fence }));
        }
        let leases = self.iter().map(|(id, lease)| {
            let row = LeaseV1 {
                id,
                cost: lease.cost,
                expires: lease.expires.0,
                fence: lease.fence.0,
            };
            (row, id.len() + 30)
        });
        in_batches(leases, entries, |leases| {
            sink(&encode(&LeasesV1::Leases(leases)));
        });
    }

    fn load(&mut self, version: i32, chunk: &[u8]) -> Result<(), DecodeError> {
        ensure(version == 1)?;
        let mut rest = chunk;
        match decode_next(&mut rest)? {
            StartV1::Head { last_fence } => {
                ensure(self.last_fence == Token(0) && (1..MAX_VALUE).contains(&last_fence))?;
                self.last_fence = Token(last_fence);
            }
            StartV1::Leases => {
                for _ in 0..decode_len(&mut rest, LEAST_LEASE)? {
                    let row: LeaseV1<'_> = decode_next(&mut rest)?;
                    let lease = Lease {
                        cost: row.cost,
                        expires: Time(row.expires),
                        fence: Token(row.fence),
                    };
                    ensure(self.load_one(row.id, lease))?;
                }
            }
        }
        decode_end(rest)
    }

    fn finish(&mut self) -> Result<(), DecodeError> {
        // Every chunk was checked against those before it.
        Ok(())
    }
}
