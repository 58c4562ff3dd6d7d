"""Settings that a workflow leaves out: rules, what they look at, plans, and runs that go on with their own."""

import dataclasses
import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write
from typer.testing import CliRunner

import hamlearn
from hamlearn.cli.shell import app
from hamlearn.config import BondFrameFeatures, Config, CoupledFeatures, QMSettings, SaphTarget, dump_config
from hamlearn.errors import ConfigError
from hamlearn.workflow.automatic import CONFIG, rules
from hamlearn.workflow.automatic.choosing import Chooser, begun, leaves_features, leaves_target
from hamlearn.workflow.automatic.costs import FitCosts, calculation_seconds, fit_costs
from hamlearn.workflow.automatic.facts import Facts, facts_of, scatter_ev
from hamlearn.workflow.automatic.plan import duration
from hamlearn.workflow.automatic.sampling import Sample, sample_of
from hamlearn.workflow.planning import resolved

WATER, PEROXIDE = molecule("H2O"), molecule("H2O2")
ETHANOL = Facts(n_train=400, most_atoms=9, per_formula=400, vibrations=21, guess="sto-3g", has_spins=False)
STO = QMSettings(basis="sto-3g")


def like(facts, **changed):
    return dataclasses.replace(facts, **changed)


def shaken(atoms, n, size=0.05):
    out = [atoms.copy() for _ in range(n)]
    for seed, each in enumerate(out):
        each.rattle(size, seed=seed)
    return out


def config(file="molecules.xyz", train=2, test=0, **sections):
    return Config(structures={"file": str(file)}, split={"train": train, "test": test}, **sections)


# rules


@pytest.mark.parametrize(("atoms", "kind"), [(2, "coupled"), (3, "coupled"), (4, "bond_frame"), (30, "bond_frame")])
def test_features_suit_the_size_of_molecules(atoms, kind):
    chosen, choice = rules.features(like(ETHANOL, most_atoms=atoms))
    assert chosen.kind == choice.value == kind and choice.setting == "model.features.kind"


@pytest.mark.parametrize(
    ("crossing", "kind"), [(None, "saph"), (0.0, "saph"), (0.1, "saph"), (0.2, "lowdin"), (1.0, "lowdin")]
)
def test_levels_that_cross_are_learned_all_together(crossing, kind):
    assert rules.matrix(ETHANOL, crossing).value == kind


@pytest.mark.parametrize(
    ("changed", "scatter", "delta"),
    [
        ({}, 0.35, "none"),  # ethanol, 400
        ({"per_formula": 100}, 0.35, "sto-3g"),
        ({"per_formula": 100}, 0.1, "none"),  # a cold set
        ({}, 1.5, "sto-3g"),  # a hot one
        ({}, None, "sto-3g"),
        ({"per_formula": 1}, None, "sto-3g"),  # as QM7
        ({"most_atoms": 3, "vibrations": 3, "per_formula": 10}, None, "none"),  # water
        ({"guess": None, "per_formula": 10}, None, "none"),
        ({"guess": "minao", "per_formula": 10}, None, "minao"),
        ({"has_spins": True, "per_formula": 10}, None, "none"),
    ],
)
def test_a_guess_is_subtracted_where_levels_learned_directly_were_of_no_use(changed, scatter, delta):
    assert rules.delta(like(ETHANOL, **changed), scatter).value == delta


def test_the_expected_error_is_that_measured_on_ethanol():
    """Levels of 100, 200, 400 ethanols of the README, 37.6, 26.6, 20.2 meV, within a tenth."""
    found = [rules.direct_error_mev(like(ETHANOL, per_formula=n), 0.35) for n in (100, 200, 400)]
    assert np.abs(np.array(found) / [37.6, 26.6, 20.2] - 1).max() < 0.1


def test_counts_that_decide_need_no_calculation():
    assert rules.settled_delta(ETHANOL) is None
    few = [{"per_formula": 20}, {"most_atoms": 3}, {"guess": None}, {"has_spins": True}]
    assert all(rules.settled_delta(like(ETHANOL, **changed)) for changed in few)


# what they look at


