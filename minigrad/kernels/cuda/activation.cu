// Bias, activation, and its gradient. One thread an entry; nothing is shared.

// y (rows, columns) += bias (rows), and with relu: y = max(y, 0). What follows a matrix product
// whose result lies channel by channel, as a convolution's does. max(NaN, 0) is NaN.
extern "C" __global__ void add_bias(T* y, const T* bias, int columns, int relu, int count) {
    for EACH(i, count) {
        T v = y[i] + bias[i / columns];
        y[i] = relu && v < 0 ? T(0) : v;
    }
}

// Arrays (A, B, C, D) in memory of their own order: the steps between neighbours along each axis.
struct Steps4 {
    int A, B, C, D;
    long long S_a, S_b, S_c, S_d;  // of y
};

// gx = gy where y = max(x, 0) is not 0, else 0, also where gy is infinite or NaN. gy and gx lie in
// order, y with any steps.
extern "C" __global__ void relu_backward(T* gx, const T* gy, const T* y, Steps4 s, int count) {
    for EACH(i, count) {
        int d = i % s.D, rest = i / s.D;
        int c = rest % s.C;
        rest /= s.C;
        int b = rest % s.B, a = rest / s.B;
        T at = y[a * s.S_a + b * s.S_b + c * s.S_c + d * s.S_d];
        gx[i] = at == 0 ? T(0) : gy[i];
    }
}
