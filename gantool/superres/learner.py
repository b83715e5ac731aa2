"""What both trainings stand on: a run with its photographs, and a net with its average, scores and export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from gantool import data, percept, training
from gantool.anatomy import Layout
from gantool.loading import save_model
from gantool.ops.resize import resize
from gantool.superres.nets import enlarger, net_of
from gantool.superres.pairs import PairConfig, Pairs
from gantool.training import Ema, Loop, TrainRequest

C = TypeVar("C", bound=PairConfig, covariant=True)


class Learner(Generic[C]):
    """An open run, and the net that learns in it.

    Args:
        kind: the recipe's Config.
        default_steps: how long it trains unless told otherwise.
    """

    def __init__(self, request: TrainRequest, kind: type[C], default_steps: Callable[[C], int]) -> None:
        self.request = request
        self.found, self.fabric = data.find_photos(request.data), training.fabric_for(request)
        self.run, self.config = training.open_run(request, kind, default_steps, self.found, self.fabric)
        self.share = training.share_of(self.fabric, self.config.batch, request.accumulate)
        self.pairs = Pairs(self.config)

    def take(self, layout: Layout) -> nn.Module:
        """A new net, with its average: by the seed, or from ``init``."""
        training.seed_step(self.run.seed, 0)
        self.layout, self.net = layout, net_of(layout)
        if self.config.init and not self.run.resumed:
            own_names = getattr(self.net, "own_names", None)  # from other spellings
            self.request.say(training.start_from(self.net, self.config.init, own_names))
        self.ema = Ema(self.net, self.config.ema)
        return self.net

    def loop(self, better: str = "psnr", **parts: Any) -> Loop:
        """The loop that samples, scores and saves the net; ``parts`` are saved with it."""
        self.eye = percept.load(self.fabric.device, model=self.config.eye)
        kept_out, self.paths = data.split(self.found, self.config.holdout, self.run.seed)
        self.pairs.ready(self.paths)
        self.held = self.pairs.held(kept_out)
        self.ema.to(self.fabric.device)

        def sample(done: int) -> dict[str, float]:
            with self.ema.applied(self.net):
                return self._score(loop, done) if self.held else {}

        parts, batch = {"net": self.net, "ema": self.ema} | parts, self.config.batch
        loop = Loop(self.run, self.request, self.fabric, batch, parts, sample, self._export, better)
        self.request.say(data.told(len(self.paths), "photograph", len(self.held), self.run.steps))
        return loop

    def steps(self, loop: Loop) -> Iterator[tuple[int, list[Tensor]]]:
        """Every step, with its low (N,3,h,w) and high (N,3,h*s,w*s) in [0,1]."""
        photos = data.photos(self.paths, self.pairs.prepare)
        dataset = data.Steps(photos, self.pairs.crop, self.config.batch, self.run.seed, self.share)
        feed = data.batches(dataset, loop.start, loop.stop, self.config.workers, self.fabric.device)
        for step in loop:
            yield step, self.fabric.to_device(next(feed))
        for path in photos.bad:
            self.request.warn(f"left out: {path} (unreadable or smaller than a crop)")

    @torch.no_grad()
    def _score(self, loop: Loop, done: int) -> dict[str, float]:
        """Write rows of (bicubic, ours, truth); PSNR over RGB (dB) and ``percept`` of ours and bicubic."""
        low, high = (torch.stack(side) for side in zip(*self.held, strict=True))
        enlarge, device = enlarger(self.net, self.layout), self.fabric.device
        with self.fabric.autocast():
            ours = [enlarge(part.to(device)).cpu() for part in low.split(4)]
        made = {"": torch.cat(ours).clamp(0, 1)}
        made["_bicubic"] = resize(low, high.shape[-2], high.shape[-1]).clamp(0, 1)
        shown = (made["_bicubic"], made[""], high)
        rows = [[training.to_image(x[i]) for x in shown] for i in range(min(6, len(low)))]
        training.save_grid(self.run.sheet(done), rows)
        # No inputs: the bicubic picture is so like the truth that being like it means nothing.
        loop.watch.health.samples(done, None, *(np.stack([row[i] for row in rows]) for i in (1, 2)))
        scores = {}
        for name, x in made.items():
            error = (x - high).square().mean((1, 2, 3)).clamp_min(1e-10)
            scores[f"psnr{name}"] = float((-10 * error.log10()).mean())
            parts = zip(x.split(4), high.split(4), strict=True)
            apart = [self.eye(a.to(device), b.to(device)).cpu() for a, b in parts]
            scores[f"percept{name}"] = float(torch.cat(apart).mean())
        return scores

    def _export(self, path: Path) -> None:
        """Save the averaged net with its row."""
        layout, values = self.layout, dict(vars(self.layout))
        # fp16 is cleared for released weights only, which many have run in it.
        values["dtypes"] = tuple(dtype for dtype in layout.dtypes if dtype == "bf16")
        summary = f"trained for x{layout.scale} by gantool train --task {self.request.task}"
        row = training.trained_row(self.run, task="upscale", summary=summary, **values)
        save_model(path, self.ema.state, row, half=True)
