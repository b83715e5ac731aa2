"""Train a face's way to the front and back again, from pairs and from faces without a partner.

Two generators: to the front, and from there to a pose that a code names. What they are told, and by whom, is
in :mod:`gantool.turning`. Game: WGAN-GP (Gulrajani et al. 2017, 1704.00028); nearest in print: Pairwise-GAN
(2009.06053).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantool import data, frontscores, people, percept, training, turning
from gantool.errors import UsageError
from gantool.identity import Identity
from gantool.loading import save_model
from gantool.models import pix2pix
from gantool.models.frontal_cycle import SMALLEST, FaceTurner
from gantool.posepairs import Drawn, Faces
from gantool.settings import param, path_param
from gantool.training import Ema, Game, GameConfig, Loop, TrainRequest
from gantool.turning import Asked, Critics, Kind

_TERMS = ("adversarial", "cycle", "stay", "pixel", "inner", "percept", "identity", "tv")


@dataclass
class Config(GameConfig):
    """Parameters of ``gantool train --task frontal_cycle``."""

    gan: str = param("wgangp", "vanilla, lsgan, hinge, wgan (clipped weights) or wgangp")
    size: int = param(128, "side of the faces, px: 32, 64, 128 or 256", low=SMALLEST, high=256)
    ngf: int = param(32, "channels of the generators at full size", low=1)
    blocks: int = param(4, "residual blocks at 8 px", low=0)
    norm: str = param("instance", "the generators': instance, batch or none")
    ndf: int = param(32, "channels of the critics' first layer", low=1)
    adversarial: float = param(1.0, "weight of the critics' answers", low=0)
    cycle: float = param(10.0, "weight of the way there and back", low=0)
    stay: float = param(0.5, "weight of leaving fronts as they are, in parts of cycle", low=0)
    pixel: float = param(20.0, "weight of the L1 distance to the partner", low=0)
    inner: float = param(2.0, "weight of the distance in the conditional critics' layers", low=0)
    percept: float = param(5.0, "weight of the perceptual distance to the partner", low=0)
    identity: float = param(1.0, "weight of 1 - cosine in the features of the net of face=", low=0)
    face: str = path_param("", "a net that tells people apart, of --task faceid or LightCNN's; none if empty")
    tv: float = param(1e-3, "weight of total variation", low=0)
    critic_steps: int = param(1, "steps of the critics for each of the generators'", low=1)
    lr: float = param(2e-4, "learning rate of Adam", low=1e-8)
    critic_lr: float = param(0.0, "the critics'; 0 = the same", low=0)
    beta1: float = param(0.0, "Adam's first momentum", low=0, high=1)
    constant: float = param(0.5, "share of all steps before the rate goes down to 0", low=0, high=1)
    batch: int = param(8, "faces of each kind per step", low=1)
    ema: float = param(0.999, "decay of the averaged weights; 0 = none", low=0, high=1)
    people: int = param(10_000, "people to render from a head", low=1, high=people.HELD_OUT)
    front: str = param("", "word in a file's name that says it is frontal; the usual ones if empty")
    init: str = path_param("", "a model.safetensors to start the way to the front from")
    holdout: int = param(2, "people with pairs who are kept out", low=0)
    workers: int = param(-1, "processes that prepare data; -1 = by device", low=-1)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``, the way to the front."""
    settings = training.saved_config(request.resume)["settings"] if request.resume else request.settings
    faces, fabric = Faces(request.data, str(settings.get("front", ""))), training.fabric_for(request)
    run, config = training.open_run(request, Config, lambda c: 100_000, faces.files, fabric)
    share = training.share_of(fabric, config.batch, request.accumulate)
    for note in faces.notes:
        request.warn(note)
    drawn = Drawn(faces, config.size, config.people, config.holdout, run.seed)
    training.seed_step(run.seed, 0)
    game = Game(config)
    to_front, to_side = generators_of(config, len(faces.poses))
    critics = Critics(config.ndf, 3 if config.size > 64 else 2, faces.paired)
    for net in critics.nets.values():
        game.prepare(net)
    if config.init and not run.resumed:
        request.say(training.start_from(to_front, config.init))
    judge = Identity(config.face, fabric.device) if config.face else None
    if judge is None and config.identity:
        request.warn("identity is not looked at: no net tells people apart; --set face=FILE names one")
    eye = percept.load(fabric.device) if config.percept and faces.paired else None
    ema = Ema(to_front, config.ema)

    def ready(net: Any, lr: float) -> tuple[Any, Any]:
        return training.set_up(fabric, request, net, training.adam(net, lr, config.beta1, 0.9))

    d_lr = config.critic_lr or config.lr
    (front_of, f_optimizer), (side_of, b_optimizer) = ready(to_front, config.lr), ready(to_side, config.lr)
    d_model, d_optimizer = ready(critics, d_lr)
    ema.to(fabric.device)
    (held, scored), asked = drawn.held(), Asked(critics, game, judge, eye, fabric)
    wanted = [name for name in _TERMS if _weight(config, name)]

    def sample(done: int) -> dict[str, float]:
        with ema.applied(to_front):
            scores = _sample(to_front, to_side, held, judge, run.sheet(done), fabric, loop.watch.health, done)
        return scores if scored else {}

    def export(path: Path) -> None:
        _export(path, run, config, ema.state)

    parts = {"to_front": to_front, "to_side": to_side, "ema": ema, "critics": critics}
    parts |= {"f_optimizer": f_optimizer, "b_optimizer": b_optimizer, "d_optimizer": d_optimizer}
    loop = Loop(run, request, fabric, config.batch, parts, sample, export, better="-held_l1")
    request.say(f"{drawn.summary()}; {run.steps} steps")
    sources = _sources(drawn, config.batch, run.seed, share)
    feed = data.batches(data.Together(*sources), loop.start, loop.stop, config.workers, fabric.device)
    for step in loop:
        factor = training.linear_decay(step, run.steps, config.constant)
        for optimizer, lr in ((f_optimizer, config.lr), (b_optimizer, config.lr), (d_optimizer, d_lr)):
            training.set_lr(optimizer, lr * factor)
        batch = fabric.to_device(next(feed))

        # The critics: pictures are real, what the generators make is not, alone or beside the other side.
        for _ in range(config.critic_steps):
            d_optimizer.zero_grad(set_to_none=True)
            for tensors, last in training.micro_batches(batch, request.accumulate):
                kinds = kinds_of(tensors, faces)
                with torch.no_grad():
                    made = [turning.turned(one, front_of, side_of) for one in kinds]
                real, fake = turning.shown(kinds, None), turning.shown(kinds, made)
                with fabric.no_backward_sync(d_model, enabled=not last):
                    yes, no = d_model(real), d_model(fake)
                    d_loss = torch.stack([game.critic(yes[k].float(), no[k].float()) for k in yes]).mean()
                    penalties = [game.penalty(critics.nets[k], real[k], fake[k]) for k in yes]
                    total = d_loss + sum(p for p in penalties if p is not None) / len(yes)
                    fabric.backward(total / request.accumulate)
                accuracy = torch.stack([game.accuracy(yes[k], no[k]) for k in yes]).mean()
                loop.report(step, d=d_loss, d_accuracy=accuracy)
            if loop.due(step):
                loop.report(step, d_norm=training.grad_norm(fabric, critics), **game.figures(critics))
            d_optimizer.step()
            game.after_step(critics)

        # The generators: pass for the other side, come back, and with a partner be as it is.
        for optimizer in (f_optimizer, b_optimizer):
            optimizer.zero_grad(set_to_none=True)
        with training.frozen(critics):
            for tensors, last in training.micro_batches(batch, request.accumulate):
                with (
                    fabric.no_backward_sync(front_of, enabled=not last),
                    fabric.no_backward_sync(side_of, enabled=not last),
                ):
                    terms: dict[str, Tensor] = {}
                    for one in kinds_of(tensors, faces):
                        found = turning.terms(one, front_of, side_of, asked, wanted)
                        terms |= {name: terms.get(name, 0.0) + term for name, term in found.items()}
                    total = sum(_weight(config, name) * term for name, term in terms.items())
                    fabric.backward(total / request.accumulate)
                loop.report(step, **terms)
        if loop.due(step):
            norms = [training.grad_norm(fabric, net) for net in (to_front, to_side)]
            loop.report(step, g_front_norm=norms[0], g_side_norm=norms[1], lr=config.lr * factor)
        f_optimizer.step()
        b_optimizer.step()
        ema.update(to_front, step)
    for line in drawn.left_out():
        request.warn(line)
    return run.model


