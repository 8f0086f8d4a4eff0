// Where every figure comes from, on which machine, with which versions, by which command.

function drawSources() {
  const runs = (basis) => report.runs.filter((run) => run.basis === basis);
  const bundlesOf = (found) => plural(new Set(found.map((run) => run.bundle)).size, "bundle");
  const [measured, emulated, estimated] = ["measured", "emulated", "estimated"].map(runs);
  const traced = measured.concat(emulated).filter((run) => run.operators);
  const settings = [
    ...new Set(
      measured
        .concat(emulated)
        .map(
          ({ settings: given }) =>
            `${given.runs ?? "?"} runs after ${given.warmup ?? "?"} to warm up, ${given.threads ?? "?"} threads${given.cpu_mask ? `, cores ${given.cpu_mask}` : ""}`,
        ),
    ),
  ];
  const texts = [...new Set(estimated.map((run) => run.calibration))].filter(Boolean);
  const has = (key) => report.bundles.filter((bundle) => bundle.memory[key] !== null).length;
  const data = [...new Set(report.bundles.map((bundle) => bundle.metric?.data).filter(Boolean))];
  const rows = [
    [
      "Latency, rate",
      "measured",
      `By the bundle's own runner: ${settings.slice(0, 3).join("; ")}${settings.length > 3 ? " and others" : ""}. Percentiles, never a bare mean.`,
      bundlesOf(measured),
      measured,
    ],
    [
      "Latency, rate",
      "emulated",
      "The same, under an emulator: shows that the bundle runs there. Not ranked.",
      bundlesOf(emulated),
      emulated,
    ],
    [
      "Latency, its range",
      "estimated",
      `From the workload's arithmetic and bytes and the device profile's roofline${texts
        .slice(0, 2)
        .map((text) => `; ${text.replace(/\.$/, "")}`)
        .join("")}.`,
      bundlesOf(estimated),
      estimated,
    ],
    [
      "Peak memory",
      "measured",
      "The most that the whole process had in memory, as the kernel counts it.",
      bundlesOf(measured.filter((run) => run.peak)),
      measured.filter((run) => run.peak),
    ],
    [
      "Peak memory and its parts",
      "predicted",
      'Derived from the program\'s file at export; the part "runtime" is a measured figure of one machine.',
      plural(has("peak"), "bundle"),
      has("peak") ? [1] : [],
    ],
    [
      "Operators",
      "measured",
      "By the runtime's own profiler; arithmetic and bytes are counted from the program.",
      bundlesOf(traced),
      traced,
    ],
    [
      "Task metrics",
      "measured",
      `At export, of the program and of the eager fp32 model, on ${data.slice(0, 3).join("; ") || "the evaluation set"}.`,
      plural(report.bundles.filter((bundle) => bundle.metric).length, "bundle"),
      report.bundles.filter((bundle) => bundle.metric),
    ],
  ].filter(([, , , , found]) => found.length);
  byId("source-table").append(
    wide(
      "Sources",
      table(
        "Sources of the figures",
        [{ title: "Figure" }, { title: "How" }, { title: "By what", long: true }, { title: "Of" }],
        rows.map(([what, how, by, of]) => [what, make("span", { class: `badge ${how}` }, how), by, of]),
        { class: "prose" },
      ),
    ),
  );
}

function drawMachines() {
  const home = byId("machine-table");
  if (!report.machines.length) {
    home.append(make("p", { class: "note" }, "No machine ran anything: all times are estimates."));
    return;
  }
  const roofs = (machine) =>
    machine.roofline
      ? `${Object.entries(machine.roofline.gflops)
          .map(([name, value]) => `${name} ${number(value)}`)
          .join(", ")} GFLOP/s; ${number(machine.roofline.bandwidth)} GB/s (${machine.roofline.source})`
      : "unknown";
  const where = (index) =>
    [
      ...new Set(
        report.runs
          .filter((run) => run.machine === index)
          .map((run) => `${run.place.kind}${run.place.address ? ` ${run.place.address}` : ""}`),
      ),
    ].join(", ");
  home.append(
    wide(
      "Machines",
      table(
        "Machines that ran bundles",
        [
          { title: "Machine" },
          { title: "Reached by" },
          { title: "CPU" },
          { title: "Cores", numeric: true },
          { title: "Memory" },
          { title: "System" },
          { title: "glibc" },
          { title: "Peaks", long: true },
        ],
        report.machines.map((machine, index) => [
          machine.title ?? machine.cpu ?? NONE,
          where(index),
          [machine.cpu ?? NONE, make("small", null, machine.architecture ?? "")],
          whole(machine.cores),
          bytes(machine.memory_bytes),
          [machine.os ?? NONE, make("small", null, machine.kernel ?? "")],
          machine.glibc ?? NONE,
          roofs(machine),
        ]),
        { class: "prose" },
      ),
    ),
  );
}

function drawCommands() {
  const home = byId("command-table");
  const versions = report.versions.map((set) =>
    Object.entries(set)
      .map(([name, version]) => `${name} ${version}`)
      .join(", "),
  );
  const commands = new Map();
  for (const run of [...report.runs, ...report.explanations])
    commands.set(`${run.command}\n${run.bundle.index}\n${run.date}`, [
      ...(commands.get(`${run.command}\n${run.bundle.index}\n${run.date}`) ?? []),
      run,
    ]);
  home.append(
    make("h3", null, "Versions"),
    make(
      "ol",
      { class: "versions" },
      versions.map((text) => make("li", null, text || "not recorded")),
    ),
    opened(
      `Commands (${whole(commands.size)})`,
      () =>
        wide(
          "Commands",
          table(
            "The command that gives each bundle's figures again",
            [
              { title: "Bundle" },
              { title: "Figures" },
              { title: "Command", long: true },
              { title: "Date" },
              { title: "Versions", numeric: true },
            ],
            [...commands.values()].map((runs) => [
              bundleLink(runs[0].bundle),
              runs.map((run) => (run.basis ? [badge(run.basis), ` ${run.place.title} `] : "explained text")),
              commandLine(runs[0].command),
              day(runs[0].date),
              whole(runs[0].versions + 1),
            ]),
            { class: "prose" },
          ),
        ),
      { id: "commands" },
    ),
  );
}
