// What charts share: scales, ticks, frames, labels that do not lie on each other, and redrawing when the width changes.

function linear(from, to, start, end) {
  const scale = (value) => start + ((value - from) / (to - from)) * (end - start);
  return Object.assign(scale, { from, to, start, end, ticks: (count) => roundTicks(from, to, count) });
}

function logarithmic(from, to, start, end) {
  const low = Math.log10(from);
  const span = Math.log10(to) - low;
  const scale = (value) => start + ((Math.log10(value) - low) / span) * (end - start);
  return Object.assign(scale, { from, to, start, end, ticks: (count) => logTicks(from, to, count) });
}

function roundTicks(from, to, count) {
  const rough = (to - from) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999);
  const ticks = [];
  for (let index = Math.ceil(from / step - 1e-9); index * step <= to + step * 1e-9; index += 1) {
    ticks.push(Number((index * step).toPrecision(12)));
  }
  return ticks;
}

// One, two or three a decade, as many as there is room for; of many decades, some.
function logTicks(from, to, count) {
  const [low, high] = [Math.floor(Math.log10(from)), Math.ceil(Math.log10(to))];
  const ticks = (factors, every = 1) => {
    const found = [];
    for (let power = Math.ceil(low / every) * every; power <= high; power += every) {
      found.push(...factors.map((factor) => Number((factor * 10 ** power).toPrecision(6))));
    }
    return found.filter((tick) => tick >= from * 0.9999 && tick <= to * 1.0001);
  };
  const fitting = [ticks([1, 2, 5]), ticks([1, 3]), ticks([1]), ticks([1], 2), ticks([1], 4)];
  const best = fitting.find((found) => found.length <= Math.max(2, count)) ?? fitting[4];
  return best.length > 1 ? best : (fitting.findLast((found) => found.length > 1) ?? best);
}

// An axis of figures above 0: logarithmic where they spread over more than a factor of six, else from near the least.
function spreadScale(values, start, end) {
  const least = Math.min(...values);
  const most = Math.max(...values);
  if (most / least > 6) return logarithmic(least / 1.25, most * 1.25, start, end);
  const room = (most - least || most) * 0.12;
  return linear(Math.max(0, least - room), most + room, start, end);
}

const tickText = (value) =>
  value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3)
    ? value.toExponential(0).replace("e+", "e")
    : value.toLocaleString("en", { maximumSignificantDigits: 6 });

const line = (x1, y1, x2, y2, kind) => draw("line", { x1, y1, x2, y2, class: kind });
const label = (x, y, text, attributes) => draw("text", { x, y, ...attributes }, text);

function bottomAxis(scale, y, title, count = 5, top = null) {
  const marks = scale
    .ticks(count)
    .map((tick) => [
      top !== null && line(scale(tick), top, scale(tick), y, "grid"),
      line(scale(tick), y, scale(tick), y + 4, "axis"),
      label(scale(tick), y + 17, tickText(tick), { class: "tick", "text-anchor": "middle" }),
    ]);
  const middle = (scale.start + scale.end) / 2;
  return [
    marks,
    line(scale.start, y, scale.end, y, "axis"),
    label(middle, y + 36, title, { class: "title", "text-anchor": "middle" }),
  ];
}

function leftAxis(scale, x, title, count = 5, right = null, format = tickText) {
  const marks = scale
    .ticks(count)
    .map((tick) => [
      right !== null && line(x, scale(tick), right, scale(tick), "grid"),
      label(x - 7, scale(tick) + 4, format(tick), { class: "tick", "text-anchor": "end" }),
    ]);
  return [marks, title && label(4, Math.min(scale.start, scale.end) - 12, title, { class: "title" })];
}

// Of a label in a chart, bold, in the font that the browser took.
const measure = document.createElement("canvas").getContext("2d");
measure.font = `700 12px ${getComputedStyle(document.body).fontFamily}`;
const textWidth = (text) => measure.measureText(text).width;

function shortened(text, width) {
  if (textWidth(text) <= width) return text;
  let kept = text.length;
  while (kept > 1 && textWidth(`${text.slice(0, kept)}…`) > width) kept -= 1;
  return `${text.slice(0, kept)}…`;
}

// Labels beside their points, the first ones first; one that finds no free place is left to the table below.
function placeLabels(points, bounds, taken = []) {
  const placed = [];
  const boxes = taken.concat(points.map(({ x, y, radius = 5 }) => [x - radius, y - radius, x + radius, y + radius]));
  const free = ([x1, y1, x2, y2]) =>
    x1 >= bounds[0] &&
    y1 >= bounds[1] &&
    x2 <= bounds[2] &&
    y2 <= bounds[3] &&
    boxes.every((box) => x2 <= box[0] || x1 >= box[2] || y2 <= box[1] || y1 >= box[3]);
  for (const { x, y, text, radius = 5, strong, ranged } of points) {
    if (!text) continue;
    const width = textWidth(text);
    const gap = radius + 4;
    const beside = [
      [x + gap, y + 4, "start"],
      [x - gap, y + 4, "end"],
    ];
    const above = [
      [x, y - gap - 1, "middle"],
      [x, y + gap + 10, "middle"],
    ];
    const corners = [
      [x + gap, y - 9, "start"],
      [x + gap, y + 17, "start"],
      [x - gap, y - 9, "end"],
      [x - gap, y + 17, "end"],
    ];
    const places = ranged ? [...above, ...corners, ...beside] : [...beside, ...above, ...corners];
    for (const [left, base, anchor] of places) {
      const from = anchor === "start" ? left : anchor === "end" ? left - width : left - width / 2;
      const box = [from, base - 11, from + width, base + 3];
      if (!free(box)) continue;
      boxes.push(box);
      placed.push(label(left, base, text, { class: strong ? "point strong" : "point", "text-anchor": anchor }));
      break;
    }
  }
  return placed;
}

const drawn = new Set();
const watcher = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const width = Math.round(contentRect.width);
    if (target.redraw && width > 0 && width !== target.drawnWidth) {
      target.drawnWidth = width;
      target.redraw(width);
    }
  }
});

// A figure: a picture that is drawn for the width it has, its caption, what it says in words, and its numbers as a table.
let figureCount = 0;
function chart({ title, words, drawing, numbers, extra }) {
  figureCount += 1;
  const name = `figure-${figureCount}`;
  const canvas = make("div", { class: "canvas" });
  canvas.redraw = (width) => {
    const { height, content } = drawing(width);
    canvas.replaceChildren(
      draw(
        "svg",
        {
          width,
          height,
          viewBox: `0 0 ${width} ${height}`,
          role: "img",
          "aria-labelledby": `${name}-title`,
          "aria-describedby": `${name}-words`,
        },
        content,
      ),
    );
  };
  watcher.observe(canvas);
  return make(
    "figure",
    null,
    make(
      "figcaption",
      null,
      make("strong", { id: `${name}-title` }, title),
      make("span", { id: `${name}-words`, class: "words" }, words),
    ),
    canvas,
    extra,
    numbers && opened("These numbers as a table", numbers, { class: "numbers" }),
  );
}
