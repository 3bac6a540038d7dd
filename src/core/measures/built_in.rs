//! Sets of measures that a data set names instead of defining them.

use std::collections::BTreeMap;

use super::{Measure, Measures};
use crate::error::{Error, Result};

/// A set of measures.
#[derive(Debug)]
pub struct BuiltIn {
    /// Its name, for `measure_set`.
    pub name: &'static str,
    /// Source of its definitions.
    pub source: &'static str,
    /// Names and definitions, JSON.
    definitions: &'static str,
}

/// All sets.
pub const SETS: [BuiltIn; 1] = [BuiltIn {
    name: "isbi2015",
    source: "Wang et al., A benchmark for comparison of dental radiography analysis algorithms, Medical Image Analysis 31, \
             2016, 63-76",
    definitions: ISBI2015,
}];

/// The eight measures of the cephalometric challenge, for faces that look to the right. Signs of ODI and APDI as Kim's (1974 and
/// 1978): the palatal plane counts as positive where its front is lower, the AB plane where B is in front of A. ANB is SNA − SNB.
/// The challenge calls a modified Wits (MW) of 0 mm edge to edge and gives no name to values between 0 and 2 mm.
const ISBI2015: &str = r#"{
  "SNA": { "angle": ["sella", "nasion", "subspinale"],
    "classes": { "cuts": [79.4, 83.2], "names": ["retrognathic maxilla", "normal", "prognathic maxilla"] } },
  "SNB": { "angle": ["sella", "nasion", "supramentale"],
    "classes": { "cuts": [74.6, 78.7], "names": ["retrognathic mandible", "normal", "prognathic mandible"] } },
  "ANB": { "difference": ["SNA", "SNB"],
    "classes": { "cuts": [3.2, 5.7], "names": ["class III", "class I", "class II"] } },
  "ODI": { "sum": [
      { "angle_between": [["supramentale", "subspinale"], ["menton", "gonion"]] },
      { "angle_between": [["porion", "orbitale"], ["PNS", "ANS"]], "signed": true } ],
    "classes": { "cuts": [68.4, 80.5], "names": ["open bite tendency", "normal", "deep bite tendency"] } },
  "APDI": { "sum": [
      { "angle_between": [["orbitale", "porion"], ["nasion", "pogonion"]] },
      { "angle_between": [["subspinale", "supramentale"], ["nasion", "pogonion"]], "signed": true },
      { "angle_between": [["porion", "orbitale"], ["PNS", "ANS"]], "signed": true } ],
    "classes": { "cuts": [77.6, 85.2], "names": ["class II tendency", "normal", "class III tendency"] } },
  "FHI": { "ratio": [["sella", "gonion"], ["nasion", "menton"]],
    "classes": { "cuts": [0.65, 0.75], "names": ["long face tendency", "normal", "short face tendency"] } },
  "FMA": { "angle_between": [["sella", "nasion"], ["gonion", "gnathion"]],
    "classes": { "cuts": [26.8, 31.4], "names": ["low mandibular angle", "normal", "high mandibular angle"] } },
  "MW": { "distance": ["lower_incisor", "upper_incisor"], "signed": true,
    "classes": { "cuts": [0.0, 2.0, 4.5], "names": ["anterior crossbite", "0 to 2 mm", "normal", "large overjet"] } }
}"#;

impl BuiltIn {
    /// Its measures that these landmarks suffice for, and the names of the others.
    ///
    /// # Errors
    /// When they suffice for none.
    pub(super) fn measures(&self, landmarks: &[String]) -> Result<(Measures, Vec<String>)> {
        let failed = |e: serde_json::Error| Error::input(e.to_string()).at(self.name);
        let mut all: BTreeMap<String, Measure> = serde_json::from_str(self.definitions).map_err(failed)?;
        let whole = Measures::new(all.clone())?;
        let lacks = |name: &&str| whole.needs(name).iter().any(|of| !landmarks.iter().any(|landmark| landmark == of));
        let missing: Vec<String> = whole.names().filter(lacks).map(str::to_owned).collect();
        all.retain(|name, _| !missing.contains(name));
        if all.is_empty() {
            let mut needed: Vec<&str> = whole.names().flat_map(|name| whole.needs(name)).collect();
            needed.sort_unstable();
            needed.dedup();
            return Err(Error::input(format!("the landmarks suffice for no measure of the set `{}`", self.name))
                .at("key `measure_set`")
                .remedy(format!("it reads landmarks of these names: {}", needed.join(", "))));
        }
        Ok((Measures::new(all)?, missing))
    }
}

impl Measures {
    /// The landmarks that a measure and the measures in it need.
    fn needs<'a>(&'a self, name: &str) -> Vec<&'a str> {
        let Some(measure) = self.0.get(name) else { return Vec::new() };
        let inner = measure.named_terms().flat_map(|other| self.needs(other));
        measure.landmarks().into_iter().chain(inner).collect()
    }
}
