# SPDX-License-Identifier: Apache-2.0
"""Numbers that stay: those that are an identifier of the patient, or a date, become 0."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pydicom.dataset import Dataset

from umed.deid import values
from umed.deid.elements import binary_numbers, element, strings
from umed.deid.policy import PLACES, Policy
from umed.deid.refusals import Quarantine

LONG_DIGITS = 8  # a number that repeats an identifier of so many digits says nothing about how pixels are understood
MISPLACED = (
    "a coordinate repeats an identifier of the patient; put aside. Correct it in the original, or leave the file out."
)


def scrub_numbers(
    numbers: Iterable[tuple[Dataset, int]],
    binaries: Iterable[tuple[Dataset, int, str]],
    secret: frozenset[int],
    policy: Policy,
    count: Callable[[int, str], None],
) -> None:
    """Replace numbers that are an identifier without its zeros or prefix, or a date, by 0.

    Args:
        numbers: data sets and tags of DS and IS values.
        binaries: data sets, tags and VRs of binary numbers.
        secret: what must not stay.
        policy: says which attributes are essential; only long numbers go from these.
        count: called with the tag and D for each attribute that changed.

    Raises:
        Quarantine: when a coordinate is one of them.
    """
    long = frozenset(one for one in secret if one >= 10 ** (LONG_DIGITS - 1))
    for dataset, tag in numbers:
        old = strings(dataset, tag)
        found = long if policy[int(tag)].essential else secret
        new = ["0" if values.whole_number(one) in found else one for one in old]
        if new != old:
            if tag in PLACES:
                raise Quarantine(MISPLACED)
            dataset[tag] = element(tag, str(dataset[tag].VR), new if len(new) > 1 else new[0])
            count(tag, "D")
    for dataset, tag, vr in binaries:
        found = long if policy[int(tag)].essential else secret
        stored = binary_numbers(dataset, tag, vr)
        kept = [0 if abs(one) in found else one for one in stored]
        if kept != stored:
            dataset[tag] = element(tag, vr, kept if len(kept) > 1 else kept[0])
            count(tag, "D")
