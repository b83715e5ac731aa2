"""Train CycleGAN: two kinds of pictures into each other, without pairs (Zhu et al. 2017, 1703.10593).

Two residual generators, A to B and B to A, and a patch critic for each side. The generators' loss is least
squares (section 3.1 and 4), 10 x the L1 distance of a picture that went there and back (equation 2), and half
of that for pictures that should stay as they are (section 5.2). Critics see a pool of 50 earlier pictures;
the learning rate goes down linearly over the second half. Defaults are the paper's; EMA and other games are
ours.
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

from gantool import data, layouts, losses, training
from gantool.errors import UsageError
from gantool.loading import save_model
from gantool.models import cyclegan, pix2pix
from gantool.pool import ImagePool
from gantool.settings import param, path_param
from gantool.training import Ema, Game, GameConfig, Loop, TrainRequest

LAYOUTS = ("unpaired",)
BACK = "-BtoA"  # what the file of the second generator is called besides
PLAIN = True  # memory order on a CPU


@dataclass
class Config(GameConfig):
    """Parameters of ``gantool train --task cyclegan``."""

    gan: str = param("lsgan", "vanilla, lsgan, hinge, wgan (clipped weights) or wgangp")
    size: int = param(256, "side of a training crop, px; a multiple of 4", low=16)
    load: float = param(1.117, "short side of pictures before the crop, in crops (286 for 256 px)", low=1)
    ngf: int = param(64, "channels of the generators' first layer", low=1)
    blocks: int = param(9, "residual blocks: 9 for 256 px, 6 for 128", low=1)
    norm: str = param("instance", "instance, batch or none")
    upsample: str = param("transpose", "transpose as in the paper, or resize (no checkerboard)")
    ndf: int = param(64, "channels of the critics' first layer", low=1)
    layers: int = param(3, "depth of the patch critics: 3 sees 70x70 px", low=1, high=6)
    cycle: float = param(10.0, "weight of the way there and back", low=0)
    identity: float = param(0.5, "weight of staying as it is, in parts of cycle", low=0)
    tv: float = param(0.0, "weight of total variation", low=0)
    pool: int = param(50, "earlier pictures kept for each critic", low=0)
    lr: float = param(2e-4, "learning rate of Adam", low=1e-8)
    critic_lr: float = param(0.0, "the critics'; 0 = the same", low=0)
    beta1: float = param(0.5, "Adam's first momentum", low=0, high=1)
    constant: float = param(0.5, "share of all steps before the rate goes down to 0", low=0, high=1)
    batch: int = param(1, "pictures of each side per step", low=1)
    ema: float = param(0.999, "decay of the averaged weights; 0 = none", low=0, high=1)
    init: str = path_param("", "a model file to start A to B from; one with -BtoA beside it starts the other")
    holdout: int = param(8, "pictures of each side kept out where there are no test folders", low=0)
    workers: int = param(-1, "processes that prepare data; -1 = by device", low=-1)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors`` (A to B).

    B to A stands beside it as ``model-BtoA.safetensors``.
    """
    layout, fabric = layouts.recognise(request.data, LAYOUTS), training.fabric_for(request)
    files = [path for sample in (*layout.train_a, *layout.train_b) for path in sample.files]
    longest = max(len(layout.train_a), len(layout.train_b))
    run, config = training.open_run(request, Config, lambda c: 200 * longest, files, fabric)
    share = training.share_of(fabric, config.batch, request.accumulate)
    held_keys, keys = _split(layout, config, run.seed)
    items = [data.Items(side, lambda sample: _load(sample, config)) for side in keys]
    for problem in (*layout.problems, *layout.notes):
        request.warn(problem)
    training.seed_step(run.seed, 0)
    game = Game(config)
    to_b, to_a = (generator_of(config) for _ in range(2))
    critic_b, critic_a = (game.prepare(critic_of(config)) for _ in range(2))
    if config.init and not run.resumed:
        _start_from(to_b, to_a, Path(config.init), request)
    ema_b, ema_a = Ema(to_b, config.ema), Ema(to_a, config.ema)
    pool_b, pool_a = (ImagePool(config.pool, 2 * run.seed + i + 1000 * share[0]) for i in range(2))
    d_lr = config.critic_lr or config.lr

    def ready(net: nn.Module, lr: float) -> tuple[Any, Any]:
        return training.set_up(fabric, request, net, training.adam(net, lr, config.beta1), PLAIN)

    (b_of, b_optimizer), (a_of, a_optimizer) = ready(to_b, config.lr), ready(to_a, config.lr)
    (d_b, d_b_optimizer), (d_a, d_a_optimizer) = ready(critic_b, d_lr), ready(critic_a, d_lr)
    ask_b, ask_a = training.judge(fabric, d_b, critic_b), training.judge(fabric, d_a, critic_a)
    for ema in (ema_b, ema_a):
        ema.to(fabric.device)
    scored = all(held_keys)  # a few pictures can spare none: then samples show some that were learnt from
    held = [_held(out or side[:4], config) for out, side in zip(held_keys, keys, strict=True)]

    def sample(done: int) -> dict[str, float]:
        with ema_b.applied(to_b), ema_a.applied(to_a):
            scores = _sample(to_b, to_a, held, run.sheet(done), fabric, loop.watch.health, done)
        return scores if scored else {}

    def export(path: Path) -> None:
        _export(path, run, config, ema_b.state, "A to B")
        _export(path.with_stem(path.stem + BACK), run, config, ema_a.state, "B to A")

    parts: dict[str, Any] = {"to_b": to_b, "to_a": to_a, "ema_b": ema_b, "ema_a": ema_a}
    parts |= {"critic_b": critic_b, "critic_a": critic_a, "pool_b": pool_b, "pool_a": pool_a}
    parts |= {"b_optimizer": b_optimizer, "a_optimizer": a_optimizer}
    parts |= {"d_b_optimizer": d_b_optimizer, "d_a_optimizer": d_a_optimizer}
    loop = Loop(run, request, fabric, config.batch, parts, sample, export, better="-held_cycle", paired=False)
    sides = [f"{data.counted(len(side), 'picture')} {name}" for side, name in zip(keys, "AB", strict=True)]
    request.say(f"{', '.join(sides)} to train on; {data.counted(run.steps, 'step')}")
    feeds = data.Together(
        *(
            data.Steps(side, lambda item, rng: _crop(item, rng, config), config.batch, run.seed, share, lane)
            for lane, side in enumerate(items)
        )
    )
    feed = data.batches(feeds, loop.start, loop.stop, config.workers, fabric.device)
    for step in loop:
        factor = training.linear_decay(step, run.steps, config.constant)
        for optimizer, lr in ((b_optimizer, config.lr), (a_optimizer, config.lr)):
            training.set_lr(optimizer, lr * factor)
        for optimizer in (d_b_optimizer, d_a_optimizer):
            training.set_lr(optimizer, d_lr * factor)
        batch = fabric.to_device(next(feed))
        fakes: list[tuple[Tensor, Tensor]] = []

        # The generators: pass for the other side, come back, and leave alone what is there already.
        for optimizer in (b_optimizer, a_optimizer):
            optimizer.zero_grad(set_to_none=True)
        with training.frozen(critic_b, critic_a):
            for (a, b), last in training.micro_batches(batch, request.accumulate):
                a, b = training.channels_last(a, PLAIN), training.channels_last(b, PLAIN)
                with (
                    fabric.no_backward_sync(b_of, enabled=not last),
                    fabric.no_backward_sync(a_of, enabled=not last),
                ):
                    fake_b, fake_a = b_of(a).float(), a_of(b).float()
                    terms = {
                        "g_b": game.generator(ask_b(fake_b).float()),
                        "g_a": game.generator(ask_a(fake_a).float()),
                        "cycle_a": F.l1_loss(a_of(fake_b).float(), a),
                        "cycle_b": F.l1_loss(b_of(fake_a).float(), b),
                    }
                    cycle = terms["cycle_a"] + terms["cycle_b"]
                    total = terms["g_b"] + terms["g_a"] + config.cycle * cycle
                    if config.identity:
                        terms["identity"] = F.l1_loss(b_of(b).float(), b) + F.l1_loss(a_of(a).float(), a)
                        total = total + config.cycle * config.identity * terms["identity"]
                    if config.tv:
                        terms["tv"] = losses.total_variation(fake_b) + losses.total_variation(fake_a)
                        total = total + config.tv * terms["tv"]
                    fabric.backward(total / request.accumulate)
                fakes.append((fake_b.detach(), fake_a.detach()))
                loop.report(step, **terms)
        if loop.due(step):
            norms = [training.grad_norm(fabric, net) for net in (to_b, to_a)]
            loop.report(step, g_b_norm=norms[0], g_a_norm=norms[1], lr=config.lr * factor)
        b_optimizer.step()
        a_optimizer.step()
        ema_b.update(to_b, step)
        ema_a.update(to_a, step)

        # The critics: one for each side.
        for optimizer in (d_b_optimizer, d_a_optimizer):
            optimizer.zero_grad(set_to_none=True)
        parts_of_batch = training.micro_batches(batch, request.accumulate)
        for ((a, b), last), (fake_b, fake_a) in zip(parts_of_batch, fakes, strict=True):
            for side, model, critic, real, fake in (
                ("b", d_b, critic_b, b, pool_b.query(fake_b)),
                ("a", d_a, critic_a, a, pool_a.query(fake_a)),
            ):
                with fabric.no_backward_sync(model, enabled=not last):
                    real_answer = model(training.channels_last(real, PLAIN)).float()
                    fake_answer = model(training.channels_last(fake, PLAIN)).float()
                    d_loss = 0.5 * game.critic(real_answer, fake_answer)
                    penalty = game.penalty(critic, real, fake)
                    fabric.backward((d_loss if penalty is None else d_loss + penalty) / request.accumulate)
                accuracy = game.accuracy(real_answer, fake_answer)
                loop.report(step, **{f"d_{side}": d_loss, f"d_{side}_accuracy": accuracy})
                if penalty is not None:
                    loop.report(step, **{f"penalty_{side}": penalty})
                if last and loop.due(step):
                    loop.report(step, **game.figures(critic, side))
        for optimizer, critic in ((d_b_optimizer, critic_b), (d_a_optimizer, critic_a)):
            optimizer.step()
            game.after_step(critic)
    for side in items:
        for key in side.bad:
            request.warn(f"left out: {key.name} (unreadable, or smaller than a crop)")
    return run.model


