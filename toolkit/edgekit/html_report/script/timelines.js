// Memory over a program's steps (predicted), and over the run (measured).

// A slider under a picture, for the keyboard; the pointer moves it too. What stands there is said below.
function stepper({ title, count, describe, move }) {
  const said = make("output", { class: "readout" });
  const slider = make("input", { type: "range", min: 0, max: count - 1, step: 1, "aria-label": title });
  const show = (place) => {
    slider.value = place;
    const text = describe(place);
    said.textContent = text;
    slider.setAttribute("aria-valuetext", text);
    move(place);
  };
  slider.addEventListener("input", () => show(Number(slider.value)));
  return { node: make("div", { class: "stepper" }, slider, said), show };
}

const loading = (operator) => operator === "open" || operator.startsWith("load ");
const phaseOf = (arena, step) =>
  arena.operator[step] === "open" ? "open" : `${loading(arena.operator[step]) ? "load" : "run"} ${arena.method[step]}`;

function arenaFigure(bundle, arena) {
  const count = arena.operator.length;
  const parts = arena.parts
    .map((part, index) => ({ part, values: arena.bytes[index] }))
    .filter(({ values }) => values.some(Boolean));
  const totals = arena.operator.map((_, step) => parts.reduce((sum, { values }) => sum + values[step], 0));
  const most = Math.max(...totals);
  const peak = totals.indexOf(most);
  const starts = arena.operator
    .map((_, step) => step)
    .filter((step) => step === 0 || phaseOf(arena, step) !== phaseOf(arena, step - 1));
  const describe = (step) =>
    `Step ${step + 1} of ${count}, ${phaseOf(arena, step)}, ${arena.operator[step]}: ${bytes(totals[step])}; ${parts
      .filter(({ values }) => values[step])
      .map(({ part, values }) => `${partName(part)} ${bytes(values[step])}`)
      .join(", ")}.`;
  let cursor = null;
  let column = null;
  const steps = stepper({
    title: `Step of ${bundle.title}`,
    count,
    describe,
    move: (step) => {
      const at = column?.(step + 0.5);
      if (cursor && at !== undefined) [cursor.x1, cursor.x2].forEach((end) => (end.baseVal.value = at));
      current = step;
    },
  });
  let current = peak;
  const figure = chart({
    title: "What lives when: predicted memory of each step",
    words: `${plural(count, "step")}: the session opens, loads each method and runs each once. The peak of ${bytes(most)} is at step ${peak + 1}, ${arena.operator[peak]}.`,
    extra: [steps.node, legend(parts.map(({ part }) => part).reverse())],
    drawing: (width) => {
      const [left, right, top, bottom] = [54, width - 8, 26, 236];
      const x = linear(0, count, left, right);
      const y = linear(0, (most / 1e6) * 1.05, bottom, top);
      const base = new Float64Array(count);
      const areas = parts.map(({ part, values }) => {
        const above = values.map((value, step) => base[step] + value);
        const along = (heights, order) =>
          order
            .map((step) => {
              const ends = order[0] === 0 ? [x(step), x(step + 1)] : [x(step + 1), x(step)];
              return ends.map((end) => `${end.toFixed(1)} ${y(heights[step] / 1e6).toFixed(1)}`).join("L");
            })
            .join("L");
        const forth = [...above.keys()];
        const path = `M${along(above, forth)}L${along(base, forth.toReversed ? forth.toReversed() : [...forth].reverse())}Z`;
        above.forEach((value, step) => (base[step] = value));
        return draw("path", { d: path, class: `part-${part} area` });
      });
      let free = -Infinity;
      const phases = starts.map((step) => {
        const text = phaseOf(arena, step);
        const at = x(step);
        const fits = at > free && at + textWidth(text) < right + 30;
        if (fits) free = at + textWidth(text) + 8;
        return [
          step > 0 && line(at, top, at, bottom, "phase"),
          fits && label(at + 2, bottom + 16, text, { class: "tick" }),
        ];
      });
      column = x;
      cursor = line(x(current + 0.5), top, x(current + 0.5), bottom, "cursor");
      const touch = draw("rect", { x: left, y: top, width: right - left, height: bottom - top, class: "touch" });
      touch.addEventListener("pointermove", (event) => {
        const box = touch.getBoundingClientRect();
        steps.show(Math.min(count - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * count))));
      });
      return {
        height: bottom + 26,
        content: [
          leftAxis(y, left, "MB", 5, right),
          areas,
          phases,
          line(left, bottom, right, bottom, "axis"),
          cursor,
          touch,
        ],
      };
    },
    numbers: () => {
      const largest = totals
        .map((_, step) => step)
        .sort((one, other) => totals[other] - totals[one] || one - other)
        .slice(0, 40);
      return wide(
        "Largest steps",
        table(
          `The ${largest.length} largest of ${plural(count, "step")}`,
          [
            { title: "Step", numeric: true },
            { title: "Phase" },
            { title: "Operator" },
            { title: "Total, MB", numeric: true },
            ...parts.map(({ part }) => ({ title: `${partName(part)}, MB`, numeric: true })),
          ],
          largest.map((step) => [
            whole(step + 1),
            phaseOf(arena, step),
            arena.operator[step],
            number(megabytes(totals[step]), 4),
            ...parts.map(({ values }) => number(megabytes(values[step]))),
          ]),
        ),
      );
    },
  });
  steps.show(peak);
  return figure;
}

