/* One step of GPT-SoVITS' GPT as one kernel: a token in, the next one out, caches updated in place.
 *
 * A step multiplies one row by every matrix, so its time is that of reading the matrices once and of the barriers
 * across the grid, five a layer. While a block waits at one, its rows of the next matrix are on their way to registers,
 * and those of the matrix after that to the L2 cache. The main kernel, at the end, begins with a drawing of this.
 *
 * Source: GPT-SoVITS, AR/models/t2s_model.py, infer_panel_naive; AR/models/utils.py, logits_to_probs and sample.
 *
 * Macros: WIDTH, HEADS, LAYERS, VOCAB; HALF_LAYERS, HALF_HEAD, HALF_CACHES: 1 where float16; NOISE_ROWS, HISTORY,
 * STOPPED: see device_step.py; THREADS of a block; KV_SPLITS: most blocks that share one head's cache; WEIGHT_BYTES,
 * SCRATCH_BYTES, REQUEST_BYTES: sizes of the structures that step_kernel.py fills or allocates. Any number of blocks
 * will do, as long as all of them run at once.
 */
typedef long long i64;
typedef unsigned long long u64;
typedef unsigned char u8;
struct half16 {
    unsigned short bits;
};

#ifndef EMULATED
#define SHARED(type, name) __shared__ type name

inline float2 floats_of(unsigned two_halves) {
    float2 x;
    asm("{.reg .f16 a, b; mov.b32 {a, b}, %2; cvt.f32.f16 %0, a; cvt.f32.f16 %1, b;}"
        : "=f"(x.x), "=f"(x.y)
        : "r"(two_halves));
    return x;
}

inline half16 half_of(float x) {
    half16 h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h.bits) : "f"(x));
    return h;
}

/* 16 bytes that no kernel writes. Volatile: the compiler must not move it behind the wait that it is to fill. */
inline uint4 read_weights(const void *from) {
    uint4 x;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                 : "l"(from));
    return x;
}

inline void prefetch_line(const void *at) { asm volatile("prefetch.global.L2 [%0];" ::"l"(at)); }

inline void add_release(u64 *at, u64 more) {
    asm volatile("red.release.gpu.global.add.u64 [%0], %1;" ::"l"(at), "l"(more) : "memory");
}

inline u64 load_acquire(const u64 *at) {
    u64 x;
    asm volatile("ld.acquire.gpu.global.u64 %0, [%1];" : "=l"(x) : "l"(at) : "memory");
    return x;
}
#endif

template <bool Half> struct number {
    typedef float type;
};
template <> struct number<true> {
    typedef half16 type;
};
typedef number<HALF_LAYERS>::type layer_t;
typedef number<HALF_HEAD>::type head_t;
typedef number<HALF_CACHES>::type cache_t;

constexpr int SIZE = WIDTH / HEADS, WARPS = THREADS / 32, PARTIAL = SIZE + 2, LINE = 128;
constexpr float BLOCKED = -1e30f, LEAST_TEMPERATURE = 1e-5f;

constexpr int power_of_two(int least) {
    int n = 1;
    while (n < least) n *= 2;
    return n;
}
constexpr int SORTED = power_of_two(VOCAB > 2 * THREADS ? VOCAB : 2 * THREADS), HELD = SORTED / THREADS;

static_assert(WIDTH % 32 == 0 && WIDTH % HEADS == 0 && THREADS % 32 == 0, "sizes");
static_assert((SIZE & (SIZE - 1)) == 0 && SIZE >= 8 && SIZE <= 128, "a head is 8 to 128 wide");

/* Everything a step reads that never changes, matrices as the checkpoint has them: [outputs][inputs].
 * step_kernel.py fills it, by a table of its own: `StepKernel.weights_layout`. */