# --- nets -----------------------------------------------------------------------------------------------


def _args(config: Config) -> dict[str, Any]:
    if config.norm not in ("batch", "instance", "none"):
        raise UsageError(f"no norm called '{config.norm}'", remedy="Known: instance, batch, none")
    if config.upsample not in ("transpose", "resize"):
        raise UsageError(f"no upsampling called '{config.upsample}'", remedy="Known: transpose, resize")
    if config.size % 4:
        raise UsageError(f"size={config.size} is no multiple of 4", remedy="Try --set size=256")
    return {"blocks": config.blocks, "ngf": config.ngf, "norm": config.norm, "upsample": config.upsample}


def generator_of(config: Config) -> nn.Module:
    """A generator with the paper's first weights."""
    return pix2pix.initialise(cyclegan.ResnetGenerator(**_args(config)))


def critic_of(config: Config) -> nn.Module:
    """A patch critic of one side, with the paper's first weights."""
    norm: Any = "instance" if config.gan == "wgangp" and config.norm == "batch" else config.norm
    return pix2pix.initialise(pix2pix.NLayerDiscriminator(3, config.ndf, config.layers, norm))


def _start_from(to_b: nn.Module, to_a: nn.Module, path: Path, request: TrainRequest) -> None:
    request.say(training.start_from(to_b, path))
    other = path.with_stem(path.stem + BACK)
    if other.is_file():
        request.say(training.start_from(to_a, other))


