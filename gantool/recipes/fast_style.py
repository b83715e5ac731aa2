"""Train a net for one style, that of one picture: Johnson's (Johnson et al. 2016, 1603.08155).

The net should keep a photograph's features (relu2_2, relu3_3) and give it the picture's Gram matrices
(relu1_2, relu2_2, relu3_3, relu4_3), as a perceptual net sees both; total variation keeps it smooth. Beyond
the paper, means and deviations are compared too, those of the colours first of all, of which a small
perceptual net knows less. Losses are beside the norm of what is compared with, so that the weights go with
any such net; they are not the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gantool import data, losses, percept, training
from gantool.errors import InputError, UsageError
from gantool.loading import save_model
from gantool.models.transformer_net import TransformerNet
from gantool.settings import param, path_param
from gantool.training import Ema, Loop, TrainRequest

LAYOUTS = ("photos",)
ALSO = ("style",)  # parameters that name more pictures, for --check

_CONTENT = ("relu2_2", "relu3_3")
_STYLE = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
_LONGEST = 4  # a style is looked at as if it were 4:1 at most


@dataclass
class Config:
    """Parameters of ``gantool train --task fast_style``."""

    style: str = path_param("", "the picture whose style is learned")
    style_size: int = param(256, "its short side, px: smaller ones give smaller strokes", low=32)
    width: int = param(32, "channels after the first convolution; 2 and 4 times as many follow", low=1)
    blocks: int = param(5, "residual blocks", low=1)
    batch: int = param(4, "photographs per step", low=1)
    crop: int = param(256, "side of a training crop, px; a multiple of 4", low=32)
    content: float = param(10.0, "weight of the content's features", low=0)
    gram: float = param(3.0, "weight of the style's Gram matrices", low=0)
    moments: float = param(2.0, "weight of the mean and deviation of colours and features", low=0)
    tv: float = param(0.2, "weight of total variation", low=0)
    eye: str = path_param("auto", "perceptual net: auto, builtin, vgg19, or a run or file of --task percept")
    lr: float = param(1e-3, "highest learning rate of Adam", low=1e-8)
    ema: float = param(0.99, "decay of the averaged weights; 0 = none", low=0, high=1)
    init: str = path_param("", "a model file of another style to start from")
    holdout: int = param(8, "photographs kept out of training, for samples and scores", low=0)
    workers: int = param(-1, "processes that prepare data; -1 = by device", low=-1)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    found, fabric = data.find_photos(request.data), training.fabric_for(request)
    settings = training.saved_config(request.resume)["settings"] if request.resume else request.settings
    painting = _painting(str(settings.get("style", "")))
    run, config = training.open_run(request, Config, lambda c: 20_000, [*found, painting], fabric)
    share = training.share_of(fabric, config.batch, request.accumulate)
    if config.crop % 4:
        raise UsageError(f"crop={config.crop} is not a multiple of 4", remedy="Try --set crop=256")
    kept_out, paths = data.split(found, config.holdout, run.seed)
    photos = data.photos(paths, lambda image: (data.shrunk(image, 2 * config.crop),))
    training.seed_step(run.seed, 0)
    net = net_of(config)
    if config.init and not run.resumed:
        request.say(training.start_from(net, config.init, TransformerNet.own_names))
    eye = percept.load(fabric.device, model=config.eye)
    picture = _shown(painting, config).to(fabric.device)
    with torch.no_grad(), fabric.autocast():
        wanted = [picture, *eye.features(picture, _STYLE).values()]
    ema = Ema(net, config.ema)
    optimizer = torch.optim.Adam(net.parameters(), config.lr, (0.9, 0.99))
    model, optimizer = training.set_up(fabric, request, net, optimizer)
    ema.to(fabric.device)
    held = [
        data.to_chw(data.middle(image, config.crop))
        for image in map(data.read_rgb, kept_out)
        if image is not None
    ]

    def sample(done: int) -> dict[str, float]:
        with ema.applied(net):
            return _sample(net, eye, wanted, held, fabric, config, loop, done)

    def export(path: Path) -> None:
        _export(path, run, config, painting, ema.state)

    parts = {"net": net, "ema": ema, "optimizer": optimizer}
    loop = Loop(run, request, fabric, config.batch, parts, sample, export, "-held", paired=False)
    request.say(f"{data.told(len(paths), 'photograph', len(held), run.steps)}; losses by {eye.name}")

    def crop(item: tuple[np.ndarray, ...], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return (data.to_chw(data.square(item[0], config.crop, rng)),)

    dataset = data.Steps(photos, crop, config.batch, run.seed, share)
    feed = data.batches(dataset, loop.start, loop.stop, config.workers, fabric.device)
    for step in loop:
        lr = config.lr * training.cosine(step, run.steps, warmup=min(50, run.steps // 10))
        training.set_lr(optimizer, lr)
        optimizer.zero_grad(set_to_none=True)
        batch = fabric.to_device(next(feed))
        for (content,), last in training.micro_batches(batch, request.accumulate):
            content = training.channels_last(content)
            with fabric.no_backward_sync(model, enabled=not last):
                made = model(content).float()
                with fabric.autocast():
                    terms = style_terms(eye, made, content, wanted)
                total = torch.stack([getattr(config, name) * term for name, term in terms.items()]).sum()
                fabric.backward(total / request.accumulate)
            loop.report(step, **terms)
        if loop.due(step):
            loop.report(step, grad_norm=training.grad_norm(fabric, net), lr=lr)
        fabric.clip_gradients(model, optimizer, max_norm=5.0)
        optimizer.step()
        ema.update(net, step)
    for path in photos.bad:
        request.warn(f"left out: {path} (unreadable)")
    return run.model


def ready(config: Config) -> None:
    """Raise UsageError or InputError, as a training would, where there is no style to learn."""
    _painting(config.style)


def net_of(config: Config) -> TransformerNet:
    """The net that the settings describe, with first weights by which it makes grey pictures."""
    net = TransformerNet((config.width, 2 * config.width, 4 * config.width), config.blocks)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    last = net.deconv3.conv2d
    with torch.no_grad():
        last.weight.mul_(0.1)
        nn.init.constant_(last.bias, 0.5)  # type: ignore[arg-type]
    return net


def style_terms(
    eye: percept.PerceptNet, made: Tensor, content: Tensor, wanted: Sequence[Tensor]
) -> dict[str, Tensor]:
    """The losses of what was made of contents, both (N,3,H,W) in [0,1]; ``wanted``: style, its features."""
    names = tuple(dict.fromkeys(_STYLE + _CONTENT))
    ours = eye.features(made, names)
    with torch.no_grad():
        theirs = eye.features(content, _CONTENT)
    mine = [made, *(ours[name] for name in _STYLE)]
    each = [1 / len(mine)] * len(mine)
    return {
        "content": losses.relative_loss([ours[name] for name in _CONTENT], list(theirs.values()))
        / len(_CONTENT),
        "gram": losses.style_loss(_centred(mine, wanted), _centred(wanted, wanted), each, relative=True),
        "moments": losses.moment_loss(mine, wanted, each),
        "tv": losses.total_variation(made),
    }


def _centred(features: Sequence[Tensor], wanted: Sequence[Tensor]) -> list[Tensor]:
    """The same, but for the pictures, which come first: they are around the style's mean, so that their Gram
    matrices tell which colours go together."""
    return [features[0] - wanted[0].mean((2, 3), keepdim=True), *features[1:]]


def _painting(name: str) -> Path:
    """The style's file."""
    if not name:
        raise UsageError("no style to learn", remedy="Give --set style=PICTURE")
    if not Path(name).is_file():
        raise InputError("no such style picture", Path(name), "Check --set style=...")
    return Path(name)


