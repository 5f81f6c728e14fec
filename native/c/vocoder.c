/* The generator: the sentence in chunks of frames, a chunk stage by stage, a stage in tiles whose numbers stay in the
 * cache from one convolution to the next. All threads share a tile, and meet after each convolution. */
#include "vocoder.h"

#include <math.h>
#include <string.h>

#include "bfloat.h"
#include "vocoder_call.h"

enum { POST_ROWS = 256 };

static void zero(const struct rows *r, int64_t begin, int64_t end) {
    if (begin < end) memset(row_at(r, begin), 0, (size_t)((char *)row_at(r, end) - (char *)row_at(r, begin)));
}

/* A convolution by all threads. Around what is written, the rows that are read of `output->active` become zeros. */
static void together(const struct call *c, const sovits_conv *conv, const struct rows *input, struct span wanted,
                     int64_t length, const struct output *output, int64_t slack, int32_t thread) {
    struct span real = clip(wanted, length);
    int32_t threads = pool_threads(c->pool);
    convolve(c->kernels, conv, input, real, output, thread, threads, c->memory + thread * c->thread_bytes);
    if (output->active.data && thread == threads - 1) {
        zero(&output->active, wanted.begin, real.begin);
        zero(&output->active, real.end, wanted.end + slack);
    }
    pool_barrier(c->pool);
}

/* The last convolution of a block: what its output is added to, and where it goes. */
static void end_block(const struct call *c, int32_t stage, int32_t block, struct output *o) {
    const sovits_vocoder *v = c->v;
    o->raw = c->total;
    o->active.data = NULL;
    if (block) o->total = c->total;
    if (block < v->blocks - 1) return;
    o->raw.data = NULL;
    o->active = c->level[(stage + 1) % 2];
    o->scale = 1 / (float)v->blocks;
    o->slope = stage + 1 < v->stages ? v->slope : v->last_slope;
}

static void run_block(struct call *c, int32_t stage, int32_t block, struct span tile, int32_t thread) {
    const sovits_vocoder *v = c->v;
    const sovits_conv *conv = convs_of(v, stage) + (int64_t)block * v->pairs * 2;
    int64_t length = c->length[stage + 1], reach = reach_of_block(v, conv), slack = slack_of_stage(v, stage);
    struct rows raw = c->x, active = c->x_active;
    for (int32_t pair = 0; pair < v->pairs; pair++, conv += 2) {
        struct output o = {.active = c->mid, .scale = 1, .slope = v->slope};
        reach -= reach_of(conv);
        together(c, conv, &active, widened(tile, reach), length, &o, slack, thread);
        o = (struct output){.residual = raw, .raw = c->raw, .active = c->active, .scale = 1, .slope = v->slope};
        reach -= reach_of(conv + 1);
        if (pair == v->pairs - 1) {
            end_block(c, stage, block, &o);
            slack = 0;
        }
        together(c, conv + 1, &c->mid, widened(tile, reach), length, &o, slack, thread);
        raw = c->raw;
        active = c->active;
    }
}

/* The buffers of a stage begin where its tile does. */
static void place_tile(struct call *c, int32_t stage, int64_t first) {
    struct rows *all[] = {&c->x, &c->x_active, &c->mid, &c->raw, &c->active, &c->total};
    int32_t form = convs_of(c->v, stage)->form;
    for (int i = 0; i < 6; i++) {
        all[i]->first = first;
        all[i]->lanes = lanes_of(c->v->up[stage].outputs);
        all[i]->form = SOVITS_F32;
    }
    c->x_active.form = c->mid.form = c->active.form = form;
}

static void run_stage(struct call *c, int32_t stage, struct span outputs, int32_t thread) {
    const sovits_vocoder *v = c->v;
    int64_t reach = reach_of_stage(v, stage), rows = outputs.end - outputs.begin;
    int64_t tiles = (rows + c->tile[stage] - 1) / c->tile[stage];
    int64_t step = tiles ? rounded_up((rows + tiles - 1) / tiles, PAIRED) : 1;
    for (int64_t begin = outputs.begin; begin < outputs.end; begin += step) {
        struct span tile = {begin, begin + step < outputs.end ? begin + step : outputs.end};
        place_tile(c, stage, begin - reach);
        struct output o = {.raw = c->x, .active = c->x_active, .scale = 1, .slope = v->slope};
        together(c, v->up + stage, &c->level[stage % 2], widened(tile, reach), c->length[stage + 1], &o,
                 slack_of_stage(v, stage), thread);
        for (int32_t block = 0; block < v->blocks; block++) run_block(c, stage, block, tile, thread);
    }
}

static void write_number(const struct rows *r, int64_t row, int64_t channel, float value) {
    if (r->form == SOVITS_BF16)
        ((uint16_t *)row_at(r, row))[channel] = bf16_nearest(value);
    else
        ((float *)row_at(r, row))[channel] = value;
}

