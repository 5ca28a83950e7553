"use strict";
// Shows the steps that explain.py recorded. Nothing is computed here but sums of counts: every
// number and every pixel comes from the engine, in the JSON element #contents.

const page = JSON.parse(document.getElementById("contents").textContent);
const { nodes, ops, pictures } = page;
const steps = [
  { phase: "start" },
  ...page.forward.map((node) => ({ phase: "forward", node })),
  ...page.backward.map((step) => ({ phase: "backward", ...step })),
  { phase: "end" },
];
const PHASES = { start: "Start", forward: "Forward", backward: "Backward", end: "Result" };
const loss = nodes.length - 1;
const wanted = {}; // how many shares each node waits for
for (const step of page.backward)
  for (const share of step.shares)
    if (share.share !== undefined) wanted[share.to] = (wanted[share.to] || 0) + 1;

const byId = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");
// The boxes of each node: one, or where it has many uses one beside each.
const boxes = nodes.map(() => []);
for (const box of document.querySelectorAll(".node")) boxes[box.dataset.node].push(box);
let current = -1;
let timer = null;

// ------------------------------------------------------------------------------ small things

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// For formulas and code, which explain.py has escaped.
function markup(tag, className, html) {
  const element = make(tag, className);
  element.innerHTML = html;
  return element;
}

function digits(x, count = 4) {
  if (typeof x === "string") return x; // NaN and the infinities
  if (x === 0) return "0";
  const size = Math.abs(x);
  let text;
  if (Number.isInteger(x) && size < 1e6) text = String(size);
  else if (size >= 1e6 || size < 1e-3) text = size.toExponential(count - 2).replace("e+", "e");
  else text = String(Number(size.toPrecision(count)));
  return (x < 0 ? "−" : "") + text.replace("e-", "e−");
}

const shapeText = (shape) => (shape.length === 1 ? `(${shape[0]},)` : shape.join("×") || "scalar");
const isNumber = (picture) => picture.values && picture.shape.every((size) => size === 1);
const theNumber = (picture) => picture.values[0][0][0];
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

// ------------------------------------------------------------------------- arrays as pictures

// A level of 127 is zero, 1 and 253 are -largest and +largest; see _heatmap.py.
function colour(level) {
  if (level === 255) return dark.matches ? [240, 107, 208] : [194, 32, 155];
  const zero = dark.matches ? [38, 42, 48] : [246, 246, 242];
  const ends = dark.matches ? [[92, 170, 255], [255, 140, 80]] : [[24, 90, 170], [184, 48, 10]];
  const t = Math.max(-1, Math.min(1, (level - 127) / 126));
  const strength = Math.pow(Math.abs(t), 0.65); // small entries stay visible
  const end = ends[t > 0 ? 1 : 0];
  return zero.map((from, i) => Math.round(from + (end[i] - from) * strength));
}

function levelOf(x, largest) {
  return typeof x === "string" ? 255 : 127 + Math.round((x / (largest || 1)) * 126);
}

function largestOf(picture) {
  const ends = [picture.low, picture.high].filter((x) => typeof x === "number");
  return Math.max(0, ...ends.map(Math.abs));
}

function levelsOf(picture) {
  if (picture.pixels) {
    const bytes = Uint8Array.from(atob(picture.pixels), (letter) => letter.charCodeAt(0));
    return { tiles: picture.tiles, levels: bytes };
  }
  const largest = largestOf(picture);
  const [count, rows] = [picture.values.length, picture.values[0]?.length ?? 0];
  const flat = picture.values.flat(2).map((x) => levelOf(x, largest));
  return { tiles: [count, rows, rows && count ? flat.length / count / rows : 0], levels: flat };
}

