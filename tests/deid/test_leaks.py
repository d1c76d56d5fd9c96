# SPDX-License-Identifier: Apache-2.0
"""Random nested data sets with a patient's data strewn in anywhere: nothing of it is in the bytes that are written."""

from __future__ import annotations

import io
import logging
import warnings

import pydicom
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from tests.dicom_files import dataset
from umed.deid.engine import Deidentifier
from umed.deid.keys import DeidKey
from umed.deid.policy import BINARY_VRS
from umed.deid.profile import load_profile

KEY = DeidKey(bytes(range(32)))
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # a leak is told in seconds; shrinking it takes minutes
OPTIONS = "longitudinal+clean_descriptors+safe_private+device_identity+patient_characteristics"
PATIENT = {
    "PatientName": "Quagmire^Peregrina",
    "PatientID": "MRN-778899Z",
    "PatientBirthDate": "19570314",
    "InstitutionName": "Sanatorium Zauberberg",
    "AccessionNumber": "A7730021",
    "StudyDate": "20240229",
}
UIDS = ["1.3.999.4711.5.6", "1.2.840.10008.20240229.4711"]
SECRETS = ["Quagmire", "Peregrina", "MRN-778899Z", "19570314", "Zauberberg", "A7730021", "20240229", *UIDS]
PHRASES = [*PATIENT.values(), "for QUAGMIRE, peregrina", "zauberberg_A7730021_x", "b. 14.03.1957", *UIDS]
PHRASES += ["Dr Quagmire 19570314", "19570314", "20240229"]
TEXT = ("LO", "SH", "LT", "ST", "UT", "UC")
PUBLIC = sorted(tag for tag in DicomDictionary if tag >> 16 > 8 and tag & 0xFFFF and tag >> 16 not in (0x7FE0, 0xFFFE))
VRS = [*TEXT, "PN", "CS", "AE", "DS", "IS", "UI", "DA", "DT", "TM", "AS", "UR", "UN", "OB"]


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values here break every rule of their VRs; that pydicom says so each time would only take time."""
    monkeypatch.setattr(pydicom.config.settings, "_reading_validation_mode", pydicom.config.IGNORE)
    monkeypatch.setattr(pydicom.config.settings, "_writing_validation_mode", pydicom.config.IGNORE)
    monkeypatch.setattr(pydicom.config, "convert_wrong_length_to_UN", True)  # else a failing case cannot be shown
    monkeypatch.setattr(logging.getLogger("pydicom"), "disabled", True)


def listed(tag: int) -> set[str]:
    return set(DicomDictionary[tag][0].split(" or "))


PLAIN = [tag for tag in PUBLIC if not listed(tag) & ({"SQ"} | BINARY_VRS)]
SEQUENCES = [tag for tag in PUBLIC if listed(tag) == {"SQ"}]
OBVIOUS = [tag for tag in PLAIN if listed(tag) & {*TEXT, "PN", "UI", "DA", "DT", "AE"}]
PRIVATE = st.builds(
    lambda group, element: (group * 2 + 1) << 16 | element, st.integers(4, 0x7FFE), st.integers(0x1000, 0x10FF)
)
UNKNOWN = st.sampled_from([0x00107777, 0x00189998, 0x00287FFE, 0x60021234, 0x50040010, 0x300A7776])
TAGS = st.one_of(st.sampled_from(OBVIOUS), st.sampled_from(PLAIN), PRIVATE, UNKNOWN)
PARENTS = st.one_of(st.sampled_from(SEQUENCES), PRIVATE, UNKNOWN)


def raw(tag: int, vr: str, value: str) -> RawDataElement:
    """An element as a hostile or sloppy program writes it; pydicom does not look at it before it is asked to."""
    data = value.encode("ascii")
    data += b" " * (len(data) % 2)
    return RawDataElement(Tag(tag), vr, len(data), data, 0, False, True)


@st.composite
def strewn(draw: st.DrawFn, depth: int = 3) -> Dataset:
    made = Dataset()
    for tag, phrase in draw(st.lists(st.tuples(TAGS, st.sampled_from(PHRASES)), max_size=5)):
        own = sorted(listed(tag))[0] if tag in DicomDictionary else draw(st.sampled_from(VRS))
        made[Tag(tag)] = raw(tag, draw(st.sampled_from([own, own, own, draw(st.sampled_from(VRS))])), phrase)
        if tag >> 16 & 1:
            made[Tag((tag & 0xFFFF0000) | 0x10)] = raw((tag & 0xFFFF0000) | 0x10, "LO", "QUAGMIRE PRIVATE")
    if depth:
        for tag in draw(st.lists(PARENTS, max_size=2)):
            items = draw(st.lists(strewn(depth=depth - 1), min_size=1, max_size=2))
            made.add_new(tag, "SQ", items)
    return made


def write(ds: Dataset, implicit: bool = False) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if implicit:
            ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
        pydicom.dcmwrite(buffer, ds, implicit_vr=implicit, little_endian=True)
    return buffer.getvalue()


def leaks(data: bytes) -> list[str]:
    lower = data.lower()
    return [secret for secret in SECRETS if secret.lower().encode() in lower]


@pytest.mark.parametrize("profile", ["basic", OPTIONS])
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(body=strewn(), implicit=st.booleans())
def test_nothing_of_the_patient_survives_at_any_depth(profile: str, body: Dataset, implicit: bool) -> None:
    ds = dataset(**PATIENT)
    ds.file_meta.SourceApplicationEntityTitle = "QUAGMIRE"
    ds.preamble = b"Peregrina".ljust(128)
    for tag in body.keys():
        if tag not in ds:
            ds[tag] = body.get_item(tag)
    source = write(ds, implicit)
    assert leaks(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(io.BytesIO(source))
        Deidentifier(KEY, load_profile(profile))(ds, "p")
        assert leaks(write(ds, implicit)) == []


# Without any hint of who the patient is, text that says how a picture was made has to be trusted; all else has not.
TRUSTED = load_profile("basic").technique
BLIND = [tag for tag in PLAIN if tag not in TRUSTED and not listed(tag) & {"CS"}]


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(
    places=st.lists(st.one_of(st.sampled_from(BLIND), PRIVATE, UNKNOWN), min_size=1, max_size=8, unique=True),
    parents=st.lists(st.sampled_from(SEQUENCES), max_size=4),
    phrase=st.sampled_from(["Quagmire^Peregrina", "Peregrina", "MRN-778899Z", "Sanatorium Zauberberg"]),
)
def test_a_name_that_stands_nowhere_else_does_not_survive_either(places, parents, phrase) -> None:
    ds = inner = dataset()
    for parent in parents:
        inner.add_new(parent, "SQ", [Dataset()])
        inner = inner[parent].value[0]
    for tag in places:
        inner[Tag(tag)] = raw(tag, sorted(listed(tag))[0] if tag in DicomDictionary else "LO", phrase)
    source = write(ds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(io.BytesIO(source))
        Deidentifier(KEY, load_profile("basic"))(ds, "p")
        assert leaks(write(ds)) == []


@given(
    st.lists(st.from_regex(r"[12](\.(0|[1-9][0-9]{0,9})){2,8}", fullmatch=True), min_size=2, max_size=30, unique=True)
)
def test_the_map_of_uids_is_one_to_one(uids: list[str]) -> None:
    mapped = [KEY.uid(uid) for uid in uids]
    assert len(set(mapped)) == len(uids)
    assert [KEY.uid(uid + "\0") for uid in uids] == mapped
