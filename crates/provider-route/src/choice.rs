//! Which replica a call goes to.

use std::sync::Arc;

use provider_types::Endpoint;

use super::dice::Dice;
use super::replica::{ReplicaInner, ReplicaLease};

/// A lease on the less loaded of two replicas picked at random; on any other that takes it where
/// those do not; and only then on one that was just refused by or is to be avoided.
pub(crate) fn choose(
    replicas: &[Arc<ReplicaInner>],
    avoid: Option<&Endpoint>,
    dice: &Dice,
) -> Option<ReplicaLease> {
    let fit =
        |replica: &Arc<ReplicaInner>| avoid != Some(replica.endpoint()) && !replica.is_ejected();
    let start = match replicas {
        [] => return None,
        [only] => return only.try_lease(),
        _ => {
            let (first, second) = dice.pair(replicas.len());
            if let (Some(a), Some(b)) = (replicas.get(first), replicas.get(second)) {
                let better = match (fit(a), fit(b)) {
                    (true, true) if b.in_flight() < a.in_flight() => Some(b),
                    (true, _) => Some(a),
                    (false, true) => Some(b),
                    (false, false) => None,
                };
                if let Some(lease) = better.and_then(ReplicaInner::try_lease) {
                    return Some(lease);
                }
            }
            first
        }
    };
    let from_start = || replicas.iter().cycle().skip(start).take(replicas.len());
    from_start()
        .filter(|replica| fit(replica))
        .find_map(ReplicaInner::try_lease)
        .or_else(|| from_start().find_map(ReplicaInner::try_lease))
}
