# SPDX-License-Identifier: Apache-2.0
"""Files as pictures: where x and y lie, and what is black and white."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.conftest import save_nifti
from tests.itk_files import save
from umed.core.errors import InputError
from umed.data import files, formats
from umed.data.masks import label_ending, read_label, write_label
from umed.propose.file_images import FileImages, FilePictures
from umed.propose.prompts_file import Extent


def test_8_bit_pictures_keep_their_scale_and_colours(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(50, 200, (10, 20, 4), dtype=np.uint8)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
    Image.fromarray(pixels[..., 0], "L").save(tmp_path / "b.png")
    colour, grey = (FilePictures(formats.read(tmp_path / name), 2) for name in ("a.png", "b.png"))
    assert colour.extent == Extent(20, 10, None)
    assert np.allclose(colour.picture(None), np.moveaxis(pixels[..., :3], -1, 0) / 255)
    assert np.allclose(grey.picture(None), np.repeat(pixels[None, ..., 0] / 255, 3, axis=0))


def test_16_bit_pictures_are_scaled_by_percentiles(tmp_path: Path) -> None:
    ramp = np.arange(1000, 3000, dtype=np.uint16).reshape(40, 50)
    tifffile.imwrite(tmp_path / "a.tif", ramp)
    picture = FilePictures(formats.read(tmp_path / "a.tif"), 2).picture(None)
    low, high = np.percentile(ramp, (0.5, 99.5))
    assert np.allclose(picture[0], np.clip((ramp - low) / (high - low), 0, 1), atol=1e-6)
    assert picture.min() == 0 and picture.max() == 1 and np.array_equal(picture[0], picture[2])


@pytest.mark.parametrize(("axis", "extent"), [(2, Extent(4, 5, 6)), (1, Extent(4, 6, 5)), (0, Extent(5, 6, 4))])
def test_x_is_the_first_axis_that_is_left_of_a_volume(tmp_path: Path, axis: int, extent: Extent) -> None:
    array = np.zeros((4, 5, 6), np.int16)
    array[1, 2, 3] = 1000
    planes = FilePictures(formats.read(save_nifti(tmp_path / "a.nii.gz", array)), axis)
    assert planes.extent == extent
    place = (1, 2, 3)[axis]
    x, y = [index for number, index in enumerate((1, 2, 3)) if number != axis]
    assert np.argwhere(planes.picture(place)[0] > 0).tolist() == [[y, x]]
    labels, mask = np.zeros(array.shape, np.uint8), np.zeros((extent.height, extent.width), bool)
    mask[y, x] = True
    planes.put(labels, place, 7 * mask.astype(np.uint8))
    assert np.argwhere(labels).tolist() == [[1, 2, 3]] and labels.max() == 7


def test_a_negative_slope_turns_black_and_white(tmp_path: Path) -> None:
    array = np.arange(100, dtype=np.int16).reshape(10, 10, 1)
    volume = formats.read(save_nifti(tmp_path / "a.nii", array, slope=-2.0, inter=5.0))
    assert volume.stored[0, 0, 0] > volume.stored[-1, -1, 0]
    picture = FilePictures(volume, 2).picture(0)
    assert picture[0, 0, 0] == 0 and picture[0, -1, -1] == 1


def test_values_that_are_no_numbers_and_flat_images_give_black(tmp_path: Path) -> None:
    array = np.full((4, 4, 2), np.nan, np.float32)
    array[:2], array[0, 0, 0] = 3.0, np.inf
    planes = FilePictures(formats.read(save_nifti(tmp_path / "a.nii", array)), 2)
    assert np.isfinite(planes.picture(0)).all() and planes.picture(1).max() == 0


def test_channels_are_scaled_each_by_itself(tmp_path: Path) -> None:
    ramp = np.arange(200, dtype=np.float32).reshape(10, 10, 2)
    array = np.stack([ramp, 1000 - 5 * ramp], axis=-1)
    picture = FilePictures(formats.read(save_nifti(tmp_path / "a.nii.gz", array)), 2).picture(0)
    assert np.allclose(picture, 0.5, atol=1e-3)  # one rises as the other falls, once both are on one scale


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_label_maps_of_volumes_lie_where_the_image_lies(tmp_path: Path, kind: type, name: str) -> None:
    affine = np.array([[0, -2.0, 0, 9], [1.5, 0, 0, -4], [0, 0, 3.0, 5], [0, 0, 0, 1]])
    source = tmp_path / name
    image = kind(np.arange(240, dtype=np.float32).reshape(4, 5, 6, 2), affine)
    image.header["descrip"] = b"Doe^Jane"
    image.header.set_xyzt_units("mm")
    nibabel.save(image, source)
    volume = formats.read(source)
    labels = np.random.default_rng(0).integers(0, 256, (4, 5, 6)).astype(np.uint8)
    labels[labels > 40] = 255
    target = tmp_path / ("mask" + label_ending(volume))
    write_label(volume, labels, target)
    back = nibabel.load(target)
    assert type(back) is kind and back.get_data_dtype() == np.uint8 and np.array_equal(back.dataobj, labels)
    assert np.array_equal(back.affine, affine) and back.header.get_xyzt_units()[0] == "mm"
    assert b"Doe" not in target.read_bytes() and bytes(back.header["descrip"]).strip(b"\0") == b""
    first = target.read_bytes()
    write_label(volume, labels, target)
    assert target.read_bytes() == first and np.array_equal(read_label(target, volume), labels)


def test_label_maps_of_pictures_are_png(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((6, 7), np.uint16))
    volume = formats.read(tmp_path / "a.tif")
    for value in (1, 3, 255):
        labels = np.zeros((6, 7), np.uint8)
        labels[2:4, 3] = value
        write_label(volume, labels, tmp_path / ("mask" + label_ending(volume)))
        assert np.array_equal(np.array(Image.open(tmp_path / "mask.png")), labels)


@pytest.mark.parametrize("ending", [".mha", ".mhd", ".nrrd", ".nhdr"])
def test_masks_for_images_of_itk_lie_beside_a_whole_copy(tmp_path: Path, ending: str) -> None:
    root, work = tmp_path / "in", tmp_path / "out"
    (root / "images/b").mkdir(parents=True)
    (root / "masks").mkdir()
    array = np.random.default_rng(0).integers(0, 500, (4, 5, 6)).astype(np.int16)
    save(array, root / f"images/a{ending}", compress=True)
    save(array + 1, root / f"images/b/c{ending}", compress=False)
    own = (array > 400).astype(np.uint8)
    save(own, root / f"masks/a{ending}", compress=False)
    source = FileImages(root, work, 2)
    assert source.annotated == {"a"} and source.problems == ()
    kept = source.own_mask("a", work)
    assert kept is not None and set(kept.to_dict().get("data_files", {})) == set(list(kept.files)[1:-1])
    assert f"masks/a{label_ending(formats.read(root / f'images/a{ending}'))}" in kept.files
    plane = np.zeros((5, 6), np.uint8)
    plane[1:3, 2:5] = 1
    done = source.write("b_c", source.open("b_c"), [(2, plane)], work)
    assert done is not None
    for name, case, mask in (("a", "a", own), ("b/c", "b_c", np.stack([plane * (z == 2) for z in range(4)]))):
        image = formats.read(work / f"images/{case}{ending}")
        before = root / f"images/{name}{ending}"
        assert np.array_equal(image.stored, formats.read(before).stored)
        assert (work / f"images/{case}{ending}").read_bytes() == before.read_bytes()
        assert np.array_equal(read_label(work / f"masks/{case}{label_ending(image)}", image), mask.T)
    written = kept.files | done[0]
    assert sorted(written) == sorted(p.relative_to(work).as_posix() for p in work.rglob("*") if p.is_file())
    assert all(files.sha256(work / name) == digest for name, digest in written.items())
    if ending in (".mhd", ".nhdr"):
        with pytest.raises(InputError, match="expected a data file with a name of its own"):
            source.write("b_c", source.open("b_c"), [(2, plane)], work)
