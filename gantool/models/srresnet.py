"""SRResNet, the generator of SRGAN: as the paper has it, and as BasicSR has it, without batch norm.

Paper: Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial
Network" (1609.04802), figure 4.
:class:`SRResNet` has the keys of leftthomas/SRGAN (weights MIT), :class:`MSRResNet` those of BasicSR; its
:meth:`~MSRResNet.own_names` knows the spelling of KAIR's msrresnet_x4_psnr and _gan (MIT).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _NormedBlock(nn.Module):
    """Convolution, norm, PReLU, convolution, norm, and the input added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, 1, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bn2(self.conv2(self.prelu(self.bn1(self.conv1(x)))))


class _Doubling(nn.Module):
    """A convolution to four times the channels, folded out to twice the side, and a PReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, 4 * width, 3, 1, 1)
        self.prelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.prelu(F.pixel_shuffle(self.conv(x), 2))


class SRResNet(nn.Module):
    """The paper's net: 9x9 ends, blocks with batch norm and PReLU, pixel shuffles, tanh.

    Args:
        scale: factor per side: 2, 4 or 8.
        width: channels.
        blocks: 16 in the paper, 5 in leftthomas' files.
        before_skip: what follows the convolution that closes the blocks: "batch" norm as in the paper, or
            "prelu" as in leftthomas' released files (its later code, with batch norm, cannot load them).
    """

    reach = 3  # px of the features that ``enlarged`` sees around one

    def __init__(self, scale: int = 4, width: int = 64, blocks: int = 16, before_skip: str = "batch") -> None:
        super().__init__()
        if scale not in (2, 4, 8):
            raise ValueError(f"scale={scale}: SRResNet makes 2, 4 or 8")
        if before_skip not in ("batch", "prelu"):
            raise ValueError(f"before_skip={before_skip!r}: batch or prelu")
        self.growth = scale
        self.blocks = blocks
        closing = nn.BatchNorm2d(width) if before_skip == "batch" else nn.PReLU()
        self.block1 = nn.Sequential(nn.Conv2d(3, width, 9, 1, 4), nn.PReLU())
        for n in range(blocks):
            self.add_module(f"block{n + 2}", _NormedBlock(width))
        self.add_module(f"block{blocks + 2}", nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), closing))
        ups = [_Doubling(width) for _ in range(scale.bit_length() - 1)]
        self.add_module(f"block{blocks + 3}", nn.Sequential(*ups, nn.Conv2d(width, 3, 9, 1, 4)))

    def forward(self, x: Tensor) -> Tensor:
        """RGB (N,3,H,W) in [0,1] -> RGB (N,3,H*scale,W*scale) in [0,1]."""
        return self.enlarged(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        """What :meth:`forward` makes of its input before it enlarges that, (N,width,H,W)."""
        first = y = self.block1(x)
        for n in range(self.blocks + 1):
            y = self.get_submodule(f"block{n + 2}")(y)
        return first + y

    def enlarged(self, y: Tensor) -> Tensor:
        """The rest of :meth:`forward`: (N,width,h,w) -> RGB (N,3,h*growth,w*growth)."""
        y = self.get_submodule(f"block{self.blocks + 3}")(y)
        return (torch.tanh(y) + 1) / 2

    @staticmethod
    def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict with the counters of batch norm, which files from before torch 0.4.1 lack."""
        norms = [name.removesuffix("running_mean") for name in state if name.endswith(".running_mean")]
        return {f"{norm}num_batches_tracked": torch.zeros((), dtype=torch.long) for norm in norms} | dict(
            state
        )


class _PlainBlock(nn.Module):
    """Convolution, ReLU, convolution, and the input added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, 1, 1)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x), inplace=True))


class MSRResNet(nn.Module):
    """BasicSR's SRResNet: 3x3 ends, no batch norm, and the bilinear enlargement of the input added.

    Args:
        num_in_ch, num_out_ch: image channels, 3.
        num_feat: width.
        num_block: blocks at input resolution.
        upscale: factor per side: 2, 3 or 4.

    The receptive-field radius is ``2 * num_block + 3`` input pixels, rounded up.
    """

    # The picture that comes in may be finer than the weights: the net only adds to it.
    takes_float32 = True

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_block: int = 16,
        upscale: int = 4,
    ) -> None:
        super().__init__()
        if upscale not in (2, 3, 4):
            raise ValueError(f"upscale={upscale}: MSRResNet makes 2, 3 or 4")
        self.upscale = upscale
        self.step = 2 if upscale == 4 else upscale
        self.conv_first = nn.Conv2d(num_in_ch, num_feat, 3, 1, 1)
        self.body = nn.Sequential(*(_PlainBlock(num_feat) for _ in range(num_block)))
        self.upconv1 = nn.Conv2d(num_feat, num_feat * self.step**2, 3, 1, 1)
        if upscale == 4:
            self.upconv2 = nn.Conv2d(num_feat, num_feat * 4, 3, 1, 1)
        self.conv_hr = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv_last = nn.Conv2d(num_feat, num_out_ch, 3, 1, 1)
        self._start()

    @torch.no_grad()
    def _start(self) -> None:
        """First weights: a tenth of He's (as ESRGAN, 1809.00219), so that training starts at the skip."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.kaiming_normal_(layer.weight).mul_(0.1)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """RGB (N,3,H,W) in [0,1] -> RGB (N,3,H*upscale,W*upscale), about [0,1], not clamped."""
        y = self._act(self.conv_first(x.to(self.conv_first.weight.dtype)))
        y = self._act(F.pixel_shuffle(self.upconv1(self.body(y)), self.step))
        if self.upscale == 4:
            y = self._act(F.pixel_shuffle(self.upconv2(y), 2))
        y = self.conv_last(self._act(self.conv_hr(y)))
        return y + F.interpolate(x, scale_factor=self.upscale, mode="bilinear", align_corners=False)

    @staticmethod
    def _act(x: Tensor) -> Tensor:
        return F.leaky_relu(x, 0.1, inplace=True)

    @staticmethod
    def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict of KAIR's spelling ("recon_trunk", "HRconv") under BasicSR's names."""
        if "recon_trunk.0.conv1.weight" not in state:
            return dict(state)

        def renamed(name: str) -> str:
            name = "body." + name.removeprefix("recon_trunk.") if name.startswith("recon_trunk.") else name
            return name.replace("HRconv.", "conv_hr.", 1)

        return {renamed(name): value for name, value in state.items()}
