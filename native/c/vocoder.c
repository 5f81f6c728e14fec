/* The generator: the sentence in chunks of frames, a chunk stage by stage, a stage in tiles whose numbers stay in the
 * cache from one convolution to the next. All threads share a tile, and meet after each convolution. */
#include "vocoder.h"

#include <math.h>
#include <string.h>

#include "bfloat.h"
#include "convolve.h"
#include "pool.h"

enum { MOST_STAGES = 16, POST_ROWS = 256 };
enum { TILE_NUMBERS = 160 << 10 };   /* of a tile's rows: what two convolutions read and write is in the cache */
enum { CHUNK_BYTES = 8 << 20 };      /* of a stage's output */
enum { SPARE_ROWS = 96 };            /* behind a buffer: kernels read whole blocks */
static const int64_t MOST_SAMPLES = (int64_t)1 << 40;

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

static struct span clip(struct span s, int64_t length) {
    s.begin = s.begin < 0 ? 0 : s.begin > length ? length : s.begin;
    s.end = s.end > length ? length : s.end < s.begin ? s.begin : s.end;
    return s;
}

static struct span widened(struct span s, int64_t by) { return (struct span){s.begin - by, s.end + by}; }

static const sovits_conv *convs_of(const sovits_vocoder *v, int32_t stage) {
    return v->convs + (int64_t)stage * v->blocks * v->pairs * 2;
}

static int64_t reach_of_block(const sovits_vocoder *v, const sovits_conv *conv) {
    int64_t reach = 0;
    for (int32_t i = 0; i < 2 * v->pairs; i++) reach += reach_of(conv + i);
    return reach;
}

/* The most over what reads a stage's rows. */
static int64_t reach_of_stage(const sovits_vocoder *v, int32_t stage) {
    int64_t most = 0;
    for (int32_t i = 0; i < v->blocks; i++) {
        int64_t reach = reach_of_block(v, convs_of(v, stage) + (int64_t)i * v->pairs * 2);
        most = reach > most ? reach : most;
    }
    return most;
}

static int64_t slack_of_stage(const sovits_vocoder *v, int32_t stage) {
    int64_t most = 0;
    for (int32_t i = 0; i < v->blocks * v->pairs * 2; i++) {
        int64_t slack = slack_of(convs_of(v, stage) + i);
        most = slack > most ? slack : most;
    }
    return most;
}

static const sovits_conv *reader_of(const sovits_vocoder *v, int32_t level) {
    return level < v->stages ? v->up + level : &v->post;
}

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

