"""Train pix2pix: pictures into pictures, from pairs (Isola et al. 2017, 1611.07004).

A U-Net (or CycleGAN's residual net) makes B from A; a PatchGAN critic sees A and B together and judges
patches. The generator's loss is the adversarial one plus 100 x L1 (section 3.1, equation 4), the critic's is
halved (section 3.3), both by Adam at 2e-4. Defaults are the paper's; EMA, other games and feature matching
are ours.
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
from gantool.settings import degradation_param, param, path_param
from gantool.training import Ema, Game, GameConfig, Loop, TrainRequest

LAYOUTS = ("side-by-side", "pairs", "photos")


@dataclass
class Config(GameConfig):
    """Parameters of ``gantool train --task pix2pix``."""

    net: str = param("unet", "generator: unet, or resnet (CycleGAN's)")
    size: int = param(256, "side of a training crop, px: a power of two for the unet", low=32)
    load: float = param(1.117, "short side of pictures before the crop, in crops (286 for 256 px)", low=1)
    ngf: int = param(64, "channels of the generator's first layer", low=1)
    blocks: int = param(9, "residual blocks of the resnet", low=1)
    norm: str = param("batch", "batch, instance or none")
    dropout: float = param(0.5, "share dropped in the generator's inner levels", low=0, high=0.9)
    upsample: str = param("transpose", "transpose as in the paper, or resize (no checkerboard)")
    critic: str = param("patch", "critic: patch or pixel")
    ndf: int = param(64, "channels of the critic's first layer", low=1)
    layers: int = param(3, "depth of the patch critic: 3 sees 70x70 px", low=1, high=6)
    l1: float = param(100.0, "weight of the L1 distance to B", low=0)
    matching: float = param(0.0, "weight of feature matching (pix2pixHD: 10)", low=0)
    tv: float = param(0.0, "weight of total variation", low=0)
    pool: int = param(0, "earlier pictures kept for the critic", low=0)
    lr: float = param(2e-4, "learning rate of Adam", low=1e-8)
    critic_lr: float = param(0.0, "the critic's; 0 = the same", low=0)
    beta1: float = param(0.5, "Adam's first momentum", low=0, high=1)
    constant: float = param(0.5, "share of all steps before the rate goes down to 0", low=0, high=1)
    batch: int = param(1, "pairs per step", low=1)
    ema: float = param(0.999, "decay of the averaged weights; 0 = none", low=0, high=1)
    direction: str = param("AtoB", "AtoB or BtoA")
    make: str = degradation_param(
        "gray", "how photos become pairs: gray, or a recipe of `gantool degrade`, and its parameters"
    )
    mirror: bool = param(True, "mirror pairs at random")
    turn: bool = param(False, "turn pairs by quarters at random: for maps and other views from above")
    init: str = path_param("", "a model.safetensors or latest_net_G.pth to start the generator from")
    holdout: int = param(16, "pairs kept out of training where there are no test folders", low=0)
    workers: int = param(-1, "processes that prepare data; -1 = by device", low=-1)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    layout, fabric = layouts.recognise(request.data, LAYOUTS), training.fabric_for(request)
    files = [path for sample in layout.train for path in sample.files]
    run, config = training.open_run(request, Config, lambda c: 200 * len(layout.train), files, fabric)
    share = training.share_of(fabric, config.batch, request.accumulate)
    pairs = Pairs(layout, config)
    held_keys, keys = pairs.split(run.seed)
    items = data.Items(keys, pairs.load)
    for problem in (*layout.problems, *layout.notes):
        request.warn(problem)
    training.seed_step(run.seed, 0)
    game = Game(config)
    net, critic = generator_of(config), game.prepare(critic_of(config))
    if config.init and not run.resumed:
        request.say(training.start_from(net, config.init))
    ema, pool = Ema(net, config.ema), ImagePool(config.pool, run.seed + share[0])
    plain = config.net == "resnet"  # memory order on a CPU
    model, g_optimizer = training.set_up(
        fabric, request, net, training.adam(net, config.lr, config.beta1), plain
    )
    d_lr = config.critic_lr or config.lr
    d_model, d_optimizer = training.set_up(
        fabric, request, critic, training.adam(critic, d_lr, config.beta1), plain
    )
    ask = training.judge(fabric, d_model, critic)
    ema.to(fabric.device)
    held = [pair for pair in (pairs.held(key) for key in held_keys) if pair is not None]

    def sample(done: int) -> dict[str, float]:
        with ema.applied(net):
            return _sample(net, held, run.sheet(done), fabric, loop.watch.health, done)

    def export(path: Path) -> None:
        _export(path, run, config, ema.state)

    parts = {"net": net, "ema": ema, "optimizer": g_optimizer}
    parts |= {"critic": critic, "critic_optimizer": d_optimizer, "pool": pool}
    loop = Loop(run, request, fabric, config.batch, parts, sample, export)
    found = f"{data.counted(len(keys), 'pair')} ({layout.kind})"
    request.say(f"{found} to train on, {len(held)} kept out; {data.counted(run.steps, 'step')}")
    dataset = data.Steps(items, pairs.crop, config.batch, run.seed, share)
    feed = data.batches(dataset, loop.start, loop.stop, config.workers, fabric.device)
    for step in loop:
        factor = training.linear_decay(step, run.steps, config.constant)
        training.set_lr(g_optimizer, config.lr * factor)
        training.set_lr(d_optimizer, d_lr * factor)
        batch = fabric.to_device(next(feed))
        made: list[Tensor] = []

        # The critic: A with B is real, A with what the generator makes of it is not.
        d_optimizer.zero_grad(set_to_none=True)
        for (a, b), last in training.micro_batches(batch, request.accumulate):
            a, b = training.channels_last(a, plain), training.channels_last(b, plain)
            with (
                fabric.no_backward_sync(model, enabled=not last),
                torch.set_grad_enabled(request.accumulate == 1),
            ):
                fake = model(a).float()
            made = [fake]
            real_pair, fake_pair = torch.cat((a, b), 1), pool.query(torch.cat((a, fake), 1))
            with fabric.no_backward_sync(d_model, enabled=not last):
                real_answer, fake_answer = d_model(real_pair).float(), d_model(fake_pair).float()
                d_loss = 0.5 * game.critic(real_answer, fake_answer)
                penalty = game.penalty(critic, real_pair, fake_pair)
                fabric.backward((d_loss if penalty is None else d_loss + penalty) / request.accumulate)
            loop.report(step, d=d_loss, d_accuracy=game.accuracy(real_answer, fake_answer))
            if penalty is not None:
                loop.report(step, penalty=penalty)
        if loop.due(step):
            loop.report(step, d_norm=training.grad_norm(fabric, critic), **game.figures(critic))
        d_optimizer.step()
        game.after_step(critic)

        # The generator: what it makes should pass for real, and be near B.
        g_optimizer.zero_grad(set_to_none=True)
        with training.frozen(critic):
            for (a, b), last in training.micro_batches(batch, request.accumulate):
                a, b = training.channels_last(a, plain), training.channels_last(b, plain)
                with fabric.no_backward_sync(model, enabled=not last):
                    fake = made[0] if request.accumulate == 1 else model(a).float()
                    pair = torch.cat((a, fake), 1)
                    terms = {"g": game.generator(ask(pair).float()), "l1": F.l1_loss(fake, b)}
                    total = terms["g"] + config.l1 * terms["l1"]
                    if config.matching:
                        terms["matching"] = _matching(critic, pair, torch.cat((a, b), 1), fabric)
                        total = total + config.matching * terms["matching"]
                    if config.tv:
                        terms["tv"] = losses.total_variation(fake)
                        total = total + config.tv * terms["tv"]
                    fabric.backward(total / request.accumulate)
                loop.report(step, **terms)
        if loop.due(step):
            loop.report(step, g_norm=training.grad_norm(fabric, net), lr=config.lr * factor)
        g_optimizer.step()
        ema.update(net, step)
    for key in items.bad:
        request.warn(
            f"left out: {key.files[0]} (unreadable, smaller than a crop, or of a size that --check tells)"
        )
    return run.model


def _matching(critic: nn.Module, fake: Tensor, real: Tensor, fabric: Any) -> Tensor:
    """Mean over layers of the L1 distance of the critic's features (pix2pixHD, equation 4)."""
    with fabric.autocast():
        ours, theirs = critic.features(fake)[:-1], critic.features(real)[:-1]  # type: ignore[operator]
    return losses.feature_loss(ours, theirs) / len(ours)


