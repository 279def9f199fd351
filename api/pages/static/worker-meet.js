// A bench meeting, written down beside the bench.
import { get, isFull, write } from "./worker-base.js";
import { ask, entry } from "./worker-outbox.js";
import { field, h, t } from "./worker-dom.js";

const KINDS = ["charging", "parking", "fire-safety", "environment", "facilities", "neighbours", "other"];
const local = (moment) => new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
const choose = (values, chosen, word, change) => h("select", { onchange: (event) => change(event.target.value) },
  values.map((value) => h("option", { value, selected: value === chosen }, word(value))));

// The fields of one matter; `change` is called with what is to be another.
export function matterFields(matter, sayings, chargers, change) {
  const text = h("textarea", { rows: 3, maxlength: 500, value: matter.text, oninput: () => change({ text: text.value }) });
  const made = [field(t("worker.matter-kind"), choose(KINDS, matter.kind, (kind) => t(`worker.kind-${kind}`), (kind) => change({ kind }, true))),
    field(t("worker.matter-text"), text)];
  if (matter.kind !== "charging") return made;
  const id = `piles-${matter.id}`;
  const pile = h("input", { list: id, maxlength: 64, value: matter.charger ?? "", autocapitalize: "characters",
    oninput: () => change({ charger: pile.value.trim() }) });
  const port = h("input", { type: "number", min: 1, max: 999, value: matter.connector ?? "",
    oninput: () => change({ connector: Number.isFinite(port.valueAsNumber) ? port.valueAsNumber : null }) });
  return [...made, h("datalist", { id }, chargers.map(({ charger, label }) => h("option", { value: charger }, label))),
    field(t("worker.matter-pile"), pile), field(t("worker.matter-port"), port),
    field(t("worker.matter-code"), choose(sayings, matter.code, (code) => t(`say.${code}`), (code) => change({ code })))];
}

// What the API is to get: only what belongs to this kind of matter.
export function matterBody({ id, kind, text, raised_at, charger, connector, code }) {
  const about = kind === "charging" ? { charger, code, ...(connector ? { connector } : {}) } : {};
  return { id, kind, text: text.trim(), raised_at, ...about };
}

export async function meetingPage({ login, id, session, chargers, clock, leave }) {
  let draft = (await get("drafts", `meeting/${id}`)) ?? { id: `meeting/${id}`, kind: "meeting", login, uuid: id,
    grid: session.grids?.[0]?.code ?? "", place: "", starts_at: local(new Date()), attendees: null, minutes: "", matters: [] };
  const sayings = session.sayings ?? [];
  const state = h("p.saved", { role: "status" });
  const matters = h("div.items");
  let turn = Promise.resolve();
  const say = (key, bad) => { state.className = bad ? "saved problem" : "saved"; state.textContent = t(key); };
  function change(edit, redraw) {
    turn = turn.then(async () => {
      const next = structuredClone(draft);
      edit(next);
      try {
        await write(["drafts"], (drafts) => drafts.put(next));
        draft = next;
        say("worker.saved");
      } catch (error) {
        say(isFull(error) ? "worker.full" : "worker.not-saved", true);
      }
      redraw?.();
    });
    return turn;
  }
  const input = (key, given, read = (i) => i.value) => {
    const made = h("input", { ...given, value: draft[key] ?? "", oninput: () => change((next) => { next[key] = read(made); }) });
    return made;
  };
  function drawMatters() {
    matters.replaceChildren(...draft.matters.map((matter, place) => h("fieldset.item", {},
      h("legend", {}, t("worker.matter-number", { number: place + 1 })),
      matterFields(matter, sayings, chargers, (said, redraw) => change((next) => Object.assign(next.matters[place], said), redraw && drawMatters)),
      h("button.button", { type: "button", onclick: () => change((next) => next.matters.splice(place, 1), drawMatters) }, t("worker.remove")))));
  }
  const minutes = h("textarea", { rows: 4, maxlength: 20000, value: draft.minutes, oninput: () => change((next) => { next.minutes = minutes.value; }) });

  async function finish(event) {
    event.preventDefault();
    await turn;
    const empty = draft.matters.some((m) => !m.text.trim() || (m.kind === "charging" && !m.charger));
    if (!draft.place.trim() || !draft.grid || empty) return say("worker.meeting-missing", true);
    const path = "/api/v1/meetings";
    const more = { ...(draft.attendees === null ? {} : { attendees: draft.attendees }), ...(draft.minutes.trim() ? { minutes: draft.minutes.trim() } : {}) };
    const entries = [entry("meeting", login, draft.place, { id, method: "POST", path, body: { id, grid: draft.grid,
      place: draft.place.trim(), starts_at: new Date(draft.starts_at).toISOString() } }),
    ...draft.matters.map((matter) => entry("matter", login, matter.text.slice(0, 60), { id: matter.id, method: "POST",
      path: `${path}/${id}/matters`, body: matterBody(matter) }, { parent: id }))];
    if (Object.keys(more).length) entries.push(entry("minutes", login, draft.place, { id: crypto.randomUUID(), method: "PATCH", path: `${path}/${id}`, body: more }, { parent: id }));
    try {
      await write(["drafts", "outbox"], (drafts, outbox) => { drafts.delete(draft.id); entries.forEach((one) => outbox.add(one)); });
    } catch (error) {
      return say(isFull(error) ? "worker.full" : "worker.not-saved", true);
    }
    ask();
    return leave();
  }

  drawMatters();
  return [h("p.back", {}, h("a", { href: "#/" }, `‹ ${t("worker.today")}`)), h("h1", {}, t("worker.meeting")),
    h("form.items", { onsubmit: finish, novalidate: true },
      field(t("worker.grid"), choose((session.grids ?? []).map((g) => g.code), draft.grid,
        (code) => session.grids.find((g) => g.code === code).name, (grid) => change((next) => { next.grid = grid; }))),
      field(t("worker.place"), input("place", { maxlength: 200, required: true })),
      field(t("worker.starts"), input("starts_at", { type: "datetime-local", required: true })),
      field(t("worker.attendees"), input("attendees", { type: "number", min: 0, max: 100000 }, (i) => (i.value === "" ? null : i.valueAsNumber))),
      matters,
      h("button.button", { type: "button", onclick: () => change((next) => next.matters.push({ id: crypto.randomUUID(), kind: "charging", text: "",
        raised_at: clock(), charger: "", connector: null, code: sayings[0] }), drawMatters) }, t("worker.matter-add")),
      field(t("worker.minutes"), minutes), state, h("button.button.primary", {}, t("worker.finish")))];
}
