# SPDX-License-Identifier: Apache-2.0
"""The profile for research: what measurements need is there, and measures the same."""

from __future__ import annotations

import datetime
import io

import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.dicom_files import dataset
from umed.deid.engine import Deidentifier
from umed.deid.keys import DeidKey
from umed.deid.profile import load_profile

KEY = DeidKey(bytes(range(32)))
RESEARCH = load_profile("research")
PET = "1.2.840.10008.5.1.4.1.1.128"


def pet(**attributes: object) -> Dataset:
    """A PET slice with all that a standardised uptake value is computed from; the injection was before midnight."""
    tracer = Dataset()
    tracer.RadiopharmaceuticalStartDateTime = "20230615233012.500000"
    tracer.RadiopharmaceuticalStartTime, tracer.RadiopharmaceuticalStopTime = "233012.500000", "233020"
    tracer.RadionuclideTotalDose, tracer.RadionuclideHalfLife = "370000000", "6586.2"
    tracer.RadionuclidePositronFraction, tracer.RadiopharmaceuticalVolume = "0.97", "4.5"
    tracer.Radiopharmaceutical = "Fluorodeoxyglucose"
    ds = dataset(
        SOPClassUID=PET,
        Modality="PT",
        PatientName="Muster^Erika",
        PatientID="4711-X",
        PatientBirthDate="19640812",
        PatientAge="058Y",
        PatientSex="F",
        PatientSize="1.70",
        PatientWeight="71.5",
        StudyDate="20230615",
        SeriesDate="20230616",
        SeriesTime="003000",
        AcquisitionDate="20230616",
        AcquisitionTime="003112.250000",
        AcquisitionDateTime="20230616003112.250000",
        Units="BQML",
        DecayCorrection="START",
        DecayFactor="1.4",
        FrameReferenceTime="1000",
        ActualFrameDuration="180000",
        CorrectedImage=["DECY", "ATTN", "SCAT"],
        RescaleSlope="1.25",
        RescaleIntercept="0",
        SUVType="BW",
        SeriesDescription="PET Thorax, Erika, 06/15/23",
        RadiopharmaceuticalInformationSequence=[tracer],
    )
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def released(ds: Dataset, patient: str = "x") -> Dataset:
    """The data set as another program reads it afterwards."""
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    again = pydicom.dcmread(io.BytesIO(buffer.getvalue()))
    Deidentifier(KEY, RESEARCH)(again, patient)
    buffer = io.BytesIO()
    again.save_as(buffer, enforce_file_format=True)
    return pydicom.dcmread(io.BytesIO(buffer.getvalue()))


def seconds(text: str) -> float:
    """A DT in seconds since some day."""
    whole, _, fraction = text.partition(".")
    moment = datetime.datetime.strptime(whole, "%Y%m%d%H%M%S")
    return (moment - datetime.datetime(1900, 1, 1)).total_seconds() + float(f"0.{fraction or 0}")


def suv_factor(ds: Dataset, injected: str, scanned: str) -> float:
    """Grams per becquerel: weight over the dose that is left when the scan begins."""
    tracer = ds.RadiopharmaceuticalInformationSequence[0]
    passed = seconds(scanned) - seconds(injected)
    left = float(tracer.RadionuclideTotalDose) * 2 ** (-passed / float(tracer.RadionuclideHalfLife))
    return float(ds.PatientWeight) * 1000 / left * float(ds.RescaleSlope)


def test_uptake_values_are_the_same_by_date_time_and_by_times() -> None:
    before, after = pet(), released(pet())
    old, new = before.RadiopharmaceuticalInformationSequence[0], after.RadiopharmaceuticalInformationSequence[0]
    assert new.RadiopharmaceuticalStartDateTime != old.RadiopharmaceuticalStartDateTime
    known = suv_factor(before, old.RadiopharmaceuticalStartDateTime, before.AcquisitionDateTime)
    assert suv_factor(after, new.RadiopharmaceuticalStartDateTime, after.AcquisitionDateTime) == known
    by_parts = f"{after.AcquisitionDate}{after.AcquisitionTime}"
    assert suv_factor(after, new.RadiopharmaceuticalStartDateTime, by_parts) == known
    by_series = f"{after.SeriesDate}{after.SeriesTime}"
    first = f"{before.SeriesDate}{before.SeriesTime}"
    assert seconds(by_series) - seconds(new.RadiopharmaceuticalStartDateTime) == seconds(first) - seconds(
        old.RadiopharmaceuticalStartDateTime
    )


@pytest.mark.parametrize(
    "keyword",
    "PatientSex PatientAge PatientSize PatientWeight Units DecayCorrection DecayFactor FrameReferenceTime SUVType "
    "ActualFrameDuration CorrectedImage RescaleSlope RescaleIntercept SeriesTime AcquisitionTime Modality".split(),
)
def test_what_a_measurement_needs_stays(keyword: str) -> None:
    assert released(pet())[keyword].value == pet()[keyword].value


def test_the_tracer_stays() -> None:
    old, new = (ds.RadiopharmaceuticalInformationSequence[0] for ds in (pet(), released(pet())))
    for element in old:
        if element.VR != "DT":
            assert new[element.tag].value == element.value, element.keyword


def test_philips_factors_stay_and_persons_do_not() -> None:
    ds = pet()
    block = ds.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0.000438")
    block.add_new(0x09, "DS", "1.8")
    block.add_new(0x03, "ST", "Muster")
    after = released(ds)
    kept = after.private_block(0x7053, "Philips PET Private Group")
    assert (float(kept[0x00].value), float(kept[0x09].value)) == (0.000438, 1.8) and 0x03 not in kept
    assert after.SeriesDescription == "PET Thorax" and after.PatientBirthDate == ""
    text = str(after)
    assert not [word for word in ("Erika", "Muster", "4711", "2023061", "19640812", "Haus") if word in text]
    codes = {item.CodeValue for item in after.DeidentificationMethodCodeSequence}
    assert codes == {"113100", "113105", "113107", "113108", "113111"}


def test_days_between_studies_of_a_patient_stay() -> None:
    first, second = (released(pet(StudyDate=day)) for day in ("20230615", "20240229"))
    days = [datetime.datetime.strptime(ds.StudyDate, "%Y%m%d") for ds in (first, second)]
    assert (days[1] - days[0]).days == 259
