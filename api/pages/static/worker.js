// The grid worker's app: what there is to do today, and what became of it.
import { all, get, isFull, keep, write } from "./worker-base.js";
import { checkPage, draftId, draftOf } from "./worker-check.js";
import { field, fill, h, has, number, t, when } from "./worker-dom.js";
import { map } from "./worker-map.js";
import { matterBody, matterFields, meetingPage } from "./worker-meet.js";
import { add, drop, entry, forgetOld, onNews, retry, send, who } from "./worker-outbox.js";
import { chargerIn, scan } from "./worker-scan.js";

const REFRESH_MS = 5 * 60_000;
const RETRY_MS = 20_000;
const main = document.getElementById("main");
const bar = document.getElementById("sync");
const LISTS = { tasks: "/api/v1/worker/tasks", reports: "/api/v1/reports?to_review=1", matters: "/api/v1/matters?limit=200" };
let session = { login: null };
let end = "done"; // how sending ended last
let stopped = null; // why nothing can be read or written on this phone
let shown = 0;

// The server's clock: the phone's may be wrong.
const clock = () => new Date(Date.now() + (session.skew ?? 0)).toISOString();
const mine = (name) => get("kept", `${name}/${session.login}`);

// --- what the server knows

async function refresh() {
  try {
    session = await who();
  } catch {
    return; // no net: what is on the phone stays as it is
  }
  if (!session.login) {
    session = (await get("kept", "session")) ?? session;
    session.out = true;
    return;
  }
  if (!session.inspects) return;
  for (const [name, path] of Object.entries(LISTS)) {
    try {
      const answer = await fetch(path);
      if (answer.ok) await keep(`${name}/${session.login}`, { at: Date.now(), ...(await answer.json()) });
    } catch (error) {
      if (isFull(error)) end = "full";
    }
  }
}

// --- the bar: what waits, and why

async function drawBar() {
  const outbox = (await all("outbox")).filter((e) => e.login === session.login || e.state !== "sent");
  const count = (state) => outbox.filter((e) => e.state === state).length;
  const [waiting, refused] = [count("waiting"), count("refused")];
  const why = session.out || end === "login" ? "login" : !navigator.onLine || end === "offline" ? "offline" : end;
  const word = stopped ? "full" : refused ? "refused" : why === "login" ? "login" : why === "full" ? "full" : waiting ? why === "busy" || why === "done" ? "sending" : why : why === "offline" ? "offline" : "clear";
  bar.className = `sync ${word}`;
  fill(bar, h("a", { href: "#/outbox" }, h("b", {}, t(`worker.sync-${word}`)), " ",
    waiting > 0 && t("worker.sync-waiting", { count: number(waiting) }), refused > 0 && ` ${t("worker.sync-count-refused", { count: number(refused) })}`),
  why === "login" && h("a.button", { href: "/login?next=/worker" }, t("worker.log-in")));
}

let sending = null;
async function synchronise() {
  sending ??= (async () => {
    try {
      do { end = await send(); } while (end === "busy" && await new Promise((go) => { setTimeout(() => go(true), 1000); }));
      if (end === "login") session.out = true;
    } finally {
      sending = null;
    }
    await drawBar();
  })();
  await drawBar();
  return sending;
}

// --- pages

const problem = (text) => h("p.problem", { role: "alert" }, text);
const trouble = (text) => h("div", { role: "alert" }, h("h1", {}, text)); // where it is all that there is
const due = (moment) => h(`span.due${Date.parse(moment) < Date.now() ? ".late" : ""}`, {}, t("worker.due", { when: when(moment) }));
const stops = (tasks) => (tasks?.rounds ?? []).flatMap((round) => round.stops_in_order.map((stop) => ({ round: round.id, ...stop })));

async function stopWords() {
  const visits = (await all("outbox")).filter((e) => e.kind === "visit");
  const drafts = new Set((await all("drafts")).map((draft) => draft.id));
  const states = new Map(visits.map((e) => [draftId(e.body.round ?? e.body.inspections[0].round, e.body.charger ?? e.body.inspections[0].charger), e.state]));
  return (round, stop) => {
    const state = states.get(draftId(round, stop.charger));
    if (drafts.has(draftId(round, stop.charger))) return "begun";
    return stop.inspection || state === "sent" ? "done" : state ?? "open";
  };
}

