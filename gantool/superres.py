"""What the recipes of super-resolution share: pairs, nets, critics, scores on photographs kept out, export.

The loops and the losses stay in the recipes, where they can be read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gantool import data, degrade, losses, training
from gantool.errors import UsageError
from gantool.loading import save_model
from gantool.models.critics import UNetDiscriminatorSN, VGGStyleDiscriminator
from gantool.models.edsr import EDSR
from gantool.models.pix2pix import NLayerDiscriminator, initialise
from gantool.models.rrdbnet import RRDBNet
from gantool.models.srresnet import MSRResNet, SRResNet
from gantool.models.srvgg import SRVGGNetCompact
from gantool.ops.resize import resize
from gantool.percept import PerceptNet
from gantool.settings import param
from gantool.upscalers import Layout, compact, msrresnet, rrdbnet, srresnet

NETS: dict[str, type[nn.Module]] = {
    "srvgg.SRVGGNetCompact": SRVGGNetCompact,
    "rrdbnet.RRDBNet": RRDBNet,
    "edsr.EDSR": EDSR,
    "srresnet.MSRResNet": MSRResNet,
    "srresnet.SRResNet": SRResNet,
}
CRITICS = ("vgg", "unet", "patch")
_LEAST_PX = 16  # of a large crop, which percept can measure
_MARGIN_PX = 8  # around a low-resolution crop, where a random degradation may feel the edge


# --- pairs ----------------------------------------------------------------------------------------------


@dataclass
class PairConfig:
    """Parameters that every recipe of super-resolution has."""

    scale: int = param(4, "factor per side: 2, 3 or 4, for some nets also 1 or 8", low=1, high=8)
    patch: int = param(48, "side of a low-resolution training crop, px", low=8)
    batch: int = param(16, "pictures per step", low=1)
    degrade: str = param("bicubic", "what makes small pictures of large ones: a recipe of `gantool degrade`")
    ema: float = param(0.999, "decay of the averaged weights; 0 = none", low=0, high=1)
    eye: str = param("auto", "perceptual net: auto, builtin, vgg19, or a run or file of --task percept")
    init: str = param("", "a model.safetensors or .pth to start from; layers that do not fit start anew")
    holdout: int = param(16, "photographs kept out of training, for samples and scores", low=0)
    workers: int = param(-1, "processes that prepare data; -1 = by device", low=-1)


class Pairs:
    """Small and large crops of photographs, as :mod:`gantool.degrade` makes the small ones.

    MATLAB's bicubic is computed once for a whole photograph. Recipes of chance spoil every crop anew, with a
    margin around it that is cut off afterwards.

    Raises:
        UsageError: no such recipe, or one that cannot do this scale.
    """

    def __init__(self, config: PairConfig) -> None:
        if config.scale == 1 and config.degrade == "bicubic":
            raise UsageError("scale=1 leaves nothing to learn", remedy="Use --set degrade=real-esrgan")
        if config.patch * config.scale < _LEAST_PX:
            what = f"patch={config.patch} makes pictures of {config.patch * config.scale} px"
            raise UsageError(what, remedy=f"Use --set patch={-(-_LEAST_PX // config.scale)}")
        self.scale, self.patch = config.scale, config.patch
        self.spoil = degrade.recipe(config.degrade, scale=config.scale)
        self.fixed = config.degrade == "bicubic"

    def prepare(self, image: np.ndarray) -> tuple[np.ndarray, ...] | None:
        """What is kept of a photo: (low, high), or (photo,) for recipes of chance; None if too small."""
        if min(image.shape[:2]) < max(self.patch * self.scale, self.spoil.least_side):
            return None
        return self.spoil.pair(image, np.random.default_rng(0)) if self.fixed else (image,)

    def crop(self, item: tuple[np.ndarray, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A random place, turned and mirrored at random -> low (3,h,w), high (3,h*s,w*s) in [0,1]."""
        places = [side // (1 if self.fixed else self.scale) - self.patch + 1 for side in item[0].shape[:2]]
        top, left = int(rng.integers(places[0])), int(rng.integers(places[1]))
        low, high = data.augment(self._cut(item, top, left, rng), rng)
        return data.to_chw(low), data.to_chw(high)

    def held(self, paths: Sequence[Path]) -> Held:
        """The centres of photographs kept out; those that cannot be used are left out."""
        pairs = []
        for number, path in enumerate(paths):
            image = data.read_rgb(path)
            item = None if image is None else self.prepare(image)
            if item is None:
                continue
            tall, wide = (side // (1 if self.fixed else self.scale) for side in item[0].shape[:2])
            top, left = (tall - self.patch) // 2, (wide - self.patch) // 2
            cut = self._cut(item, top, left, data.step_rng(0, 7, number))
            pairs.append([torch.from_numpy(data.to_chw(picture)) for picture in cut])
        return Held(*(torch.stack(side) for side in zip(*pairs, strict=True))) if pairs else Held()

    def _cut(
        self, item: tuple[np.ndarray, ...], top: int, left: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) uint8 at a place, given in low-resolution pixels."""
        if self.fixed:
            return _window(item[0], top, left, self.patch), self._high(item[1], top, left)
        (image,) = item
        around = []
        for start, side in zip((top, left), image.shape[:2], strict=True):
            most = side // self.scale - self.patch
            around.append((min(_MARGIN_PX, start), min(_MARGIN_PX, most - start)))
        (up, down), (before, after) = around
        tall, wide = (self.patch + up + down) * self.scale, (self.patch + before + after) * self.scale
        y, x = (top - up) * self.scale, (left - before) * self.scale
        low, high = self.spoil.pair(np.ascontiguousarray(image[y : y + tall, x : x + wide]), rng)
        return _window(low, up, before, self.patch), self._high(high, up, before)

    def _high(self, image: np.ndarray, top: int, left: int) -> np.ndarray:
        return _window(image, top * self.scale, left * self.scale, self.patch * self.scale)


def _window(image: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    return image[top : top + side, left : left + side]


# --- nets -----------------------------------------------------------------------------------------------


def generator(kind: str, scale: int, width: int, blocks: int = 0) -> Layout:
    """The net that a recipe's ``generator`` names; 0 blocks are those of its paper.

    Raises:
        UsageError: no such generator.
    """
    match kind:
        case "compact":
            return compact(width, blocks or 16, scale)
        case "rrdb":
            return rrdbnet(scale, width, blocks or 23, max(1, width // 2))
        case "msrresnet":
            return msrresnet(scale, width, blocks or 16)
        case "srresnet":
            return srresnet(scale, width, blocks or 16)
    raise UsageError(f"no generator called '{kind}'", remedy="Known: rrdb, compact, msrresnet, srresnet")


def net_of(layout: Layout) -> nn.Module:
    """A new net. Raises UsageError for settings that it cannot have, such as its scale."""
    try:
        return NETS[layout.arch](**layout.args)
    except ValueError as error:
        raise UsageError(str(error), remedy="Choose another with --set") from error


def start_from(net: nn.Module, path: str) -> str:
    """Take over what fits of a file in any spelling that the net knows; says how much did."""
    return training.start_from(net, path, getattr(net, "own_names", None))


def enlarger(model: Callable[[Tensor], Tensor], layout: Layout) -> Callable[[Tensor], Tensor]:
    """The net as a function of pictures in [0,1] that gives pictures in about [0,1], float32."""

    def enlarge(low: Tensor) -> Tensor:
        return model(training.channels_last(low) * layout.value_range).float() / layout.value_range

    return enlarge


def critic_of(kind: str, side: int, width: int, game: Game) -> nn.Module:
    """A new critic of pictures of a side, in [0,1]; the U-Net has spectral norm in any case.

    Batch norm gives way where it would be in the way: to spectral norm, and in WGAN-GP and with R1, whose
    penalties are of single pictures.

    Raises:
        UsageError: no such critic, or one that cannot judge pictures of that side.
    """
    plain = game.config.spectral or game.config.gan == "wgangp" or game.config.r1 > 0
    norm = "none" if plain else "batch"
    if kind == "unet":
        return UNetDiscriminatorSN(3, width)
    if kind == "patch":
        return game.prepare(initialise(NLayerDiscriminator(3, width, norm=norm)))
    if kind != "vgg":
        raise UsageError(f"no critic called '{kind}'", remedy=f"Known: {', '.join(CRITICS)}")
    try:
        return game.prepare(VGGStyleDiscriminator(3, width, side, norm))
    except ValueError as error:
        remedy = "Use --set critic=unet, or another patch: patch times scale must be 96, 128, 192, 256, ..."
        raise UsageError(f"the vgg critic does not judge pictures of {side} px", remedy=remedy) from error


@dataclass
class AdversarialConfig(PairConfig, training.GameConfig):
    """Parameters of the recipes that train against a critic."""

    generator: str = param("rrdb", "rrdb, compact, msrresnet or srresnet")
    width: int = param(64, "channels of the generator", low=2)
    blocks: int = param(0, "its blocks, or convolutions of compact; 0 = as in its paper", low=0)
    critic: str = param("vgg", "vgg, unet (with spectral norm) or patch")
    ndf: int = param(64, "channels of the critic's first layer", low=1)
    layers: str = param("conv5_4", "layers of VGG19 to be alike in, such as 'conv3_4:0.5 conv5_4'")
    lr: float = param(1e-4, "learning rate of Adam", low=1e-8)
    critic_lr: float = param(0.0, "the critic's; 0 = the same", low=0)
    pretrain: int = param(0, "first steps without a critic, by pixels alone", low=0)
    pretrain_lr: float = param(2e-4, "learning rate of these steps", low=1e-8)


# --- the game -------------------------------------------------------------------------------------------


class Game(training.Game):
    """The games of every adversarial recipe, and the relativistic average one of ESRGAN.

    In that one answers are compared with the mean of the other side's, over what goes through the critic
    together (with ``--accumulate`` and ``--devices`` a part of the batch).
    """

    def __init__(self, config: training.GameConfig) -> None:
        self.relativistic = config.gan == "relativistic"
        try:
            super().__init__(replace(config, gan="vanilla") if self.relativistic else config)
        except UsageError as error:
            raise UsageError(error.what, remedy=f"{error.remedy}, relativistic") from error

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        return losses.relativistic_critic(real, fake) if self.relativistic else super().critic(real, fake)

    def against(self, ask: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
        """The generator's loss; ``ask`` puts pictures to the critic, real ones too if need be."""
        if not self.relativistic:
            return self.generator(ask(fake).float())
        with torch.no_grad():
            answer = ask(real).float()
        return losses.relativistic_generator(answer, ask(fake).float())

    @torch.no_grad()
    def accuracy(self, real: Tensor, fake: Tensor) -> Tensor:
        if not self.relativistic:
            return super().accuracy(real, fake)
        return super().accuracy(real - fake.mean(), fake - real.mean())


# --- features -------------------------------------------------------------------------------------------


def layers_of(text: str) -> dict[str, float]:
    """ "conv5_4" or "conv3_4:0.5 conv5_4" -> weights by layer of VGG19.

    Raises:
        UsageError: no such layer, or a weight that is no number.
    """
    from gantool.models.vgg import layer_names

    weights: dict[str, float] = {}
    for word in text.replace(",", " ").split():
        name, _, weight = word.partition(":")
        if name not in layer_names():
            raise UsageError(f"VGG19 has no layer '{name}'", remedy="Such as conv5_4 or relu2_2")
        try:
            weights[name] = float(weight or 1)
        except ValueError:
            raise UsageError(f"{word} is not LAYER:WEIGHT", remedy="Such as conv3_4:0.5") from None
    if not weights:
        raise UsageError("no layer named", remedy="Such as --set layers=conv5_4")
    return weights


def feature_loss(
    eye: PerceptNet, fake: Tensor, real: Tensor, layers: dict[str, float], distance: losses.Distance
) -> Tensor:
    """How far two batches in [0,1] are apart in layers of a classifier: SRGAN's and ESRGAN's content loss."""
    with torch.no_grad():
        theirs = eye.features(real, list(layers))
    ours = eye.features(fake, list(layers))
    weights = list(layers.values())
    return losses.feature_loss(list(ours.values()), list(theirs.values()), weights, distance)


# --- schedules ------------------------------------------------------------------------------------------


def stepped(step: int, steps: int, shares: Sequence[float], factor: float) -> float:
    """Learning-rate factor: times ``factor`` when each of these shares of all steps is done."""
    return factor ** sum(step >= share * steps for share in shares)


# --- seeing and saving ----------------------------------------------------------------------------------


@dataclass
class Held:
    """Photographs kept out: low (N,3,h,w) and high (N,3,h*s,w*s) in [0,1]."""

    low: Tensor = field(default_factory=lambda: torch.empty(0))
    high: Tensor = field(default_factory=lambda: torch.empty(0))

    def __len__(self) -> int:
        return len(self.low)

    @torch.no_grad()
    def score(
        self, net: nn.Module, layout: Layout, eye: PerceptNet, loop: training.Loop, done: int
    ) -> dict[str, float]:
        """Write rows of (bicubic, ours, truth); PSNR over RGB (dB) and ``percept`` of ours and bicubic."""
        if not len(self):
            return {}
        enlarge, device = enlarger(net, layout), loop.fabric.device
        with loop.fabric.autocast():
            ours = [enlarge(part.to(device)).cpu() for part in self.low.split(4)]
        made = {"": torch.cat(ours).clamp(0, 1)}
        made["_bicubic"] = resize(self.low, self.high.shape[-2], self.high.shape[-1]).clamp(0, 1)
        shown = (made["_bicubic"], made[""], self.high)
        rows = [[training.to_image(x[i]) for x in shown] for i in range(min(6, len(self)))]
        training.save_grid(loop.run.sheet(done), rows)
        # No inputs: the bicubic picture is so like the truth that being like it means nothing.
        loop.watch.health.samples(done, None, *(np.stack([row[i] for row in rows]) for i in (1, 2)))
        scores = {}
        for name, x in made.items():
            error = (x - self.high).square().mean((1, 2, 3)).clamp_min(1e-10)
            scores[f"psnr{name}"] = float((-10 * error.log10()).mean())
            scores[f"percept{name}"] = self._percept(eye, x, device)
        return scores

    def _percept(self, eye: PerceptNet, x: Tensor, device: torch.device) -> float:
        pairs = zip(x.split(4), self.high.split(4), strict=True)
        return float(torch.cat([eye(a.to(device), b.to(device)).cpu() for a, b in pairs]).mean())


def export(path: Path, run: training.Run, layout: Layout, state: dict[str, Tensor], task: str) -> None:
    """Save a trained upscaler with its row."""
    values = {name: getattr(layout, name) for name in vars(layout)}
    # fp16 is cleared for released weights only, which many have run in it.
    values["dtypes"] = tuple(dtype for dtype in layout.dtypes if dtype == "bf16")
    summary = f"trained for x{layout.scale} by gantool train --task {task}"
    save_model(path, state, training.trained_row(run, task="upscale", summary=summary, **values), half=True)
