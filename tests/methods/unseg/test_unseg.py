# SPDX-License-Identifier: Apache-2.0
"""UnSeg through the whole pipeline: any layout, two bounds, one generator for other data, and nothing silent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.unseg_files import make_loud
from umed.core.config import make_settings
from umed.core.errors import ConfigError, InputError
from umed.core.keyfile import Key
from umed.core.types import Regions
from umed.core.version import __version__
from umed.data.formats import read
from umed.data.layouts import find_dataset
from umed.data.phantom import make_phantom
from umed.methods.base import make_method
from umed.methods.prepare import explain
from umed.methods.unseg.generator_file import FILE, Origin, load_generator, make_generator, save_generator
from umed.methods.unseg.method import SECRET, UnSeg
from umed.networks.sam import make_sam
from umed.plan.planning import Plan
from umed.plan.regions import make_regions
from umed.protect.preview import plan
from umed.protect.run import protect
from umed.protect.train import train_generator
from umed.protect.verify import verify

TINY = {"method": "unseg", "method_options": {"encoder": "tiny", "epochs": 4, "learning_rate": 1e-3}}
SETTINGS = {**TINY, "training": {"iterations": 8, "batch_size": 2}}


def make_pictures(root: Path, count: int = 4, colour: bool = True, depth: type = np.uint8) -> Path:
    rng = np.random.default_rng(3)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    top = np.iinfo(depth).max
    for k in range(count):
        image = rng.integers(top // 4, 3 * top // 4, (50, 70, 3) if colour else (50, 70)).astype(depth)
        mask = np.zeros((50, 70), np.uint8)
        mask[10:30, 20 : 40 + k] = 255
        Image.fromarray(image).save(root / "images" / f"p{k}.png")
        Image.fromarray(mask).save(root / "masks" / f"p{k}.png")
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator trained on colour pictures."""
    root = tmp_path_factory.mktemp("trained")
    train_generator(make_pictures(root / "in"), root / "out", settings=make_settings(overrides=SETTINGS))
    return root / "out"


