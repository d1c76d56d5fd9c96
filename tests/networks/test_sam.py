# SPDX-License-Identifier: Apache-2.0
"""Segment Anything in several sizes, whatever torchvision does, and weights from files."""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from umed.core.errors import ConfigError, InputError
from umed.networks import sam_package as module
from umed.networks.sam import SHAPES, PromptedSam, Prompts, SamShape, make_sam
from umed.networks.sam_weights import load_sam

BROKEN = "raise RuntimeError('operator torchvision::nms does not exist')"
PRESENT = {
    "__init__.py": "",
    "ops/__init__.py": "",
    "ops/boxes.py": "def batched_nms(*a): pass\ndef box_area(*a): pass",
    "transforms/__init__.py": "",
    "transforms/functional.py": "def resize(*a): pass\ndef to_pil_image(*a): pass",
}


@pytest.fixture
def not_imported() -> Iterator[None]:
    """As in a process that has imported neither torchvision nor segment-anything yet."""

    def take_out() -> dict[str, ModuleType]:
        names = [name for name in sys.modules if name.partition(".")[0] in ("torchvision", "segment_anything")]
        module.modeling.cache_clear()
        return {name: sys.modules.pop(name) for name in names}

    before = take_out()
    yield
    take_out()
    sys.modules.update(before)


@pytest.mark.parametrize(
    ("files", "left"),
    [
        (None, "none"),
        ({"__init__.py": BROKEN}, "none"),
        ({**PRESENT, "ops/boxes.py": BROKEN}, "real"),
        (PRESENT, "real"),
    ],
    ids=["absent", "broken", "broken inside", "present"],
)
@pytest.mark.usefixtures("not_imported")
def test_torchvision_may_be_absent_broken_or_present(
    tmp_path: Path, files: dict[str, str] | None, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (files or {"__init__.py": "raise ImportError('absent')"}).items():
        path = tmp_path / "torchvision" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert make_sam("tiny").embed(torch.rand(1, 3, 64, 64))[0].shape == (1, 32, 8, 8)
    here = sys.modules.get("torchvision")
    assert ("real" if here is not None and getattr(here, "__file__", None) else "none") == left


def test_without_the_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    module.modeling.cache_clear()
    monkeypatch.setitem(sys.modules, "segment_anything.modeling", None)
    with pytest.raises(ConfigError, match=r"pip install 'umed\[sam\]'"):
        make_sam("tiny")
    monkeypatch.undo()
    module.modeling.cache_clear()
    make_sam("tiny")


@pytest.fixture
def umed_not_imported() -> Iterator[None]:
    """As in a process that has imported torch and MONAI, but nothing of umed yet."""
    names = [name for name in sys.modules if name.partition(".")[0] == "umed"]
    before = {name: sys.modules.pop(name) for name in names}
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "umed"]:
        del sys.modules[name]
    sys.modules.update(before)


@pytest.mark.usefixtures("not_imported", "umed_not_imported")
def test_no_module_needs_the_package_before_a_network_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "segment_anything", None)  # as where it is not installed
    fresh = importlib.import_module("umed")
    count = 0
    for found in pkgutil.walk_packages(fresh.__path__, "umed."):
        if not found.name.endswith(("__main__", "nnunet_runner", "nnunet_predict")):  # these run in nnU-Net's
            importlib.import_module(found.name)
            count += 1
    importlib.import_module("umed.methods.unseg.method").UnSeg()
    assert not any(name.startswith(("segment_anything.", "torchvision")) for name in sys.modules)
    assert count > 100


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'vit_b'"):
        make_sam("vitb")


@pytest.fixture(scope="module")
def network() -> PromptedSam:
    torch.manual_seed(0)
    return make_sam("tiny").eval()


