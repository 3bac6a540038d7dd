"""The build backend of the wheel: maturin, after the program `sweep` and the networks in PyTorch lie where it takes them from.

`pip install` of a checkout or of a source distribution comes through its hooks; scripts/build-wheel runs it as a program, with the
oldest C library that the wheel shall serve (`2.28`), which zig then links against.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import maturin
from maturin import (  # noqa: F401
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
)

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ROOT / "src/python/landmark_sweep.data"


def output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def build_program(to: Path, glibc: str | None) -> None:
    """Builds `sweep`, for the C library of this machine or for an older one."""
    if not glibc:
        target = json.loads(output("cargo", "metadata", "--no-deps", "--format-version", "1"))["target_directory"]
        subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--bin", "sweep"], cwd=ROOT, check=True)
        shutil.copy(Path(target, "release/sweep"), to)
        return
    # In a wheel that is thrown away: what maturin has compiled with zig serves the module too, what cargo-zigbuild has does not.
    host = next(line.split()[1] for line in output("rustc", "-vV").splitlines() if line.startswith("host:"))
    build = ["maturin", "build", "--release", "--quiet", "--bindings", "bin", "--manifest-path", "Cargo.toml"]
    for_glibc = ["--zig", "--compatibility", f"manylinux_{glibc.replace('.', '_')}", "--target", host]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*build, *for_glibc, "--out", folder], cwd=ROOT, check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            to.write_bytes(wheel.read(next(name for name in wheel.namelist() if name.endswith("/scripts/sweep"))))
    to.chmod(0o755)


def stage(glibc: str | None = None) -> None:
    """Lays what is no module where maturin takes it from: programs in `scripts`, files of the package in `platlib`."""
    shutil.rmtree(DATA, ignore_errors=True)
    programs, package = DATA / "scripts", DATA / "platlib/landmark_sweep"
    programs.mkdir(parents=True)
    package.mkdir(parents=True)
    build_program(programs / "sweep", glibc)
    shutil.copy(ROOT / "scripts/pytorch_networks.py", package)


def build_wheel(directory: str, settings: dict[str, Any] | None = None, metadata: str | None = None) -> str:
    stage()
    return maturin.build_wheel(directory, settings, metadata)


def build_editable(directory: str, settings: dict[str, Any] | None = None, metadata: str | None = None) -> str:
    stage()
    return maturin.build_editable(directory, settings, metadata)


# maturin wants the folder even where it takes nothing from it.


def prepare_metadata_for_build_wheel(directory: str, settings: dict[str, Any] | None = None) -> str:
    DATA.mkdir(exist_ok=True)
    return maturin.prepare_metadata_for_build_wheel(directory, settings)


def build_sdist(directory: str, settings: dict[str, Any] | None = None) -> str:
    DATA.mkdir(exist_ok=True)
    return maturin.build_sdist(directory, settings)


if __name__ == "__main__":
    stage(*sys.argv[1:])
