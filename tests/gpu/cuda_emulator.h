/* Runs a CUDA kernel, compiled as C++, on one thread of the CPU: for tests of its logic, not of its memory fences.
 *
 * Every CUDA thread is a fiber. It runs until it must wait for others: in a shuffle, at a barrier, or where it polls
 * whether other blocks have arrived. Which warp goes on, and in which order its lanes do, is random, by a seed. Shared
 * memory starts as NaN. So a barrier that is missing, or memory that is read before it is written, gives wrong numbers.
 *
 * A barrier can be left out on purpose: a block's by its line in the source, the grid's by its number in the launch.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#define EMULATED
#define __global__
#define __launch_bounds__(threads, blocks)
#define __grid_constant__

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct float2 {
    float x, y;
};

namespace emulator {

/* --- fibers ------------------------------------------------------------------------------------------------------- */

#if defined(__x86_64__)
typedef void *context; /* a stack, with the registers that a call keeps on top */
extern "C" void emulator_switch(context *from, context to);
asm(R"(
.text
.globl emulator_switch
emulator_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
)");
inline void go(context &from, context &to) { emulator_switch(&from, to); }
inline void prepare(context &c, char *stack, size_t bytes, void (*start)()) {
    void **top = (void **)(((uintptr_t)stack + bytes) & ~(uintptr_t)15);
    *--top = nullptr; /* so that the stack is aligned as after a call */
    *--top = (void *)start;
    for (int i = 0; i < 6; i++) *--top = nullptr;
    c = top;
}
#else
typedef ucontext_t context;
inline void go(context &from, context &to) { swapcontext(&from, &to); }
inline void prepare(context &c, char *stack, size_t bytes, void (*start)()) {
    getcontext(&c);
    c.uc_stack.ss_sp = stack;
    c.uc_stack.ss_size = bytes;
    c.uc_link = nullptr;
    makecontext(&c, start, 0);
}
#endif

constexpr size_t STACK = 1 << 16;
constexpr int MOST_POLLS = 1 << 16; /* polls for other blocks, without any progress, before a launch is given up */
enum state { READY, AT_WARP_BARRIER, AT_BLOCK_BARRIER, POLLS, DONE };

struct index {
    unsigned x;
};

struct warp {
    int arrived = 0, turn = 0;
    bool idle = false;
    std::vector<unsigned> order;
    uint64_t value[2][32];
};

struct block {
    int arrived = 0, grid_barriers = 0;
    std::vector<uint64_t> shared; /* 16 bytes more than that, to be aligned */
    std::vector<warp> warps;
};

struct fiber {
    context saved;
    state now = READY;
    index thread, of;
    warp *mine;
    block *home;
};

struct launch_state {
    context scheduler;
    std::vector<fiber> fibers;
    std::vector<block> blocks;
    std::unique_ptr<char[]> stacks;
    std::function<void()> kernel;
    index grid;
    unsigned threads;
    uint64_t random;
    int skipped_line, skipped_grid_barrier, polls; /* polls: turns since something last moved on */
};

inline launch_state *here;
inline fiber *current;

inline unsigned random_below(unsigned count) { /* xorshift */
    here->random ^= here->random << 13, here->random ^= here->random >> 7, here->random ^= here->random << 17;
    return (unsigned)((here->random >> 32) * count >> 32);
}

inline void pause(state why) {
    current->now = why;
    go(current->saved, here->scheduler);
}

inline void run_fiber() {
    here->kernel();
    pause(DONE);
}

inline void wake(fiber *first, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        if (first[i].now != DONE) first[i].now = READY, first[i].mine->idle = false;
    here->polls = 0;
}

/* --- what the kernel calls ---------------------------------------------------------------------------------------- */

inline void warp_barrier() {
    warp &w = *current->mine;
    unsigned lane = current->thread.x % 32;
    if (++w.arrived < 32) return pause(AT_WARP_BARRIER);
    w.arrived = 0;
    wake(current - lane, 32);
}

inline void block_barrier(int line) {
    if (line == here->skipped_line) return;
    block &b = *current->home;
    if (++b.arrived < (int)here->threads) return pause(AT_BLOCK_BARRIER);
    b.arrived = 0;
    wake(current - current->thread.x, here->threads);
}

/* Every lane gives a value and takes that of another; two buffers, since a lane may be one exchange ahead. */
template <typename T> T exchange_lanes(T value, int from) {
    warp &w = *current->mine;
    int lane = current->thread.x % 32;
    uint64_t *slots = w.value[w.turn & 1];
    memcpy(&slots[lane], &value, sizeof value);
    if (w.arrived == 31) w.turn++;
    warp_barrier();
    memcpy(&value, &slots[from], sizeof value);
    return value;
}

template <typename T> T *shared_memory_of_block() {
    std::vector<uint64_t> &s = current->home->shared;
    if (s.empty()) s.assign((sizeof(T) + 15) / 8 + 1, 0x7fc000017fc00001);
    return (T *)(((uintptr_t)s.data() + 15) & ~(uintptr_t)15);
}

