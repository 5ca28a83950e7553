// Softmax with cross-entropy: one block a row of logits, whose threads share the row's classes.

// p = softmax(z), losses = -ln p[label], for z (N, C) with rows in order. The largest logit is
// taken out, so that no exponential overflows. A label outside 0 .. C - 1 gives the loss NaN.
extern "C" __global__ void softmax_cross_entropy(T* losses, T* p, const T* z,
                                                 const long long* labels, int C) {
    long long row = blockIdx.x;
    z += row * C;
    p += row * C;
    T largest = z[0];
    for (int c = threadIdx.x; c < C; c += blockDim.x) largest = fmax(largest, z[c]);
    largest = block_max(largest);
    T part = 0;
    for (int c = threadIdx.x; c < C; c += blockDim.x) {
        p[c] = exp(z[c] - largest);
        part += p[c];
    }
    T total = block_sum(part);
    for (int c = threadIdx.x; c < C; c += blockDim.x) p[c] /= total;
    if (threadIdx.x == 0) {
        long long label = labels[row];
        bool known = label >= 0 && label < C;  // NVRTC has no NAN, but 0 / 0 is one
        losses[row] = log(total) - (known ? z[label] - largest : T(0) / T(0));
    }
}

// gz = g (p - onehot(label)), row by row; the steps of g are given (0 where all are one number).
extern "C" __global__ void softmax_cross_entropy_backward(T* gz, const T* g, long long step,
                                                          const T* p, const long long* labels,
                                                          int C, int count) {
    for EACH(i, count) {
        int row = i / C, c = i % C;
        gz[i] = g[row * step] * (p[i] - (labels[row] == c ? T(1) : T(0)));
    }
}
