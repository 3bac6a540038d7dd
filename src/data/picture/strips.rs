//! A picture that is put together from strips and tiles.

use super::damaged;
use super::values::Values;
use sweep_core::error::Result;
use sweep_core::units::Size;

/// The picture as far as it is read.
pub(super) struct Picture {
    pub(super) values: Option<Values>,
    pub(super) size: Size,
}

impl Picture {
    /// Puts values of this width and height at a place.
    pub(super) fn put(&mut self, part: Values, (x, y): (usize, usize), size: (usize, usize)) -> Result<()> {
        let area = self.size.area();
        if self.values.is_none() && size == (self.size.width, self.size.height) {
            self.values = Some(part);
            return Ok(());
        }
        let part = &part;
        let whole = self.values.get_or_insert_with(|| match part {
            Values::Shown(_) => Values::Shown(vec![0; area]),
            Values::Whole(_) => Values::Whole(vec![0; area]),
            Values::Numbers { offset, .. } => Values::Numbers { offset: *offset, values: vec![0.0; area] },
        });
        let width = self.size.width;
        let used = (size.0.min(width - x.min(width)), size.1.min(self.size.height - y.min(self.size.height)));
        let rows =
            |row: usize| ((y + row) * width + x..(y + row) * width + x + used.0, row * size.0..row * size.0 + used.0);
        let lacks = || damaged("a strip is shorter than it says");
        for row in 0..used.1 {
            let (to, from) = rows(row);
            match (&mut *whole, part) {
                (Values::Shown(whole), Values::Shown(part)) => {
                    whole[to].copy_from_slice(part.get(from).ok_or_else(lacks)?);
                }
                (Values::Whole(whole), Values::Whole(part)) => {
                    whole[to].copy_from_slice(part.get(from).ok_or_else(lacks)?);
                }
                (Values::Numbers { offset, values }, Values::Numbers { offset: other, values: part }) => {
                    let part = part.get(from).ok_or_else(lacks)?;
                    let shift = other - *offset;
                    for (to, from) in values[to].iter_mut().zip(part) {
                        *to = (f64::from(*from) + shift) as f32;
                    }
                }
                _ => return Err(damaged("its strips hold values of several kinds")),
            }
        }
        Ok(())
    }

    pub(super) fn done(self) -> Result<Values> {
        self.values.ok_or_else(|| damaged("it holds no strip"))
    }
}
