"""Train a grey-to-colour net: L of a photograph in, its a and b out (Lab).

The nets are ResNet18 encoders with a straight-line or a U-Net decoder (facts in ``models/colorizer.py``).

``schedule=plain``: the squared error of a and b. With ``saturated`` above 0, saturated pixels weigh more (the
idea of Zhang et al. 2016, section 2.2, to rebalance by the rarity of colours): livelier, more often wrong.

``schedule=gan``: beside that error, a patch critic of L, a and b (32x32 answers for 256 px), WGAN-GP unless
asked otherwise, as in ChromaGAN (Vitoria et al. 2020), and the perceptual, style and TV losses.

``schedule=nogan``: DeOldify's order. First the generator alone on pixels and features, then the critic alone
on what the generator makes of the photographs, then both for a short while, with a snapshot every
``sample_every`` steps to choose from: the best colours come shortly before the first glitches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gantool import colors, data, losses, percept, training
from gantool.errors import UsageError
from gantool.loading import save_model
from gantool.models.colorizer import ResNetStraight, ResNetUNet, gray_first_conv
from gantool.models.pix2pix import NLayerDiscriminator, initialise
from gantool.ops.color import lab_to_rgb
from gantool.settings import param, path_param
from gantool.training import Ema, Game, GameConfig, Loop, TrainRequest

NETS = {"unet": ResNetUNet, "straight": ResNetStraight}
LAYOUTS = ("photos",)
FEATURES = ("relu1_2", "relu2_2", "relu3_4", "relu4_4")  # of the style loss


@dataclass
class Config(GameConfig):
    """Parameters of ``gantool train --task colorize``."""

    schedule: str = param("plain", "plain, gan or nogan")
    net: str = param("unet", "decoder: unet or straight")
    batch: int = param(16, "pictures per step", low=1)
    crop: int = param(160, "side of a training crop, px; a multiple of 32", low=32)
    lr: float = param(1e-3, "highest learning rate of AdamW", low=1e-8)
    decay: float = param(0.1, "weight decay", low=0)
    saturated: float = param(
        0.0, "extra weight of a pixel whose chroma is 50; 0 = plain squared error", low=0
    )
    old: float = param(0.4, "share of inputs that get an old film's contrast, blur and grain", low=0, high=1)
    mix: float = param(
        0.5, "share of crops of which a rectangle comes from another one (CutMix)", low=0, high=1
    )
    dropout: float = param(0.3, "share of the U-Net's bridge channels dropped in training", low=0, high=0.9)
    ema: float = param(0.998, "decay of the averaged weights", low=0, high=1)
    gan: str = param("wgangp", "vanilla, lsgan, hinge, wgan (clipped weights) or wgangp")
    adversarial: float = param(1e-3, "weight of the critic's answer, when the critic plays", low=0)
    percept: float = param(0.0, "weight of the perceptual distance", low=0)
    eye: str = path_param("auto", "perceptual net: auto, builtin, vgg19, or a run or file of --task percept")
    style: float = param(0.0, "weight of the Gram matrices' distance", low=0)
    tv: float = param(0.0, "weight of the total variation of a and b", low=0)
    ndf: int = param(64, "channels of the critic's first layer", low=1)
    critic_lr: float = param(2e-4, "the critic's learning rate", low=1e-8)
    pretrain: float = param(0.7, "nogan: share of steps for the generator alone", low=0, high=1)
    judging: float = param(0.15, "nogan: share of steps for the critic alone, after that", low=0, high=1)
    gan_lr: float = param(0.1, "nogan: factor on lr when both play", low=0, high=1)
    init: str = path_param("", "a ResNet18 or colorizer file to start from; what does not fit starts anew")
    holdout: int = param(64, "photographs kept out of training, for samples and scores", low=0)
    workers: int = param(-1, "processes that prepare data; -1 = by device", low=-1)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    found, fabric = data.find_photos(request.data), training.fabric_for(request)
    run, config = training.open_run(request, Config, lambda c: 50_000, found, fabric)
    share = training.share_of(fabric, config.batch, request.accumulate)
    kept_out, paths = data.split(found, config.holdout, run.seed)
    photos = data.photos(paths, lambda image: colors.shrink(image, config.crop))
    training.seed_step(run.seed, 0)
    net, game = _build(config), Game(config)
    if config.init and not run.resumed:
        request.say(training.start_from(net, config.init, _gray_input))
    ema = Ema(net, config.ema)
    optimizer = torch.optim.AdamW(_groups(net, config.decay), lr=config.lr, betas=(0.9, 0.99))
    model, optimizer = training.set_up(fabric, request, net, optimizer)
    ema.to(fabric.device)
    parts = {"net": net, "ema": ema, "optimizer": optimizer}
    if config.schedule != "plain":
        norm = "none" if config.gan in ("wgan", "wgangp") else "instance"
        critic = game.prepare(initialise(NLayerDiscriminator(3, config.ndf, norm=norm, bias=True, head=3)))
        d_optimizer = training.adam(critic, config.critic_lr)
        d_model, d_optimizer = training.set_up(fabric, request, critic, d_optimizer)
        ask = training.judge(fabric, d_model, critic)
        parts |= {"critic": critic, "critic_optimizer": d_optimizer}
    eye = percept.for_loss(fabric.device, config.eye, percept=config.percept, style=config.style)
    held = [lab for lab in (colors.held(p, config.crop) for p in kept_out) if lab is not None]

    def sample(done: int) -> dict[str, float]:
        with ema.applied(net):
            scores = colors.sample(net, held, run.sheet(done), fabric.device)
        if config.schedule == "nogan" and phase_of(done - 1, run.steps, config) == "both":
            _export(run.folder / "snapshots" / f"{done:07d}.safetensors", run, config, ema.state)
        return scores

    def export(path: Path) -> None:
        _export(path, run, config, ema.state)

    loop = Loop(run, request, fabric, config.batch, parts, sample, export)
    request.say(data.told(len(paths), "photograph", len(held), run.steps))

    def crop(item: tuple[np.ndarray, ...], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return colors.crop(item, rng, config.crop, config.old)

    dataset = data.Steps(photos, crop, config.batch, run.seed, share)
    feed = data.batches(dataset, loop.start, loop.stop, config.workers, fabric.device)
    for step in loop:
        phase = phase_of(step, run.steps, config)
        factor = training.cosine(step, run.steps, warmup=200)
        together = config.gan_lr if config.schedule == "nogan" and phase == "both" else 1.0
        training.set_lr(optimizer, config.lr * factor * together)
        batch = cutmix(next(feed), config.mix, data.step_rng(run.seed, 4, step, share[0]))
        batch = fabric.to_device(batch)

        if phase != "pixels":  # the critic: real colours against guessed ones, on the same lightness
            d_optimizer.zero_grad(set_to_none=True)
            for (light, ab), last in training.micro_batches(batch, request.accumulate):
                with torch.no_grad():
                    guess = model(training.channels_last(light)).float()
                real, fake = judged(light, ab), judged(light, guess)
                with fabric.no_backward_sync(d_model, enabled=not last):
                    real_answer, fake_answer = d_model(real).float(), d_model(fake).float()
                    d_loss = game.critic(real_answer, fake_answer)
                    penalty = game.penalty(critic, real, fake)
                    fabric.backward((d_loss if penalty is None else d_loss + penalty) / request.accumulate)
                loop.report(step, d=d_loss, d_accuracy=game.accuracy(real_answer, fake_answer))
            if loop.due(step):
                loop.report(step, d_norm=training.grad_norm(fabric, critic), **game.figures(critic))
            d_optimizer.step()
            game.after_step(critic)
        if phase == "critic":
            continue

        optimizer.zero_grad(set_to_none=True)
        for (light, ab), last in training.micro_batches(batch, request.accumulate):
            with fabric.no_backward_sync(model, enabled=not last):
                guess = model(training.channels_last(light)).float()
                terms = {"loss": chroma_loss(guess, ab, config.saturated)}
                total = terms["loss"]
                if phase == "both":
                    with training.frozen(critic):
                        terms["g"] = game.generator(ask(judged(light, guess)).float())
                    total = total + config.adversarial * terms["g"]
                if config.tv:
                    terms["tv"] = losses.total_variation(guess / 110)
                    total = total + config.tv * terms["tv"]
                if eye is not None:
                    with fabric.autocast():
                        seen = seen_losses(eye, light, guess, ab, config)
                    total = total + sum(getattr(config, name) * value for name, value in seen.items())
                    terms |= seen
                fabric.backward(total / request.accumulate)
            loop.report(step, **terms)
        if loop.due(step):
            loop.report(step, g_norm=training.grad_norm(fabric, net), lr=config.lr * factor * together)
        optimizer.step()
        ema.update(net, step)
    for path in photos.bad:
        request.warn(f"left out: {path} (unreadable or smaller than a crop)")
    return run.model


def phase_of(step: int, steps: int, config: Config) -> str:
    """Who learns at a step: "pixels" (the generator without the critic), "critic" (it alone), or "both"."""
    if config.schedule != "nogan":
        return "pixels" if config.schedule == "plain" else "both"
    done = step / max(1, steps)
    if done < config.pretrain:
        return "pixels"
    return "critic" if done < config.pretrain + config.judging else "both"


def judged(light: Tensor, ab: Tensor) -> Tensor:
    """What the critic sees: (N,3,H,W) of L, a and b, each about in [-1,1]. ``light``: L / 100."""
    return training.channels_last(torch.cat((light * 2 - 1, ab / 110), 1))


def seen_losses(
    eye: percept.PerceptNet, light: Tensor, guess: Tensor, ab: Tensor, config: Config
) -> dict[str, Tensor]:
    """Perceptual distance and style loss of guessed and true colours, those that have a weight."""
    ours, theirs = (lab_to_rgb(torch.cat((light * 100, c), 1)).clamp(0, 1) for c in (guess, ab))
    found = {}
    if config.percept:
        found["percept"] = eye(ours, theirs).mean()
    if config.style:
        features = [list(eye.features(x, FEATURES).values()) for x in (ours, theirs)]
        found["style"] = losses.style_loss(features[0], features[1])
    return found


def chroma_loss(guess: Tensor, ab: Tensor, saturated: float) -> Tensor:
    """Weighted mean squared error of ab in units of 110; weights 1 + saturated * chroma / 50, mean 1.

    Args:
        guess, ab: (N,2,H,W) in Lab units.
    """
    weight = 1 + saturated * ab.square().sum(1, keepdim=True).sqrt() / 50
    return ((guess - ab) / 110).square().mul(weight / weight.mean()).mean()


def cutmix(parts: Sequence[Tensor], share: float, rng: np.random.Generator) -> list[Tensor]:
    """Paste into some samples a rectangle of the next one, at the same place in every part (Yun et al. 2019).

    A net that cannot rely on the whole photograph learns what a region's own texture says about its colour,
    and remembers the training set less.

    Args:
        parts: aligned batches (N,C,H,W).
        share: the expected share of samples that receive a rectangle.
        rng: chooses the rectangles; the area pasted is uniform in 0 to 1 (Beta(1,1)).
    """
    count, (height, width) = parts[0].shape[0], parts[0].shape[-2:]
    mixed = [part.clone() for part in parts]
    for i in range(count):
        if rng.random() >= share:
            continue
        side = np.sqrt(rng.random())
        h, w = round(height * side), round(width * side)
        top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
        for part, new in zip(parts, mixed, strict=True):
            new[i, :, top : top + h, left : left + w] = part[
                (i + 1) % count, :, top : top + h, left : left + w
            ]
    return mixed


def _build(config: Config) -> nn.Module:
    if config.schedule not in ("plain", "gan", "nogan"):
        raise UsageError(f"no schedule called '{config.schedule}'", remedy="Known: plain, gan, nogan")
    if config.net not in NETS:
        raise UsageError(f"no decoder called '{config.net}'", remedy=f"Known: {', '.join(NETS)}")
    if config.crop % 32:
        raise UsageError(f"crop={config.crop} is not a multiple of 32", remedy="Try --set crop=160")
    return ResNetUNet(dropout=config.dropout) if config.net == "unet" else ResNetStraight()


def _groups(net: nn.Module, decay: float) -> list[dict[str, object]]:
    """Weight decay for convolution kernels only, not for biases and norms."""
    kernels = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _gray_input(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """An RGB first convolution summed over its channels."""
    first = state.get("conv1.weight")
    if first is not None and first.shape[1] == 3:
        return state | {"conv1.weight": gray_first_conv(first)}
    return state


def _export(path: Path, run: training.Run, config: Config, state: dict[str, Tensor]) -> None:
    path.parent.mkdir(exist_ok=True)
    unet = config.net == "unet"
    row = training.trained_row(
        run,
        task="colorize",
        arch=f"colorizer.{NETS[config.net].__name__}",
        args={},
        multiple=32 if unet else 8,
        dtypes=("bf16",),
        color="lab",
        summary=f"trained by gantool train --task colorize ({config.net}, {config.schedule})",
    )
    save_model(path, state, row, half=True)
