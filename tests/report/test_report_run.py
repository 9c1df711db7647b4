"""A run directory is read as it is: torn, resumed, damaged or nearly empty."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_run import write_run

from bptt.errors import InputError
from bptt.report import read_run
from bptt.report.facts import facts_of
from bptt.report.run import flatten


def line(n: int, loss: object = 1.0, event: str = "step", **more: object) -> dict[str, object]:
    return {"event": event, "step": n, "loss": loss, **more}


def test_a_torn_last_line_is_ignored_without_a_note(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", [line(1), line(2)], tail='{"event": "step", "st'))
    assert [record["step"] for record in run.steps] == [1, 2]
    assert run.notes == []


def test_a_damaged_line_inside_is_left_out_and_noted(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", [line(1), '{"event": "step", "st{"event": "resume", "step": 1}', line(2)]))
    assert [record["step"] for record in run.steps] == [1, 2]
    assert run.notes == ["1 damaged line of metrics.jsonl left out."]


def test_unknown_events_keys_and_values_that_are_no_objects_are_ignored(tmp_path: Path) -> None:
    strange = [line(1, new="key"), {"event": "party", "step": 2}, [1, 2], 7, {"no": "event"}, {"event": ["step"], "step": 3}]
    run = read_run(write_run(tmp_path / "run", [*strange, {"event": "step", "step": "four"}, {"event": "step"}]))
    assert [record["step"] for record in run.steps] == [1]


def test_of_two_lines_for_one_step_the_later_wins(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", [line(1, 5.0), line(2, 4.0), line(1, 3.0)]))
    assert [(record["step"], record["loss"]) for record in run.steps] == [(1, 3.0), (2, 4.0)]


def test_a_resume_drops_the_past_that_was_lost(tmp_path: Path) -> None:
    sample = {"event": "sample", "prefix": "a"}
    before = [line(n, 9.0) for n in (1, 2, 3, 4, 5)] + [sample | {"step": 2, "text": "x"}, sample | {"step": 5, "text": "lost"}]
    ended = {"event": "end", "step": 5, "reason": "interrupted"}
    run = read_run(write_run(tmp_path / "run", [*before, ended, {"event": "resume", "step": 2}, line(3, 1.0)]))
    assert [(record["step"], record["loss"]) for record in run.steps] == [(1, 9.0), (2, 9.0), (3, 1.0)]
    assert [record["text"] for record in run.samples] == ["x"]
    assert run.end is None and len(run.resumes) == 1


def test_samples_of_one_step_and_prefix_all_stay_but_a_resume_replaces_them(tmp_path: Path) -> None:
    sample = {"event": "sample", "step": 2, "prefix": "a"}
    lines = [sample | {"text": "x"}, sample | {"text": "y"}, {"event": "resume", "step": 2}, sample | {"text": "z"}]
    assert [record["text"] for record in read_run(write_run(tmp_path / "one", lines[:2])).samples] == ["x", "y"]
    assert [record["text"] for record in read_run(write_run(tmp_path / "two", lines)).samples] == ["z", "y"]


def test_best_is_the_lowest_validation_and_ignores_what_is_not_finite(tmp_path: Path) -> None:
    lines: list[object] = [line(n, event="valid", nats=nats) for n, nats in ((5, 3.0), (10, 2.0), (15, None), (20, 2.5))]
    facts = facts_of(read_run(write_run(tmp_path / "run", [*lines, '{"event": "valid", "step": 25, "nats": NaN}'])))
    assert (facts.best_step, facts.best_nats) == (10, 2.0)
    assert facts.bits == pytest.approx(2.8853900817779268, abs=1e-12)


def test_best_falls_back_on_the_end_of_the_run(tmp_path: Path) -> None:
    end = {"event": "end", "step": 9, "reason": "finished", "best": {"step": 4, "perplexity": 8.0}}
    facts = facts_of(read_run(write_run(tmp_path / "run", [end])))
    assert facts.best_step == 4 and facts.best_perplexity == pytest.approx(8.0, abs=1e-12)


def test_a_setting_is_found_at_any_depth(finished: Path) -> None:
    run = read_run(finished)
    assert run.setting("cell") == "gru" and run.setting("clip_norm", "clip") == 1.0 and run.setting("nothing") is None


def test_a_nest_that_holds_itself_ends() -> None:
    nest: list[object] = [1]
    nest.append(nest)
    assert [value for _, value in flatten(nest)] == [1] * 8 + ["…"]


@pytest.mark.parametrize("stem", ["config", "env", "corpus"])
@pytest.mark.parametrize("text", ["{torn", "[1, 2]", "", "\x00"])
def test_damaged_files_become_notes(tmp_path: Path, stem: str, text: str) -> None:
    run = read_run(write_run(tmp_path / "run", [line(1)], **{stem: text}))
    assert len(run.notes) == 1 and "could not be read" in run.notes[0]


def test_yaml_cannot_make_objects(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", [], config="a: !!python/object/apply:os.getcwd []"))
    assert run.config == {} and "config.yaml could not be read." in run.notes


def test_no_directory_and_no_run_are_refused_in_three_parts(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for folder in (tmp_path / "missing", tmp_path / "other"):
        with pytest.raises(InputError) as caught:
            read_run(folder)
        assert caught.value.wrong and caught.value.given == str(folder) and "Give" in caught.value.todo


def test_numbers_too_large_for_a_float_are_left_out(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", [json.dumps(line(1, 10**400)), line(2, 1.0)]))
    assert facts_of(run).train_nats == 1.0
