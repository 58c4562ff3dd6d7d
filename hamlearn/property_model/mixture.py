"""The mixture of kernel orders with the smallest cross-validated error."""

from __future__ import annotations
