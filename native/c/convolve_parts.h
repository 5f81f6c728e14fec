/* What packing and running a convolution agree on: which products it is made of, and how their weights lie. */
#ifndef SOVITS_CONVOLVE_PARTS_H
#define SOVITS_CONVOLVE_PARTS_H

#include "convolve.h"

enum { STEP = 4, POINTS = 7 }; /* fast: outputs of a tile, and products for them and as many taps */

/* Whether a convolution runs by the fast algorithm. */
int is_fast(const sovits_conv *c);

static inline int64_t panels_of(const sovits_conv *c) { return lanes_of(c->outputs) / VECTOR; }

static inline int32_t phases_of(const sovits_conv *c) { return c->rate ? c->rate : 1; }

/* One product: taps first, first + step, ... of the weights, `count` of them, in the order of the rows that they meet,
 * the first of which lies `offset` rows from the output's. */
struct taps {
    int32_t first, step, count;
    int64_t offset;
    int32_t segments, k; /* of what products read */
};

/* Of a transposed one, `phase` counts the outputs of an input's row. */
struct taps taps_of(const sovits_conv *c, int32_t phase);

static inline int64_t number_bytes(int32_t form) { return form == SOVITS_F32 ? 4 : form == SOVITS_BF16 ? 2 : 1; }

/* Numbers of a product's packed weights in one panel; int8: bytes, with scales and what sums begin with. */
static inline int64_t panel_numbers(const sovits_conv *c, const struct taps *t) {
    if (c->form == SOVITS_I8) return t->segments * CODES_SEGMENT((int64_t)t->k) + CODES_VECTOR;
    return (int64_t)t->segments * t->k * VECTOR;
}

/* Bytes of a product's packed weights. */
static inline int64_t product_bytes(const sovits_conv *c, const struct taps *t) {
    return panel_numbers(c, t) * panels_of(c) * number_bytes(c->form);
}

#endif
