//! How a value of the wire is read and written: Go's rules, once, for every field.
//!
//! An error says what was expected and what kind of value was found. It never repeats the value,
//! which may be a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::Timestamp;

/// A type that can stand in a wire body.
///
/// The reading methods are told which kind of JSON value was found. `null` leaves a scalar as it
/// is and empties everything else.
pub trait Field: Default {
    /// What an error says was expected.
    const EXPECTED: &'static str;

    /// Reads `null`.
    fn read_null(&mut self) {}

    /// Reads a string, a number or a boolean, or says what was found instead of the right thing.
    fn read_scalar(&mut self, given: Scalar<'_>) -> Result<(), &'static str> {
        Err(given.kind())
    }

    /// Reads an object.
    fn read_object<'de, A: MapAccess<'de>>(&mut self, _from: A) -> Result<(), A::Error> {
        Err(expected::<Self, _>("an object"))
    }

    /// Reads an array.
    fn read_array<'de, A: SeqAccess<'de>>(&mut self, _from: A) -> Result<(), A::Error> {
        Err(expected::<Self, _>("an array"))
    }

    /// Writes the value.
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error>;

    /// What Go's `omitempty` leaves out.
    fn is_empty(&self) -> bool {
        false
    }
}

/// A JSON value that is no object, no array and not `null`.
#[derive(Debug, Clone, Copy)]
pub enum Scalar<'a> {
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Text(&'a str),
}

impl Scalar<'_> {
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Bool(_) => "a boolean",
            Self::Unsigned(_) => "a number",
            Self::Negative(_) => "a negative number",
            Self::Float(_) => "a number with a fraction, an exponent or too many digits",
            Self::Text(_) => "a string",
        }
    }
}

fn expected<T: Field, E: de::Error>(found: &str) -> E {
    E::custom(format_args!("expected {}, not {found}", T::EXPECTED))
}

/// Declares a wire struct: its fields, their keys in the order they are written, and which of them
/// are left out when empty (`omitempty`). `read_text` names a function that reads the object's
/// other form, a string.
macro_rules! wire_struct {
    (
        $(#[$attribute:meta])*
        $name:ident {
            $($(#[$field_attribute:meta])* $field:ident: $type:ty = $key:literal $($omit:ident)?,)*
        }
        $(read_text = $read_text:path)?
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Default, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_attribute])* pub $field: $type,)*
        }

        impl $crate::wire::codec::Field for $name {
            const EXPECTED: &'static str = "an object";

            $(fn read_scalar(
                &mut self,
                given: $crate::wire::codec::Scalar<'_>,
            ) -> Result<(), &'static str> {
                *self = $read_text(given)?;
                Ok(())
            })?

            fn read_object<'de, A: serde::de::MapAccess<'de>>(
                &mut self,
                mut from: A,
            ) -> Result<(), A::Error> {
                while let Some(key) = from.next_key::<String>()? {
                    $(if $crate::wire::codec::same_key(&key, $key) {
                        $crate::wire::codec::read_value("field", $key, &mut self.$field, &mut from)?;
                        continue;
                    })*
                    $crate::wire::codec::skip_value(&key, &mut from)?;
                }
                Ok(())
            }

            fn write<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                let map = serde::Serializer::serialize_map(to, None)?;
                $(let map = wire_struct!(@write map, self.$field, $key $($omit)?);)*
                serde::ser::SerializeMap::end(map)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                $crate::wire::codec::Field::write(self, to)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let mut value = Self::default();
                $crate::wire::codec::read(&mut value, from)?;
                Ok(value)
            }
        }
    };
    (@write $map:ident, $value:expr, $key:literal) => {
        $crate::wire::codec::write_entry($map, $key, &$value)?
    };
    (@write $map:ident, $value:expr, $key:literal omitempty) => {
        if $crate::wire::codec::Field::is_empty(&$value) {
            $map
        } else {
            $crate::wire::codec::write_entry($map, $key, &$value)?
        }
    };
}
pub(super) use wire_struct;

// === the machinery ===

/// Reads a value from any JSON into one that is there already.
pub(super) fn read<'de, D, T>(value: &mut T, from: D) -> Result<(), D::Error>
where
    D: Deserializer<'de>,
    T: Field,
{
    from.deserialize_any(Reader(value))
}

struct Reader<'a, T>(&'a mut T);

