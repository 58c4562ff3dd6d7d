"""The stages of a run, one method each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hamlearn.artifacts import read_json, write_json
from hamlearn.config import Config, TargetSettings
from hamlearn.errors import ArtifactError, SCFError
from hamlearn.progress import Progress
from hamlearn.structures import check_structures, read_structures, split, training_orders
from hamlearn.workflow.prediction import write_predictions

if TYPE_CHECKING:
    from ase import Atoms

    from hamlearn.hamiltonian_model import HamiltonianModel
    from hamlearn.qm import Campaign
    from hamlearn.targets import Target

IntArray = NDArray[np.int64]
RESULTS_VERSION = PART_VERSION = 1
DAMAGED = "delete it and run again"


def guess_focks(target: TargetSettings) -> tuple[str, ...]:
    """Return the guess Fock matrices a target needs."""
    return () if target.delta == "none" else (target.delta,)


class Run:
    """A run folder and what the stages have made of it so far.

    Args:
        config: the workflow.
        out: run folder.
        executor: where calculations run.
        echo: receives progress lines.
    """

    def __init__(self, config: Config, out: Path, executor: str, echo: Callable[[str], None]) -> None:
        self.config, self.out, self.executor, self.echo = config, out, executor, echo
        self.campaign: Campaign | None = None

    def check_input(self) -> None:
        """Read and check structures, split, basis and functional before anything is written."""
        from hamlearn.models.domain import check_domain, families_of
        from hamlearn.parallel import open_executor
        from hamlearn.qm import check_basis
        from hamlearn.qm.method import check_functional
        from hamlearn.targets import target_orbitals

        open_executor(self.executor)  # refuses a wrong one; opened only where it is entered
        if self.config.qm.xc:
            check_functional(self.config.qm.xc)
        species = {int(z) for atoms in self.structures for z in atoms.numbers}
        check_basis(self.config.qm.basis, species)
        target_orbitals(self.config.target, self.config.qm.basis, sorted(species))
        train, test = ([self.all_structures[k] for k in part] for part in self._split)
        check_domain(test, families_of(train), self.config.features.pair_cutoff_angstrom, self._split[1])

    @cached_property
    def all_structures(self) -> list[Atoms]:
        """All structures of the input file."""
        structures = read_structures(self.config.structures.file)
        check_structures(structures, source=self.config.structures.file)
        return structures

    @cached_property
    def _split(self) -> tuple[IntArray, IntArray]:
        s = self.config.split
        return split(len(self.all_structures), s.train, s.test, s.seed)

    @cached_property
    def used(self) -> IntArray:
        """Positions in the input file of the structures of this run: training set, then test set."""
        return np.concatenate(self._split)

    @cached_property
    def structures(self) -> list[Atoms]:
        """The structures of this run."""
        return [self.all_structures[index] for index in self.used]

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
        n_train = len(self._split[0])
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
        """Fit the final model on the whole training set."""
        from hamlearn.hamiltonian_model import load_model

        folder = self.out / "model"
        if folder.exists():
            self.model = load_model(folder)
            return
        start = time.perf_counter()
        self.model = self._fit(self.train, "fit")
        features = self.model.block_model_.feature_seconds_
        self._record("features", features)
        self._record("fit", time.perf_counter() - start - features)
        self.model.save(folder)

    def evaluate(self) -> None:
        """Predict the test set and measure the errors."""
        from hamlearn.workflow.errors_of_run import measure

        written = [(self.out / name).exists() for name in ("evaluation.json", "test_levels.npz")]
        if not len(self.test) or all(written):
            return
        structures = [self.structures[k] for k in self.test]
        with self._timed("predict"):
            predictions = self.model.predict(structures, self.executor)
        write_predictions(self.out / "predictions", structures, predictions)
        targets = [self.target_of[k] for k in self.test]
        measured = measure(self.out, self.model, structures, predictions, targets, self.used[self.test])
        self._write("evaluation", measured)

    def curve(self) -> None:
        """Fit and test on nested subsets of each order of the training set."""
        from hamlearn.observables import metrics, reference_prediction

        s = self.config.split
        orders = training_orders(self.train, s.repeats, s.seed)
        targets = [self.target_of[k] for k in self.test]
        references = [reference_prediction(target) for target in targets]
        sides = [(target.metric, target.baseline) for target in targets]
        tested = [self.structures[k] for k in self.test]
        for order, members in enumerate(orders):
            for n in [n for n in s.curve if n <= len(self.train)]:
                name = f"curve/order-{order}-train-{n}"
                if (self.out / f"{name}.json").exists() or not self._covers(members[:n], tested, n):
                    continue
                start = time.perf_counter()
                whole = n == len(self.train)
                model = (
                    self.model if whole else self._fit(members[:n], f"learning curve, order {order + 1} of {s.repeats}")
                )
                errors = metrics(model.predict(tested, sides=sides), references)
                self._write(name, {"n_train": n, "order": order, **errors, "seconds": time.perf_counter() - start})

    def results(self, peak_memory_gb: float) -> dict[str, Any]:
        """Gather results.json; one that is complete already is left as it is."""
        from hamlearn.hamiltonian_model.folder import write_card

        path = self.out / "results.json"
        curve = self._curve_rows()
        if path.exists():
            known = read_json(path, "results", RESULTS_VERSION, DAMAGED)
            if len(known["learning_curve"]) == len(curve):
                return known
            peak_memory_gb = max(peak_memory_gb, known["peak_memory_gb"])
        evaluation = self._read("evaluation") if len(self.test) else {}
        seconds = {stage: self._times.get(stage, 0.0) for stage in ("qm", "targets", "features", "fit", "predict")}
        results = {
            "n_train": len(self.train),
            "n_test": len(self.test),
            **evaluation,
            "n_structures": len(self.train) + len(self.test),
            "formulas": dict(Counter(atoms.get_chemical_formula() for atoms in self.structures)),
            "target": self.config.target.model_dump(mode="json"),
            "failures": {str(self.used[k]): reason for k, reason in self._campaign_failures().items()},
            "seconds": seconds | {"curve": sum(row.pop("seconds") for row in curve)},
            "peak_memory_gb": peak_memory_gb,
            "learning_curve": curve,
        }
        write_card(self.out / "model", results)
        write_json(path, "results", RESULTS_VERSION, results)  # last: its presence says that the run is done
        return read_json(path, "results", RESULTS_VERSION, DAMAGED)

    def report(self) -> Path:
        """Write report.html."""
        from hamlearn.report import write_report

        return write_report(self.out)

    def _fit(self, members: IntArray, label: str) -> HamiltonianModel:
        from hamlearn.hamiltonian_model import HamiltonianModel

        c = self.config
        model = HamiltonianModel(qm=c.qm, target=c.target, features=c.features, model=c.model)
        structures, targets = [self.structures[k] for k in members], [self.target_of[k] for k in members]
        return model.fit(structures, targets, self.echo, f"{label}, {len(members)} structures, groups of blocks")

    def _campaign_failures(self) -> Mapping[int, str]:
        assert self.campaign is not None
        return self.campaign.failures

    def _covers(self, members: IntArray, tested: Sequence[Atoms], n: int) -> bool:
        """Return whether a training subset holds every element and pair of the test set; say so if not."""
        from hamlearn.models.domain import families_of, outside

        known = families_of([self.structures[k] for k in members])
        missing = next((words for atoms in tested if (words := outside(atoms.numbers, known))), "")
        if missing:
            self.echo(f"learning curve: {n} structures are left out ({missing} of this size)")
        return not missing

    def _curve_rows(self) -> list[dict[str, Any]]:
        names = [f"curve/{path.stem}" for path in (self.out / "curve").glob("order-*.json")]
        return sorted(map(self._read, names), key=lambda row: (row["order"], row["n_train"]))

    @cached_property
    def _times(self) -> dict[str, float]:
        return self._read("seconds") if (self.out / "seconds.json").exists() else {}

    def _record(self, stage: str, seconds: float) -> None:
        self._times[stage] = seconds
        self._write("seconds", self._times)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._record(stage, time.perf_counter() - start)

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        write_json(self.out / f"{name}.json", name.partition("/")[0], PART_VERSION, content)

    def _read(self, name: str) -> dict[str, Any]:
        return read_json(self.out / f"{name}.json", name.partition("/")[0], PART_VERSION, DAMAGED)
