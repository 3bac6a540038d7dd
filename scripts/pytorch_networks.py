"""The networks of src/model/networks in plain PyTorch, under the same names, and checkpoints of `sweep` loaded into them.

    from pytorch_networks import load
    networks, description = load("results/loss/trials/…/best.safetensors")
    heatmaps = networks[""](images)[-1]          # images: [B, 1, H, W], grey values from 0 to 1

    pytorch_networks.py CHECKPOINT                      what the checkpoint holds
    pytorch_networks.py CHECKPOINT --save FILE          its weights as a state dict of torch.save
    pytorch_networks.py CHECKPOINT --check FILE…        holds the network against heatmaps that `sweep predict --heatmaps`
                                                        wrote; fails where they differ by more than --tolerance

A network of two stages is two of them, under "coarse." and "fine."; any other is under "". The way back is
`sweep import FILE --like CHECKPOINT --output NEW`. Needs torch and safetensors.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn


def normalisation(norm, channels):
    """What `norm` of a definition means; none has no parameters and so no place in a state dict."""
    if norm["name"] == "group":
        return nn.GroupNorm(norm["groups"], channels)
    if norm["name"] == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    return nn.BatchNorm2d(channels) if norm["name"] == "batch" else nn.Identity()


class SpatialConfiguration(nn.Module):
    """`head = { name = "scn" }`: maps of where each landmark may be, given all maps of what looks like one."""

    def __init__(self, landmarks, name="scn", factor=4, layers=3, filters=128, kernel=11, combine="product"):
        super().__init__()
        self.halvings, self.combine = factor.bit_length() - 1, combine
        for layer in range(layers):
            inputs = landmarks if layer == 0 else filters
            self.add_module(f"conv{layer + 1}", nn.Conv2d(inputs, filters, kernel, padding=kernel // 2))
        self.layers, self.final = layers, nn.Conv2d(filters, landmarks, kernel, padding=kernel // 2)

    def forward(self, looks):
        x = looks
        for _ in range(self.halvings):
            x = F.max_pool2d(x, 2)
        for layer in range(self.layers):
            x = F.leaky_relu(self.get_submodule(f"conv{layer + 1}")(x), 0.1)
        x = F.interpolate(self.final(x), size=looks.shape[-2:], mode="bilinear", align_corners=True)
        return looks * x if self.combine == "product" else looks + x


def add_head(network, head, landmarks):
    """The end of a network, if it is not plain."""
    if head and head["name"] == "scn":
        network.scn = SpatialConfiguration(landmarks, **head)


def ended(network, maps):
    return network.scn(maps) if hasattr(network, "scn") else maps


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
    def __init__(self, channels, landmarks, filters, deep_supervision=False, norm={"name": "batch"}, head=None):
        super().__init__()
        add_head(self, head, landmarks)
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
            heads = [self.get_submodule(f"final{column}")(x[0, column]) for column in range(1, self.levels)]
            return [*heads[:-1], ended(self, heads[-1])]
        return [ended(self, self.final(x[0, self.levels - 1]))]


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
    def __init__(self, channels, landmarks, filters, norm={"name": "none"}, head=None):
        super().__init__()
        add_head(self, head, landmarks)
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
        return [ended(self, self.final(x))]


class ResidualBlock(nn.Module):
    def __init__(self, inputs, outputs, stride, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = normalisation(norm, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = normalisation(norm, outputs)
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), normalisation(norm, outputs))

    def forward(self, x):
        around = self.downsample(x) if hasattr(self, "downsample") else x
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True))) + around)


class ResNet(nn.Module):
    """An encoder as torchvision's resnet18, without its classifier."""

    def __init__(self, channels, filters, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters[0], 7, 2, 3, bias=False)
        self.bn1 = normalisation(norm, filters[0])
        self.stages = len(filters)
        for stage, outputs in enumerate(filters):
            inputs = filters[max(stage - 1, 0)]
            blocks = ResidualBlock(inputs, outputs, 2 if stage > 0 else 1, norm), ResidualBlock(outputs, outputs, 1, norm)
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))

    def forward(self, images):
        maps = [F.relu(self.bn1(self.conv1(images)), inplace=True)]
        x = F.max_pool2d(maps[0], 3, 2, 1)
        for stage in range(self.stages):
            x = self.get_submodule(f"layer{stage + 1}")(x)
            maps.append(x)
        return maps


class DecoderBlock(nn.Module):
    def __init__(self, inputs, outputs, norm):
        super().__init__()
        for name, channels in (("conv1", inputs), ("conv2", outputs)):
            convolution = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
            self.add_module(name, nn.Sequential(convolution, normalisation(norm, outputs), nn.ReLU(inplace=True)))

    def forward(self, x, skip, size):
        x = F.interpolate(x, size=size, mode="nearest")
        return self.conv2(self.conv1(x if skip is None else torch.cat([x, skip], 1)))