def test_facts_are_counts():
    structures = [*shaken(PEROXIDE, 4), *shaken(WATER, 2)]
    found = facts_of(structures, [*structures, molecule("C2H6")], QMSettings())
    assert found == Facts(n_train=6, most_atoms=8, per_formula=4, vibrations=18, guess="sto-3g", has_spins=False)
    assert facts_of(structures, structures, STO).guess is None
    assert facts_of(structures, structures, QMSettings(method="UHF")).has_spins
    iodide = [Atoms("HI", positions=[[0, 0, 0], [0, 0, 1.6]])]
    assert facts_of(iodide, iodide, QMSettings()).guess == "minao"


def test_scatter_is_that_of_levels_within_each_formula():
    """Against levels of PySCF; a molecule alone in its formula, and what formulas differ by, do not count."""
    from pyscf import gto, scf

    waters = shaken(WATER, 3, 0.1)
    levels = []
    for atoms in waters:
        atom = list(zip(atoms.get_chemical_symbols(), atoms.positions, strict=True))
        levels.append(scf.RHF(gto.M(atom=atom, basis="sto-3g", verbose=0)).run(conv_tol=1e-10).mo_energy[1:5])
    expected = 27.211386 * np.sqrt(np.var(levels, axis=0, ddof=1).mean())
    assert scatter_ev([PEROXIDE, *waters], QMSettings()) == pytest.approx(expected, rel=1e-4)
    assert scatter_ev([*waters, *3 * [molecule("NH3")]], STO) == pytest.approx(expected / 2**0.5, rel=1e-4)
    assert scatter_ev([WATER, PEROXIDE], STO) is None


def test_virtual_levels_cross_in_some_molecules():
    """Thiophene has d functions of S among its lowest levels; water has two virtual levels, and no others near."""
    assert sample_of(shaken(molecule("C4H4S"), 2), QMSettings(), crossing=True).crossing == 1
    sample = sample_of(shaken(WATER, 3), QMSettings(), crossing=True)
    assert sample.crossing == 0 and sample.n_functions == 24
    assert sample_of([WATER], QMSettings(), crossing=False).crossing is None


# costs


def test_calculations_are_estimated_from_one():
    sample = Sample(n_functions=100, first_seconds=2.0, cycle_seconds=0.5, crossing=None)
    one = calculation_seconds(sample, 100, False)
    assert 2.0 + 8 * 0.5 < one < 2.0 + 20 * 0.5
    assert calculation_seconds(sample, 200, False) == pytest.approx(2**3.5 * one)
    assert calculation_seconds(sample, 100, True) == pytest.approx(one + 0.5)


def test_fits_cost_more_with_more_features_and_structures():
    from hamlearn.learning.tasks import targets_of
    from hamlearn.targets import target_orbitals

    structures = shaken(PEROXIDE, 40)
    targets = targets_of(target_orbitals(SaphTarget(), "def2-SVP", [1, 8]))

    def costs(n, error_bars=None, **features):
        model = hamlearn.RidgeSettings(features=BondFrameFeatures(**features), error_bars=error_bars)
        return fit_costs(model, structures[:n], targets)

    usual, fewer = costs(40), costs(40, max_features=500)
    assert usual.seconds > fewer.seconds > costs(20, max_features=500).seconds
    assert usual.memory_gb > fewer.memory_gb and fewer.most_features == 500
    assert costs(40, error_bars=True, max_features=500).seconds > 2 * fewer.seconds
    assert fit_costs(hamlearn.RidgeSettings(), structures, targets) is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0024, "2 ms"), (3.14159, "3.1 s"), (90, "1.5 min"), (5400, "1.5 h"), (900000, "250 h")]
)
def test_durations_have_two_digits(seconds, words):
    assert duration(seconds) == words


# plans


@pytest.fixture(scope="module")
def peroxides(tmp_path_factory):
    file = tmp_path_factory.mktemp("peroxides") / "molecules.xyz"
    write(file, shaken(PEROXIDE, 5))
    return file


