/* Runs convolutions: as products of matrices, or of float32 by a fast algorithm, with half the products. */
#include "convolve_parts.h"

#include <string.h>

enum { FAST_ROWS = 96 };  /* tiles that are computed at a time, about */
enum { CODES_ROWS = 48 }; /* int8: rows that are computed at a time */
enum { CODES_STEP = 12 }; /* of which tiles are whole */

/* What one thread works with. */
struct job {
    const struct kernels *kernels;
    const sovits_conv *conv;
    const struct rows *input;
    const struct output *output;
    float *bias, *sums, *points, *zeros, *kept; /* bias and zeros [lanes]; kept [kept_rows][lanes] */
};

static void *output_at(const struct rows *r, int64_t position, int64_t column) {
    if (!r->data) return NULL;
    return (char *)row_at(r, position) + column * number_bytes(r->form);
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
        .active = o->active.form == SOVITS_F32 ? active : NULL,
        .active_bf16 = o->active.form == SOVITS_BF16 ? active : NULL, /* int8 goes where finish_i8 is told */
        .stride = step * lanes_of(j->conv->outputs),
        .scale = o->scale,
        .slope = o->slope,
    };
}

static int64_t columns_of(const sovits_conv *c, int64_t column) {
    int64_t left = lanes_of(c->outputs) - column;
    return left < GROUP_COLUMNS ? left : GROUP_COLUMNS;
}

/* Whole rows at a time: a row's codes have one scale, which is known when all its numbers are. */
static void run_product_i8(const struct job *j, const struct taps *t, const char *weight, int64_t row, int64_t first,
                           int64_t step, int64_t count) {
    const sovits_conv *c = j->conv;
    const struct rows *active = &j->output->active;
    int32_t lanes = lanes_of(c->outputs);
    struct products p = {.panel = panel_numbers(c, t), .stride = row_bytes(SOVITS_I8, t->k), .segments = t->segments};
    p.segment = c->dilation * p.stride;
    p.panels = lanes / VECTOR;
    p.k = t->k;
    for (int64_t i = 0; i < count; i += CODES_ROWS) {
        int rows = count - i < CODES_ROWS ? (int)(count - i) : CODES_ROWS;
        j->kernels->products_i8(&p, (const int8_t *)weight, row_at(j->input, row + i), rows, j->sums);
        struct finish f = finish_at(j, 0, first + i * step, step);
        if (active->data && active->form == SOVITS_I8)
            j->kernels->finish_i8(&f, j->sums, lanes, rows, row_at(active, first + i * step),
                                  step * row_bytes(SOVITS_I8, lanes));
        else
            j->kernels->finish(&f, j->sums, lanes, rows);
    }
}

