"""`sweep predict` and the same in onnxruntime, OpenVINO and PyTorch, in turn, as ratios. Run it by scripts/bench-predict.sh.

Every side starts with the files of pictures and ends with a CSV file of landmarks: reading, resizing, both stages of a network
of two, decoding are part of it. Peers are scripts/peer/predict.py with the models of `sweep export onnx`, or with the checkpoint
in PyTorch. For every network and number of threads each peer first tries its settings one after the other and keeps what is
faster (WAYS); then it takes turns with ours, A B A B …, each turn a process of its own.

cold: one picture, from the start of the process to its end, in milliseconds of the clock and of processors.
warm: a hundred pictures in one process, milliseconds a picture without the first batch. Ours is the difference of two
processes, of a hundred and of one picture; peers time themselves from the end of the first batch, which leaves out what a
library does once.

Landmarks of both sides are compared: a setting whose median distance from ours is above --agree pixels (--agree-bf16 in bf16)
does not count, and a peer with no other fails the measurement. Two-stage networks predict as `sweep predict` does by default, by the second stage,
with its second look at landmarks far from the middle of their crop.
"""

import argparse
import csv
import json
import math
import os
import sys
import tempfile
from pathlib import Path

from measure import best_checkpoint, describe, heading, middle, program, ratio, remark, turn

HERE = Path(__file__).resolve().parent
TWO_STAGES = HERE.parent / "results/examples/two-stage/best.safetensors"
PACKAGES = ["torch", "onnxruntime", "openvino", "numpy", "pillow", "opencv-python-headless"]
BATCH = 4  # pictures at once, where several are tried

# Pictures to train on and epochs: enough for peaks that both sides find.
TRAINING = """name = "unet"
seeds = [0]
[trial]
epochs = {epochs}
batch_size = 4
dataset = {{ name = "phantom", train = {train}, val = 10, height = 800, width = 640, seed = 1 }}
input = {{ height = 200, width = 160 }}
heatmap = {{ name = "gaussian", sigma = 1.5 }}
model = {{ name = "unet++", filters = [16, 32, 64, 128, 256] }}
loss = {{ name = "nll" }}
decode = {{ name = "soft-argmax", reach = 8 }}
optimizer = {{ name = "adamw", lr = 1e-3 }}
schedule = {{ name = "one-cycle" }}
"""

# Each peer's settings to begin with, and changes to try one after the other, cold and warm. Less precise arithmetic than ours
# has a row of its own.
PEERS = {
    "onnxruntime": {"library": "onnxruntime", "spin": 1, "prepared": 0},
    "OpenVINO": {"library": "openvino", "precision": "f32", "cache": ""},
    "OpenVINO bf16": {"library": "openvino", "precision": "bf16", "cache": ""},
    "PyTorch": {"library": "torch", "precision": "fp32", "mode": "channels_last", "freezing": 0},
    "PyTorch bf16": {"library": "torch", "precision": "bf16", "mode": "channels_last", "freezing": 0},
}
WAYS = {
    "onnxruntime": {"cold": [{"prepared": 1}, {"spin": 0}], "warm": [{"prepared": 1}, {"spin": 0}]},
    "openvino": {"cold": [{"cache": "cache"}], "warm": []},
    "torch": {"cold": [{"mode": "nchw"}], "warm": [
        {"mode": "nchw"}, {"mode": "compile"}, {"mode": "compile", "freezing": 1}, {"mode": "compile nchw", "freezing": 1}]},
}
COMMON = {"reader": "pillow", "batch": 1, "lanes": 1}


def changes(library, what, threads):
    """Settings to try, after those of the library: another reader, several pictures in a batch, several at once."""
    yield from WAYS[library][what]
    yield {"reader": "opencv"}
    if what == "warm":
        yield {"batch": BATCH}
        if threads > 1:
            yield {"lanes": threads}


def landmarks(text):
    return {(row["image"], row["landmark"]): (float(row["x"]), float(row["y"])) for row in csv.DictReader(text)}


def distance(ours, theirs):
    """Median distance of the landmarks that both found, which are all, in pixels."""
    ours, theirs = landmarks(ours), landmarks(theirs)
    if not theirs or not theirs.keys() <= ours.keys():
        raise RuntimeError("the peer found other landmarks")
    return middle(math.dist(ours[key], theirs[key]) for key in theirs)


def allowed(a, settings):
    """Pixels that landmarks may be apart."""
    return a.agree_bf16 if settings.get("precision") == "bf16" else a.agree


