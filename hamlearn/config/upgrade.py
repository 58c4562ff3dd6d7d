"""Settings of older versions in the layout of this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hamlearn.config.features import CoupledFeatures
from hamlearn.config.learners import KernelRidgeSettings, ModelSettings
from hamlearn.config.regression import KernelSettings
from hamlearn.config.section import Section
from hamlearn.config.targets import TargetSettings
from hamlearn.config.wigner import WignerSettings
from hamlearn.errors import ConfigError, SettingError

SECTIONS: dict[str, tuple[str, type[Section]]] = {
    "features": ("features", CoupledFeatures),
    "wigner": ("kernel", WignerSettings),
    "kernel": ("kernel", KernelSettings),
}
"""Sections of format 1 that lay beside model: what they are called inside it now, and their settings."""

WEIGHTS = ("energy_weight", "force_weight")
"""Settings of format 1 that moved from the section model to target."""

ONLY_SAPH = ("virtuals", "minimal_basis", "form")
"""Settings that did nothing for other matrices, and were accepted."""

OLD_DEFAULTS: dict[str, dict[str, Any]] = {
    "target": {
        "delta": "none", "virtuals": "lowest", "minimal_basis": "subset", "form": "orthogonal", "key": None, "l": 0,
        "sigma": 1, "forces_key": None, "baseline": None, "unit": None, "energy_weight": 1.0, "force_weight": 1.0,
    },
    "model": {
        "error_bars": False, "basis": None, "active": None, "active_by": "farthest", "solver": "rkhs-qr",
        "optimise": "grid", "loss": "rmse",
    },
    "kernel": {"gamma": 1.0, "additive_width_angstrom": 1.0},
}  # fmt: skip
"""Settings of format 1 that are of some kinds only, or have another default of the same meaning now."""


def upgraded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return sections of format 1 in the layout of format 2; what is of format 2 already is left as it is.

    Format 1 had the sections features, wigner and kernel beside model, whose kinds were ridge, wigner and kernel, the
    weights of values and forces in the section model, and the settings of all kinds side by side. Sections and settings
    of another kind at their defaults, which did nothing, are left out.

    Raises:
        ConfigError: for a section that is given twice.
    """
    target, model = settings.get("target") or {}, settings.get("model") or {}
    if not isinstance(target, Mapping) or not isinstance(model, Mapping) or not _is_of_format_1(settings, model):
        return dict(settings)
    of_property = target.get("kind") == "property"
    kind = model.get("kind", "kernel" if of_property else "ridge")
    own = "features" if kind == "ridge" else "kernel" if of_property else "wigner"
    model = {**model, "kind": "kernel"} if kind == "wigner" else dict(model)
    target = {**target, **{name: model.pop(name) for name in WEIGHTS if name in model}}
    if settings.get("format_version") == 1:  # written by a run, with all sections, and the report shows all settings
        given = [own] if own in settings else []
    else:
        given = [name for name in SECTIONS if name in settings and not _is_default(name, settings[name])]
    beside = [name for name in SECTIONS if name in settings and SECTIONS[name][0] in model]
    for name in dict.fromkeys([*beside, *given]):
        place = SECTIONS[name][0]
        if place in model:
            other = next((n for n in given if n != name and SECTIONS[n][0] == place), f"model.{place}")
            raise ConfigError(f"{other} and {name} were both given; keep the one that learns the target")
        model[place] = _with_kind(name, settings[name])
    if target.get("kind") in ("fock", "lowdin"):
        target = {name: value for name, value in target.items() if name not in ONLY_SAPH}
    target = _without_idle(target, "target", TargetSettings.kinds().get(str(target.get("kind", "saph"))))
    model = _without_idle(model, "model", ModelSettings.kinds().get(str(model.get("kind", kind))))
    if model.get("kind", kind) == "kernel":
        model = _without_choices_of_nothing(model, forces=target.get("forces_key") is not None)
    out = {name: section for name, section in settings.items() if name not in SECTIONS}
    return out | {name: s for name, s in (("target", target), ("model", model)) if s or name in settings}


def renamed(path: Sequence[str], value: Any) -> tuple[list[str], Any]:
    """Return where a single setting named as in format 1 is now, and its value."""
    first, *rest = path
    if first in SECTIONS:
        return ["model", SECTIONS[first][0], *rest], value
    if first == "model" and rest and rest[0] in WEIGHTS:
        return ["target", *rest], value
    if first == "model" and not rest and isinstance(value, Mapping) and value.get("kind") == "wigner":
        return ["model"], {**value, "kind": "kernel"}
    return [first, *rest], "kernel" if (first, rest, value) == ("model", ["kind"], "wigner") else value


def _is_of_format_1(settings: Mapping[str, Any], model: Mapping[str, Any]) -> bool:
    """Return whether a file says so, or has something that format 2 has not."""
    moved = any(name in settings for name in SECTIONS) or any(name in model for name in WEIGHTS)
    return settings.get("format_version") == 1 or moved or model.get("kind") == "wigner"


def _is_default(name: str, section: Any) -> bool:
    """Return whether a section of format 1 gives nothing but defaults."""
    try:
        return SECTIONS[name][1].model_validate(_with_kind(name, section)) == SECTIONS[name][1]()
    except SettingError:
        return False


def _with_kind(name: str, section: Any) -> Any:
    """Return a section with what tells its kind; in format 1 that was its name."""
    if not isinstance(section, Mapping) or name == "features":
        return section
    if name == "wigner":
        return {"kind": "pairs", **section}
    section = {"kind": "wigner", **section}
    if section["kind"] != "wigner":  # a single order has no rate
        section.pop("b", None)
    return _without_idle(section, "kernel", KernelSettings)


def _without_idle(settings: Mapping[str, Any], name: str, section: type[Section] | None) -> dict[str, Any]:
    """Return the settings of a section without defaults of other kinds, and with today's in place of old ones."""
    if section is None:  # a kind there is not, which is refused later
        return dict(settings)
    out, old = {}, OLD_DEFAULTS[name]
    for key, value in settings.items():
        field = section.model_fields.get(key)
        if key not in old or value != old[key] or (field is not None and field.is_required()):
            out[key] = value
        elif field is not None:
            out[key] = field.default
    return out


def _without_choices_of_nothing(model: Mapping[str, Any], forces: bool) -> dict[str, Any]:
    """Return the settings of kernel regression without those that chose nothing, and were accepted."""
    kept = {name: value for name, value in model.items() if name not in ("solver", "optimise", "loss")}
    try:
        settings = KernelRidgeSettings.model_validate(kept)
    except SettingError:  # which is said later
        return dict(model)
    idle = set(settings.idle())
    if not settings.of_pairs and settings.basis_of_sums(forces) != "sparse":
        idle.add("solver")
    return {name: value for name, value in model.items() if name not in idle}
