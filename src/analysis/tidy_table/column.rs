//! A column: values of one type, each of which may be missing.

use std::collections::BTreeMap;

/// Values of one variable. Missing values are `None`, missing numbers `nan`.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Text.
    Text(TextColumn),
    /// Integers.
    Integer(Vec<Option<i64>>),
    /// Floating-point numbers.
    Number(Vec<f64>),
    /// Booleans.
    Boolean(Vec<Option<bool>>),
}

impl Column {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(texts) => texts.codes.len(),
            Self::Integer(values) => values.len(),
            Self::Number(values) => values.len(),
            Self::Boolean(values) => values.len(),
        }
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The narrowest type that fits all texts: booleans, integers, numbers, or else text.
    #[must_use]
    pub fn typed(texts: TextColumn) -> Self {
        let all = |parses: fn(&str) -> bool| !texts.values.is_empty() && texts.values.iter().all(|text| parses(text));
        let read = |texts: &TextColumn| texts.iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>();
        if all(|text| text.parse::<bool>().is_ok()) {
            return Self::Boolean(read(&texts).into_iter().map(|text| text?.parse().ok()).collect());
        }
        if all(|text| text.parse::<i64>().is_ok()) {
            return Self::Integer(read(&texts).into_iter().map(|text| text?.parse().ok()).collect());
        }
        if all(|text| text.parse::<f64>().is_ok()) {
            let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
            return Self::Number(read(&texts).into_iter().map(number).collect());
        }
        Self::Text(texts)
    }
}

/// Texts, each stored once however often it occurs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TextColumn {
    values: Vec<String>,
    code_of: BTreeMap<String, u32>,
    codes: Vec<Option<u32>>,
}

impl TextColumn {
    /// Appends a text or a missing value.
    pub fn push(&mut self, text: Option<&str>) {
        let code = text.map(|text| {
            self.code_of.get(text).copied().unwrap_or_else(|| {
                let code = self.values.len() as u32;
                self.values.push(text.to_owned());
                self.code_of.insert(text.to_owned(), code);
                code
            })
        });
        self.codes.push(code);
    }

    /// The texts, in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<&str>> {
        self.codes.iter().map(|code| code.map(|code| self.values[code as usize].as_str()))
    }
}

impl<'a> FromIterator<Option<&'a str>> for TextColumn {
    fn from_iter<I: IntoIterator<Item = Option<&'a str>>>(texts: I) -> Self {
        let mut all = Self::default();
        texts.into_iter().for_each(|text| all.push(text));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_what_they_all_are() {
        let typed = |texts: &[Option<&str>]| Column::typed(texts.iter().copied().collect());
        assert_eq!(typed(&[Some("1"), None, Some("-2")]), Column::Integer(vec![Some(1), None, Some(-2)]));
        let Column::Number(numbers) = typed(&[Some("1"), None, Some("3e-4")]) else { panic!("they are numbers") };
        assert!(numbers[1].is_nan() && (numbers[2] - 3e-4).abs() < 1e-18);
        assert_eq!(typed(&[Some("true"), Some("false"), None]), Column::Boolean(vec![Some(true), Some(false), None]));
        assert!(matches!(typed(&[Some("1"), Some("l1")]), Column::Text(_)));
        assert!(matches!(typed(&[None, None]), Column::Text(_)));
    }
}
