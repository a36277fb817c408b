"""The same work by Hugging Face transformers, for a comparison on the same machine in the same hour.

    peer_transformers.py decode CONFIG_FOLDER [options] B...   one prompt, B samples of it
    peer_transformers.py round CONFIG_FOLDER [options] B...    what a round costs the way the paper's code does it
    peer_transformers.py job CONFIG_FOLDER [options] B:S...    all rounds of one prompt: B samples until each has S tokens

decode: generate(num_return_sequences=B), which computes and keeps the prompt's KV once for every sample; steps are
        timed after --prompt + --own tokens of each.  The own tokens are a longer prompt: to transformers the same work.
round:  after a rejection B texts of prompt + new tokens go through the generator again (its KV is computed anew) and,
        at every round, through the reward model from the first token; CONFIG_FOLDER is the shape of both.
job:    B:S for each round, as many samples and tokens as specrej's file says it had: generate() from the texts on, KV
        computed anew, then all texts through the reward model.  `120:256` alone is Best-of-120.
Weights are random, of the shape in CONFIG_FOLDER/config.json.  One CSV line per B and measurement, median of --repeat
runs.  Needs torch and transformers, which specrej does not.
"""
import argparse
import statistics
import sys
import time

DTYPES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["decode", "round", "job"])
    p.add_argument("config", help="folder with a config.json")
    p.add_argument("batch", nargs="+", metavar="B", help="samples; of a job B:S for each round")
    p.add_argument("--prompt", type=int, default=256, help="tokens of the prompt")
    p.add_argument("--own", type=int, default=0, help="tokens of each sample before the clock (decode)")
    p.add_argument("--new", type=int, default=128, help="tokens that every sample has (round), or gets (decode)")
    p.add_argument("--dtype", choices=DTYPES, default="f32")
    p.add_argument("--device", default="cpu", help="cpu or cuda")
    p.add_argument("--attention", default="sdpa", help="transformers' attn_implementation")
    p.add_argument("--threads", type=int, default=0, help="of the CPU; 0: torch's choice")
    p.add_argument("--repeat", type=int, default=5)
    p.add_argument("--warm", type=int, default=1, help="runs before them that do not count")
    o = p.parse_args()
    try:
        o.batch = [tuple(map(int, b.split(":"))) for b in o.batch]
    except ValueError:
        p.error(f"not whole numbers: {' '.join(o.batch)}")
    if any(len(b) != (2 if o.what == "job" else 1) for b in o.batch):
        p.error("a job's rounds are B:S, all else is B")
    return o


def load(torch, transformers, o):
    config = transformers.AutoConfig.from_pretrained(o.config)
    torch.manual_seed(0)
    with torch.device(o.device):
        model = transformers.AutoModelForCausalLM.from_config(
            config, dtype=getattr(torch, DTYPES[o.dtype]), attn_implementation=o.attention)
    return model.eval()


def timed(torch, o, work):
    """Median seconds of --repeat runs after --warm that do not count."""
    times = []
    for run in range(o.warm + o.repeat):
        if o.device != "cpu":
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if o.device != "cpu":
            torch.cuda.synchronize()
        if run >= o.warm:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def sample(torch, model, ids, new, **more):
    """`new` tokens more of each text, as a specrej job with ignore_eos draws them."""
    return model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=1.0, top_k=50, top_p=1.0,
                          min_new_tokens=new, max_new_tokens=new, pad_token_id=0, **more)


def prompt_ids(torch, model, o, n):
    return (torch.arange(n, device=o.device) * 7919 + 3).remainder(model.config.vocab_size)[None]


