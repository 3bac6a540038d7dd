//! The nearest of several words to one that is misspelt.

/// Other names by which people know some of ours.
const CALLED: [(&str, &str); 18] = [
    ("adam", "adamw"),
    ("learningrate", "lr"),
    ("batch", "batch_size"),
    ("l2", "mse"),
    ("mae", "l1"),
    ("huber", "smooth-l1"),
    ("wing", "adaptive-wing"),
    ("unetplusplus", "unet++"),
    ("resnet18", "unet-resnet18"),
    ("resnet34", "unet-resnet34"),
    ("efficientnet", "unet-efficientnet-b0"),
    ("efficientnetb0", "unet-efficientnet-b0"),
    ("timmefficientnetb0", "unet-efficientnet-b0"),
    ("efficientnetlite0", "unet-efficientnet-lite0"),
    ("hrnet", "hrnet-w18"),
    ("attunet", "attention-unet"),
    ("deeplab", "deeplabv3+"),
    ("deeplabv3plus", "deeplabv3+"),
];

/// The word that was probably meant: one that differs in case and punctuation alone, that people use for it, that is spelt
/// almost alike, or that begins so.
#[must_use]
pub fn nearest<'a>(word: &str, words: &[&'a str]) -> Option<&'a str> {
    let wanted = plain(word);
    if wanted.is_empty() {
        return None;
    }
    let same = words.iter().find(|other| plain(other) == wanted);
    let name = CALLED.iter().find(|(called, _)| *called == wanted).map(|(_, name)| *name);
    let called = words.iter().find(|other| Some(**other) == name);
    let near = words
        .iter()
        .map(|other| (strsim::damerau_levenshtein(&plain(other), &wanted), other))
        .filter(|(distance, other)| *distance <= 2.min(other.len().max(wanted.len()) / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other);
    let begins = words.iter().find(|other| wanted.len() >= 3 && plain(other).starts_with(&wanted));
    same.or(called).or(near).or(begins).copied()
}

/// A word in small letters, without punctuation.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric() || *c == '+').flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_only_where_it_was_probably_meant() {
        let words = ["smooth-l1", "l1", "mse", "adaptive-wing", "epochs"];
        assert_eq!(nearest("SmoothL1", &words), Some("smooth-l1"));
        assert_eq!(nearest("huber", &words), Some("smooth-l1"));
        assert_eq!(nearest("epoch", &words), Some("epochs"));
        assert_eq!(nearest("adaptve-wing", &words), Some("adaptive-wing"));
        assert_eq!(nearest("ada", &words), Some("adaptive-wing"));
        assert_eq!((nearest("cosmic", &words), nearest("l7x", &words), nearest("--", &words)), (None, None, None));
    }
}
