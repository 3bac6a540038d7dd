//! The average head: control points in millimetres, sella at the origin, Frankfort horizontal level, face to the right.
//!
//! Numbers and no logic, hence one long file. Drawn after textbook cephalometric tracings. Where a landmark lies on a
//! curve, the constant beside it says between which control points to look for it.

use std::ops::RangeInclusive;

/// Control points of one curve.
pub(super) type Points = &'static [(f64, f64)];

/// Outer table of the vault from the fronto-nasal suture over the vertex to opisthion.
pub(super) const VAULT_OUTER: Points = &[
    (58.0, -8.0),
    (60.0, -12.0),
    (60.8, -18.0),
    (59.5, -27.0),
    (56.0, -38.0),
    (50.0, -50.5),
    (40.5, -65.0),
    (25.0, -78.5),
    (4.0, -89.5),
    (-19.0, -95.5),
    (-44.0, -94.5),
    (-66.0, -85.0),
    (-84.0, -68.0),
    (-95.0, -47.0),
    (-99.0, -24.0),
    (-96.0, -2.0),
    (-88.0, 17.0),
    (-76.0, 31.0),
    (-64.0, 40.0),
    (-54.0, 44.0),
];

/// Inner table, from the crista galli over the vertex to opisthion.
pub(super) const VAULT_INNER: Points = &[
    (47.0, -19.0),
    (50.5, -26.0),
    (49.0, -38.0),
    (43.5, -49.5),
    (35.0, -61.5),
    (20.5, -74.0),
    (2.0, -84.0),
    (-19.0, -89.5),
    (-43.0, -88.5),
    (-63.0, -79.5),
    (-79.0, -64.0),
    (-89.0, -45.0),
    (-93.0, -24.0),
    (-90.5, -4.0),
    (-82.0, 14.0),
    (-71.0, 27.0),
    (-60.0, 36.0),
    (-52.0, 40.0),
];

/// Floor of the anterior fossa from the crista galli to the tuberculum sellae.
pub(super) const ANTERIOR_BASE: Points =
    &[(47.0, -19.0), (41.0, -14.0), (32.0, -10.5), (22.0, -7.5), (13.0, -5.2), (7.0, -4.2)];

/// Roof of the orbits.
pub(super) const ORBITAL_ROOF: Points = &[(51.0, -13.0), (44.0, -17.5), (34.0, -16.0), (24.0, -11.0), (12.0, -6.5)];

/// Tuberculum, fossa, dorsum with the posterior clinoids, clivus, basion.
pub(super) const SELLA: Points = &[
    (10.0, -4.8),
    (6.4, -3.6),
    (5.2, -0.4),
    (3.4, 3.2),
    (0.0, 4.9),
    (-3.6, 4.0),
    (-5.2, 0.8),
    (-4.9, -2.8),
    (-5.8, -5.6),
    (-8.0, -4.6),
    (-8.4, 0.0),
    (-11.0, 10.0),
    (-15.0, 22.0),
    (-19.5, 33.0),
    (-22.0, 38.5),
    (-20.0, 39.5),
    (-15.0, 32.0),
    (-9.0, 22.0),
];
/// From the tuberculum to the tip of the posterior clinoids: the fossa's wall, whose enclosed area has sella in its middle.
pub(super) const SELLA_FOSSA: RangeInclusive<usize> = 1..=8;

/// Anterior clinoid processes.
pub(super) const ANTERIOR_CLINOID: Points = &[(13.0, -6.8), (7.0, -8.0), (2.2, -7.2), (4.6, -5.4), (8.0, -4.6)];

/// Frontal sinus.
pub(super) const FRONTAL_SINUS: Points =
    &[(55.0, -11.0), (52.5, -19.0), (53.5, -29.0), (56.2, -32.5), (57.4, -26.0), (58.2, -18.5), (57.2, -12.0)];

