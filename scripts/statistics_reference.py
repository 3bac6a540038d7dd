"""Reference values for src/analysis/statistics, by SciPy and NumPy.

    statistics_reference.py        writes scripts/statistics_reference.json again

Needs numpy and scipy; the file says which made it.
"""

import json
from pathlib import Path

import numpy as np
import scipy
from scipy import stats

rng = np.random.default_rng(20260101)


def rounded(values):
    """Data with few digits, so that the JSON holds exactly what SciPy saw."""
    return [float(v) for v in np.round(values, 4)]


def paired():
    cases = []
    for n, shift, digits in ((6, 0.8, 4), (6, 0.0, 4), (13, 0.3, 4), (40, 0.2, 4), (40, 0.2, 1), (120, 0.1, 4)):
        d = [float(v) for v in np.round(rng.normal(shift, 1.0, n), digits)]
        exact = n <= 16
        flip = stats.permutation_test((d,), np.sum, permutation_type="samples", n_resamples=np.inf if exact else 200_000,
                                      alternative="two-sided", rng=np.random.default_rng(1))
        t = stats.ttest_1samp(d, 0.0)
        interval = t.confidence_interval(0.95)
        cases.append({
            "differences": d,
            "wilcoxon": float(stats.wilcoxon(d).pvalue),
            "sign_flip": float(flip.pvalue),
            "sign_flip_exact": exact,
            "t_p": float(t.pvalue),
            "t_interval": [float(interval.low), float(interval.high)],
        })
    return cases


def kendall():
    cases = []
    for n, digits in ((5, 3), (20, 3), (30, 0), (60, 1)):
        x = rng.normal(size=n)
        y = 0.5 * x + rng.normal(size=n)
        x, y = [[float(v) for v in np.round(a, digits)] for a in (x, y)]
        cases.append({"x": x, "y": y, "tau": float(stats.kendalltau(x, y).statistic)})
    return cases


def bca():
    cases = []
    for n in (12, 30, 80):
        d = rounded(rng.gamma(1.5, 1.0, n))
        result = stats.bootstrap((d,), np.mean, n_resamples=200_000, method="BCa", rng=np.random.default_rng(2))
        plain = stats.bootstrap((d,), np.mean, n_resamples=200_000, method="percentile", rng=np.random.default_rng(3))
        cases.append({"data": d, "bca": [float(v) for v in result.confidence_interval],
                      "percentile": [float(v) for v in plain.confidence_interval],
                      "standard_error": float(result.standard_error)})
    return cases


def distributions():
    t = [(x, df) for x in (-6.0, -1.3, 0.0, 0.4, 2.5, 9.0) for df in (1.0, 2.7, 5.0, 40.0, 300.5)]
    q = [(p, df) for p in (0.001, 0.025, 0.3, 0.8, 0.975, 0.9995) for df in (1.0, 2.7, 5.0, 40.0, 300.5)]
    z = (-7.0, -1.96, 0.0, 0.5, 3.0)
    return {
        "student_cdf": [[x, df, float(stats.t.cdf(x, df))] for x, df in t],
        "student_quantile": [[p, df, float(stats.t.ppf(p, df))] for p, df in q],
        "normal_cdf": [[x, float(stats.norm.cdf(x))] for x in z],
        "normal_quantile": [[p, float(stats.norm.ppf(p))] for p in (1e-6, 0.025, 0.5, 0.8, 0.999)],
    }


def holm(p):
    """Holm 1979, word by word."""
    p = np.asarray(p)
    order = np.argsort(p)
    out = np.empty(len(p))
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p) - rank) * p[i]))
        out[i] = running
    return [float(v) for v in out]


def isotonic():
    """Non-increasing least squares, by SciPy's pool-adjacent-violators."""
    y = rounded(np.exp(-np.arange(25) / 6) + rng.normal(0, 0.1, 25))
    return {"values": y, "fit": [float(v) for v in stats_isotonic(y)]}


def stats_isotonic(y):
    from scipy.optimize import isotonic_regression
    return isotonic_regression(y, increasing=False).x


def welch():
    """Seeds of two configurations; every image alike, so that only trainings scatter."""
    cases = []
    for n, shift in ((2, 0.5), (3, 0.9), (6, 0.4)):
        a, b = rounded(rng.normal(2, 0.3, n)), rounded(rng.normal(2 + shift, 0.1, n))
        result = stats.ttest_ind(b, a, equal_var=False)
        interval = result.confidence_interval(0.99)
        cases.append({"a": a, "b": b, "p": float(result.pvalue), "interval_99": [float(interval.low), float(interval.high)]})
    return cases


def interactions():
    """Mean square of all interactions of three and more axes: the residual of a least-squares fit of the others."""
    cases = []
    for sizes in ((2, 2, 2, 2), (3, 3, 2), (2, 3, 4)):
        y = rng.normal(2, 0.3, sizes).round(4)
        places = np.indices(sizes).reshape(len(sizes), -1)
        one_hot = [np.eye(size)[place][:, 1:] for size, place in zip(sizes, places)]
        columns = [np.ones((y.size, 1)), *one_hot]
        for i in range(len(sizes)):
            for j in range(i + 1, len(sizes)):
                columns.append((one_hot[i][:, :, None] * one_hot[j][:, None, :]).reshape(y.size, -1))
        x = np.hstack(columns)
        fit = x @ np.linalg.lstsq(x, y.ravel(), rcond=None)[0]
        degrees = y.size - np.linalg.matrix_rank(x)
        cases.append({"sizes": list(sizes), "values": [float(v) for v in y.ravel()], "degrees": int(degrees),
                      "mean_square": float(((y.ravel() - fit) ** 2).sum() / degrees)})
    return cases


def jeffreys():
    """Jeffreys' interval of k of n independent images; where some but not all are within, with the number of images that
    the scatter between them stands for, and few degrees of freedom (Korn and Graubard 1998)."""
    cases = []
    for k, n in ((0, 24), (3, 20), (12, 20), (24, 24)):
        size, p = float(n), k / n
        if 0 < k < n:
            variance = np.var([1.0] * k + [0.0] * (n - k), ddof=1) / n
            size = p * (1 - p) / variance * (stats.norm.ppf(0.975) / stats.t.ppf(0.975, n - 1)) ** 2
        low, high = stats.beta.ppf([0.025, 0.975], size * p + 0.5, size * (1 - p) + 0.5)
        cases.append({"k": k, "n": n, "interval": [0.0 if k == 0 else float(low), 1.0 if k == n else float(high)]})
    return cases


P = [0.01, 0.04, 0.03, 0.005, 0.6]
reference = {
    "made_by": f"numpy {np.__version__}, scipy {scipy.__version__}",
    "paired": paired(),
    "kendall": kendall(),
    "bca": bca(),
    "distributions": distributions(),
    "holm": {"p": P, "adjusted": holm(P)},
    "isotonic": isotonic(),
    "welch": welch(),
    "interactions": interactions(),
    "jeffreys": jeffreys(),
    "quantiles": {"values": [0.5, 2.0, 2.5, 3.2, 9.0],
                  "p95": float(np.percentile([0.5, 2.0, 2.5, 3.2, 9.0], 95))},
}
Path(__file__).with_suffix(".json").write_text(json.dumps(reference, indent=1) + "\n")
