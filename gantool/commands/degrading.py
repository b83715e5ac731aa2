"""What ``gantool degrade`` does with its inputs: pictures, films, targets and the preview."""

from __future__ import annotations

from pathlib import Path

from gantool.commands import comparing
from gantool.commands.batch import carry_out, check_plan
from gantool.commands.degrader import TASK, Degrader, Record, Request
from gantool.commands.options import Video
from gantool.console import Console
from gantool.errors import GantoolError, InputError, UsageError
from gantool.plan import IMAGE_OUTPUTS, Job, Plan, make_plan, output_suffix
from gantool.sniff import Kind

_PREVIEW_PHOTOS = 6


def run(request: Request, console: Console) -> None:
    """Plan, and carry the plan out (or print it, with ``--dry-run``).

    Raises:
        GantoolError: the plan is refused, the recipe has no such parameter, or the only input failed.
        PartialError: some of several inputs failed. The others are done.
        Stopped: a signal came; what was finished stays.
    """
    plan = _plan(request)
    check_plan(plan, console)
    comparing.check(plan.jobs, request.files, preview=request.preview)
    targets = _targets(request, plan)
    sheet = _sheet_job(request, plan) if request.preview else None
    console.check()

    from gantool.degrade import recipe

    parameters = dict(request.settings)
    if request.scale is not None:
        parameters["scale"] = str(request.scale)
    degrader = Degrader(request, recipe(request.recipe, **parameters), targets, console)
    jobs = (sheet,) if sheet else plan.jobs
    if request.files.dry_run:
        for job in jobs:
            source, target = str(job.source or "-"), str(job.target or "-")
            also = {} if sheet else comparing.planned(job, request.files)
            words = f" and {also['compare']}" if also else ""
            record = {**degrader.record(job), "kind": job.kind, **also}
            console.result(f"{source} -> {target}{words}", record)
        return
    if not jobs:
        return
    degrader.find_noise(plan.jobs)
    if sheet:
        console.result(str(sheet.target), _preview(sheet, plan.jobs, degrader, console))
        return
    work = comparing.comparing(
        degrader.run,
        request.files,
        console,
        video=Video(),
        quality=request.quality,
        max_pixels=request.max_pixels,
        metadata=request.metadata,
    )
    carry_out(plan, work, console, task=TASK, fail_fast=request.files.fail_fast)


# ---- plan


def _plan(request: Request) -> Plan:
    files = request.files
    plan = make_plan(
        files.inputs or (),
        task=TASK,
        # A preview writes no results, so nothing of theirs can be in its way.
        output=None if request.preview else files.output,
        recursive=files.recursive,
        from_file=files.from_file,
        overwrite=files.overwrite or request.preview,
        skip_existing=files.skip_existing and not request.preview,
        suffix_for=_suffix,
        keep_names=True,
    )
    if request.targets is None:
        return plan
    # A targets folder inside the input folder holds results of an earlier run, not photos.
    folder = request.targets.resolve()
    jobs = [job for job in plan.jobs if job.source is None or folder not in job.source.resolve().parents]
    if not jobs and plan.jobs:
        raise UsageError("the inputs lie in the --targets folder", request.targets, "Give another folder")
    return Plan(tuple(jobs), plan.skipped)


def _suffix(kind: Kind, suffix: str) -> str:
    """Pictures become PNG: what a recipe has made is not to be compressed once more."""
    return ".png" if kind == "image" else output_suffix(kind, suffix)


def _targets(request: Request, plan: Plan) -> dict[Path | None, Path]:
    """Where the target of each source goes.

    Raises UsageError and OutputError as the plan does.
    """
    if request.targets is None or request.preview:
        return {}
    files = request.files
    if "{" in str(request.targets):
        raise UsageError("--targets is a folder, not a template", request.targets, "Give a folder's name")
    second = make_plan(
        files.inputs or (),
        task=TASK,
        output=f"{request.targets}/",
        recursive=files.recursive,
        from_file=files.from_file,
        # With --skip-existing a target may be there without its result: it is whole, and stays.
        overwrite=files.overwrite or files.skip_existing,
        suffix_for=_suffix,
        keep_names=True,
    )
    wanted = {job.source for job in plan.jobs}
    found = {job.source: job.target for job in second.jobs if job.source in wanted and job.target}
    if {str(path) for path in found.values()} & {str(job.target) for job in plan.jobs}:
        raise UsageError("results and targets would have the same names", request.targets, "Give another -o")
    return found


def _sheet_job(request: Request, plan: Plan) -> Job:
    """Where the preview goes: to ``-o``, or beside the first input."""
    files, first = request.files, plan.jobs[0].source
    output = files.output
    if output == "-" or (output and "{" in output):
        raise UsageError("--preview writes one sheet", output, "Give -o a file or a folder, or leave it out")
    named = Path(files.inputs[0]) if files.inputs else Path(first or "stdin")
    name = f"{named.absolute().name if named.is_dir() else named.stem}.{TASK}.preview.png"
    if output is None:
        target = named.absolute().parent / name if named.is_dir() else named.parent / name
    elif Path(output).suffix.lower() in IMAGE_OUTPUTS and not Path(output).is_dir():
        target = Path(output)
    else:
        target = Path(output) / name
    made = make_plan(
        ["-" if first is None else first],
        task=TASK,
        output=_literal(target),
        overwrite=files.overwrite,
        suffix_for=lambda kind, suffix: ".preview.png",
    )
    return made.jobs[0]


def _literal(path: Path) -> str:
    """A path as ``-o``, whose braces are none of a template's."""
    return str(path).replace("{", "{{").replace("}", "}}") if "{" in str(path) else str(path)


def _preview(sheet: Job, jobs: tuple[Job, ...], degrader: Degrader, console: Console) -> Record:
    """Write a sheet of some inputs, evenly chosen, above what three seeds make of them.

    Raises InputError when none of them can be read.
    """
    from gantool.degrade.sheet import contact_sheet
    from gantool.media.image import Picture

    count = min(len(jobs), _PREVIEW_PHOTOS)
    chosen = [jobs[(2 * number + 1) * len(jobs) // (2 * count)] for number in range(count)]
    columns = []
    with console.task("preview", count, unit="image") as progress:
        for job in chosen:
            console.check()
            try:
                columns.append(degrader.column(job))
            except GantoolError as error:
                if count == 1:
                    raise
                console.warn(str(error))
            progress.advance()
    if not columns:
        raise InputError("none of the inputs can be shown", None, "Try them without --preview")
    picture = Picture(contact_sheet(columns))
    degrader.write(picture, sheet.target)
    return {**degrader.record(sheet), "kind": "image", "width": picture.width, "height": picture.height}
