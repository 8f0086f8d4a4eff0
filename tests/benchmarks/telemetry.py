"""How fast examples/telemetry is behind a real broker, and what it keeps.

    python -m tests.benchmarks.telemetry BUNDLE... --program build/telemetry/telemetry --series DATA/smd/machine-2-1.npz

In the checkout, with Debian's mosquitto and mosquitto-clients. The gateway has the last core to itself (taskset), all
else the others. Rows are one a message, JSON, QoS 1. For each bundle:

- rows per second while more come than it takes, between the first and the last status within the replay; the same by
  the processor's time;
- one row's latency at 200 rows per second: inside, from the message to its score, as the gateway says it; and end to
  end, from this program's write to mosquitto_pub to its line of mosquitto_sub;
- resident memory after each replay of an hour of 64 machines at a row a second (230,400 rows), with malformed and late
  messages in between;
- the same for telemetry_lines, which lies beside the program: the gateway without a connection, on lines of the same
  machines in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.examples.broker import Broker, Listener, listening, wait_for

STATUS = "plant/status"
MACHINES, HOUR = 64, 3600
#: For replays of minutes.
PATIENCE = 600.0


class Gateway:
    """A telemetry on a core of its own."""

    def __init__(self, program: Path, bundle: Path, broker: Broker, core: int, *options: str) -> None:
        command = ["taskset", "-c", str(core), str(program), str(bundle), "--port", str(broker.port)]
        command += ["--status-every", "1", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def seconds(self) -> float:
        """Of the processor so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def resident(process: int) -> float:
    """MB."""
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1024 / 1e6


def message(at: float, row: Sequence[float]) -> str:
    return json.dumps({"time": at, "values": row})


def statuses(listener: Listener) -> list[tuple[float, dict[str, Any]]]:
    pairs = zip(list(listener.times), list(listener.messages), strict=False)
    return [(at, fields) for at, (topic, fields) in pairs if topic == STATUS]


def wait_for_rows(listener: Listener, rows: int) -> None:
    wait_for(lambda: statuses(listener) and statuses(listener)[-1][1].get("rows", 0) >= rows, PATIENCE)


def measure_rate(program: Path, bundle: Path, broker: Broker, core: int, rows: list[list[float]], count: int) -> str:
    sent = [message(place, rows[place % len(rows)]) for place in range(count)]
    with listening(broker, STATUS) as listener:
        gateway = Gateway(program, bundle, broker, core)
        wait_for(lambda: statuses(listener))
        before = gateway.seconds()
        broker.publish("plant/m/rows", *sent)
        wait_for_rows(listener, count)
        busy = [(at, fields["rows"]) for at, fields in statuses(listener) if 0 < fields["rows"] < count]
        rate = (busy[-1][1] - busy[0][1]) / (busy[-1][0] - busy[0][0])
        by_processor = count / (gateway.seconds() - before)
        gateway.stop()
    return f"{rate:8.0f} rows/s; {by_processor:8.0f} rows per second of the processor ({count} rows)"


def measure_latency(program: Path, bundle: Path, broker: Broker, core: int, rows: list[list[float]], count: int) -> str:
    with listening(broker, STATUS, "scores/m") as listener:
        gateway = Gateway(program, bundle, broker, core, "--scores", "scores/{machine}")
        wait_for(lambda: statuses(listener))
        command = ["mosquitto_pub", "-p", str(broker.port), "-t", "plant/m/rows", "-q", "1", "-l"]
        sender = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
        assert sender.stdin is not None
        written, began = {}, time.monotonic()
        for place in range(count):
            text = message(place, rows[place % len(rows)]) + "\n"
            time.sleep(max(0.0, began + place / 200 - time.monotonic()))
            written[float(place)] = time.monotonic()
            sender.stdin.write(text)
            sender.stdin.flush()
        sender.stdin.close()
        sender.wait()
        wait_for_rows(listener, count)
        pairs = zip(list(listener.times), list(listener.messages), strict=False)
        ends = [at - written[fields["time"]] for at, (topic, fields) in pairs if topic != STATUS]
        inside = statuses(listener)[-1][1]["latency_us"]
        gateway.stop()
    p50, p99 = np.percentile(np.array(ends) * 1e3, [50, 99])
    return (
        f"inside p50 {inside['p50'] / 1e3:.3f} ms, p99 {inside['p99'] / 1e3:.3f} ms; "
        f"end to end p50 {p50:.2f} ms, p99 {p99:.2f} ms ({len(ends)} rows)"
    )


