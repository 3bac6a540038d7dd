//! Whether a COCO file's positions are counted from pixels' centres, as COCO's own, or from the image's corner.
//!
//! Programs that export COCO write their own coordinates unchanged:
//!
//! - Datumaro, and CVAT through it, from the corner. They leave a license without a name and images with `license` and
//!   `date_captured` 0 (`datumaro/plugins/data_formats/coco/exporter.py`, `_TaskExporter`).
//! - Label Studio, from the corner: `x / 100 * original_width`, rounded (`label_studio_sdk/converter/keypoints.py`);
//!   `info.contributor` is "Label Studio" (`converter.py`).
//! - X-AnyLabeling, from the corner as labelme; `info.url` is its repository (`label_converter.py`).
//!
//! All three turn pictures by EXIF before they are marked.

use serde_json::Value;

use super::origin::Origin;

/// Signs in a file of the program that wrote it.
pub(super) struct Signs<'a> {
    pub(super) info: &'a Value,
    pub(super) licenses: &'a Value,
    /// Of the first image.
    pub(super) image_license: Option<&'a Value>,
    /// Of the first image.
    pub(super) date_captured: Option<&'a Value>,
    /// Whether `sweep data export` wrote it.
    pub(super) is_own: bool,
}

/// The origin, and a note where another one is possible.
pub(super) fn of(signs: &Signs<'_>, has_fractions: bool) -> (Origin, Option<String>) {
    if signs.is_own {
        return (Origin::Centre, None);
    }
    if let Some(program) = program(signs) {
        let note = format!(
            "{program} wrote it, which counts from the image's corner: half a pixel was taken off (else --origin centre)"
        );
        return (Origin::Corner, Some(note));
    }
    let note = "positions have fractions of a pixel, and which program wrote them is unknown: they were taken from pixels' \
                centres, as COCO's own (--origin corner if the program counts from the image's corner, as CVAT and labelme do)";
    (Origin::Centre, has_fractions.then(|| note.to_owned()))
}

/// The program that wrote the file, if it counts from the corner.
fn program(signs: &Signs<'_>) -> Option<&'static str> {
    let info = |key: &str| signs.info.get(key).and_then(Value::as_str).unwrap_or_default();
    if info("contributor").contains("Label Studio") {
        return Some("Label Studio");
    }
    if info("url").contains("X-AnyLabeling") || info("contributor") == "CVHub" {
        return Some("X-AnyLabeling");
    }
    let license = signs.licenses.get(0);
    let of_license = |key: &str| license.and_then(|license| license.get(key));
    let is_unnamed =
        of_license("name").and_then(Value::as_str) == Some("") && of_license("id").and_then(Value::as_u64) == Some(0);
    let zero = |value: Option<&Value>| value.and_then(Value::as_u64) == Some(0);
    (is_unnamed && zero(signs.image_license) && zero(signs.date_captured)).then_some("CVAT or Datumaro")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decide(file: &Value, has_fractions: bool) -> (Origin, Option<String>) {
        let image = &file["images"][0];
        let signs = Signs {
            info: &file["info"],
            licenses: &file["licenses"],
            image_license: image.get("license"),
            date_captured: image.get("date_captured"),
            is_own: image.get("spacing_mm").is_some(),
        };
        of(&signs, has_fractions)
    }

    #[test]
    fn exporters_are_told_apart_by_what_they_leave() {
        let datumaro = json!({
            "licenses": [{"name": "", "id": 0, "url": ""}],
            "info": {"contributor": "", "date_created": "", "description": "", "url": "", "version": "", "year": ""},
            "images": [{"license": 0, "flickr_url": "", "coco_url": "", "date_captured": 0}],
        });
        let label_studio =
            json!({"info": {"year": 2025, "version": "1.0", "contributor": "Label Studio"}, "images": [{}]});
        let any = json!({"info": {"contributor": "CVHub", "url": "https://github.com/CVHub520/X-AnyLabeling"}});
        for (file, who) in [(&datumaro, "CVAT"), (&label_studio, "Label Studio"), (&any, "X-AnyLabeling")] {
            let (origin, note) = decide(file, true);
            assert!(origin == Origin::Corner && note.is_some_and(|note| note.contains(who)), "{who}");
        }
        // Roboflow leaves the same license, but numbers it otherwise and says a date.
        let roboflow = json!({
            "licenses": [{"name": "", "id": 0, "url": ""}],
            "images": [{"license": 1, "date_captured": "2024-09-10T07:12:44+00:00"}],
        });
        let (origin, note) = decide(&roboflow, true);
        assert!(origin == Origin::Centre && note.is_some_and(|note| note.contains("--origin corner")));
        assert_eq!(decide(&json!({"info": {"description": "COCO 2017 Dataset"}}), false), (Origin::Centre, None));
        assert_eq!(decide(&json!({"images": [{"spacing_mm": [0.1, 0.1]}]}), true), (Origin::Centre, None));
    }
}
