"""How quick style nets and Gatys' method are beside the authors' way of running them. Asserts nothing.

    python tests/bench/bench_style_speed.py [--rounds 3] [--frames 3] [--size 640x360]
        [--painting 192x144] [--steps 6] [--only adain microast gatys]

One thread, in one process, in turns; figures are CPU time, the best round's, so that they hold on a busy
machine too. All weights are random. Ratios above 1: quicker than the authors' way.

- adain, microast: frames/s, picture to picture, without files. The authors' scripts (naoto0804/pytorch-AdaIN,
  EndyWon/MicroAST) run plain modules in float32 and encode the style anew, at 512 px and at its own size, for
  every frame ("authors"); "authors, style once" is the same without that. Parity is printed: the largest
  difference to gantool's fp32.
- gatys: steps/s of the whole of VGG19 with average pooling, one size. "plain" is the usual loop: Gram
  matrices of five layers, the content's features, Adam or torch's L-BFGS on the pixels.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool import gatys
from gantool.catalog import load_catalog
from gantool.devices import pick_dtype
from gantool.loading import placed
from gantool.models import adain, microast
from gantool.models.vgg import VGG19, layer_names
from gantool.pipelines.style import Style, build

CPU = torch.device("cpu")
Way = Callable[[], Tensor]


# ---- the authors' nets, as plain modules


def mirrored(inside: int, outside: int, side: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution behind mirrored borders, as both of the authors' nets are made of."""
    return [nn.ReflectionPad2d(side // 2), nn.Conv2d(inside, outside, side, stride, groups=groups)]


def plain_adain() -> tuple[nn.Sequential, nn.Sequential]:
    """(encoder to relu4_1, decoder)."""
    encoder: list[nn.Module] = [nn.Conv2d(3, 3, 1)]
    for inside, outside in pairwise((3, 64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512)):
        if not outside:
            encoder.append(nn.MaxPool2d(2, ceil_mode=True))
            continue
        before = inside or next(m for m in reversed(encoder) if isinstance(m, nn.Conv2d)).out_channels
        encoder += [*mirrored(before, outside), nn.ReLU()]
    decoder: list[nn.Module] = []
    inside = 512
    for outside in (256, 0, 256, 256, 256, 128, 0, 128, 64, 0, 64, 3):
        if not outside:
            decoder.append(nn.UpsamplingNearest2d(scale_factor=2))
            continue
        decoder += [*mirrored(inside, outside), nn.ReLU()]
        inside = outside
    return nn.Sequential(*encoder), nn.Sequential(*decoder[:-1])


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, (N,C,1,1)."""
    flat = x.flatten(2)
    spread = (flat.var(2) + 1e-5).sqrt()
    return flat.mean(2)[..., None, None], spread[..., None, None]


def restyled(x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    own_mean, own_deviation = moments(x)
    return (x - own_mean) / own_deviation * deviation + mean


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(*mirrored(channels, channels))
        self.conv2 = nn.Sequential(*mirrored(channels, channels))

    def forward(self, x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        if weight is None or bias is None:
            return x + self.conv2(self.conv1(x).relu_())
        inner = (weight * self.conv1(x) + bias * x).relu_()
        return x + (weight * self.conv2(inner) + bias * inner)


def separable(inside: int, outside: int, stride: int, groups: int) -> list[nn.Module]:
    first, second = mirrored(inside, outside, 3, stride, groups), mirrored(outside, outside, 1)
    return [*first, nn.ReLU(inplace=True), *second, nn.ReLU(inplace=True)]


class PlainMicroAST(nn.Module):
    """All four parts; ``forward`` as the authors' script has it."""

    def __init__(self) -> None:
        super().__init__()
        self.content, self.style = self._encoder(), self._encoder()
        self.modulator = nn.ModuleList(
            nn.Sequential(*mirrored(64, 64, groups=64), nn.AdaptiveAvgPool2d(1)) for _ in range(4)
        )
        self.dec1, self.dec2 = Residual(64), Residual(64)
        double = nn.Upsample(scale_factor=2, mode="bilinear")
        self.dec3 = nn.Sequential(
            *(double, *separable(64, 32, 1, 32), double, *separable(32, 16, 1, 16), *mirrored(16, 3, 9))
        )

    @staticmethod
    def _encoder() -> nn.ModuleList:
        first = [*mirrored(3, 16, 9), nn.ReLU(inplace=True)]
        first += [*separable(16, 32, 2, 16), *separable(32, 64, 2, 32), Residual(64)]
        return nn.ModuleList([nn.Sequential(*first), Residual(64)])

    def signals(self, style: Tensor) -> tuple[Tensor, ...]:
        """mean, deviation, weight, bias at each of two depths."""
        first = self.style[0](style)
        second = self.style[1](first)
        weight1, bias1, weight2, bias2 = (
            part(x) for part, x in zip(self.modulator, (first, first, second, second), strict=True)
        )
        return (*moments(first), weight1, bias1, *moments(second), weight2, bias2)

    def painted(self, x: Tensor, signals: tuple[Tensor, ...]) -> Tensor:
        mean1, deviation1, weight1, bias1, mean2, deviation2, weight2, bias2 = signals
        deep = self.content[1](self.content[0](x))
        y = self.dec1(restyled(deep, mean2, deviation2), weight2, bias2)
        return self.dec3(self.dec2(restyled(y, mean1, deviation1), weight1, bias1))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return self.painted(x, self.signals(style))


def with_weights_of(ours: nn.Module, theirs: nn.Module) -> None:
    """Give theirs the weights of ours; both have their convolutions in the same order."""
    pair = [[m for m in net.modules() if isinstance(m, nn.Conv2d)] for net in (ours, theirs)]
    for mine, other in zip(*pair, strict=True):
        other.load_state_dict(mine.state_dict())


# ---- the ways


def frames_ways(task: str, x: Tensor, style: Tensor) -> dict[str, Way]:
    """Ways to paint one frame."""
    row = load_catalog().get(task)
    ours = adain.AdaIN() if task == "adain" else microast.MicroAST()
    ours = ours.eval().requires_grad_(False)
    last = [m for m in ours.decoder.modules() if isinstance(m, nn.Conv2d)][-1]
    assert last.bias is not None
    last.weight *= 20  # so that random weights make pictures that can be compared
    last.bias.fill_(0.5)
    picture = (style[0].movedim(0, -1) * 255).round().byte().numpy()
    style = torch.from_numpy(picture).movedim(-1, 0)[None].float() / 255
    if task == "adain":
        encoder, decoder = (net.eval().requires_grad_(False) for net in plain_adain())
        with_weights_of(ours, nn.ModuleList([encoder, decoder]))
        known = moments(encoder(style))
        ways: dict[str, Way] = {
            "authors": lambda: decoder(restyled(encoder(x), *moments(encoder(style)))),
            "authors, style once": lambda: decoder(restyled(encoder(x), *known)),
        }
    else:
        plain = PlainMicroAST().eval().requires_grad_(False)
        with_weights_of(ours, plain)
        signals = plain.signals(style)
        ways = {
            "authors": lambda: plain(x, style),
            "authors, style once": lambda: plain.painted(x, signals),
        }
    for precision in ("fp32", "auto"):
        dtype = pick_dtype(precision, CPU, row)
        net = adain.AdaIN() if task == "adain" else microast.MicroAST()
        net.load_state_dict(ours.state_dict())
        net = placed(net.eval().requires_grad_(False), CPU, dtype)
        size = min(style.shape[-2:])
        made = build(net, row, device=CPU, dtype=dtype, styles=[Style(picture)], style_size=size)
        name = f"gantool {precision}" + ("" if precision == "fp32" else f" ({str(dtype)[6:]})")
        ways[name] = lambda made=made: made(x)
    with torch.inference_mode():
        cut = [way()[..., : x.shape[-2], : x.shape[-1]].clamp(0, 1) for way in ways.values()]
    apart, spread = float((cut[2] - cut[0]).abs().max()), float(cut[0].std())
    print(f"{task}: fp32 is within {apart:.1e} of the authors' way (pictures deviate by {spread:.2f})")
    return ways


def plain_gatys(net: nn.Sequential, x: Tensor, style: Tensor, optimizer: str, steps: int) -> Tensor:
    """The usual loop with VGG19's layers, from the content on."""
    taps = [layer_names().index(f"relu{block}_1") for block in range(1, 6)]
    content_tap = layer_names().index("relu4_2")

    def seen(y: Tensor) -> tuple[list[Tensor], Tensor]:
        grams, content = [], y
        y = (y - 0.45) / 0.225
        for number, layer in enumerate(net[: taps[-1] + 1]):
            y = layer(y)
            if number in taps:
                flat = y.flatten(2)[0]
                grams.append(flat @ flat.T / flat.numel())
            if number == content_tap:
                content = y
        return grams, content

    with torch.no_grad():
        wanted, kept = seen(style)[0], seen(x)[1]
    y = x.clone().requires_grad_(True)

    def look() -> Tensor:
        torch_optimizer.zero_grad()
        grams, content = seen(y)
        loss = 1e3 * torch.stack([F.mse_loss(a, b) for a, b in zip(grams, wanted, strict=True)]).sum()
        loss = loss + F.mse_loss(content, kept)
        loss.backward()
        return loss

    if optimizer == "lbfgs":
        torch_optimizer: torch.optim.Optimizer = torch.optim.LBFGS(
            [y], max_iter=steps, max_eval=steps, tolerance_grad=0, tolerance_change=0
        )
        torch_optimizer.step(look)
        return y.detach()
    torch_optimizer = torch.optim.Adam([y], lr=0.02)
    for _ in range(steps):
        torch_optimizer.step(look)
    return y.detach()


def gatys_ways(x: Tensor, style: Tensor, steps: int) -> dict[str, Way]:
    """Ways to take so many steps, without what is done once."""
    plain = VGG19(pool="avg").eval().requires_grad_(False).features
    ways: dict[str, Way] = {
        "plain, Adam": lambda: plain_gatys(plain, x, style, "adam", steps),
        "plain, L-BFGS": lambda: plain_gatys(plain, x, style, "lbfgs", steps),
    }
    styles = [(style, 1.0)]
    toned = gatys._toned(x, styles)
    row = load_catalog().get("vgg19")
    for precision in ("fp32", "auto"):
        net = VGG19(pool="avg", padding="replicate").eval().requires_grad_(False)
        net.features.load_state_dict(plain.state_dict())
        dtype = pick_dtype(precision, CPU, row)
        goal = gatys._Goal(gatys.Eye.of(placed(net, CPU, dtype)), x, toned, styles, 1.0)
        for how, word in ((gatys._by_adam, "Adam"), (gatys._by_lbfgs, "L-BFGS")):
            name = f"gantool {precision}, {word}" + ("" if precision == "fp32" else f" ({str(dtype)[6:]})")
            ways[name] = lambda how=how, goal=goal: how(
                toned, goal, steps, gatys.Effort(), None, lambda _: None
            )
    return ways


def timed(ways: dict[str, Way], rounds: int, count: int) -> dict[str, float]:
    """CPU seconds of ``count`` calls, of the best round."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time()
            for _ in range(count):
                way()
            best[name] = min(best[name], time.process_time() - began)
    return best


def told(best: dict[str, float], count: int, unit: str, against: tuple[str, ...]) -> None:
    for name, seconds in best.items():
        ours = name.startswith("gantool")
        words = [f"{best[other] / seconds:.2f} x {other}" for other in against if ours]
        print(f"  {name:32}{count / seconds:8.2f} {unit}/s   {', '.join(words)}")


def sides(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT -> (height, width)."""
    width, height = text.split("x")
    return int(height), int(width)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--size", type=sides, default="640x360")
    parser.add_argument("--painting", type=sides, default="192x144")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--only", nargs="+", default=["adain", "microast", "gatys"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    smooth = torch.rand(1, 3, 32, 32)
    for task in args.only:
        if task == "gatys":
            x, style = (F.interpolate(one, size=args.painting) for one in (smooth, smooth.flip(1)))
            best = timed(gatys_ways(x, style, args.steps), args.rounds, 1)
            print(f"gatys, VGG19 at {x.shape[-1]}x{x.shape[-2]}")
            for optimizer in ("Adam", "L-BFGS"):
                some = {name: seconds for name, seconds in best.items() if optimizer in name}
                told(some, args.steps, "steps", (f"plain, {optimizer}",))
            continue
        x = F.interpolate(smooth, size=args.size, mode="bilinear")
        style = F.interpolate(smooth.flip(1), size=(512, 512), mode="bilinear")
        ways = frames_ways(task, x, style)
        with torch.inference_mode():
            best = timed(ways, args.rounds, args.frames)
        print(f"{task} at {x.shape[-1]}x{x.shape[-2]}")
        told(best, args.frames, "frames", ("authors", "authors, style once"))


if __name__ == "__main__":
    main()
