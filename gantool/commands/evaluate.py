"""``gantool eval``: figures and reports of results."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gantool.commands.options import (
    DEVICE,
    MAX_PIXELS,
    OVERWRITE,
    RECURSIVE,
    Output,
    examples,
    option,
    panels,
)
from gantool.console import Console
from gantool.errors import GantoolError, OutputError, UsageError

if TYPE_CHECKING:
    from gantool.evaluation import Evaluation

EXAMPLES = examples(
    "gantool eval pair results/ originals/ --report report.html",
    "gantool eval set results/",
    "gantool eval video color.mp4 --source film.mp4",
)

app = typer.Typer(
    help="Measure results: against originals, as a set, or a film against its source.\n\n"
    "Figures go to standard output as a table, or with --json as one object; --report writes an HTML file "
    "with pictures and plots.",
    epilog=EXAMPLES,
)

Report = Annotated[
    Path | None,
    option("Output", "--report", metavar="FILE", help="Write an HTML report, all in one file."),
]
Overwrite = Annotated[bool, OVERWRITE]
Recursive = Annotated[bool, RECURSIVE]
MaxPixels = Annotated[int, MAX_PIXELS]
Device = Annotated[str, DEVICE]


def _path(name: str, help: str) -> Any:
    return typer.Argument(metavar=name, help=help, show_default=False, rich_help_panel="Files")


@app.command(
    epilog=examples(
        "gantool eval pair result.png original.png",
        "gantool eval pair results/ originals/ --on y --crop 4",
        "gantool eval pair results/ originals/ --report report.html",
        "gantool eval pair color.mp4 film.mp4 --json",
    )
)
@panels
def pair(
    ctx: typer.Context,
    *,
    result: Annotated[Path, _path("RESULT", "A picture, a film, or a folder of pictures.")],
    truth: Annotated[
        Path, _path("ORIGINAL", "What it should look like; in a folder, matched by names without suffix.")
    ],
    recursive: Recursive = False,
    overwrite: Overwrite = False,
    on: Annotated[
        Literal["rgb", "y"],
        option("Quality", "--on", metavar="rgb|y", help="PSNR, SSIM and MS-SSIM of the colours, or of luma."),
    ] = "rgb",
    crop: Annotated[
        int,
        option("Quality", "--crop", metavar="PX", min=0, help="Leave out so many pixels at each side."),
    ] = 0,
    max_pixels: MaxPixels = 100_000_000,
    device: Device = "auto",
    report: Report = None,
    output: Output,
) -> None:
    """Measure pictures or films against others of the same size: PSNR, SSIM, MS-SSIM, percept, CIEDE2000.

    Also LPIPS, where torch has downloaded a backbone for it before. Papers on super-resolution measure with
    --on y --crop SCALE.
    """
    from gantool.evaluation.sources import pairs_of

    def measure(console: Console) -> Evaluation:
        subject = pairs_of(result, truth, recursive)
        if subject.unmatched:
            console.info(f"{truth} has {subject.unmatched} more without a counterpart, which are left out")
        from gantool import devices
        from gantool.evaluation.pairs import PairMeter, evaluate_pairs

        meter = PairMeter(on, crop, devices.pick_device(device))
        unit = "frame" if subject.kind == "video" else "picture"
        with console.task("measure", len(subject.pairs) if unit == "picture" else None, unit) as progress:
            return evaluate_pairs(
                result, truth, subject, meter, max_pixels=max_pixels, progress=progress, check=console.check
            )

    _run(ctx.obj, output, report, overwrite, measure)


@app.command(
    "set",
    epilog=examples(
        "gantool eval set results/",
        "gantool eval set results/ originals/ --report report.html",
    ),
)
@panels
def picture_set(
    ctx: typer.Context,
    *,
    folder: Annotated[Path, _path("FOLDER", "Pictures.")],
    reference: Annotated[
        Path | None, _path("[REFERENCE]", "Pictures that they should be like, not one by one.")
    ] = None,
    recursive: Recursive = False,
    overwrite: Overwrite = False,
    inception: Annotated[
        Path | None,
        option(
            "Model",
            "--inception",
            metavar="FILE",
            help="Weights of Inception v3, for FID, KID and Inception score: pytorch-fid's or torchvision's.",
        ),
    ] = None,
    max_pixels: MaxPixels = 100_000_000,
    device: Device = "auto",
    report: Report = None,
    output: Output,
) -> None:
    """Measure a folder of pictures: colourfulness, NIQE, with --inception FID, KID and Inception score."""
    from gantool.evaluation.sources import pictures_in

    def measure(console: Console) -> Evaluation:
        pictures = pictures_in(folder, recursive)
        others = None if reference is None else (reference, pictures_in(reference, recursive))
        from gantool import devices
        from gantool.evaluation.distributions import FeatureNet
        from gantool.evaluation.sets import evaluate_set

        net = None if inception is None else FeatureNet(inception, devices.pick_device(device))
        total = len(pictures) + (0 if others is None else len(others[1]))
        with console.task("measure", total, "picture") as progress:
            return evaluate_set(
                folder, pictures, others, net, max_pixels=max_pixels, progress=progress, check=console.check
            )

    _run(ctx.obj, output, report, overwrite, measure)


@app.command(
    epilog=examples(
        "gantool eval video color.mp4 --source film.mp4",
        "gantool eval video color.mp4 --source film.mp4 --report report.html",
        "gantool eval video color.mp4 --source film.mp4 --judge farneback --duration 10",
    )
)
@panels
def video(
    ctx: typer.Context,
    *,
    result: Annotated[Path, _path("FILM", "What was made.")],
    source: Annotated[
        Path | None, option("Files", "--source", metavar="FILM", help="The film that it was made from.")
    ] = None,
    overwrite: Overwrite = False,
    judge: Annotated[
        Literal["dis", "farneback"],
        option(
            "Video",
            "--judge",
            metavar="dis|farneback",
            help="Optical flow to measure with; take the one that the film was not made with.",
        ),
    ] = "dis",
    duration: Annotated[
        str | None, option("Video", "--duration", metavar="TIME", help="Do no more than this.")
    ] = None,
    report: Report = None,
    output: Output,
) -> None:
    """Measure a film against its source: steadiness, sharpness, lightness, colour, frames, sound."""
    from gantool.commands.options import seconds

    if source is None:
        raise UsageError("no source", remedy="Name the film that it was made from with --source")
    length = seconds(duration, "--duration")
    if length == 0:
        raise UsageError("--duration 0 leaves no frame", remedy="Give a longer one")

    def measure(console: Console) -> Evaluation:
        from gantool.evaluation.films import evaluate_film

        with console.task("measure") as progress:
            return evaluate_film(
                result, source, judge=judge, duration=length, progress=progress, check=console.check
            )

    _run(ctx.obj, output, report, overwrite, measure)


def _run(
    console: Console,
    said: Output,
    report: Path | None,
    overwrite: bool,
    measure: Callable[[Console], Evaluation],
) -> None:
    """Measure, print, write the report, and raise what the evaluation found to be wrong as a whole."""
    console.configure(quiet=said.quiet, verbose=said.verbose, progress=said.progress, json=said.json)
    if report is not None:
        _check_report(report, overwrite)
    try:
        found = measure(console)
    except GantoolError:
        raise
    except Exception as error:
        from gantool.commands.session import as_expected

        known = as_expected(error)
        if known is None:
            raise
        raise known from error
    if report is not None:
        _write(report, overwrite, found)
    if console.json:
        console.result("", found.to_json() | {"report": None if report is None else str(report)})
    else:
        console.print(_table(console, found))
        if report is not None:
            console.print(f"\n{report}")
    if found.error is not None:
        raise found.error


def _check_report(report: Path, overwrite: bool) -> None:
    """Refuse before hours of measuring what could not be written after them."""
    if report.is_dir():
        raise OutputError("the report is a folder", report, "Name a file, such as report.html")
    if not report.parent.is_dir():
        raise OutputError("there is no such folder", report.parent, "Make it first")
    if report.exists() and not overwrite:
        raise OutputError("the output exists", report, "Use --overwrite to replace it")


def _write(report: Path, overwrite: bool, found: Evaluation) -> None:
    from gantool.evaluation.report import html
    from gantool.media.files import atomic

    with atomic(report, overwrite=overwrite) as temporary:
        temporary.write_text(html(found), encoding="utf-8")


def _table(console: Console, found: Evaluation) -> str:
    from gantool.console import colored
    from gantool.evaluation.table import text

    width = max(80, shutil.get_terminal_size().columns) if console.out.isatty() else None
    return text(found, width=width, colors=width is not None and colored(console.out))
