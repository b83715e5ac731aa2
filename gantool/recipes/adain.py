"""Train a net that gives photographs the style of any picture: MicroAST's light one, or AdaIN's.

Content and style losses are AdaIN's (Huang & Belongie 2017, 1703.06868, section 5): deep features should be
the content's with the style's mean and deviation, and all should have the style's mean and deviation;
``gram`` compares Gram matrices as well. Here the encoder of the net learns too, as MicroAST's do (Wang et
al. 2023, 2211.15313), and a perceptual net looks on. Some contents are their own style and should come back
as they are. A ``teacher`` shows another net's results, by which a small net learns far sooner.

Styles are paintings of a folder, other photographs, and textures of gantool's own (``textures.py``).
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

from gantool import data, hub, losses, parts, percept, selection, textures, training
from gantool.catalog import load_catalog
from gantool.errors import UsageError
from gantool.loading import save_model
from gantool.models.adain import AdaIN, LightAdaIN, moments, restyled
from gantool.models.microast import MicroAST
from gantool.settings import param, path_param
from gantool.training import Ema, Loop, TrainRequest

LAYOUTS = ("photos",)
ALSO = ("styles",)  # parameters that name more pictures, for --check

NETS = ("light", "microast", "adain")
_STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
_CONTENT = ("relu3_1", "relu4_1")


@dataclass
class Config:
    """Parameters of ``gantool train --task adain``."""

    styles: str = path_param("", "folder of paintings; without, photos and textures are the styles")
    net: str = param("light", "light (AdaIN at every scale of a small U-Net), microast, or adain")
    width: int = param(16, "channels of the first convolution; MicroAST has 16, AdaIN 64", low=1)
    blocks: int = param(3, "residual blocks of the light net", low=1)
    batch: int = param(4, "pictures per step", low=1)
    crop: int = param(128, "side of contents and styles in training, px; a multiple of 8", low=32)
    content: float = param(1.0, "weight of the content's features", low=0)
    moments: float = param(3.0, "weight of the style's means and deviations", low=0)
    gram: float = param(1.0, "weight of the style's Gram matrices", low=0)
    identity: float = param(10.0, "weight of the L1 distance where the content is its own style", low=0)
    tv: float = param(0.1, "weight of total variation", low=0)
    teacher: str = path_param("", "a style net to imitate: a name, or a file with its other parts beside it")
    imitate: float = param(10.0, "weight of the L1 distance to what the teacher makes", low=0)
    shifts: int = param(4, "shifts over which the teacher's results are averaged", low=1, high=8)
    likeness: float = param(3.0, "weight of the distance to that in features", low=0)
    own: float = param(0.1, "share of contents that are their own style", low=0, high=1)
    textures: float = param(0.2, "share of styles that gantool draws", low=0, high=1)
    photos: float = param(0.2, "share of styles that are other photos", low=0, high=1)
    recolor: float = param(0.5, "share of paintings and photos in other colours", low=0, high=1)
    eye: str = path_param("auto", "perceptual net: auto, builtin, vgg19, or a run or file of --task percept")
    lr: float = param(1e-3, "highest learning rate of Adam", low=1e-8)
    ema: float = param(0.995, "decay of the averaged weights; 0 = none", low=0, high=1)
    init: str = path_param("", "a model file to start from")
    holdout: int = param(12, "photographs kept out of training, for samples and scores", low=0)
    workers: int = param(-1, "processes that prepare data; -1 = by device", low=-1)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    found, fabric = data.find_photos(request.data), training.fabric_for(request)
    folder = str(_settings(request).get("styles", ""))
    paintings = data.find_photos([Path(folder)]) if folder else []
    run, config = training.open_run(request, Config, lambda c: 40_000, [*found, *paintings], fabric)
    share = training.share_of(fabric, config.batch, request.accumulate)
    kept_out, paths = data.split(found, config.holdout, run.seed)
    training.seed_step(run.seed, 0)
    net = net_of(config)
    if config.init and not run.resumed:
        request.say(training.start_from(net, config.init))
    eye = percept.load(fabric.device, model=config.eye)
    teacher = teacher_of(config.teacher, fabric.device) if config.teacher else None
    ema = Ema(net, config.ema)
    optimizer = torch.optim.Adam(net.parameters(), config.lr, (0.9, 0.99))
    model, optimizer = training.set_up(fabric, request, _Learner(net), optimizer)
    ema.to(fabric.device)
    sources = Sources(paths, paintings, config)
    held = sources.held(kept_out)

    def sample(done: int) -> dict[str, float]:
        with ema.applied(net):
            return _sample(net, eye, held, fabric, config, loop, done)

    def export(path: Path) -> None:
        _export(path, run, config, ema.state)

    saved = {"net": net, "ema": ema, "optimizer": optimizer}
    loop = Loop(run, request, fabric, config.batch, saved, sample, export, "-held", paired=False)
    contents, shown = data.counted(len(paths), "content"), data.counted(len(paintings), "painting")
    request.say(
        f"{contents} and {shown} to train on, {data.counted(len(held), 'content')} kept out; "
        f"{data.counted(run.steps, 'step')}; losses by {eye.name}"
    )
    dataset = data.Steps(sources.photos, sources.pair, config.batch, run.seed, share)
    feed = data.batches(dataset, loop.start, loop.stop, config.workers, fabric.device)
    for step in loop:
        lr = config.lr * training.cosine(step, run.steps, warmup=min(100, run.steps // 10))
        training.set_lr(optimizer, lr)
        optimizer.zero_grad(set_to_none=True)
        batch = fabric.to_device(next(feed))
        for (content, style, own), last in training.micro_batches(batch, request.accumulate):
            content, style = training.channels_last(content), training.channels_last(style)
            with fabric.no_backward_sync(model, enabled=not last):
                made = model(content, style).float()
                with fabric.autocast():
                    shown = taught(teacher, content, style, config.shifts)
                    terms = style_terms(eye, made, content, style, config, shown)
                terms["identity"] = ((made - content).abs() * own).mean()
                if shown is not None:
                    terms["imitate"] = ((made - shown).abs() * (1 - own)).mean()
                weights = vars(config)
                total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
                fabric.backward(total / request.accumulate)
            loop.report(step, **terms)
        if loop.due(step):
            loop.report(step, grad_norm=training.grad_norm(fabric, net), lr=lr)
        fabric.clip_gradients(model, optimizer, max_norm=2.0)
        optimizer.step()
        ema.update(net, step)
    for path in (*sources.photos.bad, *sources.paintings.bad):
        request.warn(f"left out: {path} (unreadable)")
    return run.model


def net_of(config: Config) -> nn.Module:
    """The net that the settings describe, with first weights by which it adds little to a plain picture."""
    if config.crop % 8:
        raise UsageError(f"crop={config.crop} is not a multiple of 8", remedy="Try --set crop=128")
    if config.textures + config.photos > 1:
        raise UsageError("textures and photos are more than all styles", remedy="Their sum is 1 at most")
    arch, args = arch_of(config)
    net = {"LightAdaIN": LightAdaIN, "MicroAST": MicroAST, "AdaIN": AdaIN}[arch.partition(".")[2]](**args)
    convolutions = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    for layer in convolutions:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    with torch.no_grad():
        convolutions[-1].weight.mul_(0.1)
        nn.init.constant_(convolutions[-1].bias, 0.0 if config.net == "light" else 0.5)  # type: ignore[arg-type]
        for name, parameter in net.named_parameters():
            if ".conv2.conv_layer.weight" in name or (name.startswith("blocks.") and ".1.weight" in name):
                parameter.mul_(0.3)  # residual blocks begin as hardly more than their input
            if name.startswith("modulator."):  # at first a style scales nothing and adds nothing
                neutral = 1.0 if ".weight1." in name or ".weight2." in name else 0.0
                parameter.fill_(neutral) if name.endswith("bias") else parameter.mul_(0.1)
            if name.startswith("steer."):
                parameter.mul_(0.1)
    return net


def arch_of(config: Config) -> tuple[str, dict[str, Any]]:
    """(arch, args) as they stand in the trained model's row."""
    if config.net not in NETS:
        raise UsageError(f"no style net called '{config.net}'", remedy=f"Known: {', '.join(NETS)}")
    if config.net == "light":
        return "adain.LightAdaIN", {"width": config.width, "blocks": config.blocks}
    if config.net == "microast":
        return "microast.MicroAST", {"width": config.width}
    return "adain.AdaIN", {"width": config.width / 64}


