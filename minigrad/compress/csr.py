"""The survivors of a mask, stored: CSR, the format of sparse linear algebra.

A mask alone saves nothing: zeros are stored and multiplied like other numbers. CSR stores the
entries that are not zero, and where they are. It is the simplest format that saves bytes;
``container.py`` saves more of them.

Before this: ``sparse.py``. Next: ``quantize.py``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .. import backend
from .._errors import message
from .._tensor import Tensor
from ..nn.module import Module
from ..serialize import BadFileError, load, save

__all__ = ["CSR", "load_sparse", "save_sparse"]

MAX_ENTRIES = 2**28  # a gigabyte of float32: what a sparse file may unfold to, unless told more


@dataclass
class CSR:
    """A matrix of mostly zeros: its other entries, row by row ("compressed sparse row").

    Row i has its entries at ``data[indptr[i]:indptr[i + 1]]``, in the columns that ``indices``
    gives for the same places. An array with more axes than two counts as a matrix with its first
    axis as rows; a vector is one row.

    Attributes
    ----------
    data : numpy.ndarray, shape (nnz,)
        The entries that are not zero.
    indices : numpy.ndarray of the smallest unsigned dtype that fits, shape (nnz,)
        Their columns, ascending in each row.
    indptr : numpy.ndarray of uint32 (or uint64), shape (rows + 1,)
        Where rows begin and end.
    shape : tuple of int
        The shape of the array that was stored.
    """

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    shape: tuple[int, ...]

    @classmethod
    def from_dense(cls, x: Tensor | np.ndarray) -> CSR:
        """Store an array of at least one axis."""
        array = backend.to_numpy(x.array if isinstance(x, Tensor) else x)
        if array.ndim == 0:
            raise ValueError(message("CSR", "a number has no rows.", expect="one axis or more"))
        rows, columns = _matrix_shape(array.shape)
        matrix = array.reshape(rows, columns)
        row, column = np.nonzero(matrix)
        ends = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows))])
        return cls(
            matrix[row, column],
            column.astype(np.min_scalar_type(max(columns - 1, 0))),
            ends.astype(np.uint32 if array.size < 2**32 else np.uint64),
            array.shape,
        )

    def to_dense(self) -> np.ndarray:
        """Return the array with its zeros."""
        matrix = np.zeros(_matrix_shape(self.shape), self.data.dtype)
        matrix[self._rows(), self.indices] = self.data
        return matrix.reshape(self.shape)

    def __matmul__(self, x: np.ndarray) -> np.ndarray:
        """Return the matrix times x (columns, N), touching only what is stored.

        Measure it against the dense product before you believe that a tenth of the work takes a
        tenth of the time: each entry now fetches a row of x from somewhere in memory.
        """
        y = np.zeros((_matrix_shape(self.shape)[0], x.shape[1]), np.result_type(self.data, x))
        filled = np.flatnonzero(np.diff(self.indptr.astype(np.int64)))  # reduceat trips over empty
        if filled.size:
            products = self.data[:, None] * x[self.indices]
            y[filled] = np.add.reduceat(products, self.indptr[filled].astype(np.int64))
        return y

    @property
    def nbytes(self) -> int:
        """Bytes of the three arrays."""
        return self.data.nbytes + self.indices.nbytes + self.indptr.nbytes

    def _rows(self) -> np.ndarray:
        counts = np.diff(self.indptr.astype(np.int64))
        return np.repeat(np.arange(len(counts)), counts)

    def problem(self) -> str | None:
        """Say what is wrong with the three arrays, or None: they may come from a stranger."""
        rows, columns = _matrix_shape(self.shape)
        if any(a.ndim != 1 for a in (self.data, self.indices, self.indptr)):
            return "an array of it is not flat"
        if self.indices.dtype.kind != "u" or self.indptr.dtype.kind != "u":
            return "its indices are not unsigned integers"
        ends = self.indptr.astype(np.int64)
        if len(ends) != rows + 1 or ends[0] != 0 or ends[-1] != len(self.data):
            return "its rows do not begin and end where its entries do"
        if (np.diff(ends) < 0).any() or len(self.indices) != len(self.data):
            return "its rows run backwards, or entries and columns differ in number"
        if self.indices.size and int(self.indices.max()) >= columns:
            return "a column lies outside of the matrix"
        same_row = np.diff(self._rows()) == 0
        if (np.diff(self.indices.astype(np.int64))[same_row] <= 0).any():
            return "the columns of a row do not ascend"
        return None


def _matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) == 1:
        return 1, shape[0]
    return shape[0], math.prod(shape[1:])


def state_of(state, where: str) -> Mapping:
    """Return a model's state dict, or the one that is given."""
    state = state.state_dict() if isinstance(state, Module) else state
    if not isinstance(state, Mapping):
        problem, expect = "there is nothing to store in this.", "a Module, or a state_dict()"
        raise TypeError(message(where, problem, expect=expect, actual=type(state).__name__))
    return state


