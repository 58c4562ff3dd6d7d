"""Functionals: PySCF's own names pass, what is unknown or ambiguous does not."""

import pytest
from pyscf.dft import libxc

from hamlearn.config import QMSettings
from hamlearn.errors import ConfigError
from hamlearn.qm.method import check_functional, describe_method, mean_field
from hamlearn.qm.molecule import build_mole

WATER = ([8, 1, 1], [[0, 0, 0.2], [0, 1.4, -0.9], [0, -1.4, -0.9]])


@pytest.mark.parametrize(
    "xc", ["pbe", "PBE0", "b3lypg", "b3lyp5", "r2scan", "wb97x-v", "cam-b3lyp", "0.5*hf+0.5*b88,lyp", "lda,vwn"]
)
def test_functionals_pyscf_knows_pass(xc):
    assert check_functional(xc) == tuple((i, float(factor)) for i, factor in libxc.parse_xc(xc)[1])


@pytest.mark.parametrize("xc", ["b3lyp", "B3-LYP", "0.5*b3lyp", "b3lyp,", "x3lyp", "revb3lyp"])
def test_functionals_that_mean_several_are_refused_with_their_variants(xc):
    with pytest.raises(ConfigError, match=r"lypg \(VWN3.*lyp5 \(VWN5"):
        check_functional(xc)


@pytest.mark.parametrize("xc", ["b3lypg-d3bj", "pbe-d4", "wb97x-d3bj", "wb97x-d4"])
def test_dispersion_is_refused(xc):
    with pytest.raises(ConfigError, match="dispersion"):
        check_functional(xc)


@pytest.mark.parametrize(
    ("xc", "says"),
    [
        ("pbee", "did you mean"),
        ("no such thing", "no functional"),
        ("b97-3c", "no functional"),
        ("wb97x-3c", "no functional"),
        ("wb97x-d", "no functional"),
        ("2*", "no func"),
    ],
)
def test_unknown_functionals_are_refused(xc, says):
    with pytest.raises(ConfigError, match=says):
        check_functional(xc)


def test_mean_field_has_no_file_behind_it():
    field = mean_field(build_mole(*WATER, "STO-3G"), QMSettings(basis="STO-3G", conv_tol=1e-7))
    assert field.chkfile is None
    assert not hasattr(field, "_chkfile")
    assert field.conv_tol == 1e-7


def test_description_spells_the_functional_out():
    described = describe_method(QMSettings(method="RKS", xc="pbe0"))
    assert described["xc_components"] == [[406, 1.0]]
    assert described["xc_exact_exchange"] == 0.25
    assert described["grid_level"] == 3
    assert describe_method(QMSettings()) == {"method": "RHF", "xc": None}
