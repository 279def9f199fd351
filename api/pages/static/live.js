// Keeps a page's living part fresh. Everything works without this file.
const main = document.querySelector("main[data-live]");
const lost = document.querySelector("[data-lost]");
const POLL_MS = 60_000;
const EVENTS = main?.dataset.events?.split(" ") ?? ["connector", "ticket", "incident", "command"];
const REST_MS = Number(main?.dataset.rest ?? 400); // what costs more to make rests longer

function tick() {
  const format = new Intl.RelativeTimeFormat(document.documentElement.lang);
  for (const age of document.querySelectorAll("time[data-age]")) {
    const seconds = Math.max(0, (Date.now() - Date.parse(age.dateTime)) / 1000);
    const [size, unit] = seconds < 3600 ? [60, "minute"] : seconds < 86400 ? [3600, "hour"] : [86400, "day"];
    age.textContent = seconds < 60
      ? document.body.dataset.justNow : format.format(-Math.round(seconds / size), unit);
  }
}

// Somebody is at work in it: a field has the focus, or no longer its first value.
function busy(part) {
  if (part.querySelector("[data-held], [role=slider]:focus-visible")) return true;
  if (part.contains(document.activeElement?.closest("select, input:not([type=checkbox]), textarea") ?? null)) return true;
  const fields = [...part.querySelectorAll("input, textarea")];
  const lists = [...part.querySelectorAll("select")];
  return fields.some((field) => field.value !== field.defaultValue) || lists.some((list) =>
    list.selectedIndex !== Math.max(0, [...list.options].findIndex((option) => option.defaultSelected)));
}

// What the reader has opened or is typing into stays as it is.
function put(old, fresh) {
  for (const open of old.querySelectorAll("details[open][id]")) {
    const same = fresh.querySelector(`#${CSS.escape(open.id)}`);
    if (same) same.open = true;
  }
  for (const ticked of old.querySelectorAll("input:checked[id]")) {
    const same = fresh.querySelector(`#${CSS.escape(ticked.id)}`);
    if (same) same.checked = true;
  }
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  old.replaceChildren(...fresh.childNodes);
  document.dispatchEvent(new CustomEvent("renewed", { detail: old.id })); // a page's script puts its own parts in again
  if (focused) document.getElementById(focused)?.focus();
}

async function refresh(asked = "") {
  const address = location.href;
  const answer = await fetch(address, { headers: { "X-Fragment": "1" } });
  if (answer.redirected) location.reload();
  if (!answer.ok) throw new Error(String(answer.status));
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (location.href !== address) return; // somebody has gone on meanwhile
  const regions = main.querySelectorAll("[data-region]");
  for (const region of regions) {
    const same = fresh.getElementById(region.id);
    if (same && (region.id === asked || !busy(region))) put(region, same);
  }
  if (!regions.length && !busy(main)) {
    put(main, fresh.body);
  }
  if ("titled" in main.dataset) document.title = main.querySelector("h1").textContent;
  tick();
}

async function told(refreshed) {
  try {
    await refreshed;
    if (!source || source.readyState === EventSource.OPEN) lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
}

// One refresh at a time; where answers are slow, no more than a fifth of the time goes into them.
let state = "idle"; // or due, running, again
let next = 0;
function soon() {
  if (state === "running") state = "again";
  if (state !== "idle") return;
  state = "due";
  setTimeout(run, Math.max(REST_MS, next - performance.now()));
}
async function run() {
  state = "running";
  const begun = performance.now();
  await told(refresh());
  next = performance.now() + Math.min(15_000, 4 * (performance.now() - begun));
  const again = state === "again";
  state = "idle";
  if (again) soon();
}

// A page's script has changed the address, and wants this region for it at once.
document.addEventListener("ask-anew", (event) => told(refresh(event.detail)));

let source = null;
function listen() {
  source = new EventSource(main.dataset.stream);
  for (const event of [...EVENTS, "reload"]) source.addEventListener(event, soon);
  source.onopen = () => { if (!lost.hidden) soon(); };
  source.onerror = () => {
    lost.hidden = false;
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 10_000);
  };
}

tick();
setInterval(tick, 10_000);
if (main) {
  if (main.dataset.stream) listen();
  setInterval(() => { if (!document.hidden) soon(); }, POLL_MS);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
}
for (const form of document.querySelectorAll("form[data-submit-on-change]")) {
  form.querySelector("button").hidden = true;
}
document.addEventListener("change", (event) => {
  event.target.closest("form[data-submit-on-change]")?.requestSubmit();
});
document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-once]");
  if (form?.dataset.sent) event.preventDefault();
  else if (form) form.dataset.sent = "1";
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});
