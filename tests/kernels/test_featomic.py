"""SOAP and lambda-SOAP kernels against featomic, from featomic's own density coefficients; skipped without it."""

import numpy as np
import pytest
import torch
from ase import Atoms

from hamlearn.kernels import density_kernel, lambda_soap_kernel, soap_kernel
from hamlearn.testing import TOLERANCE

featomic = pytest.importorskip("featomic")
metatensor = pytest.importorskip("metatensor")

EXACT = TOLERANCE["float64"]["exact"]
MAX_L, ELEMENTS = 3, [1, 6, 8]
SETTINGS = {
    "cutoff": {"radius": 4.0, "smoothing": {"type": "ShiftedCosine", "width": 0.5}},
    "density": {"type": "Gaussian", "width": 0.4},
    "basis": {"type": "TensorProduct", "max_angular": MAX_L, "radial": {"type": "Gto", "max_radial": 2}},
}


@pytest.fixture(scope="module")
def molecules():
    rng = np.random.default_rng(0)
    return [Atoms("OCHHH", rng.normal(scale=1.3, size=(5, 3))) for _ in range(3)]


@pytest.fixture(scope="module")
def kernel(molecules):
    """Density kernel of the nine hydrogens."""
    elements = metatensor.Labels("neighbor_type", np.array(ELEMENTS)[:, None])
    found = featomic.SphericalExpansion(**SETTINGS).compute(molecules).keys_to_properties(elements)
    parts = [found.block(o3_lambda=l, center_type=1).values for l in range(MAX_L + 1)]
    c = torch.from_numpy(np.concatenate(parts, axis=1))
    return density_kernel(c, c, MAX_L)


def assert_relative(found, expected):
    assert np.abs(found - expected).max() <= EXACT * np.abs(expected).max()


@pytest.mark.usefixtures("back_end")
def test_power_spectrum(molecules, kernel):
    """featomic keeps unlike elements in one order only and puts their sqrt 2 in."""
    block = featomic.SoapPowerSpectrum(**SETTINGS).compute(molecules)
    block = block.keys_to_properties(["neighbor_1_type", "neighbor_2_type"]).block(center_type=1)
    first, second = (block.properties.column(f"neighbor_{n}_type") for n in (1, 2))
    assert (first <= second).all()
    assert_relative(soap_kernel(kernel, 2).numpy(), block.values @ block.values.T)


@pytest.mark.usefixtures("back_end")
def test_equivariant_power_spectrum(molecules, kernel):
    """featomic keeps l_1 <= l_2 only, without the sqrt 2 of l_1 < l_2, which is put back here."""
    calculator = featomic.SphericalExpansion(**SETTINGS)
    spectrum = featomic.clebsch_gordan.EquivariantPowerSpectrum(calculator, neighbor_types=ELEMENTS)
    found = spectrum.compute(molecules, neighbors_to_properties=True)
    checked = 0
    for key, block in found.items():
        if key["center_type"] != 1:
            continue
        l_1, l_2 = (block.properties.column(f"l_{n}") for n in (1, 2))
        assert (l_1 <= l_2).all()
        features = block.values * np.where(l_1 < l_2, np.sqrt(2), 1)
        expected = np.einsum("imf,jnf->ijmn", features, features)
        assert_relative(lambda_soap_kernel(kernel, key["o3_lambda"], key["o3_sigma"]).numpy(), expected)
        checked += 1
    assert checked == 12
