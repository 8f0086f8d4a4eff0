// The table of bundles: a row per bundle, place and case. Measured and estimated times have columns of their own.

const FIRST_ROWS = 60;

const COLUMNS = [
  { key: "bundle", title: "Bundle", sort: ({ bundle }) => bundle.title, cell: ({ bundle }) => bundleLink(bundle) },
  {
    key: "model",
    title: "Model",
    sort: ({ bundle }) => `${bundle.model} ${bundle.variant}`,
    cell: ({ bundle }) => [bundle.model, make("small", null, bundle.variant)],
  },
  {
    key: "recipe",
    title: "Recipe",
    sort: ({ bundle }) => bundle.recipe,
    cell: ({ bundle }) => [bundle.recipe, bundle.kv && make("small", null, `KV ${bundle.kv}`)],
  },
  { key: "format", title: "Format", sort: ({ bundle }) => bundle.format, cell: ({ bundle }) => bundle.format },
  { key: "device", title: "For device", sort: ({ bundle }) => bundle.device, cell: ({ bundle }) => bundle.device },
  {
    key: "place",
    title: "Figures",
    sort: ({ run }) => `${run.basis} ${run.place.title}`,
    cell: ({ run }) => [
      badge(run.basis),
      make("small", null, run.basis === "estimated" ? `for ${run.place.title}` : run.place.title),
    ],
  },
  { key: "case", title: "Case", sort: ({ entry }) => entry.name, cell: ({ entry }) => breakable(entry.name) },
  {
    key: "p50",
    title: "Measured p50",
    unit: "ms",
    numeric: true,
    sort: ({ run, entry }) => (run.basis === "measured" ? entry.p50_ms : null),
    cell: ({ run, entry }) =>
      run.basis === "estimated"
        ? NONE
        : [
            number(entry.p50_ms),
            make("small", null, run.basis === "emulated" ? "emulated" : `p90 ${number(entry.p90_ms)}`),
            run.basis === "measured" && make("small", null, `${number(rate(entry))} ${entry.unit}/s`),
          ],
  },
  {
    key: "estimate",
    title: "Estimated",
    unit: "ms",
    numeric: true,
    sort: ({ run, entry }) => (run.basis === "estimated" ? entry.p50_ms : null),
    cell: ({ run, entry }) =>
      run.basis === "estimated"
        ? [number(entry.p50_ms), make("small", null, `${number(entry.low_ms)} to ${number(entry.high_ms)}`)]
        : NONE,
  },
  {
    key: "peak",
    title: "Measured peak",
    unit: "MB",
    numeric: true,
    sort: ({ run }) => run.peak ?? null,
    cell: ({ run }) => number(megabytes(run.peak)),
  },
  {
    key: "predicted",
    title: "Predicted peak",
    unit: "MB",
    numeric: true,
    sort: ({ bundle }) => bundle.memory.peak,
    cell: ({ bundle }) => (bundle.memory.peak === null ? "unknown" : number(megabytes(bundle.memory.peak))),
  },
  {
    key: "size",
    title: "Size",
    unit: "MB",
    numeric: true,
    sort: ({ bundle }) => bundle.bytes,
    cell: ({ bundle }) => number(megabytes(bundle.bytes)),
  },
  {
    key: "metric",
    title: "Task metric",
    numeric: true,
    sort: ({ bundle }) => gain(bundle.metric),
    cell: ({ bundle: { metric, passed } }) =>
      metric
        ? [
            `${metric.name} ${metricValue(metric.program)}`,
            make(
              "small",
              { class: passed ? "" : "bad" },
              `${change(metric.program, metric.eager)} to eager${passed ? "" : ", misses its gate"}`,
            ),
          ]
        : NONE,
  },
];

// How much better than the eager model, of its value: what metrics of different models can be sorted by.
function gain(metric) {
  if (!metric || !metric.eager || metric.program === undefined) return null;
  return ((metric.program - metric.eager) / Math.abs(metric.eager)) * (metric.better === "higher" ? 1 : -1);
}

