"""Counts the instructions of the GPU kernels, without a GPU: compiles and disassembles them, compares them with
scripts/gpu_budget.json, and predicts how long training steps take.

    python3 scripts/gpu_budget.py TOOLKIT [--launches FOLDER]   checks; exit code 1 names every kernel beyond its budget
    python3 scripts/gpu_budget.py TOOLKIT --launches FOLDER --profile FILE   compares a step's launches with a measurement
    python3 scripts/gpu_budget.py TOOLKIT --write               makes the kernels as they are the budget

TOOLKIT is the folder that `scripts/build-cuda toolkit` prints. FOLDER holds a file per training step, written by the test
`kernels_keep_to_their_budget` of src/engine: NETWORK WIDTHxHEIGHT BATCH PRECISION.tsv.

A prediction is no measurement. Its constants are fitted to five steps of one H200, and it gives their times within 6 %.
"""

import argparse
import collections
import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
KERNELS = HERE.parent / "src/graph/gpu/kernels"
BUDGET = HERE / "gpu_budget.json"
# A compiler of another version may schedule a few instructions otherwise.
SLACK = 1.02

# One H200: multiprocessors, clock, and bytes per second of elementwise kernels.
PROCESSORS, CLOCK, BANDWIDTH = 132, 1.98e9, 3.6e12
# Most instructions of a multiprocessor per clock, and seconds of a launch.
PER_CLOCK, LAUNCH = 2.6, 2e-6
# Clocks from one instruction of a warp to its next: of convolutions and weight gradients, by precision, and of others. Fitted to
# the sums of five profiles of one H200 (results/examples/gpu).
WAIT = {"bf16": 11.0, "tf32": 6.0, "fp32": 3.2, "other": 14.0}
# Clocks of a multiprocessor for a matrix product, by mma.sync's share of the tensor cores' peak, and for a multiply-add.
PRODUCT_CLOCKS, FMA_CLOCKS = 2048 / 1290, 32 / 128

# Assumptions that kernels are compiled with to count their usual paths (USUALLY in common.cuh): inside the map, without
# what is rare; maps of bf16 whose readers apply ReLU, or nothing; maps in single precision.
CASES = {"active": 1 | 4 | 16, "plain": 2 | 4 | 16, "wide": 1 | 8 | 16}

# Milliseconds of a forward and backward pass on an H200 (results/examples/gpu), for kernels of commit fd79646.
MEASURED = {
    "16-256 640x800 4 bf16": 17.8, "32-512 640x800 4 bf16": 41.7, "16-256 320x400 4 bf16": 6.7, "16-256 640x800 4 tf32": 28.8,
    "16-256 640x800 4 fp32": 66.5,
}  # fmt: skip


class Loop:
    """Instructions from `start` to `end`, and the loops inside."""

    def __init__(self, start, end):
        self.start, self.end, self.inner = start, end, []


def opcode(instruction):
    return re.sub(r"^@!?U?P[0-9T]+\s+", "", instruction).split()[0]


def products(instructions):
    """Matrix products, or, without any, multiply-adds."""
    names = collections.Counter(opcode(i).split(".")[0] for i in instructions)
    return names["HMMA"] or names["FFMA"]


def wavefronts(instructions):
    """Clocks for which instructions occupy shared memory, without conflicts."""
    clocks = 0
    for name in map(opcode, instructions):
        if name.startswith(("LDSM", "LDS", "STS")) and not name.startswith("LDSDEPBAR"):
            clocks += 4 if ".128" in name or ".4" in name else 2 if ".64" in name else 1
    return clocks


