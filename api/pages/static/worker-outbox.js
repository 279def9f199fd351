// What waits to be sent, one by one and in order. Ids are made here: sent twice, it counts once.
import { all, get, isFull, write } from "./worker-base.js";

const KEPT_MS = 3 * 86_400_000; // what was sent is shown so long
const PATIENCE_MS = 60_000;
const news = new BroadcastChannel("pilewatch-worker");
const tell = (what) => { news.postMessage(what); heard.forEach((hear) => hear(what)); };
const heard = new Set();
export function onNews(hear) {
  heard.add(hear);
  news.onmessage = (event) => heard.forEach((each) => each(event.data));
}

// An entry: id, kind, login, label, method, path, body; `parent` is the id that must be sent first.
export const entry = (kind, login, label, order, more = {}) =>
  ({ kind, login, label, state: "waiting", at: new Date().toISOString(), ...order, ...more });

export async function who() {
  const answer = await fetch("/worker/session", { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!answer.ok) throw new Error(String(answer.status));
  // Its clock is right; ours need not be.
  const session = { ...(await answer.json()), skew: Date.parse(answer.headers.get("date")) - Date.now() || 0 };
  if (session.login) await write(["kept"], (kept) => kept.put(session, "session"));
  return session;
}

// Sends what can be sent. Gives how it ended: done, offline, later, login, full or busy.
export function send() {
  return navigator.locks.request("pilewatch-outbox", { ifAvailable: true }, async (lock) => {
    if (!lock) return "busy";
    try {
      return await sendAll();
    } catch (error) {
      return isFull(error) ? "full" : "offline";
    }
  });
}

async function sendAll() {
  let waiting = (await all("outbox")).filter((one) => one.state === "waiting");
  if (!waiting.length) return "done";
  let session = await who();
  let end = "done";
  const passed = new Set();
  for (;;) {
    if (!session.login) return "login";
    const entries = await all("outbox");
    const held = new Set(entries.filter((e) => e.state !== "sent" && e.kind !== "photo").map((e) => e.id));
    const next = entries.find((e) => e.state === "waiting" && e.login === session.login
      && !passed.has(e.place) && !(e.parent && held.has(e.parent)));
    if (!next) break;
    passed.add(next.place);
    const answer = await post(next, session.csrf);
    if (answer.status === 401 || answer.status === 403) {
      session = await who(); // expired, or another token
      if (!session.login) return "login";
      const again = await post(next, session.csrf);
      if (!(await settle(next, again))) end = "later";
    } else if (!(await settle(next, answer))) {
      end = "later";
      if (answer.status === 429 || answer.status === 503) break;
    }
  }
  waiting = (await all("outbox")).filter((one) => one.state === "waiting");
  if (end === "done" && waiting.some((one) => one.login !== session.login)) return "login";
  return end;
}

async function post(one, csrf) {
  const headers = { "X-CSRF-Token": csrf ?? "" };
  let body;
  if (one.kind === "photo") {
    const photo = await get("photos", one.id);
    if (!photo) return new Response("{}", { status: 410 });
    headers["Content-Type"] = "image/jpeg";
    body = photo.jpeg;
  } else {
    headers["Content-Type"] = "application/json";
    if (one.once) headers["Idempotency-Key"] = one.id;
    body = JSON.stringify(one.body);
  }
  tell({ sending: one.place });
  return fetch(one.path, { method: one.method, headers, body, signal: AbortSignal.timeout(PATIENCE_MS) });
}

// Keeps what the server said. False: it could not say anything yet.
async function settle(one, answer) {
  if (answer.status >= 500 || [408, 425, 429, 401].includes(answer.status)) return false;
  const said = await answer.json().catch(() => ({}));
  const result = said.results?.[0] ?? said;
  const ok = answer.ok && !["refused", "conflict"].includes(result.outcome);
  const why = ok ? [] : [...(result.problems ?? []), result.detail ?? "",
    ...(said.errors ?? []).map((e) => `${e.pointer}: ${e.detail}`)].filter(Boolean);
  await write(["outbox", "photos"], (outbox, photos) => {
    const settled = { ...one, state: ok ? "sent" : "refused", why, status: answer.status,
      rules: result.rules ?? [], receipt: result.receipt ?? null, settled: Date.now() };
    if (ok && one.kind === "photo") {
      photos.delete(one.id);
      outbox.delete(one.place);
    } else {
      if (ok) settled.body = one.kind === "visit"
        ? { round: one.body.inspections[0].round, charger: one.body.inspections[0].charger } : null;
      outbox.put(settled);
    }
  });
  tell({ settled: one.place });
  return true;
}

export async function add(entries) {
  await write(["outbox"], (outbox) => entries.forEach((one) => outbox.add(one)));
  ask();
}

// Now, and by the phone itself once there is a net, even if the app is closed by then.
export function ask() {
  tell({ added: true });
  navigator.serviceWorker?.ready.then((found) => found.sync?.register("outbox")).catch(() => {});
}

export async function retry(one) {
  await write(["outbox"], (outbox) => outbox.put({ ...one, state: "waiting", why: [] }));
  ask();
}

// The entry and the pictures that belong to it.
export async function drop(one) {
  const photos = (await all("outbox")).filter((other) => other.parent === one.id);
  await write(["outbox", "photos"], (outbox, kept) => {
    for (const each of [one, ...photos]) {
      outbox.delete(each.place);
      if (each.kind === "photo") kept.delete(each.id);
    }
  });
  tell({ dropped: one.place });
}

export async function forgetOld() {
  const old = (await all("outbox")).filter((e) => e.state === "sent" && e.settled < Date.now() - KEPT_MS);
  if (old.length) await write(["outbox"], (outbox) => old.forEach((e) => outbox.delete(e.place)));
}
