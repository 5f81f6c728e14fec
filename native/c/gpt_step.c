/* The step: one row of every request. */
#include "gpt_step.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "layers.h"
#include "vocoder.h"

/* The ctypes mirrors in backends/native_structures.py have these fields, without padding. */
_Static_assert(sizeof(sovits_linear) == 4 * sizeof(int32_t) + 4 * sizeof(void *), "mirrored as CLinear");
_Static_assert(sizeof(sovits_layer) == 4 * sizeof(sovits_linear) + 4 * sizeof(void *), "mirrored as CLayer");
_Static_assert(sizeof(sovits_gpt) ==
                   6 * sizeof(int32_t) + sizeof(sovits_linear) + 3 * sizeof(void *) + 2 * sizeof(float),
               "mirrored as CGpt");
_Static_assert(sizeof(sovits_request) == 16 * sizeof(void *) + sizeof(int64_t), "mirrored as CRequest");
_Static_assert(sizeof(sovits_conv) == 6 * sizeof(int32_t) + 2 * sizeof(void *), "mirrored as CConv");
_Static_assert(sizeof(sovits_vocoder) ==
                   4 * sizeof(int32_t) + 2 * sizeof(float) + 3 * sizeof(sovits_conv) + 2 * sizeof(void *),
               "mirrored as CVocoder");
_Static_assert(offsetof(sovits_layer, norm1_weight) == 4 * sizeof(sovits_linear), "mirrored as CLayer");
_Static_assert(offsetof(sovits_gpt, head) == 6 * sizeof(int32_t) + sizeof(void *), "mirrored as CGpt");
_Static_assert(offsetof(sovits_request, capacity) == 12 * sizeof(void *), "mirrored as CRequest");

int32_t sovits_abi(void) { return SOVITS_ABI; }

void sovits_struct_sizes(int64_t sizes[7]) {
    sizes[0] = sizeof(sovits_linear);
    sizes[1] = sizeof(sovits_layer);
    sizes[2] = sizeof(sovits_gpt);
    sizes[3] = sizeof(sovits_request);
    sizes[4] = sizeof(sovits_prompt);
    sizes[5] = sizeof(sovits_conv);
    sizes[6] = sizeof(sovits_vocoder);
}

/* Some heads of a row: their keys and values into its caches, then attention over all before it. `next`: the first of
 * the heads that follow, or a negative number. */
static void attend_heads(struct step *s, int32_t layer, int64_t number, int64_t head, int heads, int64_t next,
                         float *score) {
    const sovits_gpt *g = s->gpt;
    const struct row *row = s->row + number;
    int size = g->width / g->heads, count = (int)(row->cache_row + 1);
    int64_t stride = row->request->capacity * size;
    const float *q = s->qkv + 3 * number * g->width + head * size;
    float *y = s->attention + number * g->width + head * size;
    for (int64_t i = 0; i < heads; i++) {
        const float *k = q + g->width + i * size;
        keep(s, cached(s, row->request, 2 * layer, head + i), row->cache_row, k);
        keep(s, cached(s, row->request, 2 * layer + 1, head + i), row->cache_row, k + g->width);
    }
    const void *keys = cached(s, row->request, 2 * layer, head), *values = cached(s, row->request, 2 * layer + 1, head);
    const void *after = next < 0 ? NULL : cached(s, row->request, 2 * layer, next);
    if (g->cache_form == SOVITS_F16)
        s->kernels->attend_f16(q, keys, values, stride, heads, count, size, score, y, after);
    else
        s->kernels->attend(q, keys, values, stride, heads, count, size, score, y, after);
}

/* This thread's heads of every row. */
static void attend(struct step *s, int32_t layer, int32_t thread) {
    struct range mine = partition(s->gpt->heads, s->threads, thread);
    for (int64_t row = 0; row < s->rows; row++)
        for (int64_t head = mine.begin; head < mine.end; head += HEADS_TOGETHER) {
            int64_t next = head + HEADS_TOGETHER;
            attend_heads(s, layer, row, head, (int)least(mine.end - head, HEADS_TOGETHER),
                         next < mine.end ? next : -1, s->score + thread * s->score_floats);
        }
}

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

static void run_step(void *context, int32_t thread) {
    struct step *s = context;
    const sovits_gpt *g = s->gpt;
    embed(s, thread);
    pool_barrier(s->pool);
    run_layers(s, attend, thread);
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
    int placed = place_buffers(&step, ATTENTION_FLOATS(capacity, g->width / g->heads), rows);
    if (placed) {
        for (int32_t i = 0; i < rows; i++) {
            const sovits_request *r = requests[i];
            int64_t position = *r->prompt_len + *r->step - 1;
            step.row[i] = (struct row){.request = r, .position = position, .cache_row = *r->text_len + position};
        }
        pool_run(pool, run_step, &step);
    }
    pool_unlock(pool);
    return placed ? 0 : -1;
}