@pytest.fixture(scope="module")
def generators(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same made loud, so that no rounding hides its noise, beside pictures that it protected."""
    root = tmp_path_factory.mktemp("unseg")
    generator, encoder, origin = load_generator(trained / FILE)
    make_loud(generator)
    save_generator(generator, encoder, origin, root / FILE)
    result = protect(make_pictures(root / "in"), root / "out", generators=root / FILE, **TINY)
    assert result.exit_code == 0
    return root / "out-private" / "generators"


def steps(before: Path, after: Path, mask: Path) -> tuple[int, int]:
    """Largest steps inside and outside the mask."""
    moved = np.abs(read(after).stored.astype(np.int64) - read(before).stored.astype(np.int64))
    moved = moved.max(-1) if moved.ndim > read(mask).stored.ndim else moved
    inside = read(mask).stored > 0
    return int(moved[inside].max()), int(moved[~inside].max())


def test_pictures_are_protected_inside_and_outside_each_within_its_bound(generators: Path) -> None:
    root = generators.parents[1]
    assert verify(root / "in", root / "out").ok
    for k in range(4):
        inside, outside = steps(*(root / part / f"p{k}.png" for part in ("in/images", "out/images", "in/masks")))
        assert 1 <= inside <= 4 and outside <= 1
    found = json.loads((root / "out-private" / "release.json").read_text())["plan"]
    assert (found["support"], found["epsilon_background"]) == ("full", found["epsilon"] / 4)
    assert any("unseg has it" in why for why in found["why"]) and any("outside" in why for why in found["why"])


def test_the_recipe_leaves_all_outside_the_labels_alone(generators: Path, tmp_path: Path) -> None:
    source = make_pictures(tmp_path / "in")
    given = {"method_options": TINY["method_options"], "training": SETTINGS["training"]}
    result = protect(source, tmp_path / "out", recipe="unseg", generators=generators, **given)
    assert result.exit_code == 0 and verify(source, tmp_path / "out").ok
    assert (result.plan.support, result.plan.epsilon_background) == ("roi", 0.0)
    for k in range(4):
        parts = ("in/images", "out/images", "in/masks")
        inside, outside = steps(*(tmp_path / part / f"p{k}.png" for part in parts))
        assert 1 <= inside <= 4 and outside == 0


def test_verify_finds_a_background_that_moved_too_far(generators: Path, tmp_path: Path) -> None:
    import shutil

    root = generators.parents[1]
    for name in ("out", "out-private"):
        shutil.copytree(root / name, tmp_path / name)
    path = tmp_path / "out" / "images" / "p0.png"
    stored = read(root / "in" / "images" / "p0.png").stored.copy()
    stored[0, 0, 0] += 3  # within epsilon, but not outside the labels
    Image.fromarray(stored).save(path)
    found = verify(root / "in", tmp_path / "out")
    text = " ".join(failure for check in found.cases for failure in check.failures)
    assert not found.ok and "at most 4 stored and 1 outside the labels, got 3" in text


@pytest.mark.parametrize(("colour", "depth"), [(False, np.uint8), (False, np.uint16)])
def test_one_generator_serves_pictures_of_another_kind(
    generators: Path, tmp_path: Path, colour: bool, depth: type
) -> None:
    source = make_pictures(tmp_path / "in", colour=colour, depth=depth)
    result = protect(source, tmp_path / "out", generators=generators, **TINY)
    assert result.exit_code == 0 and verify(source, tmp_path / "out").ok
    inside, outside = steps(*(tmp_path / part / "p1.png" for part in ("in/images", "out/images", "in/masks")))
    top = int(np.iinfo(depth).max * 4 / 255)
    assert outside > 0 or depth is np.uint8  # a quarter of 4 grey values is rounded away
    assert outside <= top // 4 + 1 and outside < inside <= top


def test_volumes_go_slice_by_slice_and_unlabelled_slices_stay(generators: Path, tmp_path: Path) -> None:
    source = make_phantom(tmp_path / "in", cases=2, size=(24, 24, 16))
    result = protect(source, tmp_path / "out", generators=generators, **TINY)
    assert result.exit_code == 0 and verify(source, tmp_path / "out").ok
    axis = result.plan.slice_axis
    assert result.plan.spatial_dims == 2 and axis is not None
    case = find_dataset(source).cases[0]
    (label,) = case.labels
    moved = read(source / case.images[0]).stored != read(tmp_path / "out" / case.images[0]).stored
    others = tuple(a for a in range(3) if a != axis)
    labelled = (read(source / label).stored > 0).any(axis=others)
    assert not moved.any(axis=others)[~labelled].any() and moved.any()


def test_the_prompt_decides_the_noise(trained: Path) -> None:
    method = UnSeg(encoder="tiny")
    method.load(trained)
    image = torch.rand(3, 40, 60)
    noise = []
    for corner in (5, 25):
        labels = np.zeros((40, 60), np.int16)
        labels[5:20, corner : corner + 15] = 1
        regions = make_regions(labels, radius=3, full=True)
        found = method.direction(image, regions, np.random.default_rng(0))
        assert found.abs().max() <= 1 and found[:, labels == 0].abs().max() <= 0.25
        noise.append(found / torch.from_numpy(np.where(labels > 0, 1, 0.25)))
    assert not torch.allclose(noise[0], noise[1], atol=1e-3)


def test_each_instance_gets_the_noise_of_its_own_prompt(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One embedding for all; what no prompt speaks of gets the mean, and how many are answered at once is no matter."""
    method = UnSeg(encoder="tiny")
    method.load(trained)
    image = torch.rand(3, 40, 60)
    corners = ((2, 2, 1), (2, 40, 1), (25, 20, 2))
    labels = np.zeros((40, 60), np.int16)
    for y, x, value in corners:
        labels[y : y + 10, x : x + 10] = value
    labels[38, 58] = 1  # too small for a prompt, and still protected like the rest
    embedded = []
    embed = method.generator.embed
    monkeypatch.setattr(method.generator, "embed", lambda square: embedded.append(len(square)) or embed(square))
    found = method.direction(image, make_regions(labels, radius=3, full=True), np.random.default_rng(0))
    assert embedded == [1]
    alone = []
    for y, x, value in corners:
        one = np.zeros_like(labels)
        one[y : y + 10, x : x + 10] = value
        noise = method.direction(image, make_regions(one, radius=3, full=True), np.random.default_rng(0))
        assert torch.allclose(found[:, one > 0], noise[:, one > 0], atol=1e-5)
        alone.append(noise / torch.from_numpy(np.where(one > 0, 1.0, 0.25)))
    mean = torch.stack(alone).mean(0).float()
    assert torch.allclose(found[:, labels == 0], 0.25 * mean[:, labels == 0], atol=1e-5)
    assert torch.allclose(found[:, 38, 58], mean[:, 38, 58], atol=1e-5)
    monkeypatch.setattr("umed.methods.unseg.picture_noise.PROMPTS_AT_ONCE", 2)
    again = method.direction(image, make_regions(labels, radius=3, full=True), np.random.default_rng(0))
    assert torch.allclose(found, again, atol=1e-5)
    together = UnSeg(encoder="tiny", per_instance=False)
    together.load(trained)
    whole = together.direction(image, make_regions(labels, radius=3, full=True), np.random.default_rng(0))
    assert not torch.allclose(found, whole, atol=1e-3)


@pytest.mark.parametrize("content", ["none", "other", "broken", "missing"])
def test_what_is_no_generator_is_refused_before_anything_is_written(content: str, tmp_path: Path) -> None:
    source, given = make_pictures(tmp_path / "in", count=2), tmp_path / "given"
    if content != "missing":
        given.mkdir()
        (given / "patients.csv").write_text("secret")
    if content in ("other", "broken"):
        (given / (FILE if content == "broken" else "else.pt")).write_bytes(b"no")
    with pytest.raises(InputError, match="expected trained generators|another file"):
        protect(source, tmp_path / "out", generators=given, **TINY)
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="expected trained generators|another file"):
        explain(UnSeg(), plan(source, overrides=TINY), given)


