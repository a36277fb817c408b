/* The heads of reward models, applied on the host to the output of the final norm.  Pure functions:
 * f32 storage, every sum in double in one fixed order, so that a reward's bits depend on its hidden
 * state alone, on any backend.
 *
 * On the host also where a GPU does the rest: a round needs one row of hidden states per candidate.
 * 1,024 candidates of an 8B model (D 4096, bf16) are 8 MiB to copy and, for one label, 4.2 million
 * multiplications, for ArmoRM's 19 objectives 80 million, beside 2 x 10^15 FLOPs of the forward
 * pass over 128 new tokens of each.  A two-layer head multiplies D x D times for each candidate
 * (Qwen2.5-Math-RM-7B, D 3584: 13 million); there a product on the device would pay.
 *
 * Sources: the published modelling code of the models that arch.h names. */
#pragma once

#include "model/weights.h"

/* HEAD_GATED: the row of a prompt's tokens whose hidden state opens the gate: the first token of
 * the last occurrence of `pattern` (for ArmoRM the tokens of
 * "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n", so the end of the user's turn, not
 * the end of the prompt).  -1 when it does not occur. */
int64_t reward_head_gate_row(const int32_t *ids, int64_t n, const int32_t *pattern,
                             int64_t n_pattern);

/* HEAD_GATED: gate [n_objectives] = softmax(MLP(prompt_hidden [D]) / temperature) * logit_scale.
 * Returns 0, or -1 when the gate is not finite. */
int reward_head_gate(const struct arch *a, const struct head_weights *h, const float *prompt_hidden,
                     float *gate);

/* The reward of a sequence whose last token's hidden state is hidden [D]; NaN where it is not
 * finite: an overflow is no reward, and as +inf it would be the best.  gate [n_objectives]:
 * HEAD_GATED only.
 * - score, eurus: linear . hidden + bias
 * - two layers: dense2 . relu(dense1 hidden + bias1) + bias2
 * - gated: sum over i of gate_i (objectives(hidden) transform)_i */
float reward_head_apply(const struct arch *a, const struct head_weights *h, const float *hidden,
                        const float *gate);