def decode(torch, model, o, samples):
    """Median seconds until all samples have one token more, and of a step from there on, as `timed`."""
    from transformers import StoppingCriteria, StoppingCriteriaList

    class Clock(StoppingCriteria):
        """Stops nothing; notes when each token is there."""

        def __init__(self):
            self.at = []

        def __call__(self, input_ids, scores, **kwargs):
            if o.device != "cpu":
                torch.cuda.synchronize()
            self.at.append(time.perf_counter())
            return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)

    ids = prompt_ids(torch, model, o, o.prompt + o.own)
    first, step = [], []
    for run in range(o.warm + o.repeat):
        clock, start = Clock(), time.perf_counter()
        sample(torch, model, ids, o.new + 1, num_return_sequences=samples, stopping_criteria=StoppingCriteriaList([clock]))
        if run >= o.warm:
            first.append(clock.at[0] - start)
            step.append((clock.at[o.new] - clock.at[0]) / o.new)
    return statistics.median(first), statistics.median(step)


def one_round(torch, model, o, samples):
    """Seconds to compute the KV of all samples anew, and to run their texts through a second model of that shape."""
    ids = torch.randint(0, model.config.vocab_size, (samples, o.prompt + o.new), device=o.device)
    again = timed(torch, o, lambda: model(ids, use_cache=True, logits_to_keep=1))
    return again, timed(torch, o, lambda: model.model(ids, use_cache=False))


def job(torch, model, o):
    """Median seconds of generating and of scoring, over all rounds of a prompt.  Who stays does not matter to the cost."""
    generate, score = [], []
    for run in range(o.warm + o.repeat):
        ids, spent, had = prompt_ids(torch, model, o, o.prompt).repeat(o.batch[0][0], 1), [0.0, 0.0], 0
        for samples, tokens in o.batch:
            start = time.perf_counter()
            ids = sample(torch, model, ids[:samples], tokens - had)
            middle, had = time.perf_counter(), tokens
            model.model(ids, use_cache=False)
            if o.device != "cpu":
                torch.cuda.synchronize()
            spent = [spent[0] + middle - start, spent[1] + time.perf_counter() - middle]
        if run >= o.warm:
            generate.append(spent[0])
            score.append(spent[1])
    return statistics.median(generate), statistics.median(score)


def print_job(torch, model, o):
    print("what,rounds,P,S,generate_s,score_s,tok_s")
    generate, score = job(torch, model, o)
    tokens = sum(b[0] * (b[1] - a[1]) for a, b in zip([(0, 0)] + o.batch, o.batch))
    print(f"job,{' '.join(f'{b}:{s}' for b, s in o.batch)},{o.prompt},{o.batch[-1][1]},{generate:.2f},{score:.2f},"
          f"{tokens / (generate + score):.1f}")


def print_points(torch, model, o):
    columns = "prefill_ms,step_ms" if o.what == "decode" else "prefill_again_ms,score_ms"
    own = o.own if o.what == "decode" else o.new
    print(f"what,B,P,S,{columns},tok_s")
    for samples, in o.batch:
        point = f"{o.what},{samples},{o.prompt},{own}"
        try:
            first, second = (decode if o.what == "decode" else one_round)(torch, model, o, samples)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            print(f"{point},out of memory", flush=True)
            continue
        tokens = samples if o.what == "decode" else samples * (o.prompt + o.new)
        print(f"{point},{first * 1e3:.2f},{second * 1e3:.3f},{tokens / second:.1f}", flush=True)


def main():
    o = parse()
    try:
        import torch
        import transformers
    except ImportError as e:
        sys.exit(f"peer_transformers.py: {e}; pip install torch transformers")
    if o.threads:
        torch.set_num_threads(o.threads)
    model = load(torch, transformers, o)
    device = "cpu" if o.device == "cpu" else torch.cuda.get_device_name()
    print(f"# transformers {transformers.__version__}, torch {torch.__version__}, {device}, {o.dtype}, {o.attention}, "
          f"{torch.get_num_threads()} threads, {o.config}")
    with torch.inference_mode():
        (print_job if o.what == "job" else print_points)(torch, model, o)


if __name__ == "__main__":
    main()
