/* The kernels for one kind of processor: included once for each, with NAME(x) giving the names and ISA the kind. */

/* y[0:64] of a panel, float32 weights */
static void NAME(panel_f32)(const float *w, const float *x, int k, float *y) {
#if ISA == 3
    __m512 a = _mm512_setzero_ps(), b = a, c = a, d = a;
    for (int i = 0; i < k; i++, w += 64) {
        __m512 v = _mm512_set1_ps(x[i]);
        a = _mm512_fmadd_ps(_mm512_loadu_ps(w), v, a);
        b = _mm512_fmadd_ps(_mm512_loadu_ps(w + 16), v, b);
        c = _mm512_fmadd_ps(_mm512_loadu_ps(w + 32), v, c);
        d = _mm512_fmadd_ps(_mm512_loadu_ps(w + 48), v, d);
    }
    _mm512_storeu_ps(y, a), _mm512_storeu_ps(y + 16, b), _mm512_storeu_ps(y + 32, c), _mm512_storeu_ps(y + 48, d);
#elif ISA == 2
    __m256 a[8];
    for (int j = 0; j < 8; j++) a[j] = _mm256_setzero_ps();
    for (int i = 0; i < k; i++, w += 64) {
        __m256 v = _mm256_set1_ps(x[i]);
        for (int j = 0; j < 8; j++) a[j] = _mm256_fmadd_ps(_mm256_loadu_ps(w + 8 * j), v, a[j]);
    }
    for (int j = 0; j < 8; j++) _mm256_storeu_ps(y + 8 * j, a[j]);
#else
    float a[64] = {0};
    for (int i = 0; i < k; i++, w += 64)
        for (int j = 0; j < 64; j++) a[j] += w[j] * x[i];
    memcpy(y, a, sizeof a);
#endif
}

/* the same, float16 weights */
static void NAME(panel_f16)(const uint16_t *w, const float *x, int k, float *y) {
#if ISA == 3
    __m512 a = _mm512_setzero_ps(), b = a, c = a, d = a;
    for (int i = 0; i < k; i++, w += 64) {
        __m512 v = _mm512_set1_ps(x[i]);
        a = _mm512_fmadd_ps(_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)w)), v, a);
        b = _mm512_fmadd_ps(_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(w + 16))), v, b);
        c = _mm512_fmadd_ps(_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(w + 32))), v, c);
        d = _mm512_fmadd_ps(_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(w + 48))), v, d);
    }
    _mm512_storeu_ps(y, a), _mm512_storeu_ps(y + 16, b), _mm512_storeu_ps(y + 32, c), _mm512_storeu_ps(y + 48, d);
#elif ISA == 2
    __m256 a[8];
    for (int j = 0; j < 8; j++) a[j] = _mm256_setzero_ps();
    for (int i = 0; i < k; i++, w += 64) {
        __m256 v = _mm256_set1_ps(x[i]);
        for (int j = 0; j < 8; j++)
            a[j] = _mm256_fmadd_ps(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(w + 8 * j))), v, a[j]);
    }
    for (int j = 0; j < 8; j++) _mm256_storeu_ps(y + 8 * j, a[j]);
#else
    float a[64] = {0};
    for (int i = 0; i < k; i++, w += 64)
        for (int j = 0; j < 64; j++) a[j] += from_half(w[j]) * x[i];
    memcpy(y, a, sizeof a);
#endif
}

