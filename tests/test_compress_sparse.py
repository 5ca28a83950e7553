"""Masks and the survivors' storage, against loops that say the same in the plainest way."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from helpers import arr, make
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad
from minigrad import nn, optim
from minigrad.compress import csr, sparse
from minigrad.nn.utils import prune
from minigrad.serialize import BadFileError


def network(device="cpu", seed=0):
    """Return a small network with weights of both signs and different scale."""
    minigrad.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5))
    model[3].weight.data.mul_(3.0)
    return model.to(device)


def weights(model):
    return {n: arr(p.detach()) for n, p in model.named_parameters() if p.ndim > 1}


# --------------------------------------------------------------------------------- thresholds


def test_threshold_keeps_large_magnitudes_of_both_signs(device):
    model = nn.Linear(4, 1)
    model.weight.data = make(device, np.array([[-2.0, -1.0, 1.0, 2.0]], np.float32))
    model.bias.data = make(device, np.zeros(1, np.float32))
    mask = sparse.threshold_masks(model, 1.0)["weight"]
    assert arr(mask).tolist() == [[True, False, False, True]]


def test_threshold_is_strict_and_changes_nothing(device):
    model = network(device)
    before = {n: w.copy() for n, w in weights(model).items()}
    masks = sparse.threshold_masks(model, {"0.weight": 0.0, "3.weight": 0.3})
    assert arr(masks["0.weight"]).all()
    assert arr(masks["3.weight"]).tolist() == [
        [abs(float(w)) > 0.3 for w in row] for row in before["3.weight"]
    ]
    for name, w in weights(model).items():
        np.testing.assert_array_equal(w, before[name])


def test_quality_is_in_deviations_of_each_layer(device):
    model = network(device)
    masks = sparse.threshold_masks(model, quality=0.8)
    for name, w in weights(model).items():
        mean = sum(w.ravel().tolist()) / w.size
        deviation = (sum((v - mean) ** 2 for v in w.ravel().tolist()) / w.size) ** 0.5
        expected = [abs(v) > 0.8 * deviation for v in w.ravel().tolist()]
        assert arr(masks[name]).ravel().tolist() == expected


@pytest.mark.parametrize("options", [{}, {"threshold": 1.0, "quality": 1.0}])
def test_one_of_threshold_and_quality(options):
    with pytest.raises(ValueError, match="either a threshold or a quality"):
        sparse.threshold_masks(network(), **options)


@pytest.mark.parametrize("t", [-1.0, float("nan"), float("inf")])
def test_threshold_out_of_range(t):
    with pytest.raises(ValueError, match=r"threshold_masks: .*\n.*number >= 0"):
        sparse.threshold_masks(network(), t)


# ----------------------------------------------------------------------------- top fractions


def naive_top(scores: dict, count: int) -> dict:
    """Sort all entries by score, place by place, and keep the first `count`."""
    places = [(n, i) for n, s in scores.items() for i in range(len(s))]
    places.sort(key=lambda place: -scores[place[0]][place[1]])  # stable: ties keep their order
    kept = set(places[:count])
    return {n: [(n, i) in kept for i in range(len(s))] for n, s in scores.items()}


@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=1, max_size=6), min_size=1, max_size=3),
    st.floats(0, 1),
)
@pytest.mark.cpu_only
def test_global_magnitude_is_sorting(rows, share):
    model = nn.Module()
    for i, row in enumerate(rows):
        model.register_parameter(f"w{i}", nn.Parameter(minigrad.tensor([row], dtype="float32")))
    total = sum(map(len, rows))
    for keep in (share, round(share * total)):
        masks = sparse.sparse_masks(model, keep)
        scores = {f"w{i}": [abs(v) for v in row] for i, row in enumerate(rows)}
        expected = naive_top(scores, round(share * total))
        assert {n: m.numpy()[0].tolist() for n, m in masks.items()} == expected


def test_layers_may_keep_different_amounts(device):
    model = network(device)
    masks = sparse.sparse_masks(model, {"0.weight": 0.5, "3.weight": 7}, scope="layer")
    for name, count in {"0.weight": 14, "3.weight": 7}.items():  # round(27 * 0.5) is even: 14
        scores = {name: np.abs(weights(model)[name]).ravel().tolist()}
        assert arr(masks[name]).ravel().tolist() == naive_top(scores, count)[name]


def test_taylor_score_is_weight_times_gradient(device):
    model = network(device)
    x = make(device, np.random.default_rng(0).normal(size=(4, 1, 4, 4)).astype(np.float32))
    with pytest.raises(RuntimeError, match="needs a gradient"):
        sparse.sparse_masks(model, 0.5, criterion="taylor")
    model(x).square().sum().backward()
    masks = sparse.sparse_masks(model, 10, criterion="taylor")
    scores = {
        n: np.abs(arr(p.detach()) * arr(p.grad)).ravel().tolist()
        for n, p in model.named_parameters()
        if p.ndim > 1
    }
    expected = naive_top(scores, 10)
    assert {n: arr(m).ravel().tolist() for n, m in masks.items()} == expected
    assert expected != naive_top(
        {n: np.abs(w).ravel().tolist() for n, w in weights(model).items()}, 10
    )


def test_random_control_has_the_count_and_nothing_else(device):
    model = network(device)
    draws = [
        sparse.sparse_masks(
            model, 30, criterion="random", generator=minigrad.Generator().manual_seed(seed)
        )
        for seed in (1, 1, 2)
    ]
    flat = [np.concatenate([arr(m).ravel() for m in masks.values()]) for masks in draws]
    assert [f.sum() for f in flat] == [30] * 3
    np.testing.assert_array_equal(flat[0], flat[1])
    assert (flat[0] != flat[2]).any()


@pytest.mark.parametrize("keep", [-0.1, 1.5, float("nan"), 88, -1, True])
def test_keep_out_of_range(keep):
    with pytest.raises(ValueError, match=r"sparse_masks: keep .*\n.*share in \[0.0, 1.0\].*87"):
        sparse.sparse_masks(network(), keep)


def test_other_bad_input():
    model = network()
    with pytest.raises(ValueError, match="no such criterion.*"):
        sparse.sparse_masks(model, 0.5, criterion="l3")
    with pytest.raises(ValueError, match="no such scope"):
        sparse.sparse_masks(model, 0.5, scope="here")
    with pytest.raises(ValueError, match="scope='layer'"):
        sparse.sparse_masks(model, {"0.weight": 0.5, "3.weight": 0.5})
    with pytest.raises(ValueError, match="do not pair up"):
        sparse.sparse_masks(model, {"0.weight": 0.5}, scope="layer")
    with pytest.raises(AttributeError, match="1.weight"):
        sparse.sparse_masks(model, 0.5, names=["1.weight"])
    with pytest.raises(ValueError, match="no weight to work on"):
        sparse.sparse_masks(nn.ReLU(), 0.5)
    with pytest.raises(TypeError, match="not a model"):
        sparse.sparse_masks(model.state_dict(), 0.5)
    model[3].weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"'3.weight': the weight holds NaN.*\n.*\n.*1 of 60"):
        sparse.sparse_masks(model, 0.5)


# ------------------------------------------------------------------------------- using masks


def test_masks_survive_momentum_and_weight_decay(device):
    model = network(device)
    masks = sparse.sparse_masks(model, 0.3)
    sparse.apply_masks(model, masks)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    x = make(device, np.random.default_rng(0).normal(size=(4, 1, 4, 4)).astype(np.float32))
    moved = weights(model)["3.weight"].copy()
    for _ in range(3):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
        sparse.apply_masks(model, masks)
    for name, w in weights(model).items():
        assert (w[~arr(masks[name])] == 0).all() and not np.signbit(w[~arr(masks[name])]).any()
    assert (weights(model)["3.weight"] != moved).any()
    assert sparse.sparsity(model) == pytest.approx(1 - 26 / 87)


def test_masks_handed_over_to_prune(device):
    model = network(device)
    masks = sparse.sparse_masks(model, 0.3)
    by_hand = copy.deepcopy(model)
    sparse.apply_masks(by_hand, masks)
    sparse.attach_masks(model, masks)
    assert prune.is_pruned(model)
    x = make(device, np.random.default_rng(0).normal(size=(4, 1, 4, 4)).astype(np.float32))
    np.testing.assert_array_equal(arr(model(x).detach()), arr(by_hand(x).detach()))
    for name in masks:
        layer = model.get_submodule(name.partition(".")[0])
        prune.remove(layer, "weight")
        assert (weights(model)[name][~arr(masks[name])] == 0).all()


def test_mask_of_another_shape_or_name():
    model = network()
    with pytest.raises(ValueError, match="'3.weight': the mask does not have"):
        sparse.apply_masks(model, {"3.weight": minigrad.ones(2, 2)})
    with pytest.raises(AttributeError, match="9.weight"):
        sparse.apply_masks(model, {"9.weight": minigrad.ones(2, 2)})


# ---------------------------------------------------------------------------------------- CSR

matrices = hnp.arrays(
    st.sampled_from([np.float32, np.float64]),
    hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5),
    elements=st.sampled_from([0.0, 0.0, 0.0, 1.5, -2.0]),
)


@given(matrices)
@pytest.mark.cpu_only
def test_csr_round_trip_and_product(dense):
    stored = csr.CSR.from_dense(dense)
    assert stored.problem() is None
    assert stored.data.size == np.count_nonzero(dense)
    back = stored.to_dense()
    assert back.dtype == dense.dtype
    np.testing.assert_array_equal(back, dense)
    rows = 1 if dense.ndim == 1 else dense.shape[0]
    matrix = dense.reshape(rows, dense.size // rows if rows else 0)
    x = np.arange(matrix.shape[1] * 2, dtype=dense.dtype).reshape(-1, 2)
    if matrix.shape[1]:
        expected = [[sum(a * b for a, b in zip(row, column)) for column in x.T] for row in matrix]
        np.testing.assert_allclose(stored @ x, np.array(expected).reshape(rows, 2))


@pytest.mark.cpu_only
def test_csr_by_hand():
    stored = csr.CSR.from_dense(np.array([[0, 5.0, 0], [0, 0, 0], [7.0, 0, 8.0]]))
    assert stored.data.tolist() == [5, 7, 8]
    assert stored.indices.tolist() == [1, 0, 2]
    assert stored.indptr.tolist() == [0, 1, 1, 3]
    assert stored.indices.dtype == np.uint8
    with pytest.raises(ValueError, match="no rows"):
        csr.CSR.from_dense(np.array(3.0))


def test_sparse_file_gives_the_same_model_in_fewer_bytes(device, tmp_path):
    minigrad.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 100), nn.BatchNorm1d(100), nn.Linear(100, 10)).to(device)
    sparse.apply_masks(model, sparse.sparse_masks(model, 0.05))
    size = csr.save_sparse(model, tmp_path / "m.npz")
    assert size == (tmp_path / "m.npz").stat().st_size
    minigrad.save(model.state_dict(), tmp_path / "dense.npz")
    assert size < (tmp_path / "dense.npz").stat().st_size / 6
    state = csr.load_sparse(tmp_path / "m.npz")
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(state[name].numpy(), arr(tensor))
        assert state[name].dtype == tensor.dtype
    model.load_state_dict(state)


@pytest.mark.cpu_only
def test_damaged_sparse_files(tmp_path):
    path = tmp_path / "m.npz"
    model = nn.Linear(40, 3)
    sparse.apply_masks(model, sparse.sparse_masks(model, 5))
    csr.save_sparse(model, path)
    good = path.read_bytes()
    for i in range(0, len(good), 7):
        path.write_bytes(good[:i] + bytes([good[i] ^ 0x55]) + good[i + 1 :])
        try:
            state = csr.load_sparse(path)
        except BadFileError as error:
            assert "m.npz" in str(error)
        else:  # a byte that means nothing (a date)
            np.testing.assert_array_equal(state["weight"].numpy(), model.weight.detach().numpy())
    for i in (0, 10, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:i])
        with pytest.raises(BadFileError, match=r"m\.npz"):
            csr.load_sparse(path)
    with pytest.raises(FileNotFoundError):
        csr.load_sparse(tmp_path / "none.npz")


u8, u32 = np.uint8, np.uint32
FORGED = {  # what a stranger could write: shape, data, indices, indptr
    "four parts": ([2, 2], np.ones(1), np.zeros(1, u8)),
    "unsigned": ([2, 2], np.ones(1), np.array([-1], np.int8), np.array([0, 1, 1], u32)),
    "not flat": ([2, 2], np.ones((1, 1)), np.zeros(1, u8), np.array([0, 1, 1], u32)),
    "begin and end": ([2, 2], np.ones(1), np.zeros(1, u8), np.array([0, 1, 2], u32)),
    "backwards": ([2, 2], np.ones(1), np.zeros(1, u8), np.array([0, 2, 1], u32)),
    "outside": ([2, 2], np.ones(1), np.array([2], u8), np.array([0, 1, 1], u32)),
    "ascend": ([2, 3], np.ones(2), np.array([1, 1], u8), np.array([0, 2, 2], u32)),
    "more numbers": ([1, 2**40], np.ones(1), np.zeros(1, u8), np.array([0, 1], u32)),
    "part": ([-2, 2], np.ones(1), np.zeros(1, u8), np.array([0, 1, 1], u32)),
}


@pytest.mark.parametrize("fault", FORGED)
@pytest.mark.cpu_only
def test_forged_sparse_files(tmp_path, fault):
    minigrad.save({"sparse": 1, "tensors": {"w": FORGED[fault]}}, tmp_path / "m.npz")
    with pytest.raises(BadFileError, match=f"(?s)m.npz.*{fault}"):
        csr.load_sparse(tmp_path / "m.npz")


@pytest.mark.parametrize("content", [3, {"sparse": 1}, {"sparse": 1, "tensors": {"w": "text"}}])
@pytest.mark.cpu_only
def test_other_files(tmp_path, content):
    minigrad.save(content, tmp_path / "m.npz")
    with pytest.raises(BadFileError, match=r"m\.npz"):
        csr.load_sparse(tmp_path / "m.npz")


# ------------------------------------------------------------------------------ wrong requests


@pytest.mark.parametrize("keep", ["0.5", None, True, [0.5]])
def test_an_amount_that_is_no_number(keep):
    with pytest.raises(ValueError, match="keep is not an amount of weights"):
        sparse.sparse_masks(network(), keep)


@pytest.mark.parametrize("t", ["0.5", True])
def test_a_threshold_that_is_no_number(t):
    with pytest.raises(ValueError, match="the bound for magnitudes is out of range"):
        sparse.threshold_masks(network(), t)


def test_a_wrong_name_lists_the_right_ones():
    with pytest.raises(AttributeError, match=r"no parameter 'nope'(.|\n)*0\.weight, 0\.bias"):
        sparse.sparse_masks(network(), 0.5, names=["nope"])
    with pytest.raises(AttributeError, match=r"no parameter 'nope'(.|\n)*0\.weight, 0\.bias"):
        sparse.apply_masks(network(), {"nope": minigrad.ones(2)})


@pytest.mark.parametrize("use", [sparse.apply_masks, sparse.attach_masks])
def test_a_mask_is_a_tensor_of_zeros_and_ones(use):
    model = network()
    before = weights(model)
    with pytest.raises(TypeError, match="the mask is not a tensor"):
        use(model, {"3.weight": np.ones((5, 12), bool)})
    with pytest.raises(ValueError, match="other numbers than 0 and 1"):
        use(model, {"3.weight": minigrad.full((5, 12), 0.5)})
    np.testing.assert_array_equal(weights(model)["3.weight"], before["3.weight"])
    use(model, {"3.weight": minigrad.ones(5, 12)})


def test_what_cannot_be_stored(tmp_path):
    with pytest.raises(TypeError, match="save_sparse: there is nothing to store"):
        csr.save_sparse(5, tmp_path / "x")
    with pytest.raises(TypeError, match="save_sparse 'a': not a tensor"):
        csr.save_sparse({"a": np.ones(3)}, tmp_path / "x")
    assert not (tmp_path / "x").exists()
