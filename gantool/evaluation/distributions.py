"""FID, KID and the Inception score, with weights that the user brings.

torchmetrics computes them from features of :class:`gantool.models.inception.Inception`. Pictures are brought
to 299 x 299 px by an anti-aliased bicubic filter, as clean-fid does (Parmar et al. 2022): resizing changes
FID by several points, so figures only compare within one program.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gantool import loading
from gantool.catalog import Checkpoint
from gantool.errors import UsageError, WeightsError
from gantool.evaluation.result import Measure
from gantool.metrics import unit
from gantool.ops.resize import resize
from gantool.tensors import read_state

_SIDE = 299
_BATCH = 8
_SUBSETS, _SUBSET_SIZE = 100, 1000  # of KID, as its authors have it; a small set gives subsets of its half
_SPLITS = 10  # of the Inception score, in sets that are large enough for it
FEW = 2048
"""Below as many pictures as features, the covariance that FID compares is not of full rank."""


class FeatureNet:
    """The net, and whose weights it has.

    Args:
        path: a state dict of either kind that :mod:`gantool.models.inception` names.

    Raises:
        UsageError: torchmetrics is not installed.
        WeightsError: the file is not one of those.
    """

    def __init__(self, path: Path, device: torch.device | str = "cpu") -> None:
        if find_spec("torchmetrics") is None:
            what = "--inception needs torchmetrics, which is not installed"
            raise UsageError(what, remedy="Install gantool with its extra: pip install 'gantool[eval]'")
        if not path.is_file():
            raise WeightsError("there is no such file", path, _WHERE)
        head = read_state(path)[0].get("fc.weight")
        if head is None or head.ndim != 2:
            raise WeightsError("the file does not hold the weights of an Inception v3 net", path, _WHERE)
        row = Checkpoint("inception", "percept", arch="inception.Inception", args={"classes": len(head)})
        self.net, self.device = loading.load_net(row, path, device), torch.device(device)
        self.original = len(head) == 1008

    def features(self, pictures: Iterable[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Features (N,2048) and logits (N,classes), on the CPU, of pictures (H,W,3) of any size."""
        found: list[tuple[Tensor, Tensor]] = []
        batch: list[Tensor] = []

        def run() -> None:
            with torch.inference_mode():
                features, logits = self.net(torch.cat(batch).to(self.device))
            found.append((features.cpu(), logits.cpu()))
            batch.clear()

        for picture in pictures:
            x = torch.from_numpy(unit(picture).astype(np.float32)).movedim(-1, 0)[None]
            batch.append(resize(x, _SIDE, _SIDE).clamp(0, 1))
            if len(batch) == _BATCH:
                run()
        if batch:
            run()
        return torch.cat([one for one, _ in found]), torch.cat([one for _, one in found])


_WHERE = (
    "Get pt_inception-2015-12-05-6726825d.pth from the releases of github.com/mseitzer/pytorch-fid, "
    "or torchvision's inception_v3_google-0cc3c7bd.pth"
)


def measures(original: bool) -> list[Measure]:
    """Their names. Those of torchvision's weights are others, since the figures are."""
    net = "TensorFlow's net of 2015-12-05" if original else "torchvision's net"
    fid, kid, score = (
        ("fid", "kid", "is") if original else ("fd_torchvision", "kd_torchvision", "is_torchvision")
    )
    names = ("FID", "KID", "Inception score")
    if not original:
        names = ("Frechet distance (torchvision)", "Kernel distance (torchvision)", "IS (torchvision)")
    return [
        Measure(
            fid, names[0], "", "less", 2, f"Between the two sets, in {net}; anti-aliased bicubic to 299 px."
        ),
        Measure(kid, names[1], "1e-3", "less", 2, "Unbiased, so for small sets too; cubic kernel.", 1e3),
        Measure(f"{kid}_std", f"{names[1]}, spread", "1e-3", "", 2, "Over its subsets.", 1e3),
        Measure(score, names[2], "", "more", 2, "Of the set alone; for pictures like ImageNet's only."),
    ]


def distances(net: FeatureNet, result: tuple[Tensor, Tensor], reference: Tensor | None) -> dict[str, float]:
    """Figures by the names of :func:`measures`; without a reference the Inception score alone.

    What is random (subsets, order) is seeded. FID wants two pictures in each set, KID four.
    """
    features, logits = result
    fid, kid, spread, score = (one.name for one in measures(net.original))
    found: dict[str, float] = {}
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # of memory that features take, which are here already
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.inception import InceptionScore
        from torchmetrics.image.kid import KernelInceptionDistance

        torch.manual_seed(0)
        count = len(features) if reference is None else min(len(features), len(reference))
        if reference is not None and count >= 2:
            frechet = FrechetInceptionDistance(feature=_Ready(features.shape[1]))
            frechet.update(reference, real=True)
            frechet.update(features, real=False)
            found[fid] = float(frechet.compute())
        if reference is not None and count >= 4:
            size = min(_SUBSET_SIZE, count // 2)
            kernel = KernelInceptionDistance(feature=_Ready(), subsets=_SUBSETS, subset_size=size)
            kernel.update(reference, real=True)
            kernel.update(features, real=False)
            found[kid], found[spread] = map(float, kernel.compute())
        inception = InceptionScore(feature=_Ready(), splits=_SPLITS if len(logits) >= 10 * _SPLITS else 1)
        inception.update(logits)
        found[score] = float(inception.compute()[0])
    return found


class _Ready(nn.Module):
    """Stands where torchmetrics expects a net: what it is given are features already."""

    def __init__(self, num_features: int = 0) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features
