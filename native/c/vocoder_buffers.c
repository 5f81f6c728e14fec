/* What is known before the first number is computed: whether sizes fit, and where everything lies. */
#include "vocoder_call.h"

enum { TILE_NUMBERS = 160 << 10 }; /* of a tile's rows: what two convolutions read and write is in the cache */
enum { CHUNK_BYTES = 8 << 20 };    /* of a stage's output */
enum { SPARE_ROWS = 96 };          /* behind a buffer: kernels read whole blocks */
static const int64_t MOST_SAMPLES = (int64_t)1 << 40;

int64_t reach_of_block(const sovits_vocoder *v, const sovits_conv *conv) {
    int64_t reach = 0;
    for (int32_t i = 0; i < 2 * v->pairs; i++) reach += reach_of(conv + i);
    return reach;
}

int64_t reach_of_stage(const sovits_vocoder *v, int32_t stage) {
    int64_t most = 0;
    for (int32_t i = 0; i < v->blocks; i++) {
        int64_t reach = reach_of_block(v, convs_of(v, stage) + (int64_t)i * v->pairs * 2);
        most = reach > most ? reach : most;
    }
    return most;
}

int64_t slack_of_stage(const sovits_vocoder *v, int32_t stage) {
    int64_t most = 0;
    for (int32_t i = 0; i < v->blocks * v->pairs * 2; i++) {
        int64_t slack = slack_of(convs_of(v, stage) + i);
        most = slack > most ? slack : most;
    }
    return most;
}

void spans_of(const struct call *c, int64_t begin, int64_t end, struct span *spans) {
    const sovits_vocoder *v = c->v;
    int64_t hop = c->length[v->stages] / c->frames;
    spans[v->stages + 1] = (struct span){begin * hop, end * hop};
    for (int32_t level = v->stages; level >= 0; level--) {
        struct span read = spans[level + 1];
        if (level < v->stages) read = widened(read, reach_of_stage(v, level));
        spans[level] = input_span(reader_of(v, level), clip(read, c->length[level + (level < v->stages)]));
    }
}

static int keeps_length(const sovits_conv *c, int32_t inputs, int32_t outputs) {
    return conv_fits(c) && !c->rate && c->weight && c->inputs == inputs && c->outputs == outputs;
}

int vocoder_fits(const sovits_vocoder *v, int64_t frames, const float *style) {
    if (v->stages < 1 || v->stages > MOST_STAGES || v->blocks < 1 || v->blocks > 64 || v->pairs < 1 || v->pairs > 64)
        return 0;
    if (v->pre.form == SOVITS_I8 || v->condition.form == SOVITS_I8) return 0; /* what they read is written by channels */
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
        int64_t row = row_bytes(reader->form, lanes_of(reader->inputs));
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
            int64_t rows_of = rows_in(spans[i]) + slack_of(reader) + SPARE_ROWS;
            int64_t bytes = rows_of * row_bytes(reader->form, lanes_of(reader->inputs));
            s->level = larger(s->level, ceil_ratio(bytes, sizeof(float)));
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

int place_call(struct call *c) {
    const sovits_vocoder *v = c->v;
    c->length[0] = c->frames;
    for (int32_t i = 0; i < v->stages; i++) c->length[i + 1] = c->length[i] * v->up[i].rate;
    c->chunk = chunk_of(c);
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