/* Outputs at first, first + step, ...; the rows of the first one's inputs begin at `row`. */
static void run_product(const struct job *j, const struct taps *t, const char *weight, int64_t row, int64_t first,
                        int64_t step, int64_t count) {
    const sovits_conv *c = j->conv;
    if (c->form == SOVITS_I8) {
        run_product_i8(j, t, weight, row, first, step, count);
        return;
    }
    int32_t lanes = lanes_of(c->inputs);
    struct products p = {.panel = panel_numbers(c, t), .stride = lanes, .segments = t->segments, .k = t->k};
    p.segment = (int64_t)c->dilation * lanes;
    if (c->form == SOVITS_BF16 && j->kernels->convolve_bf16) {
        struct finish f = finish_at(j, 0, first, step);
        p.panels = (int32_t)panels_of(c);
        j->kernels->convolve_bf16(&p, &f, (const uint16_t *)weight, row_at(j->input, row), count);
        return;
    }
    for (int64_t column = 0; column < lanes_of(c->outputs); column += GROUP_COLUMNS) {
        int width = (int)columns_of(c, column);
        const char *w = weight + column / VECTOR * p.panel * number_bytes(c->form);
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

static void run_transposed(const struct job *j, struct span outputs) {
    const sovits_conv *c = j->conv;
    struct span all = {floor_ratio(outputs.begin, c->rate), ceil_ratio(outputs.end, c->rate)};
    const char *weight = c->weight;
    for (int32_t phase = 0; phase < c->rate; phase++) {
        struct taps t = taps_of(c, phase);
        int64_t begin = all.begin, end = all.end;
        if (begin * c->rate + phase < outputs.begin) begin++;
        if ((end - 1) * c->rate + phase >= outputs.end) end--;
        if (begin < end) run_product(j, &t, weight, begin + t.offset, begin * c->rate + phase, c->rate, end - begin);
        weight += product_bytes(c, &t);
    }
}

/* Tiles of some groups, each of which is four outputs of `dilation` classes; sums [point][tile][width]. */
static void fast_columns(const struct job *j, const struct taps *t, int64_t tiles, int64_t column, int64_t v_point,
                         struct span outputs, int64_t first) {
    const sovits_conv *c = j->conv;
    int width = (int)columns_of(c, column);
    struct products p = {.panel = panel_numbers(c, t), .stride = t->k, .segments = t->segments, .k = t->k};
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
    if (c->form == SOVITS_I8) return CODES_ROWS * bias_bytes(c);
    return rows * GROUP_COLUMNS * (int64_t)sizeof(float);
}

static int64_t points_bytes(const sovits_conv *c) {
    struct taps t = taps_of(c, 0);
    return is_fast(c) ? POINTS * (fast_groups(c) + t.segments - 1) * c->dilation * t.k * (int64_t)sizeof(float) : 0;
}

/* A thread has a multiple of so many outputs. */
static int64_t step_of(const sovits_conv *c) {
    if (c->rate) return c->rate;
    return is_fast(c) ? STEP * (int64_t)c->dilation : c->form == SOVITS_I8 ? CODES_STEP : PAIRED;
}

/* Rows whose numbers are kept until their codes are known, where a convolution in another form writes codes. */
static int64_t kept_rows(const sovits_conv *c) {
    return c->form == SOVITS_I8 ? 0 : rounded_up(CODES_ROWS, step_of(c));
}

int64_t convolve_bytes(const sovits_conv *c) {
    return (2 + kept_rows(c)) * bias_bytes(c) + sums_bytes(c) + points_bytes(c);
}

static void run_part(const struct job *j, struct span part) {
    const sovits_conv *c = j->conv;
    struct taps t = taps_of(c, 0);
    if (c->rate)
        run_transposed(j, part);
    else if (is_fast(c))
        run_fast(j, part);
    else
        run_product(j, &t, c->weight, part.begin + t.offset, part.begin, 1, part.end - part.begin);
}

/* A part whose active rows are int8, of a convolution in another form: some rows in float32, which then become those. */
static void run_to_i8(const struct job *j, struct span part) {
    const struct rows *active = &j->output->active;
    struct output output = *j->output;
    struct job job = *j;
    struct finish as_it_is = {.bias = memset(j->zeros, 0, (size_t)bias_bytes(j->conv)), .slope = 1};
    job.output = &output;
    output.active = (struct rows){j->kept, 0, SOVITS_F32, active->lanes};
    for (int64_t begin = part.begin; begin < part.end; begin += kept_rows(j->conv)) {
        struct span some = {begin, begin + kept_rows(j->conv)};
        if (some.end > part.end) some.end = part.end;
        output.active.first = begin;
        run_part(&job, some);
        j->kernels->finish_i8(&as_it_is, j->kept, active->lanes, (int)(some.end - begin), row_at(active, begin),
                              row_bytes(SOVITS_I8, active->lanes));
    }
}

static struct span part_of(struct span all, int64_t step, int32_t thread, int32_t threads) {
    int64_t steps = (all.end - all.begin + step - 1) / step;
    struct span part = {all.begin + steps * thread / threads * step, all.begin + steps * (thread + 1) / threads * step};
    if (part.end > all.end) part.end = all.end;
    return part;
}

void convolve(const struct kernels *kernels, const sovits_conv *c, const struct rows *input, struct span outputs,
              const struct output *output, int32_t thread, int32_t threads, void *memory) {
    char *sums = (char *)memory + bias_bytes(c), *points = sums + sums_bytes(c), *zeros = points + points_bytes(c);
    struct job job = {kernels,        c,               input,          output,        memory,
                      (float *)sums, (float *)points, (float *)zeros, (float *)(zeros + bias_bytes(c))};
    const float *bias = output->bias ? output->bias : c->bias;
    memset(job.bias, 0, (size_t)bias_bytes(c));
    if (bias) memcpy(job.bias, bias, (size_t)c->outputs * sizeof *bias);
    struct span part = part_of(outputs, step_of(c), thread, threads);
    if (part.begin >= part.end) return;
    if (c->form != SOVITS_I8 && output->active.data && output->active.form == SOVITS_I8)
        run_to_i8(&job, part);
    else
        run_part(&job, part);
}
