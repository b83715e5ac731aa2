"""A pool of earlier generated pictures, for the critic to be shown.

Shrivastava et al. 2017, "Learning from Simulated and Unsupervised Images through Adversarial Training"
(1612.07828); CycleGAN (1703.10593) uses 50 pictures: a critic that still knows what
the generator did a while ago keeps the two from running in circles.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Keeps ``size`` pictures; each new one is, half of the time, swapped for one of them.

    It draws from a generator of its own, on the CPU, and a picture at a time: what it answers depends on the
    seed and on the pictures seen, not on how they were batched nor on what else is random in the program.
    With ``state_dict`` saved and loaded it goes on exactly.

    Args:
        size: pictures kept; 0 gives every picture straight back.
        seed: of its own random choices; processes of one run want different ones.
    """

    def __init__(self, size: int = 50, seed: int = 0) -> None:
        if size < 0:
            raise ValueError(f"a pool of {size} pictures")
        self.size = size
        self._pictures: list[Tensor] = []
        self._random = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self._pictures)

    def query(self, pictures: Tensor) -> Tensor:
        """New pictures (N,C,H,W) -> as many to show the critic, detached, on the same device.

        While the pool fills up, every picture is kept and given back. Then each is given back with
        probability 1/2, and otherwise takes the place of a kept one, which is given instead.
        Raises ValueError when the pictures are of another shape than those kept.
        """
        pictures = pictures.detach()
        if self.size == 0:
            return pictures
        if self._pictures and self._pictures[0].shape != pictures.shape[1:]:
            kept, new = tuple(self._pictures[0].shape), tuple(pictures.shape[1:])
            raise ValueError(f"the pool keeps pictures of shape {kept}, not {new}")
        return torch.stack([self._exchange(picture) for picture in pictures])

    def _exchange(self, picture: Tensor) -> Tensor:
        if len(self._pictures) < self.size:
            # Cloned: a view would keep the whole batch, and all that is done to it in place, alive.
            self._pictures.append(picture.clone())
            return picture
        if torch.rand((), generator=self._random) < 0.5:
            return picture
        place = int(torch.randint(self.size, (), generator=self._random))
        old = self._pictures[place]
        self._pictures[place] = picture.clone()
        return old.to(picture.device, picture.dtype)

    def state_dict(self) -> dict[str, Any]:
        """Pictures on the CPU, in order, and the state of the random generator: tensors only."""
        return {"pictures": [p.cpu().clone() for p in self._pictures], "random": self._random.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`. Raises ValueError for more pictures than the pool holds."""
        if len(state["pictures"]) > self.size:
            raise ValueError(f"{len(state['pictures'])} pictures for a pool of {self.size}")
        self._pictures = [p.clone() for p in state["pictures"]]
        self._random.set_state(state["random"].cpu())
