"""Stand-ins for the names of ``torch.cuda`` that ``bench/gpu.py`` calls, to try it without a GPU.

A graph runs its step once, when it is captured, and nothing when it is replayed.
"""

from __future__ import annotations

import contextlib


def install() -> None:
    """Put them in place, if PyTorch is installed."""
    import torch

    class Stream:
        def wait_stream(self, other):
            assert isinstance(other, Stream)

    class CUDAGraph:
        def replay(self):
            assert self.captured

    @contextlib.contextmanager
    def graph(g):
        yield
        g.captured = True

    torch.cuda.Stream, torch.cuda.CUDAGraph, torch.cuda.graph = Stream, CUDAGraph, graph
    torch.cuda.current_stream = Stream
    torch.cuda.stream = lambda stream: contextlib.nullcontext()
    torch.cuda.synchronize = torch.cuda.empty_cache = lambda: None
    torch.cuda.max_memory_allocated = lambda: 0
