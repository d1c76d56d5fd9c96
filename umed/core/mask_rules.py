# SPDX-License-Identifier: Apache-2.0
"""What the values of masks mean, as far as somebody says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from umed.core.errors import ConfigError


@dataclass(frozen=True)
class MaskRules:
    """What the values of the masks of a data set mean. A colour is text such as ``"#ff0000"``.

    Args:
        values: foreground values or colours, in the order of their classes from 1 on; empty for all but the background.
        background: background values or colours; empty for 0, as long as nothing in a mask speaks against it.
        ignore: value that is neither a class nor ever changed (nnU-Net), ``None`` for none.
    """

    values: tuple[int | str, ...] = ()
    background: tuple[int | str, ...] = ()
    ignore: int | None = None


AS_DRAWN = MaskRules()
"""Nothing is said: the values themselves say it."""


def make_rules(
    values: Sequence[int | str] = (), background: Sequence[int | str] = (), ignore: int | None = None
) -> MaskRules:
    """Rules of a data set, checked.

    Args:
        values: foreground values or colours in the order of their classes; empty for all but the background.
        background: background values or colours; empty for 0.
        ignore: value that is neither.

    Raises:
        ConfigError: for an entry that is neither whole number nor colour, one that stands twice, and numbers beside
            colours.
    """
    for name, entries in (("mask_values", values), ("mask_background", background)):
        for entry in entries:
            if isinstance(entry, str):
                colour_code(entry, name)
    both = [*values, *background]
    keys = [entry.lower() if isinstance(entry, str) else entry for entry in both]
    keys += [] if ignore is None else [ignore]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise ConfigError(
            f"mask_values: expected each value once, got {twice!r} twice, or as background or ignored. Name it once."
        )
    if len({isinstance(entry, str) for entry in both}) > 1:
        raise ConfigError(f"mask_values: expected numbers or colours, got both ({both}). Name all of them one way.")
    return MaskRules(tuple(values), tuple(background), ignore)


def colour_code(text: str, where: str) -> int:
    """Number of a colour; ConfigError, which names the setting, for text that is none.

    >>> hex(colour_code("#Ff0000", "mask_values"))
    '0xff0000'
    """
    if len(text) == 7 and text[0] == "#" and all(letter in "0123456789abcdefABCDEF" for letter in text[1:]):
        return int(text[1:], 16)
    raise ConfigError(f"{where}: expected whole numbers or colours such as #ff0000, got {text!r}.")