def teacher_of(spec: str, device: torch.device) -> nn.Module:
    """The frozen net of a name of the catalog or of a file: ``net(x, net.style(picture))``.

    Raises UsageError for an unknown name, a model of another task or of one style, and WeightsError for files
    that cannot be had.
    """
    choice = selection.select(spec, "style", catalog=load_catalog())
    path = choice.path or hub.fetch(choice.row)
    nets, _ = parts.load(choice.row, path, device)
    net = nets[0].joined(*nets[1:]) if isinstance(nets, list) else nets  # type: ignore[operator]
    if not hasattr(net, "style"):
        raise UsageError(f"{spec} is no net that takes any style", remedy="Name one of AdaIN's or MicroAST's")
    return net.eval().requires_grad_(False)


@torch.no_grad()
def taught(teacher: nn.Module | None, content: Tensor, style: Tensor, shifts: int = 1) -> Tensor | None:
    """What the teacher makes of contents in styles, (N,3,H,W) in [0,1]; None if there is none.

    The mean over contents moved by 0 to ``shifts`` - 1 px in each direction, and results moved back: strokes
    that belong to the picture stay, and the grid goes that a net with strides weaves.
    """
    if teacher is None:
        return None
    known = teacher.style(style)  # type: ignore[operator]
    tall, wide = content.shape[-2:]
    wider, total = F.pad(content, (8, 8, 8, 8), mode="reflect"), torch.zeros_like(content)
    for down in range(shifts):
        # Of four 0, 2, 1, 3: each row and each column once, and no diagonal.
        right = (2 * down + (shifts % 2 == 0 and 2 * down >= shifts)) % shifts
        made = teacher(wider[..., down : down + tall + 8, right : right + wide + 8], known).float()
        total += made[..., 8 - down : 8 - down + tall, 8 - right : 8 - right + wide].clamp(0, 1)
    return total / shifts