/* Exact sums of uint8 x int8 products, four inputs a group. */
static void NAME(panel_i8)(const int8_t *w, const uint8_t *x, int groups, int32_t *y) {
#if ISA == 3
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (int i = 0; i < groups; i++, w += 256) {
        int32_t four;
        memcpy(&four, x + 4 * i, 4);
        __m512i v = _mm512_set1_epi32(four);
        a = _mm512_dpbusd_epi32(a, v, _mm512_loadu_si512(w));
        b = _mm512_dpbusd_epi32(b, v, _mm512_loadu_si512(w + 64));
        c = _mm512_dpbusd_epi32(c, v, _mm512_loadu_si512(w + 128));
        d = _mm512_dpbusd_epi32(d, v, _mm512_loadu_si512(w + 192));
    }
    _mm512_storeu_si512(y, a), _mm512_storeu_si512(y + 16, b);
    _mm512_storeu_si512(y + 32, c), _mm512_storeu_si512(y + 48, d);
#elif ISA == 2
    /* In 16 bits: pairs added, then in 32: no product saturates. */
    __m256i a[8];
    for (int j = 0; j < 8; j++) a[j] = _mm256_setzero_si256();
    for (int i = 0; i < groups; i++, w += 256) {
        int32_t four;
        memcpy(&four, x + 4 * i, 4);
        __m256i v = _mm256_cvtepu8_epi16(_mm_set1_epi32(four));
        for (int j = 0; j < 8; j++) {
            __m256i low = _mm256_madd_epi16(v, _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(w + 32 * j))));
            __m256i high =
                _mm256_madd_epi16(v, _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(w + 32 * j + 16))));
            a[j] = _mm256_add_epi32(a[j], _mm256_hadd_epi32(low, high));
        }
    }
    for (int j = 0; j < 8; j++) /* hadd works within halves: outputs 0 1 4 5 | 2 3 6 7 */
        _mm256_storeu_si256((__m256i *)(y + 8 * j), _mm256_permute4x64_epi64(a[j], 0xd8));
#else
    memset(y, 0, 64 * sizeof *y);
    for (int i = 0; i < groups; i++, w += 256)
        for (int j = 0; j < 64; j++)
            for (int l = 0; l < 4; l++) y[j] += w[4 * j + l] * x[4 * i + l];
#endif
}

/* One head: softmax(q K) V over `rows` rows [rows][size]; score is room for the rows, rounded up to 16. */
static void NAME(attend)(const float *restrict q, const float *restrict keys, const float *restrict values, int rows,
                         int size, float *restrict score, float *restrict y) {
    float scale = 1 / sqrtf((float)size), top = -INFINITY;
    int row = 0;
#if ISA > 1
    if (size % 8 == 0)
        for (; row + 3 < rows; row += 4) {
            const float *key = keys + (int64_t)row * size;
            __m256 a = _mm256_setzero_ps(), b = a, c = a, d = a;
            for (int i = 0; i < size; i += 8) {
                __m256 v = _mm256_loadu_ps(q + i);
                a = _mm256_fmadd_ps(_mm256_loadu_ps(key + i), v, a);
                b = _mm256_fmadd_ps(_mm256_loadu_ps(key + size + i), v, b);
                c = _mm256_fmadd_ps(_mm256_loadu_ps(key + 2 * size + i), v, c);
                d = _mm256_fmadd_ps(_mm256_loadu_ps(key + 3 * size + i), v, d);
            }
            a = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d)); /* four halves, then four halves */
            _mm_storeu_ps(score + row, _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1)));
        }
#endif
    for (; row < rows; row++) {
        const float *key = keys + (int64_t)row * size;
        float sum = 0;
        for (int i = 0; i < size; i++) sum += q[i] * key[i];
        score[row] = sum;
    }
    for (int i = 0; i < rows; i++) {
        score[i] *= scale;
        top = score[i] > top ? score[i] : top;
    }
    float part[16] = {0}, sum = 0;
    int padded = (rows + 15) / 16 * 16;
    for (int i = rows; i < padded; i++) score[i] = -INFINITY;
    for (int i = 0; i < padded; i += 16)
        for (int j = 0; j < 16; j++) {
            score[i + j] = exp_of(score[i + j] - top);
            part[j] += score[i + j];
        }
    for (int j = 0; j < 16; j++) sum += part[j];
    for (int i = 0; i < size; i++) y[i] = 0;
    row = 0;
