import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dashboard, nothing, panel, rows, table, transformed } from './grafana.js';

const FIRST_COLUMNS = {
  'Highest start rate': ['name', 'Value #worst', 'command', 'instance'],
  'Firing alerts': ['severity', 'alertname', 'name', 'instance', 'Value #firing'],
  Hosts: ['instance', 'Value #up', 'Value #usage'],
  Exporters: ['instance', 'Value #up', 'source', 'reason'],
};
/** The columns of the tables of the worst containers. */
const WORST_COLUMNS = ['name', 'Value', 'instance'];

/** The overrides for single columns. */
const columns = (panel) => panel.fieldConfig.overrides.filter((it) => it.matcher.id === 'byName');

/** The labels that a query keeps, according to its first `by`. */
function labels(target) {
  return target.expr.match(/\bby \(([^)]*)\)/)[1].split(',').map((it) => it.trim());
}

/** A frame per query, with one sample per set of labels. */
function answers(panel, samples) {
  return panel.targets.map((target) => {
    const given = samples.map(({ value, ...rest }) => ({
      labels: Object.fromEntries(labels(target).map((label) => [label, rest[label] ?? `a ${label}`])),
      value: typeof value === 'object' ? value[target.refId] : value,
    }));
    return table(panel, target.refId, given.filter((it) => it.value !== undefined));
  });
}

const tables = ['fleet.json', 'exporter.json'].flatMap((file) =>
  dashboard(file).panels.filter((it) => it.type === 'table').map((it) => ({ file, panel: it })));

test('the dashboards have tables', () => {
  assert.ok(tables.length >= 8);
});

for (const { file, panel } of tables) {
  const result = async (samples) => {
    const frames = await transformed(panel, answers(panel, samples));
    assert.equal(frames.length, 1, 'a table shows only its first frame');
    return frames[0];
  };
  const two = [
    { job: 'pstree', instance: 'a:10073', name: 'shop', value: 1 },
    { job: 'pstree', instance: 'b:10073', name: 'shop', value: 2 },
  ];

  test(`${file}, ${panel.title}: one row per host or container`, async () => {
    const shown = rows(await result(two));
    assert.deepEqual(shown.map((it) => it.instance).sort(), ['a:10073', 'b:10073']);
  });

  test(`${file}, ${panel.title}: the configured columns are exactly the existing columns`, async () => {
    const fields = (await result(two)).fields.map((it) => it.name).sort();
    assert.deepEqual(fields, columns(panel).map((it) => it.matcher.options).sort());
  });

  test(`${file}, ${panel.title}: the most important columns are first`, async () => {
    const hidden = columns(panel).filter((it) => it.properties.some(({ id }) => id === 'custom.hidden'));
    const names = (await result(two)).fields.map((it) => it.name);
    const visible = names.filter((name) => !hidden.some((it) => it.matcher.options === name));
    const first = FIRST_COLUMNS[panel.title] ?? WORST_COLUMNS;
    assert.deepEqual(visible.slice(0, first.length), first);
  });

  test(`${file}, ${panel.title}: links refer to existing fields`, async () => {
    const fields = (await result(two)).fields.map((it) => it.name);
    const wanted = [...JSON.stringify(panel.fieldConfig).matchAll(/__data\.fields\.(\w+)/g)].map((it) => it[1]);
    assert.deepEqual(wanted.filter((it) => !fields.includes(it)), []);
  });

  test(`${file}, ${panel.title}: an empty result is shown as an empty table`, async () => {
    const frames = await transformed(panel, panel.targets.map((it) => nothing(it.refId)));
    assert.equal(frames.flatMap(rows).length, 0);
  });
}

test('critical alerts are first', async () => {
  const firing = panel('fleet.json', 'Firing alerts');
  const alert = (name, severity, state) => ({ severity, name, value: { state, firing: 60 } });
  const frames = answers(firing, [alert('calm', 'warning', 1), alert('bad', 'critical', 2), alert('', 'warning', 1)]);
  const shown = rows((await transformed(firing, frames))[0]);
  assert.deepEqual(shown.map((it) => it.severity), ['critical', 'warning', 'warning']);
  assert.deepEqual(shown[0]['Value #firing'], 60);
});


test('a host that cannot be scraped has one row', async () => {
  const hosts = panel('fleet.json', 'Hosts');
  const frames = answers(hosts, [{ instance: 'up', value: 1 }, { instance: 'down', value: { up: 0 } }]);
  const shown = rows((await transformed(hosts, frames))[0]);
  assert.equal(shown.length, 2);
  const down = shown.find((it) => it.instance === 'down');
  assert.equal(down['Value #up'], 0);
  assert.equal(down['Value #usage'], null);
});

test('the oldest snapshot is first', async () => {
  const exporters = panel('exporter.json', 'Exporters');
  const frames = answers(exporters, [{ instance: 'fresh', value: 1 }, { instance: 'stale', value: 90 }]);
  assert.equal(rows((await transformed(exporters, frames))[0])[0].instance, 'stale');
});