def _weight(config: Config, name: str) -> float:
    return config.cycle * config.stay if name == "stay" else float(getattr(config, name))


# --- nets and faces -------------------------------------------------------------------------------------


def generators_of(config: Config, poses: int) -> tuple[FaceTurner, FaceTurner]:
    """(to the front, to a pose) with their first weights."""
    if config.size & (config.size - 1):
        raise UsageError(f"size={config.size} is no power of two", remedy="Try --set size=128")
    if config.norm not in ("instance", "batch", "none"):
        raise UsageError(f"no norm called '{config.norm}'", remedy="Known: instance, batch, none")
    args = generator_args(config)
    there, back = FaceTurner(**args), FaceTurner(**args, poses=poses)
    pix2pix.initialise(there)
    pix2pix.initialise(back)
    return there, back


def generator_args(config: Config) -> dict[str, Any]:
    """The arguments of the trained model's row."""
    return {name: getattr(config, name) for name in ("size", "ngf", "blocks", "norm")}


def _sources(drawn: Drawn, batch: int, seed: int, share: tuple[int, int] = (0, 1)) -> list[data.Steps]:
    return [data.Steps(items, drawn.cut, batch, seed, share, n) for n, items in enumerate(drawn.items)]


def kinds_of(tensors: Sequence[Tensor], faces: Faces) -> list[Kind]:
    """A batch's tensors by kind: (side, front, pose) of pairs, then (side, pose, front) of the rest."""
    tensors = [training.channels_last(t) if t.ndim == 4 else t for t in tensors]
    found = []
    if faces.paired:
        found.append(Kind(tensors[0], tensors[1], tensors[2], True))
    if faces.sides:
        side, pose, front = tensors[-3:]
        found.append(Kind(side, front, pose, False))
    return found


