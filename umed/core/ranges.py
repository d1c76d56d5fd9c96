# SPDX-License-Identifier: Apache-2.0
"""What counts as full scale: names of ranges, one for all channels or one for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any, TypeGuard

from umed.core.conversion import parse_number
from umed.core.errors import ConfigError, did_you_mean, require

Range = str | tuple[float, float]
"""A name of :data:`RANGES`, or physical values (low, high)."""
Ranges = str | tuple[float, float] | tuple[Range, ...]
"""One for all channels, or one for each of them."""

CT_WINDOWS: dict[str, tuple[float, float]] = {
    "soft": (-160.0, 240.0),  # level 40, width 400: abdomen, heart, muscle
    "brain": (0.0, 80.0),  # level 40, width 80: at 4/255 one step of 1 HU is all there is
    "lung": (-1350.0, 150.0),  # level -600, width 1500
    "bone": (-500.0, 1300.0),  # level 400, width 1800
    "full": (-1024.0, 3071.0),  # everything a 12-bit scanner stores; visible in soft tissue at 4/255
}
RANGES = ("auto", "dtype", "percentile", *(f"ct:{name}" for name in CT_WINDOWS))


def is_each(value: Any) -> TypeGuard[Sequence[Range]]:
    """Whether this is one range for each channel, not one for all.

    >>> is_each(["ct:soft", "percentile"]), is_each((0.0, 80.0)), is_each("dtype")
    (True, False, False)
    """
    return not isinstance(value, str) and any(not isinstance(one, Real) for one in value)


def range_of_each(value: Ranges, count: int, where: str) -> tuple[Range, ...]:
    """The range of every channel.

    Args:
        value: one for all, or one for each.
        count: number of channels.
        where: what has them, for the message.

    Raises:
        ConfigError: when there are ranges for another number of channels.
    """
    if not is_each(value):
        return (value,) * count  # type: ignore[return-value]
    if len(value) != count:
        raise ConfigError(
            f"range: expected one for all channels, or one for each of the {count} of {where}, got {len(value)}: "
            f"{range_words(value)}. Name one a channel, in their order, such as --range ct:soft,percentile."
        )
    return tuple(value)


def check_ranges(value: Ranges) -> None:
    """Raise ConfigError for a name that is none, or values that do not ascend."""
    for one in value if is_each(value) else (value,):
        if not isinstance(one, str):
            require(len(one) == 2 and one[0] < one[1], "range", "[low, high] with low < high", list(one))  # type: ignore[operator]
        elif one not in RANGES:
            hint = f"one of {', '.join(RANGES)} or [low, high], for all channels or as a list for each of them"
            raise ConfigError(f"range: expected {hint}, got {one!r}.{did_you_mean(one, RANGES)}")


def parse_range(text: str) -> str | list[Any]:
    """Read ``--range``: a name, ``LOW,HIGH`` or ``LOW:HIGH``, or several of them by commas, one a channel.

    Args:
        text: as typed; within a list, values are ``LOW:HIGH``.

    Returns:
        What :class:`umed.core.config.Settings` takes for ``range``.

    Raises:
        ConfigError: when it is none of these.

    >>> parse_range("-160,240"), parse_range("ct:soft,percentile"), parse_range("0:80,dtype")
    ([-160.0, 240.0], ['ct:soft', 'percentile'], [[0.0, 80.0], 'dtype'])
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 2 and not any(":" in part or part in RANGES or not part for part in parts):
        return [parse_number(part, "range") for part in parts]
    found = [_one(part, text) for part in parts]
    return found if len(found) > 1 else found[0]


def _one(part: str, text: str) -> str | list[float]:
    if part in RANGES:
        return part
    low, colon, high = part.partition(":")
    if colon and low != "ct":
        return [parse_number(low, "range"), parse_number(high, "range")]
    raise ConfigError(
        f"range: expected one of {', '.join(RANGES)}, LOW,HIGH, or a list with one a channel such as "
        f"ct:soft,0:20,percentile, got {text!r}.{did_you_mean(part, RANGES)}"
    )


def range_words(value: Ranges | Sequence[Range], percentiles: Sequence[float] | None = None) -> str:
    """A range as people read it; of several, one a channel.

    Args:
        value: from a plan.
        percentiles: of ``"percentile"``; where they are given, names are put into words.

    >>> range_words(("ct:soft", (0.0, 20.0)))
    'ct:soft for channel 0, [0, 20] for channel 1'
    """
    if is_each(value):
        kinds: dict[str, list[int]] = {}
        for channel, one in enumerate(value):
            kinds.setdefault(range_words(one, percentiles), []).append(channel)
        return ", ".join(f"{words} for {channel_words(channels)}" for words, channels in kinds.items())
    if not isinstance(value, str):
        return f"[{value[0]:g}, {value[1]:g}]"
    if percentiles is None:
        return value
    if value == "percentile":
        return f"from percentile {percentiles[0]:g} to {percentiles[1]:g} of each image"
    return {"dtype": "all that the file's type can hold", "auto": "that of each modality"}.get(value, value)


def channel_words(channels: Iterable[int]) -> str:
    """Channels by number.

    >>> channel_words([0]), channel_words([1, 2])
    ('channel 0', 'channels 1, 2')
    """
    numbers = [str(channel) for channel in channels]
    return f"channel{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
