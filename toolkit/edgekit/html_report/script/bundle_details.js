// One bundle, drawn when it is opened.

function facts(pairs) {
  return make(
    "dl",
    { class: "facts" },
    pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => make("div", null, make("dt", null, name), make("dd", null, value))),
  );
}

function bundleFacts(bundle) {
  return facts([
    ["Model", `${bundle.model}, ${bundle.variant}`],
    ["Task", bundle.task],
    ["Recipe", bundle.recipe],
    ["KV cache", bundle.kv],
    ["Format", bundle.format],
    ["Made for", bundle.device],
    ["Size", bytes(bundle.bytes)],
    [
      "Predicted peak",
      bundle.memory.peak === null ? "unknown" : `${bytes(bundle.memory.peak)}, ${bundle.memory.threads ?? "?"} threads`,
    ],
    ["Largest error", bundle.max_abs === null ? null : number(bundle.max_abs)],
    ["Least SNR", bundle.snr_db === null ? null : `${number(bundle.snr_db)} dB`],
    ["Accuracy gate", bundle.passed ? "passed" : `not met: ${bundle.failures.join("; ") || "see the export"}`],
    ["Manifest's SHA-256", make("code", null, bundle.sha256)],
  ]);
}

function metricsTable(bundle) {
  if (!bundle.metrics.length) return null;
  const on = bundle.metric?.data ? ` on ${bundle.metric.data}` : "";
  return wide(
    "Task metrics",
    table(
      `Task metrics, measured at export${on}`,
      [
        { title: "Metric" },
        { title: "Program", numeric: true },
        { title: "Eager fp32", numeric: true },
        { title: "Change", numeric: true },
      ],
      bundle.metrics.map((metric) => [
        metricName(metric),
        metricValue(metric.program),
        metricValue(metric.eager),
        change(metric.program, metric.eager),
      ]),
    ),
  );
}

function measuredTable(bundle) {
  const runs = bundle.runs.filter((run) => run.basis !== "estimated");
  if (!bundle.runs.length) return make("p", { class: "note" }, "Neither measured nor estimated: only explained.");
  if (!runs.length) return make("p", { class: "note" }, "Not measured anywhere: the figures below are estimates.");
  const columns = [
    { title: "Place" },
    { title: "Case" },
    ...[
      "First call, ms",
      "p50, ms",
      "p90, ms",
      "p99, ms",
      "Rate, per s",
      "Load, ms",
      "Peak, MB",
      "Runs",
      "Threads",
      "Energy, mJ",
    ].map((title) => ({ title, numeric: true })),
    { title: "Throttled" },
  ];
  return wide(
    "Measured",
    table(
      "Measured",
      columns,
      runs.flatMap((run) =>
        run.cases.map((entry) => [
          [run.place.title, " ", badge(run.basis)],
          entry.name,
          number(entry.first_ms),
          number(entry.p50_ms),
          number(entry.p90_ms),
          number(entry.p99_ms),
          [number(rate(entry)), make("small", null, `${entry.unit}/s`)],
          number(run.load_ms),
          number(megabytes(run.peak)),
          run.settings.runs ?? NONE,
          run.settings.threads ?? NONE,
          number(run.energy_mj),
          run.throttled === null ? "unknown" : run.throttled ? make("strong", { class: "bad" }, "yes") : "no",
        ]),
      ),
    ),
  );
}

function estimatedTable(bundle) {
  const runs = bundle.runs.filter((run) => run.basis === "estimated");
  if (!runs.length) return null;
  const dearest = (kinds) =>
    Object.entries(kinds)
      .sort((one, other) => other[1] - one[1])
      .slice(0, 3)
      .map(([kind, time]) => `${kind.replaceAll("_", " ")} ${milliseconds(time)}`)
      .join(", ");
  return wide(
    "Estimated",
    table(
      "Estimated, not measured: from the device profile's roofline",
      [
        { title: "Device" },
        { title: "Case" },
        { title: "Low, ms", numeric: true },
        { title: "Likely, ms", numeric: true },
        { title: "High, ms", numeric: true },
        { title: "Dearest kinds of operators", long: true },
      ],
      runs.flatMap((run) =>
        run.cases.map((entry) => [
          [run.place.title, " ", badge("estimated")],
          entry.name,
          number(entry.low_ms),
          number(entry.p50_ms),
          number(entry.high_ms),
          dearest(entry.kinds) || NONE,
        ]),
      ),
    ),
  );
}

