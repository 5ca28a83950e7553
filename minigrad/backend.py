"""Where arrays live: array modules, devices, default dtype and random generators.

An array is a NumPy array on the CPU or a CuPy array on a GPU; everything above this file speaks
to both through the same names. Beside the kernels this is the only file that knows CuPy's name,
and it imports CuPy only when somebody asks for a GPU.

Before this: nothing. Next: ``autograd.py``, the engine.
"""

from __future__ import annotations

import contextlib
import operator
import threading
from collections.abc import Sequence

import numpy as np

from ._errors import message

# ---------------------------------------------------------------------------------------- dtypes

float16 = np.dtype("float16")
float32 = np.dtype("float32")
float64 = np.dtype("float64")
uint8 = np.dtype("uint8")
int8 = np.dtype("int8")
int16 = np.dtype("int16")
int32 = np.dtype("int32")
int64 = np.dtype("int64")
bool_ = np.dtype("bool")


class _PerThread(threading.local):
    """What holds for one thread at a time; a new thread starts from the defaults."""

    default_dtype = float32
    recorder = None  # what records a CUDA graph, while one is recorded

    def __init__(self):
        self.default_device = _CPU
        self.devices = []  # the stack of ``with device(...)`` blocks
        self.generator = None


def get_default_dtype() -> np.dtype:
    """Return the dtype of new floating tensors in this thread (``float32`` until changed)."""
    return _thread.default_dtype


def set_default_dtype(dtype) -> None:
    """Set the dtype that new floating tensors get in this thread."""
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(
            message(
                "set_default_dtype", "not a floating dtype.", expect="float16/32/64", actual=dtype
            )
        )
    _thread.default_dtype = dtype


# ------------------------------------------------------------------------------------- precision

MATMUL_PRECISIONS = ("highest", "high", "medium")
_matmul_precision = "highest"  # of the process, as in PyTorch


def get_float32_matmul_precision() -> str:
    """Return how exactly a GPU multiplies float32 matrices: see `set_float32_matmul_precision`."""
    return _matmul_precision


def set_float32_matmul_precision(precision: str) -> None:
    """Let a GPU round the operands of float32 matrix products, which is several times faster.

    Sums are kept in float32 in any case. It holds for matrix products and convolutions alike
    (PyTorch's own setting leaves its convolutions at "high" unless another one is changed too).
    On the CPU products are always exact float32 ones: there the setting is kept and changes
    nothing. A captured step goes on with the precision that it was captured with.

    Parameters
    ----------
    precision : str
        "highest": operands with float32's 24 significant bits (until changed). "high":
        TensorFloat32, with 11 bits. "medium": bfloat16, with 8 bits.

    Raises
    ------
    ValueError
        For any other word.
    """
    global _matmul_precision
    if precision not in MATMUL_PRECISIONS:
        raise ValueError(
            message(
                "set_float32_matmul_precision",
                "there is no such precision.",
                expect=", ".join(map(repr, MATMUL_PRECISIONS)),
                actual=repr(precision),
            )
        )
    _matmul_precision = precision


# --------------------------------------------------------------------------------------- devices

cupy = None  # the CuPy module once a GPU was asked for; tests put a stand-in here


class DeviceError(RuntimeError):
    """A device that does not exist or cannot be used."""


class OutOfMemoryError(DeviceError, MemoryError):
    """The GPU's memory does not suffice."""


