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
    int64_t x;          /* float [rows][width], the residuals */
    int64_t qkv;        /* float [rows][3 width] */
    int64_t attention;  /* float [rows][width] */
    int64_t projection; /* float [rows][width], what is added to the residuals */
    int64_t hidden;     /* float [rows][4 width], of the feed-forward */
    int64_t codes;      /* uint8 [rows][code_stride], what an int8 linear reads */
    int64_t logits;     /* float [rows][vocab] */
    int64_t score;      /* float [threads][score_rows] */
    int64_t candidates; /* struct candidate [threads][vocab] */
    int64_t row;        /* struct row [rows] */
    int64_t total;
    int64_t score_rows;
};

/* What differs from row to row. */
struct row {
    const sovits_request *request;
    int64_t position;  /* of the token */
    int64_t cache_row; /* which this step writes */
    float code_scale;
    int32_t code_zero;
};

static int64_t reserve(struct layout *layout, int64_t bytes) {
    int64_t begin = layout->total;
    layout->total += (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    return begin;
}

/* Bytes from row to row of the codes. */
static int64_t code_stride(const sovits_gpt *g) {
    return (group_count(4 * g->width) * GROUP + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

static struct layout scratch_layout(const sovits_gpt *g, int32_t rows, int64_t capacity, int32_t threads) {
    int64_t row = rows * (int64_t)g->width * (int64_t)sizeof(float);
    struct layout l = {.score_rows = (capacity + SCORE_BLOCK - 1) / SCORE_BLOCK * SCORE_BLOCK};
    l.x = reserve(&l, row);
    l.qkv = reserve(&l, 3 * row);
    l.attention = reserve(&l, row);
    l.projection = reserve(&l, row);
    l.hidden = reserve(&l, 4 * row);
    l.codes = reserve(&l, rows * code_stride(g));
    l.logits = reserve(&l, rows * (int64_t)g->vocab * (int64_t)sizeof(float));
    l.score = reserve(&l, threads * l.score_rows * (int64_t)sizeof(float));
    l.candidates = reserve(&l, threads * (int64_t)g->vocab * (int64_t)sizeof(struct candidate));
    l.row = reserve(&l, rows * (int64_t)sizeof(struct row));
    return l;
}

_Static_assert(SCORE_BLOCK * sizeof(float) % CACHE_LINE == 0, "no two threads write scores to one cache line");

struct step {
    sovits_pool *pool;
    const sovits_gpt *gpt;
    const struct kernels *kernels;
    int32_t threads, rows;
    struct row *row;
    float *x, *qkv, *attention, *projection, *hidden, *logits, *score;
    int64_t score_rows, code_stride;
    struct candidate *candidates;
    uint8_t *codes;
};

static int place_buffers(struct step *s, int64_t capacity) {
    struct layout l = scratch_layout(s->gpt, s->rows, capacity, s->threads);
    char *scratch = pool_scratch(s->pool, l.total);
    if (!scratch) return 0;
    s->x = (float *)(scratch + l.x);
    s->qkv = (float *)(scratch + l.qkv);
    s->attention = (float *)(scratch + l.attention);
    s->projection = (float *)(scratch + l.projection);
    s->hidden = (float *)(scratch + l.hidden);
    s->codes = (uint8_t *)(scratch + l.codes);
    s->logits = (float *)(scratch + l.logits);
    s->score = (float *)(scratch + l.score);
    s->score_rows = l.score_rows;
    s->code_stride = code_stride(s->gpt);
    s->candidates = (struct candidate *)(scratch + l.candidates);
    s->row = (struct row *)(scratch + l.row);
    return 1;
}

/* --- operators, each thread its part ------------------------------------------------------------------------------ */

struct range {
    int64_t begin, end;
};

static struct range partition(int64_t count, int32_t threads, int32_t thread) {
    return (struct range){count * thread / threads, count * (thread + 1) / threads};
}

/* Where there are fewer rows than threads, the first threads have one each: thread 0 has the only row. */
static struct range rows_of(const struct step *s, int32_t thread) {
    int64_t last = s->threads - 1;
    return (struct range){((int64_t)s->rows * thread + last) / s->threads,
                          ((int64_t)s->rows * (thread + 1) + last) / s->threads};
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* y [rows][n] of one panel and up to TILE_ROWS rows from `first_row` on. int8 reads codes in place of x. */
static void panel_of_rows(struct step *s, const sovits_linear *l, const float *x, float *y, int64_t panel,
                          int64_t first_row, int32_t rows) {
    float out[TILE_ROWS * SOVITS_PANEL];
    int64_t first = panel * SOVITS_PANEL, count = least(l->n - first, SOVITS_PANEL);
    const float *in = x + first_row * l->k;
    if (l->form == SOVITS_I8) {
        int32_t total[TILE_ROWS * SOVITS_PANEL];
        int64_t groups = group_count(l->k);
        s->kernels->panel_i8((const int8_t *)l->weight + panel * groups * SOVITS_PANEL * GROUP,
                             s->codes + first_row * s->code_stride, s->code_stride, (int)groups, rows, total);
        for (int32_t i = 0; i < rows; i++) {
            const struct row *row = s->row + first_row + i;
            for (int64_t j = 0; j < count; j++)
                out[i * SOVITS_PANEL + j] = (float)(total[i * SOVITS_PANEL + j] - row->code_zero * l->sum[first + j]) *
                                            (row->code_scale * l->scale[first + j]);
        }
    } else if (l->form == SOVITS_F16) {
        s->kernels->panel_f16((const uint16_t *)l->weight + panel * l->k * SOVITS_PANEL, in, l->k, l->k, rows, out);
    } else {
        s->kernels->panel_f32((const float *)l->weight + panel * l->k * SOVITS_PANEL, in, l->k, l->k, rows, out);
    }
    for (int32_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < count; j++)
            y[(first_row + i) * l->n + first + j] =
                out[i * SOVITS_PANEL + j] + (l->bias ? l->bias[first + j] : 0);
}

/* This thread's panels of y = W x + bias, each for all rows while it lies in the cache. */
static void linear(struct step *s, const sovits_linear *l, const float *x, float *y, int32_t thread) {
    struct range mine = partition(panel_count(l->n), s->threads, thread);
    for (int64_t panel = mine.begin; panel < mine.end; panel++)
        for (int64_t row = 0; row < s->rows; row += TILE_ROWS)
            panel_of_rows(s, l, x, y, panel, row, (int32_t)least(s->rows - row, TILE_ROWS));
}

/* In place, of the outputs that `linear` gave this thread: no barrier lies between them. */
static void relu(struct step *s, int32_t n, float *y, int32_t thread) {
    struct range mine = partition(panel_count(n), s->threads, thread);
    int64_t end = least(mine.end * SOVITS_PANEL, n);
    for (int64_t row = 0; row < s->rows; row++)
        for (int64_t i = row * n + mine.begin * SOVITS_PANEL; i < row * n + end; i++) y[i] = y[i] > 0 ? y[i] : 0;
}

/* This thread's heads of every row: its keys and values into its caches, then attention over all before it. */
static void attend(struct step *s, int32_t layer, int32_t thread) {
    const sovits_gpt *g = s->gpt;
    int32_t size = g->width / g->heads;
    float *score = s->score + thread * s->score_rows;
    struct range mine = partition(g->heads, s->threads, thread);
    for (int64_t i = 0; i < s->rows; i++) {
        const struct row *row = s->row + i;
        const sovits_request *r = row->request;
        float *qkv = s->qkv + 3 * i * g->width, *attention = s->attention + i * g->width;
        float *keys = r->cache[2 * layer], *values = r->cache[2 * layer + 1];
        for (int64_t head = mine.begin; head < mine.end; head++) {
            float *k = keys + head * r->capacity * size, *v = values + head * r->capacity * size;
            memcpy(k + row->cache_row * size, qkv + g->width + head * size, (size_t)size * sizeof *k);
            memcpy(v + row->cache_row * size, qkv + 2 * g->width + head * size, (size_t)size * sizeof *v);
            s->kernels->attend(qkv + head * size, k, v, (int)(row->cache_row + 1), size, score,
                               attention + head * size, head + 1 < mine.end ? k + r->capacity * size : NULL);
        }
    }
}

static void quantize_row(struct step *s, const sovits_linear *next, const float *x, int64_t row) {
    uint8_t *codes = s->codes + row * s->code_stride;
    s->kernels->quantize(x + row * next->k, next->k, codes, &s->row[row].code_scale, &s->row[row].code_zero);
    for (int64_t i = next->k; i < group_count(next->k) * GROUP; i++) codes[i] = 0;
}

/* Where the next linear is int8: the codes of what it reads, this thread's rows. */
static void quantize(struct step *s, const sovits_linear *next, const float *x, int32_t thread) {
    if (next->form != SOVITS_I8) return;
    struct range mine = rows_of(s, thread);
    for (int64_t row = mine.begin; row < mine.end; row++) quantize_row(s, next, x, row);
    pool_barrier(s->pool);
}

/* This thread's rows: x = norm(x + projection), and their codes where the next linear is int8. */
static void norm_and_quantize(struct step *s, const float *weight, const float *bias, const sovits_linear *next,
                              int32_t thread) {
    int32_t width = s->gpt->width;
    struct range mine = rows_of(s, thread);
    for (int64_t row = mine.begin; row < mine.end; row++) {
        s->kernels->add_and_norm(s->x + row * width, s->projection + row * width, width, weight, bias,
                                 s->gpt->epsilon);
        if (next->form == SOVITS_I8) quantize_row(s, next, s->x, row);
    }
    pool_barrier(s->pool);
}

/* --- the step ----------------------------------------------------------------------------------------------------- */

static void embed(struct step *s, int32_t thread) {
    const sovits_gpt *g = s->gpt;
    struct range mine = rows_of(s, thread);
    for (int64_t row = mine.begin; row < mine.end; row++) {
        const float *embedded = g->embedding + *s->row[row].request->token * g->width;
        float *x = s->x + row * g->width;
        for (int32_t i = 0; i < g->width / 2; i++) {
            float angle = (float)s->row[row].position * g->frequency[i];
            x[2 * i] = embedded[2 * i] + g->position_scale * sinf(angle);
            x[2 * i + 1] = embedded[2 * i + 1] + g->position_scale * cosf(angle);
        }
    }
}

static void sample(struct step *s, int32_t thread) {
    const sovits_gpt *g = s->gpt;
    struct range mine = rows_of(s, thread);
    for (int64_t row = mine.begin; row < mine.end; row++) {
        const sovits_request *r = s->row[row].request;
        memcpy(r->logits, s->logits + row * g->vocab, (size_t)g->vocab * sizeof *r->logits);
        sample_token(g, r, s->candidates + thread * (int64_t)g->vocab);
    }
}

/* The thread plan, in time from top to bottom. ==== is a thread barrier; [int8] only where the linear after it is int8.
 *
 *              thread 0                            threads 1 to T - 1
 *              ==================== wake (pool_run) =====================
 *              its rows: embedding + position      their rows
 *              ==========================================================
 *      [int8]  its rows: codes of x                their rows
 *      [int8]  ==========================================================
 *  .---------> qkv: its panels of W x              qkv: their panels
 *  |           ==========================================================
 *  |           its heads: cache row, attention     their heads
 *  |           ==========================================================
 *  |   [int8]  its rows: codes of attention        their rows
 *  |   [int8]  ==========================================================
 *  |           projection: its panels              their panels
 *  |           ==========================================================
 *  |           its rows: x = norm1(x + projection) their rows
 *  |   [int8]  its rows: codes of x                their rows
 *  |           ==========================================================
 *  |           hidden: its panels, ReLU            their panels
 *  |           ==========================================================
 *  |   [int8]  its rows: codes of hidden           their rows
 *  |   [int8]  ==========================================================
 *  |           projection: its panels              their panels
 *  |           ==========================================================
 *  |           its rows: x = norm2(x + projection) their rows
 *  |   [int8]  its rows: codes of x                their rows
 *  |           ==========================================================
 *  '-- layers
 *              logits: its panels of the head      their panels
 *              ==========================================================
 *              its rows: samples the token         their rows
 *              ==================== end of pool_run =====================
 *
 * A layer has seven barriers, in int8 nine. Panels are weights [k][64] of 64 outputs, each applied to all rows at once.
 * Panels and heads are partitioned evenly, so a thread reads the same weights and the same part of every row's caches
 * in every step. Rows are partitioned where work is a row's own; of a single row, thread 0 does that alone. */
static void run_layers(void *context, int32_t thread) {
    struct step *s = context;
    const sovits_gpt *g = s->gpt;
    embed(s, thread);
    pool_barrier(s->pool);
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
    linear(s, &g->head, s->x, s->logits, thread);
    pool_barrier(s->pool);
    sample(s, thread);
}

static int within(int64_t count, int64_t most) { return count >= 0 && count <= most; }

/* Each count is looked at before they are added: their sum may be no int64. */
static int fits(const sovits_gpt *g, const sovits_request *r) {
    if (!within(*r->token, g->vocab - 1) || !within(r->capacity, INT32_MAX)) return 0;
    if (!within(*r->text_len, r->capacity) || !within(*r->prompt_len, r->capacity)) return 0;
    if (!within(*r->step, r->capacity) || *r->prompt_len + *r->step < 1) return 0;
    return *r->text_len + *r->prompt_len + *r->step <= r->capacity;
}

int32_t sovits_step(sovits_pool *pool, const sovits_gpt *g, const sovits_request *const *requests, int32_t rows) {
    int64_t capacity = 0;
    if (rows < 1 || rows > SOVITS_MOST_ROWS) return -2;
    for (int32_t i = 0; i < rows; i++) {
        if (!fits(g, requests[i])) return -2;
        if (requests[i]->capacity > capacity) capacity = requests[i]->capacity;
    }
    pool_lock(pool);
    struct step step = {
        .pool = pool, .gpt = g, .kernels = kernels_in_use(), .threads = pool_threads(pool), .rows = rows};
    int placed = place_buffers(&step, capacity);
    if (placed) {
        for (int32_t i = 0; i < rows; i++) {
            const sovits_request *r = requests[i];
            int64_t position = *r->prompt_len + *r->step - 1;
            step.row[i] = (struct row){.request = r, .position = position, .cache_row = *r->text_len + position};
        }
        pool_run(pool, run_layers, &step);
    }
    pool_unlock(pool);
    return placed ? 0 : -1;
}
