import hashlib
import shutil

import numpy as np
import pytest
import yaml
from ase import Atoms

from hamlearn.config import FeatureSettings, ModelSettings, QMSettings, TargetSettings, WignerSettings
from hamlearn.errors import ArtifactError, ConfigError, DomainError, HamlearnWarning, StructureError
from hamlearn.model.equivariance import equivariance_error, shuffle_like_atoms
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.model.hamiltonian_folder import load_model, write_card
from hamlearn.model.saved import CARD, SPEC, TENSORS
from hamlearn.observables import metrics, reference_prediction
from hamlearn.qm import run_scf
from hamlearn.structures import invert, permute, random_rotation, rotate, translate
from hamlearn.targets import build_target
from hamlearn.testing import TOLERANCE, assert_equivariant
from hamlearn.units import BOHR_ANGSTROM

QM = QMSettings(basis="sto-3g", conv_tol=1e-11)
FEATURES = FeatureSettings(max_l=3, max_n=3)
WIGNER = WignerSettings(max_l=2, max_nu_centre=2, max_nu_pair=1)
EQUIVARIANCE = TOLERANCE["float64"]["equivariance"]
TARGETS = {
    "saph": TargetSettings(),
    "lowdin": TargetSettings(kind="lowdin"),
    "fock": TargetSettings(kind="fock"),
    "delta": TargetSettings(delta="minao"),
    "fock_delta": TargetSettings(kind="fock", delta="core"),
    "nonorthogonal": TargetSettings(form="nonorthogonal"),
    "valence": TargetSettings(virtuals="valence"),
    "minao": TargetSettings(minimal_basis="minao", delta="atom"),
}


@pytest.fixture(scope="module")
def records(waters):
    """Calculations with every guess."""
    guesses = ("minao", "atom", "core")
    return [run_scf(a.numbers, a.positions / BOHR_ANGSTROM, QM, guesses) for a in waters[:24]]


def trained(name, waters, records, n=18):
    model = HamiltonianModel(qm=QM, target=TARGETS[name], features=FEATURES)
    return model.fit(waters[:n], [build_target(record, TARGETS[name]) for record in records[:n]])


@pytest.fixture(scope="module")
def model(waters, records):
    return trained("saph", waters, records)


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_is_learned_and_equivariant(name, waters, records):
    """Better than the mean of the training set by far, and exactly symmetric."""
    fitted = trained(name, waters, records)
    targets = [build_target(record, TARGETS[name]) for record in records[18:]]
    errors = metrics(fitted.predict(waters[18:24]), targets)
    spread = np.std([reference_prediction(t).gap_ev for t in targets]) * 1e3
    assert errors["gap_rmse_mev"] < 0.2 * spread
    assert_equivariant(fitted, waters[18:24])


def test_symmetries_one_by_one(model, water):
    """Spectra do not change when the molecule is turned, inverted, moved, or its hydrogens swapped."""
    moved = [
        rotate(water, random_rotation(np.random.default_rng(0))),
        invert(water),
        translate(water, [3.0, -1.0, 7.0]),
        permute(water, [0, 2, 1]),
    ]
    reference = model.predict([water])[0].eigenvalues_ev
    for prediction in model.predict(moved):
        np.testing.assert_allclose(prediction.eigenvalues_ev, reference, atol=1e-9)
    swapped = model.predict([moved[3]])[0].hamiltonian
    plain = model.predict([water])[0].hamiltonian
    order = [0, 1, 2, 3, 5, 4]
    np.testing.assert_allclose(swapped, plain[np.ix_(order, order)], atol=EQUIVARIANCE)
    assert np.abs(swapped - plain).max() > 1e-3


def test_equivariance_error_sees_a_broken_model(model, waters, monkeypatch):
    """The measure is not zero for a model that is not equivariant."""
    whole = model.predict

    def broken(structures, executor="serial"):
        predictions = whole(structures)
        for atoms, prediction in zip(structures, predictions, strict=True):
            prediction.hamiltonian[0, 0] += 1e-3 * atoms.positions[0, 0]
        return predictions

    monkeypatch.setattr(model, "predict", broken)
    assert equivariance_error(model, waters[:4]) > 1e-6
    with pytest.raises(AssertionError, match="more than 1e-10"):
        assert_equivariant(model, waters[:4])