class device:
    """Where a tensor lives: ``device("cpu")``, ``device("cuda")`` or ``device("cuda", 1)``.

    ``with device("cuda"):`` makes it the device on which creation functions put new tensors.

    Parameters
    ----------
    type : str or device
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    index : int, optional
        Which GPU, where the string does not say so.

    Raises
    ------
    DeviceError
        For a name that is no device. (That a GPU can be used is checked when it is used.)
    """

    __slots__ = ("index", "type")

    def __init__(self, type, index: int | None = None):
        text = f"cuda:{type}" if isinstance(type, int) else str(type)  # a number means a GPU
        text = text if index is None else f"{text}:{index}"
        name, colon, number = text.partition(":")
        well_formed = name in ("cpu", "cuda") and (number.isdecimal() if colon else True)
        if not well_formed or (name == "cpu" and number not in ("", "0")):
            raise DeviceError(
                message(
                    "device",
                    "there is no such device.",
                    expect="'cpu', 'cuda' or 'cuda:N'",
                    actual=repr(text),
                    do="use 'cpu': everything runs there",
                )
            )
        self.type = name
        self.index = int(number) if number and name == "cuda" else None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"

    def __eq__(self, other) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __enter__(self) -> device:
        _thread.devices.append(self)
        return self

    def __exit__(self, *exception) -> None:
        _thread.devices.pop()


_CPU = device("cpu")
_thread = _PerThread()


def default_device() -> device:
    """Return the device of the innermost ``with device(...)`` block, else what was set."""
    return _thread.devices[-1] if _thread.devices else _thread.default_device


def set_default_device(where: device | str | int | None) -> None:
    """Set where creation functions put new tensors in this thread; None is the CPU.

    Raises
    ------
    DeviceError
        If the device does not exist or cannot be used.
    """
    where = _CPU if where is None else where if isinstance(where, device) else device(where)
    if where.type == "cuda":
        _check_exists(where, cuda_module())
    _thread.default_device = where


def get_default_device() -> device:
    """Return where creation functions put new tensors."""
    return default_device()


def capturing():
    """Return what records a CUDA graph in this thread now, or None; see ``cuda.capture``.

    Nothing is computed meanwhile, so no value can be read.
    """
    return _thread.recorder


@contextlib.contextmanager
def recording_by(recorder):
    """Let `capturing` return `recorder` inside this block."""
    before, _thread.recorder = _thread.recorder, recorder
    try:
        yield
    finally:
        _thread.recorder = before


def cuda_module():
    """Return CuPy, or raise the sentence that says what is missing.

    Raises
    ------
    DeviceError
        Without CuPy, without a driver or a visible GPU, or without the CUDA libraries.
    """
    global cupy
    if cupy is not None:
        return cupy
    try:
        import cupy as module
    except ImportError as error:
        raise DeviceError(
            message(
                "device 'cuda'",
                "CuPy is not installed.",
                expect="CuPy, which computes on the GPU",
                actual=str(error),
                do="pip install '.[cuda13x]', or '.[cuda12x]' (nvidia-smi prints the CUDA version)",
            )
        ) from error
    if not module.is_available():
        without_driver = module.cuda.runtime.driverGetVersion() == 0
        raise DeviceError(
            message(
                "device 'cuda'",
                f"CuPy {module.__version__} is installed but cannot use a GPU.",
                expect="an NVIDIA GPU and its driver",
                actual="no NVIDIA driver"
                if without_driver
                else "the driver is too old, or no GPU is visible (CUDA_VISIBLE_DEVICES?)",
                do="use device 'cpu': everything runs there",
            )
        )
    try:
        module.ones(2, "f4") + 1  # compiles one kernel, so missing libraries show here
    except Exception as error:
        raise DeviceError(
            message(
                "device 'cuda'",
                "CuPy finds the GPU but not the CUDA libraries.",
                expect="the CUDA libraries beside CuPy",
                actual=f"{type(error).__name__}: {error}",
                do="pip install 'cupy-cuda13x[ctk]' (or cupy-cuda12x[ctk])",
            )
        ) from error
    allocate = module.cuda.get_allocator()
    module.cuda.set_allocator(lambda size: allocate_or_explain(module, allocate, size))
    cupy = module
    return cupy