@pytest.mark.parametrize(
    ("sections", "kind", "named"),
    [
        ({}, "bond_frame", False),
        ({"model": {"kind": "ridge", "error_bars": True}}, "bond_frame", False),
        ({"model": {"kind": "ridge", "features": {}}}, "coupled", True),
        ({"model": {"kind": "ridge", "max_features": 10}}, "coupled", True),
    ],
)
def test_what_is_named_stays(peroxides, sections, kind, named):
    given = config(peroxides, **sections, qm=STO, target={"kind": "fock"})
    found = hamlearn.plan(given, executor="serial")
    assert found.config.target == given.target and found.config.model.features.kind == kind
    assert found.config.model.error_bars is bool(given.model.error_bars)
    of_bars = [choice.setting for choice in found.choices[2:]]
    assert of_bars == (["model.error_bars"] if given.model.error_bars is None else [])
    assert [choice.why == "as the workflow says" for choice in found.choices[:2]] == [True, named]
    assert leaves_features(given) is not named and not leaves_target(given)


def test_other_models_have_no_features(peroxides):
    given = config(peroxides, qm=STO, model={"kind": "kernel"})
    found = hamlearn.plan(given, executor="serial")
    assert found.config.model == given.model and found.costs.fits is None
    assert found.choices[-1].value == "kernel, pairs"


def test_a_plan_says_everything_in_one_table(peroxides):
    given = config(peroxides, train=3, test=2)
    found = hamlearn.plan(given, executor="local:2")
    settings = ["target.kind", "target.delta", "model.features.kind", "model.error_bars"]
    assert [choice.setting for choice in found.choices] == settings
    assert found.config.target.delta == "sto-3g" and found.config.model.features == BondFrameFeatures()
    assert found.costs.guess_s < found.costs.calculation_s < found.costs.calculations_s
    table = "\n".join(found.lines())
    for words in ("setting", "target.delta", "sto-3g", "5 of ", "of a calculation, for its guess", "MB", "GB"):
        assert words in table
    fixed = hamlearn.plan(found.config, executor="serial")
    assert fixed.config == found.config and {c.why for c in fixed.choices} == {"as the workflow says"}


def test_water_needs_no_guess(tmp_path):
    write(tmp_path / "molecules.xyz", shaken(WATER, 3))
    found = hamlearn.plan(config(tmp_path / "molecules.xyz"), executor="serial").config
    assert found.target == SaphTarget() and found.model.features == CoupledFeatures()


def test_fewer_features_where_time_is_short(monkeypatch, peroxides):
    """With costs that are known: 100 s of calculations, and a second for each of 100 features."""
    from hamlearn.workflow.automatic import choosing

    sample = Sample(n_functions=1, first_seconds=0.0, cycle_seconds=0.0, crossing=0.0)
    monkeypatch.setattr(choosing, "sample_of", lambda *_, **__: sample)
    monkeypatch.setattr(choosing, "calculation_seconds", lambda *_: 20.0)

    def costs(model, *_):
        most = model.features.max_features or 12000
        return FitCosts(most / 100, 1.0, most)

    monkeypatch.setattr(choosing, "fit_costs", costs)
    structures = shaken(PEROXIDE, 5)

    def plan(minutes, workers=1, **features):
        model = {"kind": "ridge", "features": {"kind": "bond_frame", **features}, "time_minutes": minutes}
        return Chooser(config(peroxides, 3, 2, model=model), structures, workers).plan()

    assert [plan(m).config.model.features.max_features for m in (None, 4, 3, 2)] == [None, None, 3000, 1500]
    assert plan(1, workers=5).config.model.features.max_features == 3000
    assert plan(3).choices[-1].setting == "model.features.max_features"
    with pytest.raises(ConfigError, match=r"1\.7 min.*fits at least 5 s, more .* = 1; set model\.time_minutes: 2\.3, "):
        plan(1)
    assert plan(2).config.model.time_minutes == 2
    with pytest.raises(ConfigError, match=r"at least 1\.5 min"):
        plan(3, max_features=9000)  # is not changed


def test_advice_on_time_is_enough(peroxides):
    short = config(peroxides, 3, 2, model={"kind": "ridge", "time_minutes": 1e-5}, qm=STO)
    with pytest.raises(ConfigError, match=r"set model\.time_minutes") as refused:
        hamlearn.plan(short, executor="serial")
    minutes = float(str(refused.value).split("set model.time_minutes: ")[1].split(",")[0])
    enough = config(peroxides, 3, 2, model={"kind": "ridge", "time_minutes": minutes}, qm=STO)
    assert hamlearn.plan(enough, executor="serial").config.model.time_minutes == minutes


