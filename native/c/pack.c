/* Packs weights in the order in which the panel kernels read them. */
#include "pack.h"

#include <math.h>
#include <string.h>

#include "kernels.h"

enum { TILE = SOVITS_PANEL }; /* inputs that are transposed at a time */

int64_t sovits_packed_bytes(int32_t form, int32_t n, int32_t k) {
    if (form == SOVITS_I8) return panel_count(n) * group_count(k) * SOVITS_PANEL * GROUP;
    return panel_count(n) * k * SOVITS_PANEL * (form == SOVITS_F16 ? 2 : 4);
}

/* Transposes a tile of up to 64 x 64, [rows][k] to [inputs][64]: it fits the nearest cache. */
static int pack_tile(int32_t form, int32_t rows, int32_t inputs, int64_t k, const float *from, uint8_t *to) {
    union {
        float f32[SOVITS_PANEL][TILE];
        uint16_t f16[SOVITS_PANEL][TILE];
    } tile;
    memset(&tile, 0, sizeof tile);
    for (int32_t row = 0; row < rows; row++) {
        if (form == SOVITS_F32)
            memcpy(tile.f32[row], from + row * k, (size_t)inputs * 4);
        else if (!kernels_in_use()->f16_from_f32(from + row * k, inputs, tile.f16[row]))
            return 0;
    }
    for (int32_t i = 0; i < inputs; i++)
        for (int32_t row = 0; row < SOVITS_PANEL; row++) {
            if (form == SOVITS_F32)
                ((float *)to)[i * SOVITS_PANEL + row] = tile.f32[row][i];
            else
                ((uint16_t *)to)[i * SOVITS_PANEL + row] = tile.f16[row][i];
        }
    return 1;
}

/* One panel of float weights; 0 where its form cannot hold them exactly. */
static int pack_panel(int32_t form, int32_t rows, int32_t k, const float *from, uint8_t *to) {
    for (int32_t i = 0; i < k; i += TILE) {
        int32_t inputs = k - i < TILE ? k - i : TILE;
        if (!pack_tile(form, rows, inputs, k, from + i, to + sovits_packed_bytes(form, 1, i))) return 0;
    }
    return 1;
}

/* One output of an int8 panel: symmetric, its largest weight is 127. */
static void quantize_row(int32_t k, const float *from, int8_t *to, float *scale, int32_t *sum) {
    float largest = 0;
    for (int32_t i = 0; i < k; i++) largest = fabsf(from[i]) > largest ? fabsf(from[i]) : largest;
    *scale = largest / 127 > 1e-12f ? largest / 127 : 1e-12f;
    *sum = 0;
    for (int32_t i = 0; i < k; i++) {
        float rounded = nearbyintf(from[i] / *scale);
        int8_t code = fabsf(rounded) <= 127 ? (int8_t)rounded : 0; /* no code stands for what is no number */
        to[(int64_t)(i / GROUP) * SOVITS_PANEL * GROUP + i % GROUP] = code;
        *sum += code;
    }
}

int32_t sovits_pack(int32_t form, int32_t n, int32_t k, const float *weight, void *packed, float *scale,
                    int32_t *sum) {
    if (form == SOVITS_I8) memset(packed, 0, (size_t)sovits_packed_bytes(form, n, k));
    for (int64_t first = 0; first < n; first += SOVITS_PANEL) {
        int32_t rows = n - first < SOVITS_PANEL ? (int32_t)(n - first) : SOVITS_PANEL;
        const float *from = weight + first * k;
        uint8_t *to = (uint8_t *)packed + sovits_packed_bytes(form, (int32_t)first, k);
        if (form == SOVITS_I8) {
            for (int64_t row = 0; row < rows; row++)
                quantize_row(k, from + row * k, (int8_t *)to + row * GROUP, scale + first + row, sum + first + row);
        } else if (!pack_panel(form, rows, k, from, to)) {
            return 0;
        }
    }
    return 1;
}
