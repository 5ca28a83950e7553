"""minigrad: deep learning from scratch in NumPy, with CuPy for the GPU, to be read.

Reading order: ``autograd.py`` (the engine), ``ops/`` (the derivatives), ``_tensor.py``, then
``nn/``, ``optim/`` and the rest. The names are PyTorch's.
"""

from . import autograd, backend, cuda
from ._tensor import Tensor
from .autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .backend import (
    DeviceError,
    Generator,
    default_generator,
    device,
    float16,
    float32,
    float64,
    get_default_device,
    get_default_dtype,
    get_float32_matmul_precision,
    get_rng_state,
    initial_seed,
    int8,
    int16,
    int32,
    int64,
    manual_seed,
    seed,
    set_default_device,
    set_default_dtype,
    set_float32_matmul_precision,
    set_rng_state,
    uint8,
)
from .creation import (
    arange,
    as_tensor,
    bernoulli,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    multinomial,
    normal,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from .functions.compare import (
    allclose,
    argsort,
    eq,
    equal,
    ge,
    gt,
    isclose,
    isfinite,
    isinf,
    isnan,
    le,
    logical_and,
    logical_not,
    logical_or,
    lt,
    ne,
    nonzero,
    sort,
    topk,
)
from .functions.elementwise import (
    abs,
    add,
    ceil,
    clamp,
    clone,
    cos,
    div,
    exp,
    floor,
    log,
    log1p,
    maximum,
    minimum,
    mul,
    neg,
    pow,
    reciprocal,
    relu,
    remainder,
    result_type,
    round,
    rsqrt,
    sigmoid,
    sign,
    sin,
    sqrt,
    square,
    sub,
    tanh,
    trunc,
    where,
)
from .functions.linalg import matmul
from .functions.loss import log_softmax, softmax
from .functions.reduce import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    cumsum,
    logsumexp,
    max,
    mean,
    min,
    norm,
    prod,
    std,
    sum,
    var,
)
from .functions.shape import (
    broadcast_to,
    cat,
    chunk,
    flatten,
    flip,
    gather,
    index_select,
    movedim,
    permute,
    reshape,
    split,
    squeeze,
    stack,
    t,
    transpose,
    tril,
    triu,
    unbind,
    unsqueeze,
)

from . import nn, optim, utils  # isort: skip  (they need what stands above)
from .kernels.threads import get_num_threads, set_num_threads  # isort: skip
from .serialize import load, save  # isort: skip

# PyTorch's other names for the same things.
half, double, short, long = float16, float64, int16, int64
float, int, bool = float32, int32, backend.bool_
clip, true_divide, concat, mm, bmm, dot = clamp, div, cat, matmul, matmul, matmul
inference_mode = no_grad

__version__ = "0.1.0"


def is_tensor(x) -> "bool":
    """Whether `x` is a tensor."""
    return isinstance(x, Tensor)
