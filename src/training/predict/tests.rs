use sweep_data::picture::GreyRange;

use super::*;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn description(landmarks: &[&str]) -> Description {
    let config = "epochs = 1\nseed = 0\nmodel = { name = 'unet' }\nloss = { name = 'l1' }";
    Description::start("a", &toml::from_str(config).unwrap(), &names(landmarks))
}

#[test]
fn deep_images_are_shown_as_in_training() {
    let range = |high| Some(GreyRange { low: 0.0, high });
    let with = |grey| Description { grey, ..description(&["a"]) };
    let shared = |greys: [Option<GreyRange>; 2]| shared_grey(greys.map(with).iter());
    assert_eq!(shared([None, None]).unwrap(), DeepGrey::Own);
    assert_eq!(shared([range(4095.0), range(4095.0)]).unwrap(), DeepGrey::Fixed(range(4095.0).unwrap()));
    assert!(shared([range(4095.0), range(1023.0)]).is_err() && shared([None, range(1023.0)]).is_err());
    // A checkpoint keeps its range, and one without it reads as before.
    let json = serde_json::to_string(&with(range(4095.0))).unwrap();
    assert_eq!(serde_json::from_str::<Description>(&json).unwrap().grey, range(4095.0));
    let json = serde_json::to_string(&with(None)).unwrap();
    assert!(!json.contains("grey"), "{json}");
    assert_eq!(serde_json::from_str::<Description>(&json).unwrap().grey, None);
}

#[test]
fn landmarks_are_matched_by_name() {
    let first = description(&["sella", "nasion", "menton"]);
    assert_eq!(order(&first, &description(&["menton", "sella", "nasion"])).unwrap(), [1, 2, 0]);
    let error = order(&first, &description(&["sella", "nasion", "gonion"])).unwrap_err();
    assert_eq!(error.message, "this checkpoint does not find `menton` and finds `gonion`, which the first does not");
    // A landmark that was never trained is not found; its map is skipped.
    let partly = Description { untrained: names(&["porion"]), ..description(&["porion", "menton", "sella", "nasion"]) };
    assert_eq!(order(&first, &partly).unwrap(), [2, 3, 1]);
    let found = first.found();
    assert_eq!(landmark_indices(&found, &names(&["porion", "menton", "nasion", "sella"])).unwrap(), [3, 2, 1]);
    let error = landmark_indices(&found, &names(&["nasion"])).unwrap_err();
    assert!(error.message.contains("`sella`, `menton`"), "{error}");
}
