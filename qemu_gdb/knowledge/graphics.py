"""The libraries that draw for QEMU: whose code it is when a thread dies in one of them."""

from __future__ import annotations

import re
from typing import NamedTuple, Tuple

from ..pattern import Pattern


class Drawer(NamedTuple):
    """A library, or a family of them, by its file's name."""

    files: Pattern
    whose: str
    step: str


_GL_OFF = "; does it go away without OpenGL (gl=off, a device without -gl)?"

DRAWERS: Tuple[Drawer, ...] = (
    # Mesa: one driver a file up to 24.1 (radeonsi_dri.so), libgallium since; its Vulkan drivers and dispatchers
    Drawer(Pattern(r"\w+_dri\.so|libgallium|libvulkan_(?:radeon|intel|lvp|nouveau|virtio|panfrost|freedreno)"
                   r"|lib(?:EGL|GLX)_mesa|libglapi|libdrm_|pipe_\w+\.so"),
           "Mesa", "the versions of Mesa and virglrenderer: look there for this crash" + _GL_OFF),
    Drawer(Pattern(r"libvirglrenderer|librutabaga_gfx|libgfxstream"),
           "the host's renderer of virtio-gpu", "the versions of virglrenderer (or rutabaga) and Mesa: look there for "
           "this crash" + _GL_OFF),
    Drawer(Pattern(r"libnvidia-|lib(?:EGL|GLX|GLESv\w*)_nvidia|libcuda\b"),
           "NVIDIA's driver", "the version of NVIDIA's driver: look there for this crash" + _GL_OFF),
    Drawer(Pattern(r"(?:amdvlk|amdgpu|libamd|fglrx)\w*\.so"),
           "AMD's driver", "the version of AMD's driver: look there for this crash" + _GL_OFF),
)  # fmt: skip


def drawer_of(library: str) -> Tuple[str, str]:
    """Whose a library is, and what to look at; "" and "" for one that draws nothing."""
    base = re.split(r"[/\\]", library)[-1]
    row = next((row for row in DRAWERS if row.files.match(base)), None)
    return (row.whose, row.step) if row is not None else ("", "")
