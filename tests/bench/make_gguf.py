"""A model of random weights as a GGUF file, for llama.cpp: the shape of CONFIG_FOLDER/config.json, without a tokenizer.

    make_gguf.py CONFIG_FOLDER f32|bf16 OUT.gguf

Needs the packages gguf and numpy, which specrej does not.
"""
import json
import pathlib
import sys

import gguf
import numpy


def matrices(c):
    """(name, rows, columns) of every matrix."""
    D, F, V = c["hidden_size"], c["intermediate_size"], c["vocab_size"]
    E = c.get("head_dim", D // c["num_attention_heads"])
    H, G = c["num_attention_heads"] * E, c["num_key_value_heads"] * E
    yield "token_embd", V, D
    yield "output", V, D
    for i in range(c["num_hidden_layers"]):
        for name, rows, columns in [("attn_q", H, D), ("attn_k", G, D), ("attn_v", G, D), ("attn_output", D, H),
                                    ("ffn_gate", F, D), ("ffn_up", F, D), ("ffn_down", D, F)]:
            yield f"blk.{i}.{name}", rows, columns


def main():
    if len(sys.argv) != 4 or sys.argv[2] not in ("f32", "bf16"):
        sys.exit(__doc__)
    c = json.loads((pathlib.Path(sys.argv[1]) / "config.json").read_text())
    w = gguf.GGUFWriter(sys.argv[3], "llama")
    w.add_name(pathlib.Path(sys.argv[1]).name)
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_block_count(c["num_hidden_layers"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(c["num_attention_heads"])
    w.add_head_count_kv(c["num_key_value_heads"])
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    w.add_rope_freq_base(c["rope_theta"])
    w.add_rope_dimension_count(c["hidden_size"] // c["num_attention_heads"])
    w.add_vocab_size(c["vocab_size"])
    w.add_tokenizer_model("none")
    random = numpy.random.default_rng(1)
    kind = gguf.GGMLQuantizationType.BF16 if sys.argv[2] == "bf16" else gguf.GGMLQuantizationType.F32
    w.add_file_type(gguf.LlamaFileType.MOSTLY_BF16 if sys.argv[2] == "bf16" else gguf.LlamaFileType.ALL_F32)
    for name, rows, columns in matrices(c):
        x = random.standard_normal((rows, columns), dtype=numpy.float32) * numpy.float32(columns**-0.5)
        w.add_tensor(f"{name}.weight", gguf.quants.quantize(x, kind) if sys.argv[2] == "bf16" else x, raw_dtype=kind)
    ones = numpy.ones(c["hidden_size"], dtype=numpy.float32)
    w.add_tensor("output_norm.weight", ones)
    for i in range(c["num_hidden_layers"]):
        w.add_tensor(f"blk.{i}.attn_norm.weight", ones)
        w.add_tensor(f"blk.{i}.ffn_norm.weight", ones)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main()
