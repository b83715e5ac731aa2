"""What a training folder holds: recognised by its names, and by its pictures, since names lie.

Five layouts are known, those of pix2pix and CycleGAN (side by side, trainA/trainB), of pix2pixHD, SPADE and
vid2vid (label, instance map, photo), plain A/ and B/ folders, and photographs in any folders. The task says
which of them it takes; the first of its list that fits is the one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gantool.errors import InputError, UsageError
from gantool.layouts.folders import Entry, Tree, walk
from gantool.layouts.looks import are_halves, hold_numbers
from gantool.layouts.matching import Splits, matched
from gantool.layouts.samples import KINDS, Kind, Sample

_NEEDS = {
    "side-by-side": "pictures with A and B side by side",
    "pairs": "folders A/ and B/ with the same file names",
    "unpaired": "folders trainA/ and trainB/",
    "labels": "folders train_label/ and train_img/ (with train_inst/, if there are instance maps)",
    "photos": "photographs",
}
_HOLDS = {
    "labels": "label maps with their photographs",
    "pairs": "two folders of pictures that belong together",
    "unpaired": "two folders of pictures whose file names differ",
    "side-by-side": "pictures with A and B side by side",
    "photos": "single pictures",
}


@dataclass(frozen=True)
class Layout:
    """What was recognised.

    ``train`` and ``held`` (the val split, or else the test split; may be empty) are in natural order; an
    unpaired layout has ``train_a``, ``train_b``, ``held_a`` and ``held_b`` instead. ``unmatched`` names files
    that lack their partner and are left out; ``notes`` say what else was left out and is no fault. ``base``
    is the folder that names are told from.
    """

    kind: Kind
    train: tuple[Sample, ...] = ()
    held: tuple[Sample, ...] = ()
    unmatched: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    roots: tuple[Path, ...] = ()
    base: Path = Path()
    train_a: tuple[Sample, ...] = ()
    train_b: tuple[Sample, ...] = ()
    held_a: tuple[Sample, ...] = ()
    held_b: tuple[Sample, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that will not be used although it should, one clause each."""
        return tuple(f"left out: {name}" for name in self.unmatched)

    @property
    def trained(self) -> tuple[Sample, ...]:
        """All samples to train on, of either domain."""
        return self.train + self.train_a + self.train_b

    @property
    def held_out(self) -> tuple[Sample, ...]:
        """All samples kept for validation, of either domain."""
        return self.held + self.held_a + self.held_b

    @property
    def train_files(self) -> list[Path]:
        """All files that training reads, in order."""
        return [path for sample in self.trained for path in sample.files]

    def shown(self, path: Path) -> str:
        """A file's path from ``base``, as it is told to people."""
        return _shown(path, self.base)

    def summary(self) -> str:
        """One line: "pairs: 100 to train on, 20 held out"."""
        if self.kind == "unpaired":
            sides = f"{len(self.train_a)} A and {len(self.train_b)} B to train on"
            return f"unpaired: {sides}, {len(self.held_a)} and {len(self.held_b)} held out"
        return f"{self.kind}: {len(self.train)} to train on, {len(self.held)} held out"


class _Unfit(Exception):
    """Why a tree is not of the layout that was tried; empty where there is nothing to add."""


def recognise(roots: Sequence[Path], accepts: Sequence[str]) -> Layout:
    """Find out what the folders hold.

    Args:
        roots: folders or picture files. Of exactly two without telling names, the first is A, the second B.
        accepts: the layouts the task takes, in its order of preference (see ``KINDS``). "side-by-side" goes
            before "pairs": two roots with side-by-side pictures of the same names could pass for pairs.

    Raises:
        InputError: a root is missing, holds no picture, or holds a layout that the task does not take.
        UsageError: ``accepts`` is empty or names an unknown layout.
    """
    unknown = set(accepts) - set(KINDS)
    if unknown or not accepts:
        raise UsageError(f"no such data layout: {', '.join(sorted(unknown)) or 'none'}")
    tree = walk(roots)
    reasons = []
    for kind in accepts:
        try:
            return _BUILD[kind](tree)
        except _Unfit as exc:
            reasons += [str(exc)] if str(exc) else []
    needs = " or ".join(_NEEDS[kind] for kind in accepts)
    because = f" ({reasons[-1]})" if reasons else ""
    sides = {"pairs", "unpaired"} & set(accepts)
    remedy = (
        "Name the folder of A and the folder of B, in this order" if sides else "Rename or move the folders"
    )
    what = f"found {_found(tree, accepts)}{because}, but this task needs {needs}"
    raise InputError(what, roots[0], f"{remedy}, or choose another --task")