class Network:
    """A checkpoint with its exported models, and the peers' settings that follow from it."""

    def __init__(self, name, checkpoint, work, sweep):
        self.name, self.checkpoint = name, checkpoint
        description = describe(checkpoint)
        config = description["config"]
        model, decode = config["model"], config["decode"]
        if decode["name"] != "soft-argmax" or config["loss"]["name"] != "nll" or config.get("standardise"):
            sys.exit(f"{checkpoint}: the peers read logits by soft-argmax alone")
        size = lambda of: [of["height"], of["width"]]
        names = description["landmarks"]
        self.settings = {"names": names, "landmarks": len(names), "sizes": [size(config["input"])], "reach": decode["reach"],
                         "checkpoint": str(checkpoint), "scripts": str(HERE)}
        stages = [""]
        if model["name"] == "two-stage":
            self.settings["sizes"].append(size(model["size"]))
            self.settings |= {"crop": model["crop"], "jitter": model["jitter"]}
            stages = [".coarse", ".fine"]
        for batch in {1, BATCH, len(names)}:
            turn([sweep, "export", "onnx", checkpoint, "--batch", batch, "--output", work / f"{name}{batch}.onnx"])
        # Every crop of a picture in one pass of the fine stage.
        file = lambda stage, batch: str(work / f"{name}{len(names) if stage == '.fine' else batch}{stage}.onnx")
        self.models = {batch: [file(stage, batch) for stage in stages] for batch in (1, BATCH)}

    def peer(self, settings, files, output):
        """A turn of a peer: the process, and milliseconds a picture after the first batch."""
        settings = {**self.settings, **settings, "models": self.models[settings["batch"]], "output": str(output)}
        threads = settings["threads"] // settings["lanes"]
        env = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1", "TORCHINDUCTOR_FREEZING": str(settings.get("freezing", 0)),
               "TORCHINDUCTOR_CACHE_DIR": str(output.parent / "inductor")}
        done = turn([sys.executable, HERE / "peer/predict.py", json.dumps(settings), *files], env)
        said = json.loads(done.output.splitlines()[-1]) if done.output else {"pictures": 0}
        return done, 1e3 * said["seconds"] / said["pictures"] if said["pictures"] else math.nan


def ours(a, network, threads, files, output):
    return turn([a.sweep, "predict", "--checkpoint", network.checkpoint, "--threads", threads, "--output", output, *files])


def tuned(a, network, peer, what, threads, files, expected, work):
    """A peer's best settings for a kind of turn, as far as they agree with ours."""

    limit = allowed(a, PEERS[peer])

    def milliseconds(settings):
        output = work / "tried.csv"
        if settings.get("prepared"):
            network.peer({**settings, "prepared": 0, "prepare": 1}, files[:1], output)
        times = []
        for _ in range(3 if what == "cold" else 1):
            done, warm = network.peer(settings, files, output)
            times.append(1e3 * done.wall if what == "cold" else warm)
        with open(output) as found:
            apart = distance(expected, found)
        if apart > limit:
            remark(f"  {peer}, {in_words(settings)}: {apart:.2f} px from ours, does not count")
            return math.inf
        # The first turn fills caches that the others find.
        return middle(times[1:] or times)

    best = {**COMMON, **PEERS[peer], "threads": threads}
    least = milliseconds(best)
    remark(f"  {peer}, {what}, {threads} threads: {least:.1f} ms")
    for change in changes(best["library"], what, threads):
        if "cache" in change:
            change = {"cache": str(work / "cache")}
        try:
            found = milliseconds({**best, **change})
        except RuntimeError as error:
            # torch.compile does not take every network in every way.
            remark(f"    {change}: {str(error)[-200:]}")
            continue
        remark(f"    {change}: {found:.1f} ms")
        if found < least:
            best, least = {**best, **change}, found
    if math.isinf(least):
        sys.exit(f"{network.name}: landmarks of {peer} are not ours, so nothing can be compared")
    return best


def in_words(settings):
    """A peer's settings as its user would tell them."""
    words = [settings["mode"]] if "mode" in settings else []
    if settings.get("freezing"):
        words.append("frozen")
    if "spin" in settings:
        words.append("spinning" if settings["spin"] else "no spinning")
    if settings.get("prepared"):
        words.append("optimised model saved before")
    if settings.get("cache"):
        words.append("model cache")
    words.append(settings["reader"])
    if settings["batch"] > 1:
        words.append(f"batch {settings['batch']}")
    if settings["lanes"] > 1:
        words.append(f"{settings['lanes']} at once")
    return ", ".join(words)


