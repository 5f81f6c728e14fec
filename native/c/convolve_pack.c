/* Packs convolutions: as products of matrices, or of float32 for a fast algorithm, with half the products. */
#include "convolve_parts.h"

#include <math.h>
#include <string.h>

#include "bfloat.h"

enum { LEAST_FAST_LANES = 32 }; /* with fewer channels, what comes before and after the products costs more than they */

int conv_fits(const sovits_conv *c) {
    if (c->form != SOVITS_F32 && c->form != SOVITS_BF16 && c->form != SOVITS_I8) return 0;
    if (c->inputs < 1 || c->outputs < 1 || c->kernel < 1 || c->dilation < 1 || c->rate < 0) return 0;
    if (c->inputs > 1 << 14 || c->outputs > 1 << 14 || c->kernel > 1 << 8 || c->dilation > 1 << 8) return 0;
    if (c->rate) return c->kernel >= c->rate && (c->kernel - c->rate) % 2 == 0 && c->dilation == 1;
    return c->kernel % 2 == 1;
}

int is_fast(const sovits_conv *c) {
    int32_t in = lanes_of(c->inputs), out = lanes_of(c->outputs);
    return c->form == SOVITS_F32 && !c->rate && c->kernel >= 3 && in >= LEAST_FAST_LANES && out >= LEAST_FAST_LANES;
}

struct taps taps_of(const sovits_conv *c, int32_t phase) {
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
    if (c->form == SOVITS_I8) t.segments = t.count; /* each row has a scale of its own */
    int32_t taps = is_fast(c) ? 1 : t.count / t.segments; /* of a segment */
    t.k = (int32_t)rounded_up((int64_t)taps * lanes, step);
    return t;
}

int64_t sovits_conv_bytes(const sovits_conv *c) {
    if (!conv_fits(c)) return -1;
    int64_t bytes = 0;
    for (int32_t phase = 0; phase < phases_of(c); phase++) {
        struct taps t = taps_of(c, phase);
        bytes += product_bytes(c, &t);
    }
    return bytes * (is_fast(c) ? POINTS : 1);
}

static const float *taps_at(const sovits_conv *c, const float *weight, int64_t input, int64_t output) {
    return weight + (c->rate ? input * c->outputs + output : output * c->inputs + input) * c->kernel;
}

/* The place of a weight: of tap `tap`, by the order of rows, of a product. */
static int64_t place_of(const sovits_conv *c, const struct taps *t, int64_t tap, int64_t input, int64_t output) {
    int64_t per_segment = t->segments == 1 ? t->count : 1;
    int64_t k = tap / per_segment * t->k + tap % per_segment * lanes_of(c->inputs) + input;
    int64_t panel = output / VECTOR * panel_numbers(c, t);
    if (c->form == SOVITS_BF16) return panel + k / 2 * 2 * VECTOR + output % VECTOR * 2 + k % 2;
    return panel + k * VECTOR + output % VECTOR;
}

static void pack_product(const sovits_conv *c, const struct taps *t, const float *weight, void *packed) {
    for (int64_t output = 0; output < c->outputs; output++)
        for (int64_t input = 0; input < c->inputs; input++) {
            const float *from = taps_at(c, weight, input, output);
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

static float largest_weight(const sovits_conv *c, const struct taps *t, const float *weight, int64_t output) {
    float largest = 0;
    for (int64_t input = 0; input < c->inputs; input++) {
        const float *from = taps_at(c, weight, input, output);
        for (int64_t tap = 0; tap < t->count; tap++) {
            float value = fabsf(from[t->first + tap * t->step]);
            largest = value > largest ? value : largest;
        }
    }
    return largest;
}

/* In 127 steps to the largest weight of an output's product; no code is -128. */
static void pack_codes(const sovits_conv *c, const struct taps *t, const float *weight, char *packed) {
    int64_t segment = CODES_SEGMENT((int64_t)t->k);
    for (int64_t output = 0; output < c->outputs; output++) {
        char *panel = packed + output / VECTOR * panel_numbers(c, t);
        int64_t lane = output % VECTOR;
        float scale = largest_weight(c, t, weight, output) / 127;
        ((float *)(panel + t->segments * segment))[lane] = scale;
        for (int64_t tap = 0; tap < t->count && scale > 0; tap++) {
            int8_t *codes = (int8_t *)(panel + tap * segment + CODES_VECTOR);
            int32_t sum = 0;
            for (int64_t input = 0; input < c->inputs; input++) {
                float code = nearbyintf(taps_at(c, weight, input, output)[t->first + tap * t->step] / scale);
                int8_t whole = (int8_t)(code > 127 ? 127 : code > -127 ? code : -127);
                codes[input / 4 * 4 * VECTOR + 4 * lane + input % 4] = whole;
                sum += whole;
            }
            ((int32_t *)(panel + tap * segment))[lane] = -CODES_ZERO * sum;
        }
    }
}

/* The weights of a piece of four taps at each point: the polynomial of the taps there, over the product of the point's
 * distances from the others; infinity's is the last tap. In double: rounded once. */
static void pack_fast(const sovits_conv *c, const struct taps *t, const float *weight, float *packed) {
    static const double point[POINTS - 1] = {0, 1, -1, 2, -2, 0.5}, distance[POINTS - 1] = {-2, -3, 9, 36, -60, 1.40625};
    int64_t numbers = panel_numbers(c, t) * panels_of(c);
    for (int64_t output = 0; output < c->outputs; output++)
        for (int64_t input = 0; input < c->inputs; input++, weight += c->kernel)
            for (int32_t piece = 0; piece < t->segments; piece++) {
                double tap[STEP] = {0};
                int64_t k = (int64_t)piece * t->k + input;
                float *to = packed + output / VECTOR * panel_numbers(c, t) + k * VECTOR + output % VECTOR;
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
        else if (c->form == SOVITS_I8)
            pack_codes(c, &t, weight, to);
        else
            pack_product(c, &t, weight, to);
        to += product_bytes(c, &t);
    }
    return 0;
}

struct span input_span(const sovits_conv *c, struct span outputs) {
    if (!c->rate) return (struct span){outputs.begin - reach_of(c), outputs.end + reach_of(c)};
    int64_t padding = (c->kernel - c->rate) / 2;
    return (struct span){ceil_ratio(outputs.begin + padding - c->kernel + 1, c->rate),
                         floor_ratio(outputs.end - 1 + padding, c->rate) + 1};
}

