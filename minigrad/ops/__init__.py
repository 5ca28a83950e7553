"""The table of derivatives: every differentiable operation, one family a file.

Reading order: ``elementwise`` (what an op looks like), ``shape`` (moving numbers), ``reduce``,
``linalg``, ``conv``, ``pool``, ``norm``, ``loss``. Forwards compute on arrays; backwards are
written in the operators and methods of `Tensor`, like any formula of a user. The functions that
users call, with their checks and options, are in ``functions/``, in files of the same names.
"""
