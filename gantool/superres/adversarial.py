"""A training against a critic: its loop, its critics, the games they play, and the losses beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from gantool import losses, training
from gantool.errors import UsageError
from gantool.models.critics import UNetDiscriminatorSN, VGGStyleDiscriminator
from gantool.models.pix2pix import NLayerDiscriminator, initialise
from gantool.models.vgg import layer_names
from gantool.percept import PerceptNet
from gantool.settings import param
from gantool.superres.learner import Learner
from gantool.superres.nets import enlarger, generator
from gantool.superres.pairs import PairConfig

CRITICS = ("vgg", "unet", "patch")


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


def against_critic(
    learner: Learner[AdversarialConfig],
    pixels: tuple[str, Callable[[Tensor, Tensor], Tensor]],
    features: losses.Distance,
    weights: Mapping[str, float],
    betas: tuple[float, float],
    factor: Callable[[int, int], float],
) -> Path:
    """Train a generator to make what passes for photographs; returns the path of ``model.safetensors``.

    Args:
        pixels: how far apart pixels are, after its name in the log; the loss of the ``pretrain`` steps.
        features: how far apart features are, "feature" in the log.
        weights: of both by their names, and of the critic's opinion, "g".
        betas: of Adam, for both nets.
        factor: of both learning rates, by step and steps, those of ``pretrain`` not counted.
    """
    config, request, fabric = learner.config, learner.request, learner.fabric
    (name, distance), layers = pixels, layers_of(config.layers)
    net = learner.take(generator(config.generator, config.scale, config.width, config.blocks))
    critic = Critic(learner, betas)
    if not (config.pretrain or config.init or learner.run.resumed):
        what = "a net that knows nothing meets a critic"
        request.warn(f"{what}: better --set init=FILE or --set pretrain=STEPS")
    model, optimizer = training.set_up(fabric, request, net, training.adam(net, config.lr, *betas))
    enlarge = enlarger(model, learner.layout)
    parts = {"optimizer": optimizer, "critic": critic.net, "critic_optimizer": critic.optimizer}
    loop = learner.loop("-percept", **parts)
    request.say(learner.eye.notice or f"features of {learner.eye.name}")

    def generate(low: Tensor, last: bool) -> Tensor:
        """For the critic; with gradients if the generator's step can go on from it."""
        whole = request.accumulate == 1
        with fabric.no_backward_sync(model, enabled=not last), torch.set_grad_enabled(whole):
            return enlarge(low)

    for step, batch in learner.steps(loop):
        alone = step < config.pretrain
        fallen = factor(step - config.pretrain, learner.run.steps - config.pretrain)
        lr = config.pretrain_lr if alone else config.lr * fallen
        training.set_lr(optimizer, lr)
        training.set_lr(critic.optimizer, critic.lr * fallen)
        made = None if alone else critic.step(loop, step, batch, generate)
        optimizer.zero_grad(set_to_none=True)
        with training.frozen(critic.net):
            for (low, high), last in training.micro_batches(batch, request.accumulate):
                with fabric.no_backward_sync(model, enabled=not last):
                    fake = enlarge(low) if made is None or request.accumulate > 1 else made
                    terms = {name: distance(fake, high)}
                    total = terms[name] if alone else weights[name] * terms[name]
                    if config.texture:
                        terms["texture"] = losses.texture_loss(fake, high)
                        total = total + config.texture * terms["texture"]
                    if not alone:
                        with fabric.autocast():
                            terms["feature"] = feature_loss(learner.eye, fake, high, layers, features)
                        terms["g"] = critic.game.against(critic.ask, high, fake)
                        total = total + weights["feature"] * terms["feature"] + weights["g"] * terms["g"]
                    fabric.backward(total / request.accumulate)
                loop.report(step, **terms)
        if loop.due(step):
            loop.report(step, g_norm=training.grad_norm(fabric, net), lr=lr)
        optimizer.step()
        learner.ema.update(net, step)
    return learner.run.model


class Critic:
    """A critic in training: its net, its game, its optimiser and learning rate; ``ask`` puts pictures to
    it from the generator's step.
    """

    def __init__(self, learner: Learner[AdversarialConfig], betas: tuple[float, float]) -> None:
        config, self.request, self.fabric = learner.config, learner.request, learner.fabric
        self.game, self.lr = Game(config), config.critic_lr or config.lr
        self.net = critic_of(config.critic, config.patch * config.scale, config.ndf, self.game)
        optimizer = training.adam(self.net, self.lr, *betas)
        self.model, self.optimizer = training.set_up(self.fabric, self.request, self.net, optimizer)
        self.ask = training.judge(self.fabric, self.model, self.net)

    def step(
        self,
        loop: training.Loop,
        step: int,
        batch: Sequence[Tensor],
        generate: Callable[[Tensor, bool], Tensor],
    ) -> Tensor:
        """Learn that photographs are real, and what ``generate`` makes of the low ones is not; returns it
        (the last part of it) for the generator's step.
        """
        fake, accumulate = torch.empty(0), self.request.accumulate
        self.optimizer.zero_grad(set_to_none=True)
        for (low, high), last in training.micro_batches(batch, accumulate):
            fake = generate(low, last)
            with self.fabric.no_backward_sync(self.model, enabled=not last):
                real_answer, fake_answer = self.model(high).float(), self.model(fake.detach()).float()
                loss = self.game.critic(real_answer, fake_answer)
                penalty = self.game.penalty(self.net, high, fake)
                self.fabric.backward((loss if penalty is None else loss + penalty) / accumulate)
            loop.report(step, d=loss, d_accuracy=self.game.accuracy(real_answer, fake_answer))
            if penalty is not None:
                loop.report(step, penalty=penalty)
        if loop.due(step):
            norm = training.grad_norm(self.fabric, self.net)
            loop.report(step, d_norm=norm, **self.game.figures(self.net))
        self.optimizer.step()
        self.game.after_step(self.net)
        return fake


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


def layers_of(text: str) -> dict[str, float]:
    """ "conv5_4" or "conv3_4:0.5 conv5_4" -> weights by layer of VGG19.

    Raises:
        UsageError: no such layer, or a weight that is no number.
    """
    weights: dict[str, float] = {}
    for word in text.replace(",", " ").split():
        name, _, weight = word.partition(":")
        if name not in layer_names():
            raise UsageError(f"VGG19 has no layer '{name}'", remedy="Name one such as conv5_4 or relu2_2")
        try:
            weights[name] = float(weight or 1)
        except ValueError:
            raise UsageError(f"{word} is not LAYER:WEIGHT", remedy="Write it like conv3_4:0.5") from None
    if not weights:
        raise UsageError("no layer named", remedy="Such as --set layers=conv5_4")
    return weights


def feature_loss(
    eye: PerceptNet, fake: Tensor, real: Tensor, layers: dict[str, float], distance: losses.Distance
) -> Tensor:
    """How far two batches in [0,1] are apart in layers of a classifier: SRGAN's and ESRGAN's content loss."""
    with torch.no_grad():
        theirs = eye.features(real, list(layers)).values()
    ours = eye.features(fake, list(layers)).values()
    return losses.feature_loss(list(ours), list(theirs), list(layers.values()), distance)


def stepped(step: int, steps: int, shares: Sequence[float], factor: float) -> float:
    """Learning-rate factor: times ``factor`` when each of these shares of all steps is done."""
    return factor ** sum(step >= share * steps for share in shares)