/* Which rows of each level a chunk needs; the last span is that of the samples. */
static void spans_of(const struct call *c, int64_t begin, int64_t end, struct span *spans) {
    const sovits_vocoder *v = c->v;
    int64_t hop = c->length[v->stages] / c->frames;
    spans[v->stages + 1] = (struct span){begin * hop, end * hop};
    for (int32_t level = v->stages; level >= 0; level--) {
        struct span read = spans[level + 1];
        if (level < v->stages) read = widened(read, reach_of_stage(v, level));
        spans[level] = input_span(reader_of(v, level), clip(read, c->length[level + (level < v->stages)]));
    }
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

static int keeps_length(const sovits_conv *c, int32_t inputs, int32_t outputs) {
    return conv_fits(c) && !c->rate && c->weight && c->inputs == inputs && c->outputs == outputs;
}

static int fits(const sovits_vocoder *v, int64_t frames, const float *style) {
    if (v->stages < 1 || v->stages > MOST_STAGES || v->blocks < 1 || v->blocks > 64 || v->pairs < 1 || v->pairs > 64)
        return 0;
    if (frames < 0 || !(v->slope >= 0 && v->slope <= 1) || !(v->last_slope >= 0 && v->last_slope <= 1)) return 0;
    int32_t width = v->pre.outputs;
    int64_t length = frames;
    if (!keeps_length(&v->pre, v->pre.inputs, width)) return 0;
    if (v->condition.weight && (!style || !keeps_length(&v->condition, v->condition.inputs, width))) return 0;
    for (int32_t i = 0; i < v->stages; i++) {
        const sovits_conv *up = v->up + i, *conv = convs_of(v, i);
        if (!conv_fits(up) || !up->rate || !up->weight || up->inputs != width) return 0;
        if (length > MOST_SAMPLES / up->rate) return 0;
        length *= up->rate;
        width = up->outputs;
        for (int32_t j = 0; j < v->blocks * v->pairs * 2; j++)
            if (!keeps_length(conv + j, width, width) || conv[j].form != conv->form) return 0;
    }
    return keeps_length(&v->post, width, 1);
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* Frames of a chunk: as many as leave each level's rows within CHUNK_BYTES, chunks of about equal size. */
static int64_t chunk_of(const struct call *c) {
    int64_t most = 1;
    for (int32_t i = 0; i <= c->v->stages; i++) {
        const sovits_conv *reader = reader_of(c->v, i);
        int64_t row = lanes_of(reader->inputs) * (reader->form == SOVITS_BF16 ? 2 : 4);
        most = larger(most, c->length[i] / c->frames * row);
    }
    int64_t frames = larger(1, CHUNK_BYTES / most), chunks = (c->frames + frames - 1) / frames;
    return (c->frames + chunks - 1) / chunks;
}

/* Numbers of the buffers, but `thread`: bytes. */
struct sizes {
    int64_t input, level, tile, condition, bias, thread;
};

static int64_t rows_in(struct span s) { return s.end - s.begin; }

static void size_levels(const struct call *c, struct sizes *s) {
    const sovits_vocoder *v = c->v;
    struct span spans[MOST_STAGES + 2];
    for (int64_t begin = 0; begin < c->frames; begin += c->chunk) {
        spans_of(c, begin, begin + c->chunk < c->frames ? begin + c->chunk : c->frames, spans);
        int64_t rows = rows_in(input_span(&v->pre, spans[0])) + slack_of(&v->pre) + SPARE_ROWS;
        s->input = larger(s->input, rows * lanes_of(v->pre.inputs));
        for (int32_t i = 0; i <= v->stages; i++) {
            const sovits_conv *reader = reader_of(v, i);
            int64_t bytes = (rows_in(spans[i]) + slack_of(reader) + SPARE_ROWS) * lanes_of(reader->inputs);
            s->level = larger(s->level, reader->form == SOVITS_BF16 ? bytes / 2 : bytes);
        }
    }
}

static struct sizes sizes_of(struct call *c) {
    const sovits_vocoder *v = c->v;
    struct sizes s = {.bias = lanes_of(v->pre.outputs), .tile = lanes_of(v->pre.outputs)};
    s.thread = larger(convolve_bytes(&v->pre), convolve_bytes(&v->post));
    if (v->condition.weight) {
        s.condition = (2 * reach_of(&v->condition) + slack_of(&v->condition) + SPARE_ROWS) * lanes_of(v->condition.inputs);
        s.thread = larger(s.thread, convolve_bytes(&v->condition));
    }
    for (int32_t i = 0; i < v->stages; i++) {
        int64_t lanes = lanes_of(v->up[i].outputs), reach = reach_of_stage(v, i);
        c->tile[i] = rounded_up(larger(TILE_NUMBERS / lanes, 4 * reach), PAIRED);
        int64_t longest = c->length[i + 1] < c->tile[i] ? c->length[i + 1] : c->tile[i];
        s.tile = larger(s.tile, (longest + PAIRED + 2 * reach + slack_of_stage(v, i) + SPARE_ROWS) * lanes);
        s.thread = larger(s.thread, convolve_bytes(v->up + i));
        for (int32_t j = 0; j < v->blocks * v->pairs * 2; j++)
            s.thread = larger(s.thread, convolve_bytes(convs_of(v, i) + j));
    }
    size_levels(c, &s);
    s.thread = rounded_up(s.thread, CACHE_LINE);
    return s;
}

static void *take(char **memory, int64_t numbers) {
    char *start = *memory;
    *memory += rounded_up(numbers * (int64_t)sizeof(float), CACHE_LINE);
    return start;
}

static int place_buffers(struct call *c) {
    const sovits_vocoder *v = c->v;
    struct sizes s = sizes_of(c);
    struct rows *tile[] = {&c->x, &c->x_active, &c->mid, &c->raw, &c->active, &c->total};
    int64_t numbers = s.input + 2 * s.level + 6 * s.tile + s.condition + s.bias;
    char *memory = pool_scratch(c->pool, numbers * (int64_t)sizeof(float) + 11 * CACHE_LINE + pool_threads(c->pool) * s.thread);
    if (!memory) return 0;
    c->input = (struct rows){take(&memory, s.input), 0, v->pre.form, lanes_of(v->pre.inputs)};
    for (int i = 0; i < 2; i++) c->level[i].data = take(&memory, s.level);
    for (int i = 0; i < 6; i++) tile[i]->data = take(&memory, s.tile);
    c->condition = (struct rows){take(&memory, s.condition), -reach_of(&v->condition), v->condition.form,
                                 lanes_of(v->condition.inputs)};
    c->bias = take(&memory, s.bias);
    c->memory = memory;
    c->thread_bytes = s.thread;
    return 1;
}

int32_t sovits_vocode(sovits_pool *pool, const sovits_vocoder *v, int64_t frames, const float *z, const float *style,
                      float *wave) {
    if (!fits(v, frames, style)) return -2;
    if (!frames) return 0;
    struct call call = {.pool = pool, .v = v, .kernels = kernels_in_use(), .z = z, .style = style, .wave = wave};
    call.frames = call.length[0] = frames;
    for (int32_t i = 0; i < v->stages; i++) call.length[i + 1] = call.length[i] * v->up[i].rate;
    call.chunk = chunk_of(&call);
    pool_lock(pool);
    int placed = place_buffers(&call);
    if (placed) pool_run(pool, run, &call);
    pool_unlock(pool);
    return placed ? 0 : -1;
}
