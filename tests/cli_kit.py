"""Small things that tests of the command line need: pictures, a film, tiny models, and a way to call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


def call(capfd: Any, *words: object) -> Outcome:
    """``cli.main`` in this process, with what it wrote to the two file descriptors."""
    from gantool import cli

    capfd.readouterr()
    code = cli.main([str(word) for word in words])
    out, err = capfd.readouterr()
    return Outcome(code, out, err)


def start(*words: object, **options: Any) -> subprocess.Popen[bytes]:
    """``gantool`` as a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
    command = [sys.executable, "-m", "gantool", *map(str, words)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, **options
    )


def photo(path: Path, width: int = 24, height: int = 16, gray: bool = True) -> Path:
    """A small picture with edges in it."""
    from PIL import Image

    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 10, y * 12, (x + y) * 6], axis=-1).astype(np.uint8)
    image = Image.fromarray(pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    (image.convert("L") if gray else image).save(path)
    return path


def film(path: Path, frames: int = 6, width: int = 48, height: int = 32, sound: bool = False) -> Path:
    """A small film of a moving pattern, 25 frames per second."""
    from gantool.media.video import write_clip

    y, x = np.mgrid[:height, :width]
    pattern = np.stack([x * 5, y * 7, x + y], axis=-1).astype(np.uint8)
    audio = np.sin(np.arange(48_000 * frames // 25) / 20)[:, None] * 0.1 if sound else None
    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(path, (np.roll(pattern, n, axis=1) for n in range(frames)), Fraction(25), audio)
    return path


def colorizer(path: Path) -> Path:
    """A colorizer with random weights."""
    import torch

    from gantool.catalog import Checkpoint
    from gantool.loading import save_model
    from gantool.models.colorizer import ResNetUNet

    args = {"bridge": 4, "decoder": [4, 4, 4, 4], "dropout": 0.0}
    torch.manual_seed(0)
    row = Checkpoint("tiny-color", "colorize", arch="colorizer.ResNetUNet", args=args, multiple=32)
    save_model(path, ResNetUNet(**args), row)  # type: ignore[arg-type]
    return path


def upscaler(path: Path, scale: int = 2) -> Path:
    """An upscaler with random weights."""
    import torch

    from gantool.catalog import Checkpoint
    from gantool.loading import save_model
    from gantool.models.srvgg import SRVGGNetCompact

    args = {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_conv": 1, "upscale": scale}
    torch.manual_seed(0)
    row = Checkpoint("tiny", "upscale", arch="srvgg.SRVGGNetCompact", args=args, scale=scale, radius=4)
    save_model(path, SRVGGNetCompact(**args), row)
    return path


def translator(path: Path) -> Path:
    """A CycleGAN net with random weights."""
    import torch

    from gantool.catalog import Checkpoint
    from gantool.loading import save_model
    from gantool.models.cyclegan import ResnetGenerator

    args = {"blocks": 1, "ngf": 2}
    torch.manual_seed(0)
    row = Checkpoint(
        "tiny-g", "translate", arch="cyclegan.ResnetGenerator", args=args, multiple=4, signed=True, whole=True
    )
    save_model(path, ResnetGenerator(**args), row)
    return path


def names(folder: Path) -> list[str]:
    """Everything under a folder, hidden files too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def styler(path: Path) -> Path:
    """A net for any style with random weights."""
    from gantool.catalog import Checkpoint
    from gantool.loading import save_model
    from gantool.models.microast import MicroAST

    row = Checkpoint("tiny-any", "style", arch="microast.MicroAST", args={"width": 2}, multiple=4, whole=True)
    save_model(path, _lively(MicroAST(2)), row)
    return path


def johnson(path: Path) -> Path:
    """A net of one style with random weights."""
    from gantool.catalog import Checkpoint
    from gantool.loading import save_model
    from gantool.models.transformer_net import TransformerNet

    args = {"widths": [4, 5, 6], "blocks": 1}
    row = Checkpoint(
        "tiny-one", "style", arch="transformer_net.TransformerNet", args=args, multiple=4, whole=True
    )
    save_model(path, _lively(TransformerNet(**args)), row)  # type: ignore[arg-type]
    return path


def _lively(net: Any) -> Any:
    """Weights by which something of the picture reaches the other end, in about [0,1]."""
    import torch

    torch.manual_seed(3)
    layers = [layer for layer in net.modules() if isinstance(layer, torch.nn.Conv2d)]
    for layer in layers:
        torch.nn.init.kaiming_normal_(layer.weight)
        if layer.bias is not None:
            torch.nn.init.zeros_(layer.bias)
    last = layers[-1]
    torch.nn.init.normal_(last.weight, std=0.1 / last.weight[0].numel() ** 0.5)
    torch.nn.init.constant_(last.bias, 0.5)
    return net
