"""Exercise 29: the convolution.

A window of K x K places moves over the image in steps of `stride`. At each of its
places (i, j) a linear layer is applied to what lies in the window:

    y[n, o, i, j] = b[o] + sum over c, k, l of
                    w[o, c, k, l] * xp[n, c, i * stride + k, j * stride + l]

xp is x with `padding` rows and columns of zeros around it, so x[n, c, 0, 0] is
xp[n, c, padding, padding]. As in every deep-learning library the kernel is not
flipped. Shapes: x (N, C, H, W), w (O, C, K, K), b (O,), y (N, O, I, J).

You get gy, of the shape of y, and return gx, gw and gb. Plain loops are fine.

1. b[o] is added at how many places of y? So what is gb[o]?
2. Which entry of xp does w[o, c, k, l] meet in the window (i, j) of sample n? So
   its gradient is a sum over n, i and j. Of what?
3. An entry of xp lies in several windows, and in each it meets another entry of
   w. So take the windows in turn, and ask what gy[:, :, i, j] gives to the K x K
   places under the window. What is to be done where windows overlap?
4. That makes the gradient of xp. How do you get gx from it?
5. What is the gradient of a row of x that no window reaches?

Check it:  python -m minigrad learn check conv2d
"""

import numpy as np


def forward(x, w, b, stride, padding):
    """y, of the shape (N, O, I, J); stride and padding are whole numbers."""
    xp = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    K = w.shape[2]
    places = [(length - K) // stride + 1 for length in xp.shape[2:]]
    y = np.empty((len(x), len(w), *places))
    for i, j in np.ndindex(*places):
        window = xp[:, :, i * stride : i * stride + K, j * stride : j * stride + K]
        y[:, :, i, j] = np.einsum("nckl,ockl->no", window, w) + b
    return y


def backward(gy, x, w, b, stride, padding):
    """Return (gx, gw, gb), of the shapes of x, w and b."""
    raise NotImplementedError  # your derivation here
