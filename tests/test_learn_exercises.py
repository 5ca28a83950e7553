"""Every exercise, held to what an exercise promises; the folders are the list, so none is left out.

The stub is to do, the solution is right with many seeds, every known wrong answer fails and is told
its own cause, and mistakes that nobody planned (`mutants`) are caught as well. ``pytest -k mul``
checks one exercise.
"""

from __future__ import annotations

import ast
import types

import numpy as np
import pytest

from minigrad.learn import child, exercise
from minigrad.learn.checker import is_stub
from minigrad.learn.exercise import KEYS, SOLUTIONS, STUBS, all_exercises

SEEDS = 20
EXERCISES = all_exercises()
WITH_CASES = [e for e in EXERCISES if e.cases]
WRONG = [(e, answer) for e in EXERCISES for answer in e.wrong_answers]


def name_of(e) -> str:
    return e.name


def module(e, text: str, more: str = "") -> types.ModuleType:
    """Return a module made of an exercise's file and of code that replaces some of it."""
    made = child.load_source(e.file_name, text)
    exec(compile(more, "wrong answer", "exec"), made.__dict__)
    return made


def solved(e, more: str = "") -> types.ModuleType:
    return module(e, e.solution, more)


def examined(e, made, seed: int = 0):
    """Examine as the child process does; an exception is a failure whose cause names it."""
    try:
        with np.errstate(all="ignore"):
            return child.examine(e, made, seed)
    except NotImplementedError as error:
        return exercise.to_do(str(error))
    except Exception as error:
        return exercise.wrong(f"raised {child.kind(error)}: {error}", repr(error))


# ------------------------------------------------------------------------------- the files


def test_stubs_solutions_and_keys_belong_together():
    stubs = {path.name for path in STUBS.glob("*.py")}
    assert stubs == {path.name for path in SOLUTIONS.glob("*.py")}
    keys = {path.stem for path in KEYS.glob("*.py")} - {"__init__"}
    assert {name[3:-3] for name in stubs} == keys
    assert {e.file_name for e in EXERCISES} == stubs, "a key's name or number is not its file's"
    numbers = [e.number for e in EXERCISES]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("e", EXERCISES, ids=name_of)
def test_the_texts_fit_together(e):
    stub, solution = ast.parse(e.stub), ast.parse(e.solution)
    head = ast.get_docstring(stub)
    assert head == ast.get_docstring(solution)
    assert head.split("\n")[0] == f"Exercise {e.number:02d}: {e.title}."
    assert f"python -m minigrad learn check {e.name}" in head
    given, used = [
        {ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)}
        for tree in (stub, solution)
    ]
    assert used <= given, "the solution imports what the stub does not"
    assert not any("torch" in each or "minigrad" in each for each in given)
    if e.cases:  # np.ones_like and its like are what a learner reaches for
        assert "import numpy as np" in given
    assert signatures(stub).items() <= signatures(solution).items()
    assert set(e.functions) <= signatures(stub).keys() | classes(stub)
    known = {other.name for other in EXERCISES if other.number < e.number}
    assert set(e.requires) <= known, "it builds on exercises that are not there, or come later"


def signatures(tree) -> dict:
    """Return each function's arguments and docstring."""
    return {n.name: (ast.unparse(n.args), ast.get_docstring(n)) for n in functions_of(tree)}


def classes(tree) -> set:
    return {n.name for n in tree.body if isinstance(n, ast.ClassDef)}


@pytest.mark.parametrize("e", EXERCISES, ids=name_of)
def test_hints_and_wrong_answers(e):
    assert len(e.hints) >= 3
    assert len(set(e.hints)) == len(e.hints)
    assert len(e.wrong_answers) >= 3
    assert len({answer.name for answer in e.wrong_answers}) == len(e.wrong_answers)
    if e.cases:
        for seed in range(2):
            made = list(exercise.cases_of(e, np.random.default_rng(seed)))
            assert all(cases for _, cases in made), "a function without a case"
            functions = {case.function for case in e.cases(np.random.default_rng(seed))}
            assert functions == set(e.functions)


@pytest.mark.parametrize("e", [e for e in EXERCISES if not e.bug], ids=name_of)
def test_the_stub_does_not_hold_the_solution(e):
    stub, solution = ast.parse(e.stub), ast.parse(e.solution)
    left = [f for f in functions_of(stub) if "NotImplementedError" in ast.unparse(f)]
    given = lines_of(stub).difference(*[lines_of(f) for f in left])
    for function in left:
        (solved,) = [f for f in functions_of(solution) if f.name == function.name]
        answer = lines_of(solved) - lines_of(function)
        assert answer
        assert not {line for line in answer if len(line) > 12} & given
        assert not {line for line in answer if len(line) > 12 and line in e.stub}


def functions_of(tree) -> list:
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]


def lines_of(tree) -> set[str]:
    """Return the statements of a function or file, without comments and layout."""
    return {line.strip() for line in ast.unparse(tree).split("\n")}


# ------------------------------------------------------------------------------- the checks