def save_sparse(state: Module | Mapping[str, Tensor], path: str | os.PathLike) -> int:
    """Write a model's tensors to exactly this path, each as CSR where that is smaller.

    Parameters
    ----------
    state : Module or dict of str to Tensor
        A model, or a ``state_dict()``.
    path : str or path-like
        Where to; the file is replaced at once or not at all, see `minigrad.save`.

    Returns
    -------
    int
        Bytes on disk.
    """
    tensors = {}
    for name, tensor in state_of(state, "save_sparse").items():
        if not isinstance(tensor, Tensor):
            where, actual = f"save_sparse {name!r}", type(tensor).__name__
            raise TypeError(message(where, "not a tensor.", expect="a Tensor", actual=actual))
        dense = backend.to_numpy(tensor.array)
        csr = CSR.from_dense(dense) if dense.ndim else None
        if csr is not None and csr.nbytes < dense.nbytes:
            tensors[name] = (list(csr.shape), csr.data, csr.indices, csr.indptr)
        else:
            tensors[name] = dense
    save({"sparse": 1, "tensors": tensors}, path)
    return os.path.getsize(path)


def load_sparse(path: str | os.PathLike, *, max_entries: int = MAX_ENTRIES) -> dict[str, Tensor]:
    """Read what `save_sparse` wrote: a ``state_dict`` for ``model.load_state_dict``.

    Parameters
    ----------
    path : str or path-like
    max_entries : int
        Refuse a file that unfolds to more numbers than this: a small sparse file can declare a
        matrix that is larger than memory.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    BadFileError
        If the file is damaged, of another kind, or unfolds to too much.
    """

    def bad(problem: str, **lines) -> BadFileError:
        return BadFileError(message(f"load_sparse {os.fsdecode(path)!r}", problem, **lines))

    content = load(path)
    if not (isinstance(content, dict) and content.get("sparse") == 1):
        raise bad("this is no sparse file.", expect="what save_sparse wrote", do="minigrad.load it")
    tensors = content.get("tensors")
    if not isinstance(tensors, dict):
        raise bad("it holds no tensors.")
    result, total = {}, 0
    for name, value in tensors.items():
        if isinstance(value, tuple):
            value = _csr_from_file(value)
            if value is None or value.problem() is not None:
                why = "it is not four parts" if value is None else value.problem()
                raise bad(f"the matrix {name!r} is damaged: {why}.")
        elif not isinstance(value, np.ndarray):
            raise bad(f"{name!r} is not an array.", actual=type(value).__name__)
        total += math.prod(max(n, 1) for n in value.shape)
        if total > max_entries:
            raise bad(
                "it unfolds to more numbers than allowed.",
                expect=f"at most {max_entries:,}",
                actual=f"{total:,}, with {name!r}",
                do="give max_entries= if you trust the file",
            )
        result[name] = Tensor(value.to_dense() if isinstance(value, CSR) else value)
    return result


def _csr_from_file(parts: tuple) -> CSR | None:
    if len(parts) != 4 or not all(isinstance(part, np.ndarray) for part in parts[1:]):
        return None
    shape = parts[0]
    if not (isinstance(shape, list) and shape and all(type(n) is int and n >= 0 for n in shape)):
        return None
    return CSR(parts[1], parts[2], parts[3], tuple(shape))
