// What an operator's pages do beyond plain forms. Everything works without this file.

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
