/* Packs convolutions and runs them: as products of matrices, or of float32 by a fast algorithm, with half the products. */
#include "convolve.h"

#include <string.h>

#include "bfloat.h"

enum { STEP = 4, POINTS = 7 };  /* fast: outputs of a tile, and products for them and as many taps */
enum { LEAST_FAST_LANES = 32 }; /* with fewer channels, what comes before and after the products costs more than they */
enum { FAST_ROWS = 96 };        /* tiles that are computed at a time, about */

int conv_fits(const sovits_conv *c) {
    if (c->form != SOVITS_F32 && c->form != SOVITS_BF16) return 0;
    if (c->inputs < 1 || c->outputs < 1 || c->kernel < 1 || c->dilation < 1 || c->rate < 0) return 0;
    if (c->inputs > 1 << 14 || c->outputs > 1 << 14 || c->kernel > 1 << 8 || c->dilation > 1 << 8) return 0;
    if (c->rate) return c->kernel >= c->rate && (c->kernel - c->rate) % 2 == 0 && c->dilation == 1;
    return c->kernel % 2 == 1;
}

static int is_fast(const sovits_conv *c) {
    int32_t in = lanes_of(c->inputs), out = lanes_of(c->outputs);
    return c->form == SOVITS_F32 && !c->rate && c->kernel >= 3 && in >= LEAST_FAST_LANES && out >= LEAST_FAST_LANES;
}

static int64_t panels_of(const sovits_conv *c) { return lanes_of(c->outputs) / VECTOR; }

static int64_t number_bytes(const sovits_conv *c) { return c->form == SOVITS_BF16 ? 2 : 4; }

/* One product: taps first, first + step, ... of the weights, `count` of them, in the order of the rows that they meet,
 * the first of which lies `offset` rows from the output's. */
struct taps {
    int32_t first, step, count;
    int64_t offset;
    int32_t segments, k; /* of what products read */
};

/* Of a transposed one, `phase` counts the outputs of an input's row. */
static struct taps taps_of(const sovits_conv *c, int32_t phase) {
    int32_t lanes = lanes_of(c->inputs), step = c->form == SOVITS_BF16 ? PAIRED : 1;
    struct taps t = {.first = 0, .step = 1, .count = c->kernel, .offset = -reach_of(c), .segments = 1};
    if (c->rate) { /* output t * rate + phase is made of taps phase + padding + rate * (t - row) */
        int32_t at = phase + (c->kernel - c->rate) / 2, least = at % c->rate;
        t.count = (c->kernel - 1 - least) / c->rate + 1;
        t.first = least + (t.count - 1) * c->rate;
        t.step = -c->rate;
        t.offset = (at - t.first) / c->rate;
    } else if (is_fast(c)) {
        t.segments = (c->kernel + STEP - 1) / STEP;
    } else if (c->dilation > 1) {
        t.segments = c->kernel;
    }
    int32_t taps = is_fast(c) ? 1 : t.count / t.segments; /* of a segment */
    t.k = (int32_t)rounded_up((int64_t)taps * lanes, step);
    return t;
}

static int32_t phases_of(const sovits_conv *c) { return c->rate ? c->rate : 1; }

/* Numbers of a product's packed weights in one panel. */
static int64_t panel_numbers(const struct taps *t) { return (int64_t)t->segments * t->k * VECTOR; }

int64_t sovits_conv_bytes(const sovits_conv *c) {
    if (!conv_fits(c)) return -1;
    int64_t numbers = 0;
    for (int32_t phase = 0; phase < phases_of(c); phase++) {
        struct taps t = taps_of(c, phase);
        numbers += panel_numbers(&t) * panels_of(c);
    }
    return numbers * number_bytes(c) * (is_fast(c) ? POINTS : 1);
}

/* The place of a weight: of tap `tap`, by the order of rows, of a product. */
static int64_t place_of(const sovits_conv *c, const struct taps *t, int64_t tap, int64_t input, int64_t output) {
    int64_t per_segment = t->segments == 1 ? t->count : 1;
    int64_t k = tap / per_segment * t->k + tap % per_segment * lanes_of(c->inputs) + input;
    int64_t panel = output / VECTOR * panel_numbers(t);
    if (c->form == SOVITS_BF16) return panel + k / 2 * 2 * VECTOR + output % VECTOR * 2 + k % 2;
    return panel + k * VECTOR + output % VECTOR;
}

