"""The desktop arena. Sessions (what happens) know no pygame; views (how it looks) draw them."""

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # before any module of this package imports pygame
