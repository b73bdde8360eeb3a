//! Kubernetes quantities: `128Mi`, `500m`, `1e3`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// Nano units in a unit; a finer part of a quantity is rounded up, as Kubernetes does.
const NANO: u128 = 1_000_000_000;
/// The most units that a quantity can be, as in Kubernetes.
const MOST: u128 = i64::MAX as u128;

/// An amount of bytes, cores or devices, kept with the text it was written as.
///
/// The syntax is that of Kubernetes' `resource.Quantity`: a decimal number and one of the suffixes
/// `Ki Mi Gi Ti Pi Ei`, `n u m k M G T P E`, or an exponent such as `e3`. Amounts are compared by
/// value, so `1Gi` equals `1024Mi`; clients compare the text, which [`Quantity::as_str`] gives back
/// exactly as it came.
///
/// ```
/// use provider_types::Quantity;
///
/// let memory = Quantity::parse("1.5Gi")?;
/// assert_eq!((memory.bytes(), memory.as_str()), (1_610_612_736, "1.5Gi"));
/// assert_eq!(Quantity::parse("0.25")?.millicores(), 250);
/// assert!(Quantity::parse("128M")? < Quantity::parse("128Mi")?);
/// # Ok::<(), provider_types::QuantityError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Quantity {
    nanos: u128,
    text: String,
}

/// A text that is no quantity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantityError {
    given: String,
    reason: &'static str,
}

const SYNTAX: &str = "use a number with a suffix such as 128Mi, 1G, 500m or 1e3";
const NEGATIVE: &str = "it must not be negative";
const TOO_LARGE: &str = "it must not be more than 9223372036854775807";

impl Quantity {
    /// Reads a quantity.
    ///
    /// # Errors
    /// When the text is no quantity, is negative, or is more than 2^63 - 1 units.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        match nanos(text) {
            Ok(nanos) => Ok(Self {
                nanos,
                text: text.to_owned(),
            }),
            Err(reason) => {
                // A client's own bytes come back to it; keep a hostile text from filling the reply.
                let mut given: String = text.chars().take(40).collect();
                if given.len() < text.len() {
                    given.push('…');
                }
                Err(QuantityError { given, reason })
            }
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whole units, rounded up: bytes where the quantity is one of memory, devices where it counts
    /// devices.
    #[must_use]
    #[doc(alias = "Value")]
    pub fn bytes(&self) -> u64 {
        saturate(self.nanos.div_ceil(NANO))
    }

    /// Thousandths of a unit, rounded up; more than a `u64` holds is `u64::MAX`.
    #[must_use]
    #[doc(alias = "MilliValue")]
    pub fn millicores(&self) -> u64 {
        saturate(self.nanos.div_ceil(NANO / 1000))
    }
}

fn saturate(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Hash for Quantity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.nanos.hash(state);
    }
}

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a quantity: {}", self.given, self.reason)
    }
}

impl std::error::Error for QuantityError {}

/// The value in nano units, or why there is none.
fn nanos(text: &str) -> Result<u128, &'static str> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at_checked(end).ok_or(SYNTAX)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(SYNTAX);
    }
    let (factor, exponent) = scale(suffix).ok_or(SYNTAX)?;

    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let mut digits: u128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        digits = digits
            .checked_mul(10)
            .and_then(|digits| digits.checked_add(u128::from(byte - b'0')))
            .ok_or("it has too many digits")?;
    }
    if digits == 0 {
        return Ok(0);
    }
    if negative {
        return Err(NEGATIVE);
    }
    // The value is digits * factor * 10^power nano units.
    let places = i64::try_from(fraction.len()).map_err(|_| TOO_LARGE)?;
    let power = exponent.saturating_add(9).saturating_sub(places);
    let scaled = digits.checked_mul(factor).ok_or(TOO_LARGE)?;
    let ten = 10_u128.checked_pow(u32::try_from(power.unsigned_abs()).unwrap_or(u32::MAX));
    let nanos = if power < 0 {
        // Whatever is finer than this is above zero and so rounds up to one.
        ten.map_or(1, |ten| scaled.div_ceil(ten))
    } else {
        ten.and_then(|ten| scaled.checked_mul(ten))
            .ok_or(TOO_LARGE)?
    };
    if nanos > MOST * NANO {
        return Err(TOO_LARGE);
    }
    Ok(nanos)
}

