"""Milliseconds from the start of a command to its end: `sweep`'s, beside those of programs with a like task.

Every command runs once to fill the page cache, then all take turns, A B C A B C …. Where the machine counts instructions (perf),
they are said as well. Run it by scripts/bench-cold.sh. Programs that are not installed are left out and named. The trackers hold as many
runs as the sweep has trials.
"""

import argparse
import importlib.util
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import heading, middle, program, remark, turn

HERE = Path(__file__).resolve().parent
PACKAGES = ["torch", "onnxruntime", "mlflow", "tensorboard", "wandb", "dvc", "hydra-core"]
DEFINITION = """name = "cold"
seeds = {seeds}
[trial]
epochs = 3
batch_size = 4
dataset = {{ name = "phantom", train = 12, val = 10, height = 800, width = 640 }}
input = {{ height = 200, width = 160 }}
heatmap = {{ name = "gaussian", sigma = 1.5 }}
model = {{ name = "unet++", filters = [16, 32, 64, 128, 256] }}
loss = {{ name = "nll" }}
"""
MLFLOW_RUNS = """import sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("cold")
for seed in range(int(sys.argv[2])):
    with mlflow.start_run(run_name=f"seed{seed}"):
        mlflow.log_param("seed", seed)
        for epoch in range(3):
            mlflow.log_metric("mre", 1.0 / (1 + epoch), step=epoch)
"""
# A program that does nothing, by Hydra: what its command line alone costs.
HYDRA = """import hydra
@hydra.main(version_base=None)
def main(config):
    pass
main()
"""


def installed(name):
    """A program of this Python's environment, or of the path."""
    here = Path(sys.executable).with_name(name)
    return str(here) if here.exists() else shutil.which(name)


def ours(a, work):
    """Commands of `sweep` by name, on a sweep of a few trials."""
    definition = work / "cold.toml"
    definition.write_text(DEFINITION.format(seeds=list(range(a.trials))))
    turn([a.sweep, "run", definition, "--results", work / "results", "--quiet"])
    turn([a.sweep, "data", "synth", work / "pictures", "--train", 1, "--val", 1])
    results = work / "results/cold"
    checkpoint = sorted(results.glob("trials/*/best.safetensors"))[0]
    picture = sorted((work / "pictures").rglob("*.png"))[0]
    return {
        "sweep --version": [a.sweep, "--version"],
        "sweep --help": [a.sweep, "--help"],
        f"sweep status, {a.trials} trials": [a.sweep, "status", results],
        f"sweep report, {a.trials} trials": [a.sweep, "report", results],
        "sweep predict, one picture": [a.sweep, "predict", "--checkpoint", checkpoint, picture],
    }


def peers(a, work):
    """Commands of other programs by name; None where a program is not installed."""
    # No reports home, no look for updates: they would take longer.
    python, env = sys.executable, {"MLFLOW_DISABLE_TELEMETRY": "true", "WANDB_MODE": "offline", "DVC_NO_ANALYTICS": "1"}
    hydra, repository = work / "app.py", work / "dvc"
    hydra.write_text(HYDRA)
    store = f"sqlite:///{work / 'mlflow.db'}"
    found = {
        "python -c pass": [python, "-c", "pass"],
        "python -c 'import numpy'": [python, "-c", "import numpy"],
        "python -c 'import torch'": [python, "-c", "import torch"],
        "python -c 'import onnxruntime'": [python, "-c", "import onnxruntime"],
        "hydra, --help of an empty program": [python, hydra, "--help"],
    }
    for name in ("mlflow", "tensorboard", "wandb", "dvc"):
        found[f"{name} --version"] = [installed(name), "--version"] if installed(name) else None
    if installed("mlflow"):
        env["MLFLOW_TRACKING_URI"] = store
        turn([python, "-c", MLFLOW_RUNS, store, a.trials], cwd=work)
        found[f"mlflow runs list, {a.trials} runs"] = [installed("mlflow"), "runs", "list", "--experiment-id", "1"]
    if installed("tensorboard"):
        turn([a.sweep, "export", "tensorboard", work / "results/cold", work / "events"])
        found[f"tensorboard --inspect, {a.trials} runs"] = [installed("tensorboard"), "--inspect", "--logdir", work / "events"]
    if installed("dvc") and shutil.which("git"):
        repository.mkdir()
        dvc = installed("dvc")
        for command in (["git", "init", "-q"], [dvc, "init", "-q"], [dvc, "config", "core.check_update", "false"]):
            turn(command, env, repository)
        found["dvc status, an empty repository"] = [installed("dvc"), "--cd", repository, "status"]
    return found, env


def instructions(command, env):
    """Instructions of a command in user mode, in millions; None where they cannot be counted."""
    if not shutil.which("perf"):
        return None
    done = subprocess.run(["perf", "stat", "-x,", "-e", "instructions:u", "--", *map(str, command)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, **env})
    counts = [line.split(",")[0] for line in done.stderr.splitlines() if "instructions" in line]
    return int(counts[-1]) / 1e6 if counts and counts[-1].isdigit() else None


def compare(a, work):
    mine = ours(a, work)
    theirs, env = peers(a, work)
    for name in [name for name, command in theirs.items() if command is None]:
        remark(f"not installed: {name}")
        del theirs[name]
    commands, counted = {**mine, **theirs}, {}
    for name, command in list(commands.items()):
        try:
            turn(command, env, work)
        except RuntimeError as error:
            remark(f"left out: {name}: {error}")
            del commands[name]
            continue
        counted[name] = instructions(command, env)
    turns = {name: [] for name in commands}
    for _ in range(a.runs):
        for name, command in commands.items():
            turns[name].append(turn(command, env, work))
    print(heading(a.sweep, PACKAGES))
    print(f"\nMedians of {a.runs} runs, with the least and the greatest; files are in the page cache. CPU: processors' "
          "time, user and system. The memory of what is smaller than the Python that starts it is not known.\n")
    print("| command | ms | CPU, ms | memory, MiB | instructions, millions |")
    print("|---|---|---|---|---|")
    least = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for name, runs in turns.items():
        walls, memory = [1e3 * run.wall for run in runs], middle(run.memory for run in runs)
        count = counted[name]
        print(f"| `{name}` | **{middle(walls):.1f}** ({min(walls):.1f}–{max(walls):.1f}) "
              f"| {middle(1e3 * run.cpu for run in runs):.1f} | {f'{memory:.0f}' if memory > least else f'< {least:.0f}'} "
              f"| {f'{count:.0f}' if count else 'not counted'} |")
    print(f"\nThe program is {Path(a.sweep).stat().st_size / 2**20:.1f} MiB, with its fonts and its page of a report. "
          f"PyTorch's folder here is {size('torch')} MiB, onnxruntime's {size('onnxruntime')}.")


def size(package):
    """MiB of an installed package's own folder."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return "?"
    files = Path(next(iter(spec.submodule_search_locations))).rglob("*")
    return f"{sum(file.lstat().st_size for file in files if file.is_file()) / 2**20:.0f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", default=os.environ.get("SWEEP", "target/release/sweep"), type=program)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--trials", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-cold-") as work:
        compare(arguments, Path(work))


if __name__ == "__main__":
    main()
