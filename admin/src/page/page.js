'use strict';
// Everything that is shown is set as text: what callers have sent can't become markup.
const byId = (id) => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
function draw(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
const number = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));
const millis = (value) => (value >= 1000 ? number(value / 1000) + ' s' : number(value) + ' ms');

/* What a duration is that so large a share of the calls did not exceed: the bucket's upper bound. */
function quantile(took, bounds, share) {
  const all = took.reduce((sum, count) => sum + count, 0);
  if (all === 0) return null;
  let seen = 0;
  for (let index = 0; index < took.length; index++) {
    seen += took[index];
    if (seen >= share * all) return index < bounds.length ? bounds[index] : Infinity;
  }
  return Infinity;
}
const bound = (value) => (value === null ? 'no calls' : value === Infinity ? 'over 52 s' : 'at most ' + millis(value));

function chart(caption, describe, labels, paint) {
  const svg = draw('svg', { viewBox: '0 0 320 120', preserveAspectRatio: 'none', role: 'img', 'aria-label': describe });
  paint(svg);
  const axis = make('div', { class: 'axis' }, ...labels.map((label) => make('span', {}, label)));
  return make('figure', {}, svg, axis, make('figcaption', {}, caption + ': ' + describe));
}
function line(svg, values, most, kind) {
  const points = values.map((value, index) => `${(index / (values.length - 1)) * 320},${118 - (value / most) * 112}`);
  svg.append(draw('polyline', { points: points.join(' '), class: kind }));
}
function rates(method, slot) {
  // The last slot is not over yet.
  const calls = method.slots.slice(0, -1).map((it) => it.calls / slot);
  const failed = method.slots.slice(0, -1).map((it) => it.failed / slot);
  const most = Math.max(1, ...calls);
  const now = `${number(calls.at(-1))} calls a second, ${number(failed.at(-1))} failed (dashed)`;
  return chart('Rate', now, ['5 min ago', 'up to ' + number(most) + ' a second', 'now'], (svg) => {
    svg.append(draw('line', { x1: 0, y1: 118, x2: 320, y2: 118, class: 'axis' }));
    line(svg, calls, most, 'calls');
    line(svg, failed, most, 'failed');
  });
}
function durations(method, bounds) {
  const took = method.slots.reduce((sum, slot) => sum.map((count, index) => count + slot.took[index]), Array(bounds.length + 1).fill(0));
  const most = Math.max(1, ...took);
  const describe = `half ${bound(quantile(took, bounds, 0.5))}, 99 of 100 ${bound(quantile(took, bounds, 0.99))}`;
  return chart('Durations', describe, [millis(bounds[0]), millis(bounds[Math.floor(bounds.length / 2)]), 'over 52 s'], (svg) => {
    const width = 320 / took.length;
    took.forEach((count, index) => {
      const height = (count / most) * 112;
      svg.append(draw('rect', { x: index * width + 1, y: 118 - height, width: width - 2, height, class: 'bar' }));
    });
    svg.append(draw('line', { x1: 0, y1: 118, x2: 320, y2: 118, class: 'axis' }));
  });
}
function traffic(state) {
  return state.traffic.map((method) => make('div', { class: 'method' },
    make('h3', {}, method.method),
    make('p', { class: 'note' }, `${method.calls} calls, ${method.failed} failed, ${method.in_flight} running`),
    make('div', { class: 'charts' }, rates(method, state.slot_s), durations(method, state.bounds_ms))));
}

/* What a component says of itself, whatever it is: a list of names and values. */
function facts(value) {
  const list = make('dl');
  const add = (name, value) => {
    const plain = (it) => it === null || typeof it !== 'object';
    if (Array.isArray(value) && value.length > 0 && value.every(plain)) {
      list.append(make('dt', {}, name || 'state'), make('dd', {}, value.join(', ')));
    } else if (!plain(value)) {
      const entries = Array.isArray(value) ? value.map((it, index) => [it && it.key !== undefined ? it.key : String(index), it]) : Object.entries(value);
      if (entries.length === 0) list.append(make('dt', {}, name), make('dd', {}, 'none'));
      for (const [inner, it] of entries) if (inner !== 'key' || it !== value.key || name === '') add(name === '' ? inner : name + ' · ' + inner, it);
    } else {
      list.append(make('dt', {}, name), make('dd', {}, value === null ? '–' : String(value)));
    }
  };
  if (value === null || typeof value !== 'object') add('state', value); else add('', value);
  return list;
}
const alarming = (state) => /"state":"(open|forced-open)"/.test(JSON.stringify(state));
function layer(shown) {
  const alarm = alarming(shown.state);
  return make('div', { class: alarm ? 'layer alarm' : 'layer' }, make('b', {}, shown.name + (alarm ? ' ⚠ open' : '')), facts(shown.state));
}
const methods = (state) => state.methods.map((it) => make('div', {}, make('h3', {}, it.method), make('div', { class: 'layers' }, ...it.layers.map(layer))));
const components = (state) => state.components.map((it) => make('div', { class: alarming(it.state) ? 'component alarm' : 'component' }, make('b', {}, it.name), facts(it.state)));

