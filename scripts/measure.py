"""What the scripts that measure `sweep` against its peers share: turns, ratios, versions. Standard library alone.

The memory of a child begins with that of the process that starts it, so these scripts import nothing large.
"""

import importlib.metadata
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench_torch import processor


class Turn(NamedTuple):
    """A process from its start to its end."""

    wall: float  # seconds
    cpu: float  # seconds, of it and of its children
    memory: float  # MiB, at its peak
    output: str  # standard output


def turn(command, env=None, cwd=None, accept=(0,)):
    """Runs a command. Its output goes to files, so that it waits for nobody."""
    command = [str(part) for part in command]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd=cwd,
                                 env={**os.environ, **(env or {})})
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if child.returncode not in accept:
            last = errors.read().decode(errors="replace").strip().splitlines()[-3:]
            raise RuntimeError(f"{' '.join(command[:4])} … ended with {child.returncode}: {' / '.join(last)}")
        return Turn(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output.read().decode(errors="replace"))


def ratio(pairs, digits=2):
    """The median of ratios with the least and the greatest: of every pair its second number by its first."""
    ratios = [theirs / ours for ours, theirs in pairs]
    return f"**{statistics.median(ratios):.{digits}f}** ({min(ratios):.{digits}f}–{max(ratios):.{digits}f})"


def middle(numbers):
    return statistics.median(numbers)


def program(path):
    """The path of `sweep` for a command that runs elsewhere."""
    if not os.access(path, os.X_OK):
        sys.exit(f"there is no program {path}: build it, or name one with --sweep or SWEEP")
    return str(Path(path).resolve())


def version(sweep):
    return subprocess.run([sweep, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def heading(sweep, packages):
    """Date, CPU and versions."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"without {package}")
    return (f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores of {processor('cpu')}, {version(sweep)}, "
            f"Python {sys.version.split()[0]}, {', '.join(found)}")


def describe(checkpoint):
    """What a checkpoint of `sweep` says about itself."""
    with open(checkpoint, "rb") as file:
        [length] = struct.unpack("<Q", file.read(8))
        return json.loads(json.loads(file.read(length))["__metadata__"]["landmark-sweep"])["description"]


def best_checkpoint(results):
    [found] = Path(results).glob("*/trials/*/best.safetensors")
    return found


def remark(text):
    print(text, file=sys.stderr, flush=True)
