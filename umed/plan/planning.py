# SPDX-License-Identifier: Apache-2.0
"""Facts about a data set, and the plan that follows from them: every automatic decision with its reason in words."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from umed.core import training_settings
from umed.core.config import Settings, from_mapping
from umed.core.conversion import parse_json
from umed.core.errors import ConfigError, InputError
from umed.core.ranges import Ranges
from umed.core.reasons import EXAMPLES, group_reasons
from umed.core.registry import METHODS, check_options
from umed.plan.facts import Facts
from umed.plan.placement import OUTSIDE, Scene
from umed.plan.range_choice import choose_ranges
from umed.plan.strength import LEARNT, Strength, check_evidence, decide, expectation, given_up

THICK = 3.0  # coarsest spacing over finest: above it a 3-D kernel would mix unrelated tissue
FEW_SLICES = 16  # fewer than this along an axis leaves nothing for a 3-D network to pool
BIG_VOXELS = 64_000_000  # 400 x 400 x 400: above it native 3-D takes too long on a CPU
STEP = 16  # a surrogate with four poolings needs multiples of it
HOW_NOT_WHAT = ("device", "report_cases", "carry")  # settings that do not change a byte of the released images
SAID = ("strength", "placement", "expectation", "why", "seen")  # what decides no byte, or is said in other words
OF_MASKS = ("mask_background", "mask_ignore", "class_values", "mask_values")  # how masks are read, where it was said


@dataclass(frozen=True)
class Plan(Settings):
    """Settings with nothing left open; decides every byte of the output together with the input and the version.

    Args:
        classes: number of classes with the background.
        class_values: their values in masks, in the order of their numbers from 1 on; empty where the values are the
            numbers.
        channels: image channels of a case.
        placement: natural spectrum and the places for a code, see :mod:`umed.plan.strength`; empty where unknown.
        seen: typical smallest and largest value of each channel whose range was left to the plan and is one that all
            cases share; see :mod:`umed.plan.range_fit`.
        expectation: what may be expected against nnU-Net-like training, from loudness alone; empty for other methods.
        why: one sentence for each automatic decision.
    """

    spatial_dims: int = 2
    classes: int = 2
    class_values: tuple[int, ...] = ()
    channels: int = 1
    seen: tuple[tuple[float, float] | None, ...] = ()
    placement: dict[str, Any] = field(default_factory=dict)
    expectation: str = ""
    why: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no paths, no times."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what :meth:`to_json` wrote.

        Args:
            text: JSON.

        Returns:
            An equal plan.

        Raises:
            ConfigError: when it is no plan.
        """
        try:
            content = parse_json(text)
        except ValueError as error:
            raise ConfigError(f"plan: expected JSON, got {text[:40]!r}: {error}.") from error
        return from_mapping(cls, content, "plan")

    def decisive(self) -> dict[str, Any]:
        """The fields that decide the bytes of the output, flat: ``{"epsilon": ..., "training.iterations": ...}``."""
        content = dataclasses.asdict(self)
        training = content.pop("training")
        plain = {name for name in OF_MASKS if content[name] in ((), None)}  # as before there was a choice
        if self.class_values == tuple(range(1, len(self.class_values) + 1)):
            plain.add("class_values")
        flat = {key: value for key, value in content.items() if key not in {*HOW_NOT_WHAT, *SAID, *plain}}
        flat |= {f"training.{key}": value for key, value in training_settings.decisive(training).items()}
        return flat

    @property
    def fingerprint(self) -> str:
        """Hash of :meth:`decisive`, 16 hex digits."""
        text = json.dumps(self.decisive(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name what differs between two flat settings, as ``key was X, now Y``."""
    differing = (key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    keys = sorted(differing, key=lambda key: (key.startswith("plan."), key))  # what matters most is said first
    return [f"{key} was {before.get(key)!r}, now {now.get(key)!r}" for key in keys]


def _resolve_dims(facts: Facts, settings: Settings) -> tuple[int, int | None, list[str]]:
    shape, spacing = facts.shape, facts.spacing
    if len(shape) == 2:
        if settings.spatial_dims == 3:
            raise ConfigError("spatial_dims: expected 2 for flat pictures, got 3. Leave it out.")
        return 2, None, ["2D: the images are flat pictures"]
    coarsest = int(np.argmax(spacing))
    size = " x ".join(str(n) for n in shape)
    ratio = max(spacing) / min(spacing)
    only_slices = METHODS[settings.method].slicewise
    if only_slices and settings.spatial_dims == 3:
        raise ConfigError(
            f"spatial_dims: expected 2 for {settings.method}, which goes slice by slice, got 3. Leave it out."
        )
    if settings.spatial_dims == 3:
        return 3, None, ["3D: as asked"]
    axis = coarsest if settings.slice_axis is None else settings.slice_axis
    slicewise = f"slice-wise 2D along axis {axis}"
    if only_slices:
        return 2, axis, [f"{slicewise}: {settings.method} {only_slices}"]
    if settings.spatial_dims == 2:
        return 2, axis, [f"{slicewise}: as asked"]
    if settings.slice_axis is not None:
        return 2, axis, [f"{slicewise}: slice_axis was given"]
    if ratio > THICK:
        return 2, axis, [f"{slicewise}: slices are thick, spacing ratio {ratio:.1f} is above {THICK:g}"]
    if min(shape) < FEW_SLICES:
        axis = int(np.argmin(shape))
        few = f"only {min(shape)} slices (of {size}), fewer than {FEW_SLICES}"
        return 2, axis, [f"slice-wise 2D along axis {axis}: {few}"]
    if math.prod(shape) > BIG_VOXELS:
        return 2, axis, [f"{slicewise}: volumes of {size} are bigger than {BIG_VOXELS // 10**6} million voxels"]
    return 3, None, [f"3D: spacing ratio {ratio:.1f} is at most {THICK:g} and the median volume of {size} fits"]


def _resolve_patch(facts: Facts, settings: Settings, dims: int, axis: int | None) -> tuple[tuple[int, ...], list[str]]:
    asked = settings.training.patch_size
    if asked is not None:
        if len(asked) != dims or any(n < 2 * STEP or n % STEP for n in asked):
            wanted = f"{dims} multiples of {STEP} of at least {2 * STEP}, since surrogates halve a patch four times"
            raise ConfigError(f"training.patch_size: expected {wanted}, got {list(asked)}.")
        return asked, [f"patch {list(asked)}: as asked"]
    plane = [n for i, n in enumerate(facts.shape) if i != axis]
    most = 32 if dims == 3 else 96
    patch = tuple(min(most, max(2 * STEP, STEP * math.ceil(n / STEP))) for n in plane)
    return patch, [f"patch {list(patch)}: the median image rounded up to a multiple of {STEP}, at most {most}"]


def _scene(facts: Facts, dims: int, value_range: Ranges) -> Scene | None:
    """What spectral placement sees of the data; ``None`` where no spectrum could be measured."""
    flat = len(facts.shape) == 2
    spectra = tuple(one for one in facts.spectra if (one.solid is None) == flat)
    if not spectra:
        return None
    return Scene(
        spectra,
        kind=_kind(facts),
        channels=facts.channels,
        dims=dims,
        edge=max(facts.shape),
        jpeg=facts.raster and facts.channels in (1, 3),
        value_range=value_range,
    )


def _kind(facts: Facts) -> str:
    """Which defaults of a method fit: ``"colour"`` or ``"other"``."""
    return "colour" if facts.raster and facts.channels == 3 else "other"


def _decide(facts: Facts, settings: Settings, scene: Scene | None) -> Strength:
    """Bound and carriers, see :func:`umed.plan.strength.decide`."""
    options = {**METHODS[settings.method].defaults.get(_kind(facts), {}), **_given(settings)}
    finest = 1.0 if settings.radius_unit == "px" or not facts.spacing else min(facts.spacing)
    return decide(
        scene,
        settings,
        kind=_kind(facts),
        radius=settings.radius / finest,
        outside=float(options.get("outside", 1.0)),
        asked=_given(settings).get("carriers"),
    )


def _given(settings: Settings) -> dict[str, Any]:
    """Options of the method that are not left to the plan; carriers by name, which YAML may take for numbers."""
    given = {key: value for key, value in settings.method_options.items() if value != "auto"}
    if isinstance(given.get("carriers"), (list, tuple)):
        given["carriers"] = [str(name) for name in given["carriers"]]
    return given


def _resolve_options(facts: Facts, settings: Settings, decision: Strength) -> tuple[dict[str, Any], list[str]]:
    """Options of the method; those that are left open, or ``"auto"``, may follow the kind of image."""
    given = _given(settings)
    colour = _kind(facts) == "colour"
    kind = "colour pictures, whose colours hardly differ from pixel to pixel" if colour else "not colour pictures"
    chosen = {key: value for key, value in METHODS[settings.method].defaults.get(_kind(facts), {}).items()}
    if decision.carriers is not None:
        chosen |= {"carriers": list(decision.carriers), "outside": OUTSIDE}
    chosen = {key: value for key, value in chosen.items() if key not in given}
    reason = f"these are {kind}" if decision.carriers is None else "strength strong, where spectral placement says"
    text = ", ".join(f"{key} {value}" for key, value in chosen.items())
    why = [f"{text}: {reason}"] if chosen else []
    options = {**given, **chosen}
    if given.get("half", settings.evidence) != settings.evidence:
        raise ConfigError("method_options.half: expected to be left out, since evidence says it. Use --evidence.")
    if settings.evidence:
        check_evidence(options.get("carriers"), settings.method)
        options["half"] = True
        why.append("evidence, as asked: another half of each object carries the code in each case")
    return options, why


def _resolve_support(settings: Settings) -> tuple[str, float | None, list[str]]:
    """Where a case may change, and the bound outside the labels."""
    background = METHODS[settings.method].background
    support, weak, why = settings.support, settings.epsilon_background, []
    if support == "auto":
        support = "full" if background is not None and weak != 0 else "roi"
    if support == "full":
        who = "asked" if background is None else f"{settings.method} has it"
        why = [f"support full: the whole frame may change, as {who}"]
    if weak is None and background is not None:
        weak = settings.epsilon * background
    if weak is not None:
        why.append(f"epsilon {settings.epsilon:.4g} inside the labels, {weak:.4g} outside")
    return support, weak, why


def _nothing_readable(facts: Facts) -> str:
    """Why no case can be read, one reason a kind."""
    why = group_reasons(((case.id, case.why or "has no label") for case in facts.cases), unit="cases")
    unlabelled = facts.count - len(facts.cases)
    why += [f"{unlabelled} cases without a label"] if unlabelled > 0 else []
    why += [f"not in a case: {line}" for line in group_reasons(facts.problems)[:EXAMPLES]]
    found = "; ".join(why) or "no case has a label"
    unpaired = facts.problems and not any(case.action == "refuse" for case in facts.cases)
    cure = " Say which mask is whose with --layout map.yaml (umed inspect INPUT --suggest drafts one)."
    cure = "" if not unpaired or facts.layout in ("map", "dicom") or "--layout" in found else cure
    return f"{facts.name}: expected at least one readable case with a label, got none of {facts.count}: {found}.{cure}"


def make_plan(facts: Facts, settings: Settings) -> Plan:
    """Resolve settings against the facts about a data set.

    Args:
        facts: from :func:`umed.plan.facts.gather` or :func:`inspect`.
        settings: what the user chose.

    Returns:
        The plan, with the reason of each automatic decision.

    Raises:
        ConfigError: when a setting does not fit the data.
        InputError: when no case can be read.
    """
    check_options(settings.method, settings.method_options)
    if not facts.shape:
        raise InputError(_nothing_readable(facts))
    choice = choose_ranges(facts, settings)
    dims, axis, more = _resolve_dims(facts, settings)
    patch, most = _resolve_patch(facts, settings, dims, axis)
    scene = _scene(facts, dims, choice.range)
    decision = _decide(facts, settings, scene)
    settings = dataclasses.replace(settings, epsilon=decision.epsilon)
    options, kind = _resolve_options(facts, settings, decision)
    expected = expectation(scene, options["carriers"], decision.amplitude) if settings.method == LEARNT else ""
    expected = given_up(_kind(facts), settings.epsilon) if settings.evidence else expected
    support, weak, where = _resolve_support(settings)
    why = [
        *choice.why,
        *more,
        *most,
        *kind,
        *decision.why,
        *filter(None, [expected]),
        *where,
        f"{facts.classes} classes with the background: {facts.classes_from}",
    ]
    values = {
        **vars(settings),
        "method_options": options,
        "range": choice.range,
        "seen": choice.seen,
        "support": support,
        "epsilon_background": weak,
        "spatial_dims": dims,
        "slice_axis": axis,
        "classes": facts.classes,
        "class_values": facts.class_values,
        "channels": facts.channels,
        "placement": dict(decision.placement),
        "expectation": expected,
        "training": dataclasses.replace(settings.training, patch_size=patch),
        "why": tuple(why),
    }
    return Plan(**values)
