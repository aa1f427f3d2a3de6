"""What gradcore warns of, besides numbers that are not finite: a RuntimeWarning."""

__all__ = ["GradcoreWarning", "SetupWarning"]


class GradcoreWarning(UserWarning):
    """Base of what gradcore warns of, apart from numbers that are not finite."""


class SetupWarning(GradcoreWarning):
    """A training that runs, but can hardly learn what it is meant for."""


def __dir__() -> list[str]:
    return __all__
