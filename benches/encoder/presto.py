#!/usr/bin/env python3
"""Presto's encoder in PyTorch, checked against the recorded answers, then timed.

Presto (Tseng et al. 2023, https://arxiv.org/abs/2304.14065) is written here from its paper and the
shapes in its weights file, so that the other side of the comparison needs nothing but torch, numpy
and safetensors.

    presto.py [--data ../shared/data] [--seconds 5] [--threads 1] [--batch 64]

One JSON object a line: the error against the recorded answers, then series a second for 12 months of
all bands (110 tokens) and of Sentinel-2 alone (73 tokens), fp32 and bf16 autocast, best and median of
rounds that fill the given time.
"""

import argparse
import json
import math
import pathlib
import statistics
import time

import torch
from safetensors.torch import load_file
from torch.nn import functional as F

WIDTH, HEADS, LAYERS = 128, 8, 2
GROUPS = {
    "S1": [0, 1],
    "S2_RGB": [2, 3, 4],
    "S2_Red_Edge": [5, 6, 7],
    "S2_NIR_10m": [8],
    "S2_NIR_20m": [9],
    "S2_SWIR": [10, 11],
    "ERA5": [12, 13],
    "SRTM": [14, 15],
    "NDVI": [16],
}
NO_CLASS = 9


class Presto:
    """The encoder as a function of its state dict."""

    def __init__(self, file):
        state = torch.load(file, map_location="cpu", weights_only=True)
        self.w = {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")}

    def linear(self, name, x):
        return F.linear(x, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def norm(self, name, x):
        return F.layer_norm(x, (WIDTH,), self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def tokens(self, x, classes, month, mask):
        """Tokens `[n, t, d]` with their mask `[n, t]`, hidden ones still among them."""
        n, t, _ = x.shape
        when = self.w["month_embed.weight"][month]
        where = self.w["pos_embed"][:, :t].expand(n, -1, -1)
        channels = self.w["channel_embed.weight"]
        tokens, hidden = [], []
        for i, (name, bands) in enumerate(GROUPS.items()):
            channel = channels[i].expand(n, t, -1)
            token = self.linear(f"eo_patch_embed.{name}", x[:, :, bands])
            gone = mask[:, :, bands].amax(-1) > 0
            if name == "SRTM":
                nothing = torch.zeros_like
                place = torch.cat((nothing(when), channel, nothing(where)), -1)
                token, place, gone = token[:, :1], place[:, :1], gone[:, :1]
            else:
                place = torch.cat((when, channel, where), -1)
            tokens.append(token + place)
            hidden.append(gone)
        place = torch.cat((when, channels[len(GROUPS)].expand(n, t, -1), where), -1)
        tokens.append(self.w["dw_embed.weight"][classes] + place)
        hidden.append(classes == NO_CLASS)
        return torch.cat(tokens, 1), torch.cat(hidden, 1)

    def block(self, i, x):
        n, t, _ = x.shape
        qkv = self.linear(f"blocks.{i}.attn.qkv", self.norm(f"blocks.{i}.norm1", x))
        q, k, v = qkv.view(n, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, WIDTH)
        x = x + self.linear(f"blocks.{i}.attn.proj", mixed)
        hidden = F.gelu(self.linear(f"blocks.{i}.mlp.fc1", self.norm(f"blocks.{i}.norm2", x)))
        return x + self.linear(f"blocks.{i}.mlp.fc2", hidden)

    @torch.inference_mode()
    def __call__(self, x, classes, month, latlons, mask):
        """Embedding `[n, d]`. Every series must hide equally many tokens."""
        tokens, hidden = self.tokens(x, classes, month, mask)
        tokens = tokens[~hidden].view(x.shape[0], -1, WIDTH)
        lat, lon = (latlons * math.pi / 180).unbind(-1)
        place = torch.stack((lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()), -1)
        x = torch.cat((self.linear("latlon_embed", place)[:, None], tokens), 1)
        for i in range(LAYERS):
            x = self.block(i, x)
        return self.norm("norm", x.mean(1))


def months(first, count):
    """Months from one a series on, or as they are."""
    return first if first.dim() == 2 else (first[:, None] + torch.arange(count)) % 12


def error(presto, oracle, case):
    part = {k.removeprefix(f"{case}."): v for k, v in oracle.items() if k.startswith(f"{case}.")}
    mask = part.get("mask", torch.zeros_like(part["x"]))
    month = months(part["month"], part["x"].shape[1])
    got = presto(part["x"], part["dynamic_world"], month, part["latlons"], mask)
    return (got - part["embedding"]).abs().max().item()


def work(tokens, n):
    """`n` random series of 12 months: all bands and classes (110 tokens) or Sentinel-2 alone (73)."""
    draw = torch.Generator().manual_seed(1)
    x = torch.rand(n, 12, 17, generator=draw)
    latlons = torch.rand(n, 2, generator=draw) * 90 - 45
    mask, classes = torch.zeros_like(x), torch.randint(0, NO_CLASS, (n, 12), generator=draw)
    if tokens == 73:
        mask[:, :, [0, 1, 12, 13, 14, 15]] = 1
        # 6 groups of Sentinel-2 and NDVI a month, and the place: 6 x 12 + 1.
        classes = torch.full((n, 12), NO_CLASS)
    return x, classes, months(torch.arange(n) % 12, 12), latlons, mask


def rates(presto, tokens, n, precision, seconds):
    batch = work(tokens, n)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    with autocast:
        for _ in range(3):
            presto(*batch)
        took, began = [], time.perf_counter()
        while time.perf_counter() - began < seconds:
            start = time.perf_counter()
            presto(*batch)
            took.append(time.perf_counter() - start)
    return n / min(took), n / statistics.median(took), len(took)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("../shared/data"))
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    presto = Presto(args.data / "weights/presto_default_model.pt")
    oracle = load_file(args.data / "oracles/presto_encoder.safetensors")
    errors = {case: error(presto, oracle, case) for case in "ab"}
    print(json.dumps({"largest_error": errors}), flush=True)
    if max(errors.values()) > 1e-5:
        raise SystemExit("this is not Presto: the recorded answers are not met to 1e-5")
    for tokens in (110, 73):
        for precision in ("fp32", "bf16"):
            best, median, rounds = rates(presto, tokens, args.batch, precision, args.seconds)
            line = {"side": f"pytorch {torch.__version__}", "tokens": tokens, "precision": precision}
            line |= {"threads": args.threads, "batch": args.batch, "rounds": rounds}
            line |= {"series_per_s_best": round(best, 1), "series_per_s_median": round(median, 1)}
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