// Slices side by side with a gap, in about the proportions of a page.
function heatMap(picture, room) {
  const { tiles, levels } = levelsOf(picture);
  const [count, height, width] = tiles;
  let columns = 1;
  let best = Infinity;
  for (let c = 1; c <= count; c++) {
    const misfit = Math.abs(Math.log((c * (width + 1)) / (Math.ceil(count / c) * (height + 1)) / 1.7));
    if (misfit < best) [best, columns] = [misfit, c];
  }
  const canvas = make("canvas");
  canvas.width = Math.max(1, columns * (width + 1) - 1);
  canvas.height = Math.max(1, Math.ceil(count / columns) * (height + 1) - 1);
  const scale = Math.min(room[0] / canvas.width, room[1] / canvas.height, 14);
  canvas.style.width = `${Math.round(canvas.width * (scale > 1 ? Math.floor(scale) : scale))}px`;
  if (canvas.height * scale < 8) canvas.style.height = "8px"; // a strip that is long and thin
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  levels.forEach((level, i) => {
    if (level === 254) return; // the end of a vector that was wrapped into rows
    const tile = Math.floor(i / (height * width));
    const y = Math.floor(tile / columns) * (height + 1) + (Math.floor(i / width) % height);
    const x = (tile % columns) * (width + 1) + (i % width);
    image.data.set([...colour(level), 255], 4 * (y * canvas.width + x));
  });
  context.putImageData(image, 0, 0);
  canvas.setAttribute("role", "img");
  canvas.setAttribute(
    "aria-label",
    `Heat map of an array of shape ${shapeText(picture.shape)}, ` +
      `from ${digits(picture.low)} to ${digits(picture.high)}`,
  );
  return canvas;
}

function cell(tag, x, largest) {
  const element = make(tag, "cell", digits(x));
  const [r, g, b] = colour(levelOf(x, largest));
  element.style.background = `rgb(${r} ${g} ${b})`;
  element.style.color = r * 0.3 + g * 0.59 + b * 0.11 > 128 ? "#1d2126" : "#ffffff";
  element.title = String(x);
  return element;
}

// A matrix as a table, more axes as several, a vector as a line of numbers that may wrap.
function listing(picture) {
  const largest = largestOf(picture);
  if (picture.shape.length === 1)
    return make("div", "values", ...picture.values[0][0].map((x) => cell("span", x, largest)));
  const tables = picture.values.map((tile) =>
    make("table", "", ...tile.map((row) =>
      make("tr", "", ...row.map((x) => cell("td", x, largest))))));
  return make("div", "values", ...tables);
}

// The line under a picture. Under small ones it is brief, under those in a sum only the range.
function facts(picture, size) {
  const range = picture.low === picture.high
    ? [`all ${digits(picture.low)}`]
    : [`${digits(picture.low)} …`, digits(picture.high)];
  const parts = [shapeText(picture.shape), range.join(" ")];
  if (size === "full") parts.push(`L2 ${digits(picture.norm)}`);
  if (picture.bad) parts.push(`${picture.bad} not finite`);
  if (size === "small" && picture.note) parts.push("in part");
  const pieces = size === "sum" ? range : parts.map((x, i) => (i < parts.length - 1 ? `${x} ·` : x));
  const line = make("div", "facts");
  for (const piece of pieces) line.append(make("span", "", piece), " ");
  if (picture.note && size === "full") line.append(make("br"), `Drawn: ${picture.note}.`);
  else if (picture.note) line.title = `Drawn: ${picture.note}.`;
  return line;
}

// An array, as large as it deserves: a number, a table, or a heat map.
const ROOM = { full: [300, 200], small: [140, 70], sum: [76, 60] };

function view(index, size = "full", room = ROOM[size]) {
  if (index === undefined) return make("span", "missing", "not kept");
  const picture = pictures[index];
  if (isNumber(picture)) {
    const text = make("span", "number", digits(theNumber(picture)));
    text.title = String(theNumber(picture));
    return text;
  }
  const columns = picture.values ? picture.values[0]?.[0]?.length ?? 0 : 0;
  const most = picture.shape.length === 1 ? (size === "full" ? 40 : 4) : Math.floor(room[0] / 60);
  const asTable = picture.values && columns > 0 && columns <= Math.max(2, most);
  const body = asTable ? listing(picture) : heatMap(picture, room);
  const line = facts(picture, size);
  if (size === "full") line.style.maxWidth = room[0] < 200 ? `${Math.max(180, room[0])}px` : "20rem";
  return make("div", `array ${size}`, body, line);
}

