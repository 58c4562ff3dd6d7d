"""From a workflow and its molecules to all of its settings: rules in turn, then sizes that fit into the time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hamlearn.config import (
    BondFrameFeatures,
    Config,
    LowdinTarget,
    MatrixTarget,
    QMSettings,
    RidgeSettings,
    SaphTarget,
    load_config,
)
from hamlearn.errors import ConfigError
from hamlearn.workflow.automatic import rules
from hamlearn.workflow.automatic.costs import Costs, calculation_seconds, disk_gigabytes, fit_costs, guess_seconds
from hamlearn.workflow.automatic.error_bars import leaves_error_bars, with_error_bars
from hamlearn.workflow.automatic.facts import Facts, facts_of, scatter_ev
from hamlearn.workflow.automatic.plan import Plan, duration
from hamlearn.workflow.automatic.rules import Choice
from hamlearn.workflow.automatic.sampling import Sample, sample_of

if TYPE_CHECKING:
    from ase import Atoms

    from hamlearn.learning.groups import Group

SMALLER = (3000, 1500, 500)
"""Numbers of features that are tried where a fit of the usual one takes too long."""

MARGIN = 1.3
"""Of an advised time: the same guess, timed again, may take longer."""

NAMED = "as the workflow says"


@dataclass(frozen=True)
class Chooser:
    """A workflow of matrices with its molecules.

    Args:
        given: the workflow; what it names stays.
        structures: those of the run, the training set first.
        workers: processes that calculate.
    """

    given: Config
    structures: Sequence[Atoms]
    workers: int = 1

    def plan(self) -> Plan:
        """Return all settings, why they were chosen, and what the run is expected to take.

        Raises:
            ConfigError: if nothing fits into ``time_minutes``, naming the least that would do.
        """
        config, of_target = self._with_target()
        config, of_model = self._with_model(config)
        config, of_bars = with_error_bars(config, self.training, n_targets_of(config, self.species))
        for candidate, more in _by_size(config):
            costs = self._costs(candidate)
            if candidate.model.time_minutes is None or costs.total_s <= 60 * candidate.model.time_minutes:
                return Plan(candidate, (*of_target, *of_model, *of_bars, *more), costs)
        raise _too_long(config, costs)

    @property
    def training(self) -> Sequence[Atoms]:
        """The training set."""
        return self.structures[: self.given.split.train]

    @property
    def qm(self) -> QMSettings:
        """How matrices are computed."""
        assert self.given.qm is not None
        return self.given.qm

    @cached_property
    def species(self) -> list[int]:
        """Elements of the molecules, ascending."""
        return sorted({int(z) for atoms in self.structures for z in atoms.numbers})

    @cached_property
    def facts(self) -> Facts:
        """What counts and sizes say."""
        return facts_of(self.training, self.structures, self.qm)

    @cached_property
    def sample(self) -> Sample:
        """What the guess says of some molecules; of their levels only where the target is open."""
        return sample_of(self.training, self.qm, crossing=leaves_target(self.given) and not rules.is_small(self.facts))

    def _with_target(self) -> tuple[Config, list[Choice]]:
        target = self.given.target
        assert isinstance(target, MatrixTarget)
        if not leaves_target(self.given):
            words = target.kind if target.delta == "none" else f"{target.kind}, delta {target.delta}"
            return self.given, [Choice("target", words, NAMED)]
        settled = rules.settled_delta(self.facts) is not None
        of_kind = rules.matrix(self.facts, self.sample.crossing)
        of_delta = rules.delta(self.facts, None if settled else scatter_ev(self.training, self.qm))
        chosen = {"saph": SaphTarget, "lowdin": LowdinTarget}[of_kind.value](delta=of_delta.value)
        return self.given.model_copy(update={"target": chosen}), [of_kind, of_delta]

    def _with_model(self, config: Config) -> tuple[Config, list[Choice]]:
        model = config.model
        if not leaves_features(config):
            inner = getattr(model, "features", None) or getattr(model, "kernel", None)
            words = model.kind if inner is None else f"{model.kind}, {inner.kind}"
            return config, [Choice("model", words, NAMED)]
        features, choice = rules.features(self.facts)
        return config.model_copy(update={"model": model.model_copy(update={"features": features})}), [choice]

    def _costs(self, config: Config) -> Costs:
        """Return what the run is expected to take."""
        from hamlearn.qm.molecule import n_functions

        target, split, sample = config.target, config.split, self.sample
        assert isinstance(target, MatrixTarget)
        n_targets = n_targets_of(config, self.species)
        counts = [n_functions(self.qm.basis, atoms.numbers) for atoms in self.structures]
        sizes = [*(n for n in split.curve if n < split.train for _ in range(split.repeats)), split.train]
        fits = [fit for n in sizes if (fit := fit_costs(config.model, self.training[:n], n_targets)) is not None]
        further = target.delta not in ("none", self.qm.guess)
        return Costs(
            calculations_s=sum(calculation_seconds(sample, n, further) for n in counts) / self.workers,
            calculation_s=calculation_seconds(sample, sample.n_functions, False),
            guess_s=guess_seconds(sample, target.delta),
            fits=tuple(fits) or None,
            disk_gb=disk_gigabytes(counts),
        )


def n_targets_of(config: Config, species: Sequence[int]) -> dict[Group, int]:
    """Return the number of targets of every group of blocks of a workflow of matrices."""
    from hamlearn.learning.tasks import targets_of
    from hamlearn.targets import target_orbitals

    qm, target = config.qm, config.target
    assert qm is not None and isinstance(target, MatrixTarget)
    n_channels = 2 if qm.has_spins else 1
    orbitals = target_orbitals(target, qm.basis, species)
    return {group: n_channels * n for group, n in targets_of(orbitals).items()}


def leaves_target(config: Config) -> bool:
    """Return whether a workflow says nothing of the target."""
    return not config.is_property and "target" not in config.model_fields_set


def leaves_features(config: Config) -> bool:
    """Return whether a workflow of matrices by ridge regression says nothing of features."""
    named = {"features", "max_features", "features_by"} & config.model.model_fields_set
    return type(config.model) is RidgeSettings and not config.is_property and not named


def begun(config: Config, made: Path, structures: Sequence[Atoms]) -> Config:
    """Return a workflow with what the run that was begun with it has where it leaves settings open.

    Error bars of another kind of model, or of more or fewer training structures, are chosen anew.

    Args:
        config: the workflow.
        made: settings of the run.
        structures: those of the run, the training set first.
    """
    known = load_config(made)
    changed: dict[str, object] = {}
    if leaves_target(config) and isinstance(known.target, MatrixTarget):
        changed["target"] = known.target
    of_model: dict[str, object] = {}
    if leaves_features(config) and type(known.model) is RidgeSettings:
        of_model["features"] = known.model.features
    is_alike = type(known.model) is type(config.model) and known.split.train == config.split.train
    if leaves_error_bars(config) and is_alike:
        of_model["error_bars"] = known.model.error_bars
    changed["model"] = config.model.model_copy(update=of_model)
    settled = config.model_copy(update=changed)
    if is_alike or not leaves_error_bars(settled):
        return settled
    species = sorted({int(z) for atoms in structures for z in atoms.numbers})
    return with_error_bars(settled, structures[: config.split.train], n_targets_of(settled, species))[0]


def _by_size(config: Config) -> Iterator[tuple[Config, list[Choice]]]:
    """Yield a workflow with as many features as memory holds, then, where its time is bounded, with fewer."""
    yield config, []
    model = config.model
    if not isinstance(model, RidgeSettings) or not isinstance(model.features, BondFrameFeatures):
        return
    if model.features.max_features is None and model.time_minutes is not None:
        for most in SMALLER:
            features = model.features.model_copy(update={"max_features": most})
            choice = Choice("model.features.max_features", str(most), f"as {model.time_minutes:g} minutes hold")
            yield config.model_copy(update={"model": model.model_copy(update={"features": features})}), [choice]


def _too_long(config: Config, costs: Costs) -> ConfigError:
    """Return the refusal of a bound on the time, with what the smallest fit would take."""
    least = math.ceil(10 * costs.total_s / 60 * MARGIN) / 10
    fits = sum(fit.seconds for fit in costs.fits or ())
    without = "model.error_bars: false, " if config.model.error_bars else ""
    return ConfigError(
        f"calculations take about {duration(costs.calculations_s)} and fits at least {duration(fits)}, more than "
        f"model.time_minutes = {config.model.time_minutes:g}; set model.time_minutes: {least:g}, {without}use more "
        "workers (--executor), or fewer structures (split.train, split.test)"
    )
