"""Key of exercise 35, computing without recording."""

from minigrad.learn.exercise import Exercise, WrongAnswer, right, wrong


class LeavesError(Exception):
    """What the check raises inside a block."""


def records(module):
    """Whether an operation leaves its sources behind just now."""
    x = module.Number(3.0)
    return bool((x * x).sources)


def check_recording(module):
    """Without any block: the value, and the sources."""
    a, b = module.Number(3.0), module.Number(5.0)
    for sign, y, value, pairs in [
        ("+", a + b, 8.0, [(a, 1.0), (b, 1.0)]),
        ("*", a * b, 15.0, [(a, 5.0), (b, 3.0)]),
    ]:
        if not isinstance(y, module.Number):
            text = f"a {sign} b is a {type(y).__name__}: record has to return a Number."
            return wrong("record returns no Number", text)
        if y.value != value:
            text = f"a {sign} b for a = 3 and b = 5 has the value {y.value}, not {value:g}."
            return wrong("the value is lost", text)
        if not y.sources:
            text = f"Outside of any no_grad block, the sources of a {sign} b are {y.sources!r}."
            return wrong("nothing is recorded at all", f"{text} They were to be kept.")
        if [(number, slope) for number, slope in y.sources] != pairs:
            text = f"The sources of a {sign} b are not the pairs that record was given."
            return wrong("the sources are not those that were given", text)
    return None


def check_block(module):
    """One block: off inside, with the right values, and on again after it."""
    a, b = module.Number(3.0), module.Number(5.0)
    with module.no_grad():
        y = a * b
    if not isinstance(y, module.Number):
        text = f"Inside of no_grad, a * b is a {type(y).__name__}: record has to return a Number."
        return wrong("record returns no Number", text)
    if y.value != 15.0:
        text = f"Inside of no_grad, a * b for a = 3 and b = 5 is {y.value!r}, not 15."
        return wrong("the value is lost", text)
    if y.sources:
        text = f"y was computed inside of no_grad, and has {len(y.sources)} sources; () was asked."
        return wrong("recorded inside of no_grad", text)
    if y.sources is None:
        text = "y was computed inside of no_grad. Its sources are None; () was asked for."
        return wrong("sources are None", f"{text} Whoever walks back loops over them.")
    if not records(module):
        text = "After the block x * x has no sources: nothing is recorded any more."
        return wrong("recording stays off after the block", text)
    return None


def check_without_with(module):
    """An object that is made and not entered must switch nothing."""
    made = module.no_grad()
    if not records(module):
        text = "no_grad() was made, without a with block, and recording is off already."
        return wrong("switched off when made, not when entered", text)
    with made:
        inside = records(module)
    if inside or not records(module):
        text = "block = no_grad(), and later: with block. Recording was "
        text += "on inside of it." if inside else "off after it."
        return wrong("the block does not switch", text)
    return None


def check_nested(module):
    """A block inside a block: at its end it is as it was, off."""
    with module.no_grad():
        with module.no_grad():
            pass
        between = records(module)
    if between:
        text = (
            "with no_grad():          # off\n"
            "    with no_grad():      # off\n"
            "        pass\n"
            "    y = x * x            # y has sources: the inner block switched on\n"
        )
        return wrong("the inner block switches on", text + "Put back what was there before.")
    if not records(module):
        text = "After two blocks, one inside the other, nothing is recorded any more."
        return wrong("off after two blocks, one inside the other", text)
    with module.no_grad(), module.no_grad(), module.no_grad():
        pass
    if not records(module):
        text = "After three blocks, one inside the other, nothing is recorded any more."
        return wrong("off after three blocks, one inside the other", text)
    return None


def check_exception(module):
    """An exception leaves the block, and the block leaves the mode as it was."""
    raised, got = LeavesError("from inside"), None
    try:
        with module.no_grad():
            raise raised
    except LeavesError as error:
        got = error
    if got is None:
        text = "An exception was raised inside of a no_grad block, and nobody outside heard of it."
        return wrong("the exception is swallowed", f"{text} __exit__ must not return True.")
    if not records(module):
        text = "An exception left a no_grad block, and after it nothing is recorded any more."
        return wrong("recording stays off after an exception", text)
    return None


