# SPDX-License-Identifier: Apache-2.0
"""Every forgery is found: with the private record, and by whoever only names the promise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

import umed
from tests import forged, sealed
from tests.dicom_files import write_series
from tests.release_files import labels, make_key, volume, write_seg
from umed.core.errors import ConfigError, InputError
from umed.core.version import __version__
from umed.data import layouts
from umed.protect.manifest import bound_text
from umed.protect.verification import Verification
from umed.protect.verify import verify
from umed.release.anonymize import anonymize

SETTINGS = {"method": "random", "epsilon": 8 / 255, "radius": 2.0}
PROMISE = {"epsilon": 8 / 255, "radius": 2.0}
NAMES = {
    "nifti": ("imagesTr/case_001.nii.gz", "imagesTr/case_002.nii.gz", "labelsTr/case_001.nii.gz"),
    "png": ("images/photo_0.png", "images/photo_1.png", "masks/photo_0_segmentation.png"),
    "tiff": ("images/photo_0.tif", "images/photo_1.tif", "masks/photo_0_segmentation.png"),
    "dicom": ("ct/slice_2.dcm", "ct/slice_3.dcm", "seg.dcm"),
}
FILES, ALL = ("nifti", "png", "tiff"), tuple(NAMES)
SECRET = b"Erika Muster" * 40
made: dict[str, Path] = {}


class Case:
    """A finished release that may be forged: originals, output and private folder."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.root, self.out, self.private = kind, folder / "in", folder / "out", folder / "out-private"
        self.name, self.other, self.label = NAMES[kind]
        if kind == "dicom":  # names do not follow the place
            images = [
                p for p in sorted((self.out / "ct").iterdir()) if "DERIVED" in str(pydicom.dcmread(p).get("ImageType"))
            ]
            self.name, self.other = (p.relative_to(self.out).as_posix() for p in images[:2])
        self.path, self.folder = self.out / self.name, folder

    def change(self, change: forged.Change) -> None:
        """Other pixels in the image, or in every slice."""
        if self.kind == "dicom":
            for path in sorted((self.out / "ct").iterdir()):
                if "DERIVED" in str(pydicom.dcmread(path).get("ImageType")):
                    forged.dicom_values(self.root / "ct" / path.name, path, change)
        else:
            forged.values(self.root, self.out, self.name, self.label, change)

    def verify(self, mode: str, **promise: object) -> Verification:
        """With the record, with a named promise, or with both."""
        if mode == "record":
            return verify(self.root, self.out)
        if mode == "named":
            shutil.rmtree(self.private)
        return verify(self.root, self.out, promise={**PROMISE, **promise})


@pytest.fixture
def release(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    make_decathlon: Callable[..., Path],
    make_pairs: Callable[..., Path],
) -> Callable[[str], Case]:
    """A copy of a release of some kind, which is made once."""

    def make(kind: str) -> Case:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            if kind == "nifti":
                make_decathlon(folder / "in", empty=True)
            elif kind == "dicom":
                paths = write_series(folder / "in" / "ct", volume(), bits=16)
                write_seg(paths, labels(), folder / "in" / "seg.dcm")
            else:
                make_pairs(folder / "in", ending=".tif" if kind == "tiff" else ".png")
                (folder / "in" / "LICENSE").write_text("CC0")
            umed.protect(folder / "in", folder / "out", **SETTINGS)
            made[kind] = folder
        for name in ("in", "out", "out-private"):
            shutil.copytree(made[kind] / name, tmp_path / name, copy_function=shutil.copy2)
        return Case(kind, tmp_path)

    return make


def delete_case(case: Case) -> None:
    """A case is taken out, and the index of the rest is right."""
    case.path.unlink()
    (case.out / case.label).unlink()
    if case.kind == "nifti":
        content = layouts.index_files(layouts.find_dataset(case.root), {"case_000", "case_002"})
        (case.out / "dataset.json").write_bytes(content[layouts.INDEX])


def original(case: Case) -> bytes:
    return (case.root / case.name).read_bytes()


