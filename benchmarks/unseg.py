# SPDX-License-Identifier: Apache-2.0
"""What UnSeg costs: pictures a second, what a shared embedding and fused attention save, memory, and a training step.

    python benchmarks/unseg.py --encoder vit_s

Weights are random, which changes no time. Everything is computed; nothing is read from a data set.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tables import markdown, provenance

from umed.core.types import Regions
from umed.methods.unseg.generator_file import FILE, Origin, make_generator, save_generator
from umed.methods.unseg.method import UnSeg
from umed.methods.unseg.prompts import mask_prompts
from umed.methods.unseg.square_batches import Squares
from umed.methods.unseg.trainer import UnSegTrainer
from umed.networks.noise_head import UnSegGenerator
from umed.networks.sam import make_sam
from umed.networks.sam_package import modeling
from umed.plan.regions import make_regions
from umed.training.bilevel import BatchLoader

INSTANCES = 4


def median_of(*works: Callable[[], Any], times: int = 5) -> list[float]:
    """Median seconds of each of several works, in turns, so that a noisy machine is noisy for all of them."""
    found: list[list[float]] = [[] for _ in works]
    for work in works:
        work()
    for _ in range(times):
        for seconds, work in zip(found, works, strict=True):
            begin = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - begin)
    return [float(np.median(seconds)) for seconds in found]


def make_labels(size: int, instances: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Squares side by side."""
    labels, side = np.zeros((size, size), np.int16), size // (2 * instances)
    for k in range(instances):
        labels[size // 3 : size // 3 + side, 2 * k * side : 2 * k * side + side] = 1
    return labels


def measure_inference(method: UnSeg, size: int, batch: int) -> list[list[str]]:
    """Pictures one by one and slices in batches, with one and with several instances."""
    rng, rows = np.random.default_rng(0), []
    picture = torch.from_numpy(rng.random((3, size, size), np.float32))
    slices = torch.from_numpy(rng.random((1, size, size, batch), np.float32))
    for instances in (1, INSTANCES):
        flat = make_labels(size, instances)
        volume = np.repeat(flat[..., None], batch, 2)
        one = make_regions(flat, radius=3, full=True)
        many = make_regions(volume, radius=3, full=True, slice_axis=2)

        def work(image: torch.Tensor, regions: Regions) -> Callable[[], Any]:
            return lambda: method.direction(image, regions, rng)

        alone, together = median_of(work(picture, one), work(slices, many))
        rows.append([f"pictures, {instances} instances each", f"{1 / alone:.1f} a second"])
        rows.append([f"slices, {batch} together, {instances} instances each", f"{batch / together:.1f} a second"])
    return rows


def measure_sharing(generator: UnSegGenerator) -> list[list[str]]:
    """One embedding for several prompts, beside one for each."""
    size, mask_size = generator.sam.shape.image_size, generator.sam.shape.mask_size
    image = torch.rand(1, 3, size, size)
    mask = torch.zeros(INSTANCES, 1, size, size, dtype=torch.bool)
    for k in range(INSTANCES):
        mask[k, :, 8 * k : 8 * k + 8, 8 * k : 8 * k + 8] = True
    shared = mask_prompts(mask, mask_size, image=torch.zeros(INSTANCES, dtype=torch.int64))
    single = mask_prompts(mask[:1], mask_size)
    with torch.no_grad():
        once, each = median_of(
            lambda: generator.noise(generator.embed(image), shared),
            lambda: [generator(image, single) for _ in range(INSTANCES)],
        )
    return [[f"{INSTANCES} instances, an embedding for each / one for all", f"{each / once:.2f} times"]]


def measure_attention(encoder: str) -> list[list[str]]:
    """The package's attention beside the fused one, in the encoder alone, forward, and forward with backward."""
    fused = make_sam(encoder).eval()
    plain = make_sam(encoder).eval()
    modeling()
    from segment_anything.modeling.image_encoder import Attention

    for block in plain.sam.image_encoder.blocks:  # type: ignore[union-attr]
        mine: Any = block.attn  # type: ignore[union-attr]
        side = (len(mine.rel_pos_h) + 1) // 2
        theirs = Attention(mine.qkv.in_features, mine.num_heads, use_rel_pos=True, input_size=(side, side))
        theirs.load_state_dict(mine.state_dict())
        block.attn = theirs  # type: ignore[union-attr]
    image = torch.rand(2, 3, fused.shape.image_size, fused.shape.image_size)

    def forward(network: Any) -> None:
        with torch.no_grad():
            network.embed(image)

    def both(network: Any) -> None:
        torch.autograd.backward(network.embed(image)[0].square().mean())

    rows = []
    for name, work in (("forward", forward), ("forward and backward", both)):
        old, new = median_of(lambda work=work: work(plain), lambda work=work: work(fused), times=3)  # type: ignore[misc]
        rows.append([f"encoder, {name}: the package's attention / fused", f"{old / new:.2f} times"])
    return rows


def measure_training(encoder: str, batch: int) -> list[list[str]]:
    """Seconds an iteration of each network."""
    generator, _ = make_generator(encoder)
    surrogate = make_sam(encoder)
    size = surrogate.shape.image_size
    mask = torch.from_numpy(make_labels(size, 1) > 0).expand(batch, 1, -1, -1)
    squares = Squares(torch.rand(batch, 3, size, size), mask, torch.zeros(batch, 1, 1, 1, dtype=torch.bool))
    trainer = UnSegTrainer(
        device=torch.device("cpu"),
        epochs=4,
        loader=BatchLoader([squares] * 4, 1),
        generator=generator,
        surrogate=surrogate,
        learning_rate=1e-4,
        epsilon=1 / 255,
    )
    stamps = [time.perf_counter()]
    from ignite.engine import Events

    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda _: stamps.append(time.perf_counter()))
    trainer.run()
    first, *rest = np.diff(stamps).tolist()
    return [
        [f"training, surrogate's iteration, batch {batch}", f"{first:.2f} s"],
        [f"training, generator's iteration, batch {batch}", f"{np.median(rest):.2f} s"],
    ]


