"""DeOldify: grey pictures to RGB with a U-Net on a ResNet, spectrally normed, with self-attention.

Jason Antic's DeOldify (jantic/DeOldify, MIT, code and weights); self-attention after Zhang et al. 2018,
"Self-Attention Generative Adversarial Networks", up-sampling after Aitken et al. 2017, "Checkerboard artifact
free sub-pixel convolution", and the average of 2x2 pixels behind it after Sugawara et al. 2018.
``DeOldifyDeep`` is ``ColorizeArtistic_gen.pth``; ``DeOldifyWide`` is ``ColorizeStable_gen.pth`` and
``ColorizeVideo_gen.pth``. Names are those of the files, but spectral and weight norms are folded into the
weights that they make (:meth:`own_names`).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


def folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict with each spectral or weight norm replaced by the weight that it makes outside training.

    Spectral (``weight_orig``, ``weight_u``, ``weight_v``): W / (u W v). Weight norm (``weight_g``,
    ``weight_v``): g V / |V|, the norm over all but the first axis. Other entries stay as they are.
    """
    new: dict[str, Tensor] = {}
    for name, value in state.items():
        layer, _, last = name.rpartition(".")
        parts = [state.get(f"{layer}.weight_{part}") for part in "guv"]
        gain, left, right = parts
        if last == "weight_orig" and left is not None and right is not None:
            matrix = value.double().flatten(1)
            if matrix.shape == (left.numel(), right.numel()):
                sigma = left.double().flatten() @ matrix @ right.double().flatten()
                new[f"{layer}.weight"] = (value.double() / sigma).to(value.dtype)
        elif last == "weight_v" and gain is not None:
            length = value.double().flatten(1).norm(dim=1).view(-1, *[1] * (value.ndim - 1))
            new[f"{layer}.weight"] = (value.double() / length * gain.double()).to(value.dtype)
        elif not (last in ("weight_u", "weight_v") and f"{layer}.weight_orig" in state) and not (
            last == "weight_g" and f"{layer}.weight_v" in state
        ):
            new[name] = value
    return new


