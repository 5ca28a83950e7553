"""What a network takes on disk, as it is really stored: dense, sparse, and coded.

A mask is no file. Before a network is stored, its masks are multiplied in, shared and rounded
weights become ordinary ones, and then each format writes what it can leave out: a dense file
nothing, CSR the zeros, the coded file (``container.py``) the zeros, and all but a few distinct
values. The bytes are counted with everything: positions, codebooks, code tables, names, checksums.

Before this: ``csr.py``, ``container.py``. Next: ``budget.py``, which fits masks to a file size.
"""

from __future__ import annotations

import os
from tempfile import TemporaryDirectory

from .._errors import message
from ..nn.module import Module
from ..nn.recorder import working_copy
from ..serialize import save
from ._recompute import Recompute, recomputed
from .container import StoredTensor, compressed_sizes
from .csr import save_sparse
from .sparse import detach_masks

__all__ = ["coded_bytes", "plain_copy", "stored_bytes"]

FRAME = 16  # bytes of the coded file that belong to no tensor: magic, count, checksum


def plain_copy(model: Module) -> Module:
    """Return a copy whose weights are ordinary parameters: what is stored, run and counted.

    Masks are multiplied in; shared weights and those of quantization-aware training are what
    the last forward would compute. The model itself goes on with them.
    """
    if not isinstance(model, Module):
        actual = type(model).__name__
        raise TypeError(message("compress", "not a network.", expect="a Module", actual=actual))
    copied = working_copy(model, "compress")
    detach_masks(copied)
    for module, rule in recomputed(copied, Recompute):
        rule.remove(module)
    return copied


def coded_bytes(model: Module) -> int:
    """Return the size of the file that `save_compressed` would write of the `plain_copy`."""
    return FRAME + sum(stored.nbytes for stored in compressed_sizes(plain_copy(model)))


def stored_bytes(model: Module) -> dict[str, int]:
    """Write a network in each format, to a folder that is then removed; return the file sizes.

    Returns
    -------
    dict of str to int
        Bytes: ``"dense"`` by `minigrad.save`, ``"sparse"`` by `save_sparse` (CSR), ``"coded"`` by
        `save_compressed` (relative indices and codebook, both Huffman coded).
    """
    return write_all(plain_copy(model))[0]


def write_all(model: Module) -> tuple[dict[str, int], list[StoredTensor]]:
    """Return the `stored_bytes` of a plain model, and what each tensor takes in the coded file."""
    state = model.state_dict()
    with TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.npz")
        save(state, path)
        dense = os.path.getsize(path)
        sparse = save_sparse(state, path)
    tensors = compressed_sizes(state)
    coded = FRAME + sum(stored.nbytes for stored in tensors)
    return {"dense": dense, "sparse": sparse, "coded": coded}, tensors