function part(caption, content) {
  return make("div", "part", make("div", "caption", caption), content);
}

const sign = (text) => make("span", "sign", text);

// ----------------------------------------------------------------------------- the state

// What is known after step k: values, and the gradients that have arrived.
function stateAfter(k) {
  const known = new Set([...nodes.keys()].filter((i) => nodes[i].kind !== "op"));
  const grads = {};
  for (const step of steps.slice(0, k + 1)) {
    if (step.phase === "forward") known.add(step.node);
    if (step.phase !== "backward") continue;
    const own = (grads[step.node] ??= { arrived: 0 });
    own.picture = step.up;
    own.complete = true;
    for (const share of step.shares) {
      if (share.share === undefined) continue;
      const grad = (grads[share.to] ??= { arrived: 0 });
      grad.picture = share.after;
      grad.arrived += 1;
    }
  }
  return { known, grads };
}

function touchedBy(step) {
  return new Set((step.shares || []).filter((s) => s.share !== undefined).map((s) => s.to));
}

// ------------------------------------------------------------------------------ the graph

// What stands in a box: the value of a number once it is known, else the shape.
function valueText(i, state) {
  const picture = nodes[i].value === undefined ? null : pictures[nodes[i].value];
  const known = Boolean(state.known.has(i) && picture && isNumber(picture));
  return { known, text: known ? digits(theNumber(picture)) : shapeText(nodes[i].shape) };
}

// And below it the gradient that has arrived, of an array its length.
function gradText(i, state) {
  const grad = state.grads[i];
  if (grad?.picture === undefined) return "";
  const picture = pictures[grad.picture];
  const text = isNumber(picture) ? `g ${digits(theNumber(picture))}` : `|g| ${digits(picture.norm, 3)}`;
  const open = !grad.complete && grad.arrived < wanted[i];
  return open ? `${text} (${grad.arrived}/${wanted[i]})` : text;
}

function drawGraph(step, state) {
  const lit = step.phase === "end" ? -1 : step.node;
  const touched = touchedBy(step);
  for (const i of nodes.keys()) {
    const here = i === lit;
    const [value, grad] = [valueText(i, state), gradText(i, state)];
    const kind = nodes[i].kind === "op" ? "operation" : nodes[i].kind;
    const spoken = [`${kind} ${nodes[i].label}`, value.text];
    if (grad) spoken.push(`gradient ${grad.replace(/\|?g\|? /, "")}`);
    boxes[i].forEach((box, copy) => {
      box.classList.toggle("forward", here && step.phase === "forward");
      box.classList.toggle("backward", here && step.phase === "backward");
      box.classList.toggle("touched", touched.has(i) && !here);
      box.classList.toggle("later", !state.known.has(i));
      const inTurn = here || (!(lit >= 0) && i === 0); // one box is in the tab order
      box.setAttribute("tabindex", inTurn && copy === 0 ? "0" : "-1");
      if (here) box.setAttribute("aria-current", "step");
      else box.removeAttribute("aria-current");
      box.querySelector(".value").textContent = value.text;
      box.querySelector(".value").classList.toggle("known", value.known);
      box.querySelector(".grad").textContent = grad;
      box.setAttribute("aria-label", spoken.join(", "));
    });
  }
  for (const edge of document.querySelectorAll(".edge")) {
    const [from, to] = [Number(edge.dataset.from), Number(edge.dataset.to)];
    const forward = step.phase === "forward" && to === lit;
    const backward = step.phase === "backward" && to === lit && touched.has(from);
    edge.classList.toggle("forward", forward);
    edge.classList.toggle("backward", backward);
    edge.classList.toggle("done", state.known.has(to));
    if (forward || backward) edge.parentNode.append(edge); // above those that share its way
  }
  if (lit >= 0) scrollToNearest(boxes[lit]);
}