def test_shuffling_keeps_elements():
    numbers, rng = np.array([8, 1, 6, 1, 1, 6]), np.random.default_rng(0)
    orders = [shuffle_like_atoms(numbers, rng) for _ in range(20)]
    assert all((numbers[order] == numbers).all() for order in orders)
    assert len({tuple(order) for order in orders}) > 3


def test_predictions_are_hermitian_and_do_not_depend_on_company(model, waters):
    together = model.predict(waters)
    alone = [model.predict([atoms])[0] for atoms in waters[:5]]
    for a, b in zip(together, alone, strict=False):
        np.testing.assert_allclose(a.hamiltonian, a.hamiltonian.T, atol=0)
        np.testing.assert_allclose(a.hamiltonian, b.hamiltonian, atol=1e-11)


def test_no_structures_are_refused(model):
    with pytest.raises(StructureError, match="no structures were given"):
        model.predict([])


@pytest.mark.parametrize("name", ["saph", "fock_delta"])
def test_loading_gives_bitwise_the_same(name, waters, records, tmp_path):
    fitted = trained(name, waters, records)
    fitted.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert (loaded.qm, loaded.target, loaded.features, loaded.model) == (QM, TARGETS[name], FEATURES, fitted.model)
    assert loaded.training_ == fitted.training_
    for a, b in zip(fitted.predict(waters), loaded.predict(waters), strict=True):
        assert (a.hamiltonian == b.hamiltonian).all()
        assert (a.eigenvalues_ev == b.eigenvalues_ev).all()


def test_folder_is_readable_by_people_and_other_programs(model, tmp_path):
    from safetensors.numpy import load_file

    model.save(tmp_path / "model")
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == sorted([SPEC, TENSORS, CARD])
    spec = yaml.safe_load((tmp_path / "model" / SPEC).read_text())
    assert (spec["kind"], spec["format_version"]) == ("hamiltonian_model", 1)
    assert {"pyscf", "torch"} <= set(spec["versions"])
    assert all(np.isfinite(t).all() for n, t in load_file(tmp_path / "model" / TENSORS).items() if "cv_mse" not in n)
    card = (tmp_path / "model" / CARD).read_text()
    assert "H, O" in card and "18 structures" in card and "not measured" in card
    results = {"n_test": 5, "eigenvalue_rmse_mev": 1.25, "learning_curve": []}
    write_card(tmp_path / "model", results)
    assert "| eigenvalues, RMSE | 1.25 |" in (tmp_path / "model" / CARD).read_text()


def test_nothing_is_overwritten(model, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.tex").write_text("years of work")
    with pytest.raises(ArtifactError, match="not empty"):
        model.save(tmp_path / "model")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "thesis.tex").read_text() == "years of work"


