"""Draw a scene: backdrop, shadow, product, sign, then the light and the style. Deterministic, numpy and Pillow only."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter

from .backdrops import PLACES, backdrop
from .lettering import word_mask
from .shapes import PRODUCTS, Part, product, rgb
from .world import COLOURS, OBJECTS, Scene

Array = np.ndarray


@dataclass(frozen=True)
class Light:
    """Direction (x right, y up, z to the viewer), ambient and diffuse strength, tint, brightness of the backdrop."""

    direction: tuple[float, float, float]
    ambient: float
    diffuse: float
    tint: tuple[float, float, float]
    backdrop: float


_LIGHTS = {
    "soft": Light((-0.45, 0.50, 0.74), 0.50, 0.64, (1.0, 1.0, 1.0), 1.0),
    "dramatic": Light((-0.88, 0.22, 0.42), 0.22, 1.06, (1.0, 1.0, 1.0), 0.50),
    "warm": Light((-0.55, 0.45, 0.70), 0.50, 0.64, (1.10, 0.93, 0.66), 0.97),
    "cool": Light((-0.35, 0.55, 0.76), 0.50, 0.62, (0.76, 0.94, 1.12), 0.97),
}
_OBJECT_TINT = 0.45  # the share of a light's tint that reaches the object: its colour must stay readable

_PAPER = rgb(247, 242, 231)
_INK = rgb(34, 32, 40)
_BOARD = rgb(252, 252, 250)

# framing -> (centre x as a share of the width, ground line as a share of the height, scale)
_FRAMINGS = {
    "centre": (0.50, 0.87, 1.00),
    "close": (0.50, 0.955, 1.36),
    "wide": (0.50, 0.80, 0.58),
    "left": (0.29, 0.87, 0.86),
    "right": (0.71, 0.87, 0.86),
}


@dataclass(frozen=True)
class _Layout:
    """Where things stand, in pixels: the object's centre x, ground y and unit length; the sign's centre and letters."""

    x: float
    ground: float
    unit: float
    horizon: float
    letter: int
    sign_x: float
    sign_y: float


def render(scene: Scene) -> Array:
    """The picture of a scene: uint8 (H, W, 3)."""
    return render_with_mask(scene)[0]


def render_with_mask(scene: Scene) -> tuple[Array, Array]:
    """The picture, uint8 (H, W, 3), and the object's coverage, float32 (H, W) in 0..1."""
    layout, shade, shift = _layout(scene)
    colour = rgb(*COLOURS[scene.colour])
    return _compose(scene, layout, shift, [(scene.object, colour * shade, layout.x, layout.unit)])


def spoil(scene: Scene, kind: str, rng: np.random.Generator) -> Array:
    """A picture that went wrong, uint8 (H, W, 3), for teaching the oracle what "unclear" looks like.

    kind: "corrupted" (melted, smeared or two silhouettes at once), "doubled" (the object twice), "empty" (no object)
    or "mixed" (half of the body in another colour).
    """
    layout, shade, shift = _layout(scene)
    colour = rgb(*COLOURS[scene.colour]) * shade
    width = scene.size[0]
    if kind == "empty":
        return _compose(scene, layout, shift, [])[0]
    if kind == "doubled":
        half = PRODUCTS[scene.object][1]
        unit = min(layout.unit * rng.uniform(0.7, 0.9), width * 0.23 / half)
        gap = max(half * unit * 1.05, width * rng.uniform(0.20, 0.24))
        middle = float(np.clip(layout.x, gap + half * unit, width - gap - half * unit)) if 2 * (gap + half * unit) < width else width / 2
        pair = [(scene.object, colour, middle + side * gap, unit) for side in (-1, 1)]
        return _compose(scene, layout, shift, pair)[0]
    if kind == "mixed":
        other = _far_colour(scene.colour, rng)
        return _compose(scene, layout, shift, [(scene.object, (colour, other), layout.x, layout.unit)])[0]
    if kind != "corrupted":
        raise ValueError(f"unknown kind of spoiling: {kind!r}")
    picture, mask = render_with_mask(scene)
    if rng.random() < 0.35:
        others = [name for name in OBJECTS if name != scene.object]
        second = replace(scene, object=others[int(rng.integers(len(others)))])
        share = rng.uniform(0.4, 0.6)
        return (picture * share + render(second) * (1 - share) + 0.5).astype(np.uint8)
    return _melt(picture, mask, layout.unit, rng)


def _far_colour(name: str, rng: np.random.Generator) -> Array:
    """Another colour that is clearly different from `name`."""
    here = np.array(COLOURS[name], float)
    far = [c for c in COLOURS if np.linalg.norm(np.array(COLOURS[c], float) - here) > 120]
    return rgb(*COLOURS[far[int(rng.integers(len(far)))]])


