# SPDX-License-Identifier: Apache-2.0
"""The pass over one data set: every attribute at every depth, in place, by the policy of a profile (PS3.15 Annex E).

Three steps. First the values that will go are collected, those of all files of the patient if these were shown before.
The walk applies the action of each attribute and remembers the text and the numbers that it left. The scrub then takes
the collected values out of these, which closes the leak through descriptions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence

from umed.deid import values
from umed.deid.binary_values import MODALITY_LUTS, check_modality_luts, settle_binary
from umed.deid.code_strings import clean_code_strings
from umed.deid.codes import settle_code
from umed.deid.elements import (
    BINARY_NUMBERS,
    CHARACTER_SET,
    are_numbers,
    check_character_set,
    dummy_code,
    element,
    is_number,
    strings,
    text_of,
)
from umed.deid.finish import clean_meta, record
from umed.deid.graphics import ANNOTATIONS, keep_marks
from umed.deid.keys import DeidKey
from umed.deid.number_values import scrub_numbers
from umed.deid.picture_flags import names_somebody
from umed.deid.policy import (
    BINARY_VRS,
    NUMBER_VRS,
    PATIENT_ID,
    PATIENT_NAME,
    SHORT_CODES,
    UNITS,
    WHO,
    Act,
    Decision,
    Policy,
    place,
)
from umed.deid.private import safe_tags
from umed.deid.profile import Profile
from umed.deid.refusals import Quarantine, refuse, refuse_syntax
from umed.deid.removed import Patients, Removed
from umed.deid.said_days import OLD, without_ages
from umed.deid.spellings import day_of
from umed.deid.stored_vr import settle_vr
from umed.deid.text_dates import is_date_number, without_dates, without_long_numbers
from umed.deid.walk import Walk

__all__ = ["Deidentifier", "Quarantine", "refuse"]

MAX_DEPTH = 64
CODING_SCHEME_UID = 0x0008010C
SOP_CLASS = 0x00080016

# Public code systems (SNOMED, LOINC, UCUM, ICD, HL7 tables ...): an OID of a system, not of an instance.
CODE_SYSTEM = re.compile(r"2\.16\.840\.1\.113883\.(?:3\.26\.1\.1|[56]\.\d{1,3})\Z", re.ASCII)


class Deidentifier:
    """De-identifies data sets with one key and one profile; the same input gives the same output, in any process.

    Args:
        key: secret of the project.
        profile: what to do; see :func:`umed.deid.profile.load_profile`.
    """

    def __init__(self, key: DeidKey, profile: Profile) -> None:
        self.key = key
        self.profile = profile
        self._policy = Policy(profile)
        self._moves_dates = "retain_long_modified_dates" in profile.options
        self._keeps_ages = "retain_patient_characteristics" in profile.options
        self._patients = Patients()

    def remember(self, dataset: Dataset, patient_key: str, study: str = "") -> None:
        """Collect what must not stand in any file of a patient; show every header before the first is de-identified.

        Args:
            dataset: a header as read by pydicom; it stays as it is.
            patient_key: as for the call itself.
            study: StudyInstanceUID; files of one study that name their patient differently know of one another.
        """
        store = self._patients.of(patient_key, study)
        before = store.size
        store.collect(dataset, self._policy, place(text_of(dataset, SOP_CLASS)))
        self._patients.grown(store, before)

    def __call__(
        self, dataset: FileDataset | Dataset, patient_key: str, *, study: str = "", blanked: bool = False
    ) -> Counter[tuple[str, str]]:
        """De-identify a data set in place, its file meta information and preamble included.

        Pixel data are not touched; whether text is burned into them is asked by :mod:`umed.deid.burned`.

        Args:
            dataset: as read by pydicom.
            patient_key: what tells patients apart (PatientID with its issuer); seeds pseudonym and date shift.
            study: StudyInstanceUID, as it was remembered.
            blanked: whether burned-in text was covered by the rectangles of the profile.

        Returns:
            How often each action letter was applied, by ``("(gggg,eeee)", letter)``, never to which value; private
            tags name no creator.

        Raises:
            Quarantine: when it is of a kind that cannot be cleaned by rule, or nested too deeply.
        """
        meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
        sop_class = text_of(dataset, SOP_CLASS) or text_of(meta, 0x00020002)
        reason = refuse(sop_class) or refuse_syntax(text_of(meta, 0x00020010))
        if reason:
            raise Quarantine(f"{reason}; put aside. Handle it by hand, or leave it out.")
        if not text_of(dataset, 0x00080018) and text_of(meta, 0x00020003):
            dataset.SOPInstanceUID = text_of(meta, 0x00020003)
        if not text_of(dataset, 0x00080016) and sop_class:
            dataset.SOPClassUID = sop_class
        shown = names_somebody(dataset, blanked=blanked)
        known = self._patients.known(patient_key, study)
        removed = Removed(known)
        removed.collect(dataset, self._policy, place(sop_class))
        if known is not None:  # most files say nothing that was not remembered
            removed = known if known.holds(removed) else known.joined([removed])
        walk = Walk(patient_key, text_of(dataset, PATIENT_ID), place(sop_class), removed.matchers[0])
        self._level(dataset, walk, walk.column, 0, False)
        self._scrub(walk, removed)
        pseudonym = self.key.pseudonym(patient_key)
        dataset[PATIENT_NAME] = element(PATIENT_NAME, "PN", pseudonym)
        dataset[PATIENT_ID] = element(PATIENT_ID, "LO", pseudonym)
        record(dataset, self.profile, blanked=blanked, shown=shown)
        clean_meta(dataset, meta)
        return Counter({(f"({t >> 16:04X},{t & 0xFFFF:04X})", letter): n for (t, letter), n in walk.done.items()})

    def _level(self, dataset: Dataset, walk: Walk, column: int, depth: int, cleaning: bool) -> None:
        """One data set or item; ``cleaning`` says that it lies in a sequence whose text is to be cleaned."""
        if depth > MAX_DEPTH:
            raise Quarantine(f"sequences nested deeper than {MAX_DEPTH}; put aside. Check where the file comes from.")
        safe = safe_tags(dataset, self.profile.safe_private)
        coded = settle_code(dataset)
        for tag, stored in list(dataset.items()):  # values that nobody has looked at stay bytes
            number = int(tag)
            if number >> 16 & 1:
                self._private(dataset, tag, safe, walk)
                continue
            if number == CHARACTER_SET:
                check_character_set(dataset)
                continue
            decision = self._policy[number]
            act: Act = decision.acts[column]
            if number in coded and act != "X":
                continue
            if cleaning and act == "text":
                act = "C"
            try:
                # pydicom finds the very tag object of a data set much faster than an equal number
                self._apply(dataset, tag, stored, act, decision, walk, depth, cleaning)
            except Quarantine:
                raise
            except Exception:  # a value that pydicom cannot make sense of: nobody can tell what is in it
                if tag in dataset:
                    del dataset[tag]
                walk.count(number, "X")

    def _apply(
        self,
        dataset: Dataset,
        tag: int,
        stored: DataElement | RawDataElement,
        act: Act,
        decision: Decision,
        walk: Walk,
        depth: int,
        cleaning: bool,
    ) -> None:
        vr = stored.VR
        if vr is not None and vr not in decision.vrs and act not in ("X", "Z", "D"):
            if not settle_vr(dataset, tag, stored, decision):
                return self._take(dataset, tag, "X", vr, decision, walk)
            stored = dataset.get_item(tag)
            vr = stored.VR
        if act == "binary" and (vr in BINARY_VRS or vr is None or vr == "UN" or " or " in vr):
            return self._binary(dataset, tag, stored, decision, walk)
        if vr is None or vr == "UN":
            vr = decision.vr
        if act == "number" and is_number(stored, vr):
            return self._number(dataset, tag, vr, decision, walk)
        if stored.VR == "UN" or vr == "":
            stored = dataset[tag]  # pydicom looks the VR up, and reads a sequence out of UN
            vr = str(stored.VR)
        if vr == "SQ" and act in ("sequence", "U", "C", "K"):
            if tag == MODALITY_LUTS:
                check_modality_luts(dataset[tag].value)
            if tag == ANNOTATIONS and act == "C" and not keep_marks(dataset):
                return walk.count(tag, "X")
            for item in dataset[tag].value:
                self._level(item, walk, 2, depth + 1, cleaning or act == "C")
            if act != "sequence":
                walk.count(tag, act)
            return
        if vr == "UI" and act not in ("X", "Z"):
            act = "U"
        if act in ("X", "Z", "D"):
            listed = not decision.vrs or vr in decision.vrs
            self._take(dataset, tag, act if listed or decision.vr else "X", vr, decision, walk)
        elif act == "U" and vr == "UI":
            self._map(dataset, tag, walk)
        elif act in ("C", "K"):
            self._clean(dataset, tag, act, vr, decision, walk)
        elif act in ("text", "code") and (vr in values.TEXT_VRS or vr == "CS") and "SQ" not in decision.vrs:
            self._word(dataset, tag, vr, decision, walk, trusted=True)
        else:  # stored with a VR that the attribute cannot have
            self._take(dataset, tag, "X", vr, decision, walk)

    def _binary(
        self, dataset: Dataset, tag: int, stored: DataElement | RawDataElement, decision: Decision, walk: Walk
    ) -> None:
        verdict = settle_binary(dataset, tag, stored, decision)
        if verdict == "removed":
            return self._take(dataset, tag, "X", "", decision, walk)
        if verdict == "replaced":
            walk.count(tag, "D")
        vr = stored.VR if stored.VR in BINARY_NUMBERS else decision.vr
        if vr in BINARY_NUMBERS and not (decision.essential and vr in ("SS", "US")):  # too small to be long
            walk.binaries.append((dataset, tag, vr))

    def _number(self, dataset: Dataset, tag: int, vr: str, decision: Decision, walk: Walk) -> None:
        """A number that stays: no more of them than DICOM allows, and no date."""
        if vr not in NUMBER_VRS:
            return self._binary(dataset, tag, dataset.get_item(tag), decision, walk)
        old = strings(dataset, tag)
        if decision.most and len(old) > decision.most:
            return self._take(dataset, tag, "X", vr, decision, walk)
        if not decision.essential and any(is_date_number(one) for one in old):
            new = ["0" if is_date_number(one) else one for one in old]
            dataset[tag] = element(tag, vr, new if len(new) > 1 else new[0])
            walk.count(tag, "D")
        walk.numbers.append((dataset, tag))

    def _word(
        self, dataset: Dataset, tag: int, vr: str, decision: Decision | None, walk: Walk, *, trusted: bool
    ) -> None:
        """Text and codes that stay, without dates, and without long numbers where none is meant to be there."""
        old = [one[: values.MOST_TEXT] for one in strings(dataset, tag)]
        if vr == "CS":
            new = clean_code_strings(old, decision.most if decision else 0, self._keeps_ages)
        else:
            # Before text is cut: of an identifier that holds a date a part would be left, which nobody would find.
            whole = old if tag in UNITS else values.scrub_all(old, walk.matcher)
            new = [without_dates(without_ages(one, OLD if self._keeps_ages else 0)) for one in whole]
            new = [without_long_numbers(one) for one in new] if trusted else new
        if new != old:
            filled = [one or (values.DUMMY_TEXT if before else "") for one, before in zip(new, old, strict=False)]
            dataset[tag] = element(tag, vr, filled if len(filled) > 1 else "".join(filled))
            walk.count(tag, "C")
        walk.text.append((dataset, tag))

    def _private(self, dataset: Dataset, tag: int, safe: Mapping[int, str], walk: Walk) -> None:
        if tag in safe:
            vr = safe[tag]
            if vr in ("CS", "SH"):
                self._word(dataset, tag, vr, None, walk, trusted=True)
            elif vr in NUMBER_VRS:
                self._number(dataset, tag, vr, self._policy[int(tag)], walk)
            elif vr in BINARY_NUMBERS:
                walk.binaries.append((dataset, tag, vr))
            return
        del dataset[tag]
        walk.count(tag, "X")

    def _take(self, dataset: Dataset, tag: int, act: Act, vr: str, decision: Decision, walk: Walk) -> None:
        """Remove, empty, or replace by a dummy."""
        vr = vr if not decision.vrs or vr in decision.vrs else decision.vr
        if tag in WHO and act != "X":
            own = text_of(dataset, PATIENT_ID)
            other = own and walk.patient_id and own != walk.patient_id
            name = self.key.pseudonym(own if other else walk.patient_key)
            dataset[tag] = element(tag, "PN" if tag == PATIENT_NAME else "LO", name)
        elif act == "Z" or (act == "D" and vr == "SQ" and decision.keyword.endswith("CodeSequence")):
            dataset[tag] = element(tag, vr, None if vr != "SQ" else Sequence([dummy_code()] if act == "D" else []))
        elif act == "D" and vr in values.DUMMIES:
            dataset[tag] = element(tag, vr, values.DUMMIES[vr])
        else:
            act = "X"  # also D of other sequences: no item says nothing and is still valid
            del dataset[tag]
        walk.count(tag, act)

    def _map(self, dataset: Dataset, tag: int, walk: Walk) -> None:
        old = strings(dataset, tag)
        if tag == CODING_SCHEME_UID and all(CODE_SYSTEM.match(uid.strip(values.BLANKS)) for uid in old):
            return
        new = [self.key.uid(uid) for uid in old]
        if new != [uid.strip(values.BLANKS) for uid in old]:
            dataset[tag] = element(tag, "UI", new if len(new) > 1 else "".join(new))
            walk.count(tag, "U")

    def _clean(self, dataset: Dataset, tag: int, act: Act, vr: str, decision: Decision, walk: Walk) -> None:
        """Keep what an option keeps, as far as it is what it should be."""
        if vr in BINARY_VRS and act == "K" and decision.vrs <= BINARY_VRS:
            self._binary(dataset, tag, dataset.get_item(tag), decision, walk)
            return walk.count(tag, "K")
        if (vr in values.TEXT_VRS or vr == "CS") and act == "K":
            self._word(dataset, tag, vr, decision, walk, trusted=False)
            return walk.count(tag, "K")
        old = strings(dataset, tag)
        days = self.key.shift(walk.patient_key)
        moved = act == "C" and self._moves_dates
        if vr in values.TEXT_VRS or (vr == "CS" and act == "C"):
            whole = values.scrub_all([one[: values.MOST_TEXT] for one in old], walk.matcher)
            new = [values.keep_terms(one, self._keeps_ages) for one in whole]
            if vr == "CS":
                new = clean_code_strings([one.upper() for one in new], decision.most, self._keeps_ages)
            if act == "C" and (decision.required or not decision.listed) and not any(new) and any(old):
                new = [values.DUMMY_TEXT]  # the object may need one, and this is valid either way
        elif vr == "DA":
            new = [values.move_date(one, days if moved else 0) for one in old]
        elif vr == "DT":
            new = [values.move_datetime(one, days if moved else 0) for one in old]
        elif vr == "TM":
            new = [one.strip(values.BLANKS) if values.is_time(one) else "" for one in old]
        elif vr == "AS":
            new = [values.cap_age(one) for one in old]
        elif vr in NUMBER_VRS and act == "K" and decision.vrs <= NUMBER_VRS:
            new = [one if are_numbers(one) and not is_date_number(one) else "" for one in old]
            walk.numbers.append((dataset, tag))  # a weight that is somebody's date of birth
        else:
            return self._take(dataset, tag, "X", vr, decision, walk)
        if not moved and vr in ("DA", "DT", "TM"):
            if act == "C":
                return self._take(dataset, tag, "X", vr, decision, walk)
            walk.dates.append((dataset, tag))
        if new != old:
            dataset[tag] = element(tag, vr, new if len(new) > 1 else "".join(new))
        if any(new) and (vr in values.TEXT_VRS or vr == "CS"):
            walk.text.append((dataset, tag))  # an imaging term may be the patient's name, too
        return walk.count(tag, act)

    def _scrub(self, walk: Walk, removed: Removed) -> None:
        """Take removed values out of the text that stays, and identifiers out of numbers (SeriesNumber may be one)."""
        if removed.numbers:
            scrub_numbers(walk.numbers, walk.binaries, removed.numbers, self._policy, walk.count)
        for dataset, tag in walk.dates:  # a kept calibration date may be that of the study, which is not kept
            if tag in dataset and any(day_of(one) in removed.days for one in strings(dataset, tag)):
                vr = str(dataset[tag].VR)
                dataset[tag] = element(tag, vr, values.DUMMIES[vr])
                walk.count(tag, "D")
        every, long = removed.matchers  # a patient called Rgb changes no colours
        for dataset, tag in walk.text:
            if tag not in dataset:
                continue
            try:
                old = strings(dataset, tag)
                if removed.full:
                    new = [values.keep_terms(one) for one in old]
                else:
                    few = tag in SHORT_CODES or tag in UNITS
                    few = few or (self._policy[int(tag)].essential and dataset[tag].VR == "CS")
                    new = values.scrub_all(old, long if few else every)
                if new == old:
                    continue
                vr = str(dataset[tag].VR)
                filled = [one or values.DUMMY_TEXT for one in new]
                dataset[tag] = element(tag, vr, filled if len(filled) > 1 else filled[0])
                walk.count(tag, "C")
            except Exception:  # undecodable text
                del dataset[tag]
                walk.count(tag, "X")
