"""Losses with their gradients by PyTorch's autograd in double precision, and landmarks by DARK as published, written to
tests/fixtures/losses/reference.json: python scripts/losses_reference.py (needs torch, numpy, scipy)."""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import wasserstein_distance

IMAGES, LANDMARKS, HEIGHT, WIDTH = 2, 2, 4, 19
# Of every image and landmark: x, y and the width of its heatmap; none where it is missing.
PLACES = [[(7.3, 1.6, 1.5), None], [(17.9, 0.2, 2.0), (0.4, 3.0, 0.8)]]


def profile(centre, length, sigma):
    at = np.arange(length)
    return np.exp(-((at - centre) ** 2) / (2 * sigma**2)).astype(np.float32).astype(np.float64)


TARGETS = [
    [p and {"rows": profile(p[1], HEIGHT, p[2]).tolist(), "columns": profile(p[0], WIDTH, p[2]).tolist()} for p in image]
    for image in PLACES
]


def heatmap(target):
    return torch.outer(torch.tensor(target["rows"]).double(), torch.tensor(target["columns"]).double())


def adaptive_wing(o, t, omega, theta, epsilon, alpha, weight):
    d = (o - t).abs()
    a = omega / (1 + (theta / epsilon) ** (alpha - t)) * (alpha - t) * (theta / epsilon) ** (alpha - t - 1) / epsilon
    c = theta * a - omega * torch.log(1 + (theta / epsilon) ** (alpha - t))
    loss = torch.where(d < theta, omega * torch.log(1 + (d / epsilon) ** (alpha - t)), a * d - c)
    near = F.max_pool2d(t[None, None], 3, stride=1, padding=1)[0, 0] >= 0.2
    return (loss * (1 + weight * near)).mean()


def focal(o, t, alpha, beta):
    p = torch.sigmoid(o)
    positive = torch.zeros_like(t)
    positive.view(-1)[t.argmax()] = 1
    at = -((1 - p) ** alpha) * torch.log(p) * positive
    elsewhere = -((1 - t) ** beta) * p**alpha * torch.log(1 - p) * (1 - positive)
    return (at + elsewhere).sum()


def probabilities(o, t):
    return torch.softmax(o.flatten(), 0).view_as(o), t / t.sum()


def jensen_shannon(p, q):
    m = 0.5 * (p + q)
    # Where a heatmap is zero, it costs nothing.
    return 0.5 * ((torch.xlogy(p, p) - p * m.log()).sum() + (torch.xlogy(q, q) - q * m.log()).sum())


def dsnt(o, t, regularizer):
    p, q = probabilities(o, t)
    h, w = o.shape
    # Pixel centres in a picture from -1 to 1.
    xs, ys = [(2 * torch.arange(n, dtype=torch.float64) + 1) / n - 1 for n in (w, h)]
    mean = lambda m: torch.stack([(m.sum(0) * xs).sum(), (m.sum(1) * ys).sum()])
    return (mean(p) - mean(q)).norm() + regularizer * jensen_shannon(p, q)


def wasserstein(o, t, regularizer):
    p, q = probabilities(o, t)
    value = sum((p.sum(axis) - q.sum(axis)).cumsum(0).abs()[:-1].sum() for axis in (0, 1))
    by_scipy = sum(
        wasserstein_distance(np.arange(n), np.arange(n), p.detach().sum(axis).numpy(), q.sum(axis).numpy())
        for axis, n in ((0, o.shape[1]), (1, o.shape[0]))
    )
    assert abs(value.item() - by_scipy) < 1e-9, (value, by_scipy)
    return value + regularizer * jensen_shannon(p, q)


LOSSES = [
    ({"name": "l1"}, lambda o, t: (o - t).abs().mean()),
    ({"name": "smooth-l1", "beta": 0.3}, lambda o, t: F.smooth_l1_loss(o, t, beta=0.3)),
    ({"name": "mse"}, lambda o, t: F.mse_loss(o, t)),
    ({"name": "nll"}, lambda o, t: -(t / t.sum() * torch.log_softmax(o.flatten(), 0).view_as(o)).sum()),
    ({"name": "sum-l2", "scale": 100.0}, lambda o, t: 0.5 * ((o - 100 * t) ** 2).sum()),
    ({"name": "weighted-l1", "weight": 10.0}, lambda o, t: ((1 + 10 * t) * (o - t).abs()).mean()),
    ({"name": "weighted-mse", "weight": 10.0}, lambda o, t: ((1 + 10 * t) * (o - t) ** 2).mean()),
    ({"name": "adaptive-wing"}, lambda o, t: adaptive_wing(o, t, 14, 0.5, 1, 2.1, 10)),
    (
        {"name": "adaptive-wing", "omega": 9.0, "theta": 1.2, "epsilon": 0.7, "alpha": 2.3, "weight": 0.0},
        lambda o, t: adaptive_wing(o, t, 9, 1.2, 0.7, 2.3, 0),
    ),
    ({"name": "focal"}, lambda o, t: focal(o, t, 2, 4)),
    ({"name": "focal", "alpha": 1.5, "beta": 3.0}, lambda o, t: focal(o, t, 1.5, 3)),
    ({"name": "dsnt"}, lambda o, t: dsnt(o, t, 1)),
    ({"name": "dsnt", "regularizer": 0.0}, lambda o, t: dsnt(o, t, 0)),
    ({"name": "wasserstein"}, lambda o, t: wasserstein(o, t, 1)),
    ({"name": "wasserstein", "regularizer": 0.0}, lambda o, t: wasserstein(o, t, 0)),
]


