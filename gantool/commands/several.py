"""A picture of which several come, one for each face: what steps make of it, and where the results go."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantool.errors import OutputError, UsageError

if TYPE_CHECKING:
    from gantool.engine import Work
    from gantool.media.image import Picture
    from gantool.media.provenance import Provenance

Record = dict[str, Any]


def through(
    steps: Sequence[Work], picture: Picture, warn: Callable[[str], None]
) -> tuple[list[Picture], Record]:
    """What steps make of a picture, and what there is to tell of faces, under "faces".

    Raises GantoolError as the steps do.
    """
    from gantool import engine
    from gantool.facestep import FaceStep

    pictures: list[Picture] = [picture]
    facts: Record = {}
    for step in steps:
        if isinstance(step, engine.Step):
            pictures = [engine.run_picture(one, step.pipeline, strength=step.strength) for one in pictures]
        elif isinstance(step, FaceStep):
            found = [step.run_picture(one) for one in pictures]
            pictures = [view for one in found for view in one.pictures]
            facts = {"faces": [record for one in found for record in one.records]}
            for remark in [remark for one in found for remark in one.remarks]:
                warn(remark)
    return pictures, facts


def drops_alpha(step: Work) -> bool:
    """Whether what the step makes is opaque, whatever the picture was: a face by itself."""
    from gantool.facestep import FaceStep

    return isinstance(step, FaceStep) and not step.paste


def places(target: Path | None, count: int, taken: set[str]) -> list[Path]:
    """Where so many results go: ``a.png``, ``a.2.png``, ...; none for standard output.

    Args:
        taken: results of this run so far, as text; these are added.

    Raises:
        UsageError: several for standard output.
        OutputError: another input's result has one of the names.
    """
    if target is None:
        if count > 1:
            what = f"{count} faces cannot go to standard output"
            raise UsageError(what, remedy="Give -o a file, or choose one with --faces")
        return []
    later = [target.with_name(f"{target.stem}.{n}{target.suffix}") for n in range(2, count + 1)]
    for place in (target, *later):
        if str(place) in taken:
            raise OutputError("another input's result has this name", place, "Give another -o")
        taken.add(str(place))
    return [target, *later]


def write(
    targets: Sequence[Path],
    pictures: Sequence[Picture],
    *,
    overwrite: bool,
    quality: int,
    provenance: Provenance | None,
) -> None:
    """Write each picture to its file, all or none. Raises OutputError."""
    from gantool.media import files, image

    with contextlib.ExitStack() as stack:
        temporary = [stack.enter_context(files.atomic(one, overwrite=overwrite)) for one in targets]
        for place, picture in zip(temporary, pictures, strict=True):
            image.write_picture(place, picture, quality=quality, provenance=provenance)


def told(targets: Sequence[Path], facts: Record) -> Record:
    """``facts`` with the paths of several results under "outputs", and each face's own with it."""
    outputs = [str(target) for target in targets] or ["-"]
    faces = facts.get("faces", ())
    if len(faces) == len(outputs):
        facts = {"faces": [face | {"output": path} for face, path in zip(faces, outputs, strict=True)]}
    return facts | ({"outputs": outputs} if len(outputs) > 1 else {})
