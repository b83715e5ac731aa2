"""What a check of training data found: for people, for scripts, and as an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gantool.errors import ExitCode, InputError
from gantool.layouts import DO_NOT_CARE, Layout

_SHOWN = 12  # names per line; JSON has them all


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found. ``code`` is a stable word for scripts, ``files`` names each case."""

    code: str
    severity: Literal["error", "note"]
    what: str
    files: tuple[str, ...] = ()

    def line(self) -> str:
        """ "error: 2 files cannot be read: a.png (the file is empty), b.jpg (...)"."""
        if not self.files:
            return f"{self.severity}: {self.what}"
        more = f" and {len(self.files) - _SHOWN} more" if len(self.files) > _SHOWN else ""
        return f"{self.severity}: {self.what}: {', '.join(self.files[:_SHOWN])}{more}"


@dataclass(frozen=True)
class Sizes:
    """How many pictures one side has, and (least, median, greatest) width and height in pixels."""

    count: int
    width: tuple[int, int, int]
    height: tuple[int, int, int]

    def line(self) -> str:
        """ "12 pictures, 256 x 256" or "12 pictures, width 200 to 640 (median 480), height ..."."""
        noun = "picture" if self.count == 1 else "pictures"
        if self.width[0] == self.width[2] and self.height[0] == self.height[2]:
            return f"{self.count} {noun}, {self.width[0]} x {self.height[0]}"
        spans = [
            f"{name} {low} to {high} (median {middle})" if low < high else f"{name} {low}"
            for name, (low, middle, high) in (("width", self.width), ("height", self.height))
        ]
        return f"{self.count} {noun}, {', '.join(spans)}"


@dataclass(frozen=True)
class Report:
    """The result of :func:`gantool.datacheck.check`.

    ``sizes`` and ``findings`` are in the order of telling; ``classes`` maps the class numbers that occur to
    the number of label maps with them. Errors are what spoils training or its figures; notes are not.
    """

    layout: Layout
    sizes: dict[str, Sizes]
    findings: tuple[Finding, ...]
    classes: dict[int, int]
    label_count: int | None = None

    @property
    def errors(self) -> int:
        """How many kinds of error were found."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def ok(self) -> bool:
        """Whether there was no error."""
        return self.errors == 0

    @property
    def exit_code(self) -> ExitCode:
        """``ExitCode.INPUT`` after an error, else ``ExitCode.OK``."""
        return ExitCode.OK if self.ok else ExitCode.INPUT

    def error(self) -> InputError | None:
        """What the command line raises after it has shown the report; None if there was no error."""
        if self.ok:
            return None
        noun = "error" if self.errors == 1 else "errors"
        root = self.layout.roots[0] if self.layout.roots else None
        return InputError(f"the training data have {self.errors} {noun}", root, "The lines above name them")

    def lines(self) -> list[str]:
        """The report for people, errors first."""
        lines = [self.layout.summary()]
        lines += [f"{side}: {sizes.line()}" for side, sizes in self.sizes.items()]
        if self.classes:
            lines.append(self._class_line())
        ordered = sorted(self.findings, key=lambda finding: finding.severity != "error")
        lines += [finding.line() for finding in ordered]
        notes = len(self.findings) - self.errors
        verdict = "no errors" if self.ok else f"{self.errors} error{'s' if self.errors > 1 else ''}"
        return [*lines, f"{verdict}, {notes} note{'' if notes == 1 else 's'}"]

    def _class_line(self) -> str:
        classes = sorted(value for value in self.classes if value != DO_NOT_CARE)
        line = "classes: none"
        if classes:
            of = f" of {self.label_count}" if self.label_count else ""
            line = f"classes: {classes[0]} to {classes[-1]}, {len(classes)}{of} in use"
        apart = self.classes.get(DO_NOT_CARE, 0)
        return f"{line}; {DO_NOT_CARE} (do not care) in {apart} maps" if apart else line

    def to_json(self) -> dict[str, Any]:
        """The same as plain data; ``errors`` is 0 when the data can be used."""
        layout = self.layout
        train, held = len(layout.trained), len(layout.held_out)
        if layout.kind == "unpaired":
            counts: dict[str, Any] = {
                "train": {"A": len(layout.train_a), "B": len(layout.train_b)},
                "held_out": {"A": len(layout.held_a), "B": len(layout.held_b)},
            }
        else:
            counts = {"train": train, "held_out": held}
        return {
            "kind": layout.kind,
            "data": [str(root) for root in layout.roots],
            **counts,
            "sizes": {side: asdict(sizes) for side, sizes in self.sizes.items()},
            "classes": {str(value): count for value, count in sorted(self.classes.items())},
            "findings": [asdict(finding) for finding in self.findings],
            "errors": self.errors,
        }


def sizes_of(sizes: Sequence[tuple[int, int]]) -> Sizes:
    """The extremes and medians of (width, height) pairs; there must be one at least."""

    def spread(values: list[int]) -> tuple[int, int, int]:
        values.sort()
        return values[0], values[len(values) // 2], values[-1]

    return Sizes(len(sizes), spread([w for w, _ in sizes]), spread([h for _, h in sizes]))
