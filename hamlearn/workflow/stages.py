"""The stages of a run that learns a matrix, one method each."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hamlearn.config import Config, MatrixTarget, ModelSettings, QMSettings
from hamlearn.errors import FarPairsWarning, SCFError
from hamlearn.job import Job
from hamlearn.types import IntArray
from hamlearn.workflow.dependencies import STAGES, put_aside
from hamlearn.workflow.prediction_files import Predicted, write_predictions
from hamlearn.workflow.run_folder import RunFolder

if TYPE_CHECKING:
    from hamlearn.model.hamiltonian import HamiltonianModel
    from hamlearn.observables import AnyPrediction
    from hamlearn.qm import Campaign
    from hamlearn.targets import Target
    from hamlearn.workflow.automatic.plan import Plan

FEWEST_OF_HALF, MOST_SECONDS_OF_HALF = 20, 60.0
"""Half of a training set is fitted to see how errors fall, where it holds so many structures and the fit was short."""


@contextmanager
def far_pairs_are_told() -> Iterator[None]:
    """Be silent about pairs beyond the cut-off: the stage fit has told of those of all structures."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FarPairsWarning)
        yield


class Run(RunFolder["HamiltonianModel"]):
    """A run that learns a matrix: calculations, targets, model, errors.

    Args:
        config: the workflow.
        out: run folder.
        job: where and how loudly the work is done.
        shard: (i, n) to compute only every n-th calculation from the i-th.
        retry_failed: compute again what failed before.
        qm_from: folders whose calculations to take.
    """

    TIMED = ("qm", "targets", "features", "fit", "predict")
    OF_PAIRS = True

    def __init__(
        self,
        config: Config,
        out: Path,
        job: Job,
        shard: tuple[int, int] | None = None,
        retry_failed: bool = False,
        qm_from: Sequence[str | Path] = (),
    ) -> None:
        super().__init__(config, out, job)
        self.shard, self.retry_failed, self.qm_from = shard, retry_failed, qm_from
        self._campaign: Campaign | None = None
        self.plan: Plan | None = None

    @property
    def stages(self) -> dict[str, Callable[[], None]]:
        """What is done, by name, in the order it is done."""
        return {
            "qm": self.qm,
            "targets": self.targets,
            "fit": self.fit,
            "evaluate": self.evaluate,
            "curve": self.curve,
        }

    @property
    def campaign(self) -> Campaign:
        """The calculations, once the stage qm is done."""
        assert self._campaign is not None
        return self._campaign

    @property
    def failures(self) -> dict[int, str]:
        """Reason of every failed calculation, by position in the input file."""
        return {int(self.used[k]): reason for k, reason in self.campaign.failures.items()}

    @property
    def doubtful_states(self) -> dict[str, str]:
        """What is doubtful of states that the SCF came to, by position in the input file; older runs do not know."""
        return dict(self._read("scf_states")["doubtful"]) if (self.out / "scf_states.json").exists() else {}

    def check_input(self) -> None:
        """Read and check structures, split, basis and functional before anything is written."""
        from hamlearn.qm import check_basis
        from hamlearn.qm.guess import check_elements
        from hamlearn.qm.method import check_functional
        from hamlearn.qm.options import check_options
        from hamlearn.qm.sharing import check_store, source_of, store_of
        from hamlearn.structures.checks import common_state
        from hamlearn.targets.build import guess_focks
        from hamlearn.workflow.automatic.choosing import n_targets_of

        qm = self.qm_settings
        if qm.xc:
            check_functional(qm.xc)
        check_options(qm)
        assert self.config.qm is not None
        check_store(store_of(self.config.qm.store, self.out))
        for folder in self.qm_from:
            source_of(folder, qm)
        common_state(self.structures, qm, f"{self.config.structures.file} (the structures of this run)")
        species = sorted({int(z) for atoms in self.structures for z in atoms.numbers})
        check_basis(qm.basis, species)
        self._settle()
        check_elements({qm.guess, *guess_focks(self.target)}, species, qm.basis)
        self._check_learner(n_targets_of(self.config, species), held_out=bool(self.config.model.error_bars))

    def _settle(self) -> None:
        """Choose what the workflow leaves out, and tell; a run that was begun goes on as it is."""
        from hamlearn.parallel.opening import n_workers
        from hamlearn.workflow.automatic import CONFIG
        from hamlearn.workflow.automatic.choosing import Chooser, begun

        if (self.out / CONFIG).exists():
            self.config = begun(self.config, self.out / CONFIG, self.structures)
            return
        self.plan = Chooser(self.config, self.structures, n_workers(self.job.executor)).plan()
        self.config = self.plan.config
        for line in self.plan.lines():
            self.job.say(line)

    @property
    def kernels(self) -> Path:
        """Folder that keeps the kernels of a fit until it is done."""
        return self.out / "kernels"

    @property
    def qm_settings(self) -> QMSettings:
        """How matrices are computed."""
        assert self.config.qm is not None
        return self.config.qm.model_copy(update={"store": QMSettings().store})  # models know nothing of places

    @property
    def target(self) -> MatrixTarget:
        """Which matrix is learned."""
        assert isinstance(self.config.target, MatrixTarget)
        return self.config.target

    def qm(self) -> None:
        """Compute what is missing."""
        from hamlearn.qm import run_campaign
        from hamlearn.qm.sharing import store_of
        from hamlearn.targets.build import guess_focks

        assert self.config.qm is not None
        start = time.perf_counter()
        self._campaign = run_campaign(
            self.structures,
            self.qm_settings,
            self.out / "qm",
            guess_focks=guess_focks(self.target),
            executor=self.job.executor,
            shard=self.shard,
            retry_failed=self.retry_failed,
            echo=self.job.echo,
            store=store_of(self.config.qm.store, self.out),
            qm_from=self.qm_from,
        )
        if not self.shard and not (self.out / "evaluation.json").exists():  # all calls that led to these records
            self._record("qm", self._times.get("qm", 0.0) + time.perf_counter() - start)
        failed = set(self.campaign.failures)
        n_train = len(self.split[0])
        self.train = np.array([k for k in range(n_train) if k not in failed], dtype=np.int64)
        self.test = np.array([k for k in range(n_train, len(self.used)) if k not in failed], dtype=np.int64)

    def targets(self) -> None:
        """Build the matrix to learn of every finished molecule."""
        from hamlearn.qm.stability import state_flag
        from hamlearn.targets import build_target, save_targets
        from hamlearn.workflow.errors_of_run import write_diagnostics

        if not len(self.train) or (self.config.split.test and not len(self.test)):
            listed = "\n  ".join(f"structure {index}: {reason}" for index, reason in self.failures.items())
            raise SCFError(f"too many calculations failed to go on:\n  {listed}")
        finished = np.concatenate([self.train, self.test])
        diagnostics = self.out / "diagnostics.npz"
        built = self._built(finished)
        if built:
            if not diagnostics.exists():
                write_diagnostics(diagnostics, built, self.used[finished])
        else:
            doubtful = {}
            costs = [len(self.structures[k]) ** 3 for k in finished]
            with self._timed("targets"), self.job.progress("targets", costs) as progress:
                for k in finished:
                    record = self.campaign.load(int(k))
                    built.append(build_target(record, self.target))
                    if flag := state_flag(record.provenance):
                        doubtful[str(self.used[k])] = flag
                    progress.advance()
            self._write("scf_states", {"doubtful": doubtful})
            write_diagnostics(diagnostics, built, self.used[finished])
            save_targets(self.out / "targets", built)  # last: its presence says that the stage is done
        self.target_of: dict[int, Target] = dict(zip(finished.tolist(), built, strict=True))

    def _built(self, finished: IntArray) -> list[Target]:
        """Return the targets of finished molecules, if they are there; those of others are put aside."""
        from hamlearn.targets import load_targets

        if not (self.out / "targets" / "targets.npz").exists():
            return []
        built, structures = load_targets(self.out / "targets"), [self.structures[k] for k in finished]
        if len(built) == len(finished) and all(
            np.array_equal(target.numbers, atoms.numbers)
            and (target.origin is None or target.origin.is_at(atoms.positions))
            for target, atoms in zip(built, structures, strict=True)
        ):
            return built
        aside = put_aside(self.out, [name for name in STAGES if name != "qm"])
        self.job.say(f"other calculations than before are finished: what was made of those is in {aside}")
        return []

    def fit(self) -> None:
        """Fit the final model; its kernels are removed once it is on disk."""
        from hamlearn.learning.domain import warn_of_far_pairs
        from hamlearn.learning.tiles import remove_kernels

        with far_pairs_are_told():
            super().fit()
        warn_of_far_pairs(self.structures, self.model.learner_.pair_cutoff, self.used)
        remove_kernels(self.kernels)  # also those of a run that was killed here

    @far_pairs_are_told()
    def evaluate(self) -> None:
        """Predict the test set and measure the errors."""
        from hamlearn.workflow.errors_of_run import measure, predicted

        indices = self.used[self.test].tolist()
        written = [(self.out / name).exists() for name in ("evaluation.json", "test_levels.npz")]
        if not len(self.test) or all(written):
            return
        with self._timed("predict"):
            predictions = predicted(self.model, self.tested, self.job, indices)
        whose = Predicted(self.tested, predictions, self.out / "model", indices)
        write_predictions(self.out / "predictions", whose, self.model, self._references)
        targets = [self.target_of[k] for k in self.test]
        measured = measure(self.out, self.model, self.tested, predictions, targets, self.used[self.test])
        self._write("evaluation", measured)

    @far_pairs_are_told()
    def curve(self) -> None:
        """Fit and test on nested subsets of each order of the training set; on half of it if none are asked for."""
        super().curve()
        half, seconds = len(self.train) // 2, sum(self._times.get(stage, np.inf) for stage in ("features", "fit"))
        known = self.config.split.curve or (self.out / "half.json").exists()
        if known or half < FEWEST_OF_HALF or not len(self.test) or seconds > MOST_SECONDS_OF_HALF:
            return
        from hamlearn.learning.registry import smaller

        members = self.train[:half]
        structures = [self.structures[k] for k in members]
        if not self._missing(structures):
            chosen = smaller(self.model.learner_.chosen(), structures)
            self._write("half", {"n_train": half, "order": 0, **self._errors(self._fit(members, chosen, "half"))})

    def _fit(self, members: IntArray, settings: ModelSettings, label: str) -> HamiltonianModel:
        from hamlearn.model.hamiltonian import HamiltonianModel

        model = HamiltonianModel(self.qm_settings, self.target, settings)
        structures, targets = [self.structures[k] for k in members], [self.target_of[k] for k in members]
        job = replace(self.job, scratch=self.kernels, label=f"{label}, {len(members)} structures")
        return model.fit(structures, targets, job, flags=len(members) == len(self.train))

    def _verdict(self, results: dict[str, Any]) -> dict[str, Any]:
        from hamlearn.workflow.automatic.facts import best_guess
        from hamlearn.workflow.verdict import sizes_tested, verdict

        half = self._read("half") if (self.out / "half.json").exists() else None
        judgement = results.pop("judgement", None)
        held_out = None if judgement else self.model.training_.get("held_out")
        if judgement is None and len(self.test):  # tested by a version that did not judge
            return {}
        sections = {name: getattr(self.config, name).model_dump(mode="json") for name in ("target", "model")}
        blocks, sizes = results.get("block_errors", ()), sizes_tested(results, half)
        if judgement:
            judgement["flagged"] = results.get("flagged", 0)
        qm = self.qm_settings  # of open shells an SCF in a small basis may find another state
        guess = None if qm.has_spins else best_guess([self.structures[k] for k in self.train], qm)
        return {"verdict": verdict(judgement or held_out, blocks, sizes, sections, judgement is None, guess)}

    def _record_fit(self, seconds: float) -> None:
        features = self.model.learner_.feature_seconds_
        self._record("features", features)
        self._record("fit", seconds - features)

    def _errors(self, model: HamiltonianModel) -> dict[str, Any]:
        from hamlearn.learning.tiles import remove_kernels
        from hamlearn.observables import metrics

        remove_kernels(self.kernels)
        sides = [self.target_of[k].side for k in self.test]
        return metrics(model.predict(self.tested, self.job, sides, flags=False), self._references)

    @cached_property
    def _references(self) -> list[AnyPrediction]:
        from hamlearn.observables import reference_prediction

        return [reference_prediction(self.target_of[k]) for k in self.test]