function row(cells, long) {
  return make('tr', {}, ...cells.map((cell) => make('td', cell && long ? { class: 'long' } : {}, cell === null || cell === undefined ? '–' : String(cell))));
}
/* The way of one call through its layers. */
function timeline(call) {
  const box = make('div', { class: 'timeline' });
  const whole = Math.max(1, call.took_us);
  for (const span of call.layers) {
    const to = span.to_us === null ? whole : Math.min(whole, span.to_us);
    const from = Math.min(span.from_us, whole);
    const svg = draw('svg', { viewBox: `0 0 ${whole} 10`, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
    svg.append(draw('rect', { x: from, y: 0, width: Math.max(to - from, whole / 200), height: 10, class: 'bar' }));
    box.append(make('span', {}, span.layer), make('span', { class: 'track' }, svg), make('span', {}, millis((to - from) / 1000)));
  }
  const said = call.said.map((it) => make('li', {}, `${millis(it.at_us / 1000)} ${it.layer}: ${it.text}`));
  const parts = [box];
  if (said.length) parts.push(make('ul', {}, ...said));
  if (call.error) parts.push(make('p', {}, 'error: ' + call.error));
  if (!call.layers.length && !said.length) parts.push(make('p', { class: 'note' }, 'No notes were taken of this call.'));
  return parts;
}
let opened = null;
function calls(state) {
  const list = byId('only-failed').checked ? state.failed : state.recent;
  return list.flatMap((call) => {
    const key = call.at_ms + call.method + call.request_id;
    const when = new Date(call.at_ms).toISOString().slice(11, 23);
    const node = row([when, call.method, call.code, millis(call.took_us / 1000), call.attempts || '–', call.peer, call.request_id, call.trace_id]);
    node.classList.add('call');
    node.classList.toggle('failed', call.failed);
    node.tabIndex = 0;
    node.setAttribute('aria-expanded', String(opened === key));
    const toggle = () => { opened = opened === key ? null : key; show(last); };
    node.addEventListener('click', toggle);
    node.addEventListener('keydown', (event) => { if (event.key === 'Enter') toggle(); });
    return opened === key ? [node, make('tr', {}, make('td', { colspan: 8, class: 'long' }, ...timeline(call)))] : [node];
  });
}

let offered = '';
function actions(state) {
  byId('s-actions').hidden = state.actions.length === 0;
  // A form that somebody fills in stays as it is.
  if (JSON.stringify(state.actions) === offered) return;
  offered = JSON.stringify(state.actions);
  byId('actions').replaceChildren(...state.actions.map((action) => {
    const output = make('output');
    const fields = action.fields.map((field) => {
      const input = field.kind === 'choice' ? make('select', { name: field.name }, ...field.choices.map((it) => make('option', {}, it))) : make('input', { name: field.name });
      input.value = field.preset;
      return make('label', {}, field.name, input);
    });
    const form = make('form', { id: 'action-' + action.name }, make('b', {}, action.name), make('span', { class: 'note' }, action.about), ...fields, make('button', {}, 'Do it'), output);
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      try {
        const answer = await fetch('actions/' + encodeURIComponent(action.name), { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(Object.fromEntries(new FormData(form))) });
        const told = await answer.json();
        output.textContent = told.said !== undefined ? told.said : 'Refused: ' + told.error;
        await refresh();
      } catch (error) { output.textContent = 'Not done: ' + error; }
    });
    return form;
  }));
}

let last = null;
function show(state) {
  last = state;
  const about = state.service;
  document.title = about.name + ' · admin';
  byId('name').textContent = about.name;
  const up = about.uptime_s;
  byId('about').textContent = `version ${about.version}, ${about.profile} build for ${about.os} on ${about.arch}, up ${Math.floor(up / 3600)} h ${Math.floor(up / 60) % 60} min ${up % 60} s`;
  byId('pages').replaceChildren(...state.pages.map((path) => make('a', { href: '.' + path }, path)));
  byId('traffic').replaceChildren(...(state.traffic.length ? traffic(state) : [make('p', { class: 'note' }, 'No calls yet.')]));
  byId('methods').replaceChildren(...methods(state));
  byId('components').replaceChildren(...components(state));
  byId('calls').tBodies[0].replaceChildren(...calls(state));
  byId('routes').tBodies[0].replaceChildren(...state.routes.map((it) => row([it.transport, it.route, it.method])));
  byId('settings').tBodies[0].replaceChildren(...state.settings.map((it) => row([it.name, it.value, it.origin], true)));
  actions(state);
}
async function refresh() {
  try {
    const answer = await fetch('state.json');
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.json());
    byId('stale').hidden = true;
  } catch {
    byId('stale').hidden = false;
  }
}
byId('only-failed').addEventListener('change', () => last && show(last));
async function go() {
  if (!document.hidden) await refresh();
  setTimeout(go, 2000);
}
go();