def _melt(picture: Array, mask: Array, unit: float, rng: np.random.Generator) -> Array:
    """Displace and smear the object's neighbourhood by strong smooth waves."""
    height, width = mask.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    dx, dy = np.zeros_like(x), np.zeros_like(y)
    for _ in range(3):
        for field in (dx, dy):
            fx, fy = rng.uniform(-1, 1, 2) * rng.uniform(5, 13) / unit
            field += np.sin(fx * x + fy * y + rng.uniform(0, 6.3)) * unit * rng.uniform(0.05, 0.11)
    moved = picture[np.clip(y + dy, 0, height - 1).astype(int), np.clip(x + dx, 0, width - 1).astype(int)]
    soft = Image.fromarray(moved).filter(ImageFilter.GaussianBlur(float(unit * rng.uniform(0.015, 0.06))))
    near = Image.fromarray((mask * 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(unit * 0.12))
    alpha = np.clip(np.asarray(near, np.float32) / 255 * 3, 0, 1)[..., None]
    return (picture + alpha * (np.asarray(soft, np.float32) - picture) + 0.5).astype(np.uint8)


def _layout(scene: Scene) -> tuple[_Layout, float, float]:
    """The places of object and sign, and the jitter of shade (0.96..1.04) and backdrop (-1..1)."""
    width, height = scene.size
    jitter = np.random.Generator(np.random.PCG64(scene.jitter_seed)).uniform(-1, 1, 6).tolist()
    half, tall = PRODUCTS[scene.object][1:]
    share_x, share_y, scale = _FRAMINGS[scene.framing]
    above = scene.sign is not None and width < 1.25 * height  # a wide picture has room for the sign beside the object
    if above:
        scale = min(scale * 0.94, 1.12)
    unit = 0.60 * min(height, 1.12 * width) * scale * (1 + 0.03 * jitter[0])
    unit = min(unit, 0.70 * width * scale / (2 * half))  # broad products keep air at both sides
    if height > 1.3 * width:
        share_y -= 0.06  # a tall picture keeps some ground below the object
    ground = height * (share_y + 0.010 * jitter[1])
    letter = max(22, round(0.112 * min(width, height)))
    board = letter * 1.75
    if above:  # keep the top of the object below the sign
        unit = min(unit, (ground - 0.05 * height - board) / tall)
    margin = half * unit + 0.02 * width
    x = width * (share_x + 0.015 * jitter[2])
    x = float(np.clip(x, margin, width - margin)) if margin < width / 2 else width / 2
    if above:
        sign_x, sign_y = width * 0.5, 0.045 * height + board / 2
        if height > 1.3 * width:
            sign_y = max(sign_y, ground - tall * unit - 0.06 * height - board / 2)
    else:
        word = 0.75 * letter * len(scene.sign or "") + letter
        free_left, free_right = x - half * unit, width - x - half * unit
        sign_x = x + half * unit + free_right / 2 if free_right >= free_left - 0.05 * width else free_left / 2
        sign_x = float(np.clip(sign_x, word / 2 + 0.03 * width, width - word / 2 - 0.03 * width))
        sign_y = 0.08 * height + board / 2 + 0.06 * height
    if scene.framing == "close":
        horizon = 0.70
    else:
        horizon = share_y - 0.235
    layout = _Layout(x, ground, unit, horizon + 0.012 * jitter[3], letter, sign_x, sign_y)
    return layout, 1 + 0.04 * jitter[4], float(jitter[5])


def _compose(scene: Scene, layout: _Layout, shift: float, items: list) -> tuple[Array, Array]:
    """Paint everything. items: (object, colour or (left colour, right colour), centre x, unit) from back to front."""
    width, height = scene.size
    light = _LIGHTS[scene.light]
    flat = scene.style == "illustration"
    wash = scene.style == "watercolour"
    canvas = backdrop(scene.scene, width, height, layout.horizon, flat=flat, shift=shift)
    _light_backdrop(canvas, light, flat, layout)
    if wash:
        canvas = _blurred(canvas, 0.008 * height)
    mask = np.zeros((height, width), np.float32)
    for name, colour, x, unit in items:
        _shadow(canvas, scene, name, x, layout.ground, unit)
        if name == "candle":
            _glow(canvas, x, layout.ground - 0.85 * unit, unit)
        _paint_product(canvas, mask, scene, name, colour, x, layout.ground, unit)
    if scene.sign:
        _paint_sign(canvas, scene, layout)
    if wash:
        _wash(canvas)
    elif not flat:
        _vignette(canvas, 0.24 if scene.light == "dramatic" else 0.12)
    canvas *= 255.0
    canvas += 0.5
    np.clip(canvas, 0, 255, out=canvas)
    return np.ascontiguousarray(canvas.astype(np.uint8).transpose(1, 2, 0)), mask


def _light_backdrop(canvas: Array, light: Light, flat: bool, layout: _Layout) -> None:
    canvas *= (np.array(light.tint, np.float32) * light.backdrop).reshape(3, 1, 1)
    if light.backdrop < 0.9 and not flat:  # dramatic: a pool of light falls from the left
        width = canvas.shape[2]
        t = np.linspace(0, 1, width, dtype=np.float32)
        canvas *= (1.35 - 0.85 * t)[None, None, :]


def _shadow(canvas: Array, scene: Scene, name: str, x: float, ground: float, unit: float) -> None:
    """A soft contact shadow, falling a little to the right of the light."""
    strength = PLACES[scene.scene][3]
    dramatic = scene.light == "dramatic"
    if dramatic:
        strength = min(0.75, strength + 0.2)
    half = PRODUCTS[name][1] * unit
    lean = 0.30 if dramatic else 0.10
    cx, cy, rx, ry = x + lean * half, ground - 0.005 * unit, half * (1.25 if dramatic else 1.05), 0.075 * unit
    rows, columns = _window(canvas, cx - 2 * rx, cx + 2 * rx, cy - 2.6 * ry, cy + 2.6 * ry)
    yy = (np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + 0.5 - cy) / ry
    xx = (np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] + 0.5 - cx) / rx
    r2 = xx * xx + yy * yy
    if scene.style == "illustration":
        alpha = 0.30 * np.clip((1 - r2) * ry * 0.5, 0, 1)
    else:
        alpha = strength * np.exp(-1.3 * r2 * r2 - 0.4 * r2)
    canvas[:, rows, columns] *= 1 - alpha


