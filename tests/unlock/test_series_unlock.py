# SPDX-License-Identifier: Apache-2.0
"""DICOM: the pixels of the originals under the header of the release, and nothing that was taken out of it."""

from __future__ import annotations

import copy

import numpy as np
import pydicom
import pytest
from PIL import Image

import umed
from tests.dicom_files import enhanced, image, save, write_series
from tests.release_files import hospital, labels, make_key, released, volume, write_seg
from tests.unlock.unlock_runs import payload_path, person, unlock
from umed.cli.main import main
from umed.release.anonymize import anonymize
from umed.unlock import age_keys

OPTIONS = {"protect": True, "method": "checkerboard"}


@pytest.fixture
def anne(tmp_path):
    return person(tmp_path, "anne")


@pytest.fixture
def key(tmp_path):
    return make_key(tmp_path)


def around(path):
    """A file without its pixels, as pydicom reads it."""
    dataset = pydicom.dcmread(path)
    dataset = copy.deepcopy(dataset)
    del dataset.PixelData
    return dataset, dataset.file_meta


def unlocked(out, originals, anne):
    """Headers are those of the release; gives the pixels, by SOPInstanceUID, of released and unlocked files."""
    assert unlock(out, originals, anne.key) == 0
    names = {path.relative_to(out) for path in out.rglob("*.dcm")}
    assert names == {path.relative_to(originals) for path in originals.rglob("*") if path.is_file()}
    for name in names:
        if "PixelData" in pydicom.dcmread(out / name):
            assert around(out / name) == around(originals / name)
    return [
        {uid: ds.pixel_array for uid, ds in released(root).items() if ds.Modality != "SEG"} for root in (out, originals)
    ]


@pytest.mark.parametrize("syntax", ["explicit-le", "jpeg2000-lossless", "jpegls", "rle", "deflated"])
def test_an_anonymized_series_has_its_pixels_again_and_stays_nobodys(syntax, tmp_path, anne, key):
    source, out = hospital(tmp_path / "in"), tmp_path / "out"
    done = anonymize(source, out, key_file=key, transfer_syntax=syntax, recipients=anne.list, **OPTIONS)
    assert "files for 1 recipient" in done.unlock and done.check.ok
    assert umed.verify(source, out, key_file=key).ok
    new, old = unlocked(out, tmp_path / "again", anne)
    originals = {p.pixel_array.tobytes() for p in map(pydicom.dcmread, sorted((source / "ct of Erika").iterdir()))}
    assert {pixels.tobytes() for pixels in old.values()} == originals
    assert sum(not np.array_equal(new[uid], old[uid]) for uid in new) == 4  # slices with a label, of six
    assert len(list((out / "umed" / "unlock").iterdir())) == 4 + 2
    said = b"".join(path.read_bytes() for path in (tmp_path / "again").rglob("*") if path.is_file())
    assert not any(word in said for word in (b"Erika", b"4711-X", b"19640812", b"ACC-77"))


def test_no_plaintext_of_an_unlock_file_names_the_source(tmp_path, anne, key):
    source, out = hospital(tmp_path / "in"), tmp_path / "out"
    anonymize(source, out, key_file=key, recipients=anne.list, **OPTIONS)
    [secret] = age_keys.read_identities(tmp_path / "out-private" / "unlock.key")
    for path in (out / "umed" / "unlock").iterdir():
        if path.name != "key.age":
            plain = age_keys.decrypt(path.read_bytes(), [secret], path.name)
            assert not any(word in plain for word in (b"Erika", b"ct of", b"4711", b"1.2.826.0.1.3680043.8.498"))


