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
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512vl,avx512bf16,amx-tile,amx-bf16"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512vl,avx512bf16,amx-tile,amx-bf16")
#endif

enum { ROWS = 16, INPUTS = 32, TILE_BYTES = 64, BLOCK_SUMS = 4 * ROWS * 16 };
enum { PANEL_STEP = INPUTS / 2 * 32 }; /* numbers of 32 inputs of a panel */

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

/* Sums of a block, which are finished while the next one's are computed: tiles and vectors work side by side. */
struct block {
    float sums[BLOCK_SUMS] __attribute__((aligned(64)));
    int64_t at; /* of its first number in the outputs */
    int rows, width, column;
};

static inline void finish_row(const struct finish *f, const struct block *b, int row) {
    for (int i = 0; i < b->width; i += 16) {
        int64_t at = b->at + row * f->stride + i;
        __m512 v = _mm512_add_ps(_mm512_load_ps(b->sums + row * b->width + i), _mm512_loadu_ps(f->bias + b->column + i));
        if (f->residual) v = _mm512_add_ps(v, _mm512_loadu_ps(f->residual + at));
        if (f->total) v = _mm512_mul_ps(_mm512_add_ps(v, _mm512_loadu_ps(f->total + at)), _mm512_set1_ps(f->scale));
        if (f->raw) _mm512_storeu_ps(f->raw + at, v);
        v = _mm512_max_ps(v, _mm512_mul_ps(v, _mm512_set1_ps(f->slope)));
        if (f->active) _mm512_storeu_ps(f->active + at, v);
        if (f->active_bf16) {
            __m256bh half = _mm512_cvtneps_pbh(v);
            memcpy(f->active_bf16 + at, &half, sizeof half);
        }
    }
}

/* 32 rows of two panels, or 64 of one; `before` is finished meanwhile. */
static inline __attribute__((always_inline)) void block(const int panels, const struct products *p,
                                                        const struct finish *f, const uint16_t *w, const uint16_t *x,
                                                        struct block *b, const struct block *before) {
    const int64_t stride = 2 * p->stride, panel = p->panel, below = ROWS * p->stride;
    const int32_t k = p->k, steps = p->segments * (k / INPUTS);
    const int some = (before->rows + steps - 1) / steps;
    int finished = 0;
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
            if (panels == 2) {
                _tile_loadd(7, w + panel, TILE_BYTES);
                _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
            } else {
                _tile_dpbf16ps(1, 5, 6);
                _tile_loadd(4, x + i + 2 * below, stride);
                _tile_dpbf16ps(2, 4, 6);
                _tile_loadd(5, x + i + 3 * below, stride);
                _tile_dpbf16ps(3, 5, 6);
            }
            for (int end = finished + some; finished < end && finished < before->rows; finished++)
                finish_row(f, before, finished);
        }
    const int across = panels == 2 ? 16 : 16 * ROWS, down = panels == 2 ? 32 * ROWS : 2 * 16 * ROWS;
    _tile_stored(0, b->sums, 64 * panels);
    _tile_stored(1, b->sums + across, 64 * panels);
    _tile_stored(2, b->sums + down, 64 * panels);
    _tile_stored(3, b->sums + down + across, 64 * panels);
}

void convolve_bf16_amx(const struct products *p, const struct finish *f, const uint16_t *weight, const uint16_t *x,
                       int64_t rows) {
    struct block blocks[2], *b = blocks, *before = blocks + 1;
    before->rows = 0;
    configure();
    for (int panel = 0; panel < p->panels; panel += 2) {
        const int panels = p->panels - panel > 1 ? 2 : 1, most = BLOCK_SUMS / 16 / panels;
        const uint16_t *w = weight + panel * p->panel;
        for (int64_t row = 0; row < rows; row += most) {
            b->rows = rows - row < most ? (int)(rows - row) : most;
            b->width = 16 * panels;
            b->column = 16 * panel;
            b->at = row * f->stride + b->column;
            if (panels == 2)
                block(2, p, f, w, x + row * p->stride, b, before);
            else
                block(1, p, f, w, x + row * p->stride, b, before);
            struct block *swap = before;
            before = b;
            b = swap;
        }
    }
    for (int row = 0; row < before->rows; row++) finish_row(f, before, row);
    _tile_release();
}

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
