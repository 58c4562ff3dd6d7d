"""Features that a workflow leaves out."""

import pytest
from ase.build import molecule
from ase.io import write

import hamlearn
from hamlearn.config import BondFrameFeatures, Config, CoupledFeatures, KernelRidgeSettings, RidgeSettings, dump_config
from hamlearn.workflow.automatic import CONFIG, with_features, with_features_of_file

WATER, PEROXIDE = molecule("H2O"), molecule("H2O2")


def config(**model):
    sections = {"structures": {"file": "molecules.xyz"}, "split": {"train": 2, "test": 0}}
    return Config(**sections, model=model) if model else Config(**sections)


@pytest.mark.parametrize(
    ("given", "structures", "kind"),
    [
        (config(), [WATER, PEROXIDE], "bond_frame"),
        (config(kind="ridge", error_bars=True), [PEROXIDE], "bond_frame"),
        (config(), [WATER, WATER], "coupled"),
        (config(kind="ridge", features={}), [PEROXIDE], "coupled"),
        (config(kind="ridge", max_features=10), [PEROXIDE], "coupled"),
    ],
)
def test_features_suit_the_molecules_unless_they_are_named(given, structures, kind, tmp_path):
    settled, words = with_features(given, structures, tmp_path / CONFIG)
    assert settled.model.features.kind == kind
    assert (words is None) == (settled is given and kind == "coupled" and bool(given.model.model_fields_set))
    if words:
        assert words.startswith(f"model.features, left out: {kind}, ")
    assert settled.model.error_bars is given.model.error_bars
    assert type(settled.model.features) is {"bond_frame": BondFrameFeatures, "coupled": CoupledFeatures}[kind]


def test_other_models_have_no_features(tmp_path):
    given = config(kind="kernel")
    assert with_features(given, [PEROXIDE], tmp_path / CONFIG) == (given, None)
    assert isinstance(given.model, KernelRidgeSettings)


def test_a_run_goes_on_with_its_features(tmp_path):
    """Also one that was begun when all matrices had coupled ones."""
    begun = Config(structures={"file": str(tmp_path / "molecules.xyz")}, split={"train": 2, "test": 0})
    (tmp_path / CONFIG).write_text(dump_config(begun, {}))
    settled, words = with_features(config(), [PEROXIDE], tmp_path / CONFIG)
    assert settled.model.features == CoupledFeatures() and words is None


def test_what_a_new_run_would_choose_is_known_before(tmp_path):
    """From the molecules of the file; of one that cannot be read the reason is said."""
    file = tmp_path / "molecules.xyz"
    left_out = Config(structures={"file": str(file)}, split={"train": 2, "test": 0})
    named = left_out.model_copy(update={"model": RidgeSettings(features=CoupledFeatures())})
    settled, words = with_features_of_file(left_out)
    assert settled == left_out and words.startswith("model.features, left out") and str(file) in words
    assert with_features_of_file(named) == (named, None)
    write(file, [PEROXIDE, PEROXIDE])
    settled, words = with_features_of_file(left_out)
    assert settled.model.features == BondFrameFeatures() and "up to 4 atoms" in words
    assert with_features_of_file(named) == (named, None)


def test_a_workflow_of_larger_molecules_says_what_it_chose(tmp_path):
    file, said = tmp_path / "molecules.xyz", []
    structures = [PEROXIDE.copy() for _ in range(3)]
    for seed, atoms in enumerate(structures):
        atoms.rattle(0.05, seed=seed)
    write(file, structures)
    small = Config(
        structures={"file": str(file)}, qm={"basis": "sto-3g"}, target={"kind": "fock"}, split={"train": 2, "test": 1}
    )
    hamlearn.run(small, tmp_path / "run", executor="serial", echo=said.append)
    assert said[0] == "model.features, left out: bond_frame, for molecules of up to 4 atoms"
    model = hamlearn.load_model(tmp_path / "run" / "model")
    assert isinstance(model.model, RidgeSettings) and model.model.features == BondFrameFeatures()
    said.clear()
    hamlearn.run(small, tmp_path / "run", executor="serial", echo=said.append)
    assert not any("left out" in line for line in said)
