"""What PyTorch says of the published systems, with weights and inputs by a formula.

usage: python3 systems.py [earthpt|ubarn|ofa|meteor|meteor-app WEIGHTS]   (needs torch)

The numbers it prints are those of the tests `..answers_as_pytorch_does` in crates/surco-net/src/systems and of
verify/tests/systems.rs. Layers are PyTorch's own modules wherever it has them. Tensors are numbered in the order in which
the Rust modules hold them, and matrices are stored there as [in, out].
"""

import math
import sys

import torch
import torch.nn.functional as F
from torch import nn

torch.set_grad_enabled(False)


def drawn(count, t):
    k = torch.arange(count, dtype=torch.int64)
    return ((k * 7919 + t * 104_729) % 2003).double() / 2003 - 0.5


class Formula:
    """Tensors one after another."""

    def __init__(self):
        self.t = 0

    def __call__(self, shape, role):
        v = drawn(math.prod(shape), self.t).reshape(shape)
        self.t += 1
        if role == "scale":
            v = 0.2 * v + 1
        elif role == "shift":
            v = 0.1 * v
        else:
            fan = shape[0] if len(shape) == 2 else math.prod(shape[1:])
            v = 2 * math.sqrt(3 / fan) * v
        return v.float()

    def linear(self, a, b, bias=True):
        layer = nn.Linear(a, b, bias=bias)
        layer.weight.copy_(self((a, b), "map").T)
        if bias:
            layer.bias.copy_(self((b,), "shift"))
        return layer

    def norm(self, d, bias=True, eps=1e-5):
        layer = nn.LayerNorm(d, eps=eps, bias=bias)
        layer.weight.copy_(self((d,), "scale"))
        if bias:
            layer.bias.copy_(self((d,), "shift"))
        return layer


def show(name, values):
    print(name, [round(v, 6) for v in values.flatten().tolist()[:8]])


def causal(x, qkv, out, heads):
    q, k, v = (p.unflatten(1, (heads, -1)).transpose(0, 1) for p in qkv(x).chunk(3, 1))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return out(y.transpose(0, 1).flatten(1))


def earthpt(layers=2, heads=4, d=32, dates=5):
    f = Formula()
    enter = nn.Sequential(f.linear(14, d), nn.ReLU(), f.linear(d, d), nn.ReLU())
    positions = f((256, d), "map")
    x = (drawn(dates * 14, 999).reshape(dates, 14)).float()
    blocks = []
    for _ in range(layers):
        n1 = f.norm(d, bias=False)
        qkv, out = f.linear(d, 3 * d, False), f.linear(d, d, False)
        n2 = f.norm(d, bias=False)
        up, down = f.linear(d, 4 * d, False), f.linear(4 * d, d, False)
        blocks.append((n1, qkv, out, n2, up, down))
    last = f.norm(d, bias=False)
    head = nn.Sequential(f.linear(d, 2 * d), nn.ReLU(), f.linear(2 * d, d), nn.ReLU(), f.linear(d, 10))
    h = enter(x) + positions[:dates]
    for n1, qkv, out, n2, up, down in blocks:
        h = h + causal(n1(h), qkv, out, heads)
        h = h + down(F.gelu(up(n2(h))))
    show("earthpt, the last of five dates", head(last(h))[-1])


def conv(f, a, b, k=3, s=1):
    layer = nn.Conv2d(a, b, k, s, padding=1 if k == 3 else 0, padding_mode="reflect" if k == 3 else "zeros")
    layer.weight.copy_(f((b, a, k, k), "map"))
    layer.bias.copy_(f((b,), "shift"))
    return nn.Sequential(layer, batch_norm(f, b), nn.ReLU())


def batch_norm(f, c):
    norm = nn.BatchNorm2d(c).eval()
    norm.weight.copy_(f((c,), "scale"))
    norm.bias.copy_(f((c,), "shift"))
    norm.running_mean.copy_(f((c,), "shift"))
    norm.running_var.copy_(f((c,), "scale"))
    return norm


