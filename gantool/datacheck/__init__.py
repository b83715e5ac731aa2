"""``gantool train --check``: decode all training data before a night is spent on them.

:func:`check` reads every file once and gives a :class:`Report`; :func:`contact_sheet` shows samples, since no
check sees that two pictures do not belong together.
"""

from gantool.datacheck.checks import check
from gantool.datacheck.report import Finding, Report
from gantool.datacheck.sheet import contact_sheet, painted

__all__ = ["Finding", "Report", "check", "contact_sheet", "painted"]
