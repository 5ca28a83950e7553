"""The same numbers again: in another process, in another thread, in a child that was forked.

A model here is tensors and ops only, with a hand-written SGD with momentum and dropout.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import minigrad
from minigrad.autograd import no_grad

pytestmark = pytest.mark.cpu_only


def train(seed: int, steps: int = 30, size: int = 48) -> str:
    """Train a small convolutional network from `seed`, and return a digest of its weights."""
    minigrad.manual_seed(seed)
    F = minigrad.nn.functional
    x = minigrad.randn(16, 1, 10, 10)
    labels = minigrad.randint(0, 4, (16,))
    sizes = {"kernel": (6, 1, 3, 3), "w1": (size, 96), "b1": (size,), "w2": (size, 4), "b2": (4,)}
    params = {name: minigrad.randn(*s) * 0.2 for name, s in sizes.items()}
    velocity = {name: minigrad.zeros_like(p) for name, p in params.items()}
    for p in params.values():
        p.requires_grad_()
    for _ in range(steps):
        h = F.max_pool2d(F.conv2d(x, params["kernel"]).relu(), 2).reshape(16, -1)
        h = h @ params["w1"].T + params["b1"]
        h = h.tanh() * (minigrad.rand(*h.shape) < 0.8)
        logits = h @ params["w2"] + params["b2"]
        loss = -logits.log_softmax(1).gather(1, labels.unsqueeze(1)).mean()
        loss.backward()
        with no_grad():
            for name, p in params.items():
                velocity[name].mul_(0.9).add_(p.grad)
                p.sub_(velocity[name], alpha=0.05)
                p.grad = None
    digest = hashlib.sha256()
    for p in params.values():
        digest.update(np.ascontiguousarray(p.detach().numpy()).tobytes())
    return f"{loss.item():.9g} {digest.hexdigest()}"


def in_process(hash_seed: str, threads: str) -> str:
    code = "import test_threads_engine as t; print(t.train(3, steps=10))"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "MINIGRAD_NUM_THREADS": threads,
        "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path]),
    }
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_two_fresh_processes_agree_bit_for_bit():
    """Whatever the hash seed, so nothing depends on the order of a set or on id()."""
    expected = train(3, steps=10)
    assert in_process("1", "1") == expected
    assert in_process("271828", "2") == expected


def test_seeds_matter():
    assert train(1, steps=2) != train(2, steps=2)
    assert train(1, steps=2) == train(1, steps=2)


def in_threads(jobs: dict) -> dict:
    results: dict = {}
    start = threading.Barrier(len(jobs))

    def work(name, job):
        start.wait(30)
        try:
            results[name] = job()
        except BaseException as error:
            results[name] = error

    threads = [threading.Thread(target=work, args=item) for item in jobs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_two_threads_train_two_models_as_each_would_alone():
    alone = {seed: train(seed) for seed in (1, 2)}
    for _ in range(2):
        together = in_threads({1: lambda: train(1), 2: lambda: train(2, 30, 48)})
        assert together == alone


def test_one_thread_in_no_grad_does_not_stop_the_other():
    alone = train(5)

    def evaluate():
        with no_grad():
            for _ in range(300):
                y = (minigrad.ones(8, 8, requires_grad=True) * 2).sum()
                assert not y.requires_grad
        return True

    assert in_threads({"train": lambda: train(5), "evaluate": evaluate}) == {
        "train": alone,
        "evaluate": True,
    }


def test_defaults_are_each_threads_own():
    minigrad.manual_seed(0)
    expected = minigrad.rand(3).tolist()
    minigrad.manual_seed(0)

    def other():
        minigrad.manual_seed(99)
        minigrad.set_default_dtype(minigrad.float64)
        with minigrad.device("cpu"):
            return minigrad.rand(3).dtype

    assert in_threads({"other": other}) == {"other": minigrad.float64}
    assert minigrad.get_default_dtype() == minigrad.float32
    assert minigrad.rand(3).tolist() == expected


def test_a_graph_made_in_one_thread_is_walked_in_another():
    x = minigrad.tensor([1.0, 2.0], requires_grad=True)
    loss = (x * x).sum()
    in_threads({"backward": loss.backward})
    assert x.grad.tolist() == [2.0, 4.0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_forked_after_training_gets_the_same_weights():
    alone = train(7)  # the pools and buffers exist by now
    queue = multiprocessing.get_context("fork").SimpleQueue()
    children = [
        multiprocessing.get_context("fork").Process(target=lambda: queue.put(train(7)))
        for _ in range(2)
    ]
    for child in children:
        child.start()
    results = [queue.get() for _ in children]
    for child in children:
        child.join(60)
    assert results == [alone, alone]
    assert [child.exitcode for child in children] == [0, 0]
    assert train(7) == alone
