/* The packed layout of a matrix: panels of 64 outputs; int8 also has its inputs in groups of four. */
#ifndef SOVITS_PACK_H
#define SOVITS_PACK_H

#include "gpt_step.h"

enum { GROUP = 4 };

static inline int64_t panel_count(int32_t n) { return (n + SOVITS_PANEL - 1) / SOVITS_PANEL; }
static inline int64_t group_count(int32_t k) { return (k + GROUP - 1) / GROUP; }

#endif
