"""plankton_keras: from a plankton scan to numbers that ecologists trust."""

import os

__version__ = "0.1.0"

# OpenCV reads its limit when it is imported, whichever module does it first; ours is `image_claims.MAX_PIXELS`.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**40))