struct matrices {
    layer_t qkv[3 * WIDTH * WIDTH], out[WIDTH * WIDTH], up[4 * WIDTH * WIDTH], down[4 * WIDTH * WIDTH];
};
struct vectors {
    float qkv[3 * WIDTH], out[WIDTH], up[4 * WIDTH], down[WIDTH];
    float norm1_weight[WIDTH], norm1_bias[WIDTH], norm2_weight[WIDTH], norm2_bias[WIDTH];
};
struct weights {
    matrices matrix[LAYERS];
    head_t head[VOCAB * WIDTH];
    vectors vector[LAYERS];
    float embedding[VOCAB * WIDTH], frequency[WIDTH / 2], position_scale, epsilon;
};

/* Global memory through which blocks pass on what the next part of the step needs whole. */
struct scratch_memory {
    float q[WIDTH];        /* the queries of all heads */
    float sum[WIDTH];      /* before a norm: a linear's output plus the residual row */
    float wide[4 * WIDTH]; /* inside the feed-forward */
    float attended[HEADS][KV_SPLITS][PARTIAL]; /* of each split: values, the largest score, the sum of weights */
};

/* The step's inputs and outputs, as the graph names them; all of 8 bytes. step_kernel.py: `request_fields`. */
struct request {
    const i64 *token, *step, *text_len, *prompt_len;
    const u8 *seen;           /* [VOCAB] */
    const float *noise_block; /* [NOISE_ROWS][VOCAB] */
    const i64 *top_k;
    const float *top_p, *temperature, *repetition_penalty;
    const i64 *min_tokens;
    const u8 *stopped;
    const i64 *history; /* [HISTORY] */
    i64 *next_token, *next_step;
    u8 *next_stopped, *next_seen;
    i64 *next_history;
    float *logits;
    cache_t *cache[2 * LAYERS]; /* keys, values of layer 0, 1, ...: [HEADS][capacity][SIZE] */
    const weights *weight;
    scratch_memory *scratch;
    u64 *arrivals; /* at the grid's barriers, of all blocks and steps so far */
    i64 capacity;
};

/* A kernel whose structures are not those of step_kernel.py does not compile. */
static_assert(sizeof(weights) == WEIGHT_BYTES, "weights are laid out by another table");
static_assert(sizeof(scratch_memory) == SCRATCH_BYTES, "scratch memory is of another size");
static_assert(sizeof(request) == REQUEST_BYTES, "a request has other fields");

/* Shared memory of a block that each part of the step uses for itself. */
union workspace {
    float partial[4 * WIDTH > VOCAB ? 4 * WIDTH : VOCAB];
    float merged[WARPS][PARTIAL];
    struct {
        u64 key[SORTED], best[WARPS];
        float sums[WARPS], pivot;
    } sampling;
};
struct shared_memory {
    alignas(16) float x[WIDTH], input[4 * WIDTH]; /* the residual row; what a linear reads, where that is not x */
    alignas(16) workspace work;
};

inline float infinity() { return __uint_as_float(0x7f800000); }
inline int lane_index() { return threadIdx.x % 32; }
inline int warp_index() { return threadIdx.x / 32; }

inline float warp_sum(float x) {
    for (int offset = 16; offset; offset /= 2) x += __shfl_xor_sync(~0u, x, offset);
    return x;
}

/* --- the barrier across the grid ---------------------------------------------------------------------------------- */

/* All blocks wait until all have arrived; what they wrote before is then seen by all. It comes in two halves, so that a
 * block can ask for memory between them. The counter only grows: a launch needs no preparation, and starts at a multiple
 * of the number of blocks. */
struct grid_barrier {
    u64 *arrivals;
    u64 goal; /* count of the last arrival that `wait` waits for; thread 0 alone knows it */

    grid_barrier(u64 *arrivals_) : arrivals(arrivals_), goal(0) {
        if (threadIdx.x == 0) {
            u64 now = load_acquire(arrivals); /* others may have arrived, but not all: this block has not */
            goal = now - now % gridDim.x;
        }
    }

    void arrive() {
        __syncthreads();
        goal += gridDim.x;
        if (threadIdx.x == 0) add_release(arrivals, 1);
    }