def total(loss, maps):
    images = []
    for image, targets in zip(maps, TARGETS):
        found = [loss(plane, heatmap(target)) for plane, target in zip(image, targets) if target]
        images.append(torch.stack(found).mean())
    return torch.stack(images).mean()


START, PENALTY, SCALE, SIGMAS = 2.0, 5.0, 100.0, [1.6, 2.3]


def with_widths(maps):
    """Payer et al. 2019: heatmaps gamma/(2 pi sigma^2) exp(-r^2/2 sigma^2) of trained sigmas, and alpha/2 sigma^2."""
    gamma = SCALE * 2 * np.pi * START**2
    alpha = PENALTY * (gamma / 1000) ** 2
    sigmas = torch.tensor(SIGMAS, dtype=torch.float64, requires_grad=True)
    ys, xs = [torch.arange(n, dtype=torch.float64) for n in (HEIGHT, WIDTH)]
    images = []
    for image, places in zip(maps, PLACES):
        found = []
        for k, (plane, place) in enumerate(zip(image, places)):
            if place is None:
                continue
            rows = (START / sigmas[k]) ** 2 * torch.exp(-((ys - place[1]) ** 2) / (2 * sigmas[k] ** 2))
            columns = torch.exp(-((xs - place[0]) ** 2) / (2 * sigmas[k] ** 2))
            exact = gamma / (2 * np.pi * sigmas[k] ** 2) * torch.exp(
                -((xs[None] - place[0]) ** 2 + (ys[:, None] - place[1]) ** 2) / (2 * sigmas[k] ** 2)
            )
            # Values as they are stored, in single precision; derivatives of the exact ones.
            stored = SCALE * torch.outer(rows.detach().float().double(), columns.detach().float().double())
            assert (stored - exact).abs().max() < 1e-4
            heat = exact + (stored - exact).detach()
            found.append(0.5 * ((plane - heat) ** 2).sum() + 0.5 * alpha * sigmas[k] ** 2)
        images.append(torch.stack(found).mean())
    value = torch.stack(images).mean()
    value.backward()
    places = [[place and [place[0], place[1]] for place in image] for image in PLACES]
    setting = {"start": START, "penalty": PENALTY, "scale": SCALE, "sigmas": SIGMAS, "places": places}
    return setting | {"value": value.item(), "gradient": sigmas.grad.tolist()}


def blurred(heat, sigma):
    """Zero padding; to 2.5 sigma, which at 2 is the published kernel of 11."""
    reach = int(np.ceil(2.5 * sigma))
    kernel = np.exp(-np.arange(-reach, reach + 1) ** 2 / (2 * sigma**2))
    kernel /= kernel.sum()
    padded = np.pad(heat, reach)
    rows = np.apply_along_axis(lambda row: np.convolve(row, kernel, "valid"), 1, padded)
    return np.apply_along_axis(lambda column: np.convolve(column, kernel, "valid"), 0, rows)


def dark(heat, sigma):
    """Zhang et al. 2020: modulation to the height of before, logarithm, Taylor expansion at the brightest pixel."""
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    smooth = blurred(heat, sigma)
    smooth *= heat.max() / smooth.max()
    f = np.log(np.maximum(smooth, 1e-10))
    gradient = 0.5 * np.array([f[y, x + 1] - f[y, x - 1], f[y + 1, x] - f[y - 1, x]])
    dxx = 0.25 * (f[y, x + 2] - 2 * f[y, x] + f[y, x - 2])
    dyy = 0.25 * (f[y + 2, x] - 2 * f[y, x] + f[y - 2, x])
    dxy = 0.25 * (f[y + 1, x + 1] - f[y - 1, x + 1] - f[y + 1, x - 1] + f[y - 1, x - 1])
    return np.array([x, y]) - np.linalg.solve(np.array([[dxx, dxy], [dxy, dyy]]), gradient)


def decoded():
    """Oblique Gaussians with a ripple, so that neither axis stands for itself."""
    cases = []
    for x, y, sigma in [(8.3, 9.7, 2.0), (12.5, 6.1, 1.5), (7.8, 12.2, 1.0)]:
        ys, xs = np.mgrid[0:20, 0:18].astype(np.float64)
        u, v = (xs - x) + 0.4 * (ys - y), (ys - y) - 0.2 * (xs - x)
        heat = np.exp(-(u**2 + 1.7 * v**2) / 9) + 0.01 * np.sin(xs * 1.3 + ys * 0.7)
        heat = heat.astype(np.float32).astype(np.float64)
        found = dark(heat, sigma)
        case = {"sigma": sigma, "height": 20, "width": 18, "map": heat.ravel().tolist()}
        cases.append(case | {"x": found[0], "y": found[1]})
    return cases


shape = (IMAGES, LANDMARKS, HEIGHT, WIDTH)
maps = torch.tensor(np.sin(np.arange(np.prod(shape)) * 0.37) * 1.5).view(shape)
losses = []
for spec, loss in LOSSES:
    leaf = maps.clone().requires_grad_()
    value = total(loss, leaf)
    value.backward()
    losses.append({"loss": spec, "value": value.item(), "gradient": leaf.grad.flatten().tolist()})
content = {
    "torch": torch.__version__,
    "shape": list(maps.shape),
    "maps": maps.flatten().tolist(),
    "targets": TARGETS,
    "losses": losses,
    "widths": with_widths(maps),
    "dark": decoded(),
}
folder = Path(__file__).parent.parent / "tests/fixtures/losses"
folder.mkdir(parents=True, exist_ok=True)
text = json.dumps(content, allow_nan=False)
(folder / "reference.json").write_text(text.replace('{"loss"', '\n{"loss"').replace('"dark"', '\n"dark"') + "\n")