function scrollToNearest(candidates) {
  const frame = byId("graph").getBoundingClientRect();
  const ways = candidates.map((box) => {
    const { left, top, width, height } = box.getBoundingClientRect();
    return {
      left: left + width / 2 - frame.left - frame.width / 2,
      top: top + height / 2 - frame.top - frame.height / 2,
    };
  });
  const nearest = ways.reduce((a, b) => (Math.hypot(b.left, b.top) < Math.hypot(a.left, a.top) ? b : a));
  const behavior = calm.matches || current < 0 ? "instant" : "smooth";
  byId("graph").scrollBy({ ...nearest, behavior });
}

// A wide graph is drawn smaller, as far as its letters stay readable.
function fitGraph() {
  const drawing = byId("drawing");
  const width = drawing.viewBox.baseVal.width;
  const scale = Math.max(0.78, Math.min(1, (byId("graph").clientWidth - 14) / width));
  drawing.setAttribute("width", width * scale);
  drawing.setAttribute("height", drawing.viewBox.baseVal.height * scale);
}

// ------------------------------------------------------------------------------ the panel

function heading(phase, text, about) {
  return [
    make("h2", "", make("span", "phase", PHASES[phase]), text),
    make("p", "about", about),
  ];
}

function describeNode(i) {
  const node = nodes[i];
  const parts = [node.shape.length ? `shape ${shapeText(node.shape)}` : "one number"];
  const given = Object.entries(node.arguments || {}).map(([name, value]) => `${name} = ${value}`);
  if (given.length) parts.push(given.join(", "));
  if (node.module) parts.push(`in module ${node.module}`);
  return capital(parts.join(" · "));
}

// An op of the reader's own has no entry in the table: its docstring speaks for it.
function formulaOf(op) {
  return op.forward ? markup("p", "formula", op.forward) : markup("pre", "doc", op.doc);
}

function lost(i) {
  const text = nodes[i].kind === "op"
    ? "Not kept: backward does not need this value, so the graph let it go. Computed inside " +
      "“with viz.recording():” it would be shown."
    : "Not kept.";
  return make("div", "missing", text);
}

const valueOf = (i) => (nodes[i].value === undefined ? lost(i) : view(nodes[i].value));

function startPanel() {
  const given = nodes.flatMap((node, i) => (node.kind === "op" ? [] : [i]));
  return [
    ...heading("start", "What is given",
      `${page.forward.length} operations lead from here to the loss. Step forward to compute ` +
      "them one by one; then the gradient walks back."),
    make("div", "leaves small", ...given.map((i) =>
      make("div", "card", make("h4", "", nodes[i].label, make("span", "progress", ` ${nodes[i].kind}`)),
        view(nodes[i].value, "small")))),
  ];
}

function forwardPanel(step) {
  const node = nodes[step.node];
  const op = ops[node.op];
  const children = [...heading("forward", node.label, describeNode(step.node))];
  children.push(formulaOf(op));
  const inputs = node.sources.map((source, at) => {
    if (source === null) {
      const role = node.roles[at];
      if (role in node.arguments) return null;
      return part(`input ${role}`,
        make("div", "missing", "A constant that the graph does not keep."));
    }
    return part(`input ${node.roles[at]}: ${nodes[source].label}`, valueOf(source));
  });
  children.push(make("h3", "", "Inputs"), make("div", "card row", ...inputs));
  children.push(make("h3", "", "Output"), make("div", "card", part("y", valueOf(step.node))));
  return children;
}

