//! `errors.bin`: the landmark errors on all validation images at every evaluated epoch of a trial.
//!
//! The file begins with `SWEEPERR`, the version as a byte, the length of a JSON header (`u32`) and the header: unit, names of
//! images and landmarks, and, where known, the patient of each image. Then follows a record for each evaluated epoch: the
//! epoch (`u32`) and the errors `[images, landmarks]` as half-precision floats, NaN where a landmark is not marked. All
//! numbers are little-endian. Half precision keeps an error to a two-thousandth of itself.

use half::f16;
use serde::{Deserialize, Serialize};

use sweep_core::error::{Error, Result};
use sweep_core::units::ErrorUnit;

const MAGIC: &[u8; 8] = b"SWEEPERR";
const VERSION: u8 = 1;

/// Errors of all evaluated epochs of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochErrors {
    /// The unit of the errors.
    pub unit: ErrorUnit,
    /// Names of the validation images.
    pub images: Vec<String>,
    /// The patient of each image; empty where not known.
    pub patients: Vec<String>,
    /// Names of the landmarks.
    pub landmarks: Vec<String>,
    /// Evaluated epochs, ascending.
    pub epochs: Vec<u32>,
    /// `[epochs, images, landmarks]`.
    errors: Vec<f16>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    unit: ErrorUnit,
    images: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    patients: Vec<String>,
    landmarks: Vec<String>,
}

impl EpochErrors {
    /// Without any epoch yet. `patients` is empty or has an entry per image.
    #[must_use]
    pub fn new(unit: ErrorUnit, images: Vec<String>, patients: Vec<String>, landmarks: Vec<String>) -> Self {
        Self { unit, images, patients, landmarks, epochs: Vec::new(), errors: Vec::new() }
    }

    /// Adds an epoch's errors `[images, landmarks]`, rounded to half precision.
    pub fn push(&mut self, epoch: u32, errors: &[f64]) {
        self.epochs.push(epoch);
        self.errors.extend(errors.iter().map(|error| f16::from_f64(*error)));
        self.errors.resize(self.epochs.len() * self.cells(), f16::NAN);
    }

    /// Only the epochs that are kept.
    #[must_use]
    pub fn only(&self, is_kept: impl Fn(u32) -> bool) -> Self {
        let kept = (0..self.epochs.len()).filter(|index| is_kept(self.epochs[*index]));
        let (epochs, errors) =
            kept.map(|index| (self.epochs[index], self.of_epoch(index))).unzip::<_, _, Vec<_>, Vec<_>>();
        let (images, patients, landmarks) = (self.images.clone(), self.patients.clone(), self.landmarks.clone());
        Self { unit: self.unit, images, patients, landmarks, epochs, errors: errors.concat() }
    }

