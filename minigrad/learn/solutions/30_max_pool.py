"""Exercise 30: max pooling.

A window of 2 x 2 places moves over an image x, of the shape (H, W), in steps of
`stride` (1 or 2), and of each window only the largest entry is kept:

    y[i, j] = the largest of x[s i, s j],      x[s i, s j + 1],
                             x[s i + 1, s j],  x[s i + 1, s j + 1]       s = stride

You get gy, of the shape (I, J) of y, and return gx, of the shape (H, W). (In a
network each channel of each sample is pooled like this, by itself.)

1. Move one entry of a window by a little. If it is the largest, how does y[i, j]
   move? And if it is not? So who gets gy[i, j]?
2. With stride 1 the windows overlap, and one entry may be the largest of four.
   What is its gradient?
3. Where two entries of a window are both the largest there is no derivative: y
   follows whichever grows. Then a rule has to do, and ours is that of most
   libraries: the first of them, row by row, is the one that was taken. What
   would happen to the sum of the gradients if all of them got gy[i, j]? After a
   relu many windows hold nothing but zeros, so this is no rare case.
4. With stride 2 and an odd H the last row is in no window. What is its gradient?

Check it:  python -m minigrad learn check max_pool
"""

import numpy as np


def forward(x, stride):
    """y, of the shape (I, J): the largest of each 2 x 2 window of x, (H, W)."""
    places = [(length - 2) // stride + 1 for length in x.shape]
    y = np.empty(places)
    for i, j in np.ndindex(*places):
        y[i, j] = x[i * stride : i * stride + 2, j * stride : j * stride + 2].max()
    return y


def backward(gy, x, stride):
    """Return gx, of the shape (H, W) of x."""
    gx = np.zeros_like(x)
    for i, j in np.ndindex(gy.shape):
        top, left = i * stride, j * stride
        window = x[top : top + 2, left : left + 2]
        # argmax gives the first of the largest, counted row by row: 0 1 above, 2 3 below.
        row, column = divmod(window.argmax(), 2)
        gx[top + row, left + column] += gy[i, j]  # += : it may have won in other windows, too
    return gx
