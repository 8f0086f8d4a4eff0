// The hierarchy above a layer's features: groups that open, the features in them, and how much of each a group has.

function featureTree({ layer, labels, levels }) {
  const title = (level, number) =>
    level ? `${level}.${number} ${levels[level - 1][number].label}` : `${number} ${labels[number]}`;
  const share = (weight, largest) => weight < largest && make("small", null, percent(weight / largest, 2));
  const branch = (level, number, beside) => {
    const children = level ? levels[level - 1][number].children : [];
    const name = make("span", { class: level ? "group" : "feature" }, title(level, number));
    if (!children.length) return make("li", null, name, beside);
    const largest = children[0][1];
    const below = ([child, weight]) => branch(level - 1, child, share(weight, largest));
    return make(
      "li",
      null,
      opened([name, beside || ""], () => make("ul", null, children.map(below))),
    );
  };
  // The highest groups, then lower ones that are in none.
  const top = levels.length;
  const inSome = levels.map((parents) => new Set(parents.flatMap(({ children }) => children.map(([child]) => child))));
  const roots = levels
    .flatMap((parents, below) => parents.map((_, number) => [below + 1, number]))
    .filter(([level, number]) => level === top || !inSome[level].has(number))
    .sort(([one], [other]) => other - one);
  const list = make(
    "ul",
    { class: "tree" },
    roots.map(([level, number]) => branch(level, number, null)),
  );
  const button = make("button", { type: "button", class: "quiet" }, "Open all groups");
  button.addEventListener("click", () => {
    // What is inside a group is made when it is opened.
    for (let level = 0; level < top; level += 1)
      for (const node of list.querySelectorAll("details:not([open])")) {
        node.open = true;
        node.dispatchEvent(new Event("toggle"));
      }
    say(`All groups of layer ${layer} are open.`);
  });
  const counts = [...levels].reverse().map((level) => plural(level.length, "group"));
  return [
    make("h3", null, `Layer ${layer}: how its features belong together`),
    make(
      "p",
      { class: "note" },
      `${counts.join(" of ")} of ${plural(labels.length, "feature")}. A group shows up to four that it uses most, with their shares of the first one's weight; a feature may be in several groups, or in none.`,
    ),
    button,
    list,
  ];
}
