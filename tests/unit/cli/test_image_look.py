"""The lines of `image tree` and `image diff`."""

from __future__ import annotations

from typing import Any

import pytest

from pogu.cli.image_look import config_line, file_line, forest_lines, image_tree_lines


def a_layer(mark: str, by: str, size: int = 1000, **more: Any) -> dict[str, Any]:
    return {"ChainId": f"sha256:{mark * 64}", "Size": size, "CreatedBy": by, **more}


def a_node(mark: str, *above: dict[str, Any], names: tuple[str, ...] = ()) -> dict[str, Any]:
    images = [{"Names": list(names), "Id": "sha256:1", "Size": 1}] if names else []
    return a_layer(mark, f"/bin/sh -c {mark}", Images=images, Above=list(above))


def test_an_image_shows_its_layers_from_the_bottom_up() -> None:
    layers = [
        a_layer("a", "/bin/sh -c #(nop) ADD file:1 in /", Hidden=5, SharedWith=["b:1", "c:1"]),
        a_layer("b", "RUN /bin/sh -c apt-get  update # buildkit", Hidden=0, SharedWith=[]),
    ]
    image = {"Id": "sha256:" + "f" * 64, "Names": ["web:1"], "Size": 2000, "Layers": layers}
    assert image_tree_lines(image, full=False) == [
        "web:1  ffffffffffff  2kB in 2 layers, 5B of it hidden by layers above",
        "├─ aaaaaaaaaaaa      1kB  ADD file:1 in /  (5B hidden; shared with b:1, c:1)",
        "└─ bbbbbbbbbbbb      1kB  RUN apt-get update",
    ]


def test_a_tree_branches_where_images_part() -> None:
    left = a_node("b", a_node("c", names=("left:1",)))
    tree = a_node("a", left, a_node("d", names=("right:1",)), names=("base:1",))
    assert forest_lines(tree, full=False) == [
        "aaaaaaaaaaaa      1kB  RUN a  = base:1",
        "├─ bbbbbbbbbbbb      1kB  RUN b",
        "│  cccccccccccc      1kB  RUN c  = left:1",
        "└─ dddddddddddd      1kB  RUN d  = right:1",
    ]


def a_side(kind: str = "file", size: int = 10, link: str = "") -> dict[str, Any]:
    return {"Kind": kind, "Size": size, "Mode": "0644", "Owner": "0:0", "Link": link}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("added", [], None, a_side()), "A /p  10B"),
        (("removed", [], a_side("directory"), None), "D /p/"),
        (("added", [], None, a_side("link", link="to")), "A /p → to"),
        (("changed", ["size"], a_side(), a_side(size=20)), "C /p  size 10B → 20B"),
        (
            ("changed", ["content", "mode 0644 → 0755"], a_side(), a_side()),
            "C /p  content, mode 0644 → 0755",
        ),
    ],
)
def test_a_path_is_one_line(change: tuple[str, list[str], Any, Any], line: str) -> None:
    kind, what, before, after = change
    entry = {"Path": "/p", "Change": kind, "What": what, "From": before, "To": after}
    assert file_line(entry) == line


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (None, "1", "A Env a  1"),
        ("1", None, "D Env a  1"),
        ("1", "2", "C Env a  1 → 2"),
    ],
)
def test_a_setting_is_one_line(before: str | None, after: str | None, line: str) -> None:
    assert config_line({"Name": "Env a", "From": before, "To": after}) == line
