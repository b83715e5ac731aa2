"""Train a small net that tells people apart, on rendered faces, as the judge of identity for ``tpgan``.

People are invented from a morphable head; of each, a few pictures from all sides are rendered once and shown
in ever new tones, sharpness and positions. The loss is CosFace's (Wang et al. 2018, 1801.09414), its margin
growing from 0. People whose numbers are beyond those of training are verified: are two pictures of one
person?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool import alignment, data, heads, people, training
from gantool.errors import InputError
from gantool.loading import save_model
from gantool.models.facenet import FaceNet, MarginHead
from gantool.settings import param
from gantool.training import Ema, Loop, TrainRequest

NEEDS_HEAD = "Give the .npz file of a morphable head, such as one made from ICT-FaceKit"


@dataclass
class Config:
    """Parameters of ``gantool train --task faceid``."""

    people: int = param(4000, "people to invent", low=2)
    views: int = param(6, "pictures rendered of each", low=1)
    features: int = param(128, "numbers that stand for an identity", low=2)
    margin: float = param(0.25, "cosine by which the right person must win", low=0, high=1)
    scale: float = param(32.0, "of cosines before the cross-entropy", low=1)
    lr: float = param(2e-3, "highest learning rate of AdamW", low=1e-8)
    decay: float = param(5e-4, "weight decay", low=0)
    batch: int = param(32, "pictures per step", low=2)
    ema: float = param(0.998, "decay of the averaged weights", low=0, high=1)
    holdout: int = param(100, "people kept out of training, for the scores", low=2)
    workers: int = param(0, "processes that render; each keeps pictures of its own; -1 = by device", low=-1)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    path, folders = people.split_roots(request.data)
    if path is None or folders:
        raise InputError("faceid learns from rendered faces alone", request.data[0], NEEDS_HEAD)
    head, fabric = heads.load(path), training.fabric_for(request)
    run, config = training.open_run(request, Config, lambda c: 20_000, [path], fabric)
    share = training.share_of(fabric, config.batch, request.accumulate)
    training.seed_step(run.seed, 0)
    net = Learner(config)
    ema = Ema(net, config.ema)
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=config.decay)
    model, optimizer = training.set_up(fabric, request, net, optimizer)
    ema.to(fabric.device)
    request.say(f"{config.people} people to train on, {config.holdout} kept out; {run.steps} steps")
    held = _held(head, config)

    def sample(done: int) -> dict[str, float]:
        with ema.applied(net):
            return _sample(net.net, held, run.sheet(done), fabric.device)

    def export(path: Path) -> None:
        _export(path, run, config, ema.state)

    parts = {"net": net, "ema": ema, "optimizer": optimizer}
    loop = Loop(run, request, fabric, config.batch, parts, sample, export, better="verified", paired=False)
    items = data.Items(range(config.people), lambda number: _album(head, number, config.views))
    dataset = data.Steps(items, _crop, config.batch, run.seed, share)
    feed = data.batches(dataset, loop.start, loop.stop, config.workers, fabric.device)
    for step in loop:
        training.set_lr(optimizer, config.lr * training.cosine(step, run.steps, warmup=100))
        margin = config.margin * min(1.0, 4 * step / run.steps)
        optimizer.zero_grad(set_to_none=True)
        for (pictures, person), last in training.micro_batches(
            fabric.to_device(next(feed)), request.accumulate
        ):
            with fabric.no_backward_sync(model, enabled=not last):
                loss, right = model(pictures, person, margin)
                fabric.backward(loss / request.accumulate)
            loop.report(step, loss=loss, right=right)
        if loop.due(step):
            loop.report(step, grad_norm=training.grad_norm(fabric, net))
        optimizer.step()
        ema.update(net, step)
    return run.model


class Learner(nn.Module):
    """The net and its classifier, which is thrown away in the end."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.net = FaceNet(features=config.features)
        self.head = MarginHead(config.features, config.people, config.scale)

    def forward(self, pictures: Tensor, person: Tensor, margin: float) -> tuple[Tensor, Tensor]:
        """(loss, share told right) of pictures (N,1,128,128) in [0,1] and their people's numbers (N,)."""
        return self.head(self.net(training.channels_last(pictures)), person, margin)


