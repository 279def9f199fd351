// One pile: its checklist, its photos, its code. Every touch is saved before it is shown as saved.
import { get, isFull, write } from "./worker-base.js";
import { ask, entry } from "./worker-outbox.js";
import { field, fill, h, language, t } from "./worker-dom.js";
import { small } from "./worker-photo.js";
import { chargerIn, scan } from "./worker-scan.js";

export const draftId = (round, charger) => `visit/${round}/${charger}`;
const REASONS = ["locked", "blocked", "unsafe", "no-tool"];

const fresh = (login, round, stop, checklist) => ({
  id: draftId(round, stop.charger), kind: "visit", login, round, stop, checklist,
  uuid: crypto.randomUUID(), answers: {}, tests: [], scanned: null, note: "" });

const told = (answer) => answer !== undefined
  && (answer.ok !== undefined || answer.skipped !== undefined || Number.isFinite(answer.value));

// What the server is to get of a draft; `at` is the moment by the server's clock.
export function visitOf(draft, at) {
  const answers = draft.checklist.items.filter((item) => told(draft.answers[item.code])).map((item) => {
    const { ok, value, skipped, ports = [], photos = [], note } = draft.answers[item.code];
    const said = skipped !== undefined ? { skipped } : item.kind === "number" ? { value } : { ok };
    return { item: item.code, ...said, ...(ok === false && ports.length ? { ports } : {}),
      ...(photos.length ? { photos } : {}), ...(note ? { note } : {}) };
  });
  return { id: draft.uuid, charger: draft.stop.charger, checklist: draft.checklist.id, round: draft.round,
    inspected_at: at, answers, test_charges: draft.tests, note: draft.note.trim() || null, scanned: draft.scanned };
}

// The draft that a refused inspection came from, to be corrected under a new id.
export function draftOf(one) {
  const sent = one.body.inspections[0];
  const answers = Object.fromEntries(sent.answers.map(({ item, ...said }) => [item, said]));
  return { ...one.source, id: draftId(sent.round, sent.charger), kind: "visit", login: one.login, round: sent.round,
    uuid: crypto.randomUUID(), answers, tests: sent.test_charges, scanned: sent.scanned, note: sent.note ?? "" };
}

// What is drawn anew keeps the focus.
const keyIn = (element) => (element.contains(document.activeElement) ? document.activeElement.dataset.key : null);
const refocus = (element, key) => { if (key) element.querySelector(`[data-key="${key}"]`)?.focus(); };

