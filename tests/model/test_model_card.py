"""Model cards: what a model is, and how wrong."""

import re
from dataclasses import replace

import pytest
from properties import labelled, model, molecules
from water_models import FEATURES, QM, TARGETS, raw_spec, targets_of, trained

from hamlearn.config import KernelRidgeSettings, PropertyTarget, QMSettings, RidgeSettings, WignerSettings
from hamlearn.model.card import model_card
from hamlearn.model.folder import CARD, write_card
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.model.property import PropertyModel

TRAIN = labelled(molecules(10))


@pytest.fixture
def card_of(tmp_path):
    """Return the card of a model, and its folder."""

    def save(fitted):
        fitted.save(tmp_path / "model")
        return (tmp_path / "model" / CARD).read_text(), tmp_path / "model"

    return save


def test_the_card_of_a_matrix(saph, card_of):
    card, folder = card_of(saph["ridge"])
    for line in (
        "- Predicts: saph matrices, delta baseline none, virtuals lowest, orthogonal form",
        "- Reference: RHF/sto-3g, SCF threshold 1e-11 Hartree",
        "- Elements: H, O",
        "- Training set: 18 structures of 3 to 3 atoms, SHA-256 ",
        "- Formulas: H2O (18)",
        "- Valid for neutral closed-shell molecules of these elements and pairs of elements",
        "Errors: not measured on a test set.",
    ):
        assert line in card
    write_card(folder, {"n_test": 5, "eigenvalue_rmse_mev": 1.25, "gap_rmse_mev": None, "learning_curve": []})
    after = (folder / CARD).read_text()
    assert "| eigenvalues, RMSE | 1.25 |" in after and "HOMO-LUMO gap" not in after and "not measured" not in after
    assert after.startswith(card.partition("Errors: ")[0].rstrip())


def test_the_card_names_method_delta_and_kernels(waters, records, card_of):
    kernels = WignerSettings(max_l=1, max_nu_centre=2, max_nu_pair=1, grid={"rate": (0.5, 1.0)})
    qm = QMSettings(method="RKS", xc="pbe", basis="sto-3g")
    fitted = HamiltonianModel(qm, TARGETS["fock_delta"], KernelRidgeSettings(kernel=kernels))
    targets = [replace(target, origin=None) for target in targets_of("fock_delta", records[:8])]
    card, _ = card_of(fitted.fit(waters[:8], targets))
    assert "- Predicts: fock matrices, delta baseline core\n" in card
    assert "- Reference: RKS (pbe)/sto-3g" in card
    assert "- Wigner kernels of atoms (P(k_i), up to order 2) and of pairs (t(R) P(k_i + k_j), up to order 1)" in card
    assert "- Atoms and pairs in the basis: H 16, O 8, H-H 8, H-O 16" in card


def test_the_card_of_few_features(waters, records, card_of):
    card, _ = card_of(trained("saph", waters, records, 6, RidgeSettings(features=FEATURES, max_features=7)))
    assert re.search(r"\n- Features: \d+ to 7 of each symmetry\n", card)


@pytest.mark.parametrize(
    ("fitted", "words"),
    [
        (lambda: model(forces=True, active=5), "Predicts: energy, a scalar, eV, learned with forces"),
        (lambda: model("dipole", 1), "Predicts: dipole, a vector, unit of the data"),
        (lambda: model("alpha", 2), "Predicts: alpha, a symmetric traceless tensor, unit of the data"),
        (
            lambda: PropertyModel(PropertyTarget(key="energy"), RidgeSettings(features=FEATURES)),
            "Predicts: energy, a scalar, unit of the data",
        ),
    ],
)
def test_the_card_of_a_property(fitted, words, card_of):
    card, folder = card_of(fitted().fit(TRAIN))
    assert words in card
    for line in ("CH2O (5), H2O (5)", "- Elements: H, C, O", "Errors: not measured", "other elements are refused"):
        assert line in card
    assert "Reference" not in card and "neutral" not in card
    spec = raw_spec(folder)
    assert all(f"- {line}" in card for line in spec["in_words"]) and spec["in_words"]


def test_measured_errors_enter_the_card(card_of):
    _, folder = card_of(model(forces=True, active=5).fit(TRAIN))
    row = {"value_rmse": 0.01234, "value_mae": 0.005, "force_rmse": 0.1, "force_mae": 0.07}
    write_card(folder, {"n_test": 4, **row, "learning_curve": [{"n_train": 5, "order": 0, **row}]})
    card = (folder / CARD).read_text()
    assert "| energy, eV | 0.0123 | 0.005 |" in card and "| forces, eV/Å | 0.1 | 0.07 |" in card
    assert "| 5 | 0 | 0.0123 | 0.005 | 0.1 | 0.07 |" in card


def test_error_bars_and_many_formulas_are_said_in_short(saph, card_of):
    _, folder = card_of(saph["ridge"])
    spec = raw_spec(folder)
    spec["training"]["formulas"] = {f"C{n}H{2 * n}": 1 for n in range(1, 26)}
    bars = {
        "gap": {"coverage_68": 0.7, "coverage_95": 0.938},
        "levels": {"coverage_68": None, "coverage_95": None},
    }
    curve = [{"n_train": 10, "order": 1, "eigenvalue_rmse_mev": 3.0, "gap_rmse_mev": None}]
    card = model_card(spec, {"n_test": 30, "eigenvalue_mae_mev": 0.5, "error_bars": bars, "learning_curve": curve})
    assert "C20H40 (1) and 5 more" in card and "C21H42" not in card
    assert "- Error bars of the gap: one holds 70 %, two hold 94 % of the errors." in card
    assert "- Error bars of the levels: one holds -, two hold - of the errors." in card
    assert "| 10 | 1 | 3 | - |" in card
    assert "not measured" in model_card(spec, {"n_test": 0}) and QM.basis in card
