"""What the networks of pytorch_networks.py compute in PyTorch: the fixtures of tests/it/parity.rs.

    parity.py                        writes tests/fixtures/parity/*.safetensors again
    parity.py --load FILE            checks that PyTorch takes a file of our weights, strictly
    parity.py --save FILE --like FILE    writes PyTorch's own random weights for the network of another file
    parity.py --count                prints numbers of trained values
    parity.py --smp                  holds the U-Nets with a ResNet or EfficientNet and DeepLabV3+ against
                                     segmentation_models_pytorch's own, at their published sizes, and writes names and
                                     shapes to resnet18.json, deeplabv3+.json and efficientnet-b0.json to -b2.json
    parity.py --public               holds encoders against timm and efficientnet_lite_pytorch
    parity.py --state-dicts          writes tests/fixtures/weights: small files of weights as torch.save makes them

A file's metadata has one key, `network`: JSON with `model` (as in a definition), `channels` and `landmarks`; a
checkpoint of `sweep run` says the same in its own words.
Needs torch and safetensors; the fixtures say which torch made them.
"""

import argparse
import itertools
import json
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from pytorch_networks import MODELS, ResNet, build, channels_of, description_of

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "parity"
STEPS, LEARNING_RATE, WEIGHT_DECAY = 5, 1e-3, 0.01


def metadata(description):
    """One key only: the order of several would change from run to run."""
    return {"network": json.dumps(description)}


def described(file):
    """A fixture's network, or that of a checkpoint of `sweep run`."""
    if "landmark-sweep" in file.metadata():
        checkpoint = description_of(file)
        config = checkpoint["config"]
        return {"model": config["model"], "channels": channels_of(config), "landmarks": len(checkpoint["landmarks"])}
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


def is_normalisation(network, key):
    module = network.get_submodule(key.rsplit(".", 1)[0])
    return isinstance(module, (nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d))


def fixture(name, seed, model, shape, landmarks):
    batch, channels, height, width = shape
    description = {"model": model, "channels": channels, "landmarks": landmarks, "torch": torch.__version__}
    torch.manual_seed(seed)
    network = build(description).double().train()
    # Scales, shifts and running statistics that are not all one and zero. All values fit in f32, so that both
    # precisions start from the same ones.
    for key, value in network.state_dict().items():
        if is_normalisation(network, key) and value.is_floating_point():
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
    transposed = {"name": "unet", "filters": [4, 6, 8, 10], "upsampling": "transposed"}
    fixture("unet-transposed", 81, transposed, (2, 1, 21, 18), 2)
    group = {"name": "group", "groups": 2}
    fixture("unetpp-group", 6, {"name": "unet++", "filters": [4, 6, 8], "norm": group}, (2, 2, 13, 18), 2)
    fixture("unet-group", 7, {"name": "unet", "filters": [4, 8], "norm": {"name": "group", "groups": 4}}, (1, 1, 17, 12), 3)
    resnet = {"name": "unet-resnet18", "filters": [2, 3, 4, 5], "decoder": [5, 4, 3, 3, 2]}
    # Of seeds 8 to 29 the one that PyTorch itself rounds least: its deepest maps have six values to normalise by.
    fixture("unet-resnet18", 13, resnet, (3, 1, 64, 32), 3)
    small = {"name": "unet-resnet18", "filters": [4, 6], "decoder": [6, 5, 4]}
    fixture("unet-resnet18-odd", 9, small, (2, 2, 37, 29), 2)
    fixture("unet-resnet34", 31, {**small, "name": "unet-resnet34"}, (3, 1, 29, 23), 1)
    lite = {"width": 0.05, "depth": 0.3, "decoder": [6, 5, 4, 3, 3]}
    fixture("unet-efficientnet-lite0", 32, {"name": "unet-efficientnet-lite0", **lite}, (3, 1, 64, 40), 2)
    fixture("unet-efficientnet-b0", 71, {"name": "unet-efficientnet-b0", **lite}, (3, 1, 64, 40), 2)
    hrnet = {"name": "hrnet-w18", "width": 2, "modules": [1, 1, 1], "blocks": 1, "stem": 2}
    fixture("hrnet-w18", 35, hrnet, (3, 1, 61, 35), 1)
    fixture("attention-unet", 41, {"name": "attention-unet", "filters": [4, 6, 9]}, (2, 1, 19, 14), 2)
    # A gate's single channel is a group of its own.
    small = {"name": "attention-unet", "filters": [4, 8], "norm": group}
    fixture("attention-unet-group", 42, small, (1, 2, 12, 11), 3)
    deeplab = {"name": "deeplabv3+", "filters": [3, 4, 5], "decoder_channels": 16, "low_level_channels": 3,
               "atrous_rates": [1, 3]}
    # Of seeds 51 to 70 the one that PyTorch itself rounds least: the means of images are alike, and are normalised.
    fixture("deeplabv3+", 68, deeplab, (6, 1, 25, 19), 2)
    scn = {"name": "scn", "factor": 4, "layers": 2, "filters": 5, "kernel": 7}
    fixture("unetpp-scn", 10, {"name": "unet++", "filters": [4, 6], "head": scn}, (2, 1, 26, 21), 3)
    scn = {"name": "scn", "factor": 2, "layers": 1, "filters": 4, "kernel": 11, "combine": "sum"}
    fixture("unet-scn", 11, {"name": "unet", "filters": [4, 6], "norm": {"name": "instance"}, "head": scn}, (2, 1, 18, 21), 3)


