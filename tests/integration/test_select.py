"""`hamlearn select`: table, files, and what it refuses."""

import csv

import ase.io
import numpy as np
import pytest
from ase import Atoms
from typer.testing import CliRunner

from hamlearn import HamiltonianModel, PropertyModel
from hamlearn.cli import app
from hamlearn.config import (
    FeatureSettings,
    KernelRidgeSettings,
    KernelSettings,
    PropertyTarget,
    QMSettings,
    RidgeSettings,
    SaphTarget,
    WignerSettings,
)
from hamlearn.qm import run_campaign
from hamlearn.structures import read_structures
from hamlearn.targets import build_target

N = 6
FEATURES = FeatureSettings(max_l=2, max_n=2)
SMALL = WignerSettings(max_l=2, max_nu_centre=2, max_nu_pair=1, cutoff_angstrom=3.0)


def call(*arguments):
    return CliRunner().invoke(app, ["select", *map(str, arguments)])


def refused(result, *expected):
    assert result.exit_code == 2, result.output + repr(result.exception)
    assert result.stderr.startswith("error: ") and "Traceback" not in result.stderr
    for word in expected:
        assert word in result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Model folders and a file of candidates: waters, one of them stretched, and molecules with other elements."""
    folder = tmp_path_factory.mktemp("select")
    waters = read_structures("data/water.extxyz")[: N + 6]
    waters[N + 3].set_distance(0, 1, 1.3, fix=0)
    qm = QMSettings(basis="sto-3g")
    campaign = run_campaign(waters[:N], qm, folder / "qm")
    targets = [build_target(campaign.load(k), SaphTarget()) for k in range(N)]
    for name, settings in {
        "model": KernelRidgeSettings(kernel=SMALL, error_bars=True),
        "plain": KernelRidgeSettings(kernel=SMALL),
        "ridge": RidgeSettings(features=FEATURES, error_bars=True),
    }.items():
        HamiltonianModel(qm, model=settings).fit(waters[:N], targets).save(folder / name)
    others = [a for a in read_structures("data/chno.extxyz")[:40] if not set(a.numbers) <= {1, 8}]
    ase.io.write(folder / "known.extxyz", waters[:N])
    ase.io.write(folder / "candidates.extxyz", [*waters[N:], *others[:2]])
    return folder


def test_table_and_files(folder, tmp_path):
    result = call(folder / "model", folder / "candidates.extxyz", "-n", 2, "-o", tmp_path / "next", "--of", "levels")
    assert result.exit_code == 0, result.output + repr(result.exception)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["rank", "index", "formula", "levels", "std", "/", "meV", "distance"]
    assert lines[1][:3] == ["1", "3", "H2O"]
    assert "2 candidates are outside the model's domain" in result.stdout
    with (tmp_path / "next" / "selected.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["index"] for row in rows] == [line[1] for line in lines[1:3]]
    assert [float(row["levels_std_ev"]) * 1e3 for row in rows] == pytest.approx(
        [float(line[3]) for line in lines[1:3]], rel=5e-3
    )
    candidates = read_structures(folder / "candidates.extxyz")
    for row, atoms in zip(rows, ase.io.read(tmp_path / "next" / "selected.extxyz", ":"), strict=True):
        assert atoms.info["hamlearn_index"] == int(row["index"])
        assert atoms.info["hamlearn_levels_std_ev"] == pytest.approx(float(row["levels_std_ev"]), rel=1e-6)
        np.testing.assert_allclose(atoms.positions, candidates[int(row["index"])].positions, atol=1e-7)
    beyond = ase.io.read(tmp_path / "next" / "outside.extxyz", ":")
    assert [atoms.info["hamlearn_index"] for atoms in beyond] == [6, 7]
    assert all("not in the training set" in atoms.info["hamlearn_outside"] for atoms in beyond)


def test_nothing_is_written_over_and_nothing_without_being_asked(folder, tmp_path):
    arguments = (folder / "plain", folder / "known.extxyz", "-n", 1, "--by", "farthest")
    refused(call(*arguments, "-o", tmp_path / "next"), "copies of known structures")
    arguments = (folder / "plain", folder / "candidates.extxyz", "-n", 1, "--by", "farthest")
    result = call(*arguments)
    assert result.exit_code == 0 and ["1", "3", "H2O", "-"] in [line.split()[:4] for line in result.stdout.splitlines()]
    assert list(tmp_path.iterdir()) == []
    assert call(*arguments, "-o", tmp_path / "next").exit_code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "next").iterdir()}
    refused(call(*arguments, "-o", tmp_path / "next"), "is not empty", "selected.csv")
    assert {path: path.read_bytes() for path in (tmp_path / "next").iterdir()} == before
    (tmp_path / "file").write_text("mine")
    refused(call(*arguments, "-o", tmp_path / "file"), "is a file")


def test_a_ridge_regression_is_told_what_is_known(folder):
    arguments = (folder / "ridge", folder / "candidates.extxyz", "-n", 1)
    refused(call(*arguments, "--by", "both"), "--known")
    for options in (("--by", "both", "--known", folder / "known.extxyz"), ()):
        result = call(*arguments, *options)
        assert result.exit_code == 0, result.output + repr(result.exception)
        assert result.stdout.splitlines()[1].split()[1] == "3"


def test_refusals(folder, tmp_path):
    def select(*options, model="model", file="candidates.extxyz"):
        return call(folder / model, folder / file, *options, "-o", tmp_path / "next")

    refused(select("-n", 0), "n is 0")
    refused(select("-n", 9), "n is 9", "8 candidates")
    refused(select("-n", 7), "6 of 8 lie inside", "structure 7")
    refused(select("-n", 1, "--by", "random"), "uncertainty, farthest, both")
    refused(select("-n", 1, "--of", "energy"), "gap, levels")
    refused(select("-n", 1, model="plain"), "error_bars: true")
    refused(select("-n", 1, model="nowhere"), "nowhere")
    refused(select("-n", 1, file="none.xyz"), "none.xyz")
    (tmp_path / "cut.extxyz").write_bytes((folder / "candidates.extxyz").read_bytes()[:-40])
    refused(call(folder / "model", tmp_path / "cut.extxyz", "-n", 1), "cut.extxyz")
    ase.io.write(tmp_path / "odd.xyz", Atoms("OH", [[0, 0, 0], [0, 0, 1.0]]))
    refused(call(folder / "model", tmp_path / "odd.xyz", "-n", 1), "odd number")
    assert not (tmp_path / "next").exists()


def test_models_of_properties_are_refused(folder, tmp_path):
    structures = read_structures("data/water_properties.extxyz")[:6]
    target = PropertyTarget(key="energy_ev", unit="eV")
    settings = KernelRidgeSettings(kernel=KernelSettings(max_l=1, max_nu=2))
    PropertyModel(target, settings).fit(structures).save(tmp_path / "energy")
    refused(call(tmp_path / "energy", folder / "candidates.extxyz", "-n", 1), "model of a property")
