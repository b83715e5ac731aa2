"""TP-GAN: a turned face seen from the front, by two paths at once (Huang et al. 2017, 1704.04086).

One path sees the whole aligned face, 128 px, through an encoder and a decoder that answers at 32, 64 and 128
px; four more see the eyes, the nose and the mouth, cut out where they are and put where they belong. Layers
and widths are those of the paper and of its authors' published program; the code is ours. What departs from
them: parts are padded with black, not with middle grey, before the maximum is taken, since pictures here are
in [-1,1]; the three small answers are enlarged bilinearly; noise of the decoder is enlarged fourfold by a
kernel without gaps.

No licence of anybody's weights applies: none are released in a form that this file reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SLOPE = 0.2
SIDE = 128
NOISE = 100

# (left, top, width, height) of left eye, right eye, nose and mouth of a frontal face, by the number of
# landmarks.
BOXES: dict[int, tuple[tuple[int, int, int, int], ...]] = {
    5: ((23, 20, 40, 40), (65, 20, 40, 40), (43, 48, 40, 32), (40, 72, 48, 32)),
    68: ((27, 28, 32, 24), (69, 28, 32, 24), (48, 36, 32, 40), (40, 76, 48, 24)),
}


class Answers(NamedTuple):
    """All that a generator says.

    ``pictures`` at 128, 64 and 32 px, the four ``parts``, logits of ``people`` (or None), and the feature
    (N,F) that stands for the ``identity``.
    """

    pictures: tuple[Tensor, Tensor, Tensor]
    parts: tuple[Tensor, ...]
    people: Tensor | None
    identity: Tensor


def _norm(kind: str, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    if kind == "none":
        return nn.Identity()
    raise ValueError(f"unknown norm {kind!r}: batch, instance or none")


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _SLOPE)


class _Conv(nn.Module):
    """Convolution, norm, leaky ReLU; an even kernel is padded at the far side."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, norm: str = "batch") -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, (kernel - 1) // 2, bias=norm == "none")
        self.norm = _norm(norm, after)
        self.even = kernel % 2 == 0

    def linear(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(F.pad(x, (0, 1, 0, 1)) if self.even else x))

    def forward(self, x: Tensor) -> Tensor:
        return _act(self.linear(x))


class _Res(nn.Module):
    """Two convolutions beside a straight way."""

    def __init__(self, channels: int, kernel: int = 3, norm: str = "batch") -> None:
        super().__init__()
        self.first = _Conv(channels, channels, kernel, norm=norm)
        self.second = _Conv(channels, channels, kernel, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        return _act(x + self.second.linear(self.first(x)))


class _Up(nn.Module):
    """Twice the size: a transposed convolution as in the paper, or nearest and a convolution."""

    def __init__(self, before: int, after: int, norm: str, upsample: str) -> None:
        super().__init__()
        self.resize = upsample == "resize"
        bias = norm == "none"
        if self.resize:
            self.conv: nn.Module = nn.Conv2d(before, after, 3, padding=1, bias=bias)
        else:
            self.conv = nn.ConvTranspose2d(before, after, 3, 2, 1, 1, bias=bias)
        self.norm = _norm(norm, after)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2, mode="nearest") if self.resize else x
        return _act(self.norm(self.conv(x)))