    void wait() const {
        if (threadIdx.x == 0)
            while (load_acquire(arrivals) < goal) {
            }
        __syncthreads();
    }
};

/* --- y = W x ------------------------------------------------------------------------------------------------------ */

inline void prefetch(const void *from, i64 bytes) {
#pragma unroll 1
    for (i64 at = (i64)threadIdx.x * LINE; at < bytes; at += THREADS * LINE) prefetch_line((const u8 *)from + at);
}

/* All blocks together. */
template <typename T> void prefetch_together(const T &what) {
    i64 lines = sizeof(T) / LINE, stride = (i64)THREADS * gridDim.x;
    for (i64 i = (i64)threadIdx.x * gridDim.x + blockIdx.x; i < lines; i += stride)
        prefetch_line((const u8 *)&what + i * LINE);
}

/* The outputs of n that this block computes: rows of the matrix that stand together. */
struct row_partition {
    int from, count;
    row_partition(int n) : from((int)((i64)n * blockIdx.x / gridDim.x)) {
        count = (int)((i64)n * (blockIdx.x + 1) / gridDim.x) - from;
    }
};

/* Numbers of one 16-byte read times as many of a row in shared memory. */
inline float product(uint4 w, const float4 *x, float) {
    float4 a = x[0];
    return __uint_as_float(w.x) * a.x + __uint_as_float(w.y) * a.y + __uint_as_float(w.z) * a.z +
           __uint_as_float(w.w) * a.w;
}

inline float product(uint4 w, const float4 *x, half16) {
    float4 a = x[0], b = x[1];
    float2 w0 = floats_of(w.x), w1 = floats_of(w.y), w2 = floats_of(w.z), w3 = floats_of(w.w);
    return w0.x * a.x + w0.y * a.y + w1.x * a.z + w1.y * a.w + w2.x * b.x + w2.y * b.y + w3.x * b.z + w3.y * b.w;
}

/* A matrix [n][SEGMENTS * WIDTH]. A warp's task is one segment of a row: WIDTH products. */
template <typename T, int SEGMENTS> struct linear {
    static constexpr int READ = 16 / sizeof(T), READS = (WIDTH + 32 * READ - 1) / (32 * READ);
    const T *matrix;
    const float *bias; /* or NULL */
    row_partition rows;
    uint4 row[READS] = {}; /* of the warp's task */
    float my_bias;    /* of the thread's output */

    /* Asks for the first task of every warp. */
    linear(const T *matrix_, const float *bias_, int n) : matrix(matrix_), bias(bias_), rows(n), my_bias(0) {
        if (warp_index() < rows.count * SEGMENTS) fetch(warp_index());
        if (bias && (int)threadIdx.x < rows.count) my_bias = bias[rows.from + threadIdx.x];
    }

    void fetch(int task) {
        const T *from = matrix + ((i64)rows.from * SEGMENTS + task) * WIDTH;
        for (int i = 0; i < READS; i++) {
            int at = (32 * i + lane_index()) * READ;
            if (at < WIDTH) row[i] = read_weights(from + at);
        }
    }

    /* Calls finish(output, value) for every output of this block. */
    template <typename F> void run(const float *x, float *partial, F finish) {
#pragma unroll 1
        for (int task = warp_index(); task < rows.count * SEGMENTS; task += WARPS) {
            if (task >= WARPS) fetch(task);
            float sum = 0;
            for (int i = 0; i < READS; i++) {
                int at = (32 * i + lane_index()) * READ;
                if (at < WIDTH) sum += product(row[i], (const float4 *)(x + task % SEGMENTS * WIDTH + at), T());
            }
            sum = warp_sum(sum);
            if (lane_index() == 0) partial[task] = sum;
        }
        __syncthreads();
#pragma unroll 1
        for (int i = threadIdx.x; i < rows.count; i += THREADS) {
            float sum = 0;
            for (int segment = 0; segment < SEGMENTS; segment++) sum += partial[i * SEGMENTS + segment];
            if (bias) sum += i < THREADS ? my_bias : bias[rows.from + i];
            finish(rows.from + i, sum);
        }
    }
};

