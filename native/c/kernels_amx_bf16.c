/* Products of bfloat16 by AMX tiles.
 *
 *     sums [16 rows][16] += inputs [16 rows][32] x weights [16 pairs][16 outputs][2]
 *
 * Rows are whole tiles: what a call computes behind its last row is not looked at, and each row has its order. */
#include "kernels.h"

#if defined(__x86_64__) && defined(SOVITS_VNNI_AND_AMX)

#include <immintrin.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("amx-tile,amx-bf16"))), apply_to = function)
#else
#pragma GCC target("amx-tile,amx-bf16")
#endif

enum { ROWS = 16, INPUTS = 32, TILE_BYTES = 64, PANEL_STEP = INPUTS / 2 * 32 }; /* numbers of 32 inputs of a panel */

struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

_Static_assert(sizeof(struct tile_config) == 64, "what LDTILECFG reads");

static void configure(void) {
    struct tile_config config;
    memset(&config, 0, sizeof config);
    config.palette = 1;
    for (int tile = 0; tile < 8; tile++) {
        config.row_bytes[tile] = TILE_BYTES;
        config.rows[tile] = ROWS;
    }
    _tile_loadconfig(&config);
}

/* 32 rows of two panels. */
static void two_by_two(const struct products *p, const uint16_t *w, const uint16_t *x, float *y, int64_t width) {
    const int64_t stride = 2 * p->stride, panel = p->panel, below = ROWS * p->stride;
    const int32_t k = p->k;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int32_t s = 0; s < p->segments; s++, x += p->segment)
        for (int32_t i = 0; i < k; i += INPUTS, w += PANEL_STEP) {
            _tile_loadd(4, x + i, stride);
            _tile_loadd(6, w, TILE_BYTES);
            _tile_loadd(7, w + panel, TILE_BYTES);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(5, x + i + below, stride);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    _tile_stored(0, y, 4 * width);
    _tile_stored(1, y + 16, 4 * width);
    _tile_stored(2, y + ROWS * width, 4 * width);
    _tile_stored(3, y + ROWS * width + 16, 4 * width);
}

/* 64 rows of one panel. */
static void four_by_one(const struct products *p, const uint16_t *w, const uint16_t *x, float *y, int64_t width) {
    const int64_t stride = 2 * p->stride, below = ROWS * p->stride;
    const int32_t k = p->k;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int32_t s = 0; s < p->segments; s++, x += p->segment)
        for (int32_t i = 0; i < k; i += INPUTS, w += PANEL_STEP) {
            _tile_loadd(6, w, TILE_BYTES);
            _tile_loadd(4, x + i, stride);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(5, x + i + below, stride);
            _tile_dpbf16ps(1, 5, 6);
            _tile_loadd(4, x + i + 2 * below, stride);
            _tile_dpbf16ps(2, 4, 6);
            _tile_loadd(5, x + i + 3 * below, stride);
            _tile_dpbf16ps(3, 5, 6);
        }
    _tile_stored(0, y, 4 * width);
    _tile_stored(1, y + ROWS * width, 4 * width);
    _tile_stored(2, y + 2 * ROWS * width, 4 * width);
    _tile_stored(3, y + 3 * ROWS * width, 4 * width);
}

void products_bf16_amx(const struct products *p, const uint16_t *weight, const uint16_t *x, int rows, float *y) {
    int64_t width = 16 * p->panels;
    configure();
    for (int panel = 0; panel < p->panels; panel += 2) {
        const uint16_t *w = weight + panel * p->panel;
        if (panel + 1 < p->panels)
            for (int row = 0; row < rows; row += 2 * ROWS)
                two_by_two(p, w, x + row * p->stride, y + row * width + 16 * panel, width);
        else
            for (int row = 0; row < rows; row += 4 * ROWS)
                four_by_one(p, w, x + row * p->stride, y + row * width + 16 * panel, width);
    }
    _tile_release();
}

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
