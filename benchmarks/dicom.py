# SPDX-License-Identifier: Apache-2.0
"""What the DICOM step costs beside reading and writing alone, on files that this script makes.

    python benchmarks/dicom.py speed --slices 200
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

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from tables import markdown, provenance

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


def copy_with_pydicom(source: Path, target: Path) -> None:
    """Read every file whole and write it again."""
    target.mkdir()
    for path in sorted(source.iterdir()):
        pydicom.dcmread(path).save_as(target / path.name)


def timed(work: Callable[[Path], object], scratch: Path, times: int) -> tuple[float, float]:
    """Shortest process time and wall time of several runs, in seconds."""
    found = []
    for number in range(times):
        target = scratch / f"target{number}"
        cpu, wall = time.process_time(), time.perf_counter()
        work(target)
        found.append((time.process_time() - cpu, time.perf_counter() - wall))
        shutil.rmtree(target)
        shutil.rmtree(f"{target}-private", ignore_errors=True)
    return min(cpu for cpu, _ in found), min(wall for _, wall in found)


def train_a_little(scratch: Path, key: Path) -> Path:
    """Generators of the default recipe after two iterations: as fast or slow as any."""
    source, masks = make_series(scratch / "few", 16, 128), make_mask(scratch / "few-masks", 16, 128)
    out = scratch / "few-out"
    anonymize(source, out, key_file=key, protect=True, masks=masks, report=False, training={"iterations": 2})
    return out / "umed" / "generators"


def measure_speed(scratch: Path, slices: int, side: int, times: int, umed: bool) -> list[list[str]]:
    """Anonymize alone and with protection, beside pydicom reading and writing the same files."""
    source, masks = make_series(scratch / "in", slices, side), make_mask(scratch / "masks", slices, side)
    key = scratch / "project.key"
    Key.create(key)
    generators = train_a_little(scratch, key) if umed else None
    tasks: dict[str, Callable[[Path], object]] = {
        "pydicom read + write": lambda target: copy_with_pydicom(source, target),
        "anonymize": lambda target: anonymize(source, target, key_file=key, report=False),
    }
    for name, options in {
        "checkerboard": {"method": "checkerboard"},
        **({"umed, trained generators": {"generators": generators}} if generators is not None else {}),
    }.items():
        tasks[f"anonymize + protect ({name})"] = lambda target, options=options: anonymize(  # type: ignore[misc]
            source, target, key_file=key, protect=True, masks=masks, report=False, **options
        )
    anonymize(source, scratch / "warm", key_file=key, report=False)
    rows, base = [], (1.0, 1.0)
    for name, work in tasks.items():
        heavy = "umed" in name
        cpu, wall = timed(work, scratch, 1 if heavy else times)
        if not rows:
            base = cpu, wall
        limit = f"{LIMIT_SPEED}" if name == "anonymize" else "-"
        what = f"{name}, {slices} x {side} x {side}"
        rows.append([what, f"{cpu:.2f} s", f"{wall:.2f} s", f"{cpu / base[0]:.2f}", f"{wall / base[1]:.2f}", limit])
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
    parser.add_argument("--times", type=int, default=3, help="runs of each, the shortest counts")
    parser.add_argument("--umed", action="store_true", help="time the umed method, too")
    parser.add_argument("--scratch", type=Path, help="where the files are made; they are deleted")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="umed-dicom-", dir=args.scratch) as folder:
        if args.what == "speed":
            header = ["what", "process time", "wall", "ratio", "ratio of wall", "limit"]
            rows = measure_speed(Path(folder), args.slices, args.side, args.times, args.umed)
        else:
            header = ["what", "measured", "parts", "ratio", "wall", "limit"]
            rows = measure_memory(Path(folder), args.slices, args.side)
    print(json.dumps([dict(zip(header, row, strict=True)) for row in rows]) if args.json else markdown(header, rows))
    print(f"\n{provenance()}", file=sys.stderr if args.json else sys.stdout)


if __name__ == "__main__":
    main()
