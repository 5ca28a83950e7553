"""Compress a trained network forty times and more, and lose nothing: prune, share, code.

    python examples/compress_mnist.py            LeNet-300-100 on MNIST, three seeds
    python examples/compress_mnist.py --all      LeNet-5 as well
    python examples/compress_mnist.py --control  and the dense network trained on for as long
    python examples/compress_mnist.py --help     all options

The pipeline is Deep Compression's (Han, Mao and Dally, 2016). A network is trained; most of its
weights are removed, a few at a time, while training goes on (`prune`); the weights that are left
share a few values, which are trained on (`share`); and what remains, where a weight is and which
value it has, is Huffman coded into a file (`minigrad.compress.save_compressed`). The network whose
accuracy is printed is the one read back from that file.

The rules: 5,000 training images are held out (of the small digits a tenth), and on them all
choices were made (how much to keep of each layer, how many bits, how many epochs, which learning
rates, how far images are shifted). The test images are looked at once, at the very end. Every seed
is printed, and for how many epochs each network was trained: the compressed one begins as the
dense one, and so has seen more. --control also trains the dense one on for as long as that. All
see the same kind of images, each shifted by up to 1 pixel in each direction whenever it is seen.

MNIST is looked for in --data, in the folder that MINIGRAD_DATA names and in the cache. Where there
is none, the 1,797 small digits that come with minigrad stand in for it.

Before this: minigrad/compress/__init__.py, one page on what is saved by what. Next:
examples/prune_cnn.py, where a network gets faster.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import minigrad
import minigrad.nn.functional as F
from minigrad import compress, nn, optim
from minigrad.vision import datasets, models

BATCH = 128
HELD_OUT = 5000
SHIFT = 1  # pixels
SHARE_LR = 3e-4  # of the centroids


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
    paper: dict[str, tuple]  # layer: kept %, bits a weight, bits an index; see print_table
    paper_table: int  # of that paper
    paper_total: str

    @property
    def pipeline_epochs(self) -> int:
        """Return the epochs of all three stages of the pipeline."""
        return self.prune_epochs + self.tune_epochs + self.share_epochs

    def times(self, factor: float) -> Plan:
        """Return a plan with `factor` times as many epochs, at least one in each stage."""
        stages = ("dense_epochs", "prune_epochs", "tune_epochs", "share_epochs")
        epochs = {stage: max(1, round(factor * getattr(self, stage))) for stage in stages}
        return replace(self, **epochs)


LENET_300_100 = Plan(
    name="LeNet-300-100",
    build=models.lenet_300_100,
    keep={"1.weight": 0.073, "3.weight": 0.14, "5.weight": 1.0},  # the last is small: all of it
    bits=5,
    dense_epochs=14,
    prune_epochs=9,  # slowly, and at a high learning rate
    tune_epochs=9,
    share_epochs=1,
    dense_lr=0.002,
    prune_lr=0.005,
    paper={"1.weight": (8, 4.4, 3.7), "3.weight": (9, 4.4, 4.3), "5.weight": (26, 4.3, 3.2)},
    paper_table=2,
    paper_total="40x, 98.36 % -> 98.42 %",
)
LENET_5 = Plan(
    name="LeNet-5",
    build=models.lenet5,
    keep={"0.weight": 0.6, "2.weight": 0.14, "5.weight": 0.055, "7.weight": 0.25},
    bits=5,
    dense_epochs=6,
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
    paper_table=3,
    paper_total="39x, 99.20 % -> 99.26 %",
)


# --------------------------------------------------------------------------------- the pipeline


def prune(model, data, plan, rng):
    """Remove weights step by step, train on, and return the masks.

    The share that stays falls from one half along a cubic curve: fast while there is much to
    remove, slowly at the end. It is `compress.iterative` with a cut every 50 steps.
    """
    epochs = plan.prune_epochs + plan.tune_epochs
    masks = {}

    def after_step(step, steps):
        nonlocal masks
        progress = min(1.0, step / steps * epochs / plan.prune_epochs)
        if step % 50 == 0 or step == steps:
            keep = {n: compress.cubic(progress, k, max(0.5, k)) for n, k in plan.keep.items()}
            masks = compress.sparse_masks(model, keep, scope="layer")
        compress.apply_masks(model, masks)

    train(model, data, epochs, plan.prune_lr, rng, after_step)
    return masks


def share(model, data, plan, rng):
    """Let the weights that are left, and the biases, share a few values, and train these."""
    names = [name for name, _ in model.named_parameters()]
    compress.share_weights(model, plan.bits, names=names)
    train(model, data, plan.share_epochs, SHARE_LR, rng)
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


def run_seeds(plan, training, control, seeds, paths):
    """Run the pipeline for every seed, several at a time: one process on each core."""
    pipeline = partial(run, plan, training, control)
    processes = min(len(seeds), minigrad.get_num_threads())
    if processes == 1:
        return list(map(pipeline, seeds, paths))
    one_thread = dict(initializer=minigrad.set_num_threads, initargs=(1,))
    with ProcessPoolExecutor(processes, get_context("spawn"), **one_thread) as pool:
        return list(pool.map(pipeline, seeds, paths))


def run(plan, training, control, seed, path):
    """Go through the whole pipeline with one seed; return the dense networks and the sizes."""
    start = time.process_time()
    data, validation = hold_out(*training, seed)
    minigrad.manual_seed(seed)
    rng = np.random.default_rng(seed)

    def say(what, model):
        seconds = time.process_time() - start
        right = accuracy(model, *validation)
        print(
            f"  seed {seed}, {what:<32} {right:7.2%} held out, {seconds:4.0f} s of CPU", flush=True
        )

    model = plan.build()
    train(model, data, plan.dense_epochs, plan.dense_lr, rng)
    dense = [copy.deepcopy(model)]
    say(f"dense, {in_epochs(plan.dense_epochs)}", model)
    prune(model, data, plan, rng)
    kept = 1 - compress.sparsity(model)
    say(f"{kept:.1%} kept, {plan.prune_epochs} + {in_epochs(plan.tune_epochs)}", model)
    share(model, data, plan, rng)
    say(f"shared, {plan.bits} bits, {in_epochs(plan.share_epochs)}", model)
    sizes = compress.save_compressed(model, path)
    if control:
        dense.append(copy.deepcopy(dense[0]))
        train(dense[1], data, plan.pipeline_epochs, plan.dense_lr, rng)
        say(f"dense, {plan.dense_epochs} + {plan.pipeline_epochs} epochs", dense[1])
    return dense, sizes


def in_epochs(count):
    return f"{count} epoch" + "s" * (count != 1)


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
    """Print what each layer takes in the file, and beside it what the paper reports.

    Han, Mao and Dally (2016), table 2 (LeNet-300-100) and table 3 (LeNet-5), columns "Weights %
    (P)", "Weight bits (P+Q+H)" and "Index bits (P+Q+H)"; the totals are those of table 1.
    """
    theirs = f"Deep Compression, table {plan.paper_table}"
    print(f"\n{plan.name:<15}                  ours                  |    {theirs}")
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
    print(
        "(b/weight, b/index: bits for each weight kept, Huffman coded, with fillers; where an index"
    )
    print(
        " takes 0.0, all weights are stored, zeros too; bytes: with names, codebooks, code tables)"
    )


def print_result(plan, rows, dense_bytes):
    """Print all seeds, and their mean."""
    more = f"{plan.dense_epochs} + {plan.pipeline_epochs} epochs"
    dense = in_epochs(plan.dense_epochs)
    print(f"\n{plan.name} on the test images; dense: {dense}, compressed: {more}")
    control = [f"dense, {more}"] if len(rows[0][1]) > 1 else []
    titles = ["dense", "compressed", "change", "bytes", "factor", *control]
    print(f"{'':8}" + "".join(f"{title:>12}" for title in titles[:5]) + "  ".join(["", *control]))
    for seed, right, small, nbytes in rows:
        print_row(f"seed {seed}", right, small, nbytes, dense_bytes)
    mean = [np.mean([row[i] for row in rows], axis=0) for i in (1, 2, 3)]
    print_row("mean", *mean, dense_bytes)
    print(f"Deep Compression, table 1: {plan.paper_total}")
    print(f"(trained on images that are shifted by up to {SHIFT} pixel; theirs are not shifted)")


def print_row(what, dense, small, nbytes, dense_bytes):
    change, factor = 100 * (small - dense[0]), dense_bytes / nbytes
    row = (
        f"{what:<8}{dense[0]:>12.2%}{small:>12.2%}{change:>+12.2f}{nbytes:>12,.0f}{factor:>11.1f}x"
    )
    print(row + "".join(f"  {accuracy:.2%}" for accuracy in dense[1:]))


# ----------------------------------------------------------------------------------------- data


class Shifted:
    """Training images that are shifted by up to `SHIFT` pixels, anew whenever they are seen."""

    def __init__(self, images, labels):
        border = [(0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)]
        padded = np.pad(images, border)
        # (N, 3, 3, 28, 28): all 9 shifts of each image, without a copy.
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
    parser.add_argument(
        "--seeds", type=not_negative, nargs="+", default=[0, 1, 2], help="one run for each"
    )
    parser.add_argument("--control", action="store_true", help="train the dense network on, too")
    parser.add_argument(
        "--epochs", type=float, default=1.0, metavar="FACTOR",
        help="train for so many times as many epochs in each stage",
    )  # fmt: skip
    parser.add_argument("--data", default="data", metavar="DIR", help="where MNIST is, or shall be")
    parser.add_argument("--download", action="store_true", help="download MNIST if it is nowhere")
    parser.add_argument(
        "--out", default="runs/compress_mnist", metavar="DIR", help="for the compressed files"
    )
    args = parser.parse_args()
    if not 0 < args.epochs < float("inf"):
        parser.error(f"--epochs {args.epochs} is not a positive factor")
    return args


def not_negative(text):
    if not int(text) >= 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return int(text)


def main():
    args = parse_arguments()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    name, training, test, factor = load_data(args.data, args.download)
    factor *= args.epochs
    for plan in [LENET_300_100, LENET_5] if args.all else [LENET_300_100]:
        plan, model = plan.times(factor), plan.build()
        dense_bytes = 4 * sum(p.numel() for p in model.parameters())
        print(f"\n{plan.name} on {name}: {dense_bytes // 4:,} parameters, {dense_bytes:,} bytes")
        paths = [out / f"{plan.name.lower()}-seed{seed}.mgc" for seed in args.seeds]
        runs = run_seeds(plan, training, args.control, args.seeds, paths)
        print_table(plan, runs[0][1])
        rows = []
        for seed, path, (dense, _) in zip(args.seeds, paths, runs):  # all is chosen: now the test
            model.load_state_dict(compress.load_compressed(path))
            right = np.array([accuracy(network, *test) for network in dense])
            rows.append((seed, right, accuracy(model, *test), path.stat().st_size))
        print_result(plan, rows, dense_bytes)
    print(f"\nthe compressed files are in {out}/")


if __name__ == "__main__":
    main()
