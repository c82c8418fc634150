//! Closed sets: enums whose values each have one name, used in tables, receipts, options and messages.

use std::fmt;

/// An enum whose values have names. [`named!`](crate::named!) defines one.
pub trait Named: Copy + Sized + 'static {
    /// What a value is, in a word or two: `stage`.
    const WHAT: &'static str;

    /// All values, in their order.
    const ALL: &'static [Self];

    /// The name of a value.
    fn name(self) -> &'static str;

    /// The value of this name.
    ///
    /// # Errors
    /// [`UnknownName`] where no value has it.
    fn named(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.iter().copied().find(|value| value.name() == name).ok_or_else(|| UnknownName {
            what: Self::WHAT,
            found: name.to_string(),
            expected: Self::ALL.iter().map(|value| value.name()).collect::<Vec<_>>().join(", "),
        })
    }
}

/// A name that no value of a closed choice has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    what: &'static str,
    found: String,
    expected: String,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown {} `{}`: expected one of {}", self.what, self.found, self.expected)
    }
}

impl std::error::Error for UnknownName {}

/// Defines an enum and the name of each value: how it is printed, parsed, and stored in JSON and in columns. Reordering
/// or renaming values in Rust changes nothing that is stored; only the names count.
///
/// ```
/// use medcosmos::named::Named;
///
/// medcosmos::named! {
///     /// Side of the body.
///     pub enum Side("side") {
///         /// The patient's left.
///         Left = "left",
///         /// The patient's right.
///         Right = "right",
///     }
/// }
///
/// assert_eq!(Side::Left.to_string(), "left");
/// assert_eq!("right".parse(), Ok(Side::Right));
/// assert_eq!(Side::named("up").unwrap_err().to_string(), "unknown side `up`: expected one of left, right");
/// ```
#[macro_export]
macro_rules! named {
    (
        $(#[$about:meta])*
        $vis:vis enum $name:ident($what:literal) { $($(#[$meaning:meta])* $value:ident = $text:literal,)+ }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name {
            $($(#[$meaning])* $value,)+
        }

        impl $name {
            /// All values, in their order.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];

            /// The name of the value.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }
        }

        impl $crate::named::Named for $name {
            const WHAT: &'static str = $what;
            const ALL: &'static [Self] = Self::ALL;

            fn name(self) -> &'static str {
                self.name()
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::named::UnknownName;

            fn from_str(name: &str) -> ::std::result::Result<Self, Self::Err> {
                $crate::named::Named::named(name)
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<Self, D::Error> {
                let name = <::std::borrow::Cow<'de, str> as ::serde::Deserialize>::deserialize(deserializer)?;
                $crate::named::Named::named(&name).map_err(::serde::de::Error::custom)
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    named! {
        enum Fruit("fruit") {
            Pear = "pear",
            Apple = "apple",
        }
    }

    #[test]
    fn names_go_both_ways() {
        for &fruit in Fruit::ALL {
            assert_eq!(Fruit::named(fruit.name()), Ok(fruit));
            let json = serde_json::to_string(&fruit).unwrap();
            assert_eq!(json, format!("\"{fruit}\""));
            assert_eq!(serde_json::from_str::<Fruit>(&json).unwrap(), fruit);
        }
        let wrong = serde_json::from_str::<Fruit>("\"plum\"").unwrap_err().to_string();
        assert!(wrong.starts_with("unknown fruit `plum`: expected one of pear, apple"), "{wrong}");
        assert_eq!(format!("{:>6}", Fruit::Pear), "  pear");
    }
}
