// Alerts about containers that are not about growth, forks or limits.
function(config)
  local lib = (import '../lib/promql.libsonnet')(config);
  local m = lib.metric;
  local recent = lib.seconds(std.max(60, 3 * config.scrapeInterval));

  local execs = m('pstree_container_root_processes', 'kind="exec"');
  local oldestExec = m('pstree_container_oldest_root_start_time_seconds', 'kind="exec"');
  local oldestInit = m('pstree_container_oldest_root_start_time_seconds', 'kind="init"');

  local tooDeep = lib.containerAlert(
    'PstreeTreeTooDeep',
    'warning',
    '%s > %d\n' % [m('pstree_container_tree_depth'), config.depth],
    'The process tree of a container is too deep.',
    '%s has a chain of {{ $value }} processes, each started by the previous one.%s' % [lib.who, lib.growingCommand],
    { keep_firing_for: '2m' },
  );

  // Those that stayed for a quarter of an hour, more than usual. Shells and health checks come and go.
  local execLeak =
    local of(start) = lib.growthOverAny(
      function(offset) '(sum without (kind) (%s) or %s * 0)' % [
        execs + (if offset == 0 then '' else ' offset ' + lib.seconds(offset)),
        lib.at('pstree_container_processes')(offset),
      ],
      function(offset) '(sum without (kind) (max_over_time(%s[10m] offset %s)) or %s * 0)' % [
        execs,
        lib.seconds(offset),
        lib.at('pstree_container_processes')(offset),
      ],
      lib.usual('pstree_execs'),
      [start, lib.piece(80), 240],
      function(window) 2 * config.execs.above,
    );
    lib.containerAlert(
      'PstreeExecLeak',
      'warning',
      |||
        sum without (kind) (min_over_time(%(execs)s[15m])) - (%(usual)s or %(processes)s * 0)
          >= %(above)d
        and
          %(processes)s offset 15m
        or
        %(growing)s
      ||| % {
        execs: execs,
        usual: lib.usual('pstree_execs'),
        processes: m('pstree_container_processes'),
        above: config.execs.above,
        growing: of(lib.piece(30)),
      },
      'Processes that were started by exec accumulate in a container.',
      '%s has {{ $value }} more processes than usual that were started by exec and do not exit.%s%s%s' % [
        lib.who,
        lib.rootCommands,
        lib.terminals,
        lib.oldest('pstree_container_oldest_root_start_time_seconds', ",kind='exec'"),
      ],
      { keep_firing_for: '5m' },
    );

  local execForgotten = lib.containerAlert(
    'PstreeExecForgotten',
    'warning',
    |||
      time() - max without (kind) (%s) > %d
      or
      time() - %s > %d
    ||| % [
      oldestExec,
      config.execs.forgottenAfter,
      m('pstree_container_oldest_terminal_session_start_time_seconds'),
      config.execs.terminalForgottenAfter,
    ],
    'A process that was started by exec has run for hours.',
    'The oldest process that was started by exec in %s has run for {{ $value | humanizeDuration }}.%s%s' % [
      lib.who,
      lib.rootCommands,
      lib.terminals,
    ],
    { 'for': '5m' },
  );

  local zombies = lib.containerAlert(
    'PstreeZombies',
    'warning',
    |||
      (
          min_over_time(%(zombies)s[10m]) >= %(many)d
        or
        (
            min_over_time(%(zombies)s[10m]) >= %(share)g * %(limit)s
          and
            min_over_time(%(zombies)s[10m]) >= %(least)d
        )
      )
      and
        %(zombies)s offset 10m
    ||| % {
      zombies: m('pstree_container_zombie_processes'),
      many: config.zombies.many,
      share: config.zombies.limitShare,
      least: config.zombies.least,
      limit: m('pstree_container_pids_limit'),
    },
    'Many zombies stay in a container.',
    '%s has had at least {{ $value }} zombies for ten minutes. Each uses a pid.%s' % [lib.who, lib.oldestZombie],
  );

  // The same container started again, or others under its name, of which the alert names the last: a restart policy, or a pod
  // that crashes in a loop.
  local restartLoop = lib.containerAlert(
    'PstreeRestartLoop',
    'warning',
    |||
      (
        max without (kind) (changes(%(start)s[%(within)s])) >= %(count)d
          and on (job, instance, name)
        changes(name:pstree_start_time:max[%(within)s]) >= %(count)d
      )
        or
      topk by (job, instance, name) (1, max without (kind) (last_over_time(%(start)s[%(within)s]))) * 0
        + on (job, instance, name) group_left ()
      max without (kind) (changes(name:pstree_start_time:max[%(within)s])) >= %(recreations)d
    ||| % {
      start: oldestInit,
      within: lib.seconds(config.restarts.within),
      count: config.restarts.count,
      recreations: config.restarts.recreations,
    },
    'A container starts again and again.',
    '%s started {{ $value }} times in the last %d minutes.' % [lib.who, config.restarts.within / 60],
    { keep_firing_for: '5m' },
    // Between two starts, there is no container.
    gone=lib.seconds(config.restarts.within),
  );

  // Steadily: in both halves of ten minutes.
  local respawnLoop =
    local exits(outcome, usual, least) =
      local counter = m('pstree_container_exits_total', 'outcome="%s"' % outcome);
      |||
        (
          sum without (outcome) (increase(%(counter)s[10m])) >= %(least)d
            and
          sum without (outcome) (increase(%(counter)s[5m])) >= %(half)g
            and
          sum without (outcome) (increase(%(counter)s[5m] offset 5m)) >= %(half)g
            and
          sum without (outcome) (increase(%(counter)s[10m])) - 2 * (%(usual)s or %(processes)s * 0) >= %(least)d
        )
      ||| % {
        counter: counter,
        least: least,
        half: least / 4,
        usual: lib.usual(usual),
        processes: m('pstree_container_processes'),
      };
    lib.containerAlert(
      'PstreeRespawnLoop',
      'warning',
      exits('failure', 'pstree_failures', config.respawns.failures) + 'or\n' +
      exits('signal', 'pstree_signals', config.respawns.signals),
      'Processes in a container fail again and again.',
      '{{ $value | humanize }} processes of %s failed or were killed in the last ten minutes.%s%s' % [
        lib.who,
        lib.endingCommand('failure|signal|oom_kill'),
        lib.forkingCommand,
      ],
      { 'for': '2m', keep_firing_for: '5m' },
    );

  // Also if the first process of the container survives. A container can be new, and its counter can begin above 0.
  local oomKills =
    local kills = m('pstree_container_oom_kills_total');
    lib.containerAlert(
      'PstreeOomKills',
      'warning',
      |||
        increase(%(kills)s[10m]) > 0
          or
        (%(kills)s > 0 unless %(kills)s offset 10m unless increase(%(kills)s[10m]) > 0)
      ||| % { kills: kills },
      'Processes in a container exceed the memory limit.',
      'Processes of %s that the OOM killer ended in the last ten minutes: {{ printf "%%.0f" $value }}.%s%s' % [
        lib.who,
        lib.endingCommand('oom_kill'),
        lib.forkingCommand,
      ],
    );

  // All processes of a paused container have the state disk_sleep. Paused containers are excluded, and so is the minute
  // after they are resumed.
  local pileUp = lib.containerAlert(
    'PstreeUninterruptiblePileUp',
    'warning',
    |||
      min_over_time(%s[%s]) >= %d
        unless on (job, instance, id)
      max_over_time(%s[%s]) > 0
    ||| % [
      m('pstree_container_processes_by_state', 'state="disk_sleep"'),
      recent,
      config.diskSleep,
      m('pstree_container_paused'),
      lib.seconds(120 + config.scrapeInterval),
    ],
    'Processes of a container hang in uninterruptible sleep.',
    '{{ $value }} processes of %s are blocked in the kernel and cannot be killed, usually because a disk or a network file system does not respond.' % lib.who,
    { 'for': '3m' },
  );

  // Both sides count the same tasks at slightly different times; a persistent difference is an error in one of them.
  local drift = lib.containerAlert(
    'PstreeAccountingDrift',
    'warning',
    |||
      abs(%(current)s - %(threads)s - %(zombies)s) > %(tasks)d + %(share)g * %(current)s
    ||| % {
      tasks: config.drift.tasks,
      share: config.drift.share,
      current: m('pstree_container_pids_current'),
      threads: m('pstree_container_threads'),
      zombies: m('pstree_container_zombie_processes'),
    },
    'The pids controller and the process list disagree about a container.',
    "The kernel's pids controller and the process list differ by {{ $value }} tasks for %s." % lib.who,
    { 'for': '10m' },
  );

  [
    lib.fastGroup('pstree-container-alerts', [tooDeep]),
    lib.slowGroup(
      'pstree-container-slow-alerts',
      [zombies, execLeak, execForgotten, restartLoop, respawnLoop, oomKills, pileUp, drift],
    ),
  ]
