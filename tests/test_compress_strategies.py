"""Strategies: what each round leaves, checked against the papers' formulas and plain counting."""

from __future__ import annotations

import copy
import itertools
import re
import textwrap

import numpy as np
import pytest
from helpers import arr, make

import minigrad
import minigrad.nn.functional as F
from minigrad import Tensor, compress, nn, optim
from minigrad.compress import (
    BudgetError,
    CutChannels,
    CutWeights,
    Step,
    adaptive,
    hierarchical,
    in_rounds,
    iterative,
    lottery_ticket,
    one_shot,
    rewind,
    within,
)
from minigrad.nn.utils import prune

TOTAL = 8 * 16 + 16 * 12 + 12 * 4  # weights of `network`


def network(device="cpu", seed=0):
    minigrad.manual_seed(seed)
    layers = [nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4)]
    return nn.Sequential(*layers).to(device)


def weights(model):
    """Return each weight as the layer sees it."""
    return {f"{i}.weight": arr(model[i].weight.detach()) for i in (0, 2, 4)}


def kept(model):
    return {name: int((w != 0).sum()) for name, w in weights(model).items()}


def trainer(device="cpu", steps=3):
    """Return a training loop with all that moves weights that have no gradient."""
    rng = np.random.default_rng(0)
    x = make(device, rng.normal(size=(16, 8)).astype(np.float32))
    y = make(device, rng.integers(0, 4, 16))

    def train(model):
        model.train()
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        model(x)

    return train


def by_zeros(model):
    """Return a score that the first layer can lose at no cost, the others in proportion."""
    gone = {name: (w == 0).mean() for name, w in weights(model).items()}
    return 1 - 0.3 * gone["2.weight"] - 0.3 * gone["4.weight"] - 0.01 * gone["0.weight"]


# ---------------------------------------------------------------------------------- schedules


def test_cubic_is_equation_1_of_zhu_and_gupta():
    t0, n, dt, s_i, s_f = 0, 8, 100, 0.5, 0.95
    for t in range(t0, t0 + n * dt + 1, dt):
        s = s_f + (s_i - s_f) * (1 - (t - t0) / (n * dt)) ** 3
        assert compress.cubic((t - t0) / (n * dt), 1 - s_f, 1 - s_i) == pytest.approx(1 - s)


def test_exponential_leaves_the_same_share_in_each_round():
    left = [compress.exponential(i / 5, 0.1) for i in range(6)]
    assert left[0] == 1 and left[-1] == pytest.approx(0.1)
    for before, after in itertools.pairwise(left):
        assert after / before == pytest.approx(0.1 ** (1 / 5))


# ------------------------------------------------------------------------------- rounds of masks


def test_each_round_leaves_what_the_schedule_says_and_zeros_stay(device):
    model = network(device)
    before = {name: w.copy() for name, w in weights(model).items()}
    zeros = {name: np.zeros(w.shape, bool) for name, w in before.items()}
    steps = iterative(model, trainer(device), 0.1, rounds=4)
    for i, step in enumerate(steps, 1):
        share = 0.1 + 0.9 * (1 - i / 4) ** 3
        assert (step.round, step.keep) == (i, pytest.approx(share))
        assert sum(kept(step.model).values()) == round(share * TOTAL)  # after training, too
        assert step.left == pytest.approx(share, abs=1 / TOTAL)
        for name, w in weights(step.model).items():
            assert (w[zeros[name]] == 0).all()  # what was pruned stays pruned
            zeros[name] = w == 0
    assert step.score is None and "10.05% left" in repr(step)
    assert any((w[w != 0] != before[n][w != 0]).any() for n, w in weights(step.model).items())
    for name, w in weights(model).items():
        np.testing.assert_array_equal(w, before[name])
    assert not prune.is_pruned(model)