def style_terms(
    eye: percept.PerceptNet,
    made: Tensor,
    content: Tensor,
    style: Tensor,
    config: Config,
    shown: Tensor | None = None,
) -> dict[str, Tensor]:
    """The losses that have a weight, of what was made of contents in styles, all (N,3,H,W) in [0,1].

    ``shown``: what a teacher made of them.
    """
    names = tuple(dict.fromkeys(_STYLE + _CONTENT))
    ours = eye.features(made, names)
    with torch.no_grad():
        theirs, seen = eye.features(content, _CONTENT), eye.features(style, names)
        wanted = [restyled(theirs[name], *moments(seen[name])) for name in _CONTENT]
    mine, real = ([f[name] for name in _STYLE] for f in (ours, seen))
    each = [1 / len(mine)] * len(mine)
    found = {}
    if config.content:
        gap = losses.relative_loss([ours[name] for name in _CONTENT], wanted)
        found["content"] = gap / len(_CONTENT)
    if config.moments:  # of the pictures themselves as well, for the colours
        found["moments"] = losses.moment_loss([made, *mine], [style, *real], [each[0], *each])
    if config.gram:
        found["gram"] = losses.style_loss(mine, real, each, relative=True)
    if config.tv:
        found["tv"] = losses.total_variation(made)
    if shown is not None and config.likeness:
        with torch.no_grad():
            teachers = list(eye.features(shown, _STYLE).values())
        found["likeness"] = losses.relative_loss(mine, teachers, each)
    return found


