// A layer's features by a text's tokens: a table of numbers whose cells are coloured, with one stop for the keyboard.

// Of the root of a value's share of the largest: few tokens have much of a feature.
const HEATS = 6;
const heatOf = (value, largest) => Math.max(1, Math.ceil(HEATS * Math.sqrt(value / largest)));

function heatTable(layer, words, prompt, readout) {
  const largest = Math.max(...layer.columns.flatMap(([, values]) => values), 0) || 1;
  const found = layer.columns.map(([places, values]) => new Map(places.map((place, index) => [place, values[index]])));
  const sentences = new WeakMap();
  const cell = (sentence, content, kind) => {
    const node = make("td", { class: kind, title: sentence, tabindex: -1 }, content);
    sentences.set(node, sentence);
    return node;
  };
  const rows = words.map((word, place) => {
    const whose = place < prompt ? "prompt" : "generated";
    const about = `Token ${place + 1}, "${word}", ${whose}`;
    return make(
      "tr",
      { class: `${whose}${place === prompt && prompt ? " first" : ""}` },
      make("th", { scope: "row" }, word, make("span", { class: "unseen" }, `, ${whose}`)),
      layer.features.map((feature, column) => {
        const value = found[column].get(place);
        const name = `feature ${feature} (${layer.labels[column]})`;
        return value === undefined
          ? cell(`${about}: none of ${name}`, "", null)
          : cell(`${about}: ${number(value)} of ${name}`, number(value, 2), `heat-${heatOf(value, largest)}`);
      }),
      cell(`${about}: ${percent(layer.unexplained[place])} unexplained`, percent(layer.unexplained[place], 2), "left"),
    );
  });
  const headings = layer.features.map((feature, column) =>
    make(
      "th",
      { scope: "col", title: `${feature}: ${layer.labels[column]}` },
      make("span", null, `${feature} ${layer.labels[column]}`),
    ),
  );
  const others = layer.others ? `; ${plural(layer.others, "feature")} that it used less are left out` : "";
  const caption = `Layer ${layer.layer}: the features that the text used most${others}. The stronger the colour, the more of it; generated tokens stand below the line and have a mark on their left.`;
  const node = make(
    "table",
    { class: "heat", role: "grid", "aria-readonly": "true" },
    make("caption", null, caption),
    make(
      "thead",
      null,
      make("tr", null, make("th", { scope: "col" }, "Token"), headings, make("th", { scope: "col" }, "unexplained")),
    ),
    make("tbody", null, rows),
  );
  const tell = (event) => {
    const sentence = sentences.get(event.target.closest("td"));
    if (sentence) readout.textContent = `${sentence}.`;
  };
  node.addEventListener("focusin", tell);
  node.addEventListener("pointerover", tell);
  walkCells(node);
  return node;
}

// Arrow keys, Home and End walk from cell to cell; Tab leaves the table.
function walkCells(grid) {
  const rows = [...grid.tBodies[0].rows].map((row) => [...row.cells].slice(1));
  if (!rows.length) return;
  rows[0][0].tabIndex = 0;
  let at = rows[0][0];
  grid.addEventListener("focusin", (event) => {
    const cell = event.target.closest("td");
    if (!cell || cell === at) return;
    at.tabIndex = -1;
    cell.tabIndex = 0;
    at = cell;
  });
  grid.addEventListener("keydown", (event) => {
    const row = rows.findIndex((cells) => cells.includes(at));
    const column = rows[row].indexOf(at);
    const [down, right] =
      { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [0, 0];
    const ends = { Home: 0, End: rows[row].length - 1 };
    const next = event.key in ends ? rows[row][ends[event.key]] : rows[row + down]?.[column + right];
    if (!next || next === at) return;
    event.preventDefault();
    next.focus();
  });
}