/// What a suffix multiplies with: a power of 1024, and an exponent of ten.
fn scale(suffix: &str) -> Option<(u128, i64)> {
    let binary = |steps: u32| Some((1_u128 << (10 * steps), 0));
    let decimal = |exponent| Some((1, exponent));
    match suffix {
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        exponent => decimal(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quantity(text: &str) -> Quantity {
        Quantity::parse(text).unwrap()
    }

    #[test]
    fn every_suffix_has_its_value() {
        for (text, bytes) in [
            ("0", 0),
            ("1", 1),
            ("+1", 1),
            ("1.", 1),
            ("007", 7),
            ("1k", 1000),
            ("1Ki", 1024),
            ("128M", 128_000_000),
            ("128Mi", 134_217_728),
            ("1G", 1_000_000_000),
            ("1.5Gi", 1_610_612_736),
            ("1T", 1_000_000_000_000),
            ("1Ti", 1 << 40),
            ("1P", 1_000_000_000_000_000),
            ("1Pi", 1 << 50),
            ("1E", 1_000_000_000_000_000_000),
            ("7Ei", 7 << 60),
            ("1e3", 1000),
            ("1E3", 1000),
            ("1e+3", 1000),
            ("5e-1", 1),
            ("1500m", 2),
            ("1n", 1),
            ("1u", 1),
            (".5", 1),
            ("0.0000000000000001", 1),
            ("1e-4000", 1),
            ("0e99999", 0),
            ("-0", 0),
            ("9223372036854775807", i64::MAX as u64),
        ] {
            assert_eq!(quantity(text).bytes(), bytes, "{text}");
        }
    }

    #[test]
    fn cores_are_counted_in_thousandths() {
        for (text, millicores) in [
            ("1", 1000),
            ("500m", 500),
            ("0.5", 500),
            ("0.0001", 1),
            ("100u", 1),
            ("2e0", 2000),
            ("1Ki", 1_024_000),
            ("7Ei", u64::MAX),
        ] {
            assert_eq!(quantity(text).millicores(), millicores, "{text}");
        }
    }

    #[test]
    fn amounts_are_compared_by_value_and_keep_their_text() {
        assert_eq!(quantity("1Gi"), quantity("1024Mi"));
        assert_eq!(quantity("1"), quantity("1000m"));
        assert!(quantity("1.0000000009n") > quantity("1n"));
        assert!(quantity("1M") < quantity("1Mi"));
        assert_eq!(quantity("1000m").as_str(), "1000m");
        assert_eq!(quantity("+1.50Gi").to_string(), "+1.50Gi");
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", SYNTAX),
            ("Mi", SYNTAX),
            (".", SYNTAX),
            ("1.2.3", SYNTAX),
            ("12Q", SYNTAX),
            ("1 Gi", SYNTAX),
            (" 1", SYNTAX),
            ("1K", SYNTAX),
            ("1mi", SYNTAX),
            ("1e", SYNTAX),
            ("1e1.5", SYNTAX),
            ("1e3Mi", SYNTAX),
            ("++1", SYNTAX),
            ("0x10", SYNTAX),
            ("NaN", SYNTAX),
            ("١", SYNTAX),
            ("lots", SYNTAX),
            ("-1", NEGATIVE),
            ("-5Mi", NEGATIVE),
            ("8Ei", TOO_LARGE),
            ("9223372036854775808", TOO_LARGE),
            ("9223372036854775807.1", TOO_LARGE),
            ("1e30", TOO_LARGE),
            ("1e99999999999999999999", SYNTAX),
            ("1e9223372036854775807", TOO_LARGE),
        ] {
            let error = Quantity::parse(text).unwrap_err();
            assert_eq!(error.reason, reason, "{text}");
            assert!(error.to_string().contains(text), "{error}");
        }
        let long = Quantity::parse(&"9".repeat(100_000)).unwrap_err();
        assert!(long.to_string().len() < 200, "{long}");
    }

    proptest! {
        #[test]
        fn whole_numbers_are_their_own_value(units in 0..=i64::MAX as u64) {
            prop_assert_eq!(quantity(&units.to_string()).bytes(), units);
        }

        #[test]
        fn a_value_is_the_same_in_any_unit(millis in 0_u64..1_000_000_000_000) {
            let plain = quantity(&format!("{millis}m"));
            prop_assert_eq!(&quantity(&format!("{millis}e-3")), &plain);
            prop_assert_eq!(&quantity(&format!("{millis}000u")), &plain);
            let (whole, rest) = (millis / 1000, millis % 1000);
            prop_assert_eq!(&quantity(&format!("{whole}.{rest:03}")), &plain);
            prop_assert_eq!(plain.millicores(), millis);
            prop_assert_eq!(plain.bytes(), millis.div_ceil(1000));
        }

        #[test]
        fn no_text_panics_and_what_is_taken_is_echoed(text in "[-+0-9.eEkKmMiGnu]{0,24}") {
            if let Ok(quantity) = Quantity::parse(&text) {
                prop_assert_eq!(quantity.as_str(), text);
            }
        }
    }
}
