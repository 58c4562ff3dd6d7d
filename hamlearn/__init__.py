"""hamlearn: learn molecular Hamiltonians with exact symmetry.

Everything public is listed here and loaded when first used, so that ``import hamlearn`` is instant.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hamlearn.config import Config as Config
    from hamlearn.config import FeatureSettings as FeatureSettings
    from hamlearn.config import KernelSettings as KernelSettings
    from hamlearn.config import ModelSettings as ModelSettings
    from hamlearn.config import QMSettings as QMSettings
    from hamlearn.config import TargetSettings as TargetSettings
    from hamlearn.config import WignerSettings as WignerSettings
    from hamlearn.config import load_config as load_config
    from hamlearn.interop import HamlearnCalculator as HamlearnCalculator
    from hamlearn.kernels import wigner_kernels as wigner_kernels
    from hamlearn.model.hamiltonian import HamiltonianModel as HamiltonianModel
    from hamlearn.model.property import PropertyModel as PropertyModel
    from hamlearn.model.property_folder import load_model as load_model
    from hamlearn.model.selection import select_structures as select_structures
    from hamlearn.observables import Prediction as Prediction
    from hamlearn.observables import metrics as metrics
    from hamlearn.qm import QMRecord as QMRecord
    from hamlearn.qm import campaign_status as campaign_status
    from hamlearn.qm import run_campaign as run_campaign
    from hamlearn.report import write_report as write_report
    from hamlearn.structures import molecule as molecule
    from hamlearn.structures import read_structures as read_structures
    from hamlearn.symmetry import point_group as point_group
    from hamlearn.symmetry import symmetrise as symmetrise
    from hamlearn.targets import Target as Target
    from hamlearn.targets import build_target as build_target
    from hamlearn.workflow import evaluate as evaluate
    from hamlearn.workflow import predict as predict
    from hamlearn.workflow import run as run
    from hamlearn.workflow import symmetry_report as symmetry_report

_HOMES = {
    "config": (
        "Config",
        "FeatureSettings",
        "KernelSettings",
        "ModelSettings",
        "QMSettings",
        "TargetSettings",
        "WignerSettings",
        "load_config",
    ),
    "structures": ("molecule", "read_structures"),
    "qm": ("QMRecord", "campaign_status", "run_campaign"),
    "targets": ("Target", "build_target"),
    "kernels": ("wigner_kernels",),
    "model.hamiltonian": ("HamiltonianModel",),
    "model.selection": ("select_structures",),
    "model.property": ("PropertyModel",),
    "model.property_folder": ("load_model",),
    "interop": ("HamlearnCalculator",),
    "symmetry": ("point_group", "symmetrise"),
    "observables": ("Prediction", "metrics"),
    "report": ("write_report",),
    "workflow": ("evaluate", "predict", "run", "symmetry_report"),
}
_HOME = {name: room for room, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)
__version__ = version("hamlearn")


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hamlearn' has no attribute '{name}'")
    return getattr(import_module(f"hamlearn.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