static void pack_product(const sovits_conv *c, const struct taps *t, const float *weight, void *packed) {
    for (int64_t output = 0; output < c->outputs; output++)
        for (int64_t input = 0; input < c->inputs; input++) {
            const float *from = weight + (c->rate ? input * c->outputs + output : output * c->inputs + input) * c->kernel;
            for (int64_t tap = 0; tap < t->count; tap++) {
                float value = from[t->first + tap * t->step];
                int64_t place = place_of(c, t, tap, input, output);
                if (c->form == SOVITS_BF16)
                    ((uint16_t *)packed)[place] = bf16_nearest(value);
                else
                    ((float *)packed)[place] = value;
            }
        }
}

/* The weights of a piece of four taps at each point: the polynomial of the taps there, over the product of the point's
 * distances from the others; infinity's is the last tap. In double: rounded once. */
static void pack_fast(const sovits_conv *c, const struct taps *t, const float *weight, float *packed) {
    static const double point[POINTS - 1] = {0, 1, -1, 2, -2, 0.5}, distance[POINTS - 1] = {-2, -3, 9, 36, -60, 1.40625};
    int64_t numbers = panel_numbers(t) * panels_of(c);
    for (int64_t output = 0; output < c->outputs; output++)
        for (int64_t input = 0; input < c->inputs; input++, weight += c->kernel)
            for (int32_t piece = 0; piece < t->segments; piece++) {
                double tap[STEP] = {0};
                int64_t k = (int64_t)piece * t->k + input;
                float *to = packed + output / VECTOR * panel_numbers(t) + k * VECTOR + output % VECTOR;
                for (int32_t i = 0; i < STEP && piece * STEP + i < c->kernel; i++) tap[i] = weight[piece * STEP + i];
                for (int32_t i = 0; i < POINTS - 1; i++) {
                    double x = point[i], sum = ((tap[3] * x + tap[2]) * x + tap[1]) * x + tap[0];
                    to[i * numbers] = (float)(sum / distance[i]);
                }
                to[(POINTS - 1) * numbers] = (float)tap[3];
            }
}

int32_t sovits_pack_conv(const sovits_conv *c, const float *weight, void *packed) {
    if (!conv_fits(c)) return -2;
    memset(packed, 0, (size_t)sovits_conv_bytes(c));
    char *to = packed;
    for (int32_t phase = 0; phase < phases_of(c); phase++) {
        struct taps t = taps_of(c, phase);
        if (is_fast(c))
            pack_fast(c, &t, weight, packed);
        else
            pack_product(c, &t, weight, to);
        to += panel_numbers(&t) * panels_of(c) * number_bytes(c);
    }
    return 0;
}

struct span input_span(const sovits_conv *c, struct span outputs) {
    if (!c->rate) return (struct span){outputs.begin - reach_of(c), outputs.end + reach_of(c)};
    int64_t padding = (c->kernel - c->rate) / 2;
    return (struct span){ceil_ratio(outputs.begin + padding - c->kernel + 1, c->rate),
                         floor_ratio(outputs.end - 1 + padding, c->rate) + 1};
}

/* What one thread works with. */
struct job {
    const struct kernels *kernels;
    const sovits_conv *conv;
    const struct rows *input;
    const struct output *output;
    float *bias, *sums, *points; /* bias [lanes] */
};

static void *output_at(const struct rows *r, int64_t position, int64_t column) {
    if (!r->data) return NULL;
    return (char *)row_at(r, position) + column * (r->form == SOVITS_BF16 ? 2 : 4);
}

