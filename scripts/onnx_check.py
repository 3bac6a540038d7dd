"""Holds ONNX models of `sweep export onnx` against what `sweep predict --heatmaps` computed, with onnx.checker and onnxruntime.

    onnx_check.py MODEL.onnx HEATMAPS.safetensors… [--tolerance 1e-4]

Every file alone and, where the model takes any number of images, all of them together. Of a network of two stages give
the model of either; which one it is stands in it. Fails where heatmaps differ by more than the tolerance, relative to the
largest value where that is above 1. Needs numpy, onnx, onnxruntime and safetensors.
"""

import argparse
import sys

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("heatmaps", nargs="+", metavar="HEATMAPS")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()
    model = onnx.load(arguments.model)
    onnx.checker.check_model(model, full_check=True)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    session = onnxruntime.InferenceSession(arguments.model, providers=["CPUExecutionProvider"])
    [input], [output] = session.get_inputs(), session.get_outputs()
    batch = input.shape[0]
    stage = f"{properties['stage']}." if "stage" in properties else ""
    files = [load_file(path) for path in arguments.heatmaps]
    images, expected = ([file[f"{stage}{what}"] for file in files] for what in ("image", "heatmaps"))
    pairs = list(zip(arguments.heatmaps, images, expected))
    if isinstance(batch, str) and len(files) > 1:
        pairs.append(("all together", np.concatenate(images), np.concatenate(expected)))
    worst = 0.0
    for name, image, heatmaps in pairs:
        # A model of a fixed number of images takes so many at once.
        parts = [image] if isinstance(batch, str) else np.split(image, len(image) // batch)
        found = np.concatenate([session.run([output.name], {input.name: part})[0] for part in parts])
        if found.shape != heatmaps.shape:
            sys.exit(f"{name}: heatmaps of shape {found.shape} instead of {heatmaps.shape}")
        highest = float(np.abs(heatmaps).max())
        difference = float(np.abs(found - heatmaps).max()) / max(1.0, highest)
        worst = max(worst, difference)
        print(f"{name}: {list(found.shape)}, largest value {highest:.2g}, largest difference {difference:.1e}")
        if not difference <= arguments.tolerance:
            sys.exit(f"{name}: heatmaps differ by {difference}, more than {arguments.tolerance}")
    print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}, {len(model.graph.node)} operators: "
          f"largest difference {worst:.1e}")


if __name__ == "__main__":
    main()
