"""The same sweep by `sweep run` and by Hydra, joblib and PyTorch, in turn. Run it by scripts/bench-sweep.sh.

2 networks × 2 batch sizes × 2 losses × 3 seeds: 24 trials on phantoms that are exported to files first. Both sides read the
files, train without augmentation, evaluate the landmark error in millimetres after every epoch, and write it with a checkpoint.
The peer is scripts/peer/trial.py: data in memory, channels_last, fused AdamW, workers that stay for the next trial. Each side
takes the better of its splits of the cores, tried on one seed; then they take turns, A B A B ….

Memory is the sum of the proportional shares (PSS) of all processes of a side, every --sample seconds. For the killed trial,
one seed runs undisturbed; then again, and at half that time the training process with the most processor time is killed
(SIGKILL), and the command that resumes follows at once, as often as results are missing. Seconds lost are what both took
longer than the undisturbed run.
"""

import argparse
import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from measure import heading, middle, program, ratio, remark, turn

HERE = Path(__file__).resolve().parent
PACKAGES = ["torch", "hydra-core", "hydra-joblib-launcher", "joblib", "numpy", "pillow"]
TICKS = os.sysconf("SC_CLK_TCK")
ATTEMPTS = 5  # commands after a kill before the peer is given up
HEIGHT, WIDTH, FILTERS, SIGMA, THRESHOLD, RATE = 100, 80, [16, 32, 64, 128], 1.5, 0.95, 1e-3
AXES = {"networks": ["unet++", "unet"], "batches": [4, 8], "losses": ["nll", "mse"]}
ONE = {"networks": ["unet++"], "batches": [4], "losses": ["nll"]}
ALIKE = 2  # ratio of both sides' errors, or of its inverse, above which they do not train alike

DEFINITION = """name = "bench"
seeds = {seeds}
[axes]
"model.name" = {networks}
batch_size = {batches}
"loss.name" = {losses}
[trial]
epochs = {epochs}
dataset = {{ name = "folder", path = {folder} }}
input = {{ height = {height}, width = {width} }}
heatmap = {{ name = "gaussian", sigma = {sigma} }}
model = {{ name = "unet++", filters = {filters}, norm = {{ name = "batch" }} }}
loss = {{ name = "nll" }}
decode = {{ name = "centroid", threshold = {threshold} }}
optimizer = {{ name = "adamw", lr = {rate}, weight_decay = 0.01 }}
schedule = {{ name = "constant" }}
"""


class Run(NamedTuple):
    """One or several commands of a side, from the first one's start to the last one's end."""

    wall: float  # seconds
    memory: float  # MiB, at its peak
    errors: list  # the least error of every trial, mm
    missing: int = 0  # results that were missing after the first command
    commands: int = 1


def trials_of(axes, seeds):
    return math.prod(map(len, axes.values())) * seeds


