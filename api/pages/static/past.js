// A pile's past by hand: lines that are zoomed, moved and read, over uPlot. Without this file, or
// without uPlot, the server's pictures and tables say the same.
const uPlot = globalThis.uPlot;
const past = document.getElementById("past");
const words = JSON.parse(document.getElementById("past-words").textContent);
const language = document.documentElement.lang;
const zone = past.dataset.zone;
const SHORTEST_S = 60;
const LONGEST_S = 365 * 86400;
const LEVELS = { 1: "--broken", 2: "--warn", 3: "--busy" };
const HEIGHT = 190;
const SLIDE_PX = 8;

const colour = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
const number = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
const time = (options) => new Intl.DateTimeFormat(language, { timeZone: zone, hourCycle: "h23", ...options });
const CLOCK = { hour: "2-digit", minute: "2-digit" };
const DAY = { month: "short", day: "numeric" };
const [moment, fine, clock, day] = [{ ...DAY, ...CLOCK }, { ...CLOCK, second: "2-digit" }, CLOCK, DAY].map(time);

const charts = new Map();
let view = null; // what is shown, in seconds
let due = 0;
let changed = 0;

// --- which time is shown

function move(from, to) {
  const length = Math.min(LONGEST_S, Math.max(SHORTEST_S, to - from));
  const middle = (from + to) / 2;
  const end = Math.min(Math.max(view.to, Date.now() / 1000), middle + length / 2);
  view = { from: end - length, to: end };
  for (const chart of charts.values()) chart.plot.setScale("x", { min: view.from, max: view.to });
  clearTimeout(due);
  due = setTimeout(ask, 250);
}
const slide = (share) => move(view.from + share * (view.to - view.from), view.to + share * (view.to - view.from));
function zoom(factor, at = (view.from + view.to) / 2) {
  const length = Math.min(LONGEST_S, Math.max(SHORTEST_S, factor * (view.to - view.from)));
  const share = (at - view.from) / (view.to - view.from);
  move(at - share * length, at + (1 - share) * length);
}

// The server makes the steps of every range anew, with states, marks and tables.
function ask() {
  const address = new URL(location.href);
  address.searchParams.delete("hours");
  address.searchParams.set("from", new Date(view.from * 1000).toISOString());
  address.searchParams.set("to", new Date(view.to * 1000).toISOString());
  go(address);
}
function go(address) {
  const soon = Date.now() - changed < 1500; // one step back undoes one look, not each turn of the wheel
  changed = Date.now();
  history[soon ? "replaceState" : "pushState"](null, "", address);
  document.dispatchEvent(new CustomEvent("ask-anew", { detail: "past" }));
}
function lastDay() {
  const address = new URL(location.href);
  for (const word of ["hours", "from", "to"]) address.searchParams.delete(word);
  clearTimeout(due);
  go(address);
}

// --- what the server's figure says

function told(figure) {
  const step = Number(figure.dataset.step);
  const columns = [[], [], [], []];
  const add = (...values) => values.forEach((value, place) => columns[place].push(value));
  let before = null;
  for (const row of figure.querySelectorAll("tr[data-at]")) {
    const at = Number(row.dataset.at);
    if (before !== null && at - before > 2.5 * step) add(before + step, null, null, null); // a gap
    add(at, Number(row.dataset.low), Number(row.dataset.value), Number(row.dataset.high));
    before = at;
  }
  const marks = [...figure.querySelectorAll("g.mark")].map((mark) => mark.dataset);
  return { columns, marks, ...figure.dataset };
}

// --- drawing

function incidents(chart) {
  const { plot, said } = chart;
  const { ctx, bbox } = plot;
  const pixel = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.font = `700 ${13 * pixel}px system-ui, sans-serif`;
  ctx.textBaseline = "top";
  for (const mark of said.marks) {
    const left = plot.valToPos(Number(mark.begins), "x", true);
    const width = Math.max(2 * pixel, plot.valToPos(Number(mark.ends), "x", true) - left);
    ctx.fillStyle = colour(LEVELS[mark.level]);
    ctx.globalAlpha = 0.2;
    ctx.fillRect(left, bbox.top, width, bbox.height);
    ctx.globalAlpha = 0.8;
    ctx.fillRect(left, bbox.top, 1.5 * pixel, bbox.height);
    ctx.globalAlpha = 1;
    ctx.fillStyle = colour("--ink");
    const right = bbox.left + bbox.width - ctx.measureText(mark.place).width - 3 * pixel;
    ctx.fillText(mark.place, Math.min(right, Math.max(left, bbox.left) + 4 * pixel), bbox.top + 3 * pixel);
  }
  ctx.restore();
}