impl<'de, T: Field> DeserializeSeed<'de> for Reader<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<T: Field> Reader<'_, T> {
    fn scalar<E: de::Error>(self, given: Scalar<'_>) -> Result<(), E> {
        self.0.read_scalar(given).map_err(expected::<T, E>)
    }
}

impl<'de, T: Field> Visitor<'de> for Reader<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.read_null();
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, given: bool) -> Result<(), E> {
        self.scalar(Scalar::Bool(given))
    }

    fn visit_u64<E: de::Error>(self, given: u64) -> Result<(), E> {
        self.scalar(Scalar::Unsigned(given))
    }

    fn visit_i64<E: de::Error>(self, given: i64) -> Result<(), E> {
        self.scalar(match u64::try_from(given) {
            Ok(given) => Scalar::Unsigned(given),
            Err(_) => Scalar::Negative(given),
        })
    }

    fn visit_f64<E: de::Error>(self, given: f64) -> Result<(), E> {
        self.scalar(Scalar::Float(given))
    }

    fn visit_str<E: de::Error>(self, given: &str) -> Result<(), E> {
        self.scalar(Scalar::Text(given))
    }

    fn visit_map<A: MapAccess<'de>>(self, from: A) -> Result<(), A::Error> {
        self.0.read_object(from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, from: A) -> Result<(), A::Error> {
        self.0.read_array(from)
    }
}

/// Whether Go takes `given` for the key `known`, which is ASCII: letters of either case are one,
/// and two letters outside ASCII fold into it.
pub(super) fn same_key(given: &str, known: &str) -> bool {
    let fold = |character: char| match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    given == known || given.chars().map(fold).eq(known.chars().map(fold))
}

/// Reads the value of a key; what is wrong with it is said beside the key.
pub(super) fn read_value<'de, A: MapAccess<'de>, T: Field>(
    what: &str,
    key: &str,
    value: &mut T,
    from: &mut A,
) -> Result<(), A::Error> {
    from.next_value_seed(Reader(value))
        .map_err(|error| beside(what, key, error))
}

/// Passes over the value of a key that is not known.
pub(super) fn skip_value<'de, A: MapAccess<'de>>(key: &str, from: &mut A) -> Result<(), A::Error> {
    from.next_value::<IgnoredAny>()
        .map(drop)
        .map_err(|error| beside("field", key, error))
}

fn beside<E: de::Error>(what: &str, key: &str, error: E) -> E {
    // A key comes from the client; keep a hostile one from filling the reply.
    let shown: String = key.chars().take(80).collect();
    let more = if shown.len() < key.len() { "…" } else { "" };
    E::custom(format_args!("{what} {shown:?}{more}: {error}"))
}

/// Gives a value to serde in the wire's form.
pub(super) struct Written<'a, T>(pub(super) &'a T);

impl<T: Field> Serialize for Written<'_, T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.write(to)
    }
}

pub(super) fn write_entry<M: SerializeMap, T: Field>(
    mut map: M,
    key: &'static str,
    value: &T,
) -> Result<M, M::Error> {
    map.serialize_entry(key, &Written(value))?;
    Ok(map)
}

// === the kinds of fields ===

impl Field for String {
    const EXPECTED: &'static str = "a string";

    fn read_scalar(&mut self, given: Scalar<'_>) -> Result<(), &'static str> {
        match given {
            Scalar::Text(text) => text.clone_into(self),
            other => return Err(other.kind()),
        }
        Ok(())
    }

    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self)
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl Field for bool {
    const EXPECTED: &'static str = "true or false";

    fn read_scalar(&mut self, given: Scalar<'_>) -> Result<(), &'static str> {
        match given {
            Scalar::Bool(value) => *self = value,
            other => return Err(other.kind()),
        }
        Ok(())
    }

    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bool(*self)
    }

    fn is_empty(&self) -> bool {
        !*self
    }
}

impl Field for u64 {
    const EXPECTED: &'static str = "an integer from 0 to 18446744073709551615";

    fn read_scalar(&mut self, given: Scalar<'_>) -> Result<(), &'static str> {
        match given {
            Scalar::Unsigned(value) => *self = value,
            other => return Err(other.kind()),
        }
        Ok(())
    }

    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(*self)
    }

    fn is_empty(&self) -> bool {
        *self == 0
    }
}

impl Field for i64 {
    const EXPECTED: &'static str = "an integer of 64 bits";

    fn read_scalar(&mut self, given: Scalar<'_>) -> Result<(), &'static str> {
        match given {
            Scalar::Unsigned(value) => *self = i64::try_from(value).map_err(|_| given.kind())?,
            Scalar::Negative(value) => *self = value,
            other => return Err(other.kind()),
        }
        Ok(())
    }

    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(*self)
    }

