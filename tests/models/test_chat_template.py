"""Chat templates: around the prompt and nothing else; special tokens count once, never from a prompt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE

from hisa_eval.models.nano.tokenizer import byte_letters
from hisa_eval.models.tokens import CheckpointTokenizer
from hisa_eval.run.framing import Framing
from hisa_tasks.sample import Sample

BOS, USER, ANSWER, EOS = "<s>", "<|user|>", "<|answer|>", "</s>"
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|user|>\n{{ message['content'] | trim }}{% endfor %}"
    "{% if add_generation_prompt %}<|answer|>\n{% endif %}"
)


def checkpoint(folder: Path, **config: object) -> Path:
    """A byte-level tokenizer with four special tokens and one merge, as files."""
    folder.mkdir()
    vocabulary = {letter: number for number, letter in enumerate(byte_letters())}
    vocabulary["oo"] = len(vocabulary)
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=[("o", "o")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = [AddedToken(one, normalized=False, special=True) for one in (BOS, USER, ANSWER, EOS)]
    tokenizer.add_special_tokens(specials)
    tokenizer.save(str(folder / "tokenizer.json"))
    whole = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(whole), encoding="utf-8")
    return folder


def asked(prompt: str, *, rule: bool = True) -> Sample:
    return Sample("longbench/x/1", "longbench", prompt, ("a",), 8, 0, 0, meta={"chat_template": rule})


def framing(tokenizer: CheckpointTokenizer, policy: str = "auto", thinking: str = "none") -> Framing:
    return Framing(policy, thinking, "local", tokenizer)


@pytest.fixture
def tokenizer(tmp_path: Path) -> CheckpointTokenizer:
    return CheckpointTokenizer(checkpoint(tmp_path / "chat", chat_template=TEMPLATE))


def ids(tokenizer: CheckpointTokenizer, sample: Sample) -> list[int]:
    return tokenizer.encode_with(sample.prompt, (), sample.literal)[0].tolist()


def special(tokenizer: CheckpointTokenizer, *names: str) -> list[int]:
    found = [tokenizer._fast.token_to_id(name) for name in names]
    assert None not in found
    return found


def test_the_prompt_stands_inside_the_template_as_transformers_encodes_it(
    tokenizer: CheckpointTokenizer, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    sample = framing(tokenizer).apply(asked("Where is the book? 北京"))
    assert sample.prompt == f"{BOS}{USER}\nWhere is the book? 北京{ANSWER}\n"
    assert sample.literal is not None
    assert sample.prompt[slice(*sample.literal)] == "Where is the book? 北京"
    official = AutoTokenizer.from_pretrained(tmp_path / "chat").apply_chat_template(
        [{"role": "user", "content": "Where is the book? 北京"}],
        add_generation_prompt=True,
        return_dict=False,
    )
    assert ids(tokenizer, sample) == official
    assert sample.n_prompt_tokens == len(official) == sample.length - sample.max_new_tokens
    (bos,) = special(tokenizer, BOS)
    assert official.count(bos) == 1
    assert sample.meta["frame"] == "chat template"


def test_special_tokens_in_a_prompt_are_text(tokenizer: CheckpointTokenizer) -> None:
    plain = f"It says {EOS} and {BOS}{USER}, oo."
    sample = framing(tokenizer).apply(asked(plain))
    found = ids(tokenizer, sample)
    bos, user, answer, eos = special(tokenizer, BOS, USER, ANSWER, EOS)
    assert [found.count(one) for one in (bos, user, answer, eos)] == [1, 1, 1, 0]
    assert tokenizer.decode(found) == sample.prompt
    assert found[:2] == [bos, user]
    assert found[3:-2] == tokenizer.encode(plain)


def test_evidence_is_found_across_pieces(tokenizer: CheckpointTokenizer) -> None:
    for plain in ("a needle here", f"a needle here {EOS}"):
        sample = framing(tokenizer).apply(asked(plain))
        at = sample.prompt.index("needle")
        found, places = tokenizer.encode_with(sample.prompt, [(at, at + 6)], sample.literal)
        assert tokenizer.decode(found[places].tolist()) == "needle"


def test_the_rule_of_the_data_set_decides_unless_overruled(tokenizer: CheckpointTokenizer) -> None:
    for policy, rule, wrapped in (
        ("auto", True, True),
        ("auto", False, False),
        ("on", False, True),
        ("off", True, False),
    ):
        before = asked("Q", rule=rule)
        sample = framing(tokenizer, policy).apply(before)
        assert (USER in sample.prompt) == wrapped, (policy, rule)
        if not wrapped:
            assert sample == before


def test_without_a_template_nothing_changes_and_on_is_refused(tmp_path: Path) -> None:
    bare = CheckpointTokenizer(checkpoint(tmp_path / "bare"))
    assert bare.chat is None
    before = asked("Q")
    assert framing(bare).apply(before) is before
    assert framing(bare).room() == 0
    with pytest.raises(ValueError, match="has no chat template – use --chat-template auto or off"):
        framing(bare, "on")


def test_a_start_token_stands_before_raw_prompts_once(tmp_path: Path) -> None:
    both = checkpoint(tmp_path / "both", chat_template=TEMPLATE, add_bos_token=True)
    tokenizer = CheckpointTokenizer(both)
    (bos,) = special(tokenizer, BOS)
    for rule in (True, False):
        found = ids(tokenizer, framing(tokenizer).apply(asked("Q", rule=rule)))
        assert found[0] == bos
        assert found.count(bos) == 1
    twice = checkpoint(tmp_path / "twice", chat_template="{{ bos_token }}" + TEMPLATE)
    with pytest.raises(ValueError, match="gives '<s>' twice"):
        framing(CheckpointTokenizer(twice)).apply(asked("Q"))


@pytest.mark.parametrize("names", [(BOS,), (BOS, USER)], ids=["one", "two"])
@pytest.mark.parametrize("config", [{}, {"add_bos_token": True}], ids=["unsaid", "asked-for"])
def test_what_the_post_processor_puts_before_a_text_stands_before_raw_prompts(
    tmp_path: Path, names: tuple[str, ...], config: dict[str, bool]
) -> None:
    from transformers import AutoTokenizer

    folder = checkpoint(tmp_path / "processed", chat_template=TEMPLATE, **config)
    fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
    fast.post_processor = processors.TemplateProcessing(
        single=f"{' '.join(names)} $A", special_tokens=[(name, fast.token_to_id(name)) for name in names]
    )
    fast.save(str(folder / "tokenizer.json"))
    tokenizer = CheckpointTokenizer(folder)
    found = ids(tokenizer, framing(tokenizer).apply(asked("Where? 北京", rule=False)))
    assert found == AutoTokenizer.from_pretrained(folder)("Where? 北京").input_ids
    assert found[: len(names)] == special(tokenizer, *names)
    framed = ids(tokenizer, framing(tokenizer).apply(asked("Where? 北京")))
    assert framed.count(found[0]) == 1


def test_room_is_what_the_frame_adds(tokenizer: CheckpointTokenizer) -> None:
    sample = framing(tokenizer).apply(asked("some words"))
    assert framing(tokenizer).room() == sample.n_prompt_tokens - len(tokenizer.encode("some words"))


def test_a_template_in_a_file_of_its_own_counts(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "file")
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    chat = CheckpointTokenizer(folder).chat
    assert chat is not None
    assert chat.wrap("Q").text == f"{BOS}{USER}\nQ{ANSWER}\n"


def test_a_template_that_changes_the_prompt_is_refused(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "loud", chat_template="{{ messages[0]['content'] | upper }}")
    with pytest.raises(ValueError, match="changes the prompt itself"):
        framing(CheckpointTokenizer(folder)).apply(asked("quiet"))


def test_thoughts_are_dropped_by_a_named_rule(tokenizer: CheckpointTokenizer) -> None:
    from hisa_tasks.longbench import score

    meta = {"dataset": "qasper", "chat_template": True}
    sample = Sample("longbench/qasper/1", "longbench", "Q", ("Ada",), 8, 0, 0, meta=meta)
    answer = "<think>Ben? No.</think>\n\nAda"
    assert score(framing(tokenizer).apply(sample), answer) == pytest.approx(0.5)
    assert score(framing(tokenizer, thinking="think-tags").apply(sample), answer) == 1.0
