"""Stand-ins for the names of ``torch.cuda`` that ``bench/gpu.py`` calls, to try it without a GPU.

A graph runs its step once, when it is captured, and nothing when it is replayed. It works in the
memory of the parameters that were updated, so these must live as long as it is used.
"""

from __future__ import annotations

import contextlib
import gc
import weakref


def install() -> None:
    """Put them in place, if PyTorch is installed."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    class Stream:
        def wait_stream(self, other):
            assert isinstance(other, Stream)

    class CUDAGraph:
        parameters = None
        replays = 0

        def replay(self):
            if self.replays == 0:
                gc.collect()
            self.replays += 1
            assert self.parameters, "nothing was captured"
            assert all(p() is not None for p in self.parameters), "its memory was given back"

    @contextlib.contextmanager
    def graph(g):
        found = []

        def note(optimizer, args, kwargs):
            found.extend(
                weakref.ref(p) for group in optimizer.param_groups for p in group["params"]
            )

        hook = register_optimizer_step_post_hook(note)
        yield
        hook.remove()
        g.parameters = found

    torch.cuda.Stream, torch.cuda.CUDAGraph, torch.cuda.graph = Stream, CUDAGraph, graph
    torch.cuda.current_stream = Stream
    torch.cuda.stream = lambda stream: contextlib.nullcontext()
    torch.cuda.synchronize = torch.cuda.empty_cache = lambda: None
    torch.cuda.max_memory_allocated = lambda: 0