def allocate_or_explain(module, allocate, size: int):
    """Return GPU memory from a pool of CuPy, `module`, or say how much there is and what to do.

    Raises
    ------
    OutOfMemoryError
    """
    try:
        return allocate(size)
    except module.cuda.memory.OutOfMemoryError as error:
        free, total = module.cuda.Device().mem_info
        raise OutOfMemoryError(
            message(
                "device 'cuda'",
                "the GPU is out of memory.",
                expect=f"{_readable(size)} more",
                actual=f"{_readable(free)} free of {_readable(total)} on the GPU ({error})",
                do="use smaller batches, run evaluation under no_grad(), keep loss.item() instead "
                "of loss; minigrad.cuda.empty_cache() gives back what CuPy keeps for reuse; "
                "nvidia-smi shows who else is there",
            )
        ) from error


def _readable(size: int) -> str:
    """Return a number of bytes as people write it."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} GiB"


def array_module(array):
    """Return the module whose functions work on `array`: NumPy or CuPy."""
    return np if isinstance(array, np.ndarray) else cupy


def is_array(value) -> bool:
    """Whether `value` is an array of either module (and not a scalar)."""
    return isinstance(value, np.ndarray) or (cupy is not None and isinstance(value, cupy.ndarray))


def is_writable(array) -> bool:
    """Whether each entry has writable memory of its own (CuPy would write into shared ones)."""
    shared = any([step == 0 and n > 1 for step, n in zip(array.strides, array.shape)])
    return getattr(array.flags, "writeable", True) and not (shared and array.size)


def device_of(array) -> device:
    """Return the device that holds `array`."""
    if isinstance(array, np.ndarray):
        return _CPU
    return device("cuda", int(array.device.id))


def refuse_mixed_devices(name: str, arrays) -> None:
    """Raise if the arrays among `arrays` live on different devices."""
    devices = [str(device_of(a)) for a in arrays if is_array(a)]
    if len(set(devices)) > 1:
        problem = "the tensors live on different devices."
        text = message(
            name,
            problem,
            expect="all on one device",
            actual=", ".join(devices),
            do="move them together with .to(device)",
        )
        raise DeviceError(text)


def as_array(y, name: str):
    """Return what op `name` computed as an array; refuse what is none."""
    if isinstance(y, np.generic):
        return np.asarray(y)
    if is_array(y):
        return y
    if isinstance(y, (bool, int, float)):
        return np.asarray(y, dtype=get_default_dtype() if isinstance(y, float) else None)
    if isinstance(y, (tuple, list)):
        problem, do = "forward returned several results.", "write one Function for each output"
    else:
        problem, do = "forward did not return an array.", "compute with the arrays it is given"
    raise TypeError(message(name, problem, actual=type(y).__name__, do=do))


def asarray_on(array, where) -> np.ndarray:
    """Return `array` on the device `where`: itself if it is there already, else a copy.

    This function and `to_numpy` are the only places where data crosses between devices.

    Raises
    ------
    DeviceError
        If the device does not exist or cannot be used.
    """
    where = where if isinstance(where, device) else device(where)
    if where.type == "cpu":
        return to_numpy(array)
    with _current(where) as xp:
        return xp.asarray(array)


def filled_on(shape: tuple, value, dtype, where) -> np.ndarray:
    """Return an array of one value, made where it is to be: nothing is moved.

    Raises
    ------
    DeviceError
        If the device does not exist or cannot be used.
    """
    with _module_of(where) as xp:
        return xp.full(shape, value, dtype)


def empty_on(shape: tuple, dtype, where) -> np.ndarray:
    """Return an array whose entries mean nothing yet, made where it is to be.

    Raises
    ------
    DeviceError
        If the device does not exist or cannot be used.
    """
    with _module_of(where) as xp:
        return xp.empty(shape, dtype)


def _module_of(where):
    """Return a block that gives NumPy, or CuPy with the GPU `where` as the one it works on."""
    where = where if isinstance(where, device) else device(where)
    return contextlib.nullcontext(np) if where.type == "cpu" else _current(where)


@contextlib.contextmanager
def _current(where: device):
    """Make a GPU the one that CuPy works on, in the block; gives CuPy."""
    xp = cuda_module()
    if where.index is None:
        yield xp
        return
    _check_exists(where, xp)
    with xp.cuda.Device(where.index):
        yield xp


def _check_exists(where: device, xp) -> None:
    count = xp.cuda.runtime.getDeviceCount()
    if where.index is not None and where.index >= count:
        raise DeviceError(
            message(
                "device", "there is no such GPU.", expect=f"an index below {count}", actual=where
            )
        )


def to_numpy(array) -> np.ndarray:
    """Return `array` in the CPU's memory: itself if it is a NumPy array, else a copy."""
    return array if isinstance(array, np.ndarray) else cupy.asnumpy(array)


