"""Train TP-GAN: a turned face seen from the front (Huang et al. 2017, 1704.04086).

The generator sees an aligned face and its parts, and is told what it should be at 128, 64 and 32 px and part
by part; it should be symmetric, pass for real, keep the identity and be smooth (section 3.3). Losses are
means, with which the paper's weights go. The game is WGAN-GP's, as in later programs; the paper's is vanilla.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool import alignment, data, frontscores, heads, losses, people, training
from gantool.errors import UsageError
from gantool.facepairs import FacePairs, Wanted
from gantool.identity import Identity
from gantool.loading import save_model
from gantool.models.tpgan import NOISE, TPGAN, Answers, PatchCritic
from gantool.settings import param, path_param
from gantool.training import Ema, Game, GameConfig, Loop, TrainRequest

_SCALES = (1.0, 1.0, 1.5)  # of 128, 64 and 32 px in the pixel loss


@dataclass
class Config(GameConfig):
    """Parameters of ``gantool train --task tpgan``."""

    gan: str = param("wgangp", "vanilla, lsgan, hinge, wgan (clipped weights) or wgangp")
    width: float = param(0.25, "channels, as a share of the paper's", low=0.03, high=1)
    landmarks: int = param(5, "5, or 68 for tighter boxes around the parts", low=5, high=68)
    norm: str = param("batch", "the generator's: batch, instance or none")
    upsample: str = param("transpose", "transpose as in the paper, or resize (no checkerboard)")
    ndf: int = param(0, "channels of the critic's first layer; 0 = as the generator", low=0)
    pixel: float = param(1.0, "weight of the L1 distance at three scales", low=0)
    parts: float = param(3.0, "weight of the L1 distance of eyes, nose and mouth", low=0)
    symmetry: float = param(0.3, "weight of the distance to the own mirror image", low=0)
    adversarial: float = param(1e-3, "weight of the critic's answer", low=0)
    identity: float = param(3e-3, "weight of the distance in the features of the net of face=", low=0)
    face: str = path_param("", "a net that tells people apart, of --task faceid or LightCNN's; none if empty")
    tv: float = param(1e-4, "weight of total variation", low=0)
    classify: float = param(0.0, "weight of telling the training's people apart (paper: 1e-3)", low=0)
    critic_steps: int = param(1, "steps of the critic for each of the generator's", low=1)
    noise: float = param(0.02, "spread of the decoder's noise", low=0)
    lr: float = param(1e-4, "learning rate of Adam", low=1e-8)
    critic_lr: float = param(0.0, "the critic's; 0 = the same", low=0)
    beta1: float = param(0.5, "Adam's first momentum", low=0, high=1)
    constant: float = param(0.5, "share of all steps before the rate goes down to 0", low=0, high=1)
    batch: int = param(8, "pairs per step", low=1)
    ema: float = param(0.999, "decay of the averaged weights; 0 = none", low=0, high=1)
    people: int = param(100_000, "people to render", low=1, high=people.HELD_OUT)
    views: int = param(0, "renders of each person to keep; 0 = new ones every time", low=0)
    renders: float = param(0.5, "share of rendered pairs where there are folders too", low=0, high=1)
    front: str = param("", "word in a file's name that says it is frontal; the usual ones if empty")
    spoil: bool = param(True, "inputs less sharp, noisy or compressed, and pairs in random tones")
    init: str = path_param("", "a model.safetensors to start the generator from")
    holdout: int = param(6, "people kept out of training, of each kind", low=0)
    workers: int = param(-1, "processes that prepare data; -1 = by device", low=-1)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    head_file, folders = people.split_roots(request.data)
    settings = training.saved_config(request.resume)["settings"] if request.resume else request.settings
    head = heads.load(head_file) if head_file else None
    album, fabric = people.album(folders, str(settings.get("front", ""))), training.fabric_for(request)
    files = ([head_file] if head_file else []) + album.files
    run, config = training.open_run(request, Config, lambda c: 100_000, files, fabric)
    share = training.share_of(fabric, config.batch, request.accumulate)
    faces = _faces(head, album, config, run.seed)
    for note in album.notes:
        request.warn(note)
    training.seed_step(run.seed, 0)
    game = Game(config)
    net, critic = generator_of(config, faces.count), game.prepare(critic_of(config))
    if config.init and not run.resumed:
        request.say(training.start_from(net, config.init))
    judge = Identity(config.face, fabric.device) if config.face else None
    if judge is None and config.identity:
        request.warn("identity is not looked at: no net tells people apart; --set face=FILE names one")
    ema = Ema(net, config.ema)
    model, g_optimizer = training.set_up(fabric, request, net, training.adam(net, config.lr, config.beta1))
    d_lr = config.critic_lr or config.lr
    d_model, d_optimizer = training.set_up(fabric, request, critic, training.adam(critic, d_lr, config.beta1))
    ask = training.judge(fabric, d_model, critic)
    ema.to(fabric.device)
    held = faces.held()

    def sample(done: int) -> dict[str, float]:
        with ema.applied(net):
            return frontscores.scores(net, held, judge, run.sheet(done), fabric, loop.watch.health, done)

    def export(path: Path) -> None:
        _export(path, run, config, ema.state)

    parts = {"net": net, "ema": ema, "optimizer": g_optimizer}
    parts |= {"critic": critic, "critic_optimizer": d_optimizer}
    loop = Loop(run, request, fabric, config.batch, parts, sample, export)
    request.say(f"{faces.summary()}; {run.steps} steps")
    items = data.Items(faces.keys, faces.load)
    dataset = data.Steps(items, faces.pair, config.batch, run.seed, share)
    feed = data.batches(dataset, loop.start, loop.stop, config.workers, fabric.device)
    for step in loop:
        factor = training.linear_decay(step, run.steps, config.constant)
        training.set_lr(g_optimizer, config.lr * factor)
        training.set_lr(d_optimizer, d_lr * factor)
        batch = fabric.to_device(next(feed))
        made: list[Answers] = []

        # The critic: frontal pictures are real, what the generator makes of the others is not.
        for turn in range(config.critic_steps):
            d_optimizer.zero_grad(set_to_none=True)
            for (side, front, corners, _), last in training.micro_batches(batch, request.accumulate):
                side, front = training.channels_last(side), training.channels_last(front)
                # What it makes in the last turn serves the generator's own step too, if a batch is one part.
                keep = request.accumulate == 1 and turn == config.critic_steps - 1
                with fabric.no_backward_sync(model, enabled=not last), torch.set_grad_enabled(keep):
                    made = [model(side, corners, _noise(side, config), True)]
                fake = made[0].pictures[0].detach().float()
                with fabric.no_backward_sync(d_model, enabled=not last):
                    real_answer, fake_answer = d_model(torch.cat((front, fake))).float().chunk(2)
                    d_loss = game.critic(real_answer, fake_answer)
                    penalty = game.penalty(critic, front, fake)
                    fabric.backward((d_loss if penalty is None else d_loss + penalty) / request.accumulate)
                loop.report(step, d=d_loss, d_accuracy=game.accuracy(real_answer, fake_answer))
                if penalty is not None:
                    loop.report(step, penalty=penalty)
            if loop.due(step):
                loop.report(step, d_norm=training.grad_norm(fabric, critic), **game.figures(critic))
            d_optimizer.step()
            game.after_step(critic)

        # The generator: like the frontal picture in every respect, and to pass for real.
        g_optimizer.zero_grad(set_to_none=True)
        with training.frozen(critic):
            for (side, front, corners, person), last in training.micro_batches(batch, request.accumulate):
                side, front = training.channels_last(side), training.channels_last(front)
                with fabric.no_backward_sync(model, enabled=not last):
                    once = request.accumulate == 1
                    answers = made[0] if once else model(side, corners, _noise(side, config), True)
                    terms = likeness(answers, front, net.boxes)
                    if config.adversarial:
                        terms["adversarial"] = game.generator(ask(answers.pictures[0]).float())
                    if judge is not None and config.identity:
                        with fabric.autocast():
                            terms["identity"] = judge.distance(answers.pictures[0], front)
                    if answers.people is not None:
                        terms["classify"] = F.cross_entropy(answers.people.float(), person)
                    total = sum(getattr(config, name) * term for name, term in terms.items())
                    fabric.backward(total / request.accumulate)
                loop.report(step, **terms)
        if loop.due(step):
            loop.report(step, g_norm=training.grad_norm(fabric, net), lr=config.lr * factor)
        g_optimizer.step()
        ema.update(net, step)
    for line in _left_out(items):
        request.warn(line)
    return run.model


def _noise(x: Tensor, config: Config) -> Tensor:
    return config.noise * torch.randn(len(x), NOISE, device=x.device)


def likeness(answers: Answers, front: Tensor, boxes: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """The terms that need no other net: pixels at three scales, parts, symmetry and total variation.

    Symmetry compares each scale with its own mirror image, which is held fixed; the largest at half its size,
    where a pixel of misalignment does not count. ``front`` (N,3,128,128) in [-1,1].
    """
    targets = (front, F.avg_pool2d(front, 2), F.avg_pool2d(front, 4))
    pixel, symmetry, parts = (front.new_zeros(()) for _ in range(3))
    for picture, target, weight in zip(answers.pictures, targets, _SCALES, strict=True):
        picture = picture.float()
        pixel = pixel + weight * F.l1_loss(picture, target)
        seen = F.avg_pool2d(picture, 2) if picture.shape == front.shape else picture
        symmetry = symmetry + F.l1_loss(seen, seen.flip(-1).detach())
    for part, (left, top, width, height) in zip(answers.parts, boxes, strict=True):
        target = front[..., top : top + height, left : left + width]
        parts = parts + F.l1_loss(part.float(), target) / len(boxes)
    tv = losses.total_variation(answers.pictures[0])
    return {"pixel": pixel, "parts": parts, "symmetry": symmetry, "tv": tv}


# --- nets and faces -------------------------------------------------------------------------------------


def generator_of(config: Config, count: int = 0) -> TPGAN:
    """The generator that the settings describe, with a head for ``count`` people if they are to be told."""
    if config.landmarks not in alignment.BOXES:
        raise UsageError(f"landmarks={config.landmarks} is neither 5 nor 68")
    for name, known in (("norm", ("batch", "instance", "none")), ("upsample", ("transpose", "resize"))):
        value = getattr(config, name)
        if value not in known:
            raise UsageError(f"no {name} called '{value}'", remedy=f"Known: {', '.join(known)}")
    if config.classify and count > 10_000:
        raise UsageError(f"{count} people are too many to be told apart", remedy="Use --set people=1000")
    return TPGAN(**generator_args(config), people=count if config.classify else 0)


def generator_args(config: Config) -> dict[str, Any]:
    """The arguments of the trained model's row."""
    return {name: getattr(config, name) for name in ("width", "landmarks", "norm", "upsample")}


