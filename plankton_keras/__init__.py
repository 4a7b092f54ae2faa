"""plankton_keras: from a plankton scan to numbers that ecologists trust."""

__version__ = "0.1.0"
