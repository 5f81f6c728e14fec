/* Panels for several rows at a time: a vector of weights is read once and used for every row of a tile.
 *
 * Included by a kernels_*.c that has named its target and defined, for vectors of WIDTH numbers:
 *   TILE        most rows of a tile
 *   PART        vectors of a panel that a tile takes at a time; TILE x PART sums stay in registers
 *   vec_f32, load_f32, load_f16 (as float32), set_f32, fma_f32, store_f32, zero_f32
 *   vec_i32, load_i8, set_i8 (four codes), dot_i8, store_i32, zero_i32; where an int8 vector is WIDTH groups of four
 */
#ifndef SOVITS_KERNELS_TILES_H
#define SOVITS_KERNELS_TILES_H

/* Weights come from far away: while some are used, those AHEAD are on their way to the nearest cache. */
enum { AHEAD = 2048 };
ALWAYS void fetch(const void *weights, int bytes) {
    for (int i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)weights + AHEAD + i);
}

/* Adds to y what k inputs give. */
#define FLOAT_TILE(NAME, WEIGHT, LOAD)                                                                           \
    ALWAYS void NAME(const int rows, const WEIGHT *w, const float *x, int64_t stride, int k, float *y) {         \
        vec_f32 sum[TILE][PART];                                                                                 \
        for (int r = 0; r < rows; r++)                                                                           \
            for (int j = 0; j < PART; j++) sum[r][j] = load_f32(y + 64 * r + WIDTH * j);                         \
        for (int i = 0; i < k; i++, w += 64) {                                                                   \
            vec_f32 v[PART];                                                                                     \
            fetch(w, PART * WIDTH * (int)sizeof *w);                                                             \
            for (int j = 0; j < PART; j++) v[j] = LOAD(w + WIDTH * j);                                           \
            for (int r = 0; r < rows; r++) {                                                                     \
                vec_f32 one = set_f32(x[r * stride + i]);                                                        \
                for (int j = 0; j < PART; j++) sum[r][j] = fma_f32(v[j], one, sum[r][j]);                        \
            }                                                                                                    \
        }                                                                                                        \
        for (int r = 0; r < rows; r++)                                                                           \
            for (int j = 0; j < PART; j++) store_f32(y + 64 * r + WIDTH * j, sum[r][j]);                         \
    }

FLOAT_TILE(tile_f32, float, load_f32)
FLOAT_TILE(tile_f16, uint16_t, load_f16)

/* The number of rows is known to the compiler in each case, which keeps the sums in registers. */
#define FOR_ROWS(CALL)                                                                                           \
    switch (rows) {                                                                                              \
        case 1: CALL(1); break;                                                                                  \
        case 2: CALL(2); break;                                                                                  \
        case 3: CALL(3); break;                                                                                  \
        case 4: if (TILE >= 4) CALL(TILE >= 4 ? 4 : 1); break;                                                   \
        case 5: if (TILE >= 5) CALL(TILE >= 5 ? 5 : 1); break;                                                   \
        default: if (TILE >= 6) CALL(TILE >= 6 ? 6 : 1);                                                         \
    }

/* Rows in tiles of about equal size, each tile over all parts of the panel. */
#define PANEL(NAME, TILE_NAME, WEIGHT, INPUT, OUTPUT, PART_SIZE)                                                 \
    static void NAME(const WEIGHT *w, const INPUT *x, int64_t stride, int k, int all, OUTPUT *y) {               \
        int tiles = (all + TILE - 1) / TILE;                                                                     \
        for (int part = 0; part < 64; part += PART * WIDTH)                                                      \
            for (int tile = 0; tile < tiles; tile++) {                                                           \
                int first = all * tile / tiles, rows = all * (tile + 1) / tiles - first;                         \
                const WEIGHT *weights = w + part * PART_SIZE;                                                    \
                const INPUT *inputs = x + first * stride;                                                        \
                OUTPUT *outputs = y + 64 * first + part;                                                         \
                FOR_ROWS(TILE_NAME)                                                                              \
            }                                                                                                    \
    }

#define TILE_F32(N) tile_f32(N, weights, inputs, stride, k, outputs)
#define TILE_F16(N) tile_f16(N, weights, inputs, stride, k, outputs)
PANEL(add_panel_f32, TILE_F32, float, float, float, 1)
PANEL(add_panel_f16, TILE_F16, uint16_t, float, float, 1)

/* Several tiles of rows take so many inputs at a time that their weights stay in the nearest cache for all tiles, and
 * that memory is read while the earlier tiles compute. */
enum { BLOCK = 64 };

#define FLOAT_PANEL(NAME, ADD, WEIGHT)                                                                           \
    static void NAME(const WEIGHT *w, const float *x, int64_t stride, int k, int rows, float *y) {               \
        int step = rows <= TILE ? k : BLOCK;                                                                     \
        memset(y, 0, (size_t)rows * 64 * sizeof *y);                                                             \
        for (int i = 0; i < k; i += step)                                                                        \
            ADD(w + (int64_t)64 * i, x + i, stride, k - i < step ? k - i : step, rows, y);                       \
    }

FLOAT_PANEL(panel_f32, add_panel_f32, float)
FLOAT_PANEL(panel_f16, add_panel_f16, uint16_t)

#if defined(dot_i8)

ALWAYS void tile_i8(const int rows, const int8_t *w, const uint8_t *x, int64_t stride, int groups, int32_t *y) {
    vec_i32 sum[TILE][PART];
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < PART; j++) sum[r][j] = zero_i32();
    for (int i = 0; i < groups; i++, w += 256) {
        vec_i32 v[PART];
        fetch(w, 4 * PART * WIDTH);
        for (int j = 0; j < PART; j++) v[j] = load_i8(w + 4 * WIDTH * j);
        for (int r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, x + r * stride + 4 * i, 4);
            vec_i32 codes = set_i8(four);
            for (int j = 0; j < PART; j++) sum[r][j] = dot_i8(sum[r][j], codes, v[j]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < PART; j++) store_i32(y + 64 * r + WIDTH * j, sum[r][j]);
}

#define TILE_I8(N) tile_i8(N, weights, inputs, stride, k, outputs)
PANEL(panel_i8, TILE_I8, int8_t, uint8_t, int32_t, 4)

#endif
#endif
