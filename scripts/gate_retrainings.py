#!/usr/bin/env python3
"""Draws sixes of seeds from the trainings of `gate_retrainings.sh` and counts the verdicts of `sweep check`.

    scripts/gate_retrainings.py SWEEP FOLDER [--checks 100]

A check compares six trainings of each configuration with the baseline of six others, seed by seed in the order drawn.
"""

import argparse
import collections
import csv
import json
import random
import re
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

SEEDS = 6
VERDICTS = {0: "pass", 1: "fail", 3: "inconclusive"}
WORSE = ["pass", "inconclusive", "fail"]


def trials(sweep):
    """Folders of trials by seed, and their errors by configuration."""
    of_seed, errors = collections.defaultdict(list), collections.defaultdict(list)
    for row in csv.DictReader((sweep / "summary.csv").open()):
        configuration, seed = re.match(r"(.*)-seed(\d+)-", row["trial"]).groups()
        of_seed[int(seed)].append(row["trial"])
        errors[configuration].append(float(row["best_val_mre_mm"]))
    return of_seed, errors


def drawn(sweep, of_seed, seeds, folder):
    """A copy of the sweep with these seeds alone."""
    names = [name for seed in seeds for name in of_seed[seed]]
    for name in names:
        shutil.copytree(sweep / "trials" / name, folder / "trials" / name)
    text = (sweep / "sweep.toml").read_text()
    text = re.sub(r"^seeds = \[.*?\]", f"seeds = {list(seeds)}", text, count=1, flags=re.M | re.S)
    text = re.sub(r"^trials = \[.*?\]", f"trials = {json.dumps(names)}", text, count=1, flags=re.M | re.S)
    (folder / "sweep.toml").write_text(text)
    return folder


def check(program, run, base, run_seeds, base_seeds):
    """The verdicts on the run, as a whole and by configuration, against the baseline of the other, each seed against the one in
    its place. A sweep is its folder and its trials by seed."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        drawn(*run, run_seeds, folder / "run")
        drawn(*base, base_seeds, folder / "base")
        path = folder / "baseline.json"
        subprocess.run([program, "baseline", folder / "base", "--output", path], check=True, capture_output=True)
        baseline = json.loads(path.read_text())
        for configuration in baseline["configurations"]:
            seeds = configuration["seeds"]
            configuration["seeds"] = {str(to): seeds[str(of)] for to, of in zip(run_seeds, base_seeds)}
        path.write_text(json.dumps(baseline))
        command = [program, "check", folder / "run", "--baseline", path, "--json"]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in VERDICTS:
        raise SystemExit(done.stderr)
    of_configuration = collections.defaultdict(list)
    for test in json.loads(done.stdout)["tests"]:
        of_configuration[test["configuration"]].append(test["verdict"])
    worst = {name: max(verdicts, key=WORSE.index) for name, verdicts in of_configuration.items()}
    return {"all": VERDICTS[done.returncode], **worst}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--checks", type=int, default=100)
    flags = arguments.parse_args()
    again, worse = flags.folder / "again", flags.folder / "worse"
    of_seed = {}
    for sweep in (again, worse):
        of_seed[sweep], of_configuration = trials(sweep)
        for configuration, errors in of_configuration.items():
            mean, spread = statistics.mean(errors), statistics.stdev(errors)
            print(f"{sweep.name}: {configuration} {mean:.3f} mm, seeds differ by {spread:.3f} mm ({len(errors)} seeds)")
    draw = random.Random(0)
    for sweep in (again, worse):
        counts = collections.defaultdict(collections.Counter)
        for _ in range(flags.checks):
            base = draw.sample(sorted(of_seed[again]), SEEDS)
            others = [seed for seed in sorted(of_seed[sweep]) if sweep == worse or seed not in base]
            run = draw.sample(others, SEEDS)
            verdicts = check(flags.program, (sweep, of_seed[sweep]), (again, of_seed[again]), run, base)
            for name, verdict in verdicts.items():
                counts[name][verdict] += 1
        for name, of in counts.items():
            print(f"{sweep.name}, {name}: " + ", ".join(f"{of[verdict]} {verdict}" for verdict in WORSE))


if __name__ == "__main__":
    main()
