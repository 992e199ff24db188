#!/usr/bin/env python3
"""Rewrites recorded CIANNA runs in little space: f32 numbers as the shortest decimals that give the same f32.

    python3 compact_cianna.py recorded.json > cianna/recorded.json
"""

import json
import struct
import sys


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def short(v):
    if isinstance(v, dict):
        return {k: short(x) for k, x in v.items()}
    if isinstance(v, list):
        return [short(x) for x in v]
    if isinstance(v, float):
        for digits in range(1, 18):
            text = float(f"{v:.{digits}g}")
            if f32(text) == f32(v) and (f32(v) == v or text == v):
                return text
    return v


json.dump(short(json.load(open(sys.argv[1]))), sys.stdout, separators=(",", ":"))
