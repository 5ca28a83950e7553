"""Training steps as CUDA graphs; ``minigrad.cuda.capture`` is the door.

Reading order: ``reach.py`` (what a step can change), ``state.py`` (keeping that, and putting it
back), ``step.py`` (capture and replay), ``errors.py`` (what cannot be repeated, and what is said).
"""

from .step import CapturedStep as CapturedStep
from .step import capture as capture
