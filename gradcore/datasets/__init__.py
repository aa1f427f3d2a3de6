"""Data to train on: the digits that gradcore ships, and files in common formats.

Every loader checks its file whole and raises NotFoundError, FileError or FormatError with the place where
the file is not what it should be. Nothing is ever downloaded or unpickled.
"""

from ..lazy import by_folder

__getattr__, __dir__ = by_folder(__name__)
