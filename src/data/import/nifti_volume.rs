//! Where the pixels of a `NIfTI` image lie in the patient: its sform, or its qform. Source:
//! <https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h>, "3D image (volume) orientation and location in space".

use std::io::Read as _;

use sweep_core::error::{Error, Result};

use super::slicer_volume::Volume;

const HEADER: usize = 348;
/// How far two descriptions of one place may differ, mm.
const TOLERANCE: f64 = 0.01;

/// The header, if the first bytes of a file are of `NIfTI`, compressed or not.
pub(super) fn header(start: &[u8]) -> Option<[u8; HEADER]> {
    let mut bytes = [0u8; HEADER];
    if start.starts_with(&[0x1f, 0x8b, 8]) {
        flate2::read::GzDecoder::new(start).read_exact(&mut bytes).ok()?;
    } else {
        bytes.copy_from_slice(start.get(..HEADER)?);
    }
    (&bytes[344..347] == b"n+1").then_some(bytes)
}

/// Three axes of a volume, each with its step and offset in RAS: a row of a matrix for x, y and z.
type Rows = [[f64; 4]; 3];

/// The place of an image's pixels.
pub(super) fn read(header: &[u8; HEADER]) -> Result<Volume> {
    let is_big = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) == HEADER as u32;
    let short = |at: usize| {
        let pair = [header[at], header[at + 1]];
        if is_big { i16::from_be_bytes(pair) } else { i16::from_le_bytes(pair) }
    };
    let float = |at: usize| {
        let four = [header[at], header[at + 1], header[at + 2], header[at + 3]];
        f64::from(if is_big { f32::from_be_bytes(four) } else { f32::from_le_bytes(four) })
    };
    let sform = (short(254) > 0).then(|| [280, 296, 312].map(|row| [0, 4, 8, 12].map(|column| float(row + column))));
    let qform = (short(252) > 0)
        .then(|| quaternion([256, 260, 264].map(float), [76, 80, 84, 88].map(float), [268, 272, 276].map(float)));
    let rows: Rows = match (sform, qform) {
        (Some(s), Some(q)) => {
            let differ = s.as_flattened().iter().zip(q.as_flattened()).any(|(s, q)| (s - q).abs() > TOLERANCE);
            if differ {
                return Err(Error::input("its sform and its qform name different places")
                    .remedy("write it anew with one of them, for example by saving it in Slicer"));
            }
            s
        }
        (Some(rows), None) | (None, Some(rows)) => rows,
        (None, None) => {
            return Err(Error::input("it does not say where its pixels lie: sform_code and qform_code are 0"));
        }
    };
    // From millimetres to the right and front to those to the left and back.
    let lps = |column: usize| [-rows[0][column], -rows[1][column], rows[2][column]];
    let count = usize::try_from(short(40)).unwrap_or_default().min(3);
    // A slice may lie along any two axes, as the picture's reader takes it.
    let mut axes: Vec<usize> = (0..count).filter(|axis| short(42 + 2 * axis) > 1).collect();
    axes.extend((0..3).filter(|axis| !axes.contains(axis)).collect::<Vec<_>>());
    let [a, b, c] = axes[..] else { return Err(Error::input("a volume of more than one slice")) };
    let [a, b] = [a.min(b), a.max(b)];
    let volume = Volume { origin: lps(3), steps: [lps(a), lps(b), lps(c)] };
    let is_valid = volume.steps.iter().all(|step| step.iter().map(|s| s * s).sum::<f64>() > 0.0);
    if is_valid { Ok(volume) } else { Err(Error::input("its pixels have no size in the patient")) }
}

/// The matrix of a rotation by a unit quaternion, with `pixdim` (of which the first is the sign of the third axis) and offsets.
fn quaternion([b, c, d]: [f64; 3], pixdim: [f64; 4], offset: [f64; 3]) -> Rows {
    let a = (1.0 - b * b - c * c - d * d).max(0.0).sqrt();
    let rotation = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - c * c - b * b],
    ];
    let sign = if pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let steps = [pixdim[1], pixdim[2], pixdim[3] * sign];
    std::array::from_fn(|row| {
        let [x, y, z] = rotation[row];
        [x * steps[0], y * steps[1], z * steps[2], offset[row]]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sagittal film of 40 × 30 pixels of 0.1 × 0.2 mm: rows run to the front, columns to the feet.
    fn film(sform: bool, qform: bool) -> [u8; HEADER] {
        let mut header = [0u8; HEADER];
        header[..4].copy_from_slice(&348u32.to_le_bytes());
        for (at, number) in [(40, 3i16), (42, 40), (44, 30), (46, 1), (252, i16::from(qform)), (254, i16::from(sform))]
        {
            header[at..at + 2].copy_from_slice(&number.to_le_bytes());
        }
        let mut float = |at: usize, number: f32| header[at..at + 4].copy_from_slice(&number.to_le_bytes());
        for (at, row) in [(280, [0.0, 0.0, 1.0, 5.0]), (296, [0.1, 0.0, 0.0, -3.0]), (312, [0.0, -0.2, 0.0, 40.0])] {
            row.into_iter().enumerate().for_each(|(column, number)| float(at + 4 * column, number));
        }
        // The same as a rotation: SciPy, `Rotation.from_matrix` with the third axis reversed, gives b, c, d of −0.5, −0.5, 0.5.
        for (at, number) in [
            (76, -1.0),
            (80, 0.1),
            (84, 0.2),
            (88, 1.0),
            (256, -0.5),
            (260, -0.5),
            (264, 0.5),
            (268, 5.0),
            (272, -3.0),
            (276, 40.0),
        ] {
            float(at, number);
        }
        header[344..348].copy_from_slice(b"n+1\0");
        header
    }

    #[test]
    fn an_sform_and_a_qform_name_one_place() {
        // In LPS, pixel (30, 20) lies 5 mm to the right, 0 mm to the front and 36 mm up.
        let at = [-5.0, 0.0, 36.0];
        for (sform, qform) in [(true, false), (false, true), (true, true)] {
            let volume = read(&film(sform, qform)).unwrap();
            let (pixel, off) = volume.pixel(at);
            let near = (pixel.x - 30.0).abs() < 1e-4 && (pixel.y - 20.0).abs() < 1e-4 && off.abs() < 1e-4;
            assert!(near, "{sform} {qform}: {pixel:?}, {off}");
        }
        assert!(read(&film(false, false)).unwrap_err().message.contains("sform_code"));
        let mut differ = film(true, true);
        differ[268..272].copy_from_slice(&6f32.to_le_bytes());
        assert!(read(&differ).unwrap_err().message.contains("different places"));
        assert_eq!(header(&film(true, false)), Some(film(true, false)));
        assert_eq!(header(b"n+1"), None);
    }
}
