"""The notebooks: valid, without outputs, and every cell runs, without Jupyter.

A code cell is run as Jupyter would run it: statement by statement in one namespace, and the value
of a last expression is displayed, by the first of the methods that Jupyter tries.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu_only

FOLDER = Path(__file__).parent.parent / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SHOWN_BY = ["_repr_html_", "_repr_svg_", "_repr_png_"]


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def source(cell):
    return "".join(cell["source"])


class Display:
    """What a notebook shows: (the method that made it, what it made)."""

    def __init__(self):
        self.shown = []

    def __call__(self, *values):
        for value in values:
            made = [(name, getattr(value, name)()) for name in SHOWN_BY if hasattr(value, name)]
            made = [pair for pair in made if pair[1] is not None]  # None: not in this form
            self.shown += made[:1] or [("__repr__", repr(value))]


def run(path):
    """Run all code cells; return what was displayed."""
    display = Display()
    namespace = {"__name__": "__main__", "display": display}
    for cell in read(path)["cells"]:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse(source(cell), filename=f"{path.name} {cell['id']}")
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"{path.name} {cell['id']}", "exec"), namespace)
        if last is not None:
            code = compile(ast.Expression(last.value), f"{path.name} {cell['id']}", "eval")
            value = eval(code, namespace)
            if value is not None:
                display(value)
    return display.shown, namespace


def test_there_are_three():
    assert [path.name[:2] for path in NOTEBOOKS] == ["1_", "2_", "3_"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_are_valid_and_stripped(path):
    """By the schema of nbformat 4.5, as far as it concerns us; and by nbformat, where it is."""
    book = read(path)
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert set(book) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert book["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in book["cells"]:
        assert all(isinstance(line, str) for line in cell["source"])
        assert all(line.endswith("\n") for line in cell["source"][:-1])
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert set(cell) == {
                "cell_type",
                "id",
                "metadata",
                "source",
                "outputs",
                "execution_count",
            }
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
            assert not any(line.lstrip().startswith(("%", "!")) for line in cell["source"])
        else:
            assert set(cell) == {"cell_type", "id", "metadata", "source"}
    assert book["cells"][0]["cell_type"] == "markdown"
    assert source(book["cells"][0]).startswith("# ")
    try:
        import nbformat
    except ImportError:
        return
    nbformat.validate(nbformat.from_dict(book))


def test_a_tensor_and_its_gradient(capsys):
    shown, names = run(FOLDER / "1_a_tensor_and_its_gradient.ipynb")
    svg = dict(shown)["_repr_svg_"]
    assert svg.startswith("<svg")
    assert "Mul" in svg
    assert "Exp" in svg
    out = capsys.readouterr().out
    assert "gradient 26.0855" in out
    texts = [text for method, text in shown if method == "__repr__"]
    assert texts[0] == "tensor(29.0855, grad_fn=<Add>)"
    assert "(tensor(26.0855), 26.085536923187668)" in texts
    assert "True" in texts
    assert "tensor([4., 4., 4.])" in texts
    assert names["w"].tolist() == pytest.approx([1.0, 2.0], abs=1e-3)


def test_train_and_look_inside():
    pytest.importorskip("matplotlib")
    shown, names = run(FOLDER / "2_train_and_look_inside.ipynb")
    history = names["history"]
    assert history["val_accuracy"][-1] > 0.93
    assert history["val_accuracy"][0] > history["accuracy"][0]  # what the text says
    methods = [method for method, _ in shown]
    assert methods.count("_repr_png_") == 6
    assert all(png.startswith(b"\x89PNG") for method, png in shown if method == "_repr_png_")
    pages = [text for method, text in shown if method == "_repr_html_"]
    assert "61,706" in pages[0]
    assert "nothing found" in pages[1]
    assert "softmax before cross-entropy" in pages[2]
    norms = [float((g.grad**2).sum()) ** 0.5 for g in names["old"].parameters() if g.ndim > 1]
    assert norms[0] < 1e-5 * norms[-1]  # the vanishing gradient vanishes


def test_prune_it(capsys):
    shown, names = run(FOLDER / "3_prune_it.ipynb")
    accuracy, model, masked, small = (names[n] for n in ("accuracy", "model", "masked", "small"))
    assert accuracy(model) > 0.93
    assert accuracy(masked) > accuracy(model) - 0.03
    assert accuracy(small) > accuracy(model) - 0.04
    count = names["compress"].count_parameters
    assert 0.2 < count(small) / count(model) < 0.3  # "about a quarter"
    out = capsys.readouterr().out
    assert "zeros:               80" in out
    tables = [text for method, text in shown if method == "_repr_html_"]
    assert len(tables) == 3
    assert "FLOPs" in tables[0]


def test_the_notebooks_name_what_exists():
    import re

    from minigrad import compress

    root = FOLDER.parent.parent
    for path in NOTEBOOKS:
        text = "\n".join(source(cell) for cell in read(path)["cells"])
        for name in re.findall(r"`((?:minigrad|examples)/[\w./]+\.py)`", text):
            assert (root / name).exists(), name
        for name in re.findall(r"`(\d_\w+\.ipynb)`", text):
            assert (FOLDER / name).exists(), name
        for name in re.findall(r"compress\.(\w+)", text):
            assert hasattr(compress, name), name


def test_the_strategy_of_the_third_notebook_can_be_tried():
    """`compress.iterative(model, train, ...)` calls train with a network alone."""
    cells = read(FOLDER / "3_prune_it.ipynb")["cells"]
    assert any("compress.iterative(model, train" in source(cell) for cell in cells)
    tree = ast.parse(source(next(cell for cell in cells if "def train(" in source(cell))))
    train = next(d for d in tree.body if isinstance(d, ast.FunctionDef) and d.name == "train")
    assert len(train.args.args) - len(train.args.defaults) == 1
