# SPDX-License-Identifier: Apache-2.0
"""What the DICOM step costs beside reading and writing alone, on files that this script makes.

    python benchmarks/dicom.py speed --case ct12 --slices 300 --profile longitudinal
    python benchmarks/dicom.py memory --slices 2000

Ratios are printed with their limits; the exit code stays 0. What becomes of odd real files: dicom_outcomes.py.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from tables import markdown, provenance

from umed.cases.records import GENERATORS, private_of
from umed.deid.keys import Key
from umed.release.anonymize import anonymize

CT = "1.2.840.10008.5.1.4.1.1.2"
ROOT = "1.2.826.0.1.3680043.8.498.42"
SPACING = (2.0, 0.8, 0.8)
LIMIT_SPEED = 2.5
LIMIT_MEMORY = 2.0


def make_series(folder: Path, slices: int, side: int) -> Path:
    """A CT series with the attributes of a scanner's: noise in a body-like ellipse, 16 bits, one file a slice."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    grid = np.mgrid[:side, :side] / side - 0.5
    body = (grid[0] ** 2 / 0.12 + grid[1] ** 2 / 0.2) < 1
    noise = rng.normal(0, 20, (side, 2 * side))
    for number in range(slices):
        values = np.where(body, 40 + noise[:, number % side : number % side + side], -1000)
        header(number, values.astype(np.int16)).save_as(folder / f"{number:05d}.dcm", enforce_file_format=True)
    return folder