def _found(tree: Tree, accepts: Sequence[str]) -> str:
    """What the tree holds, though the task does not take it."""
    for kind in (kind for kind in _HOLDS if kind not in accepts):
        try:
            _BUILD[kind](tree)
        except _Unfit:
            continue
        return _HOLDS[kind]
    return _HOLDS["photos"]


# ---- the five layouts


def _label_columns(tree: Tree) -> dict[str, list[Entry]] | None:
    """The columns of a label layout by name alone; vid2vid calls label maps A and photographs B."""
    inst = tree.of("inst")
    for names in (("label", "photo"), ("a", "b")):
        label, photo = tree.of(names[0]), tree.of(names[1])
        if label and photo:
            middle = {"the instance maps": inst} if inst else {}
            return {"the label maps": label, **middle, "the photographs": photo}
    return None


def _labels(tree: Tree) -> Layout:
    columns = _label_columns(tree)
    if columns is None:
        raise _Unfit
    if not hold_numbers(_paths(columns["the label maps"])):
        raise _Unfit("the label folder holds colours or shades, not class numbers")
    layout = _joined(tree, "labels", columns)
    if not layout.train:
        raise _Unfit("no label map has the file name of a photograph")
    return layout


def _pairs(tree: Tree) -> Layout:
    columns = _label_columns(tree)
    if columns is not None and (tree.of("label") or tree.of("inst")):
        if hold_numbers(_paths(columns["the label maps"])):
            raise _Unfit("the label maps hold class numbers, not colours")
        # Drawn in colours, as pix2pix uses them: pictures like any other.
        sides = {"A": columns["the label maps"], "B": columns["the photographs"]}
    else:
        tree = _two_sides(tree)
        sides = {"A": tree.of("a"), "B": tree.of("b")}
    layout = _joined(tree, "pairs", sides)
    splits = Splits.of([entry for side in sides.values() for entry in side])
    most = max(len(splits.trained(side)) for side in sides.values())
    if len(layout.train) * 2 < most:
        raise _Unfit(f"{len(layout.train)} of {most} file names are the same in A and B")
    return layout


def _two_sides(tree: Tree) -> Tree:
    """The tree with the roles A and B, by folder names or as the only two roots."""
    if tree.of("a") and tree.of("b"):
        return tree
    if len(tree.roots) != 2 or {entry.root for entry in tree.entries} != {0, 1}:
        raise _Unfit
    return _without_maps(tree).by_root()


def _joined(tree: Tree, kind: Kind, columns: dict[str, list[Entry]]) -> Layout:
    """A layout of rows that are matched by name within each split."""
    entries = [entry for column in columns.values() for entry in column]
    splits = Splits.of(entries)
    train = matched({title: splits.trained(column) for title, column in columns.items()})
    held = {title: splits.held_out(column) for title, column in columns.items()}
    rows, lonely, notes = [], train.lonely, _left_out(tree, entries, splits)
    if all(held.values()):
        match = matched(held)
        rows, lonely = match.rows, [*lonely, *match.lonely]
    else:  # such as pix2pixHD's test labels, which come without photographs
        for column in held.values():
            notes += [f"{_some(tree, column)} held out without partners, not used"] if column else []

    def sample(row: tuple[Entry, ...]) -> Sample:
        paths: tuple[Path | None, ...] = tuple(entry.path for entry in row)
        if kind == "labels" and len(paths) == 2:
            paths = (paths[0], None, paths[1])
        return Sample(row[0].name, paths)

    return Layout(
        kind,
        tuple(sample(row) for row in train.rows),
        tuple(sample(row) for row in rows),
        unmatched=tuple(f"{_shown(entry.path, tree.base)} ({why})" for entry, why in lonely),
        notes=tuple(notes),
        roots=tree.roots,
        base=tree.base,
    )