def processes(root):
    """The processes of a tree with their processor time in seconds."""
    parents, times = {}, {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents[int(entry)] = int(fields[1])
        times[int(entry)] = (int(fields[11]) + int(fields[12])) / TICKS
    found, new = [], [root] if root in times else []
    while new:
        found += new
        new = [pid for pid, parent in parents.items() if parent in new]
    return {pid: times[pid] for pid in found}


def share(pid):
    """Proportional share of the memory of a process, MiB."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024
    except OSError:
        return 0.0


class Side:
    """A way to run the sweep in a folder of its own."""

    def __init__(self, a, work):
        self.a, self.work, self.count = a, work, 0

    def fresh(self):
        self.count += 1
        return self.work / f"{type(self).__name__}{self.count}"

    def command(self, command, env, log, kill_after=None):
        """Runs a command to its end: seconds, peak memory, exit code."""
        began, peak = time.perf_counter(), 0.0
        with open(log, "ab") as output:
            child = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                     env={**os.environ, **env})
            ended = threading.Event()

            def watch():
                nonlocal peak
                killed = kill_after is None
                while not ended.wait(self.a.sample):
                    tree = processes(child.pid)
                    peak = max(peak, sum(map(share, tree)))
                    if not killed and time.perf_counter() - began >= kill_after:
                        training = {pid: seconds for pid, seconds in tree.items() if pid != child.pid or self.root_trains}
                        if training:
                            os.kill(max(training, key=training.get), signal.SIGKILL)
                            killed = True

            watcher = threading.Thread(target=watch)
            watcher.start()
            code = child.wait()
            wall = time.perf_counter() - began
            ended.set()
            watcher.join()
        return wall, peak, code

    def run(self, split, seeds, kill_after=None, axes=AXES, epochs=None):
        self.axes, self.epochs = axes, epochs or self.a.epochs
        folder = self.fresh()
        folder.mkdir()
        log = folder / "log.txt"
        wall, memory, code = self.command(*self.start(folder, split, seeds), log, kill_after)
        expected = trials_of(axes, seeds)
        missing, commands = expected - len(self.errors(folder)), 1
        if kill_after is None and (code or missing):
            sys.exit(f"{type(self).__name__} ended with {code}, {missing} results missing: {log.read_text()[-2000:]}")
        while len(self.errors(folder)) < expected:
            if commands > ATTEMPTS:
                sys.exit(f"{type(self).__name__}: results are still missing: {log.read_text()[-2000:]}")
            more, peak, _ = self.command(*self.start(folder, split, seeds, again=True), log)
            wall, memory, commands = wall + more, max(memory, peak), commands + 1
        errors = self.errors(folder)
        shutil.rmtree(folder)
        return Run(wall, memory, errors, missing, commands)


class Ours(Side):
    root_trains = False

    def start(self, folder, split, seeds, again=False):
        definition = folder / "bench.toml"
        definition.write_text(DEFINITION.format(
            seeds=list(range(seeds)), **{axis: json.dumps(values) for axis, values in self.axes.items()}, epochs=self.epochs,
            folder=json.dumps(str(self.work / "set")), height=HEIGHT, width=WIDTH, sigma=SIGMA, filters=FILTERS,
            threshold=THRESHOLD, rate=RATE))
        jobs, threads = split
        command = [self.a.sweep, "run", definition, "--results", folder / "results", "--jobs", jobs, "--threads", threads]
        return command + (["--retry-failed"] if again else []), {}

    def errors(self, folder):
        found = []
        for trial in folder.glob("results/bench/trials/*"):
            status = json.loads((trial / "status.json").read_text())
            if status["state"] == "done":
                found.append(least(trial / "epochs.csv"))
        return found


class Peer(Side):
    # Where joblib runs one job at a time, it does so in the process itself.
    root_trains = True

    def start(self, folder, split, seeds, again=False):
        jobs, threads = split
        axes = {"model.name": self.axes["networks"], "batch_size": self.axes["batches"], "loss": self.axes["losses"],
                "seed": range(seeds)}
        command = [sys.executable, HERE / "peer/train.py", "--multirun", f"data={self.work / 'set'}", f"results={folder / 'results'}",
                   f"height={HEIGHT}", f"width={WIDTH}", f"sigma={SIGMA}", f"threshold={THRESHOLD}", f"lr={RATE}",
                   f"model.filters={json.dumps(FILTERS, separators=(',', ':'))}", f"epochs={self.epochs}", f"threads={threads}",
                   f"hydra.launcher.n_jobs={jobs}", *(f"{key}={','.join(map(str, values))}" for key, values in axes.items())]
        return command, {"OMP_NUM_THREADS": str(threads)}

    def errors(self, folder):
        return [least(done.parent / "epochs.csv") for done in folder.glob("results/*/done")]


def least(epochs):
    with open(epochs, newline="") as file:
        return min(float(row["val_mre_mm"]) for row in csv.DictReader(file) if row["val_mre_mm"] not in ("", "nan"))


def best_split(side, a):
    """The faster split of the cores into jobs and threads, on one seed."""
    times = {split: side.run(split, 1).wall for split in a.splits}
    remark("  " + type(side).__name__ + ": " + ", ".join(f"{j} × {t}: {seconds:.1f} s" for (j, t), seconds in times.items()))
    return min(times, key=times.get)


def compare(a, work):
    turn([a.sweep, "data", "synth", work / "set", "--train", a.train, "--val", a.val, "--height", 800, "--width", 640])
    sides = [Ours(a, work), Peer(a, work)]
    splits = [best_split(side, a) for side in sides]
    print(heading(a.sweep, PACKAGES))
    trials = trials_of(AXES, a.seeds)
    print(f"\n{trials} trials of {a.epochs} epochs, {a.train} training and {a.val} validation images, 640 × 800 pixels in files, input "
          f"{WIDTH} × {HEIGHT}; medians of {a.pairs} pairs; ratios with their least and greatest. Jobs × threads: ours "
          f"{splits[0][0]} × {splits[0][1]}, the peer's {splits[1][0]} × {splits[1][1]}, each side's best of "
          f"{', '.join(f'{j} × {t}' for j, t in a.splits)}.\n")
    print("| | ours | Hydra, joblib, PyTorch | ratio |")
    print("|---|---|---|---|")
    pairs = [[side.run(split, a.seeds) for side, split in zip(sides, splits)] for _ in range(a.pairs)]

    def line(what, value, against, digits):
        both = [tuple(value(run) for run in pair) for pair in pairs]
        mine, theirs = (middle(side) for side in zip(*both))
        told = ratio(both if against == "theirs" else [pair[::-1] for pair in both])
        print(f"| {what} | {mine:.{digits}f} | {theirs:.{digits}f} | {told} |", flush=True)

    line("trials an hour (ours by theirs)", lambda run: trials * 3600 / run.wall, "ours", 0)
    line("seconds (theirs by ours)", lambda run: run.wall, "theirs", 1)
    line("peak memory, MiB (theirs by ours)", lambda run: run.memory, "theirs", 0)

    # So few steps teach networks little, so one trial of each side shows that both train the same thing.
    alike = [side.run((1, threads), 1, axes=ONE, epochs=a.proof_epochs).errors[0] for side, (_, threads) in zip(sides, splits)]
    print(f"\nBoth train alike: UNet++, batch 4, nll, {a.proof_epochs} epochs end {alike[0]:.2f} and {alike[1]:.2f} mm off.")
    if not 1 / ALIKE <= alike[0] / alike[1] <= ALIKE:
        sys.exit("these are not the same trainings, so nothing can be compared")

    if not a.kills:
        return
    print(f"\nOne trial killed, {trials // a.seeds} trials; {a.kills} time(s), in turn:\n")
    print("| | undisturbed, s | with a kill and what follows, s | lost, s | results missing after the first command | commands |")
    print("|---|---|---|---|---|---|")
    runs = []
    for _ in range(a.kills):
        for side, split in zip(sides, splits):
            calm = side.run(split, 1)
            runs.append((side, calm, side.run(split, 1, kill_after=calm.wall / 2)))
    for side, name in zip(sides, ("ours", "Hydra, joblib, PyTorch")):
        mine = [(calm, killed) for of, calm, killed in runs if of is side]
        lost = [killed.wall - calm.wall for calm, killed in mine]
        print(f"| {name} | {middle(calm.wall for calm, _ in mine):.1f} | {middle(killed.wall for _, killed in mine):.1f} "
              f"| **{middle(lost):.1f}** ({min(lost):.1f}–{max(lost):.1f}) | {middle(killed.missing for _, killed in mine):.0f} of "
              f"{trials // a.seeds} | {middle(killed.commands for _, killed in mine):.0f} |")


def split_of(text):
    jobs, threads = text.lower().split("x")
    return int(jobs), int(threads)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", default=os.environ.get("SWEEP", "target/release/sweep"), type=program)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--proof-epochs", type=int, default=25, help="of the trial that shows that both sides train alike")
    parser.add_argument("--train", type=int, default=32)
    parser.add_argument("--val", type=int, default=16)
    parser.add_argument("--splits", nargs="+", type=split_of, default=["2x1", "1x2"], help="jobs x threads to try")
    parser.add_argument("--sample", type=float, default=0.3, help="seconds between looks at the memory")
    arguments = parser.parse_args()
    arguments.splits = [split if isinstance(split, tuple) else split_of(split) for split in arguments.splits]
    with tempfile.TemporaryDirectory(prefix="bench-sweep-") as work:
        compare(arguments, Path(work))


if __name__ == "__main__":
    main()
