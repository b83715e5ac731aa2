"""``gantool eval``: pictures and films against others, sets of pictures, and films against their source.

:mod:`pairs`, :mod:`sets` and :mod:`films` measure and give an :class:`Evaluation`; :mod:`table` shows it on a
terminal, :mod:`report` as one HTML file. The measures themselves are in :mod:`gantool.metrics`.
"""

from gantool.evaluation.result import Check, Evaluation, Exhibit, Measure, Row

__all__ = ["Check", "Evaluation", "Exhibit", "Measure", "Row"]
