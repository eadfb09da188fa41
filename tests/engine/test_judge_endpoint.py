from __future__ import annotations

import asyncio
import os
import re
import socket
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from omegaprm.engine.errors import ConfigurationError, JudgeUnreachable, UsageError
from omegaprm.engine.judge.cascade import Cascade
from omegaprm.engine.judge.chatting import Reply, Unanswered
from omegaprm.engine.judge.circuit import Circuit, Pace, retry_after_seconds
from omegaprm.engine.judge.endpoint import MAX_TRIES, Endpoint
from omegaprm.engine.judge.flags import KEY_VARIABLE, JudgeFlags, judge_identity, judge_settings
from omegaprm.engine.judge.llm import ASKING, LlmRule, filled, read_verdict
from omegaprm.engine.judge.math_rule import MathVerify
from omegaprm.engine.judge.opening import start_cascade
from omegaprm.engine.records import Problem, Verdict
from tests.engine.judge_under_faults import judge_under_faults
from tests.fakes.chat_server import PROBE, ChatServer, serving

QUICK = Pace(first_seconds=0.001, max_seconds=0.02, open_after=5)
NUM_CALLS = int(os.environ.get("OMEGAPRM_JUDGE_CALLS", "2000"))
"""Calls of the longest test; the environment may ask for more."""


@asynccontextmanager
async def asking(server: ChatServer, **options):
    options = {"pace": QUICK, "patience_seconds": 60.0, "request_seconds": 5.0, **options}
    endpoint = await Endpoint.start(server.url, "judge", options.pop("key", None), **options)
    try:
        yield endpoint
    finally:
        await endpoint.close()


def chat(text: str = "hello"):
    return [{"role": "user", "content": text}], 8, 0.0


def problem(reference: str = "a cat", question: str = "What is it?") -> Problem:
    return Problem(id="p", question=question, correct_answer=reference)


def then_answers(*behaviours: str):
    """The first calls behind the probe behave so, the further ones answer."""
    script = ("answer", *behaviours)
    return lambda number: script[number] if number < len(script) else "answer"


FAULTS = ("busy", "failing", "garbage", "misshapen", "half", "reset", "redirect", "huge")


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_call_that_fails_is_made_again_until_it_is_answered(fault):
    async with serving(behaving=then_answers(fault, fault)) as server, asking(server) as endpoint:
        assert (await endpoint.chat(*chat())).text == "Verdict: correct"
        assert server.calls["hello"] == 3
        assert endpoint.spent.num_failures == 2


async def test_a_call_that_hangs_is_ended_at_its_deadline_and_made_again():
    async with serving(behaving=then_answers("hang")) as server, asking(server, request_seconds=0.2) as endpoint:
        assert (await endpoint.chat(*chat())).text == "Verdict: correct"
        assert server.calls["hello"] == 2


async def test_nothing_is_sent_to_where_a_redirect_points():
    async with serving() as elsewhere, serving(behaving=then_answers("redirect")) as server:
        server.elsewhere = elsewhere.url + "/"
        async with asking(server, key="secret") as endpoint:
            await endpoint.chat(*chat())
        assert elsewhere.num_calls == 0


async def test_the_key_is_sent_and_stays_out_of_messages():
    async with serving(behaving=lambda number: "denied") as server:
        with pytest.raises(ConfigurationError, match=r"status 401: .*bad key Bearer") as caught:
            await Endpoint.start(server.url, "judge", "sesame-4711")
        assert server.headers[-1]["Authorization"] == "Bearer sesame-4711"
        assert "sesame" not in str(caught.value)


async def test_a_request_that_is_refused_is_given_up_alone():
    async with serving(behaving=then_answers("refused")) as server, asking(server) as endpoint:
        with pytest.raises(Unanswered, match="too long") as caught:
            await endpoint.chat(*chat("long"))
        assert caught.value.kind == "refused"
        assert (await endpoint.chat(*chat())).text
        assert server.calls["long"] == 1


