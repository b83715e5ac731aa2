"""How ``--help`` looks: one plain page per command, panels in the order of its options, examples last.

Typer's own pages draw boxes, split a panel into its arguments and its options, and give half of the width
to type names; this one fits 80 columns.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import Any

import typer
import typer.core

from gantool.console import colored

_WIDTH_MAX = 100
_COLUMN_MAX = 28


class Command(typer.core.TyperCommand):
    """A command with gantool's help page. Its epilog is the list of examples, one per line."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page into Typer's formatter."""
        formatter.write(_Page().command(self, ctx))


class Group(typer.core.TyperGroup):
    """A group of commands with gantool's help page."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page into Typer's formatter."""
        formatter.write(_Page().group(self, ctx))


def dress(app: typer.Typer) -> typer.Typer:
    """Give all commands of an app these pages."""
    app.info.cls = Group
    for info in app.registered_commands:
        info.cls = Command
    return app


class _Page:
    def __init__(self) -> None:
        self.width = min(shutil.get_terminal_size((80, 24)).columns, _WIDTH_MAX)
        self.colored = colored(sys.stdout)
        self.lines: list[str] = []

    def command(self, command: Any, ctx: Any) -> str:
        arguments = [p for p in command.get_params(ctx) if p.param_type_name == "argument"]
        usage = " ".join(["[OPTIONS]", *(p.metavar or p.name.upper() for p in arguments)])
        self._head(command, f"{ctx.command_path} {usage}")
        self._panels(command, ctx)
        self._examples(command)
        return self._text()

    def group(self, group: Any, ctx: Any) -> str:
        usage = "[COMMAND]" if group.invoke_without_command else "COMMAND"
        self._head(group, f"{ctx.command_path} {usage}")
        self._title("Commands")
        commands = [(name, group.get_command(ctx, name)) for name in group.list_commands(ctx)]
        shown = [(name, command) for name, command in commands if not command.hidden]
        column = max(len(name) for name, _ in shown) + 3
        for name, command in shown:
            summary = " ".join((command.short_help or command.help or "").strip().split("\n\n")[0].split())
            self._row(f"  {name}", summary.split(". ")[0].rstrip(".") + ".", column + 2)
        self._panels(group, ctx)
        self._examples(group)
        return self._text()

    def _head(self, command: Any, usage: str) -> None:
        self.lines += [f"{self._bold('Usage:')} {usage}", ""]
        for paragraph in (command.help or "").strip().split("\n\n"):
            self.lines += [*textwrap.wrap(" ".join(paragraph.split()), self.width), ""]
        self.lines.pop()

    def _panels(self, command: Any, ctx: Any) -> None:
        panels: dict[str, list[Any]] = {}
        for param in command.get_params(ctx):
            if not getattr(param, "hidden", False):
                panels.setdefault(getattr(param, "rich_help_panel", None) or "Options", []).append(param)
        # --help alone has no panel; it joins the last one.
        if len(panels) > 1 and len(panels.get("Options", [])) == 1:
            last = panels.pop("Options")
            panels[list(panels)[-1]] += last
        rows = {title: [(_left(p), _meaning(p)) for p in params] for title, params in panels.items()}
        lefts = [len(left) for entries in rows.values() for left, _ in entries]
        column = min(max(lefts), _COLUMN_MAX) + 4
        for title, entries in rows.items():
            self._title(title)
            for left, meaning in entries:
                self._row(f"  {left}", meaning, column)

    def _examples(self, command: Any) -> None:
        if command.epilog:
            self._title("Examples")
            self.lines += [f"  {line.strip()}" for line in command.epilog.strip().splitlines()]

    def _title(self, title: str) -> None:
        self.lines += ["", self._bold(title)]

    def _row(self, left: str, meaning: str, column: int) -> None:
        wrapped = textwrap.wrap(meaning, self.width - column, break_on_hyphens=False) or [""]
        if len(left) + 2 > column:
            self.lines.append(self._cyan(left))
        else:
            self.lines.append(self._cyan(left) + " " * (column - len(left)) + wrapped.pop(0))
        self.lines += [" " * column + line for line in wrapped]

    def _bold(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self.colored else text

    def _cyan(self, text: str) -> str:
        return f"\033[36m{text}\033[0m" if self.colored else text

    def _text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines)


def _left(param: Any) -> str:
    """``-o, --output PATH``; long names stand in one column whether or not they have a short one."""
    if param.param_type_name == "argument":
        return param.metavar or param.name.upper()
    short = [name for name in param.opts if not name.startswith("--")]
    long = [name for name in param.opts if name.startswith("--")]
    names = ", ".join(short) + ", " if short else "    "
    names += "/".join([*long, *param.secondary_opts])
    if getattr(param, "is_flag", False) or getattr(param, "count", False):
        return names
    return f"{names} {param.metavar or param.name.upper()}"


def _meaning(param: Any) -> str:
    text = (getattr(param, "help", None) or "").strip()
    default = param.default
    plain = isinstance(default, str | int | float) and not isinstance(default, bool)
    flag = getattr(param, "is_flag", False) or getattr(param, "count", False)
    if getattr(param, "show_default", True) and plain and default != "" and not flag:
        shown = f"{default:g}" if isinstance(default, float) else default
        return f"{text} [{shown}]"
    return text