function upstreamText(step) {
  const hooked = step.hooked ? " A hook has replaced it." : "";
  if (step.node === loss) {
    const one = isNumber(pictures[step.up]) && theNumber(pictures[step.up]) === 1;
    return "The walk starts here: the gradient of the loss with respect to itself is " +
      (one ? "1." : "given.") + hooked;
  }
  const counts = new Map(); // how many shares each sender sent
  for (const sender of page.backward)
    for (const share of sender.shares)
      if (share.to === step.node && share.share !== undefined)
        counts.set(sender.node, (counts.get(sender.node) || 0) + 1);
  const senders = [...counts].map(([node, n]) => nodes[node].label + (n > 1 ? ` (${n} times)` : ""));
  const sum = wanted[step.node] > 1 ? `The sum of ${wanted[step.node]} shares, from ` : "It came from ";
  return `${sum}${senders.join(" and ")}.${hooked}`;
}

function opPanel(step, k, state) {
  const node = nodes[step.node];
  const op = ops[node.op];
  const children = [...heading("backward", node.label, describeNode(step.node))];
  children.push(formulaOf(op));
  const upstream = markup("span", "", "Upstream gradient <span class=formula><i>g</i><sub>y</sub></span>");
  children.push(make("h3", "", upstream),
    make("div", "card",
      ...(isNumber(pictures[step.up])
        ? [make("div", "row", view(step.up), make("span", "small", upstreamText(step)))]
        : [make("p", "small", upstreamText(step)), view(step.up)])));
  children.push(make("h3", "", "What each input gets"));
  children.push(make("div", "cards",
    ...step.shares.map((share) => shareCard(step, share, node, op))));
  const idle = node.roles.filter((_, at) => !step.shares.some((share) => share.at === at));
  const tensors = idle.filter((role) => !(role in node.arguments));
  if (tensors.length)
    children.push(make("p", "small", `No gradient is asked for ${tensors.join(", ")}.`));
  if (op.why) children.push(markup("p", "why", op.why));
  children.push(make("h3", "", "The code that did this"));
  if (op.code) children.push(markup("pre", "", op.code));
  children.push(make("p", "small", op.where + (op.fast
    ? ". While nothing is recorded the engine takes a faster twin of it, fast_backward." : ".")));
  children.push(...leavesSoFar(state, touchedBy(step)));
  return children;
}

function shareCard(step, share, node, op) {
  const role = node.roles[share.at];
  const rule = op.rules ? op.rules[Math.min(share.at, op.rules.length - 1)] : null;
  const target = nodes[share.to];
  const title = make("h4", "", `To ${target.label} `,
    make("span", "progress", target.kind === "leaf" ? "a leaf, " : "", `input ${role} here`));
  const card = make("div", "card", title);
  if (rule) {
    card.append(make("div", "rule",
      part("local derivative", markup("div", "formula", rule[1])),
      part("its share", markup("div", "formula share", rule[2]))));
  }
  if (share.share === undefined) {
    card.append(make("p", "small", "It gets nothing."));
    return card;
  }
  if (share.local !== undefined) {
    if (!isNumber(pictures[share.share])) card.classList.add("wide");
    // Three pictures side by side where there is room, else one below the other.
    const width = byId("panel").clientWidth;
    const room = width > 620 ? [(width - 190) / 3, 180] : [width - 90, 150];
    card.append(make("div", "row equation",
      part("upstream", view(step.up, "full", room)), sign("×"),
      part("local derivative", view(share.local, "full", room)), sign("="),
      part("share", view(share.share, "full", room))));
  } else card.append(make("div", "row", part("share", view(share.share))));
  if (share.before !== undefined)
    card.append(make("div", "sum row",
      part("so far", view(share.before, "sum")), sign("+"),
      part("this share", view(share.share, "sum")), sign("="),
      part("now", view(share.after, "sum"))));
  else if (wanted[share.to] > 1)
    card.append(make("p", "sum small",
      `The first of ${wanted[share.to]} shares that “${target.label}” waits for.`));
  return card;
}

