"""From what the user named to a list of jobs: which file becomes which.

Everything that can be refused before any work is refused here: missing inputs, outputs that exist, two
inputs for one output, folders that cannot be written. Nothing is created or changed. Standard library only.
"""

from __future__ import annotations

import os
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gantool import numbered
from gantool.errors import OutputError, UsageError
from gantool.sniff import IMAGE_SUFFIXES, Kind, kind_of_suffix
from gantool.sources import Source, collect, is_template, listed, own_name, real_path

IMAGE_OUTPUTS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".avif")
VIDEO_OUTPUTS = (".mp4", ".mov", ".mkv", ".webm", ".m4v", ".gif")
TEMPLATE_FIELDS = ("dir", "rel", "name", "stem", "task", "ext")
_NAME_BYTES_MAX = 255


@dataclass(frozen=True)
class Job:
    """One input and its output. ``source`` None is standard input, ``target`` None standard output.

    A video's source and target may be patterns for numbered pictures (``frames/%05d.png``).
    """

    source: Path | None
    target: Path | None
    kind: Kind


@dataclass(frozen=True)
class Plan:
    """What will be done, in order, and which outputs stay as they are (``--skip-existing``)."""

    jobs: tuple[Job, ...]
    skipped: tuple[Path, ...] = ()


SuffixFor = Callable[[Kind, str], str]


def output_suffix(kind: Kind, suffix: str) -> str:
    """The default output suffix: the input's own where gantool writes it, else one that loses nothing.

    A video with an image's suffix stands for numbered pictures.
    """
    suffix = suffix.lower()
    if kind == "image" or suffix in IMAGE_SUFFIXES:
        return suffix if suffix in IMAGE_OUTPUTS else ".png"
    if suffix in VIDEO_OUTPUTS:
        return suffix
    return ".mkv" if suffix else ".mp4"


def make_plan(
    inputs: Sequence[str | os.PathLike[str]],
    *,
    task: str,
    output: str | None,
    recursive: bool = False,
    from_file: Path | None = None,
    overwrite: bool = False,
    skip_existing: bool = False,
    suffix_for: SuffixFor | None = None,
    keep_names: bool = False,
    stdin_kind: Kind = "image",
    films_to_stdout: bool = False,
    left_over: Callable[[Path], bool] | None = None,
) -> Plan:
    """Resolve inputs and outputs into jobs.

    Args:
        inputs: files, folders, patterns for numbered pictures, or ``-`` for standard input.
        task: the command's word; stands in default output names and in ``{task}``.
        output: ``-o``: a file, a folder, ``-`` for standard output, None for beside the input, or a template
            with ``{dir} {rel} {name} {stem} {task} {ext}``.
        recursive: go into the folders of folders.
        from_file: a list of further inputs, one per line (or NUL-separated).
        overwrite: existing outputs may be replaced.
        skip_existing: inputs whose output exists are left out.
        suffix_for: (kind, input suffix) -> output suffix; :func:`output_suffix` by default.
        keep_names: in a folder, outputs are named as their inputs, without the task's word.
        stdin_kind: what standard input holds.
        films_to_stdout: whether a video may go to standard output.
        left_over: says of an output that exists whether the work on it is to be ended all the same.

    Raises:
        UsageError: contradictory request, or two inputs for one output.
        InputError: an input is missing or of unknown kind, or a folder holds no media.
        OutputError: an output exists, equals an input, or cannot be written.
    """
    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing contradict each other", remedy="Give one of them")
    named = [os.fspath(name) for name in inputs] + (listed(from_file) if from_file else [])
    if not named:
        raise UsageError("no input", from_file, "Name files or folders, or - for standard input")
    sources, from_folder = collect(named, task, recursive, output, stdin_kind)
    suffix_for = suffix_for or output_suffix
    one = len(sources) == 1 and not from_folder
    mark = "" if keep_names else f".{task}"
    jobs = [Job(s.path, _target(s, task, output, one, suffix_for, mark), s.kind) for s in sources]
    if not films_to_stdout and any(job.target is None and job.kind == "video" for job in jobs):
        raise UsageError("only one image can go to standard output", remedy="Give -o a file or a folder")
    jobs = _without_repeats(jobs, task)
    _check_collisions(jobs)
    skipped: list[Path] = []
    left_over = left_over or (lambda target: False)
    if skip_existing:
        targets = [job.target for job in jobs if job.target is not None]
        skipped = [target for target in targets if _is_there(target) and not left_over(target)]
        jobs = [job for job in jobs if job.target not in skipped]
    _check_targets(jobs, overwrite, left_over)
    return Plan(tuple(jobs), tuple(skipped))


def _target(
    source: Source, task: str, output: str | None, one: bool, suffix_for: SuffixFor, mark: str
) -> Path | None:
    """Where the result of one source goes; ``mark`` stands behind the names of files in a folder."""
    if output is None or output == "-":
        if output == "-" and not one:
            raise UsageError("only one result can go to standard output", remedy="Give -o a file or a folder")
        if output == "-" or source.path is None:
            return None
    stem = "stdin" if source.path is None else source.path.stem
    folder = Path() if source.path is None else source.path.parent
    extension = suffix_for(source.kind, "" if source.path is None else source.path.suffix)
    if source.kind == "video" and source.path is not None and numbered.is_numbered(source.path):
        named = extension if output is None or not Path(output).suffix else Path(output).suffix
        if named.lower() not in IMAGE_OUTPUTS:  # one file of all pictures
            stem = numbered.plain_stem(source.path)
    if output is None:
        return folder / f"{stem}.{task}{extension}"
    if is_template(output):
        name = stem if source.path is None else source.path.name
        fields = {
            "dir": folder,
            "rel": source.rel,
            "name": name,
            "stem": stem,
            "task": task,
            "ext": extension,
        }
        target = Path(_fill(output, **fields))
    elif one and not _means_folder(output):
        target = Path(output)
    else:
        if not _means_folder(output):
            raise UsageError("several inputs need a folder for -o", output, "End it with / or use a template")
        target = Path(output) / source.rel / f"{stem}{mark}{extension}"
    _check_suffix(target, source.kind, suffix_for)
    return target


