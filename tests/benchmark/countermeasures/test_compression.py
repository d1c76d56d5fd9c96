# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from umed.benchmark.countermeasures.compression import LUMA, SUBSAMPLINGS, BitDepth, Grey, Jpeg, coding_range
from umed.benchmark.countermeasures.filters import Blur
from umed.benchmark.victims.case_tensors import Samples
from umed.core.errors import ConfigError


def noisy(channels: int, *spatial: int) -> torch.Tensor:
    return torch.randint(0, 256, (channels, *spatial), generator=torch.Generator().manual_seed(0)).float()


def test_jpeg_stays_close_and_keeps_the_units() -> None:
    ramp = torch.linspace(-1000, 1000, 64).expand(1, 64, 64)
    assert float((Jpeg().image(ramp, 2000.0) - ramp).abs().mean()) < 20
    colour = noisy(3, 32, 32)
    back = Jpeg().image(colour, 255.0)
    assert float(back.min()) >= 0 and float(back.max()) <= 255 and not torch.equal(back, colour)


@pytest.mark.parametrize(("channels", "spatial"), [(3, (32, 32)), (1, (16, 16, 3)), (2, (16, 16, 3))])
def test_jpeg_loses_more_at_lower_quality(channels: int, spatial: tuple[int, ...]) -> None:
    image = noisy(channels, *spatial)
    lost = [float((Jpeg(quality=q).image(image, 255.0) - image).square().mean()) for q in (95, 75, 50, 30, 10)]
    assert lost == sorted(lost) and lost[0] > 0


def test_jpeg_halves_the_chroma_unless_told_otherwise() -> None:
    board = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2.0 - 1
    opponent = torch.tensor([1.0, -LUMA[0] / LUMA[1], 0.0]).reshape(3, 1, 1)  # of no brightness
    picture = (128 + 40 * opponent * board).round()
    left = {one: float(Jpeg(quality=95, subsampling=one).image(picture, 255.0)[0].std()) for one in SUBSAMPLINGS}
    assert left["4:2:0"] < 3 < left["4:4:4"] > 30  # the finest grid of colours is gone, or all there
    assert torch.equal(
        Jpeg(quality=95).image(picture, 255.0), Jpeg(quality=95, subsampling="4:2:0").image(picture, 255.0)
    )
    grey = picture[:1]
    assert torch.equal(Jpeg().image(grey, 255.0), Jpeg(subsampling="4:4:4").image(grey, 255.0))
    with pytest.raises(ConfigError, match="jpeg.subsampling: expected one of 4:2:0, .* in quotes, got .4:1:1."):
        Jpeg(subsampling="4:1:1")


def test_a_later_option_leaves_the_names_of_older_cells() -> None:
    assert Jpeg(quality=30).settings() == {"quality": 30}
    assert Jpeg(subsampling="4:4:4").settings() == {"quality": 75, "subsampling": "4:4:4"}


def test_jpeg_of_a_volume_is_that_of_its_slices() -> None:
    volume = noisy(1, 16, 24, 3)
    done = Jpeg(quality=30).image(volume, 255.0)
    assert torch.equal(done[..., 1], Jpeg(quality=30).image(volume[..., 1], 255.0))


def test_a_filtered_picture_is_still_coded_from_0_to_255(samples: Callable[..., Samples]) -> None:
    picture = samples(32, 32, channels=3).images[0]
    blurred = Blur(sigma=1).image(picture, 255.0)
    assert not torch.equal(blurred, blurred.round())
    assert coding_range(picture, 255.0) == coding_range(blurred, 255.0) == (0.0, 255.0)
    low, high = coding_range(picture * 40 - 1000, 400.0)
    assert -1000 <= low < high <= 9200


def test_bit_depth_leaves_that_many_levels() -> None:
    ramp = torch.arange(256.0).reshape(1, 16, 16)
    assert BitDepth(bits=1).image(ramp, 255.0).unique().tolist() == [0.0, 255.0]
    for bits in (2, 3, 4, 8):
        done = BitDepth(bits=bits).image(ramp, 255.0)
        assert len(done.unique()) == 2**bits
        assert float((done - ramp).abs().max()) <= 255 / (2**bits - 1) / 2 + 1e-3
    assert torch.equal(BitDepth(bits=8).image(ramp, 255.0), ramp)


def test_bit_depth_of_ct_keeps_its_place() -> None:
    scan = torch.linspace(-160, 240, 1000).reshape(1, 10, 10, 10)
    done = BitDepth(bits=3).image(scan, 400.0)
    assert float((done - scan).abs().max()) <= 400 / 7 / 2 + 0.1
    assert len(done.unique()) == 8


def test_grey_is_the_brightness_of_colours_only() -> None:
    colour = noisy(3, 8, 8)
    done = Grey().image(colour, 255.0)
    expected = LUMA[0] * colour[0] + LUMA[1] * colour[1] + LUMA[2] * colour[2]
    assert torch.allclose(done[0], expected) and torch.equal(done[0], done[1]) and torch.equal(done[0], done[2])
    for channels in (1, 2, 4):
        image = noisy(channels, 8, 8)
        assert torch.equal(Grey().image(image, 255.0), image)
