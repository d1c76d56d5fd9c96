# SPDX-License-Identifier: Apache-2.0
"""Where the promise comes from that an output is held to: the private record, or the user; never the output itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from umed.cases.records import KEY, RECORD, Store
from umed.core.config import Settings, from_mapping
from umed.core.errors import ConfigError, InputError
from umed.core.keyfile import Key
from umed.core.ranges import Range, is_each, range_of_each, range_words
from umed.plan.planning import Plan
from umed.protect.manifest import read_record

NAME_IT = "name the promise yourself with --epsilon 4/255 --radius 3px (and --range, --support)"
FREE = "random"
"""The method whose settings stand for a promise that names none: it needs no training and takes any data."""


@dataclass(frozen=True)
class Evidence:
    """What is known beside the two folders.

    Args:
        private: private folder.
        key: of the release; ``None`` where it is not at hand.
        record: private record, authentic; ``None`` where it is not at hand.
        settings: the promise that the user names, ``None`` if none.
        problems: what is wrong with the private folder.
        notes: what could not be used, and what follows.
    """

    private: Path
    key: Key | None
    record: Mapping[str, Any] | None
    settings: Settings | None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def entries(self) -> dict[str, Mapping[str, Any]] | None:
        """Entries of the private record by case; ``None`` where there is no record."""
        return None if self.record is None else {str(one["id"]): one for one in self.record["cases"]}

    def plan(self) -> Plan | None:
        """The private plan; ``None`` where there is none, or nothing was perturbed."""
        if self.record is None or not self.record["plan"]:
            return None
        return Plan.from_json(json.dumps(self.record["plan"]))


def find_promise(
    output: Path, private: Path | None, key_file: Path | None, promise: Settings | Mapping[str, Any] | None
) -> Evidence:
    """Look for the private record and its key, and take the promise that the user names.

    Args:
        output: output root; only its name is used.
        private: private folder; ``OUTPUT-private`` if ``None``.
        key_file: key; ``release.key`` of the private folder if ``None``.
        promise: settings, or some of them; they win over the record.

    Returns:
        What there is of them.

    Raises:
        ConfigError: when there is neither, or the key is that of another release.
        InputError: when key or record are damaged, and no promise is named.
    """
    settings = _settings(promise)
    folder = Store(output, private).folder
    if private is not None and not folder.is_dir():
        raise InputError(f"{folder}: expected the private folder of the run, got none. Check --private.")
    file = folder / KEY if key_file is None else key_file
    try:
        key = Key.load(file) if key_file is not None or file.is_file() else None
    except InputError as error:
        if settings is None or key_file is not None:
            raise
        return Evidence(folder, None, None, settings, (), (f"{error} The private record was not used.",))
    if (folder / RECORD).is_file() and key is not None:
        try:
            return Evidence(folder, key, read_record(folder, key), settings)
        except (InputError, ConfigError) as error:
            if settings is None:
                raise
            then = f"{error} If that is no wonder, move {folder} away and verify the named promise again."
            return Evidence(folder, key, None, settings, (then,))
    if key is None and folder.is_dir():
        why = (
            f"{file}: expected the key of the run, got none. If it is lost, nothing can be verified against the "
            "private plan; the release stands"
        )
    elif key is None:
        why = f"{folder}: there is no private folder, so nothing can be verified against the private plan"
    else:
        why = f"{folder / RECORD}: there is no private record, so nothing can be verified against the private plan"
    if settings is None:
        raise ConfigError(f"{why}. Give --private or --key-file, or {NAME_IT}.")
    return Evidence(folder, key, None, settings, (), (f"{why}.",))


def _settings(promise: Settings | Mapping[str, Any] | None) -> Settings | None:
    if promise is None or isinstance(promise, Settings):
        return promise
    return from_mapping(Settings, {"method": FREE, "strength": "epsilon", **promise}, "promise")


def looser(promised: Plan, private: Plan) -> list[str]:
    """What a promise allows beyond the private plan, in words; nothing where it allows no more."""
    found = []
    if promised.epsilon > private.epsilon:
        found.append(f"epsilon {promised.epsilon:.4g} instead of {private.epsilon:.4g}")
    weak, kept = (p.epsilon if p.epsilon_background is None else p.epsilon_background for p in (promised, private))
    if promised.support == "full" and (private.support != "full" or weak > kept):
        found.append(f"{weak:.4g} in the whole frame instead of {_where(private)}")
    if promised.support != "full" and private.support != "full":
        one, other = ((p.radius, p.radius_unit) for p in (promised, private))
        if one[1] != other[1] or one[0] > other[0]:
            found.append(f"radius {one[0]:g} {one[1]} instead of {other[0]:g} {other[1]}")
        if _axis(promised) != _axis(private) and _axis(promised) is None:
            found.append(f"a contour band in 3D instead of slice by slice along axis {_axis(private)}")
    if not _narrower(promised, private):
        found.append(f"range {_range(promised)} instead of {_range(private)}")
    return found


def _narrower(promised: Plan, private: Plan) -> bool:
    """Whether the range of each channel is the same, or lies within that of the private plan."""
    same = promised.percentiles == private.percentiles
    if not is_each(promised.range) and not is_each(private.range):
        return _within(promised.range, private.range, same)  # type: ignore[arg-type]
    first, second = (range_of_each(plan.range, private.channels, "the plan") for plan in (promised, private))
    apart = is_each(promised.range) == is_each(private.range) or "percentile" not in first
    return apart and all(_within(one, other, same) for one, other in zip(first, second, strict=True))


def _within(first: Range, second: Range, same_percentiles: bool) -> bool:
    if isinstance(first, str) or isinstance(second, str):
        return first == second and (first != "percentile" or same_percentiles)
    return second[0] <= first[0] and first[1] <= second[1]


def _axis(plan: Plan) -> int | None:
    return plan.slice_axis if plan.spatial_dims == 2 else None


def _where(plan: Plan) -> str:
    if plan.support == "full":
        return "the whole frame"
    axis = "" if _axis(plan) is None else f", slice by slice along axis {plan.slice_axis}"
    return f"ROI and {plan.radius:g} {plan.radius_unit} on both sides of its contours{axis}"


def _range(plan: Plan) -> str:
    return range_words(plan.range, plan.percentiles)


def _by_channel(plan: Plan) -> list[str]:
    """What the bound of each channel comes to, where they have ranges of their own."""
    if not is_each(plan.range):
        return []
    lines = []
    for channel, one in enumerate(plan.range):
        most = (
            f"{plan.epsilon:.4g} of their width" if isinstance(one, str) else f"{plan.epsilon * (one[1] - one[0]):.4g}"
        )
        lines.append(
            f"channel {channel}: range {range_words(one, plan.percentiles)}, no value moves by more than {most}"
        )
    return lines


def in_words(plan: Plan | None, bounds: Iterable[float], origin: str) -> list[str]:
    """What was checked.

    Args:
        plan: the promise, ``None`` where nothing was to be perturbed.
        bounds: largest steps of all images in stored values.
        origin: where the promise came from.
    """
    if plan is None:
        return ["no value differs from the original", origin]
    steps = set(bounds)
    stored = f", {next(iter(steps)):g} stored steps in every image" if len(steps) == 1 else ""
    share = plan.epsilon * 255
    named = f" ({share:.0f}/255)" if abs(share - round(share)) < 1e-9 else ""
    lines = [f"bound: no value moves by more than {plan.epsilon:.4g}{named} of the range{stored}"]
    if plan.epsilon_background is not None:
        lines.append(f"outside the labels: by no more than {plan.epsilon_background:.4g}")
    lines += _by_channel(plan)
    lines += [
        f"support: {_where(plan)}; nothing else moves",
        f"range: {_range(plan)}; values outside it do not move",
        *(["mark: each protected PNG and TIFF says that it is protected"] if plan.mark else []),
        origin,
    ]
    return lines
