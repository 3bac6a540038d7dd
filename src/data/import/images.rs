//! Images of a source: each decoded once, checked, and written as PNG. Images of more than 8 bits wait in a temporary file
//! until the range is known that all of them share.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::picture::{Decoded, DeepGrey, GreyRange, Kept, Spool, Tally};
use crate::{Dataset, Sample, folder};
use sweep_core::error::{Error, Result};
use sweep_core::units::Pixels;

use super::grey::Deep;
use super::stack::of_slices;
use super::tree::{list_skipped, one_line};
use super::write::{Written, decode, sample, slice};
use super::{Options, ParsedDataset, Record};

/// Images that are decoded before the next ones are begun.
const IMAGES: usize = 32;

/// A sample and the landmarks that were moved onto the image's edge.
pub(super) type Made = (Sample, Vec<(usize, Pixels)>);

/// An image after it was decoded.
enum Begun<'a> {
    /// It is done, or cannot be read.
    Made(Result<Made>),
    /// It has more than 8 bits and waits for the range.
    Waits(&'a Record, Kept),
}

/// Reads all images and writes those that are good into a folder; with the range that deep images share.
pub(super) fn read<'a>(
    parsed: &'a ParsedDataset,
    dir: Option<&Path>,
    options: &Options,
) -> Result<(Written, Option<GreyRange>)> {
    let maker = Maker {
        parsed,
        images: dir.map(|dir| dir.join("images")),
        spool: Spool::create(dir)?,
        options,
        turned: AtomicUsize::new(0),
        greyed: AtomicUsize::new(0),
    };
    let mut made = Collected { skip_bad: options.skip_bad, ..Collected::default() };
    let mut deep = Deep::default();
    let mut begun: Vec<Begun<'a>> = Vec::new();
    // In order, so that neither the range nor the first error depends on threads.
    let mut add = |(tally, image): (Option<Tally>, Begun<'a>)| -> Result<()> {
        deep.add(tally);
        match image {
            Begun::Made(Err(error)) if !options.skip_bad => return Err(error),
            image => begun.push(image),
        }
        Ok(())
    };
    let single: Vec<&'a Record> = parsed.records.iter().filter(|record| slice(record).is_none()).collect();
    for some in single.chunks(IMAGES) {
        let images: Vec<_> = some
            .par_iter()
            .map(|record| maker.begin(record, decode(record, options.channels).map_err(|e| e.at(&record.location))))
            .collect();
        images.into_iter().try_for_each(&mut add)?;
    }
    of_slices(
        parsed,
        |record, header, bytes| Ok(maker.begin(record, header.slice(bytes, options.channels))),
        &mut add,
    )?;
    let (shared, mut notes) = deep.shared(parsed.records.len(), options);
    let shown = shared.map_or(DeepGrey::Own, DeepGrey::Fixed);
    let done: Vec<Result<Made>> = begun
        .into_par_iter()
        .map(|image| match image {
            Begun::Made(made) => made,
            Begun::Waits(record, kept) => maker.put(record, maker.spool.restore(kept)?, shown),
        })
        .collect();
    done.into_iter().try_for_each(|sample| made.add(sample))?;
    notes.extend(maker.notes());
    notes.extend(made.notes(&parsed.landmarks));
    let dataset = Dataset {
        name: parsed.name.clone(),
        landmarks: parsed.landmarks.clone(),
        observer_mre: parsed.observer_mre,
        normalise: None,
        samples: made.samples,
    };
    Ok((Written { dataset, notes }, shared))
}

/// Makes samples of decoded images.
struct Maker<'a> {
    parsed: &'a ParsedDataset,
    /// The folder of the data set's images, if they are written.
    images: Option<std::path::PathBuf>,
    spool: Spool,
    options: &'a Options,
    turned: AtomicUsize,
    greyed: AtomicUsize,
}