def _shown(painting: Path, config: Config) -> Tensor:
    """The style as the perceptual net sees it: (1,3,H,W) in [0,1]."""
    image = data.read_rgb(painting)
    if image is None:
        raise InputError("the style picture cannot be read", painting, "Check --set style=...")
    tall, wide = image.shape[:2]
    factor = config.style_size / min(tall, wide)
    sides = [min(round(side * factor), _LONGEST * config.style_size) for side in (tall, wide)]
    return torch.from_numpy(data.to_chw(data.resized(image, sides[0], sides[1])))[None]


@torch.no_grad()
def _sample(
    net: nn.Module,
    eye: percept.PerceptNet,
    wanted: Sequence[Tensor],
    held: Sequence[np.ndarray],
    fabric: Any,
    config: Config,
    loop: Loop,
    done: int,
) -> dict[str, float]:
    """Write rows of (content, ours); the means of the losses, and ``held``, their weighted sum."""
    if not held:
        return {}
    content, ours, found = torch.from_numpy(np.stack(held)).to(fabric.device), [], []
    with fabric.autocast():
        for part in content.split(4):
            ours.append(net(part).float().clamp(0, 1))
            terms = style_terms(eye, ours[-1], part, wanted)
            found.append({name: float(term) * len(part) for name, term in terms.items()})
    shown = (content, torch.cat(ours))
    rows = [[training.to_image(x[i]) for x in shown] for i in range(min(8, len(held)))]
    training.save_grid(loop.run.sheet(done), rows)
    loop.watch.health.samples(done, *(np.stack([row[i] for row in rows]) for i in (0, -1)))
    means = {name: sum(part[name] for part in found) / len(held) for name in found[0]}
    held_sum = sum(getattr(config, name) * value for name, value in means.items())
    return {f"held_{name}": value for name, value in means.items()} | {"held": held_sum}


def _export(path: Path, run: training.Run, config: Config, painting: Path, state: dict[str, Tensor]) -> None:
    row = training.trained_row(
        run,
        task="style",
        arch="transformer_net.TransformerNet",
        args={"widths": [config.width, 2 * config.width, 4 * config.width], "blocks": config.blocks},
        multiple=4,
        whole=True,
        summary=f"the style of {painting.name}; trained by gantool train --task fast_style",
    )
    save_model(path, state, row, half=True)