function limit({ plot, said }) {
  if (said.limit === undefined) return;
  const { ctx, bbox } = plot;
  const y = plot.valToPos(Number(said.limit), "y", true);
  ctx.save();
  ctx.strokeStyle = colour("--broken");
  ctx.lineWidth = 2 * devicePixelRatio;
  ctx.setLineDash([6, 4].map((part) => part * devicePixelRatio));
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
}

function ticks(_, splits, axis, space, step) {
  const format = step < 60 ? fine : step < 86400 ? clock : day;
  let last = "";
  return splits.map((at) => {
    const now = new Date(at * 1000);
    if (format === day) return day.format(now);
    const date = day.format(now);
    const text = date === last || view.to - view.from < 43200 ? format.format(now) : `${format.format(now)}\n${date}`;
    last = date;
    return text;
  });
}

function alone(values) {
  const known = (place) => values[place] !== null && values[place] !== undefined;
  const found = [...values.keys()].filter((place) => known(place) && !known(place - 1) && !known(place + 1));
  return found.length ? found : null;
}

function build(chart) {
  const axis = { stroke: () => colour("--soft"), font: "13px system-ui, sans-serif", ticks: { show: false },
    grid: { stroke: () => colour("--line"), width: 1 } };
  const edge = { stroke: "transparent", points: { show: false } };
  // A line needs two values; one alone is a dot.
  const dots = { show: false, size: 6, width: 0, fill: () => colour("--link"), filter: () => alone(chart.said.columns[2]) };
  const area = () => `${colour("--link")}2e`;
  const plot = new uPlot({
    width: Math.max(200, chart.root.clientWidth), height: HEIGHT, legend: { show: false },
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), zone),
    cursor: {
      sync: { key: "past" }, y: false, drag: { x: true, y: false, setScale: false },
      points: { size: 9, fill: () => colour("--link") },
      bind: {
        mousedown: (_, __, handle) => (event) => { if (event.button === 0 && !event.shiftKey) handle(event); },
        dblclick: () => () => zoom(2),
      },
    },
    scales: { x: { time: true, auto: false }, y: { range: () => [Number(chart.said.bottom), Number(chart.said.top)] } },
    axes: [{ ...axis, values: ticks, space: 76, size: 44 }, { ...axis, size: 56, space: 34, values: (_, all) => all.map((value) => number.format(value)) }],
    series: [{}, edge, { stroke: () => colour("--link"), width: 2, points: dots }, edge],
    bands: [{ series: [3, 1], fill: area }],
    hooks: {
      drawAxes: [() => chart.plot && incidents(chart)],
      draw: [() => chart.plot && limit(chart)],
      setCursor: [() => chart.plot && read(chart)],
      setSelect: [({ select }) => {
        if (select.width < 4) return;
        const [from, to] = [select.left, select.left + select.width].map((at) => chart.plot.posToVal(at, "x"));
        chart.plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        move(from, to);
      }],
    },
  }, chart.said.columns, chart.root);
  chart.plot = plot;
}

// --- reading a value

function read(chart) {
  const { plot, said, root, figure } = chart;
  const [at, low, value, high] = said.columns.map((column) => column[plot.cursor.idx]);
  const output = figure.querySelector("[data-readout]");
  if (plot.cursor.idx === null || plot.cursor.idx === undefined || value === null || value === undefined) {
    output.textContent = "";
    return;
  }
  const span = low < high ? ` (${number.format(low)} – ${number.format(high)})` : "";
  output.textContent = `${moment.format(new Date(at * 1000))}: ${number.format(value)} ${said.unit}${span}`;
  root.setAttribute("aria-valuenow", String(value));
  root.setAttribute("aria-valuetext", output.textContent);
}

