"""Functionals: PySCF's own names pass, what is unknown or ambiguous does not."""

import re

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


@pytest.mark.parametrize(
    ("xc", "says"),
    [
        ("gga_x_lb", "gga_x_lb has a potential, but no energy"),
        ("mgga_x_tb09", "has a potential, but no energy"),
        ("mgga_x_bj06,pbe", "mgga_x_bj06 has a potential"),
        ("0.5*gga_x_lbm+0.5*pbe,pbe", "gga_x_lbm has a potential"),
        ("scanl", "needs the Laplacian"),
        ("mgga_x_br89", "needs the Laplacian"),
        ("lda_k_tf", "is of kinetic energy"),
        ("pbe+gga_k_apbe", "gga_k_apbe is of kinetic energy"),
        ("mgga_k_pc07", "is of kinetic energy"),
        ("lda_x_2d", "2 dimensions"),
        ("gga_x_2d_b86", "2 dimensions"),
        ("lda_c_1d_csc", "1 dimensions"),
        ("lda_xc_1d_ehwlrg_1", "1 dimensions"),
        ("-1*pbe,pbe", "factors of exchange add up to -1"),
        ("20*pbe,pbe", "factors of exchange add up to 20, expected 0 to 1.5"),
        ("pbe,3*pbe", "factors of correlation add up to 3"),
        ("hf+b88,lyp", "factors of exchange add up to 2"),
        ("pbe0,lyp", "factors of correlation add up to 2"),
        ("0*pbe,pbe", "no exchange"),
        ("-0.5*hf+pbe", "factor of exact exchange is -0.5"),
        (",lyp", "no exchange"),
    ],
)
def test_functionals_of_no_molecule_are_refused_by_the_flags_of_libxc(xc, says):
    with pytest.raises(ConfigError, match=f"'{re.escape(xc)}'.*{says}"):
        check_functional(xc)


@pytest.mark.parametrize(
    "xc", ["1.05*lda,", "lda,", "hf,lyp", "hf", "0.8*pbe+0.2*hf,pbe", "rcam-b3lyp", "m06-2x", "lda,vwn"]
)
def test_unusual_functionals_of_molecules_pass(xc):
    assert check_functional(xc) is not None


def test_every_functional_that_passes_is_of_three_dimensions_with_energy_and_potential():
    """Of all PySCF has, those that SCFs break with are refused, and most of the others pass."""
    refused, passed = set(), set()
    for name in libxc.available_libxc_functionals():
        try:
            check_functional(name)
            passed.add(name)
        except ConfigError:
            refused.add(name)
    assert len(passed) > 300
    assert not [name for name in passed if "_K_" in name or "_1D_" in name or "_2D_" in name]
    assert {"GGA_X_LB", "MGGA_X_BR89_EXPLICIT", "MGGA_X_SCANL"} <= refused
    assert {"GGA_XC_B97_D", "HYB_GGA_XC_PBEH", "MGGA_X_SCAN", "LDA_X"} <= passed


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


@pytest.mark.parametrize("xc", ["tb09", "lb94x", "scan-ll"])
def test_no_refused_functional_is_suggested(xc):
    with pytest.raises(ConfigError) as refused:
        check_functional(xc)
    for name in re.findall("did you mean '(.*?)'", str(refused.value)):
        check_functional(name)
