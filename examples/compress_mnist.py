"""Compress a trained network forty times and more, and lose nothing: prune, share, code.

    python examples/compress_mnist.py            LeNet-300-100 on MNIST, three seeds
    python examples/compress_mnist.py --all      LeNet-5 as well
    python examples/compress_mnist.py --help     all options

The pipeline is Deep Compression's (Han, Mao and Dally, 2016). A network is trained; most of its
weights are removed, a few at a time, while training goes on (`prune`); the weights that are left
share a few values, which are trained on (`share`); and what remains, where a weight is and which
value it has, is Huffman coded into a file (`minigrad.compress.save_compressed`). The network whose
accuracy is printed is the one read back from that file.

The rules: 5,000 training images are held out, and on them all choices were made (how much to keep
of each layer, how many bits, how many epochs). The test images are looked at once, at the very
end. Every seed is printed. Dense and compressed network see the same images, each shifted by up to
2 pixels in each direction whenever it is seen.

MNIST is looked for in --data, in the folder that MINIGRAD_DATA names and in the cache. Where there
is none, the 1,797 small digits that come with minigrad stand in for it.

Before this: minigrad/compress/__init__.py, one page on what is saved by what.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import minigrad
import minigrad.nn.functional as F
from minigrad import compress, nn, optim
from minigrad.vision import datasets, models

BATCH = 128
HELD_OUT = 5000
SHIFT = 2  # pixels


@dataclass
class Plan:
    """A network, what to keep of it, and how long to train; and what the paper reports."""

    name: str
    build: Callable[[], nn.Module]
    keep: dict[str, float]  # the share of each layer's weights that stays
    bits: int  # of a shared weight, and of a shared bias
    dense_epochs: int
    prune_epochs: int  # while weights are removed,
    tune_epochs: int  # and after that
    share_epochs: int
    dense_lr: float
    prune_lr: float
    paper: dict[str, tuple]  # layer: kept %, bits a weight, bits an index; Deep Compression
    paper_total: str


LENET_300_100 = Plan(
    name="LeNet-300-100",
    build=models.lenet_300_100,
    keep={"1.weight": 0.054, "3.weight": 0.09, "5.weight": 0.48},
    bits=4,
    dense_epochs=10,
    prune_epochs=5,
    tune_epochs=9,
    share_epochs=1,
    dense_lr=0.002,
    prune_lr=0.003,
    paper={"1.weight": (8, 4.4, 3.7), "3.weight": (9, 4.4, 4.3), "5.weight": (26, 4.3, 3.2)},
    paper_total="40x, error 1.64 % -> 1.58 %",
)
LENET_5 = Plan(
    name="LeNet-5",
    build=models.lenet5,
    keep={"0.weight": 0.6, "2.weight": 0.14, "5.weight": 0.055, "7.weight": 0.25},
    bits=5,
    dense_epochs=4,
    prune_epochs=2,
    tune_epochs=3,
    share_epochs=1,
    dense_lr=0.002,
    prune_lr=0.002,
    paper={
        "0.weight": (66, 7.2, 1.5),
        "2.weight": (12, 7.2, 3.9),
        "5.weight": (8, 4.5, 4.5),
        "7.weight": (19, 5.2, 3.7),
    },
    paper_total="39x, error 0.80 % -> 0.74 %",
)


# --------------------------------------------------------------------------------- the pipeline


def prune(model, data, plan, rng):
    """Remove weights step by step, train on, and return the masks.

    The share that stays falls from one half along a cubic curve: fast while there is much to
    remove, slowly at the end (Zhu and Gupta, 2017, To prune, or not to prune, equation 1).
    """
    epochs = plan.prune_epochs + plan.tune_epochs
    masks = {}

    def after_step(step, steps):
        nonlocal masks
        progress = min(1.0, step / steps * epochs / plan.prune_epochs)
        if step % 50 == 0 or step == steps:
            keep = {n: k + max(0.5 - k, 0) * (1 - progress) ** 3 for n, k in plan.keep.items()}
            masks = compress.sparse_masks(model, keep, scope="layer")
        compress.apply_masks(model, masks)

    train(model, data, epochs, plan.prune_lr, rng, after_step)
    return masks


def share(model, data, plan, rng):
    """Let the weights that are left, and the biases, share a few values, and train these."""
    names = [name for name, _ in model.named_parameters()]
    compress.share_weights(model, plan.bits, names=names)
    train(model, data, plan.share_epochs, 1e-4, rng)
    compress.finish_sharing(model)


def train(model, data, epochs, lr, rng, after_step=None):
    """Train as ever; call ``after_step(step, steps)`` when weights have moved."""
    model.train()
    optimizer = optim.Adam(model.parameters(), lr=lr)
    steps = epochs * (len(data.labels) // BATCH)
    schedule = optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    step = 0
    for _ in range(epochs):
        for images, labels in data.batches(rng):
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            if after_step is not None:
                after_step(step, steps)


def run(plan, data, validation, factor, seed, path):
    """Go through the whole pipeline with one seed; return the dense model and the facts."""
    start = time.perf_counter()
    plan = copy.copy(plan)
    for stage in ("dense_epochs", "prune_epochs", "tune_epochs", "share_epochs"):
        setattr(plan, stage, max(1, round(factor * getattr(plan, stage))))
    minigrad.manual_seed(seed)
    rng = np.random.default_rng(seed)

    def say(what):
        seconds = time.perf_counter() - start
        right = accuracy(model, *validation)
        print(f"  seed {seed}, {what:<32} {right:7.2%} held out, {seconds:4.0f} s", flush=True)

    model = plan.build()
    train(model, data, plan.dense_epochs, plan.dense_lr, rng)
    dense = copy.deepcopy(model)
    say(f"dense, {plan.dense_epochs} epochs")
    prune(model, data, plan, rng)
    kept = 1 - compress.sparsity(model)
    say(f"{kept:.1%} kept, {plan.prune_epochs} + {plan.tune_epochs} epochs")
    share(model, data, plan, rng)
    say(f"shared, {plan.bits} bits, {plan.share_epochs} epochs")
    return dense, compress.save_compressed(model, path)


# ----------------------------------------------------------------------------------- measuring


@minigrad.no_grad()
def accuracy(model, images, labels):
    """Return the share of images whose largest logit is at the label."""
    model.eval()
    right = 0
    for i in range(0, len(labels), 500):
        logits = model(to_tensor(images[i : i + 500])).numpy()
        right += int((logits.argmax(1) == labels[i : i + 500]).sum())
    return right / len(labels)


def print_table(plan, sizes):
    """Print what each layer takes in the file, and beside it what the paper reports."""
    print(f"\n{plan.name:<15}                  ours                  |    Deep Compression")
    print("layer      weights   kept  b/weight  b/index    bytes |   kept  b/weight  b/index")
    for size in sizes:
        if size.name not in plan.paper:
            continue
        paper = plan.paper[size.name]
        print(
            f"{size.name:<10} {size.numel:>7,} {size.nonzero / size.numel:>6.1%} "
            f"{size.code_bits / size.nonzero:>9.1f} {size.gap_code_bits / size.nonzero:>8.1f} "
            f"{size.nbytes:>8,} | {paper[0]:>5} % {paper[1]:>9} {paper[2]:>8}"
        )
    biases = [size for size in sizes if size.name not in plan.paper]
    count, stored = sum(s.numel for s in biases), sum(s.nbytes for s in biases)
    print(f"{'biases':<10} {count:>7,} {'':>25} {stored:>8,} |")
    print("(b/weight, b/index: bits for each weight kept, Huffman coded, with fillers;")
    print(" bytes: with names, codebooks and code tables)")


def print_result(plan, rows, dense_bytes):
    """Print all seeds, and their mean."""
    print(f"\n{plan.name}, test images     dense  compressed   change     bytes   factor")
    rows = np.array(rows)
    for seed, dense, small, nbytes in rows:
        print_row(f"seed {seed:.0f}", dense, small, nbytes, dense_bytes)
    _, dense, small, nbytes = rows.mean(0)
    print_row("mean", dense, small, nbytes, dense_bytes)
    print(f"  Deep Compression: {plan.paper_total}")


def print_row(what, dense, small, nbytes, dense_bytes):
    print(
        f"  {what:<22} {dense:9.2%} {small:>11.2%} {100 * (small - dense):>+8.2f} "
        f"{nbytes:>9,.0f} {dense_bytes / nbytes:>7.1f}x"
    )


# ----------------------------------------------------------------------------------------- data


class Shifted:
    """Training images that are shifted by up to `SHIFT` pixels, anew whenever they are seen."""

    def __init__(self, images, labels):
        border = [(0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)]
        padded = np.pad(images, border)
        # (N, 5, 5, 28, 28): all 25 shifts of each image, without a copy.
        self.windows = np.lib.stride_tricks.sliding_window_view(padded, (28, 28), axis=(1, 2))
        self.labels = labels

    def batches(self, rng):
        """Yield all images once, in random order."""
        order = rng.permutation(len(self.labels))
        for i in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[i : i + BATCH]
            down, right = rng.integers(0, 2 * SHIFT + 1, (2, BATCH))
            images = self.windows[chosen, down, right]
            yield to_tensor(images), minigrad.from_numpy(self.labels[chosen])


def to_tensor(images):
    """(N, 28, 28) of uint8 to a tensor (N, 1, 28, 28) from 0 to 1."""
    return minigrad.from_numpy(images[:, None].astype(np.float32) / np.float32(255))


def load_data(folder, download):
    """Return training and test images with their labels as arrays, and how often to repeat."""
    try:
        parts = [datasets.MNIST(folder, train=train, download=download) for train in (True, False)]
        name, factor = "MNIST", 1
    except datasets.DatasetNotFoundError as error:
        print(error)
        print(
            "\nMNIST is not here, so the 1,797 bundled digits of 8 x 8 stand in for it, enlarged\n"
            "to 28 x 28. What follows shows the pipeline; its numbers are not those of the paper.\n"
            "For MNIST give --download, or --data with the folder that holds it.\n"
        )
        parts = [datasets.Digits(train=train, mnist_form=True) for train in (True, False)]
        name, factor = "the bundled digits", 6  # so few batches make an epoch
    training, test = ((part.data.numpy(), part.targets.numpy()) for part in parts)
    return name, training, test, factor


def hold_out(images, labels, seed):
    """Return the training images, to be shifted, and those held out."""
    order = np.random.default_rng(seed).permutation(len(labels))
    held_out = min(HELD_OUT, len(order) // 10)
    kept, held = order[held_out:], order[:held_out]
    return Shifted(images[kept], labels[kept]), (images[held], labels[held])


# ----------------------------------------------------------------------------------------- main


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Compress networks on MNIST: prune, share weights, Huffman coding.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--all", action="store_true", help="LeNet-5 as well")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one run for each")
    parser.add_argument("--epochs", type=float, default=1.0, help="times as many epochs")
    parser.add_argument("--data", default="data", metavar="DIR", help="where MNIST is, or shall be")
    parser.add_argument("--download", action="store_true", help="download MNIST if it is nowhere")
    parser.add_argument(
        "--out", default="runs/compress_mnist", metavar="DIR", help="for the compressed files"
    )
    args = parser.parse_args()
    if not 0 < args.epochs < float("inf"):
        parser.error(f"--epochs {args.epochs} is not a positive factor")
    return args


def main():
    args = parse_arguments()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    name, training, test, factor = load_data(args.data, args.download)
    factor *= args.epochs
    for plan in [LENET_300_100, LENET_5] if args.all else [LENET_300_100]:
        model = plan.build()
        dense_bytes = 4 * sum(p.numel() for p in model.parameters())
        print(f"\n{plan.name} on {name}: {dense_bytes // 4:,} parameters, {dense_bytes:,} bytes")
        runs = []
        for seed in args.seeds:
            data, validation = hold_out(*training, seed)
            path = out / f"{plan.name.lower()}-seed{seed}.mgc"
            runs.append((seed, path, *run(plan, data, validation, factor, seed, path)))
        print_table(plan, runs[0][-1])
        rows = []
        for seed, path, dense, _ in runs:  # all choices are made: now the test images
            model.load_state_dict(compress.load_compressed(path))
            nbytes = path.stat().st_size
            rows.append((seed, accuracy(dense, *test), accuracy(model, *test), nbytes))
        print_result(plan, rows, dense_bytes)
    print(f"\nthe compressed files are in {out}/")


if __name__ == "__main__":
    main()
