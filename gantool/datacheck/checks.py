"""The checks themselves. Each takes what was seen of all files and gives findings."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from gantool.datacheck.duplicates import Copies, find_copies
from gantool.datacheck.look import Look, look_at_all
from gantool.datacheck.report import Finding, Report, sizes_of
from gantool.layouts import DO_NOT_CARE, Layout, Sample
from gantool.progress import Progress

_SIDES = {
    "side-by-side": ("AB",),
    "pairs": ("A", "B"),
    "labels": ("label", "instance", "photo"),
    "photos": ("photo",),
}
_TITLES = {"AB": "A and B, each", "label": "label maps", "instance": "instance maps", "photo": "photographs"}


def check(
    layout: Layout,
    *,
    crop: int | None = None,
    label_count: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Decode every file of a layout, in threads and with bounded memory, and report what was found.

    Args:
        layout: of :func:`gantool.layouts.recognise`.
        crop: side of the squares that training cuts, in pixels; smaller pictures are then named.
        label_count: number of classes; label values must lie below it, or be 255 (do not care).
        progress: counts the files.
    """
    rows = list(_rows(layout))
    files = [(path, side, held) for held, sides in rows for side, path in sides]
    if progress is not None:
        progress.total(len(files))
    looks: list[Look] = []
    with contextlib.closing(look_at_all(files)) as coming:  # closed at once on Ctrl-C
        for look in coming:
            looks.append(look)
            if progress is not None:
                progress.advance()
    good = [look for look in looks if not look.trouble]
    rest = iter(looks)
    samples = [[next(rest) for _ in sides] for _, sides in rows]
    seen = _Seen(layout, looks, good, samples)
    findings = [
        *seen.unreadable(),
        *seen.unmatched(),
        *seen.shapes(crop),
        *seen.classes(label_count),
        *seen.depths(),
        *seen.copies(),
        *(Finding("layout", "note", note) for note in layout.notes),
    ]
    sides = {look.side: None for look in good}
    sizes = {_TITLES.get(side, side): sizes_of([k.size for k in good if k.side == side]) for side in sides}
    classes = Counter(value for look in good for value in look.values)
    return Report(layout, sizes, tuple(findings), dict(classes), label_count)


def _rows(layout: Layout) -> Iterator[tuple[bool, list]]:
    """(held out or not, [(side, path), ...]) of every sample."""
    if layout.kind == "unpaired":
        plan = [(False, "A", layout.train_a), (False, "B", layout.train_b)]
        plan += [(True, "A", layout.held_a), (True, "B", layout.held_b)]
        for held, side, samples in plan:
            for sample in samples:
                yield held, [(side, path) for path in sample.files]
        return
    both: list[tuple[bool, tuple[Sample, ...]]] = [(False, layout.train), (True, layout.held)]
    for held, samples in both:
        for sample in samples:
            named = zip(_SIDES[layout.kind], sample.paths, strict=True)
            yield held, [(side, path) for side, path in named if path is not None]


