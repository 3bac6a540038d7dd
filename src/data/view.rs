//! A picture of which only parts are needed, resampled on request: crops for the second stage of a model, in one step from
//! the original picture to the crop of the changed one.

use super::augment::{Augmentation, Change, ImageGreyTransform};
use super::resize::Picture;
use sweep_core::units::{Point, Size};

/// A picture under the change of an epoch, if there is one.
#[derive(Debug, Clone)]
pub struct View {
    picture: Picture,
    change: Option<(Change, ImageGreyTransform)>,
}

impl View {
    /// A picture as it is.
    #[must_use]
    pub fn plain(picture: Picture) -> Self {
        Self { picture, change: None }
    }

    /// A finer picture of the same image, changed in this epoch as [`Augmentation::apply`] changes `picture`: places by the
    /// same draw, grey values by the very same function, the same part cut out. Noise is drawn for its own pixels. The
    /// finer picture is not blurred: a blur of the coarse picture hides detail that is finer than that picture's pixels or
    /// little wider.
    #[must_use]
    pub fn augmented(
        augment: &Augmentation,
        picture: &Picture,
        finer: Picture,
        seed: u64,
        epoch: u64,
        index: u64,
    ) -> Self {
        let change = augment.change((finer.size, finer.spacing), seed, epoch, index);
        let change = change.map(|change| {
            let greys = change.grey_transform(picture);
            (change, greys)
        });
        Self { picture: finer, change }
    }

    /// Height and width.
    #[must_use]
    pub fn size(&self) -> Size {
        self.picture.size
    }

    /// Number of planes: 1 in grey, 3 in colour.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.picture.channels()
    }

    /// Writes the pixels whose first one, at the top left, is `(left, top)`, plane by plane; pixels beyond the picture are black.
    pub fn cut(&self, [left, top]: [i64; 2], size: Size, to: &mut [f32]) {
        let (mut xs, mut ys) = (vec![0.0; size.width], vec![0.0; size.width]);
        let planes = || self.picture.pixels.chunks_exact(self.picture.size.area());
        for (index, y) in (0..size.height).zip(top..) {
            if let Some((change, _)) = &self.change {
                change.sources([left as f64, y as f64], &mut xs, &mut ys);
            }
            for (from, to) in planes().zip(to.chunks_exact_mut(size.area())) {
                let (from, row) =
                    (Plane { size: self.picture.size, pixels: from }, &mut to[index * size.width..][..size.width]);
                let Some((_, greys)) = &self.change else {
                    for (value, x) in row.iter_mut().zip(left..) {
                        *value = from.pixel([x, y], |v| v);
                    }
                    continue;
                };
                for (value, (x, y)) in row.iter_mut().zip(xs.iter().zip(&ys)) {
                    *value = from.interpolated(Point { x: *x - 1.0, y: *y - 1.0 }, |v| greys.apply(v));
                }
            }
        }
        if let Some((change, _)) = &self.change {
            change.finish([left, top], size, to);
        }
    }
}

/// A channel of a picture.
#[derive(Clone, Copy)]
struct Plane<'a> {
    size: Size,
    pixels: &'a [f32],
}

