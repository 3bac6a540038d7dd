//! Which picture a tool marks, where EXIF asks to turn it: the stored one or the turned one.

use crate::picture::Orientation;
use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size};

/// The picture that a source's positions belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Frame {
    /// The turned picture, as viewers show it. If the source says the size of the stored picture, then that one: releases
    /// of a tool from before it turned pictures show and measure the stored one.
    #[default]
    Turned,
    /// The turned picture, but exporters may measure the stored one: the size of the stored picture leaves it open.
    Exported,
    /// The picture as it is stored.
    Stored,
    /// Nobody says, unless the size tells.
    Unknown,
}

impl Frame {
    /// Whether positions belong to the stored picture, given the size that the source says.
    ///
    /// # Errors
    /// When they may belong to either.
    fn is_stored(self, said: Option<Size>, stored: Size, orientation: Orientation) -> Result<bool> {
        let shown = orientation.size(stored);
        if !orientation.is_turned() {
            return Ok(false);
        }
        let unclear = || {
            Err(Error::input(format!(
                "EXIF turns the image (orientation {}), and the source does not say whether its landmarks belong to the \
                 image as viewers show it or as it is stored",
                orientation.exif()
            ))
            .remedy(
                "make the image files say one thing: turn them by `magick mogrify -auto-orient FILE` if they were marked \
                 as viewers show them, or remove the tag by `exiftool -Orientation= FILE` if as they are stored",
            ))
        };
        // The size of one of both tells, unless both have it.
        let said = said.filter(|_| stored != shown);
        match (self, said) {
            (_, Some(size)) if size == shown => Ok(false),
            (Self::Exported, Some(size)) if size == stored => unclear(),
            (_, Some(size)) if size == stored => Ok(true),
            (Self::Turned | Self::Exported, _) => Ok(false),
            (Self::Stored, _) => Ok(true),
            (Self::Unknown, _) => unclear(),
        }
    }

    /// The size of the picture that positions belong to.
    ///
    /// # Errors
    /// When they may belong to either picture.
    pub(super) fn size(self, said: Option<Size>, stored: Size, orientation: Orientation) -> Result<Size> {
        Ok(if self.is_stored(said, stored, orientation)? { stored } else { orientation.size(stored) })
    }

