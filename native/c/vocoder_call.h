/* What the parts of a call of the vocoder share: the call, and which rows each convolution needs. */
#ifndef SOVITS_VOCODER_CALL_H
#define SOVITS_VOCODER_CALL_H

#include "convolve.h"
#include "pool.h"

enum { MOST_STAGES = 16 };

/* A call. Level 0 is what `pre` gives, level i the output of stage i - 1, activated for what reads it. */
struct call {
    sovits_pool *pool;
    const sovits_vocoder *v;
    const struct kernels *kernels;
    const float *z, *style;
    float *wave;
    int64_t frames, chunk;
    int64_t length[MOST_STAGES + 1], tile[MOST_STAGES]; /* rows */
    struct rows input, level[2], x, x_active, mid, raw, active, total, condition;
    float *bias; /* of `pre` and the style */
    char *memory;
    int64_t thread_bytes;
};

static inline struct span clip(struct span s, int64_t length) {
    s.begin = s.begin < 0 ? 0 : s.begin > length ? length : s.begin;
    s.end = s.end > length ? length : s.end < s.begin ? s.begin : s.end;
    return s;
}

static inline struct span widened(struct span s, int64_t by) { return (struct span){s.begin - by, s.end + by}; }

static inline const sovits_conv *convs_of(const sovits_vocoder *v, int32_t stage) {
    return v->convs + (int64_t)stage * v->blocks * v->pairs * 2;
}

/* Rows before and behind a block's output that it is computed of. */
int64_t reach_of_block(const sovits_vocoder *vocoder, const sovits_conv *first);

/* The most of a stage's blocks. */
int64_t reach_of_stage(const sovits_vocoder *vocoder, int32_t stage);

/* Rows behind a stage's last one that have to be numbers. */
int64_t slack_of_stage(const sovits_vocoder *vocoder, int32_t stage);

/* What reads the rows of a level. */
static inline const sovits_conv *reader_of(const sovits_vocoder *v, int32_t level) {
    return level < v->stages ? v->up + level : &v->post;
}

/* Which rows of each level a chunk needs; the last span is that of the samples. */
void spans_of(const struct call *call, int64_t begin, int64_t end, struct span *spans);

/* Whether sizes fit each other and this. */
int vocoder_fits(const sovits_vocoder *vocoder, int64_t frames, const float *style);

/* Sets lengths, chunks, tiles and buffers of a call whose pool is locked; 0 without memory. */
int place_call(struct call *call);

#endif
