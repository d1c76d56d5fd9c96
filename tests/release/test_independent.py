# SPDX-License-Identifier: Apache-2.0
"""Other people's software reads what was written: dcmtk and dciodvfy file by file, an Orthanc server a whole study."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.misc import is_dicom

from tests.dicom_files import dataset, save, write_series
from tests.release_files import hospital, make_key, released, volume
from umed.deid.keys import DeidKey
from umed.release.anonymize import anonymize

OPTIONS = {"protect": True, "method": "checkerboard", "report": False}
SERIES = ("ct_liver_3slice", "ct_24x38x3", "rtutils_mock_data", "dicom2nifti_generic__compressed_j2k__001")
DECODERS = {  # of dcmtk; it reads no JPEG 2000
    "1.2.840.10008.1.2.1": "dcmconv",
    "1.2.840.10008.1.2.1.99": "dcmconv",
    "1.2.840.10008.1.2.5": "dcmdrle",
    "1.2.840.10008.1.2.4.80": "dcmdjpls",
}


def tool(name):
    """A program of Debian's dcmtk or orthanc."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed (apt-get install dcmtk dicom3tools orthanc)")
    return path


def warnings_of(path):
    """What dcmdump complains about, without names and numbers that differ between a file and its copy."""
    told = subprocess.run([tool("dcmdump"), path], capture_output=True, text=True, errors="replace")
    assert told.returncode == 0, f"{path}: {told.stderr}"
    lines = [line for line in told.stderr.splitlines() if line[:2] in ("W:", "E:", "F:")]
    return Counter(re.sub(r"\d+|/\S+", "#", line) for line in lines)


def compare(source, output, key):
    """Nothing that dcmdump says of an output was not said of its source; gives the number of files."""
    secret = DeidKey.load(key)
    paths = [path for path in sorted(source.rglob("*")) if path.is_file() and is_dicom(path)]
    before = {secret.uid(str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)): path for path in paths}
    written = sorted(output.rglob("*.dcm"))
    for path in written:
        more = warnings_of(path) - warnings_of(before[path.stem])
        assert not more, f"{before[path.stem].name}: {dict(more)}"
    return len(written)


def test_dcmdump_reads_every_file_without_new_complaints(tmp_path):
    tool("dcmdump")
    source, output, key = hospital(tmp_path / "in"), tmp_path / "out", make_key(tmp_path)
    anonymize(source, output, key_file=key, **OPTIONS)
    (source / "cut.dcm").unlink()
    assert compare(source, output, key) == 7


@pytest.mark.parametrize("name", SERIES)
def test_dcmdump_reads_real_series_without_new_complaints(shared_data, tmp_path, name):
    tool("dcmdump")
    source, output, key = shared_data / "dicom_series" / name, tmp_path / "out", make_key(tmp_path)
    if not source.is_dir():
        pytest.skip(f"no dicom_series/{name} beside the repository")
    options = {"report": False} if name.startswith("dicom2nifti") else OPTIONS
    anonymize(source, output, key_file=key, **options)
    assert compare(source, output, key) >= 3


def errors_of(path):
    """What dciodvfy calls an error, without values and item numbers."""
    told = subprocess.run([tool("dciodvfy"), "-new", path], capture_output=True, text=True, errors="replace")
    lines = [line for line in told.stderr.splitlines() if line.startswith("Error")]
    return Counter(re.sub(r"\[\d+\]|= ?<[^>]*>", "", line) for line in lines)


@pytest.mark.parametrize("profile", ["basic", "clean_descriptors", "research"])
def test_dciodvfy_finds_no_new_error(tmp_path, profile):
    """All files of the zoos: benchmarks/dicom_validators.py."""
    tool("dciodvfy")
    source, output, key = hospital(tmp_path / "in"), tmp_path / "out", make_key(tmp_path)
    structures = dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3", Modality="RTSTRUCT", series="rt", instance=9)
    structures.StructureSetLabel, structures.ResponsiblePerson = "Erika", "Haus^Gregor"
    structures.PatientSpeciesDescription = "Canis lupus"
    request = Dataset()
    request.RequestedProcedureID, request.ScheduledProcedureStepID = "RP-1", "SP-1"
    structures.RequestAttributesSequence = [request]
    save(structures, source / "rt.dcm")
    anonymize(source, output, key_file=key, profile=profile, **({} if profile == "research" else OPTIONS))
    secret = DeidKey.load(key)
    originals = [path for path in source.rglob("*") if path.is_file() and is_dicom(path) and path.name != "cut.dcm"]
    before = {secret.uid(str(pydicom.dcmread(path).SOPInstanceUID)): path for path in originals}
    written = sorted(output.rglob("*.dcm"))
    for path in written:
        assert not (more := errors_of(path) - errors_of(before[path.stem])), f"{before[path.stem].name}: {dict(more)}"
    assert len(written) == 8


