// Draws the page.

function drawSummary() {
  byId("summary").append(
    make(
      "ul",
      { class: "facts-list" },
      report.summary.facts.map((sentence) => make("li", null, sentence)),
    ),
    report.summary.warnings.length > 0
      ? make(
          "ul",
          { class: "warnings" },
          report.summary.warnings.map((sentence) => make("li", null, sentence)),
        )
      : "",
  );
}

// The system's colours, or the other ones: a choice that is kept where the browser lets a file keep one.
function startTheme() {
  const button = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const kept = () => {
    try {
      return localStorage.getItem("edgekit-theme");
    } catch {
      return null;
    }
  };
  const isDark = () => (document.documentElement.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const show = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", isDark() ? "Change to light colours" : "Change to dark colours");
  };
  if (["light", "dark"].includes(kept())) document.documentElement.dataset.theme = kept();
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("edgekit-theme", document.documentElement.dataset.theme);
    } catch {
      // Then it lasts as long as the page.
    }
    show();
  });
  system.addEventListener("change", show);
  show();
}

// A section with nothing to show, and the link to it, are not there.
function drawSection(id, has, ...drawings) {
  if (has) {
    for (const drawing of drawings) drawing();
    return;
  }
  byId(id).remove();
  document.querySelector(`nav a[href="#${id}"]`).remove();
}

const hasFigures = report.runs.length > 0;
startTheme();
drawSummary();
drawSection("bundles", hasFigures, drawFilters, drawBundleTable);
drawSection("trade-offs", hasFigures, drawTradeOffs);
drawSection("memory", hasFigures, drawMemory);
drawBundleList();
drawSection("explanations", report.explanations.length > 0, drawExplanations);
drawSources();
drawSection("machines", hasFigures, drawMachines);
drawCommands();
performance.mark("edgekit-ready");
