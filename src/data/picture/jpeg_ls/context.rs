//! Statistics of the values decoded so far, per context of neighbouring differences (T.87, A.2.1, A.4, A.6 and A.7).

/// Counts of a regular context.
#[derive(Debug, Clone, Copy)]
pub(super) struct Regular {
    /// Sum of the magnitudes of errors.
    pub(super) a: i32,
    /// Sum of errors.
    pub(super) b: i32,
    /// Correction of the prediction.
    pub(super) c: i32,
    /// Number of errors.
    pub(super) n: i32,
}

impl Regular {
    pub(super) fn new(range: i32) -> Self {
        Self { a: first_magnitude(range), b: 0, c: 0, n: 1 }
    }

    /// The parameter of the Golomb code.
    pub(super) fn k(&self) -> u32 {
        golomb(self.n, self.a)
    }

    /// The error that a code means.
    pub(super) fn error(&self, code: i32, k: u32, near: i32) -> i32 {
        let half = (code + 1) >> 1;
        if near == 0 && k == 0 && 2 * i64::from(self.b) <= -i64::from(self.n) {
            // The order of signs is turned round.
            if code & 1 == 1 { code >> 1 } else { -(code >> 1) - 1 }
        } else if code & 1 == 1 {
            -half
        } else {
            half
        }
    }

    /// Learns an error.
    pub(super) fn update(&mut self, error: i32, near: i32, reset: i32) {
        // Saturating: a preset of thousands of errors before halving may add up to more.
        self.b = self.b.saturating_add(error * (2 * near + 1));
        self.a = self.a.saturating_add(error.abs());
        if self.n == reset {
            self.a >>= 1;
            self.b >>= 1;
            self.n >>= 1;
        }
        self.n += 1;
        if self.b <= -self.n {
            self.b = (self.b + self.n).max(1 - self.n);
            self.c = (self.c - 1).max(-128);
        } else if self.b > 0 {
            self.b = (self.b - self.n).min(0);
            self.c = (self.c + 1).min(127);
        }
    }
}

/// Counts of a context of the values that end a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interruption {
    a: i32,
    n: i32,
    negatives: i32,
    /// 1 where the neighbours on both sides are alike, else 0.
    kind: i32,
}

impl Interruption {
    pub(super) fn new(range: i32, kind: i32) -> Self {
        Self { a: first_magnitude(range), n: 1, negatives: 0, kind }
    }

    pub(super) fn k(&self) -> u32 {
        golomb(self.n, self.a.saturating_add((self.n >> 1) * self.kind))
    }

    /// The error that a code means, which is learnt too.
    pub(super) fn error(&mut self, code: i32, k: u32, reset: i32) -> i32 {
        let value = code + self.kind;
        let odd = value & 1;
        let magnitude = (value + odd) >> 1;
        let is_negative = (k != 0 || 2 * self.negatives >= self.n) == (odd == 1);
        let error = if is_negative { -magnitude } else { magnitude };
        if error < 0 {
            self.negatives += 1;
        }
        self.a = self.a.saturating_add((code + 1 - self.kind) >> 1);
        if self.n == reset {
            self.a >>= 1;
            self.n >>= 1;
            self.negatives >>= 1;
        }
        self.n += 1;
        error
    }
}

fn first_magnitude(range: i32) -> i32 {
    ((range + 32) >> 6).max(2)
}

fn golomb(n: i32, a: i32) -> u32 {
    (0..31).find(|k| i64::from(n) << k >= i64::from(a)).unwrap_or(31)
}