def check_nested_exceptions(module):
    """Exceptions leave two blocks, one inside the other."""
    raised, between = LeavesError("from inside"), False
    try:
        with module.no_grad():
            try:
                with module.no_grad():
                    raise raised
            except LeavesError:
                between = records(module)
            raise raised
    except LeavesError:
        pass
    if between or not records(module):
        when = "inside of the outer block it was on" if between else "after both it was off"
        text = f"Exceptions left two blocks, one inside the other: {when}."
        return wrong("not as it was before, after an exception", text)
    return None


def check_return(module):
    """A block that is left by return, from inside a loop."""

    def answer():
        for _ in range(3):
            with module.no_grad():
                return records(module)
        return None

    if answer() or not records(module):
        text = "A function returned from inside of a no_grad block: recording was on inside, or "
        return wrong("not as it was before, after return", text + "off after it.")
    return None


def check(module, rng):
    steps = [check_recording, check_block, check_exception, check_nested]
    for step in [*steps, check_nested_exceptions, check_without_with, check_return]:
        fault = step(module)
        if fault:
            return fault
    return right()


exercise = Exercise(
    name="no_grad",
    number=35,
    title="computing without recording",
    functions=("record", "no_grad"),
    hints=[
        "record always makes Number(value, ...). What changes with Mode.recording is only the "
        "second argument: sources, or an empty tuple.",
        "__enter__ sets Mode.recording to False. If __exit__ sets it to True, what about an inner "
        "block whose outer block goes on? It has to become what it was.",
        "self belongs to this one block: __enter__ can put what it finds into self.before.",
        "__enter__: self.before = Mode.recording, then Mode.recording = False. __exit__: "
        "Mode.recording = self.before, and no return, or return False.",
    ],
    check=check,
    wrong_answers=[
        WrongAnswer(
            "always on at the end",
            cause="inner block switches on",
            code="def leave(self, kind, error, traceback):\n    Mode.recording = True\n"
            "no_grad.__exit__ = leave\n",
        ),
        WrongAnswer(
            "always off at the end",
            cause="stays off after the block",
            code="def leave(self, kind, error, traceback):\n    Mode.recording = False\n"
            "no_grad.__exit__ = leave\n",
        ),
        WrongAnswer(
            "restored only without an exception",
            cause="stays off after an exception",
            code="def leave(self, kind, error, traceback):\n"
            "    if kind is None:\n        Mode.recording = self.before\n"
            "no_grad.__exit__ = leave\n",
        ),
        WrongAnswer(
            "a generator without finally",
            cause="stays off after an exception",
            code="from contextlib import contextmanager\n\n"
            "@contextmanager\ndef no_grad():\n"
            "    before, Mode.recording = Mode.recording, False\n"
            "    yield\n"
            "    Mode.recording = before\n",
        ),
        WrongAnswer(
            "swallows the exception",
            cause="swallowed",
            code="def leave(self, kind, error, traceback):\n"
            "    Mode.recording = self.before\n    return True\n"
            "no_grad.__exit__ = leave\n",
        ),
        WrongAnswer(
            "one memory for all blocks",
            cause="one inside the other",
            code="def enter(self):\n    no_grad.before, Mode.recording = Mode.recording, False\n"
            "def leave(self, kind, error, traceback):\n    Mode.recording = no_grad.before\n"
            "no_grad.__enter__, no_grad.__exit__ = enter, leave\n",
        ),
        WrongAnswer(
            "switched in __init__",
            cause="when made",
            code="def init(self):\n    self.before, Mode.recording = Mode.recording, False\n"
            "no_grad.__init__, no_grad.__enter__ = init, lambda self: None\n",
        ),
        WrongAnswer(
            "the mode is not asked",
            cause="recorded inside",
            code="def record(value, sources):\n    return Number(value, sources)\n",
        ),
        WrongAnswer(
            "never recorded",
            cause="nothing is recorded at all",
            code="def record(value, sources):\n    return Number(value)\n",
        ),
    ],
    lesson="no_grad in minigrad/autograd.py is this, with a switch for each thread. Put it around "
    "everything that nobody will differentiate: the evaluation of a network first of all.",
)
