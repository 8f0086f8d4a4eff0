// Numbers for people. Sizes are powers of 1000; times and rates have three digits.

const NONE = "–";
const whole = (value) =>
  value === null || value === undefined ? NONE : value.toLocaleString("en", { maximumFractionDigits: 0 });

function number(value, digits = 3) {
  if (value === null || value === undefined) return NONE;
  if (value === 0 || Math.abs(value) >= 10 ** (digits - 1) - 0.5)
    return value.toLocaleString("en", { maximumFractionDigits: 0 });
  return value.toLocaleString("en", { minimumSignificantDigits: digits, maximumSignificantDigits: digits });
}

function scaled(value, units, step = 1000) {
  if (value === null || value === undefined) return NONE;
  let unit = 0;
  while (Math.abs(value) >= step * 0.9995 && unit < units.length - 1) {
    value /= step;
    unit += 1;
  }
  return `${unit === 0 ? whole(value) : number(value)} ${units[unit]}`;
}

const bytes = (value) => scaled(value, ["B", "kB", "MB", "GB"]);
const milliseconds = (value) =>
  value === null || value === undefined
    ? NONE
    : value < 1
      ? `${number(value * 1000)} µs`
      : value < 10000
        ? `${number(value)} ms`
        : `${number(value / 1000)} s`;
const percent = (share, digits = 3) =>
  share === null || share === undefined ? NONE : `${number(100 * share, digits)} %`;
const megabytes = (value) => (value === null || value === undefined ? null : value / 1e6);

// A task metric, as `edgekit` prints it everywhere.
function metricValue(value) {
  if (value === null || value === undefined) return NONE;
  const size = Math.abs(value);
  if (value === 0 || (size >= 0.01 && size < 10)) return value.toFixed(4);
  return size >= 1e-4 && size < 1e6 ? String(Number(value.toPrecision(5))) : value.toExponential(2);
}

function change(value, from) {
  if (value === null || value === undefined || from === null || from === undefined) return "";
  const difference = value - from;
  const sign = difference < 0 ? "−" : "+";
  return difference === 0 ? "±0" : sign + metricValue(Math.abs(difference));
}

const rate = (entry) => (entry.items && entry.p50_ms ? (1000 * entry.items) / entry.p50_ms : null);
const plural = (amount, noun) => `${whole(amount)} ${noun}${amount === 1 ? "" : "s"}`;

const PART_NAMES = {
  arena: "arena, in use",
  arena_idle: "arena, idle",
  delegate_buffers: "delegate buffers",
  delegate_constants: "delegate constants",
  delegate_packed_weights: "packed weights",
  delegate_workspace: "delegate workspace",
  inputs_outputs: "inputs, outputs",
  operator_scratch: "operator scratch",
  planned_arena: "arena",
};
const partName = (part) => PART_NAMES[part] ?? part.replaceAll("_", " ");

const day = (date) => date.slice(0, 16).replace("T", " ") + (/(\+00:00|Z)$/.test(date) ? " UTC" : "");
