"""How often gradcore's diagnosis is right: broken and sound trainings whose labels were verified.

    gradcore bench health                      # what there is: counts by cause, strength and side
    gradcore bench health --quick              # a few labels verified anew
    gradcore bench health labels --minutes 10  # go on verifying, into labels.jsonl

A `Case` (cases.py) is a small description from which its training is rebuilt bit for bit: data (data.py),
network and optimizer (plans.py), and what is wrong with it (faults.py) or odd about it (sound.py). draws.py
draws cases, training.py trains and scores them, verify.py decides whether a label holds, labels.py keeps
those that do. judging.py is where a rule set meets the runs: it is given a `Run` and says what it finds.

The half of the families that the figures come from was fixed before any rule was written: `Case.side`.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """The script behind ``gradcore bench health``."""
    options = list(argv or ())
    if options[:1] == ["labels"]:
        from . import labels

        return labels.main(options[1:])
    from . import table

    return table.main(options)