def check(roots: Sequence[Path], config: Config, path: Path) -> list[str]:
    """What there is to train on, in words; writes 16 of each kind as training would see them to ``path``."""
    faces = Faces(roots, config.front)
    drawn = Drawn(faces, config.size, config.people, config.holdout, 0)
    batches = [torch.from_numpy(array) for source in _sources(drawn, 16, 0) for array in source[0]]
    both = torch.cat([torch.stack((one.side, one.front), 1) for one in kinds_of(batches, faces)])
    rows = ((both + 1) / 2).reshape(-1, 8, *both.shape[2:])
    training.save_grid(path, [[training.to_image(x) for x in row] for row in rows])
    for items in drawn.items:
        for number, key in enumerate(items.keys):
            if not isinstance(key, int):
                _ = items[number]  # what cannot be read is noted there
    return [drawn.summary(), *faces.notes, *drawn.left_out()]


# --- seeing and saving ----------------------------------------------------------------------------------


@torch.no_grad()
def _sample(
    to_front: FaceTurner,
    to_side: FaceTurner,
    held: Sequence[tuple[np.ndarray, ...]],
    judge: Identity | None,
    path: Path,
    fabric: Any,
    health: training.Health,
    done: int,
) -> dict[str, float]:
    """Write (side, ours, front, front turned to the side) of each pair; how near ours are to the fronts.

    Mean L1 in [0,1] (of the side as well), PSNR in dB, cosine of identity.
    """
    if not held:
        return {}
    side, front, pose = (torch.stack([torch.from_numpy(item[i]) for item in held]) for i in range(3))
    side, front, pose = (part.to(fabric.device) for part in (side, front, pose))
    with fabric.autocast():
        ours, back = to_front(side).float(), to_side(front, pose).float()
    shown_ = [((part + 1) / 2).cpu() for part in (side, ours, front, back)]
    rows = [[training.to_image(part[i]) for part in shown_] for i in range(len(held))]
    pairs_of = [list(itertools.chain(*rows[i : i + 2])) for i in range(0, len(rows) - 1, 2)] or rows
    training.save_grid(path, pairs_of[:8])
    health.samples(done, *(np.stack([row[i] for row in rows[:6]]) for i in range(3)))
    return frontscores.figures(side, ours, front, judge, fabric.device)


def _export(path: Path, run: training.Run, config: Config, state: dict[str, Tensor]) -> None:
    row = training.trained_row(
        run,
        task="frontalize",
        arch="frontal_cycle.FaceTurner",
        args=generator_args(config),
        multiple=config.size,
        signed=True,
        whole=True,
        dtypes=("bf16",),
        summary=f"trained by gantool train --task frontal_cycle ({config.size} px)",
    )
    save_model(path, state, row, half=True)
