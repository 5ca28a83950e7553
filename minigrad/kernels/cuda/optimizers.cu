// Optimizer steps: one launch changes up to MOST arrays in place. Their addresses come in a table
// that is itself an argument of the kernel (such arguments may take 4 kB).

#define MOST 64    // arrays in a table
#define CHUNK 1024 // numbers that one block changes

struct Table {
    T* p[MOST];              // parameters
    const T* g[MOST];        // gradients
    T* a[MOST];              // what is remembered of each: up to three arrays
    T* b[MOST];
    T* c[MOST];
    long long t[MOST];       // the step's number; where it lies on the device, its address
    int size[MOST];
    int block[MOST];         // the first block that works on this array
    const double* lr;        // the learning rate's address, or null: then it is the argument
    int arrays, t_stored;
};

// Which array this block works on, and on which of its entries: the last one that has begun.
#define MINE \
    int n = table.arrays - 1; \
    while (table.block[n] > (int)blockIdx.x) n--; \
    int begin = (blockIdx.x - table.block[n]) * CHUNK; \
    int end = begin + CHUNK < table.size[n] ? begin + CHUNK : table.size[n]; \
    T* p = table.p[n]; \
    const T* gradient = table.g[n]; \
    if (table.lr) lr = *table.lr

// The gradient with its sign, and with the part of the penalty weight_decay / 2 p^2.
#define DIRECTION(i) \
    ((maximize ? -gradient[i] : gradient[i]) + (weight_decay != 0 ? T(weight_decay) * p[i] : T(0)))

__device__ long long step_number(const Table& table, int n) {
    return table.t_stored ? *(const long long*)table.t[n] : table.t[n];
}

// SGD with momentum b: b = momentum b + (1 - dampening) g, or g at first (t = 1);
// p -= lr (g + momentum b if nesterov else b).
extern "C" __global__ void sgd(Table table, double lr, double momentum, double dampening,
                               double weight_decay, int nesterov, int maximize) {
    MINE;
    T* velocity = table.a[n];
    bool fresh = table.t[n] == 1;
    for (int i = begin + threadIdx.x; i < end; i += blockDim.x) {
        T g = DIRECTION(i);
        if (velocity) {
            T v = fresh ? g : T(momentum) * velocity[i] + T(1 - dampening) * g;
            velocity[i] = v;
            g = nesterov ? g + T(momentum) * v : v;
        }
        p[i] -= T(lr) * g;
    }
}

// Adam and, decoupled, AdamW; c is the largest second moment so far (AMSGrad), or null.
extern "C" __global__ void adam(Table table, double lr, double beta1, double beta2, double eps,
                                double weight_decay_, int decoupled, int maximize) {
    MINE;
    __shared__ double shared_rate, shared_root;
    if (threadIdx.x == 0) {  // powers are costly, and the same for the whole array
        double t = (double)step_number(table, n);
        shared_rate = lr / (1 - pow(beta1, t));
        shared_root = sqrt(1 - pow(beta2, t));
    }
    __syncthreads();
    T rate = T(shared_rate), root = T(shared_root);
    T keep = decoupled ? T(1 - lr * weight_decay_) : T(1);
    double weight_decay = decoupled ? 0 : weight_decay_;
    T *first = table.a[n], *second = table.b[n], *largest = table.c[n];
    for (int i = begin + threadIdx.x; i < end; i += blockDim.x) {
        p[i] *= keep;
        T g = DIRECTION(i);
        T m = first[i] + T(1 - beta1) * (g - first[i]);
        T v = T(beta2) * second[i] + T(1 - beta2) * g * g;
        first[i] = m;
        second[i] = v;
        if (largest) {
            if (v > largest[i] || v != v) largest[i] = v;
            v = largest[i];
        }
        p[i] -= rate * m / (sqrt(v) / root + T(eps));
    }
}

// RMSprop: a the mean of g^2, b the mean of g (centered) or null, c the momentum or null.
extern "C" __global__ void rmsprop(Table table, double lr, double alpha, double eps,
                                   double weight_decay, double momentum, int maximize) {
    MINE;
    T *square = table.a[n], *mean = table.b[n], *velocity = table.c[n];
    for (int i = begin + threadIdx.x; i < end; i += blockDim.x) {
        T g = DIRECTION(i);
        T v = T(alpha) * square[i] + T(1 - alpha) * g * g;
        square[i] = v;
        if (mean) {
            T m = mean[i] + T(1 - alpha) * (g - mean[i]);
            mean[i] = m;
            v -= m * m;
        }
        T step = g / (sqrt(v) + T(eps));
        if (velocity) {
            step += T(momentum) * velocity[i];
            velocity[i] = step;
        }
        p[i] -= T(lr) * step;
    }
}
