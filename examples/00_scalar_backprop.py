"""Chapter 0: backpropagation on plain numbers, from nothing.

This file needs no library, not even NumPy. It is minigrad's engine in miniature: the same names,
the same algorithm, step for step (a test runs both on the same formulas and compares), with
single numbers where the engine has arrays. Read it from top to bottom, then run it::

    python examples/00_scalar_backprop.py

Next: ``minigrad/autograd.py``, the same thing on arrays.

The question. A network is a formula with many adjustable numbers, its *weights*, and its *loss*
says how wrong its answers are. To improve it we ask of every weight: if I move you a little, how
much does the loss move? That ratio, d(loss)/d(weight), is the weight's *gradient*. Step each
weight a little against its gradient, ask again, repeat: that is all of training. Nudging the
weights one by one to find out costs a run of the network for each. Backprop finds all gradients
at once, for the price of about two more runs.

The one fact behind it is the chain rule. Take y = f(x), and some loss that is computed from y.
If x moves by a little e, then y moves by f'(x) * e, so the loss moves by gy * f'(x) * e, where
gy = d(loss)/dy. Hence

    gx = gy * f'(x).

f'(x) speaks of f alone. What lies between y and the loss, one step or a million, is contained in
the one number gy. So an operation need only know its own derivative: it is handed gy, and hands
gx on to whoever made x. Start at the loss, where d(loss)/d(loss) = 1, and walk backwards.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

# --------------------------------------------------------- 1. a number that knows how it was made


class Scalar:
    """A number in a computation. (In the engine: `Tensor`, whose value is an array.)"""

    edges = ()  # as a node of the graph: from a leaf, no way leads further back

    def __init__(self, value: float, requires_grad: bool = False):
        self.value = float(value)
        self.requires_grad = requires_grad  # do we want the gradient of this, or of its origins?
        self.creator = None  # the Function that made it; None for a leaf, made by the user
        self.grad = None  # d(loss)/d(this), once backward() has come by

    def __add__(self, other):
        return Add.apply(self, other)

    def __sub__(self, other):
        return Sub.apply(self, other)

    def __rsub__(self, other):
        return Sub.apply(other, self)

    def __mul__(self, other):
        return Mul.apply(self, other)

    def __neg__(self):
        return Neg.apply(self)

    def tanh(self):
        return Tanh.apply(self)

    __radd__, __rmul__ = __add__, __mul__  # 2 + x and 2 * x

    def backward(self) -> None:
        """Add the gradient of this number to the ``grad`` of every leaf that led to it."""
        for node, gradient in backprop(self):
            if isinstance(node, Scalar):
                node.grad = gradient if node.grad is None else node.grad + gradient

    def __repr__(self) -> str:
        return f"Scalar({self.value:.6g})"


# ----------------------------------------------------------------- 2. an operation has two halves


class Function:
    """One operation; an instance is the *node* that one call of it leaves in the graph.

    ``forward`` computes, on plain floats. ``backward`` is the chain rule: it gets gy and returns
    one gradient for each input. It is written on Scalars, in the same language as the user's own
    formulas, so a gradient can be recorded and differentiated again (section 5).
    """

    recording = True

    @classmethod
    def apply(cls, *inputs) -> Scalar:
        """Compute, and leave a node behind if a gradient may be asked for."""
        node = cls()
        y = Scalar(node.forward(*[x.value if isinstance(x, Scalar) else x for x in inputs]))
        needs = [cls.recording and isinstance(x, Scalar) and x.requires_grad for x in inputs]
        if any(needs):
            y.requires_grad, y.creator = True, node
            node.inputs = inputs
            # Where the gradients will go: to the node that made the input, to the input itself
            # if it is a leaf, or nowhere (None). These edges are the graph; there is no other.
            pairs = zip(inputs, needs, strict=True)
            node.edges = [(x.creator or x) if need else None for x, need in pairs]
        return y

    def free(self) -> None:
        """Drop what the node holds: its part is over, and the memory can be used again."""
        self.edges = self.inputs = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Add(Function):
    """y = a + b. Whatever a or b moves, y moves as much:  ga = gy,  gb = gy."""

    def forward(self, a, b):
        return a + b

    def backward(self, gy):
        return gy, gy


class Sub(Function):
    """y = a - b;  ga = gy,  gb = -gy."""

    def forward(self, a, b):
        return a - b

    def backward(self, gy):
        return gy, -gy


class Mul(Function):
    """y = a b. If a moves by e, y moves by e b:  ga = gy b,  gb = gy a."""

    def forward(self, a, b):
        return a * b

    def backward(self, gy):
        a, b = self.inputs
        return gy * b, gy * a


class Neg(Function):
    """y = -x;  gx = -gy."""

    def forward(self, x):
        return -x

    def backward(self, gy):
        return (-gy,)


class Tanh(Function):
    """y = tanh x, an S-shaped curve from -1 to 1;  gx = gy (1 - y^2)."""

    def forward(self, x):
        return math.tanh(x)

    def backward(self, gy):
        (x,) = self.inputs
        y = x.tanh()  # the engine keeps the output instead of computing it a second time
        return (gy * (1 - y * y),)


# --------------------------------------------------------------------------------- 3. the walk


def backprop(
    output: Scalar, create_graph: bool = False
) -> Iterator[tuple[Function | Scalar, Scalar]]:
    """Walk from `output` back to the leaves; yield each node with its finished gradient.

    If a number is used several times, every use moves the loss, and the moves add up: *its
    gradient is the sum of what its uses send back*. That needs an order. Take a = 1 and

        b = a + a        (2)
        c = b + b        (4, that is 4 a: the gradient of a is 4)

    The node of c sends 1 back to b twice, once for each use. Suppose b passed on its running
    total whenever something came: first 1, so a gets 1 + 1; then 2, so a gets 2 + 2 more, which
    makes 6. Wrong: the first share was counted twice. Suppose b passed each share on by itself:
    1 + 1, then 1 + 1, which makes 4. Right, but b's node ran twice; behind n such doublings the
    first one runs 2^n times, and deep networks would never finish. So a node has to *wait until
    nothing more can arrive*, then go once, with the whole sum: b waits for 1 + 1 = 2, sends 2 to a
    twice, and a has 4. Hence two rounds: count each node's uses; then go, counting down.

    Neither round is recursive: a recursive walk would overflow Python's stack on a deep graph.
    """
    if not output.requires_grad:
        raise RuntimeError("nothing that led to this number requires a gradient")
    start = output.creator or output
    gradients = {start: Scalar(1.0)}  # d(output)/d(output)

    # First round: from how many places will gradients arrive at each node?
    uses = {start: 0}
    stack = [start]
    while stack:
        node = stack.pop()
        if node.edges is None:
            raise RuntimeError("this graph was walked before, and freed: compute the loss again")
        for source in node.edges:
            if source is None:
                continue
            if source not in uses:
                uses[source] = 0
                stack.append(source)
            uses[source] += 1

    # Second round: visit each node once, when nothing more can arrive.
    ready = [start]
    while ready:
        node = ready.pop()
        gradient = gradients.pop(node)
        yield node, gradient
        if not node.edges:
            continue  # a leaf: the journey ends here
        # What backward computes is itself recorded only if it will be differentiated again.
        before, Function.recording = Function.recording, create_graph
        try:
            shares = node.backward(gradient)
            for source, share in zip(node.edges, shares, strict=True):
                if source is None:
                    continue
                gradients[source] = gradients[source] + share if source in gradients else share
                uses[source] -= 1
                if uses[source] == 0:
                    ready.append(source)
        finally:
            Function.recording = before
        if not create_graph:
            node.free()


# ----------------------------------------------------------- 4. a network learns, on 17 numbers


class Network:
    """Two inputs, four hidden units, one output: tanh(w x + b) twice, 17 weights in all."""

    def __init__(self, rng: random.Random):
        def unit(inputs: int) -> list[Scalar]:  # its weights, and last its bias
            return [Scalar(rng.uniform(-1, 1), requires_grad=True) for _ in range(inputs + 1)]

        self.hidden = [unit(2) for _ in range(4)]
        self.last = unit(4)

    def parameters(self) -> list[Scalar]:
        return [w for unit in [*self.hidden, self.last] for w in unit]

    def __call__(self, x: list) -> Scalar:
        def fire(unit: list[Scalar], x: list) -> Scalar:
            *weights, bias = unit
            return sum([w * xi for w, xi in zip(weights, x, strict=True)], bias).tanh()

        return fire(self.last, [fire(unit, x) for unit in self.hidden])


XOR = [([-1, -1], -1), ([-1, 1], 1), ([1, -1], 1), ([1, 1], -1)]  # 1 where the inputs differ


def mean_squared_error(net: Network) -> Scalar:
    """Return the loss: how far the answers are from the targets, squared, on average."""
    errors = [net(x) - target for x, target in XOR]
    return sum([e * e for e in errors], Scalar(0)) * (1 / len(XOR))


def train(net: Network, steps: int = 200, lr: float = 0.3) -> None:
    """Gradient descent: forward, backward, a small step against the gradient; again."""
    for step in range(steps + 1):
        loss = mean_squared_error(net)
        for w in net.parameters():
            w.grad = None  # backward() adds to what is there
        loss.backward()
        for w in net.parameters():
            w.value -= lr * w.grad.value
        if step % 40 == 0:
            print(f"  step {step:3d}   loss {loss.value:.4f}")


# --------------------------------------------------------- 5. gradients of gradients, and a check


def grad(output: Scalar, x: Scalar, create_graph: bool = False) -> Scalar | None:
    """Return d(output)/dx and touch no ``grad``; with `create_graph` it can be differentiated."""
    found = None
    for node, gradient in backprop(output, create_graph):
        if node is (x.creator or x):
            found = gradient
    return found


def central_difference(net: Network, w: Scalar, h: float = 1e-5) -> float:
    """Return d(loss)/dw the slow way: nudge w both ways and watch the loss."""
    value = w.value
    w.value = value + h
    up = mean_squared_error(net).value
    w.value = value - h
    down = mean_squared_error(net).value
    w.value = value
    return (up - down) / (2 * h)


def main() -> None:
    print("b = a + a;  c = b + b: backprop visits each node once, with its finished gradient")
    a = Scalar(1, requires_grad=True)
    b = a + a
    c = b + b
    names = {a: "a, a leaf", b.creator: "b, made by Add", c.creator: "c, made by Add"}
    for node, gradient in backprop(c):
        print(f"  {names[node]:16} gradient {gradient.value:g}")

    print("\na network with 17 weights learns XOR")
    net = Network(random.Random(0))
    train(net)
    for x, target in XOR:
        print(f"  {x[0]:2d} xor {x[1]:2d}   wanted {target:2d}   got {net(x).value:5.2f}")

    print("\nx^3 at x = 2, differentiated three times")
    x = Scalar(2, requires_grad=True)
    y = x * x * x
    for order in (1, 2, 3):
        y = grad(y, x, create_graph=True)
        print(f"  derivative {order}: {y.value:g}")

    print("\ncan it be trusted? a fresh network's 17 gradients against central differences")
    net = Network(random.Random(1))
    mean_squared_error(net).backward()
    worst = max(abs(w.grad.value - central_difference(net, w)) for w in net.parameters())
    print(f"  largest difference: {worst:.1e}")
    if not worst < 1e-8:
        raise SystemExit("backprop and central differences disagree")


if __name__ == "__main__":
    main()
