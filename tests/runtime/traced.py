"""What holds for the operators that `edgekit-run --bench --operators` tells of, whatever the format."""

from __future__ import annotations

from typing import Any

Found = dict[str, Any]

#: Microseconds by which clocks of whole microseconds may disagree.
SLACK = 2.5


def check_events(case: Found) -> list[Found]:
    """Ids, parents, places in time; gives the events that have no parent."""
    operators = case["operators"]
    events: list[Found] = operators["events"]
    assert [event["id"] for event in events] == list(range(len(events)))
    for event in events:
        parent = event["parent"]
        assert event["calls"] == 1
        assert (event["kind"] == "inside") == (parent is not None)
        assert event["p50_us"] >= 0
        if parent is not None:
            assert parent < event["id"]
            assert events[parent]["kind"] == "delegate"
    top = [event for event in events if event["parent"] is None]
    # In the run that is shown they come one after the other, all of them within it.
    end = 0.0
    for event in top:
        assert event["start_us"] >= end - SLACK
        end = event["start_us"] + event["us"]
    assert end <= 1e3 * operators["p50_ms"] + SLACK
    # So do a delegate's own, within its call.
    for call in top:
        inside = [event for event in events if event["parent"] == call["id"]]
        assert [event["index"] for event in inside] == list(range(len(inside)))
        assert sum(event["us"] for event in inside) <= call["us"] + SLACK
    return top
