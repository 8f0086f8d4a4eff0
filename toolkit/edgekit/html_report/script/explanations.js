// Texts that were explained, each drawn when it is opened.

const steeringText = ({ feature, label, kl }) => `${feature} (${label}) ${kl < 0 ? "−" : "+"}${number(Math.abs(kl), 2)}`;

function steeringTable(explanation) {
  if (!explanation.steering.length) return make("p", { class: "note" }, "Not steered.");
  return wide(
    "Steering",
    table(
      "Steering that was used, at every token",
      [
        { title: "Feature" },
        { title: "Label" },
        { title: "KL, nats", numeric: true },
        { title: "Added (alpha)", numeric: true },
      ],
      explanation.steering.map(({ feature, label, kl, alpha }) => [feature, label, String(kl), number(alpha)]),
    ),
  );
}

async function fillExplanation(explanation, home) {
  home.replaceChildren(
    make(
      "p",
      { class: "passage" },
      make("span", { class: "unseen" }, "Prompt: "),
      explanation.prompt,
      make("span", { class: "unseen" }, " Generated: "),
      make("span", { class: "generated" }, explanation.text),
    ),
    make("p", null, bundleLink(explanation.bundle)),
    steeringTable(explanation),
  );
  const waiting = make("p", { class: "note" }, "Unpacking…");
  home.append(waiting);
  try {
    const { words, layers } = await unpacked(explanation.details);
    if (explanation.shown < explanation.tokens)
      home.append(
        make("p", { class: "note" }, `The first ${whole(explanation.shown)} of ${plural(explanation.tokens, "token")}.`),
      );
    for (const layer of layers) {
      const readout = make("p", { class: "readout note" }, "Point at a cell, or walk with the arrow keys.");
      home.append(
        wide(`Features of layer ${layer.layer}`, heatTable(layer, words, explanation.prompt_tokens, readout)),
        readout,
      );
    }
    if (explanation.hierarchy !== null)
      for (const tree of await unpacked(report.hierarchies[explanation.hierarchy])) home.append(...featureTree(tree));
    waiting.remove();
  } catch (error) {
    waiting.textContent = `The text cannot be unpacked (${error.message}): open the page in a browser of 2023 or later.`;
  }
  home.append(make("h3", null, "Command"), make("p", null, commandLine(explanation.command)));
  home.dataset.drawn = "1";
}

function drawExplanations() {
  const nodes = report.explanations.map((explanation) => {
    const inside = make("div", { class: "inside" });
    const how = explanation.steering.length
      ? `steered by ${explanation.steering.map(steeringText).join(", ")}`
      : "not steered";
    const node = make(
      "details",
      { class: "bundle", id: `text-${explanation.index}` },
      make(
        "summary",
        null,
        make("strong", null, explanation.prompt.trim().slice(0, 80) || NONE),
        make("span", { class: "aside" }, `${plural(explanation.tokens, "token")}, ${how}, ${explanation.bundle.title}`),
      ),
      inside,
    );
    node.addEventListener("toggle", () => node.open && !inside.childElementCount && fillExplanation(explanation, inside));
    return node;
  });
  byId("explanation-list").append(...nodes);
  nodes[0].open = true;
  const show = () => {
    const shown = new Set(shownBundles());
    report.explanations.forEach(({ bundle }, index) => (nodes[index].hidden = !shown.has(bundle)));
  };
  listeners.push(show);
  show();
}
