// Elements are made, never parsed: what stands in a result can only ever become text.

const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in { checked: 0, disabled: 0, hidden: 0, value: 0 }) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}

const make = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const draw = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const kindOf = ({ numeric, long }) => (numeric ? "number" : long && "long");

// A table for sighted and unsighted readers. Columns: {title, numeric, long}; a row's first cell is its header.
function table(caption, columns, rows, attributes = {}) {
  const headings = columns.map((column) => make("th", { scope: "col", class: kindOf(column) }, column.title));
  const body = rows.map((cells) =>
    make(
      "tr",
      null,
      cells.map((cell, place) =>
        make(place === 0 ? "th" : "td", { scope: place === 0 && "row", class: kindOf(columns[place]) }, cell),
      ),
    ),
  );
  return make(
    "table",
    attributes,
    make("caption", null, caption),
    make("thead", null, make("tr", null, headings)),
    make("tbody", null, body),
  );
}

// A wide thing in a box of its own, so that the page never scrolls sideways; the box takes the keyboard's focus.
let boxes = 0;
function wide(label, ...children) {
  boxes += 1;
  return make("div", { class: "wide", role: "group", tabindex: 0, "aria-label": label, id: `wide-${boxes}` }, children);
}

// Content that is made when it is opened.
function opened(title, content, attributes = {}) {
  const node = make("details", attributes, make("summary", null, title));
  node.addEventListener("toggle", () => {
    if (node.open && node.childElementCount === 1) node.append(...[content()].flat());
  });
  return node;
}

function choice(label, options, value, changed, attributes = {}) {
  const select = make(
    "select",
    { onchange: (event) => changed(event.target.value), ...attributes },
    options.map(([key, title]) => make("option", { value: key }, title)),
  );
  select.value = value;
  return make("label", { class: "field" }, make("span", null, label), select);
}

// A name that may be broken after its underscores.
const breakable = (name) => name.split(/(?<=_)/).flatMap((part, place) => (place ? [make("wbr"), part] : [part]));

function say(sentence) {
  byId("said").textContent = sentence;
}

async function copy(text, button) {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { class: "unseen", readonly: true }, text);
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = done ? "Copied" : "Select and copy it";
  say(done ? "Command copied." : "The browser does not let this page copy.");
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

function commandLine(command) {
  const button = make("button", { type: "button", class: "copy", "aria-label": `Copy: ${command}` }, "Copy");
  button.addEventListener("click", () => copy(command, button));
  return make("span", { class: "command" }, make("code", null, command), button);
}
