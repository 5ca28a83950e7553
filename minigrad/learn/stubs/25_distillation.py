"""Exercise 25: distillation, learning from a teacher's doubts.

A large network (the teacher) says of a picture: 7 with 0.9, but also 1 with
0.08. A small one (the student) learns more from that than from "it is a 7". Both
give logits, of the shape (N, C). They are softened by a temperature T > 1:

    q = softmax(teacher / T)             a constant: the teacher does not learn
    p = softmax(z / T)                   z are the student's logits
    L = T^2 * (1/N) * sum over n, i of  q[n, i] * (ln q[n, i] - ln p[n, i])

(the Kullback-Leibler divergence of p from q, the mean over the batch, times T^2).

1. Which part of L depends on z? Let u = z / T. Use exercise 22: the gradient of
   -sum_i q_i ln p_i with respect to u. The q_i of a row sum to 1. What is left?
2. From u to z: one more factor.
3. Collect the factors of T. Why is the T^2 there? Compare with what is left of
   the gradient for large T without it.

Return gz, of the shape (N, C). gL is a single number.

Check it:  python -m minigrad learn check distillation
"""

import numpy as np


def softmax(z):
    """Softmax of each row of z, of the shape (N, C)."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def forward(z, teacher, T):
    """L as above; z and teacher are logits of the shape (N, C), T is the temperature."""
    q, p = softmax(teacher / T), softmax(z / T)
    return T**2 * (q * (np.log(q) - np.log(p))).sum() / len(z)


def backward(gL, z, teacher, T):
    """Return gz, of the shape (N, C); gL is a single number."""
    raise NotImplementedError  # your derivation here
