// Dropout's mask: entry i is a hash of the key and of i, so no thread needs another's state, and
// NumPy computes the same bits (`hashed` in plain.py).

__device__ unsigned mixed(unsigned x) {
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    x ^= x >> 16;
    return x;
}

// mask = 0 where the hash lies below the threshold, else scale. The key's halves are given, or they
// are stored on the device: there a captured step finds new ones each time.
extern "C" __global__ void dropout_mask(T* mask, const unsigned* stored, unsigned low,
                                        unsigned high, unsigned threshold, double scale,
                                        int count) {
    if (stored) {
        low = stored[0];
        high = stored[1];
    }
    for EACH(i, count) mask[i] = mixed(mixed(i + low) + high) >= threshold ? T(scale) : T(0);
}
