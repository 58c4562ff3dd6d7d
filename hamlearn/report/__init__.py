"""One static HTML page per run: what was computed, how large the errors are, and where they sit.

The page is made from the files of the run folder alone, so it can be written again at any time.
"""

from hamlearn.report.headline import headline
from hamlearn.report.page import write_report

__all__ = ["headline", "write_report"]
