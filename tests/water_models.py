"""Models of the matrices of distorted waters, and the settings they share."""

import yaml

from hamlearn.config import (
    FeatureSettings,
    FockTarget,
    KernelRidgeSettings,
    LowdinTarget,
    QMSettings,
    RidgeSettings,
    SaphTarget,
    WignerSettings,
)
from hamlearn.job import SILENT
from hamlearn.model.folder import DUMPER, LOADER, SPEC
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.targets import build_target

QM = QMSettings(basis="sto-3g", conv_tol=1e-11)
FEATURES = FeatureSettings(max_l=3, max_n=3)
WIGNER = WignerSettings(max_l=2, max_nu_centre=2, max_nu_pair=1)
RIDGE, KERNELS = RidgeSettings(features=FEATURES), KernelRidgeSettings(kernel=WIGNER)
LEARNERS = {
    "ridge": RIDGE,
    "full": KERNELS,
    "sparse": KernelRidgeSettings(kernel=WIGNER, basis="sparse", active=16),
}
TARGETS = {
    "saph": SaphTarget(),
    "lowdin": LowdinTarget(),
    "fock": FockTarget(),
    "delta": SaphTarget(delta="minao"),
    "fock_delta": FockTarget(delta="core"),
    "nonorthogonal": SaphTarget(form="nonorthogonal"),
    "valence": SaphTarget(virtuals="valence"),
    "minao": SaphTarget(minimal_basis="minao", delta="atom"),
}


def with_bars(settings, **more):
    """Return the settings with error bars."""
    return settings.model_copy(update={"error_bars": True, **more})


def targets_of(target, records):
    """Return the target of every calculation; one of TARGETS, or by name."""
    settings = TARGETS.get(target, target) if isinstance(target, str) else target
    return [build_target(record, settings) for record in records]


def trained(target, waters, records, n, model=RIDGE, job=SILENT):
    """Return a model of a target by name, trained on the first n waters."""
    fitted = HamiltonianModel(QM, TARGETS[target], model)
    return fitted.fit(waters[:n], targets_of(target, records[:n]), job)


def raw_spec(folder):
    """Return the model.yaml of a folder as it is."""
    return yaml.load((folder / SPEC).read_text(), Loader=LOADER)


def write_spec(folder, spec):
    """Replace the model.yaml of a folder."""
    (folder / SPEC).write_text(yaml.dump(spec, Dumper=DUMPER))


def change_spec(folder, **changes):
    """Replace sections of the model.yaml of a folder."""
    write_spec(folder, raw_spec(folder) | changes)
