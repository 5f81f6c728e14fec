/* Steps of the C kernels on weights, inputs and counts that no honest voice has; built with sanitizers by
 * test_native_sanitized.py. Prints how many steps and prefills ran. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpt_step.h"

enum { WIDTH = 72, HEADS = 2, LAYERS = 2, VOCAB = 71, CAPACITY = 24, VALUES = 12, COUNTS = 10, ROWS = 5, FEATURES = 24 };

static const float hostile[VALUES] = {0,    -0.0f, 1e-45f, 1e-12f,   65504,    65520,
                                      3e38f, -3e38f, 1e19f,  INFINITY, -INFINITY, NAN};
static const int64_t counts[COUNTS] = {
    0, 1, 5, CAPACITY, -1, INT32_MAX, (int64_t)INT32_MAX + 1, INT64_MAX, INT64_MAX - 1, INT64_MIN};

static uint32_t state = 1;

static float uniform(void) { return (float)((state = state * 1664525u + 1013904223u) >> 8) / (1 << 24) - 0.5f; }

/* One in `rare` numbers is the given one. */
static void fill(float *x, int64_t n, float value, int rare) {
    for (int64_t i = 0; i < n; i++) x[i] = rare && (uniform() + 0.5f) * (float)rare < 1 ? value : uniform();
}

static sovits_linear matrix(int32_t form, int32_t n, int32_t k, float value, int rare) {
    float *weight = malloc(sizeof *weight * (size_t)(n * k)), *scale = calloc((size_t)n, sizeof *scale);
    float *bias = calloc((size_t)n, sizeof *bias);
    int32_t *sum = calloc((size_t)n, sizeof *sum);
    fill(weight, n * k, value, rare);
    void *packed = calloc(1, (size_t)sovits_packed_bytes(form, n, k));
    if (!sovits_pack(form, n, k, weight, packed, scale, sum)) {
        free(packed);
        form = SOVITS_F32;
        packed = calloc(1, (size_t)sovits_packed_bytes(form, n, k));
        sovits_pack(form, n, k, weight, packed, scale, sum);
    }
    free(weight);
    return (sovits_linear){.form = form, .n = n, .k = k, .weight = packed, .bias = bias, .scale = scale, .sum = sum};
}

static void release(const sovits_linear *l) {
    free((void *)l->weight), free((void *)l->bias), free((void *)l->scale), free((void *)l->sum);
}

