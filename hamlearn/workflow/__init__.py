"""The stages of ``hamlearn run``: each reads what the stage before wrote, and is skipped when it is already there."""

from typing import TYPE_CHECKING

from hamlearn.lazy import lazily

if TYPE_CHECKING:
    from hamlearn.workflow.automatic.plan import Plan as Plan
    from hamlearn.workflow.evaluation import evaluate as evaluate
    from hamlearn.workflow.planning import plan as plan
    from hamlearn.workflow.prediction import predict as predict
    from hamlearn.workflow.running import RunResult as RunResult
    from hamlearn.workflow.running import run as run
    from hamlearn.workflow.selection import SelectionReport as SelectionReport
    from hamlearn.workflow.selection import select as select
    from hamlearn.workflow.symmetry import SymmetryReport as SymmetryReport
    from hamlearn.workflow.symmetry import symmetry_report as symmetry_report

_HOMES = {
    "automatic.plan": ("Plan",),
    "evaluation": ("evaluate",),
    "planning": ("plan",),
    "prediction": ("predict",),
    "running": ("RunResult", "run"),
    "selection": ("SelectionReport", "select"),
    "symmetry": ("SymmetryReport", "symmetry_report"),
}
__getattr__, __dir__ = lazily(__name__, _HOMES)
