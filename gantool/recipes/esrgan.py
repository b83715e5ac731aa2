"""Train ESRGAN: detail that a net trained for PSNR does not dare (Wang et al. 2018, 1809.00219).

Section 3: RRDBNet; a critic that tells whether a real picture looks more real than the generated ones do
(relativistic average); features of VGG19 *before* the activation; L = features + 5e-3 x adversarial
+ 0.01 x L1. It starts from a net trained for PSNR: ``init=FILE``, or ``pretrain=STEPS`` of this run. Section
4.1: Adam at 1e-4, halved at 1/8, 1/4, 1/2 and 3/4 of 400,000 steps; crops whose large side is 128 px, batches
of 16. Compact generators, other games and critics, degradations of chance (Real-ESRGAN, 2107.10833) and EMA
are options.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from gantool import data, percept, superres, training
from gantool.settings import param
from gantool.training import Ema, Loop, TrainRequest

LAYOUTS = ("photos",)
HALVED_AT = (1 / 8, 1 / 4, 1 / 2, 3 / 4)


@dataclass
class Config(superres.AdversarialConfig):
    """Parameters of ``gantool train --task esrgan``."""

    gan: str = param("relativistic", "relativistic, vanilla, lsgan, hinge, wgan (clipped weights) or wgangp")
    patch: int = param(32, "side of a low-resolution training crop, px", low=8)
    feature: float = param(1.0, "weight of the L1 distance of features", low=0)
    adversarial: float = param(5e-3, "weight of the critic's opinion", low=0)
    l1: float = param(0.01, "weight of the L1 distance of pixels", low=0)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    found, fabric = data.find_photos(request.data), training.fabric_for(request)
    run, config = training.open_run(request, Config, lambda c: c.pretrain + 400_000, found, fabric)
    share = training.share_of(fabric, config.batch, request.accumulate)
    pairs, layers = superres.Pairs(config), superres.layers_of(config.layers)
    kept_out, paths = data.split(found, config.holdout, run.seed)
    photos, held = data.photos(paths, pairs.prepare), pairs.held(kept_out)
    training.seed_step(run.seed, 0)
    layout = superres.generator(config.generator, config.scale, config.width, config.blocks)
    net, game = superres.net_of(layout), superres.Game(config)
    critic = superres.critic_of(config.critic, config.patch * config.scale, config.ndf, game)
    if config.init and not run.resumed:
        request.say(superres.start_from(net, config.init))
    elif not config.pretrain:
        request.warn(
            "a net that knows nothing meets a critic: better --set init=FILE or --set pretrain=STEPS"
        )
    ema, eye = Ema(net, config.ema), percept.load(fabric.device, model=config.eye)
    model, g_optimizer = training.set_up(fabric, request, net, training.adam(net, config.lr, 0.9, 0.99))
    d_lr = config.critic_lr or config.lr
    d_model, d_optimizer = training.set_up(fabric, request, critic, training.adam(critic, d_lr, 0.9, 0.99))
    ask, enlarge = training.judge(fabric, d_model, critic), superres.enlarger(model, layout)
    ema.to(fabric.device)

    def sample(done: int) -> dict[str, float]:
        with ema.applied(net):
            return held.score(net, layout, eye, loop, done)

    def export(path: Path) -> None:
        superres.export(path, run, layout, ema.state, request.task)

    parts = {"net": net, "ema": ema, "optimizer": g_optimizer}
    parts |= {"critic": critic, "critic_optimizer": d_optimizer}
    loop = Loop(run, request, fabric, config.batch, parts, sample, export, better="-percept")
    request.say(f"{len(paths)} photographs to train on, {len(held)} kept out; {run.steps} steps")
    request.say(eye.notice or f"features of {eye.name}")
    dataset = data.Steps(photos, pairs.crop, config.batch, run.seed, share)
    feed = data.batches(dataset, loop.start, loop.stop, config.workers, fabric.device)
    for step in loop:
        batch, alone = fabric.to_device(next(feed)), step < config.pretrain
        factor = superres.stepped(step - config.pretrain, run.steps - config.pretrain, HALVED_AT, 0.5)
        lr = config.pretrain_lr if alone else config.lr * factor
        training.set_lr(g_optimizer, lr)
        training.set_lr(d_optimizer, d_lr * factor)
        made: list[Tensor] = []

        # The critic: photographs are more real than what the generator makes of their reductions.
        d_optimizer.zero_grad(set_to_none=True)
        for (low, high), last in training.micro_batches(batch, request.accumulate) if not alone else ():
            with (
                fabric.no_backward_sync(model, enabled=not last),
                torch.set_grad_enabled(request.accumulate == 1),
            ):
                fake = enlarge(low)
            made = [fake]
            with fabric.no_backward_sync(d_model, enabled=not last):
                real_answer, fake_answer = d_model(high).float(), d_model(fake.detach()).float()
                d_loss = game.critic(real_answer, fake_answer)
                penalty = game.penalty(critic, high, fake)
                fabric.backward((d_loss if penalty is None else d_loss + penalty) / request.accumulate)
            loop.report(step, d=d_loss, d_accuracy=game.accuracy(real_answer, fake_answer))
            if penalty is not None:
                loop.report(step, penalty=penalty)
        if not alone:
            if loop.due(step):
                loop.report(step, d_norm=training.grad_norm(fabric, critic), **game.figures(critic))
            d_optimizer.step()
            game.after_step(critic)

        # The generator: what it makes should look more real than photographs, and like this one.
        g_optimizer.zero_grad(set_to_none=True)
        with training.frozen(critic):
            for (low, high), last in training.micro_batches(batch, request.accumulate):
                with fabric.no_backward_sync(model, enabled=not last):
                    fake = made[0] if made and request.accumulate == 1 else enlarge(low)
                    terms = {"l1": F.l1_loss(fake, high)}
                    total = terms["l1"] if alone else config.l1 * terms["l1"]
                    if not alone:
                        with fabric.autocast():
                            terms["feature"] = superres.feature_loss(eye, fake, high, layers, "l1")
                        terms["g"] = game.against(ask, high, fake)
                        total = total + config.feature * terms["feature"] + config.adversarial * terms["g"]
                    fabric.backward(total / request.accumulate)
                loop.report(step, **terms)
        if loop.due(step):
            loop.report(step, g_norm=training.grad_norm(fabric, net), lr=lr)
        g_optimizer.step()
        ema.update(net, step)
    for path in photos.bad:
        request.warn(f"left out: {path} (unreadable or smaller than a crop)")
    return run.model
