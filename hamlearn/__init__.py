"""hamlearn: learn molecular Hamiltonians with exact symmetry.

Everything public is listed here and loaded when first used, so that ``import hamlearn`` is instant. ``help`` of a name
says more, such as ``help(hamlearn.HamiltonianModel)``; of settings, what each of them means.

Structures are given as the path of a file ASE reads, as one ``ase.Atoms``, or as a list of them, in Å.

Whole workflows
    plan                what a run would choose and take, before anything is computed
    run                 from geometries to a model, its errors and a report, in a folder that can be continued
    predict             predict molecules with a saved model, into a folder
    evaluate            errors of a saved model on molecules computed by PySCF
    symmetry_report     point group of a molecule, and irreps of its levels
    write_report        the page of a finished run

Structures
    read_structures     all structures of a file
    molecule            a molecule of the built-in library, exactly symmetric

Calculations
    run_campaign        Fock and overlap matrices of many molecules by PySCF, resumable
    campaign_status     how far a campaign is
    QMRecord            one finished calculation
    build_target        the matrix to learn of a calculation
    Target              such a matrix

Models
    HamiltonianModel    learns matrices: geometry in, Hamiltonian and all that follows from it out
    PropertyModel       learns energies with forces, dipoles, polarizabilities
    load_model          a saved model of either kind
    select_structures   which molecules to compute next
    wigner_kernels      Wigner kernels of atomic environments
    HamlearnCalculator  a learned energy as an ASE calculator

Results
    Prediction          a Hamiltonian with levels, gap, orbitals and error bars
    SpinPrediction      those of both spins of an open shell
    metrics             errors of predictions

Symmetry
    point_group         point group of a molecule within a tolerance
    symmetrise          a molecule averaged over its point group

Settings
    Config              a whole workflow, as in its YAML file
    load_config         read a workflow file
    QMSettings          method and basis of the calculations
    TargetSettings      what is learned; one of the next four by kind
    FockTarget          the Fock matrix
    LowdinTarget        its Löwdin form
    SaphTarget          its projection on a minimal basis
    PropertyTarget      a property the structures carry
    ModelSettings       how it is learned; one of the next two by kind
    RidgeSettings       ridge regression of features
    KernelRidgeSettings regression on kernels
    FeatureSettings     densities and features; one of the next two by kind
    CoupledFeatures     Clebsch-Gordan products of densities
    BondFrameFeatures   products of any order in the frame of a bond
    WignerSettings      kernels of atoms and pairs, for matrices
    BondFrameKernel     kernels in the frames of bonds, for matrices
    KernelSettings      kernels of environments, for properties

Learners of your own
    Learner             what a learner must offer
    register_learner    let files and models use one by name
    Job                 where long work is done, and who hears of it
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from hamlearn.lazy import lazily

if TYPE_CHECKING:
    from hamlearn.config import BondFrameFeatures as BondFrameFeatures
    from hamlearn.config import BondFrameKernel as BondFrameKernel
    from hamlearn.config import Config as Config
    from hamlearn.config import CoupledFeatures as CoupledFeatures
    from hamlearn.config import FeatureSettings as FeatureSettings
    from hamlearn.config import FockTarget as FockTarget
    from hamlearn.config import KernelRidgeSettings as KernelRidgeSettings
    from hamlearn.config import KernelSettings as KernelSettings
    from hamlearn.config import LowdinTarget as LowdinTarget
    from hamlearn.config import ModelSettings as ModelSettings
    from hamlearn.config import PropertyTarget as PropertyTarget
    from hamlearn.config import QMSettings as QMSettings
    from hamlearn.config import RidgeSettings as RidgeSettings
    from hamlearn.config import SaphTarget as SaphTarget
    from hamlearn.config import TargetSettings as TargetSettings
    from hamlearn.config import WignerSettings as WignerSettings
    from hamlearn.config import load_config as load_config
    from hamlearn.interop import HamlearnCalculator as HamlearnCalculator
    from hamlearn.job import Job as Job
    from hamlearn.kernels import wigner_kernels as wigner_kernels
    from hamlearn.learning.protocols import Learner as Learner
    from hamlearn.learning.registry import register_learner as register_learner
    from hamlearn.model.hamiltonian import HamiltonianModel as HamiltonianModel
    from hamlearn.model.loading import load_model as load_model
    from hamlearn.model.property import PropertyModel as PropertyModel
    from hamlearn.model.selection import select_structures as select_structures
    from hamlearn.observables import Prediction as Prediction
    from hamlearn.observables import SpinPrediction as SpinPrediction
    from hamlearn.observables import metrics as metrics
    from hamlearn.qm import QMRecord as QMRecord
    from hamlearn.qm import campaign_status as campaign_status
    from hamlearn.qm import run_campaign as run_campaign
    from hamlearn.report.page import write_report as write_report
    from hamlearn.structures import molecule as molecule
    from hamlearn.structures import read_structures as read_structures
    from hamlearn.symmetry import point_group as point_group
    from hamlearn.symmetry import symmetrise as symmetrise
    from hamlearn.targets import Target as Target
    from hamlearn.targets import build_target as build_target
    from hamlearn.workflow import evaluate as evaluate
    from hamlearn.workflow import plan as plan
    from hamlearn.workflow import predict as predict
    from hamlearn.workflow import run as run
    from hamlearn.workflow import symmetry_report as symmetry_report

_HOMES = {
    "config": (
        "BondFrameFeatures",
        "BondFrameKernel",
        "Config",
        "CoupledFeatures",
        "FeatureSettings",
        "FockTarget",
        "KernelRidgeSettings",
        "KernelSettings",
        "LowdinTarget",
        "ModelSettings",
        "PropertyTarget",
        "QMSettings",
        "RidgeSettings",
        "SaphTarget",
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
    "model.loading": ("load_model",),
    "learning.registry": ("register_learner",),
    "learning.protocols": ("Learner",),
    "job": ("Job",),
    "interop": ("HamlearnCalculator",),
    "symmetry": ("point_group", "symmetrise"),
    "observables": ("Prediction", "SpinPrediction", "metrics"),
    "report.page": ("write_report",),
    "workflow": ("evaluate", "plan", "predict", "run", "symmetry_report"),
}
# No __all__: with it, help(hamlearn) prints the help of everything public, thousands of lines. dir() lists the names.
__version__ = version("hamlearn")
__getattr__, _names = lazily("hamlearn", _HOMES)


def __dir__() -> list[str]:
    return [*_names(), "__version__"]
