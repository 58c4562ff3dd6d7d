"""One static HTML page per run: what was computed, how large the errors are, and where they sit.

The page is made from the files of the run folder alone, so it can be written again at any time.
"""

from typing import TYPE_CHECKING

from hamlearn.lazy import lazily

if TYPE_CHECKING:
    from hamlearn.report.page import write_report as write_report

__getattr__, __dir__ = lazily(__name__, {"page": ("write_report",)})
