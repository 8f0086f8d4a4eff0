// The results, as html_report/content.py wrote them into the page.

const report = JSON.parse(byId("data").textContent);

report.bundles.forEach((bundle, index) => Object.assign(bundle, { index, runs: [] }));
report.runs.forEach((run, index) => {
  Object.assign(run, { index, bundle: report.bundles[run.bundle], place: report.places[run.place] });
  run.bundle.runs.push(run);
});

report.explanations.forEach((explanation, index) =>
  Object.assign(explanation, { index, bundle: report.bundles[explanation.bundle] }),
);

// What is drawn only when it is opened is packed; browsers unpack it.
async function unpacked(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).json();
}

// A bundle's details, kept once they were unpacked.
const kept = new Map();
async function detailsOf(bundle) {
  if (!kept.has(bundle.index)) kept.set(bundle.index, unpack(await unpacked(report.details[bundle.index])));
  return kept.get(bundle.index);
}

function unpack({ words, arena, runs }) {
  const named = (column) => column.map((place) => (place === null ? null : words[place]));
  const sums = (column) => {
    let sum = 0;
    return column.map((step) => (sum += step));
  };
  if (arena) {
    arena.method = named(arena.method);
    arena.operator = named(arena.operator);
    arena.bytes = arena.bytes.map(sums);
  }
  for (const run of Object.values(runs)) {
    run.timeline.label = named(run.timeline.label);
    for (const [name, columns] of Object.entries(run.operators)) {
      for (const column of ["name", "kind", "place", "method", "precision", "bound"])
        columns[column] = named(columns[column]);
      run.operators[name] = columns.name.map((_, row) =>
        Object.fromEntries([["row", row], ...Object.keys(columns).map((key) => [key, columns[key][row]])]),
      );
    }
  }
  return { arena, runs };
}

const BASES = { measured: "measured", emulated: "emulated", estimated: "estimated" };
const badge = (basis) => make("span", { class: `badge ${basis}` }, BASES[basis]);
const bundleLink = (bundle, text = bundle.title) => make("a", { href: `#bundle-${bundle.index}` }, text);
const metricName = (metric) => `${metric.name}, ${metric.better === "higher" ? "higher" : "lower"} is better`;
