"""Signed-distance shapes for the twelve products.

Coordinates are local to the object: `x` (1, n) grows to the right with 0 in the middle, `y` (m, 1) grows upwards with
0 on the ground; one unit is about the height of the product. Distances are negative inside.
"""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass
class Part:
    """One painted piece: distance `d` (m, n), colour (3,1,1) or (3,1,n) in 0..1, and normals in -1..1 (x right, y up).

    gloss: strength of the highlight, 0..1. glow: 1 for pieces that shine by themselves and take no shading.
    outline: whether the illustration style draws a dark line around the piece.
    """

    d: Array
    colour: Array
    nx: Array | float = 0.0
    ny: Array | float = 0.0
    gloss: float = 0.35
    glow: float = 0.0
    outline: bool = True


def rgb(*values: int) -> Array:
    """sRGB 0..255 to a (3, 1, 1) float32 colour in 0..1."""
    return (np.array(values, np.float32) / 255.0).reshape(3, 1, 1)


def box(x: Array, y: Array, cx: float, cy: float, hx: float, hy: float, r: float = 0.0) -> Array:
    """Rectangle of half-size (hx, hy) with corner radius r."""
    qx = np.abs(x - cx) - (hx - r)
    qy = np.abs(y - cy) - (hy - r)
    return np.hypot(np.maximum(qx, 0), np.maximum(qy, 0)) + np.minimum(np.maximum(qx, qy), 0) - r


def ellipse(x: Array, y: Array, cx: float, cy: float, rx: float, ry: float) -> Array:
    """Ellipse; the distance is first-order exact near the edge, which is where it matters."""
    px, py = (x - cx) / rx, (y - cy) / ry
    k0 = np.sqrt(px * px + py * py)
    k1 = np.sqrt((px / rx) ** 2 + (py / ry) ** 2) + 1e-6
    return k0 * (k0 - 1.0) / k1


def capsule(x: Array, y: Array, x0: float, y0: float, x1: float, y1: float, r0: float, r1: float | None = None) -> Array:
    """A stroke from (x0, y0) to (x1, y1), radius r0, tapering linearly to r1 when given."""
    dx, dy = x1 - x0, y1 - y0
    t = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
    r = r0 if r1 is None else r0 + (r1 - r0) * t
    return np.hypot(x - x0 - t * dx, y - y0 - t * dy) - r


def curve(t: Array, keys: list[tuple[float, float]]) -> Array:
    """A smooth curve through (position, value) keys (monotone cubic: it never overshoots a key)."""
    ts, vs = np.array(keys, np.float64).T
    h = np.diff(ts)
    slope = np.diff(vs) / h
    m = np.zeros_like(vs)
    same = slope[:-1] * slope[1:] > 0
    m[1:-1][same] = (2 * slope[:-1] * slope[1:] / (slope[:-1] + slope[1:] + 1e-12))[same]
    m[0], m[-1] = slope[0], slope[-1]
    flat = np.clip(t, ts[0], ts[-1])
    i = np.clip(np.searchsorted(ts, flat, side="right") - 1, 0, len(h) - 1)
    u = (flat - ts[i]) / h[i]
    value = (
        (1 + 2 * u) * (1 - u) ** 2 * vs[i]
        + u * (1 - u) ** 2 * h[i] * m[i]
        + u * u * (3 - 2 * u) * vs[i + 1]
        - u * u * (1 - u) * h[i] * m[i + 1]
    )
    return value.astype(np.float32)


def _turned(x: Array, y: Array, keys: list[tuple[float, float]], foot: float = 0.0) -> tuple[Array, Array, Array]:
    """A body of revolution with half-width keys (y, w): its distance and normals.

    foot: half-height of the ellipse that rounds the base, as seen slightly from above.
    """
    w = curve(y, keys)
    e = 0.01
    tilt = (curve(y + e, keys) - curve(y - e, keys)) / (2 * e)
    lean = 1.0 / np.sqrt(1.0 + np.minimum(tilt * tilt, 9.0))
    d = np.maximum((np.abs(x) - w) * lean, np.maximum(y - keys[-1][0], keys[0][0] - y))
    if foot:
        d = np.minimum(d, ellipse(x, y, 0, keys[0][0], keys[0][1], foot))
    nx = np.clip(x / w, -1, 1)
    ny = np.clip(-tilt * 0.35, -0.5, 0.5) * np.sqrt(1 - nx * nx)
    return d, nx * np.sqrt(1 - np.minimum(ny * ny, 0.5)), ny


