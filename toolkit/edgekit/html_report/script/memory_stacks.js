// Memory at the peak, part by part as predicted, with the measured peak of the whole process beside it.

const BAR = 16;
const measuredPeaks = (bundle) =>
  bundle.runs.filter((run) => run.basis === "measured" && run.peak).map((run) => run.peak);
const largestPeak = (bundle) => Math.max(bundle.memory.peak ?? 0, ...measuredPeaks(bundle));

function legend(parts) {
  const items = parts.map((part) =>
    make("li", null, make("span", { class: `swatch part-${part}`, "aria-hidden": "true" }), partName(part)),
  );
  return make("ul", { class: "legend" }, items);
}

function peaksInWords(bundle) {
  const peaks = measuredPeaks(bundle);
  const predicted = bundle.memory.peak === null ? "prediction unknown" : `${bytes(bundle.memory.peak)} predicted`;
  return peaks.length ? `${predicted}, ${bytes(Math.max(...peaks))} measured` : predicted;
}

// Where names, bars and figures stand: side by side, or on a phone the name and the figures above the bar.
function stackLayout(bundles, width, named) {
  const names = named ? Math.min(260, Math.max(...bundles.map((bundle) => textWidth(bundle.label)))) + 12 : 0;
  const figures = Math.max(...bundles.map((bundle) => textWidth(peaksInWords(bundle)))) + 12;
  if (width >= 640) return { left: names + 4, right: width - figures, row: 26, bar: 8, nameWidth: 260 };
  const lines = named && names + figures > width - 8 ? 2 : 1;
  return { left: 4, right: width - 12, row: 28 + 16 * lines, bar: 6 + 16 * lines, lines, nameWidth: width - 8 };
}

function stackBar(bundle, parts, x, y) {
  let sum = 0;
  const shown = bundle.memory.peak === null ? [] : parts.filter((part) => bundle.memory.at_peak[part]);
  const segments = shown.map((part) => {
    const from = x(sum);
    sum += bundle.memory.at_peak[part];
    const about = draw("title", null, `${partName(part)}: ${bytes(bundle.memory.at_peak[part])}`);
    return draw("rect", { x: from, y, width: x(sum) - from, height: BAR, class: `part-${part} segment` }, about);
  });
  const lines = measuredPeaks(bundle).map((peak) => line(x(peak), y - 3, x(peak), y + BAR + 3, "measured-peak"));
  return [segments, lines];
}

function stackLabels(bundle, layout, x, y, width, named) {
  const tick = (at, base, text, anchor) => label(at, base, text, { class: "tick", "text-anchor": anchor });
  const [name, figures] = [shortened(bundle.label, layout.nameWidth), peaksInWords(bundle)];
  if (!layout.lines) {
    return [
      named && tick(layout.left - 8, y + 12, name, "end"),
      tick(x(largestPeak(bundle)) + 8, y + 12, figures, "start"),
    ];
  }
  if (layout.lines === 2) return [tick(layout.left, y - 21, name, "start"), tick(layout.left, y - 5, figures, "start")];
  return [named && tick(layout.left, y - 5, name, "start"), tick(width - 2, y - 5, figures, "end")];
}

// `named`: whether each bar has its bundle's name; a bundle's own picture needs none.
function stackFigure(title, bundles, named) {
  const parts = report.parts.filter((part) => bundles.some((bundle) => bundle.memory.at_peak[part]));
  const most = Math.max(1, ...bundles.map(largestPeak));
  const columns = [
    { title: "Bundle" },
    ...parts.map((part) => ({ title: `${partName(part)}, MB`, numeric: true })),
    { title: "Predicted peak, MB", numeric: true },
    { title: "Measured peaks, MB", numeric: true },
  ];
  const row = (bundle) => [
    bundleLink(bundle),
    ...parts.map((part) => number(megabytes(bundle.memory.at_peak[part]))),
    number(megabytes(bundle.memory.peak)),
    measuredPeaks(bundle)
      .map((peak) => number(megabytes(peak)))
      .join(", ") || NONE,
  ];
  return chart({
    title,
    words:
      "Bars: parts that were predicted at export. Line across: the peak of the whole process, measured, one for each machine.",
    extra: legend(parts),
    drawing: (width) => {
      const layout = stackLayout(bundles, width, named);
      const x = linear(0, most, layout.left, layout.right);
      const bars = bundles.map((bundle, index) => {
        const y = index * layout.row + layout.bar;
        return [stackBar(bundle, parts, x, y), stackLabels(bundle, layout, x, y, width, named)];
      });
      const bottom = 12 + bundles.length * layout.row;
      const axis = bottomAxis(linear(0, most / 1e6, layout.left, layout.right), bottom, "MB", width < 640 ? 4 : 6);
      return { height: bottom + 42, content: [bars, axis] };
    },
    numbers: () => wide(`Numbers: ${title}`, table(title, columns, bundles.map(row))),
  });
}

function drawMemory() {
  const home = byId("memory-charts");
  function show() {
    const bundles = shownBundles().filter(largestPeak);
    const figures = [...new Set(bundles.map((bundle) => bundle.model))].map((model) => {
      const own = bundles.filter((bundle) => bundle.model === model);
      own.sort((one, other) => largestPeak(one) - largestPeak(other));
      return stackFigure(`${model}: predicted parts and measured peak`, own, true);
    });
    const none = make("p", { class: "note" }, "No bundle that is shown has a peak of memory.");
    home.replaceChildren(...(figures.length ? figures : [none]));
  }
  listeners.push(show);
  show();
}