/// Glabella, the notch of the fronto-nasal suture, the nasal bone and back along its inner side.
pub(super) const NASAL: Points = &[
    (60.8, -18.0),
    (60.2, -12.0),
    (58.0, -7.4),
    (60.2, -2.5),
    (63.0, 4.0),
    (66.0, 10.5),
    (67.8, 15.5),
    (64.4, 10.5),
    (60.5, 4.5),
    (56.5, -1.5),
    (54.5, -6.0),
];
/// From glabella to the tip of the nasal bone: the concavity with nasion.
pub(super) const NASAL_CONCAVITY: RangeInclusive<usize> = 0..=6;

/// The fronto-nasal suture, backwards from nasion, which it is drawn from.
pub(super) const SUTURE_OFFSET: (f64, f64) = (-4.6, 1.6);

/// Margin of the orbit on the side of the film.
pub(super) const ORBIT: Points = &[
    (52.0, -11.0),
    (44.5, -6.5),
    (40.5, 1.0),
    (40.0, 8.5),
    (42.6, 14.8),
    (47.8, 18.0),
    (52.4, 15.6),
    (54.6, 9.0),
    (55.6, 2.0),
];

/// Floor of the orbit behind its margin.
pub(super) const ORBITAL_FLOOR: Points = &[(47.8, 18.0), (40.0, 16.8), (30.0, 12.0), (21.0, 6.0)];

/// Centre and radii of the external auditory meatus.
pub(super) const MEATUS: ((f64, f64), (f64, f64)) = ((-21.0, 23.4), (4.6, 5.4));

/// Rim of the nasal aperture, anterior nasal spine, front of the upper alveolar process down to prosthion.
pub(super) const MAXILLA_FRONT: Points = &[
    (57.4, 10.0),
    (54.8, 20.0),
    (54.4, 30.0),
    (57.0, 37.6),
    (63.6, 41.8),
    (60.4, 43.6),
    (58.3, 47.0),
    (58.8, 51.5),
    (61.0, 58.0),
];
/// From the anterior nasal spine to prosthion: the concavity with A point.
pub(super) const MAXILLA_CONCAVITY: RangeInclusive<usize> = 4..=8;

/// Floor of the nose, from the anterior to the posterior nasal spine.
pub(super) const PALATE_UPPER: Points = &[(63.6, 41.8), (57.0, 40.4), (45.0, 39.6), (30.0, 40.0), (17.0, 41.0)];

/// Vault of the palate and the lingual alveolar plate.
pub(super) const PALATE_LOWER: Points =
    &[(17.0, 41.0), (25.0, 42.8), (36.0, 43.6), (46.0, 45.2), (52.0, 49.0), (55.2, 54.0), (57.0, 59.0)];

/// Upper jaw as a body.
pub(super) const MAXILLA: Points = &[
    (57.0, 12.0),
    (54.6, 24.0),
    (57.0, 37.6),
    (62.0, 41.8),
    (58.3, 47.0),
    (60.6, 58.0),
    (50.0, 60.0),
    (34.0, 60.0),
    (22.0, 58.0),
    (17.0, 50.0),
    (16.0, 40.0),
    (19.0, 24.0),
    (26.0, 12.0),
    (42.0, 17.0),
];

/// Maxillary sinus.
pub(super) const MAXILLARY_SINUS: Points = &[
    (22.0, 11.0),
    (32.0, 15.0),
    (42.0, 20.0),
    (49.0, 23.0),
    (50.5, 31.0),
    (46.0, 37.5),
    (32.0, 38.0),
    (21.0, 36.5),
    (19.5, 24.0),
];

/// Body of the zygoma under the orbit, ending in the key ridge.
pub(super) const ZYGOMA: Points =
    &[(46.0, 18.5), (51.0, 20.5), (47.5, 26.5), (43.5, 34.0), (39.5, 38.0), (36.5, 33.0), (32.0, 26.5), (37.0, 20.5)];

/// Zygomatic arch.
pub(super) const ZYGOMATIC_ARCH: Points = &[(34.0, 25.0), (22.0, 25.5), (8.0, 23.0), (-4.0, 17.5), (-12.0, 15.0)];

/// Pterygomaxillary fissure.
pub(super) const FISSURE: Points =
    &[(14.5, 19.0), (18.5, 18.0), (19.5, 25.0), (17.6, 35.0), (16.6, 40.0), (14.6, 33.0), (13.0, 25.0)];

