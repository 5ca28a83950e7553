"""The README's code is executed as it stands there."""

import doctest
import re
from pathlib import Path

import pytest

import minigrad

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.cpu_only


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_prompts_print_what_the_readme_says():
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    sessions = [block for block in blocks("python") if ">>>" in block]
    assert sessions
    for i, block in enumerate(sessions):
        runner.run(parser.get_doctest(block, {}, f"README block {i}", "README.md", 0))
    assert runner.summarize().failed == 0


def test_programs_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some of them write files
    minigrad.manual_seed(0)
    namespace = {"__name__": "readme"}
    programs = [block for block in blocks("python") if ">>>" not in block]
    assert programs
    for block in programs:
        exec(compile(block, "README.md", "exec"), namespace)


def test_files_that_it_names_exist():
    named = set(re.findall(r"`((?:minigrad|examples|tests|bench)/[\w./]*)`", README))
    assert len(named) > 10
    missing = sorted(path for path in named if not (ROOT / path).exists())
    assert not missing


def test_names_that_it_places_in_files_are_there():
    """The table from formula to file: every name in its right column is in the file named."""
    rows = re.findall(
        r"^\|[^|]*\| (`\w+`(?:, `\w+`)*) in (`[\w./]+`(?:, `[\w./]+`)*)", README, re.M
    )
    assert len(rows) >= 6
    for names, files in rows:
        text = "".join(
            (ROOT / f).read_text(encoding="utf-8") for f in re.findall(r"`(.+?)`", files)
        )
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"(class|def) {name}\b", text), (name, files)


def test_there_are_as_many_exercises_as_it_says():
    from minigrad.learn.exercise import all_exercises

    assert "Forty-one exercises" in README
    assert len(all_exercises()) == 41
