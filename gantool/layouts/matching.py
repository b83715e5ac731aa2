"""Which files belong to each other: by split, then by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gantool.layouts.folders import Entry, plain_stem
from gantool.layouts.samples import natural


@dataclass(frozen=True)
class Splits:
    """Which of the folders' split words mean training, and which held out; the rest is not used."""

    train: frozenset[str]
    held: frozenset[str]

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Splits:
        """train, or else what names no split; val, or else test. A lone val or test folder is trained on."""
        there = {entry.split for entry in entries}
        named = "train" if "train" in there else ""
        if named not in there:
            return cls(frozenset(there), frozenset())
        return cls(frozenset({named}), frozenset({"val"} if "val" in there else {"test"} & there))

    def trained(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries to train on."""
        return [entry for entry in entries if entry.split in self.train]

    def held_out(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries kept for validation."""
        return [entry for entry in entries if entry.split in self.held]

    def unused(self, entries: Sequence[Entry]) -> list[Entry]:
        """The others: a test split beside a val split, or files beside the train folder."""
        return [entry for entry in entries if entry.split not in self.train | self.held]


@dataclass(frozen=True)
class Match:
    """Rows of entries that share a name, in natural order, and those without partners, with the reason."""

    rows: list[tuple[Entry, ...]]
    lonely: list[tuple[Entry, str]]


def matched(columns: Mapping[str, Sequence[Entry]]) -> Match:
    """One entry of each column per row; ``columns`` maps what a column is called to its entries.

    Names are compared as they are, then without words such as ``_lr`` or ``_leftImg8bit`` that name the role,
    then without folders; the sense of "the same name" that gives most rows is taken.
    """
    best = _matched_by(_exact, columns)
    for key in (_with_suffix, _plain, _plain_alone):
        match = _matched_by(key, columns)
        if key is _plain_alone and any(why.startswith(_DOUBLE) for _, why in match.lonely):
            continue  # sequences that number their frames alike
        if len(match.rows) > len(best.rows):
            best = match
    return best


_DOUBLE = "the same name as"


def _exact(entry: Entry) -> str:
    return entry.name


def _with_suffix(entry: Entry) -> str:
    return f"{entry.group}/{entry.path.name}"


def _plain(entry: Entry) -> str:
    return f"{entry.group.casefold()}/{plain_stem(entry.path.stem)}"


def _plain_alone(entry: Entry) -> str:
    return plain_stem(entry.path.stem)


def _matched_by(key: Callable[[Entry], str], columns: Mapping[str, Sequence[Entry]]) -> Match:
    tables: dict[str, dict[str, Entry]] = {}
    lonely: list[tuple[Entry, str]] = []
    for title, entries in columns.items():
        table = tables[title] = {}
        for entry in entries:
            other = table.setdefault(key(entry), entry)
            if other is not entry:
                lonely.append((entry, f"{_DOUBLE} {other.path.name}"))
    rows = []
    for name in next(iter(tables.values())):
        row = tuple(table[name] for table in tables.values() if name in table)
        if len(row) == len(tables):
            rows.append(row)
    for table in tables.values():
        for name, entry in table.items():
            missing = [other for other, names in tables.items() if name not in names]
            if missing:
                lonely.append((entry, f"none of its name in {' and '.join(missing)}"))
    rows.sort(key=lambda row: natural(row[0].name))
    lonely.sort(key=lambda pair: natural(pair[0].path.as_posix()))
    return Match(rows, lonely)
