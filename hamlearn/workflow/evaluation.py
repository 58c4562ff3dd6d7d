"""Errors of a saved model on molecules whose reference is computed by PySCF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hamlearn.artifacts import write_json
from hamlearn.errors import ArtifactError, SCFError
from hamlearn.parallel import folder_lock
from hamlearn.workflow.prediction import MATRICES, PROPERTIES, STRUCTURES, write_predictions, write_properties

if TYPE_CHECKING:
    from ase import Atoms

    from hamlearn.model.hamiltonian import HamiltonianModel
    from hamlearn.model.property import PropertyModel


def _refuse_used(out: Path) -> None:
    """Raise ArtifactError unless the folder is new or that of an evaluation that was cut short."""
    if out.exists() and not out.is_dir():
        raise ArtifactError(f"{out} is a file; give a folder for the evaluation")
    own = (out / "qm" / "campaign.json").exists()
    names = ("errors.json", "config.yaml", "model.yaml") + (() if own else (STRUCTURES, MATRICES, PROPERTIES))
    for name in names:
        if (out / name).exists():
            raise ArtifactError(f"{out / name} exists already; give a new folder, nothing is overwritten")


def evaluate(
    model_folder: str | Path,
    structures_file: str | Path,
    out: str | Path,
    executor: str = "local",
    echo: Callable[[str], None] | None = print,
) -> dict[str, Any]:
    """Compute references for the molecules of a file, predict them with a saved model and compare.

    Calculations already in ``out`` are used again; molecules whose calculation failed are left out. References of a
    property are read from the file.

    Args:
        model_folder: folder of a saved model.
        structures_file: any file ASE reads.
        out: folder for records, predictions and errors.json.
        executor: where the reference calculations run.
        echo: receives progress lines; None for silence.

    Returns:
        The errors as in errors.json (meV, or the property's unit), and ``failures``: reason of every failed
        calculation by index.

    Raises:
        SCFError: if all calculations failed.
        HamlearnError: for a bad model or bad structures.
    """
    from hamlearn.model.property import PropertyModel
    from hamlearn.model.property_folder import load_model
    from hamlearn.structures import check_structures, read_structures

    out = Path(out)
    model = load_model(model_folder)
    structures = read_structures(structures_file)
    check_structures(structures, source=str(structures_file))
    if isinstance(model, PropertyModel):
        return _evaluate_property(model, structures, out)
    return _evaluate_hamiltonian(model, structures, out, executor, echo)


def _evaluate_property(model: PropertyModel, structures: Sequence[Atoms], out: Path) -> dict[str, Any]:
    from hamlearn.observables.properties import property_metrics
    from hamlearn.targets.labels import read_labels

    labels = read_labels(structures, model.target)
    predictions = model.predict(structures, forces=labels.forces is not None, std=True)
    _refuse_used(out)
    out.mkdir(parents=True, exist_ok=True)
    with folder_lock(out):
        errors = {
            "n_test": len(structures),
            "target": model.target.model_dump(mode="json"),
            **property_metrics(predictions, labels, model.target),
            "failures": {},
        }
        write_properties(out, structures, predictions, model.target)
        write_json(out / "errors.json", "errors", 1, errors)
    return errors


def _evaluate_hamiltonian(
    model: HamiltonianModel,
    structures: Sequence[Atoms],
    out: Path,
    executor: str,
    echo: Callable[[str], None] | None,
) -> dict[str, Any]:
    from hamlearn.observables import metrics, reference_prediction
    from hamlearn.qm import run_campaign
    from hamlearn.targets import build_target
    from hamlearn.workflow.errors_of_run import error_bars
    from hamlearn.workflow.stages import guess_focks

    model.block_model_.domain.check(structures)  # before hours of calculations
    _refuse_used(out)
    out.mkdir(parents=True, exist_ok=True)
    with folder_lock(out):
        campaign = run_campaign(
            structures, model.qm, out / "qm", guess_focks=guess_focks(model.target), executor=executor, echo=echo
        )
        finished = [index for index in range(len(structures)) if index not in campaign.failures]
        if not finished:
            raise SCFError(f"all calculations failed: {dict(campaign.failures)}; try other molecules")
        targets = [build_target(campaign.load(index), model.target) for index in finished]
        compared = [structures[index] for index in finished]
        sides = [(target.metric, target.baseline) for target in targets]
        predictions = model.predict(compared, executor, sides, std=model.model.error_bars and "levels")
        references = [reference_prediction(target) for target in targets]
        errors = {
            "n_test": len(finished),
            **metrics(predictions, references),
            **error_bars(predictions, references),
            "failures": {str(index): reason for index, reason in campaign.failures.items()},
        }
        write_predictions(out, compared, predictions)
        write_json(out / "errors.json", "errors", 1, errors)
    return errors