def test_one_shot_is_pytorch_s_global_pruning():
    model, other = network(), network()
    (step,) = one_shot(model, None, 0.25)
    pairs = [(other[i], "weight") for i in (0, 2, 4)]
    prune.global_unstructured(pairs, prune.L1Unstructured, amount=TOTAL - round(0.25 * TOTAL))
    for name, w in weights(other).items():
        np.testing.assert_array_equal(weights(step.model)[name], w)


def test_a_number_and_shares_by_layer():
    (step,) = one_shot(network(), None, 100)
    assert sum(kept(step.model).values()) == 100
    (*_, step) = iterative(network(), trainer(), {"0.weight": 0.25, "4.weight": 0.5}, rounds=2)
    assert kept(step.model) == {"0.weight": 32, "2.weight": 192, "4.weight": 24}
    (step,) = one_shot(network(), None, 0.5, cut=CutWeights(spread="layer"))
    assert kept(step.model) == {"0.weight": 64, "2.weight": 96, "4.weight": 24}


def test_taylor_cuts_ask_for_gradients():
    seen = []

    def gradients(model):
        seen.append(model)
        model.zero_grad()
        model(minigrad.ones(2, 8)).square().sum().backward()

    model = network()
    (step,) = one_shot(model, None, 0.5, cut=CutWeights(criterion="taylor", gradients=gradients))
    assert seen == [model]
    scores = np.concatenate([np.abs(arr(model[i].weight.detach()) * arr(model[i].weight.grad))
                             .ravel() for i in (0, 2, 4)])  # fmt: skip
    stays = np.concatenate([(w != 0).ravel() for w in weights(step.model).values()])
    assert scores[stays].min() >= scores[~stays].max()