PROTECT = """
import resource, sys, time
from umed import protect
root, warm, generators, out = sys.argv[1:5]
protect(warm, out + "-warm", method="unseg", generators=generators, report=False)  # imports, thread pools
begin = time.perf_counter()
protect(root, out, method="unseg", generators=generators, report=False)
print(time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def measure_protect(scratch: Path, generators: Path, size: int, count: int) -> list[list[str]]:
    """The whole of ``umed protect``, from file to checked file, in a fresh process."""
    rng = np.random.default_rng(0)
    for name, many in (("warm", 1), ("in", count)):
        for k in range(many):
            for part, array in (
                ("images", rng.integers(64, 192, (size, size, 3), np.uint8)),
                ("masks", make_labels(size, 1).astype(np.uint8) * 255),
            ):
                path = scratch / name / part / f"p{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
    words = [str(scratch / name) for name in ("in", "warm")] + [str(generators), str(scratch / "out")]
    done = subprocess.run([sys.executable, "-c", PROTECT, *words], stdout=subprocess.PIPE, text=True, check=True)
    seconds, kilobytes = (float(word) for word in done.stdout.split()[-2:])
    return [
        [f"umed protect, {count} pictures of {size} px, files included", f"{count / seconds:.1f} a second"],
        ["peak memory of the process", f"{kilobytes / 2**20:.2f} GiB"],
    ]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="vit_s")
    parser.add_argument("--size", type=int, default=256, help="side of the pictures, px")
    parser.add_argument("--batch", type=int, default=8, help="slices together")
    parser.add_argument("--count", type=int, default=100, help="pictures of umed protect")
    parser.add_argument("--no-training", action="store_true", help="large encoders need much memory for it")
    args = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        generator, _ = make_generator(args.encoder)
        with torch.no_grad():
            for mlp in generator.head.mlp:
                mlp[-1].weight.mul_(50)  # type: ignore[index, union-attr]  # loud, so that no rounding hides it
        save_generator(generator, args.encoder, Origin("random"), scratch / FILE)
        method = UnSeg(encoder=args.encoder)
        method.load(scratch)
        method._slice_axis = 2
        rows = measure_inference(method, args.size, args.batch)
        rows += measure_sharing(method.generator)
        rows += measure_attention(args.encoder)
        rows += [] if args.no_training else measure_training(args.encoder, 4)
        rows += measure_protect(scratch, scratch / FILE, args.size, args.count)
    weights = sum(weight.numel() for weight in method.generator.parameters())
    print(f"{args.encoder}, {weights / 1e6:.1f} M weights\n\n{markdown(['what', 'figure'], rows)}\n\n{provenance()}")


if __name__ == "__main__":
    main()