/* Where outputs at position, position + step, ... go, from a column on. */
static struct finish finish_at(const struct job *j, int64_t column, int64_t position, int64_t step) {
    const struct output *o = j->output;
    void *active = output_at(&o->active, position, column);
    return (struct finish){
        .bias = j->bias + column,
        .residual = output_at(&o->residual, position, column),
        .total = output_at(&o->total, position, column),
        .raw = output_at(&o->raw, position, column),
        .active = o->active.form == SOVITS_BF16 ? NULL : active,
        .active_bf16 = o->active.form == SOVITS_BF16 ? active : NULL,
        .stride = step * lanes_of(j->conv->outputs),
        .scale = o->scale,
        .slope = o->slope,
    };
}

static int64_t columns_of(const sovits_conv *c, int64_t column) {
    int64_t left = lanes_of(c->outputs) - column;
    return left < GROUP_COLUMNS ? left : GROUP_COLUMNS;
}

/* Outputs at first, first + step, ...; the rows of the first one's inputs begin at `row`. */
static void run_product(const struct job *j, const struct taps *t, const char *weight, int64_t row, int64_t first,
                        int64_t step, int64_t count) {
    const sovits_conv *c = j->conv;
    int32_t lanes = lanes_of(c->inputs);
    struct products p = {.panel = panel_numbers(t), .stride = lanes, .segments = t->segments, .k = t->k};
    p.segment = (int64_t)c->dilation * lanes;
    if (c->form == SOVITS_BF16 && j->kernels->convolve_bf16) {
        struct finish f = finish_at(j, 0, first, step);
        p.panels = (int32_t)panels_of(c);
        j->kernels->convolve_bf16(&p, &f, (const uint16_t *)weight, row_at(j->input, row), count);
        return;
    }
    for (int64_t column = 0; column < lanes_of(c->outputs); column += GROUP_COLUMNS) {
        int width = (int)columns_of(c, column);
        const char *w = weight + column / VECTOR * p.panel * number_bytes(c);
        p.panels = width / VECTOR;
        for (int64_t i = 0; i < count; i += BLOCK_ROWS) {
            int rows = count - i < BLOCK_ROWS ? (int)(count - i) : BLOCK_ROWS;
            const void *x = row_at(j->input, row + i);
            if (c->form == SOVITS_BF16)
                j->kernels->products_bf16(&p, (const uint16_t *)w, x, rows, j->sums);
            else
                j->kernels->products_f32(&p, (const float *)w, x, rows, j->sums);
            struct finish f = finish_at(j, column, first + i * step, step);
            j->kernels->finish(&f, j->sums, width, rows);
        }
    }
}

static struct span part_of(struct span all, int64_t step, int32_t thread, int32_t threads) {
    int64_t steps = (all.end - all.begin + step - 1) / step;
    struct span part = {all.begin + steps * thread / threads * step, all.begin + steps * (thread + 1) / threads * step};
    if (part.end > all.end) part.end = all.end;
    return part;
}

static void run_transposed(const struct job *j, struct span outputs, int32_t thread, int32_t threads) {
    const sovits_conv *c = j->conv;
    struct span all = {floor_ratio(outputs.begin, c->rate), ceil_ratio(outputs.end, c->rate)};
    struct span part = part_of(all, 1, thread, threads);
    const char *weight = c->weight;
    for (int32_t phase = 0; phase < c->rate; phase++) {
        struct taps t = taps_of(c, phase);
        int64_t begin = part.begin, end = part.end;
        if (begin * c->rate + phase < outputs.begin) begin++;
        if ((end - 1) * c->rate + phase >= outputs.end) end--;
        if (begin < end) run_product(j, &t, weight, begin + t.offset, begin * c->rate + phase, c->rate, end - begin);
        weight += panel_numbers(&t) * panels_of(c) * number_bytes(c);
    }
}

