"""Distortions by severity, and pairs of distorted photographs of which it is known which one is worse.

Nobody has to be asked for these orders: more damage is worse (the idea of RankIQA, Liu et al. 2017,
1707.08347); a photograph that is a pixel further to the left, or a little brighter, looks better than
one that is blurred or blocky by as much squared error (Wang & Bovik 2009, "Mean squared error: love it or
leave it?"); and other grain or detail looks more like the picture than none does, at twice the squared error.

Pictures are float32 RGB (H,W,3) in [0,1], and so are results.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Image = np.ndarray
Distortion = Callable[[Image, float, np.random.Generator], Image]


def _between(low: float, high: float, severity: float) -> float:
    """Geometric interpolation, by which steps of severity look about equally large."""
    return low * (high / low) ** severity


def blur(image: Image, severity: float, rng: np.random.Generator) -> Image:
    """Gaussian blur, sigma 0.4 to 6 px."""
    return cv2.GaussianBlur(image, (0, 0), _between(0.4, 6, severity), borderType=cv2.BORDER_REFLECT_101)


def noise(image: Image, severity: float, rng: np.random.Generator) -> Image:
    """Gaussian noise, sigma 2 to 70 of 255; grey for one picture in three."""
    channels = 1 if rng.random() < 1 / 3 else 3
    grain = rng.normal(0, 1, (*image.shape[:2], channels)).astype(np.float32)
    return np.clip(image + grain * _between(2, 70, severity) / 255, 0, 1)


def jpeg(image: Image, severity: float, rng: np.random.Generator) -> Image:
    """JPEG of quality 90 down to 4."""
    quality = round(_between(90, 4, severity))
    encoded = cv2.imencode(".jpg", _bytes(image)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None
    return _floats(decoded[..., ::-1])


def colour_shift(image: Image, severity: float, rng: np.random.Generator) -> Image:
    """a and b of Lab moved by 2 to 50 in one direction, or drawn towards grey."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    if rng.random() < 0.4:
        lab[..., 1:] *= 1 - severity
    else:
        angle = rng.uniform(0, 2 * np.pi)
        lab[..., 1:] += _between(2, 50, severity) * np.array((np.cos(angle), np.sin(angle)), np.float32)
    return np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), 0, 1)


def smooth(image: Image, severity: float, rng: np.random.Generator) -> Image:
    """Texture lost and edges kept: a bilateral filter, range sigma 0.03 to 0.6, or a median of 3 to 13 px."""
    if rng.random() < 0.3:
        return _floats(cv2.medianBlur(_bytes(image), 3 + 2 * round(severity * 5)))
    return cv2.bilateralFilter(image, 7, _between(0.03, 0.6, severity), 3)


def coarse(image: Image, severity: float, rng: np.random.Generator) -> Image:
    """Reduced 1.2 to 10 times and enlarged again, bicubic or in squares."""
    height, width = image.shape[:2]
    factor = _between(1.2, 10, severity)
    size = (max(2, round(width / factor)), max(2, round(height / factor)))
    method = cv2.INTER_NEAREST if rng.random() < 0.3 else cv2.INTER_CUBIC
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.clip(cv2.resize(small, (width, height), interpolation=method), 0, 1)


def banding(image: Image, severity: float, rng: np.random.Generator) -> Image:
    """40 down to 3 levels in each channel."""
    levels = _between(40, 3, severity) - 1
    return (np.round(image * levels) / levels).clip(0, 1).astype(np.float32)


def glass(image: Image, severity: float, rng: np.random.Generator) -> Image:
    """Every pixel fetched from somewhere near, 0.4 to 6 px away."""
    reach = _between(0.4, 6, severity)
    return _fetched(image, rng.uniform(-reach, reach, (*image.shape[:2], 2)))


HARMFUL: dict[str, Distortion] = {
    "blur": blur,
    "noise": noise,
    "jpeg": jpeg,
    "colour shift": colour_shift,
    "smooth": smooth,
    "coarse": coarse,
    "banding": banding,
    "glass": glass,
}


def moved(image: Image, rng: np.random.Generator) -> Image:
    """Shifted by up to 3 px and gently bent by as much: what hardly anybody notices."""
    height, width = image.shape[:2]
    bend = rng.uniform(-1, 1, (3, 3, 2)).astype(np.float32) * rng.uniform(0, 2)
    field = cv2.resize(bend, (width, height), interpolation=cv2.INTER_CUBIC)
    return _fetched(image, field + rng.uniform(-3, 3, 2))


def relit(image: Image, rng: np.random.Generator) -> Image:
    """A little other brightness, contrast or gamma."""
    kind, amount = rng.integers(3), rng.uniform(0.05, 0.3) * rng.choice((-1, 1))
    if kind == 0:
        result = image ** np.float32(np.exp(amount))
    elif kind == 1:
        result = image.mean() + (image - image.mean()) * np.float32(np.exp(amount))
    else:
        result = image + np.float32(amount / 2)
    return np.clip(result, 0, 1).astype(np.float32)


