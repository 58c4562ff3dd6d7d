"""The page of a run: complete, self-contained, faithful to the numbers, and made of files alone."""

from __future__ import annotations

import base64
import csv
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from hamlearn.config import build_config, changed_section, dump_config
from hamlearn.errors import ArtifactError
from hamlearn.report import figures, write_report
from hamlearn.report.headline import headline, number
from hamlearn.report.page_style import SCRIPT
from hamlearn.report.run_files import Levels
from hamlearn.report.words import what_was_computed

MakeRun = Callable[..., Path]
ARTIFACTS = Path(__file__).parents[1] / "resources" / "artifacts"


def sections(page: Path) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", page.read_text(encoding="utf-8"))


def test_full_report_has_every_part(finished_run: Path) -> None:
    page = finished_run / "report.html"
    assert sections(page) == [
        "Errors",
        "What was computed",
        "Gaps of the test structures",
        "Learning curve",
        "Orbital energies",
        "Error of each level",
        "Error of each block",
        "Projection on the minimal basis (SAPH)",
        "Time and memory",
        "Provenance",
    ]
    text = page.read_text(encoding="utf-8")
    for expected in (
        "1000 structures (H₂O) at the RHF/def2-SVP level",
        "Equivariance error: 4.4×10⁻¹⁴ Hartree",
        "2 of 1000 projections were flagged",
        "the threshold was halved",
        "pyscf 2.14.0",
        "MODEL_CARD.md",
        "143 s",
        "1.23 GB",
        "falls as n to the power −",
    ):
        assert expected in text
    assert not list(finished_run.glob(".report*"))


def test_page_is_self_contained_and_can_be_mailed(finished_run: Path) -> None:
    """The one script is its own, and no link leads to a file beside it."""
    text = (finished_run / "report.html").read_text(encoding="utf-8")
    assert text.count("<script") == text.count(f"<script>{SCRIPT}</script>") == 1
    assert "http" not in text and "@import" not in text
    sources = re.findall('src="(.{22})', text)
    assert len(sources) == 10 and set(sources) == {"data:image/png;base64,"}
    carried = dict(re.findall('download="(.*?)" href="data:[a-z/]*;base64,(.*?)"', text))
    assert len(re.findall("href=", text)) == len(carried) == 10 + 3
    for name, content in carried.items():
        (path,) = finished_run.rglob(name)
        assert base64.b64decode(content) == path.read_bytes()


def test_names_and_notes_are_escaped(finished_run: Path) -> None:
    text = (finished_run / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;&amp;run" in text and "&lt;lowest&gt;" in text
    assert "<b>" not in text and "<lowest>" not in text


def test_every_figure_is_saved_with_its_numbers(finished_run: Path) -> None:
    figures = finished_run / "figures"
    pictures = {path.stem for path in figures.glob("*.png")}
    assert pictures == {path.stem for path in figures.glob("*.csv")}
    assert len(pictures) == 10
    results = json.loads((finished_run / "results.json").read_text())
    with open(figures / "learning_curve.csv", newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert rows == results["learning_curve"]
    with open(figures / "eigenvalue_parity.csv", newline="") as file:
        predicted = [float(row["predicted_ev"]) for row in csv.DictReader(file)]
    with np.load(finished_run / "test_levels.npz") as arrays:
        assert predicted == arrays["predicted_ev"].tolist()


def test_parts_that_were_not_made_are_left_out_and_many_blocks_stay_readable(make_run: MakeRun) -> None:
    page = write_report(make_run("large", large=True, kind="fock", curve=False))
    assert "Learning curve" not in sections(page)
    assert not any("SAPH" in title for title in sections(page))
    text = page.read_text(encoding="utf-8")
    assert "The 20 largest of 128 blocks" in text
    assert "1 calculation failed; left out" in text and "SCF not converged" in text
    with open(page.parent / "figures" / "block_errors.csv", newline="") as file:
        errors = [float(row["rmse_mev"]) for row in csv.DictReader(file)]
    assert len(errors) == 128 and errors == sorted(errors, reverse=True)


def test_one_of_a_kind_is_said_in_the_singular(make_run: MakeRun) -> None:
    """One order has no spread, one block is not all blocks, and a gap no structure has is not drawn."""
    folder = make_run()
    results = json.loads((folder / "results.json").read_text())
    curve = [row for row in results["learning_curve"] if row["order"] == 0]
    results |= {"n_test": 1, "learning_curve": curve, "block_errors": results["block_errors"][:1]}
    (folder / "results.json").write_text(json.dumps(results))
    with np.load(folder / "diagnostics.npz") as stored:
        arrays = dict(stored)
    none = np.full_like(arrays["rejected_gap_hartree"], np.inf)
    np.savez(folder / "diagnostics.npz", **{**arrays, "rejected_gap_hartree": none})
    text = write_report(folder).read_text(encoding="utf-8")
    assert "±" not in text and number(curve[0]["gap_rmse_mev"]) in text
    for words in ("On 1 structure the", "on 1 other structure.", "The only block, each", "The only block as a table"):
        assert words in text
    pictures = {path.stem for path in (folder / "figures").glob("saph_*.png")}
    assert pictures == {"saph_singular_values", "saph_projections"}


def test_run_without_a_test_set_says_so(make_run: MakeRun) -> None:
    page = write_report(make_run(test=False))
    assert not {"Orbital energies", "Error of each level", "Error of each block"} & set(sections(page))
    assert "No structures were set aside" in page.read_text(encoding="utf-8")


def test_broken_symmetry_is_said_aloud_and_a_page_is_written_over_in_the_same_words(make_run: MakeRun) -> None:
    folder = make_run(kind="fock", curve=False)
    results = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps(results | {"equivariance_error": 1e-5}))
    page = write_report(folder).read_bytes()
    assert b"do not trust the model" in page
    assert write_report(folder).read_bytes() == page


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("results.json", None, "give the folder of a finished"),
        ("results.json", b'{"n_train": 8', "is damaged"),
        ("results.json", b"[]", "is damaged"),
        ("config.yaml", None, "does not exist"),
        ("config.yaml", b"qm: {", "is damaged"),
        ("config.yaml", b"structures: {file: a}\n", "is damaged"),
        ("config.yaml", b"\xff\xfe\x00", "is damaged"),
        ("config.yaml", b"{kind: config, format_version: 99, target: {}, model: {}}", "upgrade hamlearn"),
        ("model/model.yaml", b"kind: hamiltonian_model", "expected 'hamiltonian_model'"),
        ("model/model.yaml", b"{kind: hamiltonian_model, format_version: 1}", "is truncated"),
        ("model/model.yaml", b"{kind: hamiltonian_model, format_version: 2, tensors_sha256: a}", "is damaged"),
        ("model/model.yaml", b"{kind: hamiltonian_model, format_version: 1, tensors_sha256: a}", "is damaged"),
        ("model/model.yaml", b"kind: {", "is damaged"),
        ("test_levels.npz", b"PK\x03\x04 cut", "is truncated or damaged"),
        ("diagnostics.npz", b"", "is truncated or damaged"),
    ],
)
def test_missing_and_damaged_files_are_named(
    make_run: MakeRun, name: str, content: bytes | None, expected: str
) -> None:
    folder = make_run()
    (folder / name).unlink(missing_ok=True)
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=expected) as caught:
        write_report(folder)
    assert name in str(caught.value)
    assert not (folder / "report.html").exists()


