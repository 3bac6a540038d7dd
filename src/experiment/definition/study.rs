//! Published studies whose claims a report can test.

/// A study that `claims` of a definition names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Study {
    /// The student's study of landmarks in cephalograms that this program grew from.
    Cephalometric2021,
}

impl Study {
    /// Every study.
    pub const ALL: [Self; 1] = [Self::Cephalometric2021];

    /// The name in definitions.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cephalometric2021 => "cephalometric-2021",
        }
    }

    /// The study of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|study| study.name() == name)
    }

    /// Its title.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Cephalometric2021 => "Automatic Cephalometric Landmark Detection on X-ray Images (BanSangSu, 2021)",
        }
    }

    /// Where it is published.
    #[must_use]
    pub fn address(self) -> &'static str {
        match self {
            Self::Cephalometric2021 => "https://github.com/BanSangSu/Automatic_Cephalometric_Landmark_Detection",
        }
    }
}
