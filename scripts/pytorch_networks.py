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


def normalisation(norm, channels, eps=1e-5):
    """What `norm` of a definition means; none has no parameters and so no place in a state dict."""
    if norm["name"] == "group":
        return nn.GroupNorm(norm["groups"], channels, eps=eps)
    if norm["name"] == "instance":
        return nn.InstanceNorm2d(channels, eps=eps, affine=True)
    return nn.BatchNorm2d(channels, eps=eps) if norm["name"] == "batch" else nn.Identity()


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


class TransposedUp(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)

    def forward(self, x, like):
        return self.conv(x, output_size=like.shape[-2:])


class UNet(nn.Module):
    def __init__(self, channels, landmarks, filters, norm={"name": "none"}, head=None, upsampling="nearest"):
        super().__init__()
        add_head(self, head, landmarks)
        self.levels = len(filters)
        for level, outputs in enumerate(filters):
            self.add_module(f"encoder{level}", Block(filters[level - 1] if level > 0 else channels, outputs, norm))
        for level in reversed(range(self.levels - 1)):
            sizes = (filters[level + 1], filters[level])
            self.add_module(f"up{level}", TransposedUp(*sizes) if upsampling == "transposed" else Up(*sizes, norm))
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


def attention_norm(norm, channels):
    """As `normalisation`; a single channel is one group."""
    return normalisation({"name": "instance"} if norm["name"] == "group" and channels == 1 else norm, channels)


def attention_block(inputs, outputs, norm):
    first, second = (nn.Conv2d(channels, outputs, 3, padding=1) for channels in (inputs, outputs))
    norms = [attention_norm(norm, outputs) for _ in range(2)]
    block = nn.Module()
    block.conv = nn.Sequential(first, norms[0], nn.ReLU(), second, norms[1], nn.ReLU())
    return block


class AttentionGate(nn.Module):
    def __init__(self, channels, features, norm):
        super().__init__()
        self.W_g = nn.Sequential(nn.Conv2d(channels, features, 1), attention_norm(norm, features))
        self.W_x = nn.Sequential(nn.Conv2d(channels, features, 1), attention_norm(norm, features))
        self.psi = nn.Sequential(nn.Conv2d(features, 1, 1), attention_norm(norm, 1), nn.Sigmoid())

    def forward(self, decoded, skip):
        return skip * self.psi(F.relu(self.W_g(decoded) + self.W_x(skip)))


class AttentionUNet(nn.Module):
    """With the names of LeeJunHyun's AttU_Net; levels count from 1."""

    def __init__(self, channels, landmarks, filters=(64, 128, 256, 512, 1024), norm={"name": "batch"}, head=None):
        super().__init__()
        add_head(self, head, landmarks)
        self.levels = len(filters)
        for level, outputs in enumerate(filters, 1):
            inputs = filters[level - 2] if level > 1 else channels
            self.add_module(f"Conv{level}", attention_block(inputs, outputs, norm))
        for level in range(self.levels, 1, -1):
            outputs = filters[level - 2]
            up = nn.Module()
            convolution = nn.Conv2d(filters[level - 1], outputs, 3, padding=1)
            # AttU_Net has its enlargement in the place of the identity.
            up.up = nn.Sequential(nn.Identity(), convolution, attention_norm(norm, outputs), nn.ReLU())
            self.add_module(f"Up{level}", up)
            self.add_module(f"Att{level}", AttentionGate(outputs, max(outputs // 2, 1), norm))
            self.add_module(f"Up_conv{level}", attention_block(2 * outputs, outputs, norm))
        self.Conv_1x1 = nn.Conv2d(filters[0], landmarks, 1)

    def forward(self, images):
        skips, x = [], images
        for level in range(1, self.levels + 1):
            x = self.get_submodule(f"Conv{level}").conv(F.max_pool2d(x, 2) if level > 1 else x)
            skips.append(x)
        for level in range(self.levels, 1, -1):
            skip = skips[level - 2]
            up = self.get_submodule(f"Up{level}").up(F.interpolate(x, size=skip.shape[-2:], mode="nearest"))
            seen = self.get_submodule(f"Att{level}")(up, skip)
            x = self.get_submodule(f"Up_conv{level}").conv(torch.cat([seen, up], 1))
        return [ended(self, self.Conv_1x1(x))]


class ResidualBlock(nn.Module):
    def __init__(self, inputs, outputs, stride, norm, dilation=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False)
        self.bn1 = normalisation(norm, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, dilation, dilation, bias=False)
        self.bn2 = normalisation(norm, outputs)
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), normalisation(norm, outputs))

    def forward(self, x):
        around = self.downsample(x) if hasattr(self, "downsample") else x
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True))) + around)