def _glow(canvas: Array, x: float, y: float, unit: float) -> None:
    """The halo of a flame."""
    r = 0.34 * unit
    rows, columns = _window(canvas, x - 2 * r, x + 2 * r, y - 2 * r, y + 2 * r)
    yy = (np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + 0.5 - y) / r
    xx = (np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] + 0.5 - x) / r
    view = canvas[:, rows, columns]
    view += 0.45 * np.exp(-1.6 * (xx * xx + yy * yy)) * (rgb(255, 196, 96) - view)


def _window(canvas: Array, left: float, right: float, top: float, bottom: float) -> tuple[slice, slice]:
    height, width = canvas.shape[1:]
    rows = slice(int(np.clip(top, 0, height - 2)), int(np.clip(bottom + 1, 2, height)))
    return rows, slice(int(np.clip(left, 0, width - 2)), int(np.clip(right + 1, 2, width)))


def _paint_product(canvas: Array, mask: Array, scene: Scene, name: str, colour: Array, x: float, ground: float, unit: float) -> None:
    half, tall = PRODUCTS[name][1:]
    rows, columns = _window(canvas, x - half * unit - 4, x + half * unit + 4, ground - tall * unit - 4, ground + 0.05 * unit + 4)
    ly = (ground - np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - 0.5) / unit
    lx = (np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] + 0.5 - x) / unit
    if isinstance(colour, tuple):
        colour = np.where(lx[None] < 0, *colour)
    if scene.style == "watercolour":  # a hand is not a ruler: the outline wavers
        lx = lx + 0.012 * np.sin(np.linspace(0, 17, columns.stop - columns.start, dtype=np.float32))[None, :]
        ly = ly + 0.010 * np.sin(np.linspace(0, 13, rows.stop - rows.start, dtype=np.float32))[:, None]
    view, cover = canvas[:, rows, columns], mask[rows, columns]
    for part in product(name, lx, ly, colour):
        alpha = _STYLES[scene.style](view, part, scene, 1.0 / unit)
        np.maximum(cover, alpha, out=cover)


def _paint_photo(view: Array, part: Part, scene: Scene, pixel: float) -> Array:
    alpha = np.clip(0.5 - part.d / pixel, 0, 1)
    view += alpha * (_shaded(part, scene) - view)
    return alpha


def _paint_illustration(view: Array, part: Part, scene: Scene, pixel: float) -> Array:
    """Plain colour inside a thin dark outline."""
    alpha = np.clip(0.5 - part.d / pixel, 0, 1)
    line = 0.0
    if part.outline:
        view += alpha * (_INK - view)
        line = 1.9 * pixel
    tint = np.array(_LIGHTS[scene.light].tint, np.float32).reshape(3, 1, 1)
    strength = 0.78 if scene.light == "dramatic" else 1.0
    inner = np.clip(0.5 - (part.d + line) / pixel, 0, 1)
    colour = part.colour * (1 + _OBJECT_TINT * (tint - 1)) * (strength if not part.glow else 1.0)
    if scene.light == "dramatic" and not part.glow:  # two flat tones: the lit side and the shadow side
        colour = colour * np.where(part.nx + 0 * part.d > 0.25, 0.5, 1.15)
    view += inner * (colour - view)
    return alpha


