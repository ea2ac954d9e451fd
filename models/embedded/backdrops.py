"""The eight places of the world, painted with soft edges as if slightly out of focus.

A backdrop paints onto a planar float32 canvas (3, H, W) in 0..1. Rows and columns are kept as 1-d arrays as long as
possible: a backdrop costs a few full-frame operations only.
"""

import numpy as np

from .shapes import rgb

Array = np.ndarray


class Stage:
    """A canvas with picture coordinates: `v` (H, 1) runs 0..1 from top to bottom, `u` (1, W) in the same unit
    (frame heights) with 0 in the middle. `flat` asks for plain colours without gradients."""

    def __init__(self, width: int, height: int, flat: bool, shift: float):
        self.canvas = np.zeros((3, height, width), np.float32)
        self.v = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
        self.u = ((np.arange(width, dtype=np.float32) + 0.5 - width / 2) / height)[None, :]
        self.half = width / height / 2
        self.flat = flat
        self.shift = shift  # -1..1: the untold jitter of the place
        self.pixel = 1.0 / height

    def edge(self, distance: Array, soft: float = 0.0) -> Array:
        """Coverage 0..1 of a shape from its signed distance (negative inside), `soft` frame heights wide."""
        width = self.pixel if self.flat else max(soft, self.pixel)
        return np.clip(0.5 - distance / width, 0, 1)

    def fill(self, top: Array, bottom: Array, start: float, end: float) -> None:
        """A vertical gradient over the rows between start and end (0..1), plain in the flat style."""
        rows = slice(max(0, round(start * len(self.v))), round(end * len(self.v)))
        t = np.clip((self.v[rows] - start) / max(end - start, 1e-6), 0, 1)
        if self.flat:
            t = np.full_like(t, 0.5)
        self.canvas[:, rows, :] = top + (bottom - top) * t

    def paint(self, alpha: Array, colour: Array, start: float = 0.0, end: float = 1.0) -> None:
        """Blend a colour over the rows between start and end; `alpha` is given for the full frame or those rows."""
        rows = self.rows(start, end)
        if alpha.shape[0] == len(self.v):
            alpha = alpha[rows]
        view = self.canvas[:, rows, :]
        view += alpha * (colour - view)

    def rows(self, start: float, end: float) -> slice:
        return slice(max(0, int(start * len(self.v))), min(len(self.v), int(np.ceil(end * len(self.v)))))


def _studio(s: Stage, horizon: float) -> None:
    s.fill(rgb(206, 208, 212), rgb(226, 227, 229), 0.0, horizon)
    s.fill(rgb(226, 227, 229) if not s.flat else rgb(232, 233, 235), rgb(238, 238, 239), horizon, 1.0)
    if not s.flat:
        pool = np.exp(-(s.u**2) / 0.16) * np.exp(-((s.v - horizon) ** 2) / 0.10)
        s.canvas += 0.05 * pool


def _table(s: Stage, horizon: float) -> None:
    s.fill(rgb(226, 200, 170), rgb(240, 218, 190), 0.0, horizon)
    s.fill(rgb(150, 98, 54), rgb(196, 138, 84), horizon, 1.0)
    depth = (s.v[s.rows(horizon, 1.0)] - horizon) / (1 - horizon)
    # Planks run towards the viewer: their seams spread with depth.
    across = (s.u + 0.05 * s.shift) / (0.55 + 0.75 * depth) / 0.26
    seam = np.abs(across - np.round(across)) * 0.26
    if not s.flat:
        tone = np.sin(np.round(across) * 2.4) * 0.035
        s.canvas[:, s.rows(horizon, 1.0), :] *= 1 + tone
    s.paint(0.55 * s.edge(seam - 0.006, 0.012), rgb(104, 62, 32), horizon, 1.0)
    s.paint(s.edge(np.abs(s.v - horizon) - 0.008, 0.008), rgb(214, 160, 106), horizon - 0.02, horizon + 0.02)


def _kitchen(s: Stage, horizon: float) -> None:
    s.fill(rgb(158, 186, 190), rgb(182, 206, 208), 0.0, horizon)
    pitch = 0.165
    a, b = (s.u + 0.02 * s.shift) / pitch, (s.v - horizon) / pitch
    joint = np.minimum(np.abs(a - np.round(a)), np.abs(b - np.round(b))[s.rows(0, horizon)]) * pitch
    s.paint(s.edge(joint - 0.006, 0.008), rgb(226, 234, 234), 0.0, horizon)
    s.fill(rgb(220, 220, 222), rgb(242, 242, 243), horizon, 1.0)
    floor = s.rows(horizon, 1.0)
    depth = s.v[floor] - horizon
    for k, (lean, phase) in enumerate(((0.9, 0.12), (1.3, -0.52), (0.8, 0.62))):
        path = s.u - phase - 0.04 * s.shift - lean * (depth - 0.18) - 0.03 * np.sin(depth * 34 + 2 * k)
        s.paint(0.40 * s.edge(np.abs(path) - 0.007, 0.03), rgb(146, 150, 160), horizon, 1.0)
    s.paint(s.edge(np.abs(s.v - horizon) - 0.010, 0.008), rgb(248, 248, 248), horizon - 0.02, horizon + 0.02)


