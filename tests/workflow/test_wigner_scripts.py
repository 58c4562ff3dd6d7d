import csv
import importlib.util
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.calculators.emt import EMT
from scipy.spatial.distance import pdist

ROOT = Path(__file__).parents[2]
CLUSTERS = ROOT / "data" / "gold_clusters.extxyz"


@pytest.fixture
def script(monkeypatch):
    """A script as a module, whose main sees the given arguments."""

    def load(name, *arguments):
        spec = importlib.util.spec_from_file_location(name, ROOT / "workflows" / "wigner" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        return module

    return load


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_clusters_are_those_that_are_shipped(tmp_path, script):
    script("make_clusters", tmp_path / "two.extxyz", "--number", 2).main()
    shipped = ase.io.read(CLUSTERS, ":2")
    for made, atoms in zip(ase.io.read(tmp_path / "two.extxyz", ":"), shipped, strict=True):
        np.testing.assert_allclose(made.positions, atoms.positions, atol=1e-5)
        assert made.info["energy_ev"] == pytest.approx(atoms.info["energy_ev"], abs=1e-5)


def test_shipped_clusters_carry_the_labels_of_the_potential():
    clusters = ase.io.read(CLUSTERS, ":")
    assert len(clusters) == 300
    assert CLUSTERS.stat().st_size < 400_000
    assert min(pdist(atoms.positions).min() for atoms in clusters) > 2.0
    for atoms in clusters[::50]:
        atoms.calc = EMT()
        assert atoms.get_potential_energy() == pytest.approx(atoms.info["energy_ev"], abs=1e-7)
        np.testing.assert_allclose(atoms.get_forces(), atoms.arrays["forces_ev_angstrom"], atol=1e-7)


def test_body_order_runs_and_errors_fall(tmp_path, script, capsys):
    ablation = script("body_order", tmp_path, "--train", 12, 24, "--test", 12, "--seeds", 1)
    ablation.GAUSSIANS, ablation.RATES = ((0.6, 1.0),), (0.3,)
    ablation.MIXTURE = (range(3, 9), (0.3,), (7.0,))
    ablation.main()
    assert "ν ≤ 4 ends below SOAP-GPR" in capsys.readouterr().out
    small, large = rows(tmp_path / "body_order.csv")
    assert (small["n_train"], large["n_train"]) == ("12", "24")
    assert 0 < float(large["ν ≤ 4"]) < float(small["ν ≤ 4"])
    assert (tmp_path / "body_order.png").stat().st_size > 10_000


def test_products_of_orders_are_those_of_single_environments(script):
    ablation = script("body_order")
    clusters = ase.io.read(CLUSTERS, ":5")
    ablation.ROWS_AT_ONCE = 2
    pairs = ablation.Pairs((0.3, 2.5, 2), clusters, clusters, clusters[:3])
    products = pairs.products()
    orders = pairs.between(max_nu=2)
    np.testing.assert_allclose(products[:3], orders, rtol=1e-10)  # 1 times k^0, k^1, k^2
    np.testing.assert_allclose(products[5], pairs.between(kind="order", max_nu=2, zeta=2)[1], rtol=1e-10)


def test_body_order_ends_with_an_error_when_an_ordering_is_broken(tmp_path, script, monkeypatch, capsys):
    ablation = script("body_order", tmp_path)
    names = [*ablation.ALONE.values(), *ablation.UP_TO.values(), ablation.SQUARE, ablation.MIXED_SQUARE, ablation.SOAP]
    flat = [{"n_train": n, "order": 0, **dict.fromkeys(names, 1.0)} for n in (100, 200)]
    demanded = [holds for _, holds, must in ablation.statements(flat) if must]
    assert demanded == [False, False, True, False]
    monkeypatch.setattr(ablation, "curves", lambda *arguments: flat)
    with pytest.raises(SystemExit, match="an ordering is broken"):
        ablation.main()
    assert "does not hold: ν ≤ 4 ends below SOAP-GPR" in capsys.readouterr().out
    monkeypatch.setattr(ablation, "statements", lambda _: [("demanded", True, True), ("not demanded", False, False)])
    ablation.main()
    assert "does not hold (not demanded): not demanded" in capsys.readouterr().out


def test_angular_scan_finds_the_frequencies_each_order_carries(tmp_path, script):
    script("angular_scan", tmp_path, "--seed", 1).main()
    found = rows(tmp_path / "angular_scan.csv")
    beyond = [max(float(row[f"nu_{nu}"]) for row in found[4:]) for nu in range(1, 7)]
    assert max(beyond[:3]) < 1e-12 < 1e-4 < min(beyond[3:])
    assert len(rows(tmp_path / "angular_scan_kernels.csv")) == 64