static void run_pre(struct call *c, struct span wanted, int32_t thread) {
    const sovits_vocoder *v = c->v;
    struct span read = input_span(&v->pre, wanted), real = clip(read, c->frames);
    if (thread == 0) {
        zero(&c->input, read.begin, read.end + slack_of(&v->pre));
        for (int64_t i = 0; i < v->pre.inputs; i++)
            for (int64_t t = real.begin; t < real.end; t++) write_number(&c->input, t, i, c->z[i * c->frames + t]);
    }
    pool_barrier(c->pool);
    struct output o = {.active = c->level[0], .scale = 1, .slope = v->slope, .bias = c->bias};
    together(c, &v->pre, &c->input, wanted, c->frames, &o, slack_of(v->up), thread);
}

/* The samples of a span of the last level; this thread's blocks of them. */
static void run_post(struct call *c, struct span outputs, int32_t thread) {
    const sovits_vocoder *v = c->v;
    int32_t threads = pool_threads(c->pool);
    int64_t blocks = (outputs.end - outputs.begin + POST_ROWS - 1) / POST_ROWS;
    float sums[POST_ROWS][VECTOR];
    for (int64_t i = blocks * thread / threads; i < blocks * (thread + 1) / threads; i++) {
        struct span block = {outputs.begin + i * POST_ROWS, outputs.begin + (i + 1) * POST_ROWS};
        block.end = block.end < outputs.end ? block.end : outputs.end;
        struct output o = {.raw = {sums, block.begin, SOVITS_F32, VECTOR}, .scale = 1, .slope = 1};
        convolve(c->kernels, &v->post, &c->level[v->stages % 2], block, &o, 0, 1, c->memory + thread * c->thread_bytes);
        for (int64_t t = block.begin; t < block.end; t++) c->wave[t] = tanhf(sums[t - block.begin][0]);
    }
    pool_barrier(c->pool);
}

/* Adds the style's part to the bias of `pre`: it is the same in every frame. */
static void condition(struct call *c) {
    const sovits_vocoder *v = c->v;
    for (int32_t i = 0; i < v->pre.outputs; i++) c->bias[i] = v->pre.bias ? v->pre.bias[i] : 0;
    if (!v->condition.weight) return;
    int64_t reach = reach_of(&v->condition);
    struct rows result = c->total;
    result.first = 0;
    result.lanes = lanes_of(v->condition.outputs);
    zero(&c->condition, -reach, 1 + reach + slack_of(&v->condition));
    for (int32_t i = 0; i < v->condition.inputs; i++) write_number(&c->condition, 0, i, c->style[i]);
    struct output o = {.raw = result, .scale = 1, .slope = 1};
    convolve(c->kernels, &v->condition, &c->condition, (struct span){0, 1}, &o, 0, 1, c->memory);
    for (int32_t i = 0; i < v->pre.outputs; i++) c->bias[i] += ((float *)result.data)[i];
}

static void place_levels(struct call *c, int32_t level, struct span span) {
    struct rows *r = &c->level[level % 2];
    const sovits_conv *reader = reader_of(c->v, level);
    r->first = span.begin;
    r->form = reader->form;
    r->lanes = lanes_of(reader->inputs);
}

/* What each thread runs. Every one has a copy of the call, whose buffers it places for itself. */
static void run(void *context, int32_t thread) {
    struct call c = *(const struct call *)context;
    const sovits_vocoder *v = c.v;
    struct span spans[MOST_STAGES + 2];
    if (thread == 0) condition(&c);
    for (int64_t begin = 0; begin < c.frames; begin += c.chunk) {
        spans_of(&c, begin, begin + c.chunk < c.frames ? begin + c.chunk : c.frames, spans);
        c.input.first = input_span(&v->pre, spans[0]).begin;
        place_levels(&c, 0, spans[0]);
        run_pre(&c, spans[0], thread);
        for (int32_t stage = 0; stage < v->stages; stage++) {
            struct span real = clip(spans[stage + 1], c.length[stage + 1]);
            place_levels(&c, stage + 1, spans[stage + 1]);
            if (thread == 0) {
                zero(&c.level[(stage + 1) % 2], spans[stage + 1].begin, real.begin);
                zero(&c.level[(stage + 1) % 2], real.end, spans[stage + 1].end + slack_of(reader_of(v, stage + 1)));
            }
            run_stage(&c, stage, real, thread);
        }
        run_post(&c, spans[v->stages + 1], thread);
    }
}

int32_t sovits_vocode(sovits_pool *pool, const sovits_vocoder *v, int64_t frames, const float *z, const float *style,
                      float *wave) {
    if (!vocoder_fits(v, frames, style)) return -2;
    if (!frames) return 0;
    struct call call = {.pool = pool, .v = v, .kernels = kernels_in_use()};
    call.z = z;
    call.style = style;
    call.wave = wave;
    call.frames = frames;
    pool_lock(pool);
    int placed = place_call(&call);
    if (placed) pool_run(pool, run, &call);
    pool_unlock(pool);
    return placed ? 0 : -1;
}
