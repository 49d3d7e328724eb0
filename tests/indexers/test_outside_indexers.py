"""Indexers that another installed distribution brings, sound and broken ones."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hisa_eval.errors import UserError
from hisa_eval.indexers.registry import BUILTIN, available, describe, get, parse, parse_list

SOUND = '''
from pydantic import BaseModel, Field

class WindowOptions(BaseModel):
    """Options."""
    width: int = Field(default=8, ge=1, description="Newest keys kept.")
    note: str | None = Field(default=None, description="Shown nowhere.")

class Window:
    """Keep the newest keys.

    A baseline.
    """
    name = "window"
    Options = WindowOptions

    def __init__(self, width=8, note=None):
        self.width = width
        self.note = note
        assert isinstance(width, int)

    label = property(lambda self: f"window:width={self.width}")
    settings = property(lambda self: {"width": self.width, "note": self.note})
    def exact_below(self, topk): return 0
    def new_state(self): return None
    def select(self, *inputs, **more): raise NotImplementedError

class Plain(Window):
    name = "plain"
    Options = None

class Picky(Window):
    def __init__(self, width=8, note=None):
        if width > 8:
            raise RuntimeError("too\\nwide")
'''

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Writes a distribution with entry points onto `sys.path`; everything is undone after the test."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def make(
        points: dict[str, str], module: str = "outside_one", source: str = SOUND, name: str = "outside"
    ) -> None:
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{name}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        lines = [f"{key} = {value}" for key, value in points.items()]
        (info / "entry_points.txt").write_text("[hisa_eval.indexers]\n" + "\n".join(lines) + "\n")
        importlib.invalidate_caches()

    yield make
    for module in set(sys.modules) - before:
        if module.startswith("outside_"):
            del sys.modules[module]


def test_an_outside_indexer_is_found_parsed_and_described(install: Install) -> None:
    install({"window": "outside_one:Window"})
    assert available() == [*BUILTIN, "window"]
    assert parse("window:width=3").settings == {"width": 3, "note": None}
    assert [each.label for each in parse_list("window:width=3,note=x,dsa")] == ["window:width=3", "dsa"]
    described = describe("window")
    assert described.origin == "outside 1.5"
    assert described.summary == "Keep the newest keys."
    assert [(row.name, row.type, row.default) for row in described.options] == [
        ("width", "integer >= 1", "8"),
        ("note", "text or none", "none"),
    ]


def test_an_outside_indexer_gets_the_same_error_messages(install: Install) -> None:
    install({"window": "outside_one:Window"})
    with pytest.raises(UserError, match="did you mean 'window'"):
        parse("windw")
    with pytest.raises(UserError, match="unknown window option 'widht' – did you mean 'width'"):
        parse("window:widht=3")
    with pytest.raises(
        UserError, match=r"window: width=0 is not allowed – width takes: integer >= 1 \(default 8\)"
    ):
        parse("window:width=0")


def test_an_indexer_without_an_options_model_takes_none(install: Install) -> None:
    install({"plain": "outside_one:Plain"})
    assert parse("plain").name == "plain"
    assert describe("plain").options == ()
    with pytest.raises(UserError, match="plain: unknown option 'width' – plain takes no options"):
        parse("plain:width=3")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "outside_missing:Window",
            "cannot be loaded: ModuleNotFoundError: No module named 'outside_missing'",
        ),
        ("outside_one:Nobody", "cannot be loaded: AttributeError: "),
        (
            "outside_one:WindowOptions",
            "is no indexer: WindowOptions lacks name, label, settings, exact_below, ",
        ),
        ("outside_one:SOME", "is not a class: outside_one:SOME"),
        ("outside_one:Odd", "Odd.Options is not a pydantic model"),
    ],
)
def test_a_broken_outside_indexer_names_its_distribution(install: Install, target: str, message: str) -> None:
    source = SOUND + "\nSOME = 3\nclass Odd(Window):\n    Options = dict\n"
    install({"window": target}, source=source)
    assert "window" in available()
    for use in (get, describe, parse):
        with pytest.raises(UserError) as error:
            use("window")
        assert "indexer 'window' of outside 1.5" in error.value.what
        assert message in error.value.what
        assert error.value.fix == "reinstall or uninstall outside 1.5"
        assert "\n" not in str(error.value)


def test_a_module_that_fails_while_imported_names_its_distribution(install: Install) -> None:
    install({"window": "outside_one:Window"}, source="raise RuntimeError('no\\n  luck')")
    with pytest.raises(
        UserError, match=r"of outside 1\.5 cannot be loaded: RuntimeError: no luck – reinstall"
    ):
        get("window")


def test_a_constructor_that_fails_is_said_in_one_line(install: Install) -> None:
    install({"window": "outside_one:Picky"})
    with pytest.raises(UserError, match="indexer 'window' cannot be made: RuntimeError: too wide – see"):
        parse("window:width=9")


def test_a_broken_outside_indexer_does_not_hide_the_others(install: Install) -> None:
    install({"window": "outside_missing:Window"})
    assert [each.label for each in parse_list("dsa,hisa,block-sparse")] == ["dsa", "hisa", "block-sparse"]


def test_a_name_claimed_twice_is_refused(install: Install) -> None:
    install({"hisa": "outside_one:Window", "window": "outside_one:Window"})
    install({"window": "outside_two:Window"}, module="outside_two", name="second")
    with pytest.raises(
        UserError, match=r"'hisa' is registered by hisa-eval \(built in\) and outside 1.5 – uninst"
    ):
        get("hisa")
    with pytest.raises(
        UserError, match=r"'window' is registered by (outside|second) 1\.5 and (outside|second) 1\.5"
    ):
        get("window")
    assert available().count("hisa") == 1
    assert parse("dsa").name == "dsa"