function byValue(sort, direction) {
  return (one, other) => {
    const [a, b] = [sort(one), sort(other)];
    if (a === null || b === null) return (a === null) - (b === null); // what is unknown comes last in both directions
    return direction * (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
  };
}

// Roles are said, because cards on a phone are no table to a browser any more.
function tableCell(column, row, heads) {
  const content = column.cell(row);
  const kind = [column.numeric && "number", content === NONE && "none"].filter(Boolean).join(" ");
  const title = column.unit ? `${column.title}, ${column.unit}` : column.title;
  return make(
    heads ? "th" : "td",
    { role: heads ? "rowheader" : "cell", scope: heads && "row", class: kind || null, "data-title": title },
    make("span", null, content),
  );
}

function drawBundleTable() {
  const rows = report.runs.flatMap((run) => run.cases.map((entry) => ({ run, bundle: run.bundle, entry })));
  // Columns that would say the same in every row are left out.
  const differing = {
    format: ({ bundle }) => bundle.format,
    device: ({ bundle }) => bundle.device,
    case: ({ entry }) => entry.name,
  };
  const columns = COLUMNS.filter(({ key }) => !differing[key] || new Set(rows.map(differing[key])).size > 1);
  const order = { key: "", direction: 1 };
  let all = false;
  const body = make("tbody");
  const headings = new Map();

  function sortBy(key, direction) {
    order.direction = direction ?? (order.key === key ? -order.direction : 1);
    order.key = key;
    const column = columns.find((candidate) => candidate.key === key);
    rows.sort(byValue(column.sort, order.direction));
    show();
    say(`Sorted by ${column.title}, ${order.direction > 0 ? "ascending" : "descending"}.`);
  }

  function show() {
    const found = rows.filter(({ run }) => runShown(run));
    const listed = all ? found : found.slice(0, FIRST_ROWS);
    for (const row of listed)
      row.node ??= make(
        "tr",
        { role: "row" },
        columns.map((column, place) => tableCell(column, row, place === 0)),
      );
    body.replaceChildren(...listed.map((row) => row.node));
    for (const [key, heading] of headings) {
      heading.setAttribute("aria-sort", key !== order.key ? "none" : order.direction > 0 ? "ascending" : "descending");
    }
    more.hidden = listed.length === found.length;
    more.textContent = `Show all ${whole(found.length)} rows`;
    const count = new Set(found.map(({ bundle }) => bundle)).size;
    byId("shown").textContent =
      `${plural(found.length, "row")} of ${whole(rows.length)}, ${plural(count, "bundle")} of ${whole(report.bundles.length)}${all || more.hidden ? "" : `; the first ${FIRST_ROWS} are listed`}.`;
  }

  const more = make("button", {
    type: "button",
    hidden: true,
    onclick: () => {
      all = true;
      show();
    },
  });
  for (const column of columns) {
    const button = make(
      "button",
      { type: "button", class: "sort", onclick: () => sortBy(column.key) },
      column.title,
      column.unit && make("span", { class: "unit" }, `, ${column.unit}`),
    );
    headings.set(
      column.key,
      make(
        "th",
        { scope: "col", role: "columnheader", class: column.numeric && "number", "aria-sort": "none" },
        button,
      ),
    );
  }
  const sorter = make(
    "div",
    { class: "sorter" },
    choice(
      "Sort by",
      [["", "as read"], ...columns.map(({ key, title }) => [key, title])],
      "",
      (key) => key && sortBy(key, 1),
    ),
    make("button", { type: "button", class: "quiet", onclick: () => order.key && sortBy(order.key) }, "Turn the order"),
  );
  byId("bundle-table").append(
    sorter,
    wide(
      "Table of bundles",
      make(
        "table",
        { class: "bundles", role: "table" },
        make(
          "caption",
          null,
          "Bundles, and the figures of each place. Times of an emulated processor are shown and not ranked; estimates are a range, with the likely figure above it.",
        ),
        make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...headings.values())),
        fill(body, { role: "rowgroup" }, []),
      ),
    ),
    more,
  );
  listeners.push(show);
  show();
}
