#!/usr/bin/env python3
"""Write e4m3.json: what torch's float8_e4m3fn makes of every number of f32, and what each of its 256 codes is worth.

    python3 tests/golden/make_e4m3.py > tests/golden/e4m3.json

Needs torch (its version stands in the file), one that saturates.  All 2^31 numbers without a sign are converted; codes
grow with them, so that "first" has it all: the bits of the smallest number with code 1, 2, ... 126.  Beyond the last,
infinity included, the code stays 126; NaN has 127.  A sign only sets the highest bit, which is checked on every 257th
number.
"""
import json

import torch

INFINITY, STEP = 0x7F800000, 1 << 24


def codes(bits):
    return bits.to(torch.int32).view(torch.float32).to(torch.float8_e4m3fn).view(torch.uint8)


def main():
    first, last = [], 0
    for begin in range(0, INFINITY + 1, STEP):
        bits = torch.arange(begin, min(begin + STEP, INFINITY + 1), dtype=torch.int64)
        code = codes(bits)
        before = torch.cat([torch.tensor([last], dtype=torch.uint8), code[:-1]])
        for i in torch.nonzero(code != before).flatten().tolist():
            assert int(code[i]) == int(before[i]) + 1, "codes do not grow by one"
            first.append(int(bits[i]))
        last = int(code[-1])
        assert torch.equal(codes(bits[::257] - (1 << 31)), code[::257] | 128)
    assert len(first) == 126 and last == 126
    nan = codes(torch.arange(INFINITY + 1, 1 << 31, 997, dtype=torch.int64))
    assert bool((nan == 127).all())
    value = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).to(torch.float32).tolist()
    print(json.dumps({"torch": torch.__version__, "first": first, "value": [None if v != v else v for v in value]}))


main()
