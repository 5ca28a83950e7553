// What all families share; it stands in front of each of them. T is float or double.
//
// CUDA's words: __global__ is a kernel, which Python starts and many threads run at once; __device__
// is a function that kernels call; __shared__ is memory that the threads of a block have in common;
// at __syncthreads() each waits until all of its block are there. extern "C" lets a kernel be found
// under the name that it has here. A thread knows its place from threadIdx and blockIdx, and how
// many there are from blockDim and gridDim.
//
// A family is compiled by NVRTC for the GPU, and by an ordinary C++ compiler for the tests that run
// it on a CPU, so it uses nothing but C, the names of the thread and of its block, memory shared
// by a block, and __syncthreads().

// Where in the grid a thread starts, and how far it steps from one of its outputs to the next.
#define FIRST (blockIdx.x * blockDim.x + threadIdx.x)
#define STEP (gridDim.x * blockDim.x)
#define EACH(i, count) (int i = FIRST; i < (count); i += STEP)

#define MOST_THREADS 256  // in a block

// The sum of x over the threads of a block (a power of two of them), known to all of them.
// A tree: half of the threads add what the other half has, then a quarter, ...
__device__ T block_sum(T x) {
    __shared__ T part[MOST_THREADS];
    part[threadIdx.x] = x;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    }
    __syncthreads();
    T sum = part[0];
    __syncthreads();  // nobody may write the next sum's parts before all have read this one
    return sum;
}

// The same for the largest. A NaN may be lost: what is subtracted from it stays NaN anyway.
__device__ T block_max(T x) {
    __shared__ T part[MOST_THREADS];
    part[threadIdx.x] = x;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) part[threadIdx.x] = fmax(part[threadIdx.x], part[threadIdx.x + half]);
    }
    __syncthreads();
    T largest = part[0];
    __syncthreads();
    return largest;
}
