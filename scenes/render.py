"""An analytic ray caster for scenes: orthographic camera, soft shadows from a disc light, averaged in linear light."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GlidewireError
from .world import COLOURS, GROUNDS, TINTS, Scene, Solid

Array = NDArray[np.floating[Any]]

_PITCH = math.radians(28.0)
_COS, _SIN = math.cos(_PITCH), math.sin(_PITCH)
_VIEW = np.array([0.0, -_SIN, _COS], np.float32)  # the way the camera looks: forward (z) and down
_UP = np.array([0.0, _COS, _SIN], np.float32)
_FAR = np.float32(1e9)


def _to_linear(srgb: tuple[int, int, int]) -> Array:
    return (np.array(srgb, np.float32) / 255.0) ** np.float32(2.2)


_ALBEDO = {name: _to_linear(rgb) for name, rgb in (COLOURS | TINTS).items()}
_GROUND = {name: _to_linear(rgb) for name, rgb in GROUNDS.items()}


class _Body:
    """A solid in world coordinates (x right, y up, z away), with exact ray intersection.

    Proportions are chosen so that each silhouette's larger extent is the solid's diameter.
    """

    def __init__(self, solid: Solid) -> None:
        extent = 2.0 * solid.diameter  # the picture is 2 units wide
        self.shape, self.albedo = solid.shape, _ALBEDO[solid.colour]
        self.yaw = (math.cos(solid.yaw), math.sin(solid.yaw))
        self.radius, self.height = {
            "sphere": (0.5 * extent, extent),
            "cube": (0.5 * 0.66 * extent, 0.66 * extent),
            "cone": (0.5 * extent, 0.5 * extent * (2.0 - _SIN) / _COS),
            "cylinder": (0.38 * extent, extent * (1.0 - 0.76 * _SIN) / _COS),
        }[solid.shape]
        # Height of the silhouette's centre over the point where the base's centre projects.
        centre = 0.5 * self.height * _COS
        if solid.shape == "cone":  # its top is a point, so the base's ellipse counts below only
            centre -= 0.5 * self.radius * _SIN
        foot = solid.y - centre
        if solid.floating:  # in the plane of a solid that stands below it
            self.z = -0.9 / _SIN * 0.75
            self.bottom = (foot - self.z * _SIN) / _COS
        else:
            self.z, self.bottom = foot / _SIN, 0.0
        self.x = solid.x

    def hit(self, origin: Array, direction: Array) -> tuple[Array, Array]:
        """Distance [rays] (far where missed) and a function's worth of data for normals: the hit points [3 rays]."""
        ox, oy, oz = origin[0] - self.x, origin[1] - self.bottom, origin[2] - self.z
        dx, dy, dz = direction
        if self.shape == "sphere":
            oy = oy - self.radius
            distance = _quadratic(
                dx * dx + dy * dy + dz * dz,
                ox * dx + oy * dy + oz * dz,
                ox * ox + oy * oy + oz * oz - self.radius**2,
            )
            return distance, np.stack((ox + distance * dx, oy + distance * dy, oz + distance * dz))
        if self.shape == "cube":
            return self._hit_cube(ox, oy, oz, dx, dy, dz)
        return self._hit_round(ox, oy, oz, dx, dy, dz)

    def _hit_cube(self, ox: Array, oy: Array, oz: Array, dx: Array, dy: Array, dz: Array) -> tuple[Array, Array]:
        c, s = self.yaw
        ox, oz = c * ox + s * oz, c * oz - s * ox
        dx, dz = c * dx + s * dz, c * dz - s * dx
        oy = oy - self.radius
        near, far = np.full_like(ox, -_FAR), np.full_like(ox, _FAR)
        for o, d in ((ox, dx), (oy, dy), (oz, dz)):
            d = np.where(np.abs(d) < 1e-7, np.float32(1e-7), d)
            a, b = (-self.radius - o) / d, (self.radius - o) / d
            near, far = np.maximum(near, np.minimum(a, b)), np.minimum(far, np.maximum(a, b))
        distance = np.where((near < far) & (near > 1e-3), near, _FAR)
        return distance, np.stack((ox + distance * dx, oy + distance * dy, oz + distance * dz))

    def _hit_round(self, ox: Array, oy: Array, oz: Array, dx: Array, dy: Array, dz: Array) -> tuple[Array, Array]:
        if self.shape == "cylinder":
            side = _quadratic(dx * dx + dz * dz, ox * dx + oz * dz, ox * ox + oz * oz - self.radius**2)
        else:  # x^2 + z^2 = (k (height - y))^2
            k2, top = (self.radius / self.height) ** 2, oy - self.height
            side = _quadratic(
                dx * dx + dz * dz - k2 * dy * dy,
                ox * dx + oz * dz - k2 * top * dy,
                ox * ox + oz * oz - k2 * top * top,
            )
        y = oy + side * dy
        distance = np.where((y >= 0) & (y <= self.height), side, _FAR)
        # Flat ends: a cylinder's lid, and the base seen by shadow rays from under a floating solid.
        safe = np.where(np.abs(dy) < 1e-7, np.float32(1e-7), dy)
        for level in (self.height, 0.0) if self.shape == "cylinder" else (0.0,):
            lid = (level - oy) / safe
            inside = (ox + lid * dx) ** 2 + (oz + lid * dz) ** 2 <= self.radius**2
            distance = np.minimum(distance, np.where(inside & (lid > 1e-3), lid, _FAR))
        return distance, np.stack((ox + distance * dx, oy + distance * dy, oz + distance * dz))

    def normal(self, point: Array) -> Array:
        """Outward unit normals [3 rays] at hit points [3 rays] in the body's own coordinates."""
        x, y, z = point
        if self.shape == "sphere":
            return point / np.float32(self.radius)
        if self.shape == "cube":
            axis = np.argmax(np.abs(point), axis=0)
            local = np.where(np.arange(3)[:, None] == axis, np.sign(point), 0.0).astype(np.float32)
            c, s = self.yaw
            return np.stack((c * local[0] - s * local[2], local[1], s * local[0] + c * local[2]))
        slope = self.radius / self.height if self.shape == "cone" else 0.0
        radial = np.sqrt(x * x + z * z) + np.float32(1e-9)
        norm = math.hypot(1.0, slope)
        side = np.stack((x / radial / norm, np.full_like(x, slope / norm), z / radial / norm))
        lid = (y > self.height - 1e-4) & (self.shape == "cylinder")
        return np.where(lid, np.array([0, 1, 0], np.float32)[:, None], side).astype(np.float32)