function runDetails(run, details) {
  const pieces = [];
  if (details.timeline.at_ms.length > 1) pieces.push(runMemoryFigure(run, details.timeline));
  const emulated = run.basis === "emulated" ? " (emulated: the shares of operators are not a device's)" : "";
  for (const [name, rows] of Object.entries(details.operators)) {
    const title = `One call of ${name} on ${run.place.title}${emulated}`;
    pieces.push(make("h3", null, title), operatorTable(title, rows), rooflineFigure(title, rows, details.roofline));
  }
  const rails = Object.entries(details.rails);
  if (rails.length)
    pieces.push(
      wide(
        "Power",
        table(
          "Power by rail",
          [{ title: "Rail" }, { title: "Mean, mW", numeric: true }, { title: "Idle, mW", numeric: true }],
          rails.map(([rail, { mean_mw, idle_mw }]) => [rail, number(mean_mw), number(idle_mw)]),
        ),
      ),
    );
  const samples = Object.entries(details.telemetry).flatMap(([when, sample]) =>
    Object.entries(sample).flatMap(([what, values]) =>
      Object.entries(values).map(([name, value]) => [name, what, when, value]),
    ),
  );
  if (samples.length) {
    pieces.push(
      opened("Temperatures and clocks", () =>
        wide(
          "Temperatures and clocks",
          table(
            "Temperatures and clocks, before and after the runs",
            [{ title: "Sensor" }, { title: "Quantity" }, { title: "When" }, { title: "Value", numeric: true }],
            samples.map(([name, what, when, value]) => [
              name,
              what.replace("temperature_c", "temperature, °C").replace("clock_mhz", "clock, MHz").replaceAll("_", " "),
              when,
              number(value, 4),
            ]),
          ),
        ),
      ),
    );
  }
  return pieces;
}

async function fillBundle(bundle, home) {
  home.replaceChildren(
    bundleFacts(bundle),
    ...[metricsTable(bundle), measuredTable(bundle), estimatedTable(bundle)].filter(Boolean),
  );
  if (bundle.memory.peak !== null) home.append(stackFigure("Memory at the peak", [bundle], false));
  const waiting = make("p", { class: "note" }, "Unpacking…");
  home.append(waiting);
  try {
    const { arena, runs } = await detailsOf(bundle);
    if (arena) home.append(arenaFigure(bundle, arena));
    const measured = bundle.runs.filter((run) => runs[run.index]);
    const place = make("div");
    const show = (index) => place.replaceChildren(...runDetails(report.runs[index], runs[index]).flat());
    if (measured.length > 1)
      home.append(
        choice(
          "Operators and memory on",
          measured.map((run) => [String(run.index), run.place.title]),
          String(measured[0].index),
          (value) => show(Number(value)),
        ),
      );
    home.append(place);
    if (measured.length) show(measured[0].index);
    waiting.remove();
  } catch (error) {
    waiting.textContent = `The details cannot be unpacked (${error.message}): open the page in a browser of 2023 or later.`;
  }
  home.append(
    make("h3", null, "Commands"),
    ...[...new Set(commandsOf(bundle))].map((command) => make("p", null, commandLine(command))),
  );
  home.dataset.drawn = "1";
}

const commandsOf = (bundle) =>
  [...bundle.runs, ...report.explanations].filter((one) => one.bundle === bundle).map(({ command }) => command);

function bundleSummary(bundle) {
  const best =
    bundle.runs.find((run) => run.basis === "measured") ??
    bundle.runs.find((run) => run.basis === "estimated") ??
    bundle.runs[0];
  if (!best) return make("strong", null, bundle.title);
  const entry = best.cases[best.cases.length - 1];
  const time = `${milliseconds(entry.p50_ms)} ${best.basis}${best.basis === "estimated" ? ` for ${best.place.title}` : ""}`;
  return [
    make("strong", null, bundle.title),
    make(
      "span",
      { class: "aside" },
      `${time}, ${bytes(bundle.memory.peak ?? best.peak)} ${bundle.memory.peak === null ? "measured" : "predicted"} peak`,
    ),
  ];
}

function drawBundleList() {
  const home = byId("bundle-list");
  const nodes = report.bundles.map((bundle) => {
    const inside = make("div", { class: "inside" });
    const node = make(
      "details",
      { class: "bundle", id: `bundle-${bundle.index}` },
      make("summary", null, bundleSummary(bundle)),
      inside,
    );
    node.addEventListener("toggle", () => node.open && !inside.childElementCount && fillBundle(bundle, inside));
    return node;
  });
  home.append(...nodes);
  const show = () => {
    const shown = new Set(shownBundles());
    report.bundles.forEach((bundle, index) => (nodes[index].hidden = !shown.has(bundle)));
  };
  const follow = () => {
    const node = location.hash.startsWith("#bundle-") && byId(location.hash.slice(1));
    if (!node || node.hidden) return;
    node.open = true;
    node.querySelector("summary").focus();
    node.scrollIntoView({ block: "start" });
  };
  window.addEventListener("hashchange", follow);
  // The same link again changes no hash.
  document.addEventListener("click", (event) => event.target.closest?.('a[href^="#bundle-"]') && setTimeout(follow));
  listeners.push(show);
  show();
  follow();
}