def _tube(d: Array, r: float, y: Array) -> tuple[Array, Array]:
    """Normals of a round tube of radius r from its distance."""
    gy, gx = np.gradient(d, float(np.abs(y[1, 0] - y[0, 0])))
    t = np.clip((d + r) / r, 0, 1)
    return gx * t, -gy * t


def _ball(x: Array, y: Array, cx: float, cy: float, rx: float, ry: float) -> tuple[Array, Array]:
    return np.clip((x - cx) / rx, -1, 1) + 0 * y, np.clip((y - cy) / ry, -1, 1) + 0 * x


METAL = rgb(196, 190, 180)
DARK = rgb(52, 50, 52)
CREAM = rgb(250, 246, 236)


def _mug(x: Array, y: Array, c: Array, accent: Array) -> list[Part]:
    x = x + 0.10
    d, nx, ny = _turned(x, y, [(0.05, 0.33), (0.12, 0.385), (0.78, 0.40)], foot=0.05)
    ring = np.abs(ellipse(x, y, 0.40, 0.43, 0.215, 0.225)) - 0.055
    tx, ty = _tube(ring, 0.055, y)
    return [
        Part(ring, c, tx, ty),
        Part(d, c, nx, ny),
        Part(ellipse(x, y, 0, 0.78, 0.40, 0.085), c * 0.90 + 0.10, 0, 0.5, 0.0),
        Part(ellipse(x, y, 0, 0.775, 0.355, 0.066), c * 0.50, 0, 0.3, 0.0),
    ]


def _bottle(x: Array, y: Array, c: Array, accent: Array) -> list[Part]:
    keys = [(0.03, 0.19), (0.07, 0.215), (0.52, 0.215), (0.62, 0.17), (0.72, 0.08), (0.92, 0.075)]
    d, nx, ny = _turned(x, y, keys, foot=0.03)
    return [
        Part(d, c, nx, ny, 0.7),
        Part(box(x, y, 0, 0.95, 0.09, 0.055, 0.02), accent, np.clip(x / 0.1, -1, 1), 0.1, 0.3),
        Part(box(x, y, 0, 0.29, 0.206, 0.085, 0.005), accent, nx, 0.0, 0.1),
    ]


def _bowl(x: Array, y: Array, c: Array, accent: Array) -> list[Part]:
    keys = [(0.06, 0.20), (0.10, 0.32), (0.18, 0.44), (0.30, 0.54), (0.42, 0.59), (0.54, 0.61)]
    d, nx, ny = _turned(x, y, keys)
    return [
        Part(np.minimum(box(x, y, 0, 0.05, 0.22, 0.04, 0.02), ellipse(x, y, 0, 0.025, 0.22, 0.03)), c * 0.8, x / 0.25, 0.0),
        Part(d, c, nx, ny),
        Part(ellipse(x, y, 0, 0.54, 0.61, 0.115), c * 0.90 + 0.10, 0, 0.5, 0.0),
        Part(ellipse(x, y, 0, 0.53, 0.565, 0.092), c * 0.58, -0.5 * x / 0.6, 0.3, 0.0),
    ]


def _vase(x: Array, y: Array, c: Array, accent: Array) -> list[Part]:
    keys = [(0.02, 0.15), (0.18, 0.28), (0.36, 0.34), (0.54, 0.26), (0.70, 0.125), (0.82, 0.11), (0.92, 0.17), (0.97, 0.23)]
    d, nx, ny = _turned(x, y, keys, foot=0.025)
    return [
        Part(d, c, nx, ny, 0.55),
        Part(ellipse(x, y, 0, 0.97, 0.23, 0.045), c * 0.90 + 0.10, 0, 0.5, 0.0),
        Part(ellipse(x, y, 0, 0.965, 0.19, 0.032), c * 0.45, 0, 0.2, 0.0),
    ]


