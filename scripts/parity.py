"""The networks in PyTorch, under the names of src/models, and what they compute: the fixtures of tests/it/parity.rs.

    parity.py                        writes tests/fixtures/parity/*.safetensors again
    parity.py --load FILE            checks that PyTorch takes a file of our weights, strictly
    parity.py --save FILE --like FILE    writes PyTorch's own random weights for the network of another file
    parity.py --count                prints numbers of trained values

A file's metadata has one key, `network`: JSON with `model` (as in a definition), `channels` and `landmarks`; a
checkpoint of `sweep run` says the same in its own words.
Needs torch and safetensors; the fixtures say which torch made them.
"""

import argparse
import itertools
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "parity"
STEPS, LEARNING_RATE, WEIGHT_DECAY = 5, 1e-3, 0.01


def normalisation(norm, channels):
    """What `norm` of a definition means; none has no parameters and so no place in a state dict."""
    if norm["name"] == "group":
        return nn.GroupNorm(norm["groups"], channels)
    return nn.BatchNorm2d(channels) if norm["name"] == "batch" else nn.Identity()


class VGGBlock(nn.Module):
    def __init__(self, inputs, outputs, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.bn1 = normalisation(norm, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.bn2 = normalisation(norm, outputs)

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True))), inplace=True)


class UNetPlusPlus(nn.Module):
    def __init__(self, channels, landmarks, filters, deep_supervision=False, norm={"name": "batch"}):
        super().__init__()
        self.levels, self.deep_supervision = len(filters), deep_supervision
        for column in range(self.levels):
            for level in range(self.levels - column):
                if column > 0:
                    inputs = filters[level] * column + filters[level + 1]
                else:
                    inputs = filters[level - 1] if level > 0 else channels
                self.add_module(f"conv{level}_{column}", VGGBlock(inputs, filters[level], norm))
        if deep_supervision:
            for column in range(1, self.levels):
                self.add_module(f"final{column}", nn.Conv2d(filters[0], landmarks, 1))
        else:
            self.final = nn.Conv2d(filters[0], landmarks, 1)

    def forward(self, images):
        x = {}
        for diagonal in range(self.levels):
            for column in range(diagonal + 1):
                level = diagonal - column
                if column > 0:
                    skips = [x[level, k] for k in range(column)]
                    up = F.interpolate(
                        x[level + 1, column - 1], size=skips[0].shape[-2:], mode="bilinear", align_corners=True
                    )
                    read = torch.cat([*skips, up], 1)
                else:
                    read = F.max_pool2d(x[level - 1, 0], 2) if level > 0 else images
                x[level, column] = self.get_submodule(f"conv{level}_{column}")(read)
        if self.deep_supervision:
            return [self.get_submodule(f"final{column}")(x[0, column]) for column in range(1, self.levels)]
        return [self.final(x[0, self.levels - 1])]