impl Plane<'_> {
    /// A pixel's value; 0 beyond the picture.
    fn pixel(self, [x, y]: [i64; 2], change: impl Fn(f32) -> f32) -> f32 {
        let Size { height, width } = self.size;
        let inside = (0..width as i64).contains(&x) && (0..height as i64).contains(&y);
        if inside { change(self.pixels[y as usize * width + x as usize]) } else { 0.0 }
    }

    /// The value at a position, interpolated between the four pixels around it.
    fn interpolated(self, position: Point, change: impl Fn(f32) -> f32) -> f32 {
        let (left, top) = (position.x.floor(), position.y.floor());
        let (fx, fy) = ((position.x - left) as f32, (position.y - top) as f32);
        let (left, top) = (left as i64, top as i64);
        let along = |y: i64| {
            let [a, b] = [left, left + 1].map(|x| self.pixel([x, y], &change));
            a + (b - a) * fx
        };
        let [upper, lower] = [along(top), along(top + 1)];
        upper + (lower - upper) * fy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::AugmentSpec;
    use sweep_core::units::Spacing;

    const SIZE: Size = Size { height: 61, width: 47 };

    fn picture(size: Size) -> Picture {
        // Smooth, and the same anatomy at every size.
        let pixel = |i: usize| {
            let (x, y) = ((i % size.width) as f64 + 0.5, (i / size.width) as f64 + 0.5);
            let (x, y) = (x / size.width as f64, y / size.height as f64);
            (0.5 + 0.3 * (7.0 * x + 2.0 * y).sin() * (5.0 * y).cos()) as f32
        };
        Picture {
            size,
            pixels: (0..size.area()).map(pixel).collect::<Vec<_>>().into(),
            landmarks: vec![Some(Point { x: 20.0, y: 30.0 })],
            spacing: Spacing { x: 94.0 / size.width as f64, y: 98.0 / size.height as f64 },
        }
    }

    fn resolved(spec: &AugmentSpec) -> Augmentation {
        Augmentation::new(spec, &["a".to_owned()]).unwrap()
    }

    fn strong() -> AugmentSpec {
        AugmentSpec {
            rotation_degrees: 20.0,
            translate: 0.1,
            scale: [0.8, 1.2],
            brightness: 0.5,
            contrast: 0.5,
            gamma: [0.5, 2.0],
            histogram_shift: 0.5,
            elastic_mm: 8.0,
            elastic_grid_mm: 40.0,
            cutout: 0.6,
            ..AugmentSpec::default()
        }
    }

    #[test]
    fn a_part_of_a_changed_picture_is_that_part_of_the_whole_changed() {
        let picture = picture(SIZE);
        for index in 0..10 {
            let mut whole = vec![0.0; SIZE.area()];
            resolved(&strong()).apply(&picture, 3, 1, index, &mut whole);
            let view = View::augmented(&resolved(&strong()), &picture, picture.clone(), 3, 1, index);
            let (size, start) = (Size { height: 20, width: 30 }, [-6i64, 47]);
            let mut part = vec![f32::NAN; size.area()];
            view.cut(start, size, &mut part);
            for (i, found) in part.iter().enumerate() {
                let [x, y] = [start[0] + (i % 30) as i64, start[1] + (i / 30) as i64];
                // Beyond the changed picture, the part may show pixels that the whole lacks.
                if x >= 0 && y < SIZE.height as i64 {
                    let expected = whole[y as usize * SIZE.width + x as usize];
                    assert!((found - expected).abs() < 1e-5, "{index}: ({x}, {y}): {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn a_finer_picture_changes_as_the_coarse_one_does() {
        let coarse = picture(SIZE);
        let fine = picture(Size { height: 3 * SIZE.height, width: 3 * SIZE.width });
        // Edges of what is cut out are rounded to pixels, and steep curves of grey values magnify what interpolation is off.
        let smooth = AugmentSpec { gamma: [1.0, 1.0], histogram_shift: 0.0, cutout: 0.0, ..strong() };
        for index in 0..10 {
            let mut expected = vec![0.0; SIZE.area()];
            resolved(&smooth).apply(&coarse, 3, 1, index, &mut expected);
            let view = View::augmented(&resolved(&smooth), &coarse, fine.clone(), 3, 1, index);
            let mut found = vec![0.0; fine.size.area()];
            view.cut([0, 0], fine.size, &mut found);
            // Where the picture ends, a coarse pixel is part of it and part black; at the result's edge that is not seen.
            let is_inside = |i: usize| {
                let [x, y] = [(i % SIZE.width) as i64, (i / SIZE.width) as i64];
                let around = (-2..=2).flat_map(|dy| (-2..=2).map(move |dx| [x + dx, y + dy]));
                around.into_iter().all(|[x, y]| {
                    let there = (0..SIZE.width as i64).contains(&x) && (0..SIZE.height as i64).contains(&y);
                    there && expected[y as usize * SIZE.width + x as usize] > 0.0
                })
            };
            let inside: Vec<usize> = (0..SIZE.area()).filter(|i| is_inside(*i)).collect();
            assert!(inside.len() > SIZE.area() / 2);
            for i in inside {
                // The middle of the nine pixels that one coarse pixel is.
                let at = (3 * (i / SIZE.width) + 1) * fine.size.width + 3 * (i % SIZE.width) + 1;
                assert!((found[at] - expected[i]).abs() < 0.02, "{index}: {i}: {} {}", found[at], expected[i]);
            }
        }
    }

    #[test]
    fn every_plane_is_cut_alike() {
        let grey = picture(SIZE);
        let colour = Picture { pixels: grey.pixels.repeat(3).into(), ..grey.clone() };
        // The mean of grey values is that of all three, but for rounding of their shares, which steep curves magnify.
        let (gamma, histogram_shift) = ([1.0, 1.0], 0.0);
        let spec = AugmentSpec { flip: 1.0, flip_pairs: Some(Vec::new()), gamma, histogram_shift, ..strong() };
        let [mut of_grey, mut of_colour] = [vec![0.0; 200], vec![0.0; 600]];
        let size = Size { height: 10, width: 20 };
        for index in 0..5 {
            let cut = |picture: &Picture, to: &mut Vec<f32>| {
                View::augmented(&resolved(&spec), picture, picture.clone(), 3, 1, index).cut([9, 20], size, to);
            };
            cut(&grey, &mut of_grey);
            cut(&colour, &mut of_colour);
            assert!(of_colour.iter().zip(of_grey.repeat(3)).all(|(a, b)| (a - b).abs() < 2e-3), "{index}");
            assert!(of_colour[..200] == of_colour[200..400] && of_colour[..200] == of_colour[400..]);
        }
    }

    #[test]
    fn a_plain_picture_is_cut_pixel_by_pixel_and_black_beyond() {
        let picture = picture(SIZE);
        let view = View::plain(picture.clone());
        let mut part = vec![f32::NAN; 6];
        view.cut([45, -1], Size { height: 2, width: 3 }, &mut part);
        assert_eq!(part, [0.0, 0.0, 0.0, picture.pixels[45], picture.pixels[46], 0.0]);
        assert_eq!(view.size(), SIZE);
    }
}
