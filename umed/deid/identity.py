# SPDX-License-Identifier: Apache-2.0
"""Who a written file says that it is: a new person under keyed UIDs, or the same one with derived images."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath

from pydicom.dataset import Dataset, FileDataset
from pydicom.multival import MultiValue

from umed.deid import burned
from umed.deid.engine import Deidentifier
from umed.deid.keys import DeidKey
from umed.deid.profile import Profile, Rectangle
from umed.deid.text_reader import TextReader
from umed.dicom.objects import Instance


class Renamed:
    """The names that a key gives: all that is needed to find the pairs of an anonymized output again.

    Args:
        key: secret of the project.
    """

    secret = True
    keeps_uids = False

    def __init__(self, key: DeidKey) -> None:
        self.key = key
        self._folder: tuple[tuple[str, ...], Path] = (), Path()

    def settings(self) -> dict[str, object]:
        """Fingerprint of the key, as ``umed keygen`` prints it."""
        return {"key": self.key.digest()}

    def uid(self, text: str) -> str:
        """Keyed UID below 2.25."""
        return self.key.uid(text)

    def target(self, instance: Instance) -> Path:
        """``PATIENT/STUDY/SERIES/INSTANCE.dcm``, all of them new names."""
        whose = instance.patient_key, instance.study_uid, instance.series_uid
        if whose != self._folder[0]:  # the same for all files of a series
            study, series = self.key.uid(instance.study_uid), self.key.uid(instance.series_uid)
            self._folder = whose, Path(self.key.pseudonym(instance.patient_key), study, series)
        return self._folder[1] / f"{self.key.uid(instance.sop_uid)}.dcm"

    def token(self, text: str) -> str:
        """Keyed fingerprint."""
        return self.key.mac("token", text).hex()[:32]


class Anonymous(Renamed):
    """De-identified by PS3.15 Annex E: every UID and name is keyed, files are named by their new UIDs.

    With the option ``retain_uids`` UIDs stay, and names of files with them.

    Args:
        key: secret of the project.
        profile: what is removed, kept and changed.
        accept_burned_in: release pictures that may hold burned-in text.
        text_reader: looks for text in pixels; ``None`` where nobody asked for it.
    """

    def __init__(
        self,
        key: DeidKey,
        profile: Profile,
        accept_burned_in: bool = False,
        text_reader: TextReader | None = None,
    ) -> None:
        self.keeps_uids = "retain_uids" in profile.options
        super().__init__(key.keeping_uids() if self.keeps_uids else key)
        self.profile, self.accept_burned_in, self.text_reader = profile, accept_burned_in, text_reader
        self._deidentify = Deidentifier(self.key, profile)

    def remember(self, dataset: FileDataset, instance: Instance) -> None:
        """Collect what must not stand in any file of the patient; called with every header before the first file."""
        self._deidentify.remember(dataset, instance.patient_key, instance.study_uid)

    def apply(self, dataset: FileDataset, instance: Instance, blanked: bool = False) -> Counter[tuple[str, str]]:
        """Run the profile over the data set."""
        return self._deidentify(dataset, instance.patient_key, study=instance.study_uid, blanked=blanked)

    def rectangles(self, dataset: FileDataset) -> tuple[Rectangle, ...]:
        """The profile's rectangles for this device."""
        return burned.check(dataset, self.profile, self.accept_burned_in)

    def accepted(self, dataset: FileDataset) -> str:
        """Why a picture goes out only because its owner vouches for it; empty where that was not needed."""
        return burned.accepted(dataset, self.profile) if self.accept_burned_in else ""

    def settings(self) -> dict[str, object]:
        """Fingerprint of the key, the profile, and what was accepted."""
        profile = hashlib.sha256(repr(self.profile).encode()).hexdigest()[:8]
        return {
            **super().settings(),
            "profile": f"{self.profile.name} ({profile})",
            "accept_burned_in": self.accept_burned_in,
            **({} if self.text_reader is None else {"look_for_text": True}),
        }


class Derived:
    """Nothing is de-identified; images whose pixels change get a new SOPInstanceUID, as PS3.3 C.7.6.1.1.2 asks.

    Args:
        changed: SOPInstanceUIDs of those images; every reference to them follows.
    """

    secret = False
    keeps_uids = False
    text_reader: TextReader | None = None

    def __init__(self, changed: Collection[str]) -> None:
        self.changed = frozenset(changed)

    def settings(self) -> dict[str, object]:
        """Nothing to tell apart."""
        return {"identity": "derived"}

    def uid(self, text: str) -> str:
        """A UID below 2.25. that follows from the old one, for changed images; all others stay."""
        if text not in self.changed:
            return text
        return f"2.25.{int.from_bytes(hashlib.sha256(f'umed derived {text}'.encode()).digest()[:16], 'big')}"

    def target(self, instance: Instance) -> Path:
        """The name in the input; files of an archive are named by their UIDs."""
        pure = PurePosixPath(instance.name)
        plain = not pure.is_absolute() and not {"..", "."} & set(pure.parts) and "\\" not in instance.name
        if plain and "!" not in instance.name:
            return Path(pure)
        parts = [instance.study_uid, instance.series_uid, self.uid(instance.sop_uid)]
        study, series, name = (re.sub(r"[^0-9.]", "_", part).strip(".") or "unknown" for part in parts)
        return Path(study, series, f"{name}.dcm")

    def apply(self, dataset: FileDataset, instance: Instance, blanked: bool = False) -> Counter[tuple[str, str]]:
        """Map the UIDs of changed images wherever they are named."""
        counts: Counter[tuple[str, str]] = Counter()
        _map_uids(dataset, self.uid, counts)
        _map_uids(dataset.file_meta, self.uid, counts)
        return counts

    def rectangles(self, dataset: FileDataset) -> tuple[Rectangle, ...]:
        """None: nothing is blanked."""
        return ()

    def accepted(self, dataset: FileDataset) -> str:
        """Empty: nothing is asked."""
        return ""

    def token(self, text: str) -> str:
        """Plain fingerprint."""
        return hashlib.sha256(text.encode()).hexdigest()


Names = Renamed | Derived
"""What becomes of names and UIDs: all that is needed to find the pairs of an output again."""
Identity = Anonymous | Derived
"""The same, and what becomes of identifying attributes and of the picture."""


def _map_uids(dataset: Dataset, mapped: Callable[[str], str], counts: Counter[tuple[str, str]]) -> None:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value or ():
                _map_uids(item, mapped, counts)
        elif element.VR == "UI" and element.value:
            many = isinstance(element.value, MultiValue | list)
            old = list(element.value) if many else [element.value]
            new = [mapped(str(value)) for value in old]
            if new != [str(value) for value in old]:
                element.value = new if many else new[0]
                counts[f"({element.tag.group:04x},{element.tag.element:04x})", "U"] += 1
