//! `sweep data cluster`: finds clusters of images that look alike.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

use super::super::text_table::say_table;
use super::{print_json, say};
use crate::cli::Cluster;
use sweep_analysis::report::TextTable;
use sweep_core::error::{Outcome, Result};
use sweep_core::units::Size;
use sweep_data::resize::resize;
use sweep_data::{DatasetSpec, SplitSpec, folder};
use sweep_experiment::store;
use sweep_training::out_of_distribution::{Appearance, clusters};

/// Images are compared at this size, whatever their own.
const SIZE: Size = Size { height: 192, width: 192 };

/// A cluster, for `--json`.
#[derive(Serialize)]
struct Found<'a> {
    cluster: usize,
    mean_grey: f64,
    sharpness: f64,
    images: Vec<&'a str>,
}

pub(super) fn run(flags: &Cluster) -> Result<Outcome> {
    // A table without a column `split` will do.
    let split = SplitSpec { refit: true, ..SplitSpec::default() };
    let index = DatasetSpec { split, ..DatasetSpec::folder(&flags.dir) }.open()?;
    let names: Vec<String> = index.images().into_iter().map(|(name, _)| name).collect();
    let appearance = |image: usize| -> Result<Option<Appearance>> {
        let samples = index.originals(&[image])?;
        Ok(samples.first().map(|sample| Appearance::of(&resize(sample, SIZE).pixels, SIZE)))
    };
    let found = (0..names.len()).into_par_iter().map(appearance).collect::<Vec<_>>();
    let appearances: Vec<Appearance> = found.into_iter().filter_map(Result::transpose).collect::<Result<_>>()?;
    let of = clusters(&appearances, flags.into)?;
    let found: Vec<Found> = (0..flags.into).map(|cluster| described(cluster, &of, &appearances, &names)).collect();
    if flags.json {
        print_json(&found)?;
    } else {
        print(&found)?;
    }
    if let Some(name) = &flags.write {
        let words = names.iter().zip(&of).map(|(image, cluster)| (image.clone(), cluster.to_string())).collect();
        let words: BTreeMap<String, String> = words;
        let (csv, text) = folder::with_groups(&flags.dir, name, &words)?;
        store::write(&csv, text.as_bytes())?;
        if !flags.json {
            let into = flags.into;
            say(&format!(
                "{} has them as group_{name}: folds = {into} and folds_by = \"group_{name}\" in [trial.dataset] validate on one at a time",
                csv.display()
            ))?;
        }
    }
    Ok(Outcome::Done)
}

fn described<'a>(cluster: usize, of: &[usize], appearances: &[Appearance], names: &'a [String]) -> Found<'a> {
    let members: Vec<usize> = (0..of.len()).filter(|image| of[*image] == cluster).collect();
    let mean = |value: &dyn Fn(&Appearance) -> f64| {
        members.iter().map(|image| value(&appearances[*image])).sum::<f64>() / members.len().max(1) as f64
    };
    Found {
        cluster,
        mean_grey: mean(&Appearance::mean_grey),
        sharpness: mean(&Appearance::sharpness),
        images: members.iter().map(|image| names[*image].as_str()).collect(),
    }
}

fn print(found: &[Found]) -> Result<()> {
    let row = |found: &Found| {
        let some = found.images.iter().take(3).copied().collect::<Vec<_>>().join(", ");
        let more = if found.images.len() > 3 { ", …" } else { "" };
        vec![
            found.cluster.to_string(),
            found.images.len().to_string(),
            format!("{:.0}", found.mean_grey),
            format!("{:.2}", found.sharpness),
            some + more,
        ]
    };
    let columns = ["cluster", "images", "mean grey (0 to 255)", "sharpness", "among them"].map(str::to_owned).into();
    say_table(&TextTable { columns, rows: found.iter().map(row).collect() })
}