def _beach(s: Stage, horizon: float) -> None:
    sea = horizon - 0.17
    s.fill(rgb(92, 172, 232), rgb(204, 232, 246), 0.0, sea)
    s.fill(rgb(18, 108, 168), rgb(72, 176, 196), sea, horizon)
    s.fill(rgb(240, 218, 168), rgb(226, 192, 136), horizon, 1.0)
    wave = s.v - horizon - 0.016 * np.sin(s.u * 7 + 2 * s.shift)
    s.paint(s.edge(wave, 0.01), rgb(72, 176, 196), horizon - 0.03, horizon + 0.04)
    s.paint(s.edge(np.abs(wave) - 0.012, 0.012), rgb(250, 252, 252), horizon - 0.05, horizon + 0.05)
    clouds: Array = np.full_like(s.u, np.inf)
    for cx, cy, r in ((-0.34, 0.15, 0.07), (-0.26, 0.14, 0.05), (-0.42, 0.165, 0.045), (0.37, 0.22, 0.05), (0.44, 0.225, 0.035)):
        puff = np.hypot((s.u - cx - 0.03 * s.shift) * 0.75, (s.v[s.rows(0, 0.32)] - cy) * 1.5) - r
        clouds = np.minimum(clouds, puff)
    s.paint(0.85 * s.edge(clouds, 0.03), rgb(250, 252, 254), 0.0, 0.32)


def _garden(s: Stage, horizon: float) -> None:
    s.fill(rgb(168, 214, 240), rgb(226, 240, 240), 0.0, horizon)
    s.fill(rgb(128, 178, 70), rgb(160, 200, 84), horizon, 1.0)
    crown = horizon - 0.23 - 0.045 * np.abs(np.sin(s.u * 7.5 + 0.4 * s.shift)) - 0.02 * np.sin(s.u * 3)
    rows = s.rows(horizon - 0.36, horizon)
    s.paint(s.edge(crown - s.v[rows], 0.02), rgb(74, 104, 44), horizon - 0.36, horizon)
    if not s.flat:
        # Soft round clumps of leaves, lit from above.
        row = np.floor(s.v[rows] / 0.075)
        a = (s.u + 0.02 * s.shift) / 0.115 + 0.5 * (row % 2)
        clump = 1 - 4.5 * ((a - np.round(a)) ** 2 + (s.v[rows] / 0.075 - row - 0.42) ** 2)
        s.paint(0.42 * np.clip(clump, 0, 1) * s.edge(crown + 0.025 - s.v[rows], 0.05), rgb(116, 148, 62), horizon - 0.36, horizon)
    s.paint(s.edge(np.abs(s.v - horizon) - 0.010, 0.02), rgb(58, 84, 36), horizon - 0.03, horizon + 0.03)


def _snow(s: Stage, horizon: float) -> None:
    s.fill(rgb(156, 182, 212), rgb(206, 220, 234), 0.0, horizon)
    trees: Array = np.full_like(s.u, np.inf)
    rows = s.rows(0.1, horizon)
    v = s.v[rows]
    for cx, tall in ((-0.44, 0.40), (-0.27, 0.29), (0.33, 0.32), (0.47, 0.42), (-0.68, 0.34), (0.72, 0.33), (-0.95, 0.4), (1.0, 0.38)):
        if abs(cx) > s.half + 0.2:
            continue
        down = np.clip((v - (horizon - tall)) / tall, -0.02, 0.999)
        # Three tiers: the half-width falls back at every third of the height.
        reach = 0.115 * (0.35 * down + 0.65 * (np.maximum(down, 0) * 3 % 1.0) * (0.4 + 0.6 * down))
        tree = np.maximum(np.abs(s.u - cx - 0.02 * s.shift) - reach, -down * tall)
        trees = np.minimum(trees, tree)
    s.paint(s.edge(trees, 0.012), rgb(84, 118, 122), 0.1, horizon)
    s.fill(rgb(214, 226, 240), rgb(226, 235, 245), horizon, 1.0)
    drift = s.v - horizon - 0.02 * np.sin(s.u * 5 + s.shift)
    s.paint(s.edge(np.abs(drift) - 0.022, 0.02), rgb(222, 232, 243), horizon - 0.06, horizon + 0.06)
    second = s.v - (horizon + 0.20) - 0.03 * np.sin(s.u * 4 + 2)
    s.paint(0.55 * s.edge(-second, 0.05), rgb(240, 245, 250))