@pytest.mark.parametrize("e", EXERCISES, ids=name_of)
def test_the_stub_is_to_do(e):
    assert is_stub(e, e.stub)
    assert not is_stub(e, e.solution)
    verdict = examined(e, module(e, e.stub))
    assert not verdict.ok
    if e.bug:  # it runs, so it is known by being the stub; its report must not say why it is wrong
        assert verdict.cause not in (None, "")
        assert verdict.cause.lower() not in str(verdict).lower()
    else:
        assert verdict.todo, str(verdict)


@pytest.mark.parametrize("e", EXERCISES, ids=name_of)
def test_the_solution_is_right(e):
    for seed in range(SEEDS if e.repeats > 1 else 2):
        verdict = examined(e, solved(e), seed)
        assert verdict.ok, f"seed {seed}: {verdict}"


@pytest.mark.parametrize(
    ("e", "answer"), WRONG, ids=[f"{e.name}-{a.name.replace(' ', '_')}" for e, a in WRONG]
)
def test_a_wrong_answer_is_told_its_cause(e, answer):
    for seed in range(min(3, e.repeats)):
        verdict = examined(e, solved(e, answer.code), seed)
        assert not verdict.ok, f"seed {seed}: not caught"
        assert not verdict.todo
        assert answer.cause.lower() in (verdict.cause or "").lower(), f"seed {seed}: {verdict}"


# ------------------------------------------------------------------------------- mutants


def changed(how):
    """Return a mutant: `how` changes one gradient, as an array of float64, of one input."""

    def mutate(function, which):
        def mutant(gy, *inputs, **options):
            returned = function(gy, *inputs, **options)
            if not isinstance(returned, tuple | list):
                return how(np.asarray(returned))
            gradients = list(returned)
            gradients[which] = how(np.asarray(gradients[which]))
            return tuple(gradients)

        return mutant

    return mutate


def upstream_ignored(function, which):
    return lambda gy, *inputs, **options: function(np.ones_like(gy), *inputs, **options)


def upstream_squared(function, which):
    return lambda gy, *inputs, **options: function(gy * gy, *inputs, **options)


def swapped(function, which):
    def mutant(gy, *inputs, **options):
        gradients = list(function(gy, *inputs, **options))
        other = (which + 1) % len(gradients)
        gradients[which], gradients[other] = gradients[other], gradients[which]
        return tuple(gradients)

    return mutant


def one_entry_off(g):
    g = np.array(g, dtype=float)
    g.flat[-1] += 1e-3 * (1 + abs(g.flat[-1]))
    return g


MUTANTS = {
    "scaled by 1.01": changed(lambda g: g * 1.01),
    "doubled": changed(lambda g: g * 2),
    "negated": changed(lambda g: -g),
    "zero": changed(np.zeros_like),
    "transposed": changed(lambda g: g.T),
    "shape lost": changed(lambda g: g[None]),
    "one entry off": changed(one_entry_off),
    "not finite": changed(lambda g: g * np.nan),
    "float32": changed(lambda g: g.astype(np.float32).astype(np.float64) * (1 + 1e-4)),
    "reversed": changed(lambda g: g.reshape(-1)[::-1].reshape(g.shape)),
    "upstream ignored": upstream_ignored,
    "upstream squared": upstream_squared,
    "swapped": swapped,
}


def gradients_of(function, case, seed):
    """Return the gradients that a function gives in a case, as a list, None included."""
    rng = np.random.default_rng(seed)
    y = np.asarray(case.forward(*case.inputs, **case.options_at(case.inputs)))
    gy = rng.standard_normal(y.shape)
    returned = function(gy, *[np.array(x) for x in case.inputs], **case.options_at(case.inputs))
    return list(returned) if isinstance(returned, tuple | list) else [returned]


def same(one: list, other: list) -> bool:
    return len(one) == len(other) and all(
        (a is None and b is None)
        or (a is not None and b is not None and np.shape(a) == np.shape(b) and np.allclose(a, b))
        for a, b in zip(one, other)
    )


@pytest.mark.parametrize("e", WITH_CASES, ids=name_of)
def test_mutants_of_the_solution_are_caught(e):
    tried = 0
    for name, cases in exercise.cases_of(e, np.random.default_rng(1)):
        function = getattr(solved(e), name)
        truth = [gradients_of(function, case, 1) for case in cases]
        wanted = [i for i, g in enumerate(truth[0]) if g is not None]
        for what, mutate in MUTANTS.items():
            for which in wanted if len(wanted) > 1 else wanted[:1]:
                if what == "swapped" and len(wanted) < 2:
                    continue
                mutant = mutate(function, which)
                got = [gradients_of(mutant, case, 1) for case in cases]
                if all(same(a, b) for a, b in zip(got, truth)):
                    continue  # here this is no mistake: a gradient of zeros, a symmetric one
                verdict = child.examine_function(mutant, cases, 1)
                assert not verdict.ok, f"{name}, input {which}: {what} was not caught"
                tried += 1
    assert tried >= 5
