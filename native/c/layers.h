/* The layers of the GPT over rows of a request or of several: what the step and the prefill share. */
#ifndef SOVITS_LAYERS_H
#define SOVITS_LAYERS_H

#include "gpt_step.h"
#include "kernels.h"
#include "pool.h"
#include "sample.h"

/* What differs from row to row. */
struct row {
    const sovits_request *request;
    int64_t position;  /* of the token */
    int64_t cache_row; /* which this step writes */
    float code_scale;
    int32_t code_zero;
};

/* One run of the layers; the buffers lie in the pool's scratch memory. */
struct step {
    sovits_pool *pool;
    const sovits_gpt *gpt;
    const struct kernels *kernels;
    int32_t threads, rows;
    struct row *row;              /* [rows] */
    float *x;                     /* [rows][width], the residuals */
    float *qkv;                   /* [rows][3 width] */
    float *attention;             /* [rows][width] */
    float *projection;            /* [rows][width], what is added to the residuals */
    float *hidden;                /* [rows][4 width], of the feed-forward */
    float *logits;                /* [logit rows][vocab] */
    float *score;                 /* [threads][score_floats] */
    uint8_t *codes;               /* [rows][code_stride], what an int8 linear reads */
    struct candidate *candidates; /* [threads][vocab] */
    int64_t score_floats, code_stride;
};

/* Finds room for the buffers; 0 without memory. The pool is locked. `score_floats`: what attention needs a thread, a
 * multiple of SCORE_BLOCK; `logit_rows`: of how many rows the head gives logits. */
int place_buffers(struct step *s, int64_t score_floats, int32_t logit_rows);

struct range {
    int64_t begin, end;
};

/* A thread's part of a count, and of the rows. Where there are fewer rows than threads, the first threads have one
 * each: thread 0 has the only row. */
struct range partition(int64_t count, int32_t threads, int32_t thread);
struct range rows_of(const struct step *s, int32_t thread);

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* This thread's panels of y = W x + bias, each for all rows while it lies in the cache. int8 reads codes, not x. */
void linear(struct step *s, const sovits_linear *l, const float *x, float *y, int32_t thread);

/* Where the caches of one head begin; `which`: twice the layer for keys, one more for values. */
void *cached(const struct step *s, const sovits_request *request, int64_t which, int64_t head);

/* Keeps the keys or values of one head, from the address that `cached` gave, as a row of its cache. */
void keep(const struct step *s, void *cache, int64_t row, const float *x);

/* Attention of one layer, this thread's heads: writes keys and values of all rows to the caches, fills `attention`. */
typedef void attend_part(struct step *s, int32_t layer, int32_t thread);

/* Runs all layers on x, in place; afterwards every thread may read all of it, and the codes that the head needs. */
void run_layers(struct step *s, attend_part *attend, int32_t thread);

#endif