impl Maker<'_> {
    /// Finishes an image of 8 bits, and lets one of more bits wait, with how often which value occurs in it.
    fn begin<'a>(&self, record: &'a Record, image: Result<Decoded>) -> (Option<Tally>, Begun<'a>) {
        let image = match image {
            Ok(image) => image,
            Err(error) => return (None, Begun::Made(Err(error))),
        };
        if let Some(range) = self.options.grey {
            return (None, Begun::Made(self.put(record, image, DeepGrey::Fixed(range))));
        }
        match image.tally() {
            None => (None, Begun::Made(self.put(record, image, DeepGrey::Own))),
            tally => match self.spool.keep(image) {
                Ok(kept) => (tally, Begun::Waits(record, kept)),
                Err(error) => (None, Begun::Made(Err(error))),
            },
        }
    }

    /// The sample of an image, which is written into the folder.
    fn put(&self, record: &Record, image: Decoded, shown: DeepGrey) -> Result<Made> {
        self.greyed.fetch_add(usize::from(image.lost_colours()), Ordering::Relaxed);
        check_aspect(record, &image).map_err(|e| e.at(&record.location))?;
        let picture = image.picture(shown);
        self.turned.fetch_add(usize::from(picture.orientation.is_turned()), Ordering::Relaxed);
        let (sample, moved) = sample(record, picture, &self.parsed.landmarks).map_err(|e| e.at(&record.location))?;
        if let Some(images) = &self.images {
            folder::write_image(&images.join(&sample.image), &sample)?;
        }
        Ok((Sample { pixels: Vec::new(), ..sample }, moved))
    }

    /// What was done to images.
    fn notes(&self) -> Vec<String> {
        let total = self.parsed.records.len();
        let [turned, greyed] = [&self.turned, &self.greyed].map(|count| count.load(Ordering::Relaxed));
        let of_turned = (turned > 0).then(|| {
            format!(
                "{turned} of {total} images were turned as their EXIF orientation asks; landmarks belong to the images as \
                 viewers show them"
            )
        });
        let of_greyed = (greyed > 0)
            .then(|| format!("{greyed} of {total} images are in colour and became grey: --colour keeps their colours"));
        of_turned.into_iter().chain(of_greyed).collect()
    }
}

/// Refuses pixels that are not square and of unknown size: errors in pixels would count x and y differently.
fn check_aspect(record: &Record, image: &Decoded) -> Result<()> {
    let Some([height, width]) = image.aspect().filter(|_| record.spacing.is_none()) else { return Ok(()) };
    Err(Error::input(format!("its pixels are {width} wide and {height} high in an unknown unit (PixelAspectRatio)"))
        .at(&record.image)
        .remedy(format!("say their size in mm in this ratio: --spacing X,Y, where Y is {:.4} times X", height / width)))
}

/// Samples so far, and what there is to say of them.
#[derive(Default)]
struct Collected {
    skip_bad: bool,
    samples: Vec<Sample>,
    /// Errors of images that were left out.
    skipped: Vec<String>,
    /// Image, landmark and distance of those that were moved onto the edge.
    moved: Vec<(String, usize, Pixels)>,
}

impl Collected {
    fn add(&mut self, made: Result<Made>) -> Result<()> {
        match made {
            Ok((sample, moved)) => {
                self.moved.extend(moved.into_iter().map(|(landmark, by)| (sample.image.clone(), landmark, by)));
                self.samples.push(sample);
                Ok(())
            }
            Err(error) if self.skip_bad => {
                self.skipped.push(one_line(&error));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn notes(&self, names: &[String]) -> Vec<String> {
        let listed = self.moved.iter().take(10);
        let list = listed.map(|(image, landmark, by)| format!("{image}: {} by {:.1} px", names[*landmark], by.0));
        let list = list.collect::<Vec<_>>().join(", ");
        let more = if self.moved.len() > 10 { ", …" } else { "" };
        let n = self.moved.len();
        let moved = (n > 0).then(|| {
            format!("{n} landmarks lay a little outside their image and were moved onto its edge: {list}{more}")
        });
        moved.into_iter().chain(list_skipped("images", &self.skipped)).collect()
    }
}