def foreign(case: Case, name: str) -> None:
    (case.out / name).parent.mkdir(parents=True, exist_ok=True)
    (case.out / name).write_bytes(original(case))


def loose_manifest(case: Case) -> None:
    case.change(forged.blank)
    bound = {"epsilon": 1.0, "text": bound_text({"epsilon": 1.0, "support": "roi"})}
    forged.state(case.out, lambda manifest: manifest.update(bound=bound))


def edit_text(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def outside(new: np.ndarray, old: np.ndarray, labelled: np.ndarray) -> None:
    place = (0,) * new.ndim
    new[place] = old[place] + 1


def above(new: np.ndarray, old: np.ndarray, labelled: np.ndarray) -> None:
    place = tuple(np.argwhere(labelled)[0])
    new[place] = np.where(old[place] > 100, old[place] - 60, old[place] + 60)


def twice(case: Case) -> None:
    one = {"image": f"./{case.name}", "label": f"./{case.label}"}
    edit_text(case.out / "dataset.json", '"training": [', f'"training": [{json.dumps(one)}, ')


Edit = Callable[[pydicom.FileDataset], object]


def dicom(edit: Edit) -> Callable[[Case], object]:
    return lambda case: forged.dicom(case.path, edit)


def setting(keyword: str, value: object) -> Edit:
    return lambda ds: setattr(ds, keyword, value)


def private(ds: pydicom.FileDataset) -> None:
    ds.private_block(0x99, "x", create=True).add_new(1, "OB", SECRET)


def named_in_meta(ds: pydicom.FileDataset) -> None:
    ds.file_meta.SourceApplicationEntityTitle = "ERIKA"


def longer(ds: pydicom.FileDataset) -> None:
    ds.PixelData = ds.PixelData + SECRET


def behind_the_strip(case: Case) -> None:
    case.path.write_bytes(forged.tiff_strip(case.path.read_bytes(), b"Erika"))


def rows(*items: tuple[str, tuple[str, ...], Callable[[Case], object]]) -> list[object]:
    return [pytest.param(kind, forge, id=f"{name}-{kind}") for name, kinds, forge in items for kind in kinds]


IMAGES = rows(
    ("lesion blanked", ALL, lambda c: c.change(forged.blank)),
    ("lesion blanked and a loose bound told", ALL, loose_manifest),
    ("all but one voxel restored", ALL, lambda c: c.change(forged.restore)),
    ("restored", ALL, lambda c: c.change(forged.restore_all)),
    ("labelled part restored", ALL, lambda c: c.change(forged.restore_class)),
    ("moved outside the support", ALL, lambda c: c.change(outside)),
    ("moved above the bound", ALL, lambda c: c.change(above)),
    ("original bytes", ALL, lambda c: foreign(c, c.name)),
    ("case deleted", ALL, delete_case),
    ("image deleted", ALL, lambda c: c.path.unlink()),
    ("images swapped", ALL, lambda c: forged.swap(c.path, c.out / c.other)),
    ("label edited", ALL, lambda c: forged.append(c.out / c.label, b"\0\0")),
    ("label moved", ALL, lambda c: shutil.move(c.out / c.label, c.out / "label.bin")),
    ("label of another case", ("nifti",), lambda c: shutil.copy(c.out / "labelsTr/case_000.nii.gz", c.out / c.label)),
    ("foreign file in umed", ALL, lambda c: foreign(c, "umed/backup.bin")),
    ("foreign file", ALL, lambda c: foreign(c, f"{Path(c.name).parent}/backup{Path(c.name).suffix}")),
    ("hidden file", ALL, lambda c: foreign(c, ".backup")),
    ("folder with a name", ALL, lambda c: (c.out / "umed" / "Erika Muster").mkdir()),
    ("bytes behind the end", ALL, lambda c: forged.append(c.path, SECRET)),
    ("zeros behind the end", ALL, lambda c: forged.append(c.path, bytes(64))),
    ("link to a file", ALL, lambda c: forged.link(c.path, c.folder / "away")),
    ("link to a folder", ALL, lambda c: forged.link(c.path.parent, c.folder / "away")),
    ("link beside", ALL, lambda c: (c.out / "umed" / "more").symlink_to(c.root)),
    ("page edited", ALL, lambda c: edit_text(c.out / "umed/about.html", "These images", "None of these images")),
    ("picture in the page", ALL, lambda c: edit_text(c.out / "umed/about.html", "</body>", f"{SECRET!r}</body>")),
    ("page deleted", ALL, lambda c: (c.out / "umed/about.html").unlink()),
    ("gzip name", ("nifti",), lambda c: forged.gzip_name(c.path)),
    ("gzip name of what is unchanged", ("nifti",), lambda c: forged.gzip_name(c.out / "imagesTr/case_000.nii.gz")),
    ("gzip time", ("nifti",), lambda c: forged.gzip_time(c.path)),
    ("gzip member", ("nifti",), lambda c: forged.gzip_member(c.path, SECRET)),
    ("empty gzip member", ("nifti",), lambda c: forged.gzip_member(c.path, b"")),
    ("loose packing", ("nifti",), lambda c: forged.gzip_loose(c.path)),
    ("unlabelled image", ("nifti",), lambda c: shutil.copytree(c.root / "imagesTs", c.out / "imagesTs")),
    ("index with a case twice", ("nifti",), twice),
    ("licence edited", ("png", "tiff"), lambda c: (c.out / "LICENSE").write_text("none")),
    ("text chunk", ("png",), lambda c: forged.png_chunk(c.path, b"tEXt", b"Author\0Erika Muster")),
    ("EXIF chunk", ("png",), lambda c: forged.png_chunk(c.path, b"eXIf", b"II*\0\x08\0\0\0" + SECRET)),
    ("bytes behind the packed pixels", ("png",), lambda c: forged.png_idat(c.path, SECRET)),
    ("second page", ("tiff",), lambda c: forged.tiff_page(c.path, np.zeros((9, 9, 3), np.uint8))),
    ("bytes behind the packed pixels", ("tiff",), behind_the_strip),
    ("description", ("tiff",), lambda c: forged.tiff_text(c.path, "Erika Muster")),
    ("private element", ("dicom",), dicom(private)),
    ("comment", ("dicom",), dicom(setting("ImageComments", "Erika"))),
    ("preamble", ("dicom",), lambda c: c.path.write_bytes(b"Erika" + c.path.read_bytes()[5:])),
    ("file meta", ("dicom",), dicom(named_in_meta)),
    ("mark removed", ("dicom",), dicom(lambda ds: ds.pop("DerivationCodeSequence"))),
    ("no longer derived", ("dicom",), dicom(setting("ImageType", ["ORIGINAL", "PRIMARY"]))),
    ("other rescale", ("dicom",), dicom(setting("RescaleIntercept", "-1000"))),
    ("bytes behind the pixels", ("dicom",), dicom(longer)),
)  # fmt: skip


@pytest.mark.parametrize("mode", ["record", "named", "both"])
@pytest.mark.parametrize("kind", ALL)
def test_an_honest_release_holds(release: Callable[[str], Case], kind: str, mode: str) -> None:
    case = release(kind)
    found = case.verify(mode)
    assert found.ok, found.summary()
    text = found.summary()
    assert "no value moves by more than 0.03137 (8/255)" in text and "2 px on both sides of its contours" in text
    assert ("promised by the private record" in text) == (mode == "record")
    assert ("seal was not checked" in text) == (mode == "named") and "looser" not in text


@pytest.mark.parametrize("mode", ["record", "named", "both"])
@pytest.mark.parametrize(("kind", "forge"), IMAGES)
def test_a_forged_output_is_found(
    release: Callable[[str], Case], kind: str, forge: Callable[[Case], object], mode: str
) -> None:
    case = release(kind)
    forge(case)
    forged.state(case.out)
    found = case.verify(mode)
    kept = [p for p in found.problems if "umed/manifest.json" not in p]  # the seal alone must not be what finds it
    assert kept or any(one.failures for one in found.cases), found.summary()
    assert found.exit_code == 1


@pytest.mark.parametrize("mode", ["record", "named", "both"])
@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(notice=SECRET.decode()),
        lambda m: m.update(more=SECRET.decode()),
        lambda m: m.update(layout="pairs"),
        lambda m: m.update(umed_version="Erika Muster"),
        lambda m: m.update(labels="1 of 2 are proposals"),
        lambda m: m.update(bound={"epsilon": 1.0, "text": m["bound"]["text"]}),
        lambda m: m.update(bound={**m["bound"], "text": "Erika"}),
        lambda m: m.update(bound={}),
        lambda m: m.update(bound=[1]),
        lambda m: m.update(bound={"epsilon": "4/255", "text": ""}),
        lambda m: m.update(bound={"epsilon": float("nan"), "text": ""}),
        lambda m: m.pop("umed_version"),
        lambda m: m.pop("hmac"),
        lambda m: m.update(key=None),
        lambda m: m["files"]["imagesTr/case_001.nii.gz"].update(what="other"),
        lambda m: m["files"]["imagesTr/case_001.nii.gz"].update(more="Erika"),
        lambda m: m["files"]["imagesTr/case_001.nii.gz"].update(sha256="0" * 64),
        lambda m: m["files"].pop("imagesTr/case_001.nii.gz"),
        lambda m: m["files"].update({"imagesTr/Erika.nii.gz": {"sha256": "0" * 64, "what": "other"}}),
    ],
)
def test_a_forged_manifest_is_found(
    release: Callable[[str], Case], change: Callable[[dict[str, object]], None], mode: str
) -> None:
    case = release("nifti")
    forged.state(case.out, change)
    assert not case.verify(mode).ok


