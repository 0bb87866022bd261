"""Which upstream is asked first, and what failures change about it."""

from __future__ import annotations

from gateway.upstreams import Pool, Target


def target(upstream: int, key: int) -> Target:
    return Target(upstream, key, f"up{upstream}", "http://up.example/v1", "openrouter", secret="s")


A1, A2, B1 = target(1, 1), target(1, 2), target(2, 3)


def pool() -> Pool:
    made = Pool()
    made.replace([A1, A2, B1])
    return made


def test_priority_decides_among_the_healthy() -> None:
    assert pool().plan(now=0) == [A1, A2, B1]


def test_a_limited_key_comes_last_until_its_time_is_over() -> None:
    asked = pool()
    asked.note_refused(A1, status=429, retry_after=7, now=100)
    assert asked.plan(now=106.9) == [A2, B1, A1]
    assert asked.plan(now=107) == [A1, A2, B1]
    asked.note_refused(A1, status=429, retry_after=9999, now=200)
    assert asked.plan(now=259.9) == [A2, B1, A1]
    assert asked.plan(now=260) == [A1, A2, B1]


def test_a_refused_key_comes_last_for_a_minute() -> None:
    asked = pool()
    asked.note_refused(A1, status=401, retry_after=None, now=0)
    assert asked.plan(now=59) == [A2, B1, A1]
    assert asked.plan(now=60) == [A1, A2, B1]


def test_an_upstream_is_passed_over_after_three_failures_in_a_row_and_back_with_the_first_answer() -> None:
    asked = pool()
    for _ in range(2):
        asked.note_failure(A1, now=0)
    assert asked.plan(now=1) == [A1, A2, B1]
    asked.note_failure(A2, now=0)
    assert asked.plan(now=1) == [B1, A1, A2]
    asked.note_answer(A2)
    assert asked.plan(now=1) == [A1, A2, B1]


def test_what_is_passed_over_is_still_asked_when_nothing_else_is_there() -> None:
    asked = pool()
    asked.replace([A1])
    asked.note_refused(A1, status=403, retry_after=None, now=0)
    assert asked.plan(now=1) == [A1]


def test_no_more_than_four_are_asked() -> None:
    asked = Pool()
    asked.replace([target(number, number) for number in range(6)])
    assert len(asked.plan(now=0)) == 4


def test_a_secret_is_not_in_its_repr() -> None:
    assert "secret" not in repr(A1)
