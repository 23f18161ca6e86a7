"""The PyTorch side of `surco bench`: the same work on the same numbers.

    python3 torch_side.py WORK FOLDER THREADS [DEVICE]

WORK is a name that `surco bench` uses: train-128, infer-384, infer-128-bf16, gelu, layer-norm-backward ...
FOLDER holds weights.safetensors and batch.safetensors, which `surco bench` draws from a seed. Each line of stdin
is a number of runs; the answer is one JSON line with the milliseconds of each and what came out. At the end
of stdin the last line says the most memory the process ever held. Needs torch, and nothing else.
"""

import json
import struct
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

HEADS = 8


def tensors(path):
    """The f32 tensors of a safetensors file."""
    with open(path, "rb") as file:
        raw = bytearray(file.read())
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    body = memoryview(raw)[8 + length :]
    out = {}
    for name, about in header.items():
        if name != "__metadata__":
            start, end = about["data_offsets"]
            values = torch.frombuffer(body[start:end], dtype=torch.float32)
            out[name] = values.clone().reshape(about["shape"])
    return out


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, d):
        super().__init__()
        self.ln1, self.qkv, self.proj = nn.LayerNorm(d), nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.ln2, self.fc1, self.fc2 = nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        b, t, d = x.shape
        qkv = self.qkv(self.ln1(x)).view(b, t, 3, HEADS, d // HEADS)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, d)
        x = x + self.proj(mixed)
        return x + self.fc2(F.gelu(self.fc1(self.ln2(x))))


class Model(nn.Module):
    """The reference encoder: 6 blocks, learned positions, a mask token, a head that tells the values."""

    def __init__(self, d, t=24, c=10, depth=6):
        super().__init__()
        self.embed = nn.Linear(c, d)
        self.pos = nn.Parameter(torch.zeros(1, t, d))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, d))
        self.blocks = nn.ModuleList([Block(d) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, c)

    def forward(self, x, m):
        h = self.embed(x)
        h = h * (1 - m) + self.mask_token * m + self.pos
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h))


def encoder(work, folder, device):
    """A training step or a forward pass of the reference encoder."""
    kind, width, *rest = work.split("-")
    model = Model(int(width))
    model.load_state_dict(tensors(f"{folder}/weights.safetensors"))
    model.to(device)
    batch = tensors(f"{folder}/batch.safetensors")
    x, m = batch["x"].to(device), batch["m"].to(device)
    if kind == "train":
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4, eps=1e-8)

        def step():
            loss = (((model(x, m) - x) ** 2) * m).sum() / (m.sum() * x.shape[-1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.detach()

        return step

    def infer():
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled="bf16" in rest):
            return model(x, m)

    return infer


def operator(work, folder, device):
    """One operator, forward or forward and backward from a gradient of ones."""
    name, backward = work.removesuffix("-backward"), work.endswith("-backward")
    given = {k: v.to(device) for k, v in tensors(f"{folder}/batch.safetensors").items()}
    x = given["x"]
    if name == "gelu":
        forward = F.gelu
    elif name == "layer-norm":
        weight, bias = given["weight"], given["bias"]
        weight.requires_grad_(backward), bias.requires_grad_(backward)
        forward = lambda x: F.layer_norm(x, (x.shape[-1],), weight, bias)
    elif name == "attention":
        n, width = x.shape
        # Queries, keys and values each in one piece, which is the layout PyTorch likes best.
        split = x.view(n // 24, 24, 3, HEADS, width // 3 // HEADS).permute(2, 0, 3, 1, 4)
        x = split.contiguous()
        forward = lambda x: F.scaled_dot_product_attention(x[0], x[1], x[2])
    else:
        sys.exit(f"unknown work {work}")
    ones = torch.ones_like(forward(x)).detach()

    def run():
        if not backward:
            with torch.no_grad():
                return forward(x)
        leaf = x.detach().requires_grad_()
        forward(leaf).backward(ones)
        for parameter in (given.get("weight"), given.get("bias")):
            if parameter is not None:
                parameter.grad = None
        return leaf.grad

    return run


def peak_mb():
    """The most memory this process ever held, in MB of 2^20 bytes; nothing where the system does not say."""
    try:
        with open("/proc/self/status") as status:
            (line,) = [l for l in status if l.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024
    except OSError:
        return None


def main():
    work, folder, threads, *device = sys.argv[1:]
    torch.set_num_threads(int(threads))
    device = torch.device(device[0] if device else "cpu")
    base_mb = peak_mb()
    make = encoder if work.split("-")[0] in ("train", "infer") else operator
    run = make(work, folder, device)
    last = None
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            last = None
            started = time.perf_counter()
            last = run()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append((time.perf_counter() - started) * 1e3)
        value = last.detach().float().abs().mean().item()
        print(json.dumps({"ms": times, "value": value}), flush=True)
    print(json.dumps({"base_mb": base_mb, "peak_mb": peak_mb()}), flush=True)


if __name__ == "__main__":
    main()