def test_several_images_with_several_prompts_are_what_one_after_the_other_gives(network: PromptedSam) -> None:
    image, boxes = torch.rand(2, 3, 64, 64), torch.tensor([[1.0, 2, 30, 40], [5, 5, 60, 50], [9, 9, 20, 20]])
    rows = torch.tensor([0, 1, 1])
    with torch.no_grad():
        together = network(image, Prompts(rows, boxes=boxes))
        for k, row in enumerate(rows.tolist()):
            alone = network(image[row : row + 1], Prompts(torch.tensor([0]), boxes=boxes[k : k + 1]))
            assert torch.allclose(together[k], alone[0], atol=1e-5)
    assert together.shape == (3, 32, 32)


def test_without_a_prompt_each_image_is_answered_for_itself(network: PromptedSam) -> None:
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        together = network(image, Prompts(torch.arange(2)))
        alone = [network(image[k : k + 1], Prompts(torch.tensor([0]))) for k in range(2)]
    assert together.shape == (2, 32, 32) and torch.allclose(together, torch.cat(alone), atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-4)


def test_it_computes_what_the_package_does(network: PromptedSam) -> None:
    image = torch.rand(1, 3, 64, 64)
    points, marks = torch.tensor([[[10.0, 20.0], [40.0, 8.0]]]), torch.tensor([[1, 0]])
    with torch.no_grad():
        mine = network.decode(network.embed(image)[0], Prompts(torch.tensor([0]), points=points, marks=marks)).masks
        theirs = network.sam(
            [{"image": 255 * image[0], "original_size": (64, 64), "point_coords": points, "point_labels": marks}], True
        )[0]["low_res_logits"]
    assert torch.allclose(mine[:, 1:], theirs, atol=1e-4)
    boxes = torch.tensor([[5.0, 10.0, 40.0, 60.0]])
    with torch.no_grad():
        mine = network.decode(network.embed(image)[0], Prompts(torch.tensor([0]), boxes)).masks
        record = {"image": 255 * image[0], "original_size": (64, 64), "boxes": boxes}
        theirs = network.sam([record], False)[0]["low_res_logits"]
    assert torch.allclose(mine[:, :1], theirs, atol=1e-4)


def test_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for again in (False, True):
        torch.manual_seed(1)
        network = make_sam("tiny", checkpointing=again)
        image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
        network(image, Prompts(torch.tensor([0]), boxes=torch.tensor([[1.0, 2, 30, 40]]))).sum().backward()
        gradients.append(network.sam.image_encoder.patch_embed.proj.weight.grad)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-5)


def test_shapes_are_those_of_the_released_checkpoints() -> None:
    counts = {}
    with torch.device("meta"):
        for name in ("vit_b", "vit_l", "vit_h"):
            counts[name] = sum(weight.numel() for weight in make_sam(name).sam.parameters())
    assert counts == {"vit_b": 93_735_472, "vit_l": 312_342_832, "vit_h": 641_090_608}
    assert all(len(SHAPES[name].sha256) == 64 for name in counts)


def test_weights_come_from_a_file_that_fits(
    network: PromptedSam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.pth"
    torch.save(network.sam.state_dict(), path)
    other = make_sam("tiny")
    assert "unknown weights (SHA-256 " in load_sam(other, path)
    pairs = zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    torch.save({"model": network.sam.state_dict()}, path)  # as MedSAM has it
    load_sam(other, path)
    known: SamShape = replace(SHAPES["tiny"], file="mine.pth", sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setitem(SHAPES, "known", known)
    assert load_sam(make_sam("known"), path).startswith("Meta's known (SHA-256 ")


def test_a_damaged_missing_or_strange_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no such file.*sam_vit_b_01ec64.pth from https://.*downloads nothing"):
        with torch.device("meta"):
            network = make_sam("vit_b")
        load_sam(network, tmp_path / "sam_vit_b_01ec64.pth")
    path = tmp_path / "sam_vit_b_01ec64.pth"
    path.write_bytes(b"half a download")
    with pytest.raises(InputError, match="expected SHA-256 ec2df6.*damaged"):
        load_sam(network, path)
    strange = tmp_path / "other.pth"
    torch.save({"a": torch.zeros(1)}, strange)
    with pytest.raises(InputError, match="expected the weights of a tiny SAM, got others"):
        load_sam(make_sam("tiny"), strange)
