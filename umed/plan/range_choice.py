# SPDX-License-Identifier: Apache-2.0
"""Which range each channel of a data set gets, and why: as asked, else by declared modality, else by the values.

CT has a scale of its own, Hounsfield units, and takes a window of it. Everything else (PET, SUV, MR, ultrasound, maps,
what is unknown) has none that files share, and takes percentiles of its own file or channel; pictures take the full
scale of their type. A declared modality wins over what values look like. A declared CT none of whose cases can be
Hounsfield units (rescaled to 0..1, 8 bits, maps of perfusion) takes percentiles, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from umed.core.config import Settings
from umed.core.errors import ConfigError
from umed.core.ranges import CT_WINDOWS, Range, Ranges, channel_words, is_each, range_of_each, range_words
from umed.plan.channel_values import AIR, ChannelValues
from umed.plan.facts import Facts
from umed.plan.range_fit import LEAST_SPREAD

CT_NAMES = frozenset({"ct", "cta", "cbct", "ncct", "cect", "ldct", "ctpa", "tomography", "hounsfield", "hu"})
"""Words of a channel's name that mean Hounsfield units."""
OTHER_NAMES = frozenset(
    "pet pt suv fdg psma spect nm emission mr mri t1 t2 flair dwi adc us oct optical pwi ctp perfusion cbf cbv mtt "
    "tmax ttp map mask seg".split()
)
"""Words that mean something else, also beside a word of CT: a map of perfusion CT holds no Hounsfield units."""
NO_NAMES = frozenset({"", "image", "images", "img", "channel", "volume", "scan", "data", "intensity"})
"""Words that declare nothing; nor do numbers."""
COLOURS = frozenset({"r", "g", "b", "a", "red", "green", "blue", "alpha"})
DECIDED, DOUBTFUL = 0.5, 0.25
"""Where nothing is declared: above the first share of cases that look like CT all are taken for it, and what does not
fit is refused; from the second on nothing is decided; below it each file takes its own percentiles."""
FILLED = 0.25
"""Pictures of 16 bits whose values span less than this share of their type are not on its full scale."""


@dataclass(frozen=True)
class Choice:
    """Ranges of a data set.

    Args:
        range: one for all channels, or one for each.
        why: a sentence for each kind of channel.
        seen: typical smallest and largest value of each channel whose scale was left to the plan and is one that all
            cases share; cases that look otherwise are refused.
    """

    range: Ranges
    why: tuple[str, ...]
    seen: tuple[tuple[float, float] | None, ...] = ()


@dataclass(frozen=True)
class _Part:
    """The range of one channel: what it is called, why, and what its cases have."""

    range: Range
    name: str
    reason: str
    seen: tuple[float, float] | None = None


def is_ct(name: str) -> bool | None:
    """Whether a declared name means CT in Hounsfield units; ``None`` where it declares nothing.

    >>> [is_ct(name) for name in ("CT", "CT_CBF", "MRI", "zscore", "channel 0")]
    [True, False, False, False, None]
    """
    words = set(re.findall(r"[a-z]+\d?", name.lower()))
    words |= {word.rstrip("0123456789") for word in words}
    if all(word.rstrip("0123456789") in NO_NAMES for word in words):
        return None
    return bool(words & CT_NAMES) and not words & OTHER_NAMES


def ct_window(foreground: float | None) -> str:
    """Name the CT window that suits what was labelled.

    Args:
        foreground: median value inside the labels in HU, ``None`` where nothing is labelled.

    Returns:
        A key of :data:`umed.core.ranges.CT_WINDOWS`.
    """
    if foreground is None or -400 <= foreground <= 300:
        return "soft"
    return "lung" if foreground < -400 else "bone"


def choose_ranges(facts: Facts, settings: Settings) -> Choice:
    """Choose the range of each channel.

    Args:
        facts: about the data set.
        settings: what the user chose.

    Returns:
        The ranges and their reasons.

    Raises:
        ConfigError: when there are ranges for another number of channels, or the values leave it open.
    """
    asked, names = settings.range, _names(facts)
    if not is_each(asked) and asked != "auto":
        part = _as_asked(asked)  # type: ignore[arg-type]
        return Choice(part.range, (f"range {part.name}: {part.reason}",))
    if is_each(asked):
        each = range_of_each(asked, facts.channels, facts.name)  # type: ignore[arg-type]
    else:
        pictures = _pictures(facts, settings)
        if pictures is not None:
            seen = (pictures.seen,) * facts.channels if pictures.seen is not None else ()
            return Choice(pictures.range, (f"range {pictures.name}: {pictures.reason}",), seen)
        each = ("auto",) * facts.channels
    parts = [
        _of_channel(facts, settings, channel, names[channel]) if one == "auto" else _as_asked(one)
        for channel, one in enumerate(each)
    ]
    return _together(facts, parts, names)


def _names(facts: Facts) -> list[str]:
    """Declared name of each channel; one name alone stands for all."""
    given = list(facts.modality)
    if len(given) == 1:
        return given * facts.channels
    return (given + [""] * facts.channels)[: facts.channels]


def _as_asked(asked: Range) -> _Part:
    if not isinstance(asked, str):
        return _Part(asked, range_words(asked), "as asked")
    if asked.startswith("ct:"):
        window = CT_WINDOWS[asked[3:]]
        return _Part(window, f"{range_words(window)} HU", f"{asked} as asked")
    return _Part(asked, asked, "as asked")


