"""Errors of a saved model on molecules whose reference is computed by PySCF."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hamlearn.artifacts import write_json
from hamlearn.errors import ConfigError, SCFError
from hamlearn.job import Job
from hamlearn.types import Echo
from hamlearn.workflow.new_folders import MATRICES, PROPERTIES, STRUCTURES, new_folder

if TYPE_CHECKING:
    from ase import Atoms

    from hamlearn.model.hamiltonian import HamiltonianModel
    from hamlearn.model.property import PropertyModel
    from hamlearn.qm import Campaign
    from hamlearn.structures import Structures

QM = "qm"
"""Folder of the calculations."""


def evaluate(
    model_folder: str | Path,
    structures: Structures,
    out: str | Path,
    executor: str = "local",
    echo: Echo = print,
    qm_from: str | Path | Sequence[str | Path] = (),
) -> dict[str, Any]:
    """Compute references for some molecules, predict them with a saved model and compare.

    Calculations that a killed evaluation left in ``out`` are used again; molecules whose calculation failed are
    left out. References of a property are read from the structures.

    Args:
        model_folder: folder of a saved model.
        structures: any file ASE reads, or molecules themselves, Å.
        out: folder for records, predictions and errors.json.
        executor: where the reference calculations run.
        echo: receives progress lines; None for silence.
        qm_from: folders of runs, evaluations or campaigns, one or several, whose calculations to take; those of a
            store beside ``out`` are taken, too.

    Returns:
        The errors as in errors.json (meV, or the property's unit), and ``failures``: reason of every failed
        calculation by index.

    Raises:
        SCFError: if all calculations failed.
        HamlearnError: for a bad model, bad structures or a used folder.
    """
    from hamlearn.model.loading import load_model
    from hamlearn.structures import as_structures, check_structures

    out = Path(out)
    model = load_model(model_folder)  # before what is heavy loads: most refusals are its
    from hamlearn.model.hamiltonian import HamiltonianModel
    from hamlearn.model.property import PropertyModel

    source = str(structures) if isinstance(structures, str | Path) else "the structures to evaluate"
    structures = as_structures(structures)
    check_structures(structures, source, closed_shell=not model.target.is_property, qm=model.qm)
    job = Job(echo, executor, label="prediction")
    if isinstance(model, PropertyModel):
        if qm_from:
            raise ConfigError("qm_from was given, but references of a property are in the file; leave it out")
        return _evaluate_property(model, Path(model_folder), structures, out, job)
    assert isinstance(model, HamiltonianModel)
    sources = [qm_from] if isinstance(qm_from, str | Path) else list(qm_from)
    return _evaluate_hamiltonian(model, Path(model_folder), structures, out, job, sources)


def _evaluate_property(
    model: PropertyModel, model_folder: Path, structures: Sequence[Atoms], out: Path, job: Job
) -> dict[str, Any]:
    from hamlearn.observables.properties import property_metrics
    from hamlearn.targets.labels import read_labels
    from hamlearn.workflow.prediction_files import Predicted, write_properties

    labels = read_labels(structures, model.target)
    predictions = model.predict_all(structures, job)
    with new_folder(out, (PROPERTIES,)):
        errors = {
            "n_test": len(structures),
            "target": model.target.model_dump(mode="json"),
            **property_metrics(predictions, labels, model.target),
            "failures": {},
        }
        write_properties(out, Predicted(structures, predictions, model_folder), model, labels)
        write_json(out / "errors.json", "errors", 1, errors)
    return errors


def _evaluate_hamiltonian(
    model: HamiltonianModel,
    model_folder: Path,
    structures: Sequence[Atoms],
    out: Path,
    job: Job,
    sources: Sequence[str | Path],
) -> dict[str, Any]:
    from hamlearn.observables import metrics, reference_prediction
    from hamlearn.qm.sharing import source_of
    from hamlearn.qm.stability import state_flag
    from hamlearn.targets import build_target
    from hamlearn.workflow.errors_of_run import error_bars, predicted
    from hamlearn.workflow.prediction_files import Predicted, write_predictions

    model.check_state(structures)
    model.learner_.domain_.check(structures)  # before hours of calculations
    for folder in sources:
        source_of(folder, model.qm)
    computed = (out / QM / "campaign.json").exists()  # or the predictions are not those of an evaluation
    with new_folder(out, (QM, STRUCTURES, MATRICES) if computed else (QM,)):
        campaign = _campaign(model, structures, out, job, sources)
        finished = [index for index in range(len(structures)) if index not in campaign.failures]
        if not finished:
            raise SCFError(f"all calculations failed: {dict(campaign.failures)}; try other molecules")
        records = [campaign.load(index) for index in finished]
        targets = [build_target(record, model.target) for record in records]
        flags = {str(k): state_flag(record.provenance) for k, record in zip(finished, records, strict=True)}
        doubtful = {k: flag for k, flag in flags.items() if flag}
        compared = [structures[index] for index in finished]
        sides = [target.side for target in targets]
        predictions = predicted(model, compared, job, finished, sides)
        references = [reference_prediction(target) for target in targets]
        errors = {
            "n_test": len(finished),
            **metrics(predictions, references),
            **error_bars(predictions, references),
            "failures": {str(index): reason for index, reason in campaign.failures.items()},
            **({"doubtful_states": doubtful} if doubtful else {}),
        }
        write_predictions(out, Predicted(compared, predictions, model_folder, finished), model, references)
        write_json(out / "errors.json", "errors", 1, errors)
    return errors


def _campaign(
    model: HamiltonianModel, structures: Sequence[Atoms], out: Path, job: Job, sources: Sequence[str | Path]
) -> Campaign:
    """Compute what the target needs; a store beside the folder is used if there is one, but none is made."""
    from hamlearn.qm import run_campaign
    from hamlearn.qm.sharing import store_of
    from hamlearn.targets.build import guess_focks

    store = store_of(model.qm.store, out)
    return run_campaign(
        structures,
        model.qm,
        out / QM,
        guess_focks=guess_focks(model.target),
        executor=job.executor,
        echo=job.echo,
        store=store if store is not None and store.exists() else None,
        qm_from=sources,
    )
