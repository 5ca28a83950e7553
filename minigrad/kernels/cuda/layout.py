"""How cuBLAS is told where matrices lie: arithmetic with shapes and steps; no GPU is needed.

cuBLAS speaks Fortran: matrices lie column by column. Memory that holds a row-major (M, N) matrix,
read column by column, holds its transpose. So we ask for C^T = B^T A^T: the operands change places,
and nothing is copied. A matrix that itself lies column by column is passed as "transposed". Between
neighbouring rows there may be a gap (the *leading dimension* is a row with its gap), between the
matrices of a batch any step, also 0: one matrix for all. `plan` finds these numbers; what has no
such description (both axes with gaps, negative steps) must be copied first.

Before this: ``activation.py``. Next: ``gemm.py``, which does what is planned here.
"""

from __future__ import annotations

from functools import lru_cache

from minigrad._errors import message

OP_N, OP_T = 0, 1  # of cublas_api.h: as it lies, and transposed
LARGEST = 2**31 - 1  # a C int, as cuBLAS takes sizes


def layout(rows: int, columns: int, row_step: int, column_step: int):
    """How cuBLAS can read a matrix: (whether it lies column by column, leading dimension).

    Steps are in entries; the step along an axis of length 1 means nothing. None where neither
    rows nor columns are without gaps.
    """
    if (column_step == 1 or columns == 1) and (row_step >= columns or rows == 1):
        return False, columns if rows == 1 else row_step
    if (row_step == 1 or rows == 1) and (column_step >= rows or columns == 1):
        return True, rows if columns == 1 else column_step
    return None


def merged(axes):
    """Join neighbouring batch axes, [(length, a's step, b's step, c's step), ...], that are one
    longer axis for all three; leave out those of length 1.
    """
    result: list[tuple] = []
    for axis in axes:
        if axis[0] == 1:
            continue
        if result:
            before, n = result[-1], axis[0]
            if all(outer == inner * n for outer, inner in zip(before[1:], axis[1:])):
                result[-1] = (before[0] * n, *axis[1:])
                continue
        result.append(axis)
    return result


@lru_cache(maxsize=4096)
def plan(shape, a_steps, b_steps, c_steps):
    """The calls of cuBLAS that make C = A B.

    Parameters
    ----------
    shape : tuple of int
        (batch axes ..., M, K, N), all positive.
    a_steps, b_steps, c_steps : tuple of int
        For each operand the step in entries along every batch axis (0 where it is broadcast), then
        along rows, then along columns.

    Returns
    -------
    str or tuple
        ``"a"``, ``"b"`` or ``"c"``: this operand must be copied (C: be made elsewhere) first. Else
        (swapped, call, places): ``swapped`` says that A and B are exchanged; ``call`` is what all
        calls share, (opA, opB, m, n, k, lda, stepA, ldb, stepB, ldc, stepC, count); ``places`` are
        the entries of A, B and C at which each call begins.

    Raises
    ------
    ValueError
        For matrices that are too large for cuBLAS.
    """
    *batch, M, K, N = shape
    in_c = layout(M, N, *c_steps[-2:])
    if in_c is None:
        return "c"
    if in_c[0]:  # C lies column by column: then C^T lies row by row, and C^T = B^T A^T
        turned = plan((*batch, N, K, M), _t(b_steps), _t(a_steps), _t(c_steps))
        if isinstance(turned, str):
            return {"a": "b", "b": "a"}.get(turned, turned)
        swapped, call, places = turned
        return not swapped, call, places
    in_a, in_b = layout(M, K, *a_steps[-2:]), layout(K, N, *b_steps[-2:])
    if in_a is None or in_b is None:
        return "a" if in_a is None else "b"
    axes = merged(list(zip(batch, a_steps, b_steps, c_steps)))
    for i, name in enumerate("abc", start=1):
        if any([axis[i] < 0 for axis in axes]):
            return name
    if len(axes) == 1 and not in_a[0] and axes[0][2] == 0:
        # One matrix B for all: the matrices of A under each other can be one tall matrix.
        count, a_step, _, c_step = axes[0]
        if M == 1 and a_step >= K and c_step >= N:
            M, in_a, in_c, axes = count, (False, a_step), (False, c_step), []
        elif 1 < M <= LARGEST // count and a_step == in_a[1] * M and c_step == in_c[1] * M:
            M, axes = M * count, []
    axes.sort(key=lambda axis: axis[0])  # the longest is cuBLAS's batch, the others are calls
    count, a_step, b_step, c_step = axes.pop() if axes else (1, 0, 0, 0)
    places = [(0, 0, 0)]
    for n, *steps in axes:
        places = [
            tuple(at + i * step for at, step in zip(place, steps))
            for place in places
            for i in range(n)
        ]
    call = (
        *(OP_T if in_b[0] else OP_N, OP_T if in_a[0] else OP_N, N, M, K),
        *(in_b[1], b_step, in_a[1], a_step, in_c[1], c_step, count),
    )
    largest = max(M, K, N, count, in_a[1], in_b[1], in_c[1])
    if largest > LARGEST:  # ctypes would cut it off
        raise ValueError(
            message(
                "matmul",
                "the matrices are too large for cuBLAS.",
                expect=f"sizes, and steps between rows, of at most {LARGEST}",
                actual=f"{largest}, in ({M}, {K}) @ ({K}, {N})",
                do="multiply parts of them",
            )
        )
    return False, call, tuple(places)


def _t(steps):
    """The steps of the transposed matrices."""
    return (*steps[:-2], steps[-1], steps[-2])
