//! Symmetric positive definite matrices: the inverse, by Cholesky's factorisation.

/// A square matrix, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Matrix {
    size: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// Zero everywhere.
    pub(super) fn zero(size: usize) -> Self {
        Self { size, values: vec![0.0; size * size] }
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.size + column]
    }

    pub(super) fn add(&mut self, row: usize, column: usize, value: f64) {
        self.values[row * self.size + column] += value;
    }

    /// Adds `weight · v vᵀ`.
    pub(super) fn add_outer(&mut self, v: &[f64], weight: f64) {
        for (row, a) in self.values.chunks_exact_mut(self.size).zip(v) {
            for (value, b) in row.iter_mut().zip(v) {
                *value += weight * a * b;
            }
        }
    }

    pub(super) fn trace(&self) -> f64 {
        (0..self.size).map(|i| self.at(i, i)).sum()
    }

    /// The rows and columns at these places.
    pub(super) fn part(&self, places: &[usize]) -> Self {
        let values = places.iter().flat_map(|&i| places.iter().map(move |&j| self.at(i, j))).collect();
        Self { size: places.len(), values }
    }

    /// The product with a column.
    pub(super) fn times(&self, v: &[f64]) -> Vec<f64> {
        self.values.chunks_exact(self.size.max(1)).map(|row| row.iter().zip(v).map(|(a, b)| a * b).sum()).collect()
    }

    /// The inverse; `None` where the matrix is not positive definite.
    pub(super) fn inverse(&self) -> Option<Self> {
        let n = self.size;
        // A = L Lᵀ, L below the diagonal.
        let mut l = self.clone();
        for j in 0..n {
            let square = self.at(j, j) - (0..j).map(|k| l.at(j, k).powi(2)).sum::<f64>();
            if square <= 1e-13 * self.at(j, j).abs() || !square.is_finite() {
                return None;
            }
            let pivot = square.sqrt();
            l.values[j * n + j] = pivot;
            for i in j + 1..n {
                let dot: f64 = (0..j).map(|k| l.at(i, k) * l.at(j, k)).sum();
                l.values[i * n + j] = (self.at(i, j) - dot) / pivot;
            }
        }
        // Column by column: L y = e, Lᵀ x = y.
        let mut inverse = Self::zero(n);
        let mut column = vec![0.0; n];
        for c in 0..n {
            for i in 0..n {
                let known: f64 = (0..i).map(|k| l.at(i, k) * column[k]).sum();
                column[i] = (f64::from(u8::from(i == c)) - known) / l.at(i, i);
            }
            for i in (0..n).rev() {
                let known: f64 = (i + 1..n).map(|k| l.at(k, i) * column[k]).sum();
                column[i] = (column[i] - known) / l.at(i, i);
            }
            for (i, value) in column.iter().enumerate() {
                inverse.values[i * n + c] = *value;
            }
        }
        Some(inverse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_undoes_the_matrix() {
        let mut matrix = Matrix::zero(5);
        for i in 0..5 {
            let v: Vec<f64> = (0..5).map(|j| ((i * 7 + j * 3) % 11) as f64 - 4.0).collect();
            matrix.add_outer(&v, 0.5 + i as f64);
            matrix.add(i, i, 0.25);
        }
        let inverse = matrix.inverse().unwrap();
        for c in 0..5 {
            let column: Vec<f64> = (0..5).map(|i| inverse.at(i, c)).collect();
            for (i, value) in matrix.times(&column).iter().enumerate() {
                assert!((value - f64::from(u8::from(i == c))).abs() < 1e-9, "{i} {c} {value}");
            }
        }
        assert_eq!(matrix.part(&[1, 3]).at(0, 1).to_bits(), matrix.at(1, 3).to_bits());
    }

    #[test]
    fn what_has_no_inverse_is_told() {
        let mut flat = Matrix::zero(3);
        flat.add_outer(&[1.0, 2.0, 3.0], 1.0);
        assert_eq!(flat.inverse(), None);
        flat.add(0, 0, f64::NAN);
        assert_eq!(flat.inverse(), None);
    }
}