# --- pictures -------------------------------------------------------------------------------------------


def _split(layout: layouts.Layout, config: Config, seed: int) -> tuple[list[Any], list[Any]]:
    """([held A, held B], [learnt A, learnt B]): the layout's test folders, or a share of each side."""
    if layout.held_a and layout.held_b:
        held = [list(layout.held_a)[: config.holdout or 1], list(layout.held_b)[: config.holdout or 1]]
        return held, [list(layout.train_a), list(layout.train_b)]
    sides = [data.split(side, config.holdout, seed) for side in (layout.train_a, layout.train_b)]
    return [held for held, _ in sides], [keys for _, keys in sides]


def _load(sample: layouts.Sample, config: Config) -> tuple[np.ndarray, ...] | None:
    """A picture with a short side of ``load`` crops."""
    arrays = layouts.read(sample, "unpaired")
    if arrays is None:
        return None
    (image,) = arrays
    side = round(config.size * config.load)
    factor = side / min(image.shape[:2])
    size = (max(side, round(image.shape[1] * factor)), max(side, round(image.shape[0] * factor)))
    return (cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC),)


def _crop(item: tuple[np.ndarray, ...], rng: np.random.Generator, config: Config) -> tuple[np.ndarray]:
    """A random square, mirrored half of the time -> float32 (3,h,w) in [-1,1]."""
    (image,) = item
    size = config.size
    top = int(rng.integers(image.shape[0] - size + 1))
    left = int(rng.integers(image.shape[1] - size + 1))
    (square,) = data.augment((image[top : top + size, left : left + size],), rng, turn=False)
    return (data.to_chw(square) * 2 - 1,)


