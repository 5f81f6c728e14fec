/* The step: scratch memory, the plan of its threads, and the layers. */
#include "gpt_step.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "kernels.h"
#include "pack.h"
#include "pool.h"
#include "sample.h"

/* The ctypes mirrors in backends/native_structures.py have these fields, without padding. */
_Static_assert(sizeof(sovits_linear) == 4 * sizeof(int32_t) + 4 * sizeof(void *), "mirrored as CLinear");
_Static_assert(sizeof(sovits_layer) == 4 * sizeof(sovits_linear) + 4 * sizeof(void *), "mirrored as CLayer");
_Static_assert(sizeof(sovits_gpt) ==
                   6 * sizeof(int32_t) + sizeof(sovits_linear) + 3 * sizeof(void *) + 2 * sizeof(float),
               "mirrored as CGpt");
_Static_assert(sizeof(sovits_request) == 16 * sizeof(void *) + sizeof(int64_t), "mirrored as CRequest");
_Static_assert(offsetof(sovits_layer, norm1_weight) == 4 * sizeof(sovits_linear), "mirrored as CLayer");
_Static_assert(offsetof(sovits_gpt, head) == 6 * sizeof(int32_t) + sizeof(void *), "mirrored as CGpt");
_Static_assert(offsetof(sovits_request, capacity) == 12 * sizeof(void *), "mirrored as CRequest");

int32_t sovits_abi(void) { return SOVITS_ABI; }

void sovits_struct_sizes(int64_t sizes[4]) {
    sizes[0] = sizeof(sovits_linear);
    sizes[1] = sizeof(sovits_layer);
    sizes[2] = sizeof(sovits_gpt);
    sizes[3] = sizeof(sovits_request);
}

/* --- scratch ------------------------------------------------------------------------------------------------------ */

/* Where each buffer of a step begins in its scratch memory, in bytes; each has cache lines of its own. */
struct layout {
    int64_t x;          /* float [width], the residual */
    int64_t qkv;        /* float [3 width] */
    int64_t attention;  /* float [width] */
    int64_t projection; /* float [width], what is added to the residual */
    int64_t hidden;     /* float [4 width], of the feed-forward */
    int64_t codes;      /* uint8 [4 width] in whole groups, what an int8 linear reads */
    int64_t score;      /* float [threads][score_rows] */
    int64_t candidates; /* struct candidate [vocab] */
    int64_t total;
    int64_t score_rows;
};