def compare(a, work):
    pictures = work / "pictures"
    turn([a.sweep, "data", "synth", pictures, "--train", a.pictures - 1, "--val", 1])
    files = sorted(pictures.rglob("*.png"))
    if len(files) != a.pictures:
        sys.exit(f"{len(files)} pictures in {pictures}, not {a.pictures}")
    networks = []
    if "UNet++" in a.networks:
        definition = work / "unet.toml"
        definition.write_text(TRAINING.format(epochs=a.epochs, train=a.train))
        turn([a.sweep, "run", definition, "--results", work / "results", "--quiet"])
        networks.append(Network("UNet++ 16-256", best_checkpoint(work / "results"), work, a.sweep))
    if "two-stage" in a.networks:
        networks.append(Network("two-stage", TWO_STAGES, work, a.sweep))
    print(heading(a.sweep, PACKAGES))
    print(f"\nPhantoms of 640 × 800 pixels, PNG; medians of {a.pairs} pairs; ratios are the peer's by ours, with their least and "
          f"greatest; fp32, but for peers said to be in bf16. cold: one picture, a whole process. warm: a picture of {a.pictures} in "
          "one process. Memory: peak of the resident set. Apart: median distance of both sides' landmarks, in pixels of the picture.\n")
    print("| network | threads | what | peer | its best settings | ms, ours : peer | ratio | CPU ms, ours : peer | ratio "
          "| MiB, ours : peer | ratio | apart, px |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for network in networks:
        for threads in a.threads:
            expected = work / "expected.csv"
            ours(a, network, threads, files, expected)
            for peer in a.peers:
                for what in ("cold", "warm"):
                    some = files[:1] if what == "cold" else files[: a.tune]
                    settings = tuned(a, network, peer, what, threads, some, expected.open().readlines(), work)
                    pairs, apart = [], 0.0
                    for _ in range(a.pairs):
                        pair, theirs = one_pair(a, network, settings, what, threads, files, work)
                        apart = max(apart, distance(expected.open(), theirs.open()))
                        pairs.append(pair)
                    if apart > allowed(a, settings):
                        sys.exit(f"{network.name}: {peer} is {apart:.2f} px from ours, so nothing can be compared")
                    row = [network.name, threads, what, peer, in_words(settings), *cells(pairs), f"{apart:.2f}"]
                    print(f"| {' | '.join(map(str, row))} |", flush=True)


def one_pair(a, network, settings, what, threads, files, work):
    """Milliseconds, processors' milliseconds and MiB of ours and of the peer, and the peer's landmarks."""
    mine, theirs = work / "ours.csv", work / "peer.csv"
    theirs.unlink(missing_ok=True)
    one = ours(a, network, threads, files[:1], mine)
    if what == "cold":
        done, _ = network.peer(settings, files[:1], theirs)
        return [(one.wall * 1e3, done.wall * 1e3), (one.cpu * 1e3, done.cpu * 1e3), (one.memory, done.memory)], theirs
    many = ours(a, network, threads, files, mine)
    done, warm = network.peer(settings, files, theirs)
    first, _ = network.peer(settings, files[: settings["batch"]], theirs.with_suffix(".first"))
    each, rest = 1e3 / (len(files) - 1), 1e3 / (len(files) - settings["batch"])
    return [((many.wall - one.wall) * each, warm), ((many.cpu - one.cpu) * each, (done.cpu - first.cpu) * rest),
            (many.memory, done.memory)], theirs


def cells(pairs):
    """Of every measure the medians of both sides and their ratio."""
    cell = []
    for number, digits in zip(range(3), (1, 1, 0)):
        both = [pair[number] for pair in pairs]
        mine, theirs = (middle(side) for side in zip(*both))
        cell += [f"{mine:.{digits}f} : {theirs:.{digits}f}", ratio(both)]
    return cell


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", default=os.environ.get("SWEEP", "target/release/sweep"), type=program)
    parser.add_argument("--networks", nargs="+", default=["UNet++", "two-stage"], choices=["UNet++", "two-stage"])
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=100, help="in the folder")
    parser.add_argument("--tune", type=int, default=24, help="pictures on which settings are tried")
    parser.add_argument("--agree", type=float, default=0.5, help="pixels of the picture that both sides' landmarks may be apart")
    parser.add_argument("--agree-bf16", type=float, default=2.0, help="the same of less precise arithmetic than ours")
    parser.add_argument("--epochs", type=int, default=6, help="of the UNet++")
    parser.add_argument("--train", type=int, default=40, help="pictures that train the UNet++")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-predict-") as work:
        compare(arguments, Path(work))


if __name__ == "__main__":
    main()