def _street(s: Stage, horizon: float) -> None:
    s.fill(rgb(196, 172, 158), rgb(188, 164, 150), 0.0, horizon)
    high, wide = 0.074, 0.185
    rows = s.rows(0, horizon)
    course = (s.v[rows] - horizon) / high
    odd = np.floor(course) % 2
    along = (s.u + 0.02 * s.shift) / wide + 0.5 * odd
    brick = np.maximum(
        np.abs(along - np.floor(along) - 0.5) * wide - (wide / 2 - 0.008),
        np.abs(course - np.floor(course) - 0.5) * high - (high / 2 - 0.008),
    )
    shade = np.ones_like(along)
    if not s.flat:
        shade = 1 + 0.07 * np.sin(np.floor(along) * 3.1 + np.floor(course) * 5.3)
    s.paint(s.edge(brick, 0.008), rgb(160, 88, 66) * shade, 0.0, horizon)
    s.fill(rgb(136, 138, 142), rgb(172, 173, 175), horizon, 1.0)
    depth = s.v[s.rows(horizon, 1.0)] - horizon
    across = (s.u + 0.1 * s.shift) / (0.6 + 1.6 * depth) / 0.36
    seam = np.minimum(np.abs(across - np.round(across)) * 0.36, np.abs(depth - 0.16))
    s.paint(0.6 * s.edge(seam - 0.005, 0.010), rgb(104, 106, 110), horizon, 1.0)
    s.paint(s.edge(np.abs(s.v - horizon) - 0.012, 0.008), rgb(92, 90, 92), horizon - 0.03, horizon + 0.03)


_LAMPS = (
    (-0.40, 0.20, 0.055, (255, 190, 84)),
    (-0.25, 0.36, 0.036, (255, 112, 116)),
    (0.31, 0.17, 0.050, (112, 184, 255)),
    (0.43, 0.33, 0.060, (255, 204, 110)),
    (0.12, 0.13, 0.032, (255, 160, 80)),
    (-0.70, 0.30, 0.050, (120, 184, 255)),
    (0.75, 0.22, 0.050, (255, 130, 110)),
    (-1.00, 0.20, 0.055, (255, 190, 84)),
    (1.05, 0.34, 0.050, (112, 184, 255)),
)


def _night(s: Stage, horizon: float) -> None:
    s.fill(rgb(18, 22, 60), rgb(74, 56, 112), 0.0, horizon)
    rows = s.rows(0.1, horizon)
    block = np.floor((s.u + 0.03 * s.shift) / 0.13)
    roof = horizon - 0.22 - 0.13 * (0.5 + 0.5 * np.sin(block * 2.3 + 1.0))
    inside = s.edge(roof - s.v[rows], 0.008)
    s.paint(inside, rgb(26, 28, 58), 0.1, horizon)
    a, b = (s.u + 0.03 * s.shift) / 0.0433, s.v[rows] / 0.05
    lit = (np.sin(np.floor(a) * 12.9 + np.floor(b) * 7.7) > 0.25) & (np.floor(a) % 3 != 2)
    window = np.maximum(np.abs(a - np.floor(a) - 0.5) * 0.0433 - 0.011, np.abs(b - np.floor(b) - 0.5) * 0.05 - 0.014)
    s.paint(0.75 * s.edge(window, 0.008) * lit * (s.v[rows] > roof + 0.02), rgb(246, 196, 104), 0.1, horizon)
    s.fill(rgb(58, 58, 92), rgb(84, 82, 116), horizon, 1.0)
    for cx, cy, r, colour in _LAMPS:
        if abs(cx) > s.half + 0.1:
            continue
        top, end = cy - r - 0.02, cy + r + 0.02
        disc = np.hypot(s.u - cx - 0.02 * s.shift, s.v[s.rows(top, end)] - cy) - r
        s.paint(0.72 * s.edge(disc, 0.012), rgb(*colour), top, end)


# name -> (painter, tint of the light the place throws on an object, strength of the rim light, strength of the shadow)
PLACES = {
    "studio": (_studio, (1.00, 1.00, 1.00), 0.10, 0.40),
    "table": (_table, (1.02, 1.00, 0.97), 0.12, 0.50),
    "kitchen": (_kitchen, (1.00, 1.00, 1.00), 0.10, 0.42),
    "beach": (_beach, (1.02, 1.01, 0.98), 0.12, 0.42),
    "garden": (_garden, (1.00, 1.01, 0.98), 0.14, 0.48),
    "snow": (_snow, (0.98, 1.00, 1.02), 0.10, 0.40),
    "street": (_street, (1.00, 0.99, 0.98), 0.12, 0.50),
    "night": (_night, (0.97, 0.97, 1.03), 0.45, 0.55),
}


def backdrop(name: str, width: int, height: int, horizon: float, *, flat: bool, shift: float) -> Array:
    """Paint the place `name` without any object: float32 (3, height, width) in 0..1.

    horizon: where ground meets background, 0..1 from the top. shift: -1..1, the untold jitter of the place.
    """
    stage = Stage(width, height, flat, shift)
    PLACES[name][0](stage, horizon)
    return stage.canvas