def test_advice_on_memory_is_enough(peroxides):
    def plan(gigabytes):
        model = {"kind": "ridge", "memory_gb": gigabytes}
        return hamlearn.plan(config(peroxides, 3, 2, model=model), executor="serial")

    with pytest.raises(ConfigError, match="raise memory_gb") as refused:
        plan(1e-5)
    needed = float(re.search(r"need ([0-9.e-]+) GB", str(refused.value))[1])
    assert plan(needed).costs.fits[-1].memory_gb <= needed


def test_the_verb_prints_the_table(peroxides, tmp_path):
    workflow = tmp_path / "workflow.yaml"
    workflow.write_text(f"structures: {{file: {peroxides}}}\nqm: {{basis: sto-3g}}\nsplit: {{train: 3, test: 1}}\n")
    done = CliRunner().invoke(app, ["plan", str(workflow), "--set", "model.time_minutes=60", "--executor", "serial"])
    assert done.exit_code == 0, done.output
    heads = [line.split()[0] for line in done.output.splitlines() if line]
    assert heads[:2] == ["setting", "target.kind"] and {"expected", "calculations", "fit", "disk"} <= set(heads)
    assert [path.name for path in tmp_path.iterdir()] == ["workflow.yaml"]
    chosen = CliRunner().invoke(app, ["config", str(workflow)])
    assert "kind: bond_frame" in chosen.output


def test_properties_have_nothing_to_plan(tmp_path):
    given = config(tmp_path / "lost.xyz", target={"kind": "property", "key": "energy"})
    assert hamlearn.plan(given).config is given and hamlearn.plan(given).costs is None
    with pytest.raises(ConfigError, match=r"model\.time_minutes 1 bounds .* remove it"):
        config(tmp_path / "lost.xyz", target={"kind": "property", "key": "energy"}, model={"time_minutes": 1})


@pytest.mark.parametrize("wrong", [{"file": "lost.xyz"}, {"train": 9}])
def test_what_a_run_refuses_a_plan_refuses(peroxides, wrong):
    given = config(**{"file": peroxides, **wrong}, qm=STO)
    with pytest.raises(hamlearn.errors.HamlearnError):
        hamlearn.plan(given, executor="serial")
    settled, words = resolved(given)
    assert settled == given and words.startswith("what is left out a run chooses for its molecules, but ")


def test_the_resolved_workflow_is_that_of_the_plan(peroxides):
    given = config(peroxides, qm=STO)
    settled, words = resolved(given)
    assert words is None and settled == hamlearn.plan(given, executor="serial").config != given
    assert resolved(settled)[0] is settled


# runs


def test_a_run_goes_on_with_its_settings(tmp_path):
    """Also one that was begun when all matrices were SAPHs with coupled features."""
    given = config(tmp_path / "molecules.xyz")
    (tmp_path / CONFIG).write_text(dump_config(given, {}))
    settled = begun(given, tmp_path / CONFIG, [])
    assert settled.model.features == CoupledFeatures() and settled.target == SaphTarget()
    other = config(tmp_path / "molecules.xyz", target={"kind": "fock"}, model={"kind": "kernel"})
    assert begun(other, tmp_path / CONFIG, []) == other


def test_a_run_tells_its_plan_and_goes_on(peroxides, tmp_path):
    said = []
    small = config(peroxides, 4, 1, qm=STO)
    hamlearn.run(small, tmp_path / "run", executor="serial", echo=said.append)
    assert said[0].split() == ["setting", "chosen", "why"] and any("calculations" in line for line in said[:8])
    model = hamlearn.load_model(tmp_path / "run" / "model")
    assert model.model.features == BondFrameFeatures() and model.target.delta == "none"
    said.clear()
    hamlearn.run(small, tmp_path / "run", executor="serial", echo=said.append)
    assert not any("setting" in line for line in said)
    longer = config(peroxides, 4, 1, qm=STO, model={"kind": "ridge", "time_minutes": 100})
    hamlearn.run(longer, tmp_path / "run", executor="serial", echo=None)  # bounds may change
