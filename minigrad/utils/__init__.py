"""Helpers around training that are no part of a network; today ``data``, as in PyTorch."""

from . import data as data
