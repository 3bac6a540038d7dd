//! Names of the points that common pose estimators find, for files that do not say them.
//!
//! Sources: categories of COCO's `person_keypoints_val2017.json`; `configs/_base_/datasets/coco_wholebody.py` of
//! github.com/open-mmlab/mmpose; "OpenPose - Output", "Pose Output Format", of github.com/CMU-Perceptual-Computing-Lab/openpose.

/// The 17 points of COCO's persons.
pub(super) const COCO: [&str; 17] = [
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
];

/// The 25 points of OpenPose's `BODY_25`.
pub(super) const BODY_25: [&str; 25] = [
    "Nose",
    "Neck",
    "RShoulder",
    "RElbow",
    "RWrist",
    "LShoulder",
    "LElbow",
    "LWrist",
    "MidHip",
    "RHip",
    "RKnee",
    "RAnkle",
    "LHip",
    "LKnee",
    "LAnkle",
    "REye",
    "LEye",
    "REar",
    "LEar",
    "LBigToe",
    "LSmallToe",
    "LHeel",
    "RBigToe",
    "RSmallToe",
    "RHeel",
];

/// The 18 points of OpenPose's COCO model.
pub(super) const OPENPOSE_COCO: [&str; 18] = [
    "Nose",
    "Neck",
    "RShoulder",
    "RElbow",
    "RWrist",
    "LShoulder",
    "LElbow",
    "LWrist",
    "RHip",
    "RKnee",
    "RAnkle",
    "LHip",
    "LKnee",
    "LAnkle",
    "REye",
    "LEye",
    "REar",
    "LEar",
];

/// The 15 points of OpenPose's MPI model.
pub(super) const OPENPOSE_MPI: [&str; 15] = [
    "Head",
    "Neck",
    "RShoulder",
    "RElbow",
    "RWrist",
    "LShoulder",
    "LElbow",
    "LWrist",
    "RHip",
    "RKnee",
    "RAnkle",
    "LHip",
    "LKnee",
    "LAnkle",
    "Chest",
];

/// The 6 points of the feet in COCO-WholeBody.
const FEET: [&str; 6] =
    ["left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"];

/// The points of COCO-WholeBody after the body's: 6 of the feet, 68 of the face, 21 of each hand.
pub(super) fn whole_body_without_body() -> Vec<String> {
    let hand = |side: &str| {
        let fingers = ["thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger"];
        let joints = fingers.into_iter().flat_map(|finger| (1..=4).map(move |joint| format!("{finger}{joint}")));
        std::iter::once("hand_root".to_owned()).chain(joints).map(|name| format!("{side}_{name}")).collect::<Vec<_>>()
    };
    let face = (0..68).map(|index| format!("face-{index}"));
    FEET.map(str::to_owned).into_iter().chain(face).chain(hand("left")).chain(hand("right")).collect()
}

/// Names of so many points of an object; the note says which names they are.
pub(super) fn of_count(object: &str, count: usize) -> (Vec<String>, Option<String>) {
    let is_person = object.eq_ignore_ascii_case("person");
    if is_person && count == COCO.len() {
        let note = "the keypoints have no names: they were called like COCO's 17 points of a person".to_owned();
        return (COCO.map(str::to_owned).to_vec(), Some(note));
    }
    if is_person && count == COCO.len() + 116 {
        let note = "the keypoints have no names: they were called like COCO-WholeBody's 133 points".to_owned();
        return (COCO.map(str::to_owned).into_iter().chain(whole_body_without_body()).collect(), Some(note));
    }
    numbered(count)
}

/// `p1`, `p2` and so on.
pub(super) fn numbered(count: usize) -> (Vec<String>, Option<String>) {
    let note = format!("the points have no names: they were called p1 to p{count}, as they are ordered");
    ((1..=count).map(|number| format!("p{number}")).collect(), Some(note))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persons_of_17_or_133_points_are_cocos() {
        let (names, note) = of_count("person", 133);
        assert_eq!((names.len(), names[16].as_str(), names[17].as_str()), (133, "right_ankle", "left_big_toe"));
        // `coco_wholebody.py` of mmpose: 23 is face-0, 91 left_hand_root, 112 right_hand_root, 132 right_pinky_finger4.
        assert_eq!(
            [23, 91, 92, 112, 132].map(|i| names[i].as_str()),
            ["face-0", "left_hand_root", "left_thumb1", "right_hand_root", "right_pinky_finger4"]
        );
        assert!(note.unwrap().contains("WholeBody"));
        assert_eq!(of_count("person", 17).0[0], "nose");
        assert_eq!(of_count("mouse", 17).0[16], "p17");
    }
}
