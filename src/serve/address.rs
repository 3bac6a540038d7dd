//! What the address of a page says behind its path, so that it can be sent: which rows, columns and scales are shown.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The parameters of an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Address(BTreeMap<String, String>);

/// Most characters of a parameter; more are a mistake.
const MOST: usize = 400;

impl Address {
    /// The parameters of these names; others, empty and endless ones are left out.
    pub(crate) fn of(query: &BTreeMap<String, String>, names: &[&str]) -> Self {
        let is_kept = |(name, value): &(&String, &String)| {
            names.contains(&name.as_str()) && !value.is_empty() && value.len() <= MOST
        };
        Self(query.iter().filter(is_kept).map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// A parameter's value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether a parameter is set.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A parameter's value as a number.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    /// The query with some parameters changed, or removed where the value is empty; begins with `?`.
    pub(crate) fn with(&self, changes: &[(&str, &str)]) -> String {
        let mut pairs = self.0.clone();
        for (name, value) in changes {
            if value.is_empty() {
                pairs.remove(*name);
            } else {
                pairs.insert((*name).to_owned(), (*value).to_owned());
            }
        }
        let pairs: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        format!("?{}", pairs.join("&"))
    }
}

/// What stands for itself in every part of an address.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Text as a part of an address.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_the_state_and_no_more() {
        let query = [("sort", "mre"), ("q", "a&b=c d"), ("other", "x"), ("group", "")];
        let query = query.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let state = Address::of(&query, &["sort", "q", "group"]);
        assert_eq!(state.with(&[]), "?q=a%26b%3Dc%20d&sort=mre");
        assert_eq!(state.with(&[("sort", ""), ("page", "2")]), "?page=2&q=a%26b%3Dc%20d");
        assert_eq!((state.get("other"), state.is_set("group")), (None, false));
        assert_eq!(encoded("../é\"<"), "..%2F%C3%A9%22%3C");
    }
}
