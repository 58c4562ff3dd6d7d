"""Settings that a workflow leaves out, chosen for its molecules before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hamlearn.config import BondFrameFeatures, Config, RidgeSettings, load_config

if TYPE_CHECKING:
    from ase import Atoms

CONFIG = "config.yaml"
"""Settings of a run, in its folder."""

MOST_ATOMS_OF_COUPLED = 3
"""Of molecules for which coupled features, of two neighbours, are complete: they need fewest structures there."""


def with_features(config: Config, structures: list[Atoms], made: Path) -> tuple[Config, str | None]:
    """Return a workflow of matrices with features that suit its molecules, and what to say of the choice.

    Args:
        config: the workflow; features it names stay.
        structures: all of its molecules.
        made: settings of the run, if it was begun: it goes on with the features it has.
    """
    model = config.model
    if config.is_property or type(model) is not RidgeSettings:
        return config, None
    if {"features", "max_features", "features_by"} & model.model_fields_set:
        return config, None
    if made.exists():
        known = load_config(made).model
        return (_changed(config, known) if type(known) is RidgeSettings else config), None
    largest = max(map(len, structures))
    if largest <= MOST_ATOMS_OF_COUPLED:
        words = f"coupled, complete for molecules of up to {MOST_ATOMS_OF_COUPLED} atoms"
        return config, f"model.features, left out: {words}"
    chosen = _changed(config, model.model_copy(update={"features": BondFrameFeatures()}))
    return chosen, f"model.features, left out: bond_frame, for molecules of up to {largest} atoms"


def _changed(config: Config, model: RidgeSettings) -> Config:
    """Return the workflow with the features of a model."""
    own = config.model.model_copy(update={"features": model.features})
    return config.model_copy(update={"model": own})