def _album(head: heads.Head, number: int, views: int) -> tuple[np.ndarray, ...]:
    """Pictures uint8 (V,128,128,3) of a person from all sides, one of them frontal; and the number."""
    someone, pictures = people.rendered(head, number), []
    for view in range(views):
        rng = data.step_rng(number, 18, view)
        yaw = float(rng.uniform(-90, 90)) if view else float(rng.normal(0, 8))
        pictures.append(heads.portrait(someone, yaw, rng).picture)
    return np.stack(pictures), np.array(number % people.HELD_OUT)


def _crop(item: tuple[np.ndarray, ...], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """One picture in another tone and a little moved -> grey float32 (1,128,128), the person's number."""
    pictures, number = item
    (picture,) = people.toned([pictures[rng.integers(len(pictures))]], rng)
    if rng.random() < 0.5:
        picture = np.ascontiguousarray(picture[:, ::-1])
    side = alignment.SIDE
    matrix = cv2.getRotationMatrix2D(
        (side / 2, side / 2), float(rng.normal(0, 3)), float(rng.normal(1, 0.04))
    )
    matrix[:, 2] += rng.normal(0, 2, 2)
    picture = cv2.warpAffine(picture, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    gray = cv2.cvtColor(people.spoiled(picture, rng), cv2.COLOR_RGB2GRAY)
    return gray[None].astype(np.float32) / 255, number


def _held(head: heads.Head, config: Config) -> np.ndarray:
    """Pictures uint8 (P,4,128,128,3) of people never trained on: frontal, and at 30, 60 and 90 degrees."""
    shown = []
    for number in range(people.HELD_OUT, people.HELD_OUT + config.holdout):
        someone = people.rendered(head, number)
        row = []
        for view, yaw in enumerate((0.0, 30.0, -60.0, 90.0)):
            row.append(heads.portrait(someone, yaw, data.step_rng(number, 19, view)).picture)
        shown.append(np.stack(row))
    return np.stack(shown)


@torch.no_grad()
def _sample(net: Any, held: np.ndarray, path: Path, device: torch.device) -> dict[str, float]:
    """Verification of the people kept out, and how often the frontal picture of a profile's person is
    nearest.
    """
    rows = [list(row) for row in held[:8]]
    training.save_grid(path, rows)
    flat = torch.from_numpy(held.reshape(-1, *held.shape[2:])).movedim(-1, 1).float() / 255
    features = torch.cat([net(part.to(device)).float().cpu() for part in flat.split(32)])
    features = F.normalize(features).reshape(*held.shape[:2], -1)
    scores = {"verified": verification(features)}
    for view, name in ((1, "rank1_30"), (2, "rank1_60"), (3, "rank1_90")):
        nearest = (features[:, view] @ features[:, 0].T).argmax(1)
        scores[name] = float((nearest == torch.arange(len(held))).float().mean())
    return scores


def verification(features: Tensor) -> float:
    """Share of pairs told right at the best threshold of cosine, same and different people counting alike.

    Args:
        features: (people, views, F), each of length 1.
    """
    count, views = features.shape[:2]
    flat = features.reshape(count * views, -1)
    cosine = flat @ flat.T
    owner = torch.arange(count).repeat_interleave(views)
    same = owner[:, None] == owner[None]
    upper = torch.ones_like(same).triu(1)
    yes, no = cosine[same & upper].sort().values, cosine[~same & upper].sort().values
    # At every score of one person's pairs as the threshold.
    accepted = 1 - torch.arange(len(yes)) / len(yes)
    refused = torch.searchsorted(no, yes) / len(no)
    return float(((accepted + refused) / 2).max())


def _export(path: Path, run: training.Run, config: Config, state: dict[str, Tensor]) -> None:
    row = training.trained_row(
        run,
        task="face",
        arch="facenet.FaceNet",
        args={"features": config.features},
        color="gray",
        whole=True,
        dtypes=("bf16",),
        summary="trained by gantool train --task faceid on rendered faces",
    )
    kept = {name.removeprefix("net."): value for name, value in state.items() if name.startswith("net.")}
    save_model(path, kept, row, half=True)


def check(roots: Sequence[Path], config: Config, path: Path) -> list[str]:
    """Render people as training would see them; what there is to say. Writes a sheet to ``path``."""
    file, folders = people.split_roots(roots)
    if file is None or folders:
        raise InputError("faceid learns from rendered faces alone", roots[0], NEEDS_HEAD)
    head = heads.load(file)
    rows = [list(_album(head, number, min(config.views, 6))[0]) for number in range(8)]
    training.save_grid(path, rows)
    return [f"{file.name}: {len(head.vertices)} vertices, {len(head.identity)} directions of identity"]
