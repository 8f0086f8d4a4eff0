// Which bundles and runs are shown. Every part of the page that shows many of them listens.

const chosen = { words: "", model: "", device: "", recipe: "", format: "", place: "", basis: "" };
const listeners = [];

const ofBundle = {
  model: (bundle) => bundle.model,
  device: (bundle) => bundle.device,
  recipe: (bundle) => bundle.recipe,
  format: (bundle) => bundle.format,
};
const ofRun = { place: (run) => String(report.places.indexOf(run.place)), basis: (run) => run.basis };

function bundleShown(bundle) {
  const wanted = chosen.words.toLowerCase().split(/\s+/).filter(Boolean);
  const text = [bundle.title, bundle.model, bundle.variant, bundle.task, bundle.kv ?? ""].join(" ").toLowerCase();
  return (
    wanted.every((word) => text.includes(word)) &&
    Object.entries(ofBundle).every(([key, value]) => !chosen[key] || value(bundle) === chosen[key])
  );
}

const runShown = (run) =>
  bundleShown(run.bundle) && Object.entries(ofRun).every(([key, value]) => !chosen[key] || value(run) === chosen[key]);

// One without figures, of which only texts were explained, has no place and no basis to be filtered by.
const shownBundles = () =>
  report.bundles.filter((bundle) =>
    bundle.runs.length ? bundle.runs.some(runShown) : bundleShown(bundle) && !chosen.place && !chosen.basis,
  );

function placeTitle(place) {
  return place.basis === "estimated" ? `estimated for ${place.title}` : place.title;
}

function drawFilters() {
  const changed = (key) => (value) => {
    chosen[key] = value;
    listeners.forEach((listener) => listener());
  };
  const texts = (values) => [...new Set(values)].sort().map((value) => [value, value]);
  const fields = [
    ["model", "Model", texts(report.bundles.map(ofBundle.model))],
    ["device", "Device profile", texts(report.bundles.map(ofBundle.device))],
    ["recipe", "Recipe", texts(report.bundles.map(ofBundle.recipe))],
    ["format", "Format", texts(report.bundles.map(ofBundle.format))],
    ["place", "Target", report.places.map((place, index) => [String(index), placeTitle(place)])],
    ["basis", "Figures", texts(report.runs.map(ofRun.basis))],
  ];
  const words = make("input", {
    type: "search",
    name: "words",
    autocomplete: "off",
    oninput: (event) => changed("words")(event.target.value),
  });
  const form = byId("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => {
    for (const key of Object.keys(chosen)) chosen[key] = "";
    setTimeout(() => listeners.forEach((listener) => listener()));
  });
  form.append(
    make("label", { class: "field" }, make("span", null, "Name has"), words),
    // What all have in common is no choice.
    ...fields
      .filter(([, , options]) => options.length > 1)
      .map(([key, title, options]) => choice(title, [["", "all"], ...options], "", changed(key), { name: key })),
    make("button", { type: "reset", class: "quiet" }, "Show all"),
  );
}