# --- nets -----------------------------------------------------------------------------------------------


def generator_of(config: Config) -> nn.Module:
    """The generator that the settings describe, with the paper's first weights."""
    kind, args = generator_arch(config)
    build = {
        "pix2pix.UnetGenerator": pix2pix.UnetGenerator,
        "cyclegan.ResnetGenerator": cyclegan.ResnetGenerator,
    }
    return pix2pix.initialise(build[kind](**args))


def generator_arch(config: Config) -> tuple[str, dict[str, Any]]:
    """(arch, args) as they stand in the trained model's row."""
    shared = {"ngf": config.ngf, "norm": config.norm, "dropout": config.dropout, "upsample": config.upsample}
    if config.norm not in ("batch", "instance", "none"):
        raise UsageError(f"no norm called '{config.norm}'", remedy="Known: batch, instance, none")
    if config.upsample not in ("transpose", "resize"):
        raise UsageError(f"no upsampling called '{config.upsample}'", remedy="Known: transpose, resize")
    if config.net == "resnet":
        if config.size % 4:
            raise UsageError(f"size={config.size} is no multiple of 4", remedy="Try --set size=256")
        return "cyclegan.ResnetGenerator", shared | {"blocks": config.blocks}
    if config.net != "unet":
        raise UsageError(f"no generator called '{config.net}'", remedy="Known: unet, resnet")
    downs = min(8, config.size.bit_length() - 1)
    if config.size % 2**downs or downs < 5:
        raise UsageError(f"size={config.size} does not suit the unet", remedy="Try --set size=256, 128 or 64")
    # Pictures are normalised by their own statistics at test time, as the paper's are (section 3.3).
    return "pix2pix.UnetGenerator", shared | {"downs": downs, "own_statistics": config.norm == "batch"}