function step(chart, by) {
  const { plot, said } = chart;
  const [times, , values] = said.columns;
  const shown = [...times.keys()].filter((place) => values[place] !== null && times[place] >= view.from && times[place] <= view.to);
  if (!shown.length) return;
  const here = shown.indexOf(plot.cursor.idx);
  const next = Number.isFinite(by)
    ? Math.min(shown.length - 1, Math.max(0, here < 0 ? shown.length - 1 : here + by))
    : (by < 0 ? 0 : shown.length - 1);
  plot.setCursor({ left: plot.valToPos(times[shown[next]], "x"), top: 10 });
}

const KEYS = {
  ArrowLeft: (chart) => step(chart, -1), ArrowRight: (chart) => step(chart, 1),
  PageUp: (chart) => step(chart, 10), PageDown: (chart) => step(chart, -10),
  Home: (chart) => step(chart, -Infinity), End: (chart) => step(chart, Infinity),
  "shift+ArrowLeft": () => slide(-0.25), "shift+ArrowRight": () => slide(0.25),
  "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: lastDay,
};

// --- fingers and the wheel

function handle(chart) {
  const over = chart.plot.root.querySelector(".u-over");
  const at = (event) => chart.plot.posToVal(event.clientX - over.getBoundingClientRect().left, "x");
  let grip = null; // the view and the distance between two fingers as they were put down
  const take = () => {
    const xs = [...chart.fingers.values()];
    grip = { view, xs, moved: false };
  };
  over.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch" && !(event.shiftKey && event.button === 0)) return;
    chart.fingers.set(event.pointerId, event.clientX);
    chart.root.dataset.held = "1";
    if (event.pointerType !== "touch") over.setPointerCapture(event.pointerId);
    take();
  });
  over.addEventListener("pointermove", (event) => {
    if (!chart.fingers.has(event.pointerId) || !grip) return;
    chart.fingers.set(event.pointerId, event.clientX);
    const xs = [...chart.fingers.values()];
    const width = over.clientWidth;
    const length = grip.view.to - grip.view.from;
    const middle = (all) => all.reduce((sum, x) => sum + x, 0) / all.length;
    const far = (all) => Math.max(24, Math.abs(all[0] - all.at(-1)));
    if (!grip.moved && Math.abs(middle(xs) - middle(grip.xs)) < SLIDE_PX && Math.abs(far(xs) - far(grip.xs)) < SLIDE_PX) return;
    grip.moved = true;
    const factor = xs.length > 1 ? far(grip.xs) / far(xs) : 1;
    const left = over.getBoundingClientRect().left;
    // The moment that was under the fingers stays under them.
    const under = grip.view.from + ((middle(grip.xs) - left) / width) * length;
    const from = under - ((middle(xs) - left) / width) * length * factor;
    move(from, from + length * factor);
  });
  for (const word of ["pointerup", "pointercancel"]) {
    over.addEventListener(word, (event) => {
      if (!chart.fingers.delete(event.pointerId)) return;
      if (chart.fingers.size) take();
      else delete chart.root.dataset.held;
    });
  }
  over.addEventListener("wheel", (event) => {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
    if (!sideways && !event.ctrlKey && !event.metaKey) return; // the page scrolls
    event.preventDefault();
    if (sideways) slide((event.deltaX || event.deltaY) / over.clientWidth);
    else zoom(Math.min(4, Math.max(0.25, Math.exp(event.deltaY / 200))), at(event));
  }, { passive: false });
}

// --- putting the charts into the figures that the server sends

function button(word, text, act) {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", className: "quiet", textContent: text, onclick: act });
  made.setAttribute("aria-label", words[word]);
  made.title = words[word];
  return made;
}

function make(figure) {
  const root = document.createElement("div");
  root.className = "lines-live";
  root.id = `${figure.id}-live`;
  root.tabIndex = 0;
  root.setAttribute("role", "slider");
  root.setAttribute("aria-describedby", "chart-keys");
  const chart = { root, fingers: new Map(), plot: null };
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = KEYS[event.shiftKey && event.key.startsWith("Arrow") ? `shift+${event.key}` : event.key];
    if (!act) return;
    event.preventDefault();
    act(chart);
  });
  new ResizeObserver(() => {
    if (root.clientWidth > 0) chart.plot.setSize({ width: root.clientWidth, height: HEIGHT });
  }).observe(root);
  return chart;
}

