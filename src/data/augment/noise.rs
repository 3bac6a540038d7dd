//! Gaussian noise: each value's is a function of the picture's key, the value's plane and its place in it alone, so that a GPU's thousand
//! threads draw what the processor draws.

/// Philox 4×32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3; SC 2011): four words for every counter.
fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let (mut c, mut k) = (counter, key);
    for _ in 0..10 {
        let first = u64::from(c[0]) * 0xd251_1f53;
        let second = u64::from(c[2]) * 0xcd9e_8d57;
        c = [(second >> 32) as u32 ^ c[1] ^ k[0], second as u32, (first >> 32) as u32 ^ c[3] ^ k[1], first as u32];
        k = [k[0].wrapping_add(0x9e37_79b9), k[1].wrapping_add(0xbb67_ae85)];
    }
    c
}

/// Standard normal numbers of pixels `4·block` to `4·block + 3` of a plane, by Box and Muller.
fn normals(block: u32, plane: u32, key: u64) -> [f32; 4] {
    let words = philox([block, plane, 0, 0], [key as u32, (key >> 32) as u32]);
    // 23 bits and a half: in (0, 1), exactly.
    let unit = words.map(|w| ((w >> 9) as f32 + 0.5) * (1.0 / 8_388_608.0));
    let pair = |a: f32, b: f32| {
        let (radius, (sin, cos)) = ((-2.0 * a.ln()).sqrt(), (std::f32::consts::TAU * b).sin_cos());
        [radius * cos, radius * sin]
    };
    let ([a, b], [c, d]) = (pair(unit[0], unit[1]), pair(unit[2], unit[3]));
    [a, b, c, d]
}

/// Adds noise of this standard deviation to planes of `area` pixels, to each its own; values stay in [0, 1].
pub(super) fn add(planes: &mut [f32], area: usize, deviation: f32, key: u64) {
    for (plane, pixels) in (0..).zip(planes.chunks_exact_mut(area)) {
        for (block, pixels) in (0..).zip(pixels.chunks_mut(4)) {
            for (pixel, normal) in pixels.iter_mut().zip(normals(block, plane, key)) {
                *pixel = (*pixel + deviation * normal).clamp(0.0, 1.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_is_random123s() {
        // kat_vectors of Random123, philox4x32 10.
        for (counter, key, words) in [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ] {
            assert_eq!(philox(counter, key), words);
        }
    }

    #[test]
    fn numbers_are_standard_normal_and_uncorrelated() {
        let numbers: Vec<f64> = (0..50_000).flat_map(|block| normals(block, 0, 99)).map(f64::from).collect();
        let n = numbers.len() as f64;
        let moment = |power| numbers.iter().map(|v| v.powi(power)).sum::<f64>() / n;
        // ± 5 standard deviations of each: 1/√n, √2/√n, √15/√n and √96/√n.
        let within = 5.0 / n.sqrt();
        assert!(moment(1).abs() < within && (moment(2) - 1.0).abs() < 1.42 * within);
        assert!(moment(3).abs() < 3.9 * within && (moment(4) - 3.0).abs() < 9.8 * within);
        for lag in [1, 2, 3, 4, 160] {
            let together = numbers.iter().zip(&numbers[lag..]).map(|(a, b)| a * b).sum::<f64>() / n;
            assert!(together.abs() < within, "lag {lag}: {together}");
        }
        let bits = |plane, key| normals(0, plane, key).map(f32::to_bits);
        assert!(bits(0, 1) != bits(0, 2) && bits(0, 1 << 40) != bits(0, 0) && bits(0, 1) != bits(1, 1));
    }
}
