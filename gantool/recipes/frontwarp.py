"""Train a net that moves the pixels of a turned face to where they are in front views.

Pictures are rendered from a morphable head, which knows where each point of a front view lies in the other
picture and whether it is seen there. So the net is told its flow and its sources outright (Dosovitskiy et al.
2015, FlowNet, 1504.06852, learned from renders likewise); the picture that comes out is compared too, and the
person in it by a net of ``--task faceid``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gantool import alignment, data, frontscores, heads, people, training
from gantool.errors import InputError
from gantool.facepairs import FacePairs, Wanted, misjudgement
from gantool.identity import Identity
from gantool.loading import save_model
from gantool.models.frontwarp import FrontWarp, Moved, places
from gantool.settings import param, path_param
from gantool.training import Ema, Loop, TrainRequest

NEEDS_HEAD = "Give the .npz file of a morphable head, such as one made from ICT-FaceKit"
_FAR = 40.0  # px; a flow that is further off is not punished more
_SHARP = 4  # power of the density
_HIDDEN = 0.05  # density below which paint is better


@dataclass
class Config:
    """Parameters of ``gantool train --task frontwarp``."""

    width: float = param(1.0, "channels, as a share of 16 to 128", low=0.25, high=8)
    flow: float = param(0.1, "weight of the distance of the flow, px", low=0)
    sources: float = param(0.3, "weight of telling the three sources apart", low=0)
    own: float = param(4.0, "how many times as densely the mirrored place must be seen to be better", low=1)
    pixel: float = param(3.0, "weight of the L1 distance of the picture", low=0)
    paint: float = param(1.0, "weight of the L1 distance of what is painted", low=0)
    smooth: float = param(0.02, "weight of the flow's steps from pixel to pixel", low=0)
    identity: float = param(0.1, "weight of the distance in the features of the net of face=", low=0)
    face: str = path_param("", "a net that tells people apart, of --task faceid or LightCNN's; none if empty")
    lr: float = param(2e-3, "highest learning rate of AdamW", low=1e-8)
    decay: float = param(1e-3, "weight decay", low=0)
    batch: int = param(16, "pairs per step", low=2)
    ema: float = param(0.998, "decay of the averaged weights; 0 = none", low=0, high=1)
    people: int = param(3000, "people to render", low=1, high=people.HELD_OUT)
    views: int = param(2, "pairs rendered of each", low=1)
    init: str = path_param("", "a model.safetensors to start from")
    holdout: int = param(6, "people kept out of training", low=0)
    workers: int = param(0, "processes that render; each keeps pairs of its own; -1 = by device", low=-1)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    head, file = _head(request.data), request.data[0]
    fabric = training.fabric_for(request)
    run, config = training.open_run(request, Config, lambda c: 20_000, [file], fabric)
    share = training.share_of(fabric, config.batch, request.accumulate)
    training.seed_step(run.seed, 0)
    net = FrontWarp(config.width)
    if config.init and not run.resumed:
        request.say(training.start_from(net, config.init))
    judge = Identity(config.face, fabric.device) if config.face else None
    if judge is None and config.identity:
        request.warn("identity is not looked at: no net tells people apart; --set face=FILE names one")
    ema = Ema(net, config.ema)
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=config.decay)
    model, optimizer = training.set_up(fabric, request, net, optimizer)
    ema.to(fabric.device)
    held = FacePairs(head, people.Album(), _wanted(config), run.seed).held()

    def sample(done: int) -> dict[str, float]:
        with ema.applied(net):
            return frontscores.scores(net, held, judge, run.sheet(done), fabric, loop.watch.health, done)

    def export(path: Path) -> None:
        _export(path, run, config, ema.state)

    parts = {"net": net, "ema": ema, "optimizer": optimizer}
    loop = Loop(run, request, fabric, config.batch, parts, sample, export)
    request.say(f"{config.people} rendered people, {config.holdout} kept out; {run.steps} steps")
    items = data.Items(range(config.people), lambda number: _views(head, number, config.views))
    dataset = data.Steps(items, _pair, config.batch, run.seed, share)
    feed = data.batches(dataset, loop.start, loop.stop, config.workers, fabric.device)
    for step in loop:
        lr = config.lr * training.cosine(step, run.steps, warmup=min(100, run.steps // 10))
        training.set_lr(optimizer, lr)
        optimizer.zero_grad(set_to_none=True)
        batch = fabric.to_device(next(feed))
        for (side, front, corners, at, seen, covered), last in training.micro_batches(
            batch, request.accumulate
        ):
            side = training.channels_last(side)
            with fabric.no_backward_sync(model, enabled=not last):
                moved = model(side, corners, True)
                terms = closeness(moved, front, at, seen, covered, config.own)
                if judge is not None and config.identity:
                    with fabric.autocast():
                        terms["identity"] = judge.distance(moved.picture, front)
                total = torch.stack([getattr(config, name) * term for name, term in terms.items()]).sum()
                fabric.backward(total / request.accumulate)
            loop.report(step, **terms)
        if loop.due(step):
            loop.report(step, grad_norm=training.grad_norm(fabric, net), lr=lr)
        fabric.clip_gradients(model, optimizer, max_norm=1.0)
        optimizer.step()
        ema.update(net, step)
    return run.model


def closeness(
    moved: Moved, front: Tensor, at: Tensor, seen: Tensor, covered: Tensor, own: float = 4.0
) -> dict[str, Tensor]:
    """The terms that need no other net.

    Args:
        moved: what the net says.
        front: (N,3,128,128) in [-1,1].
        at: the true flow (N,2,64,64), px.
        seen: (N,64,64), 1 where the other picture shows the place.
        covered: (N,64,64), 0 before the background; pictures are compared there at a tenth of the weight.
        own: see :func:`sources`.
    """
    head = covered[:, None]
    count = head.sum().clamp_min(1)
    weight = head * (0.2 + 0.8 * seen[:, None])  # where a hidden point lies matters less
    flow = ((moved.flow - at).abs().clamp(max=_FAR) * weight).sum() / (2 * count)
    unsure = -(sources(at, seen, own) * moved.logits.log_softmax(1)).sum(1)
    near = F.interpolate(0.9 * head + 0.1, scale_factor=2.0)
    steps = moved.flow - places(at.shape[-1], at)
    return {
        "flow": flow,
        "sources": (unsure * covered).sum() / count,
        "pixel": ((moved.picture - front).abs() * near).mean(),
        "paint": (moved.paint - F.avg_pool2d(front, 2)).abs().mean(),
        "smooth": steps.diff(dim=-1).abs().mean() + steps.diff(dim=-2).abs().mean(),
    }


def sources(at: Tensor, seen: Tensor, own: float = 4.0) -> Tensor:
    """What should be shown at each place of a front view: shares (N,3,H,W) of its pixel, the mirrored, paint.

    The more densely the other picture shows a place, the better; a place that it does not show counts for
    nothing. ``at`` (N,2,H,W) px and ``seen`` (N,H,W) as in :func:`closeness`; the mirrored place is as good
    as the place itself where it is seen ``own`` times as densely.
    """
    across = F.pad(at.diff(dim=-1), (0, 1, 0, 0), mode="replicate")
    down = F.pad(at.diff(dim=-2), (0, 0, 0, 1), mode="replicate")
    pitch = alignment.SIDE / at.shape[-1]
    area = (across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]) / pitch**2
    density = F.avg_pool2d(area.clamp(0, 1), 3, 1, 1) * seen
    good = density**_SHARP
    shares = torch.stack((own**_SHARP * good, good.flip(-1), torch.full_like(good, _HIDDEN**_SHARP)), 1)
    return shares / shares.sum(1, keepdim=True)


# --- faces ----------------------------------------------------------------------------------------------


def _head(roots: Sequence[Path]) -> heads.Head:
    file, folders = people.split_roots(roots)
    if file is None or folders:
        raise InputError("frontwarp learns from rendered faces alone", roots[0], NEEDS_HEAD)
    return heads.load(file)


def _wanted(config: Config) -> Wanted:
    return Wanted(5, config.people, 1.0, config.holdout, True, config.views)


def _views(head: heads.Head, number: int, count: int) -> tuple[np.ndarray, ...]:
    """Sides, fronts uint8 (V,128,128,3), points of the sides (V,5,2), and their traces, of one person."""
    rng, someone, found = data.step_rng(number, 19), people.rendered(head, number), []
    for yaw in rng.uniform(-10, 90, count):
        error = misjudgement(float(yaw), rng)
        side, front, trace = heads.traced_pair(someone, float(yaw), rng, error)
        marks = side.points + error
        at = trace.at.astype(np.float16)
        found.append((side.picture, front.picture, marks, at, trace.seen > 0.5, trace.covered))
    return tuple(np.stack(parts) for parts in zip(*found, strict=True))


def _pair(item: tuple[np.ndarray, ...], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """(side, front) float32 (3,128,128) in [-1,1], corners of the parts (4,2), and the trace, of one view.

    The side is turned, moved and scaled a little, as if the face had been aligned by other points.
    """
    view = int(rng.integers(len(item[0])))
    side, front, marks, at, seen, covered = (part[view] for part in item)
    middle = alignment.SIDE / 2
    turn, scale = float(rng.normal(0, 2)), float(rng.normal(1, 0.025))
    matrix = cv2.getRotationMatrix2D((middle, middle), turn, scale)
    matrix[:, 2] += rng.normal(0, 1, 2)
    side = cv2.warpAffine(side, matrix, (alignment.SIDE,) * 2, borderMode=cv2.BORDER_REPLICATE)
    at = alignment.moved(at.reshape(-1, 2), matrix).reshape(at.shape)
    inside = ((at > -0.5) & (at < alignment.SIDE - 0.5)).all(-1)
    side, front = people.toned((side, front), rng)
    side = people.spoiled(side, rng)
    corners = alignment.corners(alignment.moved(marks, matrix), 5)
    masks = ((seen & inside).astype(np.float32), covered.astype(np.float32))
    return data.to_chw(side) * 2 - 1, data.to_chw(front) * 2 - 1, corners, _channels(at), *masks


def _channels(at: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(at.transpose(2, 0, 1), np.float32)


def check(roots: Sequence[Path], config: Config, path: Path) -> list[str]:
    """Render pairs as training would see them; what there is to say. Writes 24 pairs to ``path``."""
    head = _head(roots)
    items = data.Items(range(min(config.people, 24)), lambda number: _views(head, number, config.views))
    side, front, *_ = data.Steps(items, _pair, 24, 0)[0]
    both = np.stack([side, front], 1).reshape(-1, 8, *side.shape[1:])  # four pairs a row
    pictures = (torch.from_numpy(both) + 1) / 2
    training.save_grid(path, [[training.to_image(x) for x in row] for row in pictures])
    return [f"{config.people} rendered people, {config.views} pairs of each"]


def _export(path: Path, run: training.Run, config: Config, state: dict[str, Tensor]) -> None:
    row = training.trained_row(
        run,
        task="frontalize",
        arch="frontwarp.FrontWarp",
        args={"width": config.width},
        multiple=alignment.SIDE,
        signed=True,
        whole=True,
        summary=f"trained by gantool train --task frontwarp (width {config.width:g})",
    )
    save_model(path, state, row, half=True)
