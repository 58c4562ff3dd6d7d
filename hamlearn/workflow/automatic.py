"""Settings that a workflow leaves out, chosen for its molecules before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hamlearn.config import BondFrameFeatures, Config, RidgeSettings, load_config
from hamlearn.errors import StructureError
from hamlearn.workflow.dependencies import CONFIG as CONFIG

if TYPE_CHECKING:
    from ase import Atoms

MOST_ATOMS_OF_COUPLED = 3
"""Of molecules for which coupled features, of two neighbours, are complete: they need fewest structures there."""


def with_features(config: Config, structures: list[Atoms], made: Path | None = None) -> tuple[Config, str | None]:
    """Return a workflow of matrices with features that suit its molecules, and what to say of the choice.

    Args:
        config: the workflow; features it names stay.
        structures: all of its molecules.
        made: settings of the run; if it was begun, it goes on with the features it has.
    """
    model = config.model
    if type(model) is not RidgeSettings or not _are_left_out(config):
        return config, None
    if made is not None and made.exists():
        known = load_config(made).model
        return (_changed(config, known) if type(known) is RidgeSettings else config), None
    largest = max(map(len, structures))
    if largest <= MOST_ATOMS_OF_COUPLED:
        words = f"coupled, complete for molecules of up to {MOST_ATOMS_OF_COUPLED} atoms"
        return config, f"model.features, left out: {words}"
    chosen = _changed(config, model.model_copy(update={"features": BondFrameFeatures()}))
    return chosen, f"model.features, left out: bond_frame, for molecules of up to {largest} atoms"


def with_features_of_file(config: Config) -> tuple[Config, str | None]:
    """Return what a new run of a workflow would choose for the molecules of its file, if it can be read."""
    from hamlearn.structures import read_structures

    if not _are_left_out(config):
        return config, None
    try:
        return with_features(config, read_structures(config.structures.file))
    except StructureError as error:
        return config, f"model.features, left out: a run chooses them for its molecules, but {error}"


def _are_left_out(config: Config) -> bool:
    """Return whether a workflow of matrices by ridge regression says nothing of features."""
    named = {"features", "max_features", "features_by"} & config.model.model_fields_set
    return type(config.model) is RidgeSettings and not config.is_property and not named


def _changed(config: Config, model: RidgeSettings) -> Config:
    """Return the workflow with the features of a model."""
    own = config.model.model_copy(update={"features": model.features})
    return config.model_copy(update={"model": own})