class LocalPath(nn.Module):
    """One part of the face: a small U-Net that answers with features (N,64w,h,w) and a picture (N,3,h,w)."""

    def __init__(self, channels: int, widths: Sequence[int], norm: str, upsample: str) -> None:
        super().__init__()
        a, b, c, d = widths
        self.down = nn.ModuleList(
            [
                nn.Sequential(_Conv(channels, a, 3, 1, norm), _Res(a, 3, norm)),
                nn.Sequential(_Conv(a, b, 3, 2, norm), _Res(b, 3, norm)),
                nn.Sequential(_Conv(b, c, 3, 2, norm), _Res(c, 3, norm)),
                nn.Sequential(_Conv(c, d, 3, 2, norm), _Res(d, 3, norm), _Res(d, 3, norm)),
            ]
        )
        self.grow = nn.ModuleList([_Up(n, m, norm, upsample) for n, m in ((d, c), (c, b), (b, a))])
        self.up = nn.ModuleList(
            [nn.Sequential(_Conv(2 * n, n, 3, 1, norm), _Res(n, 3, norm)) for n in (c, b, a)]
        )
        self.picture = nn.Conv2d(a, 3, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        beside = []
        for stage in self.down:
            x = stage(x)
            beside.append(x)
        beside.pop()
        for grow, stage in zip(self.grow, self.up, strict=True):
            x = stage(torch.cat((grow(x), beside.pop()), 1))
        return x, torch.tanh(self.picture(x))


class GlobalEncoder(nn.Module):
    """The face and its mirror image, 6 channels, down to 8 px; then the feature of the identity."""

    def __init__(self, widths: Sequence[int], identity: int, norm: str) -> None:
        super().__init__()
        a, b, c, d = widths
        self.stages = nn.ModuleList(
            [
                nn.Sequential(_Conv(6, a, 7, 1, "none"), _Res(a, 7, norm)),
                nn.Sequential(_Conv(a, a, 5, 2, norm), _Res(a, 5, norm)),
                nn.Sequential(_Conv(a, b, 3, 2, norm), _Res(b, 3, norm)),
                nn.Sequential(_Conv(b, c, 3, 2, norm), _Res(c, 3, norm)),
                nn.Sequential(_Conv(c, d, 3, 2, norm), *(_Res(d, 3, norm) for _ in range(4))),
            ]
        )
        self.fc = nn.Linear(d * 64, 2 * identity)

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """(N,6,128,128) -> features at 128, 64, 32, 16 and 8 px, and the identity (N,F)."""
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        first, second = self.fc(x.flatten(1)).chunk(2, 1)
        return found, torch.maximum(first, second)


class _Decoder(nn.Module):
    """From identity, noise and what the encoder saw to pictures at 32, 64 and 128 px."""

    def __init__(self, width: float, widths: Sequence[int], identity: int, norm: str, upsample: str) -> None:
        super().__init__()
        a, b, c, d = widths
        start = [_scaled(n, width) for n in (64, 32, 16, 8)]
        self.start = start
        self.fc = nn.Linear(identity + NOISE, start[0] * 64)
        self.first32 = nn.ConvTranspose2d(start[0], start[1], 4, 4)
        self.first64 = nn.ConvTranspose2d(start[1], start[2], 3, 2, 1, 1)
        self.first128 = nn.ConvTranspose2d(start[2], start[3], 3, 2, 1, 1)
        at8 = start[0] + d
        self.mix8 = nn.Sequential(*(_Res(at8, 2, norm) for _ in range(3)))
        self.grow16, self.skip16 = _Up(at8, d, norm, upsample), _Res(c, 3, norm)
        self.mix16 = nn.Sequential(*(_Res(d + c, 3, norm) for _ in range(2)))
        side32 = b + 6 + start[1]
        self.grow32, self.skip32 = _Up(d + c, c, norm, upsample), _Res(side32, 3, norm)
        self.mix32 = nn.Sequential(*(_Res(c + side32, 3, norm) for _ in range(2)))
        self.picture32 = nn.Conv2d(c + side32, 3, 3, padding=1)
        side64 = a + 6 + start[2]
        self.grow64, self.skip64 = _Up(c + side32, b, norm, upsample), _Res(side64, 5, norm)
        at64 = b + side64 + 3
        self.mix64 = nn.Sequential(*(_Res(at64, 3, norm) for _ in range(2)))
        self.picture64 = nn.Conv2d(at64, 3, 3, padding=1)
        side128 = a + 6 + start[3]
        self.grow128, self.skip128 = _Up(at64, a, norm, upsample), _Res(side128, 7, norm)
        at128 = a + side128 + a + 3 + 3
        last = _scaled(32, width)
        self.mix128 = nn.Sequential(
            _Res(at128, 5, norm), _Conv(at128, a, 5, 1, norm), _Res(a, 3, norm), _Conv(a, last, 3, 1, norm)
        )
        self.picture128 = nn.Conv2d(last, 3, 3, padding=1)

    def forward(
        self, seen: list[Tensor], code: Tensor, x: Tensor, local: Tensor, parts: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``x`` (N,6,128,128) is the input, ``local`` and ``parts`` are the local paths' fused answers."""
        start = F.relu(self.fc(code)).reshape(-1, self.start[0], 8, 8)
        start32 = F.relu(self.first32(start))
        start64 = F.relu(self.first64(start32))
        start128 = F.relu(self.first128(start64))
        y = self.mix8(torch.cat((start, seen[4]), 1))
        y = self.mix16(torch.cat((self.grow16(y), self.skip16(seen[3])), 1))
        side = self.skip32(torch.cat((seen[2], F.avg_pool2d(x, 4), start32), 1))
        y = self.mix32(torch.cat((self.grow32(y), side), 1))
        picture32 = torch.tanh(self.picture32(y))
        side = self.skip64(torch.cat((seen[1], F.avg_pool2d(x, 2), start64), 1))
        y = self.mix64(torch.cat((self.grow64(y), side, _twice(picture32)), 1))
        picture64 = torch.tanh(self.picture64(y))
        side = self.skip128(torch.cat((seen[0], start128, x), 1))
        y = self.mix128(torch.cat((self.grow128(y), side, local, parts, _twice(picture64)), 1))
        return torch.tanh(self.picture128(y)), picture64, picture32


class TPGAN(nn.Module):
    """The generator.

    Args:
        width: channels, as a share of the paper's.
        landmarks: 5 or 68: which boxes the parts have (:data:`BOXES`).
        people: identities that the side head tells apart in training; 0 for no such head.
        norm: "batch" as in the paper, "instance" or "none".
        upsample: "transpose" as in the paper, or "resize" (no checkerboard).
    """

    def __init__(
        self,
        width: float = 1.0,
        landmarks: int = 5,
        people: int = 0,
        norm: str = "batch",
        upsample: str = "transpose",
    ) -> None:
        super().__init__()
        if landmarks not in BOXES:
            raise ValueError(f"landmarks={landmarks}: 5 or 68")
        if upsample not in ("transpose", "resize"):
            raise ValueError(f"unknown upsampling {upsample!r}: transpose or resize")
        self.boxes = BOXES[landmarks]
        widths = [_scaled(n, width) for n in (64, 128, 256, 512)]
        identity = _scaled(256, width)
        self.encoder = GlobalEncoder(widths, identity, norm)
        # The right eye's path sees the left eye as well.
        self.local = nn.ModuleList([LocalPath(n, widths, norm, upsample) for n in (3, 6, 3, 3)])
        self.decoder = _Decoder(width, widths, identity, norm, upsample)
        self.people = nn.Linear(identity, people) if people else None
        self.dropout = nn.Dropout(0.7)
        _initialise(self)

    def forward(
        self, x: Tensor, corners: Tensor | None = None, noise: Tensor | None = None, everything: bool = False
    ) -> Tensor | Answers:
        """Aligned faces (N,3,128,128) in [-1,1] -> the same faces from the front.

        Args:
            corners: (N,4,2) whole numbers, x and y of where the boxes of the parts begin in each picture;
            None
                for those of a frontal face.
            noise: (N,100), in training of a spread of 0.02; None for none.
            everything: give :class:`Answers` instead of the picture at 128 px.
        """
        whole = torch.cat((x, x.flip(-1)), 1)
        if corners is None:
            corners = torch.tensor([box[:2] for box in self.boxes], device=x.device).expand(len(x), -1, -1)
        cut = [_cut(x, corners[:, i], box) for i, box in enumerate(self.boxes)]
        cut[1] = torch.cat((cut[1], cut[0]), 1)
        answers = [path(part) for path, part in zip(self.local, cut, strict=True)]
        local = _fused([features for features, _ in answers], self.boxes, 0.0)
        parts = _fused([picture for _, picture in answers], self.boxes, -1.0)
        seen, identity = self.encoder(whole)
        drawn = identity.new_zeros(len(x), NOISE) if noise is None else noise.to(identity.dtype)
        pictures = self.decoder(seen, torch.cat((identity, drawn), 1), whole, local, parts)
        if not everything:
            return pictures[0]
        people = None if self.people is None else self.people(self.dropout(identity))
        return Answers(pictures, tuple(picture for _, picture in answers), people, identity)


def _scaled(channels: int, width: float) -> int:
    return max(2, round(channels * width))


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _cut(x: Tensor, corner: Tensor, box: Sequence[int]) -> Tensor:
    """Windows of a box's size from pictures (N,C,H,W), each at its own corner (N,2)."""
    _, _, width, height = box
    columns = corner[:, :1] + torch.arange(width, device=x.device)
    rows = corner[:, 1:] + torch.arange(height, device=x.device)
    each = torch.arange(len(x), device=x.device)[:, None, None]
    return x[each, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def _fused(parts: Sequence[Tensor], boxes: Sequence[Sequence[int]], empty: float) -> Tensor:
    """Each part put at its box in an empty crop, and the greatest of all at every place."""
    placed = []
    for part, (left, top, width, height) in zip(parts, boxes, strict=True):
        around = (left, SIDE - left - width, top, SIDE - top - height)
        placed.append(F.pad(part, around, value=empty))
    return torch.stack(placed).amax(0)


class PatchCritic(nn.Module):
    """Faces of 128 px judged on a map of 4x4 patches; no norm, as WGAN-GP needs it."""

    def __init__(self, ndf: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _Conv(3, ndf, 3, 2, "none"),
            _Conv(ndf, 2 * ndf, 3, 2, "none"),
            _Conv(2 * ndf, 4 * ndf, 3, 2, "none"),
            _Conv(4 * ndf, 8 * ndf, 3, 2, "none"),
            _Res(8 * ndf, 3, "none"),
            _Conv(8 * ndf, 8 * ndf, 3, 2, "none"),
            _Res(8 * ndf, 3, "none"),
            nn.Conv2d(8 * ndf, 1, 1),
        )
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N,3,128,128) in [-1,1] -> (N,1,4,4)."""
        return self.layers(x)


def _initialise(net: nn.Module) -> None:
    """He's first weights for leaky ReLUs; the second half of a residual block starts small."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, _SLOPE, nonlinearity="leaky_relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if isinstance(layer, nn.ConvTranspose2d):
            # Torch counts its fan-in over outputs, and a stride of 2 skips three inputs in four.
            with torch.no_grad():
                layer.weight.mul_((layer.out_channels / layer.in_channels) ** 0.5 * 2)
    for layer in net.modules():
        if isinstance(layer, _Res):
            with torch.no_grad():
                layer.second.conv.weight.mul_(0.5)
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d) and layer.out_channels <= 3 and "picture" in name:
            nn.init.normal_(layer.weight, 0, 0.02)