/// Walls of the ethmoid and the lateral orbits: upright lines between base and palate.
pub(super) const ETHMOID: [Points; 3] = [
    &[(22.0, -7.0), (21.0, 2.0), (20.0, 11.0), (19.0, 18.0)],
    &[(33.0, -12.0), (35.0, -2.0), (33.0, 9.0), (35.0, 18.0)],
    &[(27.0, -9.0), (28.5, 0.0), (27.0, 10.0)],
];

/// Sphenoid sinus, under the fossa.
pub(super) const SPHENOID_SINUS: Points =
    &[(5.0, 8.0), (11.0, -1.0), (19.0, -2.0), (20.5, 8.0), (14.0, 14.0), (4.0, 15.0), (-4.0, 12.0)];

/// Petrous and mastoid parts of the temporal bones with the skull base between them.
pub(super) const TEMPORAL: Points = &[
    (-44.0, 6.0),
    (-28.0, 2.0),
    (-14.0, 7.0),
    (0.0, 14.0),
    (14.0, 17.0),
    (16.0, 22.0),
    (2.0, 23.0),
    (-9.0, 17.0),
    (-14.0, 24.0),
    (-19.0, 36.0),
    (-32.0, 45.0),
    (-44.0, 42.0),
    (-52.0, 28.0),
];

/// Where mastoid air cells lie: centre and spread.
pub(super) const MASTOID: ((f64, f64), (f64, f64)) = ((-37.0, 23.0), (7.5, 7.5));

/// Mandible, around: condyle, notch, coronoid, alveolar crest, chin, lower border, angle, back of the ramus.
pub(super) const MANDIBLE: Points = &[
    (-11.0, 17.6),
    (-7.0, 19.6),
    (-6.2, 24.0),
    (-3.0, 31.0),
    (2.5, 34.5),
    (8.5, 32.0),
    (14.5, 26.0),
    (18.0, 29.0),
    (19.0, 38.0),
    (21.5, 48.0),
    (25.0, 58.0),
    (29.0, 64.0),
    (38.0, 66.8),
    (50.0, 68.6),
    (57.2, 70.6),
    (54.6, 76.0),
    (53.6, 81.4),
    (55.0, 87.0),
    (56.8, 92.4),
    (55.2, 97.6),
    (49.8, 100.6),
    (43.6, 99.4),
    (35.0, 95.6),
    (23.0, 89.6),
    (12.0, 84.4),
    (4.0, 80.6),
    (-2.6, 76.4),
    (-6.8, 71.0),
    (-8.6, 64.0),
    (-9.6, 54.0),
    (-11.4, 42.0),
    (-14.0, 31.0),
    (-15.6, 23.6),
    (-14.6, 19.0),
];
/// From infradentale past pogonion: the concavity with B point lies between the two.
pub(super) const MANDIBLE_CONCAVITY: RangeInclusive<usize> = 14..=20;
/// The front of the chin below B point.
pub(super) const CHIN_FRONT: RangeInclusive<usize> = 17..=20;
/// All of the chin's outline.
pub(super) const CHIN: RangeInclusive<usize> = 17..=22;
/// The underside of the chin.
pub(super) const CHIN_BELOW: RangeInclusive<usize> = 18..=22;
/// The lower border, the angle and the back of the ramus.
pub(super) const MANDIBLE_ANGLE: RangeInclusive<usize> = 22..=32;

/// Outer cortex of the mandible that casts a line: from the alveolar crest around the chin to the condyle.
pub(super) const MANDIBLE_CORTEX: RangeInclusive<usize> = 14..=33;
/// Its thickest part: chin, lower border and angle.
pub(super) const MANDIBLE_BORDER: RangeInclusive<usize> = 17..=30;

/// Inner side of the cortex along the lower border and the symphysis.
pub(super) const SYMPHYSIS_INNER: Points =
    &[(51.0, 71.5), (47.0, 80.0), (44.4, 88.0), (44.6, 95.0), (47.4, 99.4), (50.0, 98.0), (52.5, 95.0), (53.4, 91.0)];

