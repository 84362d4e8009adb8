#!/usr/bin/env python3
"""Draws the preview pictures of the templates: preview.png beside each workflow.json. Uses the standard library only.

usage: draw_previews.py

The pictures show what a template does; no model made them.
"""
import math
import os
import struct
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
WIDTH, HEIGHT = 384, 256


def mix(a, b, t):
    t = min(max(t, 0.0), 1.0)
    return tuple(x + (y - x) * t for x, y in zip(a, b))


def cover(distance):
    """How much of a pixel lies inside of an edge at this distance (negative is inside)."""
    return min(max(0.5 - distance, 0.0), 1.0)


def scene(x, y, sun=0.30, phase=0.0):
    """A lighthouse at dusk; x and y from 0 to 1, in the proportions of the picture. Distances are in thirds of pixels, for soft edges."""
    horizon = 0.66
    if y < horizon:
        color = mix((34, 40, 92), (236, 116, 82), (y / horizon) ** 1.6)
        color = mix(color, (255, 214, 140), max(0.0, 1 - math.hypot((x - sun) * 1.5, y - 0.58) / 0.34) ** 2)
        color = mix(color, (255, 240, 200), cover((math.hypot((x - sun) * 1.5, y - 0.58) - 0.055) * 250))
        for cx, cy, size in ((0.16, 0.2, 0.11), (0.46, 0.13, 0.08), (0.58, 0.3, 0.1)):
            band = math.exp(-(((x - cx - phase * 0.05) / size) ** 2) - ((y - cy) / 0.016) ** 2)
            color = mix(color, (250, 170, 150), band * 0.5)
    else:
        depth = (y - horizon) / (1 - horizon)
        color = mix((206, 108, 92), (24, 36, 74), depth ** 0.55)
        wave = math.sin(70 * depth ** 0.6 - 6.3 * phase + 5 * math.sin(9 * x + 6.3 * phase))
        glint = math.exp(-(((x - sun) / (0.035 + 0.16 * depth)) ** 2))
        color = mix(color, (255, 206, 140), glint * (0.45 + 0.45 * wave) * (1 - 0.5 * depth))
        color = mix(color, (14, 24, 56), 0.14 * (1 - wave) * depth)
    cliff = 0.70 + 0.9 * (0.84 - x) ** 2 + 0.012 * math.sin(31 * x) + 0.008 * math.sin(67 * x) + 5 * max(0.0, 0.61 - x)
    if x > 0.5:
        color = mix(color, mix((58, 46, 62), (20, 18, 34), (y - cliff) * 5), cover((cliff - y) * 250))
    tower = 0.022 + 0.020 * (y - 0.26) / 0.46
    if 0.26 < y < 0.73:
        shade = mix((246, 232, 222), (150, 122, 136), (x - 0.80 + tower) / (2 * tower))
        if int((y - 0.26) / 0.094) % 2:
            shade = mix((206, 70, 66), (110, 34, 52), (x - 0.80 + tower) / (2 * tower))
        color = mix(color, shade, cover((abs(x - 0.80) - tower) * 380))
    if 0.195 < y <= 0.26:
        color = mix(color, (255, 236, 170), cover((abs(x - 0.80) - 0.017) * 380))
    if 0.145 < y <= 0.195:
        color = mix(color, (70, 34, 48), cover((abs(x - 0.80) - 0.024 * (y - 0.145) / 0.05) * 380))
    if 0.255 < y < 0.27:
        color = mix(color, (60, 36, 50), cover((abs(x - 0.80) - 0.032) * 380))
    if x < 0.80:
        beam = abs((y - 0.228) - (x - 0.80) * 0.16) / (0.012 + (0.80 - x) * 0.09)
        color = mix(color, (255, 240, 190), 0.42 * max(0.0, 1 - beam) * max(0.0, 1 - (0.80 - x) / 0.62))
    return color


def text_to_image(px, py):
    return scene(px / WIDTH, py / HEIGHT)


def enhancement(px, py):
    """Coarse on the left, fine on the right."""
    if abs(px - WIDTH / 2) < 1.2:
        return (255, 255, 255)
    knob = math.hypot(px - WIDTH / 2, py - HEIGHT * 0.86)
    if knob < 13:
        return mix((255, 255, 255), (40, 44, 60), cover((abs(abs(px - WIDTH / 2) - 5) + abs(py - HEIGHT * 0.86) * 0.8 - 3.4)))
    # A closer look at the tower, where it shows.
    x, y = 0.58 + 0.44 * px / WIDTH, 0.10 + 0.56 * py / HEIGHT
    if px < WIDTH / 2:
        block = 8
        x = 0.58 + 0.44 * ((px // block) * block + block / 2) / WIDTH
        y = 0.10 + 0.56 * ((py // block) * block + block / 2) / HEIGHT
    return scene(x, y)


def video(px, py):
    """Three frames of a film."""
    film = (24, 24, 32)
    top, bottom = 44, HEIGHT - 44
    for row in (22, HEIGHT - 22):
        hole = max(abs((px + 12) % 24 - 12) - 6, abs(py - row) - 7)
        if hole < 0.5:
            return mix(film, (236, 236, 240), cover(hole))
    frame, gap = WIDTH / 3, 5
    number = int(px // frame)
    inside = px - number * frame
    if not (top < py < bottom and gap < inside < frame - gap):
        return film
    x = 0.47 + 0.42 * (inside - gap) / (frame - 2 * gap)
    y = 0.06 + 0.88 * (py - top) / (bottom - top)
    color = scene(x, y, sun=0.515 + 0.06 * number, phase=number / 3)
    if number == 1:
        dx, dy = px - WIDTH / 2, py - HEIGHT / 2
        color = mix(color, (20, 20, 30), 0.6 * cover(math.hypot(dx, dy) - 26))
        color = mix(color, (255, 255, 255), cover(max(-dx - 8, (dx - 13) * 0.55 + abs(dy) * 0.85)))
    return color


def write_png(path, paint):
    rows = bytearray()
    above = bytes(WIDTH * 3)
    for py in range(HEIGHT):
        row = bytearray()
        for px in range(WIDTH):
            # Four samples a pixel, and steps of four: smooth edges, and a file that compresses.
            samples = [paint(px + dx, py + dy) for dx in (0.25, 0.75) for dy in (0.25, 0.75)]
            row += bytes(min(255, max(0, int(sum(sample[c] for sample in samples) / 4 + 2) // 4 * 4)) for c in range(3))
        rows += b"\2" + bytes((row[i] - above[i]) & 255 for i in range(len(row)))
        above = bytes(row)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(rows), 9)) + chunk(b"IEND", b"")
    with open(path, "wb") as file:
        file.write(png)
    print(f"{path}: {len(png)} bytes")


for name, paint in (("txt2img_basic", text_to_image), ("image_enhancement", enhancement), ("img2video", video)):
    write_png(os.path.join(HERE, name, "preview.png"), paint)
