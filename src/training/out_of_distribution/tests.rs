//! Tests of judgements: their rate of false alarms, and what they find.

use super::conformal::judgement;
use super::*;

/// Numbers from 0 to 1 that look random: the fractional parts of multiples of the golden ratio, stirred.
fn uniform(index: u64) -> f64 {
    let stirred = (index ^ (index >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let stirred = (stirred ^ (stirred >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (stirred >> 11) as f64 / (1u64 << 53) as f64
}

/// Scores of an image of one source: each feature has a distribution of its own, one with a long tail.
fn drawn(image: u64) -> FeatureScores {
    std::array::from_fn(|f| {
        let u = uniform(image * 7 + f as u64 + 1);
        let score = match Feature::ALL[f] {
            Feature::Aspect | Feature::Resolution | Feature::Extent => 0.0,
            Feature::GreyValues => 0.05 * u,
            Feature::Layout => 0.1 / (1.01 - u),
            Feature::Sharpness => -(1.001 - u).ln(),
            Feature::Confidence => 0.3 + u * u,
        };
        score as f32
    })
}

#[test]
fn false_alarms_are_as_rare_as_stated() {
    for (validation, rate) in [(19, 0.05), (40, 1.0 / 41.0), (399, 0.01)] {
        let (mut alarms, mut all) = (0, 0);
        for round in 0..400u64 {
            let known: Vec<FeatureScores> = (0..validation).map(|i| drawn(round * 1000 + i)).collect();
            for image in 0..5 {
                let judgement = judgement(&known, drawn(round * 1000 + 900 + image));
                assert!((judgement.false_alarm_rate - rate).abs() < 1e-12);
                assert_eq!(judgement.unlike, judgement.score > 1.0);
                assert_eq!(judgement.unlike, !judgement.differs.is_empty());
                assert!(!judgement.unlike || judgement.p <= rate + 1e-12);
                alarms += u32::from(judgement.unlike);
                all += 1;
            }
        }
        let share = f64::from(alarms) / f64::from(all);
        // Five images share their validation images, so that 400 rounds count, not 2,000 images.
        let error = (rate * (1.0 - rate) / 400.0).sqrt();
        assert!((share - rate).abs() < 3.0 * error, "{validation}: {share} of {rate}");
    }
}

#[test]
fn what_differs_is_named_the_greatest_first() {
    let known: Vec<FeatureScores> = (0..50).map(drawn).collect();
    let mut own = drawn(1000);
    own[Feature::GreyValues as usize] = 0.6;
    own[Feature::Aspect as usize] = 3.0;
    let judgement = judgement(&known, own);
    let features: Vec<Feature> = judgement.differs.iter().map(|d| d.feature).collect();
    assert_eq!(features[..2], [Feature::Aspect, Feature::GreyValues]);
    assert!(judgement.unlike && (judgement.p - 1.0 / 51.0).abs() < 1e-12);
    // A property that all validation images share may differ a little.
    let same = vec![[0.1; Feature::ALL.len()]; 50];
    assert!(!super::conformal::judgement(&same, [0.105; Feature::ALL.len()]).unlike);
}

/// Statistics of images whose grey values rise from the top to a bottom of this brightness.
fn ramps(size: Size, count: usize) -> (TrainingImages, Judge) {
    let image = |i: usize| ramp(size, 0.6 + 0.4 * uniform(i as u64 + 1) as f32);
    let facts = |i: usize| Facts::of(size, Some(Spacing { x: 0.3, y: 0.3 }), size, Appearance::of(&image(i), size));
    let kept: Vec<Appearance> = (0..count).map(|i| facts(i).appearance).collect();
    let one = facts(0);
    let mut images = TrainingImages {
        appearances: base64::encode(kept.iter().flat_map(Appearance::bytes).collect::<Vec<u8>>()),
        aspect: [one.aspect as f32; 2],
        resolution: one.resolution as f32,
        extent_mm: one.extent_mm.map(|mm| [mm as f32; 2]),
        sharpness: [one.appearance.sharpness as f32, 0.1],
        validation: Vec::new(),
    };
    images.validation = (100..130).map(|i| images.scores(&kept, &facts(i), 0.8)).collect();
    let text = serde_json::to_string(&images).unwrap();
    let back: TrainingImages = serde_json::from_str(&text).unwrap();
    assert_eq!(back, images);
    let judge = back.judge(size).unwrap();
    (images, judge)
}

fn ramp(size: Size, bottom: f32) -> Vec<f32> {
    (0..size.area()).map(|i| bottom * (i / size.width) as f32 / (size.height - 1) as f32).collect()
}

#[test]
fn an_image_like_the_others_passes_and_changed_ones_say_how() {
    let size = Size { height: 40, width: 32 };
    let (images, judge) = ramps(size, 30);
    let planes = ramp(size, 0.83);
    let seen = SeenImage { size, spacing: None, planes: &planes, input: size, confidence: 0.8 };
    assert!(!judge.judge(seen).unlike);
    let features = |image| judge.judge(image).differs.into_iter().map(|d| d.feature).collect::<Vec<_>>();
    let inverted: Vec<f32> = planes.iter().map(|v| 1.0 - v).collect();
    let blank = vec![0.5; size.area()];
    assert!(features(SeenImage { planes: &inverted, ..seen }).contains(&Feature::Layout));
    assert!(features(SeenImage { planes: &blank, ..seen }).contains(&Feature::Layout));
    let dark: Vec<f32> = planes.iter().map(|v| v / 4.0).collect();
    assert_eq!(features(SeenImage { planes: &dark, ..seen }), [Feature::GreyValues]);
    assert_eq!(features(SeenImage { confidence: 0.1, ..seen }), [Feature::Confidence]);
    let wide = Size { height: 40, width: 64 };
    assert_eq!(features(SeenImage { size: wide, ..seen }), [Feature::Aspect]);
    assert_eq!(features(SeenImage { size: Size { height: 10, width: 8 }, ..seen }), [Feature::Resolution]);
    // A finer scan of the same film is no other image; a larger part of the body is.
    assert!(!judge.judge(SeenImage { size: Size { height: 400, width: 320 }, ..seen }).unlike);
    assert_eq!(features(SeenImage { spacing: Some(Spacing { x: 0.9, y: 0.9 }), ..seen }), [Feature::Extent]);
    assert!(!judge.judge(SeenImage { spacing: Some(Spacing { x: 0.3, y: 0.3 }), ..seen }).unlike);
    let detail = judge.judge(SeenImage { confidence: 0.1, ..seen }).differs.remove(0).detail;
    assert_eq!(detail, "confidence 0.100, on validation images at least 0.800");

    // Too few images to judge by, or numbers that were not written by this program.
    let few = TrainingImages { validation: images.validation[..LEAST_VALIDATION - 1].to_vec(), ..images.clone() };
    assert!(few.judge(size).is_none());
    assert!(TrainingImages { appearances: "AAAA".into(), ..images.clone() }.judge(size).is_none());
    assert!(TrainingImages { appearances: "?".into(), ..images }.judge(size).is_none());
}

#[test]
fn confidences_follow_their_images() {
    let size = Size { height: 40, width: 32 };
    let (mut images, _) = ramps(size, 10);
    images.note_confidences(&(0..30).map(|i| 1.0 / f64::from(i + 1)).collect::<Vec<_>>());
    let doubt = |images: &TrainingImages, i: usize| images.validation[i][Feature::Confidence as usize];
    assert!((doubt(&images, 29) - 30f32.ln()).abs() < 1e-5 && doubt(&images, 0) == 0.0);
    let (mut resumed, _) = ramps(size, 10);
    resumed.take_confidences(&images);
    assert_eq!(resumed, images);
    assert_eq!(evenly(1000, 4).collect::<Vec<_>>(), [0, 250, 500, 750]);
    assert_eq!(evenly(3, 4).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(evenly(0, 4).count(), 0);
}