def _together(facts: Facts, parts: Sequence[_Part], names: Sequence[str]) -> Choice:
    """One range where that says the same, and a sentence for each kind of channel."""
    groups: dict[tuple[str, str], list[int]] = {}
    for channel, part in enumerate(parts):
        groups.setdefault((part.name, part.reason), []).append(channel)
    why = []
    for (name, reason), channels in groups.items():
        called = ", ".join(dict.fromkeys(names[channel] for channel in channels if names[channel]))
        which = f" for {channel_words(channels)}{f' ({called})' if called else ''}" if len(groups) > 1 else ""
        why.append(f"range {name}{which}: {reason}")
    ranges = tuple(part.range for part in parts)
    own = ranges[0] != "percentile" or not _in_one_file(facts)
    seen = tuple(part.seen for part in parts)
    alike = len(set(ranges)) == 1 and own
    return Choice(ranges[0] if alike else ranges, tuple(why), seen if any(seen) else ())


def _in_one_file(facts: Facts) -> bool:
    """Whether a file holds several channels that are no colours."""
    return facts.channels > facts.parts and not facts.colour


def _pictures(facts: Facts, settings: Settings) -> _Part | None:
    """Full scale for pictures of whole numbers; ``None`` for what is none."""
    if not facts.raster:
        return None
    values = [case.values for case in facts.cases if case.values]
    whole = [one for one in values if all(channel.integer for channel in one)]
    floats = len(values) - len(whole)
    if not (whole or (not values and facts.integer)) or len(whole) < floats:
        return None
    if floats and len(whole) == floats:
        raise ConfigError(
            f"range: expected pictures on one scale, got {len(whole)} of whole numbers and {floats} of floats among "
            f"{len(values)} looked at. Say which with --range dtype or --range percentile, or protect them apart."
        )
    deep = [one for one in whole if (one[0].whole or 0) > 255]
    spans = [max((v.most - v.least) / v.whole for v in one if v.whole) for one in deep]
    if spans and float(np.median(spans)) < FILLED:
        top = max(v.most for one in deep for v in one)
        share = f"{settings.percentiles[0]:g} to {settings.percentiles[1]:g}"
        reason = f"16-bit pictures that end at {top:g} are not on the full scale of their type, so percentiles {share}"
        return _Part("percentile", "percentile", reason)
    rest = f"; {floats} of {len(values)} cases looked at hold floats and are refused" if floats else ""
    reason = f"8- or 16-bit pictures use the full scale of their type{rest}"
    return _Part("dtype", "dtype", reason, _typical([channel for one in whole for channel in one]))


def _of_channel(facts: Facts, settings: Settings, channel: int, name: str) -> _Part:
    """What a channel gets whose range is left to the plan."""
    values = [case.values[channel] for case in facts.cases if len(case.values) == facts.channels]
    share = f"percentiles {settings.percentiles[0]:g} to {settings.percentiles[1]:g}"
    own = f"each channel's own {share}" if _in_one_file(facts) else f"each file's own {share}"
    says = {"dicom": "Modality", "decathlon": "dataset.json", "nnunet": "dataset.json"}.get(
        facts.layout, "the data set"
    )
    ct = is_ct(name)
    looks = [one for one in values if one.hounsfield]
    fits = [one for one in values if may_be_hounsfield(one)]
    if ct is False:
        also = f", though whole numbers below {AIR:g} look like Hounsfield units" if looks else ""
        return _Part("percentile", "percentile", f"{says} says {name}{also}; its values have no fixed scale, so {own}")
    if ct and values and not fits:
        least, most = _typical(values) or (0.0, 0.0)
        but = f"{says} says {name}, but values from {least:.6g} to {most:.6g} are no Hounsfield units"
        return _Part("percentile", "percentile", f"{but}, so {own}")
    misfits = len(values) - len(fits)
    if ct is None and not (looks if values else facts.hounsfield):
        return _Part("percentile", "percentile", f"values have no fixed scale, so {own}")
    if ct is None and misfits and len(looks) <= DECIDED * (len(looks) + misfits):
        seen = f"{len(looks)} of {len(values)} cases look like CT, {misfits} do not"
        if len(looks) < DOUBTFUL * (len(looks) + misfits):
            return _Part("percentile", "percentile", f"{seen}, and no modality is declared, so {own}")
        raise ConfigError(
            f"range: expected cases on one scale, got a mixed data set: {seen}{_which(facts, channel)}, and no "
            "modality is declared. Protect them apart, or say which with --range ct:soft (what does not fit is "
            "refused) or --range percentile (each file's own)."
        )
    inside = [one.foreground for one in fits if one.foreground is not None]
    foreground = float(np.median(inside)) if inside else None if values else facts.foreground
    window = ct_window(foreground)
    sign = f"{says} says CT" if ct else f"integers below {AIR:g} look like Hounsfield units"
    found = "" if foreground is None else f", median inside the labels {foreground:.0f} HU"
    rest = f"; {misfits} of {len(values)} cases looked at do not fit and are refused" if misfits else ""
    low, high = CT_WINDOWS[window]
    return _Part((low, high), f"[{low:g}, {high:g}] HU", f"ct:{window}, because {sign}{found}{rest}", _typical(fits))


def _which(facts: Facts, channel: int) -> str:
    return f" in channel {channel}" if facts.channels > 1 else ""


def may_be_hounsfield(values: ChannelValues) -> bool:
    """Whether values may be Hounsfield units: some below water, and more of them than a scale of 0 to 1 has."""
    low, high = CT_WINDOWS["soft"]
    return values.least < 0 and values.most - values.least >= LEAST_SPREAD * (high - low)


def _typical(values: Sequence[ChannelValues]) -> tuple[float, float] | None:
    """Median of the smallest and of the largest values."""
    if not values:
        return None
    return float(np.median([one.least for one in values])), float(np.median([one.most for one in values]))
