"""Small molecules and their matrices, computed once per test process."""

import numpy as np
import pytest
from ase import Atoms
from bare_pyscf import bare_rhf, lowdin

from hamlearn.angular.ao_order import Orbitals
from hamlearn.config import learners
from hamlearn.o3 import compiled


@pytest.fixture(scope="session")
def water():
    return Atoms("OHH", [[0.02, -0.05, 0.11], [0.76, 0.03, 0.66], [-0.71, 0.08, 0.69]])


@pytest.fixture(scope="session")
def hydrogen_peroxide():
    """A chiral molecule."""
    return Atoms("OOHH", [[0, 0.72, 0.05], [0.02, -0.73, 0], [0.79, 0.9, 0.48], [-0.81, -0.92, 0.44]])


@pytest.fixture(scope="session")
def waters():
    """40 distorted waters."""
    rng = np.random.default_rng(1)
    base = np.array([[0, 0, 0.0], [0.76, 0, 0.59], [-0.76, 0, 0.59]])
    return [Atoms("OHH", base + rng.normal(scale=0.04, size=(3, 3))) for _ in range(40)]


@pytest.fixture(scope="session")
def water_lowdin(waters):
    """Löwdin-orthogonalised STO-3G Fock matrices of the distorted waters and their orbitals."""
    computed = [bare_rhf(atoms) for atoms in waters]
    return [lowdin(f, s) for _, f, s in computed], Orbitals.from_mole(computed[0][0])


@pytest.fixture(params=["compiled", "grid"])
def back_end(request, monkeypatch):
    """Either engine: the compiled loop, and the torch grid as on a machine where the loop was not built."""
    if request.param == "grid":
        monkeypatch.setattr(compiled, "_loop", lambda: None)
    elif not compiled.is_compiled():
        pytest.skip("the compiled loop was not built")


@pytest.fixture
def own_learners(monkeypatch):
    """The kinds of learners of the package alone, whatever other tests have registered."""
    own = {name: section for name, section in learners._KINDS.items() if section.__module__ == learners.__name__}
    monkeypatch.setattr(learners, "_KINDS", own)
