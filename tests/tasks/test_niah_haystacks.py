"""Haystacks: varied prose, folders of any text, and what is wrong with a bad folder."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from hisa_tasks.draws import Draws
from hisa_tasks.niah import NiahTask
from hisa_tasks.niah.haystacks.base import HaystackText
from hisa_tasks.niah.haystacks.catalog import find_haystack
from hisa_tasks.niah.haystacks.prose import grammar_bytes
from hisa_tasks.niah.haystacks.sentences import MAX_GAP, sentence_starts
from hisa_tasks.niah.needles.catalog import FAMILIES
from hisa_tasks.sample import Tokenizer

FAMILY = FAMILIES["single-number"]
NEEDLES = FAMILY.draw(Draws("haystacks"), 0)


def opened(name: str, *parts: str | int) -> HaystackText:
    return find_haystack(name).open(FAMILY, NEEDLES, *parts)


def pieces(text: HaystackText) -> list[str]:
    return [text.text[a:b] for a, b in zip(text.starts, [*text.starts[1:], None], strict=True)]


def test_prose_does_not_repeat_itself() -> None:
    text = opened("prose", 0)
    text.ensure(1_000_000)
    paragraphs = text.text.split("\n\n")
    sentences = [piece.strip() for piece in pieces(text)]
    assert len(paragraphs) == len(set(paragraphs)) > 1500
    assert len(sentences) == len(set(sentences)) > 8000
    words = Counter(re.findall(r"[a-z]+", text.text.lower()))
    assert len(words) > 1500
    openings = Counter(" ".join(sentence.split()[:3]) for sentence in sentences)
    assert openings.most_common(1)[0][1] < len(sentences) / 30


def test_prose_looks_like_prose() -> None:
    text = opened("prose", 1)
    text.ensure(300_000)
    assert not re.search(r"\d|\bspecial\b|\bmagic\b|:|\{|\}|~|  |\n\n\n", text.text)
    assert not re.search(r"\ba [aeiou]|\ban [^aeiou\s]", re.sub(r"an hour|a useful", "", text.text))
    for piece in pieces(text):
        sentence = piece.strip()
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert 12 < len(sentence) < 260


def test_every_phrase_of_the_grammar_is_reached() -> None:
    text = opened("prose", 2)
    text.ensure(2_000_000)
    lowered = text.text.lower()
    grammar = tomllib.loads(grammar_bytes().decode("utf-8"))
    lists = [*grammar.items(), *(pair for scene in grammar["scenes"].values() for pair in scene.items())]
    phrases = [text for name, texts in lists if name not in ("patterns", "scenes") for text in texts]
    assert len(phrases) > 900
    assert [phrase for phrase in phrases if phrase.lower() not in lowered] == []


@pytest.mark.parametrize("name", ["prose", "noise", "needles"])
def test_growing_changes_nothing(name: str) -> None:
    slowly, at_once = opened(name, 3), opened(name, 3)
    for n_chars in (1, 50, 51, 3000, 20_000):
        slowly.ensure(n_chars)
        assert len(slowly.text) >= n_chars
    at_once.ensure(20_000)
    size = min(len(slowly.text), len(at_once.text))
    assert slowly.text[:size] == at_once.text[:size]
    assert [s for s in slowly.starts if s < size] == [s for s in at_once.starts if s < size]


def test_nearest_start() -> None:
    text = opened("noise", 0)
    text.ensure(1000)
    width = text.starts[1]
    assert text.start_nearest(width * 2.4, 10**9) == 2 * width
    assert text.start_nearest(width * 2.5, 10**9) == 2 * width
    assert text.start_nearest(width * 2.6, 10**9) == 3 * width
    assert text.start_nearest(width * 2.6, 2 * width) == 2 * width
    assert text.start_nearest(width * 9, 2 * width) == 2 * width
    assert text.start_nearest(0, 0) == 0
    assert text.start_after(2 * width) == 3 * width
    assert text.start_at_or_before(3 * width - 1) == 2 * width


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?  Four", ["One. ", "Two! ", "Three?  ", "Four"]),
        ('He said "no." She left.', ['He said "no." ', "She left."]),
        ("It is 3.5 m. long, e.g. here. End", ["It is 3.5 m. long, e.g. here. ", "End"]),
        ("Mr. Fox met P. Graham. They spoke.", ["Mr. Fox met P. Graham. ", "They spoke."]),
        ("A title\n\nthe text\nwraps. Next", ["A title\n\n", "the text\nwraps. ", "Next"]),
        ("海は広い。山は高い！「はい。」終", ["海は広い。", "山は高い！", "「はい。」", "終"]),
        ("Wait... What? 42 is it.", ["Wait... ", "What? ", "42 is it."]),
        ("no end", ["no end"]),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    starts = sentence_starts(text)
    assert [text[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)] == sentences


@pytest.mark.parametrize("text", ["word " * 2000, "line of code\n" * 900, "x" * 12_345, "a b\n" + "y" * 3000])
def test_no_gap_is_too_long(text: str) -> None:
    starts = sentence_starts(text)
    assert starts[0] == 0
    assert all(0 < b - a <= MAX_GAP + 1 for a, b in zip(starts, [*starts[1:], len(text)], strict=True))


def test_folder_is_sorted_tidied_and_repeated(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbfSecond file.  \r\nWrapped line.\r\n\r\n\r\n\r\nLast.")
    (tmp_path / "a.md").write_bytes(b"\n\n First file.\t\n")
    (tmp_path / ".hidden.txt").write_bytes(b"\xff")
    (tmp_path / "c.bin").write_bytes(b"\xff\xfe")
    (tmp_path / "d.txt").write_bytes(b" \n ")
    (tmp_path / "e").mkdir()
    haystack = find_haystack(str(tmp_path))
    corpus = "First file.\n\nSecond file.\nWrapped line.\n\nLast."
    assert haystack.describe()["n_chars"] == len(corpus)
    text = haystack.open(FAMILY, NEEDLES, 0)
    text.ensure(1000)
    cycle = corpus + "\n\n"
    assert text.text in cycle * 30
    assert len({haystack.open(FAMILY, NEEDLES, i).start_after(0) for i in range(20)}) > 1
    sample = NiahTask(haystack=str(tmp_path)).sample(3000, 50, 0, byte_tokenizer)
    assert "Second file.\nWrapped line.\n\nLast.\n\nFirst file." in sample.prompt
    assert sample.meta["haystack"] == f"dir-{tmp_path.name}"


def test_folder_hash_follows_the_text_alone(tmp_path: Path) -> None:
    for name, content in (("x", "Some text."), ("y", "Some text."), ("z", "Other text.")):
        folder = tmp_path / name / "texts"
        folder.mkdir(parents=True)
        (folder / "a.txt").write_text(content, "utf-8")
    one, same, other = (NiahTask(haystack=str(tmp_path / name / "texts")).data_hash() for name in "xyz")
    assert one == same != other


def test_answers_that_stand_in_the_folder_are_drawn_again(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    (tmp_path / "a.txt").write_text("Nothing here. " * 50, "utf-8")
    drawn = NiahTask(haystack=str(tmp_path)).sample(3000, 50, 0, byte_tokenizer).references[0]
    (tmp_path / "a.txt").write_text("Nothing here. " * 50 + f"The code {drawn} is known.", "utf-8")
    sample = NiahTask(haystack=str(tmp_path)).sample(3000, 50, 0, byte_tokenizer)
    assert sample.references[0] != drawn
    assert sample.prompt.count(sample.references[0]) == 1


def test_bad_folders(tmp_path: Path) -> None:
    def message(folder: Path) -> str:
        with pytest.raises(ValueError, match=r"^[^\n]+ – [^\n]+$") as error:
            NiahTask(haystack=str(folder))
        return str(error.value)

    missing, empty, blank, latin = (tmp_path / name for name in ("missing", "empty", "blank", "latin"))
    for folder in (empty, blank, latin):
        folder.mkdir()
    (blank / "a.txt").write_text(" \n\t\n", "utf-8")
    (latin / "good.txt").write_text("fine", "utf-8")
    (latin / "menu.txt").write_bytes("un café".encode("latin-1"))
    assert (
        message(missing)
        == f"haystack folder {missing} does not exist – give a folder that holds .txt or .md files"
    )
    assert message(latin / "good.txt").startswith(f"haystack folder {latin / 'good.txt'} is a file – ")
    assert message(empty).startswith(f"haystack folder {empty} has no .txt or .md file – ")
    assert message(blank).startswith(f"haystack folder {blank} has only white space in its text files – ")
    assert message(latin).startswith(
        f"haystack file {latin / 'menu.txt'} is not UTF-8: byte 6 cannot be decoded – "
    )
