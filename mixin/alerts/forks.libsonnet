// Storms of processes that live for a moment, and fork bombs.
function(config)
  local lib = (import '../lib/promql.libsonnet')(config);
  local m = lib.metric;
  local of = config.forks;
  local processes = lib.at('pstree_container_processes');

  // A storm: starts at the beginning, in the middle and at the end of a period that is longer than a CI job of 90 s. Each
  // piece has at least seven tenths of its share, so that a job that begins in one and ends in another does not match.
  local piece = lib.piece(10);
  local shortest = if piece >= 60 then 3 * piece else piece * (std.ceil(90 / piece) + 2);
  // Exact with kernel counters, otherwise a lower bound.
  local forks = lib.at('pstree_container_forks_total');
  local observed = lib.at('pstree_container_observed_starts_total');
  local starts(begin, end) =
    local c(offset) = '(%s or %s)' % [forks(offset), observed(offset)];
    '(%s - %s)' % [c(end), c(begin)];
  local pieces(period) = [
    { end: end, starts: starts(end + piece, end) }
    for end in [0, piece * std.floor(period / piece / 2), period - piece]
  ];
  local all(conditions) = std.join('\n    and\n', [lib.indent(lib.indent(it)) for it in conditions]);
  local present = lib.range('pstree_container_processes', std.max(piece, 2 * config.scrapeInterval));

  // More than usual over all of the period: a CI job within a build is no storm. Without a usual rate, only processes that
  // live for a moment. The smallest compilations, eight in parallel on two cores, lived 29 ms; the processes of a storm of
  // 5 ms sleeps lived 5 to 11 ms.
  // The kernel measures lifetimes. The median is not changed by a few processes that lived long, and the mean is exact within
  // a bucket of the histogram.
  local lifetime = 'pstree_container_process_lifetime_seconds';
  local livedShort(period) =
    |||
      histogram_quantile(0.5, rate(%(bucket)s[%(period)s])) < %(lifetime)g
        or
      rate(%(sum)s[%(period)s]) / rate(%(count)s[%(period)s]) < %(lifetime)g
    ||| % {
      bucket: m(lifetime + '_bucket'),
      sum: m(lifetime + '_sum'),
      count: m(lifetime + '_count'),
      period: lib.seconds(period),
      lifetime: of.lifetime,
    };
  // Without kernel counters, the mean lifetime in each piece follows from Little's law:
  // (processes - processes while the container is calm) / starts per second.
  local probablyLivedShort(period, rate) = all([
    '(avg_over_time(%s) - (last_over_time(container:pstree_processes:calm[1d]) or %s * 0)) / %s < %g' %
    [present(it.end), processes(0), rate, of.lifetime]
    for it in pieces(period)
  ]);

  local storm(period) =
    local rate = '(rate(%s[%s]) or rate(%s[%s]))' % [
      m('pstree_container_forks_total'),
      lib.seconds(period),
      m('pstree_container_observed_starts_total'),
      lib.seconds(period),
    ];
    |||
      (
          %(rate)s > %(storm)d
        and
      %(steady)s
      )
      and (
          %(rate)s > %(times)d * %(usual)s
        or
        (
          %(rate)s > %(storm_without_usual)d
            and on (job, instance, id)
          (
      %(short)s
            or
            (
      %(probably_short)s
              unless on (job, instance, id)
              %(measured)s
            )
          )
            unless
          %(usual)s
        )
      )
    ||| % {
      rate: rate,
      storm: of.storm,
      steady: all([
        '%s / %s >= %.3f' % [it.starts, starts(period, 0), 0.7 * piece / period]
        for it in pieces(period)
      ]),
      times: of.timesUsual,
      usual: lib.usual('pstree_starts'),
      storm_without_usual: of.stormWithoutUsual,
      short: lib.indent(lib.indent(livedShort(period))),
      probably_short: probablyLivedShort(period, rate),
      measured: m(lifetime + '_count'),
    };

  // A bomb fills the container with processes: many at once, or steadily within seconds. A failover connects hundreds of
  // clients at once and then ends.
  local step = lib.piece(20);
  local beyond = '%s - (%s or %s * 0)' % [processes(0), lib.usual('pstree_processes'), processes(0)];
  local bomb =
    |||
      (
        %(x)s - min_over_time(%(x)s[%(window)s]) >= %(many)d
          and
        %(beyond)s >= %(many)d
      )
      or
      (
        %(x)s - %(start)s >= %(growing)d
          and
        %(rising)s
          and
        %(beyond)s >= %(growing)d
      )
    ||| % {
      x: m('pstree_container_processes'),
      window: lib.seconds(2 * step),
      start: processes(3 * step),
      many: of.bombAtOnce,
      growing: of.bombGrowing,
      beyond: beyond,
      rising: lib.risingSteadily(processes, step),
    };

  local alert(severity, expression, description) =
    lib.containerAlert(
      'PstreeRunawayForks',
      severity,
      expression,
      'A container starts processes at a runaway rate.',
      lib.who + description + lib.growingCommand + lib.startingCommands,
      { keep_firing_for: '2m' },
    );

  [lib.fastGroup('pstree-fork-alerts', [
    alert(
      'warning',
      storm(shortest),
      ' has started {{ $value | humanize }} processes per second (a lower bound without BPF) for %d s. They exit after a moment.' % shortest,
    ),
    alert(
      'critical',
      storm(of.criticalAfter) + 'or\n' + bomb,
      ' starts processes without end: %s processes exist, and %s per second are started.' %
      [lib.current('pstree_container_processes'), lib.current('container:pstree_starts:rate')],
    ),
  ])]