def against_smp():
    """Our PyTorch text and segmentation_models_pytorch's own network: the same names, shapes and outputs."""
    import segmentation_models_pytorch as smp

    common = {"encoder_weights": None, "in_channels": 1, "classes": 10}
    for name, theirs, file in (
        ("unet-resnet34", smp.Unet("resnet34", **common), None),
        ("unet-resnet18", smp.Unet("resnet18", **common), "resnet18.json"),
        ("deeplabv3+", smp.DeepLabV3Plus(
            "resnet34", decoder_atrous_rates=(6, 12, 18), decoder_aspp_dropout=0, **common
        ), "deeplabv3+.json"),
        *((f"unet-efficientnet-b{i}", smp.Unet(f"timm-efficientnet-b{i}", **common), f"efficientnet-b{i}.json") for i in range(3)),
    ):
        ours = build({"model": {"name": name}, "channels": 1, "landmarks": 10})
        # Our networks drop nothing at random.
        for module in theirs.modules():
            if hasattr(module, "drop_prob"):
                module.drop_prob = 0.0
        # An EfficientNet has layers of its classifier that nothing reads.
        unread = ("encoder.conv_head.", "encoder.bn2.")
        weights = {n: v for n, v in theirs.state_dict().items() if "efficientnet" not in name or not n.startswith(unread)}
        ours.load_state_dict(weights, strict=True)
        torch.manual_seed(0)
        images = torch.rand(2, 1, 96, 64)
        for mode in (False, True):
            with torch.no_grad():
                found, expected = ours.train(mode)(images)[0], theirs.train(mode)(images)
            difference = (found - expected).abs().max()
            print(f"{name}, {'training' if mode else 'evaluation'}: largest difference {difference:.1e}")
        print(f"{name}: {sum(p.numel() for p in ours.parameters())} trained values")
        shapes = {key: list(t.shape) for key, t in weights.items() if not key.endswith("num_batches_tracked")}
        about = {"segmentation_models_pytorch": smp.__version__, "torch": torch.__version__, "shapes": shapes}
        if file:
            (FIXTURES / file).write_text(json.dumps(about, indent=0) + "\n")


