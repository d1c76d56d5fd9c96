# SPDX-License-Identifier: Apache-2.0
"""What the pass over one file has left standing, for the scrub at its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from umed.deid.matcher import Matcher


@dataclass
class Walk:
    """State of the pass over one file.

    Args:
        patient_key: what tells patients apart.
        patient_id: PatientID as it was.
        column: which of :attr:`umed.deid.policy.Decision.acts` the top level uses.
        matcher: what was removed of the patient.
        done: how often each action was applied, by tag and letter.
        text: places of text that stays.
        numbers: those of DS and IS.
        binaries: those of binary numbers, with their VR.
        dates: those of dates that an option keeps as they are.
    """

    patient_key: str
    patient_id: str
    column: int
    matcher: Matcher
    done: Counter[tuple[int, str]] = field(default_factory=Counter)
    text: list[tuple[Dataset, int]] = field(default_factory=list)
    numbers: list[tuple[Dataset, int]] = field(default_factory=list)
    binaries: list[tuple[Dataset, int, str]] = field(default_factory=list)
    dates: list[tuple[Dataset, int]] = field(default_factory=list)

    def count(self, tag: int, letter: str) -> None:
        """Count one action."""
        self.done[tag, letter] += 1