def test_a_page_that_cannot_be_compared_is_no_proof(release: Callable[[str], Case]) -> None:
    case = release("nifti")
    page = case.out / "umed/about.html"
    page.write_text(page.read_text().replace(__version__, "9.9.9") + "<!-- hidden -->")
    forged.state(case.out, lambda m: m.update(umed_version="9.9.9"))
    found = case.verify("named")
    assert not found.ok and "about.html: cannot be compared" in found.summary()


@pytest.mark.parametrize("mode", ["record", "named", "both"])
def test_a_manifest_with_other_bytes_or_of_another_release_is_found(
    release: Callable[[str], Case], tmp_path: Path, make_decathlon: Callable[..., Path], mode: str
) -> None:
    case = release("nifti")
    path = case.out / "umed/manifest.json"
    whole = path.read_text()
    path.write_text(whole.replace("{", '{"files": "' + SECRET.decode() + '", ', 1))  # the second counts
    kept = tmp_path / "kept"
    shutil.copytree(case.private, kept)
    assert "canonical" in case.verify(mode).summary()
    if not case.private.is_dir():
        shutil.copytree(kept, case.private)
    other = make_decathlon(tmp_path / "other" / "in", empty=True)
    key = kept / "release.key"
    umed.protect(other, tmp_path / "other" / "out", key_file=key, **{**SETTINGS, "seed": 7})
    shutil.copy(tmp_path / "other/out/umed/manifest.json", path)
    assert not case.verify(mode).ok