class ResNet(nn.Module):
    """An encoder as torchvision's resnet18 or resnet34, without its classifier; a dilated one has a dilation of 2 in all
    of the last stage instead of a stride."""

    def __init__(self, channels, filters, norm, blocks=(2, 2, 2, 2), dilated=False):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters[0], 7, 2, 3, bias=False)
        self.bn1 = normalisation(norm, filters[0])
        self.stages = len(filters)
        for stage, outputs in enumerate(filters):
            inputs = filters[max(stage - 1, 0)]
            dilation = 2 if dilated and stage + 1 == self.stages else 1
            first = ResidualBlock(inputs, outputs, 2 if stage > 0 and dilation == 1 else 1, norm, dilation)
            others = (ResidualBlock(outputs, outputs, 1, norm, dilation) for _ in range(blocks[min(stage, 3)] - 1))
            self.add_module(f"layer{stage + 1}", nn.Sequential(first, *others))

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


def smp_decoder(network, deepest, skips, decoder, norm, landmarks):
    """The decoder of segmentation_models_pytorch's U-Net; `skips` are channels from the images down."""
    inputs = [below + skip for below, skip in zip([deepest, *decoder], [*skips[::-1], 0])]
    network.decoder = nn.Module()
    network.decoder.blocks = nn.ModuleList(DecoderBlock(i, o, norm) for i, o in zip(inputs, decoder))
    network.segmentation_head = nn.Sequential(nn.Conv2d(decoder[-1], landmarks, 3, padding=1))


def decoded(network, images, skips, x):
    """`skips` are maps from the highest resolution down."""
    skips = list(skips)
    for block in network.decoder.blocks:
        skip = skips.pop() if skips else None
        x = block(x, skip, (images if skip is None else skip).shape[-2:])
    return [ended(network, network.segmentation_head(x))]


class UNetResNet18(nn.Module):
    BLOCKS = (2, 2, 2, 2)

    def __init__(self, channels, landmarks, filters=(64, 128, 256, 512), decoder=(256, 128, 64, 32, 16),
                 norm={"name": "batch"}, head=None):
        super().__init__()
        add_head(self, head, landmarks)
        self.encoder = ResNet(channels, filters, norm, self.BLOCKS)
        smp_decoder(self, filters[-1], [filters[0], *filters[:-1]], decoder, norm, landmarks)

    def forward(self, images):
        *skips, x = self.encoder(images)
        return decoded(self, images, skips, x)


class UNetResNet34(UNetResNet18):
    BLOCKS = (3, 4, 6, 3)


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, expansion, norm):
        super().__init__()
        wide = inputs * expansion
        if expansion > 1:
            self._expand_conv = nn.Conv2d(inputs, wide, 1, bias=False)
            self._bn0 = normalisation(norm, wide, 1e-3)
        self._depthwise_conv = nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False)
        self._bn1 = normalisation(norm, wide, 1e-3)
        self._project_conv = nn.Conv2d(wide, outputs, 1, bias=False)
        self._bn2 = normalisation(norm, outputs, 1e-3)
        self.around = stride == 1 and inputs == outputs

    def forward(self, x):
        y = F.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_expand_conv") else x
        y = self._bn2(self._project_conv(F.relu6(self._bn1(self._depthwise_conv(y)))))
        return x + y if self.around else y


