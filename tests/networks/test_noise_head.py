# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from umed.networks.noise_head import CHANNELS, NoiseHead, UnSegGenerator, from_released
from umed.networks.sam import SHAPES, Prompts, make_sam


def prompts(count: int = 2) -> Prompts:
    return Prompts(torch.arange(count), boxes=torch.tensor([[1.0, 2, 30, 40]] * count))


@pytest.fixture
def generator() -> UnSegGenerator:
    torch.manual_seed(0)
    return UnSegGenerator(make_sam("tiny"), frozen=True, finer=1)


def test_noise_is_bounded_and_has_its_resolution(generator: UnSegGenerator) -> None:
    noise = generator(torch.rand(2, 3, 64, 64), prompts())
    assert noise.shape == (2, CHANNELS, 64, 64)
    assert noise.abs().max() < 1 and noise.std() > 0
    assert UnSegGenerator(make_sam("tiny"), frozen=True)(torch.rand(2, 3, 64, 64), prompts()).shape[2:] == (32, 32)


def test_a_frozen_sam_stays_as_it_is(generator: UnSegGenerator) -> None:
    generator.train()
    before = {name: value.clone() for name, value in generator.sam.state_dict().items()}
    trained = [weight for weight in generator.parameters() if weight.requires_grad]
    torch.optim.SGD(trained, 0.1).zero_grad()
    generator(torch.rand(2, 3, 64, 64), prompts()).sum().backward()
    assert {id(weight) for weight in trained} == {id(weight) for weight in generator.head.parameters()}
    assert not generator.sam.training and all(weight.grad is None for weight in generator.sam.parameters())
    assert all(weight.grad is not None for weight in generator.head.mlp.parameters())
    assert all(torch.equal(value, before[name]) for name, value in generator.sam.state_dict().items())


def test_one_embedding_serves_all_prompts_of_an_image(generator: UnSegGenerator) -> None:
    image = torch.rand(1, 3, 64, 64)
    boxes = torch.tensor([[1.0, 2, 30, 40], [20, 20, 60, 60]])
    with torch.no_grad():
        both = generator.noise(generator.embed(image), Prompts(torch.tensor([0, 0]), boxes=boxes))
        one = generator(image, Prompts(torch.tensor([0]), boxes=boxes[1:]))
    assert torch.allclose(both[1], one[0], atol=1e-5) and not torch.allclose(both[0], both[1], atol=1e-3)


def test_the_released_code_counts_tokens_from_one_earlier() -> None:
    """Its slice is 4:7: the last mask token and the first two noise tokens; the third plays no part."""
    torch.manual_seed(0)
    image = torch.rand(1, 3, 64, 64)
    for released, without in ((True, 2), (False, None)):
        generator = UnSegGenerator(make_sam("tiny"), frozen=False, released=released)
        noise = generator(image, Prompts(torch.tensor([0]), boxes=torch.tensor([[1.0, 2, 30, 40]])))
        decoded = generator.sam.decode(
            generator.embed(image)[0],
            Prompts(torch.tensor([0]), boxes=torch.tensor([[1.0, 2, 30, 40]])),
            generator.head.token.weight,
        )
        assert decoded.tokens.shape[1] == 1 + 4 + 3
        first = 4 if released else 5
        head = generator.head
        embedding, early = generator.embed(image)
        features = head.mask(decoded.features) + head.late(embedding) + head.early(early)
        wanted = torch.tanh((head.mlp[0](decoded.tokens[:, first])[:, :, None, None] * features).sum(1))
        assert torch.allclose(noise[:, 0], wanted, atol=1e-5), without


def test_released_weights_fit_by_name_and_shape() -> None:
    shape = SHAPES["vit_b"]
    wide, vit, narrow = 256, 768, 32
    layout = {
        "noise_token.weight": (3, wide),
        **{f"noise_mlp.{k}.layers.{j}.weight": (narrow if j == 2 else wide, wide) for k in range(3) for j in range(3)},
        **{f"noise_mlp.{k}.layers.{j}.bias": (narrow if j == 2 else wide,) for k in range(3) for j in range(3)},
    }
    parts = {
        "noise_compress_vit_feat": {
            0: (vit, vit, 3, 3),
            1: (vit,),
            3: (vit, wide, 2, 2),
            4: (wide,),
            6: (wide, narrow, 2, 2),
        },
        "noise_embedding_encoder": {
            0: (wide, wide, 3, 3),
            1: (wide,),
            3: (wide, 64, 2, 2),
            4: (64,),
            6: (64, narrow, 2, 2),
        },
        "noise_embedding_maskfeature": {0: (64, narrow, 3, 3), 1: (64,), 3: (narrow, 64, 3, 3)},
    }
    turned = {("noise_compress_vit_feat", 3), ("noise_compress_vit_feat", 6)}
    turned |= {("noise_embedding_encoder", 3), ("noise_embedding_encoder", 6)}  # transposed convolutions: in, out
    for part, layers in parts.items():
        for number, size in layers.items():
            layout[f"{part}.{number}.weight"] = size
            layout[f"{part}.{number}.bias"] = (size[1] if (part, number) in turned else size[0],)
    state = {f"module.mask_decoder.{name}": torch.zeros(size) for name, size in layout.items()}
    state["module.mask_decoder.iou_token.weight"] = torch.zeros(1, 256)
    with torch.device("meta"):
        head = NoiseHead(shape)
    wanted = {name: tuple(value.shape) for name, value in head.state_dict().items()}
    assert {name: tuple(value.shape) for name, value in from_released(state).items()} == wanted