def _lamp(x: Array, y: Array, c: Array, accent: Array) -> list[Part]:
    shade, nx, ny = _turned(x, y, [(0.50, 0.43), (1.0, 0.23)], foot=0.045)
    base, bx, by = _turned(x, y, [(0.03, 0.24), (0.06, 0.23), (0.10, 0.06)], foot=0.03)
    return [
        Part(box(x, y, 0, 0.32, 0.028, 0.24), METAL, np.clip(x / 0.03, -1, 1), 0.0, 0.4),
        Part(base, c, bx, by),
        Part(shade, c, nx * 0.85, ny, 0.08),
        Part(ellipse(x, y, 0, 1.0, 0.23, 0.03), c * 0.5 + 0.5 * CREAM, 0, 0.5, 0.0),
    ]


def _chair(x: Array, y: Array, c: Array, accent: Array) -> list[Part]:
    bend = 0.5 * x / 0.4
    back = np.maximum(box(x, y, 0, 0.75, 0.29, 0.25, 0.08), -box(x, y, 0, 0.565, 0.215, 0.075, 0.03))
    back = np.maximum(back, -box(x, y, 0, 0.735, 0.215, 0.028, 0.02))
    rear = np.minimum(capsule(x, y, -0.25, 0.42, -0.25, 0.09, 0.028), capsule(x, y, 0.25, 0.42, 0.25, 0.09, 0.028))
    front = np.minimum(capsule(x, y, -0.32, 0.36, -0.345, 0.03, 0.038), capsule(x, y, 0.32, 0.36, 0.345, 0.03, 0.038))
    seat = np.maximum(np.abs(x) - curve(y, [(0.37, 0.39), (0.50, 0.30)]), np.abs(y - 0.435) - 0.065)
    return [
        Part(rear, c * 0.6, 0.3, 0.0, 0.1),
        Part(back, c, bend, 0.1, 0.15),
        Part(front, c * 0.92, bend, 0.0, 0.15),
        Part(seat, c * 0.94 + 0.06, bend, 0.6, 0.1),
        Part(box(x, y, 0, 0.36, 0.395, 0.035, 0.02), c * 0.84, bend, 0.0, 0.15),
    ]


def _shoe(x: Array, y: Array, c: Array, accent: Array) -> list[Part]:
    top = [(-0.61, 0.42), (-0.56, 0.60), (-0.50, 0.60), (-0.34, 0.49), (-0.16, 0.62), (-0.08, 0.63), (0.08, 0.50)]
    top += [(0.26, 0.35), (0.44, 0.285), (0.56, 0.22), (0.63, 0.12)]
    height = curve(x, top)
    tilt = np.gradient(height, axis=1) / max(float(x[0, 1] - x[0, 0]), 1e-6)
    upper = np.maximum((y - height) / np.sqrt(1 + np.minimum(tilt * tilt, 9)), np.maximum(np.abs(x - 0.01) - 0.61, 0.08 - y))
    ny = np.clip((y - 0.1) / (height - 0.08), 0, 1) ** 2 * 0.75
    parts = [
        Part(ellipse(x, y, -0.35, 0.545, 0.16, 0.05), DARK, 0, 0, 0.0),
        Part(upper, c, np.clip(x * 0.9, -0.6, 0.7), ny, 0.25),
        Part(np.maximum(upper + 0.02, ellipse(x, y, 0.66, 0.10, 0.27, 0.21)), c * 0.80, 0.4, 0.35, 0.1, outline=False),
        Part(capsule(x, y, -0.42, 0.17, -0.18, 0.40, 0.030), accent, 0, 0, 0.1, outline=False),
        Part(capsule(x, y, -0.28, 0.17, -0.04, 0.38, 0.030), accent, 0, 0, 0.1, outline=False),
        Part(box(x, y, 0.015, 0.075, 0.645, 0.075, 0.06), accent, 0.4 * x, 0.1, 0.1),
    ]
    for step in range(4):
        px, py = -0.02 + 0.10 * step, 0.555 - 0.078 * step
        parts.append(Part(capsule(x, y, px, py, px - 0.09, py - 0.10, 0.022), accent, 0, 0.3, 0.0, outline=False))
    return parts