function leafPanel(step, state) {
  const node = nodes[step.node];
  const shares = page.backward.flatMap((s) =>
    s.shares.filter((x) => x.to === step.node && x.share !== undefined)
      .map((x) => ({ ...x, from: nodes[s.node].label })));
  const sum = make("div", "row");
  shares.forEach((share, i) => {
    if (i) sum.append(sign("+"));
    sum.append(part(`from ${share.from}`, view(share.share, shares.length > 2 ? "sum" : "full")));
  });
  if (shares.length > 1) sum.append(sign("="), part("sum", view(step.up)));
  const children = [
    ...heading("backward", `${node.label}.grad`, describeNode(step.node)),
    make("p", "why", shares.length > 1
      ? `All ${shares.length} uses have reported; the gradient is the sum over the paths to the loss.`
      : "A leaf: the gradient has arrived, and goes no further."),
    make("div", "card", shares.length ? sum : view(step.up)),
  ];
  if (step.hooked) children.push(make("p", "small", "A hook has replaced it by:"), view(step.up));
  if (step.held !== undefined)
    children.push(make("p", "small",
      `This page adds up from zero. “${node.label}” held a .grad already, to which backward() would add:`),
      view(step.held, "small"));
  children.push(...leavesSoFar(state, new Set([step.node])));
  return children;
}

function leavesSoFar(state, now, title = "Leaves so far: the running .grad", size = ["small"],
  nothing = "Nothing yet") {
  const leaves = nodes.flatMap((node, i) => (node.kind === "leaf" ? [i] : []));
  const has = (i) => state.grads[i]?.picture !== undefined;
  const cards = leaves.filter(has).map((i) => {
    const [grad, count] = [state.grads[i], wanted[i] || 0];
    const progress = count > 1 ? ` ${grad.arrived} of ${count} shares` : "";
    const card = make("div", now.has(i) ? "card now" : "card",
      make("h4", "", nodes[i].label, make("span", "progress", progress)),
      view(grad.picture, ...size));
    card.dataset.leaf = i;
    return card;
  });
  const waiting = leaves.filter((i) => !has(i)).map((i) => nodes[i].label);
  return [
    make("h3", "", title),
    make("div", `leaves ${size[0]}`, ...cards),
    waiting.length ? make("p", "small", `${nothing}: ${waiting.join(", ")}.`) : null,
  ];
}

function endPanel(state) {
  return [
    ...heading("end", "All gradients",
      "This is what loss.backward() adds to the .grad of each leaf. A small step of every leaf " +
      "against its gradient makes the loss smaller."),
    ...leavesSoFar(state, new Set(), "The gradient of the loss with respect to each leaf",
      ["full", [220, 120]], "No gradient has come to"),
  ];
}

function panelFor(step, k, state) {
  if (step.phase === "start") return startPanel();
  if (step.phase === "forward") return forwardPanel(step);
  if (step.phase === "end") return endPanel(state);
  return nodes[step.node].kind === "op" ? opPanel(step, k, state) : leafPanel(step, state);
}

// ------------------------------------------------------------------------------- stepping

function go(k, { keepAddress = false } = {}) {
  k = Math.max(0, Math.min(steps.length - 1, Math.trunc(k) || 0));
  if (k === current) return;
  const [step, state] = [steps[k], stateAfter(k)];
  drawGraph(step, state);
  current = k;
  document.body.classList.toggle("is-backward", step.phase === "backward" || step.phase === "end");
  byId("panel").replaceChildren(...panelFor(step, k, state).filter(Boolean));
  byId("panel").scrollTop = 0;
  const label = step.node === undefined ? "" : `, ${nodes[step.node].label}`;
  byId("where").textContent = `Step ${k + 1} of ${steps.length}: ${PHASES[step.phase].toLowerCase()}${label}`;
  byId("count").textContent = `${k + 1} / ${steps.length}`;
  byId("slider").value = k;
  byId("slider").setAttribute("aria-valuetext", byId("where").textContent);
  byId("first").disabled = byId("back").disabled = k === 0;
  byId("next").disabled = byId("last").disabled = k === steps.length - 1;
  if (k === steps.length - 1) pause();
  if (!keepAddress) history.replaceState(null, "", `#step=${k + 1}`);
}

