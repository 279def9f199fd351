// What an operator's pages do beyond plain forms. Everything works without this file.

// --- charts: drag to look closer, point to read a value

function timeAt(plot, event) {
  const box = (plot.querySelector("svg:not(.numbers)") ?? plot).getBoundingClientRect();
  const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  const [from, to] = [Date.parse(plot.dataset.from), Date.parse(plot.dataset.to)];
  return { moment: from + share * (to - from), x: box.left + share * box.width, box };
}

let drag = null;
document.addEventListener("pointerdown", (event) => {
  const plot = event.target.closest("[data-zoom]");
  if (!plot || event.button !== 0 || event.pointerType === "touch") return;
  const begun = timeAt(plot, event);
  const picked = document.createElement("div");
  picked.className = "picked";
  drag = { plot, begun, picked };
});
document.addEventListener("pointermove", (event) => {
  const plot = event.target.closest?.("[data-zoom]");
  if (plot?.dataset.unit) read(plot, timeAt(plot, event).moment);
  if (!drag) return;
  const now = timeAt(drag.plot, event);
  if (Math.abs(now.x - drag.begun.x) < 6) return;
  if (!drag.picked.isConnected) drag.plot.append(drag.picked);
  const left = drag.plot.getBoundingClientRect().left;
  drag.picked.style.left = `${Math.min(now.x, drag.begun.x) - left}px`;
  drag.picked.style.width = `${Math.abs(now.x - drag.begun.x)}px`;
});
document.addEventListener("pointerup", (event) => {
  if (!drag) return;
  const { plot, begun, picked } = drag;
  drag = null;
  if (!picked.isConnected) return;
  picked.remove();
  const [from, to] = [begun.moment, timeAt(plot, event).moment].sort((a, b) => a - b);
  if (to - from < 60_000) return;
  const address = new URL(location.href);
  address.searchParams.delete("hours");
  address.searchParams.set("from", new Date(from).toISOString());
  address.searchParams.set("to", new Date(to).toISOString());
  location.assign(address);
});
document.addEventListener("pointercancel", () => { drag?.picked.remove(); drag = null; });

function read(plot, moment) {
  const figure = plot.closest("figure");
  const rows = [...figure.querySelectorAll("tr[data-at]")];
  const near = rows.reduce((best, row) =>
    !best || Math.abs(row.dataset.at * 1000 - moment) < Math.abs(best.dataset.at * 1000 - moment) ? row : best, null);
  if (!near) return;
  const [time, , value] = [...near.cells].map((cell) => cell.textContent);
  figure.querySelector("[data-readout]").textContent = `${time}: ${value} ${plot.dataset.unit}`;
}

// --- the board by keyboard: j and k walk, Enter opens, x picks, / filters, ? tells

const titles = () => [...document.querySelectorAll(".matter .title")];
function walk(step) {
  const all = titles();
  const here = all.findIndex((title) => title.closest(".matter").contains(document.activeElement));
  const next = all[here < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, here + step))];
  next?.focus();
  next?.closest(".matter").scrollIntoView({ block: "nearest" });
}
const KEYS = {
  j: () => walk(1),
  k: () => walk(-1),
  x: () => { document.activeElement.closest?.(".matter")?.querySelector("input[type=checkbox]")?.click(); },
  "/": () => document.getElementById("f-site")?.focus(),
  "?": () => document.getElementById("keys")?.showModal(),
};
if (document.querySelector("main[data-keys]")) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("textarea, select, input:not([type=checkbox]), dialog[open]")) return;
    const act = KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
document.addEventListener("change", (event) => {
  const told = document.querySelector("[data-picked]");
  if (!told || event.target.name !== "ticket") return;
  const count = document.querySelectorAll("input[name=ticket]:checked").length;
  told.textContent = told.dataset.text.replace("{count}", count);
});

// --- a trial under way: the page asks again by itself until it is over
if (document.querySelector("main[data-hurry='1']")) setTimeout(() => location.reload(), 2000);
