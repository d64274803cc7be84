"""The one base of every error that a user can meet: what is wrong, what was expected, what came, what to do next."""

from __future__ import annotations


class GlidewireError(Exception):
    """A problem that the user can understand and mend; doors print it without a traceback.

    Args:
        message: What is wrong, naming the thing it concerns (an input, a file, a key).
        expected: What would have been right, in words or numbers.
        got: What came instead.
        hint: What to do next.
    """

    def __init__(self, message: str, *, expected: object = None, got: object = None, hint: str | None = None) -> None:
        self.message, self.expected, self.got, self.hint = message, expected, got, hint
        super().__init__(message)

    def __str__(self) -> str:
        parts = [self.message]
        if self.expected is not None:
            parts.append(f"expected {self.expected}")
        if self.got is not None:
            parts.append(f"got {self.got}")
        text = "; ".join(parts)
        return f"{text}. {self.hint}" if self.hint else text
