// Accuracy against latency against memory: per model, task metric and case, one figure for what was measured at a place
// and one for what was estimated for a device.

// Points that no other beats: none is at least as good in accuracy, latency and memory, and better in one of them.
function paretoFront(points, keys) {
  const beats = (one, other) =>
    keys.every((key) => one[key] <= other[key]) && keys.some((key) => one[key] < other[key]);
  return points.filter((point) => !points.some((other) => beats(other, point)));
}

const metricKey = ({ name, data, better }) => [name, data, better].join("\n");

function tradeOffGroups(place) {
  const groups = new Map();
  for (const run of report.runs) {
    const { bundle } = run;
    if (run.place !== place || !bundleShown(bundle) || !bundle.metric || bundle.metric.program === undefined) continue;
    for (const entry of run.cases) {
      const key = [bundle.model, metricKey(bundle.metric), entry.name].join("\n");
      const group = groups.get(key) ?? { model: bundle.model, metric: bundle.metric, entry, points: [] };
      const memory = run.basis === "estimated" ? bundle.memory.peak : run.peak;
      const point = { bundle, entry, memory, time: entry.p50_ms, metric: bundle.metric.program };
      group.points.push({ ...point, loss: bundle.metric.better === "higher" ? -point.metric : point.metric });
      groups.set(key, group);
    }
  }
  for (const group of groups.values()) {
    const keys = ["loss", "time", ...(group.points.every((point) => point.memory) ? ["memory"] : [])];
    const front = new Set(paretoFront(group.points, keys));
    for (const point of group.points) point.best = front.has(point);
    group.points.sort((one, other) => other.best - one.best || one.time - other.time);
    group.kept = keys;
  }
  return groups;
}

// A panel: accuracy upwards, better above, against time or memory, better to the left.
function tradeOffPanel({ points, metric, places, basis, left, right, top, bottom, first }) {
  const { key, title, factor } = places;
  const told = points.filter((point) => point[key]);
  const values = told.flatMap((point) =>
    key === "time" && basis === "estimated" ? [point.entry.low_ms, point.entry.high_ms] : [point[key] * factor],
  );
  const x = spreadScale(values, left, right);
  const heights = points.map((point) => point.metric).concat(metric.eager ?? []);
  const room = (Math.max(...heights) - Math.min(...heights) || Math.abs(heights[0]) || 1) * 0.15;
  const [low, high] = [Math.min(...heights) - room, Math.max(...heights) + room];
  const at = metric.better === "higher" ? linear(low, high, bottom, top) : linear(low, high, top, bottom);
  const marks = told.map((point) => {
    const [px, py] = [x(point[key] * factor), at(point.metric)];
    const kind = `mark ${basis}${point.best ? " best" : ""}`;
    const about = draw(
      "title",
      null,
      `${point.bundle.title}: ${metric.name} ${metricValue(point.metric)}, ${number(point[key] * factor)} ${places.unit}${point.best ? ", on the Pareto front" : ""}`,
    );
    const shape =
      basis === "estimated"
        ? draw("path", { d: `M${px} ${py - 7}L${px + 7} ${py}L${px} ${py + 7}L${px - 7} ${py}Z`, class: kind }, about)
        : draw("circle", { cx: px, cy: py, r: 5.5, class: kind }, about);
    const range =
      key === "time" && basis === "estimated" && line(x(point.entry.low_ms), py, x(point.entry.high_ms), py, "range");
    return { point, px, py, nodes: [range, shape] };
  });
  const front = paretoFront(told, ["loss", key]).sort((one, other) => one[key] - other[key]);
  const steps = front
    .map(
      (point, place) => `${place ? `H${x(point[key] * factor)}V` : `M${x(point[key] * factor)} `}${at(point.metric)}`,
    )
    .join("");
  // The eager model's line is named where no point is in the way, on the left if it can be.
  const eagerText = `eager ${metricValue(metric.eager)}`;
  const eagerY = at(metric.eager ?? 0);
  const eagerWidth = textWidth(eagerText) + 8;
  const near = marks.filter(({ py }) => py > eagerY - 24 && py < eagerY + 8);
  const crossed = (from) => near.some(({ px }) => px > from - 8 && px < from + eagerWidth + 8);
  const eagerPlaces = [left, right - eagerWidth, (left + right - eagerWidth) / 2];
  const eagerLeft = eagerPlaces.find((from) => !crossed(from)) ?? left;
  const labels = placeLabels(
    marks.map(({ point, px, py }) => ({
      x: px,
      y: py,
      text: point.bundle.label,
      radius: 6,
      strong: point.best,
      ranged: basis === "estimated" && key === "time",
    })),
    [left, top - 6, right + 4, bottom - 2],
    metric.eager === undefined ? [] : [[eagerLeft, eagerY - 16, eagerLeft + eagerWidth, eagerY]],
  );
  return [
    leftAxis(at, left, null, 5, right, first ? metricTick(at) : () => ""),
    bottomAxis(x, bottom, title, Math.max(2, Math.floor((right - left) / 70)), top),
    metric.eager !== undefined && [
      line(left, eagerY, right, eagerY, "eager"),
      label(eagerLeft + 4, eagerY - 5, eagerText, { class: "tick" }),
    ],
    draw("path", { d: steps, class: `front ${basis}` }),
    marks.map(({ nodes }) => nodes),
    labels,
  ];
}

