"""Inception v3, whose features FID, KID and the Inception score compare.

Szegedy et al. 2015 (1512.00567); layers and names are torchvision's (BSD-3-Clause). There are two sets of
weights, whose figures do not compare:

- 1008 classes: TensorFlow's of 2015-12-05, with which FID (1706.08500), KID (1801.01401) and the Inception
  score (1606.03498) were defined, as converted by mseitzer/pytorch-fid (Apache-2.0):
  ``pt_inception-2015-12-05-6726825d.pth``. Average pools leave padding out of the mean, and the pool of the
  last block takes the maximum.
- 1000 classes: torchvision's own, ``inception_v3_google-0cc3c7bd.pth``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor
from torchvision.models import inception as layers

ORIGINAL_CLASSES = 1008


class _TensorFlowPool:
    """A block whose last branch, the pooled one, is computed again as TensorFlow pools."""

    def _forward(self, x: Tensor) -> list[Tensor]:
        outputs = super()._forward(x)  # type: ignore[misc]
        outputs[-1] = self.branch_pool(self.pool(x))  # type: ignore[attr-defined]
        return outputs

    @staticmethod
    def pool(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _BlockA(_TensorFlowPool, layers.InceptionA):
    pass


class _BlockC(_TensorFlowPool, layers.InceptionC):
    pass


class _BlockE(_TensorFlowPool, layers.InceptionE):
    pass


class _LastBlock(_BlockE):
    @staticmethod
    def pool(x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, stride=1, padding=1)


class Inception(layers.Inception3):
    """The net of either set of weights, chosen by ``classes``, without the second classifier of training."""

    def __init__(self, classes: int = ORIGINAL_CLASSES) -> None:
        original = classes == ORIGINAL_CLASSES
        blocks = [
            layers.BasicConv2d,
            _BlockA if original else layers.InceptionA,
            layers.InceptionB,
            _BlockC if original else layers.InceptionC,
            layers.InceptionD,
            _BlockE if original else layers.InceptionE,
            layers.InceptionAux,
        ]
        super().__init__(classes, aux_logits=False, init_weights=False, inception_blocks=blocks)
        if original:
            self.Mixed_7c = _LastBlock(2048)

    @staticmethod
    def own_names(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The state dict without the classifier that only serves training."""
        return {name: value for name, value in state.items() if not name.startswith("AuxLogits.")}

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """The features (N,2048) and logits (N,classes) of RGB (N,3,299,299) in [0,1].

        The original net's logits are without their bias, as the Inception score's authors took them.
        """
        x = 2 * x - 1
        for name, layer in self.named_children():
            if name not in ("dropout", "fc"):
                x = layer(x)
        features = x.flatten(1)
        bias = None if self.fc.out_features == ORIGINAL_CLASSES else self.fc.bias
        return features, F.linear(features, self.fc.weight, bias)
