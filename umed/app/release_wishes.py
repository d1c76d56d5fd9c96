# SPDX-License-Identifier: Apache-2.0
"""What was chosen for the release, and the words of a command line that say so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PROFILES = (
    "longitudinal",
    "patient_characteristics",
    "clean_descriptors",
    "device_identity",
    "safe_private",
    "clean_pixel_data",
)
"""What may be kept beside the basic profile, in the order of the page."""
MODES = ("anonymize-protect", "anonymize", "protect")
"""What is done with DICOM files."""
AGAIN = ("", "resume", "overwrite")
"""What is done with an earlier run in the same folder."""


@dataclass(frozen=True)
class Wishes:
    """What was chosen for the release.

    Args:
        output: folder that is to be published; ``None`` until it is chosen.
        private: folder that never is.
        strength: ``"invisible"`` or ``"strong"``.
        evidence: half of each object carries the code, for a trace.
        mode: of DICOM files, one of :data:`MODES`.
        key_file: of DICOM files that are de-identified; made where there is none.
        keep: of them, which of :data:`PROFILES`.
        look_for_text: of them, put aside in whose pixels words are read.
        accept_burned_in: of them, release pictures that may hold burned-in text.
        carry: take documents along.
        again: one of :data:`AGAIN`.
        extra: further settings, ``KEY=VALUE``.
    """

    output: Path | None = None
    private: Path | None = None
    strength: str = "invisible"
    evidence: bool = False
    mode: str = "anonymize-protect"
    key_file: Path | None = None
    keep: tuple[str, ...] = ()
    look_for_text: bool = False
    accept_burned_in: bool = False
    carry: bool = False
    again: str = ""
    extra: tuple[str, ...] = ()

    @property
    def plan(self) -> list[str]:
        """Options that decide the code."""
        return ["--strength", self.strength, *self.settings]

    @property
    def settings(self) -> list[str]:
        """Options that decide the code beside its strength."""
        return [*(["--evidence"] if self.evidence else []), *(f"--set={one}" for one in self.extra)]

    @property
    def profile(self) -> str:
        """Value of ``--profile``."""
        return "+".join(self.keep) or "basic"
