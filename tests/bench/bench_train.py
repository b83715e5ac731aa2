"""Images per second of pix2pix training, beside the plain loop of the original program's nets.

    python tests/bench/bench_train.py [--size 256] [--ngf 64] [--batch 1 4] [--steps 6] [--device cpu]

The plain loop is what pytorch-CycleGAN-and-pix2pix does at a step, on the same architectures: float32, the
default memory order, Adam; data are in memory already. Ours is ``gantool train`` itself with all it does:
pictures read and cropped, EMA, log. They run in turns, each in a process of its own, as they would for a
user; a ratio of their medians above 1 means that gantool is quicker.
With ``--original FILE``, the plain loop takes its nets from that program's ``models/networks.py``.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from gantool.models.pix2pix import NLayerDiscriminator, UnetGenerator, initialise
from gantool.recipes import pix2pix
from gantool.training import TrainRequest

WARMUP = 16  # steps before ours runs at its own pace
KINDS = ("plain fp32", "gantool fp32", "gantool bf16")


class Clock:
    """Stands in for the progress bar and notes when each step ended."""

    def __init__(self, device: str) -> None:
        self.times: list[float] = []
        self.device = device

    def advance(self, n: int = 1) -> None:
        if self.device != "cpu":
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())

    def total(self, n: int | None) -> None: ...
    def values(self, values: Any) -> None: ...
    def scores(self, step: int, scores: Any, best: str = "") -> None: ...
    def note(self, remark: str) -> None: ...

    def seconds(self, warmup: int) -> float:
        """Mean time of a step after the first few; a median would hide what every fourth step does."""
        return (self.times[-1] - self.times[warmup]) / (len(self.times) - 1 - warmup)


def ours(folder: Path, out: Path, options: Any, batch: int, precision: str) -> float:
    clock = Clock(options.device)
    settings = {"size": options.size, "ngf": options.ngf, "batch": batch, "holdout": 0}
    request = TrainRequest(
        "pix2pix",
        (folder,),
        out,
        steps=10_000,
        stop_after=options.steps + WARMUP + 1,
        sample_every=100_000,
        device=options.device,
        precision=precision,
        settings={k: str(v) for k, v in settings.items()},
        threads=options.threads,
        progress=clock,
    )
    pix2pix.train(request)
    return batch / clock.seconds(WARMUP)


def nets(options: Any) -> tuple[Any, Any]:
    if options.original is None:
        downs = min(8, options.size.bit_length() - 1)
        return initialise(UnetGenerator(ngf=options.ngf, downs=downs)), initialise(
            NLayerDiscriminator(ndf=64)
        )
    spec = importlib.util.spec_from_file_location("networks", options.original)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    generator = module.define_G(3, 3, options.ngf, "unet_256", "batch", True, "normal", 0.02)
    return generator, module.define_D(6, 64, "basic", 3, "batch", "normal", 0.02)


def plain(options: Any, batch: int) -> float:
    torch.manual_seed(0)
    generator, critic = (net.to(options.device).train() for net in nets(options))
    g_adam = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    d_adam = torch.optim.Adam(critic.parameters(), lr=2e-4, betas=(0.5, 0.999))
    shape = (batch, 3, options.size, options.size)
    a, b = (torch.rand(shape, device=options.device) * 2 - 1 for _ in range(2))
    clock = Clock(options.device)
    for _ in range(options.steps + 3):
        fake = generator(a)
        for parameter in critic.parameters():
            parameter.requires_grad_(True)
        d_adam.zero_grad()
        no = critic(torch.cat((a, fake.detach()), 1))
        yes = critic(torch.cat((a, b), 1))
        loss = F.binary_cross_entropy_with_logits(no, torch.zeros_like(no))
        loss = (loss + F.binary_cross_entropy_with_logits(yes, torch.ones_like(yes))) / 2
        loss.backward()
        d_adam.step()
        for parameter in critic.parameters():
            parameter.requires_grad_(False)
        g_adam.zero_grad()
        answer = critic(torch.cat((a, fake), 1))
        total = F.binary_cross_entropy_with_logits(answer, torch.ones_like(answer)) + 100 * F.l1_loss(fake, b)
        total.backward()
        g_adam.step()
        total.item()
        clock.advance()
    return batch / clock.seconds(2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--ngf", type=int, default=64)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--original", type=Path, default=None)
    parser.add_argument("--one", nargs=2, metavar=("KIND", "BATCH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(measured(options, options.one[0], int(options.one[1])))
        return
    print(f"pix2pix, {options.size} px, ngf {options.ngf}, {options.device}: images/s (ratio to plain fp32)")
    for batch in options.batch:
        found: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(options.rounds):
            for kind in KINDS:
                command = [sys.executable, *sys.argv, "--one", kind, str(batch)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[kind].append(float(done.stdout.split()[-1]))
        middle = {kind: statistics.median(values) for kind, values in found.items()}
        words = [f"{k} {v:.3f} ({v / middle['plain fp32']:.2f})" for k, v in middle.items()]
        print(f"batch {batch}: " + ", ".join(words), flush=True)


def measured(options: Any, kind: str, batch: int) -> float:
    """Images per second, in this process."""
    if options.threads:
        torch.set_num_threads(options.threads)
    program, precision = kind.split()
    if program == "plain":
        return plain(options, batch)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "pairs").mkdir()
        for number in range(8):
            pair = rng.integers(0, 255, (options.size, 2 * options.size, 3), dtype=np.uint8)
            cv2.imwrite(str(root / f"pairs/{number}.png"), cv2.GaussianBlur(pair, (0, 0), 3))
        return ours(root / "pairs", root / "run", options, batch, precision)


if __name__ == "__main__":
    main()
