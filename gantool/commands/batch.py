"""The inputs of one command, one after the other: plan, run, report, and go on after a failure."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from gantool.commands import comparing, long_film, streams
from gantool.commands.jobs import Runner, probed, try_encoder
from gantool.commands.session import LoadFailed, Request, Session, as_expected
from gantool.console import Console
from gantool.errors import GantoolError, InputError, OutputError, PartialError, Stopped, UsageError
from gantool.numbered import is_numbered
from gantool.plan import Job, Plan, make_plan, output_suffix
from gantool.sniff import Kind, kind_of_suffix

_LISTED_MAX = 20


def run(request: Request, console: Console) -> None:
    """Make the plan and carry it out (or print it, with ``--dry-run``).

    Raises:
        GantoolError: the plan is refused, the model cannot be had, or the only input failed.
        PartialError: some of several inputs failed. The others are done.
        Stopped: a signal came; what was finished stays.
    """
    plan = _plan(request)
    check_plan(plan, console)
    comparing.check(plan.jobs, request.files, preview=request.video.preview)
    long_film.check(plan.jobs, request.video)
    request.check(plan.jobs)
    if not plan.jobs and not request.files.dry_run:
        return
    _try_encoders(plan, request)
    sessions = [Session(step, console) for step in request.steps or (request,)]
    if request.files.dry_run:
        _print_plan(plan, request, sessions, console)
        return
    runner = Runner(request, sessions, console)
    work = comparing.comparing(
        runner.run,
        request.files,
        console,
        video=request.video,
        quality=request.quality.quality,
        max_pixels=request.quality.max_pixels,
        metadata=request.marks.metadata,
    )
    carry_out(plan, work, console, task=request.task, fail_fast=request.files.fail_fast)


def carry_out(
    plan: Plan, work: Callable[[Job], dict[str, Any]], console: Console, *, task: str, fail_fast: bool
) -> None:
    """Do every job of a plan and print its result; go on after a failure (not with ``fail_fast``).

    ``work`` does one job and returns its record; on failure nothing may bear the target's name.

    Raises as :func:`run` does.
    """
    count = len(plan.jobs) + len(plan.skipped)
    failures, tried = _run_all(plan.jobs, work, console, task, fail_fast, several=count > 1)
    if failures and count == 1:
        raise failures[0][1]
    if failures:
        _report(failures, len(plan.jobs) - tried, count, console)


def check_plan(plan: Plan, console: Console) -> None:
    """Say which inputs are left out, and refuse what standard output cannot take."""
    _check_stdout(plan, console)
    for target in plan.skipped:
        console.debug(f"left as it is: {target}")
    if plan.skipped:
        console.info(f"left out {_count(len(plan.skipped), 'input')} whose output exists")


def _plan(request: Request) -> Plan:
    files = request.files

    def suffix_for(kind: Kind, suffix: str) -> str:
        if kind == "video" and request.fuse:
            return ".png"
        preview = kind == "video" and request.video.preview
        return ".preview.png" if preview else output_suffix(kind, suffix)

    return make_plan(
        files.inputs or (),
        task=request.task,
        output=files.output,
        recursive=files.recursive,
        from_file=files.from_file,
        overwrite=files.overwrite,
        skip_existing=files.skip_existing,
        suffix_for=suffix_for,
        left_over=long_film.is_left_over if request.video.continue_ else None,
        stdin_kind=_stdin_kind(request),
        films_to_stdout=True,
    )


def _stdin_kind(request: Request) -> Kind:
    """What is in standard input, if it is an input at all; for a plan alone it is not waited for."""
    files = request.files
    if "-" not in (files.inputs or ()):
        return "image"
    if not files.dry_run:
        return streams.stdin_kind()
    return kind_of_suffix(Path(files.output or "")) or "image"


def _try_encoders(plan: Plan, request: Request) -> None:
    """Raise EncoderError now if a film of this run could not be encoded, whatever its source is like."""
    films = [job for job in plan.jobs if job.kind == "video"]
    if request.video.fps is not None and not any(job.source and is_numbered(job.source) for job in films):
        what = "--fps is for numbered pictures"
        raise UsageError(what, remedy="Leave it out, or name pictures such as frames/%05d.png")
    targets = {Path("-") if job.target is None else job.target for job in films}
    if request.fuse:
        return
    if films and request.video.preview:
        targets = {Path("film.mkv")}
    kinds = {(target.suffix, is_numbered(target)): target for target in targets}
    for target in kinds.values():
        try_encoder(target, request.video)


def _check_stdout(plan: Plan, console: Console) -> None:
    """A picture or film on standard output must not mix with result lines, nor flood a terminal."""
    if all(job.target is not None for job in plan.jobs):
        return
    if console.json:
        raise UsageError("--json and a result cannot share standard output", remedy="Give -o a file")
    if console.out.isatty():
        raise UsageError("standard output is a terminal", remedy="Give -o a file, or redirect it")


def _print_plan(plan: Plan, request: Request, sessions: list[Session], console: Console) -> None:
    from gantool.hub import describe_size

    models = " + ".join(session.model for session in sessions)
    for job in plan.jobs:
        source, target = str(job.source or "-"), str(job.target or "-")
        record = {
            "source": source,
            "output": target,
            "task": request.task,
            "kind": job.kind,
            "model": models,
            "download_bytes": sum(session.to_download for session in sessions),
            **_source_facts(job, request, console),
            **long_film.planned(job, request.video),
            **comparing.planned(job, request.files),
        }
        also = f" from frame {record['continued_from']} on" if "continued_from" in record else ""
        also += f" and {record['compare']}" if "compare" in record else ""
        console.result(f"{source} -> {target}{also}", record)
    if not console.json:
        for path in plan.skipped:
            console.print(f"{path} exists and stays")
        for session in sessions:
            here = session.choice.path is not None and not session.to_download
            size = "nothing" if here else describe_size(session.to_download)
            console.print(f"model {session.model}, {size} to download")


def _source_facts(job: Job, request: Request, console: Console) -> dict[str, str]:
    """What a film is, for its record; said on stderr too, as is why it cannot be read."""
    if job.kind != "video" or job.source is None:
        return {}
    try:
        facts = probed(job.source, request.video).summary()
    except InputError as error:
        console.warn(str(error))
        return {"error": error.what}
    console.info(f"{job.source}: {facts}")
    return {"film": facts}


def _run_all(
    jobs: tuple[Job, ...],
    work: Callable[[Job], dict[str, Any]],
    console: Console,
    task: str,
    fail_fast: bool,
    *,
    several: bool,
) -> tuple[list[tuple[Job, Exception]], int]:
    """The failures, and how many jobs were tried.

    ``several``: there are other inputs, if only such as are left out; then each failure is told by itself.
    """
    failures: list[tuple[Job, Exception]] = []
    tried = 0
    with console.task(task, len(jobs), unit="input") if len(jobs) > 1 else nullcontext() as overall:
        for job in jobs:
            console.check()
            tried += 1
            try:
                record = work(job)
            except Stopped as stopped:
                if len(jobs) > 1:
                    done = tried - 1 - len(failures)
                    rest = f"{done} of {len(jobs)} are done; --skip-existing goes on with the rest"
                    stopped.remedy = f"{stopped.remedy}. {rest}" if stopped.remedy else rest
                raise
            except LoadFailed as error:
                raise error.cause from error
            except Exception as error:
                console.check()  # a stop may have been swallowed and come back as something else
                failure = _failure(error, job)
                failures.append((job, failure))
                if several:
                    _tell(failure, error, console)
                if fail_fast:
                    break
            else:
                if job.target is not None:
                    made = record.get("outputs") or [record.get("output", job.target)]
                    console.result("\n".join(map(str, made)), record)
                    if "compare" in record and not console.json:
                        console.print(record["compare"])
            if overall is not None:
                overall.advance()
    return failures, tried


def _failure(error: Exception, job: Job) -> Exception:
    """What to report of a job: an expected error names a file, the output for what concerns it."""
    known = as_expected(error)
    if known is None:
        return error
    file = job.target if isinstance(known, OutputError) else job.source
    if known.file is None and file is not None:
        known.file = str(file)
    return known


def _tell(failure: Exception, error: Exception, console: Console) -> None:
    if console.verbose:
        console.traceback(error)
    console.error(failure)


def _report(failures: list[tuple[Job, Exception]], untried: int, count: int, console: Console) -> None:
    """List what failed, and end with the batch's own error."""
    for job, error in failures[:_LISTED_MAX]:
        reason = error.what if isinstance(error, GantoolError) else type(error).__name__
        console.warn(f"failed: {job.source}: {reason}")
    if len(failures) > _LISTED_MAX:
        console.warn(f"and {len(failures) - _LISTED_MAX} more")
    what = f"{len(failures)} of {_count(count, 'input')} failed"
    if untried:
        raise PartialError(
            f"{what}, {untried} not tried", remedy="Leave out --fail-fast to go on after a failure"
        )
    raise PartialError(what, remedy="The others are done; --skip-existing tries the failed ones again")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
