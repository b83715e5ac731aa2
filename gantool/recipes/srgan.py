"""Train SRGAN: super-resolution against a critic, the first of its kind (Ledig et al. 2017, 1609.04802).

Section 2.2: L = 0.006 x squared distance of VGG19's last features (the paper divides features by 12.75)
+ 1e-3 x adversarial; pixels count only if asked for. It starts from an SRResNet: ``init=FILE``, or
``pretrain=STEPS`` of this run by squared error alone. Section 3.2: Adam at 1e-4, and 1e-5 for the second half
of 200,000 steps; crops whose large side is 96 px, batches of 16. Other games, critics and generators,
degradations of chance and EMA are options.
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


@dataclass
class Config(superres.AdversarialConfig):
    """Parameters of ``gantool train --task srgan``."""

    gan: str = param("vanilla", "vanilla, relativistic, lsgan, hinge, wgan (clipped weights) or wgangp")
    patch: int = param(24, "side of a low-resolution training crop, px", low=8)
    generator: str = param("srresnet", "srresnet, msrresnet, rrdb or compact")
    layers: str = param("relu5_4", "layers of VGG19 to be alike in, such as 'relu2_2 relu5_4:0.5'")
    feature: float = param(0.006, "weight of the squared distance of features", low=0)
    adversarial: float = param(1e-3, "weight of the critic's opinion", low=0)
    mse: float = param(0.0, "weight of the squared distance of pixels", low=0)
    pretrain_lr: float = param(1e-4, "learning rate of the first steps without a critic", low=1e-8)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    found, fabric = data.find_photos(request.data), training.fabric_for(request)
    run, config = training.open_run(request, Config, lambda c: c.pretrain + 200_000, found, fabric)
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
    model, g_optimizer = training.set_up(fabric, request, net, training.adam(net, config.lr, 0.9))
    d_lr = config.critic_lr or config.lr
    d_model, d_optimizer = training.set_up(fabric, request, critic, training.adam(critic, d_lr, 0.9))
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
        factor = superres.stepped(step - config.pretrain, run.steps - config.pretrain, (0.5,), 0.1)
        lr = config.pretrain_lr if alone else config.lr * factor
        training.set_lr(g_optimizer, lr)
        training.set_lr(d_optimizer, d_lr * factor)
        made: list[Tensor] = []

        # The critic: photographs are real, what the generator makes of their reductions is not.
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

        # The generator: what it makes should pass for real, and have the features of the photograph.
        g_optimizer.zero_grad(set_to_none=True)
        with training.frozen(critic):
            for (low, high), last in training.micro_batches(batch, request.accumulate):
                with fabric.no_backward_sync(model, enabled=not last):
                    fake = made[0] if made and request.accumulate == 1 else enlarge(low)
                    terms = {"mse": F.mse_loss(fake, high)}
                    total = terms["mse"] if alone else config.mse * terms["mse"]
                    if not alone:
                        with fabric.autocast():
                            terms["feature"] = superres.feature_loss(eye, fake, high, layers, "l2")
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