async function home() {
  const [tasks, reports, matters] = await Promise.all(Object.keys(LISTS).map(mine));
  const outbox = await all("outbox");
  const word = await stopWords();
  const acted = new Set(outbox.filter((e) => e.state !== "refused").map((e) => e.about));
  const drafts = (await all("drafts")).filter((d) => d.kind === "meeting" && d.login === session.login);
  if (!tasks) return [h("h1", {}, t("worker.today")), problem(t(session.inspects === false ? "worker.not-yours" : session.login && !session.out ? "worker.no-tasks" : "worker.log-in-first")),
    h("a.button.primary", { href: "/login?next=/worker" }, t("worker.log-in"))];
  const rounds = tasks.rounds.map((round) => {
    const done = round.stops_in_order.filter((stop) => ["done", "waiting"].includes(word(round.id, stop))).length;
    return h("li", {}, h("a.task", { href: `#/round/${round.id}` }, h("b", {}, round.name),
      h("span", {}, t("worker.progress", { done: number(done), total: number(round.stops) })), h("progress", { value: done, max: round.stops, "aria-label": round.name }), due(round.due_at)));
  });
  const confirms = tasks.tickets.filter((ticket) => !acted.has(`ticket/${ticket.id}`)).map((ticket) => h("li", {}, h("a.task", { href: `#/confirm/${ticket.id}` },
    h("b", {}, t(`fault.${ticket.code}`)), h("span", {}, placeOf(ticket)), ticket.verify_by_at && due(ticket.verify_by_at))));
  const checks = (reports?.items ?? []).filter((report) => !acted.has(`report/${report.id}`)).map((report) => h("li.task", {},
    h("b", {}, has(`say.${report.code}`) ? t(`say.${report.code}`) : t(`fault.${report.code}`)), h("span", {}, placeOf(report)), report.note && h("p.quote", {}, report.note),
    h("div.pair", {}, ["accept", "dismiss"].map((way) => h("button.button", { type: "button", onclick: () => add([entry("review", session.login, placeOf(report),
      { id: crypto.randomUUID(), method: "POST", path: `/api/v1/reports/${report.id}/review`, body: { accept: way === "accept" } }, { about: `report/${report.id}`, once: true })]) }, t(`worker.${way}`))))));
  const open = (matters?.items ?? []).filter((matter) => matter.state !== "done" && !acted.has(`matter/${matter.id}`)).map((matter) => h("li.task", {},
    h("b", {}, matter.text), h("span", {}, t(`worker.matter-${matter.state}`)), due(matter.deadline_at), matter.answer && h("p.quote", {}, matter.answer),
    matter.actions.includes("settle") && h("button.button", { type: "button", onclick: () => add([entry("settle", session.login, matter.text.slice(0, 60),
      { id: crypto.randomUUID(), method: "POST", path: `/api/v1/matters/${matter.id}/settle`, body: {} }, { about: `matter/${matter.id}`, once: true })]) }, t("worker.settle"))));
  const section = (key, items) => items.length > 0 && h("section", {}, h("h2", {}, t(`worker.${key}`), " ", h("span.many", {}, number(items.length))), h("ul.tasks", {}, items));
  const nothing = !rounds.length && !confirms.length && !checks.length && !open.length;
  return [h("h1", {}, t("worker.today")), h("p.hint", {}, t("worker.as-of", { when: when(tasks.at) })),
    h("div.pair", {}, h("button.button.primary", { type: "button", onclick: () => scanHome(tasks) }, t("worker.scan")),
      h("a.button", { href: `#/meeting/${drafts[0]?.uuid ?? crypto.randomUUID()}` }, t(drafts.length ? "worker.meeting-on" : "worker.meeting"))),
    nothing && h("p.empty", {}, t("worker.nothing")), section("rounds", rounds), section("confirms", confirms), section("checks", checks), section("matters", open)];
}

const placeOf = (row) => [row.site_name ?? row.site, row.label ?? row.charger, row.connector && t("worker.port", { port: row.connector })].filter(Boolean).join(" · ");

async function scanHome(tasks) {
  const text = await scan();
  if (text === null) return;
  const found = stops(tasks).find((stop) => stop.charger === chargerIn(text));
  if (!found) return main.prepend(problem(t("worker.scan-unknown", { code: chargerIn(text) ?? "?" })));
  location.hash = `#/pile/${found.round}/${encodeURIComponent(found.charger)}`;
}

