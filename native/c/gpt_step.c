#if defined(__linux__)
#define _GNU_SOURCE /* for pthread_setname_np */
#endif
#include "gpt_step.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static float from_half(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
    float value;
    if (rest >= 0x7c00) {
        uint32_t bits = sign | 0x7f800000 | (rest & 0x3ff) << 13;
        memcpy(&value, &bits, 4);
        return value;
    }
    /* As an exponent too small by 112, which the product puts right, for subnormal numbers too. */
    uint32_t bits = rest << 13;
    memcpy(&value, &bits, 4);
    value *= 0x1p112f;
    return sign ? -value : value;
}

/* The float16 that equals a value, or -1 where none does. */
static int32_t to_half(float value) {
    uint32_t bits;
    float small = fabsf(value) * 0x1p-112f;
    memcpy(&bits, &small, 4);
    int32_t half = (int32_t)(bits >> 13) | (signbit(value) ? 0x8000 : 0);
    return fabsf(value) < 65536 && from_half((uint16_t)half) == value ? half : -1;
}

/* exp to 1e-7, for numbers up to 0. Source: range reduction by ln 2 in two parts and a Taylor series, as Cephes does. */
static inline float exp_of(float x) {
    x = x < -87.0f ? -87.0f : x;
    float n = nearbyintf(x * 1.44269504f);
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    int32_t bits = ((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return p * power;
}

#define ISA 1
#define NAME(x) x##_generic
#include "kernels.h"
#undef ISA
#undef NAME

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
#define ISA 2
#define NAME(x) x##_avx2
#include "kernels.h"
#undef ISA
#undef NAME
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), \
                             apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#endif
#define ISA 3
#define NAME(x) x##_avx512
#include "kernels.h"
#undef ISA
#undef NAME
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

typedef struct {
    const char *name;
    void (*f32)(const float *, const float *, int, float *);
    void (*f16)(const uint16_t *, const float *, int, float *);
    void (*i8)(const int8_t *, const uint8_t *, int, int32_t *);
    void (*attend)(const float *, const float *, const float *, int, int, float *, float *);
    void (*quantize)(const float *, int, uint8_t *, float *, int32_t *);
    void (*add_and_norm)(float *, const float *, int, const float *, const float *, float);
    int (*halve)(const float *, int, uint16_t *);
} kernels;

#define ALL_KERNELS(name, isa) \
    {name, panel_f32_##isa, panel_f16_##isa, panel_i8_##isa, attend_##isa, quantize_##isa, add_and_norm_##isa,    \
     halve_##isa}

static const kernels *choose_kernels(void) {
    static const kernels generic = ALL_KERNELS("generic", generic);
#if defined(__x86_64__)
    static const kernels avx2 = ALL_KERNELS("AVX2", avx2);
    static const kernels avx512 = ALL_KERNELS("AVX-512 VNNI", avx512);
    const char *most = getenv("SOVITS_NATIVE_KERNELS"); /* for tests */
    int allowed = most && !strcmp(most, "generic") ? 1 : most && !strcmp(most, "AVX2") ? 2 : 3;
    __builtin_cpu_init();
    int has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); /* F16C is older than AVX2 */
    if (allowed == 3 && has_avx2 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return &avx512;
    if (allowed >= 2 && has_avx2) return &avx2;
#endif
    return &generic;
}

static const kernels *kernels_here(void) {
    static const kernels *_Atomic here;
    if (!here) here = choose_kernels();
    return here;
}

int32_t sovits_abi(void) { return SOVITS_ABI; }

const char *sovits_kernels(void) { return kernels_here()->name; }

/* --- packing ------------------------------------------------------------------------------------------------------ */

static int64_t panels(int32_t n) { return (n + SOVITS_PANEL - 1) / SOVITS_PANEL; }
static int64_t groups(int32_t k) { return (k + 3) / 4; }

int64_t sovits_packed_bytes(int32_t form, int32_t n, int32_t k) {
    if (form == SOVITS_I8) return panels(n) * groups(k) * SOVITS_PANEL * 4;
    return panels(n) * k * SOVITS_PANEL * (form == SOVITS_F16 ? 2 : 4);
}

/* Up to 64 outputs of up to 64 inputs, [rows][k], to [inputs][64]: a square that fits the nearest cache. */
static int pack_square(int32_t form, int32_t rows, int32_t inputs, int64_t k, const float *from, uint8_t *to) {
    union {
        float f32[64][64];
        uint16_t f16[64][64];
    } square;
    memset(&square, 0, sizeof square);
    for (int32_t row = 0; row < rows; row++) {
        if (form == SOVITS_F32)
            memcpy(square.f32[row], from + row * k, (size_t)inputs * 4);
        else if (!kernels_here()->halve(from + row * k, inputs, square.f16[row]))
            return 0;
    }
    for (int32_t i = 0; i < inputs; i++)
        for (int32_t row = 0; row < 64; row++) {
            if (form == SOVITS_F32)
                ((float *)to)[i * 64 + row] = square.f32[row][i];
            else
                ((uint16_t *)to)[i * 64 + row] = square.f16[row][i];
        }
    return 1;
}

static void pack_int8_row(int32_t k, const float *from, int8_t *to, float *scale, int32_t *sum) {
    float most = 0;
    for (int32_t i = 0; i < k; i++) most = fabsf(from[i]) > most ? fabsf(from[i]) : most;
    *scale = most / 127 > 1e-12f ? most / 127 : 1e-12f;
    *sum = 0;
    for (int32_t i = 0; i < k; i++) {
        int8_t code = (int8_t)nearbyintf(from[i] / *scale);
        to[(int64_t)(i / 4) * SOVITS_PANEL * 4 + i % 4] = code;
        *sum += code;
    }
}

int32_t sovits_pack(int32_t form, int32_t n, int32_t k, const float *weight, void *packed, float *scale,
                    int32_t *sum) {
    if (form == SOVITS_I8) memset(packed, 0, (size_t)sovits_packed_bytes(form, n, k));
    for (int64_t row = 0; row < n; row += SOVITS_PANEL) {
        int32_t rows = n - row < SOVITS_PANEL ? (int32_t)(n - row) : SOVITS_PANEL;
        uint8_t *to = (uint8_t *)packed + sovits_packed_bytes(form, (int32_t)row, k);
        for (int32_t i = 0; form == SOVITS_I8 && i < rows; i++)
            pack_int8_row(k, weight + (row + i) * k, (int8_t *)to + i * 4, scale + row + i, sum + row + i);
        for (int32_t i = 0; form != SOVITS_I8 && i < k; i += 64) {
            int32_t inputs = k - i < 64 ? k - i : 64;
            if (!pack_square(form, rows, inputs, k, weight + row * k + i, to + sovits_packed_bytes(form, 1, i)))
                return 0;
        }
    }
    return 1;
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

typedef struct {
    const sovits_gpt *gpt;
    const sovits_request *request;
    const kernels *use;
    int64_t row;
    /* Rows: residual [width], what a linear reads [4 width], attention's [3 width]; the scores of each thread. */
    float *x, *wide, *qkv, *attended, *sum, *score;
    uint8_t *codes;
    float code_scale;
    int32_t code_zero;
} work;

struct sovits_pool {
    pthread_mutex_t one_step, lock;
    pthread_cond_t wake;
    pthread_t *thread;
    int32_t threads, started;
    uint64_t number; /* of the step, under lock */
    int32_t ending;
    work now;
    float *memory;
    int64_t floats;
    _Atomic int32_t waiting, phase;
};

/* All threads of a step meet here, seven to nine times a layer: the wait is short, so it spins first. */
static void meet(sovits_pool *p) {
    int32_t phase = atomic_load_explicit(&p->phase, memory_order_acquire);
    if (p->threads == 1) return;
    if (atomic_fetch_add_explicit(&p->waiting, 1, memory_order_acq_rel) == p->threads - 1) {
        atomic_store_explicit(&p->waiting, 0, memory_order_relaxed);
        atomic_store_explicit(&p->phase, phase + 1, memory_order_release);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&p->phase, memory_order_acquire) == phase; spins++) {
        if (spins > 2000) sched_yield();
#if defined(__x86_64__)
        _mm_pause();
#endif
    }
}

static void share(int64_t all, int32_t threads, int32_t me, int64_t *from, int64_t *to) {
    *from = all * me / threads;
    *to = all * (me + 1) / threads;
}

static void run_share(sovits_pool *pool, int32_t me);

typedef struct {
    sovits_pool *pool;
    int32_t me;
} starting;

static void *worker(void *argument) {
    sovits_pool *p = ((starting *)argument)->pool;
    int32_t me = ((starting *)argument)->me;
    free(argument);
#if defined(__linux__)
    pthread_setname_np(pthread_self(), "sovits-gpt");
#elif defined(__APPLE__)
    pthread_setname_np("sovits-gpt");
#endif
    for (uint64_t seen = 0;;) {
        pthread_mutex_lock(&p->lock);
        while (p->number == seen && !p->ending) pthread_cond_wait(&p->wake, &p->lock);
        int32_t ending = p->ending;
        seen = p->number;
        pthread_mutex_unlock(&p->lock);
        if (ending) return NULL;
        run_share(p, me);
    }
}

sovits_pool *sovits_pool_new(int32_t threads) {
    sovits_pool *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->threads = threads < 1 ? 1 : threads;
    p->thread = calloc((size_t)p->threads, sizeof *p->thread);
    pthread_mutex_init(&p->one_step, NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    for (p->started = 1; p->thread && p->started < p->threads; p->started++) {
        starting *s = malloc(sizeof *s);
        if (s) *s = (starting){p, p->started};
        if (!s || pthread_create(&p->thread[p->started], NULL, worker, s)) {
            free(s);
            break;
        }
    }
    if (!p->thread || p->started < p->threads) {
        sovits_pool_free(p);
        return NULL;
    }
    return p;
}

void sovits_pool_free(sovits_pool *p) {
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->ending = 1;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int32_t i = 1; i < p->started; i++) pthread_join(p->thread[i], NULL);
    pthread_mutex_destroy(&p->one_step);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    free(p->thread);
    free(p->memory);
    free(p);
}

/* --- the step ----------------------------------------------------------------------------------------------------- */

/* This thread's part of y = W x + b. int8 reads w->codes in place of x. */
static void linear(sovits_pool *p, const sovits_linear *l, const float *x, float *y, int32_t me) {
    work *w = &p->now;
    int64_t from, to;
    share(panels(l->n), p->threads, me, &from, &to);
    for (int64_t i = from; i < to; i++) {
        float out[SOVITS_PANEL];
        int32_t exact[SOVITS_PANEL];
        int64_t first = i * SOVITS_PANEL, count = l->n - first < SOVITS_PANEL ? l->n - first : SOVITS_PANEL;
        if (l->form == SOVITS_I8) {
            w->use->i8((const int8_t *)l->weight + i * groups(l->k) * SOVITS_PANEL * 4, w->codes, (int)groups(l->k),
                       exact);
            for (int64_t j = 0; j < count; j++)
                out[j] = (float)(exact[j] - w->code_zero * l->sum[first + j]) * (w->code_scale * l->scale[first + j]);
        } else if (l->form == SOVITS_F16) {
            w->use->f16((const uint16_t *)l->weight + i * l->k * SOVITS_PANEL, x, l->k, out);
        } else {
            w->use->f32((const float *)l->weight + i * l->k * SOVITS_PANEL, x, l->k, out);
        }
        for (int64_t j = 0; j < count; j++) y[first + j] = out[j] + (l->bias ? l->bias[first + j] : 0);
    }
}

static void attention(sovits_pool *p, int32_t layer, int32_t me) {
    work *w = &p->now;
    const sovits_gpt *g = w->gpt;
    int32_t size = g->width / g->heads;
    int64_t from, to, rows = w->row + 1, capacity = w->request->capacity;
    share(g->heads, p->threads, me, &from, &to);
    float *keys = w->request->cache[2 * layer], *values = w->request->cache[2 * layer + 1];
    float *score = w->score + me * ((capacity + 31) / 16 * 16);
    for (int64_t head = from; head < to; head++) {
        float *k = keys + head * capacity * size, *v = values + head * capacity * size;
        memcpy(k + w->row * size, w->qkv + g->width + head * size, (size_t)size * 4);
        memcpy(v + w->row * size, w->qkv + 2 * g->width + head * size, (size_t)size * 4);
        w->use->attend(w->qkv + head * size, k, v, (int)rows, size, score, w->attended + head * size);
    }
}

/* Between two meetings one thread works alone: x = norm(x + sum), and codes for an int8 linear that reads `row`. */
static void alone(sovits_pool *p, const float *weight, const float *bias, const sovits_linear *next, const float *row,
                  int32_t me) {
    work *w = &p->now;
    const sovits_gpt *g = w->gpt;
    if (!weight && next->form != SOVITS_I8) return;
    if (me == 0) {
        if (weight) w->use->add_and_norm(w->x, w->sum, g->width, weight, bias, g->epsilon);
        if (next->form == SOVITS_I8) {
            w->use->quantize(row, next->k, w->codes, &w->code_scale, &w->code_zero);
            for (int64_t i = next->k; i < groups(next->k) * 4; i++) w->codes[i] = 0;
        }
    }
    meet(p);
}

static void rectify(sovits_pool *p, int32_t n, float *x, int32_t me) {
    int64_t from, to; /* what this thread wrote */
    share(panels(n), p->threads, me, &from, &to);
    to = to * SOVITS_PANEL < n ? to * SOVITS_PANEL : n;
    for (int64_t i = from * SOVITS_PANEL; i < to; i++) x[i] = x[i] > 0 ? x[i] : 0;
}

static void run_share(sovits_pool *p, int32_t me) {
    work *w = &p->now;
    const sovits_gpt *g = w->gpt;
    alone(p, NULL, NULL, g->layers ? &g->layer->qkv : &g->head, w->x, me);
    for (int32_t i = 0; i < g->layers; i++) {
        const sovits_layer *layer = g->layer + i;
        linear(p, &layer->qkv, w->x, w->qkv, me);
        meet(p);
        attention(p, i, me);
        meet(p);
        alone(p, NULL, NULL, &layer->out, w->attended, me);
        linear(p, &layer->out, w->attended, w->sum, me);
        meet(p);
        alone(p, layer->norm1_weight, layer->norm1_bias, &layer->up, w->x, me);
        linear(p, &layer->up, w->x, w->wide, me);
        rectify(p, layer->up.n, w->wide, me);
        meet(p);
        alone(p, NULL, NULL, &layer->down, w->wide, me);
        linear(p, &layer->down, w->wide, w->sum, me);
        meet(p);
        alone(p, layer->norm2_weight, layer->norm2_bias, i + 1 < g->layers ? &layer[1].qkv : &g->head, w->x, me);
    }
    linear(p, &g->head, w->x, w->request->logits, me);
    meet(p);
}

/* --- sampling ----------------------------------------------------------------------------------------------------- */

typedef struct {
    float value;
    int32_t token;
} candidate;

/* Descending; of equal ones the earlier token first. */
static int before(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->value != y->value) return x->value > y->value ? -1 : 1;
    return x->token - y->token;
}

#define BLOCKED (-1e30f)
#define FEW 64

/* Draws the next token, by the rule of the graph. Source: GPT-SoVITS, AR/models/utils.py, logits_to_probs and sample. */
static void draw(const sovits_gpt *g, const sovits_request *r, candidate *c) {
    int32_t count = 0, k = (int32_t)(*r->top_k < 1 ? 1 : *r->top_k > g->vocab ? g->vocab : *r->top_k);
    float best = -INFINITY, smallest[FEW], floor = -INFINITY, penalty = *r->repetition_penalty;
    int32_t held = 0, leader = 0;
    for (int32_t i = 0; i < g->vocab; i++) {
        float x = r->logits[i];
        if (r->seen[i]) x = x < 0 ? x * penalty : x / penalty;
        if (i == g->eos && *r->step < *r->min_tokens) x = BLOCKED;
        if (x > best) best = x, leader = i;
        c[i] = (candidate){x, i};
        if (k > FEW || (held == k && x <= smallest[k - 1])) continue;
        int32_t at = held < k ? held++ : k - 1;
        for (; at > 0 && smallest[at - 1] < x; at--) smallest[at] = smallest[at - 1];
        smallest[at] = x;
    }
    double all = 0;
    if (*r->top_p < 1)
        for (int32_t i = 0; i < g->vocab; i++) all += exp((double)c[i].value - best);
    /* Only those that can be among the k likeliest are put in order. */
    if (k <= FEW) floor = smallest[k - 1];
    for (int32_t i = 0; i < g->vocab; i++)
        if (c[i].value >= floor) c[count++] = c[i];
    qsort(c, (size_t)count, sizeof *c, before);
    if (k > count) k = count ? count : 1; /* logits that are no numbers are left out */

    float cumulative = 0, temperature = *r->temperature < 1e-5f ? 1e-5f : *r->temperature;
    for (int32_t i = 0; i < count; i++) {
        if (*r->top_p < 1) {
            cumulative += (float)(exp((double)c[i].value - best) / all);
            if (i && cumulative > *r->top_p) c[i].value = BLOCKED;
        }
        c[i].value /= temperature;
    }
    float pivot = c[k - 1].value, top = c[0].value, chosen = -1;
    double sum = 0;
    for (int32_t i = 0; i < count; i++) sum += c[i].value >= pivot ? exp((double)c[i].value - top) : 0;
    int32_t token = c[0].token;
    for (int32_t i = 0; i < count; i++) {
        if (c[i].value < pivot) continue;
        float drawn = (float)(exp((double)c[i].value - top) / sum) / r->noise[c[i].token];
        if (drawn > chosen) chosen = drawn, token = c[i].token;
    }
    *r->next_token = token;
    *r->stop = token == g->eos || leader == g->eos;
    if (r->next_seen != r->seen) memcpy(r->next_seen, r->seen, (size_t)g->vocab);
    r->next_seen[token] = 1;
}

static int enough_memory(sovits_pool *p, const sovits_gpt *g, const sovits_request *r) {
    int64_t padded = (r->capacity + 31) / 16 * 16, width = g->width;
    /* x, attended, sum: width each; qkv 3 width; wide and codes 4 width; candidates twice the vocabulary */
    int64_t floats = 15 * width + p->threads * padded + 2 * (int64_t)g->vocab + 64;
    if (floats > p->floats) {
        float *more = realloc(p->memory, (size_t)floats * sizeof *more);
        if (!more) return 0;
        p->memory = more;
        p->floats = floats;
    }
    work *w = &p->now;
    w->x = p->memory;
    w->attended = w->x + width;
    w->sum = w->attended + width;
    w->qkv = w->sum + width;
    w->wide = w->qkv + 3 * width;
    w->codes = (uint8_t *)(w->wide + 4 * width);
    w->score = w->wide + 8 * width;
    return 1;
}

int32_t sovits_step(sovits_pool *p, const sovits_gpt *g, const sovits_request *r) {
    int64_t position = *r->prompt_len + *r->step - 1, row = *r->text_len + position;
    if (*r->token < 0 || *r->token >= g->vocab || position < 0 || row < 0 || row >= r->capacity) return -2;
    pthread_mutex_lock(&p->one_step);
    if (!enough_memory(p, g, r)) {
        pthread_mutex_unlock(&p->one_step);
        return -1;
    }
    work *w = &p->now;
    w->gpt = g;
    w->request = r;
    w->use = kernels_here();
    w->row = row;
    const float *embedded = g->embedding + *r->token * g->width;
    for (int32_t i = 0; i < g->width / 2; i++) {
        float angle = (float)position * g->frequency[i];
        w->x[2 * i] = embedded[2 * i] + g->position_scale * sinf(angle);
        w->x[2 * i + 1] = embedded[2 * i + 1] + g->position_scale * cosf(angle);
    }
    if (p->threads > 1) {
        pthread_mutex_lock(&p->lock);
        p->number++;
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
    run_share(p, 0);
    draw(g, r, (candidate *)(w->score + p->threads * ((r->capacity + 31) / 16 * 16)));
    pthread_mutex_unlock(&p->one_step);
    return 0;
}
