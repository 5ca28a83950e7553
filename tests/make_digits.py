"""Make ``minigrad/vision/digits.npz``, the digits that come with the package, from scikit-learn's.

Run ``python tests/make_digits.py`` where scikit-learn is installed. It writes the same bytes each
time; the split into training and test images is drawn here, once, and stored with them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

OUTPUT = Path(__file__).parents[1] / "minigrad" / "vision" / "digits.npz"
TEST_SIZE = 360  # of 1797
ABOUT = (
    "Optical Recognition of Handwritten Digits (test part), by E. Alpaydin and C. Kaynak, "
    "UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49. "
    "Licence: CC BY 4.0, https://creativecommons.org/licenses/by/4.0/. "
    "Changed: stored as uint8; split into training and test images, the same people in both."
)


def split(labels: np.ndarray) -> np.ndarray:
    """Return which images are for training, such that each digit has its share of the test ones."""
    shares = np.bincount(labels) * TEST_SIZE / len(labels)
    sizes = np.floor(shares).astype(int)
    sizes[np.argsort(sizes - shares, kind="stable")[: TEST_SIZE - sizes.sum()]] += 1
    rng = np.random.default_rng(0)
    train = np.ones(len(labels), dtype=bool)
    for digit, size in enumerate(sizes):
        train[rng.permutation(np.flatnonzero(labels == digit))[:size]] = False
    return train


def make(output) -> None:
    """Write the file to `output`, a path or a binary file."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    np.savez_compressed(
        output,
        about=np.array(ABOUT),
        images=images.astype(np.uint8).reshape(-1, 8, 8),
        labels=labels.astype(np.uint8),
        train=split(labels),
    )


if __name__ == "__main__":
    make(sys.argv[1] if len(sys.argv) > 1 else OUTPUT)