@pytest.mark.usefixtures("quick_workers")
def test_a_texture_is_the_same_with_workers_and_after_a_stop(tmp_path: Path) -> None:
    source, given = make_pictures(tmp_path / "in", count=5), tmp_path / "texture.pt"
    torch.manual_seed(1)
    generator, _ = make_generator("tiny", high_pass=5)
    make_loud(generator)
    save_generator(generator, "tiny", Origin("test", options={"enlarge": False}), given)
    Key(bytes(32)).write(tmp_path / "key")
    use = {"method": "unseg", "generators": given, "key_file": tmp_path / "key"}
    for name, more in {"one": {}, "two": {"workers": 2}, "stopped": {}}.items():
        assert protect(source, tmp_path / name, **use, **more).exit_code == 0
    for name in ("stopped/images/p1.png", "stopped/umed/manifest.json", "stopped-private/report.html"):
        (tmp_path / name).unlink()
    more = {"resume": True, "key_file": tmp_path / "key"}
    assert protect(source, tmp_path / "stopped", method="unseg", **more).exit_code == 0
    for name in (*(f"images/p{k}.png" for k in range(5)), "umed/manifest.json"):
        whole = (tmp_path / "one" / name).read_bytes()
        assert all((tmp_path / other / name).read_bytes() == whole for other in ("two", "stopped")), name


def test_small_pictures_may_keep_their_size(trained: Path) -> None:
    """Then a picture gets the noise that it has in the corner of a square which it does not fill."""
    method, large = UnSeg(), UnSeg()
    for one in (method, large):
        one.load(trained)
    method.enlarge = False
    image, labels = torch.rand(3, 40, 30), np.zeros((40, 30), np.int16)
    labels[5:25, 5:25] = 1
    square, mask = torch.zeros(3, 64, 64), np.zeros((64, 64), np.int16)
    square[:, :40, :30], mask[:40, :30] = image, labels
    rng = np.random.default_rng(0)
    found = method.direction(image, make_regions(labels, radius=3, full=True), rng)
    wanted = large.direction(square, make_regions(mask, radius=3, full=True), rng)
    assert torch.allclose(found, wanted[:, :40, :30], atol=1e-6)
    assert not torch.allclose(found, large.direction(image, make_regions(labels, radius=3, full=True), rng), atol=1e-2)
    wide, big = torch.rand(3, 50, 90), np.zeros((50, 90), np.int16)
    big[10:40, 20:70] = 1  # larger than the square: no difference
    regions = make_regions(big, radius=3, full=True)
    assert torch.allclose(method.direction(wide, regions, rng), large.direction(wide, regions, rng))


