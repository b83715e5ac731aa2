"""StarGAN's generator: one net that gives a face any of several attributes, told which by a vector.

Paper: Choi et al. 2018, "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image
Translation" (1711.09020), section 3 and table 4. State-dict keys are those of the authors' ``*-G.ckpt``
(code MIT, weights without a licence of their own); :meth:`StarGAN.own_names` knows those of
StarGAN-PyTorch's files (Apache-2.0).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

CELEBA = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
"""The attributes of the released files, in the order of the vector."""

_PARTS = {"first_layer": 0, "down_sampling": 3}
_TRUNK = re.compile(r"trunk\.(\d+)\.main\.(.*)")


def _norm(width: int) -> nn.Module:
    """Instance norm that, in eval mode, uses what it measured in training."""
    return nn.InstanceNorm2d(width, affine=True, track_running_stats=True)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            _norm(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            _norm(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.main(x)


class StarGAN(nn.Module):
    """Two halvings, residual blocks, two doublings, tanh; the wanted attributes are further input planes.

    Args:
        labels: names of the attributes, in the order of the vector.
        width: channels of the first layer.
        blocks: residual blocks, 6 in the released files.

    Sides must be multiples of 4. The borders are padded with zeros, since a norm would take a plane that is
    the same everywhere for a shift, and drop it.
    """

    def __init__(self, labels: Sequence[str] = CELEBA, width: int = 64, blocks: int = 6) -> None:
        super().__init__()
        self.labels = tuple(labels)
        layers: list[nn.Module] = [
            nn.Conv2d(3 + len(labels), width, 7, 1, 3, bias=False),
            _norm(width),
            nn.ReLU(),
        ]
        for inside in (width, 2 * width):
            layers += [nn.Conv2d(inside, 2 * inside, 4, 2, 1, bias=False), _norm(2 * inside), nn.ReLU()]
        layers += [_Block(4 * width) for _ in range(blocks)]
        for outside in (2 * width, width):
            layers += [
                nn.ConvTranspose2d(2 * outside, outside, 4, 2, 1, bias=False),
                _norm(outside),
                nn.ReLU(),
            ]
        layers += [nn.Conv2d(width, 3, 7, 1, 3, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)
        self.target: tuple[float, ...] = (0.0,) * len(labels)

    def aim(self, wanted: Sequence[str]) -> None:
        """What :meth:`forward` gives when it is not told: faces with these attributes and no others.

        Names count whatever their case, with "-" or a blank for "_". Raises ValueError for an unknown one.
        """
        known = {_plain(name): place for place, name in enumerate(self.labels)}
        strange = [name for name in wanted if _plain(name) not in known]
        if strange:
            raise ValueError(f"no label '{strange[0]}', only {', '.join(self.labels)}")
        places = {known[_plain(name)] for name in wanted}
        self.target = tuple(float(place in places) for place in range(len(self.labels)))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """RGB (N,3,H,W) in [-1,1], and (N,len(labels)) of 0 and 1 -> RGB (N,3,H,W) in [-1,1]."""
        if labels is None:
            labels = x.new_tensor(self.target).expand(len(x), -1)
        planes = labels.to(x)[:, :, None, None].expand(-1, -1, *x.shape[-2:])
        return self.main(torch.cat((x, planes), 1))

    @staticmethod
    def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict of StarGAN-PyTorch's spelling under the authors' names.

        The norms' counters are added, which files from before torch 0.4.1 lack.
        """
        blocks = 1 + max((int(m[1]) for m in map(_TRUNK.fullmatch, state) if m), default=-1)
        parts = _PARTS | {"up_sampling": 9 + blocks, "last_layer": 15 + blocks}

        def renamed(name: str) -> str:
            if match := _TRUNK.fullmatch(name):
                return f"main.{9 + int(match[1])}.main.{match[2]}"
            part, _, rest = name.partition(".")
            number, dot, kind = rest.partition(".")
            if part in parts and number.isdigit():
                return f"main.{parts[part] + int(number)}{dot}{kind}"
            return name

        own = {renamed(name): value for name, value in state.items()}
        norms = [name.removesuffix("running_mean") for name in own if name.endswith(".running_mean")]
        return {f"{norm}num_batches_tracked": torch.zeros((), dtype=torch.long) for norm in norms} | own


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")