def _paint_watercolour(view: Array, part: Part, scene: Scene, pixel: float) -> Array:
    """A thin wash: soft edges, and pigment that gathers along them."""
    alpha = np.clip(0.5 - part.d / (3.2 * pixel), 0, 1)
    gather = 1 - 0.22 * np.exp(-((part.d / 0.03) ** 2))
    colour = np.clip(_shaded(part, scene, gloss=0.3), 0, 1)
    colour = (colour + 0.16 * (_PAPER - colour)) * gather
    view += alpha * (colour - view)
    return alpha


_STYLES = {"photo": _paint_photo, "illustration": _paint_illustration, "watercolour": _paint_watercolour}


def _shaded(part: Part, scene: Scene, gloss: float = 1.0) -> Array:
    """The part's colour under the scene's light: (3, m, n), not clipped."""
    if part.glow:
        return part.colour
    light = _LIGHTS[scene.light]
    tint, rim = np.array(PLACES[scene.scene][1], np.float32), PLACES[scene.scene][2]
    tint = (tint * (1 + _OBJECT_TINT * (np.array(light.tint, np.float32) - 1))).reshape(3, 1, 1)
    lx, ly, lz = light.direction
    nz = np.sqrt(np.maximum(1 - part.nx * part.nx - part.ny * part.ny, 0.0))
    lambert = np.maximum(part.nx * lx + part.ny * ly + nz * lz, 0)
    lum = light.ambient + light.diffuse * lambert
    # Half vector between the light and the viewer.
    hx, hy, hz = np.array([lx, ly, lz + 1]) / np.linalg.norm([lx, ly, lz + 1])
    shine = np.maximum(part.nx * float(hx) + part.ny * float(hy) + nz * float(hz), 0)
    for _ in range(5):
        shine = shine * shine
    extra = (part.gloss * gloss * 0.75) * shine
    if part.gloss:
        extra = extra + rim * (1 - nz) ** 3
    if rim > 0.3 and part.outline:  # at night a thin light along the edges lifts dark bodies off the dark
        extra = extra + (0.7 * rim) * np.exp(-((part.d / 0.014) ** 2))
    return (part.colour * (1.0 - 0.035) + 0.035) * lum * tint + extra


def _paint_sign(canvas: Array, scene: Scene, layout: _Layout) -> None:
    """A small white board on two cords with bold dark letters."""
    letters = word_mask(scene.sign, layout.letter)
    pad = layout.letter * 0.375
    half_w, half_h = letters.shape[1] / 2 + pad, letters.shape[0] / 2 + pad
    x, y = round(layout.sign_x), round(layout.sign_y)
    for side in (-0.6, 0.6):
        column = round(x + side * half_w)
        canvas[:, : int(y - half_h), column : column + 2] = rgb(70, 66, 64)
    rows, columns = _window(canvas, x - half_w - 6, x + half_w + 6, y - half_h - 6, y + half_h + 8)
    yy = np.abs(np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + 0.5 - y)
    xx = np.abs(np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] + 0.5 - x)
    d = np.maximum(xx - half_w, yy - half_h)
    view = canvas[:, rows, columns]
    if scene.style != "illustration":
        view *= 1 - 0.20 * np.clip(1 - (d - 1) / 6, 0, 1)
    view += np.clip(0.5 - d, 0, 1) * (rgb(60, 58, 60) - view)
    view += np.clip(0.5 - d - 1.6, 0, 1) * (_BOARD - view)
    top, left = y - letters.shape[0] // 2, x - letters.shape[1] // 2
    spot = canvas[:, top : top + letters.shape[0], left : left + letters.shape[1]]
    spot += letters * (rgb(24, 24, 28) - spot)


def _blurred(canvas: Array, radius: float) -> Array:
    image = Image.fromarray((np.clip(canvas, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0).copy())
    soft = np.asarray(image.filter(ImageFilter.BoxBlur(radius)), np.float32)
    return np.ascontiguousarray(soft.transpose(2, 0, 1)) * np.float32(0.45 / 255) + 0.55 * _PAPER


def _wash(canvas: Array) -> None:
    """Let the picture fade into bare paper along a wavering border."""
    height, width = canvas.shape[1:]
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None, :]
    inset = 0.035 * min(height, width)
    dx = np.minimum(x, width - 1 - x) + 0.35 * inset * np.sin(y / height * 21)
    dy = np.minimum(y, height - 1 - y) + 0.35 * inset * np.sin(x / width * 19 + 1)
    bare = np.clip(1.4 - np.minimum(dx, dy) / inset, 0, 1)
    canvas += bare * (_PAPER - canvas)


def _vignette(canvas: Array, strength: float) -> None:
    height, width = canvas.shape[1:]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] ** 2
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] ** 2
    canvas *= 1 - strength * np.clip(0.5 * (x + y), 0, 1) ** 1.5
