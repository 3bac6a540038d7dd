#!/usr/bin/env python3
"""Runs each test of hostile input by itself and prints its processor time and the most memory that any of its processes had.

    scripts/attack_table.py [TEST_BINARY]

The binary is that of `cargo test --release --test it --no-run`. Each test first trains a tiny sweep, whose 60 MiB and seconds
are part of its row; every command on hostile input has 1 GiB of address space and 60 s of processor time.
"""

import os
import resource
import subprocess
import sys
from pathlib import Path


def binary():
    """The newest test binary."""
    found = Path("target/release/deps").glob("it-*")
    programs = [path for path in found if not path.suffix and os.access(path, os.X_OK)]
    return str(max(programs, key=lambda path: path.stat().st_mtime))


def measure(program, test):
    """Prints a test's exit code, its seconds of processor time and its peak memory in MiB, from a process of its own."""
    child = os.fork()
    if child == 0:
        done = subprocess.run([program, "--exact", test], capture_output=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"{test}\t{done.returncode}\t{used.ru_utime + used.ru_stime:.1f}\t{used.ru_maxrss / 1024:.0f}", flush=True)
        os._exit(0)
    os.waitpid(child, 0)


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else binary()
    listed = subprocess.run([program, "hostile", "--list"], capture_output=True, text=True, check=True).stdout
    print("test\texit code\tprocessor s\tpeak MiB")
    for line in listed.splitlines():
        if line.endswith(": test"):
            measure(program, line.removesuffix(": test"))


if __name__ == "__main__":
    main()
