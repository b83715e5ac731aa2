"""Warnings of trainings that go wrong, each with what to try. Thresholds are judgement, not measurement.

What a value is, its name says, by the words between its underscores: ``d_accuracy`` is the share of a
critic's verdicts that are right, ``d`` its loss, ``g`` the generator's adversarial loss (also ``gan``),
``norm`` the norm of a net's gradient (``g_norm``), ``gp_norm`` the mean norm of a critic's gradient at the
pictures where WGAN-GP wants it to be 1, ``clipped`` the share of a critic's weights that stand at a bound.
Further words tell several apart (``g_a`` goes with ``d_accuracy_a``). NaN is not looked for: it ends a
training at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

KEPT = 100  # log lines that are remembered
_MANY, _SOME, _FEW = 50, 25, 5  # log lines for which something must hold
_THUMB_PX = 32
_NO_LOSS = {"accuracy", "norm", "grad", "gp", "penalty", "lr", "clipped", "real", "fake"}

# What to try, by a recipe's parameter: a value, or a factor for the present one. Only those that the recipe
# has are named.
Tip = tuple[str, str | float]
CRITIC_TOO_GOOD: tuple[Tip, ...] = (("gan", "wgangp"), ("r1", "10"), ("critic_lr", 0.5))
CRITIC_TOO_WEAK: tuple[Tip, ...] = (("critic_lr", 2.0), ("ndf", 2.0), ("r1", "0"))
COLLAPSE: tuple[Tip, ...] = (("gan", "wgangp"), ("r1", "10"), ("critic_lr", 0.5), ("lr", 0.5))
CONSTANT: tuple[Tip, ...] = (("lr", 0.5), ("critic_lr", 0.5))
IDENTITY: tuple[Tip, ...] = (("identity", "0"), ("cycle", 0.5), ("lr", 2.0))
EXPLODING: tuple[Tip, ...] = (("lr", 0.5), ("critic_lr", 0.5))
CLIPPED: tuple[Tip, ...] = (("gan", "wgangp"), ("clip", 2.0))
STEEP: tuple[Tip, ...] = (("gp", 2.0), ("critic_lr", 0.5))
SHALLOW: tuple[Tip, ...] = (("gp", 0.5),)


class Health:
    """Looks at log lines and samples, and warns once of each ailment; again only after it went away.

    Args:
        warn: gets one sentence with its remedy.
        config: the run's parameters and their values; remedies name only these. None: any.
        better: the score that says whether training gets on, with a minus where less is better.
        changes: the outputs should differ from the inputs.
        paired: ``real[i]`` is what ``outputs[i]`` should be.
    """

    def __init__(
        self,
        warn: Callable[[str], None],
        config: Mapping[str, Any] | None = None,
        better: str = "psnr",
        changes: bool = True,
        paired: bool = True,
    ) -> None:
        self._warn, self._config = warn, config
        self._changes, self._paired = changes, paired
        self._sign, self._score = (-1, better[1:]) if better.startswith("-") else (1, better)
        self._history: dict[str, list[float]] = {}
        self._bad: dict[str, int] = {}  # checks in a row at which an ailment showed
        self._good: dict[str, int] = {}  # and at which one that was warned of did not

    def state_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, to be saved with the run, so that a resumed run warns alike."""
        history = {name: list(values) for name, values in self._history.items()}
        return {"history": history, "bad": dict(self._bad), "good": dict(self._good)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        self._history = {name: list(values) for name, values in state["history"].items()}
        self._bad, self._good = dict(state["bad"]), dict(state["good"])

    def values(self, step: int, values: Mapping[str, float]) -> None:
        """The figures of one log line."""
        for name, value in values.items():
            self._remember(name, value)
        for name, value in values.items():
            words = name.split("_")
            if "accuracy" in words:
                self._sure(step, name)
                self._guessing(step, name)
            elif "gp_norm" in name:
                self._penalty(step, name)
            elif {"norm", "grad"} & set(words):
                self._gradient(step, name, value)
            elif "clipped" in words:
                text = f"{value:.0%} of the critic's weights stand at the clipping bound, which starves it"
                self._judge(step, name, value > 0.8, text, CLIPPED, after=_FEW, clear=_FEW)

    def scores(self, step: int, scores: Mapping[str, float]) -> None:
        """Scores of the pictures kept out."""
        if self._score in scores:
            self._remember("score", self._sign * scores[self._score])

    def samples(
        self,
        step: int,
        inputs: Sequence[np.ndarray] | np.ndarray | None,
        outputs: Sequence[np.ndarray] | np.ndarray,
        real: Sequence[np.ndarray] | np.ndarray | None = None,
    ) -> None:
        """A few pictures made from the same inputs (or noise) each time.

        Args:
            inputs: uint8 (N,H,W), (N,H,W,1) or (N,H,W,3); None where they are no pictures.
            outputs: uint8 RGB (N,H,W,3), of the averaged net.
            real: uint8 RGB pictures as the outputs should be; as many as outputs if paired.
        """
        ours = [_rgb(image) for image in outputs]
        theirs = None if real is None else [_rgb(image) for image in real]
        if not ours:
            return
        flat = sum(_is_flat(image) for image in ours) * 2 >= len(ours)
        if theirs and sum(_is_flat(image) for image in theirs) * 2 >= len(theirs):
            flat = False  # as it should be
        what = "black" if np.mean([image.mean() for image in ours]) < 4 else "of one colour"
        self._judge(step, "flat", flat, f"the samples are {what}", CONSTANT)
        if theirs and not flat:
            wide, narrow = spread(theirs), spread(ours)
            share = narrow / max(wide, 1e-9)
            text = f"the samples differ only {share:.0%} as much as real pictures do: collapse"
            self._judge(step, "collapse", narrow < 0.3 * wide, text, COLLAPSE, after=2)
        if self._changes and inputs is not None:
            self._identity(step, [_rgb(image) for image in inputs], ours, theirs)

    # ---- one ailment each

    def _sure(self, step: int, name: str) -> None:
        """A critic that is always right, and a generator that falls behind.

        A Wasserstein critic should be as right as it can, and its scale means nothing.
        """
        if str((self._config or {}).get("gan", "")).startswith("wgan"):
            return
        accuracy = self._history[name]
        losses = [n for n in self._history if _is_adversarial(n)]
        for loss in [n for n in losses if _rest(n) == _rest(name)] or losses:
            recent = self._history[loss][-_SOME:]
            early, late = float(np.mean(recent[:8])), float(np.mean(recent[-8:]))
            sure = len(recent) == _SOME and min(accuracy[-_SOME:]) > 0.95
            bad = sure and late > early + 0.02 * abs(early)
            right = f"the critic is right in {accuracy[-1]:.0%} of cases"
            text = f"{right} and {loss} rises ({early:.3g} to {late:.3g})"
            self._judge(step, f"sure {name} {loss}", bad, text, CRITIC_TOO_GOOD, clear=_SOME)

    def _guessing(self, step: int, name: str) -> None:
        """A critic that is right by chance, losses that stand still, and scores that do not rise."""
        recent = self._history[name][-_MANY:]
        bad = len(recent) == _MANY and min(recent) >= 0.45 and max(recent) <= 0.55
        watched = [n for n in self._history if _is_adversarial(n) or _is_critic(n)]
        bad = bad and bool(watched) and all(_is_level(self._history[n][-_MANY:]) for n in watched)
        scores = self._history.get("score", [])
        bad = bad and not (len(scores) > 1 and scores[-1] >= max(scores))
        text = "the critic only guesses (right in half of the cases) and no loss moves: it teaches nothing"
        self._judge(step, f"guessing {name}", bad, text, CRITIC_TOO_WEAK, clear=_SOME)

    def _gradient(self, step: int, name: str, value: float) -> None:
        before = self._history[name][:-1]
        usual = float(np.median(before)) if len(before) >= 20 else 0.0
        text = f"{name} is {value:.3g}, {value / max(usual, 1e-30):.0f} times its usual {usual:.3g}"
        self._judge(step, name, usual > 0 and value > 10 * usual, text, EXPLODING, clear=_FEW)

    def _penalty(self, step: int, name: str) -> None:
        value = self._history[name][-1]
        text = f"the critic's gradient has norm {value:.3g} where the penalty wants 1"
        self._judge(step, f"steep {name}", value > 2, text, STEEP, after=_SOME, clear=_FEW)
        self._judge(step, f"shallow {name}", value < 0.5, text, SHALLOW, after=_SOME, clear=_FEW)

    def _identity(
        self, step: int, inputs: list[np.ndarray], ours: list[np.ndarray], theirs: list[np.ndarray] | None
    ) -> None:
        done = _distance(inputs, ours)
        limit = 2.0  # of 255
        if theirs and self._paired and len(theirs) == len(inputs):
            limit = 0.1 * _distance(inputs, theirs)
        text = f"the samples are their inputs again (mean difference {done:.2f} of 255): nothing is learned"
        self._judge(step, "identity", done < limit, text, IDENTITY, after=2)

    # ---- how a finding becomes a warning

    def _judge(
        self, step: int, key: str, bad: bool, text: str, tips: Sequence[Tip], after: int = 1, clear: int = 1
    ) -> None:
        """Warn when ``bad`` for the ``after``-th time in a row; forget it when not for the ``clear``-th."""
        if bad:
            self._bad[key] = self._bad.get(key, 0) + 1
            if self._bad[key] >= after and key not in self._good:
                self._good[key] = 0
                self._warn(f"step {step}: {text}. {advice(tips, self._config)}.")
            elif key in self._good:
                self._good[key] = 0
        else:
            self._bad.pop(key, None)
            if key in self._good:
                self._good[key] += 1
                if self._good[key] >= clear:
                    del self._good[key]

    def _remember(self, name: str, value: float) -> None:
        values = self._history.setdefault(name, [])
        values.append(float(value))
        del values[:-KEPT]


def advice(tips: Sequence[Tip], config: Mapping[str, Any] | None) -> str:
    """One sentence naming the ``--set`` of every tip that the recipe has and that is not so already.

    A factor is applied to the present value, and left out where that is 0 or unknown. A ``critic_lr`` of 0 is
    the generator's ``lr``.
    """
    words = []
    for name, change in tips:
        if config is not None and name not in config:
            continue
        now = (config or {}).get(name)
        if isinstance(change, str):
            if str(now) not in (change, f"{change}.0"):
                words.append(f"--set {name}={change}")
            continue
        if name == "critic_lr" and not now:
            now = (config or {}).get("lr")
        if isinstance(now, int | float) and now:
            words.append(
                f"--set {name}={int(now * change) if isinstance(now, int) else f'{now * change:.4g}'}"
            )
    if not words:
        return "Look at the samples, and at the data with --check"
    return f"A new run with {' or '.join(words)} may help"


def spread(images: Sequence[np.ndarray]) -> float:
    """Mean distance of all pairs (root mean square of thumbnails, 0..255); 0 for fewer than two."""
    size = (_THUMB_PX, _THUMB_PX)
    small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float64) for image in images]
    pairs = list(itertools.combinations(small, 2))
    return float(np.mean([np.sqrt(np.mean((a - b) ** 2)) for a, b in pairs])) if pairs else 0.0