class Block(nn.Module):
    def __init__(self, inputs, outputs, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm1 = normalisation(norm, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm2 = normalisation(norm, outputs)

    def forward(self, x):
        x = F.leaky_relu(self.norm1(self.conv1(x)), 0.01, inplace=True)
        return F.leaky_relu(self.norm2(self.conv2(x)), 0.01, inplace=True)


class Up(nn.Module):
    def __init__(self, inputs, outputs, norm):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = normalisation(norm, outputs)

    def forward(self, x, like):
        x = F.interpolate(x, size=like.shape[-2:], mode="nearest")
        return F.leaky_relu(self.norm(self.conv(x)), 0.01, inplace=True)


class UNet(nn.Module):
    def __init__(self, channels, landmarks, filters, norm={"name": "none"}):
        super().__init__()
        self.levels = len(filters)
        for level, outputs in enumerate(filters):
            self.add_module(f"encoder{level}", Block(filters[level - 1] if level > 0 else channels, outputs, norm))
        for level in reversed(range(self.levels - 1)):
            self.add_module(f"up{level}", Up(filters[level + 1], filters[level], norm))
            self.add_module(f"decoder{level}", Block(2 * filters[level], filters[level], norm))
        self.final = nn.Conv2d(filters[0], landmarks, 1)

    def forward(self, images):
        skips, x = [], images
        for level in range(self.levels):
            x = self.get_submodule(f"encoder{level}")(F.max_pool2d(x, 2) if level > 0 else x)
            skips.append(x)
        for level in reversed(range(self.levels - 1)):
            up = self.get_submodule(f"up{level}")(x, skips[level])
            x = self.get_submodule(f"decoder{level}")(torch.cat([skips[level], up], 1))
        return [self.final(x)]


MODELS = {"unet++": UNetPlusPlus, "unet": UNet}


def build(description):
    model = dict(description["model"])
    return MODELS[model.pop("name")](description["channels"], description["landmarks"], **model)


def metadata(description):
    """One key only: the order of several would change from run to run."""
    return {"network": json.dumps(description)}


def described(file):
    """A fixture's network, or that of a checkpoint of `sweep run`."""
    if checkpoint := file.metadata().get("landmark-sweep"):
        checkpoint = json.loads(checkpoint)
        return {"model": checkpoint["config"]["model"], "channels": 1, "landmarks": len(checkpoint["landmarks"])}
    return json.loads(file.metadata()["network"])


def loss_of(heads, target):
    """Mean over heads of the mean absolute error."""
    return sum(F.l1_loss(head, target) for head in heads) / len(heads)


def step(network, images, target):
    """Heads, loss and every parameter's gradient of one pass; running statistics move."""
    network.zero_grad()
    heads = network(images)
    loss = loss_of(heads, target)
    loss.backward()
    return heads, loss, {name: p.grad.clone() for name, p in network.named_parameters()}


def state(network):
    return {name: t.clone() for name, t in network.state_dict().items() if not name.endswith("num_batches_tracked")}


def rounding(network, start, images, target, exact):
    """PyTorch's own largest f32 error of every gradient, over equivalent ways of computing it: with and without
    oneDNN, in both memory formats, with the images in either order. One way alone is now and then exact by luck."""
    worst = {name: torch.zeros((), dtype=torch.float64) for name in exact}
    for onednn, memory, reverse in itertools.product(
        (True, False), (torch.contiguous_format, torch.channels_last), (False, True)
    ):
        network.load_state_dict(start, strict=True)
        network.float().to(memory_format=memory)
        x, y = (t.flip(0) if reverse else t for t in (images.float(), target.float()))
        with torch.backends.mkldnn.flags(enabled=onednn):
            _, _, gradients = step(network.train(), x.contiguous(memory_format=memory), y)
        for name, gradient in gradients.items():
            worst[name] = torch.maximum(worst[name], (gradient.double() - exact[name]).abs().max())
        network.double().to(memory_format=torch.contiguous_format)
    return worst


def fixture(name, seed, model, shape, landmarks):
    batch, channels, height, width = shape
    description = {"model": model, "channels": channels, "landmarks": landmarks, "torch": torch.__version__}
    torch.manual_seed(seed)
    network = build(description).double().train()
    # Scales, shifts and running statistics that are not all one and zero. All values fit in f32, so that both
    # precisions start from the same ones.
    for key, value in network.state_dict().items():
        if (".bn" in key or ".norm" in key) and value.is_floating_point():
            value.add_(0.2 * torch.rand_like(value))
        if value.is_floating_point():
            value.copy_(value.float().double())
    images = torch.rand(shape).double()
    target = torch.rand(batch, landmarks, height, width).double()
    tensors = {"images": images, "target": target}

    def put(kind, named):
        tensors.update({f"{kind}/{key}": value.detach().clone().contiguous() for key, value in named.items()})

    start = state(network)
    put("initial", start)
    for kind, dtype in (("f64", torch.float64), ("f32", torch.float32)):
        network.load_state_dict(start, strict=True)
        network.to(dtype).eval()
        with torch.no_grad():
            tensors[f"{kind}/evaluated"] = network(images.to(dtype))[-1]
        heads, loss, gradients = step(network.train(), images.to(dtype), target.to(dtype))
        put(kind, {"output": torch.stack(heads), "loss": loss})
        if kind == "f64":
            exact = gradients
        network.double()
    put("f64/gradient", exact)
    put("f32/error", rounding(network, start, images, target, exact))
    network.load_state_dict(start, strict=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(STEPS):
        step(network, images, target)
        optimizer.step()
    put("stepped", state(network))
    FIXTURES.mkdir(parents=True, exist_ok=True)
    path = FIXTURES / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in tensors.items()}, path, metadata(description))
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB")


def write_fixtures():
    torch.set_num_threads(1)
    unetpp = {"name": "unet++", "filters": [4, 8, 16]}
    fixture("unetpp", 1, unetpp, (4, 1, 16, 12), 3)
    fixture("unetpp-odd", 2, {"name": "unet++", "filters": [4, 6, 8, 10]}, (1, 2, 21, 19), 2)
    fixture("unetpp-deep", 3, {"name": "unet++", "filters": [3, 5, 7], "deep_supervision": True}, (2, 1, 13, 22), 2)
    fixture("unet", 4, {"name": "unet", "filters": [8, 16]}, (4, 1, 16, 12), 3)
    fixture("unet-odd", 5, {"name": "unet", "filters": [4, 6, 8, 10]}, (1, 2, 21, 19), 2)
    group = {"name": "group", "groups": 2}
    fixture("unetpp-group", 6, {"name": "unet++", "filters": [4, 6, 8], "norm": group}, (2, 2, 13, 18), 2)
    fixture("unet-group", 7, {"name": "unet", "filters": [4, 8], "norm": {"name": "group", "groups": 4}}, (1, 1, 17, 12), 3)


def load(path):
    """Takes a file of weights strictly: no name missing, none left over, every shape the same."""
    with safe_open(path, "pt") as file:
        network = build(described(file))
        network.load_state_dict({key: file.get_tensor(key) for key in file.keys()}, strict=True)
    names = [key for key in network.state_dict() if not key.endswith("num_batches_tracked")]
    print(f"torch {torch.__version__} takes all {len(names)} tensors")


def save(path, like):
    with safe_open(like, "pt") as file:
        description = described(file)
    network = build(description)
    save_file(network.state_dict(), path, metadata(description))
    print(f"{len(network.state_dict())} tensors")


def count():
    for model in (
        {"name": "unet++", "filters": [16, 32, 64, 128, 256]},
        {"name": "unet++", "filters": [32, 64, 128, 256, 512], "deep_supervision": True},
        {"name": "unet", "filters": [64, 128, 256, 512]},
    ):
        network = build({"model": model, "channels": 1, "landmarks": 10})
        print(model, sum(p.numel() for p in network.parameters()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=Path, metavar="FILE")
    parser.add_argument("--save", type=Path, metavar="FILE")
    parser.add_argument("--like", type=Path, metavar="FILE")
    parser.add_argument("--count", action="store_true")
    arguments = parser.parse_args()
    if arguments.load:
        load(arguments.load)
    elif arguments.save:
        save(arguments.save, arguments.like)
    elif arguments.count:
        count()
    else:
        write_fixtures()