function play() {
  if (current === steps.length - 1) go(0);
  timer = setInterval(() => go(current + 1), 1800);
  showPlaying(true);
}

function pause() {
  clearInterval(timer);
  timer = null;
  showPlaying(false);
}

function showPlaying(playing) {
  const button = byId("play");
  const shape = playing ? "M6 4v12M14 4v12" : "M6 4l10 6-10 6z";
  button.innerHTML = `<svg viewBox="0 0 20 20" class="solid" aria-hidden="true"><path d="${shape}"/></svg>`;
  button.setAttribute("aria-label", playing ? "Pause" : "Play");
  button.title = playing ? "Pause (space)" : "Play (space)";
}

function jumpTo(node) {
  const at = (phase) => steps.findIndex((step) => step.phase === phase && step.node === node);
  const backwardNow = ["backward", "end"].includes(steps[current].phase);
  let order = backwardNow ? [at("backward"), at("forward")] : [at("forward"), at("backward")];
  order = order.filter((k) => k >= 0);
  if (!order.length) go(0); // a constant
  else go(order[0] === current && order.length > 1 ? order[1] : order[0]);
}

function fromAddress() {
  const found = /^#step=(\d+)$/.exec(location.hash);
  go(found ? Number(found[1]) - 1 : 0, { keepAddress: true });
}

function toggleLegend() {
  const legend = byId("legend");
  legend.hidden = !legend.hidden;
  byId("help").setAttribute("aria-expanded", String(!legend.hidden));
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const target = event.target instanceof Element ? event.target : document.body;
  const group = target.closest(".node");
  const key = event.key;
  if (target.matches("input") && key !== " " && key !== "?") return; // the slider has its own keys
  if (group && (key === "Enter" || key === " ")) jumpTo(Number(group.dataset.node));
  else if (group && (key === "ArrowUp" || key === "ArrowDown")) {
    const next = Number(group.dataset.node) + (key === "ArrowDown" ? 1 : -1);
    boxes[next]?.[0].focus();
  } else if (key === "ArrowRight") go(current + 1);
  else if (key === "ArrowLeft") go(current - 1);
  else if (key === "Home") go(0);
  else if (key === "End") go(steps.length - 1);
  else if (key === " " && !target.matches("button")) timer ? pause() : play();
  else if (key === "?") toggleLegend();
  else return;
  event.preventDefault();
}

function drawColours() {
  const context = byId("colours").getContext("2d");
  const image = context.createImageData(255, 1);
  for (let x = 0; x < 255; x++)
    image.data.set([...colour(1 + Math.round((x / 254) * 252)), 255], 4 * x);
  context.putImageData(image, 0, 0);
}

byId("slider").max = steps.length - 1;
byId("slider").addEventListener("input", (event) => go(Number(event.target.value)));
for (const [id, target] of [
  ["first", () => 0], ["back", () => current - 1],
  ["next", () => current + 1], ["last", () => steps.length - 1],
])
  byId(id).addEventListener("click", () => { pause(); go(target()); });
byId("play").addEventListener("click", () => (timer ? pause() : play()));
byId("help").addEventListener("click", toggleLegend);
byId("graph").addEventListener("click", (event) => {
  const group = event.target.closest(".node");
  if (group) { pause(); jumpTo(Number(group.dataset.node)); }
});
document.addEventListener("keydown", onKey);
addEventListener("hashchange", fromAddress);
addEventListener("resize", fitGraph);
dark.addEventListener("change", () => {
  drawColours();
  const k = current;
  current = -1;
  go(k);
});
drawColours();
fitGraph();
showPlaying(false);
fromAddress();
