"""How far two pictures are apart to the eye, measured in the features of a network: the distance ``percept``.

The features are those of VGG19 if it has been pulled (``gantool models pull vgg19``), otherwise those of
the small built-in encoder, which was trained without labels. Numbers of the two do not compare;
:attr:`PerceptNet.name` says which one measured. Neither is LPIPS, whose weights were fitted to answers.

The formula, after Zhang et al. 2018 (1801.03924, equation 1, without its fitted weights): at every position
of a layer, the vector over channels is divided by its length; the squared distance of the two pictures'
vectors is averaged over positions; and percept is the weighted mean of that over :data:`LAYERS`::

    percept(x, y) = sum_l w_l mean_hw | f_l(x) / |f_l(x)| - f_l(y) / |f_l(y)| |^2  /  sum_l w_l

It lies in [0, 2] since activations behind a ReLU are not negative, is 0 for equal pictures, and symmetric.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from gantool import cache, loading, selection
from gantool.catalog import Checkpoint, load_catalog
from gantool.devices import device_class
from gantool.errors import OutputError, UsageError, WeightsError

LAYERS = {"relu1_2": 1.0, "relu2_2": 1.0, "relu3_4": 1.0, "relu4_4": 1.0, "relu5_4": 1.0}
"""The layers compared, the last of each block, and their weights; of VGG16, relu3_3 and so on."""


class PerceptNet(nn.Module):
    """A frozen encoder and the distance in its features.

    ``name`` is that of its catalog row ("vgg19" or "percept") or of a file's; say it beside every figure.
    ``notice`` is a line for the user: which one is used, and whether there is a better one.
    """

    def __init__(self, net: nn.Module, name: str, notice: str = "") -> None:
        super().__init__()
        self.net = net.requires_grad_(False)
        self.name, self.notice = name, notice
        self.layers = dict.fromkeys(getattr(net, "ends", LAYERS), 1.0)  # VGG16's blocks end otherwise
        self.eval()

    def features(self, x: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Activations by name, for the losses of features and of styles in :mod:`gantool.losses`.

        Args:
            x: RGB (N,3,H,W) in [0,1], 16 px a side or more for the fifth block.
            layers: "conv1_1" (before the ReLU) or "relu1_1" (after it) to "conv5_4" and "relu5_4" ("conv5_3"
                and "relu5_3" of VGG16); None is the last one of each block.
        """
        return self.net(x, tuple(self.layers) if layers is None else layers)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """percept(x, y), the formula above: (N,) in float32; a loss takes its mean.

        Both get gradients if they want some. Unequal sizes are an error.

        Args:
            x, y: RGB (N,3,H,W) in [0,1], at least 16 px a side; values outside are taken as they are.
        """
        if x.shape != y.shape:
            raise ValueError(f"percept compares pictures of one size, not {tuple(x.shape)}, {tuple(y.shape)}")
        return distance(self.features(x), self.features(y), self.layers)


def load(
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    model: str = "auto",
    pool: Literal["max", "avg"] | None = None,
) -> PerceptNet:
    """VGG19 if it is in the cache of the hub, else the built-in encoder. Never touches the network.

    Args:
        dtype: of the convolutions; the distance itself is computed in float32.
        model: "auto", "builtin", a name of the catalog, or a file or run of ``gantool train --task percept``.
        pool: another pooling than the net was trained with: "avg" for styles, as Gatys et al. (1508.06576).

    Raises:
        UsageError: an unknown name, or a model of another task.
        WeightsError: a model named is not here, or its file is not what it should be.
    """
    catalog, kind = load_catalog(), device_class(torch.device(device))
    row = catalog.recommended("percept", kind)
    copy = _copy_of(row) if row is not None and model in ("auto", row.name) else None
    if row is not None and copy is not None:
        choice = selection.Choice(row, copy, f"Using {row.name}.")
    else:
        choice = selection.select(model, "percept", catalog=catalog, device_class=kind)
    row, path = choice.row, choice.path
    if path is None:
        what = f"`gantool models pull {row.name}` gets it."
        raise WeightsError("this checkpoint is not here", row.name, what)
    with tempfile.TemporaryDirectory(prefix="gantool-") as spare:
        if row.source == "hub" and row.arch and path != copy:
            path = _keep_features(row, path, Path(spare))
        if pool is not None:
            row = row if row.arch else loading.row_of(path) or row
            row = replace(row, args={**row.args, "pool": pool})
        net, row = loading.load(row, path, device, dtype)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return PerceptNet(net, row.name, choice.notice or "")


def for_loss(device: torch.device, eye: str, **weights: float) -> PerceptNet | None:
    """The net of a training's perceptual losses, by their names in the recipe; None if none has a weight.

    Raises UsageError for a net that is named in vain (not "auto"), and as :func:`load` does.
    """
    if any(weights.values()):
        return load(device, model=eye)
    if eye != "auto":
        nothing = f"{' and '.join(weights)} {'are' if len(weights) > 1 else 'is'} 0"
        raise UsageError(
            f"eye={eye} changes nothing: {nothing}", remedy="Try --set percept=0.2, or leave out eye"
        )
    return None


def distance(fx: Mapping[str, Tensor], fy: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The formula above, of features by layer name: (N,) in float32.

    Args:
        fx, fy: activations behind a ReLU, (N,C,h,w) each.
        weights: which layers count, and how much.
    """
    parts = [weight * _apart(fx[name], fy[name]) for name, weight in weights.items()]
    return torch.stack(parts).sum(0) / sum(weights.values())


def _apart(fx: Tensor, fy: Tensor) -> Tensor:
    return (_unit(fx) - _unit(fy)).square().sum(1).mean((1, 2))


def _unit(features: Tensor) -> Tensor:
    # The small constant stands inside the root, where its gradient at zero is finite.
    features = features.float()
    return features * (features.square().sum(1, keepdim=True) + 1e-8).rsqrt()


# --- VGG19 without its classifier -----------------------------------------------------------------------


def _copy_of(row: Checkpoint) -> Path | None:
    """The copy made before, if the download that it was made from is still here and it is unaltered."""
    path = cache.copy_file(row)
    if cache.find(row) is None or path is None or not path.is_file():
        return None
    return path if cache.sha256(path) == cache.expected_hash(_copy_row(row)) else None


def _copy_row(row: Checkpoint) -> Checkpoint:
    """By which the hash of the copy is recorded."""
    return replace(row, file="features.safetensors", sha256="")


def _keep_features(row: Checkpoint, source: Path, spare: Path) -> Path:
    """Copy ``features.*`` out of a verified file: 80 MB to read and to hash at each later use, not 575.

    Into gantool's folder of the cache, or into ``spare`` when nothing can be written there.
    """
    state, path = _features(source), cache.copy_file(row)
    if path is not None:
        with contextlib.suppress(OutputError, OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            loading.save_model(path, state, row)
            cache.record_hash(_copy_row(row), cache.sha256(path))
            return path
    loading.save_model(spare / "features.safetensors", state, row)
    return spare / "features.safetensors"


def _features(path: Path) -> dict[str, Tensor]:
    """The tensors of the convolutions; the classifier behind them, which is most of the file, is not read.

    timm's names of them are torchvision's.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if name.startswith("features.")}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError("the checkpoint is not a safetensors file", path) from error