async function roundPage(id, view) {
  const round = (await mine("tasks"))?.rounds.find((one) => String(one.id) === id);
  if (!round) return missing();
  const word = await stopWords();
  const look = (stop) => ({ word: word(round.id, stop), href: `#/pile/${round.id}/${encodeURIComponent(stop.charger)}` });
  const next = round.stops_in_order.find((stop) => ["open", "begun", "refused"].includes(word(round.id, stop)));
  const tab = (name) => h("a.chip", { href: `#/round/${id}${name === "map" ? "/map" : ""}`, "aria-current": (view === "map") === (name === "map") ? "page" : undefined }, t(`worker.${name}`));
  const list = () => h("ol.tasks.stops", {}, round.stops_in_order.map((stop) => {
    const { word: w, href } = look(stop);
    return h("li", {}, h(`a.task.stop-${w}`, { href }, h("b", {}, `${stop.place}. ${stop.label}`), h("span", {}, stop.site_name), h("span.state", {}, t(`worker.stop-${w}`))));
  }));
  return [h("p.back", {}, h("a", { href: "#/" }, `‹ ${t("worker.today")}`)), h("h1", {}, round.name), h("p", {}, due(round.due_at)),
    h("nav.chips", { "aria-label": t("worker.round") }, tab("list"), tab("map")),
    next && h("a.button.primary", { href: look(next).href }, t("worker.next", { label: next.label })),
    view === "map" ? map(round.stops_in_order, look) : list()];
}

async function pilePage(round, charger) {
  const tasks = await mine("tasks");
  const draft = await get("drafts", draftId(Number(round), charger));
  const stop = draft?.stop ?? stops(tasks).find((one) => String(one.round) === round && one.charger === charger);
  const checklist = draft?.checklist ?? tasks?.checklists.find((one) => one.id === stop?.checklist);
  if (!stop || !checklist) return missing();
  if (!draft && ["done", "waiting"].includes((await stopWords())(Number(round), stop))) {
    return [h("p.back", {}, h("a", { href: `#/round/${round}` }, `‹ ${t("worker.round")}`)), h("h1", {}, stop.label), h("p.good", {}, t("worker.was-done"))];
  }
  return checkPage({ login: session.login, round: Number(round), stop, checklist, clock, leave: async () => {
    const word = await stopWords();
    const next = (tasks?.rounds.find((one) => String(one.id) === round)?.stops_in_order ?? []).find((one) => ["open", "begun"].includes(word(Number(round), one)));
    location.hash = next ? `#/pile/${round}/${encodeURIComponent(next.charger)}` : `#/round/${round}`;
  } });
}

async function confirmPage(id) {
  const ticket = (await mine("tasks"))?.tickets.find((one) => String(one.id) === id);
  if (!ticket) return missing();
  const note = h("textarea", { rows: 2, maxlength: 500 });
  const state = h("p.saved", { role: "status" });
  const answer = async (works) => {
    const uuid = crypto.randomUUID();
    try {
      await add([entry("confirm", session.login, placeOf(ticket), { id: uuid, method: "POST", path: "/api/v1/inspections", body: { id: uuid,
        charger: ticket.charger, connector: ticket.connector, passed: works, test_charge: works, inspected_at: clock(), note: note.value.trim() || null } }, { about: `ticket/${id}` })]);
      location.hash = "#/";
    } catch (error) {
      state.className = "saved problem";
      state.textContent = t(isFull(error) ? "worker.full" : "worker.not-saved");
    }
  };
  return [h("p.back", {}, h("a", { href: "#/" }, `‹ ${t("worker.today")}`)), h("h1", {}, t("worker.confirm")),
    h("dl.facts", {}, h("dt", {}, t("worker.fault")), h("dd", {}, t(`fault.${ticket.code}`)), h("dt", {}, t("worker.place")), h("dd", {}, placeOf(ticket)),
      ticket.cause && [h("dt", {}, t("worker.cause")), h("dd", {}, ticket.cause)], ticket.remedy && [h("dt", {}, t("worker.remedy")), h("dd", {}, ticket.remedy)]),
    ticket.charger ? [h("p", {}, t("worker.confirm-how")), field(t("worker.note"), note), state,
      h("div.pair", {}, h("button.button.yes", { type: "button", onclick: () => answer(true) }, t("worker.confirm-yes")),
        h("button.button.no", { type: "button", onclick: () => answer(false) }, t("worker.confirm-no")))] : problem(t("worker.confirm-site"))];
}

async function outboxPage() {
  const entries = (await all("outbox")).reverse();
  const row = (one) => h(`li.task.entry-${one.state}`, {}, h("b", {}, t(`worker.entry-${one.kind}`)), h("span", {}, one.label), h("span", {}, when(one.at)),
    h("span.state", {}, t(`worker.entry-state-${one.state}`)), one.login !== session.login && h("p", {}, t("worker.of", { login: one.login })),
    (one.rules ?? []).map((rule) => h("p", {}, t(`field.rule.${rule}`))), one.receipt && h("p.good", {}, t("worker.receipt", { number: one.receipt })),
    one.state === "refused" && [h("p.problem", {}, `${t("worker.why-refused")} ${one.why.join("; ")}`), h("p", {}, t(`worker.what-to-do-${one.kind === "visit" || one.kind === "matter" ? "correct" : "again"}`)), h("div.pair", {},
      one.kind === "visit" && h("button.button.primary", { type: "button", onclick: () => correct(one) }, t("worker.correct")),
      one.kind === "matter" && h("a.button.primary", { href: `#/matter/${one.place}` }, t("worker.correct")),
      h("button.button", { type: "button", onclick: () => retry(one) }, t("worker.again")),
      h("button.button.no", { type: "button", onclick: () => { if (confirm(t("worker.drop-sure"))) drop(one); } }, t("worker.drop")))]);
  const waiting = entries.some((one) => one.state === "waiting");
  return [h("p.back", {}, h("a", { href: "#/" }, `‹ ${t("worker.today")}`)), h("h1", {}, t("worker.outbox")),
    waiting && h("button.button.primary", { type: "button", onclick: synchronise }, t("worker.send-now")),
    entries.length ? h("ul.tasks", {}, entries.map(row)) : h("p.empty", {}, t("worker.outbox-empty"))];
}