def _means_folder(output: str) -> bool:
    """An existing folder, a name that ends with a slash, or a new name without a suffix (so no format)."""
    path = Path(output)
    if output.endswith(("/", os.sep)) or _is(path, Path.is_dir):
        return True
    return not path.suffix and not _is(path, Path.exists)


def _is(path: Path, question: Callable[[Path], bool]) -> bool:
    """Ask ``Path.is_dir`` and its kin; where the system does not allow the question, the answer is no."""
    try:
        return question(path)
    except OSError:
        return False


def _is_there(target: Path) -> bool:
    """Whether a target is a file, or pictures of a pattern."""
    if numbered.is_numbered(target):
        return _is(target.parent, Path.is_dir) and bool(numbered.numbers(target))
    return _is(target, Path.is_file)


def _fill(template: str, **fields: object) -> str:
    names = ", ".join(f"{{{field}}}" for field in TEMPLATE_FIELDS)
    try:
        used = {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}
        if not used <= fields.keys():
            raise ValueError
        return template.format_map(fields)
    except ValueError:
        raise UsageError("the template for -o is not understood", template, f"It may use {names}") from None


def _check_suffix(target: Path, kind: Kind, suffix_for: SuffixFor) -> None:
    preview = kind == "video" and kind_of_suffix(Path("x" + suffix_for(kind, ".mp4"))) == "image"
    known = IMAGE_OUTPUTS if kind == "image" or preview else VIDEO_OUTPUTS
    suffix = target.suffix.lower()
    if suffix in known or (suffix in IMAGE_OUTPUTS and numbered.is_numbered(target)):
        return
    if kind == "video" and suffix in IMAGE_OUTPUTS:
        remedy = "Use --preview for a sheet of frames, or number them: %05d.png"
        raise UsageError("a video cannot become one image", target, remedy)
    what = "an image" if known is IMAGE_OUTPUTS else "a video"
    shown = target.suffix or "no suffix"
    raise OutputError(f"cannot write {what} as {shown}", target, f"Use {', '.join(known)}")


def _without_repeats(jobs: list[Job], task: str) -> list[Job]:
    """Leave out what is there twice: an input named as a file and through its folder (the first mention
    holds) and, on a second run with ``*.png``, the outputs of the first run."""
    own = own_name(task)
    targets = {real_path(job.target) for job in jobs if job.target is not None}
    seen: set[str] = set()
    kept = []
    for job in jobs:
        source = real_path(job.source) if job.source else "-"
        if source in seen or (source in targets and own.search(source)):
            continue
        seen.add(source)
        kept.append(job)
    return kept


def _check_collisions(jobs: list[Job]) -> None:
    sources = {real_path(job.source): job.source for job in jobs if job.source is not None}
    taken: dict[str, Job] = {}
    for job in jobs:
        if job.target is None:
            continue
        real = real_path(job.target)
        if real in sources or _same_file(job):
            raise OutputError("the output is also an input", job.target, "Give another -o")
        if real in taken:
            other = taken[real].source
            raise UsageError(
                f"two inputs for one output: {other} and {job.source}",
                job.target,
                f"Use a template such as -o '{_apart(job, other)}'",
            )
        taken[real] = job


def _apart(job: Job, other: Path | None) -> str:
    """A template that keeps two inputs apart: by their suffixes, or by their folders."""
    folder = "." if job.target is None else job.target.parent
    alike = job.source is not None and other is not None and job.source.name == other.name
    return f"{folder}/{{dir}}/{{stem}}.{{task}}{{ext}}" if alike else f"{folder}/{{name}}.{{task}}{{ext}}"


def _same_file(job: Job) -> bool:
    """Hard links are one file under two names."""
    if job.source is None or job.target is None:
        return False
    try:
        return job.source.samefile(job.target)
    except OSError:
        return False


def _check_targets(jobs: list[Job], overwrite: bool, left_over: Callable[[Path], bool]) -> None:
    targets = [job.target for job in jobs if job.target is not None]
    for target in targets:
        if _is(target, Path.is_dir):
            raise OutputError("the output is a folder", target, "End -o with / to write into it")
        if len(os.fsencode(target.name)) > _NAME_BYTES_MAX:
            raise OutputError("the output's name is too long", target, "Give a shorter one with -o")
        _check_folder(target)
    existing = [target for target in targets if _is_there(target) or os.path.lexists(target)]
    existing = [target for target in existing if not left_over(target)]
    if existing and not overwrite:
        what = (
            "the output exists" if len(existing) == 1 else f"{len(existing)} outputs exist, the first is this"
        )
        raise OutputError(what, existing[0], "Use --overwrite to replace or --skip-existing to keep")


def _check_folder(target: Path) -> None:
    """The nearest folder that exists must let us write; missing ones are made when the output is written."""
    folder = Path(real_path(target)).parent
    while not _is(folder, Path.exists) and folder != folder.parent:
        folder = folder.parent
    if not _is(folder, Path.is_dir):
        raise OutputError("not a folder", folder, "Give another -o")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError("the folder cannot be written", folder, "Give another -o or change its permissions")