def _rgb(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    image = image if image.ndim == 3 else image[..., None]
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image


def _is_flat(image: np.ndarray) -> bool:
    return float(image.reshape(-1, 3).std(0).max()) < 3


def _distance(these: Sequence[np.ndarray], those: Sequence[np.ndarray]) -> float:
    """Mean absolute difference, 0..255; the first are brought to the size of the second."""
    parts = []
    for a, b in zip(these, those, strict=False):
        size = (b.shape[1], b.shape[0])
        same = a if a.shape == b.shape else cv2.resize(a, size, interpolation=cv2.INTER_CUBIC)
        parts.append(np.abs(same.astype(np.float64) - b).mean())
    return float(np.mean(parts)) if parts else np.inf


def _is_adversarial(name: str) -> bool:
    words = set(name.split("_"))
    return bool({"g", "gan", "adv"} & words) and not words & (_NO_LOSS | {"d", "critic"})


def _is_critic(name: str) -> bool:
    words = set(name.split("_"))
    return bool({"d", "critic"} & words) and not words & _NO_LOSS


def _rest(name: str) -> frozenset[str]:
    """The words that tell several critics apart."""
    return frozenset(name.split("_")) - {"accuracy", "critic", "gan", "adv", "loss", "d", "g"}


def _is_level(values: Sequence[float]) -> bool:
    """Whether a loss has stopped moving: it varies by less than 5 %."""
    return float(np.std(values)) < 0.05 * abs(float(np.mean(values)))
