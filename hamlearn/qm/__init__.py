"""Geometry -> QMRecord by PySCF: Fock, overlap and guess matrices, energies, provenance; many of them as a campaign.

Hartree and Bohr, PySCF's orbital order. Nothing here imports torch, and PySCF only when it calculates.
"""

from hamlearn.qm.calculation import run_scf
from hamlearn.qm.campaign import Campaign, CampaignStatus, campaign_status, pack_campaign, run_campaign
from hamlearn.qm.guess import GUESSES, guess_fock
from hamlearn.qm.hessian import compute_hessian
from hamlearn.qm.molecule import build_mole, check_basis
from hamlearn.qm.record import QMRecord, load_record, record_key, save_record

__all__ = [
    "GUESSES",
    "Campaign",
    "CampaignStatus",
    "QMRecord",
    "build_mole",
    "campaign_status",
    "check_basis",
    "compute_hessian",
    "guess_fock",
    "load_record",
    "pack_campaign",
    "record_key",
    "run_campaign",
    "run_scf",
    "save_record",
]