function metricTick(scale) {
  const [a, b] = scale.ticks(5);
  const digits = b === undefined ? 3 : Math.max(0, -Math.floor(Math.log10(Math.abs(b - a)) + 1e-9));
  return (value) =>
    digits > 5
      ? value.toExponential(1)
      : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function tradeOffFigure({ model, metric, entry, points, kept }, place, several) {
  const { basis } = place;
  const what = basis === "estimated" ? `estimated for ${place.title}` : `measured on ${place.title}`;
  const best = points.filter((point) => point.best);
  const time = {
    key: "time",
    factor: 1,
    unit: "ms",
    title: basis === "estimated" ? "estimated latency, ms (line: its range)" : "measured latency p50, ms",
  };
  const memory = {
    key: "memory",
    factor: 1e-6,
    unit: "MB",
    title: basis === "estimated" ? "predicted peak memory, MB" : "measured peak memory, MB",
  };
  return chart({
    title: what[0].toUpperCase() + what.slice(1),
    words: `On the Pareto front of ${kept.length === 3 ? "accuracy, latency and memory" : "accuracy and latency"}: ${best.map((point) => point.bundle.label).join(", ")} (${best.length} of ${plural(points.length, "bundle")}).`,
    drawing: (width) => {
      const panels = points.some((point) => point.memory) ? [time, memory] : [time];
      const beside = width >= 640 && panels.length > 1;
      const [start, top, height] = [64, 30, 220];
      const each = beside ? (width - start - 40) / 2 : width - start - 12;
      const content = panels.map((places, index) => {
        const left = beside ? start + index * (each + 28) : start;
        const above = beside ? top : top + index * (height + 62);
        return tradeOffPanel({
          points,
          metric,
          places,
          basis,
          left,
          right: left + each,
          top: above,
          bottom: above + height,
          first: !beside || index === 0,
        });
      });
      const total = top + height + 48 + (beside || panels.length < 2 ? 0 : height + 62);
      return {
        height: total,
        content: [
          label(4, 14, `${metric.name} (${metric.better === "higher" ? "higher" : "lower"} is better)`, {
            class: "title",
          }),
          content,
        ],
      };
    },
    numbers: () =>
      wide(
        `Numbers of ${model}`,
        table(
          `${model}${several ? `, ${entry.name}` : ""}: ${metric.name}, ${what}`,
          [
            { title: "Bundle" },
            { title: metric.name, numeric: true },
            { title: basis === "estimated" ? "Estimated, ms" : "p50, ms", numeric: true },
            ...(basis === "estimated" ? [{ title: "Range, ms", numeric: true }] : []),
            { title: basis === "estimated" ? "Predicted peak, MB" : "Measured peak, MB", numeric: true },
            { title: "On the front" },
          ],
          points.map((point) => [
            bundleLink(point.bundle),
            metricValue(point.metric),
            number(point.time),
            ...(basis === "estimated" ? [`${number(point.entry.low_ms)} to ${number(point.entry.high_ms)}`] : []),
            number(megabytes(point.memory)),
            point.best ? "yes" : "no",
          ]),
        ),
      ),
  });
}

function drawTradeOffs() {
  const pick = { measured: 0, estimated: 0 };
  const home = byId("trade-off-charts");
  const places = Object.fromEntries(
    ["measured", "estimated"].map((basis) => [
      basis,
      report.places
        .filter((place) => place.basis === basis)
        .map((place) => [place, report.runs.filter((run) => run.place === place).length])
        .sort((one, other) => other[1] - one[1])
        .map(([place]) => place),
    ]),
  );
  const controls = Object.entries(places)
    .filter(([, found]) => found.length > 0)
    .map(([basis, found]) =>
      choice(
        basis === "measured" ? "Measured on" : "Estimated for",
        found.map((place, index) => [String(index), place.title]),
        "0",
        (value) => {
          pick[basis] = Number(value);
          show();
        },
      ),
    );
  const figures = make("div");
  const emulated = report.places.filter((place) => place.basis === "emulated");
  home.append(
    make(
      "p",
      { class: "note" },
      "Better is up and to the left. Filled points are on the Pareto front: no other bundle is at least as good in accuracy, latency and memory, and better in one. The line joins those that are best in the two quantities of its panel. What was measured is blue and round; what was estimated is orange and square on its tip, with the range of its latency.",
    ),
    make("div", { class: "filters" }, controls),
    emulated.length
      ? make(
          "p",
          { class: "note" },
          `Not drawn: ${emulated.map((place) => place.title).join(", ")}. An emulator's times rank nothing.`,
        )
      : "",
    figures,
  );
  function show() {
    const shown = Object.entries(places)
      .filter(([, found]) => found.length)
      .map(([basis, found]) => [found[pick[basis]], tradeOffGroups(found[pick[basis]])]);
    const keys = [...new Set(shown.flatMap(([, groups]) => [...groups.keys()]))].sort();
    const cases = (model) =>
      new Set(
        report.runs.filter((run) => run.bundle.model === model).flatMap((run) => run.cases.map((entry) => entry.name)),
      ).size > 1;
    const made = keys.map((key) => {
      const found = shown.filter(([, groups]) => groups.has(key));
      const { model, metric, entry } = found[0][1].get(key);
      return make(
        "section",
        { class: "group" },
        make("h3", null, `${model}: ${metric.name}${cases(model) ? `, time of ${entry.name}` : ""}`),
        make(
          "p",
          { class: "note" },
          `On ${metric.data ?? "its evaluation set"}${metric.samples ? `, ${whole(metric.samples)} ${metric.unit ?? "samples"}` : ""}.`,
        ),
        found.map(([place, groups]) => tradeOffFigure(groups.get(key), place, cases(model))),
      );
    });
    figures.replaceChildren(
      ...(made.length
        ? made
        : [make("p", { class: "note" }, "No bundle that is shown has a task metric and a time here.")]),
    );
  }
  listeners.push(show);
  show();
}