/* x = norm(sum). Every warp works out mean and spread by itself, so that none waits for another. */
inline void norm(const float *sum, const float *weight, const float *bias, float epsilon, float *x) {
    constexpr int OWN = (WIDTH + THREADS - 1) / THREADS;
    float value[WIDTH / 32], own[OWN] = {}, factor[OWN] = {}, offset[OWN] = {}, mean = 0, spread = 0;
    for (int i = 0; i < OWN; i++) {
        int at = THREADS * i + threadIdx.x;
        if (at < WIDTH) own[i] = sum[at], factor[i] = weight[at], offset[i] = bias[at];
    }
    for (int i = 0; i < WIDTH / 32; i++) mean += value[i] = sum[32 * i + lane_index()];
    mean = warp_sum(mean) / WIDTH;
    for (int i = 0; i < WIDTH / 32; i++) spread += (value[i] - mean) * (value[i] - mean);
    float scale = 1 / sqrtf(warp_sum(spread) / WIDTH + epsilon);
    for (int i = 0; i < OWN; i++) {
        int at = THREADS * i + threadIdx.x;
        if (at < WIDTH) x[at] = (own[i] - mean) * scale * factor[i] + offset[i];
    }
    __syncthreads();
}

/* --- attention ---------------------------------------------------------------------------------------------------- */

/* exp(score - top), where no row has been seen as well. */
inline float weight_of(float score, float top) { return score == -infinity() ? 0 : expf(score - top); }

/* Into how many splits each head's cache is cut, so that a grid larger than the number of heads has work for all. */
inline int kv_splits() {
    int most = gridDim.x / HEADS;
    return most < 1 ? 1 : most < KV_SPLITS ? most : KV_SPLITS;
}

inline void store(float *to, float x) { *to = x; }
inline void store(half16 *to, float x) { *to = half_of(x); }

/* One head, and the positions of its cache that a block takes. */
struct kv_split {
    int head, split, from, to;
    kv_split(int index, int rows) {
        int splits = kv_splits();
        head = index / splits;
        split = index % splits;
        from = (int)((i64)rows * split / splits);
        to = (int)((i64)rows * (split + 1) / splits);
    }
    i64 offset(i64 capacity) const { return (head * capacity + from) * SIZE; }
};

inline void prefetch_rows(const request &r, int layer, int rows) {
    if ((int)blockIdx.x >= HEADS * kv_splits()) return;
    kv_split p(blockIdx.x, rows);
    for (int i = 0; i < 2; i++)
        prefetch(r.cache[2 * layer + i] + p.offset(r.capacity), (i64)(p.to - p.from) * SIZE * sizeof(cache_t));
}

inline void unpack(uint4 from, float *to, float) {
    to[0] = __uint_as_float(from.x), to[1] = __uint_as_float(from.y);
    to[2] = __uint_as_float(from.z), to[3] = __uint_as_float(from.w);
}

inline void unpack(uint4 from, float *to, half16) {
    float2 a = floats_of(from.x), b = floats_of(from.y), c = floats_of(from.z), d = floats_of(from.w);
    to[0] = a.x, to[1] = a.y, to[2] = b.x, to[3] = b.y, to[4] = c.x, to[5] = c.y, to[6] = d.x, to[7] = d.y;
}

/* A softmax that takes rows one by one: READ columns of the values, each row's weight relative to the largest score. */
template <int READ> struct softmax {
    float top, weight, sum[READ];

    softmax() : top(-infinity()), weight(0) {
        for (int i = 0; i < READ; i++) sum[i] = 0;
    }

    void take(float other_top, float other_weight, const float *other_sum) {
        float next = fmaxf(top, other_top), keep = weight_of(top, next), add = weight_of(other_top, next);
        weight = weight * keep + other_weight * add;
        for (int i = 0; i < READ; i++) sum[i] = sum[i] * keep + other_sum[i] * add;
        top = next;
    }
};