async def test_a_request_that_always_fails_is_given_up_while_others_are_answered():
    async with serving() as server, asking(server) as endpoint:
        server.behave = lambda number: "failing" if server.requests[-1]["messages"][0]["content"] == "bad" else "answer"
        with pytest.raises(Unanswered, match="status 500") as caught:
            await endpoint.chat(*chat("bad"))
        assert caught.value.kind == "failed"
        assert server.calls["bad"] == MAX_TRIES


async def test_no_more_requests_are_open_at_once_than_allowed():
    async with serving(behaving=lambda number: "slow") as server, asking(server, concurrency=3) as endpoint:
        await asyncio.gather(*(endpoint.chat(*chat(str(number))) for number in range(30)))
        assert server.max_open == 3


async def test_while_the_endpoint_is_down_one_probe_at_a_time_is_sent_and_everyone_goes_on_when_it_returns():
    async with serving() as server, asking(server) as endpoint:
        server.behave = lambda number: "failing"
        waiting = [asyncio.create_task(endpoint.chat(*chat(str(number)))) for number in range(20)]
        while server.calls[PROBE] < 6:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        asked = sum(count for prompt, count in server.calls.items() if prompt != PROBE)
        while server.calls[PROBE] < 9:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert sum(count for prompt, count in server.calls.items() if prompt != PROBE) == asked
        server.behave = lambda number: "answer"
        assert {(await task).text for task in waiting} == {"Verdict: correct"}


async def test_an_endpoint_that_comes_up_later_is_used_then():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        endpoint = await Endpoint.start(f"http://127.0.0.1:{port}/v1", "judge", None, pace=QUICK)
    waiting = asyncio.create_task(endpoint.chat(*chat()))
    async with serving() as server:
        endpoint._url = server.url + "/chat/completions"
        assert (await waiting).text == "Verdict: correct"
    await endpoint.close()


@pytest.mark.parametrize("fault", ["failing", "garbage", "busy", "redirect", "reset"])
async def test_past_its_patience_the_judge_is_out_of_reach(fault, capsys):
    async with serving() as server, asking(server, patience_seconds=0.3) as endpoint:
        await endpoint.chat(*chat("before"))
        server.behave = lambda number: fault
        waiting = [endpoint.chat(*chat(str(number))) for number in range(10)]
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
        assert {type(outcome) for outcome in outcomes} == {JudgeUnreachable}
        assert "--judge-patience-seconds 0.3" in str(outcomes[0])
    told = capsys.readouterr().err
    assert fault == "busy" or "what needs it waits, until --judge-patience-seconds 0.3" in told


async def test_replies_and_tokens_are_counted():
    async with serving() as server, asking(server) as endpoint:
        await endpoint.chat(*chat())
        assert (endpoint.spent.num_requests, endpoint.spent.num_replies) == (2, 2)
        assert (endpoint.spent.num_prompt_tokens, endpoint.spent.num_completion_tokens) == (20, 4)


async def test_no_verdict_is_invented_and_no_call_repeated_whatever_the_endpoint_does():
    """Most calls fail in one of many ways; what comes out is the endpoint's own word or unknown."""
    outcome = await judge_under_faults(NUM_CALLS)
    assert outcome.num_calls >= NUM_CALLS
    assert {"hang", "huge", "hang_up", "slow", *FAULTS} <= set(outcome.by_kind)
    assert outcome.invented == []
    assert outcome.repeated == []
    assert outcome.verdicts["unknown", "llm-failed"] < 0.05 * outcome.verdicts.total()
    warm = outcome.resident_mib[len(outcome.resident_mib) // 2]
    assert outcome.peak_mib < warm + 16 + NUM_CALLS / 2000, "a remembered verdict takes less than 1 KiB"


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("They agree.\nVerdict: correct", "correct"),
        ("**Verdict: incorrect**\n", "incorrect"),
        ("<think>Verdict: which?</think>\nverdict: Correct.", "correct"),
        ("Verdict: unsure", "unknown"),
        ("Verdict: correct\nI hope that helps!", None),
        ("Verdict: incorrect\nno:\nVerdict: correct", None),
        ("The verdict is correct", None),
        ("Verdict: not correct", None),
        ("Verdict: correct or incorrect", None),
        ("", None),
    ],
)
def test_a_verdict_of_our_template_is_a_last_line_of_its_own(text, outcome):
    verdict = read_verdict(Reply(text, cut=False), "own")
    assert (verdict.outcome if verdict else None) == outcome
    assert read_verdict(Reply(text, cut=True), "own") is None