    /// Number of errors of an epoch.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.images.len() * self.landmarks.len()
    }

    /// Errors `[images, landmarks]` of the evaluated epoch at this index.
    #[must_use]
    pub fn of_epoch(&self, index: usize) -> &[f16] {
        &self.errors[index * self.cells()..(index + 1) * self.cells()]
    }

    /// The bytes before the first epoch.
    ///
    /// # Errors
    /// When the header would be longer than 4 GiB.
    pub fn header(&self) -> Result<Vec<u8>> {
        let header = Header {
            unit: self.unit,
            images: self.images.clone(),
            patients: self.patients.clone(),
            landmarks: self.landmarks.clone(),
        };
        let json = serde_json::to_vec(&header).map_err(|e| Error::results(e.to_string()))?;
        let length =
            u32::try_from(json.len()).map_err(|_| Error::results("the names of the images take over 4 GiB"))?;
        Ok([MAGIC.as_slice(), &[VERSION], &length.to_le_bytes(), &json].concat())
    }

    /// The bytes of the evaluated epoch at this index.
    #[must_use]
    pub fn record(&self, index: usize) -> Vec<u8> {
        let errors = self.of_epoch(index).iter().flat_map(|error| error.to_le_bytes());
        self.epochs[index].to_le_bytes().into_iter().chain(errors).collect()
    }

    /// Reads the file's bytes, and the number of them up to the end of the last whole record: what follows was being written
    /// when the training ended.
    ///
    /// # Errors
    /// When they are of another kind or version, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize)> {
        let damaged = |what: &str| Error::results(format!("not the errors of a trial's epochs: {what}"));
        let (start, rest) = bytes.split_at_checked(MAGIC.len() + 5).ok_or_else(|| damaged("it is too short"))?;
        let (magic, start) = start.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(damaged("it does not begin with SWEEPERR"));
        }
        let (version, length) = start.split_at(1);
        if version != [VERSION] {
            return Err(damaged("it is of another version"));
        }
        let length = u32::from_le_bytes(length.try_into().map_err(|_| damaged("it is too short"))?) as usize;
        let (json, records) = rest.split_at_checked(length).ok_or_else(|| damaged("its header is cut off"))?;
        let Header { unit, images, patients, landmarks } =
            serde_json::from_slice(json).map_err(|e| damaged(&e.to_string()))?;
        if !patients.is_empty() && patients.len() != images.len() {
            return Err(damaged("it has not a patient for each image"));
        }
        let mut table = Self::new(unit, images, patients, landmarks);
        let size = 4 + 2 * table.cells();
        let whole = records.len() - records.len() % size;
        for record in records[..whole].chunks_exact(size) {
            let (epoch, errors) = record.split_at(4);
            let epoch = u32::from_le_bytes(epoch.try_into().map_err(|_| damaged("a record is cut off"))?);
            if table.epochs.last().is_some_and(|last| *last >= epoch) {
                return Err(damaged("its epochs are not in order"));
            }
            table.epochs.push(epoch);
            table.errors.extend(errors.chunks_exact(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]])));
        }
        if table.errors.iter().any(|error| *error < f16::ZERO) {
            return Err(damaged("it has an error below zero"));
        }
        Ok((table, bytes.len() - records.len() + whole))
    }

    /// Number of bytes of the file up to and with the last epoch that is not after this one.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub fn bytes_until(&self, epoch: u32) -> Result<usize> {
        let epochs = self.epochs.iter().take_while(|of| **of <= epoch).count();
        Ok(self.header()?.len() + epochs * (4 + 2 * self.cells()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> EpochErrors {
        let names = |of: [&str; 2]| of.map(str::to_owned).to_vec();
        let mut table =
            EpochErrors::new(ErrorUnit::Millimetres, names(["1.png", "2.png"]), names(["p", "q"]), names(["a", "b"]));
        table.push(5, &[1.0, 2.5, f64::NAN, 0.125]);
        table.push(10, &[0.5, 2.25, 60_000.0, 1.2345]);
        table
    }

    fn bytes(table: &EpochErrors) -> Vec<u8> {
        let records = (0..table.epochs.len()).flat_map(|epoch| table.record(epoch));
        table.header().unwrap().into_iter().chain(records).collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (bytes, table) = (bytes(&table()), table());
        let (read, length) = EpochErrors::decode(&bytes).unwrap();
        assert_eq!((read.epochs.as_slice(), length), (&[5, 10][..], bytes.len()));
        assert_eq!((&read.images, &read.patients, &read.landmarks), (&table.images, &table.patients, &table.landmarks));
        assert!(read.of_epoch(0)[2].is_nan());
        assert!((f64::from(read.of_epoch(1)[3]) / 1.2345 - 1.0).abs() < 5e-4);
        assert_eq!(self::bytes(&read), bytes);
    }

    #[test]
    fn a_record_that_is_cut_off_does_not_count_and_damage_is_an_error() {
        let whole = bytes(&table());
        let (read, length) = EpochErrors::decode(&whole[..whole.len() - 1]).unwrap();
        assert_eq!((read.epochs.as_slice(), length), (&[5][..], whole.len() - 12));
        assert_eq!(table().bytes_until(9).unwrap(), whole.len() - 12);
        assert_eq!(table().bytes_until(4).unwrap(), whole.len() - 24);
        for damaged in [&b"SWEEP"[..], &whole[..20], b"SWEEPERR\x02\0\0\0\0{}", b"SWEEPERR\x01\xff\xff\xff\xff{}"] {
            assert!(EpochErrors::decode(damaged).is_err());
        }
        let mut negative = table();
        negative.push(11, &[-1.0; 4]);
        assert!(EpochErrors::decode(&bytes(&negative)).is_err());
    }
}