/* Attention over one split. The threads of a group read a row together; groups take rows in turn. */
inline void attend(const request &r, int layer, const kv_split &p, float merged[][PARTIAL]) {
    constexpr int READ = 16 / sizeof(cache_t), GROUP = SIZE / READ, GROUPS = THREADS / GROUP;
    int column = threadIdx.x % GROUP * READ, group = threadIdx.x / GROUP;
    const cache_t *keys = r.cache[2 * layer] + p.offset(r.capacity) + column;
    const cache_t *values = r.cache[2 * layer + 1] + p.offset(r.capacity) + column;
    float q[READ], scale = 1 / sqrtf((float)SIZE);
    for (int i = 0; i < READ; i++) q[i] = r.scratch->q[p.head * SIZE + column + i];

    softmax<READ> mine;
    for (int first = 0; first < p.to - p.from; first += GROUPS) {
        int row = first + group;
        bool there = row < p.to - p.from;
        float key[READ], value[READ], score = 0;
        if (there) {
            unpack(*(const uint4 *)(keys + (i64)row * SIZE), key, cache_t());
            unpack(*(const uint4 *)(values + (i64)row * SIZE), value, cache_t());
            for (int i = 0; i < READ; i++) score += q[i] * key[i];
        }
        for (int offset = GROUP / 2; offset; offset /= 2) score += __shfl_xor_sync(~0u, score, offset);
        if (there) mine.take(score * scale, 1, value);
    }
    for (int offset = GROUP; offset < 32; offset *= 2) {
        float top = __shfl_xor_sync(~0u, mine.top, offset), weight = __shfl_xor_sync(~0u, mine.weight, offset);
        float sum[READ];
        for (int i = 0; i < READ; i++) sum[i] = __shfl_xor_sync(~0u, mine.sum[i], offset);
        mine.take(top, weight, sum);
    }
    float *out = merged[warp_index()];
    if (lane_index() < GROUP)
        for (int i = 0; i < READ; i++) out[column + i] = mine.sum[i];
    if (lane_index() == 0) out[SIZE] = mine.top, out[SIZE + 1] = mine.weight;
    __syncthreads();
    for (int i = threadIdx.x; i < SIZE; i += THREADS) {
        softmax<1> all;
        for (int warp = 0; warp < WARPS; warp++)
            all.take(merged[warp][SIZE], merged[warp][SIZE + 1], &merged[warp][i]);
        float *result = r.scratch->attended[p.head][p.split];
        result[i] = all.sum[0];
        if (i == 0) result[SIZE] = all.top, result[SIZE + 1] = all.weight;
    }
}

/* Merges the splits of every head: input [WIDTH] of the output projection. */
inline void merge_splits(const scratch_memory &results, float *input) {
    int splits = kv_splits();
    for (int at = threadIdx.x; at < WIDTH; at += THREADS) {
        softmax<1> all;
#pragma unroll
        for (int split = 0; split < KV_SPLITS; split++) {
            const float *one = results.attended[at / SIZE][split];
            if (split < splits) all.take(one[SIZE], one[SIZE + 1], one + at % SIZE);
        }
        input[at] = all.sum[0] / all.weight;
    }
    __syncthreads();
}

/* --- sampling ----------------------------------------------------------------------------------------------------- */

/* Sorts in place, ascending. Passes that stay within what one warp holds need no other warp. */
inline void sort(u64 *key) {
    constexpr unsigned PAIRS = SORTED / 2 / WARPS;
    bool crossed = true;
    for (unsigned span = 2; span <= SORTED; span *= 2)
        for (unsigned stride = span / 2; stride; stride /= 2) {
            bool crosses = stride > PAIRS;
            if (crosses || crossed)
                __syncthreads();
            else
                __syncwarp();
            crossed = crosses;
            for (unsigned n = lane_index(); n < PAIRS; n += 32) {
                unsigned pair = warp_index() * PAIRS + n, i = 2 * pair - (pair & (stride - 1));
                u64 a = key[i], b = key[i + stride];
                if ((a > b) == ((i & span) == 0)) key[i] = b, key[i + stride] = a;
            }
        }
    __syncthreads();
}

