// Batch norm. Each channel is cut into pieces; grid = (pieces, channels), one block a piece. The
// first kernel gives each piece's statistics; the second joins them, each block for itself and in
// the same order, and uses them. (Joining in a kernel of its own would be one launch more.)

// x (N, C, M), with M the places of a channel: entries of a plane are neighbours, planes lie
// S_n and S_c apart.
struct Channels {
    int N, C, M;
    long long S_n, S_c;
};

// The entries e of a channel, 0 .. N * M - 1, that this block works on: from `first` to `last`.
#define PIECE \
    int c = blockIdx.y, total = k.N * k.M, size = (total + gridDim.x - 1) / gridDim.x; \
    int first = blockIdx.x * size, last = first + size < total ? first + size : total

__device__ long long where(int e, int c, const Channels& k) {
    return (e / k.M) * k.S_n + c * k.S_c + e % k.M;
}

// Each piece's mean, and its sum of squared differences from that mean (so that no large squares
// are subtracted from each other).
extern "C" __global__ void statistics(T* means, T* squares, const T* x, Channels k) {
    PIECE;
    T part = 0;
    for (int e = first + threadIdx.x; e < last; e += blockDim.x) part += x[where(e, c, k)];
    T mean = block_sum(part) / (last > first ? last - first : 1);
    part = 0;
    for (int e = first + threadIdx.x; e < last; e += blockDim.x) {
        T difference = x[where(e, c, k)] - mean;
        part += difference * difference;
    }
    T square = block_sum(part);
    if (threadIdx.x == 0) {
        means[c * gridDim.x + blockIdx.x] = mean;
        squares[c * gridDim.x + blockIdx.x] = square;
    }
}

// Join two pieces' statistics at a time (Chan, Golub and LeVeque 1979, eq. 2.1), then
// y = (x - mean) rstd weight + bias, which lies as x does.
extern "C" __global__ void normalize(T* y, T* means, T* vars, T* rstds, const T* x,
                                     const T* piece_means, const T* piece_squares,
                                     const T* weight, const T* bias, double eps, Channels k) {
    PIECE;
    __shared__ T shared_mean, shared_rstd;
    if (threadIdx.x == 0) {
        T mean = 0, square = 0;
        int seen = 0;
        for (int b = 0; b < gridDim.x; b++) {
            int from = b * size, n = (from + size < total ? from + size : total) - from;
            if (n <= 0) break;
            T difference = piece_means[c * gridDim.x + b] - mean;
            T share = T(n) / T(seen + n);
            mean += difference * share;
            square += piece_squares[c * gridDim.x + b] + difference * difference * share * seen;
            seen += n;
        }
        T var = square / total;
        shared_mean = mean;
        shared_rstd = T(1) / sqrt(var + T(eps));
        if (blockIdx.x == 0) {
            means[c] = mean;
            vars[c] = var;
            rstds[c] = shared_rstd;
        }
    }
    __syncthreads();
    T mean = shared_mean, scale = shared_rstd * (weight ? weight[c] : T(1));
    T shift = bias ? bias[c] : T(0);
    for (int e = first + threadIdx.x; e < last; e += blockDim.x) {
        long long i = where(e, c, k);
        y[i] = (x[i] - mean) * scale + shift;
    }
}

// Each piece's sum of gy and of gy * xhat, with xhat = (x - mean) rstd. x has steps of its own.
extern "C" __global__ void backward_sums(T* sums, T* products, const T* gy, const T* x,
                                         const T* mean, const T* rstd, Channels k, Channels kx) {
    PIECE;
    T sum = 0, product = 0, m = mean[c], r = rstd[c];
    for (int e = first + threadIdx.x; e < last; e += blockDim.x) {
        T g = gy[where(e, c, k)];
        sum += g;
        product += g * ((x[where(e, c, kx)] - m) * r);
    }
    sum = block_sum(sum);
    product = block_sum(product);
    if (threadIdx.x == 0) {
        sums[c * gridDim.x + blockIdx.x] = sum;
        products[c * gridDim.x + blockIdx.x] = product;
    }
}

// gx = weight rstd (gy - mean(gy) - xhat mean(gy xhat)), which lies as gy does;
// gw = sum(gy xhat), gb = sum(gy).
extern "C" __global__ void backward(T* gx, T* gw, T* gb, const T* gy, const T* x, const T* sums,
                                    const T* products, const T* weight, const T* mean,
                                    const T* rstd, Channels k, Channels kx) {
    PIECE;
    __shared__ T shared_sum, shared_product;
    if (threadIdx.x == 0) {
        T sum = 0, product = 0;
        for (int b = 0; b < gridDim.x; b++) {
            sum += sums[c * gridDim.x + b];
            product += products[c * gridDim.x + b];
        }
        shared_sum = sum;
        shared_product = product;
        if (blockIdx.x == 0) {
            gw[c] = product;
            gb[c] = sum;
        }
    }
    __syncthreads();
    T m = mean[c], r = rstd[c], scale = r * (weight ? weight[c] : T(1));
    T mean_gy = shared_sum / total, mean_product = shared_product / total;
    for (int e = first + threadIdx.x; e < last; e += blockDim.x) {
        long long i = where(e, c, k);
        T xhat = (x[where(e, c, kx)] - m) * r;
        gx[i] = scale * (gy[i] - mean_gy - xhat * mean_product);
    }
}
