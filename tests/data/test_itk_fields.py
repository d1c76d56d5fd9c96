# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pytest
import SimpleITK

from tests.itk_files import ENDINGS, metaimage, nrrd, save
from umed.data import formats, planes
from umed.data.known_text import text_kind
from umed.data.pieces import pieces
from umed.data.side_data import side_data

CUBE = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("compress", [False, True])
def test_what_simpleitk_writes_by_itself_is_no_text(tmp_path, ending, compress):
    path = tmp_path / f"a{ending}"
    save(np.arange(210, dtype=np.float32).reshape(5, 6, 7), path, compress=compress)
    found = side_data(path.read_bytes())
    assert found.kind == ("NRRD" if ending[1] == "n" else "MetaImage")
    assert (found.texts, found.parts, found.problems) == ((), (), ())


@pytest.mark.parametrize("ending", ENDINGS)
def test_dicom_elements_and_keys_are_texts(tmp_path, ending):
    texts = [("0010|0010", "Doe^Jane"), ("0010|0020", "12345678"), ("ITK_FileNotes", "seen by Dr. Roe")]
    path = tmp_path / f"a{ending}"
    save(CUBE, path, compress=False, texts=texts)
    kind = "nrrd" if ending[1] == "n" else "metaimage"
    found = side_data(path.read_bytes()).texts
    assert set(found) == {(f"{kind}.{key}", value) for key, value in texts}
    assert all(text_kind(field, value) == "free" for field, value in found)


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_simpleitk_keeps_of_a_nifti_header(tmp_path, ending):
    """Fifty fields of numbers say nothing of anybody; the four that people write into do."""
    image = nibabel.Nifti1Image(CUBE, np.diag([1, 2, 3, 1]))
    image.header["descrip"], image.header["aux_file"] = b"scan of Jane", b"jane"
    nibabel.save(image, tmp_path / "a.nii.gz")
    read = SimpleITK.ReadImage(str(tmp_path / "a.nii.gz"))
    assert len(read.GetMetaDataKeys()) > 45
    SimpleITK.WriteImage(read, str(tmp_path / f"a{ending}"))
    kind = "nrrd" if ending[1] == "n" else "metaimage"
    found = dict(side_data((tmp_path / f"a{ending}").read_bytes()).texts)
    assert found == {
        f"{kind}.ITK_FileNotes": "scan of Jane",
        f"{kind}.aux_file": "jane",
        f"{kind}.descrip": "scan of Jane",
    }


def test_free_text_in_fields_of_metaimage(tmp_path):
    lines = ["Comment = Jane Roe, MRN 7", "Name = liver of Jane", "PatientName = Roe^Jane", "ID = 123456789"]
    lines += ["AnatomicalOrientation = Jane", "Modality = MET_MOD_CT"]
    changes = {"ElementType": "MET_SHORT", "ObjectType": "Image"}
    found = dict(side_data(metaimage(tmp_path / "a.mha", CUBE, lines=lines, changes=changes).read_bytes()).texts)
    assert found == {
        "metaimage.Comment": "Jane Roe, MRN 7",
        "metaimage.Name": "liver of Jane",
        "metaimage.PatientName": "Roe^Jane",
        "metaimage.ID": "123456789",
        "metaimage.AnatomicalOrientation": "Jane",
    }


def test_free_text_in_fields_of_nrrd(tmp_path):
    lines = ["# Jane Roe", "content: head of Jane", 'labels: "x" "Jane" "z"', "Segment0_Name:=tumour of Jane"]
    lines += ["Segment0_LabelValue:=1", "Segment0_ID:=Segment_1", 'space units: "mm" "mm" "mm"', "date:=2020-01-02"]
    lines += ["# Complete NRRD file format specification at:", "# http://teem.sourceforge.net/nrrd/format.html"]
    path = nrrd(tmp_path / "a.nrrd", CUBE, lines=lines, packing="gzip")
    found = list(side_data(path.read_bytes()).texts)
    assert found == [
        ("nrrd.comment", "a comment"),
        ("nrrd.comment", "Jane Roe"),
        ("nrrd.content", "head of Jane"),
        ("nrrd.labels", '"x" "Jane" "z"'),
        ("nrrd.Segment0_Name", "tumour of Jane"),
        ("nrrd.date", "2020-01-02"),
    ]
    assert formats.read(path).stored.shape == (3, 4, 5)


def test_names_in_gzip_and_bytes_behind_the_voxels(tmp_path):
    path = nrrd(tmp_path / "a.nrrd", CUBE, packing="gzip")
    head = path.read_bytes().partition(b"\n\n")[0] + b"\n\n"
    with open(tmp_path / "Jane.raw.gz", "wb") as file, gzip.GzipFile("Jane.raw", "wb", fileobj=file) as packed:
        packed.write(CUBE.tobytes(order="F"))
    data = (tmp_path / "Jane.raw.gz").read_bytes() + b"Jane Roe was here"
    found = side_data(head + data)
    assert ("gzip.name", "Jane.raw") in found.texts
    assert [(part.what, part.data) for part in found.parts] == [("bytes after the voxels", b"Jane Roe was here")]
    hidden = [piece for piece in pieces(head + data) if piece.kind == "hidden"]
    assert [piece.data for piece in hidden] == [b"Jane Roe was here"]
    assert side_data(head + data[:30]).problems


def test_text_behind_a_header_whose_voxels_lie_beside_it(tmp_path):
    for make, name in ((metaimage, "a.mhd"), (nrrd, "a.nhdr")):
        path = make(tmp_path / name, CUBE, data_file="a.raw")
        path.write_bytes(path.read_bytes() + b"\nJane Roe was here\n")
        assert formats.read(path).stored.shape == (3, 4, 5)  # nobody reads on there
        assert b"Jane Roe" in side_data(path.read_bytes()).parts[0].data
        assert not planes.is_picture(path.read_bytes())


@pytest.mark.parametrize(("make", "name"), [(metaimage, "a.mha"), (nrrd, "a.nrrd")])
def test_slices_are_found_whatever_the_name(tmp_path, make, name):
    data = make(tmp_path / name, CUBE, packing="gzip").read_bytes()
    assert planes.is_picture(data)
    assert planes.all_signatures(data) == {one for stack in planes.stacks(CUBE) for one in planes.signatures(stack)} - {
        b""
    }


def test_text_that_only_looks_like_a_header():
    for data in (
        b"name: value\nother: value\n",
        b"a,b\n1,2\n",
        b"{}",
        b"NRRD is a format\n",
        b"",
        b"ElementDataFile = x\n",
    ):
        assert side_data(data).kind == ""