def eighths(channels, width):
    """The multiple of eight next to a scaled number of channels, but not less than nine tenths of it."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


class EfficientNetLite(nn.Module):
    """An encoder with the names of efficientnet_pytorch, without its classifier."""

    STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112),
              (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))

    def __init__(self, channels, width, depth, norm):
        super().__init__()
        self._conv_stem = nn.Conv2d(channels, 32, 3, 2, 1, bias=False)
        self._bn0 = normalisation(norm, 32, 1e-3)
        blocks, inputs, self.skips, self.kept = [], 32, [], []
        for stage, (count, kernel, stride, expansion, outputs) in enumerate(self.STAGES):
            if stride == 2:
                self.kept.append(len(blocks))
                self.skips.append(inputs)
            fixed = stage in (0, len(self.STAGES) - 1)
            for block in range(count if fixed else -int(-(count * depth) // 1)):
                outputs_now = eighths(outputs, width)
                blocks.append(
                    InvertedResidual(inputs, outputs_now, kernel, stride if block == 0 else 1, expansion, norm)
                )
                inputs = outputs_now
        self._blocks, self.deepest = nn.ModuleList(blocks), inputs

    def forward(self, images):
        x, skips = F.relu6(self._bn0(self._conv_stem(images))), []
        for index, block in enumerate(self._blocks):
            if index in self.kept:
                skips.append(x)
            x = block(x)
        return [*skips, x]


class UNetEfficientNetLite0(nn.Module):
    WIDTH, DEPTH = 1.0, 1.0
    ENCODER = EfficientNetLite

    def __init__(self, channels, landmarks, width=None, depth=None, decoder=(256, 128, 64, 32, 16),
                 norm={"name": "batch"}, head=None):
        super().__init__()
        add_head(self, head, landmarks)
        self.encoder = self.ENCODER(channels, width or self.WIDTH, depth or self.DEPTH, norm)
        smp_decoder(self, self.encoder.deepest, self.encoder.skips, decoder, norm, landmarks)

    def forward(self, images):
        *skips, x = self.encoder(images)
        return decoded(self, images, skips, x)


class UNetEfficientNetLite1(UNetEfficientNetLite0):
    WIDTH, DEPTH = 1.0, 1.1


class UNetEfficientNetLite2(UNetEfficientNetLite0):
    WIDTH, DEPTH = 1.1, 1.2


class SqueezeAndExcitation(nn.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, squeezed, 1)
        self.conv_expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x):
        mean = x.mean((2, 3), keepdim=True)
        return x * self.conv_expand(F.silu(self.conv_reduce(mean))).sigmoid()


class MBConv(nn.Module):
    """An inverted residual block with the names of timm."""

    def __init__(self, inputs, outputs, kernel, stride, expansion, norm):
        super().__init__()
        wide = inputs * expansion
        self.conv_dw = nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False)
        self.se = SqueezeAndExcitation(wide, inputs // 4)
        if expansion > 1:
            self.conv_pw = nn.Conv2d(inputs, wide, 1, bias=False)
            self.bn1, self.bn2 = normalisation(norm, wide), normalisation(norm, wide)
            self.conv_pwl, self.bn3 = nn.Conv2d(wide, outputs, 1, bias=False), normalisation(norm, outputs)
        else:
            self.bn1 = normalisation(norm, wide)
            self.conv_pw, self.bn2 = nn.Conv2d(wide, outputs, 1, bias=False), normalisation(norm, outputs)
        self.around = stride == 1 and inputs == outputs

    def forward(self, x):
        if hasattr(self, "conv_pwl"):
            y = F.silu(self.bn2(self.conv_dw(F.silu(self.bn1(self.conv_pw(x))))))
            y = self.bn3(self.conv_pwl(self.se(y)))
        else:
            y = self.bn2(self.conv_pw(self.se(F.silu(self.bn1(self.conv_dw(x))))))
        return x + y if self.around else y


class EfficientNet(nn.Module):
    """An encoder with the names of timm, without its classifier."""

    def __init__(self, channels, width, depth, norm):
        super().__init__()
        inputs = eighths(32, width)
        self.conv_stem = nn.Conv2d(channels, inputs, 3, 2, 1, bias=False)
        self.bn1 = normalisation(norm, inputs)
        stages, self.skips, self.kept = [], [inputs], []
        for stage, (count, kernel, stride, expansion, outputs) in enumerate(EfficientNetLite.STAGES):
            if stride == 2 and stage > 1:
                self.kept.append(stage)
                self.skips.append(inputs)
            blocks = []
            for block in range(-int(-(count * depth) // 1)):
                outputs_now = eighths(outputs, width)
                blocks.append(MBConv(inputs, outputs_now, kernel, stride if block == 0 else 1, expansion, norm))
                inputs = outputs_now
            stages.append(nn.Sequential(*blocks))
        self.blocks, self.deepest = nn.Sequential(*stages), inputs

    def forward(self, images):
        x = F.silu(self.bn1(self.conv_stem(images)))
        skips = [x]
        for index, stage in enumerate(self.blocks):
            if index in self.kept:
                skips.append(x)
            x = stage(x)
        return [*skips, x]


class UNetEfficientNetB0(UNetEfficientNetLite0):
    ENCODER = EfficientNet


class UNetEfficientNetB1(UNetEfficientNetB0):
    WIDTH, DEPTH = 1.0, 1.1


class UNetEfficientNetB2(UNetEfficientNetB0):
    WIDTH, DEPTH = 1.1, 1.2


class Bottleneck(nn.Module):
    def __init__(self, inputs, channels, norm):
        super().__init__()
        outputs = 4 * channels
        self.conv1 = nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn1 = normalisation(norm, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = normalisation(norm, channels)
        self.conv3 = nn.Conv2d(channels, outputs, 1, bias=False)
        self.bn3 = normalisation(norm, outputs)
        if inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), normalisation(norm, outputs))

    def forward(self, x):
        around = self.downsample(x) if hasattr(self, "downsample") else x
        x = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(x)) + around)


def convolved(inputs, outputs, kernel, stride, norm, relu):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), normalisation(norm, outputs)]
    return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)


class HRModule(nn.Module):
    def __init__(self, widths, blocks, written, norm):
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(width, width, 1, norm) for _ in range(blocks))) for width in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(self.moved(widths, source, to, norm) for source in range(len(widths))) for to in range(written)
        )

    @staticmethod
    def moved(widths, source, to, norm):
        if source == to:
            return nn.Identity()
        if source > to:
            return convolved(widths[source], widths[to], 1, 1, norm, relu=False)
        steps = range(source, to)
        return nn.Sequential(*(
            convolved(widths[source], widths[to if s + 1 == to else source], 3, 2, norm, relu=s + 1 < to) for s in steps
        ))

    def forward(self, maps):
        maps = [branch(x) for branch, x in zip(self.branches, maps)]
        fused = []
        for to, layers in enumerate(self.fuse_layers):
            total = 0
            for source, layer in enumerate(layers):
                x = layer(maps[source])
                if source > to:
                    x = F.interpolate(x, size=maps[to].shape[-2:], mode="nearest")
                total = total + x
            fused.append(F.relu(total))
        return fused


class HRNetW18(nn.Module):
    """With the names of the authors' code."""

    WIDTH = 18

    def __init__(self, channels, landmarks, width=None, modules=(1, 4, 3), blocks=4, stem=64,
                 norm={"name": "batch"}, head=None):
        super().__init__()
        add_head(self, head, landmarks)
        width = width or self.WIDTH
        self.conv1 = nn.Conv2d(channels, stem, 3, 2, 1, bias=False)
        self.bn1 = normalisation(norm, stem)
        self.conv2 = nn.Conv2d(stem, stem, 3, 2, 1, bias=False)
        self.bn2 = normalisation(norm, stem)
        self.layer1 = nn.Sequential(*(Bottleneck(stem if block == 0 else 4 * stem, stem, norm) for block in range(4)))
        for index, count in enumerate(modules):
            widths = [width << branch for branch in range(index + 2)]
            lowest = 4 * stem if index == 0 else widths[-2]
            first = convolved(lowest, width, 3, 1, norm, relu=True) if index == 0 else nn.Identity()
            new = nn.Sequential(convolved(lowest, widths[-1], 3, 2, norm, relu=True))
            others = [nn.Identity() for _ in range(index)]
            self.add_module(f"transition{index + 1}", nn.ModuleList([first, *others, new]))
            last = index + 1 == len(modules)
            self.add_module(f"stage{index + 2}", nn.ModuleList(
                HRModule(widths, blocks, 1 if last and module + 1 == count else len(widths), norm)
                for module in range(count)
            ))
        self.stages = len(modules)
        self.final_layer = nn.Conv2d(width, landmarks, 1)

    def forward(self, images):
        x = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(images))))))
        maps = [self.layer1(x)]
        for index in range(self.stages):
            transition = self.get_submodule(f"transition{index + 1}")
            lower = transition[-1](maps[-1])
            maps = [transition[0](maps[0]), *maps[1:], lower]
            for module in self.get_submodule(f"stage{index + 2}"):
                maps = module(maps)
        up = F.interpolate(self.final_layer(maps[0]), size=images.shape[-2:], mode="bilinear", align_corners=True)
        return [ended(self, up)]


