#!/usr/bin/env python3
"""How a training step grows with cores: measured with one thread and two, reckoned for more.

    scripts/scaling.py PROGRAM [--models UNet++] [--batches 1 4] [--most 16]

PROGRAM is what `cargo bench --bench profile --no-run` makes. For each kind of step the times with one thread and with two give
the share that runs in parallel (Amdahl 1967); the rest takes as long on any number of cores. Times with more threads than two
are reckoned from that share and not measured: they leave out that cores share the memory's bandwidth and their clock.
Last column: steps an hour of as many processes with two threads each as fit, against one process with all threads.
"""

import argparse
import json
import re
import subprocess

from bench_torch import NETWORKS, processor

TURNS = 3  # of each number of threads, in turn; the least of each kind counts


def kinds(program, model, batch, threads):
    """Milliseconds of each kind of step."""
    command = [program, "--model", json.dumps(model), "--batch", str(batch), "--threads", str(threads), "--repeat", "10"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = {}
    for line in lines:
        match = re.match(r"^(\S.*?)\s{2,}(?:(direct|winograd|tiles)\s+)?all\s+([0-9.]+)(\s|$)", line)
        if match:
            found[" ".join(filter(None, [match[1], match[2]]))] = float(match[3])
    return found


def least(program, model, batch):
    best = {1: {}, 2: {}}
    for _ in range(TURNS):
        for threads, of in best.items():
            for kind, ms in kinds(program, model, batch, threads).items():
                of[kind] = min(ms, of.get(kind, ms))
    return best


def parallel(one, two):
    """Share of the time with one thread that two threads halve."""
    return min(max(2 * (one - two) / one, 0.0), 1.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--models", nargs="+", default=["UNet++ 16-256", "UNet ResNet-18"], choices=list(NETWORKS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--most", type=int, default=16, help="threads to reckon for")
    a = parser.parse_args()
    counts = [2**i for i in range(2, a.most.bit_length()) if 2**i <= a.most]
    print(f"{processor('cpu')}; without loss and optimiser\n")
    print("| network | batch | 1 thread, ms | 2 threads, ms | in parallel | "
          + " | ".join(f"{n} threads, reckoned" for n in counts)
          + f" | least parallel | {a.most // 2} × 2 threads : 1 × {a.most} |")
    print("|---" * (7 + len(counts)) + "|")
    for name in a.models:
        for batch in a.batches:
            best = least(a.program, NETWORKS[name], batch)
            shares = {kind: parallel(ms, best[2].get(kind, ms)) for kind, ms in best[1].items()}
            at = lambda n: sum(ms * (1 - shares[kind] + shares[kind] / n) for kind, ms in best[1].items())
            one, two = sum(best[1].values()), sum(best[2].values())
            serial = sorted(best[1], key=lambda kind: -best[1][kind] * (1 - shares[kind]))[:2]
            worst = ", ".join(f"{kind} {best[1][kind] * (1 - shares[kind]):.1f} ms" for kind in serial)
            ratio = (a.most // 2) / at(2) * at(a.most)
            print(f"| {name} | {batch} | {one:.1f} | {two:.1f} | {100 * parallel(one, two):.0f} % | "
                  + " | ".join(f"{one / at(n):.1f} times" for n in counts) + f" | {worst} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