@pytest.mark.parametrize("mode", ["record", "both"])
@pytest.mark.parametrize(
    "forge",
    [
        lambda p: edit_text(p / "plan.json", '"radius": 2.0', '"radius": 9.0'),
        lambda p: (p / "plan.json").unlink(),
        lambda p: edit_text(p / "report.html", "</body>", "</body> "),
        lambda p: (p / "report.html").unlink(),
        lambda p: (p / "report.html").rename(p / "away") and (p / "report.html").symlink_to(p / "away"),
        lambda p: (p / "generators").mkdir(exist_ok=True) or (p / "generators" / "umed.pt").write_bytes(b"x"),
    ],
)
def test_a_forged_private_file_is_found(
    release: Callable[[str], Case], forge: Callable[[Path], object], mode: str
) -> None:
    case = release("nifti")
    forge(case.private)
    found = case.verify(mode)
    assert not found.ok and "out-private/" in " ".join(found.problems)


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["plan"].update(epsilon=1.0, range=[-1e6, 1e6]),
        lambda r: r["plan"].update(radius=99.0),
        lambda r: r["plan"].update(support="full"),
        lambda r: r["cases"][1].update(status="failed", reason="disk"),
        lambda r: r["files"].pop("imagesTr/case_001.nii.gz"),
    ],
)
def test_a_record_that_was_edited_without_the_key_is_not_believed(
    release: Callable[[str], Case], change: Callable[[dict[str, object]], None]
) -> None:
    case = release("nifti")
    content = sealed.record(case.out)
    change(content)
    (case.private / "release.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="edited since: its seal is broken"):
        case.verify("record")
    found = case.verify("both")
    assert not found.ok and "seal is broken" in found.summary()


def test_a_record_that_was_edited_with_the_key_cannot_loosen_a_named_promise(release: Callable[[str], Case]) -> None:
    case = release("nifti")
    case.change(forged.blank)
    forged.state(case.out)
    digest = forged.files.sha256(case.path)

    def loosen(record: dict[str, object]) -> None:
        record["plan"].update(epsilon=1.0, range=[-1e6, 1e6])  # type: ignore[attr-defined]
        record["files"][case.name]["sha256"] = digest  # type: ignore[index]

    sealed.edit(case.out, loosen)
    assert "no value moves by more than 1 (255/255)" in case.verify("record").summary()  # it is said what was checked
    found = case.verify("both")
    assert "expected changes of at most" in found.summary()


@pytest.mark.parametrize("mode", ["record", "both"])
def test_a_record_of_another_release_is_found(release: Callable[[str], Case], tmp_path: Path, mode: str) -> None:
    case = release("nifti")
    key = case.private / "release.key"
    umed.protect(case.root, tmp_path / "other", key_file=key, **{**SETTINGS, "seed": 7})
    shutil.copy(tmp_path / "other-private/release.json", case.private)
    assert "expected the checksum in the private record" in case.verify(mode).summary()
    umed.protect(case.root, tmp_path / "third", **SETTINGS)
    shutil.copy(tmp_path / "third-private/release.json", case.private)
    if mode == "record":
        with pytest.raises(ConfigError, match="Give the key of this release"):
            case.verify(mode)
    else:  # the named promise is checked all the same
        found = case.verify(mode)
        assert not found.ok and "Give the key of this release" in found.summary()


def test_a_case_listed_twice_in_the_record_is_found(release: Callable[[str], Case]) -> None:
    case = release("nifti")
    sealed.edit(case.out, lambda record: record["cases"].append(record["cases"][0]))
    assert "is in the record 2 times" in case.verify("record").summary()


@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize(
    "forge",
    [
        None,
        setting("ImageComments", "Erika"),
        setting("PatientName", "Muster^Erika"),
        private,
        lambda ds: ds.pop("DeidentificationMethod"),
        lambda ds: ds.pop("ContributingEquipmentSequence"),
    ],
)
def test_an_anonymized_output(tmp_path: Path, forge: Callable[[pydicom.FileDataset], object], record: bool) -> None:
    paths = write_series(tmp_path / "in" / "ct", volume(), bits=16)
    write_seg(paths, labels(), tmp_path / "in" / "seg.dcm")
    key = make_key(tmp_path)
    anonymize(tmp_path / "in", tmp_path / "out", key_file=key, protect=True, report=False, **SETTINGS)
    if forge is not None:
        path = max(
            tmp_path.glob("out/*/*/*/*.dcm"), key=lambda p: "DERIVED" in str(pydicom.dcmread(p).get("ImageType"))
        )
        forged.dicom(path, forge)
        forged.state(tmp_path / "out")
    if not record:
        shutil.rmtree(tmp_path / "out-private")
    found = verify(tmp_path / "in", tmp_path / "out", key_file=key, promise=None if record else PROMISE)
    assert found.ok == (forge is None), found.summary()
    assert forge is None or any(one.failures for one in found.cases)
    if not record:
        with pytest.raises(ConfigError, match="seems to be anonymized"):
            verify(tmp_path / "in", tmp_path / "out", promise=PROMISE)
