"""A folder of pictures: how colourful, how natural, and how near the pictures of another folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from gantool import metrics
from gantool.evaluation import distributions
from gantool.evaluation.distributions import FeatureNet
from gantool.evaluation.pictures import small
from gantool.evaluation.result import Evaluation, Exhibit, Measure, Row, mean_of
from gantool.media.image import read_picture
from gantool.niqe import LEAST_PX, niqe
from gantool.progress import Progress

_SHOWN = 4  # pictures at each end

MEASURES = (
    Measure("colourfulness", "colourfulness", "", "", 1, "Hasler and Suesstrunk 2003, signed opponents."),
    Measure("niqe", "NIQE", "", "less", 2, "Distance from the statistics of good photos; photos only."),
)
REFERENCE = (
    Measure("reference_colourfulness", "colourfulness of the reference", "", "", 1, "Likewise, its mean."),
    Measure(
        "colourfulness_difference",
        "difference of colourfulness",
        "",
        "less",
        2,
        "Absolute difference of the two means (as DDColor has it, not the mean of differences).",
    ),
)


def evaluate_set(
    folder: Path,
    pictures: list[Path],
    reference: tuple[Path, list[Path]] | None = None,
    net: FeatureNet | None = None,
    *,
    max_pixels: int = 100_000_000,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Measure the pictures of ``folder``; of ``reference`` (folder, pictures) only what is compared.

    Raises InputError for files that cannot be read.
    """

    def read(paths: list[Path], note: Callable[[Path, np.ndarray], None]) -> Iterator[np.ndarray]:
        for path in paths:
            check()
            picture = read_picture(path, max_pixels=max_pixels, to_srgb=True).rgb
            note(path, picture)
            yield picture
            if progress is not None:
                progress.advance(1)

    rows: list[Row] = []
    left_out: dict[str, str] = {}
    flat = []

    def note(path: Path, picture: np.ndarray) -> None:
        values: dict[str, float | None] = {"colourfulness": metrics.colourfulness(picture), "niqe": None}
        if min(picture.shape[:2]) >= LEAST_PX:
            try:
                values["niqe"] = niqe(picture)
            except ValueError:
                flat.append(path.name)
        rows.append(Row(str(path.relative_to(folder)), values))

    colours: list[float] = []
    features = _through(net, read(pictures, note))
    others = None
    if reference is not None:
        others = _through(net, read(reference[1], lambda _, p: colours.append(metrics.colourfulness(p))))
    totals = {one.name: mean_of(rows, one.name) for one in MEASURES}
    summary: list[Measure] = []
    if colours:
        summary += REFERENCE
        mean = totals["reference_colourfulness"] = float(np.mean(colours))
        totals["colourfulness_difference"] = abs((totals["colourfulness"] or 0.0) - mean)
    if net is not None and features is not None:
        figures = distributions.distances(net, features, None if others is None else others[0])
        summary += [one for one in distributions.measures(net.original) if one.name in figures]
        totals |= figures
    missing = sum(row.values["niqe"] is None for row in rows)
    if missing:
        why = f"{LEAST_PX} px a side and some texture are needed"
        left_out["NIQE"] = f"not of {missing} of {len(rows)} pictures; {why}"
    left_out |= _not_compared(net, len(rows), None if reference is None else len(colours))
    subject = {"set": str(folder)} | ({} if reference is None else {"reference": str(reference[0])})
    return Evaluation(
        "eval set",
        subject,
        {"pictures": len(rows)} | ({} if reference is None else {"reference_pictures": len(colours)}),
        MEASURES,
        totals,
        rows,
        left_out=left_out,
        exhibits=_exhibits(folder, rows, max_pixels),
        curves=[("colourfulness",), ("niqe",)],
        summary=summary,
    )


def _through(net: FeatureNet | None, pictures: Iterator[np.ndarray]) -> tuple | None:
    if net is not None:
        return net.features(pictures)
    for _ in pictures:
        pass
    return None


def _not_compared(net: FeatureNet | None, count: int, reference: int | None) -> dict[str, str]:
    """Why there is no FID, or why it says little."""
    if net is None:
        return {"FID, KID, Inception score": "they need the weights of Inception v3: --inception FILE"}
    if reference is None:
        return {"FID, KID": "they compare with a second folder, the reference"}
    fewer = min(count, reference)
    names = [one.label for one in distributions.measures(net.original)[:2]]
    if fewer < 4:
        return {names[1]: "it needs four pictures in each folder"}
    if fewer < distributions.FEW:
        return {f"{names[0]} says little": f"{fewer} pictures are few, it comes out too high; see {names[1]}"}
    return {}


def _exhibits(folder: Path, rows: list[Row], max_pixels: int) -> list[Exhibit]:
    """The pictures at both ends of each measure, read once more."""
    found = []
    for name, least, most in (
        ("colourfulness", "The least colourful", "The most colourful"),
        ("niqe", "The most natural (NIQE)", "The least natural (NIQE)"),
    ):
        measure = next(one for one in MEASURES if one.name == name)
        known = [row for row in rows if row.values[name] is not None]
        known.sort(key=lambda row: row.values[name] or 0.0)
        ends = [(least, known[:_SHOWN]), (most, known[: -_SHOWN - 1 : -1])] if len(known) > _SHOWN else []
        for title, some in ends:
            panels = [
                (
                    f"{row.name}: {measure.text(row.values[name])}",
                    small(read_picture(folder / row.name, max_pixels=max_pixels, to_srgb=True).rgb, 260),
                )
                for row in some
            ]
            found.append(Exhibit(title, tuple(panels)))
    return found