@pytest.mark.parametrize("syntax", ["explicit-le", "deflated", "rle", "jpegls"])
def test_dcmtk_decodes_the_same_pixels(tmp_path, syntax):
    tool("dcmdump")
    source, output, key = hospital(tmp_path / "in"), tmp_path / "out", make_key(tmp_path)
    write_series(source / "rgb", np.random.default_rng(0).integers(0, 255, (2, 20, 22, 3), np.uint8), "MR", series=5)
    anonymize(source, output, key_file=key, transfer_syntax=syntax, accept_burned_in=True, report=False)
    seen = 0
    for path in sorted(output.rglob("*.dcm")):
        ours = pydicom.dcmread(path)
        if "PixelData" not in ours:
            continue
        program = DECODERS[ours.file_meta.TransferSyntaxUID]
        plain = tmp_path / "plain.dcm"
        done = subprocess.run([tool(program), "+te", path, plain], capture_output=True, text=True)
        assert done.returncode == 0 and "E:" not in done.stderr, done.stderr
        theirs = pydicom.dcmread(plain)
        assert theirs.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert np.array_equal(theirs.pixel_array, ours.pixel_array)
        plain.unlink()
        seen += 1
    assert seen == 9  # six of CT, one SEG, two in colour


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A local Orthanc on loopback with an empty store."""

    def __init__(self, folder):
        self.web, self.dicom = free_port(), free_port()
        settings = {
            "Name": "umed-test",
            "StorageDirectory": str(folder / "store"),
            "IndexDirectory": str(folder / "store"),
            "HttpPort": self.web,
            "DicomPort": self.dicom,
            "DicomAet": "UMEDTEST",
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowStore": True,
            "DicomCheckCalledAet": False,
            "Plugins": [],
        }
        path = folder / "orthanc.json"
        path.write_text(json.dumps(settings))
        self.log = (folder / "orthanc.log").open("w")
        self.process = subprocess.Popen(
            [tool("Orthanc"), str(path)], stdout=self.log, stderr=self.log, start_new_session=True
        )

    def wait(self):
        for _ in range(300):
            if self.process.poll() is not None:
                pytest.fail(f"Orthanc ended with {self.process.returncode}; see {self.log.name}")
            try:
                return self.ask("/system")
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        pytest.fail(f"Orthanc did not answer within 30 s; see {self.log.name}")

    def ask(self, place, data=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.web}{place}", data=data)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback never goes through a proxy
        with opener.open(request, timeout=20) as answer:
            return json.loads(answer.read())

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.log.close()


@pytest.fixture
def server(tmp_path):
    tool("Orthanc")
    (tmp_path / "orthanc").mkdir()
    one = Server(tmp_path / "orthanc")
    try:
        one.wait()
        yield one
    finally:
        one.stop()


@pytest.fixture
def output(tmp_path):
    source = hospital(tmp_path / "in")
    write_series(source / "mr", volume(1, dtype=np.uint16), "MR", study=2, series=2)
    anonymize(source, tmp_path / "out", key_file=make_key(tmp_path), report=False)
    return tmp_path / "out"


def counts(datasets):
    return Counter((str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), str(ds.Modality)) for ds in datasets)


def stored(server):
    """Files of each series as the server shows them."""
    shown = {}
    for study in server.ask("/studies?expand"):
        for name in study["Series"]:
            series = server.ask(f"/series/{name}")
            tags = series["MainDicomTags"]
            uid = study["MainDicomTags"]["StudyInstanceUID"]
            shown[uid, tags["SeriesInstanceUID"], tags["Modality"]] = len(series["Instances"])
    return shown


def test_a_server_takes_an_upload_and_shows_its_series(server, output):
    written = released(output)
    for path in sorted(output.rglob("*.dcm")):
        assert server.ask("/instances", path.read_bytes())["Status"] == "Success"
    assert stored(server) == counts(written.values())
    patients = {one["MainDicomTags"]["PatientID"] for one in server.ask("/patients?expand")}
    assert patients == {str(ds.PatientID) for ds in written.values()}
    for name in server.ask("/instances"):
        tags = server.ask(f"/instances/{name}/simplified-tags")
        assert tags["PatientIdentityRemoved"] == "YES"
        assert tags["SOPInstanceUID"] in written


def test_a_server_takes_a_study_over_the_network(server, output):
    paths = [str(path) for path in sorted(output.rglob("*.dcm"))]
    command = [tool("storescu"), "-R", "-aec", "UMEDTEST", "127.0.0.1", str(server.dicom), *paths]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert stored(server) == counts(released(output).values())