/// Inner side of the cortex of the lower border.
pub(super) const BORDER_INNER: Points = &[(45.0, 96.4), (36.0, 92.2), (24.0, 86.2), (13.0, 81.0), (4.0, 76.6)];

/// Mandibular canal.
pub(super) const CANAL: Points = &[(5.0, 50.0), (9.0, 62.0), (18.0, 74.0), (30.0, 81.5), (42.0, 84.0)];

/// Upper central incisor; the first point is the incisal edge.
pub(super) const UPPER_INCISOR: Points = &[
    (63.4, 69.0),
    (64.4, 65.0),
    (63.2, 59.5),
    (59.6, 52.5),
    (55.4, 46.6),
    (54.2, 47.4),
    (55.8, 54.0),
    (58.4, 60.8),
    (61.0, 65.0),
];

/// Lower central incisor; the first point is the incisal edge.
pub(super) const LOWER_INCISOR: Points = &[
    (60.4, 66.4),
    (61.0, 69.0),
    (59.4, 73.6),
    (56.0, 80.6),
    (52.4, 87.0),
    (51.2, 86.4),
    (52.6, 79.0),
    (55.4, 72.4),
    (58.2, 68.4),
];

/// Teeth behind the incisors: middle of the crown at the occlusal plane, and width.
pub(super) const SIDE_TEETH: [((f64, f64), f64); 5] =
    [((55.6, 66.6), 7.0), ((49.0, 65.8), 6.6), ((42.3, 65.0), 6.8), ((33.8, 64.0), 10.0), ((23.8, 62.8), 9.6)];

/// Half a tooth's outline by (share of its width, height above the occlusal plane).
pub(super) const TOOTH: Points = &[
    (-0.42, 0.6),
    (0.0, 1.1),
    (0.42, 0.6),
    (0.5, 4.0),
    (0.4, 7.4),
    (0.3, 14.0),
    (0.12, 19.0),
    (0.0, 14.0),
    (-0.12, 19.0),
    (-0.3, 14.0),
    (-0.4, 7.4),
    (-0.5, 4.0),
];

/// Hyoid bone.
pub(super) const HYOID: Points =
    &[(-2.0, 91.0), (6.0, 94.0), (13.0, 96.0), (17.0, 99.0), (15.0, 103.0), (10.0, 101.0), (5.0, 96.5), (-2.0, 92.0)];

/// Atlas: anterior arch and posterior tubercle.
pub(super) const ATLAS: [Points; 2] = [
    &[(-12.5, 43.0), (-9.0, 45.0), (-9.0, 51.0), (-12.0, 53.0), (-14.5, 48.0)],
    &[(-28.0, 48.0), (-38.0, 50.0), (-48.0, 48.0), (-52.0, 52.0), (-47.0, 57.0), (-38.0, 55.0), (-29.0, 55.0)],
];

/// Axis with its dens.
pub(super) const AXIS: Points = &[
    (-17.0, 41.0),
    (-13.8, 45.0),
    (-14.4, 54.0),
    (-12.4, 63.0),
    (-12.6, 69.0),
    (-20.0, 69.4),
    (-27.6, 68.0),
    (-27.0, 60.0),
    (-22.4, 52.0),
    (-21.4, 44.0),
];

/// Body of a lower vertebra around its middle.
pub(super) const VERTEBRA: Points =
    &[(7.4, -5.4), (6.4, 0.0), (8.0, 6.2), (0.0, 5.2), (-7.4, 5.6), (-6.8, 0.0), (-7.4, -6.0), (0.0, -5.4)];

/// Its arch and spinous process.
pub(super) const SPINE: Points =
    &[(-9.0, -3.0), (-15.0, -5.0), (-21.0, -1.0), (-30.0, 3.0), (-32.0, 7.0), (-26.0, 8.0), (-18.0, 5.0), (-12.0, 4.0)];