def _count(number: int, noun: str = "file") -> str:
    """ "1 file", "2 files"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class _Seen:
    """All that was seen, and the questions to it."""

    def __init__(
        self, layout: Layout, looks: list[Look], good: list[Look], samples: list[list[Look]]
    ) -> None:
        self._layout, self._looks, self._good = layout, looks, good
        self._samples = [sample for sample in samples if not any(look.trouble for look in sample)]

    def _name(self, look: Look) -> str:
        return self._layout.shown(look.path)

    def _named(self, looks: Iterable[Look], why: Callable[[Look], str] | None = None) -> tuple[str, ...]:
        return tuple(f"{self._name(look)} ({why(look)})" if why else self._name(look) for look in looks)

    def unreadable(self) -> Iterator[Finding]:
        """Files that are damaged, empty, mere pointers, or of another kind than their name says."""
        pointers = [look for look in self._looks if look.lfs]
        if pointers:
            what = f"{_count(len(pointers))} not fetched from Git LFS (fetch with: git lfs pull)"
            yield Finding("lfs", "error", what, self._named(pointers))
        bad = [look for look in self._looks if look.trouble and not look.lfs]
        if bad:
            what = f"{_count(len(bad))} that cannot be read"
            yield Finding("unreadable", "error", what, self._named(bad, lambda look: look.trouble))
        if len(self._samples) == 1 and not self._layout.held_out:
            yield Finding("few", "note", "there is one sample only")

    def unmatched(self) -> Iterator[Finding]:
        """Files without a partner."""
        names = self._layout.unmatched
        if names:
            yield Finding("unmatched", "error", f"{_count(len(names))} without a partner, not used", names)

    def shapes(self, crop: int | None) -> Iterator[Finding]:
        """Pictures that are too small, or do not fit their partners."""
        odd = [look for look in self._good if look.odd]
        if odd:
            what = f"{_count(len(odd))} of odd width, which cannot be cut into two halves"
            yield Finding("odd-width", "error", what, self._named(odd, _size))
        small = [look for look in self._good if crop is not None and min(look.size) < crop]
        if small:
            all_of_them = len(small) == len(self._good)
            which = "all pictures" if all_of_them else _count(len(small))
            what = f"{which} smaller than the crop of {crop} px"
            yield Finding("small", "error" if all_of_them else "note", what, self._named(small, _size))
        apart = [sample for sample in self._samples if len({look.size for look in sample}) > 1]
        factors = {_factor(sample) for sample in apart}
        if apart and len(apart) == len(self._samples) and len(factors) == 1 and None not in factors:
            yield Finding("scale", "note", f"every B is {factors.pop()} times as large as its A")
        elif apart:
            names = tuple(" and ".join(self._named(sample, _size)) for sample in apart)
            yield Finding(
                "size", "error", f"{_count(len(apart), 'sample')} of pictures that differ in size", names
            )

    def classes(self, label_count: int | None) -> Iterator[Finding]:
        """Label values that the task has no class for."""
        lossy = [look for look in self._good if look.lossy and look.side in ("label", "instance")]
        if lossy:
            what = f"{_count(len(lossy))} saved as JPEG, which does not keep class numbers (use PNG)"
            yield Finding("lossy", "error", what, self._named(lossy))
        if label_count is None:
            return

        def beyond(look: Look) -> list[int]:
            return [value for value in look.values if value >= label_count and value != DO_NOT_CARE]

        bad = [look for look in self._good if beyond(look)]
        if bad:
            what = f"{_count(len(bad))} with class numbers of {label_count} and above"
            why = lambda look: _numbers(beyond(look))  # noqa: E731
            yield Finding("classes", "error", what, self._named(bad, why))

    def depths(self) -> Iterator[Finding]:
        """What reading as 8-bit RGB takes away: deeper bits and alpha; and pictures that have no colour."""
        pictures = [look for look in self._good if look.grey]
        deep = [look for look in pictures if look.bits > 8]
        if deep:
            what = f"{_count(len(deep))} with 16 bits per channel, read with 8"
            yield Finding("16-bit", "note", what, self._named(deep))
        alpha = [look for look in pictures if look.alpha]
        if alpha:
            what = f"{_count(len(alpha))} with transparent parts, of which the colours below are used"
            yield Finding("alpha", "note", what, self._named(alpha))
        for side in dict.fromkeys(look.side for look in pictures):
            of_side = [look for look in pictures if look.side == side]
            for place, half in enumerate("AB" if side == "AB" else [_TITLES.get(side, side)]):
                grey = [look for look in of_side if look.grey[place]]
                if grey and len(grey) == len(of_side):
                    yield Finding("grey", "note", f"{half}: all pictures are grey")
                elif grey:
                    what = f"{half}: {len(grey)} of {len(of_side)} pictures are grey"
                    yield Finding("grey", "note", what, self._named(grey))

    def copies(self) -> Iterator[Finding]:
        """Pictures that occur more than once; between the splits they make the held-out figures too good."""
        leaks: list[str] = []
        inside: list[str] = []
        for side in dict.fromkeys(look.side for look in self._good if look.grey):
            # The input of a pair may well repeat (blank label drawings); its target may not.
            telling = side != "A" or self._layout.kind == "unpaired"
            for copies in find_copies([look for look in self._good if look.side == side]):
                crossing = telling and len({look.held for look in copies.all}) == 2
                (leaks if crossing else inside).append(self._copies(copies))
        if leaks:
            what = f"{_count(len(leaks), 'picture')} both trained on and held out"
            yield Finding("leak", "error", what, tuple(leaks))
        if inside:
            yield Finding(
                "duplicates",
                "note",
                f"{_count(len(inside), 'picture')} occurring more than once",
                tuple(inside),
            )
        equal = [s for s in self._samples if len(s) == 2 and s[0].digest == s[1].digest]
        if equal:
            what = f"{_count(len(equal), 'pair')} of which A and B are the same file"
            yield Finding("equal", "note", what, self._named(sample[0] for sample in equal))
        if self._layout.kind == "unpaired":
            yield from self._in_both()

    def _in_both(self) -> Iterator[Finding]:
        names = {look.digest: self._name(look) for look in self._good if look.side == "A"}
        both = [look for look in self._good if look.side == "B" and look.digest in names]
        if both:
            pairs = tuple(f"{names[look.digest]} = {self._name(look)}" for look in both)
            yield Finding("both", "note", f"{_count(len(both))} in A as well as in B", pairs)

    def _copies(self, copies: Copies) -> str:
        parts = [self._name(copies.first), *(f"= {self._name(look)}" for look in copies.identical)]
        return " ".join([*parts, *(f"~ {self._name(look)}" for look in copies.similar)])


def _size(look: Look) -> str:
    width, height = look.size
    return f"{width * 2 + look.odd if look.side == 'AB' else width} x {height}"


def _factor(sample: Sequence[Look]) -> int | None:
    """How many times larger the second picture is than the first; None if not a whole number of times."""
    if len(sample) != 2 or sample[0].side != "A":
        return None
    (width, height), (wide, high) = sample[0].size, sample[1].size
    factor = wide // width
    return factor if (wide, high) == (width * factor, height * factor) else None


def _numbers(values: Sequence[int]) -> str:
    shown = ", ".join(str(value) for value in values[:8])
    return f"{shown}, ..." if len(values) > 8 else shown
