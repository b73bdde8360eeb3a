//! What cannot be judged through a gateway.
//!
//! A gateway answers some requests itself and forwards others in a way of its own, whatever the
//! provider behind it does, and clients live with that. So these requirements do not apply where
//! the target is a gateway. A gateway that goes wrong in anything else is told so: what reaches its
//! callers is judged, whoever made it.

/// The requirements, and what a gateway does in place of what they say.
pub(crate) const ITS_OWN_WAY: &[(&str, &str)] = &[
    ("OFP-INV-004", PATH),
    ("OFP-INV-005", PATH),
    ("OFP-INV-012", "a gateway forwards every body chunked"),
    (
        "OFP-INV-017",
        "a gateway adds these headers where its caller sent none",
    ),
    (
        "OFP-INV-032",
        "a gateway itself answers calls of a function that it cannot find",
    ),
    ("OFP-LOG-014", LOG_HEADER),
    ("OFP-LOG-015", LOG_HEADER),
    ("OFP-LOG-016", LOG_REFUSAL),
    ("OFP-LOG-017", LOG_REFUSAL),
    ("OFP-LOG-018", LOG_REFUSAL),
    ("OFP-AUT-011", METRICS),
    ("OFP-MET-001", METRICS),
    ("OFP-MET-002", METRICS),
    ("OFP-MET-003", METRICS),
    ("OFP-MET-004", METRICS),
    ("OFP-MET-005", METRICS),
    ("OFP-MET-006", METRICS),
];

const PATH: &str = "a gateway makes the path anew from its decoded form";
const LOG_HEADER: &str =
    "a gateway sends a header of its own, with the first line that its provider sends";
const LOG_REFUSAL: &str = "a gateway makes 500 or 501 of every refusal of logs";
const METRICS: &str = "a gateway tells its own metrics, `gateway_*`, on a port of their own";

/// Why a requirement cannot be judged through a gateway; nothing where it can.
pub(crate) fn its_own_way(id: &str) -> Option<&'static str> {
    let found = ITS_OWN_WAY.iter().find(|(other, _)| *other == id);
    found.map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::ITS_OWN_WAY;
    use crate::requirement::Level;
    use crate::requirements::{requirement, requirements};

    #[test]
    fn the_table_names_requirements_in_their_order() {
        let places = ITS_OWN_WAY
            .iter()
            .map(|(id, _)| requirements().iter().position(|one| one.id == *id).unwrap());
        assert!(places.is_sorted_by(|one, other| one < other));
    }

    #[test]
    fn of_what_must_hold_only_metrics_are_left_out() {
        let musts = ITS_OWN_WAY
            .iter()
            .map(|(id, _)| requirement(id).unwrap())
            .filter(|one| one.level == Level::Must);
        assert_eq!(musts.map(|one| one.id).collect::<Vec<_>>(), ["OFP-MET-001"]);
    }
}
