/* 1-D convolutions over rows: a row is a position, its numbers are channels, padded to whole vectors with zeros.
 *
 * A convolution is a product of matrices, since the rows that an output's row sums over lie at a fixed distance: of
 * dilation 1 they follow each other, so that all taps are one long row. A transposed one is `rate` such products. */
#ifndef SOVITS_CONVOLVE_H
#define SOVITS_CONVOLVE_H

#include "kernels.h"
#include "vocoder.h"

enum { VECTOR = 16 };   /* outputs of a panel of weights; channels are padded to a multiple */
enum { GROUP_COLUMNS = 4 * VECTOR }; /* outputs that are computed at a time */
enum { BLOCK_ROWS = 96 }; /* rows likewise */
enum { PAIRED = 32 };   /* bfloat16: inputs of a segment are padded to a multiple */

static inline int64_t rounded_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }
static inline int64_t floor_ratio(int64_t n, int64_t by) { return n >= 0 ? n / by : -((by - 1 - n) / by); }
static inline int64_t ceil_ratio(int64_t n, int64_t by) { return -floor_ratio(-n, by); }
static inline int32_t lanes_of(int32_t channels) { return (int32_t)rounded_up(channels, VECTOR); }

/* Positions from begin to end, the latter not among them. */
struct span {
    int64_t begin, end;
};

/* Rows of float32, bfloat16 or int8: CODES_HEAD bytes, of which the first four are the row's scale, then codes. `first`
 * is the position of the first. */
struct rows {
    void *data;
    int64_t first;
    int32_t form, lanes;
};

static inline int64_t row_bytes(int32_t form, int64_t lanes) {
    return form == SOVITS_I8 ? lanes + CODES_HEAD : lanes * (form == SOVITS_BF16 ? 2 : 4);
}

static inline void *row_at(const struct rows *r, int64_t position) {
    return (char *)r->data + (position - r->first) * row_bytes(r->form, r->lanes);
}

/* Where a convolution's outputs go; `raw` of each and what is added are float32. Rows of int8 are written whole, once all
 * their numbers are there. */
struct output {
    struct rows raw, residual, total, active; /* data NULL: none */
    float scale, slope;
    const float *bias; /* in place of the convolution's; NULL: that one */
};

int conv_fits(const sovits_conv *conv);

/* Rows before and behind an output's own that it is computed of. */
static inline int64_t reach_of(const sovits_conv *c) { return (int64_t)(c->kernel / 2) * c->dilation; }

/* Rows behind the last one of an input that have to be numbers, whatever their value. */
static inline int64_t slack_of(const sovits_conv *c) { return 8 * (int64_t)c->dilation + 2; }

/* The input's rows for a span of outputs. */
struct span input_span(const sovits_conv *conv, struct span outputs);

/* Bytes of memory that each thread needs for it. */
int64_t convolve_bytes(const sovits_conv *conv);

/* This thread's part of a span of outputs. */
void convolve(const struct kernels *kernels, const sovits_conv *conv, const struct rows *input, struct span outputs,
              const struct output *output, int32_t thread, int32_t threads, void *memory);

#endif