#if ISA > 1
    if (size == 32) {
        __m256 a[8];
        for (int i = 0; i < 8; i++) a[i] = _mm256_setzero_ps();
        for (; row + 1 < rows; row += 2) {
            const float *value = values + (int64_t)row * 32;
            __m256 s = _mm256_set1_ps(score[row]), t = _mm256_set1_ps(score[row + 1]);
            for (int i = 0; i < 4; i++) a[i] = _mm256_fmadd_ps(_mm256_loadu_ps(value + 8 * i), s, a[i]);
            for (int i = 4; i < 8; i++) a[i] = _mm256_fmadd_ps(_mm256_loadu_ps(value + 8 * i), t, a[i]);
        }
        for (int i = 0; i < 4; i++) _mm256_storeu_ps(y + 8 * i, _mm256_add_ps(a[i], a[i + 4]));
    }
#endif
    for (; row < rows; row++) {
        const float *value = values + (int64_t)row * size;
        for (int i = 0; i < size; i++) y[i] += score[row] * value[i];
    }
    for (int i = 0; i < size; i++) y[i] /= sum;
}

/* Codes of a row as ONNX's DynamicQuantizeLinear gives them: the range, 0 included, in 255 steps. */
static void NAME(quantize)(const float *restrict x, int k, uint8_t *restrict codes, float *scale, int32_t *zero) {
    float low[16] = {0}, high[16] = {0}, least = 0, most = 0;
    int i = 0;
    for (; i + 15 < k; i += 16)
        for (int j = 0; j < 16; j++) {
            low[j] = x[i + j] < low[j] ? x[i + j] : low[j];
            high[j] = x[i + j] > high[j] ? x[i + j] : high[j];
        }
    for (; i < k; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    for (int j = 0; j < 16; j++) {
        least = low[j] < least ? low[j] : least;
        most = high[j] > most ? high[j] : most;
    }
    float step = most > least ? (most - least) / 255 : 1, middle = nearbyintf(-least / step);
    for (int i = 0; i < k; i++) {
        float code = nearbyintf(x[i] / step) + middle;
        code = code < 0 ? 0 : code;
        codes[i] = (uint8_t)(int32_t)(code > 255 ? 255 : code);
    }
    *scale = step;
    *zero = (int32_t)middle;
}

/* x = norm(x + y) */
static void NAME(add_and_norm)(float *restrict x, const float *restrict y, int width, const float *restrict weight,
                               const float *restrict bias, float epsilon) {
    float part[16] = {0}, mean = 0, spread = 0;
    for (int i = 0; i < width; i++) x[i] += y[i];
    int whole = width / 16 * 16;
    for (int i = 0; i < whole; i += 16)
        for (int j = 0; j < 16; j++) part[j] += x[i + j];
    for (int j = 0; j < 16; j++) mean += part[j];
    for (int i = whole; i < width; i++) mean += x[i];
    mean /= (float)width;
    for (int j = 0; j < 16; j++) part[j] = 0;
    for (int i = 0; i < whole; i += 16)
        for (int j = 0; j < 16; j++) part[j] += (x[i + j] - mean) * (x[i + j] - mean);
    for (int j = 0; j < 16; j++) spread += part[j];
    for (int i = whole; i < width; i++) spread += (x[i] - mean) * (x[i] - mean);
    float scale = 1 / sqrtf(spread / (float)width + epsilon);
    for (int i = 0; i < width; i++) x[i] = (x[i] - mean) * scale * weight[i] + bias[i];
}

/* float16 of n numbers; 0 where one of them is none. */
static int NAME(halve)(const float *x, int n, uint16_t *y) {
    int i = 0;
#if ISA > 1
    for (; i + 7 < n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        __m128i half = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
        if (_mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_cvtph_ps(half), _CMP_NEQ_UQ))) return 0;
        _mm_storeu_si128((__m128i *)(y + i), half);
    }
#endif
    for (; i < n; i++) {
        int32_t half = to_half(x[i]);
        if (half < 0) return 0;
        y[i] = (uint16_t)half;
    }
    return 1;
}
