"""The command line of the exercises as a learner uses it: folders, checks, keys, pytest, bad files.

Most tests call the command line in this process and read what it prints; the check itself always
runs in its child. The watch mode is driven through a pseudo-terminal, by keys.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minigrad.__main__ import main
from minigrad.learn import checker, child, console, exercise, keyboard, process, workspace
from minigrad.learn.exercise import all_exercises, find

ROOT = Path(__file__).resolve().parents[1]
MUL = find("mul")
RIGHT = "def backward(gy, a, b):\n    return gy * b, gy * a\n"
SWAPPED = "def backward(gy, a, b):\n    return gy * a, gy * b\n"


@pytest.fixture(autouse=True)
def a_home_of_its_own(tmp_path, monkeypatch):
    """No test sees, or changes, the folder that the user of this machine works in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture
def folder(tmp_path, learn) -> Path:
    """A fresh exercise folder."""
    assert learn("init", str(tmp_path / "ex"))[0] == 0
    return tmp_path / "ex"


@pytest.fixture
def learn(capsys):
    """Run ``python -m minigrad learn ...`` here; returns the exit code and what was printed."""

    def run(*arguments):
        capsys.readouterr()
        try:
            code = main(["learn", *arguments])
        except SystemExit as stop:  # argparse
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


@pytest.fixture
def mul(folder, learn):
    """Write a text into 04_mul.py and check it."""

    def check(text: str | bytes):
        data = text.encode() if isinstance(text, str) else text
        (folder / "04_mul.py").write_bytes(data)
        return learn("check", "mul")

    return check


# ------------------------------------------------------------------------------- the registry


@pytest.mark.parametrize("name", ["mul", "4", "04", 4, "04_mul", "04_mul.py", "./ex/04_mul.py"])
def test_an_exercise_is_found_by_any_of_its_names(name):
    assert find(name).name == "mul"


def test_an_unknown_or_ambiguous_name_lists_what_is_near(learn, folder):
    code, text = learn("check", "mull")
    assert code == 2
    assert "did you mean" in text
    assert "mul" in text
    assert learn("check", "99")[0] == 2
    assert learn("check", "")[0] in (1, 2)
    several = [name for name in exercise.names() if "a" in name]
    assert len(several) > 1
    code, text = learn("check", "a")
    assert code == 2
    assert "more than one" in text


# ------------------------------------------------------------------------------- folders


def test_without_a_folder_every_command_says_how_to_make_one(learn):
    for command in ([], ["list"], ["check", "mul"], ["check", "--all"], ["hint", "mul"]):
        code, text = learn(*command)
        assert code == 2
        assert "learn init" in text
        assert "Traceback" not in text


def test_init_copies_every_exercise_and_keeps_what_is_there(learn, tmp_path):
    folder = tmp_path / "new" / "ex"
    code, text = learn("init", str(folder))
    assert code == 0
    assert str(folder) in text
    assert {e.file_name for e in all_exercises()} <= {p.name for p in folder.iterdir()}
    assert (folder / "conftest.py").exists()
    (folder / "04_mul.py").write_text("mine")
    (folder / "03_add.py").unlink()
    (folder / "conftest.py").write_text("# mine")
    code, text = learn("init", str(folder))
    assert code == 0
    assert text.startswith("1 exercise copied")
    assert (folder / "04_mul.py").read_text() == "mine"
    assert (folder / "03_add.py").read_text(encoding="utf-8") == find("add").stub
    assert (folder / "conftest.py").read_text() == "# mine"


