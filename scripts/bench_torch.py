"""Training steps and evaluations of `sweep` and of PyTorch, in turn, as ratios. Run it by scripts/bench-torch.sh.

For each network, size, batch and number of threads every way of running PyTorch is tried once; the fastest then takes
turns with ours, A B A B …, because machines drift: what counts is the ratio pair by pair. `bench_torch.py --one …` is
PyTorch's half of one turn and prints one line of JSON, as `cargo bench --bench step` does for ours.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time

# Ways of running PyTorch, and for each precision of ours those it is held against: the same arithmetic, or less. On a GPU
# channels_last is the base of all but eager; fp32 forbids TF32, which PyTorch otherwise uses in convolutions; `graph` replays
# whole steps in bf16 from a CUDA graph.
WAYS = {
    "cpu": {"eager": "fp32", "channels_last": "fp32", "compile": "fp32", "bf16": "bf16"},
    "cuda": {"eager": "tf32", "fp32": "fp32", "tf32": "tf32", "bf16": "bf16", "graph": "bf16", "compile": "bf16"},
}
PRECISIONS = ["fp32", "tf32", "bf16"]
NETWORKS = {
    "UNet++ 16-256": {"name": "unet++", "filters": [16, 32, 64, 128, 256]},
    "UNet++ 32-512": {"name": "unet++", "filters": [32, 64, 128, 256, 512]},
    "UNet 64-512": {"name": "unet", "filters": [64, 128, 256, 512]},
    "UNet ResNet-18": {"name": "unet-resnet18"},
    "UNet EfficientNet-B0": {"name": "unet-efficientnet-b0"},
    # Not measured unless they are named.
    "UNet EfficientNet-Lite0": {"name": "unet-efficientnet-lite0"},
    "UNet transposed": {"name": "unet", "filters": [64, 128, 256, 512], "upsampling": "transposed"},
    "Attention U-Net": {"name": "attention-unet"},
    "HRNet-W18": {"name": "hrnet-w18"},
    "DeepLabV3+": {"name": "deeplabv3+"},
}
USUAL = 5
LANDMARKS = 10


def prepare(a):
    """A call of PyTorch's: it runs a step or an evaluation and returns its loss when it is done."""
    import torch
    import torch.nn.functional as F

    from parity import build

    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    device, on_gpu = a.device, a.device != "cpu"
    torch.backends.cudnn.allow_tf32 = a.way != "fp32"
    torch.backends.cudnn.benchmark = True
    network = build({"model": json.loads(a.model), "channels": 1, "landmarks": LANDMARKS}).to(device)
    count = a.batch * a.height * a.width
    images = (torch.arange(count) * 37 % 101 / 101).reshape(a.batch, 1, a.height, a.width)
    y, x = torch.meshgrid(torch.arange(a.height), torch.arange(a.width), indexing="ij")
    decay = 3 * 0.00483 * 800 / a.height
    target = torch.stack([torch.exp(-decay * ((x - 7 * k - 11).abs() + (y - 13 * k - 17).abs())) for k in range(LANDMARKS)])
    target = target.expand(a.batch, -1, -1, -1).contiguous()
    images, target = images.to(device), target.to(device)
    if a.way != "eager":
        # The other ways build on it: alone they are slower still.
        network = network.to(memory_format=torch.channels_last)
        images, target = (t.contiguous(memory_format=torch.channels_last) for t in (images, target))
    in_graph = a.way == "graph"
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-4, fused=on_gpu, capturable=in_graph)
    forward = torch.compile(network) if a.way == "compile" else network
    network.train(a.what == "step")
    kind = device.split(":")[0]
    # A graph must not hold weights that autocast converted for an earlier step.
    half = torch.autocast(kind, torch.bfloat16, enabled=WAYS[kind][a.way] == "bf16", cache_enabled=not in_graph)
    wait = torch.cuda.synchronize if on_gpu else lambda: None

    def evaluation():
        with torch.no_grad(), half:
            forward(images)
        wait()
        return torch.zeros(())

    def step():
        optimizer.zero_grad()
        with half:
            loss = F.l1_loss(forward(images)[-1], target)
        loss.backward()
        optimizer.step()
        return loss

    whole = step if a.what == "step" else evaluation
    if not in_graph:
        return lambda: whole().item()
    # As PyTorch's notes on CUDA graphs have it: first on another stream, so that libraries choose and allocate.
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def replay():
        graph.replay()
        return loss.item()

    return replay


