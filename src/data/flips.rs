//! Landmarks that change sides in a mirrored image: its left ear is the mirror image of the right one.

use crate::dataset::first_repeated;
use sweep_core::error::{Error, Result};

/// A data set's landmarks, and the pairs that change places in a mirror.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sides {
    /// Names of all landmarks.
    pub landmarks: Vec<String>,
    /// Pairs that change sides; `None` where the data set does not say.
    pub flip_pairs: Option<Vec<[String; 2]>>,
}

impl Sides {
    /// The pairs that change sides.
    ///
    /// # Errors
    /// When the data set does not state them, and its names look as if there were some, or say nothing.
    pub fn pairs(&self) -> Result<Vec<[String; 2]>> {
        if let Some(stated) = &self.flip_pairs {
            return Ok(stated.clone());
        }
        let alike = look_alike(&self.landmarks);
        let example = |pairs: &[[String; 2]]| {
            let pair = |[a, b]: &[String; 2]| format!("[{}, {}]", quoted(a), quoted(b));
            format!("flip_pairs = [{}]", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
        };
        let none = "flip_pairs = [] in dataset.toml says that none does";
        if let [[left, right], ..] = alike.as_slice() {
            let what = format!(
                "`{left}` and `{right}` look like landmarks that change sides in a mirrored image, and the data set does not \
                 say whether they do"
            );
            return Err(Error::definition(what)
                .remedy(format!("write {} in dataset.toml, or in `augment`; {none}", example(&alike))));
        }
        let is_number = |name: &String| !name.chars().any(char::is_alphabetic) || is_counted(name);
        if self.landmarks.len() > 1 && self.landmarks.iter().all(is_number) {
            let what = "the landmarks are numbers, which do not tell which of them change sides in a mirrored image";
            let pair = [[self.landmarks[0].clone(), self.landmarks[1].clone()]];
            return Err(
                Error::definition(what).remedy(format!("write {} or the like in dataset.toml; {none}", example(&pair)))
            );
        }
        Ok(Vec::new())
    }
}

/// Whether all landmarks of these pairs are there, once.
///
/// # Errors
/// Names the landmark.
pub(crate) fn check_pairs(pairs: &[[String; 2]], landmarks: &[String]) -> Result<()> {
    let all = || pairs.iter().flatten().map(String::as_str);
    if let Some(unknown) = all().find(|name| !landmarks.iter().any(|landmark| landmark == name)) {
        return Err(Error::input(format!("the data set has no landmark `{unknown}`"))
            .remedy(format!("name its landmarks: {}", landmarks.join(", "))));
    }
    match first_repeated(all()) {
        Some(name) => Err(Error::input(format!("`{name}` is there twice"))
            .remedy("a landmark changes places with one other; one that stays on its side is in no pair")),
        None => Ok(()),
    }
}

/// For every landmark, the one whose place it takes in a mirrored image: its partner, or itself.
///
/// # Errors
/// When a landmark of a pair is not there, or in two pairs.
pub fn partners(pairs: &[[String; 2]], landmarks: &[String]) -> Result<Vec<usize>> {
    check_pairs(pairs, landmarks)?;
    let index = |name: &String| landmarks.iter().position(|landmark| landmark == name);
    let mut partners: Vec<usize> = (0..landmarks.len()).collect();
    for [a, b] in pairs {
        if let (Some(a), Some(b)) = (index(a), index(b)) {
            (partners[a], partners[b]) = (b, a);
        }
    }
    Ok(partners)
}

/// Names that differ by left and right alone, each pair once.
fn look_alike(landmarks: &[String]) -> Vec<[String; 2]> {
    let is_right_of = |left: &String, right: &String| mirrored(left).iter().any(|name| name == right);
    let pairs = landmarks.iter().filter_map(|left| {
        let right = landmarks.iter().find(|right| is_right_of(left, right))?;
        Some([left.clone(), right.clone()])
    });
    pairs.collect()
}

/// The names of the right one, if a name is the left one's.
fn mirrored(name: &str) -> Vec<String> {
    let words = [("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT"), ("sinist", "dext"), ("links", "rechts")];
    let mut names: Vec<String> = words
        .iter()
        .filter(|(left, _)| name.contains(left))
        .map(|(left, right)| name.replacen(left, right, 1))
        .collect();
    // A letter of its own: l_ear, ear-L, L1, earL.
    for (at, letter) in name.char_indices() {
        let right = match letter {
            'l' => "r",
            'L' => "R",
            _ => continue,
        };
        let (before, after) = (name[..at].chars().next_back(), name[at + 1..].chars().next());
        let ends = |near: Option<char>| near.is_none_or(|c| !c.is_alphabetic());
        let is_capital = letter == 'L' && before.is_some_and(char::is_lowercase) && ends(after);
        if ends(before) && ends(after) || is_capital {
            names.push(format!("{}{right}{}", &name[..at], &name[at + 1..]));
        }
    }
    names
}

/// Whether a name is one word and a number, as `point 12` or `p12`.
fn is_counted(name: &str) -> bool {
    let word = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let word = word.trim_end_matches([' ', '_', '-', '.']).to_lowercase();
    word.len() < name.len()
        && ["", "p", "pt", "kp", "lm", "x", "point", "landmark", "keypoint", "bodypart"].contains(&word.as_str())
}

fn quoted(name: &str) -> String {
    toml::Value::String(name.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn pair(a: &str, b: &str) -> [String; 2] {
        [a.to_owned(), b.to_owned()]
    }

    #[test]
    fn names_that_look_like_two_sides_are_asked_for() {
        for [left, right] in [
            ["leftear", "rightear"],
            ["Left eye", "Right eye"],
            ["ear_l", "ear_r"],
            ["L1", "R1"],
            ["earL", "earR"],
            ["l-paw.front", "r-paw.front"],
            ["eye_left_outer", "eye_right_outer"],
        ] {
            let sides = Sides { landmarks: names(&["snout", right, left]), flip_pairs: None };
            let error = sides.pairs().unwrap_err();
            assert!(error.message.contains(left) && error.message.contains(right), "{error}");
            let remedy = error.remedy.unwrap();
            assert!(
                remedy.contains(&format!("[[\"{left}\", \"{right}\"]]")) && remedy.contains("flip_pairs = []"),
                "{remedy}"
            );
            let stated = Sides { flip_pairs: Some(Vec::new()), ..sides };
            assert_eq!(stated.pairs(), Ok(Vec::new()), "said to stay");
        }
    }

    #[test]
    fn names_that_have_no_sides_need_no_pairs_and_numbers_do() {
        let of = |landmarks: &[&str]| Sides { landmarks: names(landmarks), flip_pairs: None }.pairs();
        assert_eq!(of(&["snout", "tail base", "left ear"]), Ok(Vec::new()));
        assert_eq!(of(&["sella", "nasion", "lower lip", "upper lip"]), Ok(Vec::new()));
        assert!(of(&["1", "2"]).is_err() && of(&["p1", "p2"]).is_err() && of(&["landmark 1", "landmark 2"]).is_err());
        assert_eq!(of(&["1"]), Ok(Vec::new()), "one landmark has no partner");
    }

    #[test]
    fn pairs_are_of_landmarks_that_are_there_once() {
        let landmarks = names(&["a", "b", "c", "d"]);
        assert_eq!(partners(&[pair("a", "c")], &landmarks).unwrap(), [2, 1, 0, 3]);
        assert_eq!(partners(&[], &landmarks).unwrap(), [0, 1, 2, 3]);
        assert!(check_pairs(&[pair("a", "e")], &landmarks).unwrap_err().message.contains("`e`"));
        assert!(check_pairs(&[pair("a", "b"), pair("c", "a")], &landmarks).unwrap_err().message.contains("`a`"));
        assert!(check_pairs(&[pair("a", "a")], &landmarks).is_err());
    }
}