int main(void) {
    static float cache[2 * LAYERS][CAPACITY * WIDTH], norm[WIDTH], embedding[VOCAB * WIDTH], frequency[WIDTH / 2];
    static float noise[VOCAB], logits[VOCAB], row_cache[ROWS][2 * LAYERS][CAPACITY * WIDTH], row_logits[ROWS][VOCAB];
    static uint8_t seen[VOCAB], next_seen[VOCAB], row_seen[ROWS][VOCAB];
    static float embedded[CAPACITY * WIDTH], bert[CAPACITY * FEATURES];
    void *caches[2 * LAYERS], *row_caches[ROWS][2 * LAYERS];
    for (int i = 0; i < 2 * LAYERS; i++) caches[i] = cache[i];
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < 2 * LAYERS; i++) row_caches[r][i] = row_cache[r][i];
    sovits_pool *pool = sovits_pool_new(1);
    long done = 0, refused = 0, prefills = 0;
    for (int form = SOVITS_F32; form <= SOVITS_I8; form++)
        for (int which = 0; which < VALUES; which++) {
            float value = hostile[which];
            sovits_layer layer[LAYERS];
            for (int i = 0; i < LAYERS; i++)
                layer[i] = (sovits_layer){
                    .qkv = matrix(form, 3 * WIDTH, WIDTH, value, i ? 0 : 50),
                    .out = matrix(form, WIDTH, WIDTH, value, i ? 50 : 0),
                    .up = matrix(form, 4 * WIDTH, WIDTH, value, 0),
                    .down = matrix(form, WIDTH, 4 * WIDTH, value, 0),
                    .norm1_weight = norm, .norm1_bias = norm, .norm2_weight = norm, .norm2_bias = norm};
            fill(norm, WIDTH, value, 0), fill(embedding, VOCAB * WIDTH, value, which % 2 ? 9 : 0);
            fill(frequency, WIDTH / 2, value, which % 3 ? 0 : 9);
            sovits_gpt gpt = {.width = WIDTH, .heads = HEADS, .layers = LAYERS, .vocab = VOCAB, .eos = VOCAB - 1, .cache_form = which % 2 ? SOVITS_F16 : SOVITS_F32,
                              .layer = layer, .head = matrix(form, VOCAB, WIDTH, value, 99), .embedding = embedding,
                              .frequency = frequency, .position_scale = which % 4 ? 1 : value, .epsilon = 1e-5f};
            sovits_linear projection = matrix(form == SOVITS_I8 ? SOVITS_F16 : form, WIDTH, FEATURES, value, 20);
            fill(embedded, CAPACITY * WIDTH, value, which % 2 ? 9 : 0), fill(bert, CAPACITY * FEATURES, value, 9);
            for (int i = 0; i < COUNTS * COUNTS * COUNTS; i++) {
                int64_t text = counts[i % COUNTS], prompt = counts[i / COUNTS % COUNTS];
                int64_t step = counts[i / COUNTS / COUNTS], token = i % 7 ? i % VOCAB : counts[i % COUNTS];
                float top_p = i % 3 ? 1 : value, temperature = i % 5 ? 1 : value, penalty = i % 4 ? 1.35f : value;
                if (text >= 0 && text < CAPACITY)
                    for (int j = 0; j < 2 * LAYERS; j++) fill(cache[j], CAPACITY * WIDTH, value, i % 2 ? 3 : 0);
                for (int j = 0; j < VOCAB; j++) noise[j] = i % 11 ? 1 : value;
                sovits_request request = {.token = &token, .text_len = &text, .prompt_len = &prompt, .step = &step,
                                          .top_k = counts + i % COUNTS, .min_tokens = counts + (i + 3) % COUNTS,
                                          .seen = seen, .noise = noise, .top_p = &top_p, .temperature = &temperature,
                                          .repetition_penalty = &penalty, .cache = caches, .capacity = CAPACITY,
                                          .next_token = &token, .stop = next_seen, .next_seen = next_seen,
                                          .logits = logits};
                uint8_t stop;
                int64_t next;
                request.stop = &stop, request.next_token = &next;
                sovits_request row[ROWS];
                const sovits_request *rows[ROWS], *one = &request;
                int64_t row_next[ROWS];
                uint8_t row_stop[ROWS];
                for (int r = 0; r < ROWS; r++) {
                    memcpy(row_cache[r], cache, sizeof cache);
                    row[r] = request, rows[r] = row + r;
                    row[r].cache = row_caches[r], row[r].logits = row_logits[r], row[r].next_seen = row_seen[r];
                    row[r].next_token = row_next + r, row[r].stop = row_stop + r;
                }
                int32_t code = sovits_step(pool, &gpt, &one, 1);
                if (code == 0 && (next < 0 || next >= VOCAB)) return fprintf(stderr, "token %ld\n", (long)next), 1;
                code ? refused++ : done++;
                if (i < COUNTS * COUNTS) {
                    sovits_prompt before = {.rows = prompt, .embedded = embedded, .bert = bert, .bert_projection = &projection};
                    int32_t got = sovits_prefill(pool, &gpt, &request, &before);
                    int fits = prompt >= 1 && prompt <= CAPACITY && text >= 0 && text <= prompt;
                    if (got != (fits ? 0 : -2)) return fprintf(stderr, "prefill of %ld rows: %d\n", (long)prompt, got), 1;
                    if (fits && (next < 0 || next >= VOCAB)) return fprintf(stderr, "prefill: token %ld\n", (long)next), 1;
                    prefills += fits;
                }
                if (i % 8) continue;
                if (sovits_step(pool, &gpt, rows, ROWS) != code) return fprintf(stderr, "rows differ in code\n"), 1;
                for (int r = 0; r < ROWS && code == 0; r++)
                    if (memcmp(row_logits[r], logits, sizeof logits) || memcmp(row_cache[r], cache, sizeof cache) ||
                        row_next[r] != next || row_stop[r] != stop)
                        return fprintf(stderr, "row %d differs from the row alone\n", r), 1;
            }
            for (int i = 0; i < LAYERS; i++)
                release(&layer[i].qkv), release(&layer[i].out), release(&layer[i].up), release(&layer[i].down);
            release(&gpt.head), release(&projection);
        }
    const sovits_request *none = NULL;
    sovits_gpt empty = {0};
    if (sovits_step(pool, &empty, &none, 0) != -2 || sovits_step(pool, &empty, &none, SOVITS_MOST_ROWS + 1) != -2)
        return fprintf(stderr, "a number of rows out of range was taken\n"), 1;
    sovits_pool_free(pool);
    printf("%s: %ld steps, %ld refused, %ld prefills\n", sovits_kernels(), done, refused, prefills);
    return 0;
}
