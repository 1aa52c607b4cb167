"""Numbers as people read them."""

from __future__ import annotations


def figure(value: float, form: str) -> str:
    """A number in a format (``"+.2f"``), with a minus sign that is as wide as the plus; what rounds to 0 has no minus."""
    return format(value, f"+z{form[1:]}" if form.startswith("+") else f"z{form}").replace("-", "−")
