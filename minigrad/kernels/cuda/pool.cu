// Pooling. Forward: a thread an output, which walks over its window. Backward: a thread an input,
// which walks over the windows that it lies in; nobody adds to what another thread writes, so the
// results are the same in every run.
//
// What a forward writes, and the codes, lie as (N, C, H, W); what a backward writes lies channel by
// channel, as (C, N, H, W): that is how a convolution's backward wants it. What is read may lie in
// any order. Code is the integer type of the codes: a byte, or an int for windows of more than 256.

struct Pool {
    int N, C, H, W, OH, OW;
    int KH, KW, sh, sw, ph, pw, dh, dw;  // window, stride, padding, dilation
    long long S_n, S_c, S_h, S_w;        // steps between neighbours of the array that is read
};

// The indices of entry i of an array that lies in order.
struct Place {
    int outer, inner, row, column;
};

__device__ Place place(int i, int inner, int rows, int columns) {
    Place at;
    at.column = i % columns;
    i /= columns;
    at.row = i % rows;
    i /= rows;
    at.inner = i % inner;
    at.outer = i / inner;
    return at;
}

// The output that reads input `at` through offset k of its window, along one axis; -1 for none.
__device__ int reader(int at, int padding, int k, int dilation, int stride, int outputs) {
    int start = at + padding - k * dilation;
    if (start < 0 || start % stride != 0 || start / stride >= outputs) return -1;
    return start / stride;
}

// y = the largest of each window; code = which of the window's offsets it sat at, p * KW + q. The
// first of equals wins. A NaN wins over numbers, the last NaN over the others.
extern "C" __global__ void max_pool(T* y, Code* code, const T* x, Pool k, int count) {
    for EACH(i, count) {
        Place at = place(i, k.C, k.OH, k.OW);
        const T* plane = x + at.outer * k.S_n + at.inner * k.S_c;
        bool found = false;
        T best = 0;
        int chosen = 0;
        for (int p = 0; p < k.KH; p++) {
            int h = at.row * k.sh - k.ph + p * k.dh;
            if (h < 0 || h >= k.H) continue;
            for (int q = 0; q < k.KW; q++) {
                int w = at.column * k.sw - k.pw + q * k.dw;
                if (w < 0 || w >= k.W) continue;
                T v = plane[h * k.S_h + w * k.S_w];
                if (!found || v > best || v != v) {
                    found = true;
                    best = v;
                    chosen = p * k.KW + q;
                }
            }
        }
        y[i] = best;
        code[i] = (Code)chosen;
    }
}

// gx = each gy at the place where its window's maximum was. Where windows overlap, one place may
// get several.
extern "C" __global__ void max_pool_scatter(T* gx, const T* gy, const Code* code, Pool k, int count) {
    for EACH(i, count) {
        Place at = place(i, k.N, k.H, k.W);  // outer is the channel, inner the sample
        const T* plane = gy + at.inner * k.S_n + at.outer * k.S_c;
        const Code* codes = code + (at.inner * k.C + at.outer) * k.OH * k.OW;
        T sum = 0;
        for (int p = 0; p < k.KH; p++) {
            int oh = reader(at.row, k.ph, p, k.dh, k.sh, k.OH);
            if (oh < 0) continue;
            for (int q = 0; q < k.KW; q++) {
                int ow = reader(at.column, k.pw, q, k.dw, k.sw, k.OW);
                if (ow >= 0 && codes[oh * k.OW + ow] == p * k.KW + q)
                    sum += plane[oh * k.S_h + ow * k.S_w];
            }
        }
        gx[i] = sum;
    }
}

// y = from each window of x the entry that the code names.
extern "C" __global__ void max_pool_gather(T* y, const T* x, const Code* code, Pool k, int count) {
    for EACH(i, count) {
        Place at = place(i, k.C, k.OH, k.OW);
        int h = at.row * k.sh - k.ph + code[i] / k.KW * k.dh;
        int w = at.column * k.sw - k.pw + code[i] % k.KW * k.dw;
        bool inside = h >= 0 && h < k.H && w >= 0 && w < k.W;
        y[i] = inside ? x[at.outer * k.S_n + at.inner * k.S_c + h * k.S_h + w * k.S_w] : T(0);
    }
}

// y = the sum of each window.
extern "C" __global__ void sum_pool(T* y, const T* x, Pool k, int count) {
    for EACH(i, count) {
        Place at = place(i, k.C, k.OH, k.OW);
        const T* plane = x + at.outer * k.S_n + at.inner * k.S_c;
        T sum = 0;
        for (int p = 0; p < k.KH; p++) {
            int h = at.row * k.sh - k.ph + p;
            if (h < 0 || h >= k.H) continue;
            for (int q = 0; q < k.KW; q++) {
                int w = at.column * k.sw - k.pw + q;
                if (w >= 0 && w < k.W) sum += plane[h * k.S_h + w * k.S_w];
            }
        }
        y[i] = sum;
    }
}

// gx = the sum of the gy of all windows that an entry lies in.
extern "C" __global__ void sum_pool_adjoint(T* gx, const T* gy, Pool k, int count) {
    for EACH(i, count) {
        Place at = place(i, k.N, k.H, k.W);
        const T* plane = gy + at.inner * k.S_n + at.outer * k.S_c;
        T sum = 0;
        for (int p = 0; p < k.KH; p++) {
            int oh = reader(at.row, k.ph, p, 1, k.sh, k.OH);
            if (oh < 0) continue;
            for (int q = 0; q < k.KW; q++) {
                int ow = reader(at.column, k.pw, q, 1, k.sw, k.OW);
                if (ow >= 0) sum += plane[oh * k.S_h + ow * k.S_w];
            }
        }
        gx[i] = sum;
    }
}
