"""The PyTorch side of `surco bench`: the same work on the same numbers.

    python3 torch_side.py WORK FOLDER THREADS [DEVICE]

WORK is a name that `surco bench` uses: train-128, fomaml, infer-384, infer-128-bf16, presto-110, gelu,
layer-norm-backward ...
FOLDER holds weights.safetensors and batch.safetensors, which `surco bench` draws from a seed. Each line of stdin
is a number of runs; the answer is one JSON line with the milliseconds of each, those of processor of one and what came out. At the end
of stdin the last line says the most memory the process ever held. Needs torch, and nothing else.
"""

import json
import math
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


class Presto:
    """Presto's encoder (Tseng et al. 2023, https://arxiv.org/abs/2304.14065) as a function of its weights."""

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
    WIDTH, LAYERS, NO_CLASS = 128, 2, 9

    def __init__(self, state):
        self.w = {k.removeprefix("encoder."): v for k, v in state.items()}

    def linear(self, name, x):
        return F.linear(x, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def norm(self, name, x):
        return F.layer_norm(x, (self.WIDTH,), self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def tokens(self, x, classes, month, mask):
        """Tokens `[n, t, d]` with their mask `[n, t]`, hidden ones still among them."""
        n, t, _ = x.shape
        when = self.w["month_embed.weight"][month]
        where = self.w["pos_embed"][:, :t].expand(n, -1, -1)
        channels = self.w["channel_embed.weight"]
        tokens, hidden = [], []
        for i, (name, bands) in enumerate(self.GROUPS.items()):
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
        place = torch.cat((when, channels[len(self.GROUPS)].expand(n, t, -1), where), -1)
        tokens.append(self.w["dw_embed.weight"][classes] + place)
        hidden.append(classes == self.NO_CLASS)
        return torch.cat(tokens, 1), torch.cat(hidden, 1)

    def block(self, i, x):
        n, t, _ = x.shape
        qkv = self.linear(f"blocks.{i}.attn.qkv", self.norm(f"blocks.{i}.norm1", x))
        q, k, v = qkv.view(n, t, 3, HEADS, self.WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, self.WIDTH)
        x = x + self.linear(f"blocks.{i}.attn.proj", mixed)
        hidden = F.gelu(self.linear(f"blocks.{i}.mlp.fc1", self.norm(f"blocks.{i}.norm2", x)))
        return x + self.linear(f"blocks.{i}.mlp.fc2", hidden)

    def __call__(self, x, classes, month, latlons, mask):
        """Embedding `[n, d]`. Every series must hide equally many tokens."""
        tokens, hidden = self.tokens(x, classes, month, mask)
        tokens = tokens[~hidden].view(x.shape[0], -1, self.WIDTH)
        lat, lon = (latlons * math.pi / 180).unbind(-1)
        place = torch.stack((lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()), -1)
        x = torch.cat((self.linear("latlon_embed", place)[:, None], tokens), 1)
        for i in range(self.LAYERS):
            x = self.block(i, x)
        return self.norm("norm", x.mean(1))


def presto(work, folder, device):
    """Presto's encoder on 64 series of 12 months."""
    model = Presto({k: v.to(device) for k, v in tensors(f"{folder}/weights.safetensors").items()})
    given = {k: v.to(device) for k, v in tensors(f"{folder}/batch.safetensors").items()}
    classes, month = given["classes"].long(), given["month"].long()

    def infer():
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled="bf16" in work):
            return model(given["x"], classes, month, given["latlons"], given["mask"])

    return infer


class Normed(nn.Module):
    """A convolution without bias and the norm of each channel of each image."""

    def __init__(self, a, b, side):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(b, a, side, side))
        self.norm = nn.GroupNorm(b, b)

    def forward(self, x):
        return self.norm(F.conv2d(x, self.weight, padding=self.weight.shape[2] // 2))


class MeteorBlock(nn.Module):
    """Three convolutions beside one of a pixel, then halved but for the last."""

    def __init__(self, a, b, rim):
        super().__init__()
        self.convolutions = nn.ModuleList([Normed(a, b, 3), Normed(b, b, 3), Normed(b, b, 3)])
        self.beside, self.rim = Normed(a, b, 1), rim

    def forward(self, x):
        first, second, third = self.convolutions
        y = F.leaky_relu(second(F.leaky_relu(first(x))))
        x = F.leaky_relu(third(y) + self.beside(x))
        return x if self.rim is None else F.max_pool2d(x, 2, 2, self.rim)


class Meteor(nn.Module):
    """METEOR's ResNet-12 (Russwurm et al. 2024, https://doi.org/10.1038/s43247-023-01146-0)."""

    def __init__(self, bands=15, widths=(64, 128, 256, 512)):
        super().__init__()
        sides = zip((bands, *widths), widths, (0, 0, 1, None))
        self.blocks = nn.ModuleList([MeteorBlock(a, b, rim) for a, b, rim in sides])
        self.score = nn.Parameter(torch.empty(widths[-1], 1))
        self.bias = nn.Parameter(torch.empty(1))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3)) @ self.score + self.bias


def fomaml(work, folder, device):
    """An outer step of FOMAML: one inner step a task, the gradient at its end, Adam."""
    model = Meteor()
    model.load_state_dict(tensors(f"{folder}/weights.safetensors"))
    model.to(device)
    batch = tensors(f"{folder}/batch.safetensors")
    support, query = batch["support"].to(device), batch["query"].to(device)
    is_class = torch.zeros(support.shape[1], 1, device=device)
    is_class[: support.shape[1] // 4] = 1
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
    start = dict(model.named_parameters())

    def loss(weights, images):
        said = torch.func.functional_call(model, weights, (images,))
        return F.binary_cross_entropy_with_logits(said, is_class)

    def step():
        total = 0.0
        optimizer.zero_grad()
        for learned, asked in zip(support, query):
            slopes = torch.autograd.grad(loss(start, learned), start.values())
            # The slopes are numbers, so that what is asked reaches the start as it is: the first order.
            end = {name: w - 0.01 * g for (name, w), g in zip(start.items(), slopes)}
            share = loss(end, asked) / len(support)
            share.backward()
            total += share.detach()
        optimizer.step()
        return total

    return step


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
    makers = {"train": encoder, "infer": encoder, "presto": presto, "fomaml": fomaml}
    make = makers.get(work.split("-")[0], operator)
    run = make(work, folder, device)
    last = None
    for line in sys.stdin:
        times, busy = [], time.process_time()
        for _ in range(int(line)):
            last = None
            started = time.perf_counter()
            last = run()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append((time.perf_counter() - started) * 1e3)
        cpu_ms = (time.process_time() - busy) * 1e3 / len(times)
        value = last.detach().float().abs().mean().item()
        print(json.dumps({"ms": times, "cpu_ms": cpu_ms, "value": value}), flush=True)
    print(json.dumps({"base_mb": base_mb, "peak_mb": peak_mb()}), flush=True)


if __name__ == "__main__":
    main()
