"""How objects show themselves: short, whole words, never a matrix."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from ase import Atoms

import hamlearn.config
from hamlearn.blocks import BlockCovariance, split_matrices
from hamlearn.config import Config, FeatureSettings, KernelSettings, ModelSettings, QMSettings, TargetSettings
from hamlearn.display import MOST_LINES, WIDTH, Shown, Words, html_table, in_words, short_repr, with_error
from hamlearn.observables import Prediction
from hamlearn.observables.properties import PropertyPrediction
from hamlearn.qm import CampaignStatus, run_campaign
from hamlearn.structures import NormalModes, molecule
from hamlearn.symmetry import point_group
from hamlearn.targets import build_target
from hamlearn.workflow import RunResult, symmetry_report


def is_short(text: str) -> bool:
    lines = text.splitlines()
    return len(lines) <= MOST_LINES and max(map(len, lines)) <= WIDTH


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    folder = tmp_path_factory.mktemp("campaign")
    return run_campaign([molecule("water")] * 40 + [molecule("ammonia")], QMSettings(basis="sto-3g"), folder)


@pytest.fixture(scope="module")
def target(campaign):
    return build_target(campaign.load(0), TargetSettings())


@pytest.fixture(scope="module")
def prediction(target):
    return Prediction(target.numbers, target.full, target.metric, target.n_occupied, target.orbitals)


class Table(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.cells = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.cells.append(data)


def test_values_in_one_line():
    assert in_words(np.arange(12.0).reshape(3, 4)) == "[3, 4] 0 to 11"
    assert in_words(np.ones((2, 2))) == "[2, 2] 1"
    assert in_words(np.array([1.0, np.nan, -2.0, 5.0])) == "[4] -2 to 5, not all finite"
    assert in_words(np.array([True, False, True])) == "[3] 2 true"
    assert in_words(np.array([0.25, 1e-17, -3.0])) == "[0.25, 0, -3]"
    assert in_words(np.zeros((0, 3))) == "[0, 3]"
    assert in_words(np.float64(0.5)) == "0.5"
    assert in_words(torch.ones(5, requires_grad=True)) == "[5] 1"
    assert in_words(-76.02676512345678) == "-76.026765"
    assert in_words(("a",)) == "('a',)"
    assert in_words(list(range(1000))).endswith("... 1000 in all]")
    assert in_words({"a": np.ones((2, 2)), Words("b"): 1}) == "{'a': [2, 2] 1, b: 1}"
    assert in_words(Atoms("OHH")) == "Atoms(H2O)"
    assert len(in_words("x" * 1000)) == 60
    assert in_words(object).startswith("<class")
    assert with_error(7.20314, 0.0125) == "7.2031 +- 0.0125"
    assert with_error(7.20314, float("nan")) == "7.2031"


def test_a_long_repr_is_wrapped_and_then_cut():
    assert short_repr("Thing", {"a": 1, "b": "two"}) == "Thing(a=1, b='two')"
    wrapped = short_repr("Thing", {f"name_{k}": "x" * 30 for k in range(10)})
    assert is_short(wrapped) and wrapped.count("name_") == 10
    cut = short_repr("Thing", {f"name_{k}": "x" * 100 for k in range(100)})
    assert is_short(cut) and f"... {100 - cut.count('name_')} more" in cut


def test_fields_that_are_not_set_yet_do_not_stop_a_repr():
    @dataclass(repr=False)
    class Fitted(Shown):
        weights: np.ndarray

    assert repr(object.__new__(Fitted)) == "Fitted(weights=None)"


def test_a_calculation(campaign):
    text = repr(campaign.load(0))
    assert is_short(text)
    for words in ("formula='H2O'", "basis='sto-3g'", "energy_hartree=-74.96", "fock=[7, 7] -20.", "converged=True"):
        assert words in text


def test_a_campaign(campaign):
    text = repr(campaign)
    assert is_short(text)
    assert "n_structures=41, done=41, failed=0, missing=0" in text and "... 41 in all" in text
    assert repr(CampaignStatus(10, 8, 1, 1)) == "CampaignStatus(total=10, done=8, failed=1, pending=1)"


def test_a_prediction_with_and_without_error_bars(prediction):
    text = repr(prediction)
    assert is_short(text)
    assert f"gap_ev={prediction.gap_ev:.4f})" in text and "formula='H2O', n_orbitals=6" in text
    levels = np.full(6, 0.25)
    levels[prediction.n_occupied - 1 : prediction.n_occupied + 1] = 0.5, 0.125
    barred = replace(prediction, stds_ev=(levels, 2.0))
    assert f"homo_ev={barred.homo_ev:.4f} +- 0.5000, lumo_ev={barred.lumo_ev:.4f} +- 0.1250" in repr(barred)
    assert f"gap_ev={barred.gap_ev:.4f} +- 2.0000" in repr(barred)


def test_error_bars_of_a_covariance_are_those_of_the_levels(prediction):
    blocks = split_matrices([prediction.hamiltonian], [prediction.numbers], prediction.basis)
    covariance = BlockCovariance(
        blocks.samples, {key: 1e-4 * np.eye(values.size) for key, values in blocks.values.items()}
    )
    barred = replace(prediction, covariance=covariance, calibration=(2.0, 3.0))
    std = barred.eigenvalues_std_ev[barred.n_occupied - 1]
    assert f"homo_ev={with_error(barred.homo_ev, std)}, " in repr(barred)
    assert f"gap_ev={with_error(barred.gap_ev, barred.gap_std_ev)}," in repr(barred)


def test_a_prediction_without_levels(prediction):
    broken = Prediction(prediction.numbers, np.full((6, 6), np.nan), None, prediction.n_occupied, prediction.basis)
    assert "levels=None" in repr(broken) and "levels" in broken._repr_html_()
    noble = Prediction(np.array([1, 1]), np.eye(2), None, 2, prediction.basis)
    assert "lumo_ev=nan, gap_ev=nan" in repr(noble)


def test_matrices_blocks_and_orbitals(target, prediction):
    assert is_short(repr(target)) and "formula='H2O', matrix=[6, 6] " in repr(target)
    assert repr(target.orbitals) == "Orbitals(H='1s', O='2s 2p')"
    blocks = split_matrices([target.matrix], [target.numbers], target.orbitals)
    assert is_short(repr(blocks)) and "H: 2, O: 1, H-H plus: 1" in repr(blocks) and "n_blocks=14" in repr(blocks)
    covariance = BlockCovariance(blocks.samples, {key: np.eye(v.size) for key, v in blocks.values.items()})
    assert is_short(repr(covariance)) and "n_blocks=14" in repr(covariance)


def test_symmetry():
    group = point_group(molecule("C60"))
    assert is_short(repr(group)) and "name='Ih', order=120, operations='E, 24 C5, 20 C3" in repr(group)
    assert is_short(repr(group.characters)) and is_short(repr(group.operations[3]))
    report = symmetry_report("water", qm="RHF/sto-3g")
    assert is_short(repr(report)) and "formula='H2O', point_group='C2v'" in repr(report)
    assert is_short(repr(report.levels[0])) and "irrep='A1', degeneracy=1" in repr(report.levels[0])


def test_other_results():
    modes = NormalModes(np.linspace(0.01, 0.02, 30), np.zeros((30, 36)), np.ones(36))
    assert is_short(repr(modes)) and "n_modes=30, wavenumbers=[30] 2195 to 4389" in repr(modes)
    results = {"n_train": 800, "gap_rmse_mev": 4.5, "block_errors": [{"mae": 1.0}] * 1000, "formulas": {"H2O": 3}}
    result = RunResult(results, {3: "SCFError: not converged"}, None)
    assert repr(result) == "RunResult(n_train=800, gap_rmse_mev=4.5, failures=1, report=None)"
    dipole = PropertyPrediction(np.array([0.0, 0.0, 0.73]), 0.01, np.zeros((300, 3)))
    assert repr(dipole) == "PropertyPrediction(value=[0, 0, 0.73], std=0.01, forces=[300, 3] 0, virial=None)"


def test_settings_show_what_differs_from_the_defaults():
    assert repr(FeatureSettings()) == str(FeatureSettings()) == "CoupledFeatures()"
    assert (
        repr(FeatureSettings(smearing_angstrom=0.1 + 0.2)) == "CoupledFeatures(smearing_angstrom=0.30000000000000004)"
    )
    assert repr(FeatureSettings(max_l=4, scaling={"rate": 2})) == (
        "CoupledFeatures(max_l=4, scaling=ScalingSettings(rate=2.0))"
    )
    config = Config(structures={"file": "water.xyz"}, split={"train": 8, "test": 2}, qm={"basis": "sto-3g"})
    assert repr(config) == (
        "Config(\n    structures=StructureSettings(file='water.xyz'), qm=QMSettings(basis='sto-3g'), "
        "split=SplitSettings(train=8, test=2),\n)"
    )
    names = {name: getattr(hamlearn.config, name) for name in hamlearn.config.__all__}
    for settings in (
        ModelSettings(kind="kernel", active={"O": 50}, kernel=KernelSettings(grid={"max_l": (1, 2)})),
        KernelSettings(grid={"max_l": (1, 2)}),
        ModelSettings(features=FeatureSettings(max_l=2)),
        TargetSettings(kind="property", key="energy"),
    ):
        assert eval(repr(settings), names) == settings


@pytest.mark.parametrize("name", ["campaign", "prediction", "group"])
def test_tables_in_notebooks(name, request):
    shown = point_group(molecule("water")) if name == "group" else request.getfixturevalue(name)
    table = Table(shown._repr_html_())
    assert table.tags.count("table") == 1 and table.tags.count("th") == table.tags.count("tr") >= 6
    expected = {"campaign": "41", "prediction": f"{getattr(shown, 'gap_ev', 0):.4f}", "group": "E, C2, 2 sigma"}
    assert expected[name] in table.cells


def test_html_is_escaped():
    text = html_table("<b>&", {"<script>": "a<b", "x": ("<i>", 2)})
    assert Table(text).tags == ["table", "caption", "tr", "th", "td", "tr", "th", "td"]
    assert Table(text).cells == ["<b>&", "<script>", "a<b", "x", "<i>, 2"]
    rows = Table(html_table("Levels", [("irrep", "energy"), ("A1", -1.5)])).cells
    assert rows == ["Levels", "irrep", "energy", "A1", "-1.5"]


def test_the_module_is_light():
    code = "import sys, hamlearn.display, hamlearn.equality; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_whatever_shows_itself_has_a_table_for_notebooks():
    from hamlearn.observables.properties import PropertyPrediction

    table = PropertyPrediction(value=1.5, std=0.25)._repr_html_()
    assert table.startswith("<table><caption>PropertyPrediction</caption>") and "<td>0.25</td>" in table