def critic_of(config: Config) -> nn.Module:
    """The critic of frontal pictures."""
    return PatchCritic(config.ndf or max(8, round(64 * config.width)))


def _faces(head: heads.Head | None, album: people.Album, config: Config, seed: int) -> FacePairs:
    wanted = Wanted(
        config.landmarks, config.people, config.renders, config.holdout, config.spoil, config.views
    )
    return FacePairs(head, album, wanted, seed)


def _left_out(items: data.Items) -> list[str]:
    return [f"left out: {key.side.name} (unreadable, or without a face)" for key in items.bad]


def check(roots: Sequence[Path], config: Config, path: Path) -> list[str]:
    """What there is to train on, in words; writes 24 pairs as training would see them to ``path``."""
    head_file, folders = people.split_roots(roots)
    album = people.album(folders, config.front)
    faces = _faces(heads.load(head_file) if head_file else None, album, config, 0)
    items = data.Items(faces.keys, faces.load)
    side, front, *_ = data.Steps(items, faces.pair, 24, 0)[0]
    both = np.stack([side, front], 1).reshape(-1, 8, *side.shape[1:])  # four pairs a row
    pictures = (torch.from_numpy(both) + 1) / 2
    training.save_grid(path, [[training.to_image(x) for x in row] for row in pictures])
    for number in range(len(items)) if album.poses else ():
        _ = items[number]  # what cannot be read is noted there
    return [faces.summary(), *album.notes, *_left_out(items)]


# --- seeing and saving ----------------------------------------------------------------------------------


def _export(path: Path, run: training.Run, config: Config, state: dict[str, Tensor]) -> None:
    row = training.trained_row(
        run,
        task="frontalize",
        arch="tpgan.TPGAN",
        args=generator_args(config),
        multiple=alignment.SIDE,
        signed=True,
        whole=True,
        dtypes=("bf16",),
        summary=f"trained by gantool train --task tpgan (width {config.width:g})",
    )
    kept = {name: value for name, value in state.items() if not name.startswith("people.")}
    save_model(path, kept, row, half=True)
