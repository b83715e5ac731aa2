"""DDColor: a ConvNeXt, a pixel decoder, and a colour decoder whose queries become chroma.

Kang et al. 2023, "DDColor: Towards Photo-Realistic Image Colorization via Dual Decoders" (figure 2); the
encoder after Liu et al. 2022, "A ConvNet for the 2020s". Released by the authors (piddnad/DDColor,
Apache-2.0). Names are those of the files, but spectral norms are folded into the weights that they make, and
the encoder's unused head is left out (:meth:`DDColor.own_names`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Norm(nn.LayerNorm):
    """Layer norm over the channels of (N,C,H,W)."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class _Block(nn.Module):
    """ConvNeXt: a 7x7 convolution of each channel, then an inverted bottleneck, scaled channel by channel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.pwconv2 = nn.Linear(4 * dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).movedim(1, -1))
        y = self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + (self.gamma * y).movedim(-1, 1)


class _ConvNeXt(nn.Module):
    """Features at 1/4, 1/8, 1/16 and 1/32, each behind a norm of its own."""

    def __init__(self, depths: tuple[int, ...], dims: tuple[int, ...]) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, dims[0], 4, 4), _Norm(dims[0], eps=1e-6))
        self.downsample_layers = nn.ModuleList([stem])
        for i, o in itertools.pairwise(dims):
            self.downsample_layers.append(nn.Sequential(_Norm(i, eps=1e-6), nn.Conv2d(i, o, 2, 2)))
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Block(dim) for _ in range(depth)))
            for depth, dim in zip(depths, dims, strict=True)
        )
        for number, dim in enumerate(dims):
            self.add_module(f"norm{number}", _Norm(dim, eps=1e-6))
        self.norm = nn.LayerNorm(dims[-1], eps=1e-6)  # of the classifier; in the files, but without a use

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for number, (shrink, stage) in enumerate(zip(self.downsample_layers, self.stages, strict=True)):
            x = stage(shrink(x))
            features.append(getattr(self, f"norm{number}")(x))
        return features


class _Enlarge(nn.Module):
    """``scale`` times the size by pixel shuffle, then the mean of 2x2 pixels."""

    def __init__(self, in_ch: int, out_ch: int, scale: int = 2, norm: bool = True) -> None:
        super().__init__()
        self.scale = scale
        self.conv = nn.Sequential(nn.Conv2d(in_ch, out_ch * scale**2, 1, bias=not norm))
        if norm:
            self.conv.append(nn.BatchNorm2d(out_ch * scale**2))

    def forward(self, x: Tensor) -> Tensor:
        x = F.pixel_shuffle(F.relu(self.conv(x), inplace=True), self.scale)
        return F.avg_pool2d(F.pad(x, (1, 0, 1, 0), mode="replicate"), 2, stride=1)


class _UnetBlock(nn.Module):
    def __init__(self, in_ch: int, skip_ch: int, out_ch: int) -> None:
        super().__init__()
        self.shuf = _Enlarge(in_ch, out_ch)
        self.bn = nn.BatchNorm2d(skip_ch)
        self.conv = nn.Sequential(
            nn.Conv2d(out_ch + skip_ch, out_ch, 3, 1, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(out_ch),
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.conv(F.relu(torch.cat((self.shuf(x), self.bn(skip)), dim=1)))


def sine_positions(height: int, width: int, channels: int, device: torch.device) -> Tensor:
    """Where each place is, as sines and cosines (height*width, channels) float32: rows first, then columns.

    Both axes run to 2 pi; frequencies fall from 1 to 1/10000 (Carion et al. 2020, DETR, supplement A.4).
    """
    half = channels // 2
    rates = 10_000 ** (2 * torch.div(torch.arange(half, device=device), 2, rounding_mode="floor") / half)

    def waves(length: int) -> Tensor:
        places = (
            torch.arange(1, length + 1, device=device, dtype=torch.float32) / (length + 1e-6) * 2 * math.pi
        )
        angles = places[:, None] / rates
        return torch.stack((angles[:, 0::2].sin(), angles[:, 1::2].cos()), dim=2).flatten(1)

    rows = waves(height)[:, None].expand(height, width, half)
    columns = waves(width)[None].expand(height, width, half)
    return torch.cat((rows, columns), dim=2).flatten(0, 1)


class _Cross(nn.Module):
    """Queries look at the picture."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.multihead_attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, query: Tensor, places: Tensor, positions: Tensor) -> Tensor:
        found, _ = self.multihead_attn(x + query, places + positions, places, need_weights=False)
        return self.norm(x + found)