/* Tiles of some groups, each of which is four outputs of `dilation` classes; sums [point][tile][width]. */
static void fast_columns(const struct job *j, const struct taps *t, int64_t tiles, int64_t column, int64_t v_point,
                         struct span outputs, int64_t first) {
    const sovits_conv *c = j->conv;
    int width = (int)columns_of(c, column);
    struct products p = {.panel = panel_numbers(t), .stride = t->k, .segments = t->segments, .k = t->k};
    p.segment = (int64_t)c->dilation * t->k;
    p.panels = width / VECTOR;
    const float *weight = (const float *)c->weight + column / VECTOR * p.panel;
    for (int i = 0; i < POINTS; i++)
        j->kernels->products_f32(&p, weight + i * p.panel * panels_of(c), j->points + i * v_point, (int)tiles,
                                 j->sums + i * tiles * width);
    float four[STEP * GROUP_COLUMNS];
    for (int64_t tile = 0; tile < tiles; tile++) {
        int64_t position = first + tile / c->dilation * STEP * c->dilation + tile % c->dilation;
        int64_t count = position < outputs.end ? ceil_ratio(outputs.end - position, c->dilation) : 0;
        if (!count) continue;
        j->kernels->untransform(j->sums + tile * width, tiles * width, width, four);
        struct finish f = finish_at(j, column, position, c->dilation);
        j->kernels->finish(&f, four, width, (int)(count < STEP ? count : STEP));
    }
}

static int64_t fast_groups(const sovits_conv *c) { return c->dilation < FAST_ROWS ? FAST_ROWS / c->dilation : 1; }

static void run_fast(const struct job *j, struct span part) {
    const sovits_conv *c = j->conv;
    struct taps t = taps_of(c, 0);
    int64_t size = STEP * (int64_t)c->dilation, groups = (part.end - part.begin + size - 1) / size;
    int64_t v_point = (fast_groups(c) + t.segments - 1) * c->dilation * t.k, step = (int64_t)c->dilation * t.k;
    for (int64_t group = 0; group < groups; group += fast_groups(c)) {
        int64_t some = groups - group < fast_groups(c) ? groups - group : fast_groups(c);
        int64_t first = part.begin + group * size, read = (some + t.segments - 1) * c->dilation;
        for (int64_t tile = 0; tile < read; tile++) {
            const float *x = row_at(j->input, first + t.offset + tile / c->dilation * size + tile % c->dilation);
            j->kernels->transform(x, step, t.k, j->points + tile * t.k, v_point);
        }
        for (int64_t column = 0; column < lanes_of(c->outputs); column += GROUP_COLUMNS)
            fast_columns(j, &t, some * c->dilation, column, v_point, part, first);
    }
}

static int64_t bias_bytes(const sovits_conv *c) { return lanes_of(c->outputs) * (int64_t)sizeof(float); }

static int64_t sums_bytes(const sovits_conv *c) {
    int64_t rows = is_fast(c) ? POINTS * fast_groups(c) * c->dilation : BLOCK_ROWS;
    return rows * GROUP_COLUMNS * (int64_t)sizeof(float);
}

int64_t convolve_bytes(const sovits_conv *c) {
    struct taps t = taps_of(c, 0);
    int64_t points = is_fast(c) ? POINTS * (fast_groups(c) + t.segments - 1) * c->dilation * t.k : 0;
    return bias_bytes(c) + sums_bytes(c) + points * (int64_t)sizeof(float);
}

void convolve(const struct kernels *kernels, const sovits_conv *c, const struct rows *input, struct span outputs,
              const struct output *output, int32_t thread, int32_t threads, void *memory) {
    char *sums = (char *)memory + bias_bytes(c);
    struct job job = {kernels, c, input, output, memory, (float *)sums, (float *)(sums + sums_bytes(c))};
    const float *bias = output->bias ? output->bias : c->bias;
    memset(job.bias, 0, (size_t)bias_bytes(c));
    if (bias) memcpy(job.bias, bias, (size_t)c->outputs * sizeof *bias);
    if (c->rate) {
        run_transposed(&job, outputs, thread, threads);
    } else if (is_fast(c)) {
        struct span part = part_of(outputs, STEP * (int64_t)c->dilation, thread, threads);
        if (part.begin < part.end) run_fast(&job, part);
    } else {
        struct span part = part_of(outputs, PAIRED, thread, threads);
        struct taps t = taps_of(c, 0);
        if (part.begin < part.end)
            run_product(&job, &t, c->weight, part.begin + t.offset, part.begin, 1, part.end - part.begin);
    }
}
