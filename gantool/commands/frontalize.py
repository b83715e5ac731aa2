"""``gantool frontalize``."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

import typer

from gantool.commands import comparing
from gantool.commands.options import (
    Batch,
    Files,
    Hardware,
    Marks,
    Model,
    Output,
    Quality,
    Video,
    examples,
    option,
    panels,
)
from gantool.commands.session import Request
from gantool.console import Console
from gantool.errors import UsageError

EXAMPLES = examples(
    "gantool frontalize photo.jpg",
    "gantool frontalize group.jpg --faces all -o faces/",
    "gantool frontalize film.mp4 --fuse -o face.png",
    "gantool frontalize group.jpg --face-box 120,80,200,260 -o front.png",
)

# Each frame has its own face, so nothing is blended over time; and who is shown depends on all frames before.
_NOT_FOR_FACES = ("temporal", "temporal_strength", "flow", "every", "preview", "segment")


@panels(without=_NOT_FOR_FACES)
def command(
    ctx: typer.Context,
    *,
    files: Files,
    model: Model,
    faces: Annotated[
        str,
        option(
            "Quality",
            "--faces",
            metavar="largest|all|N",
            help="Which faces of a picture; 1 is the largest. The second's file gets .2 before its suffix.",
        ),
    ] = "largest",
    face_box: Annotated[
        str | None,
        option(
            "Quality",
            "--face-box",
            metavar="X,Y,W,H",
            help="Where the face is, forehead to chin: left, top, width and height in px. Needs no detector.",
        ),
    ] = None,
    aligned: Annotated[
        bool,
        option(
            "Quality",
            "--aligned",
            help="The picture is an aligned crop of a face already. Needs no detector.",
        ),
    ] = False,
    paste: Annotated[
        bool,
        option(
            "Quality",
            "--paste",
            help="Put faces that are turned by less than 30 degrees back, and give the whole picture.",
        ),
    ] = False,
    side: Annotated[
        Literal["128", "256", "512", "1024"] | None,
        option(
            "Quality",
            "--side",
            metavar="128|256|512|1024",
            help="Px of a front view, made of the picture's own pixels; for the built-in net. [128]",
        ),
    ] = None,
    scale: Annotated[
        float | None,
        option(
            "Quality",
            "--scale",
            metavar="X",
            min=0.1,
            max=32.0,
            help="Enlarge what comes out, as `gantool upscale` does.",
        ),
    ] = None,
    quality: Quality,
    video: Video,
    fuse: Annotated[
        bool,
        option("Video", "--fuse", help="Make one still picture of all frames of a film, not a film."),
    ] = False,
    hardware: Hardware,
    marks: Marks,
    output: Output,
) -> Request:
    """Show a turned face from the front: an aligned crop for each face, or a film of one.

    What a net shows of a face's hidden side is invented detail, not evidence of how somebody looks, and no
    means to identify anybody. Use pictures of people who agreed to it.

    In a film the face is followed from frame to frame: the largest one of a scene, until it is gone. Where it
    is not found the last view stands, so that no frame is lost; how many there were is told at the end.
    """
    from gantool.faces import box_of, which_of

    console: Console = ctx.obj
    console.configure(quiet=output.quiet, verbose=output.verbose, progress=output.progress, json=output.json)
    _check(files, faces=faces, face_box=face_box, aligned=aligned, paste=paste, fuse=fuse, side=side)
    detects = face_box is None and not aligned
    which, box = which_of(faces), None if face_box is None else box_of(face_box)

    def build(net: Any, row: Any, *, device: Any, dtype: Any, warn: Any) -> Any:
        from gantool.facestep import FaceStep
        from gantool.pipelines.frontalize import Frontalizer

        return FaceStep(
            Frontalizer(net, row, device=device, dtype=dtype),
            _detector(console) if detects else None,
            which=which,
            box=box,
            paste=paste,
            strength=quality.strength,
            side=int(side or 0),
        )

    request = Request(
        "frontalize",
        files,
        model,
        quality,
        video,
        hardware,
        Batch(),
        marks,
        build,
        temporal="off",
        to_srgb=True,
        needs=("yunet",) if detects else (),
        fuse=fuse,
    )
    if scale is None:
        return request
    return dataclasses.replace(request, steps=(request, _enlarging(request, scale)))


def _check(
    files: Files,
    *,
    faces: str,
    face_box: str | None,
    aligned: bool,
    paste: bool,
    fuse: bool,
    side: str | None,
) -> None:
    """Refuse what contradicts itself. Raises UsageError."""
    either = "Give one or the other"
    if face_box is not None and aligned:
        raise UsageError("--face-box contradicts --aligned", remedy=either)
    if faces != "largest" and (face_box is not None or aligned):
        given = "--aligned" if aligned else "--face-box"
        raise UsageError(f"--faces contradicts {given}, which is one face", remedy=either)
    if paste and fuse:
        raise UsageError("--fuse contradicts --paste", remedy=either)
    if paste and side:
        what = "--side contradicts --paste, where a view has the px of the face that it covers"
        raise UsageError(what, remedy=either)
    if not paste:
        comparing.refuse_crops(files)


def _detector(console: Console) -> Any:
    """The face detector. Raises WeightsError, which names what works without it."""
    from gantool import faces, hub
    from gantool.catalog import load_catalog

    row = load_catalog().get("yunet")
    if hub.cached(row) is None:
        console.info(
            f"fetching {row.name}, which finds faces ({hub.describe_size(row.bytes)}, {row.licence})"
        )
    return faces.load()


def _enlarging(request: Request, scale: float) -> Request:
    """``gantool upscale --scale`` as a second step."""

    def build(net: Any, row: Any, *, device: Any, dtype: Any, warn: Any) -> Any:
        from gantool.pipelines import upscale

        return upscale.build(net, row, device=device, dtype=dtype, scale=scale, warn=warn)

    return Request(
        "upscale",
        request.files,
        Model(accept_license=request.model.accept_license),
        Quality(),
        request.video,
        request.hardware,
        Batch(),
        request.marks,
        build,
        scale=scale,
        temporal="off",
        batch_size=1,
    )
