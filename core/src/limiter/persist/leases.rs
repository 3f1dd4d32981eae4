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
    Head {
        last_fence: u64,
    },
    Leases(Vec<LeaseV1<'a>>),
    /// From version 2 on: leases of which is known when they were taken or renewed.
    LeasesV2(Vec<LeaseV2<'a>>),
}

/// How a chunk begins, where a list is read entry by entry. FROZEN.
#[derive(Deserialize)]
enum StartV1 {
    Head { last_fence: u64 },
    Leases,
    LeasesV2,
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

/// When it was taken or renewed, and what version 1 has of it. FROZEN.
#[derive(Serialize, Deserialize)]
struct LeaseV2<'a> {
    at: u64,
    #[serde(borrow)]
    lease: LeaseV1<'a>,
}

impl Persist for Leases {
    const VERSION: i32 = 2;

    fn save(&self, entries: usize, sink: &mut dyn FnMut(&[u8])) {
        let last_fence = self.last_fence.0;
        if last_fence > 0 {
            sink(&encode(&LeasesV1::Head { last_fence }));
        }
        let rows = || {
            self.iter_stamped().map(|(id, lease, at)| {
                let row = LeaseV1 {
                    id,
                    cost: lease.cost,
                    expires: lease.expires.0,
                    fence: lease.fence.0,
                };
                (at.0, row)
            })
        };
        let untold = rows().filter(|(at, _)| *at == 0);
        let untold = untold.map(|(_, lease)| (lease.id.len() + 30, lease));
        in_batches(
            untold.map(|(bytes, lease)| (lease, bytes)),
            entries,
            |all| {
                sink(&encode(&LeasesV1::Leases(all)));
            },
        );
        let told = rows().filter(|(at, _)| *at > 0);
        let told = told.map(|(at, lease)| (lease.id.len() + 36, LeaseV2 { at, lease }));
        in_batches(told.map(|(bytes, lease)| (lease, bytes)), entries, |all| {
            sink(&encode(&LeasesV1::LeasesV2(all)));
        });
    }

    fn load(&mut self, version: i32, chunk: &[u8]) -> Result<(), DecodeError> {
        ensure((1..=2).contains(&version))?;
        let mut rest = chunk;
        match decode_next(&mut rest)? {
            StartV1::Head { last_fence } => {
                ensure(self.last_fence == Token(0) && (1..MAX_VALUE).contains(&last_fence))?;
                self.last_fence = Token(last_fence);
            }
            StartV1::Leases => {
                for _ in 0..decode_len(&mut rest, LEAST_LEASE)? {
                    self.load_row(&decode_next(&mut rest)?, Time::EPOCH)?;
                }
            }
            StartV1::LeasesV2 => {
                ensure(version == 2)?;
                for _ in 0..decode_len(&mut rest, LEAST_LEASE + 1)? {
                    let row: LeaseV2<'_> = decode_next(&mut rest)?;
                    ensure(row.at > 0)?;
                    self.load_row(&row.lease, Time(row.at))?;
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

impl Leases {
    fn load_row(&mut self, row: &LeaseV1<'_>, at: Time) -> Result<(), DecodeError> {
        let lease = Lease {
            cost: row.cost,
            expires: Time(row.expires),
            fence: Token(row.fence),
        };
        ensure(self.load_one(row.id, lease, at))
    }
}
