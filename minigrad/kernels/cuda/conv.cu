// Unfolding and folding: what turns a convolution into a matrix product.

// A convolution's sizes, and the steps between neighbours of the image x (any order of memory).
struct Window {
    int C, H, W;            // channels and size of x
    int N, OH, OW;          // samples, and size of the output
    int KH, KW;             // the kernel's size
    int sh, sw, dh, dw;     // stride and dilation
    int top, left;          // padding
    long long S_n, S_c, S_h, S_w;
};

// columns[c, p, q, n, i, j] = x[n, c, i * sh + p * dh - top, j * sw + q * dw - left], or 0 on the
// padding. A thread has one (c, n, i, j) and walks over the kernel's (p, q): neighbouring threads
// read and write neighbours.
extern "C" __global__ void unfold(T* columns, const T* x, Window k, int count) {
    long long L = (long long)k.N * k.OH * k.OW;  // one row of columns
    for EACH(i, count) {
        int ow = i % k.OW, rest = i / k.OW;
        int oh = rest % k.OH;
        rest /= k.OH;
        int n = rest % k.N, c = rest / k.N;
        const T* plane = x + n * k.S_n + c * k.S_c;
        T* out = columns + (long long)c * k.KH * k.KW * L + ((long long)n * k.OH + oh) * k.OW + ow;
        for (int p = 0; p < k.KH; p++) {
            int h = oh * k.sh + p * k.dh - k.top;
            for (int q = 0; q < k.KW; q++) {
                int w = ow * k.sw + q * k.dw - k.left;
                bool inside = h >= 0 && h < k.H && w >= 0 && w < k.W;
                *out = inside ? plane[h * k.S_h + w * k.S_w] : T(0);
                out += L;
            }
        }
    }
}

// The adjoint: x[n, c, h, w] = the sum of all entries of columns that were copied from there. Each
// thread gathers for one x, in a fixed order, so that two runs agree in every bit; letting each
// column entry add itself with an atomic operation would not.
extern "C" __global__ void fold(T* x, const T* columns, Window k, int count) {
    long long L = (long long)k.N * k.OH * k.OW;
    for EACH(i, count) {
        int w = i % k.W, rest = i / k.W;
        int h = rest % k.H;
        rest /= k.H;
        int n = rest % k.N, c = rest / k.N;
        const T* from = columns + (long long)c * k.KH * k.KW * L + (long long)n * k.OH * k.OW;
        T sum = 0;
        for (int p = 0; p < k.KH; p++) {
            int oh = h + k.top - p * k.dh;
            if (oh < 0 || oh % k.sh != 0 || oh / k.sh >= k.OH) continue;
            oh /= k.sh;
            for (int q = 0; q < k.KW; q++) {
                int ow = w + k.left - q * k.dw;
                if (ow < 0 || ow % k.sw != 0 || ow / k.sw >= k.OW) continue;
                ow /= k.sw;
                sum += from[(p * k.KW + q) * L + oh * k.OW + ow];
            }
        }
        x[n * k.S_n + c * k.S_c + h * k.S_h + w * k.S_w] = sum;
    }
}