class Kernel:
    """A disassembled kernel."""

    def __init__(self, instructions, labels):
        while instructions and opcode(instructions[-1]) in ("NOP", "BRA"):
            instructions.pop()
        self.instructions, self.registers, self.spilled = instructions, None, None
        ends = {}
        for at, instruction in enumerate(instructions):
            jump = re.search(r"BRA.*`\((\.L_x_\d+)\)", instruction)
            if jump and labels.get(jump[1], len(instructions)) <= at:
                ends[labels[jump[1]]] = at
        self.loops, open_loops = [], []
        for start, end in sorted(ends.items()):
            loop = Loop(start, end)
            while open_loops and open_loops[-1].end < start:
                open_loops.pop()
            (open_loops[-1].inner if open_loops else self.loops).append(loop)
            open_loops.append(loop)

    def of(self, loop):
        return self.instructions[loop.start : loop.end + 1]

    def hot(self):
        """The innermost loop with most products, or the longest loop of a kernel without; None without loops."""
        every, stack = [], list(self.loops)
        while stack:
            every.append(stack.pop())
            stack += every[-1].inner
        with_products = [loop for loop in every if products(self.of(loop)) >= 8]
        if with_products:
            most = max(products(self.of(loop)) for loop in with_products)
            return min((loop for loop in with_products if products(self.of(loop)) >= 0.7 * most), key=lambda l: l.end - l.start)
        return max(every, key=lambda l: l.end - l.start, default=None)

    def counts(self):
        """What the budget holds."""
        hot = self.hot()
        body = self.of(hot) if hot else []
        found = {"registers": self.registers, "instructions": len(self.instructions), "loop": len(body)}
        if products(body):
            found["per product"] = round(len(body) / products(body), 2)
        return found

    def path(self):
        """Instructions outside loops, and of every loop without its inner ones, as a tree; each with products and clocks of
        shared memory."""

        def of(start, end, inner):
            own = []
            at = start
            for loop in inner:
                own += self.instructions[at : loop.start]
                at = loop.end + 1
            own += self.instructions[at : end + 1]
            multiplied = sum(opcode(i).split(".")[0] == kind for i in own)
            return [len(own), multiplied, wavefronts(own), [of(loop.start, loop.end, loop.inner) for loop in inner]]

        kind = "HMMA" if any(opcode(i).startswith("HMMA") for i in self.instructions) else "FFMA"

        return of(0, len(self.instructions) - 1, self.loops)


def compile_kernels(toolkit, defines=()):
    """All kernels by name."""
    with tempfile.TemporaryDirectory() as folder:
        cubin = f"{folder}/kernels.cubin"
        command = [f"{toolkit}/bin/nvcc", "-cubin", "-arch=sm_90", "-O3", "-std=c++17", "-Xptxas", "-v", *defines]
        compiled = subprocess.run([*command, "-o", cubin, KERNELS / "all.cu"], capture_output=True, text=True)
        if compiled.returncode:
            sys.exit(f"the kernels do not compile:\n{compiled.stderr}")
        text = subprocess.run([f"{toolkit}/bin/nvdisasm", "-c", cubin], capture_output=True, text=True, check=True).stdout
    kernels, instructions, labels = {}, None, None
    for line in text.splitlines():
        if section := re.match(r"\s*\.section\s+\.text\.(\w+)", line):
            instructions, labels = [], {}
            kernels[section[1]] = (instructions, labels)
        elif instructions is None:
            continue
        elif label := re.match(r"(\.L_x_\d+):", line):
            labels[label[1]] = len(instructions)
        elif found := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:\{\s*)?(.*?)\s*;", line):
            instructions.append(found[1])
    kernels = {name: Kernel(*parts) for name, parts in kernels.items()}
    entry = r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers"
    for name, stores, loads, registers in re.findall(entry, compiled.stderr, re.S):
        kernels[name].registers, kernels[name].spilled = int(registers), int(stores) + int(loads)
    return kernels


def check(kernels, budget):
    """Says what is beyond the budget."""
    wrong = []
    for name, kernel in sorted(kernels.items()):
        if kernel.spilled:
            wrong.append(f"{name} spills {kernel.spilled} bytes of registers")
        if name not in budget:
            wrong.append(f"{name} has no budget: run scripts/gpu_budget.py with --write")
            continue
        found, allowed = kernel.counts(), budget[name]["counts"]
        for what, limit in allowed.items():
            slack = 1 if what == "registers" else SLACK
            if found.get(what, 0) > limit * slack:
                wrong.append(f"{name}: {found[what]} {what}; the budget allows {limit}")
    wrong += [f"{name} is in the budget, but there is no such kernel" for name in sorted(budget.keys() - kernels.keys())]
    return wrong