    /// The size and the positions that a source says, as of the picture that viewers show.
    ///
    /// # Errors
    /// When they may belong to either picture.
    pub(super) fn shown(
        self,
        said: Option<Size>,
        landmarks: &[Option<Point>],
        stored: Size,
        orientation: Orientation,
    ) -> Result<(Option<Size>, Vec<Option<Point>>)> {
        if !self.is_stored(said, stored, orientation)? {
            return Ok((said, landmarks.to_vec()));
        }
        let turned = landmarks.iter().map(|point| point.map(|p| orientation.point(p, stored)));
        Ok((said.map(|size| orientation.size(size)), turned.collect()))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "writes sources")]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::import::{self, Options, Written};
    use crate::picture;
    use sweep_core::units::Spacing;

    const STORED: Size = Size { height: 30, width: 40 };
    const SHOWN: Size = Size { height: 40, width: 30 };

    #[test]
    fn the_size_tells_which_picture_was_marked() {
        let stored = |frame: Frame, said, exif| frame.is_stored(said, STORED, Orientation::from_exif(exif)).ok();
        for frame in [Frame::Turned, Frame::Exported, Frame::Stored, Frame::Unknown] {
            assert_eq!(stored(frame, Some(SHOWN), 6), Some(false), "{frame:?}");
            assert_eq!(stored(frame, None, 1), Some(false), "{frame:?}");
        }
        // Orientations of the same size, and sources without one, go by the tool.
        for (said, exif) in [(Some(STORED), 3), (None, 3), (None, 6)] {
            let by = |frame| stored(frame, said, exif);
            assert_eq!(
                [Frame::Turned, Frame::Exported, Frame::Stored, Frame::Unknown].map(by),
                [Some(false), Some(false), Some(true), None]
            );
        }
        let by = |frame| stored(frame, Some(STORED), 8);
        assert_eq!(
            [Frame::Turned, Frame::Exported, Frame::Stored, Frame::Unknown].map(by),
            [Some(true), None, Some(true), Some(true)]
        );
        let error = Frame::Unknown.is_stored(None, STORED, Orientation::from_exif(2)).unwrap_err();
        assert!(error.message.contains("EXIF") && error.remedy.unwrap().contains("exiftool"));
    }

    /// Imports annotations of two pictures stored 24×16, one of which EXIF turns by a quarter; their blob is stored at (6, 4).
    fn imported(annotations: &[(&str, String)]) -> Result<Written> {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("source");
        fs::create_dir(&source).unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/pictures");
        for name in ["turned-6.jpg", "turned-1.jpg"] {
            fs::copy(fixtures.join(name), source.join(name)).unwrap();
        }
        for (file, annotation) in annotations {
            fs::write(source.join(file), annotation).unwrap();
        }
        let options = Options { spacing: Some(Spacing { x: 0.1, y: 0.1 }), val_fraction: 0.5, ..Options::default() };
        let out = root.path().join("out");
        let written = import::write_saying(&import::read(&source, None, &options)?, &out, &options)?;
        for sample in &written.dataset.samples {
            assert_eq!(picture::read(&out.join("images").join(&sample.image)).unwrap().size, sample.size);
        }
        Ok(written)
    }

    #[test]
    fn landmarks_lie_on_the_turned_picture_whichever_was_marked() {
        let turned = |written: &Written| {
            let sample = written.dataset.samples.iter().find(|s| s.image == "turned-6.png").unwrap();
            assert_eq!(sample.size, Size { height: 24, width: 16 });
            assert!(written.notes.iter().any(|note| note.starts_with("1 of ")), "{:?}", written.notes);
            sample.landmarks[0]
        };
        let csv = "image,split,a_x,a_y\nturned-6.jpg,train,11,6\nturned-1.jpg,val,6,4\n";
        assert_eq!(turned(&imported(&[("marks.csv", csv.into())]).unwrap()), Some(Point { x: 11.0, y: 6.0 }));

        let json = |exif: u32, width: u32, height: u32, x: f64, y: f64| {
            format!(
                r#"{{"shapes": [{{"label": "a", "points": [[{x}, {y}]], "shape_type": "point"}}], "imageData": null,
                "imagePath": "turned-{exif}.jpg", "imageWidth": {width}, "imageHeight": {height}}}"#
            )
        };
        let labelme = |width, height, x, y| {
            let both = [("6.json", json(6, width, height, x, y)), ("1.json", json(1, 24, 16, 6.5, 4.5))];
            turned(&imported(&both).unwrap())
        };
        assert_eq!(labelme(16, 24, 11.5, 6.5), Some(Point { x: 11.0, y: 6.0 }), "as releases since 2019 mark it");
        assert_eq!(labelme(24, 16, 6.5, 4.5), Some(Point { x: 11.0, y: 6.0 }), "as those before did");

        let coco = |width: u32, height: u32| {
            let text = format!(
                r#"{{"images": [{{"id": 1, "file_name": "turned-6.jpg", "width": {width}, "height": {height}}},
                    {{"id": 2, "file_name": "turned-1.jpg", "width": 24, "height": 16}}],
                "categories": [{{"id": 1, "name": "x", "keypoints": ["a"]}}],
                "annotations": [{{"id": 1, "image_id": 1, "category_id": 1, "keypoints": [11, 6, 2]}},
                    {{"id": 2, "image_id": 2, "category_id": 1, "keypoints": [6, 4, 2]}}]}}"#
            );
            imported(&[("marks.json", text)])
        };
        assert_eq!(turned(&coco(16, 24).unwrap()), Some(Point { x: 11.0, y: 6.0 }));
        let error = coco(24, 16).unwrap_err();
        assert!(error.message.contains("EXIF") && error.remedy.is_some(), "{error}");
    }

    #[test]
    fn positions_of_the_stored_picture_are_turned_with_it() {
        let orientation = Orientation::from_exif(6);
        let marks = [Some(Point { x: 3.0, y: 1.0 }), None];
        let (size, turned) = Frame::Stored.shown(Some(STORED), &marks, STORED, orientation).unwrap();
        assert_eq!((size, turned), (Some(SHOWN), vec![Some(Point { x: 28.0, y: 3.0 }), None]));
        let (size, kept) = Frame::Turned.shown(Some(SHOWN), &marks, STORED, orientation).unwrap();
        assert_eq!((size, kept.as_slice()), (Some(SHOWN), &marks[..]));
    }
}
