import assert from 'node:assert/strict';
import { test } from 'node:test';
import { names, nothing, panel, rows, series, table, transformed } from './grafana.js';

const tree = panel('container.json', 'Process tree at the end of the time range');

// mailer with two workers and eight zombies, and a shell that was started by exec.
const forest = [
  { path: 'mailer', parent: '', comm: 'mailer', processes: 1, zombies: 0 },
  { path: 'mailer;mailer', parent: 'mailer', comm: 'mailer', processes: 10, zombies: 8 },
  { path: 'sh', parent: '', comm: 'sh', processes: 1, zombies: 0 },
  { path: 'sh;sleep', parent: 'sh', comm: 'sleep', processes: 1, zombies: 0 },
];

/** The frames that Prometheus returns for these nodes, as the queries of the panel would compute them. */
function answers(nodes, empty = nothing) {
  const frame = (refId, samples) => (samples.length ? [table(tree, refId, samples)] : empty ? [empty(refId)] : []);
  return [
    ...frame('nodes', nodes.map(({ path, parent, comm, processes }) => (
      { labels: { path, parent, comm, id: path, title: comm, mainstat: String(processes) }, value: 1 }))),
    // The order of a vector is undefined.
    ...frame('zombies', nodes.toReversed().map(({ path, processes, zombies }) => (
      { labels: { path, id: path }, value: zombies / processes }))),
    ...frame('marks', nodes.filter((it) => it.zombies).map(({ path, zombies }) => (
      { labels: { path, id: path, zombies: String(zombies), secondarystat: `zombies: ${zombies}` }, value: 1 }))),
    ...frame('edges', nodes.filter((it) => it.parent).map(({ path, parent, processes }) => (
      { labels: { path, parent, id: path, source: parent, target: path, mainstat: String(processes) }, value: 1 }))),
  ];
}

const isEdges = (frame) => frame.fields.some((it) => it.name === 'source');

async function graph(frames) {
  const result = await transformed(tree, frames);
  const edges = result.filter(isEdges);
  const nodes = result.filter((it) => !isEdges(it) && it.fields.some((field) => field.name === 'id'));
  assert.equal(nodes.length, 1, 'Grafana uses the first frame of nodes');
  assert.ok(edges.length <= 1, 'Grafana uses the first frame of edges');
  return { nodes: rows(nodes[0]), edges: edges.flatMap(rows) };
}

test('a node has its command, its process count, its zombies and a complete ring', async () => {
  const { nodes } = await graph(answers(forest));
  assert.equal(nodes.length, forest.length);
  for (const { path, comm, processes, zombies } of forest) {
    const shown = nodes.find((it) => it.id === path);
    assert.equal(shown.title, comm);
    assert.equal(shown.mainstat, String(processes));
    assert.equal(shown.secondarystat, zombies ? `zombies: ${zombies}` : null);
    assert.equal(shown.arc__zombies, zombies / processes);
    assert.equal(shown.arc__zombies + shown.arc__alive, 1, `the ring of ${path}`);
  }
});

test('the colored arcs are exactly the calculated arcs', async () => {
  const { nodes } = await graph(answers(forest));
  const colored = tree.options.nodes.arcs.map((it) => it.field).sort();
  assert.deepEqual(Object.keys(nodes[0]).filter((it) => it.startsWith('arc__')).sort(), colored);
});

test('the legend of the arcs has readable names', async () => {
  const [nodes] = (await transformed(tree, answers(forest))).filter((it) => !isEdges(it));
  const rings = nodes.fields.filter((it) => it.name.startsWith('arc__'));
  assert.deepEqual(rings.map((it) => it.config.displayName).sort(), ['alive', 'zombies']);
});

test('every edge connects two nodes', async () => {
  const { nodes, edges } = await graph(answers(forest));
  const ids = new Set(nodes.map((it) => it.id));
  assert.equal(ids.size, nodes.length, 'ids are unique');
  assert.deepEqual(edges.map((it) => [it.source, it.target]), [['mailer', 'mailer;mailer'], ['sh', 'sh;sleep']]);
  for (const { id, source, target, mainstat } of edges) {
    assert.ok(id && ids.has(source) && ids.has(target), `${source} to ${target}`);
    assert.ok(mainstat);
  }
});

for (const [how, empty] of [['an empty frame', nothing], ['no frame', null]]) {
  test(`no zombies: a query without result returns ${how}`, async () => {
    const { nodes } = await graph(answers(forest.map((it) => ({ ...it, zombies: 0 })), empty));
    assert.equal(nodes.length, forest.length);
    assert.ok(nodes.every((it) => it.arc__alive === 1 && it.arc__zombies === 0 && it.mainstat));
  });

  test(`a single process has no edges: ${how}`, async () => {
    const { nodes, edges } = await graph(answers(forest.slice(0, 1), empty));
    assert.deepEqual(nodes.map((it) => it.id), ['mailer']);
    assert.equal(edges.length, 0);
  });
}

test('no processes: the result is empty', async () => {
  const result = await transformed(tree, tree.targets.map((it) => nothing(it.refId)));
  assert.equal(result.flatMap(rows).length, 0);
});

test('a path is shown with its last three commands', async () => {
  const paths = panel('container.json', 'Processes by command path');
  const legends = ['1 · sh', '3 · sh;make;cc1', '5 · sh;make;make;cc1;as'];
  const frames = legends.map((legend) => series('A', legend, {}, [1, 2, 3]));
  const shown = names(await transformed(paths, frames));
  assert.deepEqual(shown, ['1 · sh', '3 · sh › make › cc1', '5 · … › make › cc1 › as']);
});
