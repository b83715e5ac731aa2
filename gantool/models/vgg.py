"""VGG19's and VGG16's convolutions, at any width: a stack whose inner activations describe a picture.

Paper: Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2014,
1409.1556), configurations E and D. Weights of these nets (torchvision's, on the hub as timm/vgg19.tv_in1k and
timm/vgg16.tv_in1k): BSD-3-Clause. Keys are torchvision's, ``features.{0,2,5,...}.{weight,bias}``; the
classifier behind the features is left out, and so is batch norm: it can be folded into the convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # channels and convolutions of each, in VGG19
_BLOCKS_16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
_POOLS = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


def layer_names(blocks: Sequence[tuple[int, int]] = _BLOCKS) -> list[str]:
    """What the modules of ``features`` are called, in order: conv1_1, relu1_1, ..., pool1, ..., relu5_4.

    ``blocks``: (channels, convolutions) of each; VGG19's unless given.
    """
    names = []
    for block, (_, count) in enumerate(blocks, 1):
        for number in range(1, count + 1):
            names += [f"conv{block}_{number}", f"relu{block}_{number}"]
        names.append(f"pool{block}")
    return names[:-1]


class VGG19(nn.Module):
    """Sixteen 3x3 convolutions in five blocks, each block at half the resolution of the one before.

    Args:
        width: factor on the channels 64, 128, 256, 512, 512; 1 is VGG19 itself.
        pool: between blocks, 2x2: "max" as trained, or "avg", which Gatys et al. (2015, 1508.06576) found to
            give smoother gradients. A last odd row or column is dropped.
        padding: at the borders, one pixel before each convolution: "zeros" (the normalised mean colour) as
            trained, "replicate" or "reflect" for pictures whose borders matter.
        mean, std: of RGB in [0,1], subtracted and divided by; ImageNet's for VGG19.
    """

    mean: Tensor
    std: Tensor
    blocks = _BLOCKS
    ends = ("relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_4")
    """The last layer of each block."""

    def __init__(
        self,
        width: float = 1.0,
        pool: str = "max",
        padding: Literal["zeros", "replicate", "reflect"] = "zeros",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        if pool not in _POOLS:
            raise ValueError(f"no pooling called '{pool}'; known: {', '.join(_POOLS)}")
        layers: list[nn.Module] = []
        inside = 3
        for full, count in self.blocks:
            channels = max(1, round(full * width))
            for _ in range(count):
                layers += [nn.Conv2d(inside, channels, 3, padding=1, padding_mode=padding), nn.ReLU()]
                inside = channels
            layers.append(_POOLS[pool](2))
        self.features = nn.Sequential(*layers[:-1])
        # Not in the state dict: files of VGG19 do not have them.
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    @staticmethod
    def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The convolutions of a whole file of the net, without the classifier behind them."""
        return {name: tensor for name, tensor in state.items() if name.startswith("features.")}

    def normalised(self, x: Tensor) -> Tensor:
        """RGB (N,3,H,W) in [0,1] -> what the first convolution takes, in the type of its weights."""
        dtype = self.features[0].weight.dtype
        return ((x.float() - self.mean.float()) / self.std.float()).to(dtype)  # type: ignore[arg-type]

    def forward(self, x: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Activations by name; nothing is computed beyond the last one asked for.

        Args:
            x: RGB (N,3,H,W) in [0,1].
            layers: of :func:`layer_names`. "conv5_4" is the activation before its ReLU, as in ESRGAN
                (1809.00219), "relu5_4" the one after it, "pool1" what the second block is given. None is the
                last one.

        Returns:
            (N,C,H >> b-1,W >> b-1) for a name of block b, in the order of ``layers``.

        Raises:
            ValueError: an unknown name, or a picture of which nothing is left at that depth.
        """
        names = layer_names(self.blocks)
        layers = names[-1:] if layers is None else layers
        unknown = [name for name in layers if name not in names]
        if unknown:
            kind = type(self).__name__
            raise ValueError(f"{kind} has no layer {', '.join(unknown)}; it has {names[0]} to {names[-1]}")
        deepest = max(names.index(name) for name in layers)
        side = 2 ** sum(name.startswith("pool") for name in names[: deepest + 1])
        if min(x.shape[-2:]) < side:
            raise ValueError(f"{names[deepest]} needs pictures of at least {side} x {side} px")
        found: dict[str, Tensor] = {}
        y = self.normalised(x)
        for name, layer in zip(names[: deepest + 1], self.features, strict=False):
            y = layer(y)
            if name in layers:
                found[name] = y
        return {name: found[name] for name in layers}


class VGG16(VGG19):
    """Thirteen 3x3 convolutions in five blocks; otherwise as VGG19."""

    blocks = _BLOCKS_16
    ends = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")


def fold_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution that does what ``conv`` and then ``norm`` in eval mode do."""
    assert norm.running_mean is not None and norm.running_var is not None and conv.bias is not None
    gain = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
    weight = conv.weight.detach() * gain[:, None, None, None]
    return weight, (conv.bias.detach() - norm.running_mean) * gain + norm.bias.detach()