def ordered(image: Image, rng: np.random.Generator) -> tuple[Image, Image, Image]:
    """(reference, nearer, further): of three pictures made from one, which two look more alike."""
    kind = rng.random()
    if kind < 0.3:
        return more_of_the_same(image, rng)
    if kind < 0.6:
        return more_of_another(image, rng)
    if kind < 0.84:
        return harmless_and_harmful(image, rng)
    if kind < 0.95:
        return other_detail_and_none(image, rng)
    return other_grain_and_none(image, rng)


def more_of_the_same(image: Image, rng: np.random.Generator) -> tuple[Image, Image, Image]:
    """The same distortion twice, by clearly different severities; "nearer" may be nearly untouched."""
    distort = HARMFUL[str(rng.choice(list(HARMFUL)))]
    gap = rng.uniform(0.12, 0.4)
    low, seed = rng.uniform(0, 1 - gap), rng.integers(2**32)
    near, far = (distort(image, s, np.random.default_rng(seed)) for s in (low, low + gap))
    return image, near, far


def more_of_another(image: Image, rng: np.random.Generator) -> tuple[Image, Image, Image]:
    """A little of one distortion and evidently more of another.

    The scales above are only roughly those of the eye, after the levels that KADID-10k (Lin et al. 2019)
    chose for its distortions, hence the gap.
    """
    first, second = (HARMFUL[str(name)] for name in rng.choice(list(HARMFUL), 2, replace=False))
    gap = rng.uniform(0.25, 0.8)
    low = rng.uniform(0, 1 - gap)
    return image, first(image, low, rng), second(image, low + gap, rng)


def harmless_and_harmful(image: Image, rng: np.random.Generator) -> tuple[Image, Image, Image]:
    """A picture moved or relit, and one damaged by as much squared error."""
    near = moved(image, rng) if rng.random() < 0.6 else relit(image, rng)
    names = [name for name in HARMFUL if name != "colour shift"]  # which may be just another light
    distort = HARMFUL[str(rng.choice(names))]
    wanted, seed = _error(near, image), rng.integers(2**32)
    low, high, far = 0.0, 1.0, image
    for _ in range(6):
        middle = (low + high) / 2
        far = distort(image, middle, np.random.default_rng(seed))
        low, high = (middle, high) if _error(far, image) < wanted else (low, middle)
    # The rest by exaggeration or mixing, within bounds: a blur cannot reach the error of every shift.
    share = np.clip((wanted / max(_error(far, image), 1e-8)) ** 0.5, 0.7, 1.3)
    return image, near, np.clip(image + (far - image) * np.float32(share), 0, 1)


def other_detail_and_none(image: Image, rng: np.random.Generator) -> tuple[Image, Image, Image]:
    """A picture whose fine detail sits a little beside its place; and one without most of it.

    What an adversarial upscaler draws, and what one trained by squared error does; the first has up to twice
    the squared error.
    """
    sigma = rng.uniform(0.8, 2.5)
    low = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    bend = rng.uniform(-1, 1, (5, 5, 2)).astype(np.float32) * sigma * rng.uniform(0.3, 1)
    field = cv2.resize(bend, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    detail = _fetched(image, field) - _fetched(low, field)
    near = low + detail * np.float32(rng.uniform(0.7, 1.2))
    far = low + (image - low) * np.float32(rng.uniform(0, 0.3))
    return image, np.clip(near, 0, 1), np.clip(far, 0, 1)


def other_grain_and_none(image: Image, rng: np.random.Generator) -> tuple[Image, Image, Image]:
    """A grainy picture; one with other grain of that kind; the one without."""
    sigma, size = _between(6, 40, rng.random()) / 255, rng.uniform(0, 1)

    def grain() -> Image:
        field = rng.normal(0, 1, image.shape).astype(np.float32)
        if size > 0.4:
            field = cv2.GaussianBlur(field, (0, 0), size)
        return np.clip(image + field * np.float32(sigma / field.std()), 0, 1)

    return grain(), grain(), image


def _fetched(image: Image, offsets: np.ndarray) -> Image:
    """Every pixel from ``offsets`` (H,W,2; x, y in px) beside its place, the border mirrored."""
    height, width = image.shape[:2]
    offsets = np.broadcast_to(offsets, (height, width, 2)).astype(np.float32)
    x = offsets[..., 0] + np.arange(width, dtype=np.float32)
    y = offsets[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return np.clip(cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101), 0, 1)


def _error(a: Image, b: Image) -> float:
    return float(np.mean((a - b) ** 2))


def _bytes(image: Image) -> np.ndarray:
    return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)


def _floats(image: np.ndarray) -> Image:
    return image.astype(np.float32) / 255