def _unpaired(tree: Tree) -> Layout:
    tree = _two_sides(tree)
    sides = [(side, Splits.of(side)) for side in (tree.of("a"), tree.of("b"))]
    strangers = [entry for entry in tree.entries if entry.role not in ("a", "b")]

    def samples(side: list[Entry]) -> tuple[Sample, ...]:
        return tuple(Sample(entry.name, (entry.path,)) for entry in side)

    train_a, train_b = (samples(splits.trained(side)) for side, splits in sides)
    held_a, held_b = (samples(splits.held_out(side)) for side, splits in sides)
    notes = [*tree.notes, *_strange(tree, strangers)]
    for side, splits in sides:
        notes += _unused(tree, side, splits)
    return Layout(
        "unpaired",
        notes=tuple(notes),
        roots=tree.roots,
        base=tree.base,
        train_a=train_a,
        train_b=train_b,
        held_a=held_a,
        held_b=held_b,
    )


def _side_by_side(tree: Tree) -> Layout:
    if _label_columns(tree) is not None:  # A/ and B/, or labels and photographs, in folders of their own
        raise _Unfit
    splits = Splits.of(tree.entries)
    train, held = splits.trained(tree.entries), splits.held_out(tree.entries)
    if not are_halves(_paths(train)):
        first = _shown(train[0].path, tree.base)
        raise _Unfit(f"{first} does not look like two pictures side by side")
    notes = []
    if held and not are_halves(_paths(held)):
        notes = [f"{_some(tree, held)} held out are not two pictures side by side, not used"]
        held = []
    return _single(tree, "side-by-side", train, held, [*_left_out(tree, tree.entries, splits), *notes])


def _photos(tree: Tree) -> Layout:
    tree = _without_maps(tree)
    splits = Splits.of(tree.entries)
    notes = _left_out(tree, tree.entries, splits)
    return _single(tree, "photos", splits.trained(tree.entries), splits.held_out(tree.entries), notes)


def _without_maps(tree: Tree) -> Tree:
    """The tree without label and instance maps, where there are any, and with a note on them."""
    columns = _label_columns(tree)
    if columns is None or not (tree.of("label") or tree.of("inst")):
        return tree
    if not hold_numbers(_paths(columns["the label maps"])):
        return tree
    maps = [entry for title, column in columns.items() if "maps" in title for entry in column]
    drop = {entry.path for entry in maps}
    note = f"{_some(tree, maps)} left out: label and instance maps, not photographs"
    kept = tuple(entry for entry in tree.entries if entry.path not in drop)
    return replace(tree, entries=kept, notes=(*tree.notes, note))


def _single(tree: Tree, kind: Kind, train: list[Entry], held: list[Entry], notes: list[str]) -> Layout:
    """A layout of samples of one file each, named by the whole path from the base."""

    def samples(entries: list[Entry]) -> tuple[Sample, ...]:
        return tuple(Sample(_shown(e.path.with_suffix(""), tree.base), (e.path,)) for e in entries)

    return Layout(kind, samples(train), samples(held), notes=tuple(notes), roots=tree.roots, base=tree.base)


_BUILD: dict[str, Callable[[Tree], Layout]] = {
    "side-by-side": _side_by_side,
    "pairs": _pairs,
    "unpaired": _unpaired,
    "labels": _labels,
    "photos": _photos,
}


def _paths(entries: Sequence[Entry]) -> list[Path]:
    return [entry.path for entry in entries]


# ---- words for what is left out


def _shown(path: Path, base: Path) -> str:
    return os.path.relpath(path, base).replace(os.sep, "/")


def _some(tree: Tree, entries: Sequence[Entry]) -> str:
    """ "3 pictures (test/1.png, ...)"."""
    first = _shown(entries[0].path, tree.base)
    return f"{len(entries)} pictures ({first}, ...)" if len(entries) > 1 else f"1 picture ({first})"


def _left_out(tree: Tree, used: Sequence[Entry], splits: Splits) -> list[str]:
    """Notes on the files of the tree that are in no column or in no split that is used."""
    taken = {entry.path for entry in used}
    strangers = [entry for entry in tree.entries if entry.path not in taken]
    return [*tree.notes, *_strange(tree, strangers), *_unused(tree, used, splits)]


def _strange(tree: Tree, strangers: Sequence[Entry]) -> list[str]:
    return [f"{_some(tree, strangers)} in other folders left out"] if strangers else []


def _unused(tree: Tree, entries: Sequence[Entry], splits: Splits) -> list[str]:
    unused = splits.unused(entries)
    tests = [entry for entry in unused if entry.split]
    beside = [entry for entry in unused if not entry.split]
    notes = [f"{_some(tree, tests)} of the test split not used, since there is a val split"] if tests else []
    return [*notes, *([f"{_some(tree, beside)} beside the train folder left out"] if beside else [])]
