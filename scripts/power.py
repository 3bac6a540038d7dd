"""What a number of pairs can detect, and intervals of proportions: the reference values of src/analysis/power.rs and
src/experiment/prune/audit.rs.

    power.py        prints them

Needs numpy, scipy and statsmodels. Sign-flip tests are simulated: every pattern of signs up to 12 pairs, 2,000 random ones
beyond; 20,000 experiments each, so that a power of 0.8 is known to ± 0.006 (two standard errors).
"""

import numpy as np
import scipy.stats
import statsmodels
from scipy.optimize import brentq
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint

ALPHA, POWER, EXPERIMENTS = 0.05, 0.8, 20_000


def patterns(n, rng):
    """Signs, a row each; the first sign is fixed, since turning all changes nothing."""
    if n <= 12:
        rest = (np.arange(2 ** (n - 1))[:, None] >> np.arange(n - 1)) & 1
        return np.concatenate([np.ones((len(rest), 1)), 1 - 2 * rest], axis=1)
    return np.concatenate([np.ones((1, n)), rng.choice([-1.0, 1.0], size=(2000, n))])


def sign_flip_power(delta, noise, signs):
    sums = np.abs((noise + delta) @ signs.T)
    p = (sums >= sums[:, :1] - 1e-9).mean(axis=1)
    return (p <= ALPHA).mean()


def sign_flip_detectable(n, seed=0):
    rng = np.random.default_rng(seed)
    signs, noise = patterns(n, rng), rng.standard_normal((EXPERIMENTS, n))
    return brentq(lambda delta: sign_flip_power(delta, noise, signs) - POWER, 0.05, 5, xtol=1e-3)


def detectable_over_both(seeds, images, seed_sd, image_sd, seed=0):
    """By simulated sweeps: a difference per seed and one per image, tested by Student's t with both standard deviations
    estimated and Satterthwaite's degrees of freedom."""
    rng = np.random.default_rng(seed)
    mean, parts = 0, []
    for sd, n in [(seed_sd, seeds), (image_sd, images)]:
        noise = sd * rng.standard_normal((EXPERIMENTS * 5, n))
        mean = mean + noise.mean(axis=1)
        parts.append((noise.var(axis=1, ddof=1) / n, n - 1))
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / df for part, df in parts)
    reach = scipy.stats.t.ppf(1 - ALPHA / 2, freedom) * np.sqrt(variance)
    return brentq(lambda delta: (np.abs(mean + delta) > reach).mean() - POWER, 0.01, 9, xtol=1e-4)


if __name__ == "__main__":
    print(f"numpy {np.__version__}, scipy {scipy.__version__}, statsmodels {statsmodels.__version__}")
    print("\nWilson 95 %: count, n, low, high")
    for count, n in [(0, 5), (1, 3), (7, 20)]:
        low, high = proportion_confint(count, n, alpha=0.05, method="wilson")
        print(count, n, repr(float(low)), repr(float(high)))
    print("\nDetectable by a two-sided paired t test, in standard deviations: n, d")
    for n in [6, 8, 10, 12, 13, 16, 20, 24, 50, 150]:
        d = TTestPower().solve_power(nobs=n, alpha=ALPHA, power=POWER, alternative="two-sided")
        print(n, f"{float(d):.5f}")
    print("\nDetectable by a two-sided sign-flip test, in standard deviations: n, d")
    for n in [6, 7, 8, 10, 12, 16, 24]:
        print(n, f"{sign_flip_detectable(n):.4f}")
    print("\nDetectable over seeds and images, standard deviations 0.3 and 0.8 mm: seeds, images, mm")
    for seeds, images in [(6, 24), (10, 150), (20, 20)]:
        print(seeds, images, f"{detectable_over_both(seeds, images, 0.3, 0.8):.4f}")