def test_init_refuses_files_and_folders_of_other_things(learn, tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    code, text = learn("init", str(file))
    assert code == 2
    assert "this is a file" in text
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("x")
    code, text = learn("init", str(other))
    assert code == 2
    assert "thesis.tex" in text
    assert [p.name for p in other.iterdir()] == ["thesis.tex"]


def test_where_the_folder_is(learn, folder, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert learn("list")[1].startswith(f"{folder} (the folder last used)\n")
    for command in ("check", "show"):
        assert "mul.py (the folder last used)" in learn(command, "mul")[1]
    learn("init")
    default = elsewhere / workspace.DEFAULT
    assert "last used" not in learn("--dir", str(folder), "list")[1]
    assert learn("list")[1].startswith(f"{default}\n")  # the default one here comes before it
    assert learn("--dir", str(folder), "list")[1].startswith(str(folder))
    assert learn("list", "--dir", str(folder))[1].startswith(str(folder))
    (folder / "notes").mkdir()
    monkeypatch.chdir(folder / "notes")
    assert learn("list")[1].startswith(str(folder))  # one above
    monkeypatch.chdir(elsewhere)
    text = learn("check", str(folder / "04_mul.py"))[1]  # a file says which folder
    assert str(folder / "04_mul.py") in text
    for wrong in (elsewhere, elsewhere / "nowhere", folder / "04_mul.py"):
        code, text = learn("list", "--dir", str(wrong))
        assert code == 2
        assert str(wrong) in text
        assert "init" in text


def test_the_package_s_own_files_are_no_exercise_folder(learn, monkeypatch):
    monkeypatch.chdir(exercise.STUBS)
    assert learn("list")[0] == 2
    assert not (exercise.STUBS / workspace.PROGRESS).exists()


# ------------------------------------------------------------------------------- checks


def test_check_says_which_file_and_when_it_was_saved(folder, mul, learn):
    code, text = mul(RIGHT)
    assert code == 0
    assert "04 mul: right" in text
    assert str(folder / "04_mul.py") in text
    assert re.search(r"saved \d\d:\d\d:\d\d", text)
    os.utime(folder / "04_mul.py", (0, 86400 * 365))
    assert "1971-01-01" in learn("check", "mul")[1] or "1970-12-31" in learn("check", "mul")[1]


def test_a_wrong_answer_is_1_and_names_the_cause(mul):
    code, text = mul(SWAPPED)
    assert code == 1
    assert "not right yet" in text
    assert "the other factor" in " ".join(text.split())
    assert "Traceback" not in text


def test_not_started_is_to_do(folder, learn, mul):
    code, text = learn("check", "mul")
    assert code == 1
    assert "04 mul: to do" in text
    assert "\x1b" not in text
    code, text = mul(MUL.stub + "\n# a note\nx = 1\n")  # changed, but still nothing written
    assert code == 1
    assert "to do" in text


def test_half_of_the_functions_is_to_do_and_says_which(folder, learn):
    e = find("central_difference")
    whole = e.solution
    half = whole[: whole.index("def gradient")] + e.stub[e.stub.index("def gradient") :]
    (folder / e.file_name).write_text(half, encoding="utf-8")
    code, text = learn("check", e.name)
    assert code == 1
    assert "to do" in text
    assert "derivative is right. Next: gradient" in text


def test_two_backwards_in_one_file(monkeypatch):
    def two(rng):
        for case in MUL.cases(rng):
            yield case
            yield exercise.Case(**{**vars(case), "function": "backward_again"})

    functions = ("backward", "backward_again")
    e = exercise.Exercise(**{**vars(MUL), "cases": two, "functions": functions})
    unwritten = "def backward_again(gy, a, b):\n    raise NotImplementedError\n"

    def verdict(text):
        return child.examine(e, child.load_source("two.py", text))

    assert verdict(RIGHT + RIGHT.replace("backward", "backward_again")).ok
    half = verdict(RIGHT + unwritten)
    assert half.todo
    assert str(half) == "backward: right; backward_again: to do."
    assert verdict(unwritten + RIGHT).todo
    wrong = verdict(RIGHT + SWAPPED.replace("backward", "backward_again"))
    assert not wrong.ok
    assert str(wrong).startswith("backward_again:")
    assert verdict(RIGHT).cause == "no function backward_again"


def test_labels_may_be_left_out_of_the_gradients():
    def take(x, index):
        return x[index] * 2.0

    inputs = [np.arange(6.0), np.array([4, 1, 2])]

    def scatter(gy, x, index):
        gx = np.zeros_like(x)
        np.add.at(gx, index, 2 * gy)
        return gx

    case = exercise.Case(take, inputs, ["x", "index"])
    for backward in (
        scatter,
        lambda gy, x, index: (scatter(gy, x, index),),
        lambda gy, x, index: (scatter(gy, x, index), None),
    ):
        assert exercise.diagnose_function(backward, case).ok
    assert not exercise.diagnose_function(lambda gy, x, index: gy, case).ok


def test_options_go_to_both_functions_and_are_told():
    case = exercise.Case(
        lambda x, axis: x.sum(axis=axis), [np.ones((2, 3))], ["x"], options={"axis": 1}
    )

    def backward(gy, x, axis):
        return np.expand_dims(gy, axis) * np.ones_like(x)

    assert child.examine_function(backward, [case], 0).ok
    text = str(child.examine_function(lambda gy, x, axis: gy, [case], 0))
    assert "called as backward(gy, x, axis=1)" in text
    with pytest.raises(TypeError, match=r"called as backward\(gy, x, axis=1\)"):
        child.examine_function(lambda gy, x: gy, [case], 0)


def test_an_option_may_be_computed_from_the_inputs():
    """So the forward's output is right wherever the checker tries the backward."""
    case = exercise.Case(
        lambda x, y: np.exp(x), [np.arange(6.0).reshape(2, 3) / 5], ["x"], options={"y": np.exp}
    )
    assert child.examine_function(lambda gy, x, y: gy * y, [case], 0).ok
    verdict = child.examine_function(lambda gy, x, y: 3 * gy * y, [case], 0)
    assert "3 times too large" in verdict.cause
    assert "called as backward(gy, x, y=<array (2, 3)>)" in str(verdict)

    def in_place(gy, x, y):
        y *= gy
        return y

    for given in (np.exp, np.exp(case.inputs[0])):
        case = exercise.Case(**{**vars(case), "options": {"y": given}})
        verdict = child.examine_function(in_place, [case], 0)
        assert verdict.cause == "backward changes y in place"
    assert child.examine_function(lambda gy, x, y: gy * y, [case], 0).ok  # not changed for good


def test_the_report_calls_the_upstream_as_the_learner_does(rng):
    cases = list(MUL.cases(rng))
    verdict = child.examine_function(lambda up, a, b: (up * a, up * b), cases, 0)
    assert "called as backward(up, a, b)" in str(verdict)
    assert not re.search(r"\bgy\b", verdict.cause + str(verdict))
    assert re.search(r"\bup \* a\b", verdict.cause)
    for confusing in (lambda b, gy, a: (a, b), lambda *arrays: arrays[:2]):
        assert "called as backward(gy, a, b)" in str(child.examine_function(confusing, cases, 0))


def test_an_exercise_may_have_cases_and_a_check(rng):
    seen = []

    def check(module, rng):
        seen.append(module)
        return exercise.wrong("a corner", "a corner")

    e = exercise.Exercise(**{**vars(MUL), "check": check})
    assert not child.examine(e, child.load_source("both.py", SWAPPED)).ok
    assert not seen  # first the cases
    assert child.examine(e, child.load_source("both.py", RIGHT)).cause == "a corner"
    with pytest.raises(ValueError, match="cases, or check"):
        exercise.Exercise("x", 1, "x", [])


def test_a_backward_that_is_not_written_is_to_do_in_a_check_as_well(folder, learn):
    e = find("unbroadcast")
    half = e.solution.replace("return unbroadcast(gy, x.shape)", "raise NotImplementedError  #")
    (folder / e.file_name).write_text(half, encoding="utf-8")
    code, text = learn("check", e.name)
    assert code == 1
    assert "12 unbroadcast: to do" in text
    assert "unbroadcast is right. Next: backward." in text


@pytest.mark.parametrize(
    ("actual", "cause"),
    [
        (None, "nothing returned"),
        ("x", "wrong type"),
        (np.ones(3), "wrong shape"),
        ([[np.nan, 1], [1, 1]], "not finite"),
        ([[-1, -2], [-3, -5]], "the sign is the opposite"),
        ([[2, 4], [6, 10]], "twice the right value"),
        ([[1, 3], [2, 5]], "transposed"),
        ([[7, 7], [7, 7]], "sevens"),
        ([3, 8], "summed"),
        ([[1, 2], [3, 5.001]], None),
    ],
)
def test_compare(actual, cause):
    known = {"sevens": np.full((2, 2), 7.0), "summed": np.array([3.0, 8.0])}
    verdict = exercise.compare("it", actual, [[1, 2], [3, 5]], known)
    assert not verdict.ok
    assert verdict.cause == cause
    assert "it " in str(verdict)


def test_compare_accepts_what_is_right_and_reports_are_verdicts(rng):
    assert exercise.compare("it", [1, 2 + 1e-9], [1, 2]) is None
    assert exercise.compare("it", 0.0, 0.0) is None
    assert exercise.first_fault(None, exercise.right(), exercise.wrong("a", "b")).cause == "a"
    assert exercise.first_fault(None, None).ok
    report = exercise.diagnose_function(lambda gy, a, b: (gy, gy), next(MUL.cases(rng)))
    verdict = exercise.first_fault(exercise.right(), report)
    assert (verdict.ok, verdict.todo, verdict.cause) == (False, False, report.cause)


def test_check_all_is_0_only_if_something_is_right_and_nothing_wrong(folder, learn, mul):
    code, text = learn("check", "--all")
    assert code == 1
    assert f"0 of {len(all_exercises())} right" in text
    mul(RIGHT)
    code, text = learn("check", "--all")
    assert code == 0
    assert f"1 of {len(all_exercises())} right" in text
    (folder / "03_add.py").write_text(SWAPPED)
    code, text = learn("check", "--all")
    assert code == 1
    assert "03 add: not right yet" in text
    assert learn("check", "--all", "mul")[0] == 2


def test_an_unchanged_bug_is_to_do_and_shows_what_it_does(folder, monkeypatch):
    answer = {"status": "failed", "cause": "the bug", "text": "gives 3 where 4 is right"}
    monkeypatch.setattr(checker, "run_child", lambda *arguments: (answer, ""))
    bug = exercise.Exercise(**{**vars(MUL), "bug": True})
    result = checker.check_file(bug, folder / "04_mul.py")
    assert (result.status, result.cause) == ("todo", None)
    assert "3 where 4" in result.text
    save(folder / "04_mul.py", RIGHT)
    assert checker.check_file(bug, folder / "04_mul.py").status == "failed"


def test_check_without_a_name_is_the_next_exercise(folder, learn):
    assert all_exercises()[0].file_name in learn("check")[1]


# ------------------------------------------------------------------------------- bad files

BAD = {
    "syntax": ("def backward(gy, a, b):\n    return gy * b,, a\n", "invalid syntax (line 2)"),
    "indentation": ("def backward(gy, a, b):\nreturn gy\n", "(line 2)"),
    "a return outside": ("x = 1\nreturn x\n", "'return' outside function (line 2)"),
    "exception on top": ("\n\n1 / 0\n", "ZeroDivisionError (line 3)"),
    "exception": ("def backward(gy, a, b):\n    return gy @ b, gy\n", "ValueError (line 2)"),
    "exit on top": ("import sys\nsys.exit(0)\n", "calls exit() (line 2)"),
    "exit inside": ("def backward(gy, a, b):\n    exit()\n", "calls exit() (line 2)"),
    "os._exit": ("import os\nos._exit(0)\n", "ended the process (exit code 0)"),
    "missing module": ("import numpyy\n", "numpyy, which is not installed here (line 1)"),
    "input": ("x = input()\n", "keyboard input (line 1)"),
    "debugger": ("def backward(gy, a, b):\n    breakpoint()\n    return gy\n", "no keyboard here"),
    "no import": ("x = np.pi\n", "write `import numpy as np` at the top"),
    "recursion": (
        "def backward(gy, a, b):\n    return backward(gy, a, b)\n",
        "without end (line 2)",
    ),
    "signature": ("def backward(gy, a):\n    return gy\n", "called as backward(gy, a, b)"),
    "no such function": ("def backwards(gy, a, b):\n    return gy\n", "does not define"),
    "no function at all": ("", "does not define the function backward"),
    "not a function": ("backward = 3\n", "does not define the function backward"),
    "None": ("def backward(gy, a, b):\n    gy * b\n", "None"),
    "count": ("def backward(gy, a, b):\n    return gy\n", "instead of 2"),
    "type": ("def backward(gy, a, b):\n    return 'x', gy * a\n", "str"),
    "nan": ("def backward(gy, a, b):\n    return gy * b * float('nan'), gy * a\n", "not finite"),
    "in place": ("def backward(gy, a, b):\n    gy *= b\n    return gy, gy * a\n", "in place"),
    "not UTF-8": (b"# caf\xe9\n", "save it as UTF-8"),
    "not UTF-8, later": (b"x = 1\n" * 9 + b"# caf\xe9\n", "(line 10): save it as UTF-8"),
    "UTF-16": ("x = 1".encode("utf-16"), "save it as UTF-8"),
    "zero bytes": (b"x = 1\0\n", "save it as UTF-8"),
    "unknown encoding": (b"# coding: klingon\n", "klingon"),
    "huge": (b"#" * (checker.MOST_SOURCE + 1), "bytes"),
    "deep": ("x = " + "(" * 5000 + ")" * 5000, "04_mul.py"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_told_in_one_sentence(mul, what):
    source, expected = BAD[what]
    code, text = mul(source)
    assert code == 1
    assert expected in " ".join(text.split())
    assert "Traceback" not in text
    assert "child.py" not in text  # only the learner's own lines


def test_only_the_learner_s_lines_are_shown(mul):
    source = "import numpy as np\ndef helper(x):\n    return np.linalg.inv(x)\n"
    _, text = mul(source + "def backward(gy, a, b):\n    return helper(gy), gy\n")
    assert "LinAlgError (line 3)" in text
    assert "line 5, in backward\n    return helper(gy), gy" in text
    assert "line 3, in helper\n    return np.linalg.inv(x)" in text
    assert text.count("line ") == 3


def test_an_exception_comes_with_the_call(folder, learn):
    e = find("sum_axis")
    raising = e.stub.replace("raise NotImplementedError", "return gy[9]")
    (folder / e.file_name).write_text(raising, encoding="utf-8")
    _, text = learn("check", e.name)
    assert "(line " in text
    assert re.search(r"called as backward\(gy, x, axis=\d, keepdims=(True|False)\)", text)


def test_what_else_may_take_so_long_is_said(folder, monkeypatch):
    assert "use a set" in find("iterative_backward").slow
    e = exercise.Exercise(**{**vars(MUL), "timeout": 0.5, "slow": "is it the list"})
    (folder / "04_mul.py").write_text("while True: pass\n")
    assert "never end, or is it the list?" in checker.check_file(e, folder / "04_mul.py").text


def test_a_check_that_nobody_waits_for_is_given_up(folder):
    (folder / "04_mul.py").write_text("while True: pass\n")
    waiting, begin = process.Child(folder), time.monotonic()
    with pytest.raises(process.StoppedError):
        checker.check_file(MUL, folder / "04_mul.py", waiting, stop=lambda: True)
    assert time.monotonic() - begin < MUL.timeout
    assert waiting.process.poll() is not None
    (folder / "04_mul.py").write_text(RIGHT)
    assert checker.check_file(MUL, folder / "04_mul.py", stop=lambda: False).ok


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def backward(gy, a, b):\n    while True:\n        pass\n", "in backward"),
        ("while True: pass\n", "line 1"),
        ("def backward(gy, a, b):\n    while True:\n        print('x' * 999)\n", "in backward"),
        ("def backward(gy, a, b):\n    while True:\n        try: backward(gy, a, b)\n"
         "        except BaseException: pass\n", "in backward"),
    ],
    ids=["inside", "on top", "flood of output", "catches everything"],
)  # fmt: skip
def test_an_endless_loop_is_stopped_and_its_line_said(folder, monkeypatch, source, line):
    monkeypatch.setattr(checker, "SLOW_START", 10.0)
    (folder / "04_mul.py").write_text(source)
    hasty = exercise.Exercise(**{**vars(MUL), "timeout": 1.0})
    result = checker.check_file(hasty, folder / "04_mul.py")
    assert result.status == "broken"
    assert "still running after 1 seconds" in result.text
    assert line in result.text
    assert len(result.output) < 6000


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_a_memory_hog_is_stopped(mul):
    code, text = mul("import numpy as np\nx = np.ones(2**31)\n")
    assert code == 1
    assert "more memory than an exercise may have (line 2)" in text


def test_what_the_file_prints_is_shown_without_control_characters(mul):
    code, text = mul("print('\x1b[31mred', '\x07ä')\nfor i in range(50): print(i)\n" + RIGHT)
    assert code == 0
    assert "Your file printed:\n  red ä\n  0\n" in text
    assert "bytes in all" in text
    assert "\n  30\n" not in text


def test_only_the_beginning_of_what_is_printed_is_kept():
    reader, writer = os.pipe()
    output = process.Output(os.fdopen(reader, "rb"))
    with os.fdopen(writer, "wb") as stream:
        stream.write(b"x\n" * 500_000)
    assert "1000000 bytes in all" in output.text()
    assert len(output.kept) == process.KEEP_OUTPUT


def test_a_child_may_be_started_before_and_is_asked_once(folder):
    (folder / "04_mul.py").write_text(RIGHT)
    child = process.Child(folder)
    assert child.waits()
    assert checker.check_file(MUL, folder / "04_mul.py", child).ok
    assert not child.waits()
    assert checker.check_file(MUL, folder / "04_mul.py", child).ok  # by another one
    unused = process.Child(folder)
    unused.kill()
    assert not unused.waits()


def test_files_that_move_print_nothing_or_start_things_do_no_harm(mul):
    for start in (
        "import os\nos.close(0); os.close(1); os.close(2)\n",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n",
        "import os\nos.chdir(os.sep)\n",
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n",
    ):
        assert mul(start + RIGHT)[0] == 0


def test_other_files_of_the_folder_can_be_imported_but_hide_nothing(folder, mul):
    (folder / "numpy.py").write_text("raise RuntimeError('hidden')")
    (folder / "my_tools.py").write_text("def product(a, b):\n    return a * b\n")
    source = "import numpy as np\nfrom my_tools import product\n"
    source += "def backward(gy, a, b):\n    return product(gy, b), np.multiply(gy, a)\n"
    assert mul(source)[0] == 0


def test_an_encoding_that_is_declared_is_read(mul):
    assert mul(b"# coding: latin-1\n# caf\xe9\n" + RIGHT.encode())[0] == 0
    assert mul(b"\xef\xbb\xbf" + RIGHT.replace("\n", "\r\n").encode())[0] == 0


def test_a_file_that_is_gone_is_said_and_can_be_had_again(folder, learn):
    (folder / "04_mul.py").unlink()
    code, text = learn("check", "mul")
    assert code == 1
    assert "moved, renamed or deleted" in text
    assert "file is missing" in learn("list")[1]
    assert learn("reset", "mul")[0] == 0
    assert (folder / "04_mul.py").read_text(encoding="utf-8") == MUL.stub
    (folder / "04_mul.py").unlink()
    (folder / "04_mul.py").mkdir()
    code, text = learn("check", "mul")
    assert code == 1
    assert "cannot be read" in text


# ------------------------------------------------------------------------------- the rest


def test_hints_come_one_by_one_and_are_remembered(folder, learn):
    for number, hint in enumerate(MUL.hints, 1):
        code, text = learn("hint", "mul")
        assert code == 0
        assert f"hint {number} of {len(MUL.hints)}" in text
        assert " ".join(hint.split()) in " ".join(text.split())
        assert sum(h.split()[0:6] == hint.split()[0:6] for h in MUL.hints) == 1
    text = learn("hint", "mul")[1]
    assert "these are all" in text
    assert "--spoil" in text


def test_progress_survives_and_follows_the_file(folder, learn, mul):
    mul(RIGHT)
    assert "[x] 04 mul" in learn("list")[1]
    (folder / "04_mul.py").write_text(SWAPPED)
    assert "changed, not checked yet" in learn("list")[1]
    learn("check", "mul")
    assert "[-] 04 mul" in learn("list")[1]
    assert workspace.Workspace(folder).solved(MUL)
    shutil.move(folder, folder.parent / "moved")
    assert "[-] 04 mul" in learn("--dir", str(folder.parent / "moved"), "list")[1]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"exercises": 3}', '{"exercises": {"mul": 1}}'])
def test_a_damaged_progress_file_does_no_harm(folder, learn, mul, damage):
    (folder / workspace.PROGRESS).write_text(damage)
    assert learn("list")[0] == 0
    assert learn("hint", "mul")[0] == 0
    assert mul(RIGHT)[0] == 0
    assert json.loads((folder / workspace.PROGRESS).read_text())["exercises"]["mul"]["solved"]


def test_a_folder_that_cannot_be_written_can_be_checked(folder, learn, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied", str(folder))

    (folder / "04_mul.py").write_text(RIGHT)
    monkeypatch.setattr(workspace, "_write", refuse)
    assert learn("check", "mul")[0] == 0
    (folder / "04_mul.py").write_text(SWAPPED)
    code, text = learn("reset", "mul")
    assert code == 2
    assert "Permission denied" in text
    kept = [*folder.glob("04_mul.py"), *folder.glob("backups/*.py")]
    assert [p.read_text() for p in kept] == [SWAPPED]  # not lost


def test_show_gives_the_text_and_the_file(folder, learn):
    code, text = learn("show", "mul")
    assert code == 0
    assert "Exercise 04" in text
    assert str(folder / "04_mul.py") in text
    assert "to do" in text
    assert "return gy * b" not in text


def test_a_solution_is_shown_after_success_or_when_asked_for(folder, learn, mul):
    code, text = learn("solution", "mul")
    assert code == 1
    assert "gy * b" not in text
    code, text = learn("solution", "mul", "--spoil")
    assert code == 0
    assert "gy * b" in text
    mul(RIGHT)
    assert "gy * b" in learn("solution", "mul")[1]


def test_reset_keeps_the_file_under_another_name(folder, learn, mul):
    mul(SWAPPED)
    first = learn("reset", "mul")[1]
    mul(RIGHT)
    second = learn("reset", "mul")[1]
    assert (folder / "04_mul.py").read_text(encoding="utf-8") == MUL.stub
    backups = sorted(folder.glob("backups/*.py"))
    assert {p.read_text() for p in backups} == {SWAPPED, RIGHT}
    assert all(str(p) in first + second for p in backups)
    learn("reset", "mul")  # there is nothing to keep
    assert len(list(folder.glob("backups/*.py"))) == 2


def test_what_is_printed_fits_the_terminal(folder, learn, mul, monkeypatch):
    """Prose is broken at words, also where it is indented; code and tables stay as they are."""
    for columns, widest in ((60, 60), (80, 80), (300, 96)):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert console.width() == widest
        report = mul(SWAPPED)[1].split("\n")
        for text in (
            report[2:],
            learn("list")[1].split("\n")[1:],
            learn("hint", "3")[1].split("\n"),
        ):
            assert max(map(len, text)) <= widest
    monkeypatch.setenv("COLUMNS", "40")
    code = "return " + " + ".join(["gy"] * 20)
    folded = console.fold(f"  line 2, in backward\n    {code}\n  one two {'three ' * 9}")
    assert folded[1] == f"    {code}"
    assert len(folded) == 4
    assert folded[3].startswith("    three")


def test_colours_only_on_a_terminal(monkeypatch):
    class Terminal:
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert console.colours_wanted(Terminal())
    assert not console.colours_wanted(object())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not console.colours_wanted(Terminal())


def test_usage(capsys):
    assert main([]) == 2
    assert "learn" in capsys.readouterr().out
    assert main(["--help"]) == 0
    assert main(["lern"]) == 2
    assert "'lern'" in capsys.readouterr().out


def test_help_and_unknown_commands(learn):
    code, text = learn("--help")
    assert code == 0
    for word in ("list", "check", "hint", "show", "solution", "reset", "init"):
        assert word in text
    assert learn("frobnicate")[0] == 2


# ------------------------------------------------------------------------------- watching


def environment() -> dict:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TERM": "xterm"}


def start(*arguments, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "minigrad", "learn", *arguments]
    return subprocess.Popen(command, env=environment(), **options)


class Screen:
    """A learner at a terminal: presses keys, and waits for what appears."""

    def __init__(self, folder):
        import pty

        self.keys, terminal = pty.openpty()
        self.process = start("--dir", str(folder), stdin=terminal, stdout=terminal, stderr=terminal)
        os.close(terminal)
        self.text = ""

    def press(self, key: str) -> None:
        os.write(self.keys, key.encode())

    def wait_for(self, words: str, seconds: float = 30.0) -> str:
        """Return all that appeared up to these words, and forget it."""
        import select

        until = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < until, f"{words!r} did not appear in:\n{self.text}"
            if select.select([self.keys], [], [], 0.1)[0]:
                self.text += os.read(self.keys, 4096).decode(errors="replace")
        end = self.text.index(words) + len(words)
        seen, self.text = self.text[:end], self.text[end:]
        return seen

    def close(self) -> int:
        try:
            return self.process.wait(timeout=20)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self.keys)


@pytest.fixture
def screen(folder):
    pytest.importorskip("pty", reason="pseudo-terminals are Unix's")
    made = Screen(folder)
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def save(path: Path, text: str) -> None:
    """Save as many editors do: a new file takes the place of the old one."""
    path.with_suffix(".tmp").write_text(text, encoding="utf-8")
    os.replace(path.with_suffix(".tmp"), path)


def test_watching_by_keys(folder, screen):
    first, second = all_exercises()[:2]
    path = folder / first.file_name
    assert "to do" in screen.wait_for("q quit")
    screen.press("h")
    screen.wait_for("hint 1 of")
    screen.press("h")
    screen.wait_for("hint 2 of")
    save(path, first.stub.replace("raise NotImplementedError", "return 0"))
    assert "not right yet" in screen.wait_for("q quit")
    path.unlink()
    screen.wait_for("moved, renamed or deleted")
    screen.wait_for("q quit")
    save(path, first.solution)
    seen = screen.wait_for("q quit")
    assert f"{first}: right" in seen
    assert f"Press n for {second}" in seen
    time.sleep(0.6)  # it stays where it is, until n is pressed
    screen.press("l")
    assert f">\x1b[32m[x]\x1b[0m {first}" in screen.wait_for("1 of")
    screen.press("x")
    screen.wait_for("kept as")
    screen.wait_for("to do")
    screen.wait_for("q quit")
    screen.press("?")
    screen.wait_for("h hint")
    screen.press("n")
    screen.wait_for(f"Watching {second}")
    screen.wait_for("q quit")
    screen.press("q")
    assert screen.close() == 1  # what was checked last was to do


def test_saving_again_stops_a_check_that_runs(folder, screen):
    first = all_exercises()[0]
    path = folder / first.file_name
    screen.wait_for("q quit")
    save(path, first.stub.replace("raise NotImplementedError", "while True: pass"))
    screen.wait_for("checking")
    time.sleep(1.0)
    save(path, first.solution)
    seen = screen.wait_for("q quit")
    assert f"{first}: right" in seen
    assert "still running" not in seen
    screen.press("q")
    assert screen.close() == 0


def test_watching_the_folder_last_used_says_so(folder, tmp_path):
    assert workspace.last_used() == folder
    quiet = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    process = start(stdin=subprocess.DEVNULL, cwd=tmp_path / "cwd", **quiet)
    assert "difference.py (the folder last used)" in process.communicate(timeout=30)[0]


def test_watching_ends_with_0_after_success_and_remembers_where(folder, screen):
    screen.wait_for("q quit")
    screen.press("n")
    second = all_exercises()[1]
    screen.wait_for(f"Watching {second}")
    screen.wait_for("q quit")
    save(folder / second.file_name, second.solution)
    screen.wait_for("right")
    screen.wait_for("q quit")
    screen.press("\x04")  # Ctrl-D does as well as q
    assert screen.close() == 0
    again = Screen(folder)
    again.wait_for("Watching ")
    again.wait_for(str(all_exercises()[2]))  # it goes on from where it was
    again.press("q")
    again.close()


def test_the_terminal_is_what_it_was(folder):
    termios = pytest.importorskip("termios")
    screen = Screen(folder)
    before = termios.tcgetattr(screen.keys)
    screen.wait_for("q quit")
    assert termios.tcgetattr(screen.keys)[3] != before[3]  # keys come without return
    screen.press("q")
    screen.wait_for("")
    while screen.process.poll() is None:
        time.sleep(0.05)
    assert termios.tcgetattr(screen.keys)[3] == before[3]
    screen.close()


def test_watching_without_a_terminal_checks_once(folder):
    first = all_exercises()[0]
    quiet = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    process = start("--dir", str(folder), stdin=subprocess.DEVNULL, **quiet)
    text = process.communicate(timeout=30)[0]
    assert process.returncode == 1
    assert f"{first}: to do" in text
    assert "\x1b" not in text
    process = start("--dir", str(folder), stdin=subprocess.PIPE, **quiet)
    text = process.communicate("h\nl\n\nq\n", timeout=30)[0]
    assert "hint 1 of" in text
    assert text.count(f"{first}: to do") == 2
    assert "Traceback" not in text


def test_watching_a_closed_standard_input(folder, learn, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    code, text = learn("--dir", str(folder))
    assert code == 1
    assert "to do" in text


def test_ctrl_c_ends_the_watching(folder, learn, monkeypatch):
    def interrupt(self, seconds):
        raise KeyboardInterrupt

    (folder / all_exercises()[0].file_name).write_text(all_exercises()[0].solution)
    monkeypatch.setattr(keyboard.NoKeys, "get", interrupt)
    monkeypatch.setattr(sys, "stdin", None)
    code, text = learn()
    assert code == 0
    assert "Traceback" not in text


def test_watching_when_all_is_solved_checks_all(folder, learn):
    for e in all_exercises():
        (folder / e.file_name).write_text(e.solution, encoding="utf-8")
        workspace.Workspace(folder).record(
            checker.Result(
                e, folder, 0.0, "passed", None, "",
                digest=checker.read_source(folder / e.file_name).digest,
            )
        )  # fmt: skip
    assert workspace.Workspace(folder).next() is None
    assert "All exercises are solved" in learn("hint")[1]


def test_a_terminal_without_termios_or_msvcrt_is_read_by_lines(monkeypatch):
    pty = pytest.importorskip("pty")
    keys, terminal = pty.openpty()
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setitem(sys.modules, "termios", None)
        monkeypatch.setitem(sys.modules, "msvcrt", None)
        with keyboard.open_keyboard() as read:
            os.write(keys, b"hint\n\nq\n")
            assert [read.get(10) for _ in range(3)] == ["h", "\n", "q"]
            assert read.get(0.01) is None
            os.close(keys)
            assert read.get(10) == keyboard.END


def test_windows_keys():
    """The console's functions, imitated: an arrow key gives two codes, Ctrl-C is an interrupt."""

    class Console:
        def __init__(self, codes):
            self.codes = list(codes)

        def kbhit(self):
            return bool(self.codes)

        def getwch(self):
            return self.codes.pop(0)

    keys = keyboard.WindowsKeys(Console("h\xe0Hn\x03"))
    assert keys.get(0.1) == "h"
    assert keys.get(0.1) == "\xe0"
    assert keys.get(0.1) == "n"
    with pytest.raises(KeyboardInterrupt):
        keys.get(0.1)
    assert keys.get(0.01) is None


# ------------------------------------------------------------------------------- pytest


def run_pytest(*arguments):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rs", *arguments]
    place = Path(arguments[0])
    place = place if place.is_dir() else place.parent
    options = dict(env=environment(), capture_output=True, text=True, timeout=60, cwd=place)
    done = subprocess.run(command, **options)
    return done.returncode, done.stdout


def test_the_same_files_under_pytest(folder):
    (folder / "04_mul.py").write_text(RIGHT)
    (folder / "03_add.py").write_text(SWAPPED)
    code, text = run_pytest(str(folder))
    assert code == 1
    assert f"1 failed, 1 passed, {len(all_exercises()) - 2} skipped" in text
    assert "gradient of" in text
    assert "to do" in text
    assert "Traceback" not in text
    assert "pytest_plugin.py" not in text
    assert "[-] 03 add" in console.table(workspace.Workspace(folder)).replace("  ", " ")


def test_one_file_under_pytest_is_checked_and_never_imported(folder):
    (folder / "04_mul.py").write_text("print('x')\nraise SystemExit\n")
    code, text = run_pytest(str(folder / "04_mul.py"))
    assert code == 1
    assert "1 failed" in text
    assert "calls exit() (line 2)" in text