/* Larger numbers first; 0 and -0 are the same number, and what is no number comes last. */
inline unsigned order_of(float x) {
    unsigned bits = __float_as_uint(x == x ? x + 0.0f : -infinity());
    return ~(bits ^ (bits >> 31 ? ~0u : 1u << 31));
}

inline float value_of(u64 key) {
    unsigned bits = ~(unsigned)(key >> 32);
    return __uint_as_float(bits ^ (bits >> 31 ? 1u << 31 : ~0u));
}

/* Sum of x over the threads before this one, and over all. */
inline float sum_before(float x, float *sums, float &all) {
    float upto = x;
    for (int offset = 1; offset < 32; offset *= 2) {
        float other = __shfl_up_sync(~0u, upto, offset);
        if (lane_index() >= offset) upto += other;
    }
    float before = __shfl_up_sync(~0u, upto, 1);
    if (lane_index() == 0) before = 0;
    if (lane_index() == 31) sums[warp_index()] = upto;
    __syncthreads();
    all = 0;
    for (int warp = 0; warp < WARPS; warp++) {
        if (warp < warp_index()) before += sums[warp];
        all += sums[warp];
    }
    return before;
}

/* Samples the next token and writes what follows from it, by the rule of the graph. One block does it. */
inline void sample(const request &r, workspace &work) {
    u64 *key = work.sampling.key;
    i64 step = *r.step;
    for (int i = threadIdx.x; i < SORTED; i += THREADS) {
        key[i] = ~0ull;
        if (i >= VOCAB) continue;
        float x = r.logits[i], penalty = *r.repetition_penalty;
        if (r.seen[i]) x = x < 0 ? x * penalty : x / penalty;
        if (i == VOCAB - 1 && step < *r.min_tokens) x = BLOCKED;
        key[i] = (u64)order_of(x) << 32 | i;
    }
    sort(key);

    /* A thread holds HELD neighbours in that order. */
    int first = threadIdx.x * HELD, k = *r.top_k < 1 ? 1 : *r.top_k > VOCAB ? VOCAB : (int)*r.top_k;
    float value[HELD], odds[HELD], top = value_of(key[0]), all, sum = 0;
    float top_p = *r.top_p, temperature = fmaxf(*r.temperature, LEAST_TEMPERATURE);
    for (int i = 0; i < HELD; i++) value[i] = first + i < VOCAB ? value_of(key[first + i]) : -infinity();
    if (top_p < 1) {
        for (int i = 0; i < HELD; i++) sum += odds[i] = expf(value[i] - top);
        float cumulative = sum_before(sum, work.sampling.sums, all);
        for (int i = 0; i < HELD; i++) {
            cumulative += odds[i];
            if (first + i && cumulative / all > top_p) value[i] = BLOCKED;
        }
    }
    for (int i = 0; i < HELD; i++) {
        value[i] /= temperature;
        if (first + i == k - 1) work.sampling.pivot = value[i];
    }
    __syncthreads();
    float pivot = work.sampling.pivot;
    top /= temperature;
    sum = 0;
    for (int i = 0; i < HELD; i++)
        sum += odds[i] = first + i < VOCAB && value[i] >= pivot ? expf(value[i] - top) : 0;
    sum_before(sum, work.sampling.sums, all);

    /* The largest odds / noise; of equal ones the likelier token. */
    const float *noise = r.noise_block + step % NOISE_ROWS * VOCAB;
    u64 best = ~0u;
    for (int i = 0; i < HELD; i++) {
        float race = odds[i] > 0 ? odds[i] / all / noise[(unsigned)key[first + i]] : -1;
        u64 candidate = (u64)__float_as_uint(race) << 32 | ~(unsigned)(first + i);
        if (race >= 0 && candidate > best) best = candidate;
    }
    for (int offset = 16; offset; offset /= 2) {
        u64 other = __shfl_xor_sync(~0u, best, offset);
        if (other > best) best = other;
    }
    if (lane_index() == 0) work.sampling.best[warp_index()] = best;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int warp = 0; warp < WARPS; warp++)
        if (work.sampling.best[warp] > best) best = work.sampling.best[warp];
    int token = (int)(unsigned)key[~(unsigned)best], leader = (int)(unsigned)key[0];
    bool stopped = *r.stopped || token == VOCAB - 1 || leader == VOCAB - 1;
    *r.next_token = token;
    *r.next_step = step + 1;
    *r.next_stopped = stopped;
    r.next_seen[token] = 1;
    if (step >= 0 && step < HISTORY) r.next_history[step] = stopped ? STOPPED : token;
}

