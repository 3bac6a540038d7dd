"""Reference values for src/data/augment, by torchvision, SciPy and NumPy, on a picture given by a formula.

    augment_reference.py        writes scripts/augment_reference.json again

Needs torch, torchvision and scipy; the file says which made it.
"""

import json
from pathlib import Path

import numpy as np
import scipy
import torch
import torchvision
from scipy.ndimage import map_coordinates
from torchvision.transforms.functional import adjust_brightness, adjust_contrast, adjust_gamma, gaussian_blur

HEIGHT, WIDTH = 31, 23


def rounded(values):
    return [round(float(v), 7) for v in np.asarray(values).ravel()]


picture = (np.arange(HEIGHT * WIDTH) * 37 % 101 / 101).astype(np.float32).reshape(HEIGHT, WIDTH)
tensor = torch.from_numpy(picture)[None]

jittered = adjust_gamma(adjust_contrast(adjust_brightness(tensor, 1.4), 0.6), 1.7)
indices = np.arange(3 * HEIGHT * WIDTH)
colours = ((indices * 37 + indices // (HEIGHT * WIDTH) * 53) % 101 / 101).astype(np.float32)
colours = torch.from_numpy(colours.reshape(3, HEIGHT, WIDTH))
jittered_colours = adjust_gamma(adjust_contrast(adjust_brightness(colours, 1.4), 0.6), 1.7)
blurred = {
    sigma: gaussian_blur(tensor, 2 * int(np.ceil(3 * sigma)) + 1, sigma)[0].numpy() for sigma in (0.4, 1.3, 5.0)
}

# MONAI's RandHistogramShift: randomize() draws uniform numbers between the neighbours in turn; __call__ interpolates.
# Its formulas, with the uniform numbers given.
units = (np.arange(8) * 5 % 8 + 0.5) / 8
points = np.linspace(0, 1, 10)
moved = points.copy()
for i in range(1, 9):
    moved[i] = moved[i - 1] + units[i - 1] * (moved[i + 1] - moved[i - 1])
shifted = np.interp(np.linspace(0, 1, 41), points, moved)

# Control points 7 pixels apart along x and 9 along y, around the middle of the picture; 3 zeros on each side.
reach_x, reach_y = 7, 7
lattice = np.zeros((2, 2 * reach_y + 1, 2 * reach_x + 1))
for y in range(3, 2 * reach_y - 2):
    for x in range(3, 2 * reach_x - 2):
        for axis in range(2):
            lattice[axis, y, x] = ((y * 13 + x * 7 + axis * 5) % 11 - 5) * 0.5
# Turned by 20°, magnified by 0.9 and moved by (1.5, -2.25) pixels, of pixels 1 mm wide and 0.8 mm high.
sin, cos, aspect, scale = np.sin(np.radians(20)), np.cos(np.radians(20)), 0.8, 0.9
matrix = scale * np.array([[cos, -sin * aspect], [sin / aspect, cos]])
centre, shift = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2]), np.array([1.5, -2.25])
ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH]
places = np.stack([xs, ys]).reshape(2, -1)
read = np.linalg.inv(matrix) @ (places - (centre + shift)[:, None]) + centre[:, None]
cells = (read - centre[:, None]) / np.array([[7.0], [9.0]]) + np.array([[reach_x], [reach_y]])
spline = [map_coordinates(lattice[axis], cells[::-1], order=3, mode="constant", prefilter=False) for axis in range(2)]
warped = map_coordinates(picture, (read + np.stack(spline))[::-1], order=1, mode="grid-constant", cval=0.0)

reference = {
    "versions": {"torch": torch.__version__, "torchvision": torchvision.__version__, "scipy": scipy.__version__},
    "jittered": rounded(jittered),
    "jittered_colours": rounded(jittered_colours),
    "blurred": {str(sigma): rounded(values) for sigma, values in blurred.items()},
    "curve": rounded(moved),
    "shifted": rounded(shifted),
    "displaced": [rounded(values) for values in spline],
    "warped": rounded(warped),
}
Path(__file__).with_suffix(".json").write_text(json.dumps(reference) + "\n")