def header(number: int, values: np.ndarray) -> FileDataset:
    """One slice, with about as many attributes as real ones have."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet, ds.ImageType, ds.SOPClassUID = "ISO_IR 100", ["ORIGINAL", "PRIMARY", "AXIAL"], CT
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{ROOT}.1.{number + 1}", f"{ROOT}.2", f"{ROOT}.3"
    for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "InstanceCreationDate"):
        setattr(ds, keyword, "20240229")
        setattr(ds, keyword.replace("Date", "Time"), "101500.25")
    ds.AccessionNumber, ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "ACC77", "CT", "Maker", "Model 1"
    ds.InstitutionName, ds.InstitutionAddress = "Clinic of Entenhausen", "Lane 7, Entenhausen"
    ds.ReferringPhysicianName, ds.OperatorsName, ds.StationName = "Haus^Gregor", "Ente^Daisy", "CT-07-EG"
    ds.StudyDescription, ds.SeriesDescription, ds.ProtocolName = "Abdomen", "Abdomen 2.0 B30f", "AbdRoutine"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Muster^Erika", "4711-X", "19640812", "F"
    ds.PatientAge, ds.PatientWeight, ds.BodyPartExamined, ds.ContrastBolusAgent = "059Y", 71, "ABDOMEN", ""
    ds.KVP, ds.DataCollectionDiameter, ds.ReconstructionDiameter, ds.ExposureTime = 120, 500, 410, 500
    ds.XRayTubeCurrent, ds.Exposure, ds.FilterType, ds.GeneratorPower = 210, 105, "0", 25
    ds.DistanceSourceToDetector, ds.DistanceSourceToPatient, ds.GantryDetectorTilt, ds.TableHeight = 1040, 570, 0, 150
    ds.RotationDirection, ds.ConvolutionKernel, ds.PatientPosition, ds.SoftwareVersions = "CW", "B30f", "HFS", "VA1"
    ds.DeviceSerialNumber, ds.FocalSpots, ds.SliceThickness, ds.DateOfLastCalibration = "SN4711", 1.2, 2, "20240201"
    ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = "1", 3, 1, number + 1
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [-200, -200, number * SPACING[0]], [1, 0, 0, 0, 1, 0]
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator, ds.SliceLocation = f"{ROOT}.4", "", number * SPACING[0]
    ds.WindowCenter, ds.WindowWidth, ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 40, 400, 0, 1, "HU"
    reference, code = Dataset(), Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CT, f"{ROOT}.5"
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "T-D4000", "SRT", "Abdomen"
    ds.ReferencedImageSequence, ds.ProcedureCodeSequence = [reference], [code]
    block = ds.private_block(0x0029, "MAKER CSA HEADER", create=True)
    block.add_new(0x10, "OB", bytes(8000))
    block.add_new(0x08, "CS", "IMAGE NUM 4")
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", *values.shape
    ds.PixelSpacing = list(SPACING[1:])
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.PixelData = values.astype("<i2").tobytes()
    return ds


def make_twelve_bits(folder: Path, slices: int, side: int) -> Path:
    """The same with 12 of 16 bits, as most scanners store CT."""
    for path in make_series(folder, slices, side).iterdir():
        ds = pydicom.dcmread(path)
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation, ds.RescaleIntercept = 12, 11, 0, -1024
        ds.PixelData = (ds.pixel_array.astype("<i4") + 1024).clip(0, 4095).astype("<u2").tobytes()
        ds.save_as(path)
    return folder


def make_enhanced(folder: Path, frames: int, side: int) -> Path:
    """One enhanced CT of many frames: seven items of sequences a frame."""
    folder.mkdir(parents=True)
    ds = header(0, np.zeros((side, side), np.int16))
    ds.SOPClassUID, ds.NumberOfFrames = f"{CT}.1", frames
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        delattr(ds, keyword)
    measures, direction = item(PixelSpacing=list(SPACING[1:])), item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    ds.SharedFunctionalGroupsSequence = [item(PixelMeasuresSequence=[measures], PlaneOrientationSequence=[direction])]
    ds.PerFrameFunctionalGroupsSequence = [
        item(
            FrameContentSequence=[
                item(FrameAcquisitionDateTime="20240229101500", StackID="1", InStackPositionNumber=number + 1)
            ],
            PlanePositionSequence=[item(ImagePositionPatient=[-200, -200, number * SPACING[0]])],
            FrameVOILUTSequence=[item(WindowCenter=40, WindowWidth=400)],
            CTImageFrameTypeSequence=[item(FrameType=["ORIGINAL", "PRIMARY", "AXIAL", "NONE"])],
            ReferencedImageSequence=[
                item(
                    ReferencedSOPClassUID=CT,
                    ReferencedSOPInstanceUID=f"{ROOT}.5.{number}",
                    PurposeOfReferenceCodeSequence=[
                        item(CodeValue="121311", CodingSchemeDesignator="DCM", CodeMeaning="Localizer")
                    ],
                )
            ],
        )
        for number in range(frames)
    ]
    ds.PixelData = bytes(2 * frames * side * side)
    ds.save_as(folder / "enhanced.dcm", enforce_file_format=True)
    return folder


def item(**values: object) -> Dataset:
    """An item of a sequence."""
    found = Dataset()
    for keyword, value in values.items():
        setattr(found, keyword, value)
    return found


CASES = {"ct": make_series, "ct12": make_twelve_bits, "enhanced": make_enhanced}


def make_mask(folder: Path, slices: int, side: int) -> Path:
    """A NIfTI label over three quarters of the slices, on the grid of the series."""
    folder.mkdir(parents=True)
    mask = np.zeros((side, side, slices), np.uint8)
    ball = np.hypot(*(np.mgrid[:side, :side] - side * 0.45)) < side * 0.15
    mask[..., slices // 8 : max(slices * 7 // 8, slices // 8 + 1)] = ball[..., None]
    affine = np.diag([-SPACING[2], -SPACING[1], SPACING[0], 1.0])  # RAS
    affine[:3, 3] = 200, 200, 0
    nib.save(nib.Nifti1Image(mask, affine), folder / "label.nii.gz")
    return folder


def copy_with_pydicom(source: Path, target: Path, every: bool = False) -> None:
    """Read every file whole and write it again; ``every``: look at each element, which parses sequences."""
    target.mkdir()
    for number, path in enumerate(sorted(source.rglob("*"))):
        if path.is_file():
            ds = pydicom.dcmread(path)
            for element in ds.iterall() if every else ():
                _ = element.value
            ds.save_as(target / f"{number:06d}.dcm")


def timed(work: Callable[[Path], object], scratch: Path) -> tuple[float, float]:
    """Process time and wall time of one run, in seconds."""
    target = scratch / "target"
    cpu, wall = time.process_time(), time.perf_counter()
    work(target)
    found = time.process_time() - cpu, time.perf_counter() - wall
    shutil.rmtree(target)
    shutil.rmtree(f"{target}-private", ignore_errors=True)
    return found


def train_a_little(scratch: Path, key: Path) -> Path:
    """Generators of the default recipe after two iterations: as fast or slow as any."""
    source, masks = make_series(scratch / "few", 16, 128), make_mask(scratch / "few-masks", 16, 128)
    out = scratch / "few-out"
    anonymize(source, out, key_file=key, protect=True, masks=masks, report=False, training={"iterations": 2})
    return private_of(out) / GENERATORS


def measure_speed(scratch: Path, args: argparse.Namespace) -> list[list[str]]:
    """Anonymize alone, with the check of the release, and with protection, beside pydicom on the same files.

    The runs take turns, so that a machine that slows down slows all of them; ratios are medians over the turns.
    """
    key = scratch / "project.key"
    Key.create(key)
    options = {"key_file": key, "profile": args.profile, "report": False}
    source = args.input or CASES[args.case](scratch / "in", args.slices, args.side)
    tasks: dict[str, Callable[[Path], object]] = {
        "pydicom read + write": lambda target: copy_with_pydicom(source, target),
        "pydicom read, every element, + write": lambda target: copy_with_pydicom(source, target, every=True),
        "anonymize": lambda target: anonymize(source, target, check=False, **options),
        "anonymize, then check the release": lambda target: anonymize(source, target, **options),
    }
    if args.protect or args.umed:
        masks = make_mask(scratch / "masks", args.slices, args.side)
        ways: dict[str, dict[str, object]] = {"checkerboard": {"method": "checkerboard"}}
        if args.umed:
            ways["umed, trained generators"] = {"generators": train_a_little(scratch, key)}
        for name, way in ways.items():
            tasks[f"anonymize + protect ({name})"] = lambda target, way=way: anonymize(  # type: ignore[misc]
                source, target, protect=True, masks=masks, check=False, **options, **way
            )
    anonymize(source, scratch / "warm", check=False, **options)
    turns = [{name: timed(work, scratch) for name, work in tasks.items()} for _ in range(args.times)]
    base, limited = next(iter(tasks)), "anonymize"
    rows = []
    for name in tasks:
        cpu, wall = (min(turn[name][which] for turn in turns) for which in (0, 1))
        ratios = sorted(turn[name][0] / turn[base][0] for turn in turns)
        walls = sorted(turn[name][1] / turn[base][1] for turn in turns)
        ratio = f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        limit = f"{LIMIT_SPEED}" if name == limited and args.case != "enhanced" else "-"
        rows.append([name, f"{cpu:.2f} s", f"{wall:.2f} s", ratio, f"{median(walls):.2f}", limit])
    return rows


MEMORY = """
import ctypes, gc, sys
from pathlib import Path
from umed.release.anonymize import anonymize
source, masks, key, out, small = sys.argv[1:6]

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))