def inner_trips(kernel):
    """Trips of the loops inside the main one of a weight gradient for any map: pixels and gradients that a thread stages,
    then rows of pixels; and, in single precision, where a row is a loop too, its multiply-adds."""
    parts = kernel.removesuffix("_ceiling").split("_")
    if not kernel.startswith("weight_gradient") or parts[-3] == "bf16" and parts[-1] == "3":
        return {}
    across, taps = int(parts[-2]), 1 if parts[-1] == "1" else 9
    return {"stage": [3, 2 * across], "rows": 2 * across, "products": 16 * 8 * taps}


def multiplies(node):
    return node[1] >= 8 or any(map(multiplies, node[3]))


def executed(kernel, tree, trips):
    """Instructions, products and clocks of shared memory of a warp that goes through a kernel's loops so many times: those of
    a convolution's main loop and of the one inside; of other kernels, those of each loop in their order."""
    inner = inner_trips(kernel)
    matrix = kernel.startswith(("convolve", "weight_gradient"))
    each = iter(trips)

    def total(node, depth):
        count = node[:3]
        staged = 0
        for loop in node[3]:
            if not matrix:
                times = next(each, 1)
            elif depth == 0 or not inner:
                times = trips[depth] if multiplies(loop) and depth < len(trips) else 1
            elif not multiplies(loop):
                times = inner["stage"][min(staged, 1)]
                staged += 1
            else:
                times = inner["rows"] if depth == 1 else inner["products"] / loop[1]
            count = [a + times * b for a, b in zip(count, total(loop, depth + 1))]
        return count

    return total(tree, 0)


class Launch:
    """A launch of a step: its kernel, what its warps execute, the bytes of the maps that it reads and writes, and the seconds
    that it is predicted to take."""

    def __init__(self, line, precision, budget):
        self.kernel, blocks, warps, shared, trips, active, size = line.split("\t")
        trips = [float(n) for n in trips.split(",") if n]
        paths = budget[self.kernel]["paths"]
        if precision == "bf16":
            mixed = [(float(active), paths["active"]), (1 - float(active), paths["plain"])]
        else:
            mixed = [(1.0, paths["wide"])]
        of = [0.0, 0.0, 0.0]
        for share, tree in mixed:
            if share:
                of = [a + share * b for a, b in zip(of, executed(self.kernel, tree, trips))]
        blocks, warps = float(blocks), int(warps)
        matrix = self.kernel.startswith(("convolve", "weight"))
        of_product = PRODUCT_CLOCKS if matrix and precision != "fp32" else FMA_CLOCKS
        self.instructions, self.bytes = blocks * warps * of[0], float(size)
        # Blocks run in waves, and the last wave is half empty. In a wave a warp waits for its own instructions, or all warps
        # wait for the multiprocessor.
        resident = warps * on_multiprocessor(budget[self.kernel]["counts"]["registers"], warps, int(shared))
        waves = blocks * warps / (PROCESSORS * resident)
        waves = 1.0 if waves <= 1 else waves + 0.5
        resident = min(resident, max(warps, blocks * warps / PROCESSORS))
        each = max(WAIT[precision] if matrix else WAIT["other"], resident / PER_CLOCK)
        clocks = max(waves * of[0] * each, blocks * warps * max(of[1] * of_product, of[2]) / PROCESSORS)
        self.seconds = max(clocks / CLOCK, self.bytes / BANDWIDTH) + LAUNCH