    fn is_empty(&self) -> bool {
        *self == 0
    }
}

/// JSON has no infinity: a value that is not finite counts as empty and is left out.
impl Field for f64 {
    const EXPECTED: &'static str = "a number";

    fn read_scalar(&mut self, given: Scalar<'_>) -> Result<(), &'static str> {
        #[expect(clippy::cast_precision_loss, reason = "a float is what was asked for")]
        match given {
            Scalar::Unsigned(value) => *self = value as Self,
            Scalar::Negative(value) => *self = value as Self,
            Scalar::Float(value) => *self = value,
            other => return Err(other.kind()),
        }
        Ok(())
    }

    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(*self)
    }

    fn is_empty(&self) -> bool {
        *self == 0.0 || !self.is_finite()
    }
}

/// Go's decoder asks for padding and does not mind bits that are left over before it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Standard base64 with padding; Go's decoder passes over line breaks in it.
impl Field for Vec<u8> {
    const EXPECTED: &'static str = "standard base64 with padding";

    fn read_null(&mut self) {
        self.clear();
    }

    fn read_scalar(&mut self, given: Scalar<'_>) -> Result<(), &'static str> {
        let Scalar::Text(text) = given else {
            return Err(given.kind());
        };
        let mut digits = text.as_bytes().to_vec();
        digits.retain(|byte| !matches!(byte, b'\r' | b'\n'));
        *self = BASE64.decode(digits).map_err(|_| "another string")?;
        Ok(())
    }

    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64.encode(self))
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

/// A time; `None` is Go's zero time.
impl Field for Option<SystemTime> {
    const EXPECTED: &'static str = "an RFC 3339 time such as 2006-01-02T15:04:05Z";

    fn read_scalar(&mut self, given: Scalar<'_>) -> Result<(), &'static str> {
        let Scalar::Text(text) = given else {
            return Err(given.kind());
        };
        let time = Timestamp::parse(text).map_err(|_| "another string")?;
        *self = time.unless_zero();
        Ok(())
    }

    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&Timestamp::to_wire(*self))
    }
}

/// A pointer in Go.
impl<T: Field> Field for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn read_null(&mut self) {
        *self = None;
    }

    fn read_scalar(&mut self, given: Scalar<'_>) -> Result<(), &'static str> {
        let mut value = T::default();
        value.read_scalar(given)?;
        *self = Some(value);
        Ok(())
    }

    fn read_object<'de, A: MapAccess<'de>>(&mut self, from: A) -> Result<(), A::Error> {
        let mut value = T::default();
        value.read_object(from)?;
        *self = Some(value);
        Ok(())
    }

    fn read_array<'de, A: SeqAccess<'de>>(&mut self, from: A) -> Result<(), A::Error> {
        let mut value = T::default();
        value.read_array(from)?;
        *self = Some(value);
        Ok(())
    }

    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(value) => value.write(to),
            None => to.serialize_none(),
        }
    }

    fn is_empty(&self) -> bool {
        self.is_none()
    }
}

/// `null` in the place of a value is the empty value, with its key.
impl<T: Field> Field for BTreeMap<String, T> {
    const EXPECTED: &'static str = "an object";

    fn read_null(&mut self) {
        self.clear();
    }

    fn read_object<'de, A: MapAccess<'de>>(&mut self, mut from: A) -> Result<(), A::Error> {
        self.clear();
        while let Some(key) = from.next_key::<String>()? {
            let mut value = T::default();
            read_value("key", &key, &mut value, &mut from)?;
            self.insert(key, value);
        }
        Ok(())
    }

    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter().map(|(key, value)| (key, Written(value))))
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Field> Field for Vec<T> {
    const EXPECTED: &'static str = "an array";

    fn read_null(&mut self) {
        self.clear();
    }

    fn read_array<'de, A: SeqAccess<'de>>(&mut self, mut from: A) -> Result<(), A::Error> {
        self.clear();
        loop {
            let mut value = T::default();
            match from.next_element_seed(Reader(&mut value)) {
                Ok(Some(())) => self.push(value),
                Ok(None) => return Ok(()),
                Err(error) => {
                    let index = self.len();
                    return Err(de::Error::custom(format_args!("element {index}: {error}")));
                }
            }
        }
    }

    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter().map(Written))
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}