# ------------------------------------------------------------------------------- random numbers


class Generator:
    """A stream of random numbers, with PyTorch's names over ``np.random.Generator``.

    Numbers are always drawn on the CPU and then moved, so that a seed gives the same model on
    every device.

    Attributes
    ----------
    numpy : numpy.random.Generator
        The generator itself.
    """

    def __init__(self, device="cpu"):
        self.device = device
        self.seed()

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream again from `seed` (any integer) and return the generator."""
        if not isinstance(seed, (int, np.integer)):
            raise TypeError(
                message("manual_seed", "the seed is not an integer.", actual=f"{seed!r}")
            )
        self._seed = int(seed)
        self.numpy = np.random.default_rng(self._seed % 2**64)  # negative seeds wrap around
        return self

    def seed(self) -> int:
        """Start the stream from the operating system's entropy; return the seed that it gave."""
        self.manual_seed(int(np.random.SeedSequence().generate_state(1, np.uint64)[0]))
        return self._seed

    def initial_seed(self) -> int:
        """Return the seed that the stream started from."""
        return self._seed

    def get_state(self) -> dict:
        """Return what `set_state` needs to go on from here (a dict of numbers and strings)."""
        return {"seed": self._seed, **self.numpy.bit_generator.state}

    def set_state(self, state: dict) -> Generator:
        """Go on from a state that `get_state` returned."""
        state = dict(state)
        self._seed = state.pop("seed")
        self.numpy.bit_generator.state = state
        return self


def default_generator() -> Generator:
    """Return this thread's generator, which `manual_seed` seeds."""
    if _thread.generator is None:
        _thread.generator = Generator()
    return _thread.generator


def generator(g: Generator | np.random.Generator | None = None) -> np.random.Generator:
    """Return the NumPy generator of `g`, or of this thread's default where `g` is None."""
    if g is None:
        return default_generator().numpy
    if isinstance(g, Generator):
        return g.numpy
    if isinstance(g, np.random.Generator):
        return g
    raise TypeError(
        message(
            "generator",
            "not a random generator.",
            expect="minigrad.Generator, numpy.random.Generator or None",
            actual=type(g).__name__,
        )
    )


def manual_seed(seed: int) -> Generator:
    """Seed this thread's default generator and return it."""
    return default_generator().manual_seed(seed)


def seed() -> int:
    """Seed this thread's default generator from the operating system; return the seed."""
    return default_generator().seed()


def initial_seed() -> int:
    """Return the seed that this thread's default generator started from."""
    return default_generator().initial_seed()


def get_rng_state() -> dict:
    """Return the state of this thread's default generator."""
    return default_generator().get_state()


def set_rng_state(state: dict) -> None:
    """Set the state of this thread's default generator."""
    default_generator().set_state(state)


def shape_of(sizes: Sequence) -> tuple:
    """Return the shape meant by ``f(2, 3)`` or ``f((2, 3))``: both are allowed, as in PyTorch."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = sizes[0]
    try:
        return tuple([operator.index(size) for size in sizes])
    except TypeError:
        raise TypeError(
            message("shape", "a size is not an integer.", expect="integers", actual=tuple(sizes))
        ) from None