def _bag(x: Array, y: Array, c: Array, accent: Array) -> list[Part]:
    side = curve(y, [(0.0, 0.50), (0.62, 0.40)])
    body = np.maximum(np.abs(x) - side + 0.04, np.abs(y - 0.31) - 0.27)
    body = np.where(body > 0, np.hypot(np.maximum(np.abs(x) - side + 0.04, 0), np.maximum(np.abs(y - 0.31) - 0.27, 0)), body) - 0.04
    handle = np.maximum(np.abs(ellipse(x, y, 0, 0.60, 0.22, 0.36)) - 0.032, 0.56 - y)
    hx, hy = _tube(handle, 0.032, y)
    bend = x * 0.9
    return [
        Part(handle, c * 0.78, hx, hy, 0.2),
        Part(body, c, bend, 0.25 * (y - 0.3), 0.2),
        Part(box(x, y, 0, 0.575, 0.40, 0.028, 0.01), c * 0.72, bend, 0.0, 0.1, outline=False),
        Part(box(x, y, 0, 0.50, 0.05, 0.05, 0.02), METAL, 0, 0.3, 0.4),
    ]


def _clock(x: Array, y: Array, c: Array, accent: Array) -> list[Part]:
    x2, y2 = x, y - 0.52
    ring = ellipse(x, y, 0, 0.52, 0.47, 0.47)
    radius = np.hypot(x2, y2) + 1e-6
    bump = np.clip((radius - 0.40) / 0.07, -1, 1)
    parts = [
        Part(np.minimum(capsule(x, y, -0.26, 0.20, -0.35, 0.04, 0.045), capsule(x, y, 0.26, 0.20, 0.35, 0.04, 0.045)), c * 0.75),
        Part(ring, c, x2 / radius * bump, y2 / radius * bump),
        Part(ellipse(x, y, 0, 0.52, 0.335, 0.335), rgb(250, 249, 244), 0.2 * x2, 0.2, 0.0),
    ]
    # Twelve ticks at once: fold the angle into one sector.
    angle = np.arctan2(x2 + 0 * y2, y2)
    sector = (angle + np.pi / 12) % (np.pi / 6) - np.pi / 12
    ticks = np.maximum(np.abs(sector) * radius - 0.013, np.abs(radius - 0.275) - 0.03)
    hands = np.minimum(capsule(x2, y2, 0, 0, -0.12, 0.09, 0.022), capsule(x2, y2, 0, 0, 0.13, 0.18, 0.016))
    parts.append(Part(np.minimum(np.minimum(ticks, hands), radius - 0.03), DARK, 0, 0, 0.0, outline=False))
    return parts


def _candle(x: Array, y: Array, c: Array, accent: Array) -> list[Part]:
    d, nx, ny = _turned(x, y, [(0.09, 0.245), (0.66, 0.245)], foot=0.04)
    flame_w = curve(y, [(0.73, 0.0), (0.765, 0.05), (0.80, 0.062), (0.88, 0.04), (1.0, 0.0)]) + 1e-4
    flame = np.maximum((np.abs(x) - flame_w) * 0.9, np.abs(y - 0.865) - 0.135)
    warmth = np.clip((y - 0.74) / 0.24, 0, 1) + 0 * x
    fire = rgb(255, 246, 190) * (1 - warmth) + rgb(255, 150, 30) * warmth
    dish = np.minimum(ellipse(x, y, 0, 0.06, 0.44, 0.06), ellipse(x, y, 0, 0.09, 0.46, 0.06))
    return [
        Part(dish, METAL * 0.85, np.clip(x / 0.5, -1, 1), 0.0, 0.3),
        Part(ellipse(x, y, 0, 0.10, 0.41, 0.045), METAL, 0, 0.4, 0.0, outline=False),
        Part(d, c, nx, ny, 0.2),
        Part(ellipse(x, y, 0, 0.66, 0.245, 0.05), c * 0.80 + 0.20, 0, 0.6, 0.0),
        Part(capsule(x, y, 0, 0.66, 0, 0.76, 0.012), DARK, 0, 0, 0.0, outline=False),
        Part(flame, fire, glow=1.0),
    ]