/// Middles of the third to the seventh vertebra.
pub(super) const VERTEBRAE: [(f64, f64); 5] =
    [(-20.4, 77.6), (-21.6, 92.6), (-23.4, 107.6), (-26.0, 122.6), (-29.0, 137.6)];

/// Air of nasopharynx, pharynx and windpipe.
pub(super) const AIRWAY: Points = &[
    (2.0, 30.0),
    (9.0, 33.0),
    (11.0, 42.0),
    (6.0, 52.0),
    (2.5, 64.0),
    (4.0, 76.0),
    (2.0, 88.0),
    (5.0, 104.0),
    (8.0, 120.0),
    (10.0, 175.0),
    (-3.0, 175.0),
    (-4.0, 120.0),
    (-6.0, 100.0),
    (-7.0, 84.0),
    (-7.0, 66.0),
    (-7.0, 50.0),
    (-4.0, 37.0),
];

/// Skin, around the whole head and neck.
pub(super) const SKIN: Points = &[
    (66.0, -18.0),
    (65.0, -6.0),
    (67.5, 3.0),
    (72.0, 13.0),
    (77.5, 24.0),
    (82.0, 33.0),
    (81.4, 38.0),
    (76.6, 41.4),
    (71.6, 43.6),
    (70.4, 49.0),
    (71.6, 55.5),
    (74.4, 61.6),
    (73.8, 65.6),
    (70.0, 68.0),
    (73.0, 71.6),
    (72.6, 76.0),
    (68.6, 80.4),
    (66.4, 85.0),
    (67.6, 91.0),
    (67.8, 97.0),
    (65.0, 104.0),
    (58.5, 109.0),
    (49.0, 110.5),
    (38.0, 111.0),
    (29.0, 114.5),
    (24.0, 122.0),
    (21.5, 132.0),
    (20.0, 146.0),
    (19.0, 180.0),
    (-78.0, 180.0),
    (-76.0, 140.0),
    (-70.0, 100.0),
    (-70.0, 78.0),
    (-78.0, 58.0),
    (-92.0, 38.0),
    (-103.0, 15.0),
    (-108.0, -20.0),
    (-104.0, -50.0),
    (-91.0, -78.0),
    (-69.0, -96.0),
    (-44.0, -101.5),
    (-18.0, -101.0),
    (4.0, -97.5),
    (27.0, -87.0),
    (45.0, -72.5),
    (56.0, -57.0),
    (62.0, -43.0),
    (65.6, -30.0),
];

/// Shoulder, at the lower left.
pub(super) const SHOULDER: Points =
    &[(-110.0, 120.0), (-80.0, 118.0), (-52.0, 124.0), (-28.0, 133.0), (-6.0, 146.0), (10.0, 175.0), (-110.0, 175.0)];

/// Body of the sphenoid between fossa, clivus and pterygoid processes.
pub(super) const SPHENOID: Points =
    &[(-8.0, 0.0), (0.0, 4.0), (10.0, -4.0), (22.0, -7.0), (24.0, 6.0), (21.0, 22.0), (4.0, 24.0), (-12.0, 20.0)];

/// Ethmoid, orbits and nose between base and palate.
pub(super) const MIDFACE: Points = &[
    (54.0, -10.0),
    (57.5, 6.0),
    (54.6, 22.0),
    (56.0, 38.0),
    (36.0, 41.0),
    (17.0, 41.0),
    (16.0, 20.0),
    (20.0, -6.0),
    (38.0, -14.0),
];

/// Coronal suture and a groove of the middle meningeal artery.
pub(super) const GROOVES: [Points; 2] = [
    &[(8.0, -86.0), (10.0, -76.0), (5.0, -66.0), (8.0, -54.0), (3.0, -42.0), (6.0, -30.0)],
    &[(6.0, -10.0), (-2.0, -26.0), (-14.0, -40.0), (-30.0, -54.0), (-50.0, -62.0)],
];

/// Upper edge of the petrous bone.
pub(super) const PETROUS: Points =
    &[(-8.0, 4.0), (-18.0, 3.0), (-30.0, 5.0), (-44.0, 12.0), (-56.0, 22.0), (-70.0, 26.0)];
