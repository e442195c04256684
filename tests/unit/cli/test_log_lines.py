"""`nexus logs`: lines of every process in the order of time, and what comes after them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from nexus_cli.layout import Layout
from nexus_cli.log_lines import print_logs, read
from nexus_cli.output import Failure


def event(second: int, text: str, level: str = "info", **fields: object) -> str:
    return json.dumps(
        {"timestamp": f"2026-01-01T00:00:{second:02}Z", "level": level, "event": text, **fields}
    )


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.log("gateway").parent.mkdir()
    layout.log("gateway").write_text(
        "\n".join([event(1, "first"), event(3, "third", "error", why="a b")]) + "\n"
    )
    layout.log("router").write_text(event(2, "second") + "\n" + event(4, "quiet", "debug") + "\n")
    return layout


def printed(
    layout: Layout, capsys: pytest.CaptureFixture[str], service: str = "", **options: object
) -> list[str]:
    wanted = {"lines": 50, "level": "info", "follow": False, "as_json": False, **options}
    print_logs(layout, service, **wanted)  # type: ignore[arg-type]
    return capsys.readouterr().out.splitlines()


def test_all_services_are_in_the_order_of_time(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(layout, capsys)
    assert [line.split()[3] for line in lines] == ["first", "second", "third"]
    assert lines[2].split()[:3] == ["2026-01-01T00:00:03", "gateway", "error"]
    assert 'why="a b"' in lines[2]


def test_what_is_asked_for_is_shown(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(printed(layout, capsys, "router", level="debug")) == 2
    assert [line.split()[3] for line in printed(layout, capsys, lines=1)] == ["third"]
    assert [line.split()[3] for line in printed(layout, capsys, level="error")] == ["third"]
    assert json.loads(printed(layout, capsys, "router", as_json=True)[0])["event"] == "second"


def test_an_unknown_service_gets_the_one_meant(layout: Layout) -> None:
    with pytest.raises(Failure) as raised:
        print_logs(layout, "gatway", lines=1, level="info", follow=False, as_json=False)
    assert "Did you mean 'gateway'?" in raised.value.hint


def test_a_line_that_is_no_event_is_shown_with_the_one_before_it() -> None:
    first, second = read(
        "etcd", ['{"ts":"2026-01-01T00:00:00Z","level":"warn","msg":"slow"}', "\x1b[31mpanic"]
    )
    assert (first.level, first.event) == ("warning", "slow")
    assert second.time == first.time
    assert "\x1b" not in str(second)


def test_what_comes_is_shown_until_it_is_stopped(layout: Layout) -> None:
    command = [sys.executable, "-m", "nexus_cli", "logs", "router", "-f", "--home", str(layout.home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert "second" in following.stdout.readline()
        with layout.log("router").open("a") as log:
            log.write(event(5, "half")[:20])
            log.flush()
            log.write(event(5, "half")[20:] + "\n")
        assert "half" in following.stdout.readline()
        layout.log("router").write_text(
            event(6, "anew") + "\n"
        )  # as when it was cut because it grew too long
        assert "anew" in following.stdout.readline()
        following.send_signal(signal.SIGINT)
    assert following.returncode == 130