def test_derived_images_of_the_same_patient_are_unlocked(tmp_path, anne):
    source, out = hospital(tmp_path / "in"), tmp_path / "out"
    words = ["protect", str(source), str(out), "--method", "checkerboard", "--quiet", "--recipients", str(anne.list)]
    assert main(words) == 3  # a report and a file that is cut short are put aside
    assert unlock(out, tmp_path / "again", anne.key) == 0
    for path in (source / "ct of Erika").iterdir():
        new = pydicom.dcmread(tmp_path / "again" / "ct of Erika" / path.name)
        assert np.array_equal(new.pixel_array, pydicom.dcmread(path).pixel_array)
        assert new.SOPInstanceUID == pydicom.dcmread(out / "ct of Erika" / path.name).SOPInstanceUID


def test_what_was_blanked_out_stays_blanked_out(tmp_path, anne, key):
    source, masks, profile = tmp_path / "in", tmp_path / "masks", tmp_path / "site.yaml"
    pixels = np.random.default_rng(6).integers(60, 200, (40, 48, 3)).astype(np.uint8)
    save(image(pixels, "US", position=None), source / "us.dcm")
    masks.mkdir()
    mask = np.zeros((40, 48), np.uint8)
    mask[4:30, 8:40] = 255
    Image.fromarray(mask).save(masks / "us.png")
    profile.write_text(
        "profile: clean_pixel_data\nburned_in: [{modality: US, rows: 40, columns: 48, rectangles: [[0, 0, 8, 48]]}]\n"
    )
    out = tmp_path / "out"
    anonymize(source, out, key_file=key, masks=masks, profile=profile, recipients=anne.list, **OPTIONS)
    [new], [old] = (list(found.values()) for found in unlocked(out, tmp_path / "again", anne))
    assert len(np.unique(old[:8])) == 1 and np.array_equal(old[:8], new[:8])
    assert np.array_equal(old[8:], pixels[8:]) and not np.array_equal(new[8:], pixels[8:])


def test_frames_of_an_enhanced_image_are_unlocked(tmp_path, anne, key):
    source, out = tmp_path / "in", tmp_path / "out"
    order = [3, 0, 5, 1, 4, 2]
    values = (volume(5).astype(int) // 2).astype(np.int16)
    save(enhanced(values, order=order), source / "e.dcm")
    classic = write_series(tmp_path / "classic", values)
    (tmp_path / "masks").mkdir()
    write_seg(classic, labels(), tmp_path / "masks" / "seg.dcm")
    anonymize(source, out, key_file=key, masks=tmp_path / "masks", recipients=anne.list, **OPTIONS)
    [new], [old] = (list(found.values()) for found in unlocked(out, tmp_path / "again", anne))
    assert np.array_equal(old, values[order]) and not np.array_equal(new, old)


def test_a_resumed_run_and_a_damaged_file(tmp_path, anne, key, capsys):
    source, out = hospital(tmp_path / "in"), tmp_path / "out"
    anonymize(source, out, key_file=key, recipients=anne.list, **OPTIONS)
    before = {path.name: path.read_bytes() for path in (out / "umed" / "unlock").iterdir()}
    anonymize(source, out, key_file=key, resume=True, **OPTIONS)
    after = {path.name: path.read_bytes() for path in (out / "umed" / "unlock").iterdir()}
    assert before.keys() == after.keys() and {n for n in before if before[n] != after[n]} == {"key.age"}
    name = next(n for p in out.rglob("*.dcm") if payload_path(out, n := p.relative_to(out).as_posix()).is_file())
    content = bytearray((out / name).read_bytes())
    content[-1] ^= 1
    (out / name).write_bytes(content)
    assert unlock(out, tmp_path / "again", anne.key) == 1
    assert "that its unlock file is bound to" in capsys.readouterr().err and not (tmp_path / "again").exists()


def test_recipients_without_protection_are_refused(tmp_path, anne, key, capsys):
    source = hospital(tmp_path / "in")
    words = ["anonymize", str(source), str(tmp_path / "out"), "--key-file", str(key), "--quiet"]
    assert main([*words, "--recipients", str(anne.list)]) == 2
    assert "--recipients: expected images that are protected" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
