// The operators of one call: the dearest first, and what runs outside the delegates.

const DEAREST = 10;

const ours = (place) => place === "edgekit";
const delegated = (place) => place?.startsWith("delegate") ?? false;
const placeClass = (place) => (ours(place) ? "ours" : delegated(place) ? "delegate" : "runtime");

// Rows that have no rows inside them: their times add up to the call's, those of what is around them would count twice.
function leaves(rows) {
  const around = new Set(rows.map((row) => row.parent));
  return rows.filter((row) => !around.has(row.row));
}

function placesInWords(rows) {
  const total = rows.reduce((sum, row) => sum + row.p50_us, 0);
  const groups = new Map();
  for (const row of rows) {
    const group = groups.get(row.place) ?? { count: 0, time: 0 };
    groups.set(row.place, { count: group.count + 1, time: group.time + row.p50_us });
  }
  const told = [...groups]
    .sort((one, other) => other[1].time - one[1].time)
    .map(([place, { count, time }]) => `${place}: ${plural(count, "operator")}, ${percent(time / total)} of the time`);
  const left = rows.filter((row) => placeClass(row.place) === "runtime");
  const names = [...new Set(left.map((row) => row.name))];
  return `${told.join("; ")}. ${left.length ? `Not delegated, and none of edgekit's: ${names.slice(0, 8).join(", ")}${names.length > 8 ? ` and ${names.length - 8} others` : ""}.` : "Nothing is left to the runtime's own kernels."}`;
}

// Operators of one name and place as one row: calls, times, arithmetic and bytes added up.
function addedUp(rows) {
  const groups = new Map();
  for (const row of rows) {
    const key = `${row.name}\n${row.place}`;
    const group = groups.get(key) ?? {
      ...row,
      calls: 0,
      p50_us: 0,
      share: 0,
      flops: 0,
      bytes: 0,
      bounds: {},
      number: null,
    };
    for (const quantity of ["calls", "p50_us", "share", "flops", "bytes"]) group[quantity] += row[quantity] ?? 0;
    if (row.bound) group.bounds[row.bound] = (group.bounds[row.bound] ?? 0) + row.p50_us;
    groups.set(key, group);
  }
  return [...groups.values()].map((group) => ({
    ...group,
    gflops: group.flops ? group.flops / group.p50_us / 1e3 : null,
    gb_per_s: group.bytes ? group.bytes / group.p50_us / 1e3 : null,
    bound: Object.entries(group.bounds).sort((one, other) => other[1] - one[1])[0]?.[0] ?? null,
  }));
}

const OPERATOR_COLUMNS = [
  { title: "Operator" },
  { title: "No.", numeric: true },
  { title: "Kind" },
  { title: "Runs in" },
  { title: "Calls", numeric: true },
  { title: "Time p50, µs", numeric: true },
  { title: "Share", numeric: true },
  { title: "MFLOP", numeric: true },
  { title: "kB moved", numeric: true },
  { title: "GFLOP/s", numeric: true },
  { title: "GB/s", numeric: true },
  { title: "Bound by" },
];
const OPERATOR_PLACES = [
  ["", "all"],
  ["left", "those not delegated"],
  ["ours", "edgekit's own"],
  ["runtime", "the runtime's kernels"],
  ["delegate", "those in delegates"],
];

function operatorCells(row, largest) {
  return [
    row.name,
    row.number ?? NONE,
    row.kind ?? NONE,
    make("span", { class: `place ${placeClass(row.place)}` }, row.place ?? NONE),
    whole(row.calls),
    number(row.p50_us),
    shareCell(row.share, largest),
    number(row.flops === null ? null : row.flops / 1e6),
    number(row.bytes === null ? null : row.bytes / 1e3),
    number(row.gflops),
    number(row.gb_per_s),
    row.bound ?? NONE,
  ];
}

// A share of the call, and a bar beside it, as long as the share is of the dearest row's.
function shareCell(value, largest) {
  if (value === null) return NONE;
  const bar = draw(
    "svg",
    { width: 44, height: 10, class: "share", "aria-hidden": "true" },
    draw("rect", { width: 44, height: 10, class: "track" }),
    draw("rect", { width: (value / largest) * 44, height: 10, class: "part" }),
  );
  return [bar, percent(value)];
}

function operatorTable(title, rows) {
  // An operation inside a delegate is numbered in its call's: 7.2.
  const numberOf = (row) =>
    row.parent === null ? `${row.index ?? NONE}` : `${rows[row.parent].index ?? NONE}.${row.index ?? NONE}`;
  const each = leaves(rows).map((row) => ({ ...row, number: numberOf(row) }));
  const by = { rows: "each", place: "" };
  const home = make("div");
  const more = make("button", { type: "button" });
  let everything = false;
  const wanted = (row) =>
    !by.place || (by.place === "left" ? !delegated(row.place) : placeClass(row.place) === by.place);
  function show() {
    const found = (by.rows === "each" ? each : addedUp(each))
      .filter(wanted)
      .sort((one, other) => other.p50_us - one.p50_us);
    const listed = everything ? found : found.slice(0, DEAREST);
    const what = by.rows === "each" ? "operator" : "name";
    const caption = `${title}: ${listed.length < found.length ? `the ${listed.length} dearest of ${plural(found.length, what)}` : plural(found.length, what)}`;
    const largest = Math.max(...found.map((row) => row.share ?? 0)) || 1;
    home.replaceChildren(
      wide(
        caption,
        table(
          caption,
          OPERATOR_COLUMNS,
          listed.map((row) => operatorCells(row, largest)),
          { class: "operators" },
        ),
      ),
    );
    more.hidden = found.length <= DEAREST;
    more.textContent = everything ? `Show the ${DEAREST} dearest` : `Show all ${whole(found.length)}`;
    more.setAttribute("aria-expanded", String(everything));
  }
  more.addEventListener("click", () => {
    everything = !everything;
    show();
  });
  const changed = (key) => (value) => {
    by[key] = value;
    show();
  };
  show();
  return [
    make("p", null, placesInWords(each)),
    make(
      "div",
      { class: "filters" },
      choice("Operators", OPERATOR_PLACES, "", changed("place")),
      choice(
        "Rows",
        [
          ["each", "each operator"],
          ["name", "added up by name"],
        ],
        "each",
        changed("rows"),
      ),
    ),
    home,
    more,
  ];
}