def against_public():
    """The encoders whose weights people download: HRNet as in timm, EfficientNet-Lite as in efficientnet_lite_pytorch."""
    import timm
    from efficientnet_lite_pytorch import EfficientNet

    torch.manual_seed(0)
    for width in (18, 32):
        theirs = timm.create_model(f"hrnet_w{width}", pretrained=False).eval()
        ours = build({"model": {"name": f"hrnet-w{width}"}, "channels": 3, "landmarks": 17}).eval()
        weights = theirs.state_dict()
        own = {name: weights.get(name, value) for name, value in ours.state_dict().items()}
        own.update({name: value for name, value in ours.state_dict().items() if name.startswith("final_layer")})
        ours.load_state_dict(own, strict=True)
        images = torch.rand(2, 3, 64, 96)
        with torch.no_grad():
            x = F.relu(theirs.bn2(theirs.conv2(F.relu(theirs.bn1(theirs.conv1(images))))))
            maps = ours.final_layer(theirs.stages(x)[0])
            expected = F.interpolate(maps, size=(64, 96), mode="bilinear", align_corners=True)
            difference = (ours(images)[0] - expected).abs().max()
        print(f"hrnet-w{width}: {sum(p.numel() for p in ours.parameters())} trained values, difference {difference:.1e}")
    for index in range(3):
        # Every map of 33 pixels has an odd side, where TensorFlow pads as PyTorch does.
        theirs = EfficientNet.from_name(f"efficientnet-lite{index}", image_size=33).eval()
        ours = build({"model": {"name": f"unet-efficientnet-lite{index}"}, "channels": 3, "landmarks": 2}).eval()
        encoder = {n: v for n, v in theirs.state_dict().items() if not n.startswith(("_conv_head", "_bn1.", "_fc"))}
        ours.encoder.load_state_dict(encoder, strict=True)
        images = torch.rand(2, 3, 33, 33)
        with torch.no_grad():
            x = F.relu6(theirs._bn0(theirs._conv_stem(images)))
            for block in theirs._blocks:
                x = block(x)
            difference = (ours.encoder(images)[-1] - x).abs().max()
        values = sum(p.numel() for p in ours.parameters())
        print(f"unet-efficientnet-lite{index}: {values} trained values, encoder's difference {difference:.1e}")


def write_state_dicts():
    """What users have: an encoder by itself and a whole checkpoint, in several types, orders and containers."""
    folder = FIXTURES.parent / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    filters, norm = [4, 6], {"name": "batch"}
    encoder = ResNet(3, filters, norm)
    encoder.fc = nn.Linear(6, 2)
    for name, value in encoder.state_dict().items():
        if value.is_floating_point():
            # Exact in every type that is saved.
            value.copy_(torch.randint(-8, 9, value.shape) / 8)
        if name.endswith("running_var"):
            value.abs_().add_(1 / 8)
    state = encoder.state_dict()
    torch.save(state, folder / "encoder.pth")
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "encoder.safetensors")
    types = itertools.cycle((torch.float64, torch.float16, torch.bfloat16))
    half = {name: value.to(next(types)) if value.is_floating_point() else value for name, value in state.items()}
    torch.save(half, folder / "types.pth")
    # Weights in channels_last have strides of their own; a whole training's checkpoint has more than weights in it.
    strided = {name: v.to(memory_format=torch.channels_last) if v.dim() == 4 else v for name, v in state.items()}
    strided["bn1.bias"] = torch.stack([state["bn1.bias"], state["bn1.bias"] + 1], 1)[:, 0]
    strided = {f"module.{name}": nn.Parameter(v) if v.is_floating_point() else v for name, v in strided.items()}
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9)
    torch.save({"epoch": 3, "state_dict": strided, "optimizer": optimizer.state_dict(), "note": "a note"},
               folder / "checkpoint.pth")
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(encoder, folder / "module.pth")
    torch.save({"conv1.weight": torch.zeros(1), "evil": Evil()}, folder / "evil.pth")
    for path in sorted(folder.iterdir()):
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB")


class Evil:
    """Whoever runs the pickle makes a folder."""

    def __reduce__(self):
        return os.mkdir, ("landmark-sweep-pickle-was-run",)


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
        *({"name": name} for name in MODELS if name not in ("unet++", "unet")),
    ):
        network = build({"model": model, "channels": 1, "landmarks": 10})
        print(model, sum(p.numel() for p in network.parameters()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=Path, metavar="FILE")
    parser.add_argument("--save", type=Path, metavar="FILE")
    parser.add_argument("--like", type=Path, metavar="FILE")
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--smp", action="store_true")
    parser.add_argument("--public", action="store_true")
    parser.add_argument("--state-dicts", action="store_true")
    arguments = parser.parse_args()
    if arguments.load:
        load(arguments.load)
    elif arguments.save:
        save(arguments.save, arguments.like)
    elif arguments.count:
        count()
    elif arguments.smp:
        against_smp()
    elif arguments.public:
        against_public()
    elif arguments.state_dicts:
        write_state_dicts()
    else:
        write_fixtures()
