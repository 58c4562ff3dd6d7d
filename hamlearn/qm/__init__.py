"""Geometry -> QMRecord by PySCF: Fock, overlap and guess matrices, energies, provenance; many of them as a campaign.

Hartree and Bohr, PySCF's orbital order. Nothing here imports torch, and PySCF only when it calculates.
"""

from typing import TYPE_CHECKING

from hamlearn.lazy import lazily
from hamlearn.qm.pyscf_settings import keep_defaults

if TYPE_CHECKING:
    from hamlearn.qm.calculation import run_scf as run_scf
    from hamlearn.qm.campaign import Campaign as Campaign
    from hamlearn.qm.campaign import pack_campaign as pack_campaign
    from hamlearn.qm.campaign import run_campaign as run_campaign
    from hamlearn.qm.guess import GUESSES as GUESSES
    from hamlearn.qm.guess import guess_fock as guess_fock
    from hamlearn.qm.hessian import compute_hessian as compute_hessian
    from hamlearn.qm.molecule import build_mole as build_mole
    from hamlearn.qm.molecule import check_basis as check_basis
    from hamlearn.qm.record import QMRecord as QMRecord
    from hamlearn.qm.record import load_record as load_record
    from hamlearn.qm.record import record_key as record_key
    from hamlearn.qm.record import save_record as save_record
    from hamlearn.qm.store import CampaignStatus as CampaignStatus
    from hamlearn.qm.store import campaign_status as campaign_status

_HOMES = {
    "calculation": ("run_scf",),
    "campaign": ("Campaign", "pack_campaign", "run_campaign"),
    "guess": ("GUESSES", "guess_fock"),
    "hessian": ("compute_hessian",),
    "molecule": ("build_mole", "check_basis"),
    "record": ("QMRecord", "load_record", "record_key", "save_record"),
    "store": ("CampaignStatus", "campaign_status"),
}
keep_defaults()
__getattr__, __dir__ = lazily(__name__, _HOMES)