def test_grey_gets_the_noise_of_one_channel_not_a_mean_that_cancels(trained: Path) -> None:
    method = UnSeg(encoder="tiny")
    method.load(trained)
    labels = np.zeros((64, 64), np.int16)
    labels[10:50, 10:50] = 1
    grey, rng = torch.rand(1, 64, 64), np.random.default_rng(0)
    regions = make_regions(labels, radius=3, full=True)
    colour = method.direction(grey.expand(3, -1, -1), regions, rng)
    for channels in (1, 4):
        found = method.direction(grey.expand(channels, -1, -1), regions, rng)
        assert found.shape == (channels, 64, 64) and found.abs().max() > 0.01
        assert torch.allclose(found, colour[:1].expand(channels, -1, -1), atol=1e-6)
    assert not torch.allclose(colour.mean(0), colour[0], atol=1e-2)


@pytest.mark.parametrize("name", ["unet", "batchnorm_unet", "dynunet", "nnunet_like"])
def test_a_network_of_the_thiefs_kind_can_be_the_surrogate(name: str, tmp_path: Path) -> None:
    options = {**TINY["method_options"], "surrogate": name, "surrogate_learning_rate": 3e-3}
    source = make_pictures(tmp_path / "in")
    trained = train_generator(
        source, tmp_path / "g", settings=make_settings(overrides={**SETTINGS, "method_options": options})
    )
    assert 0 < trained.loss["surrogate"] < 5
    method = UnSeg()
    method.load(tmp_path / "g")
    assert (method.surrogate, method.surrogate_learning_rate) == (name, 3e-3)
    with pytest.raises(ConfigError, match="surrogate: expected sam, for which weights are given"):
        method.make_trainer([], plan(source, overrides=SETTINGS), encoder=tmp_path / "mae.pth")


def test_plan_and_report_say_what_the_weights_are(generators: Path, tmp_path: Path) -> None:
    source, text = make_pictures(tmp_path / "in", count=2), "Segment Anything without pretrained weights"
    result = protect(source, tmp_path / "out", generators=generators, **TINY)
    assert f"unseg: generator trained by umed {__version__}; {text}" in result.plan.why
    report = (tmp_path / "out-private" / "report.html").read_text()
    assert text in report and "more than 4/255 of the range, and by 1/255 outside the labels" in report
    assert verify(source, tmp_path / "out").ok
    method = UnSeg(encoder="tiny")
    assert method.reasons() == (f"unseg: trains its generator on these data; {text}", SECRET)
    assert method.reasons(generators / FILE) == (f"unseg: generator trained by umed {__version__}; {text}", SECRET)


def test_slices_in_batches_are_those_one_by_one(trained: Path) -> None:
    method = UnSeg(encoder="tiny")
    method.load(trained)
    method._slice_axis = 2
    labels = np.zeros((30, 40, 20), np.int16)
    labels[5:20, 5:20, 3:17] = 1
    image = torch.rand(1, 30, 40, 20)
    found = method.direction(image, make_regions(labels, radius=3, full=True, slice_axis=2), np.random.default_rng(0))
    for k in (3, 16):
        one = make_regions(labels[..., k], radius=3, full=True)
        alone = method.direction(image[..., k], one, np.random.default_rng(0))
        assert torch.allclose(found[..., k], alone, atol=1e-5)
    assert not found[..., :3].any() and not found[..., 17:].any()