def on_multiprocessor(registers, warps, shared):
    """Blocks of so many warps, registers per thread and bytes of shared memory that fit on a multiprocessor."""
    return max(1, min(65536 // ((registers + 7) // 8 * 8 * 32 * warps), (228 << 10) // (shared + 1024), 64 // warps, 32))


def predict(lines, precision, budget):
    """Seconds of a step, by kernel."""
    seconds = collections.Counter()
    for launch in (Launch(line, precision, budget) for line in lines):
        seconds[launch.kernel] += launch.seconds
    return seconds


def compare(lines, measured, precision, budget):
    """Prints the time of each kernel in a step, as `step --profile` measured it, beside the predicted time."""
    rows, launches = collections.defaultdict(lambda: [0, 0.0, 0.0, 0.0, 0.0]), iter(lines)
    for line in measured:
        name, _, _, microseconds = line.split("\t")
        # The exchange of heads is not part of the recorded sequences.
        launch = next(launch for launch in launches if launch.split("\t")[0] == name)
        launch = Launch(launch, precision, budget)
        found = [1, float(microseconds), 1e6 * launch.seconds, launch.bytes, launch.instructions]
        rows[name] = [a + b for a, b in zip(rows[name], found)]
    print("| kernel | launches | measured, µs | predicted, µs | TB/s | instructions per clock and multiprocessor |\n|---|---|---|---|---|---|")
    rows["all"] = [sum(column) for column in zip(*rows.values())]
    for name, (count, microseconds, predicted, size, instructions) in sorted(rows.items(), key=lambda row: -row[1][1]):
        clocks = 1e-6 * microseconds * CLOCK * PROCESSORS
        print(f"| `{name}` | {count} | {microseconds:.0f} | {predicted:.0f} | {size / microseconds / 1e6:.2f} | {instructions / clocks:.2f} |")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("toolkit")
    arguments.add_argument("--launches", type=pathlib.Path)
    arguments.add_argument("--profile", type=pathlib.Path, help="what `step --profile` wrote for the step that it is named after")
    arguments.add_argument("--write", action="store_true")
    arguments.add_argument("--kernels", action="store_true", help="lists every kernel's counts, and each step by kernel")
    given = arguments.parse_args()
    if given.profile:
        precision = given.profile.stem.split(" ")[-1]
        launches = (given.launches / f"{given.profile.stem}.tsv").read_text().splitlines()
        compare(launches, given.profile.read_text().splitlines(), precision, json.loads(BUDGET.read_text()))
        return
    if given.write:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            plain = pool.submit(compile_kernels, given.toolkit)
            usual = {case: pool.submit(compile_kernels, given.toolkit, [f"-DUSUAL={bits}"]) for case, bits in CASES.items()}
        kernels = plain.result()
        usual = {case: future.result() for case, future in usual.items()}
        budget = {
            name: {"counts": kernel.counts(), "paths": {case: usual[case][name].path() for case in CASES}}
            for name, kernel in sorted(kernels.items())
        }
        lines = ",\n".join(f' "{name}": {json.dumps(entry)}' for name, entry in budget.items())
        BUDGET.write_text("{\n" + lines + "\n}\n")
    else:
        kernels = compile_kernels(given.toolkit)
        budget = json.loads(BUDGET.read_text())
    wrong = check(kernels, budget)
    if given.kernels:
        for name, kernel in sorted(kernels.items()):
            print(f"{name}: {kernel.counts()}")
    if given.launches and not any("no budget" in line or "no such kernel" in line for line in wrong):
        print("| network | input | batch | precision | predicted, ms | measured before, ms |\n|---|---|---|---|---|---|")
        for file in sorted(given.launches.glob("*.tsv")):
            network, size, batch, precision = file.stem.split(" ")
            seconds = predict(file.read_text().splitlines(), precision, budget)
            rows = "×".join(reversed(size.split("x")))
            print(f"| UNet++ {network} | {rows} | {batch} | {precision} | {1e3 * seconds.total():.1f} | {MEASURED.get(file.stem, '–')} |")
            if given.kernels:
                for kernel, time in seconds.most_common():
                    print(f"    {1e3 * time:7.3f} {kernel}")
    print("\n".join(wrong), file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
