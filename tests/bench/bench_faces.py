"""What rendering pairs of faces and a step of TP-GAN cost on one core; prints, asserts nothing.

python tests/bench/bench_faces.py HEAD.npz [WIDTH ...]
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from gantool import heads
from gantool.models.tpgan import NOISE, TPGAN, PatchCritic
from gantool.recipes.tpgan import likeness
from gantool.training import GameConfig
from gantool.training.game import Game

BATCH = 8


def seconds(work: Callable[[], object], times: int) -> float:
    """Processor time of one call, the least of several."""
    found = []
    for _ in range(times):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def renders(path: Path) -> None:
    """Milliseconds for a person, a pair of pictures, and both."""
    head = heads.load(path)
    people = [heads.person(head, np.random.default_rng(number)) for number in range(16)]
    someone = iter(range(1000))
    person = seconds(lambda: heads.person(head, np.random.default_rng(next(someone))), 16)
    pair = np.median(
        [seconds(lambda p=p: heads.pair(p, 60.0, np.random.default_rng(1)), 2) for p in people]  # type: ignore[misc]
    )
    print(f"a person {1e3 * person:.1f} ms, a pair of 128 px {1e3 * pair:.1f} ms")


def step(width: float, dtype: torch.dtype | None) -> None:
    """Seconds of a training step's nets: the generator there and back, the critic, its penalty."""
    torch.manual_seed(0)
    net, critic = TPGAN(width), PatchCritic(max(8, round(64 * width)))
    game = Game(GameConfig(gan="wgangp"))
    for module in (net, critic):
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x, y = (torch.rand(BATCH, 3, 128, 128) * 2 - 1 for _ in range(2))

    def generator() -> None:
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            answers = net(x, None, torch.randn(BATCH, NOISE), True)
            judged = critic(answers.pictures[0])
        (sum(likeness(answers, y, net.boxes).values()) - 1e-3 * judged.float().mean()).backward()

    def judge() -> None:
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            real, fake = critic(torch.cat((x, y))).float().chunk(2)
        penalty = game.penalty(critic, x, y)
        assert penalty is not None
        (game.critic(real, fake) + penalty).backward()

    made, judged = seconds(generator, 3), seconds(judge, 3)
    kind = "fp32" if dtype is None else "bf16"
    print(f"width {width:g}, batch {BATCH}, {kind}: generator {made:.2f} s, critic {judged:.2f} s")


if __name__ == "__main__":
    torch.set_num_threads(1)
    renders(Path(sys.argv[1]))
    for width in [float(word) for word in sys.argv[2:]] or [0.125, 0.25]:
        for dtype in (None, torch.bfloat16):
            step(width, dtype)
