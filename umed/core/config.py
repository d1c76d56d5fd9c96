# SPDX-License-Identifier: Apache-2.0
"""Settings: strict dataclasses, recipes, and overrides. An unknown key is an error that names the nearest known one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from umed.core.conversion import from_mapping, parse_number
from umed.core.errors import ConfigError, did_you_mean, error_line, require
from umed.core.mask_rules import make_rules
from umed.core.ranges import CT_WINDOWS, RANGES, Ranges, check_ranges
from umed.core.registry import check_name
from umed.core.shipped import parse_yaml, shipped_names, shipped_text
from umed.core.training_settings import Training

__all__ = [
    "CT_WINDOWS",
    "RANGES",
    "Settings",
    "Training",
    "did_you_mean",
    "from_mapping",
    "lay",
    "load_recipe",
    "make_settings",
    "merge",
    "parse_number",
    "parse_overrides",
    "recipe_names",
    "require",
]

BOUNDS = frozenset({"epsilon", "strength"})
"""Settings of which a user gives one."""


@dataclass(frozen=True)
class Settings:
    """What a user may choose; :func:`umed.plan.planning.make_plan` resolves it against a data set.

    Args:
        method: name from the registry.
        method_options: keyword arguments of the method.
        epsilon: L-infinity bound as a share of the range; ``"4/255"`` is accepted.
        strength: ``"invisible"``, 4/255, or what ``psnr_target`` allows; ``"strong"``, the smallest larger bound at
            which the code is loud enough against nature; or ``"epsilon"``, as that says.
        evidence: the code of each case covers one half of its ROI, another one in each: what ``umed trace`` finds best.
            Little of the protection is left.
        range: what counts as full scale, in physical values: one of :data:`RANGES`, or ``[low, high]``; or a list with
            one of these for each channel.
        percentiles: the two percentiles of ``"percentile"``.
        radius: dilation of the contour band.
        radius_unit: ``"px"`` or ``"mm"``.
        epsilon_background: bound outside the labels, at most ``epsilon``; ``None`` leaves it to the method.
        support: where a case may change: ``"roi"``, ROI and dilated contour, ``"full"``, or ``"auto"``: the method's.
        spatial_dims: 2, 3, or ``None`` to let the plan decide.
        slice_axis: axis that a 2D method walks along in a volume, ``None`` to let the plan decide.
        seed: part of the release's name: another one gives other codes under the same key.
        release: the rest of that name, such as ``"2026-11"``.
        psnr_target: dB that each case must reach at least, by scaling it down; ``None`` for none. Where no epsilon is
            given, the bound may grow up to 16/255 as far as small ROIs allow.
        mask_values: values of masks, or colours such as ``"#ff0000"``, that are foreground, in the order of their
            classes; empty for all but the background.
        mask_background: values or colours that are background; empty for 0.
        mask_ignore: value that is no class and is never changed, beside what ``dataset.json`` calls ``ignore``.
        device: ``"auto"``, ``"cpu"`` or a torch device such as ``"cuda:0"``.
        report_cases: cases drawn in the report.
        carry: take documents of the data set along into the output, see :mod:`umed.data.plain_text`.
        mark: say in each protected PNG and TIFF that it is protected; see :mod:`umed.data.mark`.
        training: how a learnt method is trained.
    """

    method: str = "umed"
    method_options: dict[str, Any] = field(default_factory=dict)
    epsilon: float = 4 / 255
    strength: Literal["invisible", "strong", "epsilon"] = "invisible"
    evidence: bool = False
    range: Ranges = "auto"
    percentiles: tuple[float, float] = (0.5, 99.5)
    radius: float = 3.0
    radius_unit: Literal["px", "mm"] = "px"
    epsilon_background: float | None = None
    support: Literal["auto", "roi", "full"] = "auto"
    spatial_dims: int | None = None
    slice_axis: int | None = None
    seed: int = 0
    release: str = ""
    psnr_target: float | None = None
    mask_values: tuple[int | str, ...] = ()
    mask_background: tuple[int | str, ...] = ()
    mask_ignore: int | None = None
    device: str = "auto"
    report_cases: int = 6
    carry: bool = False
    mark: bool = False
    training: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        check_name("method", self.method)
        require(0 < self.epsilon <= 1, "epsilon", "a share of the range in (0, 1], such as 4/255", self.epsilon)
        weak, most = self.epsilon_background, self.epsilon
        require(weak is None or 0 <= weak <= most, "epsilon_background", f"from 0 to epsilon = {most:g}", weak)
        require(self.radius >= 0, "radius", "0 or more", self.radius)
        require(self.spatial_dims in (None, 2, 3), "spatial_dims", "2, 3 or null", self.spatial_dims)
        require(self.slice_axis in (None, 0, 1, 2), "slice_axis", "0, 1, 2 or null", self.slice_axis)
        low, high = self.percentiles
        require(0 <= low < high <= 100, "percentiles", "0 <= low < high <= 100", list(self.percentiles))
        check_ranges(self.range)
        make_rules(self.mask_values, self.mask_background, self.mask_ignore)
        check_device(self.device)


def check_device(name: str) -> None:
    """Raise ConfigError unless this is the name of a device; whether it is there is seen where it is used."""
    known = re.fullmatch(r"auto|cpu|(cuda|xpu|mps)(:\d+)?", name) is not None
    require(known, "device", "auto, cpu, cuda, cuda:1 ...", name)


def merge(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Lay overrides over a nested mapping: mappings are merged, everything else is replaced. Neither is changed."""
    merged = dict(base)
    for key, value in overrides.items():
        old = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        merged[key] = merge(old, value) if both and old is not None else value
    return merged


