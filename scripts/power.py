"""What a planned sweep can detect, and intervals of proportions: the reference values of src/analysis/power.rs and
src/experiment/prune/audit.rs.

    power.py        prints them

Needs numpy, scipy and statsmodels. Sweeps are simulated with normal errors and tested as reports test: training noise from
each configuration's own seeds (Welch), images by their paired differences, joined by Banerjee's rule, at the level that is
left to one of several comparisons. 20,000 sweeps each, so that a power of 0.8 is known to ± 0.006 (two standard errors).
"""

import numpy as np
import scipy.stats
import statsmodels
from scipy.optimize import brentq
from statsmodels.stats.proportion import proportion_confint

# The share of the report's error rate that effects of axes have.
ALPHA, POWER, SWEEPS = 0.05 * 0.5, 0.8, 20_000


def detectable(seeds, images, comparisons, contexts, seed_sd, image_sd, seed=0):
    """The true difference of two values of an axis, averaged over contexts, that is found with a power of 80 %."""
    rng = np.random.default_rng(seed)
    # A training's own deviation, so that the difference of two has seed_sd.
    trainings = seed_sd / np.sqrt(2) * rng.standard_normal((SWEEPS, 2, contexts, seeds))
    of_image = image_sd * rng.standard_normal((SWEEPS, images))
    means = trainings.mean(axis=3)
    noise = (means[:, 0] - means[:, 1]).mean(axis=1) + of_image.mean(axis=1)
    level = 1 - ALPHA / comparisons / 2
    squares = scipy.stats.t.ppf(level, images - 1) ** 2 * of_image.var(axis=1, ddof=1) / images
    if seeds > 1:
        parts = trainings.var(axis=3, ddof=1).reshape(SWEEPS, -1) / seeds / contexts**2
        training = parts.sum(axis=1)
        freedom = training**2 / (parts**2 / (seeds - 1)).sum(axis=1)
        squares = squares + scipy.stats.t.ppf(level, freedom) ** 2 * training
    reach = np.sqrt(squares)
    return brentq(lambda delta: (np.abs(noise + delta) > reach).mean() - POWER, 0.01, 20, xtol=1e-4)


if __name__ == "__main__":
    print(f"numpy {np.__version__}, scipy {scipy.__version__}, statsmodels {statsmodels.__version__}")
    print("\nWilson 95 %: count, n, low, high")
    for count, n in [(0, 5), (1, 3), (7, 20)]:
        low, high = proportion_confint(count, n, alpha=0.05, method="wilson")
        print(count, n, repr(float(low)), repr(float(high)))
    print("\nDetectable, standard deviations 0.3 and 0.8 mm: seeds, images, comparisons, contexts, mm")
    for seeds, images, comparisons, contexts in [
        (2, 24, 1, 1), (3, 24, 1, 1), (3, 100, 3, 1), (6, 24, 1, 1), (6, 100, 4, 2), (10, 150, 1, 1), (20, 20, 45, 1)
    ]:
        print(seeds, images, comparisons, contexts, f"{detectable(seeds, images, comparisons, contexts, 0.3, 0.8):.4f}")
    print("\nDetectable of these networks, 24 images, one comparison, mm")
    print(f"{detectable(1, 24, 1, 1, 0.0, 0.8):.4f}")