@pytest.mark.parametrize(("text", "outcome"), [("Yes", "correct"), (" no.\n", "incorrect"), ("Yes and no", None)])
def test_a_verdict_of_mmprms_template_is_one_word(text, outcome):
    verdict = read_verdict(Reply(text, cut=False), "mmprm")
    assert (verdict.outcome if verdict else None) == outcome


@pytest.mark.parametrize("template", list(ASKING))
def test_a_template_holds_question_reference_and_answer_and_reads_none_of_them_as_a_template(template):
    text = filled(ASKING[template].text, question="Q {answer}", reference="R {question}", answer="A {reference}")
    for part in ("Q {answer}", "R {question}", "A {reference}"):
        assert text.count(part) == 1


async def test_an_unreadable_verdict_is_asked_for_again_a_bounded_number_of_times_and_then_unknown():
    async with serving(lambda prompt: "Who knows?") as server, asking(server) as endpoint:
        judge = Cascade(MathVerify(1, 5.0), None, LlmRule(endpoint, "own", 3, 64))
        for _ in range(2):
            assert await judge.grade(problem(), "a dog") == Verdict("unknown", "llm-unread")
        assert server.num_calls == 1 + 3
        assert server.requests[-1]["temperature"] > server.requests[-3]["temperature"]
        await judge.close()


async def test_the_model_is_asked_only_where_rules_end_in_unknown_and_there_is_an_answer():
    async with serving() as server, asking(server) as endpoint:
        judge = Cascade(MathVerify(1, 60.0), None, LlmRule(endpoint, "own", 3, 64))
        for reference, answer in (("5", "5"), ("5", "6"), ("x+1", "1+x"), ("x+1", "x-1"), ("5", ""), ("5", "5" * 2000)):
            await judge.grade(problem(reference), answer)
        assert server.num_calls == 1
        assert await judge.grade(problem("an automobile"), "a small car") == Verdict("correct", "llm")
        assert await judge.grade(problem("1/3"), "0.333") == Verdict("correct", "llm")
        assert server.num_calls == 3
        await judge.close()


async def test_equal_answers_in_flight_ask_the_model_once_and_its_verdict_is_kept_with_its_rule():
    cache: dict[bytes, Verdict] = {}

    class Cache:
        def get(self, key):
            return cache.get(key)

        async def put(self, key, verdict):
            cache[key] = verdict

    async with serving(behaving=lambda number: "slow") as server, asking(server) as endpoint:
        judge = Cascade(MathVerify(1, 5.0), Cache(), LlmRule(endpoint, "own", 3, 64), "own judge")
        forms = ("small  grey cat", "Small grey cat.", "**small grey cat**", "\\text{small grey cat}")
        verdicts = await asyncio.gather(*(judge.grade(problem(), form) for form in forms * 25))
        assert set(verdicts) == {Verdict("correct", "llm")}
        assert server.num_calls == 2
        assert list(cache.values()) == [Verdict("correct", "llm")]
        other = Cascade(MathVerify(1, 5.0), Cache(), LlmRule(endpoint, "own", 3, 64), "own another")
        await other.grade(problem(), "small grey cat")
        assert server.num_calls == 3
        assert len(cache) == 2
        await judge.close()


