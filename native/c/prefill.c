/* The prefill: all rows of one request at once, text and prompt. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "gpt_step.h"
#include "layers.h"

_Static_assert(sizeof(sovits_prompt) == sizeof(int64_t) + 3 * sizeof(void *), "mirrored as CPrompt");

/* What the heads of one layer need, for one thread, in its part of the scratch memory. */
struct attention {
    int64_t size;   /* of a head */
    int64_t keys;   /* rows of the request, rounded up to whole panels */
    float *score;   /* [TILE_ROWS][keys] */
    float *keys_t;  /* [keys / 64][size][64] */
    float *values;  /* [ceil(size / 64)][keys][64] */
};

static int64_t whole_panels(int64_t count) { return (count + SOVITS_PANEL - 1) / SOVITS_PANEL * SOVITS_PANEL; }

static int64_t attention_floats(int64_t rows, int64_t size) {
    return whole_panels(rows) * (TILE_ROWS + size + whole_panels(size));
}

static struct attention attention_of(const struct step *s, int32_t thread) {
    struct attention a = {.size = s->gpt->width / s->gpt->heads, .keys = whole_panels(s->rows)};
    a.score = s->score + thread * s->score_floats;
    a.keys_t = a.score + TILE_ROWS * a.keys;
    a.values = a.keys_t + a.keys * a.size;
    return a;
}

/* Keys and values of one head: into the caches, and into panels, whose padding is 0. */
static void pack_head(struct step *s, struct attention *a, int32_t layer, int64_t head) {
    const sovits_request *r = s->row->request;
    int64_t size = a->size, width = s->gpt->width;
    void *keys = cached(s, r, 2 * layer, head), *values = cached(s, r, 2 * layer + 1, head);
    memset(a->keys_t, 0, (size_t)(a->keys * (size + whole_panels(size))) * sizeof(float));
    for (int64_t row = 0; row < s->rows; row++) {
        const float *k = s->qkv + 3 * row * width + width + head * size, *v = k + width;
        float *to = a->keys_t + row / SOVITS_PANEL * size * SOVITS_PANEL + row % SOVITS_PANEL;
        keep(s, keys, row, k);
        keep(s, values, row, v);
        for (int64_t i = 0; i < size; i++) {
            to[i * SOVITS_PANEL] = k[i];
            a->values[(i / SOVITS_PANEL * a->keys + row) * SOVITS_PANEL + i % SOVITS_PANEL] = v[i];
        }
    }
}

/* How many rows a row attends to: text to all text, the prompt to the text and to what came before. */
static int64_t attended(const struct step *s, int64_t row) {
    int64_t text = *s->row->request->text_len;
    return row < text ? text : row + 1;
}

/* Attention of up to TILE_ROWS rows from `first` on. */
static void attend_tile(struct step *s, struct attention *a, int64_t head, int64_t first, int32_t rows) {
    float out[TILE_ROWS * SOVITS_PANEL], sum[TILE_ROWS];
    int64_t width = s->gpt->width, size = a->size, most = attended(s, first + rows - 1);
    const float *q = s->qkv + 3 * first * width + head * size;
    for (int64_t key = 0; key < most; key += SOVITS_PANEL) {
        s->kernels->panel_f32(a->keys_t + key * size, q, 3 * width, (int)size, rows, out);
        for (int32_t i = 0; i < rows; i++)
            memcpy(a->score + i * a->keys + key, out + i * SOVITS_PANEL, SOVITS_PANEL * sizeof *out);
    }
    for (int32_t i = 0; i < rows; i++) {
        int64_t count = attended(s, first + i);
        float *score = a->score + i * a->keys;
        sum[i] = s->kernels->scaled_exp(score, (int)count, 1 / sqrtf((float)size));
        for (int64_t key = count; key < most; key++) score[key] = 0;
    }
    for (int64_t part = 0; part < size; part += SOVITS_PANEL) {
        s->kernels->panel_f32(a->values + part * a->keys, a->score, a->keys, (int)most, rows, out);
        for (int32_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < least(size - part, SOVITS_PANEL); j++)
                s->attention[(first + i) * width + head * size + part + j] = out[i * SOVITS_PANEL + j] / sum[i];
    }
}

static void attend_to_all(struct step *s, int32_t layer, int32_t thread) {
    struct attention a = attention_of(s, thread);
    struct range mine = partition(s->gpt->heads, s->threads, thread);
    for (int64_t head = mine.begin; head < mine.end; head++) {
        pack_head(s, &a, layer, head);
        for (int64_t row = 0; row < s->rows; row += TILE_ROWS)
            attend_tile(s, &a, head, row, (int32_t)least(s->rows - row, TILE_ROWS));
    }
}

struct prefill {
    struct step step;
    const sovits_prompt *prompt;
};

/* x = what is embedded, and of the text also the projection of BERT's features. */
static void embed(struct prefill *p, int32_t thread) {
    struct step text = p->step;
    const sovits_prompt *prompt = p->prompt;
    int64_t width = text.gpt->width, text_len = *text.row->request->text_len;
    text.rows = (int32_t)text_len;
    if (text_len) linear(&text, prompt->bert_projection, prompt->bert, text.projection, thread);
    pool_barrier(text.pool);
    struct range mine = rows_of(&p->step, thread);
    for (int64_t i = mine.begin * width; i < mine.end * width; i++)
        text.x[i] = prompt->embedded[i] + (i < text_len * width ? text.projection[i] : 0);
    pool_barrier(text.pool);
}

static void run_prefill(void *context, int32_t thread) {
    struct prefill *p = context;
    embed(p, thread);
    run_layers(&p->step, attend_to_all, thread);
    struct step last = p->step; /* only what follows the last row is sampled */
    int64_t row = last.rows - 1;
    const sovits_request *r = last.row->request;
    last.rows = 1;
    last.row += row;
    last.codes += row * last.code_stride;
    linear(&last, &last.gpt->head, last.x + row * last.gpt->width, last.logits, thread);
    pool_barrier(last.pool);
    if (thread) return;
    memcpy(r->logits, last.logits, (size_t)last.gpt->vocab * sizeof *r->logits);
    sample_token(last.gpt, r, last.candidates);
}

static int fits(const sovits_request *r, const sovits_prompt *prompt) {
    if (r->capacity < 0 || r->capacity > INT32_MAX || prompt->rows < 1 || prompt->rows > r->capacity) return 0;
    return *r->text_len >= 0 && *r->text_len <= prompt->rows;
}

int32_t sovits_prefill(sovits_pool *pool, const sovits_gpt *g, const sovits_request *request,
                       const sovits_prompt *prompt) {
    if (!fits(request, prompt)) return -2;
    pool_lock(pool);
    struct prefill prefill = {.prompt = prompt};
    struct step *s = &prefill.step;
    *s = (struct step){.pool = pool,
                       .gpt = g,
                       .kernels = kernels_in_use(),
                       .threads = pool_threads(pool),
                       .rows = (int32_t)prompt->rows};
    int placed = place_buffers(s, attention_floats(s->rows, g->width / g->heads), 1);
    if (placed) {
        for (int32_t i = 0; i < s->rows; i++) s->row[i] = (struct row){.request = request};
        pool_run(pool, run_prefill, &prefill);
    }
    pool_unlock(pool);
    return placed ? 0 : -1;
}