async function correct(one) {
  const draft = draftOf(one);
  const photos = (await all("outbox")).filter((other) => other.parent === one.id);
  await write(["drafts", "outbox"], (drafts, outbox) => {
    drafts.put(draft);
    [one, ...photos].forEach((each) => outbox.delete(each.place));
  });
  location.hash = `#/pile/${draft.round}/${encodeURIComponent(draft.stop.charger)}`;
}

async function matterPage(place) {
  const one = (await all("outbox")).find((e) => String(e.place) === place);
  if (!one) return missing();
  let matter = { charger: "", code: session.sayings?.[0], ...one.body };
  const fields = h("div.items");
  const draw = () => fill(fields, matterFields(matter, session.sayings ?? [], stops(), (said, redraw) => { matter = { ...matter, ...said }; if (redraw) draw(); }));
  draw();
  return [h("h1", {}, t("worker.correct")), problem(one.why.join("; ")), fields,
    h("button.button.primary", { type: "button", onclick: async () => { await retry({ ...one, body: matterBody(matter) }); location.hash = "#/outbox"; } }, t("worker.finish"))];
}

const missing = () => [h("p.back", {}, h("a", { href: "#/" }, `‹ ${t("worker.today")}`)), trouble(t("worker.missing"))];

// --- which page

function here() {
  try {
    const [page = "", ...rest] = location.hash.split("/").slice(1).map(decodeURIComponent);
    return [page, ...rest];
  } catch {
    return ["missing"];
  }
}

// What is drawn anew while somebody is there keeps the focus.
function put(made) {
  const here = main.contains(document.activeElement) && document.activeElement !== main ? document.activeElement : null;
  const same = (one) => one.getAttribute("href") === here.getAttribute("href") && one.textContent === here.textContent;
  fill(main, made);
  if (here) [...main.querySelectorAll(here.localName)].find(same)?.focus();
}

const LIVE = new Set(["", "round", "outbox"]); // drawn anew when something happens; the others are being filled in
async function draw() {
  const [page, ...rest] = here();
  const turn = ++shown;
  let made;
  try {
    const tasks = page === "meeting" ? await mine("tasks") : null;
    made = await (page === "round" ? roundPage(...rest) : page === "pile" ? pilePage(...rest) : page === "confirm" ? confirmPage(...rest)
      : page === "outbox" ? outboxPage() : page === "matter" ? matterPage(...rest)
        : page === "missing" ? missing() : page === "meeting" ? meetingPage({ login: session.login, id: rest[0], session, chargers: stops(tasks), clock, leave: () => { location.hash = "#/"; } }) : home());
  } catch (error) {
    made = [trouble(t("worker.broken", { error: error.message }))];
  }
  if (turn === shown) put(made);
}
const page = () => here()[0];
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });

addEventListener("hashchange", async () => { await draw(); scrollTo(0, 0); main.focus({ preventScroll: true }); });
onNews(async (news) => {
  if (news.added) synchronise();
  if (LIVE.has(page())) await draw();
  await drawBar();
});
async function look() {
  await refresh();
  if (LIVE.has(page())) await draw();
  await synchronise();
}
addEventListener("online", () => { end = "done"; look(); });
addEventListener("offline", drawBar);
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
setInterval(look, REFRESH_MS);
setInterval(async () => { if ((await all("outbox")).some((e) => e.state === "waiting")) synchronise(); }, RETRY_MS);

try {
  session = (await get("kept", "session")) ?? session;
  await forgetOld();
} catch (error) {
  stopped = error;
}
navigator.serviceWorker?.register("/worker/sw.js", { scope: "/worker", type: "module" }).catch(() => {});
await draw();
await look();
if (page() !== "" && main.querySelector("[role=alert]")) await draw(); // the first visit came by a link
document.documentElement.dataset.ready = "1";