def measure(a):
    import torch

    on_gpu = a.device != "cpu"
    held = 0
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
    call = prepare(a)
    for _ in range(3):
        call()
    began, milliseconds, loss = time.perf_counter(), [], 0.0
    while len(milliseconds) < 5 or time.perf_counter() - began < a.seconds:
        start = time.perf_counter()
        loss = call()
        milliseconds.append((time.perf_counter() - start) * 1e3)
    median = statistics.median(milliseconds)
    peak = torch.cuda.max_memory_allocated() - held if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "what": a.what, "images_per_second": a.batch * 1e3 / median, "median_ms": median, "least_ms": min(milliseconds),
        "calls": len(milliseconds), "peak_memory_mib": peak / 2**20, "loss": loss,
    }


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print("  failed:", " ".join(command[:3]), done.stderr.strip().splitlines()[-1:], file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def ceilings():
    """What this GPU does at best: bytes a second of a large copy, products and sums a second of large bf16 matrices."""
    import torch

    def seconds(call):
        times = []
        for _ in range(8):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            call()
            end.record()
            torch.cuda.synchronize()
            times.append(start.elapsed_time(end) / 1e3)
        return statistics.median(times[3:])

    a = torch.empty(2**31, dtype=torch.uint8, device="cuda")
    b = torch.empty_like(a)
    bandwidth = 2 * a.numel() / seconds(lambda: b.copy_(a))
    del a, b
    m = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    n = torch.randn_like(m)
    return bandwidth, 2 * 8192**3 / seconds(lambda: m @ n)


def turn(shape, way, ours, precision=None):
    arguments = [f"--{key}={value}" for key, value in shape.items()]
    if way is None:
        return run([ours, f"--precision={precision}", *arguments])
    if shape["device"] != "cpu":
        # In this process: it takes seconds to start another, and on a GPU threads and memory are not shared.
        try:
            return measure(argparse.Namespace(way=way, **shape))
        except RuntimeError as error:
            print(f"  failed: {way}: {error}", file=sys.stderr)
            return None
    return run([sys.executable, __file__, "--one", f"--way={way}", *arguments])


def processor(device):
    if device != "cpu":
        import torch

        return torch.cuda.get_device_name()
    for line in open("/proc/cpuinfo") if platform.system() == "Linux" else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def compare(a):
    import torch

    print(f"{time.strftime('%Y-%m-%d')}, {processor(a.device)}, torch {torch.__version__}; ratios are medians of {a.pairs} "
          "pairs, with their least and greatest\n")
    peaks = None
    if a.device != "cpu":
        peaks = ceilings()
        print(f"Ceilings measured: {peaks[0] / 1e12:.2f} TB/s, {peaks[1] / 1e12:.0f} TFLOP/s in bf16. The floor of a call is "
              "the longer of its bytes (every map of a convolution once a pass) and its FLOPs at these rates.\n")
    floor = " time : floor |" if peaks else ""
    print("| network | size | batch | threads | what | ours | images/s | PyTorch's best | images/s | ratio | memory, MiB | ratio "
          "|" + floor)
    print("|---|---|---|---|---|---|---|---|---|---|---|---|" + ("---|" if peaks else ""))
    for name in a.networks:
        for height, width in a.sizes:
            for batch in a.batches:
                for threads in a.threads_list:
                    for what in a.whats:
                        shape = {"what": what, "device": a.device, "model": json.dumps(NETWORKS[name]), "height": height, "width": width,
                                 "batch": batch, "threads": threads, "seconds": a.seconds}
                        tried = {way: turn(shape, way, a.ours) for way in a.ways}
                        tried = {way: result for way, result in tried.items() if result}
                        for precision in a.precisions:
                            least = PRECISIONS.index(precision)
                            like = [way for way in tried if PRECISIONS.index(WAYS[a.device][way]) <= least]
                            if not like:
                                continue
                            best = max(like, key=lambda way: tried[way]["images_per_second"])
                            pairs = [(turn(shape, None, a.ours, precision), turn(shape, best, a.ours)) for _ in range(a.pairs)]
                            if not all(p and q for p, q in pairs):
                                print(f"| {name} | {height}×{width} | {batch} | {threads} | {what} | {precision} | failed |")
                                continue
                            print(f"| {name} | {height}×{width} | {batch} | {threads} | {what} | {precision} "
                                  + row(pairs, best, peaks), flush=True)
                            if a.json:
                                with open(a.json, "a") as file:
                                    found = {"network": name, "precision": precision, "tried": tried, "best": best, "pairs": pairs}
                                    print(json.dumps({**shape, **found}), file=file)


def row(pairs, best, peaks):
    rates = [p["images_per_second"] / q["images_per_second"] for p, q in pairs]
    memory = statistics.median(p["peak_memory_mib"] / q["peak_memory_mib"] for p, q in pairs)
    middle = lambda side, key: statistics.median(pair[side][key] for pair in pairs)
    return (f"| {middle(0, 'images_per_second'):.2f} | {best} | {middle(1, 'images_per_second'):.2f} "
            f"| **{statistics.median(rates):.2f}** ({min(rates):.2f}–{max(rates):.2f}) "
            f"| {middle(0, 'peak_memory_mib'):.0f} : {middle(1, 'peak_memory_mib'):.0f} | {memory:.2f} |"
            + (f" {middle(0, 'median_ms') / 1e3 / floor(pairs[0][0], peaks):.1f} |" if peaks else ""))


def floor(ours, peaks):
    return max(ours["bytes"] / peaks[0], ours["flops"] / peaks[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", action="store_true")
    parser.add_argument("--way", choices=sorted({way for ways in WAYS.values() for way in ways}), default="channels_last")
    parser.add_argument("--device", default="cpu", choices=list(WAYS))
    parser.add_argument("--what", default="step")
    parser.add_argument("--model", default=json.dumps(NETWORKS["UNet++ 16-256"]))
    parser.add_argument("--height", type=int, default=200)
    parser.add_argument("--width", type=int, default=160)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--ours", help="the program that `cargo bench --bench step --no-run` made")
    parser.add_argument("--json", help="a file to which every row's measurements are added")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS)[:USUAL], choices=list(NETWORKS))
    parser.add_argument("--sizes", nargs="+", default=["200x160", "400x320"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--threads-list", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=["fp32", "tf32", "bf16"])
    parser.add_argument("--ways", nargs="+")
    parser.add_argument("--whats", nargs="+", default=["step", "evaluation"])
    arguments = parser.parse_args()
    arguments.ways = arguments.ways or list(WAYS[arguments.device])
    if arguments.one:
        print(json.dumps(measure(arguments)))
    else:
        arguments.sizes = [tuple(int(n) for n in size.split("x")) for size in arguments.sizes]
        compare(arguments)
