"""Reference values for src/analysis/folds, by NumPy and SciPy, from single errors and not from the folds' summaries.

    folds_reference.py        writes scripts/folds_reference.json again

Two configurations, three seeds, three folds of unequal size; one landmark is not marked in some images. Needs numpy and
scipy; the file says which made it.
"""

import json
from pathlib import Path

import numpy as np
import scipy
from scipy import stats

rng = np.random.default_rng(20260707)
FOLDS = ([0, 3, 6, 9, 12, 15, 18], [1, 4, 7, 10, 13], [2, 5, 8, 11, 14, 16, 17, 19])
IMAGES, LANDMARKS, EPOCHS, SEEDS = 20, 3, 6, 3
SHIFT = {"a": 0.0, "b": 0.35}
unmarked = np.zeros((IMAGES, LANDMARKS), bool)
unmarked[[0, 4, 5, 11], 2] = True

hard = rng.gamma(2.0, 0.5, (IMAGES, LANDMARKS))
errors = {}  # (configuration, seed) → [epoch, image, landmark]
for name, shift in SHIFT.items():
    for seed in range(SEEDS):
        fall = np.exp(-0.8 * np.arange(EPOCHS))[:, None, None]
        noise = rng.gamma(1.2, 0.5, (EPOCHS, IMAGES, LANDMARKS))
        late = 0.15 * np.maximum(np.arange(EPOCHS) - 3, 0)[:, None, None]
        values = np.round(hard + shift + 0.05 * rng.normal() + 3.0 * fall + noise + late, 4)
        errors[name, seed] = np.where(unmarked, np.nan, values)


def of(table):
    """MRE, SD and the share within 2 mm of the marked landmarks."""
    marked = table[~np.isnan(table)]
    return [float(np.mean(marked)), float(np.std(marked, ddof=1)), float(100 * np.mean(marked <= 2.0))]


def nulls(table):
    return [[None if np.isnan(v) else float(v) for v in row] for row in table]


trials, pooled = [], []
for (name, seed), table in errors.items():
    curves = np.array([[of(table[e, fold])[0] for e in range(EPOCHS)] for fold in FOLDS])
    counts = np.array([(~unmarked[fold]).sum() for fold in FOLDS])
    own = curves.argmin(axis=1)
    others = [int(np.delete(counts[:, None] * curves, k, axis=0).sum(axis=0).argmin()) for k in range(len(FOLDS))]
    for k, fold in enumerate(FOLDS):
        trials.append({
            "configuration": name, "seed": seed, "fold": k, "images": fold, "best_epoch": int(own[k]) + 1,
            "epochs": [of(table[e, fold]) for e in range(EPOCHS)],
            "last": nulls(table[-1, fold]), "best": nulls(table[own[k], fold]),
        })
    at = lambda epochs: np.concatenate([table[e, fold] for e, fold in zip(epochs, FOLDS)])
    pooled.append({
        "configuration": name, "seed": seed,
        "curve": [of(table[e]) for e in range(EPOCHS)],
        "own_epoch": of(at(own)), "others_epoch": of(at(others)), "last": of(table[-1]),
    })


def crossed(cells):
    """Mean of seeds × images and its standard error by a two-way analysis of variance with both random."""
    s, n = cells.shape
    rows, columns, mean = cells.mean(axis=1), cells.mean(axis=0), cells.mean()
    rest = ((cells - rows[:, None] - columns + mean) ** 2).sum() / ((s - 1) * (n - 1))
    variance = rows.var(ddof=1) / s + columns.var(ddof=1) / n - rest / (s * n)
    return float(np.sqrt(max(variance, rows.var(ddof=1) / s, columns.var(ddof=1) / n)))


last = {name: np.stack([errors[name, seed][-1] for seed in range(SEEDS)]) for name in SHIFT}
difference = last["b"] - last["a"]  # [seed, image, landmark]
whole = [0, 1]  # landmarks that every image has: then cells weigh alike and the textbook's formula is exact
cells = difference[:, :, whole].mean(axis=2)
one = stats.ttest_1samp(cells[0], 0.0)
interval = one.confidence_interval(0.95)
configurations = []
for name in SHIFT:
    table = last[name]
    configurations.append({
        "configuration": name, "mre": float(np.nanmean(table)),
        "sdr": [float(100 * np.mean(table[~np.isnan(table)] <= r)) for r in (2.0, 2.5, 3.0, 4.0)],
        "landmarks": [[float(np.nanmean(table[:, :, k])), int((~unmarked[:, k]).sum())] for k in range(LANDMARKS)],
    })
reference = {
    "made_by": f"scripts/folds_reference.py with numpy {np.__version__}, scipy {scipy.__version__}",
    "landmarks": LANDMARKS, "trials": trials, "pooled": pooled, "configurations": configurations,
    "effect": {"mean": float(np.nanmean(difference)), "whole_mean": float(cells.mean()), "whole_se": crossed(cells),
               "one_seed_mean": float(cells[0].mean()), "one_seed_se": float(stats.sem(cells[0])), "one_seed_p": float(one.pvalue),
               "one_seed_interval": [float(interval.low), float(interval.high)]},
}
text = json.dumps(reference, separators=(",", ":")).replace('},{"conf', '},\n{"conf')
Path(__file__).with_suffix(".json").write_text(text + "\n")