/* --- the step ----------------------------------------------------------------------------------------------------- */

inline i64 within(i64 x, i64 count) { return x < 0 ? 0 : x < count ? x : count - 1; }

inline void embed(const request &r, float *x) {
    const weights &w = *r.weight;
    const float *row = w.embedding + within(*r.token, VOCAB) * WIDTH;
    float position = (float)(*r.prompt_len + *r.step - 1);
    for (int i = threadIdx.x; i < WIDTH / 2; i += THREADS) {
        float angle = position * w.frequency[i];
        x[2 * i] = row[2 * i] + w.position_scale * sinf(angle);
        x[2 * i + 1] = row[2 * i + 1] + w.position_scale * cosf(angle);
    }
    __syncthreads();
}

/* What sampling changes one element of. Block 0, which samples, also copies. */
inline void copy_state(const request &r) {
    for (int i = threadIdx.x; i < HISTORY; i += THREADS) r.next_history[i] = r.history[i];
    for (int i = threadIdx.x; i < VOCAB; i += THREADS) r.next_seen[i] = r.seen[i];
}

/* The plan of a step. Time runs downwards; ==== is a barrier across the grid, which a block reaches (arrive) and leaves
 * (wait) apart. On the left is what the blocks compute, on the right what each asks memory for while it waits:
 * [r] its own rows of a matrix, to registers; [L2] a whole matrix, all blocks together, to the L2 cache.
 *
 *      compute                                            wrote                      asked for meanwhile
 *      embed: every block the whole row x                 shared x                   [r] qkv 0    [L2] out 0
 *   +->qkv: queries, keys and values of the row           scratch.q, caches
 *   |  ==== 1: attention reads the queries of its head and, of the caches, the row that is new, from other blocks
 *   |                                                                                [r] out   [L2] up, own splits
 *   |  attend: one split of one head's cache a block      scratch.attended
 *   |  ==== 2: the output projection reads the splits of all heads                   [L2] down
 *   |  merge_splits: every block all heads                shared input
 *   |  out, + x                                           scratch.sum
 *   |  ==== 3: the norm takes mean and spread of the whole row                       [r] up    [L2] next qkv, or head
 *   |  norm1: every block the whole row x                 shared x
 *   |  up, relu                                           scratch.wide
 *   |  ==== 4: every row of `down` reads all of the wide row                         [r] down  [L2] next out, biases
 *   |  down, + x                                          scratch.sum
 *   |  ==== 5: the norm takes mean and spread of the whole row                       [r] next qkv
 *   |  norm2: every block the whole row x                 shared x
 *   +--next layer
 *      head                                               logits
 *      ==== last: sampling reads all logits; only block 0 waits                      [L2] noise
 *      sample: block 0                                    token, state
 *
 * The same five also keep scratch from being overwritten while another block still reads it: q is read between 1 and 2
 * and written anew after 5; attended between 2 and 3, anew after 1 of the next layer; sum between 3 and 4, and again
 * between 5 and 1 of the next layer; wide between 4 and 5, anew after 3 of the next layer. Caches and x need no more:
 * of the caches a step writes one row, and x is each block's own.
 */
