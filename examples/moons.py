"""Train a small network on points in the plane, and draw the border that it learns.

    python examples/moons.py                    two half moons
    python examples/moons.py --data spiral      three spiral arms
    python examples/moons.py --help             all options

Points in the plane can be drawn whole: which side of the border each lies on, and how sure the
network is there. A straight line separates neither data set; two hidden layers do.

Before this: ``01_your_own_op.py``. Next: ``mnist.py``, the same loop on images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import minigrad
import minigrad.nn.functional as F
from minigrad import nn, optim
from minigrad.viz import plots


def moons(count, noise=0.15, seed=0):
    """Return points of two half circles that reach into each other, and which one each is of.

    Returns
    -------
    points : ndarray of float32, shape (count, 2)
    labels : ndarray of int64, shape (count,)
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    angle = np.pi * rng.uniform(size=count)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = [1, 0.5] - upper  # turned by half a circle and moved into the other's bay
    points = np.where(labels[:, None] == 0, upper, lower)
    return (points + noise * rng.standard_normal((count, 2))).astype("f4"), labels


def spiral(count, arms=3, noise=0.03, seed=0):
    """Return points of arms that wind around the origin, and which arm each is of.

    Shapes as of `moons`.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % arms
    radius = np.sqrt(rng.uniform(0.01, 1, size=count))
    angle = 4 * radius + 2 * np.pi * labels / arms
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return (points + noise * rng.standard_normal((count, 2))).astype("f4"), labels


DATA = {"moons": moons, "spiral": spiral}


def train(model, points, labels, steps, lr):
    """Train on all points at once, and print the loss ten times."""
    optimizer = optim.Adam(model.parameters(), lr=lr)
    for step in range(1, steps + 1):
        loss = F.cross_entropy(model(points), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % max(steps // 10, 1) == 0:
            print(f"step {step:>4}  loss {loss.item():.4f}")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--data", choices=DATA, default="moons", help="which points")
    parser.add_argument("--hidden", type=positive, default=32, help="units in each hidden layer")
    parser.add_argument("--steps", type=positive, default=500, help="passes over all points")
    parser.add_argument("--lr", type=float, default=0.02, help="learning rate of Adam")
    parser.add_argument("--seed", type=not_negative, default=0, help="of weights and points")
    parser.add_argument("--out", default="runs/moons", metavar="DIR", help="for the picture")
    return parser.parse_args()


def positive(text):
    if not int(text) > 0:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return int(text)


def not_negative(text):
    if not int(text) >= 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return int(text)


def main():
    args = parse_arguments()
    minigrad.manual_seed(args.seed)
    points, labels = DATA[args.data](300, seed=args.seed)
    others, their_labels = DATA[args.data](300, seed=args.seed + 1)  # never trained on

    model = nn.Sequential(
        nn.Linear(2, args.hidden),
        nn.Tanh(),
        nn.Linear(args.hidden, args.hidden),
        nn.Tanh(),
        nn.Linear(args.hidden, int(labels.max()) + 1),
    )
    train(model, minigrad.tensor(points), minigrad.tensor(labels), args.steps, args.lr)
    guesses = model(minigrad.tensor(others)).argmax(1).numpy()
    print(f"accuracy on 300 new points: {(guesses == their_labels).mean():.1%}")

    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    plots.decision_boundary(model, others, their_labels).savefig(out / f"{args.data}.png", dpi=120)
    print(f"the border: {out / args.data}.png")


if __name__ == "__main__":
    main()
