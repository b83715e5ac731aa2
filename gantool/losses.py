"""Losses of adversarial training, as small functions of tensors; every one with its paper.

All of them are means: they do not change with batch or picture size. Weights and the halving of critic losses
(pix2pix and CycleGAN do it) are the recipes' business. Each computes in float32 whatever it is given; the two
gradient penalties also switch autocast off, because second derivatives of half-precision numbers overflow.

``real`` and ``fake`` are a critic's answers, logits of any shape: one a picture or one a patch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool.models.adain import moments
from gantool.ops.flow import warp

Critic = Callable[[Tensor], Tensor]
Distance = Literal["l1", "l2"]

_LUMA = (0.299, 0.587, 0.114)
_FAINT = 2 / 255  # detail of less than this does not count in full
# Down and across, each once of a shift and its opposite: dense where grain is, and as far as grids repeat.
_SHIFTS = [
    (down, across)
    for down in range(13)
    for across in range(-12 if down else 0, 13)
    if max(down, abs(across)) <= 4 or down % 4 == across % 4 == 0
]


# --- adversarial ----------------------------------------------------------------------------------------


def vanilla_critic(real: Tensor, fake: Tensor) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))) on logits. Goodfellow et al. 2014 (1406.2661)."""
    return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()


def vanilla_generator(fake: Tensor) -> Tensor:
    """-E log D(G(z)), the non-saturating form. Goodfellow et al. 2014 (1406.2661)."""
    return F.softplus(-fake.float()).mean()


def lsgan_critic(real: Tensor, fake: Tensor) -> Tensor:
    """E (D(x) - 1)^2 + E D(G(z))^2. Mao et al. 2017 (1611.04076), without its factors 1/2."""
    return (real.float() - 1).square().mean() + fake.float().square().mean()


def lsgan_generator(fake: Tensor) -> Tensor:
    """E (D(G(z)) - 1)^2. Mao et al. 2017 (1611.04076), without its factor 1/2."""
    return (fake.float() - 1).square().mean()


def hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))). Lim & Ye 2017 (1705.02894); SN-GAN (1802.05957)."""
    return F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()


def wgan_critic(real: Tensor, fake: Tensor) -> Tensor:
    """E D(G(z)) - E D(x): minus the estimate of the distance. Arjovsky et al. 2017 (1701.07875)."""
    return fake.float().mean() - real.float().mean()


def wgan_generator(fake: Tensor) -> Tensor:
    """-E D(G(z)). Arjovsky et al. 2017 (1701.07875); the hinge loss has the same generator."""
    return -fake.float().mean()


class Adversarial(NamedTuple):
    """The two sides of one game: ``critic(real, fake)`` and ``generator(fake)``."""

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


ADVERSARIAL: dict[str, Adversarial] = {
    "vanilla": Adversarial(vanilla_critic, vanilla_generator),
    "lsgan": Adversarial(lsgan_critic, lsgan_generator),
    "hinge": Adversarial(hinge_critic, wgan_generator),
    "wgan": Adversarial(wgan_critic, wgan_generator),
}


def relativistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    """The vanilla loss of D(x) - E D(G(z)) and D(G(z)) - E D(x): is a real picture more real than fakes?

    Relativistic average: Jolicoeur-Martineau 2018 (1807.00734); ESRGAN (1809.00219). The means
    are those of this process's batch.
    """
    real, fake = real.float(), fake.float()
    return vanilla_critic(real - fake.mean(), fake - real.mean())


def relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    """The critic's loss with the sides exchanged. ESRGAN (1809.00219); ``real`` is detached."""
    return relativistic_critic(fake, real.detach())


@torch.no_grad()
def clip_weights(critic: nn.Module, limit: float = 0.01) -> None:
    """Clip every parameter to [-limit, limit], in place, after each step. WGAN (1701.07875), algorithm 1."""
    for parameter in critic.parameters():
        parameter.clamp_(-limit, limit)