async def test_flags_start_the_cascade_with_the_key_of_the_environment(monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "sesame")
    async with serving() as server:
        judge = await start_cascade(JudgeFlags(judge_url=server.url, judge_model="m", judge_template="mmprm"))
        server.answer = lambda prompt: "Yes"
        assert await judge.grade(problem(), "a feline") == Verdict("correct", "llm")
        assert server.headers[-1]["Authorization"] == "Bearer sesame"
        assert server.requests[-1]["model"] == "m"
        assert server.requests[-1]["max_tokens"] == 8
        await judge.close()


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"judge_url": "http://host/v1"}, "--judge-model"),
        ({"judge_model": "m"}, "--judge-url"),
        ({"judge_url": "host:8000", "judge_model": "m"}, "--judge-url host:8000"),
        ({"judge_url": "http://user:pass@host/v1", "judge_model": "m"}, KEY_VARIABLE),
        ({"judge_url": "http://host/v1?key=1", "judge_model": "m"}, "--judge-url"),
        ({"judge_concurrency": 0}, "--judge-concurrency 0"),
        ({"judge_patience_seconds": 0}, "--judge-patience-seconds 0"),
        ({"judge_max_asks": 0}, "--judge-max-asks 0"),
    ],
)
def test_flags_that_cannot_be_are_named(flags, named):
    with pytest.raises(UsageError, match=re.escape(named)):
        JudgeFlags(**flags)


def test_a_judge_is_told_from_another_by_model_and_template_and_not_by_where_it_runs():
    one = JudgeFlags(judge_url="http://a/v1", judge_model="m")
    moved = JudgeFlags(judge_url="http://b/v1", judge_model="m", judge_concurrency=1)
    assert judge_identity(one) == judge_identity(moved) == "own m"
    assert judge_settings(one) != judge_settings(JudgeFlags())
    assert judge_settings(one) != judge_settings(
        JudgeFlags(judge_url="http://a/v1", judge_model="m", judge_template="mmprm")
    )


def test_the_circuit_opens_after_failures_in_a_row_and_closes_with_an_answer():
    circuit = Circuit(Pace(first_seconds=1.0, max_seconds=8.0, open_after=3))
    for now in (1.0, 2.0):
        circuit.on_failure(now, 0.0)
    circuit.on_answer(3.0)
    for now in (4.0, 5.0):
        circuit.on_failure(now, 0.0)
    assert not circuit.is_open
    waits = []
    for _ in range(6):
        circuit.on_failure(6.0, 0.0)
        waits.append(circuit.wait_seconds(6.0))
    assert circuit.is_open
    assert waits == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    circuit.on_answer(7.0)
    assert not circuit.is_open
    assert circuit.wait_seconds(7.0) == 0.0


def test_waiting_counts_from_the_last_answer_to_anyone():
    circuit = Circuit(Pace())
    assert circuit.waited(since=10.0, now=15.0) == 5.0
    circuit.on_answer(14.0)
    assert circuit.waited(since=10.0, now=15.0) == 1.0
    assert circuit.waited(since=14.5, now=15.0) == 0.5


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Wed, 01 Jan 2025 00:00:30 GMT", 30.0),
        ("Tue, 31 Dec 2024 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("1" * 400, 111111111.0),
    ],
)
def test_retry_after_is_read_in_seconds_or_as_a_date(header, seconds):
    assert retry_after_seconds(header, datetime(2025, 1, 1, tzinfo=UTC)) == seconds


async def test_retry_after_makes_everyone_rest():
    async with serving() as server, asking(server) as endpoint:
        endpoint._circuit.rest(endpoint._clock(), 0.2)
        started = asyncio.get_running_loop().time()
        await asyncio.gather(*(endpoint.chat(*chat(str(number))) for number in range(5)))
        assert asyncio.get_running_loop().time() - started >= 0.19