def test_masks_of_zero_and_one_tiny_and_empty_ones(generators: Path, tmp_path: Path) -> None:
    """A mask in {0, 1} is no background, a tiny object gets its noise, an empty mask is said to be one."""
    source = make_pictures(tmp_path / "in", count=3)
    masks = [np.asarray(Image.open(source / "masks" / f"p{k}.png")).copy() for k in range(3)]
    Image.fromarray((masks[0] > 0).astype(np.uint8)).save(source / "masks" / "p0.png")
    tiny = np.zeros_like(masks[1])
    tiny[49, 69] = 255
    Image.fromarray(tiny).save(source / "masks" / "p1.png")
    Image.fromarray(np.zeros_like(masks[2])).save(source / "masks" / "p2.png")
    result = protect(source, tmp_path / "out", generators=generators, **TINY)
    outcomes = {one.id: one for one in result.outcomes}
    assert [outcomes[f"p{k}"].status for k in range(3)] == ["protected", "protected", "unchanged"]
    assert "the label is empty" in outcomes["p2"].reason and verify(source, tmp_path / "out").ok
    inside, outside = steps(*(tmp_path / part / "p0.png" for part in ("in/images", "out/images", "in/masks")))
    assert inside > outside


def test_a_generator_survives_its_file(trained: Path, tmp_path: Path) -> None:
    generator, encoder, origin = load_generator(trained / FILE)
    assert encoder == "tiny" and str(origin).endswith("Segment Anything without pretrained weights")
    save_generator(generator, encoder, origin, tmp_path / FILE)
    again, *_ = load_generator(tmp_path / FILE)
    pairs = zip(generator.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    torch.save(make_sam("tiny").sam.state_dict(), tmp_path / "sam.pth")
    frozen, known = make_generator("tiny", sam=tmp_path / "sam.pth")
    assert known.startswith("unknown weights")
    save_generator(frozen, "tiny", Origin("test", "x"), tmp_path / "frozen.pt")
    back, _, origin = load_generator(tmp_path / "frozen.pt")
    assert back.frozen and not any(weight.requires_grad for weight in back.sam.parameters()) and origin.sam == "x"
    content = torch.load(tmp_path / "frozen.pt", weights_only=True)
    for name, changes in {
        "even": {"high_pass": 4},
        "listed": {"origin": {"text": "x", "options": None}},
        "lines": {"origin": {"text": "two\nlines"}},
        "path": {"origin": {"text": "x", "sam": "/home/somebody/sam.pth"}},
        "option": {"origin": {"text": "x", "options": {"enlarge": "no"}}},
        "size": {"encoder": "huge"},
    }.items():
        torch.save({**content, **changes}, tmp_path / f"{name}.pt")
        with pytest.raises(InputError, match="expected a generator saved by umed, got another file"):
            UnSeg().reasons(tmp_path / f"{name}.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with pytest.raises(InputError, match="another file"):
        load_generator(tmp_path / "tensor.pt")
    method = UnSeg(surrogate_prompts=["none"], label_modification=False)
    method.adopt(tmp_path / "frozen.pt")  # knows nothing of its training, so nothing is said about it
    assert "surrogate_prompts" not in repr(method) and "high_pass=0" in repr(method)
    (tmp_path / "broken.pt").write_bytes(b"no")
    for path, text in ((tmp_path / "broken.pt", "another file"), (tmp_path / "none.pt", "train-generator unseg")):
        with pytest.raises(InputError, match=text):
            load_generator(path)


def test_noise_without_its_mean_is_a_texture_and_the_file_knows_its_training(tmp_path: Path) -> None:
    options = {
        **TINY["method_options"],
        "high_pass": 5,
        "label_modification": False,
        "surrogate_prompts": ["none"],
        "enlarge": False,
    }
    source = make_pictures(tmp_path / "in")
    given = {**SETTINGS, "method_options": options}
    assert protect(source, tmp_path / "out", epsilon=64 / 255, **given).exit_code == 0  # a quiet noise shows too
    method = UnSeg(encoder="vit_s")
    method.load(tmp_path / "out-private" / "generators")
    assert "high_pass=5" in repr(method) and "label_modification=False" in repr(method)
    assert method.enlarge is False
    (told, decided, secret) = UnSeg(high_pass=3, learning_rate=0.5).reasons(
        tmp_path / "out-private" / "generators" / FILE
    )
    assert "high_pass 5 instead of 3" in decided and "learning_rate 0.001 instead of 0.5" in decided
    assert "encoder" not in decided and told.startswith("unseg: generator trained by umed")
    assert secret == SECRET and "keep it as secret as a key" in secret
    assert method.surrogate_prompts == ("none",) and method.encoder == "tiny" and method.learning_rate == 1e-3
    head = method.generator.head
    with torch.no_grad():
        for mlp in head.mlp:
            mlp[-1].bias.fill_(30.0)  # a constant colour, if it were let through
    image, labels = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)), np.zeros((64, 64), np.int16)
    labels[16:48, 16:48] = 1
    regions = make_regions(labels, radius=3, full=True)

    def inside() -> torch.Tensor:
        return method.direction(image, regions, np.random.default_rng(0))[:, 24:40, 24:40]

    without = inside()
    head.high_pass = 0
    assert without.mean((1, 2)).abs().max() < min(0.35, inside().mean((1, 2)).abs().max())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "vit_x"}, "encoder: expected one of tiny, vit_s"),
        ({"prompts": ["text"]}, "prompts: expected a list of some of box, points, mask"),
        ({"train_epsilon": 2}, "train_epsilon: expected a share"),
        ({"epochs": 0}, "epochs"),
        ({"learning_rate": "no"}, "learning_rate: expected a number"),
        ({"learning_rate": 0}, "learning_rate: expected a positive"),
        ({"label_modification": 1}, "label_modification"),
        ({"per_instance": "no"}, "per_instance"),
        ({"jitter": 1}, "jitter: expected two"),
        ({"prompts": None}, "prompts: expected a list"),
        ({"surrogate_prompts": "box"}, "surrogate_prompts: expected a list of some of .*none, got 'box'"),
        ({"encoder": 5}, "encoder: expected one of .* got 5"),
        (
            {"surrogate": "resnet"},
            "surrogate: expected one of sam, unet, batchnorm_unet, dynunet, nnunet_like, got 'resnet'",
        ),
        ({"surrogate": 5}, "surrogate: expected one of"),
        ({"surrogate_learning_rate": 0}, "surrogate_learning_rate: expected a positive"),
        ({"enlarge": 2}, "enlarge"),
        ({"high_pass": 4}, "high_pass: expected an odd number"),
        ({"high_pass": -1}, "high_pass"),
        ({"jitter": [2, 1]}, "jitter: expected two positive scales"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        UnSeg(**options)  # type: ignore[arg-type]


def test_a_plan_goes_slice_by_slice_or_says_why_not(tmp_path: Path) -> None:
    source = make_phantom(tmp_path / "in", cases=2, size=(24, 24, 16))
    with pytest.raises(ConfigError, match="expected 2 for unseg"):
        plan(source, overrides={**TINY, "spatial_dims": 3})
    found = plan(source, overrides={**TINY, "epsilon_background": 0, "support": "roi"})
    assert (found.support, found.epsilon_background, found.spatial_dims) == ("roi", 0.0, 2)
    assert plan(source).epsilon_background is None and plan(source).support == "roi"
    method = make_method(replace(found, spatial_dims=3, slice_axis=None))
    method._generator = make_generator("tiny")[0]  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="Set spatial_dims=2"):
        method.direction(torch.rand(1, 8, 8, 8), _all(), np.random.default_rng(0))
    assert Plan.from_json(found.to_json()) == found


def _all() -> Regions:
    return make_regions(np.ones((8, 8, 8), np.int16), radius=1, full=True)


def test_noise_that_is_rounded_away_is_a_failure_and_no_protection(trained: Path, tmp_path: Path) -> None:
    generator, encoder, origin = load_generator(trained / FILE)
    with torch.no_grad():
        for layer in generator.head.mlp:
            for weight in layer.parameters():
                weight.zero_()  # noise of exactly 0
    save_generator(generator, encoder, origin, tmp_path / FILE)
    source = make_pictures(tmp_path / "in")
    result = protect(source, tmp_path / "out", generators=tmp_path / FILE, **TINY)
    assert {one.status for one in result.outcomes} == {"failed"} and result.exit_code == 1
    assert "expected changed voxels, got none" in result.outcomes[0].reason
    assert not list((tmp_path / "out" / "images").glob("*.png"))