class UNetResNet18(nn.Module):
    def __init__(self, channels, landmarks, filters=(64, 128, 256, 512), decoder=(256, 128, 64, 32, 16),
                 norm={"name": "batch"}, head=None):
        super().__init__()
        add_head(self, head, landmarks)
        self.encoder = ResNet(channels, filters, norm)
        skips = [*filters[-2::-1], filters[0], 0]
        inputs = [below + skip for below, skip in zip([filters[-1], *decoder], skips)]
        self.decoder = nn.Module()
        self.decoder.blocks = nn.ModuleList(DecoderBlock(i, o, norm) for i, o in zip(inputs, decoder))
        self.segmentation_head = nn.Sequential(nn.Conv2d(decoder[-1], landmarks, 3, padding=1))

    def forward(self, images):
        *skips, x = self.encoder(images)
        for block in self.decoder.blocks:
            skip = skips.pop() if skips else None
            x = block(x, skip, (images if skip is None else skip).shape[-2:])
        return [ended(self, self.segmentation_head(x))]


MODELS = {"unet++": UNetPlusPlus, "unet": UNet, "unet-resnet18": UNetResNet18}


def build(description):
    """A network as described: `model` as in a definition, `channels` and `landmarks`."""
    model = {key: value for key, value in description["model"].items() if key != "weights"}
    return MODELS[model.pop("name")](description["channels"], description["landmarks"], **model)


def description_of(file):
    """What a checkpoint of `sweep` says about itself: `config`, `landmarks`, `epoch` and more."""
    return json.loads(file.metadata()["landmark-sweep"])["description"]


def channels_of(config):
    """Channels of the images that a configuration's networks read: 1 of grey, 3 of red, green and blue."""
    return config["dataset"].get("channels", 1)


def standardise(network, config):
    """Has a network standardise its input first, where the configuration says so."""
    said = config.get("standardise")
    if said is None:
        return
    imagenet = {"mean": [0.485, 0.456, 0.406], "deviation": [0.229, 0.224, 0.225]}
    said = imagenet if said["name"] == "imagenet" else said
    mean, deviation = (torch.tensor(said[key]).view(1, -1, 1, 1) for key in ("mean", "deviation"))
    network.register_forward_pre_hook(lambda _, inputs: ((inputs[0] - mean) / deviation, *inputs[1:]))


def load(checkpoint):
    """The networks of a checkpoint, ready to predict, by the prefix of their parameters' names; and its description."""
    with safe_open(checkpoint, "pt") as file:
        description = description_of(file)
        state = {key: file.get_tensor(key) for key in file.keys() if not key.startswith("optimizer.")}
    model = description["config"]["model"]
    stages = {"": model}
    if model["name"] == "two-stage":
        stages = {"coarse.": model["coarse"], "fine.": model["fine"]}
    networks = {}
    for prefix, model in stages.items():
        channels = channels_of(description["config"])
        network = build({"model": model, "channels": channels, "landmarks": len(description["landmarks"])})
        # Widths of heatmaps that are trained are no part of the network.
        own = {k[len(prefix):]: v.float() for k, v in state.items() if k.startswith(prefix)}
        own = {k: v for k, v in own.items() if not k.endswith("heatmap.sigma")}
        # PyTorch counts batches beside running statistics, and predicts without the count.
        state_dict = {**{k: v for k, v in network.state_dict().items() if k.endswith("num_batches_tracked")}, **own}
        network.load_state_dict(state_dict, strict=True)
        standardise(network, description["config"])
        networks[prefix] = network.eval()
    return networks, description


def check(networks, files, tolerance):
    """The largest difference from heatmaps that `sweep predict --heatmaps` wrote."""
    worst = 0.0
    for path in files:
        tensors = load_file(path)
        for prefix, network in networks.items():
            with torch.no_grad():
                found = network(tensors[f"{prefix}image"])[-1]
            expected = tensors[f"{prefix}heatmaps"]
            difference = (found - expected).abs().max().item()
            worst = max(worst, difference)
            print(f"{path}: {prefix}heatmaps {list(expected.shape)}: largest difference {difference:.1e}")
    print(f"torch {torch.__version__}: largest difference {worst:.1e}")
    # Not a number is no agreement.
    return worst <= tolerance


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--save", type=Path, metavar="FILE")
    parser.add_argument("--check", type=Path, nargs="+", metavar="FILE", default=[])
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()
    networks, description = load(arguments.checkpoint)
    if arguments.save:
        state = {f"{prefix}{name}": value for prefix, n in networks.items() for name, value in n.state_dict().items()}
        torch.save(state, arguments.save)
    if arguments.check and not check(networks, arguments.check, arguments.tolerance):
        sys.exit(f"heatmaps differ by more than {arguments.tolerance}")
    if not arguments.save and not arguments.check:
        config = description["config"]
        print(f"{description['trial']} after epoch {description['epoch']}")
        print(f"input {config['input']['height']} x {config['input']['width']}, read by {config['decode']}")
        print(f"landmarks: {', '.join(description['landmarks'])}")
        for prefix, network in networks.items():
            print(f"{prefix}{type(network).__name__}: {sum(p.numel() for p in network.parameters())} trained values")


if __name__ == "__main__":
    main()