def lay(recipe: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Lay overrides over a recipe. The options of a method leave with it when another method is asked for.

    An epsilon takes the place of a strength, and the other way round.

    >>> lay({"method": "umed", "method_options": {"theta": 0.5}}, {"method": "random"})
    {'method': 'random'}
    """
    other = "method" in overrides and overrides["method"] != recipe.get("method", Settings.method)
    gone = {"method_options"} if other else set()
    gone |= BOUNDS if BOUNDS & overrides.keys() else set()
    return merge({key: value for key, value in recipe.items() if key not in gone}, overrides)


def parse_overrides(pairs: Iterable[str]) -> dict[str, Any]:
    """Read ``key.sub=value`` pairs; the value is YAML.

    Args:
        pairs: texts such as ``"training.iterations=20"``.

    Returns:
        A nested mapping for :func:`merge`.

    Raises:
        ConfigError: when a pair has no ``=`` or its value is no YAML.

    >>> parse_overrides(["training.iterations=20", "seed=3"])
    {'training': {'iterations': 20}, 'seed': 3}
    """
    result: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set: expected key=value or key.sub=value, got {pair!r}.")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {key}: expected a YAML value, got {text!r}.") from error
        for part in reversed(key.strip().split(".")):
            value = {part: value}
        result = merge(result, value)
    return result


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return shipped_names("recipes")


def load_recipe(name_or_path: str | Path) -> dict[str, Any]:
    """Read a recipe: a mapping of :class:`Settings` fields, with an optional ``extends: NAME|FILE``.

    Args:
        name_or_path: name of a shipped recipe, or a YAML file.

    Returns:
        The mapping with everything it extends laid under it.

    Raises:
        ConfigError: when there is no such recipe, it is no mapping, or it extends itself.
    """
    return _load_recipe(str(name_or_path), Path.cwd(), ())


def _load_recipe(name: str, folder: Path, seen: tuple[str, ...]) -> dict[str, Any]:
    if re.fullmatch(r"[\w-]+", name):
        if name not in recipe_names():
            known = recipe_names()
            hint = did_you_mean(name, known)
            raise ConfigError(f"recipe: expected one of {', '.join(known)} or a YAML file, got {name!r}.{hint}")
        identity = name
        text = shipped_text(f"recipes/{name}.yaml")
    else:
        path = Path(name) if Path(name).is_absolute() else folder / name
        if not path.is_file():
            raise ConfigError(f"recipe: expected a YAML file, got {name!r}, which does not exist.")
        identity, folder = str(path.resolve()), path.parent
        text = path.read_text(encoding="utf-8")
    if identity in seen:
        raise ConfigError(f"recipe {name}: it extends itself.")
    try:
        content = parse_yaml(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"recipe {name}: not readable as YAML: {error_line(error)}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"recipe {name}: expected a mapping of settings, got {type(content).__name__}.")
    parent = content.pop("extends", None)
    if parent is None:
        return content
    return lay(_load_recipe(str(parent), folder, (*seen, identity)), content)


def make_settings(
    recipe: str | Path | Mapping[str, Any] = "default", overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Make settings from a recipe and overrides.

    Args:
        recipe: name, file, or a mapping.
        overrides: nested mapping laid over it.

    Returns:
        The settings.

    Raises:
        ConfigError: for an unknown key or a wrong value.
    """
    base = dict(recipe) if isinstance(recipe, Mapping) else load_recipe(recipe)
    content = lay(base, overrides or {})
    if BOUNDS <= content.keys() and content["strength"] != "epsilon":
        bound = content["epsilon"]
        shown = f"{255 * bound:.4g}/255" if isinstance(bound, float) else bound
        raise ConfigError(
            f"strength: expected strength or epsilon, got strength {content['strength']} and epsilon {shown}. "
            "Leave one of them out: an epsilon is a bound of your own."
        )
    if "epsilon" in content:
        content["strength"] = "epsilon"
    return from_mapping(Settings, content)