extern "C" __global__ void __launch_bounds__(THREADS, 1) gpt_step(const __grid_constant__ request r) {
    SHARED(shared_memory, shared);
    float *x = shared.x, *input = shared.input, *partial = shared.work.partial;
    const weights &w = *r.weight;
    scratch_memory &scratch = *r.scratch;
    grid_barrier barrier(r.arrivals);
    int row = (int)within(*r.text_len + *r.prompt_len + *r.step - 1, r.capacity);

    linear<layer_t, 1> qkv(w.matrix[0].qkv, w.vector[0].qkv, 3 * WIDTH);
    prefetch_together(w.matrix[0].out);
    if (blockIdx.x == 0) copy_state(r);
    embed(r, x);
#pragma unroll 1
    for (int layer = 0; layer < LAYERS; layer++) {
        const matrices &matrix = w.matrix[layer];
        const vectors &vector = w.vector[layer];
        const matrices &next_matrix = w.matrix[layer + 1 < LAYERS ? layer + 1 : layer];
        const vectors &next_vector = w.vector[layer + 1 < LAYERS ? layer + 1 : layer];

        qkv.run(x, partial, [&](int i, float y) {
            if (i < WIDTH) {
                scratch.q[i] = y;
                return;
            }
            int at = i % WIDTH;
            cache_t *to = r.cache[2 * layer + i / WIDTH - 1] + (at / SIZE * r.capacity + row) * SIZE + at % SIZE;
            store(to, y);
        });
        barrier.arrive();
        linear<layer_t, 1> out(matrix.out, vector.out, WIDTH);
        prefetch_rows(r, layer, row + 1);
        prefetch_together(matrix.up);
        barrier.wait();

        for (int i = blockIdx.x; i < HEADS * kv_splits(); i += gridDim.x) {
            attend(r, layer, kv_split(i, row + 1), shared.work.merged);
            if (i + (int)gridDim.x < HEADS * kv_splits()) __syncthreads();
        }
        barrier.arrive();
        prefetch_together(matrix.down);
        barrier.wait();

        merge_splits(scratch, input);
        out.run(input, partial, [&](int i, float y) { scratch.sum[i] = y + x[i]; });
        barrier.arrive();
        linear<layer_t, 1> up(matrix.up, vector.up, 4 * WIDTH);
        if (layer + 1 < LAYERS)
            prefetch_together(next_matrix.qkv);
        else
            prefetch_together(w.head);
        barrier.wait();

        norm(scratch.sum, vector.norm1_weight, vector.norm1_bias, w.epsilon, x);
        up.run(x, partial, [&](int i, float y) { scratch.wide[i] = y > 0 ? y : 0; });
        barrier.arrive();
        linear<layer_t, 4> down(matrix.down, vector.down, WIDTH);
        prefetch_together(next_matrix.out);
        prefetch_together(next_vector);
        barrier.wait();

        for (int i = threadIdx.x; i < WIDTH; i += THREADS)
            ((float4 *)input)[i] = ((const float4 *)scratch.wide)[i];
        __syncthreads();
        down.run(input, partial, [&](int i, float y) { scratch.sum[i] = y + x[i]; });
        barrier.arrive();
        qkv = linear<layer_t, 1>(next_matrix.qkv, next_vector.qkv, 3 * WIDTH);
        barrier.wait();
        norm(scratch.sum, vector.norm2_weight, vector.norm2_bias, w.epsilon, x);
    }
    linear<head_t, 1> head(w.head, nullptr, VOCAB);
    head.run(x, partial, [&](int i, float y) { r.logits[i] = y; });
    barrier.arrive();
    if (blockIdx.x != 0) return;
    prefetch(r.noise_block + *r.step % NOISE_ROWS * VOCAB, VOCAB * sizeof(float));
    barrier.wait();
    sample(r, shared.work);
}
