"""What generators that turn faces to the front and back are told: the losses of ``--task frontal_cycle``.

Pairs are told what each should be: by pixels, in a perceptual net, by whether it is the same person, by
critics that know the other side, and by what their layers answer (inner loss, feature matching: Salimans et
al. 2016, 1606.03498). Without a partner the person must be that of the input, and the inner losses compare
the end of each cycle (Zhu et al. 2017, 1703.10593) with its beginning.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool import losses, percept
from gantool.identity import Identity
from gantool.models import pix2pix
from gantool.training import Game


class Critics(nn.Module):
    """The cycle's critics: of fronts and of sides, and with ``pairs`` of either where the other is known.

    The conditional ones see the condition and the picture, six channels. None has a norm that mixes the
    pictures of a batch, as WGAN-GP needs it.
    """

    def __init__(self, ndf: int = 32, layers: int = 3, pairs: bool = True) -> None:
        super().__init__()
        self.nets = nn.ModuleDict()
        for name in ("side", "front", *(("front_of", "side_of") if pairs else ())):
            net: Any = pix2pix.NLayerDiscriminator(6 if name.endswith("_of") else 3, ndf, layers, "none")
            self.nets[name] = pix2pix.initialise(net)

    def forward(self, shown: dict[str, Tensor]) -> dict[str, Tensor]:
        """Logits by critic; ``shown`` has (N,3,H,W), or (N,6,H,W) for those ending in ``_of``, in [-1,1]."""
        return {name: self.nets[name](x) for name, x in shown.items()}

    def features(self, name: str, x: Tensor) -> list[Tensor]:
        """What every layer of one critic answers, the logits last."""
        return self.nets[name].features(x)  # type: ignore[operator]


@dataclass(frozen=True)
class Kind:
    """A batch's sides, fronts and codes of the sides' poses; ``paired``: they are of the same people."""

    side: Tensor
    front: Tensor
    pose: Tensor
    paired: bool


@dataclass(frozen=True)
class Turned:
    """What the generators made of the sides, and of the fronts."""

    front: Tensor
    side: Tensor


def turned(one: Kind, front_of: Any, side_of: Any) -> Turned:
    """Both generators' work on faces of one kind."""
    return Turned(front_of(one.side).float(), side_of(one.front, one.pose).float())


@dataclass(frozen=True)
class Asked:
    """The nets that judge a generator's work."""

    critics: Critics
    game: Game
    judge: Identity | None
    eye: percept.PerceptNet | None
    fabric: Any


def shown(kinds: Sequence[Kind], made: Sequence[Turned] | None) -> dict[str, Tensor]:
    """What each critic sees: the pictures themselves, or what the generators ``made`` of them."""
    kept = made or [Turned(one.front, one.side) for one in kinds]
    found = {
        "side": torch.cat([one.side for one in kept]),
        "front": torch.cat([one.front for one in kept]),
    }
    for one, mine in zip(kinds, kept, strict=True):
        if one.paired:
            found["front_of"] = torch.cat((one.side, mine.front), 1)
            found["side_of"] = torch.cat((one.front, mine.side), 1)
    return found


def terms(one: Kind, front_of: Any, side_of: Any, asked: Asked, wanted: Collection[str]) -> dict[str, Tensor]:
    """The generators' losses for one kind of faces, each a mean without its weight.

    ``wanted``: names of the terms; others are left out. Those of pairs alone: "pixel" and "percept".
    """
    made = turned(one, front_of, side_of)
    front, side = made.front, made.side
    side_again, front_again = side_of(front, one.pose).float(), front_of(side).float()
    found = {
        "cycle": F.l1_loss(side_again, one.side) + F.l1_loss(front_again, one.front),
        "tv": losses.total_variation(front) + losses.total_variation(side),
    }
    if "stay" in wanted:
        found["stay"] = F.l1_loss(front_of(one.front).float(), one.front)
    answers = [asked.critics.features(*given)[-1] for given in (("front", front), ("side", side))]
    if one.paired:
        found["pixel"] = F.l1_loss(front, one.front) + F.l1_loss(side, one.side)
        mine = {"front_of": torch.cat((one.side, front), 1), "side_of": torch.cat((one.front, side), 1)}
        both = (one.side, one.front)
        target = {"front_of": torch.cat(both, 1), "side_of": torch.cat(both[::-1], 1)}
        if asked.eye is not None and "percept" in wanted:
            found["percept"] = asked.eye((front + 1) / 2, (one.front + 1) / 2).mean()
    else:
        mine = {"front_of": torch.cat((side, front_again), 1), "side_of": torch.cat((front, side_again), 1)}
        target = {"front_of": torch.cat((side, one.front), 1), "side_of": torch.cat((front, one.side), 1)}
        mine = {name: x for name, x in mine.items() if name in asked.critics.nets}
    if mine and "inner" in wanted:
        inner = []
        for name, x in mine.items():
            with asked.fabric.autocast():
                ours = asked.critics.features(name, x)
                with torch.no_grad():
                    truth = asked.critics.features(name, target[name])
            inner.append(losses.feature_loss(ours[:-1], truth[:-1]))
            if one.paired:
                answers.append(ours[-1])
        found["inner"] = torch.stack(inner).sum()
    found["adversarial"] = torch.stack([asked.game.generator(answer.float()) for answer in answers]).mean()
    if asked.judge is not None and "identity" in wanted:
        with asked.fabric.autocast():
            found["identity"] = 1 - asked.judge.cosine(front, one.front if one.paired else one.side).mean()
    return found
