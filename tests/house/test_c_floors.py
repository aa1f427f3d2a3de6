"""In the core, includes and calls go down, from floor to floor, and in no circles."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support import c_floors

SOURCES = Path(__file__).resolve().parents[2] / "src_c"
WHAT_TO_DO = (
    "A file of src_c includes, and calls, its own floor and lower ones: "
    + " < ".join(c_floors.FLOORS)
    + ". Move what is wanted down to a floor that both may see, or hand it down as a pointer or a number."
)


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    return c_floors.compile_objects(SOURCES, tmp_path_factory.mktemp("objects"))


@pytest.fixture(scope="module")
def arrows(objects):
    return c_floors.calls(objects)


def test_every_folder_is_a_floor_and_every_source_lies_one_deep():
    assert {path.name for path in SOURCES.iterdir()} == set(c_floors.FLOORS), WHAT_TO_DO
    deep = [path for path in SOURCES.rglob("*.c") if len(path.relative_to(SOURCES).parts) != 2]
    assert not deep, "src_c/*/*.c names every source; move these up"


def test_includes_go_down():
    found = c_floors.upward_includes(SOURCES)
    assert not found, "\n".join([*found, WHAT_TO_DO])


def test_a_planted_include_that_goes_up_is_found(tmp_path):
    shutil.copytree(SOURCES, tmp_path / "src_c")
    path = tmp_path / "src_c" / "ops" / "dense.c"
    path.write_text('#include "../training/trainer.h"\n' + path.read_text())
    found = c_floors.upward_includes(tmp_path / "src_c")
    assert found == ["ops/dense.c includes ../training/trainer.h: ops stands below training"]


@pytest.mark.slow  # compiles the core
def test_calls_go_down(arrows):
    found = c_floors.upward_calls(arrows)
    assert not found, "\n".join([*found, WHAT_TO_DO])


@pytest.mark.slow  # compiles the core
def test_no_files_call_each_other_in_a_circle(arrows):
    found = c_floors.circles(arrows)
    told = [f"{', '.join(circle)}:\n{c_floors.ties(circle, arrows)}" for circle in found]
    assert not found, "\n".join([*told, "Move what both want into a file that both may call."])


@pytest.mark.slow  # compiles the core
def test_planted_calls_are_found(objects, tmp_path):
    """One that goes up, and one that closes a circle."""
    planted = tmp_path / "network" / "draws.c"
    planted.parent.mkdir()
    planted.write_text(
        "void grc_end_write(void), grc_plan_destroy(void);\n"
        "void grc_fill_normal(void) { grc_end_write(); grc_plan_destroy(); }\n"
    )
    changed = objects | {"network/draws.c": c_floors.compile_object(tmp_path, "network/draws.c", tmp_path)}
    arrows = c_floors.calls(changed)
    assert c_floors.upward_calls(arrows) == ["network/draws.c calls pass/plan.c (grc_plan_destroy)"]
    (circle,) = c_floors.circles(arrows)
    assert {"network/draws.c", "network/parameters.c"} <= set(circle)
    assert "network/draws.c -> network/parameters.c: grc_end_write" in c_floors.ties(circle, arrows)
