#!/usr/bin/env python3
"""Checks of plans as JSON.  See test_plan_job.sh.

    plan_check.py CHECK PLAN.json [ARGUMENT...]
"""
import json
import re
import subprocess
import sys

FIGURE_SOURCES = {"data sheet", "measured", "assumed", "given"}


def demo(plan):
    assert plan["problems"] == [] and plan["ranks"] == 2
    best_of_n, rejection = plan["points"]
    assert (best_of_n["method"], rejection["method"]) == ("best_of_n", "speculative_rejection")
    for point in plan["points"]:
        assert point["n_least"] == point["n_most"] == 120 and point["prompts"] == 16
        assert point["memory"]["budget_tokens"] == 2992
        assert 0 < point["prompt"]["floor_s"] <= point["prompt"]["expected_s"] < point["job_s"]
        assert 0 < point["file_bytes"] < 20e6
        memory = point["memory"]
        parts = ["generator_weights", "reward_weights", "workspace", "generator_kv", "reward_kv"]
        assert memory["taken_bytes"] == sum(memory[part + "_bytes"] for part in parts)
        # 187 pages of 16 tokens: 3 layers, 4 heads of 16, keys and values of the dtype
        number = {"f32": 4, "bf16": 2}[plan["hardware"]["dtype"]]
        assert memory["generator_kv_bytes"] == 187 * 16 * 3 * 4 * 16 * 2 * number
    assert best_of_n["prompt"]["of_best_of_n_tokens"] is None
    share = rejection["prompt"]["tokens_generated"] / best_of_n["prompt"]["tokens_generated"]
    assert abs(rejection["prompt"]["of_best_of_n_tokens"] - share) < 1e-9
    # Without --like every candidate reaches the limit.
    assert best_of_n["prompt"]["tokens_generated"] == 120 * 384
    # 120 candidates to 17 tokens; 60 to 49, when their pages are 3 x 60; 30 to 97; 15 to 193; 7 to 384
    # (184 or 185 pages of own budget, by the prompt's length)
    assert rejection["prompt"]["rounds"] in (5, 6)
    assert 7000 < rejection["prompt"]["tokens_generated"] < 9000
    models = {model["role"]: model for model in plan["models"]}
    assert models["generator"]["tensors"] == 29 and not models["generator"]["config_only"]
    assert plan["prompts"]["n"] == 16 and plan["prompts"]["skipped"] == 0 and not plan["prompts"]["guessed"]
    figures = plan["hardware"]["figures"]
    assert {figure["source"] for figure in figures.values()} <= FIGURE_SOURCES
    assert figures["bandwidth"]["source"] == figures["tflops"]["source"] == "measured"
    assert figures["efficiency"]["source"] == "assumed"
    assert [row["ranks"] for row in plan["scaling"]] == [2**k for k in range(11)]
    assert plan["output"]["free_bytes"] > 0 and plan["output"]["file_system"]


def memory(plan, said):
    """What a run said of a rank's memory (MiB, one decimal) is what the plan says."""
    text = open(said).read()
    line = re.search(r"weights ([\d.]+) \+ workspace ([\d.]+) \+ KV pages ([\d.]+) = ([\d.]+) MiB", text)
    planned = plan["points"][0]["memory"]
    weights = planned["generator_weights_bytes"] + planned["reward_weights_bytes"]
    pages = planned["generator_kv_bytes"] + planned["reward_kv_bytes"]
    # Without budget_tokens the budget is what is free at that moment.
    for got, want in zip(line.groups(), (weights, planned["workspace_bytes"], pages, planned["taken_bytes"])):
        assert abs(float(got) - want / 2**20) < 0.051 + 0.02 * want / 2**20, (line.group(0), planned)


def work(plan, path, specrej):
    """Drawn from the lengths that the run had, the plan's tokens are near the run's."""
    done = subprocess.run([specrej, "inspect", path, "--json"], stdout=subprocess.PIPE, check=True)
    total = json.loads(done.stdout)
    planned = plan["points"][0]
    figures = plan["hardware"]["figures"]
    assert figures["efficiency"]["source"] == figures["start"]["source"] == "measured"
    text = json.dumps(total)
    generated = re.search(r'"tokens_generated": (\d+)', text)
    assert generated, text[:500]
    mean = int(generated.group(1)) / 6
    assert abs(planned["prompt"]["tokens_generated"] / mean - 1) < 0.1, (planned["prompt"], mean)


def many(plan):
    """All are equally long, so that what is generated is known, whatever was simulated."""
    point = plan["points"][0]
    assert point["n_most"] == 1000000 and 0 < point["n_simulated"] <= 4096, point
    assert any("1000000" in text and "simulated" in text for text in plan["assumptions"])
    generated = point["prompt"]["tokens_generated"]
    expected = 16e6 if point["method"] == "best_of_n" else 12e6  # half of them go after 8 tokens
    assert abs(generated / expected - 1) < 0.001, generated
    if point["method"] == "speculative_rejection":
        assert point["prompt"]["rounds"] == 2 and abs(point["prompt"]["of_best_of_n_tokens"] - 0.75) < 0.001


def skips(plan):
    assert plan["prompts"]["skipped"] == 1 and plan["prompts"]["n"] == 2 and plan["points"][0]["prompts"] == 1
    assert any("will be skipped" in warning for warning in plan["warnings"])


def problems(plan, count):
    assert len(plan["problems"]) == int(count), plan["problems"]
    assert plan["points"] == [] and plan["submit"] is None


def whatif(plan):
    assert plan["problems"] == [] and all(model["config_only"] for model in plan["models"])
    assert sum("what-if" in warning for warning in plan["warnings"]) == 2
    parameters = plan["models"][0]["parameters"]
    assert parameters in (8030261248, 70553706496)  # as published
    rows = {row["ranks"]: {split["tensor"]: split for split in row["splits"]} for row in plan["scaling"]}
    # 141 GB and 15 GB of weights need four times 80 GiB; 16 + 15 GB need one.
    least = 1 if parameters < 10e9 else 4
    assert min(rows[1024]) == least and list(rows[least]) == [least]
    for tensor in rows[1024]:
        times = [rows[ranks][tensor]["strong_s"] for ranks in rows if tensor in rows[ranks]]
        assert times == sorted(times, reverse=True)
    point = plan["points"][0]
    weights = point["memory"]["generator_weights_bytes"] * 4
    assert abs(weights / (2 * parameters) - 1) < 0.001
    assert plan["hardware"]["figures"]["bandwidth"] == {"value": 3.35e12, "source": "data sheet"}


if __name__ == "__main__":
    name, path, *arguments = sys.argv[1:]
    with open(path) as file:
        globals()[name](json.load(file), *arguments)
