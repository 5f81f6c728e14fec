#include "layers.h"

#include <stddef.h>
#include <string.h>

#include "pack.h"

/* Where each buffer of a step begins in its scratch memory, in bytes; each has cache lines of its own. */
struct layout {
    int64_t x;          /* float [rows][width], the residuals */
    int64_t qkv;        /* float [rows][3 width] */
    int64_t attention;  /* float [rows][width] */
    int64_t projection; /* float [rows][width], what is added to the residuals */
    int64_t hidden;     /* float [rows][4 width], of the feed-forward */
    int64_t codes;      /* uint8 [rows][code_stride], what an int8 linear reads */
    int64_t logits;     /* float [logit rows][vocab] */
    int64_t score;      /* float [threads][score_floats] */
    int64_t candidates; /* struct candidate [threads][vocab] */
    int64_t row;        /* struct row [rows] */
    int64_t total;
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

static struct layout scratch_layout(const struct step *s, int64_t score_floats, int32_t logit_rows) {
    const sovits_gpt *g = s->gpt;
    int64_t row = s->rows * (int64_t)g->width * (int64_t)sizeof(float), vocab = g->vocab;
    struct layout l = {0};
    l.x = reserve(&l, row);
    l.qkv = reserve(&l, 3 * row);
    l.attention = reserve(&l, row);
    l.projection = reserve(&l, row);
    l.hidden = reserve(&l, 4 * row);
    l.codes = reserve(&l, s->rows * code_stride(g));
    l.logits = reserve(&l, logit_rows * vocab * (int64_t)sizeof(float));
    l.score = reserve(&l, s->threads * score_floats * (int64_t)sizeof(float));
    l.candidates = reserve(&l, s->threads * vocab * (int64_t)sizeof(struct candidate));
    l.row = reserve(&l, s->rows * (int64_t)sizeof(struct row));
    return l;
}

_Static_assert(SCORE_BLOCK * sizeof(float) % CACHE_LINE == 0, "no two threads write scores to one cache line");

int place_buffers(struct step *s, int64_t score_floats, int32_t logit_rows) {
    struct layout l = scratch_layout(s, score_floats, logit_rows);
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
    s->score_floats = score_floats;
    s->code_stride = code_stride(s->gpt);
    s->candidates = (struct candidate *)(scratch + l.candidates);
    s->row = (struct row *)(scratch + l.row);
    return 1;
}

struct range partition(int64_t count, int32_t threads, int32_t thread) {
    return (struct range){count * thread / threads, count * (thread + 1) / threads};
}

struct range rows_of(const struct step *s, int32_t thread) {
    int64_t last = s->threads - 1;
    return (struct range){((int64_t)s->rows * thread + last) / s->threads,
                          ((int64_t)s->rows * (thread + 1) + last) / s->threads};
}

/* y [rows][n] of one panel and up to TILE_ROWS rows from `first_row` on, whose codes are read. */
static void int8_panel_of_rows(struct step *s, const sovits_linear *l, float *y, int64_t panel, int64_t first_row,
                               int32_t rows) {
    int32_t total[TILE_ROWS * SOVITS_PANEL];
    int64_t first = panel * SOVITS_PANEL, groups = group_count(l->k);
    s->kernels->panel_i8((const int8_t *)l->weight + panel * groups * SOVITS_PANEL * GROUP,
                         s->codes + first_row * s->code_stride, s->code_stride, (int)groups, rows, total);
    for (int32_t i = 0; i < rows; i++) {
        const struct row *row = s->row + first_row + i;
        s->kernels->numbers_of_sums(total + i * SOVITS_PANEL, (int)least(l->n - first, SOVITS_PANEL), row->code_scale,
                                    row->code_zero, l->sum + first, l->scale + first, l->bias ? l->bias + first : NULL,
                                    y + (first_row + i) * l->n + first);
    }
}

/* The same of float weights, which read x. */
static void panel_of_rows(struct step *s, const sovits_linear *l, const float *x, float *y, int64_t panel,
                          int64_t first_row, int32_t rows) {
    float out[TILE_ROWS * SOVITS_PANEL];
    int64_t first = panel * SOVITS_PANEL, count = least(l->n - first, SOVITS_PANEL);
    const float *in = x + first_row * l->k;
    if (l->form == SOVITS_F16)
        s->kernels->panel_f16((const uint16_t *)l->weight + panel * l->k * SOVITS_PANEL, in, l->k, l->k, rows, out);
    else
        s->kernels->panel_f32((const float *)l->weight + panel * l->k * SOVITS_PANEL, in, l->k, l->k, rows, out);
    for (int32_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < count; j++)
            y[(first_row + i) * l->n + first + j] =
                out[i * SOVITS_PANEL + j] + (l->bias ? l->bias[first + j] : 0);
}

void linear(struct step *s, const sovits_linear *l, const float *x, float *y, int32_t thread) {
    struct range mine = partition(panel_count(l->n), s->threads, thread);
    for (int64_t panel = mine.begin; panel < mine.end; panel++)
        for (int64_t row = 0; row < s->rows; row += TILE_ROWS) {
            int32_t rows = (int32_t)least(s->rows - row, TILE_ROWS);
            if (l->form == SOVITS_I8)
                int8_panel_of_rows(s, l, y, panel, row, rows);
            else
                panel_of_rows(s, l, x, y, panel, row, rows);
        }
}

/* In place, of the outputs that `linear` gave this thread: no barrier lies between them. */
static void relu(struct step *s, int32_t n, float *y, int32_t thread) {
    struct range mine = partition(panel_count(n), s->threads, thread);
    int64_t end = least(mine.end * SOVITS_PANEL, n);
    for (int64_t row = 0; row < s->rows; row++)
        for (int64_t i = row * n + mine.begin * SOVITS_PANEL; i < row * n + end; i++) y[i] = y[i] > 0 ? y[i] : 0;
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

void *cached(const struct step *s, const sovits_request *request, int64_t which, int64_t head) {
    int64_t number = head * request->capacity * (s->gpt->width / s->gpt->heads);
    return (char *)request->cache[which] + number * (s->gpt->cache_form == SOVITS_F16 ? 2 : 4);
}

void keep(const struct step *s, void *cache, int64_t row, const float *x) {
    int32_t size = s->gpt->width / s->gpt->heads;
    if (s->gpt->cache_form == SOVITS_F16)
        s->kernels->nearest_f16(x, size, (uint16_t *)cache + row * size);
    else
        memcpy((float *)cache + row * size, x, (size_t)size * sizeof *x);
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
void run_layers(struct step *s, attend_part *attend, int32_t thread) {
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
}
