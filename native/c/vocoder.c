/* The generator, plainly. */
#include "vocoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bfloat.h"
#include "pool.h"

static int conv_fits(const sovits_conv *c) {
    if (c->form != SOVITS_F32 && c->form != SOVITS_BF16) return 0;
    if (c->inputs < 1 || c->outputs < 1 || c->kernel < 1 || c->dilation < 1 || c->rate < 0) return 0;
    if (c->inputs > 1 << 16 || c->outputs > 1 << 16 || c->kernel > 1 << 10 || c->dilation > 1 << 10) return 0;
    if (c->rate) return c->kernel >= c->rate && (c->kernel - c->rate) % 2 == 0 && c->dilation == 1;
    return c->kernel % 2 == 1;
}

int64_t sovits_conv_bytes(const sovits_conv *c) {
    if (!conv_fits(c)) return -1;
    int64_t bytes = (int64_t)c->inputs * c->outputs * c->kernel * (c->form == SOVITS_BF16 ? 2 : 4);
    return (bytes + 63) / 64 * 64;
}

int32_t sovits_pack_conv(const sovits_conv *c, const float *weight, void *packed) {
    if (!conv_fits(c)) return -2;
    int64_t count = (int64_t)c->inputs * c->outputs * c->kernel;
    for (int64_t i = 0; i < count; i++) {
        if (c->form == SOVITS_BF16)
            ((uint16_t *)packed)[i] = bf16_nearest(weight[i]);
        else
            ((float *)packed)[i] = weight[i];
    }
    return 0;
}

static float weight_at(const sovits_conv *c, int64_t output, int64_t input, int64_t tap) {
    int64_t i = c->rate ? (input * c->outputs + output) * c->kernel + tap : (output * c->inputs + input) * c->kernel + tap;
    return c->form == SOVITS_BF16 ? f32_from_bf16(((const uint16_t *)c->weight)[i]) : ((const float *)c->weight)[i];
}

/* y [length * rate][outputs] of leaky(x [length][inputs]). */
static void convolve(const sovits_conv *c, const float *x, int64_t length, float slope, float *y) {
    int64_t rate = c->rate ? c->rate : 1, padding = c->rate ? (c->kernel - rate) / 2 : c->kernel / 2 * c->dilation;
    for (int64_t p = 0; p < length * rate; p++)
        for (int64_t o = 0; o < c->outputs; o++) {
            float sum = c->bias ? c->bias[o] : 0;
            for (int64_t tap = 0; tap < c->kernel; tap++) {
                int64_t t = c->rate ? p + padding - tap : p + tap * c->dilation - padding;
                if (t < 0 || (c->rate && t % rate) || t / rate >= length) continue;
                const float *row = x + t / rate * c->inputs;
                for (int64_t i = 0; i < c->inputs; i++) {
                    float value = row[i] > 0 ? row[i] : row[i] * slope;
                    if (c->form == SOVITS_BF16) value = f32_from_bf16(bf16_nearest(value));
                    sum += value * weight_at(c, o, i, tap);
                }
            }
            y[p * c->outputs + o] = sum;
        }
}

struct call {
    const sovits_vocoder *v;
    int64_t frames;
    const float *z, *style;
    float *wave, *x, *y, *block, *mid, *sum;
};

static void run_stage(struct call *s, int32_t stage, int64_t length) {
    const sovits_vocoder *v = s->v;
    const sovits_conv *up = v->up + stage, *conv = v->convs + (int64_t)stage * v->blocks * v->pairs * 2;
    int64_t count = length * up->rate * up->outputs;
    convolve(up, s->x, length, v->slope, s->y);
    memset(s->sum, 0, (size_t)count * sizeof *s->sum);
    for (int32_t b = 0; b < v->blocks; b++) {
        memcpy(s->block, s->y, (size_t)count * sizeof *s->y);
        for (int32_t p = 0; p < v->pairs; p++, conv += 2) {
            convolve(conv, s->block, length * up->rate, v->slope, s->mid);
            convolve(conv + 1, s->mid, length * up->rate, v->slope, s->x);
            for (int64_t i = 0; i < count; i++) s->block[i] += s->x[i];
        }
        for (int64_t i = 0; i < count; i++) s->sum[i] += s->block[i];
    }
    for (int64_t i = 0; i < count; i++) s->x[i] = s->sum[i] / (float)v->blocks;
}

static void run(struct call *s) {
    const sovits_vocoder *v = s->v;
    int64_t length = s->frames;
    for (int64_t t = 0; t < length; t++)
        for (int64_t i = 0; i < v->pre.inputs; i++) s->y[t * v->pre.inputs + i] = s->z[i * length + t];
    convolve(&v->pre, s->y, length, 1, s->x);
    if (v->condition.weight) {
        convolve(&v->condition, s->style, 1, 1, s->y);
        for (int64_t t = 0; t < length; t++)
            for (int64_t i = 0; i < v->pre.outputs; i++) s->x[t * v->pre.outputs + i] += s->y[i];
    }
    for (int32_t i = 0; i < v->stages; i++) {
        run_stage(s, i, length);
        length *= v->up[i].rate;
    }
    convolve(&v->post, s->x, length, v->last_slope, s->y);
    for (int64_t t = 0; t < length; t++) s->wave[t] = tanhf(s->y[t]);
}

static int keeps_length(const sovits_conv *c, int32_t inputs, int32_t outputs) {
    return conv_fits(c) && !c->rate && c->weight && c->inputs == inputs && c->outputs == outputs;
}

static int fits(const sovits_vocoder *v, int64_t frames, const float *style) {
    if (v->stages < 1 || v->stages > 16 || v->blocks < 1 || v->pairs < 1 || frames < 0 || frames > INT32_MAX) return 0;
    int32_t width = v->pre.outputs;
    if (!keeps_length(&v->pre, v->pre.inputs, width)) return 0;
    if (v->condition.weight && (!style || !keeps_length(&v->condition, v->condition.inputs, width))) return 0;
    for (int32_t i = 0; i < v->stages; i++) {
        const sovits_conv *up = v->up + i, *conv = v->convs + (int64_t)i * v->blocks * v->pairs * 2;
        if (!conv_fits(up) || !up->rate || !up->weight || up->inputs != width) return 0;
        width = up->outputs;
        for (int32_t j = 0; j < v->blocks * v->pairs * 2; j++)
            if (!keeps_length(conv + j, width, width)) return 0;
    }
    return keeps_length(&v->post, width, 1);
}

int32_t sovits_vocode(sovits_pool *pool, const sovits_vocoder *v, int64_t frames, const float *z, const float *style,
                      float *wave) {
    if (!fits(v, frames, style)) return -2;
    int64_t length = 1, most = v->pre.outputs > v->pre.inputs ? v->pre.outputs : v->pre.inputs;
    for (int32_t i = 0; i < v->stages; i++) {
        length *= v->up[i].rate;
        if (length * v->up[i].outputs > most) most = length * v->up[i].outputs;
    }
    pool_lock(pool);
    float *memory = pool_scratch(pool, most * (frames + 1) * 5 * (int64_t)sizeof(float));
    if (memory) {
        int64_t floats = most * (frames + 1);
        struct call call = {v, frames, z, style, wave, memory, memory + floats, memory + 2 * floats,
                            memory + 3 * floats, memory + 4 * floats};
        run(&call);
    }
    pool_unlock(pool);
    return memory ? 0 : -1;
}