static int64_t reserve(struct layout *layout, int64_t bytes) {
    int64_t begin = layout->total;
    layout->total += (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    return begin;
}

static struct layout scratch_layout(const sovits_gpt *g, int64_t capacity, int32_t threads) {
    int64_t row = g->width * (int64_t)sizeof(float);
    struct layout l = {.score_rows = (capacity + SCORE_BLOCK - 1) / SCORE_BLOCK * SCORE_BLOCK};
    l.x = reserve(&l, row);
    l.qkv = reserve(&l, 3 * row);
    l.attention = reserve(&l, row);
    l.projection = reserve(&l, row);
    l.hidden = reserve(&l, 4 * row);
    l.codes = reserve(&l, group_count(4 * g->width) * GROUP);
    l.score = reserve(&l, threads * l.score_rows * (int64_t)sizeof(float));
    l.candidates = reserve(&l, g->vocab * (int64_t)sizeof(struct candidate));
    return l;
}

_Static_assert(SCORE_BLOCK * sizeof(float) % CACHE_LINE == 0, "no two threads write scores to one cache line");

struct step {
    sovits_pool *pool;
    const sovits_gpt *gpt;
    const sovits_request *request;
    const struct kernels *kernels;
    int32_t threads;
    int64_t row;      /* of the caches, which this step writes */
    int64_t position; /* of the token */
    float *x, *qkv, *attention, *projection, *hidden, *score;
    int64_t score_rows;
    struct candidate *candidates;
    uint8_t *codes;
    float code_scale;
    int32_t code_zero;
};

static int place_buffers(struct step *s) {
    struct layout l = scratch_layout(s->gpt, s->request->capacity, s->threads);
    char *scratch = pool_scratch(s->pool, l.total);
    if (!scratch) return 0;
    s->x = (float *)(scratch + l.x);
    s->qkv = (float *)(scratch + l.qkv);
    s->attention = (float *)(scratch + l.attention);
    s->projection = (float *)(scratch + l.projection);
    s->hidden = (float *)(scratch + l.hidden);
    s->codes = (uint8_t *)(scratch + l.codes);
    s->score = (float *)(scratch + l.score);
    s->score_rows = l.score_rows;
    s->candidates = (struct candidate *)(scratch + l.candidates);
    return 1;
}

/* --- operators, each thread its part ------------------------------------------------------------------------------ */

struct range {
    int64_t begin, end;
};

static struct range partition(int64_t count, int32_t threads, int32_t thread) {
    return (struct range){count * thread / threads, count * (thread + 1) / threads};
}

/* Row partition: this thread's panels of y = W x + bias. int8 reads s->codes in place of x. */
static void linear(struct step *s, const sovits_linear *l, const float *x, float *y, int32_t thread) {
    struct range mine = partition(panel_count(l->n), s->threads, thread);
    for (int64_t panel = mine.begin; panel < mine.end; panel++) {
        float out[SOVITS_PANEL];
        int32_t total[SOVITS_PANEL];
        int64_t first = panel * SOVITS_PANEL, count = l->n - first < SOVITS_PANEL ? l->n - first : SOVITS_PANEL;
        if (l->form == SOVITS_I8) {
            int64_t groups = group_count(l->k);
            s->kernels->panel_i8((const int8_t *)l->weight + panel * groups * SOVITS_PANEL * GROUP, s->codes,
                                 (int)groups, total);
            for (int64_t j = 0; j < count; j++)
                out[j] = (float)(total[j] - s->code_zero * l->sum[first + j]) * (s->code_scale * l->scale[first + j]);
        } else if (l->form == SOVITS_F16) {
            s->kernels->panel_f16((const uint16_t *)l->weight + panel * l->k * SOVITS_PANEL, x, l->k, out);
        } else {
            s->kernels->panel_f32((const float *)l->weight + panel * l->k * SOVITS_PANEL, x, l->k, out);
        }
        for (int64_t j = 0; j < count; j++) y[first + j] = out[j] + (l->bias ? l->bias[first + j] : 0);
    }
}

/* In place, of the outputs that `linear` gave this thread: no barrier lies between them. */
static void relu(struct step *s, int32_t n, float *y, int32_t thread) {
    struct range mine = partition(panel_count(n), s->threads, thread);
    int64_t end = mine.end * SOVITS_PANEL < n ? mine.end * SOVITS_PANEL : n;
    for (int64_t i = mine.begin * SOVITS_PANEL; i < end; i++) y[i] = y[i] > 0 ? y[i] : 0;
}

/* This thread's heads: the row's keys and values into the caches, then attention over all rows so far. */
static void attend(struct step *s, int32_t layer, int32_t thread) {
    const sovits_gpt *g = s->gpt;
    int32_t size = g->width / g->heads;
    int64_t capacity = s->request->capacity;
    float *keys = s->request->cache[2 * layer], *values = s->request->cache[2 * layer + 1];
    float *score = s->score + thread * s->score_rows;
    struct range mine = partition(g->heads, s->threads, thread);
    for (int64_t head = mine.begin; head < mine.end; head++) {
        float *k = keys + head * capacity * size, *v = values + head * capacity * size;
        memcpy(k + s->row * size, s->qkv + g->width + head * size, (size_t)size * sizeof *k);
        memcpy(v + s->row * size, s->qkv + 2 * g->width + head * size, (size_t)size * sizeof *v);
        s->kernels->attend(s->qkv + head * size, k, v, (int)(s->row + 1), size, score, s->attention + head * size);
    }
}

/* Thread 0 alone, where the next linear is int8: the codes of what it reads. */
static void quantize(struct step *s, const sovits_linear *next, const float *x, int32_t thread) {
    if (next->form != SOVITS_I8) return;
    if (thread == 0) {
        s->kernels->quantize(x, next->k, s->codes, &s->code_scale, &s->code_zero);
        for (int64_t i = next->k; i < group_count(next->k) * GROUP; i++) s->codes[i] = 0;
    }
    pool_barrier(s->pool);
}

/* Thread 0 alone: x = norm(x + projection), and its codes where the next linear is int8. */
static void norm_and_quantize(struct step *s, const float *weight, const float *bias, const sovits_linear *next,
                              int32_t thread) {
    if (thread == 0) s->kernels->add_and_norm(s->x, s->projection, s->gpt->width, weight, bias, s->gpt->epsilon);
    if (next->form == SOVITS_I8)
        quantize(s, next, s->x, thread);
    else
        pool_barrier(s->pool);
}

/* --- the step ----------------------------------------------------------------------------------------------------- */

static void embed(struct step *s) {
    const sovits_gpt *g = s->gpt;
    const float *embedded = g->embedding + *s->request->token * g->width;
    for (int32_t i = 0; i < g->width / 2; i++) {
        float angle = (float)s->position * g->frequency[i];
        s->x[2 * i] = embedded[2 * i] + g->position_scale * sinf(angle);
        s->x[2 * i + 1] = embedded[2 * i + 1] + g->position_scale * cosf(angle);
    }
}

/* The thread plan, in time from top to bottom. ==== is a thread barrier; [int8] only where the linear after it is int8.
 *
 *              thread 0                            threads 1 to T - 1
 *              x = embedding + position            asleep
 *              ==================== wake (pool_run) =====================
 *      [int8]  codes of x                          wait
 *      [int8]  ==========================================================
 *  .---------> qkv: its panels of W x              qkv: their panels
 *  |           ==========================================================
 *  |           its heads: cache row, attention     their heads
 *  |           ==========================================================
 *  |   [int8]  codes of attention                  wait
 *  |   [int8]  ==========================================================
 *  |           projection: its panels              their panels
 *  |           ==========================================================
 *  |           x = norm1(x + projection)           wait
 *  |   [int8]  codes of x                          wait
 *  |           ==========================================================
 *  |           hidden: its panels, ReLU            their panels
 *  |           ==========================================================
 *  |   [int8]  codes of hidden                     wait
 *  |   [int8]  ==========================================================
 *  |           projection: its panels              their panels
 *  |           ==========================================================
 *  |           x = norm2(x + projection)           wait
 *  |   [int8]  codes of x, for the next layer      wait
 *  |           ==========================================================
 *  '-- layers
 *              logits: its panels of the head      their panels
 *              ==================== end of pool_run =====================
 *              samples the token                   asleep
 *
 * A layer has seven barriers, in int8 nine. Panels are weights [k][64] of 64 outputs; panels and heads are partitioned
 * evenly, so a thread reads the same weights and caches in every step. What thread 0 does alone is one row, too short
 * to be worth a partition. */
static void run_layers(void *context, int32_t thread) {
    struct step *s = context;
    const sovits_gpt *g = s->gpt;
    quantize(s, g->layers ? &g->layer->qkv : &g->head, s->x, thread);
    for (int32_t i = 0; i < g->layers; i++) {
        const sovits_layer *layer = g->layer + i;
        linear(s, &layer->qkv, s->x, s->qkv, thread);
        pool_barrier(s->pool);
        attend(s, i, thread);
        pool_barrier(s->pool);
        quantize(s, &layer->out, s->attention, thread);
        linear(s, &layer->out, s->attention, s->projection, thread);
        pool_barrier(s->pool);
        norm_and_quantize(s, layer->norm1_weight, layer->norm1_bias, &layer->up, thread);
        linear(s, &layer->up, s->x, s->hidden, thread);
        relu(s, layer->up.n, s->hidden, thread);
        pool_barrier(s->pool);
        quantize(s, &layer->down, s->hidden, thread);
        linear(s, &layer->down, s->hidden, s->projection, thread);
        pool_barrier(s->pool);
        norm_and_quantize(s, layer->norm2_weight, layer->norm2_bias, i + 1 < g->layers ? &layer[1].qkv : &g->head,
                          thread);
    }
    linear(s, &g->head, s->x, s->request->logits, thread);
}

static int within(int64_t count, int64_t most) { return count >= 0 && count <= most; }

/* Each count is looked at before they are added: their sum may be no int64. */
static int fits(const sovits_gpt *g, const sovits_request *r) {
    if (!within(*r->token, g->vocab - 1) || !within(r->capacity, INT32_MAX)) return 0;
    if (!within(*r->text_len, r->capacity) || !within(*r->prompt_len, r->capacity)) return 0;
    if (!within(*r->step, r->capacity) || *r->prompt_len + *r->step < 1) return 0;
    return *r->text_len + *r->prompt_len + *r->step <= r->capacity;
}

int32_t sovits_step(sovits_pool *pool, const sovits_gpt *g, const sovits_request *r) {
    if (!fits(g, r)) return -2;
    int64_t position = *r->prompt_len + *r->step - 1, row = *r->text_len + position;
    pool_lock(pool);
    struct step step = {.pool = pool,
                        .gpt = g,
                        .request = r,
                        .kernels = kernels_in_use(),
                        .threads = pool_threads(pool),
                        .row = row,
                        .position = position};
    int placed = place_buffers(&step);
    if (placed) {
        embed(&step);
        pool_run(pool, run_layers, &step);
        sample_token(g, r, step.candidates);
    }
    pool_unlock(pool);
    return placed ? 0 : -1;
}
