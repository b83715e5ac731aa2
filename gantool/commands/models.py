"""``gantool models``: what there is, what is here, and how to get the rest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from gantool.commands.options import ACCEPT_LICENSE, Output, examples, panels
from gantool.errors import GantoolError, PartialError, Stopped, UsageError

EXAMPLES = examples(
    "gantool models",
    "gantool models --task upscale --json",
    "gantool models show realesr-general-x4v3",
    "gantool models verify",
)

app = typer.Typer(
    help="List models, fetch them, check and remove them.\n\nWithout a command: list.", epilog=EXAMPLES
)

Task = Annotated[
    str | None,
    typer.Option("--task", metavar="TASK", help="Only models of one task.", rich_help_panel="Model"),
]
_NAME_HELP = "A name of `gantool models`, or hf:owner/repo/file."
Name = typer.Argument(metavar="NAME", help=_NAME_HELP, show_default=False, rich_help_panel="Model")
Names = typer.Argument(metavar="NAME...", help=_NAME_HELP, show_default=False, rich_help_panel="Model")
AnyNames = typer.Argument(metavar="[NAME]...", help=_NAME_HELP, show_default=False, rich_help_panel="Model")


@app.callback(invoke_without_command=True)
@panels
def models(ctx: typer.Context, task: Task = None, said: Output = Output()) -> None:
    """List models, fetch them, check and remove them.

    Without a command: list.
    """
    _listen(ctx, said)
    if ctx.invoked_subcommand is None:
        _list(ctx.obj, task)


@app.command(
    "list",
    epilog=examples(
        "gantool models list", "gantool models list --task colorize", "gantool models list --json"
    ),
)
@panels
def list_models(ctx: typer.Context, task: Task = None, said: Output = Output()) -> None:
    """List the models and where they are: built-in, cached or not here."""
    _listen(ctx, said)
    _list(ctx.obj, task)


@app.command(
    epilog=examples(
        "gantool models show realesr-general-x4v3", "gantool models show realesr-animevideov3 --json"
    )
)
@panels
def show(ctx: typer.Context, name: Annotated[str, Name], said: Output = Output()) -> None:
    """Show a model: what it is for, where it is, its licence, origin and hash. --json shows every field."""
    from gantool import selection
    from gantool.catalog import load_catalog
    from gantool.commands.models_table import details

    _listen(ctx, said)
    row = selection.named(name, load_catalog())
    record = _record(row)
    width = _width(ctx.obj)
    ctx.obj.result(details(record, width), record)
    if width is not None and not ctx.obj.json:
        _say_how(ctx.obj, row)


@app.command(
    epilog=examples(
        "gantool models pull realesr-general-x4v3", "gantool models pull hf:owner/repo/model.safetensors"
    )
)
@panels
def pull(
    ctx: typer.Context,
    names: Annotated[list[str], Names],
    accept_license: Annotated[bool, ACCEPT_LICENSE] = False,
    update: Annotated[
        bool,
        typer.Option(
            "--update",
            help="Accept that a file has changed since its first download.",
            rich_help_panel="Model",
        ),
    ] = False,
    said: Output = Output(),
) -> None:
    """Download models now, so that later runs find them, offline too.

    Prints the path of each file. A download that was cut off goes on; a file that is here is checked. Where
    the catalog does not know a file's hash, the one of the first download counts from then on.
    """
    from gantool import selection
    from gantool.catalog import load_catalog

    _listen(ctx, said)
    catalog = load_catalog()
    rows = [selection.named(name, catalog) for name in names]
    rows += [catalog.get(need) for row in rows for need in row.needs]

    def get(row: Any) -> None:
        path = _pull(ctx.obj, row, accept_license=accept_license, update=update)
        if not row.commercial and row.licence == "unknown" and row.source != "builtin":
            ctx.obj.warn(f"{row.name}: nothing is known of its licence; look it up before you use it")
        if update and row.sha256:
            ctx.obj.info(f"{row.name} is pinned by the catalog: --update changes nothing")
        ctx.obj.result(str(path), _record(row))

    _each(ctx.obj, list(dict.fromkeys(rows)), get)


@app.command(epilog=examples("gantool models verify", "gantool models verify realesr-general-x4v3"))
@panels
def verify(
    ctx: typer.Context,
    names: Annotated[list[str] | None, AnyNames] = None,
    fetch: Annotated[
        bool, typer.Option("--pull", help="Download what is not here.", rich_help_panel="Model")
    ] = False,
    accept_license: Annotated[bool, ACCEPT_LICENSE] = False,
    said: Output = Output(),
) -> None:
    """Check models (all of them, or those named): size, hash, and whether the tensors fit the architecture.

    One line each: ok, not here, or bad and what is wrong. Uses no network without --pull. A model that is not
    here is a failure only when it was named.
    """
    from gantool import hub, selection
    from gantool.catalog import load_catalog

    _listen(ctx, said)
    catalog = load_catalog()
    rows = [selection.named(name, catalog) for name in names] if names else list(catalog.rows)
    width = max((len(row.name) for row in rows), default=0)
    failures: list[GantoolError] = []
    well = 0
    for row in rows:
        ctx.obj.check()
        verdict, problem = "ok", None
        try:
            if fetch:
                _pull(ctx.obj, row, accept_license=accept_license)
            if hub.cached(row) is None and not names:
                verdict = "not here"
            else:
                _check(row)
        except Stopped:
            raise
        except GantoolError as error:
            verdict, problem = "not here" if hub.cached(row) is None else "bad", error
            failures.append(error)
        well += verdict == "ok"
        told = problem or hub.cached(row) or ""
        if problem is not None and len(rows) == 1:
            told = ""  # the error at the end says it
        record = _record(row) | {
            "verified": True if verdict == "ok" else False if problem else None,
            "problem": None if problem is None else str(problem),
        }
        ctx.obj.result(f"{row.name:<{width}}  {verdict:<8}  {told}".rstrip(), record)
    if not names and _width(ctx.obj) is not None and not ctx.obj.json:
        ctx.obj.info(f"{well} of {len(rows)} models are here and well")
    if len(rows) == 1 and failures:
        raise failures[0]
    if failures:
        raise PartialError(f"{len(failures)} of {len(rows)} models are not as they should be")


def _check(row: Any) -> None:
    """Bytes, hash, names and shapes. Raises GantoolError."""
    from gantool import hub, loading

    loading.check(row, hub.verify(row))


def _pull(console: Any, row: Any, **options: Any) -> Any:
    from gantool import hub

    with console.task(row.name, total=row.bytes or None, unit="byte") as progress:
        return hub.pull(row, progress=progress, **options)


@app.command(
    epilog=examples(
        "gantool models remove realesr-animevideov3", "gantool models remove realesr-animevideov3 --json"
    )
)
@panels
def remove(ctx: typer.Context, names: Annotated[list[str], Names], said: Output = Output()) -> None:
    """Delete downloaded models from the cache. Built-in models stay."""
    from gantool import hub, selection
    from gantool.catalog import load_catalog

    _listen(ctx, said)
    catalog = load_catalog()
    rows = [selection.named(name, catalog) for name in names]

    def drop(row: Any) -> None:
        was_here = hub.cached(row) is not None
        freed = hub.remove(row)
        words = f"removed, {hub.describe_size(freed)} freed" if was_here else "was not here"
        ctx.obj.result(f"{row.name}  {words}", {"name": row.name, "removed": was_here, "freed_bytes": freed})

    _each(ctx.obj, rows, drop)


def _listen(ctx: typer.Context, said: Output) -> None:
    ctx.obj.configure(quiet=said.quiet, verbose=said.verbose, progress=said.progress, json=said.json)


def _each(console: Any, rows: list[Any], act: Callable[[Any], None]) -> None:
    """Do it to every row, going on after a failure. One row fails with its own error, several with 8."""
    failed = []
    for row in rows:
        try:
            act(row)
        except GantoolError as error:
            if len(rows) == 1 or isinstance(error, Stopped):
                raise
            console.warn(f"{row.name}: {error}")
            failed.append(row.name)
    if failed:
        raise PartialError(f"{len(failed)} of {len(rows)} models failed: {', '.join(failed)}")


def _record(row: Any) -> dict[str, Any]:
    """A row as one JSON object, with where its file is and what was recorded of it."""
    from gantool import cache, hub

    path = hub.cached(row)
    record = asdict(row) | {"state": hub.state(row), "path": None if path is None else str(path)}
    record["recorded"] = {} if row.sha256 else cache.recorded(row)
    record["licence_accepted"] = cache.licence_accepted(row) if cache.licence_forbids(row) else None
    return record


def _width(console: Any) -> int | None:
    """Columns of the terminal that results go to, at least 80; None where they go to something else."""
    # A narrower terminal breaks lines better than a table does.
    return max(80, shutil.get_terminal_size().columns) if console.out.isatty() else None


def _say_how(console: Any, row: Any) -> None:
    """How a model comes here and is used, for somebody who has looked it up."""
    from gantool import hub
    from gantool.catalog import COMMANDS

    if hub.cached(row) is None:
        console.info(f"`gantool models pull {row.name}` downloads it")
    if row.task in COMMANDS and not row.file.endswith(".onnx"):
        shown = " --style PICTURE" if row.arch.startswith(("adain.", "microast.")) else ""
        if not row.arch.endswith((".Encoder", ".Modulator")):  # parts of others
            console.info(f"`gantool {row.task} FILE --model {row.name}{shown}` uses it")


def _list(console: Any, task: str | None) -> None:
    from gantool.catalog import TASKS, load_catalog
    from gantool.commands.models_table import table
    from gantool.console import colored

    if task is not None and task not in TASKS:
        raise UsageError(f"unknown task '{task}'", remedy=f"Use one of {', '.join(TASKS)}.")
    rows = [row for row in load_catalog().rows if task in (None, row.task)]
    if console.json:
        for row in rows:
            console.result(row.name, _record(row))
        return
    if rows:
        width = _width(console)
        console.print(table(rows, width=width, colors=width is not None and colored(console.out)))
        if width is not None:
            console.info(
                "`gantool models show NAME` says what a model is for, `gantool models pull NAME` downloads it"
            )
    else:
        console.info(f"There is no model for {task} yet.")
