"""The script of the active-learning curve: kernels that are looked up are those that a fit would compute."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule

from hamlearn.config import WignerSettings
from hamlearn.kernels import BlockKernel
from hamlearn.structures.families import Family

SCRIPT = Path(__file__).parents[2] / "workflows" / "hamiltonian" / "active_learning.py"
SMALL = WignerSettings(max_l=1, max_nu_centre=2, max_nu_pair=1)
WANTED = {Family("on_site", 6, 6): [(0, 1)], Family("cross", 1, 8): [(0, 1), (1, 1)], Family("minus", 1, 1): [(0, 1)]}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("active_learning", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(SCRIPT.parent)  # of the module that scripts share
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def methanols():
    rng, base = np.random.default_rng(0), molecule("CH3OH")
    out = []
    for _ in range(6):
        out.append(base.copy())
        out[-1].positions += rng.normal(scale=0.05, size=base.positions.shape)
    return out


def test_kernels_looked_up_are_those_computed(script, methanols):
    pool, test = methanols[:4], methanols[4:]
    remembered, plain = script.PoolKernel(SMALL, pool, test), BlockKernel(SMALL).fit(pool)
    for rows, columns in (([3, 0], [2, 3, 1]), ([5, 1, 4], [0, 2]), ([2], [2])):
        a, b = ([methanols[k] for k in x] for x in (rows, columns))
        found = remembered.between(remembered.centres(a), remembered.centres(b), WANTED)
        expected = plain.between(plain.centres(a), plain.centres(b), WANTED)
        assert found.keys() == expected.keys()
        for name, k in expected.items():
            assert np.abs(k).max() > 1e-3
            np.testing.assert_allclose(found[name], k, atol=1e-12)


def test_models_of_the_script_look_kernels_up(script, methanols):
    remembered = script.PoolKernel(SMALL, methanols[:4], methanols[4:])
    learner = script.learner_with(remembered)(script.PoolSettings(kernel=SMALL))
    assert learner.new_kernel(SMALL).fit(methanols[:3]) is remembered