function put() {
  const figures = [...past.querySelectorAll("figure.chart")];
  for (const [id, chart] of charts) {
    if (figures.some((figure) => figure.id === id)) continue;
    chart.plot.destroy();
    charts.delete(id);
  }
  for (const figure of figures) {
    const chart = charts.get(figure.id) ?? make(figure);
    charts.set(figure.id, chart);
    Object.assign(chart, { figure, said: told(figure) });
    view = { from: Number(figure.dataset.from), to: Number(figure.dataset.to) };
    chart.root.setAttribute("aria-label", figure.querySelector("svg[role=img]").getAttribute("aria-label"));
    chart.root.setAttribute("aria-valuemin", figure.dataset.bottom);
    chart.root.setAttribute("aria-valuemax", figure.dataset.top);
    if (!chart.root.hasAttribute("aria-valuenow")) chart.root.setAttribute("aria-valuenow", String(chart.said.columns[2].at(-1)));
    const tools = document.createElement("span");
    tools.className = "tools";
    tools.append(button("chart.wider", "−", () => zoom(2)), button("chart.closer", "+", () => zoom(0.5)));
    figure.querySelector("figcaption").append(tools);
    figure.classList.add("drawn");
    figure.querySelector(".plot").after(chart.root);
    if (!chart.plot) {
      build(chart);
      handle(chart);
    } else {
      chart.plot.setData(chart.said.columns, false);
    }
    chart.plot.setScale("x", { min: view.from, max: view.to });
    if (chart.plot.cursor.left > 0) chart.plot.setCursor({ left: chart.plot.cursor.left, top: chart.plot.cursor.top });
  }
  if (figures.length && !document.getElementById("chart-keys")) {
    const hint = document.createElement("p");
    hint.id = "chart-keys";
    hint.className = "meta";
    hint.textContent = words["chart.keys"];
    past.querySelector("figure.chart").before(hint);
  }
}

if (uPlot) {
  put();
  document.addEventListener("renewed", ({ detail }) => { if (detail === past.id) put(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const chart of charts.values()) chart.plot.redraw(false);
  });
}
addEventListener("popstate", () => document.dispatchEvent(new CustomEvent("ask-anew", { detail: "past" })));

// --- pictures of the server, states above all: drag over them to see a piece larger

function timeAt(plot, event) {
  const box = (plot.querySelector("svg:not(.numbers)") ?? plot).getBoundingClientRect();
  const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  const [from, to] = [Date.parse(plot.dataset.from), Date.parse(plot.dataset.to)];
  return { moment: (from + share * (to - from)) / 1000, x: box.left + share * box.width };
}

let drag = null;
document.addEventListener("pointerdown", (event) => {
  const plot = event.target.closest("[data-zoom]");
  if (!plot || event.button !== 0 || event.pointerType === "touch") return;
  const picked = document.createElement("div");
  picked.className = "picked";
  plot.dataset.held = "1";
  drag = { plot, picked, begun: timeAt(plot, event) };
});
document.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const now = timeAt(drag.plot, event);
  if (Math.abs(now.x - drag.begun.x) < 6) return;
  if (!drag.picked.isConnected) drag.plot.append(drag.picked);
  const left = drag.plot.getBoundingClientRect().left;
  drag.picked.style.left = `${Math.min(now.x, drag.begun.x) - left}px`;
  drag.picked.style.width = `${Math.abs(now.x - drag.begun.x)}px`;
});
function drop() {
  const was = drag;
  drag = null;
  delete was?.plot.dataset.held;
  was?.picked.remove();
  return was;
}
document.addEventListener("pointerup", (event) => {
  const far = drag?.picked.isConnected;
  const was = drop();
  if (!far) return;
  const [from, to] = [was.begun.moment, timeAt(was.plot, event).moment].sort((a, b) => a - b);
  view ??= { from, to };
  move(from, to);
});
document.addEventListener("pointercancel", drop);
