"""Train a CNN, take most of it away, and see that it is smaller, faster and as good.

    python examples/prune_cnn.py                      MNIST, down to 15 % of the operations
    python examples/prune_cnn.py --flops 0.08 --score taylor
    python examples/prune_cnn.py --help               all options

What happens: (1) a CNN is trained; (2) a sensitivity scan takes channels out of each layer alone
and looks at the accuracy; (3) a budget decides how much every layer loses, tolerant layers more
than sensitive ones; (4) the channels are removed, which leaves an ordinary, smaller network, and
that is trained a little more; (2) to (4) again, down to the budget; (5) both networks are
measured side by side, and what each was trained for is printed. All choices are made on held-out
images; the test images are used once, in the last table.

MNIST is looked for in --data, in the folder that MINIGRAD_DATA names and in the cache, and
downloaded with --download. Where there is none, the 1,797 small digits that come with minigrad
stand in for it.

Before this: examples/mnist.py, for the training loop; minigrad/compress/strategies.py. Next:
minigrad/compress/structure.py and sensitivity.py.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import minigrad
import minigrad.nn.functional as F
from minigrad import nn, optim
from minigrad.compress import BudgetError, CutChannels, Structure, compare, iterative
from minigrad.utils.data import DataLoader, random_split
from minigrad.vision import datasets, transforms

SCORES = ["l1", "l2", "taylor", "random"]  # ("bn" needs a batch norm behind every layer)


def cnn(width: int) -> nn.Sequential:
    """Return the network: two convolutions with batch norm, then two linear layers."""
    return nn.Sequential(
        nn.Conv2d(1, width, 5, bias=False),  # 24 x 24
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),  # 12 x 12
        nn.Conv2d(width, 2 * width, 5, bias=False),  # 8 x 8
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.MaxPool2d(2),  # 4 x 4
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(2 * width * 4 * 4, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def train(model, loader, epochs, lr):
    """Train the model in place, with a learning rate that rises and falls once."""
    optimizer = optim.Adam(model.parameters(), lr=lr)  # a new one: it holds these parameters
    schedule = optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=epochs * len(loader), cycle_momentum=False
    )
    model.train()
    for _ in range(epochs):
        for images, labels in loader:
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def gradients(model, loader, batches=20):
    """Leave in ``.grad`` what a Taylor score needs: the gradient over a few batches."""
    model.eval()
    model.zero_grad()
    for (images, labels), _ in zip(loader, range(batches)):
        F.cross_entropy(model(images), labels).backward()


@minigrad.no_grad()
def accuracy(model, loader):
    """Return the share of images whose largest logit is at the label."""
    model.eval()
    right = [(model(images).argmax(1) == labels).sum().item() for images, labels in loader]
    return sum(right) / len(loader.dataset)


def load_data(folder, download, seed):
    """Return training, held-out and test images, and how many epochs suit them."""
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.13,), (0.31,))])
    try:
        training = datasets.MNIST(folder, train=True, transform=transform, download=download)
        test = datasets.MNIST(folder, train=False, transform=transform, download=download)
        name, held_out, epochs = "MNIST", 5000, 3
    except datasets.DatasetNotFoundError as error:
        print(error)
        print(
            "\nMNIST is not here, so the 1,797 bundled digits of 8 x 8 stand in for it, enlarged\n"
            "to 28 x 28. For MNIST give --download, or --data with the folder that holds it.\n"
        )
        training = datasets.Digits(train=True, transform=transform, mnist_form=True)
        test = datasets.Digits(train=False, transform=transform, mnist_form=True)
        name, held_out, epochs = "the bundled digits", 300, 12
    generator = minigrad.Generator().manual_seed(seed)
    sizes = [len(training) - held_out, held_out]
    kept, validation = random_split(training, sizes, generator=generator)
    print(f"data: {name}, {sizes[0]:,} to train, {held_out:,} held out, {len(test):,} to test")
    return kept, validation, test, epochs


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Prune the channels of a CNN.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--flops", type=share, default=0.15, help="what may be left of the FLOPs")
    parser.add_argument("--rounds", type=positive, default=2, help="of pruning and fine-tuning")
    parser.add_argument("--score", choices=SCORES, default="l1", help="what makes a channel matter")
    parser.add_argument("--width", type=positive, default=24, help="channels of the first layer")
    parser.add_argument(
        "--epochs", type=positive, default=argparse.SUPPRESS,
        help="before pruning, and half of each round's (default: 3 of MNIST, 12 of the digits)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", default="data", metavar="DIR", help="where MNIST is, or shall be")
    parser.add_argument("--download", action="store_true", help="download MNIST if it is nowhere")
    parser.add_argument("--out", default="runs/prune_cnn", metavar="DIR", help="for the picture")
    return parser.parse_args()


def positive(text):
    if not int(text) > 0:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return int(text)


def share(text):
    if not 0 < float(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share above 0, up to 1")
    return float(text)


def main():
    args, start = parse_arguments(), time.perf_counter()
    minigrad.manual_seed(args.seed)
    training, validation, test, epochs = load_data(args.data, args.download, args.seed)
    epochs = getattr(args, "epochs", epochs)
    loader = DataLoader(training, batch_size=128, shuffle=True)
    held_out, example = DataLoader(validation, batch_size=500), minigrad.randn(128, 1, 28, 28)

    def evaluate(network):
        return accuracy(network, held_out)

    def said(text):
        print(f"[{time.perf_counter() - start:5.1f} s] {text}")

    model = cnn(args.width)
    train(model, loader, epochs, lr=0.004)
    said(f"trained for {epochs} epochs: {evaluate(model):.2%} of the held-out images")

    untrained = []  # the accuracy right after each cut

    def fine_tune(network):
        untrained.append(evaluate(network))
        train(network, loader, 2 * epochs, lr=0.002)

    cut = CutChannels(
        model, example, by="flops", spread="sensitivity", evaluate=evaluate, score=args.score,
        gradients=lambda network: gradients(network, loader) if args.score == "taylor" else None,
    )  # fmt: skip
    rounds = iterative(
        model, fine_tune, args.flops,
        rounds=args.rounds, schedule="exponential", cut=cut, evaluate=evaluate,
    )  # fmt: skip
    for step in rounds:
        if step.round == 1:
            print(f"\nwithout a share of a layer's channels, untrained:\n{cut.sensitivity}\n")
            draw(cut.sensitivity, Path(args.out))
        small = step.model
        sizes = [group.size for group in Structure(small, example).groups.values() if group.size]
        said(
            f"round {step.round}: {step.left:.1%} of the FLOPs, channels {sizes}, "
            f"held-out {untrained[-1]:.2%}, fine-tuned {step.score:.2%}"
        )

    tests = DataLoader(test, batch_size=500)
    report = compare({"before": model, "after": small}, example, lambda m: accuracy(m, tests))
    print(f"\n{report}\n")
    print(
        f"epochs of training, before: {epochs}, after: {epochs * (1 + 2 * args.rounds)} in all "
        "(part of any gain is the longer training)\n"
        "ms/batch is a forward pass of 128 images, accuracy is on the test set"
    )
    print(f"total time: {time.perf_counter() - start:.0f} s")


def draw(sensitivity, folder):
    """Write the picture of the scan, where matplotlib is installed."""
    try:
        figure = sensitivity.plot()
    except ImportError:
        print("(no picture: matplotlib is not installed)")
        return
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "sensitivity.png", dpi=120)
    print(f"picture: {folder / 'sensitivity.png'}")


if __name__ == "__main__":
    try:
        main()
    except BudgetError as error:
        raise SystemExit(str(error)) from None
