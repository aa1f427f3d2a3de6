"""What labels there are, as Markdown; how a few of them come out again; what rule sets say of the runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from harness import Parser, markdown, positive_integer

from . import judging, labels
from .cases import CAUSES, SIDES
from .faults import FAULTS
from .labels import Labels
from .training import train
from .verify import Label

QUICK = 6  # labels that are verified anew
NEAR = 0.02  # a score may differ so much where another NumPy or processor drew the rows


def main(argv: Sequence[str]) -> int:
    """``gradcore bench health``."""
    parser = Parser(
        prog="gradcore bench health",
        description="Broken and sound trainings with verified labels, and what rule sets say of them.",
        epilog="example: gradcore bench health --quick; to verify more: gradcore bench health labels",
    )
    parser.add_argument("--quick", action="store_true", help=f"verify {QUICK} labels anew, judge few runs")
    parser.add_argument("--check", type=positive_integer, metavar="N", help="verify so many labels anew")
    parser.add_argument(
        "--side", choices=SIDES, default="figures", help="of the families to judge on (default: figures)"
    )
    arguments = parser.parse_args(argv)
    found = labels.read()
    print(report(found))
    status = 0
    count = arguments.check or (QUICK if arguments.quick else 0)
    for label in sample(found.held, count):
        differs = compare(label)
        print(f"- {label.case.key} {label.case.kind}, {label.case.family}: {differs or 'as before'}")
        status = max(status, int(bool(differs)))
    judged = [one for one in found.held if one.case.side == arguments.side]
    if arguments.quick:
        judged = sample(judged, QUICK)
    for name, rules in judging.RULES.items():
        print(verdicts(name, judging.judge(rules, judged)))
    return status


def sample(held: Sequence[Label], count: int) -> list[Label]:
    """So many labels, evenly over the file."""
    places = np.linspace(0, len(held) - 1, min(count, len(held))).round().astype(int)
    return [held[i] for i in places]


def compare(label: Label) -> str:
    """How the first run of a label, and its twin, differ from the file; empty if they do not."""
    parts = []
    for name, before, twin in (("score", label.score, False), ("twin", label.twin, True)):
        if before:
            again = train(label.case, 0, twin=twin).score
            if abs(again - before[0]) > NEAR:
                parts.append(f"{name} {again:.4f}, was {before[0]:.4f}")
    return "; ".join(parts)


def verdicts(name: str, tally: judging.Tally) -> str:
    """A line of what a rule set said."""

    def share(hits: int, of: int) -> str:
        low, high = judging.interval(hits, of)
        return f"{hits} of {of} ({100 * low:.0f} to {100 * high:.0f} %)"

    return (
        f"- {name}: alarms on broken runs {share(tally.alarmed, tally.broken)}, on sound ones "
        f"{share(tally.false, tally.sound)}; cause right {share(tally.right, tally.broken)}, layer "
        f"{share(tally.found, tally.placed)}"
    )


# ---- What there is ----


def report(found: Labels) -> str:
    """Counts by cause, kind, strength and side, and what was dropped."""
    broken, sound = found.of("broken"), found.of("sound")
    mild = sum(one.strength == "mild" for one in broken)
    sides = Counter((one.label, one.case.side) for one in found.held)
    text = [
        f"{len(broken)} broken runs ({mild} of them mild) and {len(sound)} sound ones have a label that "
        f"holds; {len(found.dropped)} cases were dropped. Broken: {sides['broken', 'fitting']} for fitting, "
        f"{sides['broken', 'figures']} for figures; sound: {sides['sound', 'fitting']} and "
        f"{sides['sound', 'figures']}.",
        "",
        by_cause(broken),
        "",
        by_kind(found, list(FAULTS)),
        "",
        by_kind(found, ["plain", *labels.ODD]),
        "",
        by_data(found),
        "",
    ]
    return "\n".join(text)


def by_cause(broken: Sequence[Label]) -> str:
    """The cause that a fault was made for, and in how many labels it counts as right."""
    rows = []
    for cause in CAUSES:
        own = [one for one in broken if FAULTS[one.case.kind].causes[0] == cause]
        sides = Counter(one.case.side for one in own)
        strong = Counter(one.strength for one in own)
        right = sum(cause in one.causes for one in broken)
        counts = (strong["gross"], strong["mild"], sides["fitting"], sides["figures"], right)
        rows.append([cause, *map(str, counts)])
    return markdown(["cause", "gross", "mild", "fitting", "figures", "counts as right"], rows)


def by_kind(found: Labels, kinds: Sequence[str]) -> str:
    """How many labels of a kind held, and why others did not."""
    held = Counter(one.case.kind for one in found.held)
    rows = []
    for kind in kinds:
        reasons = Counter(reason for name, _, reason in found.dropped if name == kind)
        why = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        lost = sum(reasons.values())
        share = f"{100 * lost / (lost + held[kind]):.0f} %" if lost + held[kind] else ""
        rows.append([kind, str(held[kind]), str(lost), share, why])
    return markdown(["kind", "held", "dropped", "share", "why dropped"], rows)


def by_data(found: Labels) -> str:
    """The same by the family of data."""
    broken = Counter(one.case.data for one in found.of("broken"))
    sound = Counter(one.case.data for one in found.of("sound"))
    faulty = Counter(data for kind, data, _ in found.dropped if kind in FAULTS)
    others = Counter(data for kind, data, _ in found.dropped if kind not in FAULTS)
    names = sorted({*broken, *sound, *faulty, *others})
    rows = [[n, *map(str, (broken[n], faulty[n], sound[n], others[n]))] for n in names]
    return markdown(["data", "broken", "dropped", "sound", "dropped"], rows)