def spectral_norm(critic: nn.Module) -> nn.Module:
    """Divide the kernel of every convolution and linear layer by its largest singular value, in place.

    Miyato et al. 2018 (1802.05957), one power iteration a step. Names in the state dict change:
    ``weight`` becomes ``parametrizations.weight.original``, with two vectors beside it.
    """
    for layer in critic.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.utils.parametrizations.spectral_norm(layer)
    return critic


# --- gradient penalties ---------------------------------------------------------------------------------


def _gradients(critic: Critic, x: Tensor) -> Tensor:
    """Gradient of every picture's score, the mean over its patches, with respect to its pixels: (N,C*H*W).

    The mean, because it is what the losses above compare: for a critic of patches the sum would bound
    another, steeper function. No norm that mixes the pictures of a batch may stand in the critic.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x.detach().float().requires_grad_(True)
        score = critic(x).float().reshape(x.shape[0], -1).mean(1).sum()
        (gradient,) = torch.autograd.grad(score, x, create_graph=True)
    return gradient.flatten(1)


def gradient_norms(
    critic: Critic, real: Tensor, fake: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """|grad D(x^)| at a random point x^ between each real and fake picture, (N,).

    WGAN-GP, Gulrajani et al. 2017 (1704.00028): one random share per picture, the norm over all
    of its pixels and channels.

    Args:
        critic: (N,C,H,W) -> answers, one or more for each picture; a condition is bound by the caller. Give
            the net itself, not one that Fabric has set up, which would switch autocast on again.
        real, fake: pictures of one shape; only the critic gets gradients.
        generator: of the shares, on the pictures' device.
    """
    if real.shape != fake.shape:
        raise ValueError(f"real is {tuple(real.shape)}, fake is {tuple(fake.shape)}")
    shares = [real.shape[0]] + [1] * (real.ndim - 1)
    share = torch.rand(shares, generator=generator, device=real.device)
    between = torch.lerp(fake.detach().float(), real.detach().float(), share)
    return torch.linalg.vector_norm(_gradients(critic, between), dim=1)


def gradient_penalty(
    critic: Critic, real: Tensor, fake: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """E (|grad D(x^)| - 1)^2, both sides of 1 penalised, to be weighted by 10.

    Equation 3 of WGAN-GP (1704.00028). Arguments: :func:`gradient_norms`.
    """
    return (gradient_norms(critic, real, fake, generator) - 1).square().mean()


def r1_penalty(critic: Critic, real: Tensor) -> Tensor:
    """E |grad D(x)|^2 at real pictures, to be weighted by gamma / 2.

    Mescheder et al. 2018 (1801.04406). ``critic`` as for :func:`gradient_penalty`.
    """
    return _gradients(critic, real).square().sum(1).mean()


# --- likeness -------------------------------------------------------------------------------------------


def _apart(x: Tensor, y: Tensor, distance: Distance) -> Tensor:
    """|x - y| or (x - y)^2, element by element."""
    difference = x.float() - y.float()
    return difference.abs() if distance == "l1" else difference.square()


def feature_loss(
    fake: Sequence[Tensor],
    real: Sequence[Tensor],
    weights: Sequence[float] | None = None,
    distance: Distance = "l1",
) -> Tensor:
    """Weighted sum over layers of the mean distance of features; ``real`` gets no gradients.

    With a critic's features: feature matching, Salimans et al. 2016 (1606.03498), in the form of pix2pixHD
    (1711.11585). With those of a classifier: perceptual loss, Johnson et al. 2016 (1603.08155)
    by "l2"; by "l1" as in ESRGAN (1809.00219).

    Args:
        fake, real: tensors of equal shapes, one pair a layer.
        weights: one a layer; 1 each if None.
    """
    weights = [1.0] * len(fake) if weights is None else weights
    layers = zip(fake, real, weights, strict=True)
    return torch.stack([w * _apart(f, r.detach(), distance).mean() for f, r, w in layers]).sum()


def gram(features: Tensor) -> Tensor:
    """Which channels fire together: (N,C,H,W) -> (N,C,C), divided by C*H*W.

    Gatys et al. 2015 (1508.06576); normalised as in Johnson et al. 2016 (1603.08155).
    """
    flat = features.float().flatten(2)
    with torch.autocast(features.device.type, enabled=False):
        return flat @ flat.mT / (flat.shape[1] * flat.shape[2])


def style_loss(
    fake: Sequence[Tensor],
    real: Sequence[Tensor],
    weights: Sequence[float] | None = None,
    relative: bool = False,
) -> Tensor:
    """Weighted sum over layers of the squared Frobenius distance of Gram matrices, averaged over the batch.

    Johnson et al. 2016 (1603.08155). Sizes may differ between ``fake`` and ``real``, channels
    may not; a ``real`` of batch one serves all. ``real`` gets no gradients.

    ``relative``: the distance beside the real matrix's norm, in 0 to 1, so that layers and networks weigh
    alike; 0.7 is the distance of nothing at all.
    """
    weights = [1.0] * len(fake) if weights is None else weights
    gaps = []
    for f, r, w in zip(fake, real, weights, strict=True):
        ours, theirs = gram(f), gram(r.detach())
        gap = (ours - theirs).square().sum((1, 2))
        gaps.append(w * (_share(gap, theirs.square().sum((1, 2))) if relative else gap).mean())
    return torch.stack(gaps).sum()


def moment_loss(
    fake: Sequence[Tensor], real: Sequence[Tensor], weights: Sequence[float] | None = None
) -> Tensor:
    """Weighted sum over layers of how far mean and deviation of the channels are apart.

    AdaIN, Huang & Belongie 2017 (1703.06868), equation 13, but beside the real ones' own norm, in 0
    to 1, so that layers and networks weigh alike. Sizes, batches and gradients as for :func:`style_loss`.
    """
    weights = [1.0] * len(fake) if weights is None else weights
    gaps = []
    for f, r, w in zip(fake, real, weights, strict=True):
        ours, theirs = torch.cat(moments(f), 1), torch.cat(moments(r.detach()), 1)
        gap = (ours - theirs).square().mean((1, 2, 3))
        gaps.append(w * _share(gap, theirs.square().mean((1, 2, 3))).mean())
    return torch.stack(gaps).sum()


def relative_loss(
    fake: Sequence[Tensor], real: Sequence[Tensor], weights: Sequence[float] | None = None
) -> Tensor:
    """Weighted sum over layers of the distance of features beside the real ones' norm, in 0 to 1 each.

    The content loss of Johnson et al. 2016 (1603.08155) but for the scale; with features of the content that
    were given the style's moments (:func:`gantool.models.adain.restyled`) as ``real``, that of AdaIN
    (1703.06868, equation 12). Equal shapes, one pair a layer; ``real`` gets no gradients.
    """
    weights = [1.0] * len(fake) if weights is None else weights
    gaps = []
    for f, r, w in zip(fake, real, weights, strict=True):
        truth = r.detach().float()
        gap = (f.float() - truth).square().mean((1, 2, 3))
        gaps.append(w * _share(gap, truth.square().mean((1, 2, 3))).mean())
    return torch.stack(gaps).sum()


def _share(gap: Tensor, size: Tensor) -> Tensor:
    """A squared distance beside a squared norm: 0 where there is none, 0.7 where both are equal, 1 at most.

    About the root of their ratio, with a finite gradient at 0; but a picture of hardly any texture, which is
    missed by many times its own norm, does not outweigh all others (as with Geman & McClure 1987).
    """
    return (gap / (gap + size).clamp_min(1e-8) + 1e-8).sqrt()


def texture_loss(fake: Tensor, real: Tensor, window: int = 16) -> Tensor:
    """How far the fine detail of pictures differs in strength and grain, window by window, in 0 to 1.

    Compared are the local autocorrelations of what a blur takes away, at all shifts of up to 4 px and some of
    up to 12: a part of the texture statistics of Portilla & Simoncelli 2000 (doi 10.1023/A:1026553619983),
    here on the pixels, and beside the local variances of both pictures. Detail that is compared like this
    need not lie at the same place, so a net is asked for it where it cannot know the place; but it must not
    repeat itself where the real one does not, as do the grids that nets leave behind a pixel shuffle.

    Args:
        fake, real: (N,3,H,W) in [0,1], sides of at least ``window`` + 12; ``real`` gets no gradients.
        window: side of the squares over which products are averaged, px, one every quarter of that.
    """
    ours, theirs = (_autocorrelations(x.float(), window) for x in (fake, real.detach()))
    variance = ours[:, :1] + theirs[:, :1]
    return ((ours - theirs).abs() / (variance + _FAINT**2)).mean()


def _autocorrelations(x: Tensor, window: int) -> Tensor:
    """Of the fine part of the luma: (N,shifts,h,w), the variance first."""
    luma = (x * x.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    blurred = luma
    for _ in range(2):
        blurred = F.avg_pool2d(blurred, 5, 1, 2, count_include_pad=False)
    fine, reach = luma - blurred, _SHIFTS[-1][0]
    tall, wide = (side - reach for side in fine.shape[-2:])
    products = []
    for down, across in _SHIFTS:
        left = max(0, -across)
        here = fine[..., :tall, left : left + wide]
        products.append(here * fine[..., down : down + tall, left + across : left + across + wide])
    return F.avg_pool2d(torch.cat(products, 1), window, window // 4)


def total_variation(x: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, across plus down: (N,C,H,W) -> scalar.

    The anisotropic form of Rudin, Osher & Fatemi 1992. A mean, so that the weight is the same for any size;
    the sum of Mahendran & Vedaldi 2015 (1412.0035) is this times the number of values.
    """
    x = x.float()
    across, down = x.diff(dim=-1).abs(), x.diff(dim=-2).abs()
    # A single column or row has no neighbours, and the mean of nothing is not a number.
    return sum((d.mean() for d in (across, down) if d.numel()), start=x.new_zeros(()))