options = {"key_file": key, "protect": True, "method": "checkerboard", "report": False}
anonymize(small + "/in", out + "-warm", masks=small + "/masks", **options)  # imports, thread pools
gc.collect()
ctypes.CDLL(None).malloc_trim(0)
before = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here; getrusage's would not
done = anonymize(source, out, masks=masks, **options)
print(before, status("VmHWM"), done.written)
"""


def measure_memory(scratch: Path, slices: int, side: int) -> list[list[str]]:
    """Peak memory over the idle process while a long series is protected, in a fresh process."""
    if not Path("/proc/self/clear_refs").exists():
        return [["peak memory", "-", "needs Linux", "-", "-", f"{LIMIT_MEMORY} GiB"]]
    key = scratch / "project.key"
    Key.create(key)
    for name, count, size in (("small", 4, 64), ("large", slices, side)):
        make_series(scratch / name / "in", count, size)
        make_mask(scratch / name / "masks", count, size)
    large = scratch / "large"
    words = [str(word) for word in (large / "in", large / "masks", key, scratch / "out", scratch / "small")]
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", MEMORY, *words], stdout=subprocess.PIPE, text=True, check=True)
    wall = time.perf_counter() - began
    before, peak, written = (int(word) for word in done.stdout.split()[-3:])
    assert written == slices
    what = f"protect {slices} x {side} x {side} (checkerboard): peak memory"
    size = f"idle {before / 2**30:.2f} GiB"
    return [[what, f"{(peak - before) / 2**30:.2f} GiB more", size, "-", f"{wall:.0f} s", f"{LIMIT_MEMORY} GiB"]]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "memory"))
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--times", type=int, default=3, help="turns: runs of each")
    parser.add_argument("--case", choices=tuple(CASES), default="ct", help="files that are made")
    parser.add_argument("--input", type=Path, help="a folder of files instead")
    parser.add_argument("--profile", default="basic")
    parser.add_argument("--protect", action="store_true", help="time the checkerboard, too; not for enhanced files")
    parser.add_argument("--umed", action="store_true", help="time the umed method, too")
    parser.add_argument("--scratch", type=Path, help="where the files are made; they are deleted")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="umed-dicom-", dir=args.scratch) as folder:
        if args.what == "speed":
            header = ["what", "process time", "wall", "ratio", "ratio of wall", "limit"]
            rows = measure_speed(Path(folder), args)
        else:
            header = ["what", "measured", "parts", "ratio", "wall", "limit"]
            rows = measure_memory(Path(folder), args.slices, args.side)
    print(json.dumps([dict(zip(header, row, strict=True)) for row in rows]) if args.json else markdown(header, rows))
    print(f"\n{provenance()}", file=sys.stderr if args.json else sys.stdout)


if __name__ == "__main__":
    main()