class _Block(nn.Module):
    """A residual block of ResNet (He et al. 2016): two 3x3 convolutions, or 1x1, 3x3, 1x1 when ``deep``."""

    def __init__(self, in_ch: int, width: int, stride: int, deep: bool) -> None:
        super().__init__()
        out_ch = 4 * width if deep else width
        sides = ((1, 1), (3, stride), (1, 1)) if deep else ((3, stride), (3, 1))
        channels = [in_ch, *[width] * (len(sides) - 1), out_ch]
        for number, (side, step) in enumerate(sides, 1):
            i, o = channels[number - 1], channels[number]
            self.add_module(f"conv{number}", nn.Conv2d(i, o, side, step, side // 2, bias=False))
            self.add_module(f"bn{number}", nn.BatchNorm2d(o))
        self.count = len(sides)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_ch != out_ch:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_ch, out_ch, 1, stride, bias=False), nn.BatchNorm2d(out_ch)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            if number < self.count:
                y = F.relu(y, inplace=True)
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


def _encoder(blocks: tuple[int, ...], width: int, deep: bool) -> nn.Sequential:
    """ResNet without its head: children 2, 4, 5, 6 and 7 end at 1/2, 1/4, 1/8, 1/16 and 1/32."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, width, 7, 2, 3, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]
    channels = width
    for number, count in enumerate(blocks):
        inner = width * 2**number
        stage = [_Block(channels, inner, 1 if number == 0 else 2, deep)]
        channels = 4 * inner if deep else inner
        stage += [_Block(channels, inner, 1, deep) for _ in range(count - 1)]
        layers.append(nn.Sequential(*stage))
    return nn.Sequential(*layers)


class _Attention(nn.Module):
    """Every place looks at every other; what it finds is added ``gamma``-fold."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv1d(channels, channels // 8, 1, bias=False)
        self.key = nn.Conv1d(channels, channels // 8, 1, bias=False)
        self.value = nn.Conv1d(channels, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        places = x.flatten(2)
        # In this program the softmax runs over the places of "query": the two change their usual roles.
        # One head, as an axis of its own: ONNX knows attention in no other form.
        seeks, offers, gives = (m(places).mT[:, None] for m in (self.key, self.query, self.value))
        found = F.scaled_dot_product_attention(seeks, offers, gives, scale=1.0)[:, 0]
        return (self.gamma * found.mT + places).view_as(x)


def _conv(in_ch: int, out_ch: int, attention: bool = False) -> nn.Sequential:
    layers = [nn.Conv2d(in_ch, out_ch, 3, 1, 1, bias=False), nn.ReLU(inplace=True), nn.BatchNorm2d(out_ch)]
    return nn.Sequential(*layers, *([_Attention(out_ch)] if attention else []))


class _Double(nn.Module):
    """Twice the size by pixel shuffle, then the mean of 2x2 pixels, which the original always takes."""

    def __init__(self, in_ch: int, out_ch: int, norm: bool = True) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(in_ch, 4 * out_ch, 1, bias=not norm))
        if norm:
            self.conv.append(nn.BatchNorm2d(4 * out_ch))

    def forward(self, x: Tensor) -> Tensor:
        x = F.pixel_shuffle(F.relu(self.conv(x), inplace=True), 2)
        return F.avg_pool2d(F.pad(x, (1, 0, 1, 0), mode="replicate"), 2, stride=1)


class _UnetBlock(nn.Module):
    """Features from below, doubled to ``up_ch``, and from the encoder, through one or two convolutions."""

    def __init__(self, in_ch: int, skip_ch: int, up_ch: int, out_ch: int, two: bool, attention: bool) -> None:
        super().__init__()
        self.shuf = _Double(in_ch, up_ch)
        self.bn = nn.BatchNorm2d(skip_ch)
        if two:
            self.conv1 = _conv(up_ch + skip_ch, out_ch)
            self.conv2 = _conv(out_ch, out_ch, attention)
        else:
            self.conv = _conv(up_ch + skip_ch, out_ch, attention)
        self.two = two

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.shuf(x)
        if x.shape[-2:] != skip.shape[-2:]:
            x = F.interpolate(x, skip.shape[-2:], mode="nearest")
        x = F.relu(torch.cat((x, self.bn(skip)), dim=1))
        return self.conv2(self.conv1(x)) if self.two else self.conv(x)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1), nn.ReLU(inplace=True)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[1](self.layers[0](x)) + x


class _DeOldify(nn.Module):
    """What both nets share. ``plan``: up-sampled and outgoing channels of the four U-Net blocks."""

    multiple = 16
    # How the author shows pictures to it: as luma, stretched to a square; 35 times 16 px, of films 21 times.
    render_size = 560
    render_size_film = 336
    square = True
    shows = "luma"
    gives = "rgb"
    own_names = staticmethod(folded)
    mean: Tensor
    std: Tensor

    def __init__(
        self, encoder: nn.Sequential, skips: list[int], ni: int, plan: list[tuple[int, int]]
    ) -> None:
        super().__init__()
        middle = nn.Sequential(_conv(ni, 2 * ni), _conv(2 * ni, ni))
        blocks: list[nn.Module] = []
        channels = ni
        for number, ((up, out), skip) in enumerate(zip(plan, skips, strict=True)):
            two = isinstance(self, DeOldifyDeep)
            blocks.append(_UnetBlock(channels, skip, up, out, two, attention=number == 1))
            channels = out
        self.layers = nn.ModuleList(
            [
                encoder,
                nn.BatchNorm2d(ni),
                nn.ReLU(),
                middle,
                *blocks,
                _Double(channels, channels, norm=False),
                nn.Identity(),  # here the picture itself joins the features
                _Residual(channels + 3),
                nn.Sequential(nn.Conv2d(channels + 3, 3, 1)),
            ]
        )
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, gray: Tensor) -> Tensor:
        """Luma (N,1,H,W) in [0,1], sides multiples of 16 -> RGB (N,3,H,W) in [0,1]; chroma counts."""
        image = (gray - self.mean) / self.std
        skips: list[Tensor] = []
        x = image
        for place, layer in enumerate(self.layers[0]):  # type: ignore[arg-type]
            x = layer(x)
            if place in (2, 4, 5, 6):
                skips.append(x)
        x = self.layers[3](F.relu(self.layers[1](x)))
        for block, skip in zip(self.layers[4:8], reversed(skips), strict=True):
            x = block(x, skip)
        x = torch.cat((self.layers[8](x), image), dim=1)
        x = self.layers[11](self.layers[10](x)).float()
        y = x.sigmoid() * 6 - 3
        return (y * self.std + self.mean).clamp(0, 1)


class DeOldifyDeep(_DeOldify):
    """The "artistic" net: ResNet34, two convolutions in each U-Net block.

    Args:
        blocks: residual blocks of the encoder's four stages.
        width: channels of its first stage; the released file has 64.
        factor: channels of a U-Net block over those that come in.
    """

    def __init__(self, blocks: tuple[int, ...] = (3, 4, 6, 3), width: int = 64, factor: float = 1.5) -> None:
        skips = [4 * width, 2 * width, width, width]
        channels, plan = 8 * width, []
        for number, skip in enumerate(skips):
            up = channels // 2
            joined = up + skip if number < 3 else (up + skip) // 2
            channels = int(joined * factor)
            plan.append((up, channels))
        super().__init__(_encoder(tuple(blocks), width, deep=False), skips, 8 * width, plan)


class DeOldifyWide(_DeOldify):
    """The "stable" and "video" net: ResNet101, one wide convolution in each U-Net block.

    Args:
        blocks: residual blocks of the encoder's four stages.
        width: channels of its first stage; the released files have 64.
        features: channels that a U-Net block makes by up-sampling; half of them in the last one.
    """

    def __init__(self, blocks: tuple[int, ...] = (3, 4, 23, 3), width: int = 64, features: int = 512) -> None:
        skips = [16 * width, 8 * width, 4 * width, width]
        plan = [(features, features)] * 3 + [(features // 2, features // 2)]
        super().__init__(_encoder(tuple(blocks), width, deep=True), skips, 32 * width, plan)