class _Self(nn.Module):
    """Queries look at each other."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, query: Tensor) -> Tensor:
        found, _ = self.self_attn(x + query, x + query, x, need_weights=False)
        return self.norm(x + found)


class _Feed(nn.Module):
    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(dim, inner), nn.Linear(inner, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.linear2(F.relu(self.linear1(x))))


class _Mlp(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(dim, dim) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[2](F.relu(self.layers[1](F.relu(self.layers[0](x)))))


class _ColorDecoder(nn.Module):
    """Learned queries that look at three sizes in turn; each ends as a map over the picture."""

    def __init__(
        self, channels: list[int], dim: int, queries: int, layers: int, heads: int, feed: int
    ) -> None:
        super().__init__()
        self.query_feat = nn.Embedding(queries, dim)
        self.query_embed = nn.Embedding(queries, dim)
        self.level_embed = nn.Embedding(len(channels), dim)
        self.input_proj = nn.ModuleList(nn.Conv2d(c, dim, 1) for c in channels)
        self.transformer_self_attention_layers = nn.ModuleList(_Self(dim, heads) for _ in range(layers))
        self.transformer_cross_attention_layers = nn.ModuleList(_Cross(dim, heads) for _ in range(layers))
        self.transformer_ffn_layers = nn.ModuleList(_Feed(dim, feed) for _ in range(layers))
        self.decoder_norm = nn.LayerNorm(dim)
        self.color_embed = _Mlp(dim)

    def forward(self, sizes: list[Tensor], image: Tensor) -> Tensor:
        places, positions = [], []
        for number, x in enumerate(sizes):
            seen = self.input_proj[number](x).flatten(2).mT + self.level_embed.weight[number]
            places.append(seen)
            where = sine_positions(x.shape[-2], x.shape[-1], seen.shape[-1], x.device)
            positions.append(where.to(seen.dtype))
        query = self.query_embed.weight[None]
        found = self.query_feat.weight.expand(len(image), -1, -1)
        for number, cross in enumerate(self.transformer_cross_attention_layers):
            size = number % len(places)
            found = cross(found, query, places[size], positions[size])
            found = self.transformer_self_attention_layers[number](found, query)
            found = self.transformer_ffn_layers[number](found)
        colors = self.color_embed(self.decoder_norm(found))  # (N,Q,C)
        return torch.einsum("nqc,nchw->nqhw", colors, image)


class _Decoder(nn.Module):
    def __init__(self, dims: tuple[int, ...], width: int, color: dict[str, int]) -> None:
        super().__init__()
        outs, channels = [width, width, width // 2], dims[-1]
        self.layers = nn.ModuleList()
        for skip, out in zip(reversed(dims[:-1]), outs, strict=True):
            self.layers.append(_UnetBlock(channels, skip, out))
            channels = out
        self.last_shuf = _Enlarge(channels, channels, 4, norm=False)
        self.color_decoder = _ColorDecoder(outs, channels, **color)

    def forward(self, features: list[Tensor]) -> Tensor:
        x, sizes = features[-1], []
        for block, skip in zip(self.layers, features[-2::-1], strict=True):
            x = block(x, skip)
            sizes.append(x)
        return self.color_decoder(sizes, self.last_shuf(x))


class _Encoder(nn.Module):
    def __init__(self, depths: tuple[int, ...], dims: tuple[int, ...]) -> None:
        super().__init__()
        self.arch = _ConvNeXt(depths, dims)


class DDColor(nn.Module):
    """DDColor with a ConvNeXt-L (the defaults) or, with depths 3, 3, 9, 3 and dims from 96 on, a ConvNeXt-T.

    Args:
        depths, dims: blocks and channels of the encoder's four stages.
        width: channels of the pixel decoder; half of them in the colour decoder.
        queries, layers, heads, feed: the colour decoder's; the released files have the defaults.
    """

    multiple = 32
    # How the authors show pictures to it: colours dropped in Lab, as RGB, stretched to a square of 512 px.
    render_size = 512
    square = True
    shows = "rgb"
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        depths: tuple[int, ...] = (3, 3, 27, 3),
        dims: tuple[int, ...] = (192, 384, 768, 1536),
        width: int = 512,
        queries: int = 100,
        layers: int = 9,
        heads: int = 8,
        feed: int = 2048,
    ) -> None:
        super().__init__()
        color = {"queries": queries, "layers": layers, "heads": heads, "feed": feed}
        self.encoder = _Encoder(tuple(depths), tuple(dims))
        self.decoder = _Decoder(tuple(dims), width, color)
        self.refine_net = nn.Sequential(nn.Sequential(nn.Conv2d(queries + 3, 2, 1)))
        self.register_buffer("mean", torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1))

    @staticmethod
    def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A released file's tensors under this net's names: spectral norms folded, the unused head dropped.

        W / (u W v) for each ``weight_orig`` with its ``weight_u`` and ``weight_v``, as when not training.
        """
        new: dict[str, Tensor] = {}
        for name, value in state.items():
            layer, _, last = name.rpartition(".")
            left, right = state.get(f"{layer}.weight_u"), state.get(f"{layer}.weight_v")
            if last == "weight_orig" and left is not None and right is not None:
                matrix = value.double().flatten(1)
                if matrix.shape == (left.numel(), right.numel()):
                    sigma = left.double().flatten() @ matrix @ right.double().flatten()
                    new[f"{layer}.weight"] = (value.double() / sigma).to(value.dtype)
            elif last not in ("weight_u", "weight_v") and not name.startswith("encoder.arch.head_cls."):
                new[name] = value
        return new

    def forward(self, gray: Tensor) -> Tensor:
        """Grey RGB (N,3,H,W) in [0,1], sides multiples of 32 -> ab (N,2,H,W) in Lab units."""
        x = (gray - self.mean) / self.std
        maps = self.decoder(self.encoder.arch(x))
        return self.refine_net(torch.cat((maps, x), dim=1)).float()