def _box(x: Array, y: Array, c: Array, accent: Array) -> list[Part]:
    bend = x * 0.7
    loops, knot = [], ellipse(x, y, 0, 0.765, 0.06, 0.055)
    for sign in (-1, 1):
        rx, ry = (x * 0.9 + sign * (y - 0.78) * 0.43), ((y - 0.78) * 0.9 - sign * x * 0.43)
        loops.append(np.abs(ellipse(rx, ry, sign * 0.17, -0.01 - 0.06, 0.145, 0.075)) - 0.032)
    bow = np.minimum(loops[0], loops[1])
    return [
        Part(box(x, y, 0, 0.28, 0.43, 0.28, 0.02), c, bend, 0.0, 0.1),
        Part(box(x, y, 0, 0.28, 0.07, 0.28), accent, bend, 0.0, 0.1),
        Part(box(x, y, 0, 0.535, 0.43, 0.02), c * 0.62, bend, 0.0, 0.0, outline=False),
        Part(box(x, y, 0, 0.62, 0.475, 0.095, 0.02), c, bend, 0.2, 0.15),
        Part(box(x, y, 0, 0.62, 0.075, 0.095), accent, bend, 0.2, 0.1),
        Part(bow, accent, 0.3 * x, 0.3, 0.15),
        Part(knot, accent * 0.93, 0, 0.1, 0.1),
    ]


def _teapot(x: Array, y: Array, c: Array, accent: Array) -> list[Part]:
    x = x + 0.02
    bx, by = _ball(x, y, 0, 0.37, 0.42, 0.36)
    spout = np.minimum(capsule(x, y, 0.28, 0.26, 0.50, 0.42, 0.10, 0.06), capsule(x, y, 0.50, 0.42, 0.60, 0.62, 0.06, 0.045))
    handle = np.abs(ellipse(x, y, -0.42, 0.40, 0.19, 0.21)) - 0.045
    hx, hy = _tube(handle, 0.045, y)
    lx, ly = _ball(x, y, 0, 0.66, 0.24, 0.12)
    kx, ky = _ball(x, y, 0, 0.85, 0.07, 0.07)
    return [
        Part(handle, c, hx, hy),
        Part(spout, c, 0.25, 0.15),
        Part(box(x, y, 0, 0.035, 0.22, 0.035, 0.02), c * 0.75, np.clip(x / 0.25, -1, 1), 0.0),
        Part(ellipse(x, y, 0, 0.37, 0.42, 0.35), c, bx, by, 0.6),
        Part(np.maximum(ellipse(x, y, 0, 0.66, 0.23, 0.13), 0.655 - y), c * 0.94 + 0.06, lx, ly, 0.4),
        Part(ellipse(x, y, 0, 0.655, 0.25, 0.025), c * 0.7, np.clip(x / 0.3, -1, 1), 0.0, 0.0),
        Part(ellipse(x, y, 0, 0.84, 0.068, 0.068), c, kx, ky, 0.5),
    ]


# name -> (painter, half-width, height) in local units; the renderer evaluates a painter only inside this box.
PRODUCTS = {
    "mug": (_mug, 0.59, 0.88),
    "bottle": (_bottle, 0.26, 1.02),
    "bowl": (_bowl, 0.64, 0.67),
    "vase": (_vase, 0.37, 1.03),
    "lamp": (_lamp, 0.46, 1.05),
    "chair": (_chair, 0.43, 1.02),
    "shoe": (_shoe, 0.69, 0.66),
    "bag": (_bag, 0.53, 1.01),
    "clock": (_clock, 0.50, 1.01),
    "candle": (_candle, 0.49, 1.02),
    "box": (_box, 0.50, 0.98),
    "teapot": (_teapot, 0.68, 0.93),
}


def product(name: str, x: Array, y: Array, colour: Array, accent: Array | None = None) -> list[Part]:
    """The painted parts of a product, back to front.

    x: (1, n), y: (m, 1) local coordinates; colour: (3,1,1) or (3,1,n) in 0..1. White bodies get grey accents,
    all others cream ones, so that an accent always shows.
    """
    if accent is None:
        accent = rgb(150, 152, 156) if float(colour.min()) > 0.9 else CREAM
    return PRODUCTS[name][0](x, y, colour, accent)
