"""Files of PyTorch: refused with a recipe, and the recipe works."""

from __future__ import annotations

import re

import numpy as np
import pytest

from minigrad.serialize import BadFileError, load, save

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_torch_file_is_refused_and_the_recipe_in_the_error_works(legacy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = torch.nn.Linear(3, 2).state_dict()
    torch.save(weights, "w.pt", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(BadFileError, match=r"w\.pt(.|\n)*not\s+run") as caught:
        load("w.pt")
    recipe = re.search(r"where PyTorch is: (.*)", str(caught.value))[1]
    code = "\n".join(line.strip() for line in recipe.split(";"))
    exec(code, {"torch": torch, "numpy": np, "path": "w.pt"})
    state = load("weights.npz")
    assert list(state) == list(weights)
    for name, weight in weights.items():
        np.testing.assert_array_equal(state[name].numpy(), weight.numpy())


def test_safetensors_written_here_are_read_there_and_the_reverse(tmp_path):
    library = pytest.importorskip("safetensors.torch")
    weights = torch.nn.Linear(3, 2).state_dict()
    path = tmp_path / "w.safetensors"
    library.save_file(weights, path)
    state = load(path)
    save(state, path)
    again = library.load_file(path)
    assert {key: torch.equal(again[key], weight) for key, weight in weights.items()} == {
        "weight": True,
        "bias": True,
    }
