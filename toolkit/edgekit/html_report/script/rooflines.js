// Operators below the roofs of the machine: what it can compute at most, and what its memory brings at most.

const NAMED = 6;

function rooflineFigure(title, rows, roofs) {
  const points = leaves(rows)
    .filter((row) => row.flops > 0 && row.bytes > 0 && row.p50_us > 0)
    .map((row) => ({ row, x: row.flops / row.bytes, y: row.flops / row.p50_us / 1e3, share: row.share ?? 0 }));
  if (!points.length)
    return make("p", { class: "note" }, "No roofline: no operator of this call has both arithmetic and bytes counted.");
  const peaks = roofs ? ceilings(roofs.gflops) : [];
  const [bandwidth, highest] = [roofs?.bandwidth, peaks[0]?.[1]];
  const ridge = bandwidth && highest ? highest / bandwidth : null;
  const xs = points.map((point) => point.x).concat(ridge ?? []);
  const ys = points.map((point) => point.y).concat(highest ?? []);
  const [x1, x2] = [Math.min(...xs) / 2, Math.max(...xs) * 3];
  const [y1, y2] = [Math.min(...ys) / 2, Math.max(...ys) * 2];
  const dearest = [...points].sort((one, other) => other.share - one.share);
  const source = roofs && (roofs.source === "measured" ? "measured on it" : `from ${roofs.source}, not measured`);
  const roof = ({ row, x }) => Math.min(roofs.gflops[row.precision] ?? highest, bandwidth * x);
  const near = roofs && bandwidth && highest ? points.filter((point) => point.y > 0.5 * roof(point)).length : 0;
  return chart({
    title: `${title}: operators and roofs`,
    words: roofs
      ? `Roofs ${source}: ${peaks.map(([name, value]) => `${name} ${number(value)} GFLOP/s`).join(", ")}; memory ${number(bandwidth)} GB/s. ${near} of ${points.length} operators reach half of their own roof. A point's area is its share of the time. Arithmetic is what an operator's definition asks for, bytes are what it reads and writes: a transform that multiplies less, and what stays in a cache, pass a roof.`
      : "The machine's roofs are not known: `edgekit devices measure` finds them. A point's area is its share of the time.",
    extra: make(
      "ul",
      { class: "legend" },
      [
        ["delegate", "in a delegate"],
        ["ours", "edgekit's own"],
        ["runtime", "the runtime's kernels"],
      ]
        .filter(([kind]) => points.some(({ row }) => placeClass(row.place) === kind))
        .map(([kind, name]) =>
          make("li", null, make("span", { class: `swatch dot ${kind}`, "aria-hidden": "true" }), name),
        ),
    ),
    drawing: (width) => {
      const [left, right, top, bottom] = [64, width - 12, 26, 326];
      const x = logarithmic(x1, x2, left, right);
      const y = logarithmic(y1, y2, bottom, top);
      const marks = operatorMarks(dearest, x, y);
      const roof = roofLines(peaks, bandwidth, x, y, marks);
      const content = [
        leftAxis(y, left, null, 6, right),
        label(4, 12, "GFLOP/s", { class: "title" }),
        bottomAxis(x, bottom, "arithmetic intensity, FLOP per byte", Math.floor(width / 90), top),
        roof.nodes,
        marks.map((mark) => mark.node),
        placeLabels(marks, [left, top, right, bottom], roof.boxes),
      ];
      return { height: bottom + 44, content };
    },
  });
}

// Precisions and what they reach, the highest first; those that reach the same are one roof.
function ceilings(gflops) {
  const values = [...new Set(Object.values(gflops))].sort((one, other) => other - one);
  const names = (value) => Object.keys(gflops).filter((name) => gflops[name] === value);
  return values.map((value) => [names(value).join(", "), value]);
}

// A point per operator, the dearest first, which are named: each name once.
function operatorMarks(points, x, y) {
  const named = new Set();
  return points.map((point) => {
    const { row, share } = point;
    const [cx, cy] = [x(point.x), y(point.y)];
    const radius = Math.max(3, Math.min(22, 26 * Math.sqrt(share)));
    const text = named.size < NAMED && !named.has(shortName(row)) ? shortName(row) : null;
    named.add(shortName(row));
    const about = `${row.name}: ${number(point.y)} GFLOP/s at ${number(point.x)} FLOP per byte, ${number(row.p50_us)} µs, ${percent(share)}`;
    const kind = `operator ${placeClass(row.place)}`;
    const node = draw("circle", { cx, cy, r: radius, class: kind }, draw("title", null, about));
    return { x: cx, y: cy, radius, text, node };
  });
}

// The roofs, and the boxes of their names.
function roofLines(peaks, bandwidth, x, y, marks) {
  const [nodes, boxes] = [[], []];
  let above = -Infinity;
  for (const [name, value] of peaks) {
    const from = bandwidth ? Math.max(x.from, value / bandwidth) : x.from;
    const text = `${name} ${number(value)} GFLOP/s`;
    const base = y(value) - above < 18 ? y(value) + 14 : y(value) - 5; // below its line where another's is just above
    above = base + 4;
    boxes.push([x.end - textWidth(text), base - 12, x.end, base + 3]);
    nodes.push(line(x(from), y(value), x.end, y(value), "roof"));
    nodes.push(label(x.end, base, text, { class: "point", "text-anchor": "end" }));
  }
  const foot = bandwidth && Math.max(x.from, y.from / bandwidth);
  const reach = bandwidth && Math.min(x.to, (peaks[0]?.[1] ?? y.to) / bandwidth, y.to / bandwidth);
  if (bandwidth && foot < reach) {
    const named = slopeLabel(x, y, foot, reach, bandwidth, marks);
    nodes.push(line(x(foot), y(foot * bandwidth), x(reach), y(reach * bandwidth), "roof"), named.node);
    boxes.push(named.box);
  }
  return { nodes, boxes };
}

const shortName = ({ name }) => shortened(name.replace(/^\w+::/, "").replace(/\.\w+$/, ""), 180);

// The memory's roof is named along its slope, where the fewest operators are in the way.
function slopeLabel(x, y, foot, reach, bandwidth, marks) {
  const text = `memory ${number(bandwidth)} GB/s`;
  const [dx, dy] = [x(reach) - x(foot), y(reach * bandwidth) - y(foot * bandwidth)];
  const places = [0.35, 0.6, 0.8, 0.2].map((share) => {
    const [cx, cy] = [x(foot) + share * dx, y(foot * bandwidth) + share * dy];
    const half = (textWidth(text) / 2) * Math.cos(Math.atan2(dy, dx));
    const rise = Math.abs(half * (dy / dx)) + 10;
    const box = [cx - half, cy - rise - 8, cx + half, cy + rise - 8];
    const crossed = marks.filter((mark) => mark.x > box[0] && mark.x < box[2] && mark.y > box[1] && mark.y < box[3]);
    return { cx, cy, box, count: crossed.length };
  });
  const { cx, cy, box } = places.sort((one, other) => one.count - other.count)[0];
  const turn = `rotate(${(Math.atan2(dy, dx) * 180) / Math.PI} ${cx} ${cy})`;
  return { box, node: label(cx, cy - 7, text, { class: "point", "text-anchor": "middle", transform: turn }) };
}