def measure_memory(program: Path, bundle: Path, broker: Broker, core: int, rows: list[list[float]], hours: int) -> str:
    found, began = [], time.monotonic()
    with listening(broker, STATUS) as listener:
        gateway = Gateway(program, bundle, broker, core)
        wait_for(lambda: statuses(listener))
        for hour in range(hours):
            for machine in range(MACHINES):
                sent = [message(HOUR * hour + place, rows[(place + 37 * machine) % len(rows)]) for place in range(HOUR)]
                sent[::600] = ["nonsense", "[" * 1000, message(-5, rows[0]), *sent[1800::600]]
                broker.publish(f"plant/machine-{machine}/rows", *sent)
                # Some machines' rows may wait at the broker.
                wait_for_rows(listener, (HOUR - 3) * (MACHINES * hour + machine - 7))
            wait_for_rows(listener, (HOUR - 3) * MACHINES * (hour + 1))
            found.append(resident(gateway.process.pid))
        status = statuses(listener)[-1][1]
        gateway.stop()
    listed = ", ".join(f"{size:.2f}" for size in found)
    return (
        f"{listed} MB after {', '.join(map(str, range(1, hours + 1)))} hours of {MACHINES} machines: "
        f"{status['rows']} rows, {status['malformed']} malformed, {status['late']} late, {status['alarms']} alarms, "
        f"{time.monotonic() - began:.0f} s"
    )


def measure_lines(program: Path, bundle: Path, broker: Broker, core: int, rows: list[list[float]], hours: int) -> str:
    command = [str(program.with_name("telemetry_lines")), str(bundle), "--together", "16"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin is not None
    values = [json.dumps(row) for row in rows[:HOUR]]
    found = []
    for second in range(hours * HOUR):
        for machine in range(MACHINES):
            row = values[(second + 37 * machine) % len(values)]
            process.stdin.write(f'plant/machine-{machine}/rows {{"time": {second}, "values": {row}}}\n')
        if second % 600 == 0:
            process.stdin.write("plant/machine-1/rows nonsense\n")
        if second % 450 == 449:
            process.stdin.flush()
            found.append(resident(process.pid))
    process.stdin.close()
    process.wait()
    each = MACHINES * 450
    first, last, most = found[0], found[-1], max(found)
    return f"{first:.2f} MB after {each} rows, {last:.2f} MB after {each * len(found)}, {most:.2f} MB at most"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--series", type=Path, required=True, help="an .npz of SMD")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--latency-rows", type=int, default=4000)
    parser.add_argument("--hours", type=int, default=4)
    given = parser.parse_args()
    rows = np.load(given.series)["test"].astype(np.float32).tolist()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(cores[:-1]) or set(cores))
    about = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in about if "model name" in line), "")
    print(f"{platform.machine()}, {model}, {len(cores)} cores; the gateway on core {cores[-1]}")
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder))
        try:
            for bundle in given.bundles:
                print(bundle.name)
                for name, measure, count in (
                    ("rate", measure_rate, given.rows),
                    ("latency", measure_latency, given.latency_rows),
                    ("memory", measure_memory, given.hours),
                    ("lines", measure_lines, given.hours),
                ):
                    if count > 0:
                        print(f"  {name:8}{measure(given.program, bundle, broker, cores[-1], rows, count)}", flush=True)
        finally:
            broker.kill()


if __name__ == "__main__":
    main()