function runMemoryFigure(run, timeline) {
  const lines = [
    ["counted", "counted by the runner"],
    ["resident", "resident in memory"],
  ].filter(([key]) => timeline[key].some((value) => value !== null));
  const values = lines.flatMap(([key]) => timeline[key].filter((value) => value !== null));
  const last = Math.max(...timeline.at_ms);
  return chart({
    title: `Measured memory of the run on ${run.place.title}`,
    words: `From the start of the runner's process. ${lines.map(([key, title]) => `Largest ${title}: ${bytes(Math.max(...timeline[key].filter((value) => value !== null)))}`).join(". ")}.`,
    drawing: (width) => {
      const [left, right, top, bottom] = [54, width - 12, 26, 206];
      const x = linear(0, last || 1, left, right);
      const y = linear(0, (Math.max(...values) / 1e6) * 1.12, bottom, top);
      const paths = lines.map(([key, title], index) => {
        const points = timeline.at_ms
          .map((at, place) => [at, timeline[key][place]])
          .filter(([, value]) => value !== null);
        const path =
          points.map(([at, value], place) => `${place ? `H${x(at)}V` : `M${x(at)} `}${y(value / 1e6)}`).join("") +
          `H${right}`;
        const end = points[points.length - 1];
        return [
          draw("path", { d: path, class: `run-line ${key}` }),
          points.map(([at, value]) =>
            draw("circle", { cx: x(at), cy: y(value / 1e6), r: 3, class: `run-point ${key}` }),
          ),
          label(right, y(end[1] / 1e6) + (index ? -7 : 15), title, { class: "point", "text-anchor": "end" }),
        ];
      });
      let free = -Infinity;
      const names = timeline.at_ms.map((at, place) => {
        const [text, from] = [timeline.label[place], x(at)];
        const start = Math.min(from + 2, width - textWidth(text));
        if (start < free) return line(from, bottom, from, bottom - 4, "axis");
        free = start + textWidth(text) + 10;
        return [line(from, top, from, bottom, "phase"), label(start, top - 4, text, { class: "tick" })];
      });
      return {
        height: bottom + 44,
        content: [
          leftAxis(y, left, null, 4, right),
          label(4, 12, "MB", { class: "title" }),
          names,
          paths,
          bottomAxis(x, bottom, "ms since the start", Math.floor(width / 110)),
        ],
      };
    },
    numbers: () =>
      wide(
        "Memory of the run",
        table(
          "Memory of the run",
          [
            { title: "At, ms", numeric: true },
            { title: "What was done" },
            ...lines.map(([, title]) => ({ title: `${title}, MB`, numeric: true })),
          ],
          timeline.at_ms.map((at, place) => [
            number(at, 4),
            timeline.label[place],
            ...lines.map(([key]) => number(megabytes(timeline[key][place]), 4)),
          ]),
        ),
      ),
  });
}
