//! Reads of a table that grows: only the lines that were appended since the last read.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use super::files::failed;
use super::tables::{EPOCHS, whole_lines};
use super::{TrialStore, most};
use crate::records::{self, EpochRecord};
use sweep_core::error::{Error, Result};

/// The position up to which `epochs.csv` has been read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EpochsMark {
    /// Bytes up to the end of the last line that was read.
    length: u64,
    header: Vec<u8>,
    /// The last line, to notice that the file was written anew.
    last: Vec<u8>,
}

/// Rows of `epochs.csv` that were not read before.
#[derive(Debug)]
pub struct NewEpochs {
    /// Whether they replace all rows that were read before: the file was written anew.
    pub anew: bool,
    /// The rows, up to the first damage.
    pub rows: Vec<EpochRecord>,
    /// The error of the first row that cannot be read.
    pub damage: Option<Error>,
}

impl TrialStore {
    /// The rows of `epochs.csv` after this mark, which moves to the last whole line.
    ///
    /// # Errors
    /// When the file exists and cannot be read at all; the mark stays.
    pub fn epochs_since(&self, mark: &mut EpochsMark) -> Result<NewEpochs> {
        let path = self.file(EPOCHS);
        let Some(mut file) = self.folder().open(EPOCHS)? else {
            let anew = *mark != EpochsMark::default();
            *mark = EpochsMark::default();
            return Ok(NewEpochs { anew, rows: Vec::new(), damage: None });
        };
        let read = |file: &mut File, mark: &EpochsMark| -> std::io::Result<(bool, Vec<u8>)> {
            let goes_on = mark.length > 0 && continues(file, mark)?;
            file.seek(SeekFrom::Start(if goes_on { mark.length } else { 0 }))?;
            let mut bytes = Vec::new();
            file.take(most::TABLE + 1).read_to_end(&mut bytes)?;
            Ok((goes_on, bytes))
        };
        let (goes_on, bytes) = read(&mut file, mark).map_err(|e| failed("read", &path, &e))?;
        if bytes.len() as u64 > most::TABLE {
            return Err(Error::results(format!("larger than {} MiB, which no such file is", most::TABLE >> 20))
                .at(path.display())
                .remedy("it was not made by sweep, or is damaged: put it aside"));
        }
        let lines = whole_lines(&bytes);
        let anew = !goes_on && mark.length > 0;
        if !goes_on {
            *mark = EpochsMark::default();
        }
        if lines.is_empty() {
            return Ok(NewEpochs { anew, rows: Vec::new(), damage: None });
        }
        let before = mark.header.clone();
        let (rows, damage) = records::read_csv_start(before.as_slice().chain(lines));
        if mark.header.is_empty() {
            mark.header = first_line(lines).to_vec();
        }
        mark.length += lines.len() as u64;
        mark.last = last_line(lines).to_vec();
        Ok(NewEpochs { anew, rows, damage: damage.map(|e| e.at(path.display())) })
    }
}

/// Whether the bytes before the mark are still those that were read.
fn continues(file: &mut File, mark: &EpochsMark) -> std::io::Result<bool> {
    let start = mark.length - mark.last.len() as u64;
    if file.metadata()?.len() < mark.length {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(start))?;
    let mut last = vec![0; mark.last.len()];
    file.read_exact(&mut last)?;
    Ok(last == mark.last)
}

fn first_line(lines: &[u8]) -> &[u8] {
    &lines[..lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |at| at + 1)]
}

/// The last of whole lines, with its line break.
fn last_line(lines: &[u8]) -> &[u8] {
    let before = &lines[..lines.len().saturating_sub(1)];
    &lines[before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)..]
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "writes files as a training does")]
mod tests {
    use std::fs;

    use super::*;

    fn line(epoch: u32, loss: f64) -> String {
        let rest = ",1".repeat(14);
        format!("t,0,{epoch},{loss}{rest},1\n")
    }

    const HEADER: &str = "trial,seed,epoch,train_loss,val_loss,zero_loss,train_mre_mm,val_mre_mm,val_mre_px,val_sd_mm,\
                          val_median_mm,val_p95_mm,val_sdr_2mm,val_sdr_2_5mm,val_sdr_3mm,val_sdr_4mm,lr,images_per_second,seconds\n";

    #[test]
    fn only_what_was_appended_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let trial = TrialStore::at(folder.path());
        let path = folder.path().join("epochs.csv");
        let mut mark = EpochsMark::default();
        let mut read = |text: &str| {
            fs::write(&path, text).unwrap();
            let new = trial.epochs_since(&mut mark).unwrap();
            (new.anew, new.rows.iter().map(|row| row.epoch).collect::<Vec<_>>(), new.damage.is_some())
        };
        let [one, two, three] = [1, 2, 3].map(|epoch| line(epoch, 0.5));
        assert_eq!(read(HEADER), (false, vec![], false));
        assert_eq!(read(&format!("{HEADER}{one}{}", &two[..9])), (false, vec![1], false));
        assert_eq!(read(&format!("{HEADER}{one}{two}")), (false, vec![2], false));
        assert_eq!(read(&format!("{HEADER}{one}{two}")), (false, vec![], false));
        // Trained again: as long as before, shorter, and longer.
        let other = line(2, 0.6);
        assert_eq!(read(&format!("{HEADER}{one}{other}")), (true, vec![1, 2], false));
        assert_eq!(read(&format!("{HEADER}{one}")), (true, vec![1], false));
        assert_eq!(read(&format!("{HEADER}{one}{two}{three}")), (false, vec![2, 3], false));
        assert_eq!(read(&format!("{HEADER}{one}{two}{three}garbage\n")), (false, vec![], true));
        fs::remove_file(&path).unwrap();
        assert!(trial.epochs_since(&mut mark).unwrap().anew);
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(trial.epochs_since(&mut mark).is_err());
    }
}