def _held(samples: Sequence[layouts.Sample], config: Config) -> Tensor:
    """Centre squares of pictures kept out, (N,3,h,w) in [-1,1]."""
    size, found = config.size, []
    for sample in samples:
        item = _load(sample, config)
        if item is not None:
            top, left = (item[0].shape[0] - size) // 2, (item[0].shape[1] - size) // 2
            square = item[0][top : top + size, left : left + size]
            found.append(torch.from_numpy(data.to_chw(square) * 2 - 1))
    return torch.stack(found) if found else torch.empty(0, 3, size, size)


# --- seeing and saving ----------------------------------------------------------------------------------


@torch.no_grad()
def _sample(
    to_b: nn.Module,
    to_a: nn.Module,
    held: Sequence[Tensor],
    path: Path,
    fabric: Any,
    health: training.Health,
    done: int,
) -> dict[str, float]:
    """Write rows of (A, as B, back) and (B, as A, back); the mean L1 distance of the way back, in [0,1]."""
    rows, distances = [], []
    for side, there, back in ((held[0], to_b, to_a), (held[1], to_a, to_b)):
        for number, picture in enumerate(side):
            x = picture[None].to(fabric.device)
            with fabric.autocast():
                made = there(x).float()
                again = back(made).float()
            distances.append(float((again - x).abs().mean()) / 2)
            if number < 4:
                rows.append([training.to_image((y[0] + 1) / 2) for y in (x, made, again)])
    if not rows:
        return {}
    training.save_grid(path, rows)
    # What each side is made into should vary as the pictures of both sides do.
    sources, made = (np.stack([row[i] for row in rows]) for i in range(2))
    health.samples(done, sources, made, sources)
    return {"held_cycle": float(np.mean(distances))}


def _export(path: Path, run: training.Run, config: Config, state: dict[str, Tensor], way: str) -> None:
    row = training.trained_row(
        run,
        task="translate",
        arch="cyclegan.ResnetGenerator",
        args=_args(config),
        multiple=4,
        signed=True,
        whole=config.norm == "instance",
        dtypes=("bf16",),
        summary=f"trained by gantool train --task cyclegan ({way}, {config.size} px)",
    )
    save_model(path, state, row, half=True)