def double(f, a, b):
    layer = nn.ConvTranspose2d(a, b, 2, 2)
    layer.weight.copy_(f((a, b, 2, 2), "map"))
    layer.bias.copy_(f((b,), "shift"))
    return nn.Sequential(layer, batch_norm(f, b), nn.ReLU())


def ubarn(dates=2, side=16, d=64):
    f = Formula()
    enter = nn.Sequential(conv(f, 10, 64), conv(f, 64, 64))
    down = [(conv(f, a, a, 2, 2), conv(f, a, b), conv(f, b, b)) for a, b in [(64, 64), (64, 64), (64, 128)]]
    up = [
        (conv(f, s, s, 1), double(f, a, b), conv(f, b + s, b), conv(f, b, b))
        for a, b, s in [(128, 64, 64), (64, 32, 64), (32, 32, 64)]
    ]
    leave = conv(f, 32, d)
    layers = []
    for _ in range(3):
        layer = nn.TransformerEncoderLayer(d, 4, 128, batch_first=True).eval()
        qkv, out = f.linear(d, 3 * d), f.linear(d, d)
        layer.self_attn.in_proj_weight.copy_(qkv.weight)
        layer.self_attn.in_proj_bias.copy_(qkv.bias)
        layer.self_attn.out_proj.load_state_dict(out.state_dict())
        layer.norm1.load_state_dict(f.norm(d).state_dict())
        layer.linear1.load_state_dict(f.linear(d, 128).state_dict())
        layer.linear2.load_state_dict(f.linear(128, d).state_dict())
        layer.norm2.load_state_dict(f.norm(d).state_dict())
        layers.append(layer)
    write = f.linear(d, 10)
    x = drawn(dates * 10 * side * side, 999).reshape(dates, 10, side, side).float()
    days = torch.tensor([121.0, 141.0])
    maps = [enter(x)]
    for half, first, second in down:
        y = first(half(maps[-1]))
        maps.append(y + second(y))
    y = maps.pop()
    for beside, doubled, first, second in up:
        y = first(torch.cat([doubled(y), beside(maps.pop())], 1))
        y = y + second(y)
    y = leave(y)
    angle = days[:, None] / 10_000 ** (2 * (torch.arange(d).float() // 2) / d)
    season = torch.where(torch.arange(d) % 2 == 0, angle.sin(), angle.cos())
    tokens = y.permute(2, 3, 0, 1).flatten(0, 1) + season
    for layer in layers:
        tokens = layer(tokens)
    show("ubarn, first pixel and date", write(tokens)[0, 0])


def ofa(d=32, heads=2, layers=2, patch=4, side=8):
    f = Formula()
    values = 10 * patch * patch
    read = f.linear(values, d)

    def block(d):
        n1 = f.norm(d, eps=1e-6)
        qkv, out = f.linear(d, 3 * d), f.linear(d, d)
        n2 = f.norm(d, eps=1e-6)
        return n1, qkv, out, n2, f.linear(d, 4 * d), f.linear(4 * d, d)

    def through(x, blocks):
        for n1, qkv, out, n2, up, down in blocks:
            attention = nn.MultiheadAttention(x.shape[1], heads, batch_first=True)
            attention.in_proj_weight.copy_(qkv.weight)
            attention.in_proj_bias.copy_(qkv.bias)
            attention.out_proj.load_state_dict(out.state_dict())
            h = n1(x)[None]
            x = x + attention(h, h, h, need_weights=False)[0][0]
            x = x + down(F.gelu(up(n2(x))))
        return x

    def places(d):
        rows = []
        for row in range(side // patch):
            for column in range(side // patch):
                q = d // 4
                w = 10_000 ** (-torch.arange(q).float() / q)
                rows.append(torch.cat([(column * w).sin(), (column * w).cos(), (row * w).sin(), (row * w).cos()]))
        return torch.stack(rows)

    blocks = [block(d) for _ in range(layers)]
    norm = f.norm(d, eps=1e-6)
    narrow = f.linear(d, d // 2)
    hidden = f((1, d // 2), "map")
    decoder = [block(d // 2) for _ in range(2)]
    decoder_norm = f.norm(d // 2, eps=1e-6)
    write = f.linear(d // 2, values)
    image = drawn(10 * side * side, 999).reshape(10, side, side).float()
    patches = F.unfold(image[None], patch, stride=patch)[0].T
    kept = [0, 3]
    seen = norm(through(read(patches[kept]) + places(d)[kept], blocks))
    show("ofa, first kept patch", seen[0])
    all_ = hidden.repeat(4, 1)
    all_[kept] = narrow(seen)
    said = write(decoder_norm(through(all_ + places(d // 2), decoder)))
    show("ofa, the second patch, hidden", said[1])


def meteor(side=32):
    for task in [False, True]:
        f = Formula()
        blocks = []
        for a, b in [(15, 64), (64, 128), (128, 256), (256, 512)]:
            convs = []
            for i, o, k in [(a, b, 3), (b, b, 3), (b, b, 3), (a, b, 1)]:
                c = nn.Conv2d(i, o, k, padding=k // 2, bias=False)
                c.weight.copy_(f((o, i, k, k), "map"))
                n = nn.GroupNorm(o, o)
                n.weight.copy_(f((o,), "scale"))
                n.bias.copy_(f((o,), "shift"))
                share = (f((1,), "shift"), f((1,), "shift")) if task else None
                convs.append((c, n, share))
            blocks.append(convs)
        head = f((512, 1), "map")
        bias = f((1,), "shift")

        def normed(x, n, share):
            if share is None:
                return n(x)
            alpha = torch.sigmoid(share[0] * x.shape[0] + share[1])
            bm, bv = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True)
            im, iv = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True)
            m = alpha * bm + (1 - alpha) * im
            v = alpha * (bv + (bm - m) ** 2) + (1 - alpha) * (iv + (im - m) ** 2)
            return n.weight.view(1, -1, 1, 1) * (x - m) / torch.sqrt(v + 1e-5) + n.bias.view(1, -1, 1, 1)

        x = drawn(2 * 15 * side * side, 999).reshape(2, 15, side, side).float()
        for convs, rim in zip(blocks, [0, 0, 1, None]):
            (c1, n1, s1), (c2, n2, s2), (c3, n3, s3), (c4, n4, s4) = convs
            y = F.leaky_relu(normed(c1(x), n1, s1))
            y = F.leaky_relu(normed(c2(y), n2, s2))
            x = F.leaky_relu(normed(c3(y), n3, s3) + normed(c4(x), n4, s4))
            if rim is not None:
                x = F.max_pool2d(x, 2, 2, rim)
        show(f"meteor, task norm {task}", x.mean((2, 3)) @ head + bias)


def meteor_app(weights):
    state = torch.load(weights, map_location="cpu", weights_only=True)
    x = drawn(2 * 15 * 128 * 128, 999).reshape(2, 15, 128, 128).float()
    for i in range(7):
        x = F.conv2d(x, state[f"features.{i}.0.weight"], state[f"features.{i}.0.bias"], padding=1)
        scale, shift = state[f"features.{i}.1.weight"], state[f"features.{i}.1.bias"]
        x = F.max_pool2d(F.relu(F.batch_norm(x, None, None, scale, shift, training=True)), 2)
    logits = F.linear(x.mean((2, 3)), state["classifier.weight"], state["classifier.bias"])
    show("meteor-app, two images", logits)


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["earthpt", "ubarn", "ofa", "meteor"]
    if wanted[0] == "meteor-app":
        meteor_app(wanted[1])
    else:
        for name in wanted:
            {"earthpt": earthpt, "ubarn": ubarn, "ofa": ofa, "meteor": meteor}[name]()
