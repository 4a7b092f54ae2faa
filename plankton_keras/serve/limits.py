"""What the service takes, and whether one more scan fits."""

import errno
import shutil
from dataclasses import dataclass

from plankton_keras.serve.refusing import Refused

HOUR = 3600
# Seconds after which a full queue may have room.
RETRY_SECONDS = 30
# Bytes that stay free on the disk, for the maps of a scan and its results.
SPARE_BYTES = 2**30


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the service takes.

    Attributes:
        upload_bytes: Bytes of a scan.
        megapixels: Pixels of a scan, in millions.
        queue: Uploaded jobs that are not finished.
        keep_hours: Hours that a finished job is kept, counted anew from its last correction.
        upload_hours: Hours that an upload may rest before it is given up.
        job_seconds: Seconds that prediction and measuring of a scan may take.
    """

    upload_bytes: int = 8 * 2**30
    megapixels: float = 1000
    queue: int = 20
    keep_hours: float = 72
    upload_hours: float = 6
    job_seconds: float = 6 * HOUR

    def check_length(self, length):
        """Refuses an upload of so many bytes where it is too large or empty."""
        if not 0 < length <= self.upload_bytes:
            raise Refused(
                413 if length else 400,
                f"The upload has {length} bytes.",
                f"1 to {self.upload_bytes} bytes.",
                "send a smaller scan." if length else "send a scan.",
            )

    def check_queue(self, count):
        """Refuses one more upload where so many jobs are not finished."""
        if count >= self.queue:
            raise Refused(
                429,
                f"{count} scans are waiting already.",
                f"at most {self.queue}.",
                f"try again in {RETRY_SECONDS} s.",
                {"Retry-After": str(RETRY_SECONDS)},
            )


def check_disk(folder, coming):
    """Refuses so many bytes that are still to come where the disk of a folder has no space for them."""
    if shutil.disk_usage(folder).free < coming + SPARE_BYTES:
        raise disk_full()


def is_disk_full(error):
    """Tells whether an `OSError` is that of a full disk."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def disk_full():
    """Makes the error of a full disk."""
    return Refused(507, "The disk of the service is full.", "space for the scan and its results.", "try again later.")