# --- time -----------------------------------------------------------------------------------------------


def visibility(now: Tensor, before: Tensor, sharpness: float = 50.0) -> Tensor:
    """How surely a pixel of a frame was visible in the one before: exp(-sharpness * |difference|^2).

    Lai et al. 2018 (1808.00449), the squares summed over channels. To be multiplied with
    :func:`gantool.ops.flow.consistent`, which sees occlusions between like colours.

    Args:
        now: a source frame (N,C,H,W) in [0,1].
        before: the source frame before it, warped to it.

    Returns:
        (N,1,H,W) in (0,1].
    """
    return torch.exp(-sharpness * (now.float() - before.float()).square().sum(1, keepdim=True))


def flow_loss(
    now: Tensor, before: Tensor, flow: Tensor, visible: Tensor, distance: Distance = "l1"
) -> Tensor:
    """Where a frame was visible before, its output should be the output before, moved with the source.

    Mean over all pixels of visible * |now - warp(before)|: Lai et al. 2018 (1808.00449) by "l1";
    Ruder et al. 2016 (1604.08610) and Huang et al. 2017, by "l2". Occluded pixels count as
    zeros, as in those papers. Sampling is bicubic: bilinear would reward blurred outputs.

    Args:
        now, before: outputs for frames t+1 and t (N,C,H,W); both get gradients.
        flow: (N,2,h,w) in px, x before y, of source frame t+1 into t ("backward"), of any resolution.
        visible: (N,1,H,W) or (N,H,W) in [0,1], or bool.
    """
    moved = torch.stack([warp(b, f) for b, f in zip(before.float(), flow.float(), strict=True)])
    weight = visible.float().reshape(visible.shape[0], 1, *visible.shape[-2:])
    return (weight * _apart(now, moved, distance)).mean()


def frame_difference_loss(
    now: Tensor, before: Tensor, source_now: Tensor, source_before: Tensor, distance: Distance = "l2"
) -> Tensor:
    """The flow-free twin: the output should change from frame to frame as the source does, no more, no less.

    Mean of |(now - before) - (source_now - source_before)|: Xu, Xiong & Hu 2021 (2102.05822), in pixels;
    the same on features gives its second half. All (N,C,H,W), in one range; sources of one channel (grey)
    serve outputs of several, and get no gradients.
    """
    change = (source_now.float() - source_before.float()).detach()
    return _apart(now.float() - before.float(), change.expand_as(now), distance).mean()
