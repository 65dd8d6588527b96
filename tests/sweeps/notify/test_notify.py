"""What a sweep tells others, with a real server and a real command; and that none of them can hold it up."""

from __future__ import annotations

import json
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import IDENTIFY, Cli, epoch, sweeps_process, tiny, write_yaml

from cifar_core.config import OptimizerConfig, TrainingConfig
from sweeps.errors import SweepError
from sweeps.notify import notifier as notifier_module
from sweeps.notify import sender as sender_module
from sweeps.notify.message import Message, message_of
from sweeps.notify.notifier import Notifier
from sweeps.notify.target import Command, NotToldError, Webhook, parse_targets
from sweeps.study import SweepState
from sweeps.trial_record import Outcome, TrialRecord

PAGE = Path(__file__).parents[3] / "docs" / "watching.md"


@dataclass
class Server:
    """A web server on this machine that keeps what it is told."""

    port: int
    told: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    status: int = 200
    hangs: threading.Event | None = None
    """Where given it answers nobody before this is set."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def events(self) -> list[str]:
        return [message["event"] for message in self.told]


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.told.append(json.loads(body))
            state.headers.append(dict(self.headers))
            state.paths.append(self.path)
            if state.hangs is not None:
                state.hangs.wait(60)
            self.send_response(state.status)
            if state.status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        state = Server(port=http.server_address[1])
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield state
        if state.hangs is not None:
            state.hangs.set()
        http.shutdown()


def program(folder: Path, body: str, *, name: str = "tell") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def complete(number: int, accuracy: float, *, outcome: Outcome = Outcome.COMPLETE) -> TrialRecord:
    config = TrainingConfig(epochs=1, optimizer=OptimizerConfig(weight_decay=number / 1000))
    identity = IDENTIFY(config)
    return TrialRecord(
        sweep="quick",
        study="quick",
        number=number,
        key=identity.key,
        config_id=identity.config_id,
        config=config,
        outcome=outcome,
        epochs=(epoch(1, accuracy),),
        started=1_800_000_000.0,
    )


def state_of(*records: TrialRecord) -> SweepState:
    return SweepState(sweep="quick", metric="val_accuracy", maximize=True, records=records, target=20)


def notifier_for(*texts: str, said: list[str], part: str = "search", records: tuple[TrialRecord, ...] = ()) -> Notifier:
    return Notifier(parse_targets(texts), state_of(*records), part=part, say=said.append)


def until(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def said() -> list[str]:
    return []


class TestWhatIsTold:
    def test_a_new_best_and_the_end_reach_a_server(self, server: Server, said: list[str]) -> None:
        with notifier_for(server.url, said=said) as notifier:
            notifier.on_change(complete(0, 0.5))
            notifier.on_change(complete(1, 0.6))
            until(lambda: len(server.told) == 1)
            notifier.on_change(complete(2, 0.4))
            notifier.ends(None)

        assert server.events == ["new_best", "ended"]
        assert server.headers[0]["Content-Type"] == "application/json"
        best, end = server.told
        assert best["best"]["trial"] == "quick-001"
        assert best["best"]["value"] == 0.6
        assert best["best"]["configuration"]["optimizer.lr"] == TrainingConfig().optimizer.lr
        assert end["outcomes"] == {"complete": 3}
        assert (end["trials_done"], end["trials_planned"], end["reason"]) == (3, 20, None)
        assert "quick ended: 3 complete, 3 of 20 trials done, best val_accuracy 60.00 % (quick-001" in end["text"]
        assert said == []

    def test_a_command_has_it_on_its_standard_input_and_in_its_environment(
        self, tmp_path: Path, said: list[str]
    ) -> None:
        path = program(tmp_path, f'cat > "$1"; env | grep ^SWEEPS_ > {tmp_path}/environment')
        # No shell reads its arguments.
        with notifier_for(f"'{path}' '{tmp_path}/told; touch bad'", said=said) as notifier:
            notifier.on_change(complete(0, 0.5))

        assert json.loads((tmp_path / "told; touch bad").read_text(encoding="utf-8"))["event"] == "ended"
        lines = (tmp_path / "environment").read_text(encoding="utf-8").splitlines()
        environment = dict(line.split("=", 1) for line in lines)
        assert environment["SWEEPS_EVENT"] == "ended"
        assert environment["SWEEPS_SWEEP"] == "quick"
        assert environment["SWEEPS_BEST_TRIAL"] == "quick-000"
        assert environment["SWEEPS_BEST_VALUE"] == "0.5"
        assert environment["SWEEPS_REASON"] == ""

    @pytest.mark.parametrize(
        ("reason", "event"),
        [
            (None, "ended"),
            ("signal", "interrupted"),
            ("timeout", "interrupted"),
            ("disk full", "failed"),
            ("failing", "failed"),
        ],
    )
    def test_every_end_has_its_event_and_its_reason(
        self, reason: str | None, event: str, server: Server, said: list[str]
    ) -> None:
        with notifier_for(server.url, said=said) as notifier:
            notifier.ends(reason)

        assert [(message["event"], message["reason"]) for message in server.told] == [(event, reason)]

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (SweepError("do this"), ("failed", "error", "do this")),
            (KeyError("secret"), ("failed", "error", "KeyError")),
            (KeyboardInterrupt(), ("interrupted", "signal", None)),
        ],
    )
    def test_an_error_that_ends_it_is_told(
        self, error: BaseException, told: tuple[str, str, str | None], server: Server, said: list[str]
    ) -> None:
        with pytest.raises(type(error)), notifier_for(server.url, said=said):
            raise error

        assert [(m["event"], m["reason"], m["error"]) for m in server.told] == [told]

    def test_user_and_password_go_into_the_header_and_the_query_into_the_request(
        self, server: Server, said: list[str]
    ) -> None:
        url = server.url.replace("http://", "http://me:p%40ss@") + "?token=abc#part"
        with notifier_for(url, said=said):
            pass

        assert server.paths == ["/hook?token=abc"]
        assert server.headers[0]["Authorization"] == "Basic bWU6cEBzcw=="
        assert server.headers[0]["Host"] == f"127.0.0.1:{server.port}"


class TestANewBest:
    def test_is_no_news_of_the_first_complete_trial_nor_of_a_trial_that_did_not_complete(
        self, server: Server, said: list[str]
    ) -> None:
        with notifier_for(server.url, said=said) as notifier:
            notifier.on_change(complete(0, 0.5))
            notifier.on_change(complete(1, 0.9, outcome=Outcome.PRUNED))
            notifier.on_change(complete(2, 0.9, outcome=Outcome.RUNNING))
            notifier.on_change(complete(0, 0.5))
            time.sleep(0.3)

        assert server.events == ["ended"]

    def test_is_measured_against_earlier_starts(self, server: Server, said: list[str]) -> None:
        with notifier_for(server.url, said=said, records=(complete(0, 0.5),)) as notifier:
            notifier.on_change(complete(1, 0.6))
            until(lambda: len(server.told) == 1)

        assert server.events == ["new_best", "ended"]

    def test_within_ten_seconds_waits_and_only_the_latest_is_told(
        self, server: Server, said: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sender_module, "BEST_SECONDS", 0.5)
        with notifier_for(server.url, said=said, records=(complete(0, 0.1),)) as notifier:
            for number in range(1, 6):
                notifier.on_change(complete(number, 0.1 + number / 10))
                if number == 1:
                    until(lambda: len(server.told) == 1)
            until(lambda: len(server.told) == 2)
            time.sleep(0.7)

        assert server.events == ["new_best", "new_best", "ended"]
        assert [message["best"]["trial"] for message in server.told] == ["quick-001", "quick-005", "quick-005"]

    def test_that_waits_at_the_end_is_left_to_the_end(self, server: Server, said: list[str]) -> None:
        with notifier_for(server.url, said=said, records=(complete(0, 0.1),)) as notifier:
            notifier.on_change(complete(1, 0.2))
            until(lambda: len(server.told) == 1)
            notifier.on_change(complete(2, 0.3))

        assert server.events == ["new_best", "ended"]
        assert server.told[-1]["best"]["trial"] == "quick-002"

    @pytest.mark.parametrize("part", ["ladder", "replicates", "retrain"])
    def test_is_a_searchs_alone(self, part: str, server: Server, said: list[str]) -> None:
        with notifier_for(server.url, said=said, part=part, records=(complete(0, 0.1),)) as notifier:
            notifier.on_change(complete(1, 0.2))

        assert server.events == ["ended"]
        assert server.told[0]["best"] is None


SECRET = "hunter2"


class TestWhoDoesNotHear:
    def test_a_server_that_answers_500_is_said_once(self, server: Server, said: list[str]) -> None:
        server.status = 500
        with notifier_for(server.url + f"?t={SECRET}", said=said, records=(complete(0, 0.1),)) as notifier:
            notifier.on_change(complete(1, 0.2))
            until(lambda: len(server.told) == 1)

        assert server.events == ["new_best", "ended"]
        label = f"http://127.0.0.1:{server.port}"
        assert said == [f"warning: {label} could not be told: it answered 500 (said once)"]

    def test_a_redirect_is_not_followed(self, server: Server, said: list[str]) -> None:
        server.status = 302
        with notifier_for(server.url, said=said):
            pass

        assert server.paths == ["/hook"]
        assert "it answered 302" in said[0]

    def test_a_server_that_hangs_delays_no_trial_and_the_end_a_few_seconds(
        self, server: Server, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(notifier_module, "END_SECONDS", 0.5)
        server.hangs = threading.Event()
        path = program(tmp_path, f"cat > {tmp_path}/told")
        with notifier_for(server.url, str(path), said=said, records=(complete(0, 0.01),)) as notifier:
            began = time.monotonic()
            for number in range(1, 50):
                notifier.on_change(complete(number, number / 50))
            assert time.monotonic() - began < 0.3
            until(lambda: len(server.told) == 1)
            began = time.monotonic()
        assert time.monotonic() - began < 1.5

        assert len(said) == 1
        assert "does not wait" in said[0]
        # The other one has heard all the same.
        assert json.loads((tmp_path / "told").read_text(encoding="utf-8"))["event"] == "ended"

    def test_an_answer_is_waited_for_a_few_seconds_only(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sweeps.notify.target.ANSWER_SECONDS", 0.2)
        server.hangs = threading.Event()
        (target,) = parse_targets([server.url])

        with pytest.raises(NotToldError, match="no answer within"):
            target.tell(a_message())

    def test_nobody_there(self, said: list[str]) -> None:
        with notifier_for(f"http://me:{SECRET}@127.0.0.1:9/{SECRET}?key={SECRET}", said=said):
            pass

        assert said == ["warning: http://127.0.0.1:9 could not be told: Connection refused (said once)"]

    def test_a_command_that_fails_is_said_with_its_exit_code(self, tmp_path: Path, said: list[str]) -> None:
        path = program(tmp_path, "exit 3")
        with notifier_for(f"{path} --token {SECRET}", said=said):
            pass

        assert said == ["warning: tell could not be told: it exited with 3 (said once)"]

    def test_a_command_that_does_not_read_and_one_that_no_system_can_start(
        self, tmp_path: Path, said: list[str]
    ) -> None:
        deaf = program(tmp_path, "exec <&-; exit 0", name="deaf")
        broken = tmp_path / "broken"
        broken.write_bytes(b"\x00\x01 no program")
        broken.chmod(0o755)
        with notifier_for(str(deaf), str(broken), said=said):
            pass

        assert said == ["warning: broken could not be told: Exec format error (said once)"]

    def test_a_command_that_hangs_is_ended(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sweeps.notify.target.COMMAND_SECONDS", 0.3)
        (target,) = parse_targets([str(program(tmp_path, f"echo $$ > {tmp_path}/pid; sleep 60"))])

        with pytest.raises(NotToldError, match="it was ended"):
            target.tell(a_message())

        assert not Path("/proc", (tmp_path / "pid").read_text(encoding="utf-8").strip()).exists()


def a_message() -> Message:
    return message_of("ended", state_of(complete(0, 0.5)), part="search")


class TestWhatCannotWork:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (f"ftp://me:{SECRET}@host/x?k={SECRET}", "ftp://"),
            (f"htps://me:{SECRET}@host/", "htps://"),
            (f"https:/me:{SECRET}@host/", "its first word is no command"),
            (f"me:{SECRET}@host/hook", "its first word is no command"),
            (f"http://:{SECRET}@/x", "no complete address"),
            (f"http://host:{SECRET}/", "no complete address"),
            (f"http://host/a b{SECRET}", "no complete address"),
            (f"http://höst/{SECRET}", "no complete address"),
            (f"http://[::1/{SECRET}", "no complete address"),
            ("no-such-command-anywhere --now", "'no-such-command-anywhere' is no command"),
            ("./not-here", "'./not-here' is no command"),
            ("sh 'unclosed", "check its quotes"),
            ("  ", "is empty"),
            ("", "is empty"),
        ],
    )
    def test_is_one_error_without_a_secret(self, text: str, words: str) -> None:
        with pytest.raises(SweepError, match=r"^notify: ") as caught:
            parse_targets([text])

        assert words in str(caught.value)
        assert SECRET not in str(caught.value)

    def test_a_secret_is_in_no_representation(self) -> None:
        targets = parse_targets([f"https://me:{SECRET}@host/{SECRET}?k={SECRET}", f"sh {SECRET}"])

        assert SECRET not in repr(targets) + " ".join(target.label for target in targets)

    def test_the_same_one_is_told_once(self, server: Server) -> None:
        assert len(parse_targets([server.url, server.url])) == 1

    def test_each_is_taken_for_what_it_is(self) -> None:
        assert [type(target) for target in parse_targets(["HTTPS://host", "sh -c true"])] == [Webhook, Command]


class TestASweep:
    @pytest.fixture
    def run(self, tmp_path: Path, recorded_runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
        monkeypatch.chdir(tmp_path)

        def start(*arguments: object, **changes: Any) -> Any:
            path = write_yaml(tmp_path, tiny(**changes))
            return cli("run", path, "--runs", recorded_runs, "--backend", "inline", *arguments)

        return start

    def test_tells_its_end_and_that_of_its_replicates_and_nothing_where_nothing_was_to_do(
        self, run: Callable[..., Any], server: Server, recorded_runs: Path
    ) -> None:
        changes: dict[str, Any] = {"notify": server.url + f"?k={SECRET}", "replicates": {"top": 1, "seeds": 1}}

        result = run(**changes)

        assert result.exit_code == 0, result.output
        ends = [(m["event"], m["part"], m["outcomes"]) for m in server.told if m["event"] != "new_best"]
        assert ends == [("ended", "search", {"complete": 2}), ("ended", "replicates", {"complete": 1})]
        count = len(server.told)
        assert run(**changes).exit_code == 0
        assert len(server.told) == count
        # It goes into no file of the record.
        kept = b"".join(path.read_bytes() for path in recorded_runs.rglob("*") if path.is_file())
        assert SECRET.encode() not in kept
        assert SECRET not in result.output

    def test_is_not_begun_where_one_cannot_work(self, run: Callable[..., Any], recorded_runs: Path) -> None:
        for arguments, changes in (
            (("--notify", f"ftp://{SECRET}@host"), {}),
            ((), {"notify": [f"ftp://{SECRET}@host"]}),
            ((), {"notify": {SECRET: 1}}),
            ((), {"notify": [{"https": SECRET}]}),
        ):
            result = run(*arguments, **changes)

            assert result.exit_code == 2
            assert result.output.count("error:") == 1
            assert "notify" in result.output
            assert SECRET not in result.output
        assert not (recorded_runs / "sweeps").exists()

    def test_whoever_is_told_is_no_part_of_what_it_is(self, run: Callable[..., Any], server: Server) -> None:
        run()

        assert "nothing was trained" in run("--notify", server.url, notify=["true"]).output

    def test_a_server_that_hangs_costs_a_few_seconds_at_the_end_and_a_line(
        self, run: Callable[..., Any], server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(notifier_module, "END_SECONDS", 0.5)
        server.hangs = threading.Event()

        result = run("--notify", server.url)

        assert result.exit_code == 0, result.output
        assert result.output.count("could not be told") == 1
        assert "2 complete" in result.output

    def test_that_is_interrupted_says_so(self, tmp_path: Path, recorded_runs: Path, server: Server) -> None:
        content = tiny(base=tiny()["base"] | {"epochs": 100_000})
        told = tmp_path / "told"
        arguments = (
            *("run", write_yaml(tmp_path, content), "--runs", recorded_runs, "--backend", "inline"),
            *("--notify", server.url, "--notify", program(tmp_path, f"cat > {told}")),
        )
        with sweeps_process(*arguments, cwd=tmp_path) as process:
            journal = recorded_runs / "sweeps" / "tiny" / "journal.log"
            until(lambda: journal.exists() and b"epoch:0002" in journal.read_bytes(), seconds=90)
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=60)

        assert process.returncode == 130, output
        for message in (server.told[-1], json.loads(told.read_text(encoding="utf-8"))):
            assert (message["event"], message["reason"]) == ("interrupted", "signal")
            assert message["outcomes"] == {"interrupted": 1}
        assert len(server.told) == 1


def test_the_page_shows_a_message_as_it_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(.*?)```", text, flags=re.DOTALL)
    shown = json.loads(block)
    real = json.loads(a_message().as_json())

    assert list(shown) == list(real)
    assert list(shown["best"]) == list(real["best"])
    assert [type(value) for value in shown.values()] == [type(value) for value in real.values()]
    assert shown["version"] == real["version"]
    for name in a_message().environment():
        assert f"`{name}`" in text


def test_a_command_outlives_the_sweep_that_does_not_wait_for_it(tmp_path: Path) -> None:
    slow = program(tmp_path, f"cat > /dev/null; sleep 1; touch {tmp_path}/done", name="slow")
    code = (
        "import sweeps.notify.notifier as notifier\n"
        "from sweeps.notify import Notifier, parse_targets\n"
        "from sweeps.study import SweepState\n"
        "notifier.END_SECONDS = 0.2\n"
        "state = SweepState(sweep='quick', metric='val_accuracy', maximize=True)\n"
        f"Notifier(parse_targets([{str(slow)!r}]), state, part='search', say=print).close()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "does not wait" in result.stdout
    assert result.stderr == ""
    until(lambda: (tmp_path / "done").exists())