def _quadratic(a: Array, b: Array, c: Array) -> Array:
    """The nearest root > 0 of a t^2 + 2 b t + c = 0, elementwise; far where there is none."""
    discriminant = b * b - a * c
    root = np.sqrt(np.maximum(discriminant, 0))
    a = np.where(np.abs(a) < 1e-9, np.float32(1e-9), a)
    one, two = (-b - root) / a, (-b + root) / a
    low, high = np.minimum(one, two), np.maximum(one, two)
    nearest = np.where(low > 1e-3, low, high)
    return np.where((discriminant > 0) & (nearest > 1e-3), nearest, _FAR).astype(np.float32)


def _lights(count: int, azimuth: float) -> Array:
    """Directions [3 count] towards a disc light at the upper left (a Vogel spiral, so that any count is even)."""
    index = np.arange(count, dtype=np.float32)
    radius, angle = 0.34 * np.sqrt((index + 0.5) / count), index * 2.39996
    base = np.array([-0.62 + 0.3 * azimuth, 1.25, -0.55], np.float32)
    towards = base[:, None] + np.stack((radius * np.cos(angle), 0.3 * radius * np.sin(angle), radius * np.sin(angle)))
    return (towards / np.linalg.norm(towards, axis=0)).astype(np.float32)


def render(scene: Scene, size: int, *, samples: int = 0) -> NDArray[np.uint8]:
    """Render a scene by casting `samples`^2 rays per pixel, each with its own point of the light's disc.

    Args:
        scene: What to show.
        size: The side of the picture in pixels, at least 8.
        samples: Rays per pixel along each side; 0 chooses 3 up to 64 px and 5 above.

    Returns:
        uint8 sRGB picture [height width 3].

    Raises:
        GlidewireError: when `size` is below 8.
    """
    if size < 8:
        raise GlidewireError("size of a rendered scene", expected="at least 8 pixels", got=size)
    samples = samples or (3 if size <= 64 else 5)
    side = size * samples
    step = (np.arange(side, dtype=np.float32) + 0.5) * np.float32(2.0 / side) - 1
    u, v = np.meshgrid(step, -step)
    u, v = u.ravel(), v.ravel()
    origin = u * np.array([[1], [0], [0]], np.float32) + v * _UP[:, None] - 12.0 * _VIEW[:, None]
    sub = np.arange(side) % samples
    light_of_ray = (sub[:, None] * samples + sub[None, :]).ravel()
    light = _lights(samples * samples, scene.light)[:, light_of_ray]
    colour = _shade(scene, origin, v, light)
    pixels = colour.reshape(3, size, samples, size, samples).mean(axis=(2, 4))
    return np.rint(255.0 * np.clip(pixels, 0, 1) ** (1 / 2.2)).astype(np.uint8).transpose(1, 2, 0).copy()


def _shade(scene: Scene, origin: Array, v: Array, light: Array) -> Array:
    """Linear RGB [3 rays]: Lambert and Blinn under the sampled light, a hemisphere of ambient, contact darkening."""
    bodies = [_Body(solid) for solid in scene.solids]
    depth = (0.0 - origin[1]) / _VIEW[1]
    ground = _GROUND[scene.ground][:, None] * (1.0 + 0.10 * v)  # a studio sweep: lighter towards the back
    point = origin + depth * _VIEW[:, None]
    normal = np.broadcast_to(np.array([[0], [1], [0]], np.float32), origin.shape).copy()
    albedo, gloss = ground, np.zeros_like(v)
    for body in bodies:
        distance, local = body.hit(origin, _VIEW[:, None] * np.ones_like(origin))
        front = distance < depth
        depth = np.where(front, distance, depth)
        point = np.where(front, origin + distance * _VIEW[:, None], point)
        normal = np.where(front, body.normal(local), normal)
        albedo = np.where(front, body.albedo[:, None], albedo)
        gloss = np.where(front, np.float32(1), gloss)
    lit = np.ones_like(v)
    start = point + np.float32(4e-3) * normal
    for body in bodies:
        lit = lit * (body.hit(start, light)[0] >= _FAR)
    lambert = np.maximum((normal * light).sum(0), 0) * lit
    half = light - _VIEW[:, None]
    half = half / np.linalg.norm(half, axis=0)
    specular = gloss * lit * np.maximum((normal * half).sum(0), 0) ** 40
    # Grounds reach full albedo where lit, so that their name can be read; solids keep a visible modelling.
    ambient = 0.26 + 0.16 * normal[1]
    return albedo * (ambient + 0.70 * lambert) + 0.22 * specular