def write_property_run(folder: Path, cv_error: float) -> Path:
    """A run that chose the width of its kernel on a grid."""
    kernel = {"grid": {"smearing_angstrom": [0.1, 0.4], "decay_angstrom": [None, 2.0]}, "additive": ["pair"]}
    config = build_config(
        {
            "structures": {"file": "/data/water.extxyz"},
            "target": {"kind": "property", "key": "energy", "unit": "eV"},
            "model": {"kernel": kernel},
            "split": {"train": 20, "test": 10},
        }
    )
    chosen = changed_section(
        config.model.kernel, {"grid": None, "smearing_angstrom": 0.4, "cutoff_angstrom": 4.5}, "the choice"
    )
    (folder / "model").mkdir(parents=True)
    (folder / "config.yaml").write_text(dump_config(config, {"hamlearn": "0.1.0"}))
    learner = {"kernel": chosen.model_dump(mode="json")}
    model = {"kind": "property_model", "format_version": 2, "tensors_sha256": "", "learner": learner}
    (folder / "model" / "model.yaml").write_text(json.dumps(model))
    results = {
        "n_train": 20, "n_test": 10, "target": config.target.model_dump(), "equivariance_error": 1e-14,
        "value_rmse": 0.1, "value_mae": 0.05, "value_spread": 0.5,
        "hyperparameters": {"a": 1.0, "b": 1.0, "c0": 1.0, "pair": 3.0, "cv_error": cv_error},
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def test_the_settings_chosen_on_a_grid_are_shown(tmp_path: Path) -> None:
    text = write_report(write_property_run(tmp_path / "run", 0.3)).read_text(encoding="utf-8")
    assert (
        "Chosen among the settings of model.kernel.grid by cross-validation: smearing_angstrom 0.4, decay_angstrom none"
        in text
    )
    assert "smearing_angstrom\u00a00.4" in text and "environments of 4.5 Å and of pairs" in text
    assert "nothing was learned" not in text


def test_a_model_that_learned_nothing_is_said_aloud(tmp_path: Path) -> None:
    text = write_report(write_property_run(tmp_path / "run", 1.02)).read_text(encoding="utf-8")
    assert "nothing was learned" in text


def test_gap_spread_and_ranking_of_structures() -> None:
    levels = Levels(
        reference_ev=np.array([-12.0, 4.0, -11.0, 2.0, -10.0, 5.0, -30.0]),
        predicted_ev=np.array([-12.0, 4.1, -11.0, 2.0, -10.0, 5.3, -30.0]),
        occupied=np.array([True, False, True, False, True, False, True]),
        structure=np.array([5, 5, 2, 2, 9, 9, 9]),
    )
    assert levels.gap_spread_ev() == pytest.approx(np.std([16.0, 13.0, 15.0], ddof=1))
    assert levels.ranked_structures().tolist() == [2, 5, 9]


@pytest.mark.parametrize("last_bit", [-1, 0, 1])
def test_what_is_equal_up_to_rounding_is_ranked_as_it_comes(last_bit: int) -> None:
    error = np.nextafter(0.1, 0.1 + last_bit)
    predicted, structure = np.array([0.1, error, 0.05, 0.2]), np.array([3, 4, 7, 8])
    levels = Levels(np.zeros(4), predicted, np.ones(4, dtype=bool), structure)
    assert levels.ranked_structures().tolist() == [7, 3, 4, 8]
    block = {"kind": "on_site", "species": "O-O", "shells": "2s-2s", "sigma": 1}
    rows = [{**block, "L": n, "rmse_mev": rmse} for n, rmse in enumerate(predicted)]
    assert [row["L"] for row in figures.block_errors(rows).rows] == [3, 0, 1, 2]


def test_headline_rows_and_numbers() -> None:
    metrics = {"hamiltonian_rmse_mev": 12.345, "eigenvalue_rmse_mev": 0.2134, "eigenvalue_mae_mev": float("nan")}
    assert headline(metrics) == [("Hamiltonian matrix", "12.3", "–"), ("orbital energies", "0.213", "–")]
    assert headline({}) == []
    assert [number(value) for value in (0, 1234.5, 99.96, 3.2e-14, -0.5, 3e-4, 0.00504, 2000)] == [
        "0",
        "1\u202f234",
        "100",
        "3.2×10⁻¹⁴",
        "-0.500",
        "0.000300",
        "0.00504",
        "2\u202f000",
    ]


def test_words_follow_the_settings() -> None:
    config = {
        "qm": {"method": "RKS", "xc": "pbe0", "basis": "sto-3g"},
        "target": {"kind": "lowdin", "delta": "minao"},
        "model": {"kind": "ridge"},
    }
    results = {"n_train": 3, "n_test": 0, "formulas": {"CH4": 1, "H2O": 2}}
    first, second, third = what_was_computed(config, results)
    assert "3 structures (H₂O, CH₄) at the RKS (pbe0)/sto-3g level" in first
    assert "Löwdin" in second and "minao guess is subtracted" in second
    assert "3 training structures" in third and "Errors" not in third
    saph = {"kind": "saph", "minimal_basis": "subset", "form": "orthogonal", "virtuals": "lowest"}
    for delta, like in (("none", False), ("core", False), ("sto-3g", True)):
        second = what_was_computed(config | {"target": saph | {"delta": delta}}, results)[1]
        assert ("like the guess's" in second) is like
        assert ("density converged in STO-3G is subtracted" in second) is (delta == "sto-3g")


def test_folders_from_before_there_were_kernels_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(ARTIFACTS / "0.1.0" / "finished" / "matrix", folder)
    for file in (folder / "config.yaml", folder / "model" / "model.yaml"):
        settings = yaml.safe_load(file.read_text())
        file.write_text(yaml.safe_dump({name: s for name, s in settings.items() if name not in ("wigner", "samples")}))
    text = write_report(folder).read_text(encoding="utf-8")
    assert "ridge regression on symmetry-adapted features" in text
    assert "<td>model.features</td>" in text and "Wigner" not in text


def test_every_section_of_settings_has_a_row_of_its_own(tmp_path: Path) -> None:
    text = write_report(write_property_run(tmp_path / "run", 0.3)).read_text(encoding="utf-8")
    rows = re.findall("<tr><td>(structures|target|model[a-z.]*|split)</td><td>(.*?)</td></tr>", text)
    assert [name for name, _ in rows] == ["structures", "target", "model", "model.kernel", "split"]
    assert "kind\u00a0kernel · folds\u00a03" in rows[2][1] and "kernel\u00a0{" not in text
    assert "additive\u00a0[pair]" in rows[3][1] and "decay_angstrom" not in rows[3][1]  # what is not set is not said


def test_gaps_spread_inside_each_formula() -> None:
    """Two formulas with gaps far apart: their spread inside each is what a model has to beat."""
    gaps = np.array([10.0, 12.0, 20.0, 21.0, 22.0, 5.0])
    levels = Levels(
        reference_ev=np.stack([np.zeros(6), gaps], axis=1).ravel(),
        predicted_ev=np.zeros(12),
        occupied=np.tile([True, False], 6),
        structure=np.repeat([9, 4, 7, 1, 0, 3], 2),
        formula=np.array(["CH4", "CH4", "H2O", "H2O", "H2O", "H2"]),
    )
    assert levels.gap_spreads_ev() == pytest.approx({"H2O": np.std([20, 21, 22], ddof=1), "CH4": 2**0.5})
    assert replace(levels, formula=None).gap_spreads_ev() == {}
