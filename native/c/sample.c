#include "sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MASKED (-1e30f)
enum { SMALL_TOP_K = 64 }; /* up to which the likeliest are kept in order while the logits are read */

/* Descending; of equal ones the earlier token first. */
static int compare(const void *a, const void *b) {
    const struct candidate *x = a, *y = b;
    if (x->value != y->value) return x->value > y->value ? -1 : 1;
    return x->token - y->token;
}

/* The largest k values so far, descending. */
struct top {
    int32_t k, count;
    float value[SMALL_TOP_K];
};

static inline void insert(struct top *top, float x) {
    if (top->count == top->k && x <= top->value[top->k - 1]) return;
    int32_t at = top->count < top->k ? top->count++ : top->k - 1;
    for (; at > 0 && top->value[at - 1] < x; at--) top->value[at] = top->value[at - 1];
    top->value[at] = x;
}

void sample_token(const sovits_gpt *g, const sovits_request *r, struct candidate *c) {
    int32_t count = 0, k = (int32_t)(*r->top_k < 1 ? 1 : *r->top_k > g->vocab ? g->vocab : *r->top_k);
    float largest = -INFINITY, threshold = -INFINITY, penalty = *r->repetition_penalty;
    int32_t argmax = 0;
    struct top top = {.k = k};
    for (int32_t i = 0; i < g->vocab; i++) {
        float x = r->logits[i];
        if (r->seen[i]) x = x < 0 ? x * penalty : x / penalty;
        if (i == g->eos && *r->step < *r->min_tokens) x = MASKED;
        if (x > largest) largest = x, argmax = i;
        c[i] = (struct candidate){x, i};
        if (k <= SMALL_TOP_K) insert(&top, x);
    }
    double all = 0;
    if (*r->top_p < 1)
        for (int32_t i = 0; i < g->vocab; i++) all += exp((double)c[i].value - largest);
    /* Only those that can be among the k likeliest are put in order. */
    if (k <= SMALL_TOP_K) threshold = top.value[k - 1];
    for (int32_t i = 0; i < g->vocab; i++)
        if (c[i].value >= threshold) c[count++] = c[i];
    qsort(c, (size_t)count, sizeof *c, compare);
    if (k > count) k = count ? count : 1; /* logits that are no numbers are left out */

    float cumulative = 0, temperature = *r->temperature < 1e-5f ? 1e-5f : *r->temperature;
    for (int32_t i = 0; i < count; i++) {
        if (*r->top_p < 1) {
            cumulative += (float)(exp((double)c[i].value - largest) / all);
            if (i && cumulative > *r->top_p) c[i].value = MASKED;
        }
        c[i].value /= temperature;
    }
    float pivot = c[k - 1].value, maximum = c[0].value, best_ratio = -1;
    double sum = 0;
    for (int32_t i = 0; i < count; i++) sum += c[i].value >= pivot ? exp((double)c[i].value - maximum) : 0;
    int32_t token = c[0].token;
    for (int32_t i = 0; i < count; i++) { /* the exponential race: argmax of probability / noise */
        if (c[i].value < pivot) continue;
        float ratio = (float)(exp((double)c[i].value - maximum) / sum) / r->noise[c[i].token];
        if (ratio > best_ratio) best_ratio = ratio, token = c[i].token;
    }
    *r->next_token = token;
    *r->stop = token == g->eos || argmax == g->eos;
    if (r->next_seen != r->seen) memcpy(r->next_seen, r->seen, (size_t)g->vocab);
    r->next_seen[token] = 1;
}
