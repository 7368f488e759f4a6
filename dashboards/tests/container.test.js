import assert from 'node:assert/strict';
import { test } from 'node:test';
import { names, nothing, panel, rows, series, table, transformed } from './grafana.js';

const tree = panel('container.json', 'The tree, at the end of the chosen time');

// mailer with two workers and eight zombies, and a shell that came in by exec.
const forest = [
  { node: 'mailer', parent: '', comm: 'mailer', processes: 1, zombies: 0 },
  { node: 'mailer;mailer', parent: 'mailer', comm: 'mailer', processes: 10, zombies: 8 },
  { node: 'sh', parent: '', comm: 'sh', processes: 1, zombies: 0 },
  { node: 'sh;sleep', parent: 'sh', comm: 'sleep', processes: 1, zombies: 0 },
];

/** The frames that Prometheus gives for these nodes: what the queries do is done here by hand. */
function answers(nodes, empty = nothing) {
  const frame = (refId, samples) => (samples.length ? [table(tree, refId, samples)] : empty ? [empty(refId)] : []);
  return [
    ...frame('nodes', nodes.map(({ node, comm, processes }) => (
      { labels: { node, comm, id: node, title: comm, mainstat: String(processes) }, value: 1 }))),
    // A vector is in no particular order.
    ...frame('zombies', nodes.toReversed().map(({ node, processes, zombies }) => (
      { labels: { node, id: node }, value: zombies / processes }))),
    ...frame('marks', nodes.filter((it) => it.zombies).map(({ node, zombies }) => (
      { labels: { node, id: node, zombies: String(zombies), secondarystat: `zombies: ${zombies}` }, value: 1 }))),
    ...frame('edges', nodes.filter((it) => it.parent).map(({ node, parent, processes }) => (
      { labels: { node, parent, id: node, source: parent, target: node, mainstat: String(processes) }, value: 1 }))),
  ];
}

const isEdges = (frame) => frame.fields.some((it) => it.name === 'source');

async function graph(frames) {
  const result = await transformed(tree, frames);
  const edges = result.filter(isEdges);
  const nodes = result.filter((it) => !isEdges(it) && it.fields.some((field) => field.name === 'id'));
  assert.equal(nodes.length, 1, 'Grafana takes the first frame of nodes');
  assert.ok(edges.length <= 1, 'Grafana takes the first frame of edges');
  return { nodes: rows(nodes[0]), edges: edges.flatMap(rows) };
}

test('a node has its command, its number, its zombies and a ring that is whole', async () => {
  const { nodes } = await graph(answers(forest));
  assert.equal(nodes.length, forest.length);
  for (const { node, comm, processes, zombies } of forest) {
    const shown = nodes.find((it) => it.id === node);
    assert.equal(shown.title, comm);
    assert.equal(shown.mainstat, String(processes));
    assert.equal(shown.secondarystat, zombies ? `zombies: ${zombies}` : null);
    assert.equal(shown.arc__zombies, zombies / processes);
    assert.equal(shown.arc__zombies + shown.arc__alive, 1, `the ring of ${node}`);
  }
});

test('every ring that is coloured is calculated, and no other', async () => {
  const { nodes } = await graph(answers(forest));
  const colored = tree.options.nodes.arcs.map((it) => it.field).sort();
  assert.deepEqual(Object.keys(nodes[0]).filter((it) => it.startsWith('arc__')).sort(), colored);
});

test('the legend of the rings reads as words', async () => {
  const [nodes] = (await transformed(tree, answers(forest))).filter((it) => !isEdges(it));
  const rings = nodes.fields.filter((it) => it.name.startsWith('arc__'));
  assert.deepEqual(rings.map((it) => it.config.displayName).sort(), ['alive', 'zombies']);
});

test('edges lead from node to node', async () => {
  const { nodes, edges } = await graph(answers(forest));
  const ids = new Set(nodes.map((it) => it.id));
  assert.equal(ids.size, nodes.length, 'no id twice');
  assert.deepEqual(edges.map((it) => [it.source, it.target]), [['mailer', 'mailer;mailer'], ['sh', 'sh;sleep']]);
  for (const { id, source, target, mainstat } of edges) {
    assert.ok(id && ids.has(source) && ids.has(target), `${source} to ${target}`);
    assert.ok(mainstat);
  }
});

for (const [how, empty] of [['an empty frame', nothing], ['no frame', null]]) {
  test(`no zombies: a query without result gives ${how}`, async () => {
    const { nodes } = await graph(answers(forest.map((it) => ({ ...it, zombies: 0 })), empty));
    assert.equal(nodes.length, forest.length);
    assert.ok(nodes.every((it) => it.arc__alive === 1 && it.arc__zombies === 0 && it.mainstat));
  });

  test(`one process alone has no edges: ${how}`, async () => {
    const { nodes, edges } = await graph(answers(forest.slice(0, 1), empty));
    assert.deepEqual(nodes.map((it) => it.id), ['mailer']);
    assert.equal(edges.length, 0);
  });
}

test('without any process nothing breaks', async () => {
  const result = await transformed(tree, tree.targets.map((it) => nothing(it.refId)));
  assert.equal(result.flatMap(rows).length, 0);
});

test('paths read as a way, its last three steps', async () => {
  const paths = panel('container.json', 'Processes by command path');
  const legends = ['1 · sh', '3 · sh;make;cc1', '5 · sh;make;make;cc1;as'];
  const frames = legends.map((legend) => series('A', legend, {}, [1, 2, 3]));
  const shown = names(await transformed(paths, frames));
  assert.deepEqual(shown, ['1 · sh', '3 · sh › make › cc1', '5 · … › make › cc1 › as']);
});