/* A random order of 0 to count - 1. */
inline std::vector<unsigned> shuffled(unsigned count) {
    std::vector<unsigned> order(count);
    for (unsigned i = 0; i < count; i++) {
        unsigned at = random_below(i + 1);
        order[i] = order[at], order[at] = i;
    }
    return order;
}

/* Runs a warp until none of its lanes can go on by itself; whether it only polls whether others have come. */
inline bool run_warp(fiber *first) {
    warp &w = *first->mine;
    std::swap(w.order[random_below(32)], w.order[random_below(32)]);
    for (w.idle = false; !w.idle;) {
        w.idle = true;
        for (unsigned lane : w.order) {
            current = first + lane;
            if (current->now != READY) continue;
            go(here->scheduler, current->saved);
            w.idle = false;
        }
    }
    bool polls = false;
    for (int i = 0; i < 32; i++)
        if (first[i].now == POLLS) first[i].now = READY, polls = true;
    w.idle = !polls;
    return polls;
}

/* Runs every warp to its end. By seed, any warp that can goes on, or one block as far as it gets before others. */
inline bool run_warps(std::vector<fiber *> live) {
    bool any = random_below(2);
    for (here->polls = 0; live.size() && here->polls < MOST_POLLS; here->polls++) {
        size_t i = any ? random_below((unsigned)live.size()) : 0, tried = 0;
        while (live[i]->mine->idle && ++tried <= live.size()) i = (i + 1) % live.size();
        if (tried > live.size()) return false;
        fiber *first = live[i];
        bool polls = run_warp(first), done = std::all_of(first, first + 32, [](fiber &f) { return f.now == DONE; });
        if (polls || done) live.erase(live.begin() + i);
        if (polls) live.push_back(first);
    }
    return live.empty();
}

/* Runs a kernel; 0, or -1 where its threads wait for what never comes. */
inline int launch(unsigned grid, unsigned threads, uint64_t seed, int skipped_line, int skipped_grid_barrier,
                  std::function<void()> kernel) {
    launch_state l;
    here = &l;
    l.kernel = kernel, l.grid = {grid}, l.threads = threads;
    l.random = seed * 0x9e3779b97f4a7c15 + 0x1234567;
    l.skipped_line = skipped_line, l.skipped_grid_barrier = skipped_grid_barrier;
    l.fibers.resize((size_t)grid * threads);
    l.blocks.resize(grid);
    l.stacks.reset(new char[l.fibers.size() * STACK]);
    std::vector<fiber *> live; /* the first of every warp that is not done */
    for (unsigned b : shuffled(grid)) {
        block &home = l.blocks[b];
        home.warps.resize(threads / 32);
        for (unsigned w : shuffled(threads / 32)) {
            size_t number = (size_t)b * threads + 32 * w;
            live.push_back(&l.fibers[number]);
            home.warps[w].order = shuffled(32);
            for (unsigned lane = 0; lane < 32; lane++, number++) {
                fiber &f = l.fibers[number];
                f.thread = {32 * w + lane}, f.of = {b}, f.home = &home, f.mine = &home.warps[w];
                prepare(f.saved, &l.stacks[number * STACK], STACK, run_fiber);
            }
        }
    }
    return run_warps(live) ? 0 : -1;
}

}  // namespace emulator

#define threadIdx (emulator::current->thread)
#define blockIdx (emulator::current->of)
#define gridDim (emulator::here->grid)
#define SHARED(type, name) type &name = *emulator::shared_memory_of_block<type>()
#define __syncthreads() emulator::block_barrier(__LINE__)
#define __syncwarp() emulator::warp_barrier()

template <typename T> T __shfl_xor_sync(unsigned, T x, int offset) {
    return emulator::exchange_lanes(x, (int)(threadIdx.x % 32) ^ offset);
}
template <typename T> T __shfl_up_sync(unsigned, T x, int offset) {
    int lane = threadIdx.x % 32;
    return emulator::exchange_lanes(x, lane < offset ? lane : lane - offset);
}

inline float __uint_as_float(unsigned bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
inline unsigned __float_as_uint(float x) {
    unsigned bits;
    memcpy(&bits, &x, 4);
    return bits;
}

/* What step_kernel.cu has in PTX. */
struct half16;
template <typename Half> Half half_of_float(float x) {
    _Float16 h = (_Float16)x;
    Half result;
    memcpy(&result, &h, 2);
    return result;
}
#define half_of half_of_float<half16>

inline float2 floats_of(unsigned two_halves) {
    _Float16 h[2];
    memcpy(h, &two_halves, 4);
    return {(float)h[0], (float)h[1]};
}
inline uint4 read_weights(const void *from) { return *(const uint4 *)from; }
inline void prefetch_line(const void *) {}

inline void add_release(unsigned long long *at, unsigned long long more) {
    *at += more;
    emulator::current->home->grid_barriers++;
    emulator::here->polls = 0;
}
inline unsigned long long load_acquire(const unsigned long long *at) {
    if (emulator::current->home->grid_barriers - 1 == emulator::here->skipped_grid_barrier) return ~0ull;
    emulator::pause(emulator::POLLS);
    return *at;
}
