// Everything that a user may want to change. Durations are in seconds.
{
  _config+:: {
    // A label matcher for the series of all rules, such as 'cluster="eu"'. Empty selects all.
    selector: '',
    // The scrape jobs of the exporters.
    jobSelector: 'job=~"pstree.*"',
    // The scrape interval that the rules are rendered for. They also work if the scrapes are more frequent, but detect
    // later than rules for that interval. From 10 to 60.
    scrapeInterval: 10,
    // How often the rules on slow changes are evaluated. Those on fast changes are evaluated at the scrape interval.
    slowInterval: 60,
    // The address of docs/runbooks, where readers of an alert can open it.
    runbookBase: 'https://pstree-exporter.example.org/docs/runbooks',
    // The label of a container or pod that switches alerts off. Requires --docker.label=pstree.mute; names of alerts,
    // separated by commas, dots or underscores, or "all".
    muteLabel: 'label_pstree_mute',

    // Other severities, by name and severity of an alert: { 'PstreeTreeTooDeep/warning': 'critical' }.
    severities: {},

    // Leaks. An alert fires while the number grows steadily and exceeds the usual number by `above`, or by `aboveInHours`
    // if it grows for hours.
    growth: {
      processes: { above: 30, aboveInHours: 20 },
      threads: { above: 120, aboveInHours: 20 },
      zombies: { above: 10, aboveInHours: 10 },
    },
    // Processes that were started by exec and stay: this many more than usual have run for 15 minutes.
    // One that runs this long was forgotten: any, or one with a terminal, which is the shell of a person.
    execs: { above: 5, forgottenAfter: 12 * 3600, terminalForgottenAfter: 8 * 3600 },
    // Zombies that stay, whether they grow or not: a number, or a share of the pids limit, but at least some.
    zombies: { many: 500, limitShare: 0.1, least: 10 },
    forks: {
      // Starts per second of a storm, and how many times the busiest five minutes of the last week that must be.
      storm: 15,
      timesUsual: 2,
      // Without a usual rate, only processes that live shorter than this are a storm.
      lifetime: 0.02,
      stormWithoutUsual: 50,
      // A fork bomb: this many more processes at once, or within three scrapes, at least a minute, while they still grow.
      bombAtOnce: 1000,
      bombGrowing: 250,
      // A storm that lasts this long is critical.
      criticalAfter: 300,
    },
    threadsAtOnce: 1500,
    depth: 50,
    restarts: { count: 2, recreations: 3, within: 900 },
    // Processes that fail, or are killed by a signal, in ten minutes.
    respawns: { failures: 8, signals: 5 },
    diskSleep: 5,
    pids: { nearLimit: 0.8, predictFrom: 0.5, hostExhausted: 0.85, hostPredictFrom: 0.6 },
    // Tasks, and a share of them, by which the pids controller and the process list may differ.
    drift: { tasks: 20, share: 0.1 },
    // A share of exporters that are down, which is critical.
    exportersDown: 0.2,
  },
}