class _Learner(nn.Module):
    """The net in one forward pass, from content and style."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """Both (N,3,H,W) in [0,1] -> contents in the styles."""
        return self.net(content, self.net.style(style))  # type: ignore[operator]


class Sources:
    """Where contents and styles come from."""

    def __init__(self, paths: Sequence[Path], paintings: Sequence[Path], config: Config) -> None:
        self.config = config

        def keep(image: np.ndarray) -> tuple[np.ndarray]:
            return (data.shrunk(image, 4 * config.crop),)

        self.photos, self.paintings = data.photos(paths, keep), data.photos(paintings, keep)

    def pair(self, item: tuple[np.ndarray, ...], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """(content, style, whether they are one): float32 (3,h,w) in [0,1] twice, and (1,1,1)."""
        content = data.square(item[0], self.config.crop, rng)
        own = rng.random() < self.config.own
        style = content if own else self.style(rng)
        return data.to_chw(content), data.to_chw(style), np.full((1, 1, 1), own, np.float32)

    def style(self, rng: np.random.Generator) -> np.ndarray:
        """A style's square, uint8 RGB."""
        config, drawn = self.config, rng.random()
        if drawn < config.textures:
            return textures.texture(config.crop, rng)
        paintings = self.paintings if len(self.paintings) else self.photos
        among = self.photos if drawn < config.textures + config.photos else paintings
        for _ in range(20):
            item = among[int(rng.integers(len(among)))]
            if item is not None:
                cut = data.square(item[0], config.crop, rng)
                return textures.recolored(cut, rng) if rng.random() < config.recolor else cut
        return textures.texture(config.crop, rng)

    def held(self, kept_out: Sequence[Path]) -> list[tuple[Tensor, Tensor]]:
        """(content, style) of photographs kept out, with the paintings in turn: (3,h,w) in [0,1] each."""
        pairs = []
        for number, path in enumerate(kept_out):
            image, rng = data.read_rgb(path), data.step_rng(0, 8, number)
            if image is None:
                continue
            painting = self.paintings[number % len(self.paintings)] if len(self.paintings) else None
            content = data.middle(image, self.config.crop)
            style = textures.texture(self.config.crop, rng)
            if painting is not None:
                style = data.middle(painting[0], self.config.crop)
            pairs.append(tuple(torch.from_numpy(data.to_chw(one)) for one in (content, style)))
        return pairs


@torch.no_grad()
def _sample(
    net: nn.Module,
    eye: percept.PerceptNet,
    held: Sequence[tuple[Tensor, Tensor]],
    fabric: Any,
    config: Config,
    loop: Loop,
    done: int,
) -> dict[str, float]:
    """Write rows of (content, style, ours); the means of the losses, and ``held``, their weighted sum."""
    if not held:
        return {}
    content, style = (torch.stack([pair[i] for pair in held]).to(fabric.device) for i in (0, 1))
    ours, terms = [], []
    with fabric.autocast():
        for c, s in zip(content.split(4), style.split(4), strict=True):
            made = net(c, net.style(s)).float().clamp(0, 1)  # type: ignore[operator]
            ours.append(made)
            terms += [
                {name: float(term) * len(c) for name, term in style_terms(eye, made, c, s, config).items()}
            ]
    shown = (content, style, torch.cat(ours))
    rows = [[training.to_image(x[i]) for x in shown] for i in range(min(8, len(held)))]
    training.save_grid(loop.run.sheet(done), rows)
    loop.watch.health.samples(done, *(np.stack([row[i] for row in rows]) for i in (0, -1)))
    means = {name: sum(part[name] for part in terms) / len(held) for name in terms[0]}
    held_sum = sum(getattr(config, name) * value for name, value in means.items())
    return {f"held_{name}": value for name, value in means.items()} | {"held": held_sum}


def _export(path: Path, run: training.Run, config: Config, state: dict[str, Tensor]) -> None:
    arch, args = arch_of(config)
    row = training.trained_row(
        run,
        task="style",
        arch=arch,
        args=args,
        multiple=4 if config.net == "microast" else 8,
        whole=True,
        summary="any picture's style; trained by gantool train --task adain",
    )
    save_model(path, state, row, half=True)


def _settings(request: TrainRequest) -> dict[str, Any]:
    """The settings of this run, before they are checked."""
    return training.saved_config(request.resume)["settings"] if request.resume else request.settings
