"""The stages of a run that learns a matrix, one method each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hamlearn.config import Config, FeatureSettings, ModelSettings, TargetSettings, WignerSettings
from hamlearn.errors import ArtifactError, ConfigError, SCFError
from hamlearn.progress import Progress
from hamlearn.types import IntArray
from hamlearn.workflow.prediction import write_predictions
from hamlearn.workflow.run_folder import RunFolder

if TYPE_CHECKING:
    from ase import Atoms

    from hamlearn.model.hamiltonian import HamiltonianModel
    from hamlearn.observables import Prediction
    from hamlearn.qm import Campaign
    from hamlearn.targets import Target


def guess_focks(target: TargetSettings) -> tuple[str, ...]:
    """Return the guess Fock matrices a target needs."""
    return () if target.delta == "none" else (target.delta,)


class Run(RunFolder):
    """A run that learns a matrix: calculations, targets, model, errors."""

    STAGES = ("qm", "targets", "fit", "evaluate", "curve")
    TIMED = ("qm", "targets", "features", "fit", "predict")

    def __init__(self, config: Config, out: Path, executor: str, echo: Callable[[str], None]) -> None:
        super().__init__(config, out, executor, echo)
        self.campaign: Campaign | None = None

    def check_input(self) -> None:
        """Read and check structures, split, basis and functional before anything is written."""
        from hamlearn.learning.choice import grid_of
        from hamlearn.learning.domain import Domain
        from hamlearn.learning.groups import groups_of
        from hamlearn.learning.kernel_learner import KernelBlockModel
        from hamlearn.parallel import open_executor
        from hamlearn.qm import check_basis
        from hamlearn.qm.method import check_functional
        from hamlearn.targets import target_orbitals

        open_executor(self.executor)  # refuses a wrong one; opened only where it is entered
        if self.config.qm.xc:
            check_functional(self.config.qm.xc)
        species = {int(z) for atoms in self.structures for z in atoms.numbers}
        check_basis(self.config.qm.basis, species)
        orbitals = target_orbitals(self.config.target, self.config.qm.basis, sorted(species))
        train, test = ([self.all_structures[k] for k in part] for part in self.split)
        c = self.config
        environments: Sequence[FeatureSettings | WignerSettings] = [c.features]
        if c.model.kind == "wigner":
            KernelBlockModel(c.wigner, c.model).check(train, groups_of(orbitals), held_out=c.model.error_bars)
            self._check_smallest_of_curve(train)
            unlike = {(s.cutoff_angstrom, s.element_likeness is None): s for s in grid_of(c.wigner)}
            environments = list(unlike.values())
        for settings in environments:
            Domain.of(train, settings).check(test, self.split[1])

    def _check_smallest_of_curve(self, train: Sequence[Atoms]) -> None:
        """Refuse a learning curve whose smallest model cannot be fitted."""
        from hamlearn.learning.kernel_learner import KernelBlockModel

        if not self.config.split.curve:
            return
        some = train[: self.config.split.curve[0]]
        try:
            KernelBlockModel(self.config.wigner.model_copy(update={"grid": None}), self._smaller(some)).check(some)
        except ConfigError as error:
            raise ConfigError(f"split.curve starts at {len(some)}: {error}") from None

    def _smaller(self, members: Sequence[Atoms]) -> ModelSettings:
        """Return the regression of a point of the learning curve, which needs no error bars."""
        from hamlearn.learning.active import clipped_active

        c = self.config.model
        active = clipped_active(c.active, members) if c.kind == "wigner" else c.active
        return c.model_copy(update={"error_bars": False, "active": active})

    def qm(self, stages: Sequence[str], shard: tuple[int, int] | None, retry_failed: bool = False) -> dict[int, str]:
        """Compute what is missing; return the failures by position in the input file."""
        from hamlearn.qm import run_campaign

        start = time.perf_counter()
        self.campaign = run_campaign(
            self.structures,
            self.config.qm,
            self.out / "qm",
            guess_focks=guess_focks(self.config.target),
            executor=self.executor,
            shard=shard,
            retry_failed=retry_failed,
            echo=self.echo,
        )
        if not shard and not (self.out / "evaluation.json").exists():  # all calls that led to these records
            self._record("qm", self._times.get("qm", 0.0) + time.perf_counter() - start)
        failed = set(self.campaign.failures)
        n_train = len(self.split[0])
        self.train = np.array([k for k in range(n_train) if k not in failed], dtype=np.int64)
        self.test = np.array([k for k in range(n_train, len(self.used)) if k not in failed], dtype=np.int64)
        failures = {int(self.used[k]): reason for k, reason in self.campaign.failures.items()}
        if len(stages) > 1 and (not len(self.train) or (self.config.split.test and not len(self.test))):
            listed = "\n  ".join(f"structure {index}: {reason}" for index, reason in failures.items())
            raise SCFError(f"too many calculations failed to go on:\n  {listed}")
        return failures

    def targets(self) -> None:
        """Build the matrix to learn of every finished molecule."""
        from hamlearn.targets import build_target, load_targets, save_targets
        from hamlearn.workflow.errors_of_run import write_diagnostics

        assert self.campaign is not None
        finished = np.concatenate([self.train, self.test])
        diagnostics = self.out / "diagnostics.npz"
        if (self.out / "targets" / "targets.npz").exists():
            built = load_targets(self.out / "targets")
            if len(built) != len(finished):
                raise ArtifactError(
                    f"{self.out} holds targets of {len(built)} molecules, but {len(finished)} calculations; "
                    "something in its qm folder changed: give a new folder"
                )
            if not diagnostics.exists():
                write_diagnostics(diagnostics, built, self.used[finished])
        else:
            built = []
            with self._timed("targets"), Progress("targets", len(finished), self.echo) as progress:
                for k in finished:
                    built.append(build_target(self.campaign.load(int(k)), self.config.target))
                    progress.advance()
            write_diagnostics(diagnostics, built, self.used[finished])
            save_targets(self.out / "targets", built)  # last: its presence says that the stage is done
        self.target_of: dict[int, Target] = dict(zip(finished.tolist(), built, strict=True))

    def fit(self) -> None:
        """Fit the final model; its kernels are removed once it is on disk."""
        from hamlearn.learning.tiles import remove_kernels

        super().fit()
        self.model.forget_kernels()
        remove_kernels(self.out / "kernels")  # also those of a run that was killed here

    def evaluate(self) -> None:
        """Predict the test set and measure the errors."""
        from hamlearn.workflow.errors_of_run import measure

        written = [(self.out / name).exists() for name in ("evaluation.json", "test_levels.npz")]
        if not len(self.test) or all(written):
            return
        with self._timed("predict"):
            predictions = self.model.predict(self.tested, self.executor, std=self.config.model.error_bars and "levels")
        write_predictions(self.out / "predictions", self.tested, predictions)
        targets = [self.target_of[k] for k in self.test]
        measured = measure(self.out, self.model, self.tested, predictions, targets, self.used[self.test])
        self._write("evaluation", measured)

    def _fit(self, members: IntArray, label: str) -> HamiltonianModel:
        from hamlearn.model.hamiltonian import HamiltonianModel

        c = self.config
        members_of = [self.structures[k] for k in members]
        whole = len(members) == len(self.train)
        settings = self._smaller(members_of).model_copy(update={"error_bars": c.model.error_bars and whole})
        wigner = c.wigner if self.model is None else self.model.wigner  # once chosen of a grid, it stays
        model = HamiltonianModel(c.qm, c.target, c.features, wigner, settings, scratch=self.out / "kernels")
        targets = [self.target_of[k] for k in members]
        label = f"{label}, {len(members)} structures"
        return model.fit(members_of, targets, self.echo, label, self.executor)

    def _load_model(self, folder: Path) -> HamiltonianModel:
        from hamlearn.model.hamiltonian_folder import load_model

        return load_model(folder)

    def _record_fit(self, seconds: float) -> None:
        features = self.model.block_model_.feature_seconds_
        self._record("features", features)
        self._record("fit", seconds - features)

    def _errors(self, model: HamiltonianModel) -> dict[str, Any]:
        from hamlearn.observables import metrics

        model.forget_kernels()
        sides = [(self.target_of[k].metric, self.target_of[k].baseline) for k in self.test]
        return metrics(model.predict(self.tested, self.executor, sides), self._references)

    @cached_property
    def _references(self) -> list[Prediction]:
        from hamlearn.observables import reference_prediction

        return [reference_prediction(self.target_of[k]) for k in self.test]

    def _missing(self, members: Sequence[Atoms]) -> str:
        from hamlearn.learning.domain import Domain

        domain = Domain.of(members, self.model.environment)
        return next((words for atoms in self.tested if (words := domain.lacks(atoms))), "")

    def _write_card(self, results: Mapping[str, Any]) -> None:
        from hamlearn.model.hamiltonian_folder import write_card

        write_card(self.out / "model", results)

    def _failures(self) -> Mapping[int, str]:
        assert self.campaign is not None
        return self.campaign.failures