def critic_of(config: Config) -> nn.Module:
    """The critic of A and B together, with the paper's first weights."""
    norm: Any = config.norm
    if config.gan == "wgangp" and norm == "batch":
        norm = "instance"  # a penalty per picture needs a critic that does not mix the pictures of a batch
    if config.critic == "patch":
        return pix2pix.initialise(pix2pix.NLayerDiscriminator(6, config.ndf, config.layers, norm))
    if config.critic == "pixel":
        if config.matching:
            raise UsageError("the pixel critic has no features to match", remedy="Use --set critic=patch")
        return pix2pix.initialise(pix2pix.PixelDiscriminator(6, config.ndf, norm))
    raise UsageError(f"no critic called '{config.critic}'", remedy="Known: patch, pixel")


# --- pairs ----------------------------------------------------------------------------------------------


class Pairs:
    """The pairs of a layout, as the recipe crops from them."""

    def __init__(self, layout: layouts.Layout, config: Config) -> None:
        if config.direction not in ("AtoB", "BtoA"):
            raise UsageError(f"no direction '{config.direction}'", remedy="Known: AtoB, BtoA")
        self.layout, self.config = layout, config
        self.recipe: Any = None
        if layout.kind == "photos" and config.make != "gray":
            from gantool import degrade

            spoiler = degrade.spoiler(config.make)
            self.recipe = spoiler.ready(data.readable(path for one in layout.train for path in one.files))

    def split(self, seed: int) -> tuple[list[layouts.Sample], list[layouts.Sample]]:
        """(held out, trained on): the layout's own test part, or a share of its pairs."""
        if self.layout.held:
            return list(self.layout.held)[: max(1, self.config.holdout)], list(self.layout.train)
        return data.split(self.layout.train, self.config.holdout, seed)

    def load(self, sample: layouts.Sample) -> tuple[np.ndarray, ...] | None:
        """(A, B) uint8 of one size with a short side of ``load`` crops; (photo,) alone of a plain photo."""
        arrays = layouts.read(sample, self.layout.kind)
        if arrays is None:
            return None
        side = round(self.config.size * self.config.load)
        height, width = arrays[-1].shape[:2]
        factor = side / min(height, width)
        size = (max(side, round(width * factor)), max(side, round(height * factor)))
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        arrays = tuple(cv2.resize(array, size, interpolation=how) for array in arrays)
        return arrays[::-1] if self.config.direction == "BtoA" else arrays

    def crop(self, item: tuple[np.ndarray, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The same random square of A and B -> float32 (3,h,w) in [-1,1]."""
        size = self.config.size
        top = int(rng.integers(item[0].shape[0] - size + 1))
        left = int(rng.integers(item[0].shape[1] - size + 1))
        cut = [array[top : top + size, left : left + size] for array in item]
        if self.config.mirror and rng.random() < 0.5:
            cut = [array[:, ::-1] for array in cut]
        if self.config.turn:
            quarters = int(rng.integers(4))
            cut = [np.rot90(array, quarters) for array in cut]
        return self._signed(cut, rng)

    def held(self, sample: layouts.Sample) -> tuple[np.ndarray, np.ndarray] | None:
        """The centre square of a pair kept out."""
        item = self.load(sample)
        if item is None:
            return None
        size = self.config.size
        top, left = (item[0].shape[0] - size) // 2, (item[0].shape[1] - size) // 2
        cut = [array[top : top + size, left : left + size] for array in item]
        return self._signed(cut, data.step_rng(0, 6))

    def _signed(self, cut: Sequence[np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        if len(cut) == 1:
            (photo,) = cut
            made = self.recipe.apply(np.ascontiguousarray(photo), rng) if self.recipe else _gray(photo)
            cut = (photo, made) if self.config.direction == "BtoA" else (made, photo)
        a, b = (data.to_chw(array) * 2 - 1 for array in cut)
        return a, b


def _gray(photo: np.ndarray) -> np.ndarray:
    """uint8 RGB -> its lightness in three equal channels."""
    return cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


# --- seeing and saving ----------------------------------------------------------------------------------


@torch.no_grad()
def _sample(
    net: nn.Module,
    held: Sequence[tuple[np.ndarray, np.ndarray]],
    path: Path,
    fabric: Any,
    health: training.Health,
    done: int,
) -> dict[str, float]:
    """Write rows of (A, ours, B); mean L1 distance to B of ours and of A, in [0,1], and PSNR, dB."""
    if not held:
        return {}
    a, b = (torch.stack([torch.from_numpy(pair[i]) for pair in held]) for i in (0, 1))
    with fabric.autocast():
        ours = torch.cat([net(part.to(fabric.device)).float().cpu() for part in a.split(4)])
    a, b, ours = ((x + 1) / 2 for x in (a, b, ours))
    rows = [[training.to_image(x[i]) for x in (a, ours, b)] for i in range(min(6, len(held)))]
    training.save_grid(path, rows)
    health.samples(done, *(np.stack([row[i] for row in rows]) for i in range(3)))
    error = (ours - b).square().mean((1, 2, 3)).clamp_min(1e-10)
    return {
        "psnr": float(-10 * error.log10().mean()),
        "held_l1": float((ours - b).abs().mean()),
        "held_l1_input": float((a - b).abs().mean()),
    }


def _export(path: Path, run: training.Run, config: Config, state: dict[str, Tensor]) -> None:
    arch, args = generator_arch(config)
    row = training.trained_row(
        run,
        task="translate",
        arch=arch,
        args=args,
        multiple=2 ** args["downs"] if "downs" in args else 4,
        signed=True,
        whole=config.norm != "none",
        dtypes=("bf16",),
        summary=f"trained by gantool train --task pix2pix ({config.net}, {config.size} px)",
    )
    save_model(path, state, row, half=True)
