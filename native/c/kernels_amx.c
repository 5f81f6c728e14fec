/* Int8 panels by AMX tiles: the rows of a tile are requests, so it gains where there are several.
 *
 *     sums [rows][16] += codes [rows][64] x weights [16 groups][16 outputs][4]
 *
 * The packed panel is what a tile of weights is, 256 bytes from group to group. Sums are exact, as those of VNNI. */
#include "kernels.h"

#if defined(__x86_64__) && defined(SOVITS_VNNI_AND_AMX)

#include <immintrin.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("amx-tile,amx-int8"))), apply_to = function)
#else
#pragma GCC target("amx-tile,amx-int8")
#endif

enum { LEAST_ROWS = 3, GROUPS = 16, PANEL_BYTES = 256, AHEAD = GROUPS * PANEL_BYTES };

struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

_Static_assert(sizeof(struct tile_config) == 64, "what LDTILECFG reads");

static void configure(int rows) {
    struct tile_config config;
    memset(&config, 0, sizeof config);
    config.palette = 1;
    for (int tile = 0; tile < 7; tile++) {
        config.row_bytes[tile] = 64;
        config.rows[tile] = (uint8_t)(tile < 5 ? rows : GROUPS); /* 0 to 3: sums; 4: codes; 5, 6: weights */
    }
    _tile_loadconfig(&config);
}

/* Half of the weights that the loop reads next, on their way to the nearest cache. */
static void fetch_half(const int8_t *weights) {
    for (int i = 0; i < AHEAD / 2; i += 64) _mm_prefetch((const char *)weights + i, _MM_HINT_T0);
}

void panel_i8_amx(const int8_t *weight, const uint8_t *x, int64_t stride, int groups, int rows, int32_t *y) {
    if (rows < LEAST_ROWS || groups % GROUPS) {
        panel_i8_avx512(weight, x, stride, groups, rows, y);
        return;
    }
    configure(rows);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int group = 0; group < groups; group += GROUPS) {
        const int8_t *w = weight + group * PANEL_BYTES;
        _tile_loadd(4, x + 4 * group, stride);
        fetch_half(w + AHEAD);
        _tile_loadd(5, w, PANEL_BYTES);
        _tile_loadd(6, w + 64, PANEL_BYTES);
        _tile_dpbusd(0, 4, 5);
        _tile_dpbusd(1, 4, 6);
        fetch_half(w + AHEAD + AHEAD / 2);
        _tile_loadd(5, w + 128, PANEL_BYTES);
        _tile_loadd(6, w + 192, PANEL_BYTES);
        _tile_dpbusd(2, 4, 5);
        _tile_dpbusd(3, 4, 6);
    }
    _tile_stored(0, y, PANEL_BYTES);
    _tile_stored(1, y + 16, PANEL_BYTES);
    _tile_stored(2, y + 32, PANEL_BYTES);
    _tile_stored(3, y + 48, PANEL_BYTES);
    _tile_release();
}

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