class HRNetW32(HRNetW18):
    WIDTH = 32


def separable(inputs, outputs, dilation=1):
    """A convolution of every channel by itself, then one of single pixels."""
    apart = nn.Conv2d(inputs, inputs, 3, padding=dilation, dilation=dilation, groups=inputs, bias=False)
    return nn.Sequential(apart, nn.Conv2d(inputs, outputs, 1, bias=False))


def activated(convolution, outputs, norm):
    return nn.Sequential(convolution, normalisation(norm, outputs), nn.ReLU())


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling."""

    def __init__(self, inputs, outputs, rates, norm):
        super().__init__()
        point, mean = (nn.Conv2d(inputs, outputs, 1, bias=False) for _ in range(2))
        pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), *activated(mean, outputs, norm))
        atrous = (activated(separable(inputs, outputs, rate), outputs, norm) for rate in rates)
        self.convs = nn.ModuleList([activated(point, outputs, norm), *atrous, pooling])
        self.project = activated(nn.Conv2d((len(rates) + 2) * outputs, outputs, 1, bias=False), outputs, norm)

    def forward(self, x):
        *parts, mean = (convolution(x) for convolution in self.convs)
        return self.project(torch.cat([*parts, mean.expand_as(parts[0])], 1))


class DeepLabV3Plus(nn.Module):
    """With the names of segmentation_models_pytorch, without its dropout."""

    def __init__(self, channels, landmarks, filters=(64, 128, 256, 512), decoder_channels=256, low_level_channels=48,
                 atrous_rates=(6, 12, 18), norm={"name": "batch"}, head=None):
        super().__init__()
        add_head(self, head, landmarks)
        self.encoder = ResNet(channels, filters, norm, (3, 4, 6, 3), dilated=True)
        width, low, both = decoder_channels, low_level_channels, decoder_channels + low_level_channels
        self.decoder = nn.Module()
        pyramid = Pyramid(filters[-1], width, atrous_rates, norm)
        self.decoder.aspp = nn.Sequential(pyramid, *activated(separable(width, width), width, norm))
        self.decoder.block1 = activated(nn.Conv2d(filters[0], low, 1, bias=False), low, norm)
        self.decoder.block2 = activated(separable(both, width), width, norm)
        self.segmentation_head = nn.Sequential(nn.Conv2d(width, landmarks, 1))

    def forward(self, images):
        _, low, *_, deepest = self.encoder(images)
        enlarged = {"mode": "bilinear", "align_corners": True}
        up = F.interpolate(self.decoder.aspp(deepest), size=low.shape[-2:], **enlarged)
        x = self.decoder.block2(torch.cat([up, self.decoder.block1(low)], 1))
        return [ended(self, F.interpolate(self.segmentation_head(x), size=images.shape[-2:], **enlarged))]


RESNETS = {"unet-resnet18": UNetResNet18, "unet-resnet34": UNetResNet34}
EFFICIENTNETS = {"unet-efficientnet-b0": UNetEfficientNetB0, "unet-efficientnet-b1": UNetEfficientNetB1,
                 "unet-efficientnet-b2": UNetEfficientNetB2}
LITES = {"unet-efficientnet-lite0": UNetEfficientNetLite0, "unet-efficientnet-lite1": UNetEfficientNetLite1,
         "unet-efficientnet-lite2": UNetEfficientNetLite2}
MODELS = {"unet++": UNetPlusPlus, "unet": UNet, "attention-unet": AttentionUNet, **RESNETS,
          **EFFICIENTNETS, **LITES, "hrnet-w18": HRNetW18, "hrnet-w32": HRNetW32, "deeplabv3+": DeepLabV3Plus}


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
