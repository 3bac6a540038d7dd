//! The outline of a JSON file: its outermost keys, or those of a list's first element.

use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::tree::{Tree, keys_of};

/// The outermost keys of a JSON file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Outline {
    /// An object.
    Object(Vec<String>),
    /// A list, by the keys of its first element.
    List(Vec<String>),
    /// Anything else, and files that are no JSON.
    #[default]
    Other,
}

impl Outline {
    /// Reads a file.
    pub(super) fn of(tree: &Tree, file: &Path) -> Self {
        tree.json::<Self>(file).unwrap_or_default()
    }

    /// Whether it is an object with all of these keys.
    pub(super) fn is_object_of(&self, keys: &[&str]) -> bool {
        matches!(self, Self::Object(own) if has_all(own, keys))
    }

    /// Whether it is a list whose first element has all of these keys.
    pub(super) fn is_list_of(&self, keys: &[&str]) -> bool {
        matches!(self, Self::List(own) if has_all(own, keys))
    }
}

fn has_all(own: &[String], keys: &[&str]) -> bool {
    keys.iter().all(|need| own.iter().any(|key| key == need))
}

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Outline;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Outline, A::Error> {
                keys_of(map).map(Outline::Object)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Outline, A::Error> {
                let first: Option<Outline> = list.next_element()?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(match first {
                    Some(Outline::Object(keys)) => Outline::List(keys),
                    _ => Outline::Other,
                })
            }

            fn visit_unit<E>(self) -> Result<Outline, E> {
                Ok(Outline::Other)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Outline, E> {
                Ok(Outline::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Outline, E> {
                Ok(Outline::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Outline, E> {
                Ok(Outline::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Outline, E> {
                Ok(Outline::Other)
            }

            fn visit_str<E>(self, _: &str) -> Result<Outline, E> {
                Ok(Outline::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_lists_of_objects_show_their_keys() {
        let outline = |text: &str| serde_json::from_str::<Outline>(text).unwrap_or_default();
        assert!(outline(r#"{"a": [1], "b": null}"#).is_object_of(&["b", "a"]));
        assert!(outline(r#"[{"a": {"c": 1}}, 7]"#).is_list_of(&["a"]));
        for other in ["7", "[]", "[7]", "[[{}]]", "\"a\"", "null", "true", "-1", "1.5", "{", "[{}", "{} {}"] {
            assert!(!outline(other).is_list_of(&["a"]) && !outline(other).is_object_of(&["a"]), "{other}");
        }
    }
}
