//! The policies as they are stored and sent: all of them, in one piece.

use super::ensure;
use crate::codec::{AtMost, DecodeError, decode_end, decode_len, decode_next, encode};
use crate::limiter::limits::{Algo, LimitSpec, MAX_LIMITS_PER_REQUEST};
use crate::limiter::policy::Policies;
use crate::units::Millis;
use serde::{Deserialize, Serialize};

/// All policies. The first byte is the number of the variant, and with that the version: 0 for
/// version 1. A new version is a new variant at the end.
#[derive(Serialize)]
enum PoliciesBytes<'a> {
    V1(Vec<PolicyV1<'a>>),
}

/// How the bytes begin; the list is read entry by entry.
#[derive(Deserialize)]
enum Start {
    V1,
}

/// Least bytes of a policy: two for the name, five for the list of its limits.
const LEAST_POLICY: usize = 7;

/// FROZEN.
#[derive(Serialize, Deserialize)]
struct PolicyV1<'a> {
    #[serde(borrow, with = "serde_bytes")]
    name: &'a [u8],
    limits: AtMost<SpecV1, MAX_LIMITS_PER_REQUEST>,
}

/// FROZEN.
#[derive(Serialize, Deserialize)]
struct SpecV1 {
    /// Units.
    quota: u64,
    /// Milliseconds.
    window: u64,
    /// By `Algo::code`.
    algo: u8,
    /// Units; given for GCRA only.
    burst: Option<u64>,
}

impl SpecV1 {
    fn of(spec: &LimitSpec) -> SpecV1 {
        SpecV1 {
            quota: spec.quota(),
            window: spec.window().0,
            algo: spec.algo().code(),
            burst: (spec.algo() == Algo::Gcra).then_some(spec.burst()),
        }
    }

    fn spec(&self) -> Result<LimitSpec, DecodeError> {
        let algo = Algo::from_code(self.algo).ok_or(DecodeError)?;
        LimitSpec::new(self.quota, Millis(self.window), algo, self.burst).map_err(|_| DecodeError)
    }
}

impl Policies {
    /// The whole set, for RDB auxiliary data, the AOF and replicas.
    pub fn encode(&self) -> Vec<u8> {
        let policies = self.iter().map(|(name, limits)| PolicyV1 {
            name,
            limits: AtMost(limits.iter().map(SpecV1::of).collect()),
        });
        encode(&PoliciesBytes::V1(policies.collect()))
    }

    /// The set that [`Policies::encode`] wrote, in this version of the module or an older one. It
    /// takes the place of whatever there was.
    ///
    /// # Errors
    /// The bytes do not decode, or hold what [`Policies::set`] would refuse.
    pub fn decode(bytes: &[u8]) -> Result<Policies, DecodeError> {
        let mut rest = bytes;
        let Start::V1 = decode_next(&mut rest)?;
        let mut policies = Policies::default();
        for _ in 0..decode_len(&mut rest, LEAST_POLICY)? {
            let row: PolicyV1<'_> = decode_next(&mut rest)?;
            let limits = row.limits.0.iter().map(SpecV1::spec);
            let limits: Vec<LimitSpec> = limits.collect::<Result<_, _>>()?;
            ensure(policies.get(row.name).is_none())?;
            policies.set(row.name, &limits).map_err(|_| DecodeError)?;
        }
        decode_end(rest)?;
        Ok(policies)
    }
}