def change_spec(folder, **changes):
    path = folder / SPEC
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def test_damaged_models_are_refused_in_words(model, tmp_path):
    good = tmp_path / "good"
    model.save(good)
    raw = (good / TENSORS).read_bytes()
    spec = yaml.safe_load((good / SPEC).read_text())

    def copy(name):
        return shutil.copytree(good, tmp_path / name)

    (copy("truncated") / TENSORS).write_bytes(raw[:-10])
    (copy("no_tensors") / TENSORS).unlink()
    (copy("half_spec") / SPEC).write_text((good / SPEC).read_text()[:200])
    (copy("empty_spec") / SPEC).write_text("")
    change_spec(copy("newer"), format_version=99)
    change_spec(copy("other"), kind="something")
    change_spec(copy("lost_groups"), groups=spec["groups"] + [spec["groups"][0] | {"L": 9}])
    change_spec(copy("unknown_setting"), features=spec["features"] | {"colour": "blue"})
    short = raw[: len(raw) // 2]
    (copy("half") / TENSORS).write_bytes(short)
    change_spec(tmp_path / "half", tensors_sha256=hashlib.sha256(short).hexdigest())
    expected = {
        "truncated": "truncated or changed",
        "no_tensors": "cannot be read",
        "half_spec": "damaged|not a whole model|kind",
        "empty_spec": "empty or damaged",
        "newer": "upgrade hamlearn",
        "other": "expected 'hamiltonian_model'",
        "lost_groups": "not a whole model",
        "unknown_setting": "not a whole model",
        "half": "not a whole model",
        "missing": "holds no model.yaml",
    }
    for name, words in expected.items():
        with pytest.raises(ArtifactError, match=words):
            load_model(tmp_path / name)


def test_other_conventions_are_refused(model, tmp_path, monkeypatch):
    from hamlearn.model import saved

    model.save(tmp_path / "model")
    right = saved.convention_fingerprint
    monkeypatch.setattr(saved, "convention_fingerprint", lambda max_l: -right(max_l))
    with pytest.raises(ArtifactError, match="another order, sign or norm"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize(
    ("atoms", "error", "words"),
    [
        (Atoms("SHH", [[0, 0, 0], [0.9, 0, 0.9], [-0.9, 0, 0.9]]), DomainError, "element S"),
        (Atoms("OO", [[0, 0, 0], [0, 0, 1.2]]), DomainError, "pair O-O"),
        (Atoms("OHH", [[0, 0, 0], [0, 0, np.nan], [0, 1, 0]]), StructureError, "finite|NaN"),
        (Atoms("OHH", [[0, 0, 0], [0, 0, 0.1], [0, 1, 0]]), StructureError, "0.3"),
        (Atoms("OH", [[0, 0, 0], [0, 0, 1]]), StructureError, "odd"),
    ],
)
def test_unacceptable_structures_name_their_index(model, water, atoms, error, words):
    with pytest.raises(error, match=words) as raised:
        model.predict([water, atoms])
    assert "1" in str(raised.value)


def test_targets_must_belong_to_structures_and_settings(waters, records):
    targets = [build_target(record, TARGETS["saph"]) for record in records[:2]]
    with pytest.raises(ConfigError, match="give both in the same order"):
        HamiltonianModel(qm=QM, features=FEATURES).fit([permute(a, [1, 0, 2]) for a in waters[:2]], targets)
    with pytest.raises(ConfigError, match="not built with the settings"):
        HamiltonianModel(qm=QM, features=FEATURES, target=TARGETS["delta"]).fit(waters[:2], targets)


@pytest.mark.parametrize("kind", ["ridge", "wigner"])
def test_a_fit_that_is_refused_leaves_the_model_as_it_was(waters, records, kind):
    targets = [build_target(record, TARGETS["saph"]) for record in records[:6]]
    settings = ModelSettings(kind=kind, error_bars=True)
    model = HamiltonianModel(qm=QM, features=FEATURES, wigner=WIGNER, model=settings).fit(waters[:6], targets)
    before = model.predict(waters[6:8])
    with pytest.raises(ConfigError, match="at least two training structures"):
        model.fit(waters[:1], targets[:1])
    for a, b in zip(before, model.predict(waters[6:8]), strict=True):
        assert (a.hamiltonian == b.hamiltonian).all()


@pytest.mark.parametrize("kind", ["ridge", "wigner"])
def test_pairs_beyond_the_cutoff_are_flagged(waters, records, kind):
    targets = [build_target(record, TARGETS["saph"]) for record in records[:6]]
    model = HamiltonianModel(qm=QM, features=FEATURES, wigner=WIGNER, model=ModelSettings(kind=kind))
    far = Atoms("OHH", [[0, 0, 0], [0.9, 0, 0.3], [0, 0, 9.0]])
    with pytest.warns(HamlearnWarning, match=r"1 structures \(first: \[2\]\).*pair_cutoff_angstrom = [68].0"):
        model.fit(waters[:6], targets).predict([*waters[6:8], far])


def test_fit_wants_one_target_each(waters, records):
    with pytest.raises(ConfigError, match="one target each"):
        HamiltonianModel(qm=QM).fit(waters[:2], [build_target(records[0], TARGETS["saph"])])
