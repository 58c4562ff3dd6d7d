"""What steps of fits cost, and that progress counts all of them once."""

import re

import pytest
from water_models import LEARNERS, TARGETS, with_bars
from water_models import QM as STO

from hamlearn.config import FeatureSettings, KernelRidgeSettings, RidgeSettings
from hamlearn.config.bond_settings import BondFrameKernel
from hamlearn.job import Job
from hamlearn.learning.limits import costs_of_steps
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.qm import run_scf
from hamlearn.targets import build_target
from hamlearn.units import BOHR_ANGSTROM

BOND = FeatureSettings(kind="bond_frame", max_l=3, max_n=3, max_features=40)
SETTINGS = {
    **LEARNERS,
    "bond ridge": RidgeSettings(features=BOND),
    "process": KernelRidgeSettings(kernel=BondFrameKernel(max_l=3, max_n=3)),
}


def test_costs_grow_as_the_work_does():
    """Twice the rows: twice the features; twice the features of many rows: eight times the solution."""
    small, rows, wide = (costs_of_steps([size], 4, 0) for size in ((100, 5000), (100, 10000), (200, 5000)))
    assert len(small) == 5
    assert sum(rows[:4]) == pytest.approx(2 * sum(small[:4])) and rows[4] == small[4]
    assert wide[4] == 8 * small[4]
    few = costs_of_steps([(5000, 10)], 4, 3)
    assert few[4] == pytest.approx(40 * 10**2 * 5000) and few[5] == few[6] == few[7] > 0


@pytest.fixture(scope="module")
def targets(waters):
    records = [run_scf(a.numbers, a.positions / BOHR_ANGSTROM, STO) for a in waters[:16]]
    return [build_target(record, TARGETS["saph"]) for record in records]


@pytest.mark.parametrize("bars", [False, True])
@pytest.mark.parametrize("name", SETTINGS)
def test_progress_ends_where_the_work_does(waters, targets, name, bars):
    told = []
    settings = with_bars(SETTINGS[name]) if bars else SETTINGS[name]
    model = HamiltonianModel(STO, TARGETS["saph"], settings)
    model.fit(waters[:16], targets, Job(told.append))
    counts = [re.search(r"(\d+) of (\d+) done in", line) for line in told]
    assert [found.group(1) for found in counts if found] == [found.group(2) for found in counts if found] != []
