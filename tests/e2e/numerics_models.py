#!/usr/bin/env python3
"""Writes tiny models in which one token's numbers overflow, and prompts for them.

    python3 numerics_models.py FOLDER

sound                   a Llama of random weights with 3 layers and 160 tokens
mlp, attention, head    the same, but what reads TOKEN is not finite from the MLP of layer 1, the attention of layer 2 or
                        the vocabulary projection on; every other row has sound's bits
ends                    the same, but every candidate's first token is the end token
reward_sound            a reward model;  reward_nan: the same, but texts that hold REWARD_TOKEN have no finite reward
reward_equal            all rewards are the same
prompts.jsonl           rows 0 to 5 have neither token, 6 ends with TOKEN, 7 holds it further up, 8 holds REWARD_TOKEN

How: coordinate 0 of the residual stream is 0 but for that token, where it is large, and nothing but the fault reads it.
"""
import json
import random
import sys
from pathlib import Path

from verbs_models import write_tensors

V, D, L, H, G, E, F = 160, 32, 3, 4, 2, 8, 64  # as in src/backend/backend.h
TOKEN, REWARD_TOKEN = 77, 55


class Matrix:
    def __init__(self, rng, rows, columns, scale):
        self.shape = [rows, columns]
        self.values = [rng.gauss(0, scale) for _ in range(rows * columns)]

    def put(self, row, column, value):
        self.values[row * self.shape[1] + column] = value

    def clear(self, row=None, column=None):
        for r in range(self.shape[0]) if row is None else [row]:
            for c in range(self.shape[1]) if column is None else [column]:
                self.put(r, c, 0.0)


def tensors(seed, is_reward, token):
    """A sound model that marks the token in coordinate 0."""
    rng = random.Random(seed)
    t = {"model.embed_tokens.weight": Matrix(rng, V, D, 1.0)}
    t["score.weight" if is_reward else "lm_head.weight"] = Matrix(rng, 1 if is_reward else V, D, 0.4)
    for layer in range(L):
        p = f"model.layers.{layer}."
        for name, rows, columns in (("self_attn.q_proj", H * E, D), ("self_attn.k_proj", G * E, D),
                                    ("self_attn.v_proj", G * E, D), ("self_attn.o_proj", D, H * E),
                                    ("mlp.gate_proj", F, D), ("mlp.up_proj", F, D), ("mlp.down_proj", D, F)):
            m = t[f"{p}{name}.weight"] = Matrix(rng, rows, columns, 0.3)
            if rows == D and name in ("self_attn.o_proj", "mlp.down_proj"):
                m.clear(row=0)
            else:
                m.clear(column=0)
    t["model.embed_tokens.weight"].clear(column=0)
    t["model.embed_tokens.weight"].put(token, 0, 40.0)
    t["score.weight" if is_reward else "lm_head.weight"].clear(column=0)
    return t


def break_mlp(t, layer):
    p = f"model.layers.{layer}.mlp."
    for name in ("gate_proj", "up_proj"):
        t[f"{p}{name}.weight"].clear(row=0)
        t[f"{p}{name}.weight"].put(0, 0, 6.0)
    t[p + "down_proj.weight"].clear(column=0)
    t[p + "down_proj.weight"].put(5, 0, 1e37)


def break_attention(t, layer):
    p = f"model.layers.{layer}.self_attn."
    t[p + "v_proj.weight"].clear(row=0)
    t[p + "v_proj.weight"].put(0, 0, 1e38)
    for head in range(H // G):  # the heads that read it, for the others' sake
        t[p + "o_proj.weight"].clear(column=head * E)
        t[p + "o_proj.weight"].put(3, head * E, 1.0)


def sound_beside(t):
    """What the faults clear is cleared here as well, so that other tokens' rows have equal bits."""
    break_mlp(t, 1)
    break_attention(t, 2)
    t["model.layers.1.mlp.down_proj.weight"].put(5, 0, 0.0)
    t["model.layers.2.self_attn.v_proj.weight"].put(0, 0, 0.0)
    return t


def checkpoint(folder, t, is_reward):
    folder.mkdir(parents=True)
    config = {"architectures": ["LlamaForSequenceClassification" if is_reward else "LlamaForCausalLM"],
              "model_type": "llama", "hidden_size": D, "num_hidden_layers": L, "num_attention_heads": H,
              "num_key_value_heads": G, "head_dim": E, "intermediate_size": F, "vocab_size": V,
              "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
              "torch_dtype": "float32", "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False,
              "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    (folder / "config.json").write_text(json.dumps(config))
    values = {name: (m.shape, m.values) for name, m in t.items()}
    for name in ["model.norm"] + [f"model.layers.{i}.{n}" for i in range(L)
                                  for n in ("input_layernorm", "post_attention_layernorm")]:
        values[name + ".weight"] = [D], [1.0] * D
    write_tensors(folder / "model.safetensors", values)


def generator(fault):
    t = sound_beside(tensors(1, False, TOKEN))
    if fault == "mlp":
        t["model.layers.1.mlp.down_proj.weight"].put(5, 0, 1e37)
    if fault == "attention":
        t["model.layers.2.self_attn.v_proj.weight"].put(0, 0, 1e38)
    if fault == "head":
        t["lm_head.weight"].put(9, 0, 1e38)
    if fault == "ends":
        for token in range(V):
            t["model.embed_tokens.weight"].put(token, 0, 10.0)
        t["lm_head.weight"].put(2, 0, 100.0)
    return t


def reward(fault):
    t = tensors(2, True, REWARD_TOKEN)
    break_mlp(t, 0)
    if fault != "nan":
        t["model.layers.0.mlp.down_proj.weight"].put(5, 0, 0.0)
    if fault == "equal":
        t["score.weight"].clear(row=0)
    return t


def prompts():
    rng = random.Random(3)
    ids = [i for i in range(4, 150) if i not in (TOKEN, REWARD_TOKEN)]
    rows = [[rng.choice(ids) for _ in range(rng.randrange(3, 40))] for _ in range(6)]
    rows += [[5, 6, 7, TOKEN], [5, TOKEN, 6, 7], [5, REWARD_TOKEN, 6, 7]]
    return "".join(json.dumps({"prompt_ids": row}) + "\n" for row in rows)


def main():
    out = Path(sys.argv[1])
    for fault in ("sound", "mlp", "attention", "head", "ends"):
        checkpoint(out / fault, generator(fault), False)
    for fault in ("sound", "nan", "equal"):
        checkpoint(out / f"reward_{fault}", reward(fault), True)
    (out / "prompts.jsonl").write_text(prompts())


if __name__ == "__main__":
    main()