def test_outermost_layers_first():
    seen = []
    steps = hierarchical(network(), lambda model: seen.append(kept(model)), 0.25, rounds=2)
    assert len(list(steps)) == 4
    cubic = 0.25 + 0.75 / 8
    outer, inner = {"0.weight": 128, "4.weight": 48}, {"2.weight": 192}
    first = {name: round(cubic * n) for name, n in outer.items()}
    quarter = {name: n // 4 for name, n in outer.items()}
    assert seen == [
        {**first, **inner}, {**quarter, **inner},
        {**quarter, "2.weight": round(cubic * 192)}, {**quarter, "2.weight": 48},
    ]  # fmt: skip


# ------------------------------------------------------------------------------ lottery tickets


def test_tickets_start_from_the_first_weights(device):
    model = nn.Sequential(*network(device), nn.BatchNorm1d(4)).to(device)
    init = model.state_dict()
    train = trainer(device)
    train(model)
    trained = {name: w.copy() for name, w in weights(model).items()}
    started = []

    def watch(network):
        started.append(copy.deepcopy(network))
        train(network)

    steps = list(lottery_ticket(model, watch, 0.2, init, rounds=3))
    largest = {name: np.abs(w) for name, w in trained.items()}
    for i, (before, step) in enumerate(zip(started, steps), 1):
        share = 0.2 ** (i / 3)  # p^(1/n) in each of n rounds
        assert sum(kept(step.model).values()) == round(share * TOTAL)
        for name, w in weights(before).items():
            np.testing.assert_array_equal(w, np.where(w != 0, arr(init[name]), 0))
        np.testing.assert_array_equal(arr(before[5].running_mean), arr(init["5.running_mean"]))
        np.testing.assert_array_equal(arr(before[0].bias.detach()), arr(init["0.bias"]))
        if i == 1:  # chosen by the trained weights, not by the first ones
            stays = np.concatenate([(w != 0).ravel() for w in weights(before).values()])
            sizes = np.concatenate([w.ravel() for w in largest.values()])
            assert sizes[stays].min() >= sizes[~stays].max()
    ticket = copy.deepcopy(steps[-1].model)
    rewind(ticket, init)
    for name, w in weights(ticket).items():
        np.testing.assert_array_equal(w, weights(started[-1])[name])


def test_rewinding_what_does_not_fit_changes_nothing():
    model, x = network(), minigrad.randn(2, 8)
    small = compress.prune_channels(model, x, 0.5)
    before = small.state_dict()
    with pytest.raises(RuntimeError, match=r"unchanged(.|\n)*0.weight"):
        rewind(small, model.state_dict())
    for name, value in small.state_dict().items():
        np.testing.assert_array_equal(arr(value), arr(before[name]))


# -------------------------------------------------------------------------------------- channels


def test_channels_go_in_rounds_and_the_network_gets_smaller():
    model, x = network(), minigrad.randn(2, 8)
    whole = compress.count_flops(model, x)
    steps = list(iterative(model, trainer(), 0.2, rounds=2, cut=CutChannels(model, x)))
    for step, share in zip(steps, (0.2 + 0.8 / 8, 0.2)):
        assert compress.count_flops(step.model, x) <= share * whole
        assert step.left == pytest.approx(compress.count_flops(step.model, x) / whole)
    assert model[0].out_features == 16 > steps[0].model[0].out_features
    cut = CutChannels(model, x, by="parameters")
    (step,) = one_shot(model, None, 100, cut=cut)
    assert compress.count_parameters(step.model) <= 100
    first, second = hierarchical(model, None, 0.5, rounds=2, cut=CutChannels(model, x))
    assert [first.model[0].out_features, first.model[2].out_features] == [9, 7]
    assert [second.model[0].out_features, second.model[2].out_features] == [8, 6]


# ------------------------------------------------------------------------------------- adaptive


def test_layers_lose_what_they_can_spare():
    for keep in (0.7, 0.5):
        (*_, step) = adaptive(network(), None, by_zeros, weights=keep, rounds=2)
        assert sum(kept(step.model).values()) <= keep * TOTAL
        assert sum(kept(step.model).values()) >= keep * TOTAL - 3
        assert kept(step.model)["0.weight"] < 0.2 * 128  # the first layer spares them

    def alike_for_all(model):  # the same share costs the same in each layer
        return 1 - 0.1 * sum((w == 0).mean() for w in weights(model).values())

    (*_, fair) = adaptive(network(), None, alike_for_all, weights=0.6, rounds=1)
    share = {
        name: count / weights(fair.model)[name].size for name, count in kept(fair.model).items()
    }
    assert share["2.weight"] < share["0.weight"] < share["4.weight"]  # the most for what it costs
    (*_, alike) = one_shot(network(), None, 0.5, cut=CutWeights(spread="layer"))
    assert by_zeros(step.model) > by_zeros(alike.model) + 0.1


def test_a_budget_of_bytes_holds_for_the_file(tmp_path):
    model, path = network(), tmp_path / "small.mgc"
    *_, step = adaptive(model, trainer(), by_zeros, bytes=900, rounds=2)
    compress.detach_masks(step.model)
    compress.save_compressed(step.model, path)
    assert 800 < path.stat().st_size <= 900

    def shared(network):
        network = compress.plain_copy(network)
        compress.share_weights(network, 3)
        return compress.coded_bytes(network)

    cut = CutWeights(by="bytes", size=shared)  # the file as it will be, shared
    (step,) = one_shot(model, None, 700, cut=cut)
    assert 500 < shared(step.model) <= 700 < compress.coded_bytes(step.model)
    (*_, step) = adaptive(model, None, lambda m: 1.0, bytes=1200, example=minigrad.ones(2, 8))
    assert compress.Structure(step.model, minigrad.ones(2, 8)).bytes() <= 1200


def test_a_budget_of_flops():
    model, x = network(), minigrad.randn(2, 8)

    def score(network):  # the second layer is worth much
        return 1 - 0.001 * (16 - network[0].out_features) - 0.05 * (12 - network[2].out_features)

    *_, step = adaptive(model, None, score, flops=0.4, example=x, rounds=2)
    assert compress.count_flops(step.model, x) <= 0.4 * compress.count_flops(model, x)
    assert step.model[0].out_features <= 6 and step.model[2].out_features >= 10
    assert step.score == score(step.model)


def test_a_budget_of_accuracy_counts_after_training():
    def score(model):
        return 1 - 0.05 * (1 - sum(kept(model).values()) / TOTAL)

    steps = list(adaptive(network(), None, score, drop=0.02, rate=0.8))
    assert steps[-1].score >= 0.98
    assert [s.left for s in steps] == pytest.approx([0.8, 0.64], abs=0.01)  # 0.512 costs too much

    def half(model):  # a network that training mends
        return 1.0

    few = itertools.islice(adaptive(network(), None, half, drop=0.0, rate=0.5), 3)
    assert [s.left for s in few] == pytest.approx([0.5, 0.25, 0.125], abs=0.01)
    x = minigrad.randn(2, 8)
    everything = list(adaptive(network(), None, half, drop=0.0, rate=0.5, example=x))
    assert everything[-1].left < 0.1  # it ends where a scan's last amount is reached


def test_budgets_without_training():
    def score(model):
        return 1 - 0.4 * (arr(model[2].weight.detach()) == 0).mean()

    found = compress.scan_masks(network(), score, amounts=(0.5, 0.75))
    assert found.results["0.weight"] == [1, 1]
    assert found.results["2.weight"] == pytest.approx([0.8, 0.7])
    masks = compress.fit_masks(network(), found, drop=0.1, evaluate=score)
    left = {name: arr(mask).mean() for name, mask in masks.items()}
    assert left["0.weight"] == left["4.weight"] == 0.25
    assert left["2.weight"] == pytest.approx(0.75, abs=0.01)
    masks = compress.fit_masks(network(), drop=0.1, evaluate=score, scope="layer")
    assert arr(masks["2.weight"]).mean() == pytest.approx(0.75, abs=0.01)
    rng = np.random.default_rng(5)
    masks = compress.fit_masks(network(), weights=0.3, criterion="random", generator=rng)
    assert sum(int(arr(m).sum()) for m in masks.values()) == pytest.approx(0.3 * TOTAL, abs=1)
    assert "-98.5%" in str(compress.scan_masks(network(), score))


# ---------------------------------------------------------------------------------- composition


def test_strategies_compose_with_each_other_and_with_sharing_and_coding(tmp_path):
    model, train, path = network(), trainer(), tmp_path / "small.mgc"
    init = model.state_dict()
    train(model)
    cut = CutWeights(spread="sensitivity", evaluate=by_zeros)
    options = dict(cut=cut, rewind_to=init, evaluate=by_zeros)
    *_, step = within(iterative(model, train, 0.3, rounds=3, **options), 0.5)
    assert step.left <= 0.3 and cut.sensitivity.unit == "weights"
    x = minigrad.randn(4, 8)
    cut = CutChannels(step.model, x, spread="layer")
    with pytest.raises(ValueError, match="still has masks"):
        next(one_shot(step.model, train, 0.5, cut=cut))
    small = step.model
    masked = arr(small(x).detach())
    compress.detach_masks(small)
    np.testing.assert_array_equal(arr(small(x).detach()), masked)
    compress.share_weights(small, 4)
    train(small)
    compress.finish_sharing(small)
    compress.save_compressed(small, path)
    other = network(seed=1)
    other.load_state_dict(compress.load_compressed(path))
    np.testing.assert_array_equal(arr(other(x).detach()), arr(small(x).detach()))
    assert all(np.unique(w).size <= 16 for w in weights(other).values())
    assert sum(kept(other).values()) <= 0.3 * TOTAL


def test_the_opening_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = compress.__doc__
    code = page[page.index("    for step in compress.iterative") : page.index("Read on")]
    names = dict(compress=compress, model=network(), train=trainer(), accuracy=by_zeros)
    exec(textwrap.dedent(code), {**names, "images": minigrad.randn(4, 8)})
    printed = capsys.readouterr().out
    assert "round 5: 4.89% left, score" in printed and "bytes, coded file" in printed
    assert (tmp_path / "small.mgc").exists()


def test_a_cut_of_your_own():
    class LastRow:
        def __call__(self, model, keep):
            smaller = copy.deepcopy(model)
            smaller[4].weight.data[-1] = 0.0
            return smaller

        def left(self, model):
            return 0.5

    (step,) = in_rounds(network(), None, [0.5], cut=LastRow(), evaluate=by_zeros)
    assert isinstance(step, Step) and (weights(step.model)["4.weight"][-1] == 0).all()


# -------------------------------------------------------------------------- models with masks


def test_masks_of_a_pruned_model_have_the_weight_s_own_name(device):
    model = network(device)
    compress.attach_masks(model, compress.sparse_masks(model, 0.5))
    assert compress.sparsity(model) == pytest.approx(0.5, abs=0.01)
    first = {name: w != 0 for name, w in weights(model).items()}
    for criterion in ("magnitude", "random", "taylor"):
        model(make(device, np.ones((2, 8), np.float32))).square().sum().backward()
        masks = compress.sparse_masks(model, 0.2, criterion=criterion)
        assert list(masks) == list(first)
        assert sum(int(arr(mask).sum()) for mask in masks.values()) == round(0.2 * TOTAL)
        assert not any((arr(mask) & ~first[name]).any() for name, mask in masks.items())
    more = compress.sparse_masks(model, 0.9)  # more than is left: what is left
    assert all((arr(mask) == first[name]).all() for name, mask in more.items())
    by_size = compress.threshold_masks(model, quality=1.0)
    for name, w in weights(model).items():
        t = w[first[name]].std()  # of the weights that are left
        np.testing.assert_array_equal(arr(by_size[name]), np.abs(w) > t)
    only = compress.sparse_masks(model, 0.1, names=["2.weight"])
    compress.attach_masks(model, only)
    assert kept(model)["2.weight"] == round(0.1 * 192)
    values = weights(model)
    compress.detach_masks(model)
    assert not prune.is_pruned(model)
    assert set(dict(model.named_parameters())) == {f"{i}.{n}" for i in (0, 2, 4)
                                                   for n in ("weight", "bias")}  # fmt: skip
    for name, w in weights(model).items():
        np.testing.assert_array_equal(w, values[name])
    compress.detach_masks(model)  # nothing to do


def test_a_pruned_model_is_stored_as_what_it_computes(tmp_path):
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    compress.attach_masks(model, compress.sparse_masks(model, 0.1))
    plain = compress.plain_copy(model)
    assert prune.is_pruned(model) and not prune.is_pruned(plain)
    sizes = compress.stored_bytes(model)
    assert sizes == compress.stored_bytes(plain)
    minigrad.save(plain.state_dict(), tmp_path / "dense")
    compress.save_sparse(plain, tmp_path / "sparse")
    compress.save_compressed(plain, tmp_path / "coded")
    assert sizes == {name: (tmp_path / name).stat().st_size for name in sizes}
    assert sizes["coded"] == compress.coded_bytes(model) < sizes["sparse"] < sizes["dense"]
    csr = compress.CSR.from_dense(model[0].weight.detach())  # the survivors, from the masked layer
    assert csr.data.size == int(model[0].weight_mask.sum())
    np.testing.assert_array_equal(csr.to_dense(), arr(plain[0].weight.detach()))


def test_nothing_is_attached_if_one_mask_does_not_fit():
    model = network()
    masks = compress.sparse_masks(model, 0.5)
    for bad in (minigrad.ones(2, 2), minigrad.ones(4, 13)):
        with pytest.raises(ValueError, match="'4.weight': the mask does not have"):
            compress.attach_masks(model, {**masks, "4.weight": bad})
        assert not prune.is_pruned(model)
    with pytest.raises(AttributeError, match="1.weight"):
        compress.attach_masks(model, {**masks, "1.weight": minigrad.ones(2)})
    assert not prune.is_pruned(model)


def test_masks_end_before_rounding_in_place():
    model = network()
    compress.attach_masks(model, compress.sparse_masks(model, 0.5))
    for what in (compress.quantize_weights, compress.quantization_aware, compress.share_weights):
        with pytest.raises(ValueError, match="detach_masks"):
            what(model, 4)


# ------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("keep", [0.0, -0.1, 1.5, float("nan"), 0, TOTAL + 1, True, "half", None])
def test_keep_out_of_range(keep):
    with pytest.raises(ValueError, match=r"keep is out of range(.|\n)*up to 1, or .* up to 368"):
        iterative(network(), None, keep)  # at once, not when the rounds begin


def test_other_bad_input():
    model, x = network(), minigrad.randn(2, 8)
    for rounds in (0, -1, 2.5):
        with pytest.raises(ValueError, match="no such number of rounds"):
            iterative(model, None, 0.5, rounds=rounds)
    with pytest.raises(ValueError, match="'cubic' or 'exponential'"):
        iterative(model, None, 0.5, schedule="linear")
    with pytest.raises(ValueError, match="no '1.weight' to cut"):
        iterative(model, None, {"1.weight": 0.5})
    with pytest.raises(ValueError, match="keep is out of range"):
        hierarchical(model, None, {"0.weight": 2})
    with pytest.raises(TypeError, match=r"train is not a function(.|\n)*without calling it"):
        iterative(model, trainer()(model), 0.5) if trainer()(model) else in_rounds(model, 3, [0.5])
    with pytest.raises(TypeError, match="no model"):
        in_rounds(model.state_dict(), None, [0.5])
    with pytest.raises(ValueError, match="give exactly one budget"):
        adaptive(model, None, by_zeros)
    with pytest.raises(ValueError, match="give exactly one budget"):
        adaptive(model, None, by_zeros, drop=0.1, bytes=100)
    with pytest.raises(ValueError, match=r"a mask saves no operations(.|\n)*CutChannels"):
        adaptive(model, None, by_zeros, flops=0.2)
    with pytest.raises(ValueError, match="a budget of accuracy needs"):
        adaptive(model, None, by_zeros, drop=-0.1)
    with pytest.raises(ValueError, match="rate is out of range"):
        adaptive(model, None, by_zeros, drop=0.1, rate=1.0)
    with pytest.raises(ValueError, match="a scan needs to measure"):
        CutWeights(spread="sensitivity")
    with pytest.raises(ValueError, match="no such by"):
        CutChannels(model, x, by="weights")
    with pytest.raises(ValueError, match="no such spread"):
        CutWeights(spread="all")
    with pytest.raises(ValueError, match="spread='sensitivity'"):
        CutChannels(model, x, spread="global")
    with pytest.raises(ValueError, match=r"have no score(.|\n)*evaluate="):
        next(within(one_shot(model, None, 0.5), 0.9))
    with pytest.raises(ValueError, match="no budget is given"):
        compress.fit_masks(model)
    with pytest.raises(ValueError, match="the budget of bytes is out of range"):
        compress.fit_masks(model, bytes=-1)
    with pytest.raises(ValueError, match="scan_masks: the amounts"):
        compress.scan_masks(model, by_zeros, amounts=(0.5, 0.2))


def test_budgets_that_cannot_be_met_say_what_was_reached():
    model, x = network(), minigrad.randn(2, 8)
    with pytest.raises(BudgetError, match=r"at most 100 bytes(.|\n)*Actual: \d+ bytes") as e:
        list(adaptive(model, None, by_zeros, bytes=100, rounds=1))
    assert e.value.reached["bytes"] > 100
    with pytest.raises(BudgetError, match=r"at most 30 flops(.|\n)*reached") as e:
        list(adaptive(model, None, lambda m: 1.0, flops=30, example=x, rounds=1))
    assert e.value.reached["flops"] > 30
    with pytest.raises(BudgetError, match=r"first round(.|\n)*at least 0.98(.|\n)*reached") as e:
        list(adaptive(model, None, lambda m: 1 - compress.sparsity(m), drop=0.02))
    assert e.value.reached["left"] == pytest.approx(0.8, abs=0.01)
    with pytest.raises(BudgetError, match=r"not good enough(.|\n)*0\.\d+ reached"):
        compress.fit_masks(model, weights=0.1, drop=0.01, evaluate=by_zeros)


def test_training_that_diverged_is_named():
    def diverge(model):
        model[2].weight_orig.data[0, 0] = float("nan")

    with pytest.raises(ValueError, match=r"2.weight_orig(.|\n)*NaN(.|\n)*1 of 192"):
        next(iterative(network(), diverge, 0.1, rounds=3))


def test_steps_read_well():
    text = repr(Step(3, 0.1, 0.1108, 0.98312, network()))
    assert re.fullmatch(r"round 3: 11\.08% left, score 98\.31%", text)


# ------------------------------------------------------------------------------ wrong requests


def test_a_ticket_needs_a_state_to_go_back_to():
    with pytest.raises(TypeError, match="lottery_ticket: there is no early state"):
        lottery_ticket(nn.Linear(4, 3), None, 0.5, None)


def test_a_ticket_that_could_not_go_back_is_refused_before_anything_runs():
    def never(model):
        raise AssertionError("it was called")

    model, x = network(), minigrad.randn(2, 8)
    init, cut = model.state_dict(), CutChannels(model, x)
    with pytest.raises(ValueError, match=r"lost channels(.|\n)*cut=CutWeights"):
        lottery_ticket(model, never, 0.5, init, cut=cut, evaluate=never)
    for budget in ({"drop": 0.1}, {"flops": 0.5}):
        with pytest.raises(ValueError, match="lost channels"):
            adaptive(model, never, never, example=x, rewind_to=init, **budget)
    other = nn.Linear(3, 2).state_dict()
    with pytest.raises(RuntimeError, match="0.weight"):
        lottery_ticket(model, never, 0.5, other)
    with pytest.raises(TypeError, match="no state to go back to"):
        one_shot(model, never, 0.5, rewind_to="early.npz")
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(arr(value), arr(init[name]))


@pytest.mark.parametrize("cut", [5, CutWeights, "weights"])
@pytest.mark.parametrize("strategy", [one_shot, iterative, hierarchical])
def test_what_is_no_cut(strategy, cut):
    with pytest.raises(TypeError, match="this is no cut"):
        strategy(nn.Linear(4, 3), None, 0.5, cut=cut)


@pytest.mark.parametrize("score", [None, float("nan")])
def test_steps_need_a_score_that_is_one(score):
    with pytest.raises(ValueError, match="evaluate: it returned no score"):
        list(one_shot(nn.Linear(4, 3), None, 0.5, evaluate=lambda model: score))


def test_a_budget_that_a_round_cannot_meet_names_the_round():
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    steps = adaptive(model, None, lambda m: 0.5, bytes=10, rounds=2)
    with pytest.raises(BudgetError, match=r"round 1, down to [\d.]+%: fit_masks") as error:
        list(steps)
    assert error.value.reached["bytes"] > 10


# ----------------------------------------------------------------------- bad input, all together


def changes(model) -> tuple:
    """What no refused call may change: values, parameter objects, hooks and mode."""
    state = {name: value.numpy().tobytes() for name, value in model.state_dict().items()}
    hooks = [len(module._forward_pre_hooks) for module in model.modules()]
    return state, [id(p) for p in model.parameters()], hooks, model.training


X = np.ones((2, 8), np.float32)
HALF = {"0.weight": np.arange(128).reshape(16, 8) % 2 == 0, "2.weight": np.ones((2, 2), bool)}
BAD = {
    "amounts of a scan": lambda m: compress.scan_masks(m, by_zeros, amounts=0.5),
    "amounts that are text": lambda m: compress.scan_masks(m, by_zeros, amounts=["0.5"]),
    "evaluate": lambda m: compress.scan_masks(m, 5),
    "drop as text": lambda m: adaptive(m, None, by_zeros, drop="0.5"),
    "drop without end": lambda m: adaptive(m, None, by_zeros, drop=float("inf")),
    "rate": lambda m: adaptive(m, None, by_zeros, drop=0.1, rate="0.5"),
    "rounds": lambda m: iterative(m, None, 0.5, rounds=True),
    "rounds to measure": lambda m: compress.measure_ms({"a": m}, Tensor(X), rounds=2.5),
    "names of masks": lambda m: compress.sparse_masks(m, 0.5, names=5),
    "names to quantize": lambda m: compress.quantize_weights(m, 4, names=[5]),
    "names to share": lambda m: compress.share_weights(m, 4, names=5),
    "names of a cut": lambda m: CutWeights(names=5),
    "layers": lambda m: compress.prune_channels(m, Tensor(X), 0.5, layers=5),
    "channels": lambda m: compress.remove_channels(m, Tensor(X), [0]),
    "a channel": lambda m: compress.remove_channels(m, Tensor(X), {"0": [True]}),
    "all channels": lambda m: compress.remove_channels(m, Tensor(X), {"0": range(16)}),
    "no samples": lambda m: compress.count_flops(m, Tensor(X[:0])),
    "no samples to prune": lambda m: compress.prune_channels(m, Tensor(X[:0]), 0.5),
    "masks applied": lambda m: compress.apply_masks(m, 5),
    "masks attached": lambda m: compress.attach_masks(m, [1]),
    "second mask applied": lambda m: compress.apply_masks(m, as_masks(HALF)),
    "second mask attached": lambda m: compress.attach_masks(m, as_masks(HALF)),
    "max_drop": lambda m: compress.prune_modules(m, Tensor(X), by_zeros, max_drop="0.1"),
    "bits": lambda m: compress.quantization_aware(m, 2.5),
    "bits of some": lambda m: compress.share_weights(m, {"0.weight": 4}),
    "budget": lambda m: compress.fit_masks(m, bytes=1),
    "no model": lambda m: compress.int8_model(None),
    "no model to count": lambda m: compress.count_parameters("model"),
    "no model to detach from": lambda m: compress.detach_masks(None),
    "no model to finish": lambda m: compress.finish_sharing(5),
}


def as_masks(arrays) -> dict:
    return {name: Tensor(array) for name, array in arrays.items()}


@pytest.mark.cpu_only
@pytest.mark.parametrize("case", BAD)
def test_what_is_refused_says_what_to_do_and_changes_nothing(case):
    model = network()
    before = changes(model)
    with pytest.raises((ValueError, TypeError, IndexError, AttributeError, BudgetError)) as error:
        BAD[case](model)
    assert re.search(r"^\w[^\n]*: .*\n  (Expect|Actual|Do): ", str(error.value)), error.value
    assert changes(model) == before


@pytest.mark.cpu_only
def test_names_may_be_one_name():
    assert CutWeights(names="0.weight").names == ["0.weight"]
    small = compress.prune_channels(network(), Tensor(X), 0.5, layers="0")
    assert small[0].out_features == network()[0].out_features // 2


@pytest.mark.cpu_only
def test_a_network_of_nan_is_not_called_equal():
    model = network()
    model[2].weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match="computes NaN on the example"):
        compress.remove_channels(model, Tensor(X), {"0": [1]})


@pytest.mark.cpu_only
def test_a_budget_of_accuracy_ends_though_the_score_never_falls():
    steps = adaptive(nn.Linear(8, 2), None, lambda model: 1.0, drop=0.5, rate=0.5)
    steps = list(itertools.islice(steps, 20))
    assert [step.left for step in steps] == [0.5, 0.25, 0.125, 0.0625]  # one weight of sixteen
