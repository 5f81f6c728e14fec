#ifndef SOVITS_SAMPLE_H
#define SOVITS_SAMPLE_H

#include "gpt_step.h"

struct candidate {
    float value;
    int32_t token;
};

/* Samples the next token from the request's logits, by the rule of the graph; candidates has room for the vocabulary.
 * Source: GPT-SoVITS, AR/models/utils.py, logits_to_probs and sample. */
void sample_token(const sovits_gpt *gpt, const sovits_request *request, struct candidate *candidates);

#endif