export async function checkPage({ login, round, stop, checklist, clock, leave }) {
  let draft = (await get("drafts", draftId(round, stop.charger))) ?? fresh(login, round, stop, checklist);
  if (draft.login !== login) draft = fresh(login, round, stop, checklist);
  ({ stop, checklist } = draft);
  const state = h("p.saved", { role: "status" });
  let turn = Promise.resolve();

  // One change after the other. What could not be saved is not shown as done.
  function change(edit, redraw, photo) {
    turn = turn.then(async () => {
      const next = structuredClone(draft);
      edit(next);
      try {
        await write(["drafts", "photos"], (drafts, photos) => {
          drafts.put(next);
          if (photo) photos.add({ ...photo, visit: next.uuid });
        });
        draft = next;
        state.className = "saved";
        state.textContent = t("worker.saved");
      } catch (error) {
        state.className = "saved problem";
        state.textContent = t(isFull(error) ? "worker.full" : "worker.not-saved");
      }
      redraw?.();
    });
    return turn;
  }
  const answer = (next, code) => (next.answers[code] ??= {});

  function photos(item, redraw) {
    const names = draft.answers[item.code]?.photos ?? [];
    const input = h("input.hidden", { type: "file", accept: "image/*", capture: "environment",
      "aria-label": `${t("worker.photo-take")} ${item.text[language]}`,
      onchange: async () => {
        try {
          const made = await small(input.files[0]);
          await change((next) => { (answer(next, item.code).photos ??= []).push(made.name); }, redraw, made);
        } catch (error) {
          state.className = "saved problem";
          state.textContent = error.message;
        }
      } });
    const shown = names.map((name, place) => {
      const image = h("img", { alt: t("worker.photo", { number: place + 1 }) });
      get("photos", name).then((found) => {
        if (!found) return;
        image.src = URL.createObjectURL(new Blob([found.jpeg], { type: "image/jpeg" }));
        image.onload = () => URL.revokeObjectURL(image.src);
      });
      return image;
    });
    return h("div.shots", {}, shown, names.length < 10 && h("label.button.shot", {}, t("worker.photo-take"), input));
  }

  const chips = (chosen, set) => h("div.chips", {}, (stop.ports ?? []).map((port) => h("button.chip", { type: "button", "data-key": `port-${port}`,
    "aria-pressed": String(chosen.includes(port)), "aria-label": t("worker.port", { port }),
    onclick: () => set(chosen.includes(port) ? chosen.filter((p) => p !== port) : [...chosen, port].sort((a, b) => a - b)) }, String(port))));

  function judged(item, said = {}) {
    if (said.skipped !== undefined) return "skipped";
    if (item.kind !== "number") return said.ok === undefined ? "open" : said.ok ? "ok" : "bad";
    if (!Number.isFinite(said.value)) return "open";
    return said.value > (item.most ?? Infinity) || said.value < (item.least ?? -Infinity) ? "bad" : "ok";
  }

  function card(item) {
    const said = draft.answers[item.code] ?? {};
    const word = judged(item, said);
    const made = h(`fieldset.item.${word}`, { "data-item": item.code },
      h("legend", {}, item.text[language], item.required === false && h("small", {}, ` ${t("app.optional")}`)));
    const redraw = () => {
      const key = keyIn(made);
      const again = card(item);
      made.replaceWith(again);
      refocus(again, key);
      foot();
    };
    const put = (values) => change((next) => {
      const { photos: kept, note } = answer(next, item.code);
      next.answers[item.code] = { ...(kept ? { photos: kept } : {}), ...(note ? { note } : {}), ...values };
    }, redraw);
    const button = (key, pressed, values) => h(`button.answer.${key}`, { type: "button", "data-key": key,
      "aria-pressed": String(pressed), onclick: () => put(values) }, t(`worker.answer-${key}`));
    if (item.kind === "number") {
      const hint = [item.least !== undefined && `≥ ${item.least}`, item.most !== undefined && `≤ ${item.most}`].filter(Boolean).join(" ");
      const input = h("input", { type: "number", inputmode: "decimal", step: "any", "data-key": "value", value: said.value ?? "",
        "aria-label": `${item.text[language]} (${item.unit})`,
        onchange: () => put(input.value === "" || !Number.isFinite(input.valueAsNumber) ? {} : { value: input.valueAsNumber }) });
      made.append(h("div.measure", {}, input, h("span", {}, `${item.unit} ${hint}`)));
    }
    made.append(h("div.answers", {}, item.kind !== "number" && [button("ok", said.ok === true, { ok: true }),
      button("bad", said.ok === false, { ok: false, ports: [] })],
    button("cannot", said.skipped !== undefined, { skipped: t(`worker.reason-${REASONS[0]}`) })));
    if (said.skipped !== undefined) {
      const own = h("input", { maxlength: 200, value: said.skipped, "data-key": "why", "aria-label": t("worker.why"),
        onchange: () => put({ skipped: own.value.trim() || t(`worker.reason-${REASONS[0]}`) }) });
      made.append(h("div.chips", {}, REASONS.map((reason) => h("button.chip", { type: "button", "data-key": reason,
        "aria-pressed": String(said.skipped === t(`worker.reason-${reason}`)),
        onclick: () => put({ skipped: t(`worker.reason-${reason}`) }) }, t(`worker.reason-${reason}`)))), own);
    }
    if (word === "bad") {
      if (item.each_port) made.append(h("p", {}, t("worker.which-ports")), chips(said.ports ?? [], (ports) => put({ ok: false, ports })));
      const note = h("input", { maxlength: 500, value: said.note ?? "", "data-key": "note", "aria-label": t("worker.note"), placeholder: t("worker.note"),
        oninput: () => change((next) => { answer(next, item.code).note = note.value.trim() || undefined; }) });
      made.append(note);
    }
    if (item.photo || word === "bad" || said.photos?.length) made.append(photos(item, redraw));
    return made;
  }

  const code = h("div.code");
  function drawCode() {
    const there = draft.scanned === null ? null : chargerIn(draft.scanned);
    const right = there === stop.charger;
    fill(code, h("button.button.report", { type: "button", onclick: async () => {
      const found = await scan();
      if (found === null) return;
      await change((next) => {
        next.scanned = found;
        for (const item of checklist.items) if (item.scan) answer(next, item.code).ok = chargerIn(found) === stop.charger;
      }, drawCode);
      drawItems();
    } }, t(there === null ? "worker.scan" : "worker.scan-again")),
    there !== null && h(right ? "p.good" : "p.problem", { role: "status" },
      t(right ? "worker.scan-right" : "worker.scan-wrong", { code: there ?? "?" })));
  }
  const list = h("div.items");
  const drawItems = () => { list.replaceChildren(...checklist.items.map(card)); foot(); };
  const tests = h("div");
  const drawTests = () => {
    const key = keyIn(tests);
    tests.replaceChildren(h("fieldset.item", {}, h("legend", {}, t("worker.tests")),
      chips(draft.tests, (ports) => change((next) => { next.tests = ports; }, drawTests))));
    refocus(tests, key);
  };
  const note = h("textarea", { rows: 2, maxlength: 2000, value: draft.note, oninput: () => change((next) => { next.note = note.value; }) });

  const open = () => checklist.items.filter((item) => item.required !== false && !told(draft.answers[item.code]));
  const easy = () => checklist.items.filter((item) => item.kind !== "number" && item.required !== false && !told(draft.answers[item.code]));
  const bottom = h("div.bottom");
  function foot() {
    const left = open().length;
    const key = bottom.contains(document.activeElement) && "finish";
    fill(bottom,
      easy().length > 0 && h("button.button", { type: "button", onclick: () => change((next) => {
        for (const item of checklist.items.filter((i) => i.kind !== "number" && i.required !== false && !told(next.answers[i.code]))) answer(next, item.code).ok = true;
      }, drawItems) }, t("worker.rest-ok", { count: easy().length })),
      h("button.button.primary", { type: "button", "data-key": "finish", onclick: finish }, left ? t("worker.left", { count: left }) : t("worker.finish")));
    refocus(bottom, key);
  }
  async function finish() {
    await turn;
    const missing = open()[0];
    if (missing) {
      const there = list.querySelector(`[data-item="${missing.code}"]`);
      there.scrollIntoView({ block: "center" });
      there.querySelector("button, input")?.focus();
      return;
    }
    const visit = visitOf(draft, clock());
    const label = `${stop.site_name} · ${stop.label}`;
    const entries = [entry("visit", login, label, { id: draft.uuid, method: "POST", path: "/api/v1/worker/sync",
      body: { inspections: [visit] } }, { source: { stop, checklist } }),
    ...visit.answers.flatMap((said) => said.photos ?? []).map((name) => entry("photo", login, label,
      { id: name, method: "PUT", path: `/api/v1/inspections/${draft.uuid}/photos/${name}` }, { parent: draft.uuid }))];
    try {
      await write(["drafts", "outbox"], (drafts, outbox) => {
        drafts.delete(draft.id);
        entries.forEach((one) => outbox.add(one));
      });
    } catch (error) {
      state.className = "saved problem";
      state.textContent = t(isFull(error) ? "worker.full" : "worker.not-saved");
      return;
    }
    navigator.storage?.persist?.();
    ask();
    leave();
  }

  drawCode();
  drawTests();
  drawItems();
  if (Object.keys(draft.answers).length) state.textContent = t("worker.resumed");
  return [h("p.back", {}, h("a", { href: `#/round/${round}` }, `‹ ${t("worker.round")}`)),
    h("h1", {}, stop.label), h("p.address", {}, `${stop.site_name} · ${stop.charger}`), code, list,
    (stop.ports ?? []).length > 0 && tests, field(t("worker.note"), note), state, bottom];
}
