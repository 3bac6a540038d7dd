"""What `sweep predict` does, written for onnxruntime, OpenVINO or PyTorch: pictures to a CSV file of landmarks.

    predict.py SETTINGS PICTURE…

SETTINGS is JSON; scripts/bench_predict.py writes it. Everything is imported where it is needed, because a cold start counts.
Prints a line of JSON at the end: pictures after the first batch and the seconds that they took.
"""

import json
import sys
import time

import numpy as np

NEAR = 2  # pixels around a peak whose probability is the confidence


def reader(settings):
    """A function from a file to its size and, for every stage, its grey values from 0 to 1."""
    sizes = settings["sizes"]
    if settings["reader"] == "opencv":
        import cv2

        cv2.setNumThreads(settings["threads"] // settings["lanes"])

        def read(file):
            grey = cv2.imread(file, cv2.IMREAD_GRAYSCALE)
            resize = lambda h, w: grey if grey.shape == (h, w) else cv2.resize(grey, (w, h), interpolation=cv2.INTER_AREA)
            return grey.shape, [resize(*size).astype(np.float32) * np.float32(1 / 255) for size in sizes]

        return read

    from PIL import Image

    def read(file):
        with Image.open(file) as picture:
            grey = picture.convert("L")
        resize = lambda h, w: grey if grey.size == (w, h) else grey.resize((w, h), Image.Resampling.BILINEAR)
        return grey.size[::-1], [np.asarray(resize(*size), np.float32) * np.float32(1 / 255) for size in sizes]

    return read


def onnxruntime_networks(settings):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings["threads"] // settings["lanes"]
    options.inter_op_num_threads = 1
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_DISABLE_ALL if settings["prepared"] else level.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", str(settings["spin"]))
    if settings.get("prepare"):
        # Written once, before anything is measured.
        for model in settings["models"]:
            options.optimized_model_filepath = f"{model}.prepared"
            onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        sys.exit()
    ending = ".prepared" if settings["prepared"] else ""
    sessions = [onnxruntime.InferenceSession(f"{model}{ending}", options, providers=["CPUExecutionProvider"])
                for model in settings["models"]]
    network = lambda session: lambda images: session.run(None, {"image": images})[0]
    return lambda: [network(session) for session in sessions]


def openvino_networks(settings):
    import openvino

    core = openvino.Core()
    properties = {
        "PERFORMANCE_HINT": "LATENCY" if settings["lanes"] == 1 else "THROUGHPUT",
        "INFERENCE_NUM_THREADS": settings["threads"],
        "INFERENCE_PRECISION_HINT": settings["precision"],
    }
    if settings["lanes"] > 1:
        properties["NUM_STREAMS"] = settings["lanes"]
    if settings["cache"]:
        properties["CACHE_DIR"] = settings["cache"]
    compiled = [core.compile_model(model, "CPU", properties) for model in settings["models"]]

    def lane():
        requests = [model.create_infer_request() for model in compiled]
        network = lambda request: lambda images: request.infer([images], share_inputs=True, share_outputs=True)[0]
        return [network(request) for request in requests]

    return lane


def torch_networks(settings):
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    sys.path.insert(0, settings["scripts"])
    from pytorch_networks import load

    torch.set_num_threads(settings["threads"] // settings["lanes"])
    kind = torch.bfloat16 if settings["precision"] == "bf16" else torch.float32
    form = torch.contiguous_format if settings["mode"].endswith("nchw") else torch.channels_last
    networks = []
    for network in load(settings["checkpoint"])[0].values():
        for block in network.modules():
            for number in (1, 2):
                norm = getattr(block, f"bn{number}", None)
                if isinstance(norm, torch.nn.BatchNorm2d):
                    setattr(block, f"conv{number}", fuse_conv_bn_eval(getattr(block, f"conv{number}"), norm))
                    setattr(block, f"bn{number}", torch.nn.Identity())
        network = network.to(dtype=kind, memory_format=form).requires_grad_(False)
        networks.append(torch.compile(network) if settings["mode"].startswith("compile") else network)

    def predictor(network):
        def run(images):
            with torch.inference_mode():
                images = torch.from_numpy(images).to(dtype=kind, memory_format=form)
                return network(images)[-1].float().numpy()

        return run

    return lambda: [predictor(network) for network in networks]


NETWORKS = {"onnxruntime": onnxruntime_networks, "openvino": openvino_networks, "torch": torch_networks}


def soft_argmax(maps, reach):
    """Positions (x, y) and confidences of logits `[K, H, W]`: the decoder `soft-argmax` with its settings for logits."""
    count, height, width = maps.shape
    flat = maps.reshape(count, -1)
    peaks = flat.argmax(1)
    highest = flat[np.arange(count), peaks]
    sums = np.exp(flat - highest[:, None]).sum(1)
    found = np.empty((count, 3))
    for k in range(count):
        y, x = divmod(int(peaks[k]), width)
        # As far to both sides, so that a border pulls nothing.
        down, across = min(reach, y, height - 1 - y), min(reach, x, width - 1 - x)
        near = np.exp(maps[k, y - down : y + down + 1, x - across : x + across + 1] - highest[k])
        mass = near.sum()
        found[k, 0] = x + near.sum(0) @ np.arange(-across, across + 1) / mass
        found[k, 1] = y + near.sum(1) @ np.arange(-down, down + 1) / mass
        top, left = max(y - NEAR, 0), max(x - NEAR, 0)
        found[k, 2] = np.exp(maps[k, top : y + NEAR + 1, left : x + NEAR + 1] - highest[k]).sum() / sums[k]
    return found


def rescaled(points, size, to):
    """Positions in pixels of a picture of one size as those in a picture of another."""
    scale = np.array([to[1] / size[1], to[0] / size[0]])
    return (points + 0.5) * scale - 0.5


def cut(picture, centres, side):
    """Crops around places of a picture, black beyond it, with their first pixels."""
    starts = np.rint(centres - (side - 1) / 2).astype(int)
    crops = np.zeros((len(starts), side, side), np.float32)
    height, width = picture.shape
    for crop, (left, top) in zip(crops, starts):
        x0, x1, y0, y1 = max(left, 0), min(left + side, width), max(top, 0), min(top + side, height)
        if x0 < x1 and y0 < y1:
            crop[y0 - top : y1 - top, x0 - left : x1 - left] = picture[y0:y1, x0:x1]
    return crops, starts


def in_crops(network, pictures, centres, which, settings):
    """Landmarks by the second stage: of every crop's maps that of its landmark counts. `which` are pairs of picture, landmark."""
    side, passes = settings["crop"], settings["landmarks"]
    parts = [cut(pictures[picture], centre[None], side) for (picture, _), centre in zip(which, centres)]
    crops, starts = (np.concatenate(part) for part in zip(*parts))
    found = []
    for begin in range(0, len(crops), passes):
        some = crops[begin : begin + passes]
        # A model takes a fixed number of crops.
        maps = network(np.resize(some, (passes, side, side))[:, None])
        landmarks = [landmark for _, landmark in which[begin : begin + passes]]
        found.append(soft_argmax(maps[np.arange(len(some)), landmarks], settings["reach"]))
    found = np.concatenate(found)
    inside = found[:, :2].copy()
    found[:, :2] += starts
    return found, inside


def fine(network, pictures, coarse, settings):
    """The second stage as `sweep` runs it; landmarks far from the middle of their crop are looked for once more."""
    which = [(picture, landmark) for picture in range(len(coarse)) for landmark in range(settings["landmarks"])]
    centres = rescaled(np.concatenate(coarse)[:, :2], *settings["sizes"])
    found, inside = in_crops(network, pictures, centres, which, settings)
    side = settings["crop"]
    far = np.flatnonzero((np.abs(inside - (side - 1) / 2) > settings["jitter"] * side + 1).any(1))
    if len(far):
        found[far], _ = in_crops(network, pictures, found[far, :2], [which[i] for i in far], settings)
    return np.split(found, len(coarse))


def predict(networks, inputs, settings):
    """Landmarks of some pictures in pixels of each, as rows of CSV."""
    stages = [[read[stage] for _, _, read in inputs] for stage in range(len(settings["sizes"]))]
    images = np.resize(np.stack(stages[0]), (settings["batch"], *stages[0][0].shape))[:, None]
    found = [soft_argmax(maps, settings["reach"]) for maps in networks[0](images)[: len(inputs)]]
    if len(networks) > 1:
        found = fine(networks[1], stages[1], found, settings)
    rows = []
    for (file, size, _), landmarks in zip(inputs, found):
        places = rescaled(landmarks[:, :2], settings["sizes"][-1], size)
        rows += [f"{file},{name},{x},{y},{confidence}\n"
                 for name, (x, y), confidence in zip(settings["names"], places.tolist(), landmarks[:, 2].tolist())]
    return rows


def main():
    settings, files = json.loads(sys.argv[1]), sys.argv[2:]
    read, lane = reader(settings), NETWORKS[settings["library"]](settings)
    batches = [files[begin : begin + settings["batch"]] for begin in range(0, len(files), settings["batch"])]
    load = lambda batch: [(file, *read(file)) for file in batch]
    # The first batch alone: whatever a library does once, it does there.
    networks = lane()
    rows = predict(networks, load(batches[0]), settings)
    began = time.perf_counter()
    if len(batches) > 1:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(settings["lanes"]) as pool:
            if settings["lanes"] == 1:
                # Pictures are read in another thread, one batch ahead.
                ahead = pool.submit(load, batches[1])
                for batch in [*batches[2:], None]:
                    ready = ahead.result()
                    if batch:
                        ahead = pool.submit(load, batch)
                    rows += predict(networks, ready, settings)
            else:
                import queue

                lanes = queue.SimpleQueue()
                for networks in (networks, *(lane() for _ in range(settings["lanes"] - 1))):
                    lanes.put(networks)

                def one(batch):
                    inputs, mine = load(batch), lanes.get()
                    try:
                        return predict(mine, inputs, settings)
                    finally:
                        lanes.put(mine)

                for found in pool.map(one, batches[1:]):
                    rows += found
    with open(settings["output"], "w") as file:
        file.write("image,landmark,x,y,confidence\n")
        file.writelines(rows)
    print(json.dumps({"pictures": len(files) - len(batches[0]), "seconds": time.perf_counter() - began}))


main()
